//! Looking into folders on several threads: whoever finds a folder looks into it, or leaves it to who is free.

use crate::tree_reader::{TreeWalk, WalkedEntry};
use crate::{Context, Error, lock};
use std::sync::{Condvar, Mutex, PoisonError};
use vellum_format::content::Content;
use vellum_format::tree::Node;
use vellum_repository::{FrameCache, Repository, RepositoryError, run_on};

/// Folders that wait for a thread; beyond them whoever finds one looks into it himself.
const WAITING_MAX: usize = 256;

/// What is done with what a scan comes across. Any error ends the scan.
pub(crate) trait Visit: Sync {
    /// What each thread has for itself.
    type Own: Default;

    /// Whether to look into a folder that was found just now.
    fn enter(&self, own: &mut Self::Own, folder: &Content) -> Result<bool, RepositoryError>;

    /// A file was found.
    fn file(&self, own: &mut Self::Own, content: &Content, len_bytes: u64) -> Result<(), RepositoryError>;

    /// A thread will find nothing more.
    fn finish(&self, _own: Self::Own) -> Result<(), RepositoryError> {
        Ok(())
    }

    /// An error, as whoever scans is to hear of it.
    fn failed(&self, _path: &[u8], error: RepositoryError) -> Error {
        error.into()
    }
}

/// Shows `visit` what these folders hold with everything below, in no order, on as many threads as the context says.
/// Memory: what `cache` holds, one list chunk a level of folders for each thread, and 256 folders.
///
/// # Errors
/// What was found first, and [`Error::Cancelled`].
pub(crate) fn scan<V: Visit>(
    repository: &Repository,
    cache: &FrameCache,
    roots: Vec<Content>,
    context: &Context,
    visit: &V,
) -> Result<(), Error> {
    let folders = roots.into_iter().map(|content| Folder { path: Vec::new(), depth: 0, content }).collect();
    let shared = Mutex::new(Shared { folders, busy: 0, waiting: 0, failure: None });
    let scan = Scan { repository, cache, context, visit, shared, changed: Condvar::new() };
    run_on(context.worker_count(), || scan.work());
    scan.shared.into_inner().unwrap_or_else(PoisonError::into_inner).failure.map_or(Ok(()), Err)
}

/// What all threads share.
struct Scan<'a, V> {
    repository: &'a Repository,
    cache: &'a FrameCache,
    context: &'a Context,
    visit: &'a V,
    shared: Mutex<Shared>,
    changed: Condvar,
}

struct Shared {
    /// Folders that nobody has looked into yet.
    folders: Vec<Folder>,
    /// Threads that look into one, and may find others.
    busy: usize,
    /// Threads that wait for a folder.
    waiting: usize,
    /// What was found first, and ends the scan.
    failure: Option<Error>,
}

struct Folder {
    path: Vec<u8>,
    /// Folders above it.
    depth: usize,
    content: Content,
}

/// A folder is looked into as long as this is there, also when that panics.
struct Busy<'a, V>(&'a Scan<'a, V>);

impl<V> Drop for Busy<'_, V> {
    fn drop(&mut self) {
        let mut shared = lock(&self.0.shared);
        shared.busy -= 1;
        if shared.busy == 0 && shared.waiting > 0 {
            self.0.changed.notify_all();
        }
    }
}

impl<V: Visit> Scan<'_, V> {
    fn work(&self) {
        let mut own = V::Own::default();
        while let Some((folder, _busy)) = self.take() {
            if let Err(error) = self.look_into(folder, &mut own) {
                self.fail(error);
            }
        }
        if let Err(error) = self.visit.finish(own) {
            self.fail(self.visit.failed(b"", error));
        }
    }

    fn fail(&self, error: Error) {
        let mut shared = lock(&self.shared);
        shared.failure.get_or_insert(error);
        shared.folders.clear();
    }

    /// The next folder; waits for one as long as somebody may find more.
    fn take(&self) -> Option<(Folder, Busy<'_, V>)> {
        let mut shared = lock(&self.shared);
        loop {
            if let Some(folder) = shared.folders.pop() {
                shared.busy += 1;
                return Some((folder, Busy(self)));
            }
            if shared.busy == 0 {
                return None;
            }
            shared.waiting += 1;
            shared = self.changed.wait(shared).unwrap_or_else(PoisonError::into_inner);
            shared.waiting -= 1;
        }
    }

    /// Leaves a folder to whoever is free next; false when enough of them wait. Nobody has to look any more once
    /// something has failed.
    fn leaves(&self, path: &[u8], depth: usize, content: &Content) -> bool {
        let mut shared = lock(&self.shared);
        if shared.failure.is_some() {
            return true;
        }
        let is_left = shared.folders.len() < WAITING_MAX;
        if is_left {
            shared.folders.push(Folder { path: path.to_vec(), depth, content: content.clone() });
            if shared.waiting > 0 {
                self.changed.notify_one();
            }
        }
        is_left
    }

    /// Looks into a folder and whatever lies below it, but for what is left to others.
    fn look_into(&self, Folder { path, depth, content }: Folder, own: &mut V::Own) -> Result<(), Error> {
        let mut walk = TreeWalk::below(self.repository, self.cache, &content, path, depth);
        while let Some(step) = walk.next() {
            self.context.check_cancelled()?;
            let failed = |path: &[u8], error| self.visit.failed(path, error);
            let WalkedEntry { path, depth, entry } = step.map_err(|(path, error)| failed(&path, error))?;
            match &entry.node {
                Node::Folder { content } => {
                    let enters = self.visit.enter(own, content).map_err(|error| failed(&path, error))?;
                    if !enters || self.leaves(&path, depth + 1, content) {
                        walk.skip_folder();
                    }
                }
                Node::File { content, len_bytes, .. } => {
                    self.visit.file(own, content, *len_bytes).map_err(|error| failed(&path, error))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}
