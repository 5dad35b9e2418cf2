//! Every fault point of the code, with everything that may happen there.
//!
//! Whatever falls between two steps, be it an error, a kill, a power cut, or another process's whole backup, prune or
//! forget: what was acknowledged is there and whole, the next backup succeeds, and a check has nothing to find.
//! Points are reached by real operations, each on a disk of its own that was prepared once.

use crate::support::{self, NOW, Versions, names, small_packs, stored_tree, threads, try_backup, try_check};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use vellum::format::{ObjectId, ObjectKind};
use vellum::storage::{LocalStorage, Storage};
use vellum::{
    Credential, Error, KeyFile, LocalState, NewSlot, PruneOptions, RepairOptions, Repository, RepositoryError,
    repair_index, repair_packs,
};
use vellum_faults::{Point, with_hook};
use vellum_testkit::trees::differences;
use vellum_testkit::{FaultKind, FaultyStorage, Oracle, SimDisk, lock};

const EIO: i32 = 5;
const DAY: i64 = 24 * 60 * 60;

/// The version that no snapshot of a prepared disk is of.
const NEXT: usize = 3;

/// Each operation that reaches points, with what was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scene {
    Init,
    /// Of a new version, with local state.
    Backup,
    /// The same beside another that has just stored it, with local state of one segment a catalog.
    BackupMerging,
    /// Of a new version, after a backup that was killed before its catalog.
    BackupAfterKill,
    /// The same while prunes give its writer up.
    BackupGivenUp,
    Forget,
    /// After a forget, with packs to delete and packs to move.
    Prune,
    /// A week after one that had to wait for a writer that was killed.
    PruneGivingUp,
    /// Of packs that a snapshot relies on that was written while they were condemned.
    PruneRescuing,
    RepairCopy,
    RepairPack,
    KeyChange,
}

impl Scene {
    const ALL: [Self; 12] = [
        Self::Init,
        Self::Backup,
        Self::BackupMerging,
        Self::BackupAfterKill,
        Self::BackupGivenUp,
        Self::Forget,
        Self::Prune,
        Self::PruneGivingUp,
        Self::PruneRescuing,
        Self::RepairCopy,
        Self::RepairPack,
        Self::KeyChange,
    ];

    /// The version that others back up meanwhile: the same data as the operation's, or what it deletes.
    const fn data(self) -> usize {
        match self {
            Self::Backup | Self::BackupMerging | Self::BackupAfterKill | Self::BackupGivenUp => NEXT,
            _ => 0,
        }
    }
}

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Error,
    /// What was done and not synced is seen by others, until the power goes as well.
    Kill,
    PowerCut,
    OtherBackup,
    OtherPrune,
    /// Two of them, the second a week later: whoever stands at the point is given up.
    OtherPrunes,
    OtherForgetAndPrune,
}

impl Event {
    const ALL: [Self; 7] = [
        Self::Error,
        Self::Kill,
        Self::PowerCut,
        Self::OtherBackup,
        Self::OtherPrune,
        Self::OtherPrunes,
        Self::OtherForgetAndPrune,
    ];
}

/// A point of an operation: the n-th time that it is reached, from 1.
type Moment = (Scene, Point, usize);

/// What is on a disk, and what was promised about it.
#[derive(Clone)]
struct Prepared {
    disk: SimDisk,
    promises: Arc<Mutex<Oracle<ObjectId, usize>>>,
}

struct World {
    key: KeyFile,
    versions: Versions,
    /// The snapshots of the first three versions.
    ids: Vec<ObjectId>,
    prepared: BTreeMap<Scene, Prepared>,
    /// Local state that has learnt of each of these snapshots alone.
    state: Arc<tempfile::TempDir>,
}

/// What an operation was told.
type Told = Result<(), String>;

impl Prepared {
    /// An independent copy.
    fn copy(&self) -> Self {
        Self { disk: self.disk.snapshot(), promises: Arc::new(Mutex::new(lock(&self.promises).clone())) }
    }

    fn storage(&self) -> Result<LocalStorage<SimDisk>, RepositoryError> {
        Ok(LocalStorage::open_on(self.disk.clone())?)
    }

    fn acknowledge(&self, id: ObjectId, version: usize) {
        lock(&self.promises).acknowledge(id, version);
    }
}

