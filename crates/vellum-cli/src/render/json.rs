//! Results for programs: every shape of line that `--json` prints. Stable; fields are added, never changed.
//!
//! Paths and names are text. In what is no UTF-8 the bytes that are none are escaped as `\xNN`, and a further field
//! with `_bytes` in its name has the whole in hex.

use super::forget::{ForgetLine, GroupLine, NamedLine};
use crate::paths::{hex, text};
use crate::report::Failure;
use crate::time::rfc3339;
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;
use vellum::format::snapshot::Summary;
use vellum::format::tree::{Entry, Node};
use vellum::{
    BackupReport, CheckReport, Coverage, FileChange, Finding, HeadCode, HistoryFinding, ParityCover, Problem,
    PruneReport, RepairReport, RepairedSnapshot, RepositoryStats, RestoreReport, SlotSummary, Snapshot,
};

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

/// What a backup did.
#[derive(Serialize)]
pub(crate) struct BackupLine<'a> {
    snapshot_id: Option<String>,
    head_code: Option<String>,
    dry_run: bool,
    skipped: bool,
    #[serde(flatten)]
    summary: SummaryFields,
    total_duration: f64,
    backup_start: String,
    problems: Vec<Cow<'a, str>>,
}

impl<'a> BackupLine<'a> {
    /// A report's fields; problems are named again up to a hundred.
    pub(crate) fn new(report: &'a BackupReport, start: String, took: Duration, dry_run: bool) -> Self {
        Self {
            snapshot_id: report.snapshot.map(|id| id.to_string()),
            head_code: report.snapshot.map(|id| HeadCode::of(&id).to_string()),
            dry_run,
            skipped: report.snapshot.is_none() && !dry_run,
            summary: SummaryFields::new(&report.summary),
            total_duration: took.as_secs_f64(),
            backup_start: start,
            problems: report.problems.iter().take(100).map(|problem| text(&problem.path)).collect(),
        }
    }
}

/// What a backup saw and added, in its own line and in its snapshot's. Names as in restic where the meaning is the same.
#[derive(Serialize)]
struct SummaryFields {
    files_new: u64,
    files_changed: u64,
    files_unmodified: u64,
    dirs: u64,
    others: u64,
    data_blobs: u64,
    data_added: u64,
    data_stored: u64,
    total_files_processed: u64,
    total_bytes_processed: u64,
    errors: u64,
}

impl SummaryFields {
    const fn new(summary: &Summary) -> Self {
        Self {
            files_new: summary.files_new,
            files_changed: summary.files_changed,
            files_unmodified: summary.files_unchanged,
            dirs: summary.folders,
            others: summary.others,
            data_blobs: summary.chunks_new,
            data_added: summary.bytes_new,
            data_stored: summary.bytes_stored,
            total_files_processed: summary.files,
            total_bytes_processed: summary.bytes,
            errors: summary.errors,
        }
    }
}

/// What a restore did.
#[derive(Serialize)]
pub(crate) struct RestoreLine {
    snapshot_id: Option<String>,
    dry_run: bool,
    files_restored: u64,
    bytes_restored: u64,
    others_restored: u64,
    skipped: u64,
    deleted: u64,
    errors: u64,
    metadata_problems: u64,
    packs_healed: usize,
    total_duration: f64,
}

impl RestoreLine {
    /// A report's fields.
    pub(crate) fn new(report: &RestoreReport, took: Duration, dry_run: bool) -> Self {
        Self {
            snapshot_id: report.snapshot.map(|id| id.to_string()),
            dry_run,
            files_restored: report.files,
            bytes_restored: report.bytes,
            others_restored: report.others,
            skipped: report.skipped,
            deleted: report.deleted,
            errors: report.problem_count,
            metadata_problems: report.metadata_problem_count,
            packs_healed: report.healed.len(),
            total_duration: took.as_secs_f64(),
        }
    }
}

