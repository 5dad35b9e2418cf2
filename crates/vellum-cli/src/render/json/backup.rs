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
    #[serde(flatten, with = "SummaryFields")]
    summary: Summary,
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
            summary: report.summary,
            total_duration: took.as_secs_f64(),
            backup_start: start,
            problems: report.problems.iter().take(100).map(|problem| text(&problem.path)).collect(),
        }
    }
}

/// What a backup saw and added, in its own line and in its snapshot's. Names as in restic where the meaning is the
/// same.
#[derive(Serialize)]
#[serde(remote = "Summary")]
struct SummaryFields {
    files_new: u64,
    files_changed: u64,
    #[serde(rename = "files_unmodified")]
    files_unchanged: u64,
    #[serde(rename = "dirs")]
    folders: u64,
    others: u64,
    #[serde(rename = "data_blobs")]
    chunks_new: u64,
    #[serde(rename = "data_added")]
    bytes_new: u64,
    #[serde(rename = "data_stored")]
    bytes_stored: u64,
    #[serde(rename = "total_files_processed")]
    files: u64,
    #[serde(rename = "total_bytes_processed")]
    bytes: u64,
    errors: u64,
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
    /// Entries, with everything below, whose paths are longer than the system takes at once.
    pub(crate) not_compared: u64,
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
    #[serde(with = "SummaryFields")]
    summary: Summary,
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
            summary: manifest.summary,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_keep_their_names_and_their_order() {
        let summary = Summary {
            files: 9,
            folders: 4,
            others: 5,
            bytes: 10,
            files_new: 1,
            files_changed: 2,
            files_unchanged: 3,
            chunks_new: 6,
            bytes_new: 7,
            bytes_stored: 8,
            errors: 11,
            duration_ms: 12,
        };
        let report = BackupReport { snapshot: None, summary, problems: Vec::new(), history: Vec::new() };
        let line = serde_json::to_string(&BackupLine::new(&report, String::new(), Duration::ZERO, false)).unwrap();
        assert_eq!(
            line,
            "{\"snapshot_id\":null,\"head_code\":null,\"dry_run\":false,\"skipped\":true,\"files_new\":1,\
             \"files_changed\":2,\"files_unmodified\":3,\"dirs\":4,\"others\":5,\"data_blobs\":6,\"data_added\":7,\
             \"data_stored\":8,\"total_files_processed\":9,\"total_bytes_processed\":10,\"errors\":11,\
             \"total_duration\":0.0,\"backup_start\":\"\",\"problems\":[]}"
        );
    }
}
