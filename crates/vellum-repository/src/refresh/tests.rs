//! When the index is brought up to date, by what, and what is told about it.

use super::*;
use crate::LocalState;
use crate::pack_writer::CatalogMark;
use crate::support::{World, slow, spoil};
use std::sync::Arc;
use vellum_format::ChunkId;
use vellum_format::content::ChunkKind;
use vellum_format::pack::{Compression, Directory, Frame, KeyWrap, PackedChunk};
use vellum_storage::Storage;
use vellum_testkit::{Operation, RecordingStorage};

/// A repository with one pack, and the catalog that lists it.
fn world() -> (World, ObjectId, ObjectName) {
    let world = World::new();
    let (pack, _) = world.store(ChunkKind::Data, &[(1, 5000)]);
    let catalog = world.open().ids_of_either(ObjectKind::Catalog).unwrap().pop_first().unwrap();
    (world, pack, ObjectName::new(ObjectKind::Catalog, catalog))
}

/// The same without the catalog, on a storage that is slow to list and counts its calls.
fn unlisted() -> (Repository, Arc<RecordingStorage<impl Storage>>) {
    let (world, _, catalog) = world();
    crate::objects::delete_both(&*world.storage, &catalog).unwrap();
    let storage = Arc::new(RecordingStorage::new(slow(&world.storage)));
    (world.open_on(storage.clone(), &LocalState::None), storage)
}

fn packs(repository: &Repository) -> usize {
    repository.index().packs().len()
}

/// Each refresh finds one more catalog, which becomes a segment of its own at first.
#[test]
fn segments_stay_few_and_no_catalog_is_read_twice() {
    let (world, _, first) = world();
    let writer = world.open();
    let catalog = writer.read_catalog(first.id).unwrap();
    let marks = catalog.packs.iter().map(|pack| (pack.pack, CatalogMark::of(pack))).collect();
    let scratch = tempfile::tempdir().unwrap();
    let reader = world.open_on(world.storage.clone(), &LocalState::At(scratch.path().to_owned()));
    for _ in 0..40 {
        writer.put_catalog(&catalog, &marks).unwrap();
        reader.refresh().unwrap();
        assert!(reader.index().segment_count() < 9, "{}", reader.index().segment_count());
        assert_eq!(packs(&reader), 1);
    }
    assert_eq!(reader.catalogs().len(), 41);
    let again = world.open_on(world.storage.clone(), &LocalState::At(scratch.path().to_owned()));
    assert_eq!(again.refresh().unwrap().catalogs_read, 0);
    // The pack counts as long as any of its catalogs is there.
    for id in again.catalogs() {
        assert_eq!(packs(&again), 1);
        crate::objects::delete_both(&*world.storage, &ObjectName::new(ObjectKind::Catalog, id)).unwrap();
        assert_eq!(again.load_catalogs(false).unwrap().catalogs_read, 0);
    }
    assert_eq!(packs(&again), 0);
}

#[test]
fn where_listing_is_slow_packs_are_listed_when_a_catalog_is_damaged() {
    let (world, pack, catalog) = world();
    for (damage, listings, recovered) in [(false, 0, 0), (true, 1, 1)] {
        if damage {
            spoil(&world.storage, &catalog);
        }
        let storage = Arc::new(RecordingStorage::new(slow(&world.storage)));
        let repository = world.open_on(storage.clone(), &LocalState::None);
        assert_eq!(repository.refresh().unwrap().packs_recovered, recovered);
        assert_eq!(storage.count_of(Operation::List, ObjectKind::Pack), listings);
        assert_eq!(repository.index().packs().into_iter().map(|(pack, _)| pack).collect::<Vec<_>>(), [pack]);
    }
}

#[test]
fn who_deletes_lists_packs_once_and_counts_on_none_that_is_gone() {
    let (world, pack, _) = world();
    world.storage.delete(&ObjectName::new(ObjectKind::Pack, pack)).unwrap();
    let storages: [Arc<dyn Storage>; 2] = [world.storage.clone(), Arc::new(slow(&world.storage))];
    for storage in storages {
        let counted = Arc::new(RecordingStorage::new(storage));
        let repository = world.open_on(counted.clone(), &LocalState::None);
        repository.refresh_for_deletion().unwrap();
        assert_eq!(counted.count_of(Operation::List, ObjectKind::Pack), 1);
        let mut there = 0;
        repository.index().for_each_chunk(|id, _| there += repository.index().all_locations(id).len()).unwrap();
        assert_eq!(there, 0);
    }
    assert_eq!(world.open().refresh().unwrap().packs_absent, 1);
}

