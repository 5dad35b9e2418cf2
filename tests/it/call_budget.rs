//! What operations may cost, counted in storage calls: a promise that no clock can make.

use crate::support::{self, Versions, backup, create, open};
use std::sync::Arc;
use vellum::format::ObjectKind;
use vellum::format::content::ChunkKind;
use vellum::storage::MemoryStorage;
use vellum::{KeyFile, LocalState, Repository, SnapshotRef};
use vellum_testkit::trees::{self, TreeOptions};
use vellum_testkit::{Operation, RecordingStorage};

struct Scene {
    scratch: tempfile::TempDir,
    storage: Arc<RecordingStorage<MemoryStorage>>,
    key: KeyFile,
}

impl Scene {
    fn new() -> Self {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        trees::build(&scratch.path().join("source"), 3, TreeOptions::default());
        let storage = Arc::new(RecordingStorage::new(MemoryStorage::new()));
        Self { scratch, storage, key: KeyFile::generate().expect("randomness") }
    }

    fn source(&self) -> std::path::PathBuf {
        self.scratch.path().join("source")
    }

    fn state(&self) -> LocalState {
        LocalState::At(self.scratch.path().join("state"))
    }

    fn puts(&self, kind: ObjectKind) -> usize {
        self.storage.count_of(Operation::Put, kind)
    }
}

/// The file cache trusts no entry that is younger than the clock's resolution.
fn let_the_clock_settle() {
    std::thread::sleep(std::time::Duration::from_millis(150));
}

/// Frames that catalogs list, those of trees and lists or all.
fn frames(repository: &Repository, only_trees: bool) -> usize {
    let catalogs = repository.names(ObjectKind::Catalog).expect("memory").into_keys();
    let packs = catalogs.flat_map(|id| repository.catalog(id).expect("it is undamaged").packs);
    let frames = packs.flat_map(|pack| pack.directory.frames);
    frames.filter(|frame| !only_trees || frame.kind != ChunkKind::Data).count()
}

#[test]
fn a_backup_writes_its_packs_and_one_catalog_and_one_snapshot_twice() {
    let scene = Scene::new();
    let repository = create(Arc::<RecordingStorage<_>>::clone(&scene.storage), &scene.key, &scene.state());
    scene.storage.clear();
    let report = backup(&repository, &scene.source());
    let small = [ObjectKind::Catalog, ObjectKind::CatalogMirror, ObjectKind::Snapshot, ObjectKind::SnapshotMirror];
    assert_eq!(small.map(|kind| scene.puts(kind)), [1, 1, 1, 1]);
    let packs = scene.puts(ObjectKind::Pack);
    let least = report.summary.bytes_stored.div_ceil(1 << 20);
    assert!(packs as u64 <= least + 2, "packs are full but for the last of each sort: {packs} for {least} MiB");
    assert_eq!(scene.storage.count(Operation::Get), 0, "a backup reads no whole object");
    let reads = scene.storage.count_of(Operation::GetRange, ObjectKind::Pack);
    assert_eq!(scene.storage.count(Operation::GetRange), reads, "a backup reads back what is in packs");
    assert_eq!(scene.puts(ObjectKind::Intent), 1);
    let deleted =
        (scene.storage.count(Operation::Delete), scene.storage.count_of(Operation::Delete, ObjectKind::Intent));
    assert_eq!(deleted, (1, 1), "a backup deletes nothing but its own intent");
    let frames = frames(&repository, true);
    assert!(reads > 0 && reads <= frames, "each of {frames} frames of trees and lists is read back once, not {reads}");
}

#[test]
fn an_unchanged_backup_reads_no_file_and_writes_a_snapshot_under_an_intent() {
    let scene = Scene::new();
    let_the_clock_settle();
    let repository = create(Arc::<RecordingStorage<_>>::clone(&scene.storage), &scene.key, &scene.state());
    let first = backup(&repository, &scene.source());
    drop(repository);
    let repository = open(Arc::<RecordingStorage<_>>::clone(&scene.storage), &scene.key, &scene.state());
    scene.storage.clear();
    let second = backup(&repository, &scene.source());
    assert_eq!(second.summary.files_unchanged, first.summary.files, "every file was taken over without reading");
    let puts = [ObjectKind::Intent, ObjectKind::Snapshot, ObjectKind::SnapshotMirror].map(|kind| scene.puts(kind));
    assert_eq!((scene.storage.count(Operation::Put), puts), (3, [1; 3]), "the snapshot is all that is new and stays");
    assert_eq!(scene.storage.count_of(Operation::Get, ObjectKind::Catalog), 0, "the index knows the catalog already");
}

#[test]
fn a_backup_of_a_new_file_reads_back_only_the_folders_that_are_new() {
    let scene = Scene::new();
    let repository = create(Arc::<RecordingStorage<_>>::clone(&scene.storage), &scene.key, &scene.state());
    backup(&repository, &scene.source());
    let before = frames(&repository, true);
    std::fs::write(scene.source().join("new"), b"new").expect("a scratch folder");
    scene.storage.clear();
    backup(&repository, &scene.source());
    let new = frames(&repository, true) - before;
    let reads = scene.storage.count(Operation::GetRange);
    assert!(new > 0 && reads == new, "{reads} reads for {new} new frames of trees and lists, besides {before}");
}

#[test]
fn opening_costs_a_handful_of_calls() {
    let scene = Scene::new();
    drop(create(Arc::<RecordingStorage<_>>::clone(&scene.storage), &scene.key, &scene.state()));
    scene.storage.clear();
    drop(open(Arc::<RecordingStorage<_>>::clone(&scene.storage), &scene.key, &scene.state()));
    let calls = scene.storage.calls().len();
    assert!(calls <= 8, "{calls} calls to open");
}

#[test]
fn a_restore_reads_each_frame_once_however_many_files_and_folders_are_in_it() {
    let names: Vec<String> = (0..40).map(|number| format!("folder-{:02}/file-{number}", number / 2)).collect();
    let files: Vec<(&str, usize, u64)> = names.iter().zip(0..).map(|(name, seed)| (&**name, 20_000, seed)).collect();
    let (versions, scratch) = (Versions::of_files(&[&files]), tempfile::tempdir().expect("a scratch folder"));
    let (storage, key) = (RecordingStorage::new(MemoryStorage::new()), KeyFile::generate().expect("randomness"));
    let storage = Arc::new(storage);
    let repository = create(Arc::<RecordingStorage<_>>::clone(&storage), &key, &LocalState::None);
    backup(&repository, versions.path(0));
    storage.clear();
    let (source, target) = (versions.path(0), scratch.path().join("target"));
    let report = support::restore(&repository, &SnapshotRef::Latest(0), source, &target);
    assert_eq!((report.files, report.problem_count), (40, 0));
    let (reads, frames) = (storage.count_of(Operation::GetRange, ObjectKind::Pack), frames(&repository, false));
    assert!(reads <= frames && frames < 20, "{frames} frames are read {reads} times");
    trees::assert_same_tree(source, &target);
}
