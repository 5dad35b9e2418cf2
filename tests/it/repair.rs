//! Repair: what is damaged is stored anew, what is lost is named, and nothing else changes.
//!
//! I19: repair only adds, a healthy repository keeps every byte, and a run that was killed is made again.

use crate::support::{
    self, NOW, Objects, Versions, files_below, names, objects, put_all, stored_tree, threads, try_backup, try_check,
};
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;
use vellum::format::snapshot::Timestamp;
use vellum::format::{ObjectId, ObjectKind, ObjectName};
use vellum::storage::{LocalStorage, MemoryStorage, Put, Storage, StorageError, forward};
use vellum::{
    BackupOptions, Error, KeyFile, LocalState, PruneOptions, REPAIRED_TAG, RepairOptions, RepairReport, Repository,
    repair_index, repair_packs, repair_snapshots,
};
use vellum_testkit::{Fault, FaultKind, FaultMoment, FaultyStorage, Operation, RecordingStorage, SimDisk, lock};

/// A repository with two snapshots that share what they can.
struct Scene {
    key: KeyFile,
    versions: Versions,
    snapshots: Vec<ObjectId>,
    storage: MemoryStorage,
}

impl Scene {
    fn new() -> Self {
        Self::of(versions(), 2)
    }

    fn of(versions: Versions, count: usize) -> Self {
        let key = KeyFile::generate().expect("randomness");
        let storage = Arc::new(MemoryStorage::new());
        let repository = support::create(Arc::<MemoryStorage>::clone(&storage), &key, &LocalState::None);
        let snapshots =
            (0..count).map(|number| try_backup(&repository, versions.path(number), &threads(1)).expect("a backup"));
        let snapshots = snapshots.collect();
        drop(repository);
        let storage = (*storage).clone();
        Self { key, versions, snapshots, storage }
    }

    fn open(&self) -> (Repository, Arc<MemoryStorage>) {
        let storage = Arc::new(self.storage.clone());
        (support::open(Arc::<MemoryStorage>::clone(&storage), &self.key, &LocalState::None), storage)
    }

    fn change(&self, name: &ObjectName, change: impl FnOnce(&mut Vec<u8>)) {
        support::change(&self.storage, name, change);
    }

    fn names(&self, kind: ObjectKind) -> Vec<ObjectName> {
        names(&self.storage, kind)
    }

    /// The largest pack of the first backup: it holds data that both snapshots need.
    fn data_pack(&self) -> ObjectName {
        let largest = self.names(ObjectKind::Pack).into_iter().max_by_key(|name| self.storage.len(name).ok());
        largest.expect("a pack")
    }

    /// More than parity makes good.
    fn ruin(&self, pack: &ObjectName) {
        self.change(pack, |bytes| (0..bytes.len().min(8 * 4096)).step_by(4096).for_each(|at| bytes[at + 200] ^= 1));
    }
}

fn versions() -> Versions {
    Versions::of_files(&[
        &[("a", 90_000, 1), ("b", 10_000, 2), ("folder/c", 46_000, 3), ("folder/deeper/e", 30_000, 5)],
        &[("a", 90_000, 1), ("b", 12_000, 6), ("folder/c", 46_000, 3), ("folder/deeper/e", 30_000, 5)],
    ])
}

fn options() -> RepairOptions {
    RepairOptions::new(NOW)
}

type Repair = fn(&Repository) -> Result<RepairReport, Error>;

