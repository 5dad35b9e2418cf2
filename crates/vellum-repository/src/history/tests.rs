//! What is remembered and named of history, and what is made of records that vanish while they are read.

use super::*;
use crate::LocalState;
use crate::support::{World, publish, spoil, vanishing};
use std::sync::Arc;
use vellum_format::snapshot::Timestamp;
use vellum_format::tombstone::TombstoneManifest;
use vellum_format::{Bytes, RepositoryId};
use vellum_storage::Storage as _;
use vellum_testkit::{Fault, FaultKind, FaultMoment, FaultyStorage, Operation, RecordingStorage};

fn id(name: &str) -> ObjectId {
    ObjectId::of(name.as_bytes())
}

const fn device(number: u8) -> DeviceId {
    DeviceId::from_bytes([number; 16])
}

/// A record of a device; a tombstone, since these are the shorter ones.
fn record(name: &str, of: u8, sequence: u64, previous: Option<&str>, seen: &[&str]) -> Tombstone {
    let manifest = TombstoneManifest {
        repository: RepositoryId::from_bytes([0; 16]),
        device: device(of),
        sequence,
        previous: previous.map(id),
        seen: seen.iter().map(|name| id(name)).collect(),
        time: Timestamp { seconds: 0, nanoseconds: 0 },
        host: Bytes(Vec::new()),
        user: String::new(),
        removed: Vec::new(),
        reason: String::new(),
        program: String::new(),
        must_understand: Vec::new(),
    };
    Tombstone { id: id(name), manifest }
}

fn records(tombstones: Vec<Tombstone>) -> Records {
    let tombstone_names = tombstones.iter().map(|one| one.id).collect();
    Records { tombstones, tombstone_names, ..Records::default() }
}

fn seen(name: &str, of: u8, sequence: u64) -> Seen {
    Seen { device: device(of), sequence, name: ObjectName::new(ObjectKind::Tombstone, id(name)) }
}

/// What is remembered by who has seen `before` and now these records.
fn renewed(before: Seen, records: &Records) -> (Vec<Seen>, Vec<Seen>) {
    let remembered = Remembered { newest: [(before.device, before)].into(), ..Remembered::default() };
    let next = records.renew(&remembered);
    (next.newest.into_values().collect(), next.lost.into_iter().collect())
}

#[test]
fn the_newest_record_of_a_device_is_remembered_and_one_that_is_gone_until_it_is_accounted_for() {
    let mut both = records(vec![record("a", 1, 1, None, &[]), record("b", 1, 2, Some("a"), &[])]);
    assert_eq!(renewed(seen("a", 1, 1), &both), (vec![seen("b", 1, 2)], vec![]));
    assert_eq!(renewed(seen("b", 1, 2), &both), (vec![seen("b", 1, 2)], vec![]));
    // One of which nothing is left is missed, beside what is the newest now.
    assert_eq!(renewed(seen("gone", 1, 9), &both), (vec![seen("b", 1, 2)], vec![seen("gone", 1, 9)]));
    // One that lies there damaged is there.
    both.tombstone_names.insert(id("damaged"));
    assert_eq!(renewed(seen("damaged", 1, 9), &both), (vec![seen("damaged", 1, 9)], vec![]));
    // One that is removed is not there, whatever is left of it.
    both.removed.insert(id("damaged"), id("b"));
    assert_eq!(renewed(seen("damaged", 1, 9), &both), (vec![seen("b", 1, 2)], vec![]));
}

#[test]
fn a_new_record_names_its_device_s_last_one_and_every_other_that_nobody_names() {
    let all = records(vec![
        record("a", 1, 1, None, &[]),
        record("b", 2, 2, None, &["a"]),
        record("c", 1, 3, Some("a"), &["b"]),
        record("d", 2, 4, Some("b"), &["a"]),
    ]);
    let named = |of: u8, leaving: &[&str]| {
        let position = all.position(device(of), &leaving.iter().map(|name| id(name)).collect());
        (position.sequence, position.previous, position.seen)
    };
    assert_eq!(named(1, &[]), (5, Some(id("c")), vec![id("d")]));
    assert_eq!(named(2, &[]), (5, Some(id("d")), vec![id("c")]));
    assert_eq!(named(1, &["c"]), (5, Some(id("a")), vec![id("d")]));
    assert_eq!(named(3, &[]).1, None);
}