impl World {
    fn new() -> Arc<Self> {
        let key = KeyFile::generate().expect("randomness");
        let versions = Versions::of_files(&[
            &[("kept", 9_000, 1), ("own", 5_000, 2)],
            &[("kept", 9_000, 1), ("own", 5_000, 3)],
            &[("kept", 9_000, 1), ("folder/own", 5_000, 4)],
            &[("kept", 9_000, 1), ("folder/own", 7_000, 5), ("more", 300, 6)],
        ]);
        let empty = Prepared { disk: SimDisk::new(), promises: Arc::default() };
        let state = Arc::new(support::memory_folder());
        let mut world = Self { key, versions, ids: Vec::new(), prepared: BTreeMap::new(), state };
        let base = empty.copy();
        drop(world.create(&base).expect("a new repository"));
        for version in 0..NEXT {
            let id = world.backup(&base, version).expect("a backup");
            world.ids.push(id);
            let learning = LocalState::At(world.state.path().to_owned());
            let storage = Arc::new(base.storage().expect("a repository"));
            let learnt = world.open_on(storage, &learning).and_then(|repository| repository.refresh());
            assert_eq!(learnt.expect("a healthy storage").catalogs_read, 1);
        }
        let world = Arc::new(world);
        let prepared = Scene::ALL.map(|scene| (scene, world.prepare(scene, &empty, &base))).into();
        let world = Arc::into_inner(world).expect("nobody else holds it");
        Arc::new(Self { prepared, ..world })
    }

    fn prepare(self: &Arc<Self>, scene: Scene, empty: &Prepared, base: &Prepared) -> Prepared {
        let at = base.copy();
        match scene {
            Scene::Init => return empty.copy(),
            Scene::Backup | Scene::Forget | Scene::KeyChange => {}
            Scene::BackupMerging => drop(self.backup(&at, NEXT).expect("a backup")),
            Scene::BackupAfterKill => self.killed_backup(&at, Point::CatalogBeforePut),
            Scene::Prune | Scene::BackupGivenUp => self.forget(&at, 0).expect("a forget"),
            Scene::PruneGivingUp => {
                self.forget(&at, 0).expect("a forget");
                self.killed_backup(&at, Point::WriterIndexLoaded);
                self.prune(&at, 0).expect("a prune");
            }
            Scene::PruneRescuing => {
                self.forget(&at, 0).expect("a forget");
                let (world, beside) = (Arc::clone(self), at.clone());
                let mut is_due = true;
                let hook = move |point| {
                    if point == Point::WriterIndexLoaded && std::mem::take(&mut is_due) {
                        world.prune(&beside, 0).expect("a prune");
                    }
                    Ok(())
                };
                with_hook(hook, || self.backup(&at, 0).expect("a backup beside a prune"));
            }
            Scene::RepairCopy => {
                let storage = at.storage().expect("a repository");
                let name = names(&storage, ObjectKind::Catalog)[0];
                storage.delete(&name).and_then(|()| storage.sync()).expect("a writable storage");
            }
            Scene::RepairPack => {
                let storage = at.storage().expect("a repository");
                support::change(&storage, &names(&storage, ObjectKind::Pack)[0], |bytes| bytes[100] ^= 1);
                storage.sync().expect("a writable storage");
            }
        }
        at
    }

    /// Leaves what a backup leaves that is killed at a point.
    fn killed_backup(&self, at: &Prepared, when: Point) {
        let storage = Arc::new(FaultyStorage::new(at.storage().expect("a repository")));
        let dying = Arc::clone(&storage);
        let hook = move |point| match point == when {
            true => {
                dying.fail_from(1, FaultKind::Io);
                Err(io::Error::from_raw_os_error(EIO))
            }
            false => Ok(()),
        };
        let repository = support::open(storage, &self.key, &LocalState::None);
        let done = with_hook(hook, || try_backup(&repository, self.versions.path(NEXT), &threads(1)));
        done.expect_err("it was killed");
    }

    fn open_on(&self, storage: Arc<dyn Storage>, state: &LocalState) -> Result<Repository, RepositoryError> {
        support::try_open(storage, &self.key, state)
    }

    fn open(&self, at: &Prepared) -> Result<Repository, RepositoryError> {
        self.open_on(Arc::new(at.storage()?), &LocalState::None)
    }

    fn create(&self, at: &Prepared) -> Result<Repository, RepositoryError> {
        self.create_on(Arc::new(LocalStorage::create_on(at.disk.clone())?))
    }

