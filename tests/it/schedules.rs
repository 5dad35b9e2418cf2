//! Many processes on one repository, in every order that chance gives: writers, pruners, a forgetter, kills, pauses of
//! days, wrong clocks.
//!
//! P5: no acknowledged and not forgotten snapshot loses anything. The processes are threads with the real engine; a
//! turnstile in front of their storages lets one call through at a time, chosen by the seed among all that wait, so a
//! pause of any process for any time is only a matter of luck. Keys are random, so a seed gives the same choices, not
//! the same bytes.

use crate::support::{self, LastKeys, NOW, Versions};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use vellum::format::snapshot::Timestamp;
use vellum::format::{ObjectId, ObjectKind, ObjectName};
use vellum::storage::{MemoryStorage, ObjectSummary, Put, Storage, StorageError, forward};
use vellum::{BackupOptions, FrameCache, KeyFile, LocalState, MaxUnused, PruneOptions, Repository};
use vellum_testkit::{Random, lock};

const DAY: i64 = 24 * 60 * 60;
const VERSIONS: usize = 4;

/// Lets one call of one process through at a time.
struct Turnstile {
    state: Mutex<Turns>,
    /// One for each process, so that nobody is woken who may not go.
    changed: Vec<Condvar>,
}

struct Turns {
    random: Random,
    processes: Vec<Process>,
    /// Whose call is under way.
    inside: bool,
    /// Who may go next.
    next: Option<usize>,
}

struct Process {
    /// Threads of it that stand before a call.
    waiting: usize,
    has_ended: bool,
    calls: u64,
    /// After how many calls it is killed.
    killed_at: u64,
    /// Choices for which it stands still, whatever the others do.
    paused: usize,
}

impl Turnstile {
    fn new(seed: u64, processes: usize) -> Arc<Self> {
        let mut random = Random::new(seed);
        let process = |random: &mut Random| Process {
            waiting: 0,
            has_ended: false,
            calls: 0,
            killed_at: if random.below(5) == 0 { 1 + random.below(80) as u64 } else { u64::MAX },
            paused: 0,
        };
        let all = (0..processes).map(|_| process(&mut random)).collect();
        let state = Turns { random, processes: all, inside: false, next: None };
        let changed = (0..processes).map(|_| Condvar::new()).collect();
        Arc::new(Self { state: Mutex::new(state), changed })
    }

