//! I13 to I15: snapshots go only after their tombstone, no history is silently shorter, and two ways of history are
//! told while writers at once are not.

use crate::support::{self, NOW, Versions, create, open, put_all, threads, try_backup, try_check};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use vellum::format::snapshot::Timestamp;
use vellum::format::{ObjectId, ObjectKind, ObjectName};
use vellum::storage::{LocalStorage, MemoryStorage, ObjectSummary, Storage, StorageError, forward};
use vellum::{
    BackupOptions, CheckOptions, Context, CreateOptions, HeadCode, HistoryFinding, KeyFile, KnownBy, LocalState,
    Removal, Repository, RepositoryError,
};
use vellum_testkit::{FaultKind, FaultyStorage, RecordingStorage, SimDisk};

/// Tombstones of one device beyond which the next one carries them over.
const TOMBSTONES_MAX: usize = 16;

/// A repository in memory and machines that use it, each with a name and local state.
struct World {
    scratch: tempfile::TempDir,
    key: KeyFile,
    storage: Arc<MemoryStorage>,
}

impl World {
    fn new() -> Self {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let source = scratch.path().join("source");
        std::fs::create_dir(&source).expect("a folder");
        std::fs::write(source.join("file"), "content").expect("a file");
        let key = KeyFile::generate().expect("randomness");
        let storage = Arc::new(MemoryStorage::new());
        drop(create(Arc::<MemoryStorage>::clone(&storage), &key, &LocalState::None));
        Self { scratch, key, storage }
    }

    fn source(&self) -> PathBuf {
        self.scratch.path().join("source")
    }

    fn state(&self, machine: &str) -> PathBuf {
        self.scratch.path().join("state").join(machine)
    }

    fn on<S: Storage + 'static>(&self, storage: &Arc<S>, machine: &str) -> Repository {
        let state = LocalState::At(self.state(machine));
        open(Arc::<S>::clone(storage), &self.key, &state).with_device_name(machine.as_bytes())
    }

    fn machine(&self, machine: &str) -> Repository {
        self.on(&self.storage, machine)
    }

    fn back_up(&self, machine: &str) -> ObjectId {
        try_backup(&self.machine(machine), &self.source(), &threads(1)).expect("a backup")
    }

    fn forget_local_state(&self, machine: &str) {
        std::fs::remove_dir_all(self.state(machine)).expect("it was there");
    }

    fn delete(&self, kind: ObjectKind, id: ObjectId) {
        // A snapshot is gone when both of its copies are; of a tombstone each copy is a test's own affair.
        let copy = kind.mirror().filter(|_| kind == ObjectKind::Snapshot);
        for kind in std::iter::once(kind).chain(copy) {
            self.storage.delete(&ObjectName::new(kind, id)).expect("memory");
        }
    }

    /// What a check by a machine finds; the data of this module is never damaged.
    fn check(&self, machine: &str) -> Vec<ObjectId> {
        findings(&self.machine(machine))
    }
}

fn findings(repository: &Repository) -> Vec<ObjectId> {
    let report = try_check(repository, &threads(1)).expect("a check");
    report.findings.iter().map(|finding| finding.object.expect("a finding of history names a record").id).collect()
}

fn listed(repository: &Repository) -> BTreeSet<ObjectId> {
    let found = repository.snapshots().expect("a readable storage");
    assert!(found.damaged.is_empty(), "{:?}", found.damaged);
    found.snapshots.iter().map(|snapshot| snapshot.id).collect()
}

fn removal(snapshots: &[ObjectId]) -> Removal {
    Removal {
        snapshots: snapshots.to_vec(),
        time: NOW,
        host: b"host".to_vec(),
        user: "user".into(),
        program: "test".into(),
        reason: "a test".into(),
    }
}

/// The ids that findings of these kinds are about.
fn shortened(findings: &[HistoryFinding]) -> Vec<(ObjectId, KnownBy)> {
    let shortened = |finding: &HistoryFinding| match finding {
        HistoryFinding::Shortened { record, known_by } => (record.id, *known_by),
        other => panic!("{other}"),
    };
    findings.iter().map(shortened).collect()
}

