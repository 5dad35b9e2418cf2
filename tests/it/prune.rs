//! Pruning: what no snapshot needs goes, what any needs stays, whoever writes meanwhile.

use crate::support::{
    NOW, PutsNoPacks, Versions, assert_holds, backup, change, check, create, names, objects, open, prune_all_at_once,
    prune_at_once, remove, snapshot,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use vellum::format::tree::{Entry, EntryName, Node};
use vellum::format::{ObjectId, ObjectKind, ObjectName};
use vellum::storage::{MemoryStorage, Put, Storage as _, StorageError};
use vellum::{
    BackupOptions, Context, Error, Event, EventSink, FrameCache, KeyFile, LocalState, MaxUnused, PruneOptions,
    PruneReport, Repository, RepositoryError, SessionOptions,
};

/// A repository in memory with one backup of each version.
pub(crate) struct World {
    pub(crate) storage: Arc<MemoryStorage>,
    pub(crate) key: KeyFile,
    pub(crate) versions: Versions,
    pub(crate) repository: Repository,
    ids: Vec<ObjectId>,
}

impl World {
    /// Each version shares one file with its neighbours and has one of its own.
    pub(crate) fn new(seed: u64, count: usize) -> Self {
        let own = |number: usize| [("own", 700_000, seed + number as u64), ("kept", 500_000, seed + 99)];
        let files: Vec<[(&str, usize, u64); 2]> = (0..count).map(own).collect();
        let versions = Versions::of_files(&files.iter().map(<[_; 2]>::as_slice).collect::<Vec<_>>());
        let storage = Arc::new(MemoryStorage::new());
        let key = KeyFile::generate().expect("randomness");
        let repository = create(storage.clone(), &key, &LocalState::None);
        let ids =
            (0..count).map(|number| backup(&repository, versions.path(number)).snapshot.expect("a snapshot")).collect();
        Self { storage, key, versions, repository, ids }
    }

    pub(crate) fn forget(&self, number: usize) {
        remove(&self.repository, self.ids[number]).expect("a removal");
    }

    pub(crate) fn assert_holds(&self, number: usize) {
        // A process that knows nothing of what this one has cached.
        let fresh = open(self.storage.clone(), &self.key, &LocalState::None);
        self.versions.assert_holds(&fresh, &snapshot(&fresh, self.ids[number]));
    }

    fn pack_bytes(&self) -> u64 {
        self.repository.names(ObjectKind::Pack).expect("memory").values().sum()
    }
}

pub(crate) fn prune(repository: &Repository, options: &PruneOptions) -> PruneReport {
    vellum::prune(repository, options, &Context::default()).expect("a prune")
}

#[test]
fn a_prune_without_anything_unused_changes_nothing() {
    let world = World::new(300, 2);
    let before = world.storage.as_ref().clone();
    let report = prune(&world.repository, &prune_at_once());
    assert_eq!((report.packs_condemned, report.packs_deleted, report.bytes_written), (0, 0, 0), "{report:?}");
    assert!(objects(&before) == objects(&*world.storage), "every object is as it was");
    world.assert_holds(0);
    world.assert_holds(1);
}

#[test]
fn what_only_a_forgotten_snapshot_needed_goes_and_the_rest_stays() {
    let world = World::new(301, 3);
    let before = world.pack_bytes();
    world.forget(0);
    world.forget(2);
    let options = prune_all_at_once();
    let report = prune(&world.repository, &options);
    assert!(report.packs_repacked > 0 && report.packs_deleted >= report.packs_repacked, "{report:?}");
    assert_eq!(report.packs_condemned, report.packs_deleted);
    let after = world.pack_bytes();
    assert!(after + 1_300_000 < before, "{after} bytes are left of {before}, of which 1,400,000 were forgotten");
    world.assert_holds(1);
    let fresh = open(world.storage.clone(), &world.key, &LocalState::None);
    assert_eq!(check(&fresh).findings, [], "a pruned repository is whole");
    let again = prune(&fresh, &options);
    assert_eq!((again.packs_condemned, again.packs_deleted), (0, 0), "{again:?}");
    let next = backup(&fresh, world.versions.path(2));
    assert_holds(&fresh, next.snapshot.unwrap(), world.versions.path(2), world.versions.manifest(2));
}

#[test]
fn a_dry_run_tells_and_changes_nothing() {
    let world = World::new(310, 2);
    world.forget(0);
    let before = world.pack_bytes();
    let mut options = prune_all_at_once();
    options.dry_run = true;
    let told = prune(&world.repository, &options);
    assert!(told.packs_condemned > 0 && told.unused_bytes > 600_000, "{told:?}");
    assert_eq!((told.packs_deleted, world.pack_bytes()), (0, before));
    assert!(world.repository.names(ObjectKind::Condemned).unwrap().is_empty());
    options.dry_run = false;
    let done = prune(&world.repository, &options);
    assert_eq!(done.packs_condemned, told.packs_condemned);
    assert_eq!(done.bytes_deleted, told.bytes_deleted);
    assert!(told.bytes_written > 0 && done.bytes_written > 0, "{told:?} {done:?}");
    assert!(world.repository.intents().unwrap().is_empty(), "whoever has ended has withdrawn");
}

/// Its chunks are named by lists of their own, and it is there twice.
#[test]
fn what_a_long_file_needs_stays() {
    let long = |name| (name, 1_600_000, 330);
    let versions = Versions::of_files(&[&[("gone", 300_000, 331)], &[long("once"), long("twice")]]);
    let (storage, key) = (Arc::new(MemoryStorage::new()), KeyFile::generate().expect("randomness"));
    let repository = create(storage.clone(), &key, &LocalState::None);
    let gone = backup(&repository, versions.path(0)).snapshot.expect("a snapshot");
    let kept = backup(&repository, versions.path(1)).snapshot.expect("a snapshot");
    remove(&repository, gone).expect("a removal");
    let report = prune(&repository, &prune_all_at_once());
    assert!(report.packs_deleted > 0, "{report:?}");
    let fresh = open(storage, &key, &LocalState::None);
    assert_holds(&fresh, kept, versions.path(1), versions.manifest(1));
}

#[test]
fn a_prune_ends_removals_that_were_interrupted_and_a_dry_run_does_not() {
    let world = World::new(332, 1);
    let name = ObjectName::new(ObjectKind::Snapshot, world.ids[0]);
    let bytes = world.storage.get(&name, u64::MAX).expect("memory");
    world.forget(0);
    world.storage.put(&name, &bytes).expect("memory");
    let mut options = prune_at_once();
    options.dry_run = true;
    prune(&world.repository, &options);
    assert!(world.repository.names(ObjectKind::Snapshot).unwrap().contains_key(&name.id), "a dry run deletes nothing");
    prune(&world.repository, &prune_at_once());
    assert!(world.repository.names(ObjectKind::Snapshot).unwrap().is_empty());
}

#[test]
fn condemned_packs_stay_for_their_grace_and_are_not_counted_on() {
    let world = World::new(311, 2);
    world.forget(0);
    let mut options = PruneOptions::new(NOW);
    let first = prune(&world.repository, &options);
    assert!(first.packs_condemned > 0 && first.packs_waiting == first.packs_condemned, "{first:?}");
    assert_eq!((first.packs_deleted, first.grace_ends.map(|ends| ends.seconds)), (0, Some(NOW.seconds + 86_400)));
    // What is condemned is stored again, and still read until it goes.
    let again = backup(&world.repository, world.versions.path(0));
    assert!(again.summary.bytes_new >= 700_000, "{:?}", again.summary);
    options.now.seconds += 86_399;
    assert_eq!(prune(&world.repository, &options).packs_deleted, 0);
    options.now.seconds += 1;
    let last = prune(&world.repository, &options);
    assert_eq!(last.packs_deleted, first.packs_condemned);
    let fresh = open(world.storage.clone(), &world.key, &LocalState::None);
    assert_holds(&fresh, again.snapshot.unwrap(), world.versions.path(0), world.versions.manifest(0));
    world.assert_holds(1);
}

#[test]
fn a_reader_that_looked_before_a_prune_finds_what_was_moved() {
    let world = World::new(312, 2);
    let reader = open(world.storage.clone(), &world.key, &LocalState::None);
    reader.refresh().expect("a readable storage");
    let before = snapshot(&reader, world.ids[1]);
    world.forget(0);
    assert!(prune(&world.repository, &prune_all_at_once()).packs_repacked > 0);
    world.versions.assert_holds(&reader, &before);
}

// I23
#[test]
fn what_was_moved_is_read_back_before_anything_is_condemned() {
    let world = World::new(333, 2);
    world.forget(0);
    let loses_packs = PutsNoPacks { inner: world.storage.clone(), answer: || Ok(Put::Stored) };
    let pruner = open(Arc::new(loses_packs), &world.key, &LocalState::None);
    vellum::prune(&pruner, &prune_all_at_once(), &Context::default()).expect_err("what it moved is nowhere");
    assert!(world.repository.names(ObjectKind::Condemned).unwrap().is_empty());
    world.assert_holds(1);
}

/// Whether it is the last pack that does not fit, or one of many.
#[test]
fn a_prune_without_space_condemns_what_nobody_needs_and_moves_nothing() {
    for count in [4u64, 80] {
        let names: Vec<String> = (0..count).map(|number| format!("{number:02}")).collect();
        let all: Vec<(&str, usize, u64)> =
            names.iter().zip(400..).map(|(name, seed)| (&**name, 100_000, seed)).collect();
        let rest: Vec<_> = all.iter().filter(|(_, _, seed)| seed % 2 == 0).copied().collect();
        let versions = Versions::of_files(&[&all, &rest, &[("gone", 300_000, 399)]]);
        let (storage, key) = (Arc::new(MemoryStorage::new()), KeyFile::generate().expect("randomness"));
        let repository = create(storage.clone(), &key, &LocalState::None);
        let ids = [0, 1, 2].map(|number| backup(&repository, versions.path(number)).snapshot.expect("a snapshot"));
        remove(&repository, ids[0]).expect("a removal");
        remove(&repository, ids[2]).expect("a removal");
        let options = prune_all_at_once();
        let refusing = |kind: std::io::ErrorKind| {
            let answer = move || Err(StorageError::from_io("write", "memory".into(), kind.into()));
            open(Arc::new(PutsNoPacks { inner: storage.clone(), answer }), &key, &LocalState::None)
        };
        let unable = refusing(std::io::ErrorKind::PermissionDenied);
        vellum::prune(&unable, &options, &Context::default()).expect_err("a storage that fails is no full one");
        assert!(repository.names(ObjectKind::Condemned).unwrap().is_empty());
        let report = prune(&refusing(std::io::ErrorKind::StorageFull), &options);
        assert!(report.is_full && report.packs_deleted > 0, "{count}: {report:?}");
        assert_eq!((report.packs_repacked, report.bytes_written), (0, 0));
        let fresh = open(storage.clone(), &key, &LocalState::None);
        assert_holds(&fresh, ids[1], versions.path(1), versions.manifest(1));
    }
}

/// Reads heal it, but nothing counts on that: it is told, and stays until somebody repairs it.
#[test]
fn a_damaged_pack_of_which_something_is_needed_stays() {
    let world = World::new(334, 2);
    world.forget(0);
    for name in names(&*world.storage, ObjectKind::Pack) {
        change(&*world.storage, &name, |bytes| bytes[200] ^= 1);
    }
    let report = prune(&open(world.storage.clone(), &world.key, &LocalState::None), &prune_all_at_once());
    assert!(report.packs_repacked == 0 && !report.damaged.is_empty(), "{report:?}");
    assert!(report.packs_deleted > 0, "what nobody needs goes, damaged or not: {report:?}");
    world.assert_holds(1);
}

/// A stream in whose middle something else happens.
pub(crate) struct Interrupted<'a, F> {
    pub(crate) bytes: &'a [u8],
    pub(crate) then: Option<F>,
}

