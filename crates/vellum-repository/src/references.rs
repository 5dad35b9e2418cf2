//! Looking up many references at once: in the order of their ids those that lie beside each other in the index cost one
//! read.

use crate::get::FrameId;
use crate::open::Repository;
use std::collections::HashMap;
use vellum_format::ChunkId;
use vellum_format::content::{ChunkKind, ChunkRef};

/// References that are collected before they are looked up.
const COLLECTED_MAX: usize = 16_384;

/// Frames of which is remembered what they hold.
const KINDS_MAX: usize = 16_384;

/// References that one reader of trees came across and that are still to be looked up. Memory: less than 4 MiB.
#[derive(Default)]
pub struct References {
    chunks: Vec<(ChunkId, ChunkKind, ChunkRef)>,
    /// What frames hold that were asked for.
    kinds: HashMap<FrameId, ChunkKind>,
}

impl References {
    /// Whether they are many enough to be looked up.
    #[must_use]
    pub fn are_many(&self) -> bool {
        self.chunks.len() >= COLLECTED_MAX
    }

    /// Takes them all, each once, in the order of their ids.
    pub(crate) fn take(&mut self) -> Vec<(ChunkId, ChunkKind, ChunkRef)> {
        let mut chunks = std::mem::take(&mut self.chunks);
        chunks.sort_unstable_by_key(|(id, ..)| *id);
        chunks.dedup();
        chunks
    }

    fn kind_of(&mut self, repository: &Repository, frame: FrameId) -> Option<ChunkKind> {
        if let Some(kind) = self.kinds.get(&frame) {
            return Some(*kind);
        }
        let kind = repository.kind_of(frame)?;
        if self.kinds.len() >= KINDS_MAX {
            self.kinds.clear();
        }
        self.kinds.insert(frame, kind);
        Some(kind)
    }
}

impl Repository {
    /// Adds a reference to those that are to be looked up.
    pub fn collect(&self, references: &mut References, kind: ChunkKind, chunk: &ChunkRef) {
        references.chunks.push((self.chunk_id(chunk), kind, *chunk));
    }

    /// Whether a catalog lists each of these in a pack that is there, with its length, in a frame of its kind.
    /// Afterwards none is to be looked up. False also when the index turns out damaged: whoever wants to know more
    /// looks at each.
    #[must_use]
    pub fn are_stored(&self, references: &mut References) -> bool {
        let chunks = references.take();
        let found = self.index().lookup_each(chunks.iter().map(|(id, ..)| id));
        chunks.iter().zip(found).all(|((_, kind, chunk), found)| {
            found.is_some_and(|location| {
                location.len_bytes == chunk.len_bytes && references.kind_of(self, location.frame) == Some(*kind)
            })
        })
    }
}
