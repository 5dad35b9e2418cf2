//! Catalogs that are there although their packs are gone, or are half gone themselves.

use super::{Shared, prune};
use crate::support::{Versions, backup, bytes_of, prune_at_once};
use std::io;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use vellum::format::{ObjectId, ObjectKind, ObjectName};
use vellum::storage::Storage as _;
use vellum::{Context, Repository};
use vellum_faults::{Point, with_hook};
use vellum_testkit::lock;

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
    shared: &Shared,
    hook: impl Fn(&str, ObjectKind) + Send + Sync + 'static,
    run: impl FnOnce(&Repository) -> T + Send + 'static,
) -> Halted<T> {
    let (halt, halted) = mpsc::channel();
    let (go_on, is_to_go_on) = mpsc::channel();
    let pause = Mutex::new(Some((halt, is_to_go_on)));
    let hook = move |what: &str, kind: ObjectKind| {
        if (what, kind) == moment
            && let Some((halt, is_to_go_on)) = lock(&pause).take()
        {
            halt.send(()).expect("somebody waits for this moment");
            is_to_go_on.recv().expect("somebody lets it go on");
        }
        hook(what, kind);
    };
    let shared = shared.clone();
    let thread = std::thread::spawn(move || run(&shared.spied(hook)));
    halted.recv().expect("it comes to this moment");
    Halted { thread, go_on }
}