/// What a check saw.
#[derive(Serialize)]
pub(crate) struct CheckLine {
    num_errors: u64,
    snapshots: u64,
    folders: u64,
    packs: u64,
    packs_read: u64,
    packs_healable: u64,
    packs_unlisted: u64,
    copies_missing: u64,
    bytes_read: u64,
    files_tested: u64,
    files_only_read: u64,
    files_compared_with_source: u64,
    files_not_tested: usize,
    parity: ParityField,
    coverage: CoverageField,
    recorded: bool,
    head_code: Option<String>,
    history_accepted: usize,
    total_duration: f64,
}

/// What damage packs outlast.
#[derive(Serialize)]
struct ParityField {
    packs_with: u64,
    packs_without: u64,
    shards: u64,
    burst_bytes_smallest: Option<u64>,
    burst_bytes_largest: Option<u64>,
}

impl ParityField {
    fn new(parity: &ParityCover) -> Self {
        Self {
            packs_with: parity.packs_with,
            packs_without: parity.packs_without,
            shards: ParityCover::SHARDS,
            burst_bytes_smallest: parity.bursts.map(|(shortest, _)| shortest),
            burst_bytes_largest: parity.bursts.map(|(_, longest)| longest),
        }
    }
}

/// When the packs of a repository were verified.
#[derive(Serialize)]
struct CoverageField {
    packs: u64,
    packs_never_verified: u64,
    packs_damaged: u64,
    fully_verified: Option<String>,
    restore_tested: Option<String>,
}

impl CoverageField {
    fn new(coverage: &Coverage) -> Self {
        Self {
            packs: coverage.packs,
            packs_never_verified: coverage.never_read,
            packs_damaged: coverage.damaged,
            fully_verified: coverage.fully_verified.map(rfc3339),
            restore_tested: coverage.restore_tested.map(rfc3339),
        }
    }
}

impl CheckLine {
    /// A report's fields.
    pub(crate) fn new(report: &CheckReport, took: Duration) -> Self {
        Self {
            num_errors: report.finding_count,
            snapshots: report.snapshots,
            folders: report.folders,
            packs: report.packs,
            packs_read: report.packs_read,
            packs_healable: report.packs_healable,
            packs_unlisted: report.packs_unlisted,
            copies_missing: report.copies_missing,
            bytes_read: report.bytes_read,
            files_tested: report.restore_test.files,
            files_only_read: report.restore_test.read_only,
            files_compared_with_source: report.restore_test.with_source,
            files_not_tested: report.restore_test.not_written.len(),
            parity: ParityField::new(&report.parity),
            coverage: CoverageField::new(&report.coverage),
            recorded: report.is_recorded,
            head_code: report.head_code.map(|code| code.to_string()),
            history_accepted: report.accepted.len(),
            total_duration: took.as_secs_f64(),
        }
    }
}

/// What a prune did, or would do.
#[derive(Serialize)]
pub(crate) struct PruneLine<'a> {
    dry_run: bool,
    packs_total: u64,
    bytes_total: u64,
    bytes_unused: u64,
    packs_condemned: u64,
    packs_repacked: u64,
    bytes_written: u64,
    packs_deleted: u64,
    bytes_deleted: u64,
    packs_waiting: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiting_until: Option<String>,
    waits_for: Vec<WaitsForField<'a>>,
    waits_for_unknown: u64,
    writers_fenced: u64,
    damaged: &'a [String],
    storage_full: bool,
    total_duration: f64,
}

/// A writer that has to end before packs may go.
#[derive(Serialize)]
struct WaitsForField<'a> {
    host: Cow<'a, str>,
    username: &'a str,
    since: String,
    process: Option<u32>,
}

