//! Results for programs: every shape of line that `--json` prints. Stable; fields are added, never changed.
//!
//! Paths and names are text. In what is no UTF-8 the bytes that are none are escaped as `\xNN`, and a further field
//! with `_bytes` in its name has the whole in hex.

mod backup;
mod bench;
mod check;
mod key;
mod prune;
mod restore;

use super::forget::{ForgetLine, GroupLine, NamedLine};
use crate::paths::{hex, text};
use crate::report::Failure;
use serde::Serialize;
use std::borrow::Cow;
use vellum::{FileChange, HistoryFinding, Problem, RepairedSnapshot};

pub(crate) use backup::{BackupLine, SnapshotLine, TryLine};
pub(crate) use bench::{BenchLine, StageLine};
pub(crate) use check::{CheckLine, FindingLine, RepairLine, StatsLine};
pub(crate) use key::SlotLine;
pub(crate) use prune::PruneLine;
pub(crate) use restore::{EntryLine, RestoreLine, kind};

/// One line.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Line<'a> {
    /// The run failed.
    Error(ErrorLine<'a>),
    /// Something is not as it should be, and the run goes on.
    Warning { message: &'a str },
    /// The same, with what it means and what to try.
    #[serde(rename = "warning")]
    FullWarning { message: &'a str, meaning: &'a str, hint: &'a str },
    /// A source or target entry with which something went wrong.
    Problem(ProblemLine<'a>),
    /// Metadata of a restored entry that this system did not take; its content is right.
    MetadataProblem(ProblemLine<'a>),
    /// A file that a backup took (with `-v`).
    File {
        change: &'static str,
        #[serde(flatten)]
        path: PathField<'a>,
        size: u64,
    },
    /// An entry that `restore` deleted, or would in a dry run (with `-v`).
    Deleted(PathField<'a>),
    /// `init`
    Initialized { id: String, location: String, owner_fingerprint: String, recovery_key: &'a str, slots: Vec<String> },
    /// `backup`
    #[serde(rename = "summary")]
    Backup(BackupLine<'a>),
    /// `restore`
    #[serde(rename = "summary")]
    Restore(RestoreLine),
    /// `forget`
    #[serde(rename = "summary")]
    Forget(ForgetLine),
    /// `forget`, a group that rules were applied to
    Group(GroupLine<'a>),
    /// `forget`, a snapshot that was named
    Remove(NamedLine<'a>),
    /// `check`
    #[serde(rename = "summary")]
    Check(CheckLine),
    /// `prune`
    #[serde(rename = "summary")]
    Prune(PruneLine<'a>),
    /// `repair`
    #[serde(rename = "summary")]
    Repair(RepairLine),
    /// `repair`, an object that was stored anew
    Mended { object: String, kind: &'static str },
    /// `repair snapshots`, a snapshot that has lost something
    RepairedSnapshot { id: String, repaired: Option<String>, was_there: bool, lost: u64 },
    /// `try`
    #[serde(rename = "summary")]
    Try(TryLine<'a>),
    /// `try`, one of its steps
    Step { step: &'static str, files: u64, bytes: u64, seconds: f64, bytes_per_second: f64 },
    /// `snapshots`
    Snapshot(SnapshotLine<'a>),
    /// `ls`
    Entry(EntryLine<'a>),
    /// `check`, `repair`: one thing that is wrong
    Finding(FindingLine<'a>),
    /// `check --accept-history`: one thing that was wrong with history and is told no more
    Accepted { object: String, kind: &'static str, reason: &'a str },
    /// `key list`
    Slot(SlotLine<'a>),
    /// `key add`
    SlotAdded {
        id: &'a str,
        kind: &'a str,
        label: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        key_file: Option<String>,
    },
    /// `key remove`
    SlotRemoved { id: &'a str },
    /// `key passwd`
    SlotReplaced { id: &'a str, replaced: Option<&'a str> },
    /// `recovery show`
    Recovery {
        exists: bool,
        created: Option<String>,
        slot: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        recovery_key: Option<&'a str>,
    },
    /// `recovery check`
    RecoveryCheck { opens: bool, id: String },
    /// `stats`
    Stats(StatsLine),
    /// `bench`
    #[serde(rename = "summary")]
    Bench(BenchLine),
    /// `bench`, one of its stages
    Stage(StageLine<'a>),
    /// `cat`: the type is what is shown
    #[serde(untagged)]
    Value(&'a serde_json::Value),
}

impl<'a> Line<'a> {
    /// The line without its end.
    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("lines have text keys and finite numbers")
    }

    /// The run failed.
    pub(crate) fn error(failure: &'a Failure) -> Self {
        Self::Error(ErrorLine {
            code: failure.code,
            exit_code: failure.exit_code as u8,
            message: &failure.message,
            meaning: &failure.meaning,
            hint: &failure.hint,
        })
    }

    /// Something about history that the user takes as it is.
    pub(crate) fn accepted(finding: &HistoryFinding, reason: &'a str) -> Self {
        let object = finding.object();
        Self::Accepted { object: object.to_string(), kind: object.kind.noun(), reason }
    }

    /// A problem with an entry.
    pub(crate) fn problem(problem: &'a Problem) -> Self {
        Self::Problem(ProblemLine::new(problem))
    }

    /// A snapshot that has lost something.
    pub(crate) fn repaired(snapshot: &RepairedSnapshot) -> Self {
        Self::RepairedSnapshot {
            id: snapshot.id.to_string(),
            repaired: snapshot.repaired.map(|id| id.to_string()),
            was_there: snapshot.was_there,
            lost: snapshot.lost,
        }
    }

    /// A file that a backup took.
    pub(crate) fn file(path: &'a [u8], change: FileChange, size: u64) -> Self {
        let change = match change {
            FileChange::New => "new",
            FileChange::Changed => "changed",
            FileChange::Unchanged => "unchanged",
        };
        Self::File { change, path: PathField::new(path), size }
    }
}

/// Why the run failed.
#[derive(Serialize)]
pub(crate) struct ErrorLine<'a> {
    code: &'static str,
    exit_code: u8,
    message: &'a str,
    meaning: &'a str,
    hint: &'a str,
}

/// A path, with its bytes when they are no plain text.
#[derive(Serialize)]
pub(crate) struct PathField<'a> {
    path: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
}

impl<'a> PathField<'a> {
    /// A path's fields.
    pub(crate) fn new(path: &'a [u8]) -> Self {
        Self { path: text(path), path_bytes: std::str::from_utf8(path).err().map(|_| hex(path)) }
    }
}

/// An entry with which something went wrong.
#[derive(Serialize)]
pub(crate) struct ProblemLine<'a> {
    #[serde(flatten)]
    path: PathField<'a>,
    doing: &'static str,
    reason: &'a str,
}

impl<'a> ProblemLine<'a> {
    /// A problem's fields.
    pub(crate) fn new(problem: &'a Problem) -> Self {
        Self { path: PathField::new(&problem.path), doing: problem.doing, reason: &problem.reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use vellum::{CheckReport, Coverage, RepositoryStats, RestoreReport};

    #[test]
    fn lines_have_a_type_and_escape_what_is_no_text() {
        let encoded = |line: Line<'_>| String::from_utf8(line.encode()).unwrap();
        assert_eq!(encoded(Line::Warning { message: "a\nb" }), r#"{"type":"warning","message":"a\nb"}"#);
        assert_eq!(
            encoded(Line::file(b"/a\xff", FileChange::New, 3)),
            r#"{"type":"file","change":"new","path":"/a\\xff","path_bytes":"2f61ff","size":3}"#
        );
        let stats = Line::Stats(StatsLine::new(&RepositoryStats::default(), &Coverage::default()));
        assert!(encoded(stats).starts_with(r#"{"type":"stats","snapshots_count":0"#));
        let value = serde_json::json!({ "type": "config" });
        assert_eq!(encoded(Line::Value(&value)), r#"{"type":"config"}"#);
    }

    #[test]
    fn restore_and_check_end_with_a_summary() {
        let restore = Line::Restore(RestoreLine::new(&RestoreReport::default(), Duration::ZERO, true));
        assert!(restore.encode().starts_with(br#"{"type":"summary","snapshot_id":null,"dry_run":true"#));
        let check = Line::Check(CheckLine::new(&CheckReport::default(), Duration::ZERO));
        assert!(check.encode().starts_with(br#"{"type":"summary","num_errors":0"#));
    }
}
