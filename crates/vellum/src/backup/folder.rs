//! Folders whose entries are still coming in, from the walker and from workers, in any order.

use super::{Run, SharedFolder};
use crate::backup::file_cache::{CacheRecord, FolderMemory, Kept};
use crate::content::StreamWriter;
use crate::lock;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use vellum_format::content::{ChunkKind, Content};
use vellum_format::tree::{Entry, EntryName, Metadata, Node};
use vellum_repository::{FrameWriter, RepositoryError};

/// A folder under construction. Whoever completes its last entry completes it in its parent.
pub(crate) struct FolderBuilder {
    path: Vec<u8>,
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
    pub(crate) fn made(entry: &Entry, record: Option<CacheRecord>) -> Self {
        let mut encoded = Vec::new();
        entry.encode_into(&mut encoded);
        Self::Made { encoded, record }
    }
}

impl Entries {
    /// Moves what is complete from the front into the tree.
    fn settle(&mut self, path: &[u8], run: &Run<'_>, writer: &mut FrameWriter<'_>) -> Result<(), RepositoryError> {
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
            let memory = self.memory.get_or_insert_with(|| cache.folder(path));
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
        Arc::new(Self::new(Vec::new(), None, None))
    }

    /// A folder in `parent`, whose slot it will fill.
    pub(crate) fn child(parent: &SharedFolder, path: Vec<u8>, name: EntryName, metadata: Metadata) -> SharedFolder {
        let slot = parent.reserve();
        Arc::new(Self::new(path, Some((Arc::clone(parent), slot)), Some((name, metadata))))
    }

    fn new(path: Vec<u8>, parent: Option<(SharedFolder, usize)>, own: Option<(EntryName, Metadata)>) -> Self {
        let entries = Mutex::default();
        Self { path, parent, own, entries, open: AtomicUsize::new(1), content: Mutex::default() }
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
        entries.settle(&self.path, run, writer)
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
        entries.settle(&self.path, run, writer)
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
            parent.place(*slot, Some(Finished::made(&entry, None)), run, writer)?;
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