/// Every repair, by its name.
fn repairs() -> [(&'static str, Repair); 3] {
    [
        ("index", |repository| repair_index(repository, &options(), &threads(1))),
        ("packs", |repository| repair_packs(repository, &options(), &threads(2))),
        ("snapshots", |repository| repair_snapshots(repository, &options(), &threads(2))),
    ]
}

#[test]
fn a_healthy_repository_keeps_every_byte() {
    let scene = Scene::new();
    for (name, repair) in repairs() {
        let storage = Arc::new(RecordingStorage::new(scene.storage.clone()));
        let repository = support::open(Arc::<RecordingStorage<_>>::clone(&storage), &scene.key, &LocalState::None);
        let report = repair(&repository).expect("a repair");
        assert!(report.findings.is_empty() && report.mended.is_empty() && report.snapshots.is_empty(), "{name}");
        let changes = [Operation::Put, Operation::Replace, Operation::Delete].map(|change| storage.count(change));
        assert_eq!(changes, [0, 0, 0], "repair {name} of a healthy repository writes");
        assert_eq!(objects(storage.inner()), objects(&scene.storage), "{name}");
        let packs = scene.names(ObjectKind::Pack).into_iter().filter(|_| name != "index");
        let lens: Vec<u64> = packs.map(|pack| scene.storage.len(&pack).expect("memory")).collect();
        assert_eq!((report.packs_read, report.bytes_read), (lens.len() as u64, lens.iter().sum()), "{name}");
    }
}

/// Of every object but packs, one copy is harmed in every way; then it is as before.
#[test]
fn a_broken_copy_is_stored_anew_from_the_other() {
    let mut scene = Scene::new();
    let healthy = objects(&scene.storage);
    let storage = scene.storage.clone();
    let truncate: fn(&mut Vec<u8>) = |bytes| bytes.truncate(bytes.len() / 2);
    let flip: fn(&mut Vec<u8>) = |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    };
    for name in healthy.keys().filter(|name| name.kind != ObjectKind::Pack) {
        for harm in [Some(truncate), Some(flip), None] {
            scene.storage = storage.clone();
            match harm {
                Some(harm) => scene.change(name, harm),
                None => scene.storage.delete(name).expect("memory"),
            }
            let storage = Arc::new(RecordingStorage::new(scene.storage.clone()));
            let repository = support::open(Arc::<RecordingStorage<_>>::clone(&storage), &scene.key, &LocalState::None);
            let is_snapshot = matches!(name.kind, ObjectKind::Snapshot | ObjectKind::SnapshotMirror);
            let report = match is_snapshot && harm.is_some() {
                true => repair_snapshots(&repository, &options(), &threads(1)),
                false => repair_index(&repository, &options(), &threads(1)),
            };
            let report = report.expect("a repair");
            assert_eq!((report.mended, report.findings), (vec![*name], Vec::new()), "{name}, {harm:?}");
            assert!(objects(storage.inner()) == healthy, "{name}: everything is as it was");
            let calls: Vec<Operation> = storage.calls().into_iter().map(|call| call.operation).collect();
            let replaced = calls.iter().rposition(|call| *call == Operation::Replace).expect("it was stored anew");
            assert!(calls[replaced..].contains(&Operation::Sync), "{name}: what was stored anew is durable");
        }
    }
}

/// Who wrote it may be about to store it, or to delete the other one.
#[test]
fn a_missing_copy_of_a_record_of_deletion_is_left_to_who_wrote_it_and_a_damaged_one_is_not() {
    let mut scene = Scene::new();
    let (repository, pruned) = scene.open();
    support::remove(&repository, scene.snapshots[0]).expect("a removal");
    vellum::prune(&repository, &PruneOptions::new(NOW), &threads(1)).expect("a prune");
    let kinds =
        [ObjectKind::Tombstone, ObjectKind::TombstoneMirror, ObjectKind::Condemned, ObjectKind::CondemnedMirror];
    for name in kinds.into_iter().flat_map(|kind| names(&*pruned, kind)) {
        for is_missing in [true, false] {
            scene.storage = (*pruned).clone();
            match is_missing {
                true => scene.storage.delete(&name).expect("memory"),
                false => scene.change(&name, |bytes| bytes[40] ^= 1),
            }
            let (repository, storage) = scene.open();
            let report = repair_index(&repository, &options(), &threads(1)).expect("a repair");
            assert_eq!(report.mended, if is_missing { Vec::new() } else { vec![name] }, "{name}");
            assert_eq!(report.findings, [], "{name}");
            assert_eq!(storage.len(&name).is_err(), is_missing, "{name}");
        }
    }
}