impl<F: FnOnce()> std::io::Read for Interrupted<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if let Some(then) = self.then.take() {
            then();
        }
        self.bytes.read(buffer)
    }
}

impl World {
    /// Backs up, as a stream, what only the forgotten snapshot 0 holds, while `meanwhile` happens.
    pub(crate) fn stream(&self, meanwhile: impl FnOnce()) -> Result<ObjectId, Error> {
        let writer = open(self.storage.clone(), &self.key, &LocalState::None);
        let bytes = self.own();
        let stream = Interrupted { bytes: &bytes, then: Some(meanwhile) };
        let name = EntryName::new(b"stream".to_vec()).expect("a plain name");
        let mut options = BackupOptions::new([]);
        options.time = NOW;
        let report = vellum::backup_stream(&writer, &name, stream, &options, &Context::default())?;
        assert!(report.summary.bytes_new < 100_000, "it relies on what is stored: {:?}", report.summary);
        Ok(report.snapshot.expect("a snapshot"))
    }

    fn own(&self) -> Vec<u8> {
        std::fs::read(self.versions.path(0).join("own")).expect("a file")
    }

    pub(crate) fn assert_stream(&self, id: ObjectId) {
        let fresh = open(self.storage.clone(), &self.key, &LocalState::None);
        fresh.refresh().expect("memory");
        let entry = vellum::open_path(&fresh, &FrameCache::new(4), &snapshot(&fresh, id), b"/stream").expect("a path");
        let Some(Entry { node: Node::File { content, .. }, .. }) = entry else { panic!("the stream is a file") };
        let mut read = Vec::new();
        vellum::read_stream(&fresh, &vellum::FrameCache::new(4), &content, &mut read).expect("all of it");
        assert!(read == self.own(), "what was acknowledged comes back");
    }
}

