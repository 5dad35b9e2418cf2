//! The table of `vellum bench`.

use super::human::table as aligned;
use crate::units::{count, rate};
use std::path::Path;
use vellum::bench::{BenchReport, Bound, Figure, Stage};

/// Everything for people; `folder` is where the storage was measured.
pub(crate) fn table(report: &BenchReport, folder: Option<&Path>) -> String {
    let header = ["stage", "speed", "threads", ""].map(str::to_owned).to_vec();
    let row = |figure: &Figure| {
        let speed = rate(figure.bytes, figure.took);
        vec![figure.stage.to_string(), speed, figure.threads.to_string(), about(figure, folder)]
    };
    let rows: Vec<_> = std::iter::once(header).chain(report.figures.iter().map(row)).collect();
    let mut text = aligned(&rows);
    if let Some(bound) = &report.bound {
        let threads = report.figures.iter().map(|figure| figure.threads).max().unwrap_or(1);
        text.push_str(&format!("\n{}\n", sentence(bound, threads, folder.is_some())));
    }
    text
}

fn about(figure: &Figure, folder: Option<&Path>) -> String {
    let stored = figure.stored_bytes.map_or(String::new(), |stored| to_percent(stored, figure.bytes));
    match (figure.stage, figure.way) {
        (Stage::Memory, _) => "read; nothing is faster".to_owned(),
        (Stage::Chunker(_), Some(way)) => way.to_owned(),
        (Stage::Hash, _) => "keyed BLAKE3 of chunks of average length".to_owned(),
        (Stage::Compress(level), _) => format!("zstd {level} of text like source code, to {stored}"),
        (Stage::Seal, _) => "AES-256-GCM-SIV of frames".to_owned(),
        (Stage::Parity, _) => format!("of packs, to {stored}"),
        (Stage::Backup(sample), _) => format!("all stages in memory, {sample} data, to {stored}"),
        (Stage::Storage, _) => folder
            .map_or(String::new(), |folder| format!("written and synced in {}", crate::paths::printable_path(folder))),
        _ => String::new(),
    }
}

fn sentence(bound: &Bound, threads: usize, with_storage: bool) -> String {
    let slowest = match bound.slowest {
        Stage::Storage => "The storage is slower than this processor".to_owned(),
        stage => format!("The slowest stage is `{stage}`, {:.0}% of the processor's time", 100.0 * bound.share),
    };
    let threads = count(threads as u64, "thread");
    let (text, random) = (megabytes(bound.text_bytes_per_second), megabytes(bound.random_bytes_per_second));
    let further = if with_storage { "" } else { ", and no more than the storage takes" };
    format!(
        "{slowest}: with {threads} a first backup can reach at most {text} of text and {random} of data that does \
         not compress{further}."
    )
}

fn megabytes(bytes_per_second: f64) -> String {
    format!("{:.0} MB/s", bytes_per_second / 1e6)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn to_percent(part: u64, whole: u64) -> String {
    format!("{:.0}%", 100.0 * part as f64 / whole.max(1) as f64)
}