#[test]
fn packs_that_no_catalog_lists_are_listed_again() {
    let scene = Scene::new();
    for kind in [ObjectKind::Catalog, ObjectKind::CatalogMirror] {
        scene.names(kind).iter().for_each(|name| scene.storage.delete(name).expect("memory"));
    }
    let packs = scene.names(ObjectKind::Pack).len() as u64;
    let (repository, storage) = scene.open();
    let report = repair_index(&repository, &options(), &threads(1)).expect("a repair");
    assert_eq!((report.packs_listed, report.findings), (packs, Vec::new()));
    let repository = support::open(storage, &scene.key, &LocalState::None);
    assert_eq!(try_check(&repository, &threads(1)).expect("a check").findings, []);
    for (number, id) in scene.snapshots.iter().enumerate() {
        support::assert_holds(&repository, *id, scene.versions.path(number), scene.versions.manifest(number));
    }
}

#[test]
fn damaged_packs_are_stored_anew_as_they_were() {
    let scene = Scene::new();
    let before = objects(&scene.storage);
    let packs = scene.names(ObjectKind::Pack);
    for (number, pack) in packs.iter().enumerate() {
        scene.change(pack, |bytes| match number % 3 {
            0 => bytes[100] ^= 1,
            1 => bytes.truncate(bytes.len() - 5_000),
            _ => bytes.extend_from_slice(b"more"),
        });
    }
    let (repository, storage) = scene.open();
    let report = repair_packs(&repository, &options(), &threads(2)).expect("a repair");
    assert_eq!((report.mended, report.findings), (packs, Vec::new()));
    assert!(objects(&*storage) == before, "bit for bit");
    assert_eq!(repository.healed_packs(), [], "nothing is damaged any more");
    let repository = support::open(storage, &scene.key, &LocalState::None);
    assert_eq!(try_check(&repository, &threads(1)).expect("a check").findings, []);
}

#[test]
fn what_parity_cannot_heal_is_named_with_every_path_it_costs() {
    let scene = Scene::new();
    let pack = scene.data_pack();
    scene.ruin(&pack);
    let before = objects(&scene.storage);
    let (repository, storage) = scene.open();
    let report = repair_packs(&repository, &options(), &threads(1)).expect("a repair");
    assert!(report.findings.iter().any(|one| one.object == Some(pack) && one.path.is_none()), "{:?}", report.findings);
    for (number, id) in scene.snapshots.iter().enumerate() {
        let told: BTreeSet<Vec<u8>> = paths(&report, *id);
        let lost = lost_files(&repository, *id, &scene.versions, number);
        assert!(!lost.is_empty() && told == lost, "snapshot {number} has lost {lost:?}, told is {told:?}");
    }
    assert!(objects(&*storage) == before, "nothing could be done, and nothing was");
}

/// The paths of a snapshot that a report names.
fn paths(report: &RepairReport, snapshot: ObjectId) -> BTreeSet<Vec<u8>> {
    let paths = report.findings.iter().filter_map(|finding| finding.path.as_ref());
    paths.filter(|(id, _)| *id == snapshot).map(|(_, path)| path.clone()).collect()
}

/// The files of a snapshot that cannot be read, by their paths in the snapshot.
fn lost_files(repository: &Repository, id: ObjectId, versions: &Versions, number: usize) -> BTreeSet<Vec<u8>> {
    let source = versions.path(number);
    let tree = stored_tree(repository, &support::snapshot(repository, id), source).expect("trees are undamaged");
    let all = versions.manifest(number).keys();
    let lost = all.filter(|path| !tree.manifest.contains_key(*path));
    lost.map(|path| [&source.as_os_str().as_bytes()[1..], b"/", path].concat()).collect()
}

