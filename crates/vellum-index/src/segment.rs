//! Segments: immutable sorted files that say where chunks lie, made from one or more catalogs or by merging others.
//!
//! A segment is local and versioned; it is no part of the repository format, and a version that is not known is
//! simply rebuilt. All numbers are little-endian.
//!
//! ```text
//! header | chunk records … | frame records … | meta | tag of meta | filter | tag of filter
//!
//! header   4096 bytes: magic 8, version u16, zero u16, segment id 16, catalogs u32, packs u32, wraps u32,
//!          frames u32, chunks u64, meta bytes u64, filter offset u64, filter bytes u64, listings u32, zeros; tag 16
//! chunk    64 bytes: id 32, pack u32, frame u32, offset in frame u32, length u32; tag 16.
//!          Sorted by id, then the newest frame first
//! frame    64 bytes: pack u32, wrap u32, offset u32, stored length u32, plain length u32, chunks u32, kind u8,
//!          compression u8, zero u16, salt 16, zero u32; tag 16
//! meta     catalog names (32 each), packs (name 32, length u64, chunks u32, frames u32, wraps u32), listings (pack
//!          u32, catalog u32), fences (u64 each, the first 8 bytes of the id of every 32nd chunk), wraps (kind u8,
//!          zero u8, length u16, epoch u32, bytes)
//! filter   64 bytes for each 32 chunks and 64 more; see `filter.rs`
//! tag      keyed BLAKE3 of place (section u8, number u64) and bytes, cut to 16, under the segment's own key
//! ```
//!
//! Meta part and filter are held in memory while the segment is open, about 2.8 bytes a chunk. A lookup asks the
//! filter, finds the 32 chunk records between two fences and reads them with one positioned read.
//!
//! A tag per record rather than per block, because what is believed must be verified each time it is read, and
//! hashing 2 KiB takes ten times as long as reading it, but a record is one compression of BLAKE3. It costs 15
//! bytes a chunk of disk. Memory maps would make lookups 1.7 times as fast, but need `unsafe`, count as resident
//! memory, and turn a truncated file or a failing disk into SIGBUS where a read gives an error.

mod draft;
mod filter;
mod merge;
mod read;
mod tables;
mod view;
mod write;

pub(crate) use draft::Draft;
pub(crate) use merge::Merge;
pub(crate) use read::{Content, Near, Source};
pub(crate) use view::Segment;

use crate::key::{PLACE_LEN, RECORD_LEN, SegmentId, TAG_LEN};
use vellum_format::ChunkId;

const MAGIC: [u8; 8] = *b"VELLUMIX";
const VERSION: u16 = 2;

const HEADER_LEN: usize = 4096;
const SEALED_LEN: usize = RECORD_LEN + TAG_LEN;
const CHUNKS_PER_FENCE: usize = 32;

/// The parts of a segment that carry tags.
#[derive(Debug, Clone, Copy)]
enum Section {
    Header = 1,
    Chunks = 2,
    Frames = 3,
    Meta = 4,
    Filter = 5,
}

impl Section {
    /// What a tag covers beside the bytes: where they belong. // N2
    const fn place(self, number: u64) -> [u8; PLACE_LEN] {
        let [a, b, c, d, e, f, g, h] = number.to_le_bytes();
        [self as u8, a, b, c, d, e, f, g, h]
    }
}

/// What the header says.
#[derive(Debug, Clone)]
struct Header {
    id: SegmentId,
    catalogs: u32,
    packs: u32,
    wraps: u32,
    listings: u32,
    frames: u32,
    chunks: u64,
    meta_len_bytes: u64,
}

impl Header {
    const ID_AT: usize = 12;
    const COUNTS_AT: usize = Self::ID_AT + 16;
    const LENGTHS_AT: usize = Self::COUNTS_AT + 4 * 4;
    const LISTINGS_AT: usize = Self::LENGTHS_AT + 4 * 8;

