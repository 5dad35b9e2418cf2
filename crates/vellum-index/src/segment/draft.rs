//! From catalogs to the records of a segment.

use super::tables::{Listing, PackRecord, Tables, count};
use super::write::{Output, Writer};
use super::{CHUNKS_PER_FENCE, ChunkRecord, FrameRecord, Header, RECORD_LEN};
use crate::IndexError;
use crate::key::{LocalKey, SegmentId};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use vellum_format::ObjectId;
use vellum_format::catalog::{Catalog, CatalogedPack};
use vellum_format::pack::Frame;

/// Everything that a segment will hold, sorted. It takes 48 bytes of memory a chunk until it is dropped.
#[derive(Default)]
pub(crate) struct Draft {
    tables: Tables,
    frames: Vec<FrameRecord>,
    chunks: Vec<ChunkRecord>,
}

impl Draft {
    /// Collects catalogs, the newest last. A pack that several of them list is taken once.
    pub(crate) fn from_catalogs(catalogs: Vec<(ObjectId, Catalog)>) -> Result<Self, IndexError> {
        let mut draft = Self::default();
        let mut known = HashMap::new();
        for (name, catalog) in catalogs {
            draft
                .take_catalog(name, catalog, &mut known)
                .map_err(|rule| IndexError::Inconsistent { catalog: name, rule })?;
        }
        // Newest first among copies of one id, so that the first usable one found is the right one. // N4
        draft.chunks.sort_unstable_by(|a, b| {
            let by_id = super::prefix(&a.id).cmp(&super::prefix(&b.id)).then_with(|| a.id.cmp(&b.id));
            by_id.then_with(|| b.frame.cmp(&a.frame)).then_with(|| b.offset_in_frame.cmp(&a.offset_in_frame))
        });
        Ok(draft)
    }

    fn take_catalog(
        &mut self,
        name: ObjectId,
        catalog: Catalog,
        known: &mut HashMap<ObjectId, u32>,
    ) -> Result<(), &'static str> {
        let number = count(self.tables.catalogs.len())?;
        self.tables.catalogs.push(name);
        for pack in catalog.packs {
            let name = pack.pack;
            let pack = match known.get(&name) {
                Some(taken) => *taken,
                None => self.take_pack(pack)?,
            };
            known.insert(name, pack);
            self.tables.listings.push(Listing { pack, catalog: number });
        }
        count(self.tables.listings.len()).map(drop)
    }

    fn take_pack(&mut self, pack: CatalogedPack) -> Result<u32, &'static str> {
        let number = count(self.tables.packs.len())?;
        let first_wrap = count(self.tables.wraps.len())?;
        let wraps = pack.directory.wraps;
        if wraps.iter().any(|wrap| u16::try_from(wrap.bytes.len()).is_err()) {
            return Err("a key wrap is short");
        }
        count(self.tables.wraps.len() + wraps.len())?;
        let (chunks_before, frames_before) = (self.chunks.len(), self.frames.len());
        for frame in &pack.directory.frames {
            if usize::from(frame.wrap) >= wraps.len() {
                return Err("a frame's wrap exists");
            }
            self.take_frame(frame, number, first_wrap + u32::from(frame.wrap))?;
        }
        self.tables.packs.push(PackRecord {
            name: pack.pack,
            len_bytes: pack.len_bytes,
            chunk_count: count(self.chunks.len() - chunks_before)?,
            frame_count: count(self.frames.len() - frames_before)?,
            wrap_count: count(wraps.len())?,
        });
        self.tables.wraps.extend(wraps.into_iter().map(Arc::new));
        Ok(number)
    }

    fn take_frame(&mut self, frame: &Frame, pack: u32, wrap: u32) -> Result<(), &'static str> {
        let number = count(self.frames.len())?;
        let mut offset_in_frame = 0u32;
        for chunk in &frame.chunks {
            let len_bytes = chunk.len_bytes;
            self.chunks.push(ChunkRecord { id: chunk.id, pack, frame: number, offset_in_frame, len_bytes });
            offset_in_frame = offset_in_frame.checked_add(len_bytes).ok_or("a frame's length fits 32 bits")?;
        }
        self.frames.push(FrameRecord {
            pack,
            wrap,
            offset: frame.offset,
            stored_len_bytes: frame.stored_len_bytes,
            plain_len_bytes: offset_in_frame,
            chunk_count: count(frame.chunks.len())?,
            kind: frame.kind.code(),
            compression: frame.compression.code(),
            salt: frame.salt,
        });
        Ok(())
    }

    /// The segment's name, a function of all that it holds. // N2
    pub(crate) fn id(&self, key: &LocalKey) -> SegmentId {
        let mut hasher = key.segment_id_hasher();
        hasher.update(&self.header(SegmentId([0; 16])).encode()).update(&self.tables.encode(&[]));
        let mut buffer = Vec::with_capacity(CHUNKS_PER_FENCE * RECORD_LEN);
        for chunks in self.chunks.chunks(CHUNKS_PER_FENCE) {
            buffer.clear();
            chunks.iter().for_each(|chunk| buffer.extend_from_slice(&chunk.encode()));
            hasher.update(&buffer);
        }
        for frame in &self.frames {
            hasher.update(&frame.encode());
        }
        SegmentId::from_hash(&hasher.finalize())
    }

    /// Writes the whole segment.
    pub(crate) fn write(&self, id: SegmentId, key: &LocalKey, out: &mut impl Output) -> io::Result<()> {
        let mut writer = Writer::new(self.header(id), key.segment_key(id), out);
        self.chunks.iter().try_for_each(|chunk| writer.chunk(chunk))?;
        self.frames.iter().try_for_each(|frame| writer.frame(frame))?;
        writer.finish(&self.tables)
    }

    fn header(&self, id: SegmentId) -> Header {
        let frames = count(self.frames.len());
        let header = frames.and_then(|frames| self.tables.header(id, self.chunks.len() as u64, frames));
        header.expect("counts were checked when the packs were taken")
    }

    #[cfg(test)]
    pub(super) fn move_last_chunk(&mut self) {
        self.chunks.last_mut().expect("a chunk").offset_in_frame += 1;
    }
}
