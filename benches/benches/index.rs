//! The index of one and ten million chunks: loading catalogs, finding a chunk and not finding one.

mod support;

use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use support::brief_group;
use vellum_format::catalog::{Catalog, CatalogedPack};
use vellum_format::content::ChunkKind;
use vellum_format::pack::{Compression, Directory, Frame, KeyWrap, PackedChunk};
use vellum_format::{ChunkId, ObjectId};
use vellum_index::{Index, StateFolder};
use vellum_testkit::Random;

const FRAME_CHUNKS: u64 = 16;
const PACK_FRAMES: u64 = 128;
const CATALOG_PACKS: u64 = 32;
const CATALOG_CHUNKS: u64 = CATALOG_PACKS * PACK_FRAMES * FRAME_CHUNKS;

/// As many catalogs as a repository loads at once.
const LOADED_AT_ONCE: usize = 64;

/// Ids of numbers from here on are in no catalog.
const ABSENT: u64 = 1 << 40;

fn chunk_id(number: u64) -> ChunkId {
    let mut random = Random::new(number);
    let mut bytes = [0; 32];
    bytes.as_chunks_mut().0.iter_mut().for_each(|word: &mut [u8; 8]| *word = random.next().to_le_bytes());
    ChunkId::from_bytes(bytes)
}

fn object_id(number: u64) -> ObjectId {
    ObjectId::of(&number.to_le_bytes())
}

fn frame(number: u64) -> Frame {
    const LEN: u32 = 200_000;
    let chunk = |at| PackedChunk { id: chunk_id(number * FRAME_CHUNKS + at), len_bytes: 65_000 };
    Frame {
        offset: 80 + LEN * u32::try_from(number % PACK_FRAMES).expect("it is small"),
        stored_len_bytes: LEN,
        wrap: 0,
        kind: ChunkKind::Data,
        compression: Compression::Zstd,
        salt: [0; 16],
        chunks: (0..FRAME_CHUNKS).map(chunk).collect(),
    }
}

fn pack(number: u64) -> CatalogedPack {
    let wraps = vec![KeyWrap { epoch: 1, kind: KeyWrap::SYMMETRIC, bytes: vec![1; 112] }];
    let frames = (number * PACK_FRAMES..(number + 1) * PACK_FRAMES).map(frame).collect();
    CatalogedPack { pack: object_id(number), len_bytes: 34 << 20, directory: Directory { wraps, frames } }
}

fn catalogs(chunks: u64) -> Vec<(ObjectId, Catalog)> {
    let catalog = |number: u64| {
        let packs = (number * CATALOG_PACKS..(number + 1) * CATALOG_PACKS).map(pack).collect();
        (object_id(ABSENT + number), Catalog { packs })
    };
    (0..chunks.div_ceil(CATALOG_CHUNKS)).map(catalog).collect()
}

/// Loads catalogs into an empty index, as whoever opens a repository for the first time.
fn load(folder: &StateFolder, catalogs: Vec<(ObjectId, Catalog)>) -> Index {
    let index = Index::open(folder, &[7; 32]).expect("a writable folder");
    let mut rest = catalogs.into_iter();
    loop {
        let batch: Vec<_> = rest.by_ref().take(LOADED_AT_ONCE).collect();
        if batch.is_empty() {
            return index;
        }
        index.add(batch).expect("good catalogs");
    }
}

fn index(criterion: &mut Criterion) {
    for (label, chunks) in [("1 million", 1_000_000), ("10 million", 10_000_000)] {
        let mut group = brief_group(criterion, "index");
        let count = chunks / CATALOG_CHUNKS * CATALOG_CHUNKS;
        group.sampling_mode(SamplingMode::Flat).sample_size(10).throughput(Throughput::Elements(count));
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let at = |name: &str| StateFolder::At(scratch.path().join(name));
        group.bench_function(BenchmarkId::new("load", label), |bencher| {
            let fresh = || {
                drop(std::fs::remove_dir_all(scratch.path().join("load")));
                catalogs(count)
            };
            bencher.iter_batched(fresh, |catalogs| load(&at("load"), catalogs), BatchSize::PerIteration);
        });
        let index = load(&at("kept"), catalogs(count));
        group.throughput(Throughput::Elements(1)).sampling_mode(SamplingMode::Auto);
        let mut random = Random::new(1);
        let mut next = |from: u64| {
            let number = random.below(usize::try_from(count).expect("it is small"));
            chunk_id(from + number as u64)
        };
        assert!(index.contains(&next(0)) && !index.contains(&next(ABSENT)), "what is measured is what is meant");
        for (name, from) in [("hit", 0), ("miss", ABSENT)] {
            group.bench_function(BenchmarkId::new(name, label), |bencher| {
                bencher.iter_batched(|| next(from), |id| index.lookup(black_box(&id)), BatchSize::SmallInput);
            });
        }
        group.finish();
    }
}

criterion_group!(benches, index);
criterion_main!(benches);
