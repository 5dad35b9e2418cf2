//! What can be wrong.

use std::fmt::{self, Display};

/// How a promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    /// Something acknowledged cannot be had any more.
    Lost,
    /// Other bytes than were stored, without a word.
    Wrong,
    /// `check --read-data` does not exit 0, or finds nothing where something is wrong.
    Damaged,
    /// The next run does not work.
    Stuck,
    /// A panic, a crash or a hang.
    Crashed,
    /// A failure that names nothing, or a success that is none.
    Silent,
    /// The suite itself could not do its work.
    Unfit,
}

impl Harm {
    pub(crate) const ALL: [Self; 7] =
        [Self::Lost, Self::Wrong, Self::Damaged, Self::Stuck, Self::Crashed, Self::Silent, Self::Unfit];
}

impl Display for Harm {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Lost => "lost",
            Self::Wrong => "wrong",
            Self::Damaged => "damaged",
            Self::Stuck => "stuck",
            Self::Crashed => "crashed",
            Self::Silent => "silent",
            Self::Unfit => "unfit",
        })
    }
}

/// Why a series of cases ended before its end.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) harm: Harm,
    pub(crate) what: String,
}

impl Failure {
    pub(crate) fn new(harm: Harm, what: impl Into<String>) -> Self {
        Self { harm, what: what.into() }
    }

    /// The suite itself could not do its work.
    pub(crate) fn unfit(what: impl Into<String>) -> Self {
        Self::new(Harm::Unfit, what)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::unfit(error.to_string())
    }
}

impl Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.harm, self.what)
    }
}