#[test]
fn a_running_writer_keeps_what_it_may_rely_on() {
    let world = World::new(313, 2);
    world.forget(0);
    let id = world.stream(|| {
        let report = prune(&world.repository, &prune_at_once());
        assert!(report.packs_condemned > 0 && report.packs_deleted == 0, "{report:?}");
        assert_eq!((report.waits_for.len(), report.packs_waiting), (1, report.packs_condemned));
    });
    let id = id.expect("a backup that no prune stops");
    world.assert_stream(id);
    let report = prune(&world.repository, &prune_at_once());
    assert!(report.bytes_written > 700_000 && report.packs_deleted > 0, "it was copied out, then deleted: {report:?}");
    world.assert_stream(id);
    world.assert_holds(1);
}

#[test]
fn writers_that_begin_after_a_condemnation_are_not_waited_for() {
    let world = World::new(314, 2);
    world.forget(0);
    let early = world.stream(|| {
        assert_eq!(prune(&world.repository, &prune_at_once()).waits_for.len(), 1);
    });
    let writer = open(world.storage.clone(), &world.key, &LocalState::None);
    let late = writer.begin(&SessionOptions::default()).expect("a session");
    let report = prune(&world.repository, &prune_at_once());
    assert!(report.packs_deleted > 0 && report.waits_for.is_empty(), "{report:?}");
    drop(late);
    world.assert_stream(early.expect("a backup"));
}

