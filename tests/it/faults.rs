//! Calls that fail: each call of a backup, a restore and a check once, with the storage and with the disk below it.
//!
//! P7: an error is told or does not matter, never wrong bytes, a hang or a panic, and it leaves a valid repository.
//! P6: a full disk is no emergency: nothing is damaged, all can be read, and with space again all goes on.

use crate::support::{self, Versions, stored_tree, threads, try_backup, try_check};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;
use vellum::format::{ObjectId, ObjectKind, ObjectName};
use vellum::storage::{LocalStorage, MemoryStorage, Storage, StorageError};
use vellum::{
    Context, Error, Event, EventSink, KeyFile, LocalState, Repository, RepositoryError, RestoreOptions, SnapshotRef,
};
use vellum_testkit::trees::{differences, manifest};
use vellum_testkit::{
    DiskFault, DiskFaultEffect, DiskOperation, Fault, FaultKind, FaultMoment, FaultyStorage, Operation, Oracle,
    RecordingStorage, SimDisk,
};

const EIO: i32 = 5;
const ENOSPC: i32 = 28;

/// A repository with one snapshot, of the first of three versions.
struct World {
    key: KeyFile,
    versions: Versions,
    promises: Oracle<ObjectId, usize>,
}

impl World {
    /// With the storage that it lies in.
    fn new<S: Storage + 'static>(storage: S) -> (Self, Arc<S>) {
        let key = KeyFile::generate().expect("randomness");
        let versions = Versions::of_files(&[
            &[("a", 9_000, 1), ("b", 100, 2), ("folder/c", 16_000, 3), ("folder/deeper/e", 30_000, 5)],
            &[("a", 9_000, 1), ("b", 120, 6), ("folder/c", 16_000, 4), ("folder/f", 7_000, 7)],
            &[("a", 9_000, 1), ("g", 2_000, 9), ("folder/c", 16_000, 3), ("folder/deeper/e", 30_000, 8)],
        ]);
        let storage = Arc::new(storage);
        let repository = support::create(Arc::<S>::clone(&storage), &key, &LocalState::None);
        let mut promises = Oracle::new();
        promises.acknowledge(try_backup(&repository, versions.path(0), &threads(1)).expect("a backup"), 0);
        (Self { key, versions, promises }, storage)
    }

    fn open(&self, storage: Arc<dyn Storage>) -> Result<Repository, RepositoryError> {
        support::try_open(storage, &self.key, &LocalState::None)
    }

    fn try_backup(&self, storage: Arc<dyn Storage>, number: usize, count: usize) -> Result<ObjectId, Error> {
        try_backup(&self.open(storage)?, self.versions.path(number), &threads(count))
    }

    /// What was acknowledged is there, what is there is whole.
    fn assert_kept(&self, storage: Arc<dyn Storage>, promises: &Oracle<ObjectId, usize>, case: &str) {
        let repository = self.open(storage).unwrap_or_else(|error| panic!("{case}: it does not open: {error}"));
        repository.refresh().expect("a healed storage");
        let found = repository.snapshots().expect("a healed storage");
        assert!(found.damaged.is_empty(), "{case}: a failed call damaged {:?}", found.damaged);
        for snapshot in &found.snapshots {
            let number = self.versions.number_of(snapshot);
            let tree = stored_tree(&repository, snapshot, self.versions.path(number)).expect("a readable snapshot");
            let wrong = differences(self.versions.manifest(number), &tree.manifest);
            assert!(tree.problems.is_empty() && wrong.is_empty(), "{case}: a snapshot is not whole: {tree:?}");
        }
        promises.expect_each(|(id, _)| {
            let is_there = found.snapshots.iter().any(|snapshot| snapshot.id == *id);
            assert!(is_there, "{case}: acknowledged snapshot {id} is lost");
        });
    }

    /// And the repository goes on as if nothing had been.
    fn assert_goes_on(&self, storage: &Arc<dyn Storage>, promises: &Oracle<ObjectId, usize>, case: &str) {
        self.assert_kept(Arc::clone(storage), promises, case);
        let mut promises = promises.clone();
        let id = self.try_backup(Arc::clone(storage), 2, 1);
        promises.acknowledge(id.unwrap_or_else(|error| panic!("{case}: the next backup fails: {error}")), 2);
        self.assert_kept(Arc::clone(storage), &promises, case);
        let repository = self.open(Arc::clone(storage)).expect("it was opened a moment ago");
        let report = try_check(&repository, &threads(1)).expect("a check");
        assert_eq!(report.findings, [], "{case}: a failed call leaves damage behind");
    }
}

