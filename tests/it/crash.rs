//! Power cuts: the real engine and the real local storage on a disk that keeps only what it must.
//!
//! P1: what was acknowledged is there, whole, after a power cut at any change of the disk, whatever of the unsynced
//! rest arrived; the repository takes the next backup; and a check has nothing to find.
//!
//! The engine seals with fresh randomness, so a seed gives the same fate to the same operations but not the same bytes.
//! One run of an action can be recorded and then cut at each of its changes. A failing state is therefore kept whole,
//! as a folder with its key file, and named.

use crate::support::{self, LastKeys, Versions, small_packs, stored_tree, threads, try_backup, try_check};
use std::any::Any;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use vellum::format::{ObjectId, ObjectKind, ObjectName};
use vellum::storage::{Disk, LocalStorage, Storage};
use vellum::{KeyFile, LocalState, Repository, RepositoryError, SnapshotRef};
use vellum_testkit::trees::{TreeOptions, assert_same_tree};
use vellum_testkit::{FaultKind, FaultyStorage, Oracle, Random, SimDisk};

/// Snapshots that were acknowledged, each with the version of the source that it must give back.
type Promises = Oracle<ObjectId, usize>;

/// States that are drawn of one power cut are so many times more in slow runs.
const DRAWS: u64 = if cfg!(feature = "slow") { 2 } else { 1 };

/// Backups of a history; one more version is left for the backup after the power cut.
const HISTORY: usize = 3;

#[test]
fn what_was_acknowledged_survives_a_power_cut_at_any_change() {
    let world = World::new(100, THOROUGH, trees());
    world.sweep(0, DRAWS);
    let examined = world.examined.load(Ordering::Relaxed);
    assert!(examined >= 250, "a sweep over every change of the disk has hundreds of states, not {examined}");
}

/// What is recorded of one run is what a run leaves that is cut off: both find the same.
#[test]
fn what_was_acknowledged_survives_every_cut_of_a_recorded_run() {
    let world = World::new(u64::MAX, QUICK, small_files());
    let seen = world.sweep_recorded(0, 3);
    assert!(seen.distinct >= 250, "a recorded history has hundreds of states, not {seen:?}");
}

#[cfg(feature = "slow")]
#[test]
fn what_was_acknowledged_survives_five_thousand_power_cuts_of_rich_trees() {
    let world = World::new(200, THOROUGH, trees());
    each_round(&world, 5_000, |round| world.sweep(round, 4));
    println!("{} states", world.examined.load(Ordering::Relaxed));
}

#[cfg(feature = "slow")]
#[test]
fn what_was_acknowledged_survives_a_great_many_power_cuts() {
    let (world, start) = (World::new(5_000, QUICK, small_files()), std::time::Instant::now());
    let drawn = AtomicU64::new(0);
    each_round(&world, support::count("VELLUM_CRASH_STATES", 100_000), |round| {
        drawn.fetch_add(world.sweep_recorded(round, 12).drawn, Ordering::Relaxed);
    });
    let (distinct, drawn) = (world.examined.load(Ordering::Relaxed), drawn.load(Ordering::Relaxed));
    println!("{distinct} different states of {drawn} power cuts in {:?}", start.elapsed());
}

/// Rounds on two threads, from 1 on, until so many states were examined.
#[cfg(feature = "slow")]
fn each_round(world: &World, count: u64, run: impl Fn(u64) + Sync) {
    support::on_threads(2, (1..).take_while(|_| world.examined.load(Ordering::Relaxed) < count), run);
}

/// Everything that a file system can hold.
fn trees() -> Versions {
    Versions::prepare(1, HISTORY + 1, TreeOptions { file_count: 16, len_bytes_max: 12_000 })
}

/// Little enough that a state costs a millisecond or two, and as much as makes it worth rewriting a pack.
fn small_files() -> Versions {
    Versions::of_files(&[
        &[("kept", 1_900, 1), ("own", 20_000, 2)],
        &[("kept", 1_900, 1), ("own", 700, 3), ("folder/more", 1_200, 7)],
        &[("kept", 1_900, 1), ("folder/own", 700, 4)],
        &[("kept", 1_900, 1), ("folder/own", 2_100, 5)],
    ])
}

