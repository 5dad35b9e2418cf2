//! Throughput of the chunking functions over 256 MiB of random data, beside the crate `fastcdc` with its public tables
//! and a plain read of the same memory.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fastcdc::v2020::FastCDC;
use vellum_chunker::{Algorithm, Chunker, Sizes};

const LENGTH_BYTES: usize = 256 << 20;
const KEY: [u8; 32] = [7; 32];

fn random_data() -> Vec<u8> {
    let mut data = vec![0; LENGTH_BYTES];
    blake3::Hasher::new().update(b"vellum benches").finalize_xof().fill(&mut data);
    data
}

fn count_chunks(chunker: &Chunker, mut data: &[u8]) -> usize {
    let mut count = 0;
    while !data.is_empty() {
        data = &data[chunker.cut(data)..];
        count += 1;
    }
    count
}

fn sum_words(data: &[u8]) -> u64 {
    data.as_chunks().0.iter().fold(0, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}

fn chunkers(criterion: &mut Criterion) {
    let data = random_data();
    let mut group = criterion.benchmark_group("chunkers");
    group.throughput(Throughput::Bytes(LENGTH_BYTES as u64)).sample_size(10);
    group.bench_function("memory read", |bencher| bencher.iter(|| sum_words(black_box(&data))));
    for (label, [min, avg, max]) in
        [("64 KiB", [16 << 10, 64 << 10, 256 << 10]), ("1 MiB", [1 << 18, 1 << 20, 1 << 22])]
    {
        let sizes = Sizes::new(min, avg, max).expect("both sets of sizes keep the rules");
        for algorithm in [Algorithm::Phte128, Algorithm::Window, Algorithm::Gear] {
            for (way, chunker) in Chunker::each_way(algorithm, sizes, &KEY) {
                let id = BenchmarkId::new(format!("{}, {way}", algorithm.name()), label);
                group.bench_with_input(id, &chunker, |bencher, chunker| {
                    bencher.iter(|| count_chunks(chunker, black_box(&data)));
                });
            }
        }
        let [min, avg, max] = [min, avg, max].map(|size| size as usize);
        group.bench_function(BenchmarkId::new("fastcdc unkeyed", label), |bencher| {
            bencher.iter(|| FastCDC::new(black_box(&data), min, avg, max).count());
        });
    }
    group.finish();
}

criterion_group!(benches, chunkers);
criterion_main!(benches);
