//! Moments in which a prune could take what is needed, each of which the model of the protocol found.

mod catalogs;

use crate::support::{Versions, assert_holds, backup, bytes_of, check, create, names, open, prune_at_once, remove};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use vellum::format::{ObjectId, ObjectKind, ObjectName};
use vellum::storage::{Capabilities, MemoryStorage, ObjectSummary, Put, Storage, StorageError, forward};
use vellum::{BackupReport, Context, Finding, KeyFile, LocalState, PruneReport, Repository};
use vellum_faults::{Point, with_hook};
use vellum_testkit::lock;

/// Forwards; `hook` hears of every listing, put and deletion before it happens, `keeps_intents` does as if it deleted
/// intents. A listing gives what is there from its begin to its end, and misses what comes or goes meanwhile.
struct Spy<F> {
    inner: Arc<MemoryStorage>,
    keeps_intents: bool,
    is_cheap: bool,
    hook: F,
}

#[deny(clippy::missing_trait_methods)]
impl<F: Fn(&str, ObjectKind) + Send + Sync> Storage for Spy<F> {
    forward!(|self| self.inner =>
        replace_damaged, adopt, sync, get, get_range, len, release_reserve, keep_reserve, location
    );

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StorageError> {
        (self.hook)("put", name.kind);
        self.inner.put(name, bytes)
    }

    fn list(&self, kind: ObjectKind, visit: &mut dyn FnMut(ObjectSummary)) -> Result<(), StorageError> {
        (self.hook)("list", kind);
        let first: BTreeSet<ObjectName> = names(&*self.inner, kind).into_iter().collect();
        (self.hook)("go on listing", kind);
        self.inner.list(kind, &mut |object| {
            if first.contains(&object.name) {
                visit(object);
            }
        })
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        (self.hook)("delete", name.kind);
        match self.keeps_intents && name.kind == ObjectKind::Intent {
            true => Ok(()),
            false => self.inner.delete(name),
        }
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.cheap_listing = self.is_cheap;
        capabilities
    }
}

/// A repository in memory that several processes use at once, each of which opens it for itself. A clone is the same.
#[derive(Clone)]
struct Shared {
    versions: Arc<Versions>,
    storage: Arc<MemoryStorage>,
    key: Arc<KeyFile>,
}

impl Shared {
    /// Nothing is saved yet of the versions, each of which is one file of so many bytes that differ from the others'.
    fn new(len_bytes: usize, count: usize) -> Self {
        let files: Vec<[(&str, usize, u64); 1]> =
            (0..count).map(|number| [("own", len_bytes, 1 + number as u64)]).collect();
        Self::of(Versions::of_files(&files.iter().map(<[_; 1]>::as_slice).collect::<Vec<_>>()))
    }

    fn of(versions: Versions) -> Self {
        let (storage, key) = (Arc::new(MemoryStorage::new()), KeyFile::generate().expect("randomness"));
        drop(create(storage.clone(), &key, &LocalState::None));
        Self { versions: Arc::new(versions), storage, key: Arc::new(key) }
    }

    /// The same repository in a storage of its own, where it goes another way from here.
    fn fork(&self) -> Self {
        Self { storage: Arc::new(self.storage.as_ref().clone()), ..self.clone() }
    }

    fn open(&self) -> Repository {
        open(self.storage.clone(), &self.key, &LocalState::None)
    }

    fn spied(&self, hook: impl Fn(&str, ObjectKind) + Send + Sync + 'static) -> Repository {
        self.open_as(|inner| Spy { inner, keeps_intents: false, is_cheap: true, hook })
    }

    fn open_as<S: Storage + 'static>(&self, wrap: impl FnOnce(Arc<MemoryStorage>) -> S) -> Repository {
        open(Arc::new(wrap(self.storage.clone())), &self.key, &LocalState::None)
    }

    fn report_of_backup(&self, number: usize) -> BackupReport {
        backup(&self.open(), self.versions.path(number))
    }

    fn backup(&self, number: usize) -> ObjectId {
        self.report_of_backup(number).snapshot.expect("a backup that is no dry run makes a snapshot")
    }

    fn forget(&self, snapshot: ObjectId) {
        remove(&self.open(), snapshot).expect("a removal");
    }

    fn prune(&self) -> PruneReport {
        prune(&self.open())
    }

    fn names(&self, kind: ObjectKind) -> Vec<ObjectName> {
        names(&*self.storage, kind)
    }

    fn findings(&self) -> Vec<Finding> {
        check(&self.open()).findings
    }

    #[track_caller]
    fn assert_holds(&self, snapshot: ObjectId, number: usize) {
        assert_holds(&self.open(), snapshot, self.versions.path(number), self.versions.manifest(number));
    }
}