#[test]
fn removed_snapshots_are_gone_and_history_says_so() {
    let world = World::new();
    let ids = [world.back_up("one"), world.back_up("one"), world.back_up("two"), world.back_up("one")];
    let tombstone = world.machine("two").remove_snapshots(&removal(&ids[1..3])).expect("a removal");
    let repository = world.machine("one");
    assert_eq!(listed(&repository), [ids[0], ids[3]].into());
    assert_eq!(findings(&repository), []);
    let history = repository.history().expect("memory");
    assert_eq!((history.tombstones.len(), history.tombstones[0].id), (1, tombstone));
    let said = &history.tombstones[0].manifest;
    assert_eq!((&said.reason[..], said.user.as_str(), said.time), ("a test", "user", NOW));
    assert_eq!(said.removed.iter().copied().collect::<BTreeSet<_>>(), ids[1..3].iter().copied().collect());
    for id in &ids[1..3] {
        assert!(!repository.names(ObjectKind::Snapshot).expect("memory").contains_key(id), "its object is gone");
        assert!(matches!(repository.read_snapshot(*id), Err(RepositoryError::Damaged { .. })));
    }
    world.back_up("one");
    world.back_up("two");
    assert_eq!((world.check("one"), world.check("two"), world.check("three")), (vec![], vec![], vec![]));
}

#[test]
fn a_removal_names_what_is_there_and_can_be_repeated() {
    let world = World::new();
    let (first, second) = (world.back_up("one"), world.back_up("one"));
    let repository = world.machine("one");
    assert!(matches!(repository.remove_snapshots(&removal(&[])), Err(RepositoryError::NothingToRemove)));
    let stranger = ObjectId::of(b"no snapshot");
    let refused = repository.remove_snapshots(&removal(&[first, stranger]));
    assert!(matches!(refused, Err(RepositoryError::Damaged { object, .. }) if object.id == stranger));
    let long = Removal { reason: "x".repeat(4097), ..removal(&[first]) };
    assert!(matches!(repository.remove_snapshots(&long), Err(RepositoryError::TombstoneRefused { .. })));
    assert_eq!(listed(&repository), [first, second].into(), "a refused removal removes nothing");
    let tombstone = repository.remove_snapshots(&removal(&[first])).expect("a removal");
    assert_eq!(repository.remove_snapshots(&removal(&[first])).expect("the same again"), tombstone);
    let names = repository.names(ObjectKind::Tombstone).expect("memory");
    assert_eq!(names.into_keys().collect::<Vec<_>>(), [tombstone]);
    assert_eq!(findings(&repository), []);
}

#[test]
fn more_snapshots_than_a_tombstone_can_name_are_named_by_several() {
    let world = World::new();
    // What is damaged can be removed like anything else.
    let junk = |number: u32| {
        let bytes = number.to_le_bytes();
        let name = ObjectName::of(ObjectKind::Snapshot, &bytes);
        world.storage.put(&name, &bytes).expect("memory");
        name.id
    };
    let ids: Vec<ObjectId> = (0..65_537).map(junk).collect();
    let kept = world.back_up("one");
    let repository = world.machine("one");
    repository.remove_snapshots(&removal(&ids)).expect("a removal");
    assert_eq!(listed(&repository), [kept].into());
    let tombstones = repository.history().expect("memory").tombstones;
    let counts: Vec<usize> = tombstones.iter().map(|tombstone| tombstone.manifest.removed.len()).collect();
    assert_eq!(counts, [65_536, 1]);
    assert_eq!(tombstones[1].manifest.previous, Some(tombstones[0].id));
    assert_eq!(findings(&repository), []);
}

/// I13: the tombstone is durable under both names before the first snapshot goes.
#[test]
fn a_tombstone_is_durable_twice_before_anything_is_deleted() {
    let world = World::new();
    let first = world.back_up("one");
    world.back_up("one");
    let storage = Arc::new(RecordingStorage::new((*world.storage).clone()));
    let repository = world.on(&storage, "one");
    storage.clear();
    repository.remove_snapshots(&removal(&[first])).expect("a removal");
    let calls: Vec<String> = storage.calls().iter().map(|call| format!("{call:?}")).collect();
    let place = |what: &[&str]| {
        let found = calls.iter().position(|call| what.iter().all(|word| call.contains(word)));
        found.unwrap_or_else(|| panic!("no {what:?} in {calls:#?}"))
    };
    let last_put = place(&["Put", "Tombstone,"]).max(place(&["Put", "TombstoneMirror"]));
    let delete = place(&["Delete"]);
    let synced = calls[last_put..delete].iter().any(|call| call.contains("Sync"));
    assert!(last_put < delete && synced, "put, sync, delete: {calls:#?}");
}