/// Runs something that must end.
fn ending<T: Send>(case: &str, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let (sender, receiver) = mpsc::channel();
        let worker = scope.spawn(move || {
            let done = work();
            sender.send(()).ok();
            done
        });
        match receiver.recv_timeout(Duration::from_secs(60)) {
            // A scope waits for its threads, so nothing but the end of the process gets past one that hangs.
            Err(mpsc::RecvTimeoutError::Timeout) => {
                eprintln!("{case}: it hangs");
                std::process::abort();
            }
            _ => worker.join().unwrap_or_else(|panic| {
                eprintln!("{case}: it panics");
                std::panic::resume_unwind(panic)
            }),
        }
    })
}

/// Whether an error says that the storage failed, be it as a whole or for one object.
fn tells_of_storage(error: &Error) -> bool {
    let is_unreadable = |reason: &str| reason.starts_with("it cannot be read: ");
    matches!(error, Error::Repository(RepositoryError::Damaged { reason, .. }) if is_unreadable(reason))
        || storage_error(error).is_some()
}

/// The first storage error below this one.
fn storage_error(error: &Error) -> Option<&StorageError> {
    match error {
        Error::Repository(RepositoryError::Storage(error)) => Some(error),
        Error::Repository(RepositoryError::Unacknowledged { source, .. }) => match &**source {
            RepositoryError::Storage(error) => Some(error),
            _ => None,
        },
        _ => None,
    }
}

/// Each snapshot that is there was acknowledged, or is named by the error.
fn assert_told(
    repository: &Result<Repository, RepositoryError>,
    promises: &Oracle<ObjectId, usize>,
    done: &Result<ObjectId, Error>,
    case: &str,
) {
    let mut told = Vec::new();
    promises.expect_each(|(id, _)| told.push(*id));
    if let Err(Error::Repository(RepositoryError::Unacknowledged { snapshot, .. })) = done {
        told.push(*snapshot);
    }
    let found = repository.as_ref().expect("a healed storage").snapshots().expect("a healed storage").snapshots;
    let untold: Vec<ObjectId> = found.iter().map(|found| found.id).filter(|id| !told.contains(id)).collect();
    assert_eq!(untold, [], "{case}: snapshots are there that nobody was told of");
}

#[test]
fn each_storage_call_of_a_backup_may_fail() {
    let (world, base) = World::new(MemoryStorage::new());
    let mut outcomes = BTreeMap::new();
    for (kind, moment, count) in [
        (FaultKind::Io, FaultMoment::Before, 1),
        (FaultKind::NoSpace, FaultMoment::Before, u64::MAX),
        (FaultKind::Io, FaultMoment::After, 1),
        (FaultKind::NoSpace, FaultMoment::After, 1),
        (FaultKind::Unreachable, FaultMoment::Before, u64::MAX),
    ] {
        for first in 1.. {
            let workers = 1 + usize::from(first % 3 == 0);
            let case = format!("call {first} fails, {kind:?} {moment:?}, {count} times, {workers} workers");
            let storage = Arc::new(FaultyStorage::new((*base).clone()));
            storage.plan(Fault { operation: None, first, count, moment, kind });
            let done = ending(&case, || world.try_backup(Arc::<FaultyStorage<_>>::clone(&storage), 1, workers));
            let was_hit = storage.failed_count() > 0;
            storage.heal();
            let mut promises = world.promises.clone();
            match &done {
                Ok(id) => promises.acknowledge(*id, 1),
                Err(error) => {
                    let told = storage_error(error);
                    assert!(was_hit, "{case}: it fails without a fault: {error}");
                    assert!(told.is_some(), "{case}: the storage's error is not told but {error}");
                    let is_told_right = kind != FaultKind::NoSpace || told.is_some_and(StorageError::is_no_space);
                    assert!(is_told_right, "{case}: a full storage is told as {error}");
                }
            }
            assert_told(&world.open(Arc::<FaultyStorage<_>>::clone(&storage)), &promises, &done, &case);
            *outcomes.entry((done.is_ok(), was_hit)).or_insert(0) += 1;
            let storage: Arc<dyn Storage> = storage;
            world.assert_goes_on(&storage, &promises, &case);
            if !was_hit {
                assert!(done.is_ok(), "without a fault it succeeds");
                break;
            }
        }
    }
    assert!(outcomes[&(false, true)] > 50, "most faults end a backup: {outcomes:?}");
}

