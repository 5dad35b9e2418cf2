//! The table of `vellum try`.

use super::human::table as aligned;
use crate::units::{count, duration, rate, size};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use vellum::format::snapshot::Summary;
use vellum::{Problem, RestoreReport, SlotSummary};

/// What a try saw.
pub(crate) struct Trial {
    /// In their order.
    pub(crate) steps: Vec<Step>,
    /// The first backup.
    pub(crate) first: Summary,
    /// The second backup, of the same source.
    pub(crate) second: Summary,
    /// What either backup could not save, up to as much as their reports keep.
    pub(crate) unsaved: Vec<Problem>,
    /// How many entries that are.
    pub(crate) unsaved_count: u64,
    /// The restore of the second snapshot.
    pub(crate) restored: RestoreReport,
    /// Source paths that came back different, and how.
    pub(crate) differences: Vec<(PathBuf, String)>,
    /// Entries that changed while the try ran.
    pub(crate) changed: u64,
    /// Entries whose paths are too long to look at them again.
    pub(crate) too_long: u64,
    /// Bytes of the repository.
    pub(crate) repository_bytes: u64,
    /// Who could read it.
    pub(crate) slots: Vec<SlotSummary>,
}

impl Trial {
    /// Whether everything that was saved came back as it was.
    pub(crate) fn is_right(&self) -> bool {
        self.differences.is_empty() && self.restored.problem_count == 0
    }
}

/// One timed step.
pub(crate) struct Step {
    /// Its name.
    pub(crate) name: &'static str,
    /// Files in it.
    pub(crate) files: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
    /// How long it took.
    pub(crate) took: Duration,
}

impl Step {
    /// A step that has ended.
    pub(crate) fn new(name: &'static str, files: u64, bytes: u64, took: Duration) -> Self {
        Self { name, files, bytes, took }
    }
}

/// Everything for people.
pub(crate) fn table(trial: &Trial) -> String {
    let header = ["step", "files", "size", "time", "speed"].map(str::to_owned).to_vec();
    let row = |step: &Step| {
        let speed = rate(step.bytes, step.took);
        vec![step.name.to_owned(), step.files.to_string(), size(step.bytes), duration(step.took), speed]
    };
    let rows: Vec<_> = std::iter::once(header).chain(trial.steps.iter().map(row)).collect();
    let (first, second) = (&trial.first, &trial.second);
    let deduplicated = first.bytes.saturating_sub(first.bytes_new);
    let pair = |name: &str, value: String| vec![name.to_owned(), value];
    let facts = [
        pair("source", format!("{} in {}", size(first.bytes), count(first.files, "file"))),
        pair("deduplicated", format!("{} ({})", size(deduplicated), share(deduplicated, first.bytes))),
        pair(
            "repository",
            format!("{} ({} of the source)", size(trial.repository_bytes), share(trial.repository_bytes, first.bytes)),
        ),
        pair(
            "second backup",
            format!(
                "{} of {} unchanged, {} added",
                second.files_unchanged,
                count(second.files, "file"),
                size(second.bytes_stored)
            ),
        ),
        pair("came back", verdict(trial)),
        pair("readable by", readers(&trial.slots)),
        pair(
            "the operator of the storage",
            "sees times, sizes and settings; no names, no contents, no chunk sizes".to_owned(),
        ),
    ];
    let mut text = aligned(&rows);
    write!(text, "\n{}\neverything that this try made is removed again\n", aligned(&facts))
        .expect("writing to a string does not fail");
    text
}

fn verdict(trial: &Trial) -> String {
    let wrong = trial.differences.len() as u64 + trial.restored.problem_count;
    let mut text = match wrong {
        0 => "every byte as it was".to_owned(),
        wrong => format!("{} DIFFERENT", count(wrong, "entry")),
    };
    if trial.changed > 0 {
        text.push_str(&format!("; {} changed meanwhile", count(trial.changed, "entry")));
    }
    if trial.too_long > 0 {
        text.push_str(&format!("; {} not compared, for too long a path", count(trial.too_long, "entry")));
    }
    if trial.unsaved_count > 0 {
        text.push_str(&format!("; {} could not be read", count(trial.unsaved_count, "entry")));
    }
    text
}

fn readers(slots: &[SlotSummary]) -> String {
    let kinds: Vec<String> = slots.iter().map(|slot| slot.kind.replace("recovery", "recovery key")).collect();
    format!("the owner only, with {}", kinds.join(" or ").replace("key-file", "the key file"))
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn share(part: u64, whole: u64) -> String {
    format!("{:.1}%", 100.0 * part as f64 / whole.max(1) as f64)
}