/// I13, P1
#[test]
fn a_removal_survives_a_power_cut_at_any_change() {
    RemovalSweep::new(0).run(6);
}

/// The same when the tombstone replaces older ones.
#[test]
fn a_removal_that_carries_others_over_survives_a_power_cut_at_any_change() {
    RemovalSweep::new(TOMBSTONES_MAX).run(2);
}

/// A disk with three snapshots, and any number of others that were removed one by one.
struct RemovalSweep {
    key: KeyFile,
    versions: Versions,
    disk: SimDisk,
    ids: [ObjectId; 3],
}

impl RemovalSweep {
    fn new(removals_before: usize) -> Self {
        let versions: Vec<_> =
            ["a", "b", "c", "d"].into_iter().zip(1..).map(|(name, seed)| [(name, 3000, seed)]).collect();
        let versions: Vec<&[_]> = versions.iter().map(|files| &files[..]).collect();
        let (key, versions) = (KeyFile::generate().expect("randomness"), Versions::of_files(&versions));
        let disk = SimDisk::new();
        let storage: Arc<dyn Storage> = Arc::new(LocalStorage::create_on(disk.clone()).expect("an empty disk"));
        drop(support::create_with(storage, &key, &LocalState::None, &CreateOptions::new(NOW)));
        let mut sweep = Self { key, versions, disk, ids: [ObjectId::of(b""); 3] };
        for _ in 0..removals_before {
            let id = sweep.back_up(&sweep.disk, 0);
            sweep.on(&sweep.disk).remove_snapshots(&removal(&[id])).expect("a removal");
        }
        sweep.ids = [0, 1, 2].map(|number| sweep.back_up(&sweep.disk, number));
        sweep
    }

    fn on(&self, disk: &SimDisk) -> Repository {
        let storage = LocalStorage::open_on(disk.clone()).expect("a repository");
        open(Arc::new(storage), &self.key, &LocalState::None).with_device_name(b"machine")
    }

    fn back_up(&self, disk: &SimDisk, number: usize) -> ObjectId {
        try_backup(&self.on(disk), self.versions.path(number), &threads(1)).expect("a backup without a power cut")
    }

    /// Cuts the power at every change of removing the first two, and looks at some of the states each may leave.
    fn run(&self, seeds: u64) {
        let (mut states, mut halves) = (0, 0);
        for nth_change in 1.. {
            let cut = self.disk.snapshot();
            let repository = self.on(&cut);
            cut.crash_at(nth_change);
            let is_acknowledged = repository.remove_snapshots(&removal(&self.ids[..2])).is_ok();
            for seed in 0..seeds {
                states += 1;
                let case = format!("change {nth_change}, seed {seed}");
                halves += u32::from(self.examine(&cut.crash(seed), is_acknowledged, &case));
            }
            if !cut.is_crashed() {
                assert!(is_acknowledged, "without a power cut a removal succeeds");
                break;
            }
        }
        assert!(states >= 40 && halves > 0, "{states} states, {halves} of them with removed snapshots left over");
    }

    /// Whether removed snapshots are left over.
    fn examine(&self, state: &SimDisk, is_acknowledged: bool, case: &str) -> bool {
        let repository = self.on(state);
        let found = listed(&repository);
        let is_removed = found == [self.ids[2]].into();
        assert!(is_removed || (found == self.ids.into() && !is_acknowledged), "{case}: all or nothing: {found:?}");
        assert_eq!(findings(&repository), [], "{case}: a power cut is no loss of history");
        let objects = repository.names(ObjectKind::Snapshot).expect("a readable storage");
        repository.refresh().expect("a readable storage");
        for snapshot in repository.snapshots().expect("a readable storage").snapshots {
            self.versions.assert_holds(&repository, &snapshot);
        }
        // Life goes on, and what is left over goes with the next occasion.
        self.back_up(state, 3);
        let repository = self.on(state);
        repository.finish_removals().expect("a writable storage");
        let left = repository.names(ObjectKind::Snapshot).expect("a readable storage");
        assert_eq!(left.into_keys().collect::<BTreeSet<_>>(), listed(&repository), "{case}");
        let tombstones = repository.names(ObjectKind::Tombstone).expect("a readable storage");
        let history = repository.history().expect("a readable storage");
        let counted: BTreeSet<ObjectId> = history.tombstones.iter().map(|tombstone| tombstone.id).collect();
        assert_eq!(tombstones.into_keys().collect::<BTreeSet<_>>(), counted, "{case}");
        assert_eq!(findings(&repository), [], "{case}, later");
        is_removed && objects.len() > 1
    }
}

