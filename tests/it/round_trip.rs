//! What goes in comes out: contents and metadata, over several snapshots, through every way of forgetting.

use crate::support::{backup, check, create, create_with, open, restore, small_packs, threads, try_backup};
use std::sync::Arc;
use vellum::storage::{LocalStorage, MemoryStorage};
use vellum::{Context, KeyFile, LocalState, Overwrite, RestoreOptions, SnapshotRef};
use vellum_testkit::Random;
use vellum_testkit::trees::{self, TreeOptions, assert_same_tree};

#[test]
fn trees_come_back_as_they_were_through_many_changes() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let source = scratch.path().join("source");
    let state = LocalState::At(scratch.path().join("state"));
    let key = KeyFile::generate().expect("randomness");
    let storage = Arc::new(LocalStorage::create(scratch.path().join("repository")).expect("a new storage"));
    let repository = create(storage, &key, &state);
    trees::build(&source, 1, TreeOptions::default());
    for round in 0..4 {
        let report = backup(&repository, &source);
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        let target = scratch.path().join(format!("target-{round}"));
        let restored = restore(&repository, &SnapshotRef::Latest(0), &source, &target);
        assert!(restored.problems.is_empty(), "{:?}", restored.problems);
        assert_same_tree(&source, &target);
        trees::mutate(&source, round, 20);
    }
    assert_eq!(check(&repository).findings, []);
}

#[test]
fn every_chunker_gives_back_what_was_stored_and_stores_it_once() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let source = scratch.path().join("source");
    trees::build(&source, 6, TreeOptions::default());
    for algorithm in ["phte128", "window", "gear"] {
        let mut options = small_packs();
        options.chunker.algorithm = algorithm.to_owned();
        let key = KeyFile::generate().expect("randomness");
        let repository = create_with(Arc::new(MemoryStorage::new()), &key, &LocalState::None, &options);
        backup(&repository, &source);
        assert_eq!(backup(&repository, &source).summary.chunks_new, 0, "{algorithm}");
        let target = scratch.path().join(algorithm);
        restore(&repository, &SnapshotRef::Latest(0), &source, &target);
        assert_same_tree(&source, &target);
    }
}

/// A long file is read by one worker and stored by all: its chunks are the same, and in their order.
#[test]
fn a_long_file_has_the_same_chunks_whoever_stores_them() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let (source, target) = (scratch.path().join("source"), scratch.path().join("target"));
    std::fs::create_dir(&source).expect("a folder");
    let mut random = Random::new(15);
    for (name, len) in [("long", 13 << 20), ("bound", 4 << 20), ("below", (4 << 20) - 1)] {
        let mut bytes = random.bytes(len);
        // Zeros too, whose chunks are all one.
        bytes[1 << 20..3 << 20].fill(0);
        std::fs::write(source.join(name), bytes).expect("a file");
    }
    let key = KeyFile::generate().expect("randomness");
    let repository = create(Arc::new(MemoryStorage::new()), &key, &LocalState::None);
    let roots = [4, 1, 2].map(|workers| {
        let before = repository.snapshots().expect("snapshots").snapshots.len();
        try_backup(&repository, &source, &threads(workers)).expect("a backup");
        let snapshots = repository.snapshots().expect("snapshots").snapshots;
        assert_eq!(snapshots.len(), before + 1);
        snapshots.last().expect("it was just stored").manifest.root.clone()
    });
    assert_eq!(roots[0], roots[1], "one worker has cut it as four have");
    assert_eq!(roots[0], roots[2]);
    restore(&repository, &SnapshotRef::Latest(0), &source, &target);
    assert_same_tree(&source, &target);
}

#[test]
fn equal_data_is_stored_once_across_sessions_and_devices() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let source = scratch.path().join("source");
    trees::build(&source, 2, TreeOptions::default());
    let key = KeyFile::generate().expect("randomness");
    let storage = Arc::new(MemoryStorage::new());
    let first = create(Arc::<MemoryStorage>::clone(&storage), &key, &LocalState::None);
    assert!(backup(&first, &source).summary.chunks_new > 0);
    let second = open(storage, &key, &LocalState::None);
    let report = backup(&second, &source);
    assert_eq!((report.summary.chunks_new, report.summary.files_unchanged), (0, 0), "all read, nothing stored");
}

#[test]
fn what_was_restored_is_verified_also_when_it_is_one_file_or_a_part_of_a_folder() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let (source, target) = (scratch.path().join("source"), scratch.path().join("target"));
    let key = KeyFile::generate().expect("randomness");
    let repository = create(Arc::new(MemoryStorage::new()), &key, &LocalState::None);
    std::fs::create_dir_all(source.join("folder")).expect("a folder");
    std::fs::write(source.join("folder/kept"), b"as saved").expect("a file");
    std::fs::write(source.join("folder/left-out"), b"not wanted").expect("a file");
    backup(&repository, &source);
    let verified = |path: &str, exclude: Option<&str>| {
        let mut options = RestoreOptions::default();
        options.subfolder = Some(source.join(path).into_os_string().into_encoded_bytes());
        (options.verify, options.overwrite) = (true, Overwrite::Never);
        if let Some(pattern) = exclude {
            options.exclude.add(pattern, false).expect("a pattern");
        }
        let restored = vellum::restore(&repository, &SnapshotRef::Latest(0), &target, &options, &Context::default());
        restored.expect("a restore").problems.into_iter().map(|problem| problem.path).collect::<Vec<_>>()
    };
    let left_out = source.join("folder/left-out").display().to_string();
    assert_eq!(verified("folder", Some(&left_out)), Vec::<Vec<u8>>::new(), "what was not wanted is not missed");
    assert!(!target.join("left-out").exists());
    std::fs::write(target.join("kept"), b"as found").expect("a file");
    let kept = target.join("kept").into_os_string().into_encoded_bytes();
    assert_eq!(verified("folder/kept", None), [kept], "it stays, and is not what was saved");
}