#[test]
fn init_can_be_run_again_after_a_power_cut_at_any_change() {
    let world = World::new(u64::MAX, THOROUGH, trees());
    let mut broken = BTreeMap::new();
    for nth_change in 1.. {
        let disk = SimDisk::new();
        disk.crash_at(nth_change);
        let created = try_create(&disk, &world.key);
        for seed in 0..6 {
            let case = Case { round: 0, step: 0, nth_change, seed };
            let state = disk.crash(seed);
            if let Err(why) = world.examine_new(&state, created.is_ok()) {
                broken.entry(why).or_insert_with(|| (case, keep(&state, &world.key)));
            }
        }
        if !disk.is_crashed() {
            assert!(created.is_ok(), "without a power cut a repository is created");
            break;
        }
    }
    assert!(broken.is_empty(), "a power cut during init leaves neither a repository nor a place for one: {broken:#?}");
}

/// Kill and power cut are different things: what a killed process left unsynced is seen by the next one, which builds
/// on it and acknowledges. From then on it must survive.
#[test]
fn what_was_built_on_the_remains_of_a_killed_process_survives_a_power_cut() {
    let world = World::new(u64::MAX, THOROUGH, trees());
    let mut killed_count = 0;
    let mut broken = Broken::default();
    for nth_call in 1.. {
        let disk = world.empty_repository();
        let storage = LocalStorage::open_on(disk.clone()).expect("a repository");
        let dying = Arc::new(FaultyStorage::new(storage));
        let repository = support::open(Arc::<FaultyStorage<_>>::clone(&dying), &world.key, &LocalState::None);
        dying.fail_from(nth_call, FaultKind::Io);
        let first = try_backup(&repository, world.versions.path(0), &threads(1));
        drop(repository);
        let next = world.open(&disk, &LocalState::None);
        let id = try_backup(&next, world.versions.path(0), &threads(1)).expect("a backup after a killed one");
        let mut promises = Promises::new();
        promises.acknowledge(id, 0);
        world.examine_each(nth_call, &disk, &promises, 3 * DRAWS, &mut broken);
        if first.is_ok() {
            break;
        }
        killed_count += 1;
    }
    assert!(killed_count >= 5, "a backup makes more calls than {killed_count}");
    assert!(broken.found.is_empty(), "an acknowledged backup stood on what was not durable: {:#?}", broken.found);
}

/// What a killed process left is in the local state of the next command before any backup relies on it.
#[test]
fn what_a_reader_remembers_of_a_killed_process_survives_a_power_cut_once_a_backup_relies_on_it() {
    let world = World::new(u64::MAX, THOROUGH, trees());
    let mut broken = Broken::default();
    let killed = world.killed_backups();
    for (nth_call, disk) in &killed {
        let state = tempfile::tempdir().expect("a scratch folder");
        let state = LocalState::At(state.path().to_owned());
        world.open(disk, &state).refresh().expect("a readable storage");
        let next = world.open(disk, &state);
        let id = try_backup(&next, world.versions.path(0), &threads(1)).expect("a backup after a killed one");
        let mut promises = Promises::new();
        promises.acknowledge(id, 0);
        world.examine_each(*nth_call, disk, &promises, 3 * DRAWS, &mut broken);
    }
    assert!(broken.found.is_empty(), "an acknowledged backup stood on what was not durable: {:#?}", broken.found);
}

/// I1 for what others have put: nothing is published before what it needs is durable.
#[test]
fn a_power_cut_during_the_backup_after_a_killed_one_leaves_no_snapshot_that_lacks_something() {
    let world = World::new(u64::MAX, THOROUGH, small_files());
    let mut broken = Broken::default();
    for (nth_call, base) in world.killed_backups() {
        let disk = base.snapshot();
        disk.record_cuts();
        let id = world.try_backup(&disk, &LocalState::None, 0, 1).expect("a backup after a killed one");
        let mut acknowledged = Promises::new();
        acknowledged.acknowledge(id, 0);
        let cuts = disk.take_cuts();
        for (number, cut) in (1..).zip(&cuts) {
            let has_ended = number == cuts.len() as u64;
            let promises = if has_ended { &acknowledged } else { &Promises::new() };
            world.examine_each(nth_call * 1000 + number, cut, promises, 4 * DRAWS, &mut broken);
        }
    }
    assert!(broken.found.is_empty(), "a snapshot was there before what it needs: {:#?}", broken.found);
}