#[test]
fn a_snapshot_that_lost_something_gets_one_of_what_is_left() {
    let scene = Scene::new();
    let pack = scene.data_pack();
    scene.ruin(&pack);
    let (repository, storage) = scene.open();
    let before = objects(&*storage);
    let report = repair_snapshots(&repository, &options(), &threads(1)).expect("a repair");
    assert_eq!(report.snapshots.len(), 2, "both need the pack: {:?}", report.snapshots);
    for repaired in &report.snapshots {
        let number = scene.snapshots.iter().position(|id| *id == repaired.id).expect("one of the two");
        let new = repaired.repaired.expect("something is left");
        assert!(!repaired.was_there);
        let (old, new) = (support::snapshot(&repository, repaired.id), support::snapshot(&repository, new));
        assert_eq!(new.manifest.time, old.manifest.time);
        assert_eq!((&new.manifest.host, &new.manifest.paths), (&old.manifest.host, &old.manifest.paths));
        assert_eq!(new.manifest.tags, [&old.manifest.tags[..], &[REPAIRED_TAG.to_owned()]].concat());
        let summaries = [old.manifest.summary, new.manifest.summary];
        let source = scene.versions.path(number);
        let (old, new) = (stored_tree(&repository, &old, source), stored_tree(&repository, &new, source));
        let (old, new) = (old.expect("its trees are whole"), new.expect("it is whole"));
        assert_eq!(new.problems, Vec::<String>::new(), "all that it names is there");
        assert_eq!(new.manifest, old.manifest, "all that was left is in it, and nothing else");
        assert!(repaired.lost > 0 && paths(&report, repaired.id).len() as u64 == repaired.lost);
        assert_eq!([summaries[1].files, summaries[0].errors], [summaries[0].files - repaired.lost, 0]);
        assert_eq!(summaries[1].errors, repaired.lost);
    }
    let after = objects(&*storage);
    assert!(before.iter().all(|(name, bytes)| after.get(name) == Some(bytes)), "it only adds");

    let again = support::open(Arc::<MemoryStorage>::clone(&storage), &scene.key, &LocalState::None);
    let report = repair_snapshots(&again, &options(), &threads(1)).expect("a repair");
    assert!(report.snapshots.iter().all(|snapshot| snapshot.was_there), "{:?}", report.snapshots);
    assert!(objects(&*storage) == after, "once is enough");
}

#[test]
fn each_snapshot_has_its_own_of_what_is_left_and_it_is_made_again_when_it_went() {
    let mut scene = Scene::new();
    let (repository, storage) = scene.open();
    let mut options_of_later = BackupOptions::new([scene.versions.path(0).to_owned()]);
    options_of_later.time = Timestamp { seconds: NOW.seconds + 60, nanoseconds: 0 };
    let later = vellum::backup(&repository, &options_of_later, &threads(1)).expect("a backup").snapshot.expect("one");
    let root = |id| support::snapshot(&repository, id).manifest.root.content().expect("a snapshot");
    assert_eq!(root(later), root(scene.snapshots[0]), "the same at another time");
    drop(repository);
    scene.storage = (*storage).clone();
    scene.ruin(&scene.data_pack());

    let (repository, _storage) = scene.open();
    let repair = || repair_snapshots(&repository, &options(), &threads(1)).expect("a repair").snapshots;
    let first = repair();
    let made: BTreeSet<ObjectId> = first.iter().filter_map(|one| one.repaired).collect();
    assert_eq!((first.len(), made.len()), (3, 3), "{first:?}");
    let gone = first.iter().find(|one| one.id == later).and_then(|one| one.repaired).expect("it was made");
    support::remove(&repository, gone).expect("a removal");
    for one in repair() {
        assert_eq!(one.was_there, one.id != later, "{one:?}");
        let manifest = support::snapshot(&repository, one.repaired.expect("something is left")).manifest;
        assert_eq!(manifest.time, support::snapshot(&repository, one.id).manifest.time);
    }
}