/// Once a process, and told to everybody who looked before.
#[test]
fn packs_that_no_catalog_lists_are_looked_for_once() {
    let (repository, storage) = unlisted();
    repository.refresh().unwrap();
    assert_eq!(packs(&repository), 0);
    let before = repository.mend_count();
    assert!(repository.recover(before).unwrap());
    assert_eq!(packs(&repository), 1);
    assert!(repository.recover(before).unwrap(), "it was mended since then");
    assert!(!repository.recover(repository.mend_count()).unwrap(), "nothing more is found");
    assert_eq!(storage.count_of(Operation::List, ObjectKind::Pack), 1);

    let nothing_to_find = World::new().open();
    assert!(!nothing_to_find.recover(nothing_to_find.mend_count()).unwrap());
}

#[test]
fn packs_that_are_adopted_are_counted() {
    let (repository, _) = unlisted();
    assert_eq!(repository.adopt_all().unwrap(), 1);
    assert_eq!(repository.adopt_all().unwrap(), 0);
}

#[test]
fn what_a_damaged_segment_held_is_read_again_from_its_catalogs() {
    let (world, _, _) = world();
    let scratch = tempfile::tempdir().unwrap();
    let state = LocalState::At(scratch.path().to_owned());
    let repository = world.open_on(world.storage.clone(), &state);
    repository.refresh().unwrap();
    assert!(!repository.reload_if_damaged(repository.mend_count()).unwrap(), "nothing is damaged");
    let mut ids = Vec::new();
    repository.index().for_each_chunk(|id, _| ids.push(*id)).unwrap();
    damage_segments(repository.state_folder().unwrap());
    let before = repository.mend_count();
    assert!(repository.index().lookup(&ids[0]).is_none(), "what is damaged answers nothing");
    assert!(repository.reload_if_damaged(before).unwrap());
    assert!(repository.index().lookup(&ids[0]).is_some());
    assert!(repository.reload_if_damaged(before).unwrap(), "it was mended since then");
    assert!(!repository.reload_if_damaged(repository.mend_count()).unwrap());
}

/// Changes every segment of the index where it lies, as a bad disk does.
fn damage_segments(folder: &std::path::Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            damage_segments(&path);
        } else if path.extension().is_some_and(|extension| extension == "segment") {
            let len = std::fs::read(&path).unwrap().len();
            std::fs::write(&path, vec![0; len]).unwrap();
        }
    }
}

#[test]
fn the_index_is_brought_up_to_date_once_for_each_missing_pack() {
    let (world, pack, _) = world();
    let repository = world.open();
    let before = repository.mend_count();
    assert!(repository.refresh_after_missing(pack, before).unwrap());
    assert_eq!(packs(&repository), 1);
    assert!(repository.refresh_after_missing(pack, before).unwrap(), "it was mended since then");
    assert!(!repository.refresh_after_missing(pack, repository.mend_count()).unwrap(), "again would find the same");
    let other = ObjectId::of(b"another");
    assert!(repository.refresh_after_missing(other, repository.mend_count()).unwrap());
}

/// What catalogs hold together bounds what is in memory, not only how many they are.
#[test]
fn catalogs_of_very_many_chunks_are_not_loaded_together() {
    let world = World::new();
    let writer = world.open();
    let put = |number: u8, chunks: usize| {
        let id = ChunkId::from_bytes([number; 32]);
        let frame = Frame {
            offset: 80,
            stored_len_bytes: 1,
            wrap: 0,
            kind: ChunkKind::Data,
            compression: Compression::None,
            salt: [0; 16],
            chunks: vec![PackedChunk { id, len_bytes: 1 }; chunks],
        };
        let wraps = vec![KeyWrap { kind: KeyWrap::SYMMETRIC, epoch: 1, bytes: vec![0; 8] }];
        let directory = Directory { wraps, frames: vec![frame] };
        let pack = CatalogedPack { pack: ObjectId::of(&[number]), len_bytes: 4096, directory };
        let marks = [(pack.pack, CatalogMark::of(&pack))].into();
        writer.put_catalog(&Catalog { packs: vec![pack] }, &marks).unwrap();
    };
    let segments = |reader: &Repository| {
        let read = reader.load_catalogs(false).unwrap().catalogs_read;
        (read, reader.index().segment_count())
    };
    put(1, BATCH_CHUNKS / 2);
    put(2, BATCH_CHUNKS / 2);
    assert_eq!(segments(&world.open()), (2, 1));
    put(3, 1);
    assert_eq!(segments(&world.open()), (3, 2));
}