#[test]
fn two_writers_and_a_power_cut_lose_nothing_that_either_acknowledged() {
    let world = World::new(u64::MAX, THOROUGH, trees());
    let base = world.empty_repository();
    let mut seen = [0; 3];
    for seed in 0..24 {
        let disk = base.snapshot();
        disk.crash_at(10 + seed * 4);
        let done: Vec<_> = std::thread::scope(|scope| {
            let (world, disk) = (&world, &disk);
            let write = |number| move || Some((world.try_backup(disk, &LocalState::None, number, 1)?, number));
            let writers: Vec<_> = [0, 1].map(|number| scope.spawn(write(number))).into_iter().collect();
            writers.into_iter().filter_map(|writer| writer.join().expect("a writer does not panic")).collect()
        });
        let mut promises = Promises::new();
        seen[done.len()] += 1;
        done.into_iter().for_each(|(id, number)| promises.acknowledge(id, number));
        world.examine(Case { round: 0, step: 0, nth_change: 10 + seed * 4, seed }, &disk.crash(seed), &promises, 2);
    }
    assert!(seen.iter().all(|count| *count > 0), "the power is cut before, between and after both: {seen:?}");
}

/// What is wrong after power cuts of one test.
#[derive(Default)]
struct Broken {
    /// Each sort of failure, with the first state that showed it and where that is kept.
    found: BTreeMap<String, (Case, PathBuf)>,
    /// States that were looked at, each with what was acknowledged before it: equal ones are looked at once.
    looked_at: HashSet<(Vec<ObjectId>, [u8; 32])>,
}

fn promised(promises: &Promises) -> Vec<ObjectId> {
    let mut ids = Vec::new();
    promises.expect_each(|(id, _)| ids.push(*id));
    ids
}

/// Names one state.
#[derive(Debug, Clone, Copy)]
#[expect(dead_code, reason = "printed when a state fails")]
struct Case {
    round: u64,
    step: usize,
    nth_change: u64,
    seed: u64,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What a power cut may hit.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Action {
    /// A backup of a version.
    Backup(usize),
    /// The removal of the snapshot of a version.
    Forget(usize),
    /// A prune that may delete at once and rewrites whatever it can.
    Prune,
}

/// The disk before an action, and what is promised whatever becomes of that.
struct Step {
    disk: SimDisk,
    promises: Promises,
    action: Action,
    ids: BTreeMap<usize, ObjectId>,
}

impl Step {
    /// The version of a backup that follows.
    fn next(&self) -> usize {
        match self.action {
            Action::Backup(number) => number,
            Action::Forget(_) | Action::Prune => HISTORY,
        }
    }
}

/// How much is done with a state beyond looking at what was acknowledged and at what a check finds: each with one
/// state in so many.
#[derive(Debug, Clone, Copy)]
struct Depth {
    /// It loses power once more, in the next backup.
    cut_again: u64,
    /// It takes the next backup, after which it is looked at again.
    backup: u64,
    /// And a prune.
    prune: u64,
}

const THOROUGH: Depth = Depth { cut_again: 4, backup: 1, prune: 4 };
const QUICK: Depth = Depth { cut_again: 16, backup: 8, prune: 4 };

/// What a sweep saw.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    drawn: u64,
    /// No two of them have the same names with the same contents.
    distinct: u64,
}

struct World {
    key: KeyFile,
    keys: LastKeys,
    depth: Depth,
    versions: Versions,
    steps: Vec<Step>,
    /// Local state that lives through all power cuts, and so knows things that never were or are no more.
    state: tempfile::TempDir,
    examined: AtomicU64,
    /// Packs that prunes rewrote.
    rewritten: AtomicU64,
    /// Of so many states one is restored to a real folder too.
    full_restore_every: u64,
}

