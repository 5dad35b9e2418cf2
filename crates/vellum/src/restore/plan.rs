//! Which chunks go where, collected until they are written.

use super::chunks::FileChunks;
use super::files::FileWriter;
use super::links::DeferredLink;
use super::run::Run;
use super::window::{LeftFolder, Window};
use crate::Error;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use vellum_format::content::ChunkRef;
use vellum_repository::{FrameCache, Place, RepositoryError};

/// Collects work and hands it over window by window.
pub(super) struct Planner<'a> {
    run: &'a Run<'a>,
    window: Window,
    full: SyncSender<Window>,
}

impl<'a> Planner<'a> {
    /// Hands windows over to whoever receives from `full`, who may stop receiving after an error.
    pub(super) fn new(run: &'a Run<'a>, full: SyncSender<Window>) -> Self {
        Self { run, window: Window::default(), full }
    }

    /// Plans a link; it is made after all files that were planned before, of which its inode may be one.
    pub(super) fn add_link(&mut self, link: DeferredLink) -> Result<(), Error> {
        self.window.add_link(link);
        self.hand_over_if_full()
    }

    /// Plans a file; it is complete at the latest when what [`Planner::finish`] handed over is written.
    pub(super) fn add_file(&mut self, file: FileWriter, cache: &FrameCache) -> Result<(), Error> {
        let file = Arc::new(file);
        let Some((content, len_bytes)) = file.begin(self.run) else { return Ok(()) };
        let mut number = self.window.add_file(&file);
        for chunk in FileChunks::new(self.run, cache, &content, len_bytes) {
            let planned = chunk.and_then(|(offset, chunk)| {
                let place = self.locate(&chunk).map_err(|error| error.to_string())?;
                let missing = || RepositoryError::ChunkMissing { id: self.run.repository.chunk_id(&chunk) }.to_string();
                Ok((offset, chunk, place.ok_or_else(missing)?))
            });
            let (offset, chunk, place) = match planned {
                Ok(planned) => planned,
                Err(reason) => {
                    file.fail_reading(self.run, &reason);
                    break;
                }
            };
            self.window.add_chunk(number, offset, chunk, place);
            if self.window.has_full_chunks() {
                self.hand_over()?;
                if file.has_failed() {
                    break;
                }
                number = self.window.add_file(&file);
            }
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