/// Tombstones do not pile up, and nothing that they said or were is forgotten.
#[test]
fn a_device_carries_over_what_its_older_tombstones_say() {
    let world = World::new();
    let kept = world.back_up("one");
    let (mut snapshots, mut tombstones) = (Vec::new(), Vec::new());
    for _ in 0..3 * TOMBSTONES_MAX {
        let repository = world.machine("one");
        let id = try_backup(&repository, &world.source(), &threads(1)).expect("a backup");
        tombstones.push(repository.remove_snapshots(&removal(&[id])).expect("a removal"));
        snapshots.push(id);
        let count = repository.names(ObjectKind::Tombstone).expect("memory").len();
        assert!(count <= TOMBSTONES_MAX, "{count} tombstones");
        let copies = repository.names(ObjectKind::TombstoneMirror).expect("memory").len();
        assert_eq!(copies, count);
        assert_eq!(repository.history_findings().expect("memory"), []);
    }
    for machine in ["one", "fresh"] {
        assert_eq!(world.check(machine), [], "by {machine}");
        let history = world.machine(machine).history().expect("memory");
        assert_eq!(history.snapshots.iter().map(|snapshot| snapshot.id).collect::<Vec<_>>(), [kept]);
        for id in snapshots.iter().chain(&tombstones) {
            assert!(history.expect_head(&HeadCode::of(id)).is_ok(), "every record that ever was is known");
        }
    }
    // Somebody else's tombstones stay as they are.
    let id = world.back_up("two");
    world.machine("two").remove_snapshots(&removal(&[id])).expect("a removal");
    assert_eq!(world.check("one"), []);
}

/// I13: a remover that was killed before his sync leaves a tombstone that others see; what they delete on its word
/// stays accounted for.
#[test]
fn what_is_deleted_on_the_word_of_a_killed_remover_stays_removed_after_a_power_cut() {
    let key = KeyFile::generate().expect("randomness");
    let versions = Versions::of_files(&[&[("a", 3000, 1)], &[("b", 3000, 2)]]);
    let base = SimDisk::new();
    let storage: Arc<dyn Storage> = Arc::new(LocalStorage::create_on(base.clone()).expect("an empty disk"));
    drop(support::create_with(storage, &key, &LocalState::None, &CreateOptions::new(NOW)));
    let storage = |disk: &SimDisk| LocalStorage::open_on(disk.clone()).expect("a repository");
    let on = |disk: &SimDisk| open(Arc::new(storage(disk)), &key, &LocalState::None);
    let ids = [0, 1].map(|number| try_backup(&on(&base), versions.path(number), &threads(1)).expect("a backup"));
    let mut killed = 0;
    for nth_call in 1.. {
        let disk = base.snapshot();
        let dying = Arc::new(FaultyStorage::new(storage(&disk)));
        let repository = open(Arc::<FaultyStorage<_>>::clone(&dying), &key, &LocalState::None);
        dying.fail_from(nth_call, FaultKind::Io);
        let removed = repository.remove_snapshots(&removal(&ids[..1]));
        dying.heal();
        let finished = on(&disk).finish_removals().expect("a writable storage");
        let objects = on(&disk).names(ObjectKind::Snapshot).expect("a readable storage");
        for seed in 0..6 {
            let repository = on(&disk.crash(seed));
            assert_eq!(findings(&repository), [], "killed at call {nth_call}, {finished} deleted");
            if !objects.contains_key(&ids[0]) {
                assert_eq!(listed(&repository), [ids[1]].into(), "killed at call {nth_call}: it stays removed");
            }
        }
        if removed.is_ok() {
            break;
        }
        killed += 1;
    }
    assert!(killed >= 8, "a removal makes more calls than {killed}");
}