    fn create_on(&self, storage: Arc<dyn Storage>) -> Result<Repository, RepositoryError> {
        support::try_create(storage, &self.key, &LocalState::None, &small_packs())
    }

    fn backup(&self, at: &Prepared, version: usize) -> Result<ObjectId, Error> {
        let id = try_backup(&self.open(at)?, self.versions.path(version), &threads(1))?;
        at.acknowledge(id, version);
        Ok(id)
    }

    fn prune(&self, at: &Prepared, days: i64) -> Result<(), Error> {
        vellum::prune(&self.open(at)?, &at_once(days), &threads(1)).map(drop)
    }

    fn forget(&self, at: &Prepared, version: usize) -> Result<(), RepositoryError> {
        lock(&at.promises).forget(&self.ids[version]);
        support::remove(&self.open(at)?, self.ids[version]).map(drop)
    }

    /// What a scene is about, on a storage of its own.
    fn operate(&self, scene: Scene, at: &Prepared, storage: Arc<dyn Storage>) -> Result<(), Error> {
        let folder = support::memory_folder();
        let state = match scene {
            Scene::Backup => LocalState::At(folder.path().to_owned()),
            Scene::BackupMerging => {
                let copied = folder.path().join("state");
                support::copy(self.state.path(), &copied);
                LocalState::At(copied)
            }
            _ => LocalState::None,
        };
        if scene == Scene::Init {
            return Ok(self.create_on(storage).map(drop)?);
        }
        let mut repository = self.open_on(storage, &state)?;
        let one = threads(1);
        match scene {
            Scene::Init => {}
            Scene::Backup | Scene::BackupMerging | Scene::BackupAfterKill | Scene::BackupGivenUp => {
                at.acknowledge(try_backup(&repository, self.versions.path(NEXT), &one)?, NEXT);
            }
            Scene::Forget => {
                lock(&at.promises).forget(&self.ids[1]);
                support::remove(&repository, self.ids[1])?;
            }
            Scene::Prune | Scene::PruneRescuing => drop(vellum::prune(&repository, &at_once(0), &one)?),
            Scene::PruneGivingUp => drop(vellum::prune(&repository, &at_once(8), &one)?),
            Scene::RepairCopy => drop(repair_index(&repository, &RepairOptions::new(NOW), &one)?),
            Scene::RepairPack => drop(repair_packs(&repository, &RepairOptions::new(NOW), &one)?),
            Scene::KeyChange => {
                let other = KeyFile::generate().expect("randomness");
                let slot = NewSlot { credential: Credential::KeyFile(&other), label: "two", argon2id: None, now: NOW };
                repository.add_slot(&slot)?;
            }
        }
        Ok(())
    }

    /// Runs a scene's operation with a hook that hears of every point.
    fn run(
        self: &Arc<Self>,
        scene: Scene,
        at: &Prepared,
        storage: Arc<dyn Storage>,
        mut hook: impl FnMut(Point) -> io::Result<()> + Send + 'static,
    ) -> Told {
        let (world, beside) = (Arc::clone(self), at.clone());
        let mut gives_up = scene == Scene::BackupGivenUp;
        let hook = move |point| {
            if point == Point::SnapshotBeforePut && std::mem::take(&mut gives_up) {
                [0, 8].iter().for_each(|days| drop(world.prune(&beside, *days)));
            }
            hook(point)
        };
        with_hook(hook, || self.operate(scene, at, storage)).map_err(|error| format!("{error}, {error:?}"))
    }

    /// The points that a scene reaches when nothing happens, with how often.
    fn reached(self: &Arc<Self>, scene: Scene) -> BTreeMap<Point, usize> {
        let at = self.prepared[&scene].copy();
        let reached: Arc<Mutex<BTreeMap<Point, usize>>> = Arc::default();
        let heard = Arc::clone(&reached);
        let storage = self.storage_for(scene, &at).expect("a healthy disk");
        let hook = move |point| {
            *lock(&heard).entry(point).or_default() += 1;
            Ok(())
        };
        let told = self.run(scene, &at, storage, hook);
        // A writer that was given up tells so; whoever wants may begin again.
        assert!(told.is_ok() || scene == Scene::BackupGivenUp, "{scene:?}: {told:?}");
        lock(&reached).clone()
    }

