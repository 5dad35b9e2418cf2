//! Sealing and opening of a frame.

mod support;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use support::brief_group;
use vellum::bench::Sample;
use vellum_crypto::{FRAME_AD_BYTES, PackKey};

/// The lengths of a small file, of an average chunk and of a frame.
const LENGTHS: [(&str, usize); 3] = [("4 KiB", 4 << 10), ("64 KiB", 64 << 10), ("1 MiB", 1 << 20)];

const SALT: [u8; 16] = [1; 16];
const AD: [u8; FRAME_AD_BYTES] = [2; FRAME_AD_BYTES];

fn seal(criterion: &mut Criterion) {
    let key = PackKey::generate().expect("randomness");
    for (label, len) in LENGTHS {
        let mut group = brief_group(criterion, "seal");
        group.throughput(Throughput::Bytes(len as u64));
        let frame = Sample::Random.bytes(1, len);
        let mut sealed = Vec::new();
        group.bench_function(format!("seal/{label}"), |bencher| {
            bencher.iter(|| {
                sealed.clear();
                key.seal_frame_into(&SALT, &AD, black_box(&frame), &mut sealed);
            });
        });
        let mut opened = Vec::new();
        group.bench_function(format!("open/{label}"), |bencher| {
            bencher.iter(|| key.open_frame_into(&SALT, &AD, black_box(&sealed), &mut opened).expect("its own seal"));
        });
        group.finish();
    }
}

criterion_group!(benches, seal);
criterion_main!(benches);
