//! What operations may cost, counted in storage calls: a promise that no clock can make.

use crate::support::{self, Versions, backup, create, open};
use std::collections::BTreeMap;
use std::sync::Arc;
use vellum::format::content::ChunkKind;
use vellum::format::{ObjectKind, ObjectName};
use vellum::storage::MemoryStorage;
use vellum::{CheckOptions, KeyFile, LocalState, Repository, SnapshotRef};
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

/// A repository with two snapshots of files that do not compress, of which the second has every other folder only.
fn half_is_gone() -> (Arc<RecordingStorage<MemoryStorage>>, Repository, Versions) {
    let names: Vec<String> = (0..80).map(|number| format!("folder-{:02}/file-{number}", number / 4)).collect();
    let files: Vec<(&str, usize, u64)> = names.iter().zip(0..).map(|(name, seed)| (&**name, 50_000, seed)).collect();
    let rest: Vec<(&str, usize, u64)> = files.iter().copied().filter(|(_, _, seed)| seed / 4 % 2 == 0).collect();
    let versions = Versions::of_files(&[&files, &rest]);
    let key = KeyFile::generate().expect("randomness");
    let storage = Arc::new(RecordingStorage::new(MemoryStorage::new()));
    let repository = create(Arc::<RecordingStorage<_>>::clone(&storage), &key, &LocalState::None);
    backup(&repository, versions.path(0));
    backup(&repository, versions.path(1));
    storage.clear();
    (storage, repository, versions)
}

/// How often each pack was read whole.
fn packs_got(storage: &RecordingStorage<MemoryStorage>) -> BTreeMap<ObjectName, usize> {
    let mut got = BTreeMap::new();
    let calls = storage.calls().into_iter().filter(|call| call.operation == Operation::Get);
    for name in calls.filter_map(|call| call.name).filter(|name| name.kind == ObjectKind::Pack) {
        *got.entry(name).or_default() += 1;
    }
    got
}

#[test]
fn one_file_of_many_costs_the_folders_above_it_and_itself() {
    let (storage, repository, versions) = half_is_gone();
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let (file, target) = (versions.path(1).join("folder-10/file-41"), scratch.path().join("file-41"));
    let report = support::restore(&repository, &SnapshotRef::Latest(0), &file, &target);
    assert_eq!((report.files, report.problem_count), (1, 0));
    let reads = storage.count(Operation::GetRange);
    let [trees, all] = [true, false].map(|only_trees| frames(&repository, only_trees));
    // A file of 50,000 bytes lies in at most two frames of 64 KiB.
    assert!(reads <= trees + 2 && trees + 2 < all / 4, "{reads} reads, {trees} frames of folders, {all} frames");
    assert!(packs_got(&storage).is_empty(), "nothing is read whole");
}

#[test]
fn a_check_reads_folders_once_and_whole_packs_only_when_it_is_asked_to_and_then_once() {
    let (storage, repository, _versions) = half_is_gone();
    let report = vellum::check(&repository, &CheckOptions::default(), &support::threads(1)).expect("a check");
    assert_eq!((report.finding_count, report.snapshots), (0, 2));
    let (reads, trees) = (storage.count_of(Operation::GetRange, ObjectKind::Pack), frames(&repository, true));
    assert!(reads <= trees, "{trees} frames of folders are read {reads} times");
    assert!(packs_got(&storage).is_empty(), "the data is not read");
    assert!(storage.calls().iter().all(|call| !call.operation.is_write()), "a check changes nothing");
    storage.clear();
    assert_eq!(support::check(&repository).finding_count, 0);
    let packs = repository.names(ObjectKind::Pack).expect("memory").into_keys();
    let once: BTreeMap<ObjectName, usize> = packs.map(|id| (ObjectName { kind: ObjectKind::Pack, id }, 1)).collect();
    assert_eq!(packs_got(&storage), once);
}

#[test]
fn a_prune_reads_folders_and_what_moves_and_deletes_what_it_says() {
    let (storage, repository, _versions) = half_is_gone();
    vellum::prune(&repository, &support::prune_at_once(), &support::threads(1)).expect("a prune");
    assert!(storage.count(Operation::GetRange) <= frames(&repository, true), "folders are all that is needed to mark");
    let changes = |operation| (storage.count(operation), storage.count_of(operation, ObjectKind::Intent));
    assert_eq!(
        [changes(Operation::Put), changes(Operation::Delete)],
        [(1, 1); 2],
        "only its own intent comes and goes"
    );
    assert!(packs_got(&storage).is_empty(), "no data is read");

    let oldest = repository.snapshots().expect("memory").snapshots.remove(0);
    support::remove(&repository, oldest.id).expect("a tombstone");
    storage.clear();
    let report = vellum::prune(&repository, &support::prune_all_at_once(), &support::threads(1)).expect("a prune");
    let (got, written) = (packs_got(&storage), storage.count_of(Operation::Put, ObjectKind::Pack));
    assert!(report.packs_repacked > 0 && report.packs_deleted > 0, "{report:?}");
    assert!(got.values().all(|times| *times == 1), "what moves is read once, and what was written is read back once");
    assert_eq!(got.len() as u64, report.packs_repacked + written as u64, "{report:?}");
    assert_eq!(storage.count_of(Operation::Delete, ObjectKind::Pack) as u64, report.packs_deleted);
}