fn prune(repository: &Repository) -> PruneReport {
    vellum::prune(repository, &prune_at_once(), &Context::default()).expect("a prune")
}

#[test]
fn a_fence_that_comes_while_a_prune_copies_does_not_void_what_was_acknowledged() {
    let shared = Shared::new(700_000, 3);
    let first = shared.backup(0);
    shared.backup(1);
    shared.forget(first);

    // 0: before G3, 1: after G3, 2: after G6 has listed snapshots, 3: the rest has happened.
    let moment = Mutex::new(0);
    let acknowledged: Arc<Mutex<Option<ObjectId>>> = Arc::default();
    let (late, other) = (acknowledged.clone(), shared.clone());
    let hook = move |what: &str, kind: ObjectKind| {
        {
            let mut moment = lock(&moment);
            *moment = match (*moment, what, kind) {
                (0, "put", ObjectKind::Condemned) => 1,
                (1, "list", ObjectKind::Snapshot) => 2,
                (2, "list", ObjectKind::Catalog) => 3,
                _ => return,
            };
            if *moment != 3 {
                return;
            }
        }
        // A backup begins, ends and is acknowledged; its process is killed before it deletes its intent.
        let killed = |inner| Spy { inner, keeps_intents: true, is_cheap: true, hook: |_: &str, _| {} };
        *lock(&late) = backup(&other.open_as(killed), other.versions.path(2)).snapshot;
        // Two other prunes: one records that it waits for it, the next gives it up.
        let pruner = other.open();
        prune(&pruner);
        let mut later = prune_at_once();
        later.now.seconds += 8 * 86_400;
        vellum::prune(&pruner, &later, &Context::default()).expect("a prune");
    };
    prune(&shared.spied(hook));

    let id = lock(&acknowledged).expect("the backup was acknowledged");
    let found = shared.open().snapshots().expect("memory");
    assert!(found.void.is_empty(), "void: {:?}", found.void.iter().map(|one| one.id).collect::<Vec<_>>());
    shared.assert_holds(id, 2);
}

#[test]
fn what_only_an_unlisted_pack_holds_is_listed_after_a_prune() {
    let shared = Shared::new(700_000, 1);
    // The same is backed up twice at once; the second backup is killed before it stores its catalog.
    let killed = shared.fork();
    killed.backup(0);
    let id = shared.backup(0);
    for name in killed.names(ObjectKind::Pack) {
        shared.storage.put(&name, &bytes_of(&*killed.storage, &name)).expect("memory");
    }
    shared.prune();
    shared.assert_holds(id, 0);
    assert_eq!(shared.findings(), []);
}

#[test]
fn a_prune_counts_on_no_pack_that_is_gone_where_listing_is_slow() {
    let shared = Shared::new(700_000, 1);
    let other = shared.fork();
    let id = shared.backup(0);
    other.backup(0);
    // The catalogs of the other backup are there, its packs are lost.
    for name in [ObjectKind::Catalog, ObjectKind::CatalogMirror].map(|kind| other.names(kind)).concat() {
        shared.storage.put(&name, &bytes_of(&*other.storage, &name)).expect("memory");
    }
    let slow = |inner| Spy { inner, keeps_intents: false, is_cheap: false, hook: |_: &str, _| {} };
    prune(&shared.open_as(slow));
    shared.assert_holds(id, 0);
}

