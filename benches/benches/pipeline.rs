//! A whole first backup from a folder in memory into a storage in memory: text in many files, the same text twice, and
//! what does not compress.

mod support;

use criterion::{BatchSize, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use support::brief_group;
use vellum::bench::Sample;
use vellum::format::snapshot::Timestamp;
use vellum::storage::MemoryStorage;
use vellum::{BackupOptions, Context, CreateOptions, Credential, KeyFile, LocalState, NewSlot, Repository};

const LEN: usize = 64 << 20;

/// Lengths of files as in a source tree: few are long.
const LENGTHS: [usize; 8] = [500, 1_500, 3_000, 6_000, 9_000, 14_000, 30_000, 70_000];

fn write_text(folder: &Path) {
    let text = Sample::Text.bytes(1, LEN);
    let (mut rest, mut number) = (&text[..], 0);
    while !rest.is_empty() {
        let (file, after) = rest.split_at(LENGTHS[number % LENGTHS.len()].min(rest.len()));
        let parent = folder.join(format!("{}", number / 50));
        std::fs::create_dir_all(&parent).expect("a scratch folder");
        std::fs::write(parent.join(format!("{number}.c")), file).expect("a scratch folder");
        (rest, number) = (after, number + 1);
    }
}

fn write_random(folder: &Path) {
    std::fs::create_dir_all(folder).expect("a scratch folder");
    for (number, file) in Sample::Random.bytes(1, LEN).chunks(8 << 20).enumerate() {
        std::fs::write(folder.join(number.to_string()), file).expect("a scratch folder");
    }
}

fn empty_repository() -> Repository {
    let now = Timestamp { seconds: 1_800_000_000, nanoseconds: 0 };
    let key = KeyFile::generate().expect("randomness");
    let slot = NewSlot { credential: Credential::KeyFile(&key), label: "bench", argon2id: None, now };
    let storage = Arc::new(MemoryStorage::new());
    let created = Repository::create(storage, &CreateOptions::new(now), &[slot], &LocalState::None);
    created.expect("memory refuses nothing").repository
}

fn pipeline(criterion: &mut Criterion) {
    let scratch = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a scratch folder");
    let folder = |name: &str| scratch.path().join(name);
    write_text(&folder("text"));
    write_text(&folder("again"));
    write_random(&folder("random"));
    let mut group = brief_group(criterion, "pipeline");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    for (label, names) in
        [("text", &["text"][..]), ("the same text twice", &["text", "again"]), ("incompressible", &["random"])]
    {
        let paths: Vec<PathBuf> = names.iter().map(|name| folder(name)).collect();
        let options = BackupOptions::new(paths);
        group.throughput(Throughput::Bytes((names.len() * LEN) as u64)).bench_function(label, |bencher| {
            let backup = |repository: Repository| {
                let report = vellum::backup(&repository, &options, &Context::default()).expect("a backup");
                assert!(report.problems.is_empty());
                repository
            };
            bencher.iter_batched(empty_repository, backup, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, pipeline);
criterion_main!(benches);
