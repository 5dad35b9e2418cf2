use super::*;
use crate::support::{NOW, World, spoil, store};
use crate::{NewSlot, RecoveryKey};
use vellum_format::content::ChunkKind;
use vellum_storage::MemoryStorage;

fn again(storage: &Arc<MemoryStorage>, keys: &HeldKeys) -> Result<Repository, RepositoryError> {
    Locked::open(Arc::<MemoryStorage>::clone(storage))?.unlock_again(keys, &LocalState::None)
}

fn is_refused(opened: &Result<Repository, RepositoryError>) -> bool {
    matches!(opened, Err(RepositoryError::KeysChanged { .. }))
}

fn add_slot(repository: &mut Repository) {
    let recovery = RecoveryKey::generate().expect("randomness");
    let credential = Credential::RecoveryKey(&recovery);
    repository.add_slot(&NewSlot { credential, label: "another", argon2id: None, now: NOW }).expect("a new slot");
}

/// What lies under `keys` and `mirror/keys`.
fn keys_of(storage: &MemoryStorage) -> Vec<(ObjectName, Vec<u8>)> {
    let mut names = Vec::new();
    for kind in [ObjectKind::Key, ObjectKind::KeyMirror] {
        storage.list(kind, &mut |object| names.push(object.name)).expect("memory");
    }
    names.into_iter().map(|name| (name, storage.get(&name, u64::MAX).expect("memory"))).collect()
}

#[test]
fn held_keys_open_the_repository_again() {
    let world = World::new();
    let first = world.open();
    let (_, chunks) = store(&first, ChunkKind::Data, &[(1, 1000)]);
    let keys = first.held_keys();
    drop(first);
    let second = again(&world.storage, &keys).expect("the same keys");
    second.refresh().expect("memory");
    assert!(second.contains(&chunks[0]));
    let slots = second.slots();
    assert_eq!(slots.iter().filter(|slot| slot.is_current).count(), 1, "the one that the first unlocked with");
}

#[test]
fn held_keys_open_no_other_generation_of_keys_newer_or_older() {
    let world = World::new();
    let mut repository = world.open();
    let (old_keys, old) = (repository.held_keys(), keys_of(&world.storage));
    add_slot(&mut repository);
    let new_keys = repository.held_keys();
    assert!(is_refused(&again(&world.storage, &old_keys)));
    again(&world.storage, &new_keys).expect("the newest keys");
    // Both generations lie there, as after an interrupted change: the newest counts.
    for (name, bytes) in &old {
        world.storage.put(name, bytes).expect("memory");
    }
    assert!(is_refused(&again(&world.storage, &old_keys)));
    again(&world.storage, &new_keys).expect("the newest keys");
    for (name, _) in keys_of(&world.storage).iter().filter(|one| !old.contains(one)) {
        world.storage.delete(name).expect("memory");
    }
    assert!(is_refused(&again(&world.storage, &new_keys)), "the storage shows an older state");
}

#[test]
fn held_keys_open_no_other_repository_nor_one_with_keys_from_elsewhere() {
    let (world, other) = (World::new(), World::new());
    let keys = world.open().held_keys();
    assert!(is_refused(&again(&other.storage, &keys)));
    for (name, bytes) in keys_of(&world.storage) {
        other.storage.put(&name, &bytes).expect("memory");
    }
    assert!(is_refused(&again(&other.storage, &keys)), "its config is not the one that these keys name");
    for (name, _) in keys_of(&other.storage).iter().filter(|one| !keys_of(&world.storage).contains(one)) {
        other.storage.delete(name).expect("memory");
    }
    let shut = again(&other.storage, &keys).err();
    assert!(matches!(shut, Some(RepositoryError::NothingLeft { kind: ObjectKind::Key, .. })), "{shut:?}");
}

#[test]
fn held_keys_open_nothing_whose_keys_are_damaged_in_both_copies() {
    let world = World::new();
    let keys = world.open().held_keys();
    let key = ObjectName::new(ObjectKind::Key, keys.key_manifest);
    world.storage.delete(&key).expect("memory");
    world.storage.put(&key, b"damaged").expect("memory");
    again(&world.storage, &keys).expect("the copy is whole");
    spoil(&world.storage, &key);
    let shut = again(&world.storage, &keys).err();
    assert!(matches!(shut, Some(RepositoryError::NothingLeft { kind: ObjectKind::Key, .. })), "{shut:?}");
}