    fn turns(&self) -> MutexGuard<'_, Turns> {
        lock(&self.state)
    }

    /// Waits for the turn of a process; false when it has been killed.
    fn enter(&self, process: usize) -> bool {
        let mut turns = self.turns();
        turns.processes[process].waiting += 1;
        loop {
            if turns.is_killed(process) {
                turns.processes[process].waiting -= 1;
                turns.next = turns.next.filter(|next| *next != process);
                self.choose(&mut turns);
                return false;
            }
            self.choose(&mut turns);
            if turns.next == Some(process) {
                turns.next = None;
                turns.inside = true;
                turns.processes[process].waiting -= 1;
                turns.processes[process].calls += 1;
                return true;
            }
            turns = self.changed[process].wait(turns).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn leave(&self) {
        let mut turns = self.turns();
        turns.inside = false;
        self.choose(&mut turns);
    }

    /// Chooses, and wakes whoever it is.
    fn choose(&self, turns: &mut Turns) {
        turns.choose();
        if let Some(next) = turns.next {
            self.changed[next].notify_all();
        }
    }

    fn end(&self, process: usize) {
        let mut turns = self.turns();
        turns.processes[process].has_ended = true;
        self.choose(&mut turns);
    }

    fn revive(&self, process: usize) {
        self.turns().processes[process].killed_at = u64::MAX;
    }

    fn below(&self, limit: usize) -> usize {
        self.turns().random.below(limit)
    }
}

impl Turns {
    fn is_killed(&self, process: usize) -> bool {
        self.processes[process].calls >= self.processes[process].killed_at
    }

    /// Chooses who goes next once everybody stands before a call or has ended: then the choice is the seed's alone.
    fn choose(&mut self) {
        let all_stand = self.processes.iter().all(|process| process.has_ended || process.waiting > 0);
        if self.inside || self.next.is_some() || !all_stand {
            return;
        }
        let mut able: Vec<usize> = (0..self.processes.len()).filter(|at| !self.processes[*at].has_ended).collect();
        if able.is_empty() {
            return;
        }
        if self.random.below(12) == 0 {
            let at = able[self.random.below(able.len())];
            self.processes[at].paused = 1 + self.random.below(120);
        }
        self.processes.iter_mut().for_each(|process| process.paused = process.paused.saturating_sub(1));
        let awake: Vec<usize> = able.iter().copied().filter(|at| self.processes[*at].paused == 0).collect();
        if !awake.is_empty() {
            able = awake;
        }
        self.next = Some(able[self.random.below(able.len())]);
    }
}

/// One process's way to the storage that all share.
struct Door {
    process: usize,
    turnstile: Arc<Turnstile>,
    inner: Arc<MemoryStorage>,
}

impl Door {
    fn through<T>(&self, call: impl FnOnce() -> Result<T, StorageError>) -> Result<T, StorageError> {
        if !self.turnstile.enter(self.process) {
            let source = io::Error::other("this process was killed");
            return Err(StorageError::from_io("use", PathBuf::from("memory"), source));
        }
        let done = call();
        self.turnstile.leave();
        done
    }
}

#[deny(clippy::missing_trait_methods)]
impl Storage for Door {
    forward!(|self| self.inner => adopt, release_reserve, keep_reserve, location, capabilities);

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StorageError> {
        self.through(|| self.inner.put(name, bytes))
    }

    fn replace_damaged(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.through(|| self.inner.replace_damaged(name, bytes))
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.through(|| self.inner.sync())
    }

    fn get(&self, name: &ObjectName, len_bytes_max: u64) -> Result<Vec<u8>, StorageError> {
        self.through(|| self.inner.get(name, len_bytes_max))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.through(|| self.inner.get_range(name, range))
    }

    fn len(&self, name: &ObjectName) -> Result<u64, StorageError> {
        self.through(|| self.inner.len(name))
    }

    fn list(&self, kind: ObjectKind, visit: &mut dyn FnMut(ObjectSummary)) -> Result<(), StorageError> {
        self.through(|| self.inner.list(kind, visit))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        self.through(|| self.inner.delete(name))
    }
}

/// What all schedules share.
struct World {
    key: KeyFile,
    keys: LastKeys,
    versions: Versions,
    template: MemoryStorage,
}

/// What one schedule has promised.
#[derive(Default)]
struct Promises {
    held: Mutex<BTreeMap<ObjectId, usize>>,
    acknowledged: AtomicU64,
    fenced: AtomicU64,
    pruned: AtomicU64,
    deleted: AtomicU64,
    repacked: AtomicU64,
}

impl World {
    fn new() -> Self {
        let own = |number: usize| [("own", 14_000, 500 + number as u64), ("kept", 9_000, 499)];
        let files: Vec<[(&str, usize, u64); 2]> = (0..VERSIONS).map(own).collect();
        let versions = Versions::of_files(&files.iter().map(<[_; 2]>::as_slice).collect::<Vec<_>>());
        let storage = Arc::new(MemoryStorage::new());
        let key = KeyFile::generate().expect("randomness");
        drop(support::create(storage.clone(), &key, &LocalState::None));
        Self { key, keys: LastKeys::default(), versions, template: storage.as_ref().clone() }
    }

    /// Runs one schedule to its end and returns what is wrong then.
    fn run(&self, seed: u64, totals: &Promises) -> Result<(), String> {
        let storage = Arc::new(self.template.clone());
        let (writers, pruners) = ([2, 3][usize::from(seed % 2 == 1)], [1, 2][usize::from(seed / 2 % 2 == 1)]);
        let turnstile = Turnstile::new(seed, writers + pruners + 1);
        let promises = Promises::default();
        std::thread::scope(|scope| {
            for process in 0..=writers + pruners {
                let door = Door { process, turnstile: Arc::clone(&turnstile), inner: Arc::clone(&storage) };
                let (turnstile, promises) = (&turnstile, &promises);
                scope.spawn(move || {
                    let door: Arc<dyn Storage> = Arc::new(door);
                    for round in 0..2 {
                        match process {
                            _ if process < writers => self.write(&door, process, round, turnstile, promises),
                            _ if process < writers + pruners => self.prune(&door, turnstile, promises),
                            _ => self.forget(&door, turnstile, promises),
                        }
                        // A killed process is followed by another one, which knows nothing.
                        turnstile.revive(process);
                    }
                    turnstile.end(process);
                });
            }
        });
        let sum = |total: &AtomicU64, one: &AtomicU64| total.fetch_add(one.load(Ordering::Relaxed), Ordering::Relaxed);
        sum(&totals.acknowledged, &promises.acknowledged);
        sum(&totals.fenced, &promises.fenced);
        sum(&totals.pruned, &promises.pruned);
        sum(&totals.deleted, &promises.deleted);
        sum(&totals.repacked, &promises.repacked);
        self.examine(&storage, &promises)
    }

    fn open(&self, storage: &Arc<dyn Storage>) -> Option<Repository> {
        self.keys.try_open(Arc::clone(storage), &self.key, &LocalState::None).ok()
    }

    fn write(&self, door: &Arc<dyn Storage>, process: usize, round: usize, turnstile: &Turnstile, promises: &Promises) {
        let Some(repository) = self.open(door) else { return };
        let version = (process + round + turnstile.below(2)) % VERSIONS;
        let mut options = BackupOptions::new([self.versions.path(version).to_owned()]);
        options.time = clock(turnstile, 0);
        if let Ok(report) = vellum::backup(&repository, &options, &support::threads(1)) {
            let id = report.snapshot.expect("a backup makes a snapshot");
            lock(&promises.held).insert(id, version);
            promises.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn prune(&self, door: &Arc<dyn Storage>, turnstile: &Turnstile, promises: &Promises) {
        let Some(repository) = self.open(door) else { return };
        for day in 0..2 {
            let mut options = PruneOptions::new(clock(turnstile, day * 8));
            options.grace_seconds = if turnstile.below(4) == 0 { DAY } else { 0 };
            options.max_unused = if turnstile.below(4) == 0 { MaxUnused::Unlimited } else { MaxUnused::Percent(0.0) };
            if let Ok(report) = vellum::prune(&repository, &options, &support::threads(1)) {
                promises.pruned.fetch_add(1, Ordering::Relaxed);
                promises.deleted.fetch_add(report.packs_deleted, Ordering::Relaxed);
                promises.repacked.fetch_add(report.packs_repacked, Ordering::Relaxed);
                promises.fenced.fetch_add(report.writers_fenced, Ordering::Relaxed);
            }
        }
    }

    /// A snapshot is given up before anything of it goes, as a person does who types `forget`.
    fn forget(&self, door: &Arc<dyn Storage>, turnstile: &Turnstile, promises: &Promises) {
        for _ in 0..2 {
            // Some calls that change nothing, so that others get on meanwhile.
            for _ in 0..turnstile.below(30) {
                drop(door.sync());
            }
            let chosen = {
                let mut held = lock(&promises.held);
                let nth = turnstile.below(held.len().max(1));
                let id = held.keys().nth(nth).copied();
                if let Some(id) = &id {
                    held.remove(id);
                }
                id
            };
            if let (Some(id), Some(repository)) = (chosen, self.open(door)) {
                drop(support::remove(&repository, id));
            }
        }
    }

    fn examine(&self, storage: &Arc<MemoryStorage>, promises: &Promises) -> Result<(), String> {
        let storage: Arc<dyn Storage> = storage.clone();
        let repository = self.open(&storage).ok_or("the repository does not open any more")?;
        let cache = FrameCache::new(16);
        for (id, version) in &*lock(&promises.held) {
            let snapshot =
                repository.read_snapshot(*id).map_err(|error| format!("an acknowledged snapshot: {error}"))?;
            let tree = support::stored_tree_through(&cache, &repository, &snapshot, self.versions.path(*version))
                .map_err(|error| format!("an acknowledged snapshot: {error}"))?;
            if !tree.problems.is_empty() || tree.manifest != *self.versions.manifest(*version) {
                return Err(format!("an acknowledged snapshot gives back something else: {:?}", tree.problems));
            }
        }
        let report = support::try_check(&repository, &support::threads(1)).map_err(|error| error.to_string())?;
        match report.findings.is_empty() {
            true => Ok(()),
            false => Err(format!("a check finds {:?}", report.findings)),
        }
    }
}

/// What a process takes for the time: mostly that of the test and some days later, now and then ten years off.
fn clock(turnstile: &Turnstile, days: i64) -> Timestamp {
    let off = match turnstile.below(8) {
        0 => 3650,
        1 => -3650,
        _ => turnstile.below(3) as i64,
    };
    Timestamp { seconds: NOW.seconds + (days + off) * DAY, nanoseconds: 0 }
}

fn run_schedules(seeds: Range<u64>) {
    let world = World::new();
    let totals = Promises::default();
    let broken = Mutex::new(BTreeMap::new());
    support::on_threads(2, seeds.clone(), |seed| {
        if let Err(why) = world.run(seed, &totals) {
            lock(&broken).entry(why).or_insert(seed);
        }
    });
    let count = |total: &AtomicU64| total.load(Ordering::Relaxed);
    let Promises { acknowledged, fenced, pruned, deleted, repacked, .. } = &totals;
    println!(
        "{} schedules: {} backups acknowledged, {} writers fenced, {} prunes, {} packs deleted, {} rewritten",
        seeds.end - seeds.start,
        count(acknowledged),
        count(fenced),
        count(pruned),
        count(deleted),
        count(repacked)
    );
    let broken = lock(&broken);
    assert!(broken.is_empty(), "reason and seed: {broken:#?}");
    assert!(count(acknowledged) > seeds.end - seeds.start, "most backups are acknowledged");
    assert!(count(deleted) > (seeds.end - seeds.start) / 2, "prunes delete something");
    assert!(count(repacked) > (seeds.end - seeds.start) / 10, "prunes move something");
    assert!(count(fenced) > 10, "some writers are given up");
}

#[test]
fn no_schedule_of_writers_pruners_and_a_forgetter_loses_anything() {
    run_schedules(0..300);
}

#[cfg(feature = "slow")]
#[test]
fn no_schedule_of_a_great_many_loses_anything() {
    run_schedules(1_000..1_000 + support::count("VELLUM_SCHEDULES", 10_000));
}