impl<'a> PruneLine<'a> {
    /// A report's fields.
    pub(crate) fn new(report: &'a PruneReport, took: Duration, dry_run: bool) -> Self {
        let waits_for = report.waits_for.iter().map(|writer| WaitsForField {
            host: text(&writer.host.0),
            username: &writer.user,
            since: rfc3339(writer.time),
            process: writer.process.as_ref().map(|mark| mark.process),
        });
        Self {
            dry_run,
            packs_total: report.packs,
            bytes_total: report.bytes,
            bytes_unused: report.unused_bytes,
            packs_condemned: report.packs_condemned,
            packs_repacked: report.packs_repacked,
            bytes_written: report.bytes_written,
            packs_deleted: report.packs_deleted,
            bytes_deleted: report.bytes_deleted,
            packs_waiting: report.packs_waiting,
            waiting_until: report.grace_ends.map(rfc3339),
            waits_for: waits_for.collect(),
            waits_for_unknown: report.waits_for_unknown,
            writers_fenced: report.writers_fenced,
            damaged: &report.damaged,
            storage_full: report.is_full,
            total_duration: took.as_secs_f64(),
        }
    }
}

/// What a repair did.
#[derive(Serialize)]
pub(crate) struct RepairLine {
    num_errors: usize,
    mended: usize,
    packs_listed: u64,
    packs_read: u64,
    bytes_read: u64,
    snapshots: usize,
    total_duration: f64,
}

impl RepairLine {
    /// A report's fields.
    pub(crate) fn new(report: &RepairReport, took: Duration) -> Self {
        Self {
            num_errors: report.findings.len(),
            mended: report.mended.len(),
            packs_listed: report.packs_listed,
            packs_read: report.packs_read,
            bytes_read: report.bytes_read,
            snapshots: report.snapshots.len(),
            total_duration: took.as_secs_f64(),
        }
    }
}

/// One thing that is wrong.
#[derive(Serialize)]
pub(crate) struct FindingLine<'a> {
    object: Option<String>,
    kind: Option<&'static str>,
    snapshot: Option<String>,
    #[serde(flatten)]
    path: Option<PathField<'a>>,
    reason: &'a str,
}

impl<'a> FindingLine<'a> {
    /// A finding's fields; `path` is absolute.
    pub(crate) fn new(finding: &'a Finding, path: Option<&'a [u8]>) -> Self {
        Self {
            object: finding.object.map(|object| object.to_string()),
            kind: finding.object.map(|object| object.kind.noun()),
            snapshot: finding.path.as_ref().map(|(snapshot, _)| snapshot.to_string()),
            path: path.map(PathField::new),
            reason: &finding.reason,
        }
    }
}

/// What a try told at its end.
#[derive(Serialize)]
pub(crate) struct TryLine<'a> {
    /// Whether everything came back as it was.
    pub(crate) ok: bool,
    /// Files compared.
    pub(crate) files_compared: u64,
    /// Bytes compared.
    pub(crate) bytes_compared: u64,
    /// Paths that differ, up to a hundred.
    pub(crate) differences: Vec<Cow<'a, str>>,
    /// Entries that were changed while the try ran.
    pub(crate) changed_meanwhile: u64,
    /// Source entries that could not be read.
    pub(crate) errors: u64,
    /// Bytes in the source's files.
    pub(crate) source_bytes: u64,
    /// Bytes left after deduplication.
    pub(crate) unique_bytes: u64,
    /// Bytes of the repository.
    pub(crate) repository_bytes: u64,
    /// Kinds of the slots that could read it.
    pub(crate) readable_by: Vec<String>,
}

/// A snapshot.
#[derive(Serialize)]
pub(crate) struct SnapshotLine<'a> {
    id: String,
    short_id: String,
    time: String,
    host: Cow<'a, str>,
    username: &'a str,
    paths: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    paths_bytes: Vec<String>,
    tags: &'a [String],
    program_version: &'a str,
    summary: SummaryFields,
}