    fn storage_for(&self, scene: Scene, at: &Prepared) -> Result<Arc<FaultyStorage<LocalStorage<SimDisk>>>, Error> {
        let storage = match scene {
            Scene::Init => LocalStorage::create_on(at.disk.clone()).map_err(RepositoryError::from)?,
            _ => at.storage()?,
        };
        Ok(Arc::new(FaultyStorage::new(storage)))
    }

    /// Lets something happen at a moment and looks at what is left.
    fn examine(self: &Arc<Self>, (scene, when, nth): Moment, event: Event) {
        let at = self.prepared[&scene].copy();
        let storage = self.storage_for(scene, &at).expect("a healthy disk");
        let hits = Arc::new(AtomicUsize::new(0));
        let (world, beside, dying, counter) = (Arc::clone(self), at.clone(), Arc::clone(&storage), Arc::clone(&hits));
        let hook = move |point| {
            if point != when || counter.fetch_add(1, Ordering::Relaxed) + 1 != nth {
                return Ok(());
            }
            world.happen(scene, event, &beside, &dying)
        };
        let told = self.run(scene, &at, storage, hook);
        assert!(hits.load(Ordering::Relaxed) >= nth, "the point is not reached");
        assert_told(scene, when, event, &told);
        let is_made = told.is_ok() && scene == Scene::Init;
        if event != Event::PowerCut {
            self.verify(scene, &Prepared { disk: at.disk.snapshot(), ..at.copy() }, is_made);
        }
        for seed in 0..2 {
            self.verify(scene, &Prepared { disk: at.disk.crash(seed), ..at.copy() }, is_made);
        }
    }

    fn happen(
        &self,
        scene: Scene,
        event: Event,
        at: &Prepared,
        dying: &FaultyStorage<LocalStorage<SimDisk>>,
    ) -> io::Result<()> {
        let beside = match event {
            Event::Error => return Err(io::Error::from_raw_os_error(EIO)),
            Event::Kill => {
                dying.fail_from(1, FaultKind::Io);
                return Err(io::Error::other("killed"));
            }
            Event::PowerCut => {
                at.disk.cut_power();
                return Err(io::Error::other("no power"));
            }
            // There is nothing else yet that anybody could do in this place.
            _ if scene == Scene::Init => {
                drop(self.create(at));
                return Ok(());
            }
            Event::OtherBackup => self.backup(at, scene.data()).map(drop),
            Event::OtherPrune => self.prune(at, 0),
            Event::OtherPrunes => self.prune(at, 0).and_then(|()| self.prune(at, 8)),
            Event::OtherForgetAndPrune => self.forget(at, 2).map_err(Error::from).and_then(|()| self.prune(at, 0)),
        };
        beside.unwrap_or_else(|error| panic!("nobody is refused: {event:?}: {error}, {error:?}"));
        Ok(())
    }

    /// Everything that a user may expect afterwards.
    fn verify(&self, scene: Scene, at: &Prepared, is_made: bool) {
        if scene == Scene::Init {
            let opened = LocalStorage::open_on(at.disk.clone()).map_err(RepositoryError::from);
            let opened = opened.and_then(|storage| self.open_on(Arc::new(storage), &LocalState::None));
            assert!(opened.is_ok() || !is_made, "an acknowledged init does not open");
            if opened.is_err() {
                let opening = opened.err();
                let created = self.create(at).map(drop);
                created.unwrap_or_else(|error| panic!("init cannot be run again: {error}, and it says {opening:?}"));
            }
        }
        if matches!(scene, Scene::RepairCopy | Scene::RepairPack) {
            let repository = self.open(at).expect("it opens");
            let one = threads(1);
            drop(repair_packs(&repository, &RepairOptions::new(NOW), &one).expect("a repair after a repair"));
            drop(repair_index(&repository, &RepairOptions::new(NOW), &one).expect("a repair after a repair"));
        }
        // An init that was cut off may have stored one copy of its config; the first backup puts the other back.
        if scene != Scene::Init {
            self.assert_kept(at);
        }
        self.backup(at, NEXT).expect("the next backup");
        self.assert_kept(at);
        self.prune(at, 30).expect("the next prune");
        self.assert_kept(at);
    }