/// I14: a machine remembers only what a power cut cannot take away, whoever left it behind.
#[test]
fn what_a_killed_writer_left_is_not_missed_after_a_power_cut() {
    let sweep = RemovalSweep::new(0);
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let storage = |disk: &SimDisk| LocalStorage::open_on(disk.clone()).expect("a repository");
    let mut seen_more = 0;
    for nth_call in 1.. {
        let disk = sweep.disk.snapshot();
        let dying = Arc::new(FaultyStorage::new(storage(&disk)));
        let repository = open(Arc::<FaultyStorage<_>>::clone(&dying), &sweep.key, &LocalState::None);
        dying.fail_from(nth_call, FaultKind::Io);
        let is_done = try_backup(&repository, sweep.versions.path(3), &threads(1)).is_ok();
        dying.heal();
        let state = LocalState::At(scratch.path().join(nth_call.to_string()));
        let reader = open(Arc::new(storage(&disk)), &sweep.key, &state);
        seen_more += u32::from(reader.history().expect("a readable storage").snapshots.len() > 3);
        drop(reader);
        for seed in 0..6 {
            let reader = open(Arc::new(storage(&disk.crash(seed))), &sweep.key, &state);
            assert_eq!(findings(&reader), [], "killed at call {nth_call}, seed {seed}");
        }
        if is_done {
            break;
        }
    }
    assert!(seen_more >= 2, "no reader saw a snapshot whose writer had not synced it");
}

/// I14
#[test]
fn a_snapshot_that_is_gone_without_a_tombstone_is_told() {
    let world = World::new();
    let ids = [world.back_up("one"), world.back_up("one"), world.back_up("one")];
    world.delete(ObjectKind::Snapshot, ids[1]);
    // Everybody finds it, with memory or without, because the next snapshot names it.
    assert_eq!((world.check("one"), world.check("fresh")), (vec![ids[1]], vec![ids[1]]));
    let found = world.machine("other").history_findings().expect("memory");
    assert_eq!(shortened(&found), [(ids[1], KnownBy::Record(ids[2]))]);
    // The newest is named by none; only who has seen it can tell.
    world.delete(ObjectKind::Snapshot, ids[2]);
    let found = world.machine("one").history_findings().expect("memory");
    assert_eq!(shortened(&found), [(ids[2], KnownBy::ThisMachine)]);
    world.forget_local_state("fresh");
    assert_eq!(world.check("fresh"), [], "who has seen nothing can miss nothing");
}

/// I14: a tombstone that is gone is told too, and one copy of it is enough.
#[test]
fn a_tombstone_is_there_twice_and_its_loss_is_told() {
    let world = World::new();
    let ids = [world.back_up("one"), world.back_up("one"), world.back_up("one")];
    let tombstone = world.machine("one").remove_snapshots(&removal(&ids[1..2])).expect("a removal");
    for kind in [ObjectKind::Tombstone, ObjectKind::TombstoneMirror] {
        let whole = (*world.storage).clone();
        world.delete(kind, tombstone);
        assert_eq!(world.check("fresh"), [tombstone], "a lost {} is told", kind.noun());
        assert!(!listed(&world.machine("fresh")).contains(&ids[1]), "what it removes stays removed");
        world.back_up("fresh");
        assert_eq!(world.check("fresh"), [], "the next backup puts the {} back", kind.noun());
        put_all(&whole, &world.storage);
    }
    world.delete(ObjectKind::Tombstone, tombstone);
    world.delete(ObjectKind::TombstoneMirror, tombstone);
    let lost = world.check("another");
    assert!(lost.contains(&ids[1]) && lost.contains(&tombstone), "{lost:?}");
}

