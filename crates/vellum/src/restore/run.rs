//! What the threads of one restore share: its options, what it counts, and what it could not do.

use super::files::OpenFiles;
use super::{RestoreOptions, RestoreReport};
use crate::platform::{MetadataProblem, OwnerPolicy};
use crate::{Context, Event, Problem, lock};
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use vellum_repository::Repository;

/// One restore.
pub(super) struct Run<'a> {
    pub(super) repository: &'a Repository,
    pub(super) context: &'a Context,
    pub(super) options: &'a RestoreOptions,
    pub(super) owners: OwnerPolicy,
    target: Vec<u8>,
    /// The part of each path in the snapshot that lies above what comes directly into the target.
    start_len: usize,
    /// The folder of the repository itself, as a path of the snapshot, where it lies below the target.
    own_folder: Option<Vec<u8>>,
    pub(super) files: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) others: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) deleted: AtomicU64,
    pub(super) open_files: OpenFiles,
    problems: Mutex<Problems>,
    metadata_problems: Mutex<Problems>,
}

/// Problems that are kept; further ones are only counted.
const PROBLEMS_KEPT_MAX: usize = 10_000;

#[derive(Default)]
struct Problems {
    kept: Vec<Problem>,
    count: u64,
    unreadable_count: u64,
    /// Of those that are kept, as paths of the snapshot, where all is compared afterwards.
    paths: BTreeSet<Vec<u8>>,
}

impl Problems {
    /// True while problems are kept.
    fn add(&mut self, problem: Problem) -> bool {
        self.count += 1;
        let is_kept = self.kept.len() < PROBLEMS_KEPT_MAX;
        if is_kept {
            self.kept.push(problem);
        }
        is_kept
    }
}

impl<'a> Run<'a> {
    /// Of a restore of this path of the snapshot into this target, below which the repository may lie.
    pub(super) fn new(
        repository: &'a Repository,
        context: &'a Context,
        options: &'a RestoreOptions,
        (target, start): (&Path, &[u8]),
        own_folder: Option<&Path>,
    ) -> Self {
        Self {
            repository,
            context,
            options,
            owners: OwnerPolicy::of_this_process(options.numeric_owner),
            target: target.as_os_str().as_bytes().to_vec(),
            start_len: start.len(),
            own_folder: own_folder.map(|folder| [start, b"/", folder.as_os_str().as_bytes()].concat()),
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            others: AtomicU64::new(0),
            skipped: AtomicU64::new(0),
            deleted: AtomicU64::new(0),
            open_files: OpenFiles::default(),
            problems: Mutex::default(),
            metadata_problems: Mutex::default(),
        }
    }

    /// Whether the repository lies there in the target, or above.
    pub(super) fn is_in_own(&self, path: &[u8]) -> bool {
        self.own_folder.as_ref().is_some_and(|own| is_or_lies_below(path, own))
    }

    /// Whether it lies there, or below.
    pub(super) fn leads_to_own(&self, path: &[u8]) -> bool {
        self.own_folder.as_ref().is_some_and(|own| is_or_lies_below(own, path))
    }

    /// Whether the patterns want an entry.
    pub(super) fn is_included(&self, path: &[u8]) -> bool {
        let include = &self.options.include;
        include.is_empty() || include.matches_with_parents(path)
    }

    /// What its threads have counted and told.
    pub(super) fn into_report(self) -> RestoreReport {
        let problems = self.problems.into_inner().unwrap_or_else(PoisonError::into_inner);
        let metadata_problems = self.metadata_problems.into_inner().unwrap_or_else(PoisonError::into_inner);
        RestoreReport {
            files: self.files.into_inner(),
            bytes: self.bytes.into_inner(),
            others: self.others.into_inner(),
            skipped: self.skipped.into_inner(),
            deleted: self.deleted.into_inner(),
            problems: problems.kept,
            problem_count: problems.count,
            unreadable_count: problems.unreadable_count,
            metadata_problems: metadata_problems.kept,
            metadata_problem_count: metadata_problems.count,
            ..RestoreReport::default()
        }
    }

    /// Where something of the snapshot is restored to.
    pub(super) fn at_target(&self, path: &[u8]) -> Vec<u8> {
        [self.target.strip_suffix(b"/").unwrap_or(&self.target), &path[self.start_len..]].concat()
    }

    /// Something of the snapshot cannot be read.
    pub(super) fn unreadable(&self, path: &[u8], doing: &'static str, reason: &impl ToString) {
        let shown = if path.is_empty() { b"/" } else { path };
        self.problem(path, Problem::new(shown.to_vec(), doing, reason), true);
    }

    /// Something is not done in the target.
    pub(super) fn undone(&self, path: &[u8], doing: &'static str, reason: &impl ToString) {
        self.problem(path, Problem::new(self.at_target(path), doing, reason), false);
    }

    fn problem(&self, path: &[u8], problem: Problem, is_unreadable: bool) {
        self.context.tell(&Event::Problem(&problem));
        let mut problems = lock(&self.problems);
        problems.unreadable_count += u64::from(is_unreadable);
        if problems.add(problem) && self.options.verify {
            problems.paths.insert(path.to_vec());
        }
    }

    /// Whether something was told of this path of the snapshot, as far as that is kept.
    pub(super) fn is_told(&self, path: &[u8]) -> bool {
        lock(&self.problems).paths.contains(path)
    }

    /// Something of an entry's metadata was not taken, if anything.
    pub(super) fn metadata_problems(&self, path: impl FnOnce() -> Vec<u8>, problems: Vec<MetadataProblem>) {
        if problems.is_empty() {
            return;
        }
        let path = self.at_target(&path());
        for problem in problems {
            let reason = format!("{}: {}", problem.part, problem.source);
            let told = Problem::new(path.clone(), "set metadata", &reason);
            self.context.tell(&Event::Problem(&told));
            lock(&self.metadata_problems).add(told);
        }
    }
}

fn is_or_lies_below(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above).is_some_and(|below| matches!(below, [] | [b'/', ..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_are_counted_and_the_first_are_kept() {
        let mut problems = Problems::default();
        for _ in 0..PROBLEMS_KEPT_MAX + 2 {
            problems.add(Problem::new(b"/file".to_vec(), "write", &"it is full"));
        }
        assert_eq!((problems.kept.len(), problems.count), (PROBLEMS_KEPT_MAX, PROBLEMS_KEPT_MAX as u64 + 2));
    }
}
