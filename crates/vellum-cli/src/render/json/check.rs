//! What `check`, `repair` and `stats` found: the state of a repository.

use super::PathField;
use crate::time::rfc3339;
use serde::Serialize;
use std::time::Duration;
use vellum::{CheckReport, Coverage, Finding, ParityCover, RepairReport, RepositoryStats};

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
    snapshots_unpaired: u64,
    copies_mendable: u64,
    chunks_missing: bool,
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
            snapshots_unpaired: report.snapshots_unpaired,
            copies_mendable: report.copies_mendable,
            chunks_missing: report.misses_chunks,
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
