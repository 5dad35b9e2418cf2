//! The index of one and ten million chunks: loading catalogs, finding a chunk and not finding one.

#[path = "../catalogs.rs"]
mod catalogs;
mod support;

use catalogs::{ABSENT, PACK_CHUNKS, catalog, chunk_id};
use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use support::brief_group;
use vellum_format::ObjectId;
use vellum_format::catalog::Catalog;
use vellum_index::{Index, StateFolder};
use vellum_testkit::Random;

const CATALOG_PACKS: u64 = 128;
const CATALOG_CHUNKS: u64 = CATALOG_PACKS * PACK_CHUNKS;

/// As many catalogs as a repository loads at once.
const LOADED_AT_ONCE: usize = 64;

fn catalogs(chunks: u64) -> Vec<(ObjectId, Catalog)> {
    (0..chunks.div_ceil(CATALOG_CHUNKS)).map(|number| catalog(number, CATALOG_PACKS)).collect()
}

/// Loads catalogs into an empty index, as whoever opens a repository for the first time.
fn load(folder: &StateFolder, catalogs: Vec<(ObjectId, Catalog)>) -> Index {
    let index = Index::open(folder, &[7; 32]);
    let mut rest = catalogs.into_iter();
    loop {
        let batch: Vec<_> = rest.by_ref().take(LOADED_AT_ONCE).collect();
        if batch.is_empty() {
            index.merge();
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
