//! Throughput of the chunking functions over 256 MiB of random data, beside a plain read of the same memory and the
//! crates `fastcdc`, `gearhash` and `mincdc`, all of which cut by public tables.
//!
//! - `fastcdc` has the sizes and the normalisation of `gear`.
//! - `gearhash` finds positions and knows no sizes: `min` is skipped but for the 64 bytes of the hash, `max` ends the
//!   search, and one mask of `log2(avg)` bits serves for all positions. Its mean length is 1.23 times `avg` instead of
//!   1.14.
//! - `mincdc` cuts at the least of all hashes from `min` to its `max`, all of which it looks at, and has no `avg`: its
//!   `max` is `2 * avg`, so that the mean length is 1.13 times `avg`.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fastcdc::v2020::{FastCDC, Normalization};
use gearhash::Hasher;
use mincdc::{MinCdcHash4, SliceChunker};
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

fn count_gearhash_chunks(mut data: &[u8], [min, avg, max]: [usize; 3]) -> usize {
    let mask = u64::MAX << (64 - avg.ilog2());
    let mut count = 0;
    while !data.is_empty() {
        let end = data.len().min(max);
        let start = end.min(min);
        let mut hasher = Hasher::default();
        hasher.update(&data[start.saturating_sub(64)..start]);
        let found = hasher.next_match(&data[start..end], mask);
        data = &data[found.map_or(end, |length| start + length)..];
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
        group.bench_function(BenchmarkId::new("crate fastcdc", label), |bencher| {
            let chunks = |data| FastCDC::with_level(data, min, avg, max, Normalization::Level2);
            bencher.iter(|| chunks(black_box(&data)).count());
        });
        group.bench_function(BenchmarkId::new("crate gearhash", label), |bencher| {
            bencher.iter(|| count_gearhash_chunks(black_box(&data), [min, avg, max]));
        });
        group.bench_function(BenchmarkId::new("crate mincdc", label), |bencher| {
            bencher.iter(|| SliceChunker::new(black_box(&data), min, 2 * avg, MinCdcHash4::new()).count());
        });
    }
    group.finish();
}

criterion_group!(benches, chunkers);
criterion_main!(benches);
