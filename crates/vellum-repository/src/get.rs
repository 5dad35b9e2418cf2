//! Finding chunks and bringing them back, checked against their references.

use crate::objects::{MISSING, unreadable};
use crate::open::Repository;
use crate::pack_reader::{FrameReader, FrameSeal};
use crate::{RepositoryError, lock};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use vellum_format::content::{ChunkKind, ChunkRef};
use vellum_format::{ChunkId, ObjectKind, ObjectName};
use vellum_index::{FrameInfo, FrameRef, Location};

/// A frame's place. Ordered as the frames lie in their packs, so that reading in this order reads forwards.
pub type FrameId = FrameRef;

/// Where a chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The frame that holds it.
    pub frame: FrameId,
    /// Length of its plaintext in bytes, as the pack's directory says.
    pub len_bytes: u32,
    offset_in_frame: u32,
}

/// A frame's plaintext. Its chunks are still to be checked one by one.
pub struct OpenedFrame {
    plain: Vec<u8>,
}

impl Repository {
    /// Where a chunk lies, or `None` when no loaded catalog lists it in a pack that is there.
    #[must_use]
    pub fn locate(&self, chunk: &ChunkRef) -> Option<Place> {
        let id = self.class().dedup.chunk_id(&chunk.digest);
        self.index().lookup(&id).map(|location| place(&location))
    }

    /// Every place where a chunk lies, the newest first.
    #[must_use]
    pub fn places(&self, chunk: &ChunkRef) -> Vec<Place> {
        self.index().all_locations(&self.chunk_id(chunk)).iter().map(place).collect()
    }

    /// Where a chunk may lie in a pack that is not there in full length, the newest first: what is left of it may be
    /// healed by [`Repository::read_chunk`].
    #[must_use]
    pub fn places_anywhere(&self, chunk: &ChunkRef) -> Vec<Place> {
        self.index().locations_anywhere(&self.chunk_id(chunk)).iter().map(place).collect()
    }

    /// Whether a chunk counts as stored: a writer may refer to it instead of storing it again.
    #[must_use]
    pub fn contains(&self, chunk: &ChunkRef) -> bool {
        self.index().lookup_reliable(&self.class().dedup.chunk_id(&chunk.digest)).is_some()
    }

    /// The id that a reference looks up.
    #[must_use]
    pub fn chunk_id(&self, chunk: &ChunkRef) -> ChunkId {
        self.class().dedup.chunk_id(&chunk.digest)
    }

    /// Whether these bytes are what a reference names (I7: no others are returned).
    #[must_use]
    pub fn is_chunk(&self, kind: ChunkKind, chunk: &ChunkRef, bytes: &[u8]) -> bool {
        bytes.len() == chunk.len_bytes as usize && self.class().dedup.digest(kind, bytes) == chunk.digest
    }

    /// Reads and opens one frame with one range read, and with another one when that went wrong.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] naming the pack, or [`RepositoryError::Storage`].
    pub fn open_frame(&self, reader: &mut FrameReader, frame: FrameId) -> Result<OpenedFrame, RepositoryError> {
        let info = self.index().frame(frame).ok_or(RepositoryError::FrameForgotten)?;
        let opened = match self.try_open_frame(reader, &info) {
            // What went wrong between the disk and here does not go wrong twice.
            Err(RepositoryError::Damaged { reason, .. }) if reason != MISSING => self.try_open_frame(reader, &info)?,
            opened => opened?,
        };
        self.mark_read(&info.pack, info.offset);
        Ok(opened)
    }

    fn try_open_frame(&self, reader: &mut FrameReader, info: &FrameInfo) -> Result<OpenedFrame, RepositoryError> {
        let pack = ObjectName::new(ObjectKind::Pack, info.pack);
        let start = u64::from(info.offset);
        let sealed = self.storage().get_range(&pack, start..start + u64::from(info.stored_len_bytes));
        self.open_sealed(reader, info, &sealed.map_err(|error| unreadable(pack, error))?)
    }

