//! What the backups of a trial told of.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use vellum::{Event, EventSink};

/// The paths of all problems, however many they are: reports keep only the first.
#[derive(Default)]
pub(super) struct Told(Mutex<BTreeSet<PathBuf>>);

impl Told {
    pub(super) fn paths(&self) -> BTreeSet<PathBuf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl EventSink for Told {
    fn event(&self, event: &Event<'_>) {
        if let Event::Problem(problem) = event {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(problem.path_buf());
        }
    }
}