/// I14, P2
#[test]
fn a_repository_that_went_back_in_time_is_told_until_it_is_accepted() {
    let world = World::new();
    let first = world.back_up("one");
    world.back_up("two");
    assert_eq!(world.check("two"), []);
    let old = (*world.storage).clone();
    let newest = world.back_up("one");
    assert_eq!(world.check("one"), []);
    let world = World { storage: Arc::new(old), ..world };
    assert_eq!(world.check("one"), [newest], "a check tells it");
    let mut options = BackupOptions::new([world.source()]);
    options.time = NOW;
    for _ in 0..2 {
        let report = vellum::backup(&world.machine("one"), &options, &threads(1)).expect("backups go on");
        assert_eq!(shortened(&report.history), [(newest, KnownBy::ThisMachine)], "a backup tells it");
    }
    assert_eq!(world.check("two"), [], "who has not seen it does not miss it");
    let mut accept = CheckOptions::default();
    accept.accept_history = true;
    let report = vellum::check(&world.machine("one"), &accept, &Context::default()).expect("a check");
    assert_eq!((report.finding_count, shortened(&report.accepted)), (0, vec![(newest, KnownBy::ThisMachine)]));
    assert_eq!(world.check("one"), [], "what was accepted is not told again");
    assert!(listed(&world.machine("one")).contains(&first));
    // What is lost after that is told as ever.
    let later = world.back_up("one");
    world.delete(ObjectKind::Snapshot, later);
    assert_eq!(world.check("one"), [later]);
}

/// I14
#[test]
fn a_check_that_ends_early_accepts_nothing() {
    let world = World::new();
    world.back_up("one");
    let newest = world.back_up("one");
    world.delete(ObjectKind::Snapshot, newest);
    let mut accept = CheckOptions::default();
    accept.accept_history = true;
    let storage = Arc::new(FaultyStorage::new((*world.storage).clone()));
    for first in 1.. {
        let machine = world.on(&storage, "one");
        storage.fail_from(first, FaultKind::Unreachable);
        let checked = vellum::check(&machine, &accept, &Context::default());
        storage.heal();
        if let Ok(report) = checked {
            assert_eq!(shortened(&report.accepted), [(newest, KnownBy::ThisMachine)]);
            assert!(first > 10, "{first}: it reads the repository");
            return;
        }
        assert_eq!(world.check("one"), [newest], "call {first}");
    }
}

/// I14
#[test]
fn the_newest_snapshot_of_one_device_cannot_be_withheld_from_who_has_seen_it() {
    let world = World::new();
    world.back_up("one");
    let withheld = world.back_up("two");
    assert_eq!(world.machine("one").history_findings().expect("memory"), []);
    let name = ObjectName::new(ObjectKind::Snapshot, withheld);
    let bytes = world.storage.get(&name, u64::MAX).expect("memory");
    world.delete(ObjectKind::Snapshot, withheld);
    assert_eq!(world.check("one"), [withheld]);
    world.back_up("one");
    assert_eq!(world.check("one"), [withheld], "own backups do not make it forget");
    for kind in [ObjectKind::Snapshot, ObjectKind::SnapshotMirror] {
        world.storage.put(&ObjectName::new(kind, withheld), &bytes).expect("memory");
    }
    assert_eq!(world.check("one"), [], "it is back");
}

/// P13: lost, old or foreign memory alarms nobody, and the device stays the same.
#[test]
fn local_state_may_go_without_an_alarm_or_a_new_device() {
    let world = World::new();
    let device = |id: ObjectId| support::snapshot(&world.machine("reader"), id).manifest.device;
    let first = world.back_up("one");
    let kept = world.scratch.path().join("kept");
    support::copy(&world.state("one"), &kept);
    let second = world.back_up("one");
    world.forget_local_state("one");
    assert_eq!(world.check("one"), []);
    let third = world.back_up("one");
    world.forget_local_state("one");
    support::copy(&kept, &world.state("one"));
    assert_eq!(world.check("one"), []);
    let fourth = world.back_up("one");
    let other = world.back_up("two");
    let all = [first, second, third, fourth];
    assert!(all.iter().all(|id| device(*id) == device(first)), "one machine, one device");
    assert_ne!(device(other), device(first));
    let sequences = all.map(|id| support::snapshot(&world.machine("reader"), id).manifest.sequence);
    assert!(sequences.is_sorted_by(|a, b| a < b), "{sequences:?}");
    assert_eq!((world.check("one"), world.check("two")), (vec![], vec![]));
}