    /// The header without its tag.
    fn encode(&self) -> [u8; HEADER_LEN - TAG_LEN] {
        let mut out = [0; HEADER_LEN - TAG_LEN];
        out[..8].copy_from_slice(&MAGIC);
        out[8..10].copy_from_slice(&VERSION.to_le_bytes());
        out[Self::ID_AT..Self::COUNTS_AT].copy_from_slice(&self.id.0);
        put_numbers(&mut out[Self::COUNTS_AT..], [self.catalogs, self.packs, self.wraps, self.frames]);
        let lengths = [self.chunks, self.meta_len_bytes, self.filter_at(), filter::len_bytes(self.chunks)];
        for (place, length) in out[Self::LENGTHS_AT..].as_chunks_mut().0.iter_mut().zip(lengths) {
            *place = length.to_le_bytes();
        }
        put_numbers(&mut out[Self::LISTINGS_AT..], [self.listings]);
        out
    }

    /// Decodes a verified header; `None` for another version.
    fn decode(bytes: &[u8]) -> Option<Self> {
        let known = bytes[..8] == MAGIC && bytes[8..10] == VERSION.to_le_bytes();
        known.then(|| Self {
            id: SegmentId(field(bytes, Self::ID_AT)),
            catalogs: u32_at(bytes, Self::COUNTS_AT),
            packs: u32_at(bytes, Self::COUNTS_AT + 4),
            wraps: u32_at(bytes, Self::COUNTS_AT + 8),
            frames: u32_at(bytes, Self::COUNTS_AT + 12),
            listings: u32_at(bytes, Self::LISTINGS_AT),
            chunks: u64::from_le_bytes(field(bytes, Self::LENGTHS_AT)),
            meta_len_bytes: u64::from_le_bytes(field(bytes, Self::LENGTHS_AT + 8)),
        })
    }

    /// Where a record of chunks or frames starts, in bytes from the start of the segment.
    const fn record_at(&self, section: Section, number: u64) -> u64 {
        let before = match section {
            Section::Frames => self.chunks,
            _ => 0,
        };
        HEADER_LEN as u64 + (before + number) * SEALED_LEN as u64
    }

    fn meta_at(&self) -> u64 {
        self.record_at(Section::Frames, u64::from(self.frames))
    }

    fn filter_at(&self) -> u64 {
        self.meta_at() + self.meta_len_bytes + TAG_LEN as u64
    }

    const fn fences(&self) -> u64 {
        self.chunks.div_ceil(CHUNKS_PER_FENCE as u64)
    }
}

/// Where one copy of a chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChunkRecord {
    pub(crate) id: ChunkId,
    pub(crate) pack: u32,
    pub(crate) frame: u32,
    pub(crate) offset_in_frame: u32,
    pub(crate) len_bytes: u32,
}

impl ChunkRecord {
    fn encode(&self) -> [u8; RECORD_LEN] {
        let mut out = [0; RECORD_LEN];
        out[..ChunkId::LEN].copy_from_slice(self.id.as_bytes());
        put_numbers(&mut out[ChunkId::LEN..], [self.pack, self.frame, self.offset_in_frame, self.len_bytes]);
        out
    }

    pub(crate) fn decode(record: &[u8; RECORD_LEN]) -> Self {
        Self {
            id: ChunkId::from_bytes(field(record, 0)),
            pack: u32_at(record, 32),
            frame: u32_at(record, 36),
            offset_in_frame: u32_at(record, 40),
            len_bytes: u32_at(record, 44),
        }
    }
}

/// One frame; the numbers of pack and wrap are those of the segment's own tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameRecord {
    pub(crate) pack: u32,
    pub(crate) wrap: u32,
    pub(crate) offset: u32,
    pub(crate) stored_len_bytes: u32,
    pub(crate) plain_len_bytes: u32,
    pub(crate) chunk_count: u32,
    pub(crate) kind: u8,
    pub(crate) compression: u8,
    pub(crate) salt: [u8; 16],
}