/// A storage that says it did and did not cannot be believed afterwards either; but nothing earlier is lost, nothing
/// wrong is given back, a check tells, and the same backup again makes it good.
#[test]
fn a_storage_that_lies_about_one_call_is_found_out_and_made_good() {
    let (world, base) = World::new(MemoryStorage::new());
    let mut told_count = 0;
    for first in 1.. {
        let case = format!("write {first} is reported and not done");
        let storage = Arc::new(FaultyStorage::new((*base).clone()));
        let (moment, kind) = (FaultMoment::SilentlyNot, FaultKind::Io);
        storage.plan(Fault { operation: None, first, count: 1, moment, kind });
        let done = ending(&case, || world.try_backup(Arc::<FaultyStorage<_>>::clone(&storage), 1, 1));
        let was_hit = storage.failed_count() > 0;
        storage.heal();
        let storage: Arc<dyn Storage> = storage;
        let repository = world.open(Arc::clone(&storage)).expect("the keys are not written by a backup");
        repository.refresh().expect("a healed storage");
        let found = repository.snapshots().expect("a healed storage").snapshots;
        let mut is_whole = true;
        for snapshot in &found {
            let number = world.versions.number_of(snapshot);
            let tree = stored_tree(&repository, snapshot, world.versions.path(number));
            let is_as_saved = tree.as_ref().is_ok_and(|tree| tree.manifest == *world.versions.manifest(number));
            let is_told = tree.as_ref().map_or(true, |tree| !tree.problems.is_empty());
            assert!(is_as_saved || is_told, "{case}: something wrong is given back without a problem");
            assert!(number != 0 || is_as_saved, "{case}: an earlier snapshot is lost");
            is_whole &= is_as_saved;
        }
        let repository = world.open(Arc::clone(&storage)).expect("the keys are not written by a backup");
        let report = try_check(&repository, &threads(1)).expect("a check");
        assert!(is_whole || report.finding_count > 0, "{case}: a snapshot is not whole and a check finds nothing");
        told_count += u64::from(report.finding_count > 0);

        let mut promises = world.promises.clone();
        let again = world.try_backup(Arc::clone(&storage), 1, 1).expect("the same backup again");
        promises.acknowledge(again, 1);
        world.assert_kept(Arc::clone(&storage), &promises, &case);
        let repository = world.open(Arc::clone(&storage)).expect("it was opened a moment ago");
        let report = try_check(&repository, &threads(1)).expect("a check");
        // That a catalog lists a pack which never was stays true; it must cost nothing any more.
        let costs = report.findings.iter().find(|finding| finding.path.is_some());
        assert!(costs.is_none(), "{case}: after the same backup again something is still lost: {costs:?}");
        if !was_hit {
            assert!(done.is_ok(), "without a fault it succeeds");
            break;
        }
    }
    assert!(told_count >= 2, "at least a pack and a catalog that never arrived are told");
}