/// P14: sequences go by what was seen, not by what clocks say.
#[test]
fn snapshots_of_any_date_keep_their_order_in_history() {
    let world = World::new();
    let at = |seconds: i64| {
        let mut options = BackupOptions::new([world.source()]);
        options.time = Timestamp { seconds, nanoseconds: 0 };
        let report = vellum::backup(&world.machine("one"), &options, &threads(1)).expect("a backup");
        assert_eq!(report.history, []);
        let id = report.snapshot.expect("a snapshot");
        support::snapshot(&world.machine("one"), id)
    };
    let snapshots = [NOW.seconds, i64::MAX / 2, -NOW.seconds, i64::MIN / 2, NOW.seconds].map(at);
    for pair in snapshots.windows(2) {
        assert!(pair[0].manifest.sequence < pair[1].manifest.sequence);
        assert_eq!(pair[1].manifest.previous, Some(pair[0].id));
    }
    let head = world.machine("one").history().expect("memory").head;
    assert_eq!(head, Some(snapshots[4].id), "the newest is who knows of all others");
    assert_eq!(world.check("one"), []);
}

/// A number never comes twice on a device, even when all that it wrote was removed and its memory is gone.
#[test]
fn sequences_go_on_after_everything_was_removed() {
    let world = World::new();
    let old = [world.back_up("one"), world.back_up("one"), world.back_up("one")];
    let last = support::snapshot(&world.machine("one"), old[2]).manifest.sequence;
    world.machine("two").remove_snapshots(&removal(&old)).expect("a removal");
    world.forget_local_state("one");
    let id = world.back_up("one");
    assert!(support::snapshot(&world.machine("one"), id).manifest.sequence > last);
    assert_eq!((world.check("one"), world.check("two")), (vec![], vec![]));
}

/// I15
#[test]
fn two_copies_of_a_repository_that_both_went_on_are_a_fork_when_they_meet() {
    let world = World::new();
    world.back_up("one");
    // The machine and its state are cloned, and each clone uses its own copy of the repository.
    let clone_storage = Arc::new((*world.storage).clone());
    support::copy(&world.state("one"), &world.state("clone"));
    let clone = || {
        let state = LocalState::At(world.state("clone"));
        let repository = open(Arc::<MemoryStorage>::clone(&clone_storage), &world.key, &state);
        try_backup(&repository.with_device_name(b"one"), &world.source(), &threads(1)).expect("a backup")
    };
    let theirs = [clone(), clone()];
    let ours = [world.back_up("one"), world.back_up("one")];
    let manifest = |id| support::snapshot(&world.machine("one"), id).manifest;
    assert_eq!(world.check("one"), []);
    put_all(&clone_storage, &world.storage);
    let (a, b) = (manifest(ours[0]), manifest(theirs[0]));
    assert_eq!((a.device, a.sequence, a.previous), (b.device, b.sequence, b.previous));
    let found = world.machine("one").history_findings().expect("memory");
    let expected: BTreeSet<ObjectId> = [ours[0], theirs[0]].into();
    match &found[..] {
        [HistoryFinding::Forked { one, other }] => assert_eq!(BTreeSet::from([one.id, other.id]), expected),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.check("fresh").len(), 1, "a check tells it to everybody");
    // Backups join the two ways and go on; it is told until somebody accepts it.
    world.back_up("one");
    assert_eq!(world.check("one").len(), 1);
    assert_eq!(world.machine("one").accept_history().expect("memory").len(), 1);
    assert_eq!(world.check("one"), []);
}

/// I15: whatever runs at the same time, as one device or several, with local state or without.
#[test]
fn writers_and_removers_at_once_look_like_neither_loss_nor_fork() {
    let world = World::new();
    world.back_up("one");
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let world = &world;
            scope.spawn(move || {
                let machine = if writer < 2 { "one" } else { "two" };
                for round in 0..14 {
                    let repository = world.machine(machine);
                    try_backup(&repository, &world.source(), &threads(1)).expect("a backup");
                    let snapshots = repository.snapshots().expect("memory").snapshots;
                    let oldest: Vec<ObjectId> = snapshots.iter().take(1).map(|snapshot| snapshot.id).collect();
                    if writer == 0 || round % 3 == writer {
                        // Two may want to remove the same; who comes second may find it gone.
                        repository.remove_snapshots(&removal(&oldest)).ok();
                    }
                    assert_eq!(repository.history_findings().expect("memory"), []);
                }
            });
        }
    });
    for machine in ["one", "two", "three"] {
        assert_eq!(world.check(machine), [], "by {machine}");
    }
    assert_eq!(world.machine("three").finish_removals().expect("memory"), 0);
}

