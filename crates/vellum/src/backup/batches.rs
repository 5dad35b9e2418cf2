//! Files on their way from a walker to the workers: a batch holds neighbours, which compress better in one frame, and
//! few batches cost few queue operations.

use super::worker::{Batch, FileJob};
use crossbeam_channel::Sender;
use std::sync::Arc;

/// A batch goes to a worker when it holds this many files or bytes.
const FILES_MAX: usize = 128;
const LEN_BYTES_MAX: u64 = 2 << 20;

/// Folders that all batches together hold open, as long as there are fewer batches: with what walkers hold that is less
/// than the 1,024 files that most systems let a process have open unless it asks for more.
const HANDLES_MAX: usize = 512;

/// Batches that wait for these workers at most.
pub(super) const fn waiting_max(workers: usize) -> usize {
    2 * workers
}

/// One walker's way to the workers.
pub(super) struct Batches {
    jobs: Sender<Batch>,
    batch: Batch,
    len_bytes: u64,
    /// Folders that the batch holds open.
    folders: usize,
    folders_max: usize,
}

/// Another walker's way.
impl Clone for Batches {
    fn clone(&self) -> Self {
        Self::empty(self.jobs.clone(), self.folders_max)
    }
}

impl Batches {
    /// For the first of so many walkers; the others get clones.
    pub(super) fn new(jobs: Sender<Batch>, walkers: usize, workers: usize) -> Self {
        // One that each walker fills, those that wait, and one that each worker has taken.
        let count = walkers + waiting_max(workers) + workers;
        Self::empty(jobs, (HANDLES_MAX / count).max(1))
    }

    fn empty(jobs: Sender<Batch>, folders_max: usize) -> Self {
        Self { jobs, batch: Batch::new(), len_bytes: 0, folders: 0, folders_max }
    }

    pub(super) fn add(&mut self, job: FileJob) {
        let is_neighbour = self.batch.last().is_some_and(|last| Arc::ptr_eq(&last.folder, &job.folder));
        if !is_neighbour && self.folders == self.folders_max {
            self.send();
        }
        self.folders += usize::from(!is_neighbour);
        self.len_bytes = self.len_bytes.saturating_add(job.stat.len_bytes);
        self.batch.push(job);
        if self.batch.len() >= FILES_MAX || self.len_bytes >= LEN_BYTES_MAX {
            self.send();
        }
    }

    /// Sends what is left.
    pub(super) fn send(&mut self) {
        (self.len_bytes, self.folders) = (0, 0);
        // A queue without workers means that all of them panicked; the run has failed then.
        drop(self.jobs.send(std::mem::take(&mut self.batch)));
    }
}
