//! What is left of a snapshot: found without writing anything, then put together as a tree of its own.

use crate::content::StreamWriter;
use crate::losses::{Losses, folder_hash};
use crate::tree_reader::{FolderEntries, is_too_deep, root_content};
use crate::{Context, Error, Finding};
use std::collections::{HashMap, HashSet};
use vellum_format::content::{ChunkKind, Content};
use vellum_format::tree::{Entry, Node};
use vellum_repository::{FrameCache, FrameWriter, Repository, RepositoryError, Snapshot};

/// Frames of trees that are kept open.
const CACHED_FRAMES: usize = 16;

/// Walks snapshots, leaving out what is lost, and goes into each different folder once. Memory: 16 bytes for each that
/// has lost nothing, the content of each other one, the paths of what is lost of one snapshot, and two chunks for each
/// folder of a path.
pub(super) struct Rebuilder<'a> {
    repository: &'a Repository,
    context: &'a Context,
    losses: Losses<'a>,
    /// Folders that have lost nothing, with everything below.
    intact: HashSet<[u8; 16]>,
}

/// What a walk over a snapshot found.
#[derive(Default)]
pub(super) struct Left {
    /// What is lost.
    pub(super) lost: Vec<Finding>,
    pub(super) files_lost: u64,
    pub(super) bytes_lost: u64,
}

/// What is left of a snapshot, stored.
pub(super) struct Rebuilt {
    pub(super) root: Content,
    pub(super) lost: u64,
    pub(super) files_lost: u64,
    pub(super) bytes_lost: u64,
}

/// A folder that has lost something: what is left of it, and the files below it that are lost.
#[derive(Clone)]
struct Broken {
    content: Content,
    files_lost: u64,
    bytes_lost: u64,
}

/// A folder that the walk is in.
struct OpenFolder<'a> {
    entries: FolderEntries<'a>,
    /// What is left of its list.
    list: StreamWriter,
    content: Content,
    has_lost: bool,
    /// Files and bytes that were lost before the walk came here.
    lost_before: (u64, u64),
    /// As it stands in its own folder; none for the root.
    own: Option<Entry>,
    path_len: usize,
}

impl<'a> Rebuilder<'a> {
    pub(super) fn new(repository: &'a Repository, context: &'a Context, losses: Losses<'a>) -> Self {
        Self { repository, context, losses, intact: HashSet::new() }
    }

    /// Finds the places of lost frames anew, because the index has changed.
    pub(super) fn look_again(&mut self) -> Result<(), Error> {
        Ok(self.losses.look_into_packs()?)
    }

    /// What a snapshot has lost. Writes nothing.
    pub(super) fn survey(&mut self, snapshot: &Snapshot) -> Result<Left, Error> {
        Ok(self.walk(snapshot, None)?.0)
    }

    /// Stores what is left of a snapshot as a tree; nothing of it is durable before the writer's session is sealed.
    pub(super) fn rebuild(&mut self, snapshot: &Snapshot, writer: &mut FrameWriter<'_>) -> Result<Rebuilt, Error> {
        let (left, root) = self.walk(snapshot, Some(writer))?;
        let Left { lost, files_lost, bytes_lost } = left;
        Ok(Rebuilt { root, lost: lost.len() as u64, files_lost, bytes_lost })
    }

