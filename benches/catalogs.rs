//! Catalogs of chunks that nobody stored, for measuring the index.

use vellum_format::catalog::{Catalog, CatalogedPack};
use vellum_format::content::ChunkKind;
use vellum_format::pack::{Compression, Directory, Frame, KeyWrap, PackedChunk};
use vellum_format::{ChunkId, ObjectId};
use vellum_testkit::Random;

const FRAME_CHUNKS: u64 = 16;
const PACK_FRAMES: u64 = 32;

/// Chunks of each pack.
pub(crate) const PACK_CHUNKS: u64 = PACK_FRAMES * FRAME_CHUNKS;

/// Ids of numbers from here on are in no catalog.
pub(crate) const ABSENT: u64 = 1 << 40;

pub(crate) fn chunk_id(number: u64) -> ChunkId {
    let mut random = Random::new(number);
    let mut bytes = [0; 32];
    bytes.as_chunks_mut().0.iter_mut().for_each(|word: &mut [u8; 8]| *word = random.next().to_le_bytes());
    ChunkId::from_bytes(bytes)
}

/// One catalog of many with so many packs each. Their chunks have the numbers from 0 on.
pub(crate) fn catalog(number: u64, packs: u64) -> (ObjectId, Catalog) {
    let packs = (number * packs..(number + 1) * packs).map(pack).collect();
    (ObjectId::of(&(ABSENT + number).to_le_bytes()), Catalog { packs })
}

fn pack(number: u64) -> CatalogedPack {
    let frame = |at: u64| Frame {
        offset: 80 + 200_000 * u32::try_from(at).expect("it is small"),
        stored_len_bytes: 200_000,
        wrap: 0,
        kind: ChunkKind::Data,
        compression: Compression::Zstd,
        salt: [0; 16],
        chunks: (0..FRAME_CHUNKS)
            .map(|chunk| (number * PACK_FRAMES + at) * FRAME_CHUNKS + chunk)
            .map(|chunk| PackedChunk { id: chunk_id(chunk), len_bytes: 65_000 })
            .collect(),
    };
    let wraps = vec![KeyWrap { epoch: 1, kind: KeyWrap::SYMMETRIC, bytes: vec![1; 112] }];
    let directory = Directory { wraps, frames: (0..PACK_FRAMES).map(frame).collect() };
    CatalogedPack { pack: ObjectId::of(&number.to_le_bytes()), len_bytes: 34 << 20, directory }
}
