//! Finding chunks and bringing them back, checked against their references.

use crate::RepositoryError;
use crate::objects::MISSING;
use crate::open::Repository;
use crate::pack_reader::{FrameReader, FrameSeal};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use vellum_format::content::{ChunkKind, ChunkRef};
use vellum_format::{ChunkId, ObjectKind, ObjectName};
use vellum_index::{FrameRef, Location};
use vellum_storage::StorageError;

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

    /// Reads and opens one frame with one range read.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] naming the pack, or [`RepositoryError::Storage`].
    pub fn open_frame(&self, reader: &mut FrameReader, frame: FrameId) -> Result<OpenedFrame, RepositoryError> {
        let info = self.index().frame(frame).ok_or(RepositoryError::FrameForgotten)?;
        let pack = ObjectName::new(ObjectKind::Pack, info.pack);
        let damaged = |reason: String| RepositoryError::Damaged { object: pack, reason };
        let start = u64::from(info.offset);
        let sealed = match self.storage().get_range(&pack, start..start + u64::from(info.stored_len_bytes)) {
            Ok(sealed) => sealed,
            Err(StorageError::NotFound { .. }) => return Err(damaged(MISSING.to_owned())),
            Err(StorageError::ShortRead { .. }) => return Err(damaged("it is cut short".to_owned())),
            Err(error) => return Err(error.into()),
        };
        let seal = FrameSeal {
            wrap: &info.wrap,
            salt: &info.salt,
            kind: info.kind,
            compression: info.compression,
            plain_len_bytes: info.plain_len_bytes,
            chunk_count: info.chunk_count,
        };
        let plain = reader.open(self.class(), self.id(), &seal, &sealed).map_err(damaged)?;
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

    /// Reads one chunk through `cache`; when its first copy is bad, every other copy is tried, and when it is in no
    /// catalog, the packs that no catalog lists.
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
        let mut locations = self.index().all_locations(&id);
        if locations.is_empty() && (self.reload_if_damaged(seen)? || (cache.heals && self.recover(seen)?)) {
            locations = self.index().all_locations(&id);
        }
        for location in locations {
            let place = place(&location);
            let read = cache.frame(self, place.frame).and_then(|frame| {
                let bytes = self.chunk_in(&frame, &place, kind, chunk).map(<[u8]>::to_vec);
                bytes.ok_or(RepositoryError::ChunkDamaged { id })
            });
            match read {
                Ok(bytes) => return Ok(bytes),
                Err(error) => first_error = first_error.or(Some(error)),
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
            error => Err(error.unwrap_or(RepositoryError::ChunkMissing { id })),
        }
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

fn place(location: &Location) -> Place {
    let Location { frame, offset_in_frame, len_bytes, .. } = *location;
    Place { frame, len_bytes, offset_in_frame }
}

/// The frames opened last, for readers that go through trees. Memory: `frames_max` times the frame length.
pub struct FrameCache {
    inner: Mutex<CacheState>,
    frames_max: usize,
    heals: bool,
}

struct CacheState {
    frames: VecDeque<(FrameId, Arc<OpenedFrame>)>,
    reader: FrameReader,
}

impl FrameCache {
    /// A cache of up to `frames_max` frames.
    #[must_use]
    pub fn new(frames_max: usize) -> Self {
        let state = CacheState { frames: VecDeque::new(), reader: FrameReader::new() };
        Self { inner: Mutex::new(state), frames_max: frames_max.max(1), heals: true }
    }

    /// A cache for a reader that wants to know what is damaged: what no catalog lists is missing.
    #[must_use]
    pub fn strict(frames_max: usize) -> Self {
        Self { heals: false, ..Self::new(frames_max) }
    }

    fn frame(&self, repository: &Repository, id: FrameId) -> Result<Arc<OpenedFrame>, RepositoryError> {
        let mut state = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = state.frames.iter().position(|(cached, _)| *cached == id) {
            let hit = state.frames.remove(at).expect("the position was just found");
            let frame = Arc::clone(&hit.1);
            state.frames.push_front(hit);
            return Ok(frame);
        }
        let frame = Arc::new(repository.open_frame(&mut state.reader, id)?);
        state.frames.truncate(self.frames_max - 1);
        state.frames.push_front((id, Arc::clone(&frame)));
        Ok(frame)
    }
}