impl World {
    fn new(full_restore_every: u64, depth: Depth, versions: Versions) -> Self {
        let key = KeyFile::generate().expect("randomness");
        let state = tempfile::tempdir().expect("a scratch folder");
        let (keys, examined, rewritten) = (LastKeys::default(), AtomicU64::new(0), AtomicU64::new(0));
        let mut world =
            Self { key, keys, depth, versions, steps: Vec::new(), state, examined, rewritten, full_restore_every };
        let disk = world.empty_repository();
        let (mut promises, mut ids) = (Promises::new(), BTreeMap::new());
        let backups = (0..HISTORY).map(Action::Backup);
        for action in backups.chain([Action::Forget(1), Action::Prune, Action::Forget(0), Action::Prune]) {
            if let Action::Forget(number) = action {
                promises.forget(&ids[&number]);
            }
            world.steps.push(Step { disk: disk.snapshot(), promises: promises.clone(), action, ids: ids.clone() });
            let step = world.steps.last().expect("it was just added");
            let id = world.run(&disk, &LocalState::None, step, 1).expect("an action without a power cut");
            if let (Action::Backup(number), Some(id)) = (action, id) {
                promises.acknowledge(id, number);
                ids.insert(number, id);
            }
        }
        assert!(world.rewritten.load(Ordering::Relaxed) > 0, "a prune of the history rewrites a pack");
        world
    }

    /// Does what a step is about; nothing when a power cut hit it, else the new snapshot, if it makes one.
    fn run(&self, disk: &SimDisk, state: &LocalState, step: &Step, count: usize) -> Option<Option<ObjectId>> {
        if let Action::Backup(number) = step.action {
            return self.try_backup(disk, state, number, count).map(Some);
        }
        let storage = LocalStorage::open_on(disk.clone()).ok()?;
        let repository = self.keys.try_open(Arc::new(storage), &self.key, state).ok()?;
        match step.action {
            Action::Forget(number) => support::remove(&repository, step.ids[&number]).ok().map(|_| None),
            _ => {
                let report = vellum::prune(&repository, &support::prune_all_at_once(), &threads(count)).ok()?;
                self.rewritten.fetch_add(report.packs_repacked, Ordering::Relaxed);
                Some(None)
            }
        }
    }

    fn empty_repository(&self) -> SimDisk {
        let disk = SimDisk::new();
        drop(try_create(&disk, &self.key).expect("a repository without a power cut"));
        disk
    }

    fn open(&self, disk: &SimDisk, state: &LocalState) -> Repository {
        self.keys.open(Arc::new(LocalStorage::open_on(disk.clone()).expect("a repository")), &self.key, state)
    }

    /// Disks on which a backup was killed after its catalog had got its name, with the call at which it was.
    fn killed_backups(&self) -> Vec<(u64, SimDisk)> {
        let mut killed = Vec::new();
        for nth_call in 1.. {
            let disk = self.empty_repository();
            let dying = Arc::new(FaultyStorage::new(LocalStorage::open_on(disk.clone()).expect("a repository")));
            let repository = support::open(Arc::<FaultyStorage<_>>::clone(&dying), &self.key, &LocalState::None);
            dying.fail_from(nth_call, FaultKind::Io);
            if try_backup(&repository, self.versions.path(0), &threads(1)).is_ok() {
                break;
            }
            dying.heal();
            if !repository.names(ObjectKind::Catalog).expect("a readable storage").is_empty() {
                killed.push((nth_call, disk));
            }
        }
        assert!(killed.len() >= 3, "after the catalog come a sync, the snapshot and another sync");
        killed
    }

    /// Looks at some states that a power cut now may leave, and gathers what is wrong with them.
    fn examine_each(&self, number: u64, disk: &SimDisk, promises: &Promises, states: u64, broken: &mut Broken) {
        for seed in 0..states {
            let case = Case { round: 0, step: 0, nth_change: number, seed };
            let state = disk.crash(seed);
            if !broken.looked_at.insert((promised(promises), state.print("tmp"))) {
                continue;
            }
            let verified = catch_unwind(AssertUnwindSafe(|| self.verify(&state, promises, 1, &threads(1))));
            if let Err(panic) = verified {
                broken.found.entry(message(&*panic)).or_insert_with(|| (case, keep(&state, &self.key)));
            }
        }
    }

