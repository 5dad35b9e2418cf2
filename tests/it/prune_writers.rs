//! Whom a prune waits for, whom it gives up, and what it leaves alone or cleans up of them.

use crate::prune::{Interrupted, World, prune};
use crate::support::{Versions, backup, change, check, create, names, open, prune_at_once, remove, threads};
use std::collections::BTreeSet;
use std::io::{self, Read as _};
use std::ops::Range;
use std::sync::Arc;
use vellum::format::tree::EntryName;
use vellum::format::{ObjectId, ObjectKind, ObjectName};
use vellum::storage::{MemoryStorage, Storage as _};
use vellum::{
    BackupOptions, Context, Error, KeyFile, LocalState, PruneOptions, Repository, RepositoryError, SessionOptions,
};
use vellum_faults::{Point, with_hook};
use vellum_testkit::Random;

const WEEK: i64 = 7 * 86_400;

/// A prune that runs so many seconds after the others.
fn after(seconds: i64) -> PruneOptions {
    let mut options = prune_at_once();
    options.now.seconds += seconds;
    options
}

fn count(repository: &Repository, kind: ObjectKind) -> usize {
    repository.names(kind).expect("memory").len()
}

#[test]
fn packs_of_a_running_backup_are_left_alone() {
    let world = World::new(340, 1);
    let packs = prune(&world.repository, &prune_at_once()).packs;
    let bytes = Random::new(341).bytes(4 << 20);
    let (most, last) = bytes.split_at(4_000_000);
    let meanwhile = || {
        let report = prune(&world.repository, &prune_at_once());
        assert!(report.packs > packs, "some of its packs are stored: {report:?}");
        assert_eq!(report.packs_condemned, 0, "{report:?}");
    };
    let stream = most.chain(Interrupted { bytes: last, then: Some(meanwhile) });
    let writer = open(world.storage.clone(), &world.key, &LocalState::None);
    let name = EntryName::new(b"stream".to_vec()).expect("a plain name");
    // One worker stores what it has read before it reads on.
    let report = vellum::backup_stream(&writer, &name, stream, &BackupOptions::new([]), &threads(1));
    assert!(report.expect("a backup").snapshot.is_some());
    assert_eq!(prune(&world.repository, &prune_at_once()).packs_condemned, 0, "all of it is needed now");
}

#[test]
fn a_writer_is_given_up_when_its_time_is_over_and_not_before() {
    let world = World::new(342, 2);
    world.forget(0);
    let given_up = world.stream(|| {
        for seconds in [0, WEEK - 1] {
            let report = prune(&world.repository, &after(seconds));
            assert_eq!((report.writers_fenced, report.packs_deleted), (0, 0), "after {seconds} s: {report:?}");
        }
        let report = prune(&world.repository, &after(WEEK));
        assert!(report.writers_fenced == 1 && report.packs_deleted > 0, "{report:?}");
    });
    let given_up = given_up.expect_err("it was given up");
    assert!(matches!(given_up, Error::Repository(RepositoryError::Fenced)), "{given_up}");
    assert_eq!(count(&world.repository, ObjectKind::Snapshot), 1, "its own was taken back");
}

/// Nobody knows whom it is about; but nobody could know the name of a writer that had not begun.
#[test]
fn a_fence_that_cannot_be_read_stops_only_writers_that_were_there_before_it() {
    let world = World::new(345, 2);
    world.forget(0);
    let given_up = world.stream(|| {
        for seconds in [0, WEEK] {
            prune(&world.repository, &after(seconds));
        }
        for kind in [ObjectKind::Fence, ObjectKind::FenceMirror] {
            let fences = names(&*world.storage, kind);
            assert!(!fences.is_empty(), "it was given up");
            fences.iter().for_each(|name| change(&*world.storage, name, |bytes| bytes[100] ^= 1));
        }
    });
    assert!(matches!(given_up, Err(Error::Repository(RepositoryError::Fenced))), "{given_up:?}");
    let reader = open(world.storage.clone(), &world.key, &LocalState::None);
    let found: BTreeSet<ObjectKind> = check(&reader).findings.iter().filter_map(|one| Some(one.object?.kind)).collect();
    assert_eq!(found, BTreeSet::from([ObjectKind::Fence, ObjectKind::FenceMirror]));
    let later = Versions::of_files(&[&[("new", 1_000, 346)]]);
    assert!(backup(&reader, later.path(0)).snapshot.is_some(), "a backup that begins now is acknowledged");
    world.assert_holds(1);
}

