//! Forgetting in a real repository, by rules, with devices that nobody should trust.

use crate::support::{create, open, prune_at_once, restore};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use vellum::format::snapshot::Timestamp;
use vellum::format::{ObjectId, ObjectName};
use vellum::retention::{Count, Policy, TimeZone};
use vellum::storage::{MemoryStorage, Put, Storage, StorageError, forward};
use vellum::{
    BackupOptions, CancelToken, Context, Error, ForgetOptions, ForgetReport, ForgetTarget, KeyFile, LocalState,
    Repository, Rules, SnapshotRef,
};

const DAY: i64 = 24 * 60 * 60;
/// 2026-06-30T12:00:00Z.
const NOW: i64 = 1_782_820_800;

/// A repository that several machines write to, with one small file as their source.
struct World<S> {
    scratch: tempfile::TempDir,
    key: KeyFile,
    storage: Arc<S>,
}

impl<S: Storage + 'static> World<S> {
    fn new(storage: Arc<S>) -> Self {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        std::fs::create_dir(scratch.path().join("source")).expect("a folder");
        std::fs::write(scratch.path().join("source/file"), "content").expect("a file");
        let key = KeyFile::generate().expect("randomness");
        drop(create(storage.clone(), &key, &LocalState::None));
        Self { scratch, key, storage }
    }

    fn source(&self) -> PathBuf {
        self.scratch.path().join("source")
    }

    fn machine(&self, name: &str) -> Repository {
        open(self.storage.clone(), &self.key, &LocalState::None).with_device_name(name.as_bytes())
    }

    fn back_up(&self, machine: &str, seconds: i64) -> ObjectId {
        let mut options = BackupOptions::new([self.source()]);
        options.host = b"host".to_vec();
        options.time = Timestamp { seconds, nanoseconds: 0 };
        let report = vellum::backup(&self.machine(machine), &options, &Context::default()).expect("a backup");
        report.snapshot.expect("a snapshot")
    }

    fn forget(&self, options: &ForgetOptions) -> Result<ForgetReport, Error> {
        vellum::forget(&self.machine("cleaner"), options, &Context::default())
    }

    fn left(&self) -> Vec<ObjectId> {
        self.machine("reader").snapshots().expect("a listing").snapshots.iter().map(|snapshot| snapshot.id).collect()
    }
}

fn by_rules(policy: Policy) -> ForgetOptions {
    let mut options = ForgetOptions::new(
        ForgetTarget::Rules(Rules::new(policy, TimeZone::UTC)),
        Timestamp { seconds: NOW, nanoseconds: 0 },
    );
    options.host = b"cleaner".to_vec();
    options.user = "me".to_owned();
    options
}

fn last(count: u32) -> Policy {
    let mut policy = Policy::default();
    policy.last = Count::AtMost(count);
    policy
}

fn five_days() -> Policy {
    let mut policy = last(2);
    policy.daily = Count::AtMost(5);
    policy
}

#[test]
fn who_floods_a_repository_with_forged_times_loses_nobody_a_genuine_snapshot() {
    let world = World::new(Arc::new(MemoryStorage::new()));
    let genuine: Vec<ObjectId> = (1..=8).map(|day| world.back_up("genuine", NOW - (9 - day) * DAY)).collect();
    // A machine with the same host and paths; then the genuine one is taken over.
    for machine in ["foreign", "genuine"] {
        for day in 1..=8 {
            world.back_up(machine, NOW - (9 - day) * DAY + if machine == "foreign" { 60 } else { -60 });
            world.back_up(machine, NOW + day * DAY);
        }
    }
    let report = world.forget(&by_rules(five_days())).expect("forgotten");
    let left = world.left();
    let genuine_left: Vec<bool> = genuine.iter().map(|id| left.contains(id)).collect();
    assert_eq!(genuine_left, [false, false, false, true, true, true, true, true]);
    let history = world.machine("reader").history().expect("history");
    assert!(history.findings.is_empty());
    let tombstone = history.tombstones.iter().find(|tombstone| Some(tombstone.id) == report.tombstone);
    let manifest = &tombstone.expect("the record of the removal").manifest;
    assert_eq!((manifest.reason.as_str(), manifest.user.as_str()), ("keep-last 2, keep-daily 5", "me"));
    assert_eq!(manifest.removed.len(), report.plan.removed().len());
    assert_eq!((manifest.host.0.as_slice(), manifest.time.seconds), (&b"cleaner"[..], NOW));
}

#[test]
fn what_stays_is_whole_and_the_same_rules_remove_nothing_more() {
    let world = World::new(Arc::new(MemoryStorage::new()));
    let ids: Vec<ObjectId> = (0..4).map(|day| world.back_up("machine", NOW - 4 * DAY + day * DAY)).collect();
    let mut dry_run = by_rules(last(1));
    dry_run.dry_run = true;
    let told = world.forget(&dry_run).expect("told");
    assert_eq!((told.plan.removed().len(), told.tombstone, world.left().len()), (3, None, 4));
    world.forget(&by_rules(last(1))).expect("forgotten");
    assert_eq!(world.left(), ids[3..]);
    assert_eq!(world.forget(&by_rules(last(1))).expect("nothing to do").tombstone, None);
    let mut options = prune_at_once();
    options.now.seconds = NOW;
    vellum::prune(&world.machine("cleaner"), &options, &Context::default()).expect("a prune");
    let target = world.scratch.path().join("target");
    let restored = restore(&world.machine("reader"), &SnapshotRef::Latest(0), &world.source(), &target);
    assert!(restored.problems.is_empty());
    assert_eq!(std::fs::read_to_string(target.join("file")).expect("the file"), "content");
}

#[test]
fn who_asks_to_stop_has_removed_nothing() {
    let world = World::new(Arc::new(MemoryStorage::new()));
    for day in 0..3 {
        world.back_up("machine", NOW - 4 * DAY + day * DAY);
    }
    let cancel = CancelToken::default();
    cancel.cancel();
    let context = Context { cancel, ..Context::default() };
    let stopped = vellum::forget(&world.machine("cleaner"), &by_rules(last(1)), &context);
    assert!(matches!(stopped, Err(Error::Cancelled)));
    assert_eq!(world.left().len(), 3);
}

/// Takes nothing more until the space is released that was set aside.
struct Full {
    storage: MemoryStorage,
    is_full: AtomicBool,
}

#[deny(clippy::missing_trait_methods)]
impl Storage for Full {
    forward!(|self| self.storage =>
        replace_damaged, adopt, sync, get, get_range, len, list, delete, location, capabilities
    );

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StorageError> {
        match self.is_full.load(Ordering::SeqCst) {
            true => Err(StorageError::NoSpace { path: "/full".into(), source: std::io::ErrorKind::StorageFull.into() }),
            false => self.storage.put(name, bytes),
        }
    }

    fn release_reserve(&self) -> Result<bool, StorageError> {
        Ok(self.is_full.swap(false, Ordering::SeqCst))
    }

    fn keep_reserve(&self) {}
}

// P6
#[test]
fn a_full_storage_can_be_forgotten_from() {
    let world = World::new(Arc::new(Full { storage: MemoryStorage::new(), is_full: AtomicBool::new(false) }));
    let ids: Vec<ObjectId> = (0..3).map(|day| world.back_up("machine", NOW - 4 * DAY + day * DAY)).collect();
    world.storage.is_full.store(true, Ordering::SeqCst);
    world.forget(&by_rules(last(1))).expect("forgotten with the space that was set aside");
    assert_eq!(world.left(), ids[2..]);
}
