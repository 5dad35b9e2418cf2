//! What the next tombstone of a device carries over.

use super::*;
use crate::support::{NOW, World, publish};
use vellum_format::RepositoryId;

const OWN: DeviceId = DeviceId::from_bytes([1; 16]);

/// A tombstone of a device that names so many records.
fn tombstone(number: usize, device: DeviceId, removes: usize) -> Tombstone {
    let id = ObjectId::of(number.to_string().as_bytes());
    let manifest = TombstoneManifest {
        repository: RepositoryId::from_bytes([0; 16]),
        device,
        sequence: number as u64,
        previous: None,
        seen: Vec::new(),
        time: Timestamp { seconds: 0, nanoseconds: 0 },
        host: Bytes(Vec::new()),
        user: String::new(),
        removed: vec![id; removes],
        reason: String::new(),
        program: String::new(),
        must_understand: Vec::new(),
    };
    Tombstone { id, manifest }
}

/// How many of these are carried over beside so many removals.
fn carried(tombstones: &[Tombstone], removed: &[ObjectId], fresh: usize) -> Option<usize> {
    let mut records = Records::default();
    records.tombstones = tombstones.to_vec();
    records.removed = removed.iter().map(|id| (*id, *id)).collect();
    carried_over(&records, OWN, fresh).map(|all| all.len())
}

#[test]
fn a_device_carries_over_as_soon_as_it_has_enough_tombstones_of_its_own() {
    let mut tombstones: Vec<Tombstone> = (0..CARRIED_OVER_MIN).map(|number| tombstone(number, OWN, 2)).collect();
    assert_eq!(carried(&tombstones, &[], 1), Some(CARRIED_OVER_MIN));
    assert_eq!(carried(&tombstones, &[], 0), None, "nothing is removed, so no tombstone is written");
    assert_eq!(carried(&tombstones, &[tombstones[3].id], 1), None, "one of them is carried over already");
    tombstones[3].manifest.device = DeviceId::from_bytes([2; 16]);
    assert_eq!(carried(&tombstones, &[], 1), None, "one of them is another's");
}

#[test]
fn what_is_carried_over_leaves_the_tombstone_readable() {
    // Each is named beside what it removes.
    let each = limits::TOMBSTONE_REMOVED_MAX / CARRIED_OVER_MIN;
    let tombstones: Vec<Tombstone> = (0..CARRIED_OVER_MIN).map(|number| tombstone(number, OWN, each - 2)).collect();
    assert_eq!(carried(&tombstones, &[], CARRIED_OVER_MIN), Some(CARRIED_OVER_MIN));
    assert_eq!(
        carried(&tombstones, &[], CARRIED_OVER_MIN + 1),
        None,
        "one of them has no room, and the rest is too few"
    );
    let one_more = [&tombstones[..], &[tombstone(99, OWN, 1)]].concat();
    assert_eq!(carried(&one_more, &[], CARRIED_OVER_MIN + 1), Some(CARRIED_OVER_MIN), "the smallest go first");
}

/// The lengths of objects are padded: the first user's name ends just below the limit, the other's just above it.
#[test]
fn a_tombstone_that_no_reader_would_take_is_refused_and_removes_nothing() {
    let world = World::new();
    let repository = world.open();
    let len = usize::try_from(limits::TOMBSTONE_LEN_BYTES_MAX).unwrap();
    let snapshot = publish(&repository);
    let remove = |len: usize| {
        let (user, program, reason) = ("x".repeat(len), String::new(), String::new());
        let removal = Removal { snapshots: vec![snapshot], time: NOW, host: Vec::new(), user, program, reason };
        repository.remove_snapshots(&removal)
    };
    assert!(matches!(remove(len), Err(RepositoryError::TombstoneRefused { .. })));
    assert_eq!(repository.snapshots().unwrap().snapshots.len(), 1);
    let tombstone = remove(len - 10_000).unwrap();
    assert_eq!(repository.names(ObjectKind::Tombstone).unwrap(), [(tombstone, len as u64)].into());
    assert_eq!(repository.snapshots().unwrap().snapshots.len(), 0);
}
