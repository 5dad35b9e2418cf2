//! Folders whose entries are still coming in, from the walker and from workers, in any order.

use super::{Run, SharedFolder};
use crate::backup::file_cache::{CacheRecord, FolderMemory, Kept};
use crate::content::StreamWriter;
use crate::lock;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use vellum_format::content::{ChunkKind, Content};
use vellum_format::limits::ENTRY_LEN_BYTES_MAX;
use vellum_format::tree::{Entry, EntryName, Metadata, Node};
use vellum_repository::{FrameWriter, RepositoryError};

/// A folder under construction. Whoever completes its last entry completes it in its parent.
pub(crate) struct FolderBuilder {
    parent: Option<(SharedFolder, usize)>,
    /// Its own entry, but for the content.
    own: Option<(EntryName, Metadata)>,
    entries: Mutex<Entries>,
    /// Open slots, and one for the walker until it has seen every name.
    open: AtomicUsize,
    content: Mutex<Option<Content>>,
}

/// What has come in. As soon as every entry before it is complete, an entry goes into the tree and is forgotten here.
#[derive(Default)]
struct Entries {
    /// How many slots are in the tree.
    settled: usize,
    slots: VecDeque<Slot>,
    tree: Option<StreamWriter>,
    memory: Option<FolderMemory>,
}

enum Slot {
    Open,
    LeftOut,
    Filled(Finished),
}

/// An entry that is complete, encoded, with what the file cache shall remember of it.
pub(crate) enum Finished {
    /// As it was in the last backup.
    Kept(Kept),
    /// Looked at in this run.
    Made { encoded: Vec<u8>, record: Option<CacheRecord> },
}

impl Finished {
    /// An entry that was looked at in this run. One with more extended attributes than readers take is saved without
    /// the longest of them, which is told by each backup.
    pub(crate) fn made(
        entry: Entry,
        record: Option<CacheRecord>,
        path: impl FnOnce() -> Vec<u8>,
        run: &Run<'_>,
    ) -> Self {
        match encode(entry) {
            (encoded, 0) => Self::Made { encoded, record },
            (encoded, left_out) => {
                let reason = format!("they are too long for a snapshot; the {left_out} longest are left out");
                run.problem(&path(), "save all extended attributes of", &reason);
                Self::Made { encoded, record: None }
            }
        }
    }
}

/// An entry as it stands in a tree, and how many extended attributes it had to go without: file systems take more of
/// them than an entry may be long, and nothing else makes one long.
fn encode(mut entry: Entry) -> (Vec<u8>, usize) {
    const LEN_BYTES_MAX: usize = size_of::<u32>() + ENTRY_LEN_BYTES_MAX;
    let mut encoded = Vec::new();
    entry.encode_into(&mut encoded);
    let Some(mut excess) = encoded.len().checked_sub(LEN_BYTES_MAX).filter(|excess| *excess > 0) else {
        return (encoded, 0);
    };
    let xattrs = &mut entry.metadata.xattrs;
    let count = xattrs.len();
    while excess > 0
        && let Some(longest) = (0..xattrs.len()).max_by_key(|at| xattrs[*at].1.len())
    {
        let (name, value) = xattrs.remove(longest);
        excess = excess.saturating_sub(name.len() + value.len());
    }
    let left_out = count - xattrs.len();
    encoded.clear();
    entry.encode_into(&mut encoded);
    (encoded, left_out)
}

impl Entries {
    /// Moves what is complete from the front into the tree.
    fn settle(
        &mut self,
        folder: &FolderBuilder,
        run: &Run<'_>,
        writer: &mut FrameWriter<'_>,
    ) -> Result<(), RepositoryError> {
        while matches!(self.slots.front(), Some(Slot::LeftOut | Slot::Filled(_))) {
            self.settled += 1;
            let Some(Slot::Filled(finished)) = self.slots.pop_front() else { continue };
            let tree = self.tree.get_or_insert_with(|| new_tree(run));
            match &finished {
                Finished::Kept(kept) => tree.buffer().extend_from_slice(kept.encoded()),
                Finished::Made { encoded, .. } => tree.buffer().extend_from_slice(encoded),
            }
            tree.settle(writer)?;
            let Some(cache) = &run.cache_writer else { continue };
            let memory = self.memory.get_or_insert_with(|| cache.folder(&folder.path()));
            match &finished {
                Finished::Kept(kept) => memory.keep(kept, cache, run.repository),
                Finished::Made { encoded, record: Some(record) } => {
                    memory.remember(encoded, record, cache, run.repository);
                }
                Finished::Made { record: None, .. } => {}
            }
        }
        Ok(())
    }
}