#[test]
fn a_writer_that_was_given_up_acknowledges_nothing() {
    let world = World::new(315, 2);
    world.forget(0);
    let given_up = world.stream(|| {
        prune(&world.repository, &prune_at_once());
        let mut later = prune_at_once();
        later.now.seconds += 8 * 86_400;
        let report = prune(&world.repository, &later);
        assert!(report.writers_fenced == 1 && report.packs_deleted > 0, "{report:?}");
    });
    let given_up = given_up.expect_err("it was given up, and what it relied on is gone");
    assert!(matches!(given_up, Error::Repository(RepositoryError::Fenced)), "{given_up}");
    let fresh = open(world.storage.clone(), &world.key, &LocalState::None);
    assert_eq!(fresh.snapshots().unwrap().snapshots.len(), 1, "the other backup's");
    world.assert_holds(1);
}

/// The second pass of a backup that was given up succeeds.
#[test]
fn a_backup_that_was_given_up_is_made_again() {
    struct PruneOnce<'a>(&'a World, AtomicBool);
    impl EventSink for PruneOnce<'static> {
        fn event(&self, _event: &Event<'_>) {
            if !self.1.swap(true, Ordering::SeqCst) {
                for days in [0, 8] {
                    let mut options = prune_at_once();
                    options.now.seconds += days * 86_400;
                    prune(&self.0.repository, &options);
                }
            }
        }
    }
    let world: &'static World = Box::leak(Box::new(World::new(316, 2)));
    world.forget(0);
    let writer = open(world.storage.clone(), &world.key, &LocalState::None);
    let events: Arc<dyn EventSink> = Arc::new(PruneOnce(world, AtomicBool::new(false)));
    let context = Context { events: Some(events), ..Context::default() };
    let id = crate::support::try_backup(&writer, world.versions.path(0), &context).expect("a backup, the second time");
    let fresh = open(world.storage.clone(), &world.key, &LocalState::None);
    assert_holds(&fresh, id, world.versions.path(0), world.versions.manifest(0));
    assert!(!fresh.names(ObjectKind::Fence).unwrap().is_empty(), "the first pass was fenced");
}

