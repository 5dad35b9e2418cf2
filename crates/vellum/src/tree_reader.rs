//! Walking the trees of a snapshot, streaming: one list chunk a level is in memory, whatever the folder's width.

use crate::Error;
use crate::content::ChunkIter;
use std::collections::VecDeque;
use vellum_format::content::{ChunkKind, Content};
use vellum_format::limits::{PATH_LEN_BYTES_MAX, TREE_DEPTH_MAX};
use vellum_format::tree::{Entry, EntryName, Node, TreeDecoder};
use vellum_repository::{FrameCache, Repository, RepositoryError, Snapshot};

/// The entries of one folder, in the order of their names.
pub(crate) struct FolderEntries<'a> {
    repository: &'a Repository,
    cache: &'a FrameCache,
    chunks: ChunkIter<'a>,
    decoder: Option<TreeDecoder>,
    ready: VecDeque<Entry>,
}

impl<'a> FolderEntries<'a> {
    pub(crate) fn new(repository: &'a Repository, cache: &'a FrameCache, content: &Content) -> Self {
        let chunks = ChunkIter::new(repository, cache, content);
        Self { repository, cache, chunks, decoder: Some(TreeDecoder::default()), ready: VecDeque::new() }
    }

    /// Decodes the next chunk; false at the end of the folder.
    fn fill(&mut self) -> Result<bool, RepositoryError> {
        let malformed = |error: vellum_format::FormatError| RepositoryError::TreeDamaged { reason: error.to_string() };
        let Some(mut decoder) = self.decoder.take() else { return Ok(false) };
        let Some(chunk) = self.chunks.next().transpose()? else {
            decoder.finish().map_err(malformed)?;
            return Ok(false);
        };
        let bytes = self.repository.read_chunk(self.cache, ChunkKind::Tree, &chunk)?;
        let ready = &mut self.ready;
        decoder.push(&bytes, &mut |entry| ready.push_back(entry)).map_err(malformed)?;
        self.decoder = Some(decoder);
        Ok(true)
    }
}

impl Iterator for FolderEntries<'_> {
    type Item = Result<Entry, RepositoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            match self.fill() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => return Some(Err(error)),
            }
        }
        self.ready.pop_front().map(Ok)
    }
}

/// One step of a [`TreeWalk`].
#[derive(Debug)]
pub struct WalkedEntry {
    /// The path below the walk's start, `/`-separated bytes.
    pub path: Vec<u8>,
    /// How many folders it lies below the start, or below that of the walk that this one is a part of.
    pub depth: usize,
    /// The entry.
    pub entry: Entry,
}

/// Visits everything below a folder, folders before what they hold, names ascending.
pub struct TreeWalk<'a> {
    repository: &'a Repository,
    cache: &'a FrameCache,
    open: Vec<(FolderEntries<'a>, usize)>,
    /// Folders above the start, in a larger walk.
    above: usize,
    path: Vec<u8>,
    descend: Option<Content>,
}

impl<'a> TreeWalk<'a> {
    /// A walk below the folder with this content.
    #[must_use]
    pub fn new(repository: &'a Repository, cache: &'a FrameCache, folder: &Content) -> Self {
        Self::below(repository, cache, folder, Vec::new(), 0)
    }

    /// A walk below the folder with this content that lies at this path of a larger one, with so many folders above it:
    /// paths and depths begin there.
    pub(crate) fn below(
        repository: &'a Repository,
        cache: &'a FrameCache,
        folder: &Content,
        path: Vec<u8>,
        above: usize,
    ) -> Self {
        Self { repository, cache, open: Vec::new(), above, path, descend: Some(folder.clone()) }
    }

    /// Does not go into the folder that was visited last.
    pub fn skip_folder(&mut self) {
        self.descend = None;
    }
}