/// Folders of one content are gone into once: what the first has lost, the other has lost too.
#[test]
fn a_folder_that_lost_the_same_as_another_is_told_and_has_what_is_left_of_it() {
    let twins = [("one/a", 90_000, 1), ("one/b", 60_000, 2), ("other/a", 90_000, 1), ("other/b", 60_000, 2)];
    let files = [&[("before", 20_000, 3)], &twins[..]].concat();
    let versions = Versions::of_files(&[&files]);
    for (path, ..) in twins {
        let file = File::options().write(true).open(versions.path(0).join(path)).expect("a file");
        file.set_modified(SystemTime::UNIX_EPOCH).expect("a time");
    }
    let scene = Scene::of(versions, 1);
    scene.ruin(&scene.data_pack());
    let (repository, _storage) = scene.open();
    let report = repair_snapshots(&repository, &options(), &threads(1)).expect("a repair");
    let source = scene.versions.path(0).as_os_str().as_bytes();
    let full = |path: &str| [&source[1..], b"/", path.as_bytes()].concat();
    assert_eq!(paths(&report, scene.snapshots[0]), BTreeSet::from([full("before"), full("one/a"), full("other")]));
    let new = support::snapshot(&repository, report.snapshots[0].repaired.expect("something is left"));
    let summary = support::snapshot(&repository, scene.snapshots[0]).manifest.summary;
    let left = [summary.files - 3, summary.bytes - 20_000 - 2 * 90_000];
    assert_eq!([new.manifest.summary.files, new.manifest.summary.bytes], left);
    let tree = stored_tree(&repository, &new, scene.versions.path(0)).expect("a tree");
    assert_eq!(tree.problems, Vec::<String>::new(), "all that it names is there");
    let left: Vec<&[u8]> = tree.manifest.keys().map(Vec::as_slice).filter(|path| path.contains(&b'/')).collect();
    assert_eq!(left, [&b"one/b"[..], b"other/b"]);
}

/// Whoever deletes is faster: all of these go when a repair first asks for one of them, or begins to write.
struct Vanishing {
    inner: MemoryStorage,
    going: Mutex<Vec<ObjectName>>,
}

#[deny(clippy::missing_trait_methods)]
impl Storage for Vanishing {
    forward!(|self| self.inner =>
        replace_damaged, adopt, sync, get_range, len, list, delete, release_reserve, keep_reserve, location, capabilities
    );

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StorageError> {
        if name.kind == ObjectKind::Intent {
            self.vanish()?;
        }
        self.inner.put(name, bytes)
    }

    fn get(&self, name: &ObjectName, len_bytes_max: u64) -> Result<Vec<u8>, StorageError> {
        if lock(&self.going).contains(name) {
            self.vanish()?;
        }
        self.inner.get(name, len_bytes_max)
    }
}

impl Vanishing {
    fn vanish(&self) -> Result<(), StorageError> {
        lock(&self.going).drain(..).try_for_each(|name| self.inner.delete(&name))
    }
}

#[test]
fn what_goes_while_a_repair_looks_is_no_damage_and_a_lost_pack_is_missing() {
    let scene = Scene::new();
    let vanishing = Arc::new(Vanishing { inner: scene.storage.clone(), going: Mutex::default() });
    let repository = support::open(Arc::<Vanishing>::clone(&vanishing), &scene.key, &LocalState::None);
    let copies = [ObjectKind::Snapshot, ObjectKind::SnapshotMirror];
    let [snapshot, mirror] = copies.map(|kind| ObjectName::new(kind, scene.snapshots[1]));
    *lock(&vanishing.going) = vec![snapshot, mirror];
    let report = repair_snapshots(&repository, &options(), &threads(1)).expect("a repair");
    assert_eq!((report.findings, report.mended), (Vec::new(), Vec::new()));
    assert!(lock(&vanishing.going).is_empty() && names(&vanishing.inner, ObjectKind::Snapshot).len() == 1);
    assert!(!repository.mend_copy(&snapshot).expect("memory"), "there is nothing to mend");

    // One copy is gone and the other damaged: that is no deletion.
    let bytes = scene.storage.get(&snapshot, u64::MAX).expect("memory");
    vanishing.inner.put(&mirror, &bytes[1..]).expect("memory");
    repository.mend_copy(&snapshot).expect_err("nothing gives it back");
    let report = repair_snapshots(&repository, &options(), &threads(1)).expect("a repair");
    let told: Vec<Option<ObjectName>> = report.findings.iter().map(|finding| finding.object).collect();
    assert_eq!(told, [Some(snapshot), Some(mirror)], "{:?}", report.findings);

    let pack = scene.data_pack();
    *lock(&vanishing.going) = vec![pack];
    let report = repair_packs(&repository, &options(), &threads(1)).expect("a repair");
    let told: Vec<&str> = report
        .findings
        .iter()
        .filter(|one| one.object == Some(pack) && one.path.is_none())
        .map(|one| &*one.reason)
        .collect();
    assert_eq!(told, ["it is missing"], "and that once");
    assert!(!paths(&report, scene.snapshots[0]).is_empty(), "what that costs is told");
}

