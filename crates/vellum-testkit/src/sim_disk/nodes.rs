//! Files, folders and the names between them: what is seen of each, and what of it is durable.

use super::crash::Fate;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// All that is or was on a disk; the first is the root folder, and a place here is what names stand for.
#[derive(Debug, Clone)]
pub(super) struct Nodes(Vec<Node>);

#[derive(Debug, Clone)]
pub(super) enum Node {
    File(FileNode),
    Folder(Arc<FolderNode>),
}

#[derive(Debug, Clone, Default)]
pub(super) struct FileNode {
    pub(super) volatile: Arc<Content>,
    pub(super) durable: Arc<Content>,
    pub(super) changed: Duration,
    pub(super) is_sync_lost: bool,
}

/// The bytes of a file. The disks of many power cuts share those that none of them changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    bytes: Vec<u8>,
    /// The hash of these bytes, once it was asked for.
    hash: OnceLock<blake3::Hash>,
}

impl Content {
    fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, hash: OnceLock::new() }
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.hash.take();
    }

    fn hash(&self) -> &blake3::Hash {
        self.hash.get_or_init(|| blake3::hash(&self.bytes))
    }
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct FolderNode {
    volatile: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    /// What each name stood for since the last sync, in order.
    pending: BTreeMap<String, Vec<Option<usize>>>,
    /// As `pending`, but no sync makes it durable any more. // D3
    lost: BTreeMap<String, Vec<Option<usize>>>,
}

impl Default for Nodes {
    fn default() -> Self {
        Self(vec![Node::Folder(Arc::default())])
    }
}

impl Nodes {
    pub(super) fn find(&self, path: &str) -> io::Result<usize> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(0, |at, name| match &self.0[at] {
            Node::Folder(folder) => folder.volatile.get(name).copied().ok_or_else(|| Errno::NOENT.into()),
            Node::File(_) => Err(Errno::NOTDIR.into()),
        })
    }

    pub(super) fn folder(&self, path: &str) -> io::Result<usize> {
        let at = self.find(path)?;
        match &self.0[at] {
            Node::Folder(_) => Ok(at),
            Node::File(_) => Err(Errno::NOTDIR.into()),
        }
    }

    pub(super) fn file(&self, path: &str) -> io::Result<&FileNode> {
        match &self.0[self.find(path)?] {
            Node::File(file) => Ok(file),
            Node::Folder(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file")),
        }
    }

    /// What is seen in a folder.
    pub(super) fn entries(&self, path: &str) -> io::Result<impl Iterator<Item = (&str, &Node)>> {
        let Node::Folder(folder) = &self.0[self.find(path)?] else { return Err(Errno::NOTDIR.into()) };
        Ok(folder.volatile.iter().map(|(name, at)| (name.as_str(), &self.0[*at])))
    }

    /// A free name, as its folder and itself.
    pub(super) fn free_name<'a>(&self, path: &'a str) -> io::Result<(usize, &'a str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        match self.find(path) {
            Ok(_) => Err(Errno::EXIST.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((self.folder(parent)?, name)),
            Err(error) => Err(error),
        }
    }

    pub(super) fn add(&mut self, path: &str, node: Node) -> io::Result<usize> {
        let (parent, name) = self.free_name(path)?;
        self.0.push(node);
        let at = self.0.len() - 1;
        self.folder_mut(parent).set(name, Some(at));
        Ok(at)
    }

    pub(super) fn folder_mut(&mut self, at: usize) -> &mut FolderNode {
        match &mut self.0[at] {
            Node::Folder(folder) => Arc::make_mut(folder),
            Node::File(_) => panic!("the caller looked for a folder"),
        }
    }

    pub(super) fn file_mut(&mut self, at: usize) -> &mut FileNode {
        match &mut self.0[at] {
            Node::File(file) => file,
            Node::Folder(_) => panic!("handles are to files only"),
        }
    }

    /// What a power cut leaves.
    pub(super) fn crash(&self, fate: &mut Fate) -> Self {
        Self(self.0.iter().map(|node| node.crash(fate)).collect())
    }

    /// Every name and what is in it, into `hasher`; contents below a folder `junk` count for nothing.
    pub(super) fn print(&self, junk: &str, hasher: &mut blake3::Hasher) {
        self.print_folder(0, junk, hasher);
    }

    fn print_folder(&self, folder: usize, junk: &str, hasher: &mut blake3::Hasher) {
        let Node::Folder(folder) = &self.0[folder] else { return };
        for (name, at) in &folder.volatile {
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
            match &self.0[*at] {
                Node::Folder(below) if name == junk => {
                    for name in below.volatile.keys() {
                        hasher.update(name.as_bytes()).update(b"/");
                    }
                }
                Node::Folder(_) => self.print_folder(*at, junk, hasher),
                Node::File(file) => drop(hasher.update(file.volatile.hash().as_bytes())),
            }
        }
        hasher.update(&u64::MAX.to_le_bytes());
    }
}

impl Node {
    fn crash(&self, fate: &mut Fate) -> Self {
        match self {
            Self::File(file) => {
                let content = match Arc::ptr_eq(&file.volatile, &file.durable) {
                    true => Arc::clone(&file.durable),
                    false => Arc::new(Content::new(fate.tear(&file.durable, &file.volatile))),
                };
                let (volatile, durable) = (Arc::clone(&content), content);
                Self::File(FileNode { volatile, durable, changed: file.changed, is_sync_lost: false })
            }
            Self::Folder(folder) if folder.pending.is_empty() && folder.lost.is_empty() => {
                Self::Folder(Arc::clone(folder))
            }
            Self::Folder(folder) => Self::Folder(Arc::new(folder.crash(fate))),
        }
    }
}

impl FolderNode {
    pub(super) fn set(&mut self, name: &str, node: Option<usize>) {
        match node {
            Some(node) => self.volatile.insert(name.to_owned(), node),
            None => self.volatile.remove(name),
        };
        self.pending.entry(name.to_owned()).or_default().push(node);
    }

    pub(super) fn sync(&mut self) {
        for (name, states) in std::mem::take(&mut self.pending) {
            match states.last().copied().flatten() {
                Some(node) => self.durable.insert(name, node),
                None => self.durable.remove(&name),
            };
        }
    }

    pub(super) fn lose_sync(&mut self) {
        for (name, states) in std::mem::take(&mut self.pending) {
            self.lost.entry(name).or_default().extend(states);
        }
    }

    fn crash(&self, fate: &mut Fate) -> Self {
        let mut survived = self.durable.clone();
        let mut undecided = self.lost.clone();
        for (name, states) in &self.pending {
            undecided.entry(name.clone()).or_default().extend(states);
        }
        for (name, mut states) in undecided {
            states.push(self.durable.get(&name).copied());
            states.sort_unstable();
            states.dedup();
            match states[fate.choose(states.len())] {
                Some(node) => survived.insert(name, node),
                None => survived.remove(&name),
            };
        }
        Self { volatile: survived.clone(), durable: survived, ..Self::default() }
    }
}
