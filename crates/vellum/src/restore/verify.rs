//! Reading restored files back and comparing them with their references.

use super::Start;
use super::run::Run;
use crate::Error;
use crate::content::ChunkIter;
use crate::platform::{SourceFile, SourceFolder};
use crate::tree_reader::TreeWalk;
use std::io::{self, Read as _};
use std::path::Path;
use vellum_format::content::{ChunkKind, Content};
use vellum_format::tree::{Entry, EntryName, Node};
use vellum_repository::{FrameCache, Repository};

/// Compares every restored file below `target` with the snapshot; differences become problems. Of what one was told
/// before, nothing more is.
pub(super) fn verify(run: &Run<'_>, cache: &FrameCache, target: &Path, start: &Start) -> Result<(), Error> {
    let root = SourceFolder::open_root(target).map_err(|source| Error::TargetFailed { path: target.into(), source })?;
    if let Some(entry) = &start.only {
        verify_entry(run, cache, &root, &start.path, entry.name.as_bytes(), entry);
    }
    let mut walk = TreeWalk::new(run.repository, cache, &start.content);
    while let Some(step) = walk.next() {
        run.context.check_cancelled()?;
        // A folder that cannot be read was told when it was restored.
        let Ok(step) = step else { continue };
        if run.options.exclude.matches(&full_path(&start.path, &step.path)) {
            walk.skip_folder();
            continue;
        }
        verify_entry(run, cache, &root, &start.path, &step.path, &step.entry);
    }
    Ok(())
}

/// The path in the snapshot of what lies at `path` below the target.
fn full_path(start: &[u8], path: &[u8]) -> Vec<u8> {
    [start, b"/", path].concat()
}

fn verify_entry(run: &Run<'_>, cache: &FrameCache, root: &SourceFolder, start: &[u8], path: &[u8], entry: &Entry) {
    let full = full_path(start, path);
    let is_wanted = run.options.include.is_empty() || run.options.include.matches_with_parents(&full);
    if let (true, Node::File { content, len_bytes, .. }) = (is_wanted, &entry.node)
        && !run.is_told(&full)
        && let Some(what) = difference(run.repository, cache, root, path, content, *len_bytes)
    {
        run.undone(&full, "verify", &what);
    }
}

/// How a file at a path below `root` differs from what a snapshot holds. What cannot be read of the snapshot was told
/// by who restored it, and ends the comparison.
pub(crate) fn difference(
    repository: &Repository,
    cache: &FrameCache,
    root: &SourceFolder,
    path: &[u8],
    content: &Content,
    len_bytes: u64,
) -> Option<String> {
    let mut file = match open_file(root, path) {
        Ok(file) if file.opened().len_bytes == len_bytes => file,
        Ok(_) => return Some("its length differs".to_owned()),
        Err(error) => return Some(error.to_string()),
    };
    let mut buffer = Vec::new();
    let mut offset = 0u64;
    for chunk in ChunkIter::new(repository, cache, content) {
        let Ok(chunk) = chunk else { return None };
        buffer.resize(chunk.len_bytes as usize, 0);
        if let Err(error) = file.read_exact(&mut buffer) {
            return Some(format!("it cannot be read back at {offset}: {error}"));
        }
        let end = offset + u64::from(chunk.len_bytes);
        if !repository.is_chunk(ChunkKind::Data, &chunk, &buffer) {
            return Some(format!("its bytes from {offset} to {end} differ"));
        }
        offset = end;
    }
    None
}

/// Opens a file at a path below a folder; no link is followed.
pub(crate) fn open_file(root: &SourceFolder, path: &[u8]) -> io::Result<SourceFile> {
    let mut names: Vec<EntryName> = path
        .split(|byte| *byte == b'/')
        .map(|name| EntryName::new(name.to_vec()).map_err(io::Error::other))
        .collect::<Result<_, _>>()?;
    let last = names.pop().ok_or(io::ErrorKind::NotFound)?;
    let mut folder: Option<SourceFolder> = None;
    for name in &names {
        folder = Some(folder.as_ref().unwrap_or(root).pass_child(name)?);
    }
    folder.as_ref().unwrap_or(root).open_file(&last)
}