/// What is left of history after it was read on a storage on which every record of a kind vanishes when it is read.
fn read_vanishing(world: &World, kind: ObjectKind) -> Records {
    world.open_on(Arc::new(vanishing(&world.storage, kind)), &LocalState::None).read_records().unwrap()
}

fn put_junk(world: &World, kind: ObjectKind, count: u8) {
    for number in 0..count {
        spoil(&world.storage, &ObjectName::of(kind, &[number]));
    }
}

#[test]
fn history_is_read_anew_twice_when_a_record_vanishes_meanwhile_and_then_taken_as_it_is() {
    for kind in [ObjectKind::Snapshot, ObjectKind::Tombstone] {
        for (count, damaged) in [(1, 0), (2, 0), (4, 2)] {
            let world = World::new();
            put_junk(&world, kind, count);
            let read = read_vanishing(&world, kind);
            assert_eq!(read.damaged.len(), damaged, "of {count} that vanished when they were read");
        }
    }
}

#[test]
fn a_damaged_record_costs_only_itself_and_is_read_once() {
    let world = World::new();
    let kept = publish(&world.open());
    for kind in [ObjectKind::Snapshot, ObjectKind::Tombstone] {
        put_junk(&world, kind, 1);
    }
    let storage = Arc::new(RecordingStorage::new(world.storage.clone()));
    let read = world.open_on(storage.clone(), &LocalState::None).read_records().unwrap();
    assert_eq!(read.snapshots.iter().map(|snapshot| snapshot.id).collect::<Vec<_>>(), [kept]);
    assert_eq!(read.damaged.len(), 2);
    let reads = [ObjectKind::Snapshot, ObjectKind::Tombstone].map(|kind| storage.count_of(Operation::Get, kind));
    assert_eq!(reads, [2, 1], "the good one and each damaged one once");
}

#[test]
fn a_snapshot_with_one_copy_is_there_and_gets_the_other_before_a_record_names_it() {
    for lost in [ObjectKind::Snapshot, ObjectKind::SnapshotMirror] {
        let world = World::new();
        let id = publish(&world.open());
        world.storage.delete(&ObjectName::new(lost, id)).unwrap();
        let repository = world.open();
        let read = repository.read_records().unwrap();
        let position = repository.settled_position(read, device(1)).unwrap();
        assert_eq!(position.seen, [id]);
        assert!(world.storage.len(&ObjectName::new(lost, id)).is_ok());
    }
}

#[test]
fn what_vanished_since_history_was_read_is_not_named_and_a_storage_that_fails_is_an_error() {
    let world = World::new();
    let id = publish(&world.open());
    let repository = world.open();
    let [own, copy] = [ObjectKind::Snapshot, ObjectKind::SnapshotMirror].map(|kind| ObjectName::new(kind, id));
    world.storage.delete(&copy).unwrap();
    let half = repository.read_records().unwrap();
    let bytes = world.storage.get(&own, u64::MAX).unwrap();
    world.storage.delete(&own).unwrap();
    assert_eq!(repository.settled_position(half, device(1)).unwrap().seen, []);

    world.storage.put(&own, &bytes).unwrap();
    let faulty = Arc::new(FaultyStorage::new(world.storage.clone()));
    let repository = world.open_on(faulty.clone(), &LocalState::None);
    let read = repository.read_records().unwrap();
    let (operation, moment) = (Some(Operation::Sync), FaultMoment::Before);
    faulty.plan(Fault { operation, first: 1, count: 1, moment, kind: FaultKind::Io });
    let failed = repository.settled_position(read, device(1)).map(|position| position.seen);
    assert!(matches!(failed, Err(RepositoryError::Storage(_))), "{failed:?}");
}