#[test]
fn catalogs_that_go_when_a_repair_begins_to_write_do_not_bring_lost_files_back() {
    let scene = Scene::new();
    scene.ruin(&scene.data_pack());
    let vanishing = Arc::new(Vanishing { inner: scene.storage.clone(), going: Mutex::default() });
    let repository = support::open(Arc::<Vanishing>::clone(&vanishing), &scene.key, &LocalState::None);
    repository.refresh().expect("memory");
    let catalogs = [ObjectKind::Catalog, ObjectKind::CatalogMirror].into_iter().flat_map(|kind| scene.names(kind));
    *lock(&vanishing.going) = catalogs.collect();
    let report = repair_snapshots(&repository, &options(), &threads(1)).expect("a repair");
    assert!(lock(&vanishing.going).is_empty() && report.snapshots.len() == 2, "{:?}", report.snapshots);
    for one in &report.snapshots {
        let new = support::snapshot(&repository, one.repaired.expect("something is left"));
        let tree = stored_tree(&repository, &new, scene.versions.path(scene.versions.number_of(&new))).expect("a tree");
        assert_eq!(tree.problems, Vec::<String>::new(), "all that it names is there");
    }
}

/// What the index does not know any more it gets again from its catalogs: nothing is lost by that, and what is lost is
/// told nevertheless. Chunks and frames are in the second half of a segment, where damage is met in the middle.
#[test]
fn an_index_that_is_damaged_where_it_stands_costs_no_file() {
    for is_missing in [false, true] {
        let scene = Scene::new();
        let mut packs = scene.names(ObjectKind::Pack);
        packs.sort_by_key(|pack| scene.storage.len(pack).ok());
        match is_missing {
            true => scene.storage.delete(&packs[packs.len() - 2]).expect("memory"),
            false => scene.ruin(&scene.data_pack()),
        }
        let folder = tempfile::tempdir().expect("a scratch folder");
        let (good, state) = (folder.path().join("good"), folder.path().join("state"));
        let look = |state: &Path| {
            let storage = Arc::new(scene.storage.clone());
            let repository = support::open(storage, &scene.key, &LocalState::At(state.to_owned()));
            repair_packs(&repository, &options(), &threads(1)).expect("a repair").findings
        };
        let expected = look(&good);
        let mut segments = files_below(&good);
        segments.retain(|path| path.extension().is_some_and(|kind| kind == "segment"));
        assert!(!segments.is_empty());
        for segment in segments {
            let bytes = std::fs::read(&segment).expect("a segment");
            for at in (bytes.len() / 2..bytes.len()).step_by(bytes.len() / 12) {
                drop(std::fs::remove_dir_all(&state));
                support::copy(&good, &state);
                let mut bytes = bytes.clone();
                bytes[at] ^= 1;
                std::fs::write(state.join(segment.strip_prefix(&good).expect("below it")), bytes).expect("a segment");
                assert_eq!(look(&state), expected, "byte {at} of {} is another", segment.display());
            }
        }
    }
}