    /// A backup that may be hit by a power cut, and then gives nothing.
    fn try_backup(&self, disk: &SimDisk, state: &LocalState, number: usize, count: usize) -> Option<ObjectId> {
        let storage = LocalStorage::open_on(disk.clone()).ok()?;
        let repository = self.keys.try_open(Arc::new(storage), &self.key, state).ok()?;
        try_backup(&repository, self.versions.path(number), &threads(count)).ok()
    }

    /// Cuts the power at every change of every action of the history, and looks at some of the states each may leave.
    fn sweep(&self, round: u64, states: u64) {
        let mut random = Random::new(round);
        for (number, step) in self.steps.iter().enumerate() {
            for nth_change in 1.. {
                let disk = step.disk.snapshot();
                disk.crash_at(nth_change);
                let count = 1 + random.below(3) / 2;
                let state = match random.one_in(8) {
                    true => LocalState::At(self.state.path().to_owned()),
                    false => LocalState::None,
                };
                let done = self.run(&disk, &state, step, count);
                let mut promises = step.promises.clone();
                done.flatten().into_iter().for_each(|id| promises.acknowledge(id, step.next()));
                for _ in 0..states {
                    let seed = random.next();
                    let case = Case { round, step: number, nth_change, seed };
                    self.examine(case, &disk.crash(seed), &promises, step.next());
                }
                if !disk.is_crashed() {
                    assert!(done.is_some(), "change {nth_change}: without a power cut {:?} succeeds", step.action);
                    break;
                }
            }
        }
    }

    /// Does every action of the history once and looks at some of the states that a power cut at each of its changes
    /// may leave, but at no two that are equal.
    fn sweep_recorded(&self, round: u64, draws: u64) -> Seen {
        let mut random = Random::new(round);
        let mut seen = Seen::default();
        for (number, step) in self.steps.iter().enumerate() {
            let disk = step.disk.snapshot();
            disk.record_cuts();
            let done = self.run(&disk, &LocalState::None, step, 1).expect("an action without a power cut");
            let mut acknowledged = step.promises.clone();
            done.into_iter().for_each(|id| acknowledged.acknowledge(id, step.next()));
            let mut prints = HashSet::new();
            let cuts = disk.take_cuts();
            for (at, cut) in cuts.iter().enumerate() {
                let has_ended = at + 1 == cuts.len();
                let promises = if has_ended { &acknowledged } else { &step.promises };
                for _ in 0..draws {
                    let seed = random.next();
                    let state = cut.crash(seed);
                    seen.drawn += 1;
                    if prints.insert((has_ended, state.print("tmp"))) {
                        seen.distinct += 1;
                        let case = Case { round, step: number, nth_change: at as u64 + 1, seed };
                        self.examine(case, &state, promises, step.next());
                    }
                }
            }
        }
        seen
    }

    /// Looks at one state; some lose power once more.
    fn examine(&self, case: Case, state: &SimDisk, promises: &Promises, number: usize) {
        self.examined.fetch_add(1, Ordering::Relaxed);
        let mut random = Random::new(case.seed);
        let mut promises = promises.clone();
        let mut state = state.snapshot();
        if one_in(&mut random, self.depth.cut_again) {
            state.crash_at(1 + random.next() % 30);
            let again = self.try_backup(&state, &LocalState::None, number, 1);
            again.into_iter().for_each(|id| promises.acknowledge(id, number));
            state = state.crash(random.next());
        }
        let context = threads(1 + random.below(2));
        let verified = catch_unwind(AssertUnwindSafe(|| {
            self.verify(&state, &promises, HISTORY, &context);
            self.verify_with_foreign_state(&state, &mut random, number);
        }));
        if let Err(panic) = verified {
            println!("{case}: the state of the disk is kept in {}", keep(&state, &self.key).display());
            resume_unwind(panic);
        }
    }