/// Nobody waits for a prune, because it publishes nothing: between its look at the snapshots and its look at what they
/// need, one of them may be forgotten and another prune may delete what only that one needed.
#[test]
fn a_snapshot_that_is_forgotten_while_a_prune_marks_is_no_damage() {
    let shared = Shared::new(700_000, 2);
    let (first, second) = (shared.backup(0), shared.backup(1));

    // 0: before the snapshots are listed, 1: condemnations are, 2: snapshots are, 3: the rest has happened.
    let (moment, attempts) = (Mutex::new(0), Arc::new(AtomicUsize::new(0)));
    let (other, counted) = (shared.clone(), attempts.clone());
    let hook = move |what: &str, kind: ObjectKind| {
        if (what, kind) == ("put", ObjectKind::Intent) {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        {
            let mut moment = lock(&moment);
            *moment = match (*moment, what, kind) {
                (0 | 1, "list", ObjectKind::Condemned) => 1,
                (1, "list", ObjectKind::Snapshot) => 2,
                (2, "list", ObjectKind::Catalog | ObjectKind::Pack) => 3,
                _ => return,
            };
            if *moment != 3 {
                return;
            }
        }
        other.forget(first);
        let done = other.prune();
        assert!(done.packs_deleted > 0, "{done:?}");
    };
    prune(&shared.spied(hook));
    assert_eq!(attempts.load(Ordering::SeqCst), 2, "the first attempt went by a snapshot that was gone");
    shared.assert_holds(second, 1);
    assert_eq!(shared.findings(), []);
}

/// A backup that relies on what a prune is about to condemn, and ends before that prune lists who is at work.
#[test]
fn a_backup_that_ends_while_a_prune_condemns_keeps_what_it_relied_on() {
    let shared = Shared::new(700_000, 2);
    let first = shared.backup(0);
    shared.backup(1);
    shared.forget(first);

    let acknowledged: Arc<Mutex<Option<BackupReport>>> = Arc::default();
    let (late, other) = (acknowledged.clone(), shared.clone());
    let hook = move |point| {
        let mut late = lock(&late);
        if point == Point::CondemnedBeforePut && late.is_none() {
            *late = Some(other.report_of_backup(0));
        }
        Ok(())
    };
    let report = with_hook(hook, || shared.prune());
    assert!(report.packs_deleted > 0, "{report:?}");
    let late = lock(&acknowledged).take().expect("a backup beside the prune");
    assert_eq!(late.summary.bytes_new, 0, "it relied on what was stored");
    shared.assert_holds(late.snapshot.expect("the backup was acknowledged"), 0);
}

/// In each of three attempts: what was forgotten is no damage, however often it is met.
#[test]
fn snapshots_that_are_forgotten_whenever_a_prune_marks_are_no_damage() {
    let shared = Shared::new(300_000, 4);
    let ids: [ObjectId; 4] = std::array::from_fn(|number| shared.backup(number));

    // As above; 4: nothing more will happen.
    let (moment, attempts) = (Mutex::new(0), Arc::new(AtomicUsize::new(0)));
    let (other, counted) = (shared.clone(), attempts.clone());
    let hook = move |what: &str, kind: ObjectKind| {
        let mut moment = lock(&moment);
        let attempt = counted.load(Ordering::SeqCst);
        *moment = match (*moment, what, kind) {
            (_, "put", ObjectKind::Intent) => {
                counted.fetch_add(1, Ordering::SeqCst);
                0
            }
            (0 | 1, "list", ObjectKind::Condemned) => 1,
            (1, "list", ObjectKind::Snapshot) => 2,
            (2, "list", ObjectKind::Catalog | ObjectKind::Pack) if attempt < 4 => 3,
            _ => return,
        };
        if *moment == 3 {
            other.forget(ids[attempt - 1]);
            other.prune();
        }
    };
    prune(&shared.spied(hook));
    assert_eq!(attempts.load(Ordering::SeqCst), 4, "three attempts went by a snapshot that was gone");
    shared.assert_holds(ids[3], 3);
}

/// What another prune moves while this one looks is found by a later attempt; what is lost is not looked for without
/// end.
#[test]
fn a_prune_looks_three_times_for_what_is_missing_and_then_refuses() {
    let shared = Shared::new(300_000, 1);
    shared.backup(0);
    shared.names(ObjectKind::Pack).iter().for_each(|name| shared.storage.delete(name).expect("memory"));

    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = attempts.clone();
    let pruner = shared.spied(move |what: &str, kind: ObjectKind| {
        if (what, kind) == ("put", ObjectKind::Intent) {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let refused =
        vellum::prune(&pruner, &prune_at_once(), &Context::default()).expect_err("nobody knows what is needed");
    assert_eq!(attempts.load(Ordering::SeqCst), 3, "{refused}");
    assert_eq!(shared.names(ObjectKind::Condemned), [], "nothing goes by what is not known");
}

/// At each listing that a check makes, another process forgets a snapshot and prunes what only that one needed.
#[test]
fn what_others_delete_while_a_check_looks_is_no_damage() {
    let prepared = Shared::new(700_000, 2);
    let first = prepared.backup(0);
    prepared.backup(1);
    let mut moments = 0;
    for moment in 0.. {
        let shared = prepared.fork();
        let (listings, other) = (Arc::new(AtomicUsize::new(0)), shared.clone());
        let counted = listings.clone();
        let hook = move |what: &str, _: ObjectKind| {
            if what == "list" && counted.fetch_add(1, Ordering::SeqCst) == moment {
                other.forget(first);
                let done = other.prune();
                assert!(done.packs_deleted > 0, "{done:?}");
            }
        };
        let report = check(&shared.spied(hook));
        if listings.load(Ordering::SeqCst) <= moment {
            break;
        }
        moments += 1;
        assert_eq!(report.findings, [], "at listing {moment}");
    }
    assert!(moments > 10, "a check lists more than {moments} times");
}

/// While a backup reads history, another process removes the snapshot that this device made last: at some moment only
/// one copy of it is there, and then none.
#[test]
fn a_snapshot_that_vanishes_before_a_backup_names_it_is_no_reason_to_refuse() {
    let prepared = Shared::new(70_000, 2);
    let mut moments = 0;
    for moment in 0.. {
        let shared = prepared.fork();
        let folder = tempfile::tempdir().expect("a scratch folder");
        let state = LocalState::At(folder.path().join("state"));
        let first = backup(&open(shared.storage.clone(), &shared.key, &state), shared.versions.path(0)).snapshot;
        let first = first.expect("memory");
        let (listings, inner) = (Arc::new(AtomicUsize::new(0)), shared.storage.clone());
        let counted = listings.clone();
        let hook = move |what: &str, kind: ObjectKind| {
            let delete = |kind| inner.delete(&ObjectName::new(kind, first)).expect("memory");
            match (what, kind) {
                ("list", ObjectKind::Snapshot) if counted.fetch_add(1, Ordering::SeqCst) == moment => {
                    delete(ObjectKind::Snapshot);
                }
                ("list", ObjectKind::TombstoneMirror) if counted.load(Ordering::SeqCst) == moment + 1 => {
                    delete(ObjectKind::SnapshotMirror);
                }
                _ => {}
            }
        };
        let spy = Spy { inner: shared.storage.clone(), keeps_intents: false, is_cheap: true, hook };
        let writer = open(Arc::new(spy), &shared.key, &state);
        let id = backup(&writer, shared.versions.path(1)).snapshot.expect("a backup, whatever vanishes");
        if listings.load(Ordering::SeqCst) <= moment {
            break;
        }
        moments += 1;
        shared.assert_holds(id, 1);
    }
    assert!(moments > 1, "a backup reads history more than {moments} times");
}

/// Everything is stored twice. While a prune chooses what to delete beside the copies that it has marked, another one
/// that marked the other copies deletes these.
#[test]
fn of_copies_that_another_prune_deletes_first_the_others_stay() {
    let prepared = Shared::new(700_000, 1);
    let twin = prepared.fork();
    let id = prepared.backup(0);
    twin.backup(0);
    let copies = [prepared.names(ObjectKind::Pack), twin.names(ObjectKind::Pack)];
    for name in [ObjectKind::Pack, ObjectKind::Catalog, ObjectKind::CatalogMirror].map(|kind| twin.names(kind)).concat()
    {
        prepared.storage.put(&name, &bytes_of(&*twin.storage, &name)).expect("memory");
    }
    // Which of them a prune marks is chance; the copies that it did not mark may go at any time.
    let mut attempts = Vec::new();
    for vanishing in copies {
        let shared = prepared.fork();
        let (listings, begun) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let (inner, counted) = (shared.storage.clone(), begun.clone());
        let hook = move |what: &str, kind: ObjectKind| match (what, kind) {
            ("put", ObjectKind::Intent) => drop(counted.fetch_add(1, Ordering::SeqCst)),
            // The first is about what is there to be marked.
            ("list", ObjectKind::Pack) if listings.fetch_add(1, Ordering::SeqCst) == 1 => {
                vanishing.iter().for_each(|name| inner.delete(name).expect("memory"));
            }
            _ => {}
        };
        prune(&shared.spied(hook));
        attempts.push(begun.load(Ordering::SeqCst));
        shared.assert_holds(id, 0);
        assert_eq!(shared.findings(), []);
    }
    assert!(attempts.contains(&2), "one of them had marked what vanished, and began again: {attempts:?}");
}
