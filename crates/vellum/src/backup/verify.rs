//! The look at what a backup has stored, before its snapshot is published (I2): every reference names a stored chunk.

use crate::content::DistinctChunks;
use crate::scan::{Visit, scan};
use crate::whole::is_whole;
use crate::{Context, Error};
use vellum_format::content::{ChunkKind, ChunkRef, Content};
use vellum_repository::{Durable, FrameCache, Repository, RepositoryError};

/// Frames that each worker keeps open.
const FRAMES_MAX: usize = 4;

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
    if is_whole(repository, vec![root.clone()], |folder| durable.wrote(folder), context)? {
        return Ok(());
    }
    // Something may be wrong, with the index at least: one after the other, to say what and where.
    let cache = FrameCache::strict(FRAMES_MAX * context.worker_count());
    let look = Look { repository, durable, cache: &cache, seen: repository.mend_count() };
    scan(repository, &cache, vec![root.clone()], context, &look).map_err(|error| match error {
        Error::Repository(error) => durable.explain(error).into(),
        error => error,
    })
}

struct Look<'a> {
    repository: &'a Repository,
    durable: &'a Durable<'a>,
    cache: &'a FrameCache,
    seen: u64,
}

impl Visit for Look<'_> {
    type Own = ();

    fn enter(&self, _: &mut (), folder: &Content) -> Result<bool, RepositoryError> {
        Ok(self.durable.wrote(folder))
    }

    fn file(&self, _: &mut (), content: &Content, len_bytes: u64) -> Result<(), RepositoryError> {
        self.look_at_file(content, len_bytes)
    }

    fn failed(&self, path: &[u8], error: RepositoryError) -> Error {
        failed(path, error)
    }
}

impl Look<'_> {
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
