//! Tells single things while a backup runs.

use crate::output::Output;
use crate::paths::printable;
use crate::render::human;
use crate::render::json::Line;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vellum::{Event, EventSink, FileChange};

/// Problems that are told one by one to people; programs hear of all.
const PROBLEMS_TOLD_MAX: u64 = 100;

/// Tells problems at once, and with `-v` files too.
pub(super) struct BackupEvents {
    output: Arc<Output>,
    problems: AtomicU64,
}

impl BackupEvents {
    /// Nothing was told yet.
    pub(super) fn new(output: Arc<Output>) -> Self {
        Self { output, problems: AtomicU64::new(0) }
    }

    /// Tells how many problems were not named.
    pub(super) fn tell_rest(&self) {
        let untold = self.problems.load(Ordering::Relaxed).saturating_sub(PROBLEMS_TOLD_MAX);
        if untold > 0 && !self.output.is_json {
            self.output.warn(&format!("{untold} more like these"));
        }
    }
}

impl EventSink for BackupEvents {
    fn event(&self, event: &Event<'_>) {
        let output = &self.output;
        match event {
            Event::Problem(problem) => {
                let before = self.problems.fetch_add(1, Ordering::Relaxed);
                if output.is_json {
                    output.json_event(&Line::problem(problem));
                } else if before < PROBLEMS_TOLD_MAX {
                    output.warn(&human::problem(problem));
                }
            }
            Event::Notice { path, text } if output.verbosity > 0 => {
                output.note(&format!("{}: {text}", printable(path)));
            }
            Event::File { path, change, len_bytes } if tells_file(output.verbosity, *change) => match output.is_json {
                true => output.json(&Line::file(path, *change, *len_bytes)),
                false => output.note(&format!("{:<9} {}", word(*change), printable(path))),
            },
            _ => {}
        }
    }
}

/// Files that were read with `-v`, all with `-vv`.
fn tells_file(verbosity: u8, change: FileChange) -> bool {
    verbosity > u8::from(change == FileChange::Unchanged)
}

fn word(change: FileChange) -> &'static str {
    match change {
        FileChange::New => "new",
        FileChange::Changed => "changed",
        FileChange::Unchanged => "unchanged",
    }
}
