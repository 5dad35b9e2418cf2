//! Which chunks go where, collected until they are written.

use super::files::FileWriter;
use super::folder::RestoredFolder;
use super::run::Run;
use super::window::{DeferredLink, LeftFolder, RestoredName, Window};
use crate::Error;
use crate::content::ChunkIter;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use vellum_format::content::ChunkRef;
use vellum_format::tree::{self, LinkGroup, Node};
use vellum_repository::{FrameCache, Place, RepositoryError};

/// Collects work and hands it over window by window.
pub(super) struct Planner<'a> {
    run: &'a Run<'a>,
    window: Window,
    full: SyncSender<Window>,
    /// Where the first name of an inode is restored; a dry run restores it nowhere.
    firsts: HashMap<(LinkGroup, Node), Option<RestoredName>>,
}

impl<'a> Planner<'a> {
    /// Hands windows over to whoever receives from `full`, who may stop receiving after an error.
    pub(super) fn new(run: &'a Run<'a>, full: SyncSender<Window>) -> Self {
        Self { run, window: Window::default(), full, firsts: HashMap::new() }
    }

    /// Whether the entry is a further name of an inode whose first name is restored; links are made at the end.
    ///
    /// Only of one that holds the same: some file systems number different files alike, and a file may change between
    /// the readings of its names. Two files are better than wrong bytes (P3).
    pub(super) fn defer_link(
        &mut self,
        entry: &tree::Entry,
        folder: Option<&Arc<RestoredFolder>>,
        path: &[u8],
    ) -> bool {
        let Some(group) = entry.metadata.link_group else { return false };
        let own = folder.map(|folder| (Arc::clone(folder), entry.name.clone()));
        let first = match self.firsts.entry((group, entry.node.clone())) {
            Entry::Vacant(first) => {
                first.insert(own);
                return false;
            }
            Entry::Occupied(first) => first.get().clone(),
        };
        if let (Some(name), Some(first)) = (own, first) {
            self.window.add_link(DeferredLink { name, path: path.to_vec(), first });
        }
        true
    }

    /// Plans a file; it is complete at the latest when what [`Planner::finish`] handed over is written.
    pub(super) fn add_file(&mut self, file: FileWriter, cache: &FrameCache) -> Result<(), Error> {
        let Node::File { len_bytes, content, .. } = file.node().clone() else { return Ok(()) };
        self.run.context.progress.add_total(1, len_bytes);
        let file = Arc::new(file);
        if len_bytes == 0 && content.chunks.is_empty() {
            file.complete_empty(self.run);
            return Ok(());
        }
        if let Err(error) = file.expect_room(self.run) {
            file.fail(self.run, "write", &error);
            return Ok(());
        }
        let mut number = self.window.add_file(&file);
        let mut offset = 0u64;
        for chunk in ChunkIter::new(self.run.repository, cache, &content) {
            let planned = chunk.and_then(|chunk| {
                let missing = || RepositoryError::ChunkMissing { id: self.run.repository.chunk_id(&chunk) };
                Ok((chunk, self.locate(&chunk)?.ok_or_else(missing)?))
            });
            let (chunk, place) = match planned {
                Ok(planned) => planned,
                Err(error) => {
                    file.fail_reading(self.run, &error);
                    break;
                }
            };
            // What follows may be without end.
            if offset.saturating_add(chunk.len_bytes.into()) > len_bytes {
                file.fail_reading(self.run, &"its chunks are longer than it");
                break;
            }
            self.window.add_chunk(number, offset, chunk, place);
            offset += u64::from(chunk.len_bytes);
            if self.window.has_full_chunks() {
                self.hand_over()?;
                if file.has_failed() {
                    break;
                }
                number = self.window.add_file(&file);
            }
        }
        if offset != len_bytes && !file.has_failed() {
            file.fail_reading(self.run, &"its chunks do not add up to its length");
        }
        self.hand_over_if_full()
    }

    fn locate(&self, chunk: &ChunkRef) -> Result<Option<Place>, RepositoryError> {
        let seen = self.run.repository.mend_count();
        if let Some(place) = self.run.repository.locate(chunk) {
            return Ok(Some(place));
        }
        if self.run.repository.recover(seen)?
            && let Some(place) = self.run.repository.locate(chunk)
        {
            return Ok(Some(place));
        }
        // In a pack that has lost its length: what is left of it may be enough.
        Ok(self.run.repository.places_anywhere(chunk).first().copied())
    }

    /// A folder is finished when everything planned so far, and so everything in it, is written.
    pub(super) fn leave_folder(&mut self, folder: LeftFolder) -> Result<(), Error> {
        self.window.add_folder(folder);
        self.hand_over_if_full()
    }

    /// Hands over what is left.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.hand_over()
    }

    fn hand_over_if_full(&mut self) -> Result<(), Error> {
        if self.window.is_full() { self.hand_over() } else { Ok(()) }
    }

    /// Waits until the window before is written.
    fn hand_over(&mut self) -> Result<(), Error> {
        // Nobody receives any more after an error, which is told instead of this one.
        self.full.send(std::mem::take(&mut self.window)).map_err(|_| Error::Cancelled)
    }
}