    /// What is there is whole, what was acknowledged is there, and a check finds nothing.
    fn assert_kept(&self, at: &Prepared) {
        let repository = self.open(at).expect("it opens");
        repository.refresh().expect("a healthy storage");
        let found = repository.snapshots().expect("a healthy storage");
        assert!(found.damaged.is_empty(), "damaged: {:?}", found.damaged);
        for snapshot in &found.snapshots {
            let version = self.versions.number_of(snapshot);
            let tree = stored_tree(&repository, snapshot, self.versions.path(version)).expect("a readable snapshot");
            let wrong = differences(self.versions.manifest(version), &tree.manifest);
            assert!(tree.problems.is_empty() && wrong.is_empty(), "a snapshot is not whole: {tree:?}");
        }
        lock(&at.promises).expect_each(|(id, version)| {
            let is_there = found.snapshots.iter().any(|snapshot| snapshot.id == *id);
            assert!(is_there, "an acknowledged snapshot is lost: {id} of version {version}");
        });
        let report = try_check(&repository, &threads(1)).expect("a check");
        assert_eq!(report.findings, [], "a check finds something");
    }
}

/// P7: an error is told or does not matter; and nobody has to stop because others work.
fn assert_told(scene: Scene, point: Point, event: Event, told: &Told) {
    use Point::{
        FileCacheBeforeRename, FileCachePublished, IndexBeforeRename, IndexMergeRecorded, IndexMergeWritten,
        IndexRecorded, IntentAfterRemoval, IntentBeforeRemoval,
    };
    // What only costs time, or comes after all is done.
    let is_harmless = matches!(
        point,
        IndexBeforeRename
            | IndexRecorded
            | IndexMergeWritten
            | IndexMergeRecorded
            | FileCacheBeforeRename
            | FileCachePublished
            | IntentBeforeRemoval
            | IntentAfterRemoval
    );
    match event {
        Event::Error if is_harmless => assert!(told.is_ok() || scene == Scene::BackupGivenUp, "{told:?}"),
        Event::Error => assert!(told.is_err(), "an error is swallowed"),
        Event::Kill | Event::PowerCut => {}
        // Another init was faster; a writer that was given up begins again only when it is asked to.
        _ if scene == Scene::Init || scene == Scene::BackupGivenUp || event == Event::OtherPrunes => {}
        _ => assert!(told.is_ok(), "others keep it from its work: {told:?}"),
    }
}

fn at_once(days: i64) -> PruneOptions {
    let mut options = support::prune_all_at_once();
    options.now.seconds += days * DAY;
    options
}

/// Lets everything happen at all of these moments and panics with what went wrong.
fn examine_all(world: &Arc<World>, moments: &[Moment]) {
    let cases: Vec<(Moment, Event)> =
        moments.iter().flat_map(|moment| Event::ALL.map(|event| (*moment, event))).collect();
    let broken = Mutex::new(BTreeMap::new());
    support::on_threads(2, cases.iter(), |(moment, event)| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| world.examine(*moment, *event))) {
            let text = panic.downcast_ref::<String>().map(|text| text.chars().take(600).collect());
            lock(&broken).insert((*moment, *event), text.unwrap_or_else(|| "a panic".to_owned()));
        }
    });
    let broken = lock(&broken);
    println!("{} moments, {} cases", moments.len(), cases.len());
    assert!(broken.is_empty(), "{} of {} cases: {broken:#?}", broken.len(), cases.len());
}

#[test]
fn every_fault_point_is_reached_and_whatever_happens_there_costs_nothing() {
    let world = World::new();
    let (mut seen, mut moments) = (BTreeSet::new(), Vec::new());
    for scene in Scene::ALL {
        let new = world.reached(scene).into_keys().filter(|point| seen.insert(*point));
        moments.extend(new.map(|point| (scene, point, 1)));
    }
    let missing: Vec<&Point> = Point::ALL.iter().filter(|point| !seen.contains(point)).collect();
    assert!(missing.is_empty(), "no scene reaches {missing:?}");
    examine_all(&world, &moments);
}

/// Each scene in full, and each point as often as it is reached there.
#[cfg(feature = "slow")]
#[test]
fn whatever_happens_at_any_fault_point_of_any_operation_costs_nothing() {
    let world = World::new();
    let mut moments = Vec::new();
    for scene in Scene::ALL {
        for (point, count) in world.reached(scene) {
            moments.extend((1..=count).map(|nth| (scene, point, nth)));
        }
    }
    examine_all(&world, &moments);
}