    /// Everything that a user may expect after a power cut.
    fn verify(&self, state: &SimDisk, promises: &Promises, next: usize, context: &vellum::Context) {
        let disk = state.snapshot();
        let repository = self.open(&disk, &LocalState::None);
        self.verify_snapshots(&repository, promises);
        self.verify_clean(&repository, context, "a power cut is no damage");
        let examined = self.examined.load(Ordering::Relaxed);
        if !examined.is_multiple_of(self.depth.backup) {
            return;
        }
        let repository = self.open(&disk, &LocalState::None);
        let id = try_backup(&repository, self.versions.path(next), context).expect("the backup after a power cut");
        let mut promises = promises.clone();
        promises.acknowledge(id, next);
        let repository = self.open(&disk, &LocalState::None);
        self.verify_snapshots(&repository, &promises);
        self.verify_clean(&repository, context, "the backup after a power cut leaves a clean repository");
        if (examined / self.depth.backup).is_multiple_of(self.depth.prune) {
            vellum::prune(&repository, &support::prune_all_at_once(), context).expect("the prune after a power cut");
            let repository = self.open(&disk, &LocalState::None);
            self.verify_snapshots(&repository, &promises);
            self.verify_clean(&repository, context, "the prune after a power cut leaves a clean repository");
        }
        if examined.is_multiple_of(self.full_restore_every) {
            self.restore_all(&repository);
        }
    }

    /// A local state that lived through other power cuts is as good as none.
    fn verify_with_foreign_state(&self, state: &SimDisk, random: &mut Random, number: usize) {
        if !one_in(random, 4 * self.depth.cut_again) {
            return;
        }
        let disk = state.snapshot();
        let kept = LocalState::At(self.state.path().to_owned());
        let id = self.try_backup(&disk, &kept, number, 1).expect("a backup with local state of another time");
        let repository = self.open(&disk, &LocalState::None);
        repository.refresh().expect("a readable storage");
        let snapshot = support::snapshot(&repository, id);
        self.versions.assert_holds(&repository, &snapshot);
    }

    fn verify_snapshots(&self, repository: &Repository, promises: &Promises) {
        repository.refresh().expect("a readable storage");
        let found = repository.snapshots().expect("a readable storage");
        assert!(found.damaged.is_empty(), "a power cut damaged a snapshot: {:?}", found.damaged);
        // Also those that nobody acknowledged: a snapshot that is there is whole.
        self.versions.assert_hold(repository, &found.snapshots);
        promises.expect_each(|(id, number)| {
            let snapshot = found.snapshots.iter().find(|snapshot| snapshot.id == *id);
            let snapshot = snapshot.unwrap_or_else(|| panic!("acknowledged snapshot {id} is lost"));
            assert_eq!(self.versions.number_of(snapshot), *number, "snapshot {id} is of another version");
        });
    }

    fn verify_clean(&self, repository: &Repository, context: &vellum::Context, promise: &str) {
        let report = try_check(repository, context).expect("a check");
        assert_eq!(report.findings, [], "{promise}");
    }

    fn restore_all(&self, repository: &Repository) {
        let folder = support::memory_folder();
        for (number, snapshot) in repository.snapshots().expect("a readable storage").snapshots.iter().enumerate() {
            let source = self.versions.path(self.versions.number_of(snapshot));
            let target = folder.path().join(number.to_string());
            let reference = SnapshotRef::Id(snapshot.id.to_string());
            let report = support::restore(repository, &reference, source, &target);
            assert!(report.problems.is_empty(), "a restore after a power cut: {:?}", report.problems);
            assert_same_tree(source, &target);
        }
    }