/// Nobody knows which packs it is about. Restores need none of it.
#[test]
fn a_condemnation_that_cannot_be_read_stops_writers_until_a_prune_finds_nobody_at_work() {
    // The condemnation, the record of who is to be outlasted, in the order of their names, or both.
    for damaged in [0..1, 1..2, 0..2] {
        assert_goes_when_nobody_is_at_work(&damaged);
    }
}

fn assert_goes_when_nobody_is_at_work(damaged: &Range<usize>) {
    let world = World::new(347, 2);
    world.forget(0);
    let is_refused = |done: Result<Option<ObjectId>, Error>| match done.expect_err("nobody can know what to rely on") {
        Error::Repository(RepositoryError::Damaged { object, reason }) if object.kind == ObjectKind::Condemned => {
            reason
        }
        error => panic!("{error}"),
    };
    let try_prune = || vellum::prune(&world.repository, &after(0), &Context::default());
    let try_backup = |version: usize| {
        let options = BackupOptions::new([world.versions.path(version).to_owned()]);
        Ok(vellum::backup(&world.repository, &options, &Context::default())?.snapshot)
    };
    let relied = world.stream(|| {
        assert_eq!(prune(&world.repository, &after(0)).packs_deleted, 0);
        for kind in [ObjectKind::Condemned, ObjectKind::CondemnedMirror] {
            let condemned = names(&*world.storage, kind);
            assert_eq!(condemned.len(), 2, "it waits");
            condemned[damaged.clone()].iter().for_each(|name| change(&*world.storage, name, |bytes| bytes[100] ^= 1));
        }
        let reason = is_refused(try_prune().map(|_| None));
        assert!(reason.contains("while a backup of"), "{reason}");
    });
    is_refused(try_backup(1));
    let relied = relied.expect("it knew what to rely on before that");
    try_prune().expect("nobody is at work");
    world.assert_stream(relied);
    assert_eq!(count(&world.repository, ObjectKind::Condemned), 0);
    assert!(try_backup(1).expect("a backup").is_some());
    remove(&world.repository, relied).expect("memory");
    assert!(try_prune().expect("a prune").packs_deleted > 0, "now nobody does");
    assert_eq!(check(&open(world.storage.clone(), &world.key, &LocalState::None)).findings, []);
    world.assert_holds(1);
}

#[test]
fn what_a_writer_published_after_it_was_given_up_is_void_even_if_it_died_before_it_knew() {
    let world = World::new(343, 2);
    world.forget(0);
    let other = open(world.storage.clone(), &world.key, &LocalState::None);
    let dies_given_up = move |point| match point {
        Point::WriterHistorySettled => {
            prune(&other, &after(0));
            assert_eq!(prune(&other, &after(WEEK)).writers_fenced, 1);
            Ok(())
        }
        Point::WriterSnapshotSynced => Err(io::Error::other("killed")),
        _ => Ok(()),
    };
    let died = with_hook(dies_given_up, || world.stream(|| {})).expect_err("nothing was acknowledged");
    assert!(!matches!(died, Error::Repository(RepositoryError::Fenced)), "it did not know: {died}");
    let fresh = open(world.storage.clone(), &world.key, &LocalState::None);
    let found = fresh.snapshots().expect("memory");
    assert_eq!((found.snapshots.len(), found.void.len()), (1, 1));
    // What it needs is gone, which is nobody's damage; and what was recorded of it is recorded once.
    let fences = count(&fresh, ObjectKind::Fence);
    prune(&fresh, &after(2 * WEEK));
    assert_eq!(count(&fresh, ObjectKind::Fence), fences);
    world.assert_holds(1);
}

