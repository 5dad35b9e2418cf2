//! Which of two copies answers, what an error of the storage means, and which copies are put back.

use super::*;
use crate::WriterNote;
use crate::support::World;
use std::sync::Mutex;
use vellum_format::deletion::Intent;
use vellum_storage::{MemoryStorage, forward};
use vellum_testkit::{Fault, FaultKind, FaultMoment, FaultyStorage, Operation, lock};

/// Reads an object of which nothing is there, or which is damaged; each of the two reads may fail first.
fn read(faults: &[(u64, FaultKind)]) -> Result<Vec<u8>, RepositoryError> {
    let storage = FaultyStorage::new(MemoryStorage::new());
    for (first, kind) in faults {
        let (operation, moment) = (Some(Operation::Get), FaultMoment::Before);
        storage.plan(Fault { operation, first: *first, count: 1, moment, kind: *kind });
    }
    read_either(&storage, &ObjectName::of(ObjectKind::Catalog, b"content"), 1000)
}

#[test]
fn a_copy_that_cannot_be_asked_for_is_no_proof_of_damage() {
    assert!(is_missing(&read(&[]).unwrap_err()));
    // The other copy may be whole.
    let failed = read(&[(2, FaultKind::Unreachable)]).unwrap_err();
    assert!(matches!(failed, RepositoryError::Storage(StorageError::Unreachable { .. })), "{failed}");
    let failed = read(&[(1, FaultKind::PermissionDenied), (2, FaultKind::Unreachable)]).unwrap_err();
    assert!(matches!(failed, RepositoryError::Storage(StorageError::PermissionDenied { .. })), "the first: {failed}");
}

#[test]
fn what_the_storage_says_of_one_object_is_its_damage_and_what_may_pass_is_not() {
    let name = ObjectName::of(ObjectKind::Pack, b"content");
    let io =
        |kind: std::io::ErrorKind| StorageError::Io { operation: "read", path: "file".into(), source: kind.into() };
    let damage = [StorageError::ShortRead { name, wanted: 0..10, len_bytes: 5 }, io(std::io::ErrorKind::InvalidData)];
    for error in damage {
        assert!(matches!(unreadable(name, error), RepositoryError::Damaged { object, .. } if object == name));
    }
    for error in [io(std::io::ErrorKind::TimedOut), io(std::io::ErrorKind::Interrupted)] {
        assert!(matches!(unreadable(name, error), RepositoryError::Storage(_)));
    }
}

/// What an interrupted `init` or change of keys left is not made whole.
#[test]
fn of_configs_and_keys_only_those_in_use_are_put_back() {
    let world = World::new();
    let repository = world.open();
    let intent = OwnIntent::declare(&repository, Intent::BACKUP, &WriterNote::default()).unwrap();
    for (kind, in_use) in [(ObjectKind::Config, repository.config_id()), (ObjectKind::Key, repository.key_manifest())] {
        let left_over = ObjectName::of(kind, b"left over");
        world.storage.put(&left_over, b"left over").unwrap();
        let copy = copy_of(&ObjectName::new(kind, in_use)).unwrap();
        world.storage.delete(&copy).unwrap();
        repository.restore_copies(&intent).unwrap();
        assert!(world.storage.len(&copy).is_ok(), "{copy}");
        assert!(world.storage.len(&copy_of(&left_over).unwrap()).is_err(), "{left_over}");
    }
}

/// Hears what becomes part of the next sync.
struct Adopting(MemoryStorage, Mutex<Vec<ObjectName>>);

#[deny(clippy::missing_trait_methods)]
impl Storage for Adopting {
    forward!(|self| self.0 =>
        put, replace_damaged, sync, get, get_range, len, list, delete, release_reserve, keep_reserve, location,
        capabilities
    );

    fn adopt(&self, name: &ObjectName) {
        lock(&self.1).push(*name);
    }
}

/// I4: whoever put them may have been killed before his own sync.
#[test]
fn both_copies_of_what_is_relied_on_become_part_of_the_next_sync() {
    let storage = Adopting(MemoryStorage::new(), Mutex::default());
    let name = ObjectName::of(ObjectKind::Catalog, b"content");
    adopt_both(&storage, &name);
    assert_eq!(storage.1.into_inner().unwrap(), [name, copy_of(&name).unwrap()]);
}