fn new_tree(run: &Run<'_>) -> StreamWriter {
    StreamWriter::new(ChunkKind::Tree, run.repository.chunker())
}

impl FolderBuilder {
    /// The folder above all roots.
    pub(crate) fn top() -> SharedFolder {
        Arc::new(Self::new(None, None))
    }

    /// A folder in `parent`, whose slot it will fill.
    pub(crate) fn child(parent: &SharedFolder, name: EntryName, metadata: Metadata) -> SharedFolder {
        let slot = parent.reserve();
        Arc::new(Self::new(Some((Arc::clone(parent), slot)), Some((name, metadata))))
    }

    fn new(parent: Option<(SharedFolder, usize)>, own: Option<(EntryName, Metadata)>) -> Self {
        let entries = Mutex::default();
        Self { parent, own, entries, open: AtomicUsize::new(1), content: Mutex::default() }
    }

    /// Its path, put together from the names above: thousands of folders in each other that each kept theirs would fill
    /// gigabytes.
    pub(crate) fn path(&self) -> Vec<u8> {
        let mut names = Vec::new();
        let mut folder = self;
        while let (Some((name, _)), Some((parent, _))) = (&folder.own, &folder.parent) {
            names.push(name.as_bytes());
            folder = parent;
        }
        let mut path = Vec::with_capacity(names.iter().map(|name| 1 + name.len()).sum());
        for name in names.into_iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        path
    }

    /// A place for the next entry, in the order of names.
    pub(crate) fn reserve(&self) -> usize {
        self.open.fetch_add(1, Ordering::Relaxed);
        let mut entries = lock(&self.entries);
        entries.slots.push_back(Slot::Open);
        entries.settled + entries.slots.len() - 1
    }

    /// Fills a reserved place; `None` leaves the entry out.
    pub(crate) fn fill(
        self: &Arc<Self>,
        slot: usize,
        finished: Option<Finished>,
        run: &Run<'_>,
        writer: &mut FrameWriter<'_>,
    ) -> Result<(), RepositoryError> {
        self.place(slot, finished, run, writer)?;
        self.release(run, writer)
    }

    /// Takes the next entry, which is complete already.
    pub(crate) fn append(
        &self,
        finished: Finished,
        run: &Run<'_>,
        writer: &mut FrameWriter<'_>,
    ) -> Result<(), RepositoryError> {
        let mut entries = lock(&self.entries);
        entries.slots.push_back(Slot::Filled(finished));
        entries.settle(self, run, writer)
    }

    fn place(
        &self,
        slot: usize,
        finished: Option<Finished>,
        run: &Run<'_>,
        writer: &mut FrameWriter<'_>,
    ) -> Result<(), RepositoryError> {
        let mut entries = lock(&self.entries);
        let at = slot - entries.settled;
        entries.slots[at] = finished.map_or(Slot::LeftOut, Slot::Filled);
        entries.settle(self, run, writer)
    }

    /// Gives up one claim; the last one completes the tree, and so on upwards.
    pub(crate) fn release(
        self: &Arc<Self>,
        run: &Run<'_>,
        writer: &mut FrameWriter<'_>,
    ) -> Result<(), RepositoryError> {
        let mut folder = Arc::clone(self);
        while folder.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            let content = folder.finish(run, writer)?;
            let Some((parent, slot)) = &folder.parent else {
                *lock(&folder.content) = Some(content);
                return Ok(());
            };
            let (name, metadata) = folder.own.clone().expect("a folder with a parent has a name");
            let entry = Entry { name, node: Node::Folder { content }, metadata };
            parent.place(*slot, Some(Finished::made(entry, None, || folder.path(), run)), run, writer)?;
            folder = Arc::clone(parent);
        }
        Ok(())
    }

    /// The stored tree of the folder above all roots, once everything below is complete.
    pub(crate) fn content(&self) -> Option<Content> {
        lock(&self.content).clone()
    }

    fn finish(&self, run: &Run<'_>, writer: &mut FrameWriter<'_>) -> Result<Content, RepositoryError> {
        let Entries { tree, memory, .. } = std::mem::take(&mut *lock(&self.entries));
        if let (Some(cache), Some(mut memory)) = (&run.cache_writer, memory) {
            memory.finish(cache, run.repository);
        }
        tree.unwrap_or_else(|| new_tree(run)).finish(writer)
    }
}

