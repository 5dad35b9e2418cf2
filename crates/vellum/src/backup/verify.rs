//! The look at what a backup has stored, before its snapshot is published (I2): every reference names a stored chunk.

use crate::content::DistinctChunks;
use crate::tree_reader::TreeWalk;
use crate::{Context, Error};
use vellum_format::content::{ChunkKind, ChunkRef, Content};
use vellum_format::tree::Node;
use vellum_repository::{Durable, FrameCache, Repository, RepositoryError};

/// Reads the folders that a session has stored back and looks every reference in them up, so that no fault of memory
/// between the storing of a chunk and that of what refers to it is published. What was stored before was looked at
/// when it was.
///
/// It costs one read of each new frame of trees and lists.
///
/// # Errors
/// [`RepositoryError::Fenced`] when a prune gave the writer up, and has deleted something of it.
pub(super) fn verify(
    repository: &Repository,
    durable: &Durable<'_>,
    root: &Content,
    context: &Context,
) -> Result<(), Error> {
    look(repository, durable, root, context).map_err(|error| match error {
        Error::Repository(error) => durable.explain(error).into(),
        error => error,
    })
}

fn look(repository: &Repository, durable: &Durable<'_>, root: &Content, context: &Context) -> Result<(), Error> {
    if !durable.wrote(root) {
        return Ok(());
    }
    let cache = FrameCache::strict(4);
    let seen = repository.mend_count();
    let mut walk = TreeWalk::new(repository, &cache, root);
    while let Some(step) = walk.next() {
        context.check_cancelled()?;
        let step = step.map_err(|(path, error)| failed(&path, error))?;
        match &step.entry.node {
            Node::Folder { content } if !durable.wrote(content) => walk.skip_folder(),
            Node::File { content, len_bytes, .. } => {
                let found = DistinctChunks::visit(repository, &cache, content, &mut |kind, chunk| {
                    let is_found = kind == ChunkKind::List || is_stored(repository, chunk, seen)?;
                    match is_found {
                        true => Ok(()),
                        false => Err(RepositoryError::ChunkMissing { id: repository.chunk_id(chunk) }),
                    }
                });
                match found {
                    Ok(found) if found == *len_bytes => {}
                    Ok(_) => {
                        let reason = "its chunks do not add up to its length".to_owned();
                        return Err(failed(&step.path, RepositoryError::TreeDamaged { reason }));
                    }
                    Err(error) => return Err(failed(&step.path, error)),
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A segment of the index that turns out damaged looks like missing chunks until it is read again.
fn is_stored(repository: &Repository, chunk: &ChunkRef, seen: u64) -> Result<bool, RepositoryError> {
    let is_listed = || repository.locate(chunk).is_some_and(|place| place.len_bytes == chunk.len_bytes);
    Ok(is_listed() || (repository.reload_if_damaged(seen)? && is_listed()))
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
