//! Parity of a pack of the default length: adding it, and healing by it.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use vellum_format::ObjectId;
use vellum_repository::{add_parity, heal_pack};

const BODY_LEN: usize = 32 << 20;

fn body() -> Vec<u8> {
    let mut bytes = vec![0; BODY_LEN];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn parity(criterion: &mut Criterion) {
    let body = body();
    let mut group = criterion.benchmark_group("parity of 32 MiB");
    group.sample_size(20).throughput(Throughput::Bytes(BODY_LEN as u64));
    // The pack is there with room for its parity, as where a backup finishes it.
    let with_room = || {
        let mut pack = Vec::with_capacity(BODY_LEN + BODY_LEN / 8);
        pack.extend_from_slice(&body);
        pack
    };
    group.bench_function("add", |bencher| {
        bencher.iter_batched(
            with_room,
            |mut pack| {
                add_parity(&mut pack);
                black_box(pack)
            },
            BatchSize::LargeInput,
        );
    });
    group.bench_function("name", |bencher| bencher.iter(|| ObjectId::of(black_box(&body))));
    let mut pack = body.clone();
    add_parity(&mut pack);
    let id = ObjectId::of(&pack);
    for shards in [1, 4] {
        let mut damaged = pack.clone();
        (0..shards).for_each(|shard| damaged[shard * (BODY_LEN / 8) + 5] ^= 1);
        group.bench_function(format!("heal {shards} shards"), |bencher| {
            bencher.iter(|| heal_pack(black_box(&damaged), &id).expect("within the guarantee"));
        });
    }
    group.finish();
}

criterion_group!(benches, parity);
criterion_main!(benches);