impl FrameRecord {
    fn encode(&self) -> [u8; RECORD_LEN] {
        let mut out = [0; RECORD_LEN];
        let sizes = [self.offset, self.stored_len_bytes, self.plain_len_bytes, self.chunk_count];
        put_numbers(&mut out[..8], [self.pack, self.wrap]);
        put_numbers(&mut out[8..24], sizes);
        out[24] = self.kind;
        out[25] = self.compression;
        out[28..44].copy_from_slice(&self.salt);
        out
    }

    pub(crate) fn decode(record: &[u8; RECORD_LEN]) -> Self {
        Self {
            pack: u32_at(record, 0),
            wrap: u32_at(record, 4),
            offset: u32_at(record, 8),
            stored_len_bytes: u32_at(record, 12),
            plain_len_bytes: u32_at(record, 16),
            chunk_count: u32_at(record, 20),
            kind: record[24],
            compression: record[25],
            salt: field(record, 28),
        }
    }
}

/// The first bytes of an id as a number that sorts as the id does.
fn prefix(id: &ChunkId) -> u64 {
    u64::from_le_bytes(field(id.as_bytes(), 0)).swap_bytes()
}

fn put_numbers<const N: usize>(out: &mut [u8], numbers: [u32; N]) {
    for (place, number) in out.chunks_exact_mut(4).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

fn u32_at(record: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(field(record, at))
}

/// The `N` bytes at a fixed place of a record or header, which is always as long as its layout says.
fn field<const N: usize>(record: &[u8], at: usize) -> [u8; N] {
    record[at..at + N].try_into().expect("a slice of N bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::LocalKey;
    use vellum_format::ObjectId;
    use vellum_format::catalog::{Catalog, CatalogedPack};
    use vellum_format::content::ChunkKind;
    use vellum_format::pack::{Compression, Directory, Frame, KeyWrap, PackedChunk};

    const KEY: LocalKey = LocalKey::new([3; 32]);

    fn id(number: u8) -> ChunkId {
        ChunkId::from_bytes(*blake3::hash(&[number]).as_bytes())
    }

    /// Two packs with one frame of 50 chunks each; chunks 40 to 49 are in both.
    fn draft() -> Draft {
        let packs = [0u8, 40].map(|first| {
            let chunks = (first..first + 50).map(|number| PackedChunk { id: id(number), len_bytes: 100 }).collect();
            let (kind, compression) = (ChunkKind::Data, Compression::Zstd);
            let frame =
                Frame { offset: 80, stored_len_bytes: 900, wrap: 0, kind, compression, salt: [first; 16], chunks };
            let wraps = vec![KeyWrap { epoch: 1, kind: KeyWrap::SYMMETRIC, bytes: vec![first; 112] }];
            let directory = Directory { wraps, frames: vec![frame] };
            CatalogedPack { pack: ObjectId::of(&[first]), len_bytes: 2000, directory }
        });
        Draft::from_catalogs(vec![(ObjectId::of(b"catalog"), Catalog { packs: packs.to_vec() })]).unwrap()
    }

    fn written() -> (SegmentId, Vec<u8>) {
        let (draft, mut bytes) = (draft(), Vec::new());
        let id = draft.id(&KEY);
        draft.write(id, &KEY, &mut bytes).unwrap();
        (id, bytes)
    }

    /// What a segment of these bytes answers for each `step`th chunk, or nothing for one that does not open.
    fn answers(bytes: Vec<u8>, name: SegmentId, step: usize) -> Vec<Option<(ChunkRecord, Option<FrameRecord>)>> {
        let Ok(segment) = Content::open(Source::Memory(bytes), name, &KEY) else { return Vec::new() };
        let find = |number| {
            // What the filter denies looks absent: it must not deny what is there, whatever was done to it.
            let may_hold = segment.may_hold(&id(number));
            let chunk = segment.find(&mut Near::new(), &id(number), |_, _| true).ok()??;
            assert!(may_hold);
            Some((chunk, segment.frame(chunk.frame).ok().flatten()))
        };
        (0..100).step_by(step).map(find).collect()
    }

    #[test]
    fn any_flip_or_cut_only_removes_answers() {
        let (name, good) = written();
        let right = answers(good.clone(), name, 1);
        assert_eq!(right.iter().flatten().count(), 90);
        assert!(right[..40].iter().flatten().all(|(chunk, _)| chunk.pack == 0));
        assert!(right[40..90].iter().flatten().all(|(chunk, _)| chunk.pack == 1), "the newest copy");
        let right = answers(good.clone(), name, 9);
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1 << (at % 8);
            for (answer, right) in answers(bad, name, 9).iter().zip(&right) {
                let Some((chunk, frame)) = answer else { continue };
                let (right_chunk, right_frame) = right.as_ref().unwrap();
                assert_eq!(chunk, right_chunk);
                assert!(frame.is_none() || frame == right_frame);
            }
            assert_eq!(answers(good[..at].to_vec(), name, 9), [], "a cut at {at}");
        }
    }

    #[test]
    fn a_damaged_segment_says_so() {
        let (name, mut bytes) = written();
        bytes[HEADER_LEN] ^= 1;
        let segment = Content::open(Source::Memory(bytes), name, &KEY).unwrap();
        assert!(segment.is_usable());
        let failed =
            (0..100).filter(|number| segment.find(&mut Near::new(), &id(*number), |_, _| true).is_err()).count();
        assert!(failed > 0 && !segment.is_usable());
    }

    #[test]
    fn the_name_depends_on_all_that_a_segment_holds() {
        let (name, bytes) = written();
        let mut other = draft();
        assert_eq!(other.id(&KEY), name);
        other.move_last_chunk();
        assert_ne!(other.id(&KEY), name);
        assert_ne!(draft().id(&LocalKey::new([4; 32])), name);
        assert!(Content::open(Source::Memory(bytes.clone()), other.id(&KEY), &KEY).is_err());
        assert!(Content::open(Source::Memory(bytes), name, &LocalKey::new([4; 32])).is_err());
    }

    #[test]
    fn the_layout_is_as_described() {
        let (name, bytes) = written();
        let meta_len: u32 = 32 + 2 * 52 + 2 * 8 + 4 * 8 + 2 * 120;
        let filter_at = 4096 + 100 * 64 + 2 * 64 + meta_len + 16;
        assert_eq!(bytes.len(), filter_at as usize + 4 * 64 + 16);
        assert_eq!((&bytes[..8], &bytes[12..28]), (&b"VELLUMIX"[..], &name.0[..]));
        let numbers = [28, 32, 36, 40, 44, 52, 60, 68, 76].map(|at| u32_at(&bytes, at));
        assert_eq!(numbers, [1, 2, 2, 2, 100, meta_len, filter_at, 4 * 64, 2]);
        assert_eq!(Header::decode(&bytes).unwrap().encode(), bytes[..4080]);
    }

    /// Damage anywhere near makes an absence an error too, not only a wrong place.
    #[test]
    fn an_absence_is_verified_as_well() {
        let (name, good) = written();
        let absent: Vec<ChunkId> = (100..250).map(id).collect();
        for record in 0..100 {
            let mut bad = good.clone();
            bad[HEADER_LEN + record * SEALED_LEN..][..32].fill(if record < 50 { 0xFF } else { 0 });
            let segment = Content::open(Source::Memory(bad), name, &KEY).unwrap();
            let chunk = (0..100).map(id).filter(|id| segment.find(&mut Near::new(), id, |_, _| true).is_err()).count();
            assert!(chunk > 0, "the chunk of record {record} cannot be called absent");
            assert!(
                absent
                    .iter()
                    .all(|id| segment.find(&mut Near::new(), id, |_, _| true).map_or(true, |found| found.is_none()))
            );
        }
    }
}
