//! Folders whose entries are still coming in, from the walker and from workers, in any order.

use super::{Run, SharedFolder};
use crate::backup::file_cache::CacheRecord;
use crate::content::StreamWriter;
use crate::lock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use vellum_format::content::{ChunkKind, Content};
use vellum_format::tree::{Entry, EntryName, Metadata, Node};
use vellum_repository::{FrameWriter, RepositoryError};

/// A folder under construction. Whoever completes its last entry stores its tree and completes it in its parent.
pub(crate) struct FolderBuilder {
    path: Vec<u8>,
    parent: Option<(SharedFolder, usize)>,
    /// Its own entry, but for the content.
    own: Option<(EntryName, Metadata)>,
    slots: Mutex<Vec<Option<Finished>>>,
    /// Open slots, and one for the walker until it has seen every name.
    open: AtomicUsize,
    content: Mutex<Option<Content>>,
}

/// An entry that is complete, with what the file cache shall remember of it.
pub(crate) struct Finished {
    pub(crate) entry: Entry,
    pub(crate) record: Option<CacheRecord>,
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
        let slots = Mutex::default();
        Self { path, parent, own, slots, open: AtomicUsize::new(1), content: Mutex::default() }
    }

    /// A place for the next entry, in the order of names.
    pub(crate) fn reserve(&self) -> usize {
        self.open.fetch_add(1, Ordering::Relaxed);
        let mut slots = lock(&self.slots);
        slots.push(None);
        slots.len() - 1
    }

    /// Fills a reserved place; `None` leaves the entry out.
    pub(crate) fn fill(
        self: &Arc<Self>,
        slot: usize,
        finished: Option<Finished>,
        run: &Run<'_>,
        writer: &mut FrameWriter<'_>,
    ) -> Result<(), RepositoryError> {
        lock(&self.slots)[slot] = finished;
        self.release(run, writer)
    }

    /// Gives up one claim; the last one stores the tree, and so on upwards.
    pub(crate) fn release(
        self: &Arc<Self>,
        run: &Run<'_>,
        writer: &mut FrameWriter<'_>,
    ) -> Result<(), RepositoryError> {
        let mut folder = Arc::clone(self);
        while folder.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            let content = folder.store(run, writer)?;
            let Some((parent, slot)) = &folder.parent else {
                *lock(&folder.content) = Some(content);
                return Ok(());
            };
            let (name, metadata) = folder.own.clone().expect("a folder with a parent has a name");
            let entry = Entry { name, node: Node::Folder { content }, metadata };
            lock(&parent.slots)[*slot] = Some(Finished { entry, record: None });
            folder = Arc::clone(parent);
        }
        Ok(())
    }

    /// The stored tree of the folder above all roots, once everything below is complete.
    pub(crate) fn content(&self) -> Option<Content> {
        lock(&self.content).clone()
    }

    fn store(&self, run: &Run<'_>, writer: &mut FrameWriter<'_>) -> Result<Content, RepositoryError> {
        let finished = std::mem::take(&mut *lock(&self.slots));
        let mut tree = StreamWriter::new(ChunkKind::Tree, run.repository.chunker());
        for finished in finished.iter().flatten() {
            finished.entry.encode_into(tree.buffer());
            tree.settle(writer)?;
        }
        if let Some(cache) = &run.cache_writer {
            let records = finished.iter().flatten().filter_map(|one| Some((&one.entry, one.record.as_ref()?)));
            cache.add(run.repository, &self.path, records);
        }
        tree.finish(writer)
    }
}
