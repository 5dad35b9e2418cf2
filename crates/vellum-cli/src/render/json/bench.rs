//! What `bench` measured.

use super::PathField;
use serde::Serialize;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use vellum::bench::{BenchReport, Figure};

/// One stage.
#[derive(Serialize)]
pub(crate) struct StageLine<'a> {
    stage: String,
    way: Option<&'static str>,
    threads: usize,
    bytes: u64,
    stored_bytes: Option<u64>,
    seconds: f64,
    bytes_per_second: f64,
    #[serde(flatten)]
    folder: Option<PathField<'a>>,
}

impl<'a> StageLine<'a> {
    /// A figure's fields, with the folder that was written to.
    pub(crate) fn new(figure: &Figure, folder: Option<&'a Path>) -> Self {
        Self {
            stage: figure.stage.to_string(),
            way: figure.way,
            threads: figure.threads,
            bytes: figure.bytes,
            stored_bytes: figure.stored_bytes,
            seconds: figure.took.as_secs_f64(),
            bytes_per_second: figure.bytes_per_second(),
            folder: folder.map(|folder| PathField::new(folder.as_os_str().as_bytes())),
        }
    }
}

/// What follows; nothing is known of what was not measured.
#[derive(Serialize)]
pub(crate) struct BenchLine {
    stages: usize,
    slowest: Option<String>,
    slowest_share: Option<f64>,
    first_backup_bytes_per_second: Option<f64>,
    first_backup_incompressible_bytes_per_second: Option<f64>,
}

impl BenchLine {
    /// A report's fields.
    pub(crate) fn new(report: &BenchReport) -> Self {
        let bound = report.bound.as_ref();
        Self {
            stages: report.figures.len(),
            slowest: bound.map(|bound| bound.slowest.to_string()),
            slowest_share: bound.map(|bound| bound.share),
            first_backup_bytes_per_second: bound.map(|bound| bound.text_bytes_per_second),
            first_backup_incompressible_bytes_per_second: bound.map(|bound| bound.random_bytes_per_second),
        }
    }
}