    pub(crate) fn open_sealed(
        &self,
        reader: &mut FrameReader,
        info: &FrameInfo,
        sealed: &[u8],
    ) -> Result<OpenedFrame, RepositoryError> {
        let object = ObjectName::new(ObjectKind::Pack, info.pack);
        let damaged = |reason: String| RepositoryError::Damaged { object, reason };
        let seal = FrameSeal {
            wrap: &info.wrap,
            salt: &info.salt,
            kind: info.kind,
            compression: info.compression,
            plain_len_bytes: info.plain_len_bytes,
            chunk_count: info.chunk_count,
        };
        let plain = reader.open(self.class(), self.id(), &seal, sealed).map_err(damaged)?;
        Ok(OpenedFrame { plain: plain.to_vec() })
    }

    /// The bytes of a chunk inside its opened frame, if they are what the reference says.
    #[must_use]
    pub fn chunk_in<'frame>(
        &self,
        frame: &'frame OpenedFrame,
        place: &Place,
        kind: ChunkKind,
        chunk: &ChunkRef,
    ) -> Option<&'frame [u8]> {
        let start = place.offset_in_frame as usize;
        let bytes = frame.plain.get(start..start.checked_add(chunk.len_bytes as usize)?)?;
        self.is_chunk(kind, chunk, bytes).then_some(bytes)
    }

    /// Reads one chunk through `cache`; when its first copy is bad, every other copy is tried, and then parity. What is
    /// in no catalog is looked for in the packs that no catalog lists. What cannot be read at all counts as not stored
    /// from then on (I20).
    ///
    /// # Errors
    /// [`RepositoryError::ChunkMissing`] or, naming the pack, [`RepositoryError::Damaged`].
    pub fn read_chunk(
        &self,
        cache: &FrameCache,
        kind: ChunkKind,
        chunk: &ChunkRef,
    ) -> Result<Vec<u8>, RepositoryError> {
        let id = self.class().dedup.chunk_id(&chunk.digest);
        let seen = self.mend_count();
        let mut first_error = None;
        let mut damaged = Vec::new();
        let mut locations = self.index().all_locations(&id);
        if locations.is_empty() && (self.reload_if_damaged(seen)? || (cache.heals && self.recover(seen)?)) {
            locations = self.index().all_locations(&id);
        }
        for location in &locations {
            let read =
                cache.frame(self, location.frame).and_then(|frame| self.take_chunk(&frame, location, kind, chunk));
            match read {
                Ok(bytes) => return Ok(bytes),
                Err(error) => {
                    damaged.extend(is_damage(&error).then_some(location.frame));
                    first_error = first_error.or(Some(error));
                }
            }
        }
        match first_error {
            // Since it was looked up the pack may have gone, and what is needed of it have moved.
            Some(RepositoryError::Damaged { object, reason })
                if cache.heals && reason == MISSING && self.refresh_after_missing(object.id, seen)? =>
            {
                self.read_chunk(cache, kind, chunk)
            }
            // The place was forgotten since it was looked up; after a reload it is found anew or missing.
            Some(RepositoryError::FrameForgotten) if self.reload_if_damaged(seen)? => {
                self.read_chunk(cache, kind, chunk)
            }
            error => {
                let read = self.read_healed(cache, kind, chunk, error);
                if read.is_err() {
                    self.mark_damaged(damaged);
                }
                read
            }
        }
    }

    /// Reads a chunk from whatever pack parity makes whole, also from one that has lost its length; `first_error` tells
    /// why it was not read as it is stored.
    fn read_healed(
        &self,
        cache: &FrameCache,
        kind: ChunkKind,
        chunk: &ChunkRef,
        mut first_error: Option<RepositoryError>,
    ) -> Result<Vec<u8>, RepositoryError> {
        let id = self.chunk_id(chunk);
        for location in self.index().locations_anywhere(&id) {
            // What a pack that was cut short still holds needs no healing.
            let frame = cache.frame(self, location.frame).or_else(|_| cache.healed_frame(self, location.frame));
            match frame.and_then(|frame| self.take_chunk(&frame, &location, kind, chunk)) {
                Ok(bytes) => return Ok(bytes),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or(RepositoryError::ChunkMissing { id }))
    }

    fn take_chunk(
        &self,
        frame: &OpenedFrame,
        location: &Location,
        kind: ChunkKind,
        chunk: &ChunkRef,
    ) -> Result<Vec<u8>, RepositoryError> {
        let bytes = self.chunk_in(frame, &place(location), kind, chunk).map(<[u8]>::to_vec);
        bytes.ok_or_else(|| RepositoryError::ChunkDamaged { id: self.chunk_id(chunk) })
    }

    /// What the chunks of a frame are; `None` when the frame is no longer known.
    #[must_use]
    pub fn kind_of(&self, frame: FrameId) -> Option<ChunkKind> {
        self.index().frame(frame).map(|info| info.kind)
    }

    /// The pack that holds a frame, for messages.
    #[must_use]
    pub fn pack_of(&self, frame: FrameId) -> Option<ObjectName> {
        self.index().frame(frame).map(|info| ObjectName::new(ObjectKind::Pack, info.pack))
    }
}