#[test]
fn each_storage_call_of_a_check_may_fail() {
    let (world, base) = World::new(MemoryStorage::new());
    for first in 1.. {
        let case = format!("call {first} fails");
        let faulty = FaultyStorage::new((*base).clone());
        faulty.fail_nth(first, FaultKind::Io);
        let storage = Arc::new(RecordingStorage::new(faulty));
        let done = ending(&case, || {
            let repository = world.open(Arc::<RecordingStorage<_>>::clone(&storage))?;
            try_check(&repository, &threads(1))
        });
        match done {
            Err(error) => assert!(tells_of_storage(&error), "{case}: the storage's error is told, not {error}"),
            Ok(report) if storage.inner().failed_count() > 0 => {
                let failed = storage.calls()[usize::try_from(first).expect("a small number") - 1];
                // Where a copy was read instead, the check reads this one once more and judges it by that; a frame of
                // a tree is read twice before its pack is suspected.
                let has_copy = failed.kind.is_some_and(|kind| kind.mirror().is_some());
                let is_read_again = failed.operation == Operation::GetRange;
                let is_told = report.finding_count > 0;
                assert!(
                    is_told || has_copy || is_read_again,
                    "{case}: what could not be read is called whole: {failed:?}"
                );
            }
            Ok(report) => {
                assert_eq!(report.findings, [], "without a fault nothing is found");
                assert!(first > 10, "a check makes more than {first} calls");
                break;
            }
        }
    }
}

#[test]
fn each_storage_call_of_a_restore_may_fail() {
    let (world, base) = World::new(MemoryStorage::new());
    let source = world.versions.path(0);
    let expected = world.versions.manifest(0);
    for (kind, count) in [(FaultKind::Io, 1), (FaultKind::Unreachable, 1), (FaultKind::Io, u64::MAX)] {
        for first in 1.. {
            let case = format!("call {first} fails, {kind:?} {count} times");
            let folder = tempfile::tempdir().expect("a scratch folder");
            let target = folder.path().join("target");
            let storage = Arc::new(FaultyStorage::new((*base).clone()));
            storage.plan(Fault { operation: None, first, count, moment: FaultMoment::Before, kind });
            let restore = |workers| {
                let repository = world.open(Arc::<FaultyStorage<_>>::clone(&storage))?;
                restore_to(&repository, source, &target, workers)
            };
            let done = ending(&case, || restore(1 + usize::from(first % 2 == 0)));
            let was_hit = storage.failed_count() > 0;
            match done {
                Err(error) => assert!(tells_of_storage(&error), "{case}: the storage's error is told, not {error}"),
                Ok(problems) => {
                    let wrong = differences(expected, &manifest(&target));
                    assert!(!problems.is_empty() || wrong.is_empty(), "{case}: no problem, but {wrong:?}");
                    assert!(was_hit || problems.is_empty(), "{case}: problems without a fault: {problems:?}");
                }
            }
            // P3: also what a broken-off restore left is no wrong file that looks finished.
            for (path, text) in manifest(&target_or_empty(&target)) {
                let is_finished = text.contains("mode=0644");
                let is_right = expected.get(&path) == Some(&text);
                assert!(is_right || !is_finished || text.starts_with("folder"), "{case}: {text}");
            }
            storage.heal();
            let problems = restore(1).expect("a restore over what a failed one left");
            assert_eq!(problems, Vec::<String>::new(), "{case}: a restore over what a failed one left");
            assert_eq!(differences(expected, &manifest(&target)), Vec::<String>::new(), "{case}: restored again");
            if !was_hit {
                break;
            }
        }
    }
}

/// Two things at once: a damaged pack sends the restore to look for other copies, and that fails in its turn.
#[test]
fn a_failing_call_does_not_hide_damage() {
    let (world, base) = World::new(MemoryStorage::new());
    let source = world.versions.path(0);
    let mut largest: Option<(u64, ObjectName)> = None;
    base.list(ObjectKind::Pack, &mut |object| largest = largest.max(Some((object.len_bytes, object.name))))
        .expect("memory");
    let (_, name) = largest.expect("the pack with the data");
    // More than parity makes good.
    support::change(&base, &name, |bytes| (0..8).for_each(|shard| bytes[1_000 + shard * 4096] ^= 1));
    for first in 1.. {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let target = folder.path().join("target");
        let storage = Arc::new(FaultyStorage::new((*base).clone()));
        storage.fail_nth(first, FaultKind::Io);
        let restored = world
            .open(Arc::<FaultyStorage<_>>::clone(&storage))
            .map_err(Error::from)
            .and_then(|repository| restore_to(&repository, source, &target, 1));
        if let Ok(problems) = restored {
            let found = manifest(&target);
            for (path, text) in world.versions.manifest(0) {
                let is_told = problems.iter().any(|problem| problem.contains(&format!("/{}: ", path.escape_ascii())));
                let is_right = found.get(path) == Some(text) || text.starts_with("folder");
                assert!(is_right || is_told, "call {first} fails beside a damaged pack, and nothing is said of {text}");
            }
            assert!(!problems.is_empty(), "the damaged pack costs something");
        }
        if storage.failed_count() == 0 {
            break;
        }
    }
}