/// Does something right after a kind of objects was listed for the first time.
struct Meddling {
    inner: Arc<MemoryStorage>,
    after: ObjectKind,
    act: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

#[deny(clippy::missing_trait_methods)]
impl Storage for Meddling {
    forward!(|self| self.inner =>
        put, replace_damaged, adopt, sync, get, get_range, len, delete, release_reserve, keep_reserve, location,
        capabilities
    );

    fn list(&self, kind: ObjectKind, visit: &mut dyn FnMut(ObjectSummary)) -> Result<(), StorageError> {
        self.inner.list(kind, visit)?;
        let act = if kind == self.after { self.act.lock().expect("one thread").take() } else { None };
        act.into_iter().for_each(|act| act());
        Ok(())
    }
}

/// I14: listings are not one moment. Whatever comes or goes between them is neither loss nor damage.
#[test]
fn what_others_do_between_two_listings_is_no_loss() {
    for after in [ObjectKind::Snapshot, ObjectKind::Tombstone, ObjectKind::TombstoneMirror] {
        for removals_before in [0, TOMBSTONES_MAX] {
            let world = World::new();
            for _ in 0..removals_before {
                let id = world.back_up("two");
                world.machine("two").remove_snapshots(&removal(&[id])).expect("a removal");
            }
            let first = world.back_up("one");
            let act = {
                let (storage, source) = (Arc::clone(&world.storage), world.source());
                let key = KeyFile::parse(&world.key.encode()).expect("a key file");
                move || {
                    let open = || open(storage.clone(), &key, &LocalState::None).with_device_name(b"two");
                    try_backup(&open(), &source, &threads(1)).expect("a backup");
                    open().remove_snapshots(&removal(&[first])).expect("a removal");
                    try_backup(&open(), &source, &threads(1)).expect("a backup");
                }
            };
            let storage = Arc::new(Meddling { inner: Arc::clone(&world.storage), after, act: Mutex::default() });
            let repository = world.on(&storage, "one");
            assert_eq!(repository.history_findings().expect("memory"), []);
            *storage.act.lock().expect("one thread") = Some(Box::new(act));
            let history = repository.history().expect("memory");
            assert!(storage.act.lock().expect("one thread").is_none(), "somebody else was there meanwhile");
            assert_eq!(history.findings, [], "after {}", after.noun());
            assert!(history.damaged.is_empty(), "after {}: {:?}", after.noun(), history.damaged);
            assert!(!listed(&repository).contains(&first));
        }
    }
}

#[test]
fn a_head_code_proves_how_far_history_reaches() {
    let world = World::new();
    let ids = [world.back_up("one"), world.back_up("two"), world.back_up("one")];
    let codes = ids.map(|id| HeadCode::of(&id));
    let old = Arc::new((*world.storage).clone());
    let newest = world.back_up("two");
    let history = world.machine("fresh").history().expect("memory");
    assert_eq!(history.head_code(), Some(HeadCode::of(&newest)));
    assert!(codes.iter().all(|code| history.expect_head(code).is_ok()), "old codes are of ancestors");
    world.machine("one").remove_snapshots(&removal(&ids[..2])).expect("a removal");
    let history = world.machine("fresh").history().expect("memory");
    assert!(codes.iter().all(|code| history.expect_head(code).is_ok()), "removed ones were there");
    let stranger = HeadCode::of(&ObjectId::of(b"another repository"));
    assert!(matches!(history.expect_head(&stranger), Err(RepositoryError::HeadUnknown { code }) if code == stranger));
    // An older state does not hold the newest code, whoever asks.
    let mut options = CheckOptions::default();
    options.head = Some(HeadCode::of(&newest));
    let refused = vellum::check(&world.on(&old, "fresher"), &options, &Context::default());
    assert!(matches!(refused, Err(vellum::Error::Repository(RepositoryError::HeadUnknown { .. }))));
    let report = vellum::check(&world.machine("fresher"), &options, &Context::default()).expect("a check");
    assert_eq!(report.finding_count, 0);
}

#[test]
fn first_sight_is_known_as_such() {
    let world = World::new();
    let is_first_sight = |machine: &str| world.machine(machine).history().expect("memory").is_first_sight;
    world.back_up("one");
    assert!(!is_first_sight("one"), "who has written remembers");
    assert!(is_first_sight("two") && !is_first_sight("two"), "who has looked remembers");
    world.forget_local_state("two");
    assert!(is_first_sight("two"));
}
