//! Moments in which a prune could take what is needed, each of which the model of the protocol found.

use crate::support::{NOW, Versions, assert_holds, backup, check, create, open, remove};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use vellum::format::{ObjectId, ObjectKind, ObjectName};
use vellum::storage::{Capabilities, MemoryStorage, ObjectSummary, Put, Storage, StorageError, forward};
use vellum::{BackupReport, Context, KeyFile, LocalState, PruneOptions, Repository};
use vellum_faults::{Point, with_hook};

/// Forwards; `hook` hears of every listing, put and deletion before it happens, `keeps_intents` does as if it deleted intents.
/// A listing gives what is there from its begin to its end, and misses what comes or goes meanwhile.
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
        let mut first = BTreeSet::new();
        self.inner.list(kind, &mut |object| {
            first.insert(object.name);
        })?;
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

fn at_once() -> PruneOptions {
    let mut options = PruneOptions::new(NOW);
    options.grace_seconds = 0;
    options
}

#[test]
fn a_fence_that_comes_while_a_prune_copies_does_not_void_what_was_acknowledged() {
    let versions = Versions::of_files(&[&[("a", 700_000, 1)], &[("b", 700_000, 2)], &[("c", 700_000, 3)]]);
    let storage = Arc::new(MemoryStorage::new());
    let key: &'static KeyFile = Box::leak(Box::new(KeyFile::generate().expect("memory")));
    let repository = create(storage.clone(), key, &LocalState::None);
    let first = backup(&repository, versions.path(0)).snapshot.expect("memory");
    backup(&repository, versions.path(1));
    remove(&repository, first).expect("memory");

    // 0: before G3, 1: after G3, 2: after G6 has listed snapshots, 3: the rest has happened.
    let moment = Mutex::new(0);
    let acknowledged: Arc<Mutex<Option<ObjectId>>> = Arc::default();
    let (late, paths, secret) = (acknowledged.clone(), versions.path(2).to_owned(), key);
    let inner = storage.clone();
    let hook = move |what: &str, kind: ObjectKind| {
        {
            let mut moment = moment.lock().expect("memory");
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
        let killed = Spy { inner: inner.clone(), keeps_intents: true, is_cheap: true, hook: |_: &str, _| {} };
        let writer = open(Arc::new(killed), secret, &LocalState::None);
        *late.lock().expect("memory") = backup(&writer, &paths).snapshot;
        // Two other prunes: one records that it waits for it, the next gives it up.
        let other = open(inner.clone(), secret, &LocalState::None);
        vellum::prune(&other, &at_once(), &Context::default()).expect("a prune");
        let mut later = at_once();
        later.now.seconds += 8 * 86_400;
        drop(vellum::prune(&other, &later, &Context::default()).expect("memory"));
    };
    let pruner = open(
        Arc::new(Spy { inner: storage.clone(), keeps_intents: false, is_cheap: true, hook }),
        key,
        &LocalState::None,
    );
    drop(vellum::prune(&pruner, &at_once(), &Context::default()).expect("memory"));

    let id = acknowledged.lock().expect("memory").expect("the backup was acknowledged");
    let fresh = open(storage.clone(), key, &LocalState::None);
    let found = fresh.snapshots().expect("memory");
    assert!(found.void.is_empty(), "void: {:?}", found.void.iter().map(|one| one.id).collect::<Vec<_>>());
    assert_holds(&fresh, id, versions.path(2), versions.manifest(2));
}

#[test]
fn what_only_an_unlisted_pack_holds_is_listed_after_a_prune() {
    let versions = Versions::of_files(&[&[("a", 700_000, 1)], &[("b", 700_000, 2)]]);
    let storage = Arc::new(MemoryStorage::new());
    let key: &'static KeyFile = Box::leak(Box::new(KeyFile::generate().expect("memory")));
    drop(create(storage.clone(), key, &LocalState::None));
    // The same is backed up twice at once; the second backup is killed before it stores its catalog.
    let killed = Arc::new(storage.as_ref().clone());
    backup(&open(killed.clone(), key, &LocalState::None), versions.path(0));
    let repository = open(storage.clone(), key, &LocalState::None);
    let id = backup(&repository, versions.path(0)).snapshot.expect("memory");
    let mut left = Vec::new();
    killed.list(ObjectKind::Pack, &mut |object| left.push(object.name)).expect("memory");
    for name in left {
        storage.put(&name, &killed.get(&name, u64::MAX).expect("memory")).expect("memory");
    }
    let pruner = open(storage.clone(), key, &LocalState::None);
    drop(vellum::prune(&pruner, &at_once(), &Context::default()).expect("memory"));
    let fresh = open(storage.clone(), key, &LocalState::None);
    let reader = open(storage.clone(), key, &LocalState::None);
    assert_holds(&reader, id, versions.path(0), versions.manifest(0));
    assert_eq!(check(&fresh).findings, []);
}

#[test]
fn a_prune_counts_on_no_pack_that_is_gone_where_listing_is_slow() {
    let versions = Versions::of_files(&[&[("a", 700_000, 1)]]);
    let storage = Arc::new(MemoryStorage::new());
    let key: &'static KeyFile = Box::leak(Box::new(KeyFile::generate().expect("memory")));
    drop(create(storage.clone(), key, &LocalState::None));
    let other = Arc::new(storage.as_ref().clone());
    let id = backup(&open(storage.clone(), key, &LocalState::None), versions.path(0)).snapshot.expect("memory");
    backup(&open(other.clone(), key, &LocalState::None), versions.path(0));
    // The catalogs of the other backup are there, its packs are lost.
    for kind in [ObjectKind::Catalog, ObjectKind::CatalogMirror] {
        let mut names = Vec::new();
        other.list(kind, &mut |object| names.push(object.name)).expect("memory");
        for name in names {
            storage.put(&name, &other.get(&name, u64::MAX).expect("memory")).expect("memory");
        }
    }
    let slow = Spy { inner: storage.clone(), keeps_intents: false, is_cheap: false, hook: |_: &str, _| {} };
    let pruner = open(Arc::new(slow), key, &LocalState::None);
    vellum::prune(&pruner, &at_once(), &Context::default()).expect("a prune");
    let fresh = open(storage.clone(), key, &LocalState::None);
    assert_holds(&fresh, id, versions.path(0), versions.manifest(0));
}

/// Nobody waits for a prune, because it publishes nothing: between its look at the snapshots and its look at what they
/// need, one of them may be forgotten and another prune may delete what only that one needed.
#[test]
fn a_snapshot_that_is_forgotten_while_a_prune_marks_is_no_damage() {
    let versions = Versions::of_files(&[&[("a", 700_000, 1)], &[("b", 700_000, 2)]]);
    let storage = Arc::new(MemoryStorage::new());
    let key: &'static KeyFile = Box::leak(Box::new(KeyFile::generate().expect("memory")));
    let repository = create(storage.clone(), key, &LocalState::None);
    let first = backup(&repository, versions.path(0)).snapshot.expect("memory");
    let second = backup(&repository, versions.path(1)).snapshot.expect("memory");

    // 0: before the snapshots are listed, 1: condemnations are, 2: snapshots are, 3: the rest has happened.
    let (moment, attempts) = (Mutex::new(0), Arc::new(AtomicUsize::new(0)));
    let (inner, counted) = (storage.clone(), attempts.clone());
    let hook = move |what: &str, kind: ObjectKind| {
        if (what, kind) == ("put", ObjectKind::Intent) {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        {
            let mut moment = moment.lock().expect("memory");
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
        let other = open(inner.clone(), key, &LocalState::None);
        remove(&other, first).expect("memory");
        let done = vellum::prune(&other, &at_once(), &Context::default()).expect("a prune");
        assert!(done.packs_deleted > 0, "{done:?}");
    };
    let spy = Spy { inner: storage.clone(), keeps_intents: false, is_cheap: true, hook };
    let pruner = open(Arc::new(spy), key, &LocalState::None);
    drop(vellum::prune(&pruner, &at_once(), &Context::default()).expect("a prune, whatever is forgotten meanwhile"));
    assert_eq!(attempts.load(Ordering::SeqCst), 2, "the first attempt went by a snapshot that was gone");
    let fresh = open(storage.clone(), key, &LocalState::None);
    assert_holds(&fresh, second, versions.path(1), versions.manifest(1));
    assert!(check(&fresh).findings.is_empty());
}

/// A backup that relies on what a prune is about to condemn, and ends before that prune lists who is at work.
#[test]
fn a_backup_that_ends_while_a_prune_condemns_keeps_what_it_relied_on() {
    let versions = Versions::of_files(&[&[("a", 700_000, 1)], &[("b", 700_000, 2)]]);
    let storage = Arc::new(MemoryStorage::new());
    let key: &'static KeyFile = Box::leak(Box::new(KeyFile::generate().expect("memory")));
    let repository = create(storage.clone(), key, &LocalState::None);
    let first = backup(&repository, versions.path(0)).snapshot.expect("memory");
    backup(&repository, versions.path(1));
    remove(&repository, first).expect("memory");

    let acknowledged: Arc<Mutex<Option<BackupReport>>> = Arc::default();
    let (late, path, inner) = (acknowledged.clone(), versions.path(0).to_owned(), storage.clone());
    let hook = move |point| {
        let mut late = late.lock().expect("memory");
        if point == Point::CondemnedBeforePut && late.is_none() {
            *late = Some(backup(&open(inner.clone(), key, &LocalState::None), &path));
        }
        Ok(())
    };
    let report = with_hook(hook, || vellum::prune(&repository, &at_once(), &Context::default()).expect("a prune"));
    assert!(report.packs_deleted > 0, "{report:?}");
    let late = acknowledged.lock().expect("memory").take().expect("a backup beside the prune");
    assert_eq!(late.summary.bytes_new, 0, "it relied on what was stored");
    let id = late.snapshot.expect("the backup was acknowledged");
    assert_holds(&open(storage.clone(), key, &LocalState::None), id, versions.path(0), versions.manifest(0));
}

/// In each of three attempts: what was forgotten is no damage, however often it is met.
#[test]
fn snapshots_that_are_forgotten_whenever_a_prune_marks_are_no_damage() {
    let files: [[(&str, usize, u64); 1]; 4] = std::array::from_fn(|number| [("own", 300_000, 40 + number as u64)]);
    let versions = Versions::of_files(&files.each_ref().map(<[_; 1]>::as_slice));
    let storage = Arc::new(MemoryStorage::new());
    let key: &'static KeyFile = Box::leak(Box::new(KeyFile::generate().expect("memory")));
    let repository = create(storage.clone(), key, &LocalState::None);
    let ids: [ObjectId; 4] =
        std::array::from_fn(|number| backup(&repository, versions.path(number)).snapshot.expect("memory"));

    // As above; 4: nothing more will happen.
    let (moment, attempts) = (Mutex::new(0), Arc::new(AtomicUsize::new(0)));
    let (inner, counted) = (storage.clone(), attempts.clone());
    let hook = move |what: &str, kind: ObjectKind| {
        let mut moment = moment.lock().expect("memory");
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
            let other = open(inner.clone(), key, &LocalState::None);
            remove(&other, ids[attempt - 1]).expect("memory");
            vellum::prune(&other, &at_once(), &Context::default()).expect("a prune");
        }
    };
    let spy = Spy { inner: storage.clone(), keeps_intents: false, is_cheap: true, hook };
    let pruner = open(Arc::new(spy), key, &LocalState::None);
    drop(vellum::prune(&pruner, &at_once(), &Context::default()).expect("a prune, whatever is forgotten meanwhile"));
    assert_eq!(attempts.load(Ordering::SeqCst), 4, "three attempts went by a snapshot that was gone");
    let fresh = open(storage.clone(), key, &LocalState::None);
    assert_holds(&fresh, ids[3], versions.path(3), versions.manifest(3));
}

/// What another prune moves while this one looks is found by a later attempt; what is lost is not looked for without
/// end.
#[test]
fn a_prune_looks_three_times_for_what_is_missing_and_then_refuses() {
    let versions = Versions::of_files(&[&[("a", 300_000, 1)]]);
    let storage = Arc::new(MemoryStorage::new());
    let key = KeyFile::generate().expect("memory");
    backup(&create(storage.clone(), &key, &LocalState::None), versions.path(0));
    let mut packs = Vec::new();
    storage.list(ObjectKind::Pack, &mut |object| packs.push(object.name)).expect("memory");
    packs.iter().for_each(|name| storage.delete(name).expect("memory"));

    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = attempts.clone();
    let hook = move |what: &str, kind: ObjectKind| {
        if (what, kind) == ("put", ObjectKind::Intent) {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    };
    let spy = Spy { inner: storage.clone(), keeps_intents: false, is_cheap: true, hook };
    let pruner = open(Arc::new(spy), &key, &LocalState::None);
    let refused = vellum::prune(&pruner, &at_once(), &Context::default()).expect_err("nobody knows what is needed");
    assert_eq!(attempts.load(Ordering::SeqCst), 3, "{refused}");
    let mut condemned = 0;
    storage.list(ObjectKind::Condemned, &mut |_| condemned += 1).expect("memory");
    assert_eq!(condemned, 0, "nothing goes by what is not known");
}

/// At each listing that a check makes, another process forgets a snapshot and prunes what only that one needed.
#[test]
fn what_others_delete_while_a_check_looks_is_no_damage() {
    let versions = Versions::of_files(&[&[("a", 700_000, 1)], &[("b", 700_000, 2)]]);
    let key: &'static KeyFile = Box::leak(Box::new(KeyFile::generate().expect("memory")));
    let mut moments = 0;
    for moment in 0.. {
        let storage = Arc::new(MemoryStorage::new());
        let repository = create(storage.clone(), key, &LocalState::None);
        let first = backup(&repository, versions.path(0)).snapshot.expect("memory");
        backup(&repository, versions.path(1));
        let (listings, inner) = (Arc::new(AtomicUsize::new(0)), storage.clone());
        let counted = listings.clone();
        let hook = move |what: &str, _: ObjectKind| {
            if what == "list" && counted.fetch_add(1, Ordering::SeqCst) == moment {
                let other = open(inner.clone(), key, &LocalState::None);
                remove(&other, first).expect("memory");
                let done = vellum::prune(&other, &at_once(), &Context::default()).expect("a prune");
                assert!(done.packs_deleted > 0, "{done:?}");
            }
        };
        let spy = Spy { inner: storage.clone(), keeps_intents: false, is_cheap: true, hook };
        let checker = open(Arc::new(spy), key, &LocalState::None);
        let report = check(&checker);
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
    let versions = Versions::of_files(&[&[("a", 70_000, 1)], &[("b", 70_000, 2)]]);
    let key: &'static KeyFile = Box::leak(Box::new(KeyFile::generate().expect("memory")));
    let mut moments = 0;
    for moment in 0.. {
        let storage = Arc::new(MemoryStorage::new());
        let folder = tempfile::tempdir().expect("a scratch folder");
        let state = LocalState::At(folder.path().join("state"));
        let repository = create(storage.clone(), key, &state);
        let first = backup(&repository, versions.path(0)).snapshot.expect("memory");
        drop(repository);
        let (listings, inner) = (Arc::new(AtomicUsize::new(0)), storage.clone());
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
        let spy = Spy { inner: storage.clone(), keeps_intents: false, is_cheap: true, hook };
        let writer = open(Arc::new(spy), key, &state);
        let id = backup(&writer, versions.path(1)).snapshot.expect("a backup, whatever vanishes");
        if listings.load(Ordering::SeqCst) <= moment {
            break;
        }
        moments += 1;
        assert_holds(&open(storage.clone(), key, &LocalState::None), id, versions.path(1), versions.manifest(1));
    }
    assert!(moments > 1, "a backup reads history more than {moments} times");
}

/// A run in a thread of its own that has come to a certain moment, and waits there.
struct Halted<T> {
    thread: JoinHandle<T>,
    go_on: mpsc::Sender<()>,
}

impl<T> Halted<T> {
    fn finish(self) -> T {
        self.go_on.send(()).expect("it waits");
        self.thread.join().expect("it ends well")
    }
}

/// Begins a run, and returns when it comes to the first such moment; `hook` hears of all moments.
fn run_until<T: Send + 'static>(
    moment: (&'static str, ObjectKind),
    storage: &Arc<MemoryStorage>,
    key: &'static KeyFile,
    hook: impl Fn(&str, ObjectKind) + Send + Sync + 'static,
    run: impl FnOnce(&Repository) -> T + Send + 'static,
) -> Halted<T> {
    let (halt, halted) = mpsc::channel();
    let (go_on, is_to_go_on) = mpsc::channel();
    let pause = Mutex::new(Some((halt, is_to_go_on)));
    let hook = move |what: &str, kind: ObjectKind| {
        if (what, kind) == moment
            && let Some((halt, is_to_go_on)) = pause.lock().expect("memory").take()
        {
            halt.send(()).expect("somebody waits for this moment");
            is_to_go_on.recv().expect("somebody lets it go on");
        }
        hook(what, kind);
    };
    let spy = Arc::new(Spy { inner: storage.clone(), keeps_intents: false, is_cheap: true, hook });
    let thread = std::thread::spawn(move || run(&open(spy, key, &LocalState::None)));
    halted.recv().expect("it comes to this moment");
    Halted { thread, go_on }
}

/// A snapshot is forgotten, and a prune is to delete its packs and the catalog that lists them.
struct Doomed {
    versions: Versions,
    storage: Arc<MemoryStorage>,
    key: &'static KeyFile,
    catalog: ObjectId,
    bytes: Vec<u8>,
}

impl Doomed {
    fn new() -> Self {
        let versions = Versions::of_files(&[&[("a", 70_000, 1)], &[("b", 70_000, 2)], &[("c", 70_000, 3)]]);
        let storage = Arc::new(MemoryStorage::new());
        let key: &'static KeyFile = Box::leak(Box::new(KeyFile::generate().expect("memory")));
        let repository = create(storage.clone(), key, &LocalState::None);
        let first = backup(&repository, versions.path(0)).snapshot.expect("memory");
        let catalogs = names(&storage, ObjectKind::Catalog);
        assert_eq!(catalogs.len(), 1, "the first backup makes one catalog");
        let bytes = storage.get(&catalogs[0], u64::MAX).expect("memory");
        backup(&repository, versions.path(1));
        remove(&repository, first).expect("memory");
        Self { versions, storage, key, catalog: catalogs[0].id, bytes }
    }

    /// As a session does that begins while the catalog is deleted, and ends before anybody looks for it.
    fn put_back(&self) -> impl Fn() + Send + Sync + use<> {
        let (storage, catalog, bytes) = (self.storage.clone(), self.catalog, self.bytes.clone());
        move || {
            for kind in [ObjectKind::CatalogMirror, ObjectKind::Catalog] {
                storage.put(&ObjectName::new(kind, catalog), &bytes).expect("memory");
            }
        }
    }

    /// Begins a backup that has read the catalog and is about to put a copy of it back.
    fn begin_backup(&self) -> impl Fn() -> Halted<ObjectId> + Send + Sync + use<> {
        let (storage, key, path) = (self.storage.clone(), self.key, self.versions.path(2).to_owned());
        move || {
            let path = path.clone();
            run_until(
                ("put", ObjectKind::CatalogMirror),
                &storage,
                key,
                |_: &str, _| {},
                move |repository| backup(repository, &path).snapshot.expect("memory"),
            )
        }
    }

    fn prune(&self, hook: impl Fn(&str, ObjectKind) + Send + Sync + 'static) {
        let spy = Spy { inner: self.storage.clone(), keeps_intents: false, is_cheap: true, hook };
        let pruner = open(Arc::new(spy), self.key, &LocalState::None);
        vellum::prune(&pruner, &at_once(), &Context::default()).expect("a prune");
    }

    fn is_listed(&self) -> bool {
        names(&self.storage, ObjectKind::Catalog).iter().any(|name| name.id == self.catalog)
    }

    /// The catalog is there although its packs are gone, and that misleads nobody until a prune mends it.
    fn assert_harmless(&self, last: ObjectId) {
        assert!(self.is_listed(), "the catalog was put back");
        let fresh = open(self.storage.clone(), self.key, &LocalState::None);
        assert_eq!(check(&fresh).findings, []);
        assert_holds(&fresh, last, self.versions.path(2), self.versions.manifest(2));
        self.prune(|_: &str, _| {});
        assert!(!self.is_listed(), "the next prune mends it");
        assert_eq!(names(&self.storage, ObjectKind::Condemned), []);
        assert_eq!(check(&open(self.storage.clone(), self.key, &LocalState::None)).findings, []);
    }
}

fn names(storage: &MemoryStorage, kind: ObjectKind) -> Vec<ObjectName> {
    let mut names = Vec::new();
    storage.list(kind, &mut |object| names.push(object.name)).expect("memory");
    names
}

/// A prune has seen that nobody is at work. Before it looks whether a catalog lists again what it deleted, another one
/// deletes that catalog, of which a backup is just putting a copy back.
#[test]
fn a_catalog_that_another_prune_deletes_and_a_backup_puts_back_misleads_nobody() {
    let doomed = Doomed::new();
    let writer: Arc<Mutex<Option<Halted<ObjectId>>>> = Arc::default();
    let (put_back, begin_backup, begun) = (doomed.put_back(), Arc::new(doomed.begin_backup()), writer.clone());
    let (storage, key) = (doomed.storage.clone(), doomed.key);
    let other_prune = move || {
        let (begin_backup, begun) = (begin_backup.clone(), begun.clone());
        let hook = move |what: &str, kind: ObjectKind| {
            if (what, kind) == ("delete", ObjectKind::CatalogMirror) {
                begun.lock().expect("memory").get_or_insert_with(&*begin_backup);
            }
        };
        let spy = Arc::new(Spy { inner: storage.clone(), keeps_intents: false, is_cheap: true, hook });
        vellum::prune(&open(spy, key, &LocalState::None), &at_once(), &Context::default()).expect("a prune");
    };
    // 0: before packs are deleted, 1: after, 2: intents are listed, 3: the rest has happened.
    let moment = Mutex::new(0);
    doomed.prune(move |what, kind| {
        let mut moment = moment.lock().expect("memory");
        match (*moment, what, kind) {
            (0, "delete", ObjectKind::Pack) => *moment = 1,
            (1, "list", ObjectKind::Intent) => {
                *moment = 2;
                put_back();
            }
            (2, "list", ObjectKind::Catalog) => {
                *moment = 3;
                other_prune();
            }
            _ => {}
        }
    });
    let writer = writer.lock().expect("memory").take().expect("the other prune deletes the catalog again");
    doomed.assert_harmless(writer.finish());
}

/// Two prunes delete the same. While the one lists intents, a backup begins, and the other prune ends: neither is seen.
#[test]
fn a_backup_that_begins_and_a_prune_that_ends_while_intents_are_listed_are_not_overlooked() {
    let doomed = Doomed::new();
    let writer: Arc<Mutex<Option<Halted<ObjectId>>>> = Arc::default();
    let (put_back, begin_backup, begun) = (doomed.put_back(), Arc::new(doomed.begin_backup()), writer.clone());
    let (storage, key) = (doomed.storage.clone(), doomed.key);
    let begin_other = move || {
        let (begin_backup, begun) = (begin_backup.clone(), begun.clone());
        let hook = move |what: &str, kind: ObjectKind| {
            if (what, kind) == ("delete", ObjectKind::CatalogMirror) {
                begun.lock().expect("memory").get_or_insert_with(&*begin_backup);
            }
        };
        run_until(("delete", ObjectKind::Catalog), &storage, key, hook, |repository| {
            vellum::prune(repository, &at_once(), &Context::default()).expect("a prune");
        })
    };
    // 0: before catalogs are deleted, 1: before packs are, 2: after, 3: intents are listed, 4: the rest has happened.
    let moment = Mutex::new((0, None));
    doomed.prune(move |what, kind| {
        let (at, other) = &mut *moment.lock().expect("memory");
        match (*at, what, kind) {
            (0, "delete", ObjectKind::Catalog) => (*at, *other) = (1, Some(begin_other())),
            (1, "delete", ObjectKind::Pack) => *at = 2,
            (2, "list", ObjectKind::Intent) => {
                *at = 3;
                put_back();
            }
            (3, "go on listing", ObjectKind::Intent) => {
                *at = 4;
                other.take().expect("it has begun").finish();
            }
            _ => {}
        }
    });
    let writer = writer.lock().expect("memory").take().expect("the other prune deletes the catalog again");
    doomed.assert_harmless(writer.finish());
}

/// Everything is stored twice. While a prune chooses what to delete beside the copies that it has marked, another one
/// that marked the other copies deletes these.
#[test]
fn of_copies_that_another_prune_deletes_first_the_others_stay() {
    let versions = Versions::of_files(&[&[("a", 700_000, 1)]]);
    let key: &'static KeyFile = Box::leak(Box::new(KeyFile::generate().expect("memory")));
    let template = Arc::new(MemoryStorage::new());
    drop(create(template.clone(), key, &LocalState::None));
    let twin = Arc::new(template.as_ref().clone());
    let id = backup(&open(template.clone(), key, &LocalState::None), versions.path(0)).snapshot.expect("memory");
    backup(&open(twin.clone(), key, &LocalState::None), versions.path(0));
    let copies = [names(&template, ObjectKind::Pack), names(&twin, ObjectKind::Pack)];
    for name in
        [ObjectKind::Pack, ObjectKind::Catalog, ObjectKind::CatalogMirror].map(|kind| names(&twin, kind)).concat()
    {
        template.put(&name, &twin.get(&name, u64::MAX).expect("memory")).expect("memory");
    }
    // Which of them a prune marks is chance; the copies that it did not mark may go at any time.
    let mut attempts = Vec::new();
    for vanishing in copies {
        let storage = Arc::new(template.as_ref().clone());
        let (listings, begun) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let (inner, counted) = (storage.clone(), begun.clone());
        let hook = move |what: &str, kind: ObjectKind| match (what, kind) {
            ("put", ObjectKind::Intent) => drop(counted.fetch_add(1, Ordering::SeqCst)),
            // The first is about what is there to be marked.
            ("list", ObjectKind::Pack) if listings.fetch_add(1, Ordering::SeqCst) == 1 => {
                vanishing.iter().for_each(|name| inner.delete(name).expect("memory"));
            }
            _ => {}
        };
        let spy = Spy { inner: storage.clone(), keeps_intents: false, is_cheap: true, hook };
        let pruner = open(Arc::new(spy), key, &LocalState::None);
        vellum::prune(&pruner, &at_once(), &Context::default()).expect("a prune");
        attempts.push(begun.load(Ordering::SeqCst));
        let fresh = open(storage.clone(), key, &LocalState::None);
        assert_holds(&fresh, id, versions.path(0), versions.manifest(0));
        assert_eq!(check(&fresh).findings, []);
    }
    assert!(attempts.contains(&2), "one of them had marked what vanished, and began again: {attempts:?}");
}

/// A prune is killed after it has deleted one copy of a catalog in whose place others list what is needed.
#[test]
fn a_catalog_that_a_prune_had_begun_to_delete_is_no_damage() {
    let versions = Versions::of_files(&[&[("kept", 700_000, 1), ("own", 700_000, 2)], &[("kept", 700_000, 1)]]);
    let storage = Arc::new(MemoryStorage::new());
    let key: &'static KeyFile = Box::leak(Box::new(KeyFile::generate().expect("memory")));
    let repository = create(storage.clone(), key, &LocalState::None);
    let first = backup(&repository, versions.path(0)).snapshot.expect("memory");
    backup(&repository, versions.path(1));
    remove(&repository, first).expect("memory");
    let copies: Vec<(ObjectName, Vec<u8>)> = names(&storage, ObjectKind::CatalogMirror)
        .into_iter()
        .map(|name| (name, storage.get(&name, u64::MAX).expect("memory")))
        .collect();
    vellum::prune(&repository, &at_once(), &Context::default()).expect("a prune");
    let left = names(&storage, ObjectKind::CatalogMirror);
    let deleted: Vec<_> = copies.iter().filter(|(name, _)| !left.contains(name)).collect();
    assert!(!deleted.is_empty(), "the prune replaces a catalog");
    for (name, bytes) in deleted {
        storage.put(name, bytes).expect("memory");
    }
    let of_catalogs = || {
        let findings = check(&open(storage.clone(), key, &LocalState::None)).findings;
        let kinds = findings.iter().filter_map(|finding| finding.object).map(|name| name.kind);
        kinds.filter(|kind| matches!(kind, ObjectKind::Catalog | ObjectKind::CatalogMirror)).count()
    };
    assert_eq!(of_catalogs(), 0, "beside a catalog that is whole, the copy is no more than a leftover");
    left.iter().for_each(|name| storage.delete(name).expect("memory"));
    assert!(of_catalogs() > 0, "without one it is all there is");
}
