//! Compression of frames of text, at the levels that `vellum bench` measures too.

mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use support::brief_group;
use vellum::bench::Sample;
use vellum_repository::Stages;

const FRAME_LEN: usize = 2 << 20;
const FRAMES: usize = 4;

fn zstd(criterion: &mut Criterion) {
    let text = Sample::Text.bytes(1, FRAMES * FRAME_LEN);
    let mut group = brief_group(criterion, "zstd");
    group.throughput(Throughput::Bytes(text.len() as u64));
    for level in [1, 3, 6] {
        let mut stages = Stages::new(level).expect("randomness and memory");
        let mut compress =
            || text.chunks(FRAME_LEN).map(|frame| stages.compress(black_box(frame)).expect("memory")).sum::<usize>();
        group.bench_function(format!("level {level}"), |bencher| {
            bencher.iter(&mut compress);
        });
    }
    group.finish();
}

criterion_group!(benches, zstd);
criterion_main!(benches);
