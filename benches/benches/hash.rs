//! Digest and id of a chunk: keyed BLAKE3, twice.

mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use support::brief_group;
use vellum::bench::Sample;
use vellum_crypto::{DedupKeys, Secret};
use vellum_format::content::ChunkKind;

/// The lengths of a small file, of an average chunk and of a frame.
const LENGTHS: [(&str, usize); 3] = [("4 KiB", 4 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20)];

fn hash(criterion: &mut Criterion) {
    let mut names = DedupKeys::derive(&Secret::copy_of(&[7; 32])).chunk_hasher();
    let mut group = brief_group(criterion, "hash");
    for (label, len) in LENGTHS {
        let chunk = Sample::Random.bytes(1, len);
        group.throughput(Throughput::Bytes(len as u64)).bench_function(label, |bencher| {
            bencher.iter(|| {
                let digest = names.digest(ChunkKind::Data, black_box(&chunk));
                names.chunk_id(&digest)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, hash);
criterion_main!(benches);
