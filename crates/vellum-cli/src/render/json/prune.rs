//! What `prune` ends with.

use crate::paths::text;
use crate::time::rfc3339;
use serde::Serialize;
use std::borrow::Cow;
use std::time::Duration;
use vellum::PruneReport;

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

/// A writer that has to end before packs may go.
#[derive(Serialize)]
struct WaitsForField<'a> {
    host: Cow<'a, str>,
    username: &'a str,
    since: String,
    process: Option<u32>,
}