/// Whether it is the frame that is at fault, and not the storage or somebody who deleted its pack.
fn is_damage(error: &RepositoryError) -> bool {
    match error {
        RepositoryError::Damaged { reason, .. } => reason != MISSING,
        error => matches!(error, RepositoryError::ChunkDamaged { .. }),
    }
}

fn place(location: &Location) -> Place {
    let Location { frame, offset_in_frame, len_bytes, .. } = *location;
    Place { frame, len_bytes, offset_in_frame }
}

/// Bytes that a cache of more than one frame keeps: whoever wrote the frames may have made them 32 MiB long.
const CACHE_LEN_BYTES_MAX: usize = 32 << 20;

/// The frames opened last, for readers that go through trees. Memory: `frames_max` times the frame length, at most
/// 32 MiB or one frame.
pub struct FrameCache {
    inner: Mutex<CacheState>,
    frames_max: usize,
    heals: bool,
}

struct CacheState {
    frames: VecDeque<(FrameId, Arc<OpenedFrame>)>,
    reader: FrameReader,
}

impl CacheState {
    fn keep(&mut self, id: FrameId, frame: Arc<OpenedFrame>, frames_max: usize) {
        self.frames.retain(|(cached, _)| *cached != id);
        self.frames.truncate(frames_max - 1);
        self.frames.push_front((id, frame));
        let mut len_bytes = 0;
        self.frames.retain(|(_, frame)| {
            len_bytes += frame.plain.len();
            len_bytes == frame.plain.len() || len_bytes <= CACHE_LEN_BYTES_MAX
        });
    }
}

impl FrameCache {
    /// A cache of up to `frames_max` frames.
    #[must_use]
    pub fn new(frames_max: usize) -> Self {
        let state = CacheState { frames: VecDeque::new(), reader: FrameReader::new() };
        Self { inner: Mutex::new(state), frames_max: frames_max.max(1), heals: true }
    }

    /// A cache for a reader that wants to know what is damaged: what no catalog lists is missing. What parity heals is
    /// read, and [`Repository::healed_packs`] names it.
    #[must_use]
    pub fn strict(frames_max: usize) -> Self {
        Self { heals: false, ..Self::new(frames_max) }
    }

    fn frame(&self, repository: &Repository, id: FrameId) -> Result<Arc<OpenedFrame>, RepositoryError> {
        let mut state = lock(&self.inner);
        if let Some(at) = state.frames.iter().position(|(cached, _)| *cached == id) {
            let hit = state.frames.remove(at).expect("the position was just found");
            let frame = Arc::clone(&hit.1);
            state.frames.push_front(hit);
            return Ok(frame);
        }
        let frame = Arc::new(repository.open_frame(&mut state.reader, id)?);
        state.keep(id, Arc::clone(&frame), self.frames_max);
        Ok(frame)
    }

    /// A frame that does not open as it is stored.
    fn healed_frame(&self, repository: &Repository, id: FrameId) -> Result<Arc<OpenedFrame>, RepositoryError> {
        let frame = Arc::new(repository.open_healed_frame(&mut FrameReader::new(), id)?);
        let mut state = lock(&self.inner);
        state.keep(id, Arc::clone(&frame), self.frames_max);
        Ok(frame)
    }
}