    /// After a power cut during `init`: a repository that can be used, or a place where `init` succeeds.
    fn examine_new(&self, state: &SimDisk, was_acknowledged: bool) -> Result<(), String> {
        let disk = state.snapshot();
        let opened = LocalStorage::open_on(disk.clone())
            .map_err(RepositoryError::from)
            .and_then(|storage| support::try_open(Arc::new(storage), &self.key, &LocalState::None));
        let repository = match opened {
            Ok(repository) => repository,
            Err(error) if was_acknowledged => return Err(format!("an acknowledged init does not open: {error}")),
            Err(opening) => try_create(&disk, &self.key)
                .map_err(|creating| format!("opening says \"{opening}\", creating says \"{creating}\""))?,
        };
        let id = try_backup(&repository, self.versions.path(0), &threads(1)).map_err(|error| error.to_string())?;
        let repository = self.open(&disk, &LocalState::None);
        repository.refresh().map_err(|error| error.to_string())?;
        let tree = stored_tree(&repository, &support::snapshot(&repository, id), self.versions.path(0));
        let tree = tree.map_err(|error| error.to_string())?;
        if !tree.problems.is_empty() || tree.manifest != *self.versions.manifest(0) {
            return Err("the first backup after it cannot be read".to_owned());
        }
        let report = try_check(&self.open(&disk, &LocalState::None), &threads(1)).map_err(|error| error.to_string())?;
        match &report.findings[..] {
            [] => Ok(()),
            findings => Err(format!("after the first backup a check finds {findings:?}")),
        }
    }
}

fn one_in(random: &mut Random, count: u64) -> bool {
    random.next().is_multiple_of(count)
}

fn try_create(disk: &SimDisk, key: &KeyFile) -> Result<Repository, RepositoryError> {
    let storage: Arc<dyn Storage> = Arc::new(LocalStorage::create_on(disk.clone())?);
    support::try_create(storage, key, &LocalState::None, &small_packs())
}

/// Writes a disk and its key to a folder that stays.
fn keep(disk: &SimDisk, key: &KeyFile) -> PathBuf {
    let disk = disk.snapshot();
    let folder = tempfile::Builder::new().prefix("vellum-crash-").tempdir().expect("a scratch folder").keep();
    std::fs::write(folder.join("key-file"), &*key.encode()).expect("a scratch folder");
    keep_folder(&disk, "", &folder.join("repository"));
    folder
}

fn keep_folder(disk: &SimDisk, folder: &str, to: &Path) {
    std::fs::create_dir_all(to).expect("a scratch folder");
    let mut names = Vec::new();
    disk.list_folder(folder, &mut |entry| names.push(entry.name.to_str().expect("plain names").to_owned()))
        .expect("a folder");
    for name in names {
        let path = format!("{folder}/{name}");
        match disk.file_len(&path).and_then(|len_bytes| disk.read_range(&path, 0..len_bytes)) {
            Ok(bytes) => std::fs::write(to.join(name), bytes).expect("a scratch folder"),
            Err(_) => keep_folder(disk, &path, &to.join(name)),
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    let is_id = |word: &str| word.len() > 40 && word.contains(|character: char| character.is_ascii_digit());
    let words = text.unwrap_or("a panic without a message").split_whitespace();
    let words: Vec<&str> = words.map(|word| if is_id(word) { "(id)" } else { word }).collect();
    words.join(" ").chars().take(400).collect()
}

/// The sweeps prove nothing if a disk without power cuts were examined.
#[test]
fn a_sweep_would_notice_what_is_lost() {
    let world = World::new(u64::MAX, THOROUGH, trees());
    let step = &world.steps[2];
    let folders = [ObjectKind::Snapshot, ObjectKind::Catalog, ObjectKind::Pack, ObjectKind::ConfigMirror];
    for kind in folders {
        let disk = step.disk.snapshot();
        let storage = LocalStorage::open_on(disk.clone()).expect("a repository");
        let mut lost = None;
        storage.list(kind, &mut |object| lost = lost.or(Some(object.name))).expect("a readable storage");
        let lost = lost.expect("a repository with two snapshots has each kind");
        for kind in std::iter::once(kind).chain(kind.mirror()) {
            storage.delete(&ObjectName::new(kind, lost.id)).expect("a writable storage");
        }
        let verified = catch_unwind(AssertUnwindSafe(|| world.verify(&disk, &step.promises, HISTORY, &threads(1))));
        assert!(verified.is_err(), "a lost {} goes unnoticed", kind.noun());
    }
}