/// What is done at the first such moment after the one before it.
type Turn = ((&'static str, ObjectKind), Box<dyn FnOnce() + Send>);

fn turn(what: &'static str, kind: ObjectKind, act: impl FnOnce() + Send + 'static) -> Turn {
    ((what, kind), Box::new(act))
}

/// A hook that takes these turns one after the other.
fn in_turn<const N: usize>(turns: [Turn; N]) -> impl Fn(&str, ObjectKind) + Send + Sync + use<N> {
    let turns = Mutex::new(turns.into_iter().peekable());
    move |what, kind| {
        if let Some((_, act)) = lock(&turns).next_if(|(moment, _)| *moment == (what, kind)) {
            act();
        }
    }
}

/// A snapshot is forgotten, and a prune is to delete its packs and the catalog that lists them. A clone is the same.
#[derive(Clone)]
struct Doomed {
    shared: Shared,
    catalog: ObjectId,
    bytes: Vec<u8>,
}

impl Doomed {
    fn new() -> Self {
        let shared = Shared::new(70_000, 3);
        let first = shared.backup(0);
        let catalogs = shared.names(ObjectKind::Catalog);
        assert_eq!(catalogs.len(), 1, "the first backup makes one catalog");
        let bytes = bytes_of(&*shared.storage, &catalogs[0]);
        shared.backup(1);
        shared.forget(first);
        Self { shared, catalog: catalogs[0].id, bytes }
    }

    /// As a session does that begins while the catalog is deleted, and ends before anybody looks for it.
    fn put_back(&self) {
        for kind in [ObjectKind::CatalogMirror, ObjectKind::Catalog] {
            self.shared.storage.put(&ObjectName::new(kind, self.catalog), &self.bytes).expect("memory");
        }
    }

    /// Begins a backup that has read the catalog and is about to put a copy of it back.
    fn begin_backup(&self) -> Halted<ObjectId> {
        let versions = self.shared.versions.clone();
        let run = move |repository: &Repository| backup(repository, versions.path(2)).snapshot.expect("memory");
        run_until(("put", ObjectKind::CatalogMirror), &self.shared, |_: &str, _| {}, run)
    }

    /// Begins such a backup, once, when a prune deletes the catalog again.
    fn begin_backup_at_deletion(&self, writer: Writer) -> impl Fn(&str, ObjectKind) + Send + Sync + use<> {
        let doomed = self.clone();
        move |what: &str, kind: ObjectKind| {
            if (what, kind) == ("delete", ObjectKind::CatalogMirror) {
                lock(&writer).get_or_insert_with(|| doomed.begin_backup());
            }
        }
    }

    fn is_listed(&self) -> bool {
        self.shared.names(ObjectKind::Catalog).iter().any(|name| name.id == self.catalog)
    }

    /// The catalog is there although its packs are gone, and that misleads nobody until a prune mends it.
    fn assert_harmless(&self, writer: &Writer) {
        let last = lock(writer).take().expect("the other prune deletes the catalog again").finish();
        assert!(self.is_listed(), "the catalog was put back");
        assert_eq!(self.shared.findings(), []);
        self.shared.assert_holds(last, 2);
        self.shared.prune();
        assert!(!self.is_listed(), "the next prune mends it");
        assert_eq!(self.shared.names(ObjectKind::Condemned), []);
        assert_eq!(self.shared.findings(), []);
    }
}

/// The backup that began at some moment.
type Writer = Arc<Mutex<Option<Halted<ObjectId>>>>;

/// A prune has seen that nobody is at work. Before it looks whether a catalog lists again what it deleted, another one
/// deletes that catalog, of which a backup is just putting a copy back.
#[test]
fn a_catalog_that_another_prune_deletes_and_a_backup_puts_back_misleads_nobody() {
    let doomed = Doomed::new();
    let writer = Writer::default();
    let (other, begun) = (doomed.clone(), writer.clone());
    let deletes_again = doomed.clone();
    prune(&doomed.shared.spied(in_turn([
        turn("delete", ObjectKind::Pack, || {}),
        turn("list", ObjectKind::Intent, move || other.put_back()),
        turn("list", ObjectKind::Catalog, move || {
            let hook = deletes_again.begin_backup_at_deletion(begun);
            prune(&deletes_again.shared.spied(hook));
        }),
    ])));
    doomed.assert_harmless(&writer);
}

/// Two prunes delete the same. While the one lists intents, a backup begins, and the other prune ends: neither is seen.
#[test]
fn a_backup_that_begins_and_a_prune_that_ends_while_intents_are_listed_are_not_overlooked() {
    let doomed = Doomed::new();
    let writer = Writer::default();
    let (other, begun) = (doomed.clone(), writer.clone());
    let other_prune = Arc::new(Mutex::new(None));
    let halted = other_prune.clone();
    let begin_prune = move || {
        let hook = other.begin_backup_at_deletion(begun);
        let run = |repository: &Repository| drop(prune(repository));
        *lock(&halted) = Some(run_until(("delete", ObjectKind::Catalog), &other.shared, hook, run));
    };
    let other = doomed.clone();
    prune(&doomed.shared.spied(in_turn([
        turn("delete", ObjectKind::Catalog, begin_prune),
        turn("delete", ObjectKind::Pack, || {}),
        turn("list", ObjectKind::Intent, move || other.put_back()),
        turn("go on listing", ObjectKind::Intent, move || {
            lock(&other_prune).take().expect("it has begun").finish();
        }),
    ])));
    doomed.assert_harmless(&writer);
}

/// Somebody's clock is years off: he takes these runs for ones that had ended long ago, and deletes their intents.
fn give_up_everybody(shared: &Shared) {
    shared.names(ObjectKind::Intent).iter().for_each(|name| shared.storage.delete(name).expect("memory"));
}

/// Before a prune lists what it has moved, it is given up, and another prune deletes its new packs. If it goes on with
/// them, it is killed before it could read them back.
#[test]
fn a_prune_that_was_given_up_and_lists_packs_that_are_gone_misleads_nobody() {
    let shared =
        Shared::of(Versions::of_files(&[&[("kept", 700_000, 1), ("own", 700_000, 2)], &[("kept", 700_000, 1)]]));
    let first = shared.backup(0);
    let second = shared.backup(1);
    shared.forget(first);
    let other = shared.clone();
    let is_first = Mutex::new(true);
    let given_up = shared.spied(move |what, kind| {
        if (what, kind) == ("put", ObjectKind::CatalogMirror) && std::mem::take(&mut *lock(&is_first)) {
            give_up_everybody(&other);
            other.forget(second);
            assert!(other.prune().packs_deleted > 0 && other.names(ObjectKind::Pack).is_empty());
        }
    });
    let dies = |point| match point {
        Point::PruneRepacked => Err(io::Error::other("killed")),
        _ => Ok(()),
    };
    let ended = with_hook(dies, || vellum::prune(&given_up, &prune_at_once(), &Context::default()));
    assert_eq!(shared.findings(), [], "{ended:?}");
    shared.prune();
    assert_eq!((shared.findings(), shared.names(ObjectKind::Condemned)), (vec![], vec![]));
}

/// A prune is given up, and another one deletes what it was about to delete. Before that one looks whether a catalog
/// lists it again, the first one deletes that catalog, of which a backup is just putting a copy back.
#[test]
fn a_catalog_that_a_prune_deletes_that_was_given_up_misleads_nobody() {
    let doomed = Doomed::new();
    let writer = Writer::default();
    let hook = doomed.begin_backup_at_deletion(writer.clone());
    let run = |repository: &Repository| drop(prune(repository));
    let given_up = run_until(("delete", ObjectKind::Catalog), &doomed.shared, hook, run);
    give_up_everybody(&doomed.shared);
    let other = doomed.clone();
    prune(&doomed.shared.spied(in_turn([
        turn("delete", ObjectKind::Pack, || {}),
        turn("list", ObjectKind::Intent, move || other.put_back()),
        turn("list", ObjectKind::Catalog, move || given_up.finish()),
    ])));
    doomed.assert_harmless(&writer);
}

/// A backup is given up before it puts back a copy of a catalog that a prune is deleting, and that prune finds nobody.
#[test]
fn a_catalog_that_a_backup_puts_back_that_was_given_up_misleads_nobody() {
    let doomed = Doomed::new();
    let writer = Writer::default();
    let (other, begun) = (doomed.clone(), writer.clone());
    prune(&doomed.shared.spied(move |what, kind| {
        if (what, kind) == ("delete", ObjectKind::CatalogMirror) && lock(&begun).is_none() {
            let before = other.shared.names(ObjectKind::Intent);
            *lock(&begun) = Some(other.begin_backup());
            let begun = other.shared.names(ObjectKind::Intent).into_iter().filter(|name| !before.contains(name));
            begun.for_each(|name| other.shared.storage.delete(&name).expect("memory"));
        }
    }));
    assert_eq!(doomed.shared.names(ObjectKind::Condemned), []);
    doomed.assert_harmless(&writer);
}

/// A prune is killed after it has deleted one copy of a catalog in whose place others list what is needed.
#[test]
fn a_catalog_that_a_prune_had_begun_to_delete_is_no_damage() {
    let shared =
        Shared::of(Versions::of_files(&[&[("kept", 700_000, 1), ("own", 700_000, 2)], &[("kept", 700_000, 1)]]));
    let first = shared.backup(0);
    shared.backup(1);
    shared.forget(first);
    let before = shared.fork();
    shared.prune();
    let left = shared.names(ObjectKind::CatalogMirror);
    let mut deleted = before.names(ObjectKind::CatalogMirror);
    deleted.retain(|name| !left.contains(name));
    assert!(!deleted.is_empty(), "the prune replaces a catalog");
    for name in deleted {
        shared.storage.put(&name, &bytes_of(&*before.storage, &name)).expect("memory");
    }
    let of_catalogs = || {
        let kinds = shared.findings().into_iter().filter_map(|finding| finding.object).map(|name| name.kind);
        kinds.filter(|kind| matches!(kind, ObjectKind::Catalog | ObjectKind::CatalogMirror)).count()
    };
    assert_eq!(of_catalogs(), 0, "beside a catalog that is whole, the copy is no more than a leftover");
    left.iter().for_each(|name| shared.storage.delete(name).expect("memory"));
    assert!(of_catalogs() > 0, "without one it is all there is");
}
