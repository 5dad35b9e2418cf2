//! Reading restored files back and comparing them with their references.

use super::Run;
use crate::Error;
use crate::content::ChunkIter;
use crate::platform::SourceFolder;
use crate::tree_reader::TreeWalk;
use std::io::{self, Read as _};
use std::path::Path;
use vellum_format::content::{ChunkKind, Content};
use vellum_format::tree::{Entry, EntryName, Node};
use vellum_repository::FrameCache;

/// Compares every restored file below `target` with the snapshot; differences become problems.
pub(super) fn verify(run: &Run<'_>, cache: &FrameCache, target: &Path, content: &Content) -> Result<(), Error> {
    let root = SourceFolder::open_root(target).map_err(|source| Error::Target { path: target.into(), source })?;
    let mut walk = TreeWalk::new(run.repository, cache, content);
    while let Some(step) = walk.next() {
        run.context.check_cancelled()?;
        // A folder that cannot be read was told when it was restored.
        let Ok(step) = step else { continue };
        let path = [b"/", &step.path[..]].concat();
        if run.options.exclude.matches(&path) {
            walk.skip_folder();
            continue;
        }
        let wanted = run.options.include.is_empty() || run.options.include.matches_with_parents(&path);
        if let (true, Node::File { content, len_bytes, .. }) = (wanted, &step.entry.node) {
            verify_file(run, cache, &root, &step.path, &step.entry, content, *len_bytes)?;
        }
    }
    Ok(())
}

fn verify_file(
    run: &Run<'_>,
    cache: &FrameCache,
    root: &SourceFolder,
    path: &[u8],
    entry: &Entry,
    content: &Content,
    len_bytes: u64,
) -> Result<(), Error> {
    let mut file = match open(root, path) {
        Ok(file) if file.opened().len_bytes == len_bytes => file,
        Ok(_) => {
            run.problem(path, "verify", &"its length differs");
            return Ok(());
        }
        Err(error) => {
            run.problem(path, "verify", &error);
            return Ok(());
        }
    };
    let mut buffer = Vec::new();
    for chunk in ChunkIter::new(run.repository, cache, content) {
        let Ok(chunk) = chunk else { return Ok(()) };
        buffer.resize(chunk.len_bytes as usize, 0);
        let read = file.read_exact(&mut buffer);
        if read.is_err() || !run.repository.is_chunk(ChunkKind::Data, &chunk, &buffer) {
            run.problem(path, "verify", &format!("the file {:?} does not hold what was restored", entry.name));
            return Ok(());
        }
    }
    Ok(())
}

fn open(root: &SourceFolder, path: &[u8]) -> io::Result<crate::platform::SourceFile> {
    let mut names: Vec<EntryName> = path
        .split(|byte| *byte == b'/')
        .map(|name| EntryName::new(name.to_vec()).map_err(io::Error::other))
        .collect::<Result<_, _>>()?;
    let last = names.pop().ok_or(io::ErrorKind::NotFound)?;
    let mut folder: Option<SourceFolder> = None;
    for name in &names {
        folder = Some(folder.as_ref().unwrap_or(root).open_child(name)?);
    }
    folder.as_ref().unwrap_or(root).open_file(&last)
}