/// Whatever is moved along with what is needed, the repository stays within its limit, and a second prune has nothing
/// to do.
#[test]
fn what_stays_unused_is_within_the_limit() {
    let names: Vec<String> = (0..40).map(|number| format!("{number}")).collect();
    let all: Vec<(&str, usize, u64)> = names.iter().zip(0..).map(|(name, seed)| (&**name, 30_000, seed)).collect();
    // Every sixth file is forgotten, so every pack and most frames are used in part; or so few that of many frames less
    // is not needed than may be moved along.
    for (step, percents) in [(6, &[0.0, 4.0, 10.0][..]), (12, &[0.0, 4.0])] {
        let rest: Vec<_> = all.iter().filter(|(_, _, seed)| seed % step != 0).copied().collect();
        assert_within_limits(&all, &rest, percents);
    }
}

#[track_caller]
fn assert_within_limits(all: &[(&str, usize, u64)], rest: &[(&str, usize, u64)], percents: &[f64]) {
    let versions = Versions::of_files(&[all, rest]);
    let template = Arc::new(MemoryStorage::new());
    let key = KeyFile::generate().expect("randomness");
    let repository = create(template.clone(), &key, &LocalState::None);
    let first = backup(&repository, versions.path(0)).snapshot.expect("a snapshot");
    let last = backup(&repository, versions.path(1)).snapshot.expect("a snapshot");
    remove(&repository, first).expect("a removal");
    for &percent in percents {
        let storage = Arc::new(template.as_ref().clone());
        let repository = open(storage.clone(), &key, &LocalState::None);
        let mut options = prune_at_once();
        options.max_unused = MaxUnused::Percent(percent);
        let report = prune(&repository, &options);
        assert!(report.packs_repacked > 0 && report.unused_bytes * 100 > 7 * report.bytes, "{report:?}");
        let fresh = open(storage.clone(), &key, &LocalState::None);
        assert_holds(&fresh, last, versions.path(1), versions.manifest(1));
        let again = prune(&fresh, &options);
        assert_eq!((again.packs_condemned, again.bytes_written), (0, 0), "{percent} %: {again:?}");
        #[expect(clippy::cast_precision_loss, reason = "a share of few bytes")]
        let unused = again.unused_bytes as f64 * 100.0 / again.bytes as f64;
        assert!(unused <= percent, "{unused} % of {} bytes are unused, {percent} % may be", again.bytes);
    }
}
