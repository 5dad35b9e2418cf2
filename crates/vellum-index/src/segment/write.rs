//! From catalogs to the bytes of a segment.

use super::{CHUNKS_PER_FENCE, ChunkRecord, FrameRecord, Header, PackRecord, RECORD_LEN, SEALED_LEN, Section};
use crate::IndexError;
use crate::key::{LocalKey, SegmentId, SegmentKey};
use std::collections::HashSet;
use std::io::{self, Write};
use vellum_format::ObjectId;
use vellum_format::catalog::{Catalog, CatalogedPack};
use vellum_format::pack::{Frame, KeyWrap};

/// Everything that a segment will hold, sorted. It takes 48 bytes of memory a chunk until it is dropped.
#[derive(Default)]
pub(crate) struct Draft {
    catalogs: Vec<ObjectId>,
    packs: Vec<PackRecord>,
    wraps: Vec<KeyWrap>,
    frames: Vec<FrameRecord>,
    chunks: Vec<ChunkRecord>,
}

impl Draft {
    /// Collects catalogs, the newest last. A pack that several of them list is taken once.
    pub(crate) fn from_catalogs(catalogs: Vec<(ObjectId, Catalog)>) -> Result<Self, IndexError> {
        let mut draft = Self::default();
        let mut known = HashSet::new();
        for (name, catalog) in catalogs {
            for pack in catalog.packs {
                if known.insert(pack.pack) {
                    draft.take_pack(pack).map_err(|rule| IndexError::Inconsistent { catalog: name, rule })?;
                }
            }
            draft.catalogs.push(name);
        }
        // Newest first among copies of one id, so that the first usable one found is the right one. // N4
        draft.chunks.sort_unstable_by(|a, b| {
            let by_id = super::prefix(&a.id).cmp(&super::prefix(&b.id)).then_with(|| a.id.cmp(&b.id));
            by_id.then_with(|| b.frame.cmp(&a.frame)).then_with(|| b.offset_in_frame.cmp(&a.offset_in_frame))
        });
        Ok(draft)
    }

    fn take_pack(&mut self, pack: CatalogedPack) -> Result<(), &'static str> {
        let number = count(self.packs.len())?;
        let first_wrap = count(self.wraps.len())?;
        let wraps = pack.directory.wraps.len();
        if pack.directory.wraps.iter().any(|wrap| u16::try_from(wrap.bytes.len()).is_err()) {
            return Err("a key wrap is short");
        }
        self.wraps.extend(pack.directory.wraps);
        count(self.wraps.len())?;
        let chunks_before = self.chunks.len();
        for frame in &pack.directory.frames {
            if usize::from(frame.wrap) >= wraps {
                return Err("a frame's wrap exists");
            }
            self.take_frame(frame, number, first_wrap + u32::from(frame.wrap))?;
        }
        let chunk_count = count(self.chunks.len() - chunks_before)?;
        self.packs.push(PackRecord { name: pack.pack, len_bytes: pack.len_bytes, chunk_count });
        Ok(())
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
        let meta = self.meta();
        hasher.update(&self.header(SegmentId([0; 16]), &meta).encode()).update(&meta);
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
    pub(crate) fn write(&self, id: SegmentId, key: &LocalKey, out: &mut impl Write) -> io::Result<()> {
        let key = key.segment_key(id);
        let meta = self.meta();
        let header = self.header(id, &meta).encode();
        out.write_all(&header)?;
        out.write_all(&key.tag(Section::Header.place(0), &header))?;
        for (number, chunk) in (0..).zip(&self.chunks) {
            out.write_all(&seal(Section::Chunks, number, &chunk.encode(), &key))?;
        }
        for (number, frame) in (0..).zip(&self.frames) {
            out.write_all(&seal(Section::Frames, number, &frame.encode(), &key))?;
        }
        out.write_all(&meta)?;
        out.write_all(&key.tag(Section::Meta.place(0), &meta))?;
        out.flush()
    }

    #[cfg(test)]
    pub(super) fn move_last_chunk(&mut self) {
        self.chunks.last_mut().expect("a chunk").offset_in_frame += 1;
    }

    fn header(&self, id: SegmentId, meta: &[u8]) -> Header {
        let count = |len| count(len).expect("counts were checked when the packs were taken");
        Header {
            id,
            catalogs: count(self.catalogs.len()),
            packs: count(self.packs.len()),
            wraps: count(self.wraps.len()),
            frames: count(self.frames.len()),
            chunks: self.chunks.len() as u64,
            meta_len_bytes: meta.len() as u64,
        }
    }

    fn meta(&self) -> Vec<u8> {
        let mut meta = Vec::new();
        for name in &self.catalogs {
            meta.extend_from_slice(name.as_bytes());
        }
        for pack in &self.packs {
            meta.extend_from_slice(pack.name.as_bytes());
            meta.extend_from_slice(&pack.len_bytes.to_le_bytes());
            meta.extend_from_slice(&pack.chunk_count.to_le_bytes());
        }
        for chunk in self.chunks.iter().step_by(CHUNKS_PER_FENCE) {
            meta.extend_from_slice(&super::prefix(&chunk.id).to_le_bytes());
        }
        for wrap in &self.wraps {
            let len = u16::try_from(wrap.bytes.len()).expect("wraps were checked when the packs were taken");
            meta.extend_from_slice(&[wrap.kind, 0]);
            meta.extend_from_slice(&len.to_le_bytes());
            meta.extend_from_slice(&wrap.epoch.to_le_bytes());
            meta.extend_from_slice(&wrap.bytes);
        }
        meta
    }
}

fn seal(section: Section, number: u64, record: &[u8; RECORD_LEN], key: &SegmentKey) -> [u8; SEALED_LEN] {
    let mut sealed = [0; SEALED_LEN];
    sealed[..RECORD_LEN].copy_from_slice(record);
    sealed[RECORD_LEN..].copy_from_slice(&key.record_tag(section.place(number), record));
    sealed
}

fn count(len: usize) -> Result<u32, &'static str> {
    u32::try_from(len).map_err(|_| "one segment holds fewer than 2^32 packs, wraps and frames")
}
