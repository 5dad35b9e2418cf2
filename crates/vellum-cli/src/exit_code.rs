//! Exit codes: stable by promise, see the table in `--help`.

/// What the process tells its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ExitCode {
    /// Everything was done, durably.
    Complete = 0,
    /// Nothing was acknowledged.
    Failed = 1,
    /// The command line, a variable or a file that they name cannot be used.
    Usage = 2,
    /// A snapshot was made, but some source data could not be read.
    SourceIncomplete = 3,
    /// `check` found damage, or a restore is incomplete.
    Damage = 4,
    /// The storage does not answer.
    Unreachable = 5,
    /// There is no repository there.
    NoRepository = 10,
    /// Wrong password, key file or recovery key.
    WrongCredential = 12,
    /// Somebody asked to stop.
    Interrupted = 130,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}