/// Who waits for it sees whom to ask.
#[test]
fn a_repair_that_writes_says_who_it_is() {
    let scene = Scene::new();
    scene.storage.delete(&scene.names(ObjectKind::CatalogMirror)[0]).expect("memory");
    let storage = Arc::new(FaultyStorage::new(scene.storage.clone()));
    let (operation, moment) = (Some(Operation::Delete), FaultMoment::SilentlyNot);
    storage.plan(Fault { operation, first: 1, count: u64::MAX, moment, kind: FaultKind::Io });
    let repository = support::open(Arc::<FaultyStorage<_>>::clone(&storage), &scene.key, &LocalState::None);
    let mut options = options();
    (options.host, options.user) = (b"host".to_vec(), "somebody".to_owned());
    repair_index(&repository, &options, &threads(1)).expect("a repair");
    let intents = repository.intents().expect("memory");
    let [(_, Some(intent))] = &intents[..] else { panic!("the repair's own: {intents:?}") };
    assert_eq!((intent.time, &*intent.host.0, &*intent.user), (NOW, &b"host"[..], "somebody"));
    assert_eq!(intent.program, options.program);
}

#[test]
fn a_snapshot_of_which_nothing_is_left_is_named() {
    let mut scene = Scene::new();
    for pack in scene.names(ObjectKind::Pack) {
        scene.storage.delete(&pack).expect("memory");
    }
    let (repository, storage) = scene.open();
    let report = repair_snapshots(&repository, &options(), &threads(1)).expect("a repair");
    assert_eq!(report.snapshots.iter().filter(|one| one.repaired.is_none()).count(), 2);
    scene.storage = (*storage).clone();
    assert_eq!(scene.names(ObjectKind::Snapshot).len(), 2, "no snapshot of nothing is made");
}

/// What a repair leaves when it is killed at any call, or loses power at any change, is no worse than before, and the
/// same repair goes on from there.
#[test]
fn a_repair_that_is_killed_goes_on() {
    for (repair_name, repair) in repairs() {
        let (world, base) = Damaged::new();
        for nth_call in 1.. {
            let disk = base.snapshot();
            let storage = LocalStorage::open_on(disk.clone()).expect("a repository");
            let dying = Arc::new(FaultyStorage::new(storage));
            let repository = support::open(Arc::<FaultyStorage<_>>::clone(&dying), &world.key, &LocalState::None);
            dying.fail_from(nth_call, FaultKind::Unreachable);
            let done = repair(&repository).is_ok();
            drop(repository);
            world.assert_goes_on(&disk, repair, &format!("repair {repair_name}, killed at call {nth_call}"));
            if done && dying.failed_count() == 0 {
                assert!(nth_call > 10, "repair {repair_name} makes more than {nth_call} calls");
                break;
            }
        }
    }
}

#[test]
fn a_repair_that_loses_power_goes_on() {
    for (repair_name, repair) in repairs() {
        let (world, base) = Damaged::new();
        let mut seen = BTreeSet::new();
        for nth_change in 1.. {
            let disk = base.snapshot();
            disk.crash_at(nth_change);
            let done = match LocalStorage::open_on(disk.clone()) {
                Ok(storage) => {
                    let repository = support::open(Arc::new(storage), &world.key, &LocalState::None);
                    repair(&repository).is_ok()
                }
                Err(_) => false,
            };
            for seed in 0..if cfg!(feature = "slow") { 3 } else { 1 } {
                let case = format!("repair {repair_name}, power cut at change {nth_change}, state {seed}");
                seen.insert(world.assert_goes_on(&disk.crash(seed), repair, &case));
            }
            if done && !disk.is_crashed() {
                break;
            }
        }
        assert!(seen.len() > 1, "repair {repair_name} is cut off before and after it did something: {seen:?}");
    }
}

/// A repository on a disk: one pack that can be healed, one that cannot, broken copies, a pack in no catalog.
struct Damaged {
    key: KeyFile,
    versions: Versions,
    snapshots: Vec<ObjectId>,
    /// What every object is when it is whole.
    whole: Objects,
}