    fn walk(
        &mut self,
        snapshot: &Snapshot,
        mut writer: Option<&mut FrameWriter<'_>>,
    ) -> Result<(Left, Content), Error> {
        let (repository, cache) = (self.repository, FrameCache::strict(CACHED_FRAMES));
        let mut left = Left::default();
        let root = match root_content(snapshot) {
            Ok(root) => root,
            Err(error) => {
                left.lose(snapshot, &[], error)?;
                return Ok((left, Content::empty()));
            }
        };
        let open = |content: Content, own: Option<Entry>, path_len: usize, left: &Left| OpenFolder {
            entries: FolderEntries::new(repository, &cache, &content),
            list: StreamWriter::new(ChunkKind::Tree, repository.chunker()),
            content,
            has_lost: false,
            lost_before: (left.files_lost, left.bytes_lost),
            own,
            path_len,
        };
        let mut path = Vec::new();
        let mut broken: HashMap<[u8; 16], Broken> = HashMap::new();
        let mut folders = vec![open(root, None, 0, &left)];
        loop {
            self.context.check_cancelled()?;
            let depth = folders.len();
            let folder = folders.last_mut().expect("the walk ends with the root");
            path.truncate(folder.path_len);
            match folder.entries.next() {
                None => {
                    let done = folders.pop().expect("it was just there");
                    let hash = folder_hash(&done.content);
                    let content = self.leave(done.content, done.has_lost, done.list, writer.as_deref_mut())?;
                    if done.has_lost {
                        let (files, bytes) = done.lost_before;
                        let (files_lost, bytes_lost) = (left.files_lost - files, left.bytes_lost - bytes);
                        broken.insert(hash, Broken { content: content.clone(), files_lost, bytes_lost });
                    }
                    let (Some(above), Some(mut own)) = (folders.last_mut(), done.own) else {
                        return Ok((left, content));
                    };
                    above.has_lost |= done.has_lost;
                    own.node = Node::Folder { content };
                    above.keep(&own, writer.as_deref_mut())?;
                }
                // Of a list that breaks off everything behind is lost; there is nobody left to ask for it.
                Some(Err(error)) => {
                    folder.has_lost = true;
                    left.lose(snapshot, &path, error)?;
                }
                Some(Ok(entry)) => {
                    path.extend(if path.is_empty() { &b""[..] } else { b"/" });
                    path.extend_from_slice(entry.name.as_bytes());
                    match &entry.node {
                        Node::Folder { content } if broken.contains_key(&folder_hash(content)) => {
                            let Broken { content, files_lost, bytes_lost } = broken[&folder_hash(content)].clone();
                            folder.has_lost = true;
                            left.count(files_lost, bytes_lost);
                            folder.keep(&Entry { node: Node::Folder { content }, ..entry }, writer.as_deref_mut())?;
                            let reason = "it has lost what another folder with the same content has lost".to_owned();
                            left.lose(snapshot, &path, RepositoryError::TreeDamaged { reason })?;
                        }
                        Node::Folder { content } if !self.intact.contains(&folder_hash(content)) => {
                            match is_too_deep(depth, &path) {
                                true => {
                                    folder.has_lost = true;
                                    let reason = "it lies too deep in its tree".to_owned();
                                    left.lose(snapshot, &path, RepositoryError::TreeDamaged { reason })?;
                                }
                                false => {
                                    let content = content.clone();
                                    folders.push(open(content, Some(entry), path.len(), &left));
                                }
                            }
                        }
                        Node::File { content, len_bytes, .. } => {
                            match self.losses.check_file(&cache, content, *len_bytes, |_| ()) {
                                Ok(()) => folder.keep(&entry, writer.as_deref_mut())?,
                                Err(error) => {
                                    folder.has_lost = true;
                                    left.count(1, *len_bytes);
                                    left.lose(snapshot, &path, error)?;
                                }
                            }
                        }
                        _ => folder.keep(&entry, writer.as_deref_mut())?,
                    }
                }
            }
        }
    }

    /// The content of a folder that was walked: a new one only where something is lost.
    fn leave(
        &mut self,
        content: Content,
        has_lost: bool,
        list: StreamWriter,
        writer: Option<&mut FrameWriter<'_>>,
    ) -> Result<Content, Error> {
        if !has_lost {
            self.intact.insert(folder_hash(&content));
            return Ok(content);
        }
        match writer {
            Some(writer) => Ok(list.finish(writer)?),
            None => Ok(content),
        }
    }
}

impl OpenFolder<'_> {
    fn keep(&mut self, entry: &Entry, writer: Option<&mut FrameWriter<'_>>) -> Result<(), Error> {
        if let Some(writer) = writer {
            entry.encode_into(self.list.buffer());
            self.list.settle(writer)?;
        }
        Ok(())
    }
}

impl Left {
    /// Counts lost files; of folders that repeat each other there may be more than anybody can count.
    fn count(&mut self, files: u64, bytes: u64) {
        self.files_lost = self.files_lost.saturating_add(files);
        self.bytes_lost = self.bytes_lost.saturating_add(bytes);
    }

    /// Notes what is lost; an error of the storage as a whole ends the walk.
    fn lose(&mut self, snapshot: &Snapshot, path: &[u8], error: RepositoryError) -> Result<(), Error> {
        let (object, reason) = match error {
            RepositoryError::Damaged { object, reason } => (Some(object), reason),
            RepositoryError::Storage(_) | RepositoryError::LocalState(_) => return Err(error.into()),
            other => (None, other.to_string()),
        };
        self.lost.push(Finding { object, path: Some((snapshot.id, path.to_vec())), reason });
        Ok(())
    }
}