impl Iterator for TreeWalk<'_> {
    /// A folder that cannot be read gives its path and the error; the walk goes on behind it.
    type Item = Result<WalkedEntry, (Vec<u8>, RepositoryError)>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(folder) = self.descend.take() {
            if is_too_deep(self.above + self.open.len(), &self.path) {
                let reason = "folders lie too deep below each other".to_owned();
                return Some(Err((self.path.clone(), RepositoryError::TreeDamaged { reason })));
            }
            let entries = FolderEntries::new(self.repository, self.cache, &folder);
            self.open.push((entries, self.path.len()));
        }
        loop {
            let depth = self.above + self.open.len();
            let (entries, prefix_len) = self.open.last_mut()?;
            self.path.truncate(*prefix_len);
            match entries.next() {
                None => {
                    self.open.pop();
                }
                Some(Err(error)) => {
                    self.open.pop();
                    return Some(Err((self.path.clone(), error)));
                }
                Some(Ok(entry)) => {
                    if !self.path.is_empty() {
                        self.path.push(b'/');
                    }
                    self.path.extend_from_slice(entry.name.as_bytes());
                    if let Node::Folder { content } = &entry.node {
                        self.descend = Some(content.clone());
                    }
                    return Some(Ok(WalkedEntry { path: self.path.clone(), depth: depth - 1, entry }));
                }
            }
        }
    }
}

/// The entry at an absolute path of a snapshot; `None` stands for the snapshot's root itself.
///
/// # Errors
/// [`Error::NoSuchPath`], or [`Error::Repository`] when a folder on the way is damaged.
pub fn open_path(
    repository: &Repository,
    cache: &FrameCache,
    snapshot: &Snapshot,
    path: &[u8],
) -> Result<Option<Entry>, Error> {
    let missing = || Error::NoSuchPath { path: path.escape_ascii().to_string(), snapshot: snapshot.id.short() };
    match path.iter().all(|byte| *byte == b'/') {
        true => Ok(None),
        false => entry_at(repository, cache, &root_content(snapshot)?, path)?.map(Some).ok_or_else(missing),
    }
}

/// The entry at a path below the folder with this content, if there is one.
pub(crate) fn entry_at(
    repository: &Repository,
    cache: &FrameCache,
    root: &Content,
    path: &[u8],
) -> Result<Option<Entry>, RepositoryError> {
    let mut content = root.clone();
    let mut found: Option<Entry> = None;
    for component in path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".") {
        let Ok(name) = EntryName::new(component.to_vec()) else { return Ok(None) };
        if let Some(entry) = &found {
            let Node::Folder { content: below } = &entry.node else { return Ok(None) };
            content = below.clone();
        }
        let mut entries = FolderEntries::new(repository, cache, &content);
        found = loop {
            let Some(entry) = entries.next().transpose()? else { return Ok(None) };
            if entry.name == name {
                break Some(entry);
            }
        };
    }
    Ok(found)
}

/// The entry list of a snapshot's root.
pub(crate) fn root_content(snapshot: &Snapshot) -> Result<Content, RepositoryError> {
    let object = vellum_format::ObjectName::new(vellum_format::ObjectKind::Snapshot, snapshot.id);
    let damaged = |error: vellum_format::FormatError| RepositoryError::Damaged { object, reason: error.to_string() };
    snapshot.manifest.root.content().map_err(damaged)
}

/// Whether nobody goes into a folder at this path with so many folders above it, the root among them.
pub(crate) fn is_too_deep(depth: usize, path: &[u8]) -> bool {
    depth >= TREE_DEPTH_MAX || path.len() > PATH_LEN_BYTES_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_entered_to_the_limits_of_a_tree_and_no_deeper() {
        let path = vec![b'p'; PATH_LEN_BYTES_MAX + 1];
        assert!(!is_too_deep(TREE_DEPTH_MAX - 1, &path[1..]));
        assert!(is_too_deep(TREE_DEPTH_MAX, b"") && is_too_deep(TREE_DEPTH_MAX + 1, b"") && is_too_deep(0, &path));
    }
}
