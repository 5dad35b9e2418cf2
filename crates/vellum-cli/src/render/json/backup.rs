//! What `backup` and `try` end with, and the snapshots that were made.

use crate::paths::{hex, text};
use crate::time::rfc3339;
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;
use vellum::format::snapshot::Summary;
use vellum::{BackupReport, HeadCode, Snapshot};

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