/// Hears of every file that a worker has read.
struct Panics;

impl EventSink for Panics {
    fn event(&self, event: &Event<'_>) {
        assert!(!matches!(event, Event::File { .. }), "this is what the test is about");
    }
}

/// More files than may wait for workers.
#[test]
fn workers_that_panic_end_the_backup() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    for number in 0..2_000 {
        std::fs::write(scratch.path().join(number.to_string()), number.to_string()).expect("a file");
    }
    for workers in [1, 2] {
        let key = KeyFile::generate().expect("randomness");
        let repository = support::create(Arc::new(MemoryStorage::new()), &key, &LocalState::None);
        let context = Context { events: Some(Arc::new(Panics)), ..threads(workers) };
        let ended = ending("a panic", || try_backup(&repository, scratch.path(), &context));
        assert!(matches!(ended, Err(Error::WorkerPanicked)), "{ended:?}");
        assert!(repository.snapshots().expect("a list").snapshots.is_empty());
    }
}

fn target_or_empty(target: &Path) -> std::path::PathBuf {
    std::fs::create_dir_all(target).expect("a scratch folder");
    target.to_owned()
}

fn restore_to(repository: &Repository, source: &Path, target: &Path, workers: usize) -> Result<Vec<String>, Error> {
    use std::os::unix::ffi::OsStrExt as _;
    let mut options = RestoreOptions::default();
    options.subfolder = Some(source.as_os_str().as_bytes().to_vec());
    let report = vellum::restore(repository, &SnapshotRef::Latest(0), target, &options, &threads(workers))?;
    Ok(report.problems.iter().map(|problem| format!("{}: {}", problem.path.escape_ascii(), problem.reason)).collect())
}

/// Many packs: the uploads run ahead of the error, and workers meet its consequences before its cause.
#[test]
fn a_full_storage_is_told_as_such_whoever_meets_it_first() {
    let key = KeyFile::generate().expect("randomness");
    let versions = Versions::of_files(&[&[
        ("a", 2_000_000, 1),
        ("b", 1_500_000, 2),
        ("c", 1_500_000, 3),
        ("d", 1_500_000, 4),
        ("e", 1_500_000, 5),
    ]]);
    for first in 1..8 {
        for workers in [1, 2, 4] {
            let case = format!("put {first} and all after it find the storage full, {workers} workers");
            let storage = Arc::new(FaultyStorage::new(MemoryStorage::new()));
            let repository = support::create(Arc::<FaultyStorage<_>>::clone(&storage), &key, &LocalState::None);
            let (operation, moment, kind) = (Some(Operation::Put), FaultMoment::Before, FaultKind::NoSpace);
            storage.plan(Fault { operation, first, count: u64::MAX, moment, kind });
            let done = ending(&case, || try_backup(&repository, versions.path(0), &threads(workers)));
            let error = done.expect_err("a backup into a full storage");
            let is_told = storage_error(&error).is_some_and(StorageError::is_no_space);
            assert!(is_told, "{case}: it is told as {error}");
            assert_eq!(
                repository.names(ObjectKind::Snapshot).expect("memory").len(),
                0,
                "{case}: nothing is published"
            );
            storage.heal();
            let id = try_backup(&repository, versions.path(0), &threads(workers)).expect("a backup with space again");
            repository.refresh().expect("memory");
            support::assert_holds(&repository, id, versions.path(0), versions.manifest(0));
        }
    }
}