/// Folder by folder: each would drop the one above within its own drop, which takes more stack than there may be.
impl Drop for FolderBuilder {
    fn drop(&mut self) {
        let mut above = self.parent.take();
        while let Some((folder, _)) = above {
            above = Arc::into_inner(folder).and_then(|mut folder| folder.parent.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum_format::limits::TREE_DEPTH_MAX;
    use vellum_format::snapshot::Timestamp;
    use vellum_format::tree::TreeDecoder;

    /// A pipe with these attributes, which have names of four bytes.
    fn with_xattrs(xattrs: Vec<(Vec<u8>, Vec<u8>)>) -> Entry {
        let (user, group, modified) = (Vec::new(), Vec::new(), Timestamp { seconds: 0, nanoseconds: 0 });
        let metadata = Metadata { mode: 0o600, uid: 0, gid: 0, user, group, modified, xattrs, link_group: None };
        Entry { name: EntryName::new(b"name".to_vec()).unwrap(), node: Node::Fifo, metadata }
    }

    fn decoded(encoded: &[u8]) -> Entry {
        let mut entries = Vec::new();
        let mut decoder = TreeDecoder::default();
        decoder.push(encoded, &mut |entry| entries.push(entry)).expect("readers take it");
        decoder.finish().unwrap();
        entries.pop().unwrap()
    }

    #[test]
    fn an_entry_keeps_the_attributes_that_readers_take_with_it() {
        let value = |len| vec![7; len];
        let short = (b"acl_".to_vec(), value(40));
        let mut alone = Vec::new();
        with_xattrs(vec![short.clone(), (b"long".to_vec(), vec![])]).encode_into(&mut alone);
        let room = 4 + ENTRY_LEN_BYTES_MAX - alone.len();

        let fitting = with_xattrs(vec![short.clone(), (b"long".to_vec(), value(room))]);
        let (encoded, left_out) = encode(fitting.clone());
        assert_eq!((decoded(&encoded) == fitting, left_out), (true, 0));

        let beyond = with_xattrs(vec![short.clone(), (b"long".to_vec(), value(room + 1))]);
        let (encoded, left_out) = encode(beyond);
        assert_eq!((decoded(&encoded), left_out), (with_xattrs(vec![short.clone()]), 1));

        let many = (0..300).map(|number| (format!("{number:04}").into_bytes(), value(65_000)));
        let (encoded, left_out) = encode(with_xattrs(many.chain([short.clone()]).collect()));
        let kept = decoded(&encoded).metadata.xattrs;
        assert!(kept.contains(&short) && encoded.len() > ENTRY_LEN_BYTES_MAX - 70_000);
        assert_eq!(kept.len() + left_out, 301);
    }

    #[test]
    fn folders_in_each_other_know_their_path_and_go_on_any_stack() {
        let name = |text: &[u8]| EntryName::new(text.to_vec()).unwrap();
        let metadata = with_xattrs(vec![]).metadata;
        let below = |above: &SharedFolder, text| FolderBuilder::child(above, name(text), metadata.clone());
        let mut folder = FolderBuilder::top();
        assert_eq!(folder.path(), b"");
        for text in [&b"ab"[..], b"c"] {
            folder = below(&folder, text);
        }
        assert_eq!(folder.path(), b"/ab/c");
        (0..TREE_DEPTH_MAX).for_each(|_| folder = below(&folder, b"d"));
        let small = std::thread::Builder::new().stack_size(128 << 10).spawn(move || drop(folder));
        small.unwrap().join().unwrap();
    }
}
