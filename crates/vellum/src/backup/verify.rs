//! The look at what a backup has stored, before its snapshot is published (I2): every reference names a stored chunk.

use crate::content::DistinctChunks;
use crate::tree_reader::{TreeWalk, WalkedEntry};
use crate::workers::run_on;
use crate::{Context, Error, lock};
use std::sync::{Condvar, Mutex, PoisonError};
use vellum_format::content::{ChunkKind, ChunkRef, Content};
use vellum_format::tree::Node;
use vellum_repository::{Durable, FrameCache, Repository, RepositoryError};

/// Frames that each worker keeps open.
const FRAMES_MAX: usize = 4;

/// Folders that wait for a worker; beyond them whoever finds one looks into it himself.
const WAITING_MAX: usize = 256;

/// Reads the folders that a session has stored back and looks every reference in them up, so that no fault of memory
/// between the storing of a chunk and that of what refers to it is published. What was stored before was looked at
/// when it was.
///
/// All workers share the work. It costs one read of each new frame of trees and lists.
///
/// # Errors
/// [`RepositoryError::Fenced`] when a prune gave the writer up, and has deleted something of it.
pub(super) fn verify(
    repository: &Repository,
    durable: &Durable<'_>,
    root: &Content,
    context: &Context,
) -> Result<(), Error> {
    if !durable.wrote(root) {
        return Ok(());
    }
    let workers = context.worker_count();
    let first = Folder { path: Vec::new(), content: root.clone() };
    let look = Look {
        repository,
        durable,
        context,
        cache: FrameCache::strict(FRAMES_MAX * workers),
        seen: repository.mend_count(),
        shared: Mutex::new(Shared { folders: vec![first], busy: 0, failure: None }),
        changed: Condvar::new(),
    };
    run_on(workers, || look.work());
    let failure = look.shared.into_inner().unwrap_or_else(PoisonError::into_inner).failure;
    failure.map_or(Ok(()), Err).map_err(|error| match error {
        Error::Repository(error) => durable.explain(error).into(),
        error => error,
    })
}

/// What all workers share.
struct Look<'a> {
    repository: &'a Repository,
    durable: &'a Durable<'a>,
    context: &'a Context,
    cache: FrameCache,
    seen: u64,
    shared: Mutex<Shared>,
    changed: Condvar,
}

struct Shared {
    /// Folders that nobody has looked into yet.
    folders: Vec<Folder>,
    /// Workers that look into one, and may find others.
    busy: usize,
    /// What was found first, and ends the look.
    failure: Option<Error>,
}

struct Folder {
    path: Vec<u8>,
    content: Content,
}

/// A folder is looked into as long as this is there, also when that panics.
struct Busy<'a>(&'a Look<'a>);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        lock(&self.0.shared).busy -= 1;
        self.0.changed.notify_all();
    }
}

impl Look<'_> {
    fn work(&self) {
        while let Some((folder, _busy)) = self.take() {
            if let Err(error) = self.look_into(folder) {
                let mut shared = lock(&self.shared);
                shared.failure.get_or_insert(error);
                shared.folders.clear();
            }
        }
    }

    /// The next folder; waits for one as long as somebody may find more.
    fn take(&self) -> Option<(Folder, Busy<'_>)> {
        let mut shared = lock(&self.shared);
        loop {
            if let Some(folder) = shared.folders.pop() {
                shared.busy += 1;
                return Some((folder, Busy(self)));
            }
            if shared.busy == 0 {
                return None;
            }
            shared = self.changed.wait(shared).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Leaves a folder to whoever is free next; false when enough of them wait, or nobody has to look any more.
    fn leaves(&self, path: &[u8], content: &Content) -> bool {
        let mut shared = lock(&self.shared);
        if shared.failure.is_some() {
            return true;
        }
        let is_left = shared.folders.len() < WAITING_MAX;
        if is_left {
            shared.folders.push(Folder { path: path.to_vec(), content: content.clone() });
            self.changed.notify_one();
        }
        is_left
    }

    /// Looks into a folder and whatever lies below it, but for what is left to others.
    fn look_into(&self, Folder { path, content }: Folder) -> Result<(), Error> {
        let mut walk = TreeWalk::below(self.repository, &self.cache, &content, path);
        while let Some(step) = walk.next() {
            self.context.check_cancelled()?;
            let WalkedEntry { path, entry, .. } = step.map_err(|(path, error)| failed(&path, error))?;
            match &entry.node {
                Node::Folder { content } if !self.durable.wrote(content) || self.leaves(&path, content) => {
                    walk.skip_folder();
                }
                Node::File { content, len_bytes, .. } => {
                    self.look_at_file(content, *len_bytes).map_err(|error| failed(&path, error))?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn look_at_file(&self, content: &Content, len_bytes: u64) -> Result<(), RepositoryError> {
        let Self { repository, cache, seen, .. } = self;
        let found = DistinctChunks::visit(repository, cache, content, &mut |kind, chunk| {
            let is_found = kind == ChunkKind::List || is_stored(repository, chunk, *seen)?;
            match is_found {
                true => Ok(()),
                false => Err(RepositoryError::ChunkMissing { id: repository.chunk_id(chunk) }),
            }
        })?;
        match found == len_bytes {
            true => Ok(()),
            false => {
                let reason = "its chunks do not add up to its length".to_owned();
                Err(RepositoryError::TreeDamaged { reason })
            }
        }
    }
}

/// A segment of the index that turns out damaged looks like missing chunks until it is read again.
fn is_stored(repository: &Repository, chunk: &ChunkRef, seen: u64) -> Result<bool, RepositoryError> {
    let is_listed = || repository.locate(chunk).is_some_and(|place| place.len_bytes == chunk.len_bytes);
    if is_listed() {
        return Ok(true);
    }
    repository.reload_if_damaged(seen)?;
    Ok(is_listed())
}

/// What a storage does not give back is no fault of memory.
fn failed(path: &[u8], error: RepositoryError) -> Error {
    use RepositoryError::{ChunkDamaged, ChunkMissing, TreeDamaged};
    match error {
        ChunkDamaged { .. } | ChunkMissing { .. } | TreeDamaged { .. } => {
            RepositoryError::WriteVerification { reason: format!("/{}: {error}", path.escape_ascii()) }.into()
        }
        error => error.into(),
    }
}