impl Damaged {
    fn new() -> (Self, SimDisk) {
        let scene = Scene::new();
        let whole = objects(&scene.storage);
        let hopeless = scene.data_pack();
        scene.ruin(&hopeless);
        let others: Vec<ObjectName> =
            scene.names(ObjectKind::Pack).into_iter().filter(|pack| *pack != hopeless).collect();
        others.iter().for_each(|pack| scene.change(pack, |bytes| bytes[100] ^= 1));
        let catalogs = scene.names(ObjectKind::Catalog);
        for kind in [ObjectKind::Catalog, ObjectKind::CatalogMirror] {
            scene.storage.delete(&ObjectName::new(kind, catalogs[0].id)).expect("memory");
        }
        for kind in [ObjectKind::ConfigMirror, ObjectKind::Snapshot] {
            let name = scene.names(kind)[0];
            scene.change(&name, |bytes| bytes[60] ^= 1);
        }
        let disk = SimDisk::new();
        let storage = LocalStorage::create_on(disk.clone()).expect("an empty disk");
        put_all(&scene.storage, &storage);
        storage.sync().expect("a good disk");
        let Scene { key, versions, snapshots, .. } = scene;
        (Self { key, versions, snapshots, whole }, disk)
    }

    /// After a kill or power cut: nothing is worse, and the repair comes to its end. Gives how many objects were whole.
    fn assert_goes_on(
        &self,
        disk: &SimDisk,
        repair: fn(&Repository) -> Result<RepairReport, Error>,
        case: &str,
    ) -> usize {
        let open = || Arc::new(LocalStorage::open_on(disk.clone()).expect("a repository"));
        let found = objects(&*open());
        for name in self.whole.keys() {
            let is_there =
                found.contains_key(name) || matches!(name.kind, ObjectKind::Catalog | ObjectKind::CatalogMirror);
            assert!(is_there, "{case}: {name} is gone");
        }
        let whole = found.iter().filter(|(name, bytes)| ObjectName::of(name.kind, bytes) == **name).count();
        let repository = support::open(open(), &self.key, &LocalState::None);
        repair(&repository).unwrap_or_else(|error| panic!("{case}: the next run fails: {error}"));
        let again = repair(&repository).unwrap_or_else(|error| panic!("{case}: the run after it fails: {error}"));
        assert!(again.mended.is_empty() && again.packs_listed == 0, "{case}: the second run has nothing left to do");
        // And all three together leave only what is lost.
        for (name, repair) in repairs() {
            repair(&repository).unwrap_or_else(|error| panic!("{case}: repair {name} fails: {error}"));
        }
        // A pack that was healed has a directory now, so that a catalog can list it.
        repair_index(&repository, &options(), &threads(1)).unwrap_or_else(|error| panic!("{case}: {error}"));
        let repository = support::open(open(), &self.key, &LocalState::None);
        let report = try_check(&repository, &threads(1)).expect("a check");
        let others = report
            .findings
            .iter()
            .filter(|one| one.path.is_none() && one.object.is_none_or(|object| object.kind != ObjectKind::Pack));
        assert_eq!(others.collect::<Vec<_>>(), Vec::<&vellum::Finding>::new(), "{case}");
        assert_eq!(report.packs_healable, 0, "{case}: what can be healed is healed");
        for (number, id) in self.snapshots.iter().enumerate() {
            let snapshot = support::snapshot(&repository, *id);
            assert_eq!(self.versions.number_of(&snapshot), number, "{case}: the old snapshots stay");
        }
        let repaired = repository.snapshots().expect("a readable storage").snapshots;
        let repaired = repaired.iter().filter(|snapshot| snapshot.manifest.tags.iter().any(|tag| tag == REPAIRED_TAG));
        assert_eq!(repaired.count(), 2, "{case}: each damaged snapshot has one of what is left, and one only");
        whole
    }
}