impl<'a> SnapshotLine<'a> {
    /// A snapshot's fields.
    pub(crate) fn new(snapshot: &'a Snapshot) -> Self {
        let manifest = &snapshot.manifest;
        let is_text = manifest.paths.iter().all(|path| std::str::from_utf8(&path.0).is_ok());
        Self {
            id: snapshot.id.to_string(),
            short_id: snapshot.id.short(),
            time: rfc3339(manifest.time),
            host: text(&manifest.host.0),
            username: &manifest.user,
            paths: manifest.paths.iter().map(|path| text(&path.0)).collect(),
            paths_bytes: manifest.paths.iter().filter(|_| !is_text).map(|path| hex(&path.0)).collect(),
            tags: &manifest.tags,
            program_version: &manifest.program,
            summary: SummaryFields::new(&manifest.summary),
        }
    }
}

/// An entry of a snapshot.
#[derive(Serialize)]
pub(crate) struct EntryLine<'a> {
    #[serde(flatten)]
    path: PathField<'a>,
    kind: &'static str,
    size: Option<u64>,
    mode: u32,
    uid: u32,
    gid: u32,
    user: Cow<'a, str>,
    group: Cow<'a, str>,
    mtime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_bytes: Option<String>,
}

impl<'a> EntryLine<'a> {
    /// An entry's fields.
    pub(crate) fn new(path: &'a [u8], entry: &'a Entry) -> Self {
        let metadata = &entry.metadata;
        let target = match &entry.node {
            Node::Symlink { target } => Some(target),
            _ => None,
        };
        Self {
            path: PathField::new(path),
            kind: kind(&entry.node),
            size: match entry.node {
                Node::File { len_bytes, .. } => Some(len_bytes),
                _ => None,
            },
            mode: metadata.mode,
            uid: metadata.uid,
            gid: metadata.gid,
            user: text(&metadata.user),
            group: text(&metadata.group),
            mtime: rfc3339(metadata.modified),
            target: target.map(|target| text(target)),
            target_bytes: target.filter(|target| std::str::from_utf8(target).is_err()).map(|target| hex(target)),
        }
    }
}

/// An entry's kind in one word.
pub(crate) fn kind(node: &Node) -> &'static str {
    match node {
        Node::File { .. } => "file",
        Node::Folder { .. } => "dir",
        Node::Symlink { .. } => "symlink",
        Node::BlockDevice { .. } => "blockdev",
        Node::CharDevice { .. } => "chardev",
        Node::Fifo => "fifo",
    }
}

/// A way to unlock.
#[derive(Serialize)]
pub(crate) struct SlotLine<'a> {
    id: &'a str,
    kind: &'a str,
    role: &'a str,
    label: &'a str,
    created: String,
    current: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    argon2id: Option<CostLine>,
}

#[derive(Serialize)]
struct CostLine {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl<'a> SlotLine<'a> {
    /// A slot's fields.
    pub(crate) fn new(slot: &'a SlotSummary) -> Self {
        Self {
            id: &slot.id,
            kind: &slot.kind,
            role: &slot.role,
            label: &slot.label,
            created: rfc3339(slot.created),
            current: slot.is_current,
            argon2id: slot.argon2id.map(|(memory_kib, passes, lanes)| CostLine { memory_kib, passes, lanes }),
        }
    }
}

/// What a repository holds.
#[derive(Serialize)]
pub(crate) struct StatsLine {
    snapshots_count: u64,
    total_file_count: u64,
    total_restore_size: u64,
    total_blob_count: u64,
    packs: u64,
    total_size: u64,
    coverage: CoverageField,
}

impl StatsLine {
    /// The fields of these figures.
    pub(crate) fn new(stats: &RepositoryStats, coverage: &Coverage) -> Self {
        Self {
            snapshots_count: stats.snapshots,
            total_file_count: stats.files,
            total_restore_size: stats.restore_bytes,
            total_blob_count: stats.chunks,
            packs: stats.packs,
            total_size: stats.stored_bytes,
            coverage: CoverageField::new(coverage),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