/// Every call to the disk below the local storage, and after it a power cut, because what a failed sync lost stays
/// lost. // D3
#[test]
fn each_disk_call_of_a_backup_may_fail() {
    let (world, base) = local_world();
    for (errno, count, operation) in [
        (EIO, 1, None),
        (EIO, 2, None),
        (EIO, u64::MAX, None),
        (EIO, 1, Some(DiskOperation::SyncFile)),
        (EIO, 1, Some(DiskOperation::SyncFolder)),
    ] {
        for first in 1.. {
            let case = format!("{operation:?} call {first} fails with {errno}, {count} times");
            let disk = base.snapshot();
            let effect = DiskFaultEffect::Fail(errno);
            disk.plan(DiskFault { operation, first, count, effect });
            let before = disk.change_count();
            let storage = open_disk(&disk).ok();
            let back_up = || {
                let storage = storage.clone().map_or_else(|| open_disk(&disk), Ok)?;
                world.try_backup(storage, 1, 1)
            };
            let done = ending(&case, back_up);
            disk.heal();
            let mut promises = world.promises.clone();
            let is_done = done.is_ok();
            match done {
                Ok(id) => promises.acknowledge(id, 1),
                Err(error) => {
                    assert!(tells_of_storage(&error), "{case}: the disk's error is told, not {error}");
                    // Through the same storage it may refuse, but what it acknowledges holds.
                    back_up().into_iter().for_each(|id| promises.acknowledge(id, 1));
                }
            }
            let seed = disk.change_count() - before;
            let after_power_cut: Arc<dyn Storage> = open_disk(&disk.crash(seed)).expect("a repository");
            world.assert_goes_on(&after_power_cut, &promises, &format!("{case}, then the power is cut"));
            let storage: Arc<dyn Storage> = open_disk(&disk).expect("a repository");
            world.assert_goes_on(&storage, &promises, &case);
            if is_done && first > 60 {
                break;
            }
        }
    }
}

/// P6.
#[test]
fn a_disk_that_fills_up_at_any_write_damages_nothing_and_can_be_read() {
    let (world, base) = local_world();
    let needs_space = [
        DiskOperation::WriteAll,
        DiskOperation::CreateNew,
        DiskOperation::MakeFolder,
        DiskOperation::SyncFile,
        DiskOperation::Rename,
    ];
    let mut told_count = 0;
    for operation in needs_space {
        for first in 1.. {
            let case = format!("from the {first}. {operation:?} on the disk is full");
            let disk = base.snapshot();
            for full in needs_space {
                // From the n-th of one kind on, and from the first of every kind as soon as that failed.
                let effect = DiskFaultEffect::Fail(ENOSPC);
                let first = if full == operation { first } else { u64::MAX };
                disk.plan(DiskFault { operation: Some(full), first, count: u64::MAX, effect });
            }
            let done = ending(&case, || world.try_backup(open_disk(&disk)?, 1, 1));
            let is_done = done.is_ok();
            let mut promises = world.promises.clone();
            match done {
                Ok(id) => promises.acknowledge(id, 1),
                Err(error) => {
                    told_count += 1;
                    let is_told = storage_error(&error).is_some_and(StorageError::is_no_space);
                    assert!(is_told, "{case}: it is told as {error}");
                }
            }
            disk.heal();
            let effect = DiskFaultEffect::Fail(ENOSPC);
            for operation in needs_space {
                disk.plan(DiskFault { operation: Some(operation), first: 1, count: u64::MAX, effect });
            }
            let full: Arc<dyn Storage> = open_disk(&disk).expect("a full disk can be read");
            world.assert_kept(Arc::clone(&full), &promises, &format!("{case}, and it is still full"));
            let repository = world.open(full).expect("a full disk can be read");
            let report = try_check(&repository, &threads(1)).expect("a full disk can be checked");
            assert_eq!(report.findings, [], "{case}: a full disk is no damage");
            disk.heal();
            let storage: Arc<dyn Storage> = open_disk(&disk).expect("a repository");
            world.assert_goes_on(&storage, &promises, &format!("{case}, and there is space again"));
            if is_done {
                break;
            }
        }
    }
    assert!(told_count >= 12, "a disk may fill up at more than {told_count} places");
}

fn local_world() -> (World, SimDisk) {
    let disk = SimDisk::new();
    let (world, storage) = World::new(LocalStorage::create_on(disk.clone()).expect("an empty disk"));
    drop(storage);
    (world, disk)
}

fn open_disk(disk: &SimDisk) -> Result<Arc<LocalStorage<SimDisk>>, RepositoryError> {
    Ok(Arc::new(LocalStorage::open_on(disk.clone())?))
}