#[test]
fn what_a_killed_prune_has_left_of_itself_goes_when_it_is_old() {
    let world = World::new(344, 1);
    let storage = world.storage.clone();
    let left = Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = left.clone();
    let keep = move |point| {
        if point == Point::PruneListed {
            let mut names = Vec::new();
            storage.list(ObjectKind::Intent, &mut |object| names.push(object.name)).map_err(io::Error::other)?;
            let read = |name: &ObjectName| Ok((*name, storage.get(name, u64::MAX).map_err(io::Error::other)?));
            *seen.lock().expect("memory") = names.iter().map(read).collect::<io::Result<_>>()?;
        }
        Ok(())
    };
    with_hook(keep, || prune(&world.repository, &after(0)));
    for (name, bytes) in left.lock().expect("memory").iter() {
        world.storage.put(name, bytes).expect("memory");
    }
    for (seconds, intents) in [(0, 1), (WEEK - 1, 1), (WEEK, 0)] {
        prune(&world.repository, &after(seconds));
        assert_eq!(world.repository.intents().expect("memory").len(), intents, "after {seconds} s");
    }
}

#[test]
fn whoever_is_waited_for_is_told_once_and_so_is_one_that_cannot_be_read() {
    let world = World::new(345, 3);
    world.forget(0);
    let done = world.stream(|| {
        prune(&world.repository, &prune_at_once());
        world.forget(1);
        let report = prune(&world.repository, &prune_at_once());
        assert!(report.packs_condemned > 0 && report.packs_waiting > report.packs_condemned, "{report:?}");
        assert_eq!((report.waits_for.len(), report.waits_for_unknown), (1, 0), "for two condemnations");
        let intents = world.repository.names(ObjectKind::Intent).expect("memory");
        for id in intents.into_keys() {
            let name = ObjectName::new(ObjectKind::Intent, id);
            world.storage.delete(&name).expect("memory");
            world.storage.put(&name, b"damaged").expect("memory");
        }
        let report = prune(&world.repository, &prune_at_once());
        assert_eq!((report.waits_for.len(), report.waits_for_unknown, report.packs_deleted), (0, 1, 0), "{report:?}");
    });
    world.assert_stream(done.expect("a backup that no prune stops"));
}

/// Each of them lists who runs, and neither knows what the other records.
#[test]
fn two_prunes_that_record_at_once_whom_to_outlast_forget_nobody() {
    let world = World::new(346, 2);
    world.forget(0);
    let mut other = Some(open(world.storage.clone(), &world.key, &LocalState::None));
    let done = world.stream(|| {
        let hook = move |point| {
            if let Some(other) = other.take_if(|_| point == Point::PruneWritersListed) {
                prune(&other, &prune_at_once());
            }
            Ok(())
        };
        with_hook(hook, || prune(&world.repository, &prune_at_once()));
        assert_eq!(
            count(&world.repository, ObjectKind::Condemned),
            3,
            "a condemnation, and two records of whom to outlast"
        );
        let report = prune(&world.repository, &prune_at_once());
        assert_eq!((report.packs_deleted, report.waits_for.len()), (0, 1), "{report:?}");
    });
    world.assert_stream(done.expect("a backup that no prune stops"));
}

/// As long as anybody is at work the condemnations of deleted packs stay, because a catalog with these packs may still
/// come of it.
#[test]
fn condemnations_of_packs_that_are_gone_do_not_pile_up() {
    let files: Vec<[(&str, usize, u64); 1]> = (0..8).map(|number| [("own", 40_000, 350 + number)]).collect();
    let versions = Versions::of_files(&files.iter().map(<[_; 1]>::as_slice).collect::<Vec<_>>());
    let (storage, key) = (Arc::new(MemoryStorage::new()), KeyFile::generate().expect("randomness"));
    let repository = create(storage.clone(), &key, &LocalState::None);
    let others = open(storage, &key, &LocalState::None);
    let begin = || others.begin(&SessionOptions::default()).expect("a session");
    let mut at_work = begin();
    for number in 0..8 {
        let id = backup(&repository, versions.path(number)).snapshot.expect("a snapshot");
        remove(&repository, id).expect("a removal");
        assert_eq!(prune(&repository, &prune_at_once()).packs_deleted, 0);
        let next = begin();
        drop(std::mem::replace(&mut at_work, next));
        assert!(prune(&repository, &prune_at_once()).packs_deleted > 0);
        let standing = count(&repository, ObjectKind::Condemned);
        assert!(if number < 7 { standing > number } else { standing == 1 }, "{standing} after {number} others");
    }
    drop(at_work);
    prune(&repository, &prune_at_once());
    assert_eq!(count(&repository, ObjectKind::Condemned), 0);
}
