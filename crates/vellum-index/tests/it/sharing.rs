//! Folders that are missing, unusable, rolled back, or used by several processes.

use crate::support::{
    KEY, Model, Shape, assert_agrees, catalog, copy_folder, object_id, open, quick_folder, segment_files,
};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use vellum_index::{Index, IndexError, Persistence, StateFolder};

const SHAPE: Shape = Shape { packs: 3, frames: 3, chunks: 20, ids: 100 };

fn model(batches: &[&[u64]]) -> Model {
    let batches = batches.iter().map(|batch| batch.iter().map(|number| catalog(*number, SHAPE)).collect());
    Model { batches: batches.collect(), ..Model::default() }
}

fn model_names(numbers: &[u64]) -> Vec<vellum_format::ObjectId> {
    let names: BTreeSet<_> = numbers.iter().map(|number| object_id(*number)).collect();
    names.into_iter().collect()
}

#[test]
fn values_and_segments_outlive_the_run() {
    let folder = quick_folder();
    let model = model(&[&[1, 2], &[3]]);
    let first = open(folder.path());
    assert!(first.persistent() && !first.damage_seen());
    for batch in &model.batches {
        first.add(batch.clone()).expect("good catalogs");
    }
    first.state_put("device", b"one").expect("a writable folder");
    first.state_put("device", b"two").expect("a writable folder");
    drop(first);
    let second = open(folder.path());
    assert_eq!(second.state_get("device").as_deref(), Some(&b"two"[..]));
    assert_eq!(second.state_get("other"), None);
    assert_agrees(&second, &model, SHAPE.ids);
    assert!(second.persistent() && !second.damage_seen());
}

#[test]
fn without_a_folder_everything_works_for_one_run() {
    let index = Index::open(&StateFolder::None, &KEY);
    let model = model(&[&[1], &[2]]);
    for batch in &model.batches {
        index.add(batch.clone()).expect("good catalogs");
    }
    index.state_put("device", b"one").expect("kept for this run as asked");
    assert_eq!(index.state_get("device").as_deref(), Some(&b"one"[..]));
    assert_agrees(&index, &model, SHAPE.ids);
    assert_eq!(index.persistence(), Persistence::Disabled);
}

#[test]
fn a_folder_that_cannot_be_made_costs_persistence_only() {
    let folder = quick_folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "in the way").expect("a writable folder");
    for path in [file.clone(), file.join("below")] {
        let index = Index::open(&StateFolder::At(path), &KEY);
        assert_eq!(index.persistence_watch().now(), Persistence::Unwritable);
        let model = model(&[&[1, 2]]);
        index.add(model.batches[0].clone()).expect("memory is enough");
        assert_agrees(&index, &model, SHAPE.ids);
    }
}

#[test]
fn a_folder_that_cannot_be_written_costs_persistence_only() {
    let folder = quick_folder();
    std::fs::create_dir_all(folder.path().join("state.redb")).expect("a folder in place of the database");
    let index = open(folder.path());
    assert_eq!(index.persistence(), Persistence::Unwritable);
    let model = model(&[&[1, 2]]);
    index.add(model.batches[0].clone()).expect("memory is enough");
    assert!(matches!(index.state_put("a", b"b"), Err(IndexError::NotKept)));
    assert_eq!(index.state_get("a").as_deref(), Some(&b"b"[..]));
    assert_agrees(&index, &model, SHAPE.ids);
}

#[test]
fn a_folder_that_fails_later_costs_persistence_only() {
    let folder = quick_folder();
    let index = open(folder.path());
    let model = model(&[&[1], &[2]]);
    index.add(model.batches[0].clone()).expect("good catalogs");
    std::fs::remove_dir_all(folder.path()).expect("the folder is there");
    std::fs::write(folder.path(), "in the way").expect("a writable parent");
    index.add(model.batches[1].clone()).expect("memory is enough");
    assert_eq!(index.persistence(), Persistence::Unwritable);
    assert_agrees(&index, &model, SHAPE.ids);
    std::fs::remove_file(folder.path()).expect("the file is there");
    assert_eq!(open(folder.path()).loaded_catalogs(), []);
}

#[test]
fn a_folder_deleted_while_in_use_is_made_again() {
    let folder = quick_folder();
    let index = open(folder.path());
    let model = model(&[&[1], &[2]]);
    index.add(model.batches[0].clone()).expect("good catalogs");
    std::fs::remove_dir_all(folder.path()).expect("the folder is there");
    index.add(model.batches[1].clone()).expect("good catalogs");
    assert!(index.persistent());
    assert_agrees(&index, &model, SHAPE.ids);
    assert_eq!(open(folder.path()).loaded_catalogs(), [model.batches[1][0].0]);
}

#[test]
fn another_key_finds_nothing() {
    let folder = quick_folder();
    let model = model(&[&[1]]);
    let index = open(folder.path());
    index.add(model.batches[0].clone()).expect("good catalogs");
    index.state_put("device", b"one").expect("a writable folder");
    let other = Index::open(&StateFolder::At(folder.path().to_owned()), &[8; 32]);
    assert_eq!(other.loaded_catalogs(), []);
    assert_eq!(other.state_get("device"), None);
    assert_agrees(&index, &model, SHAPE.ids);
}

#[test]
fn two_on_one_folder_do_not_disturb_each_other() {
    let folder = quick_folder();
    let (one, two) = (open(folder.path()), open(folder.path()));
    let model = model(&[&[1, 2], &[3]]);
    for index in [&one, &two] {
        for batch in &model.batches {
            index.add(batch.clone()).expect("good catalogs");
        }
    }
    one.state_put("of one", b"1").expect("a writable folder");
    two.state_put("of two", b"2").expect("a writable folder");
    assert!(one.persistent() && two.persistent());
    let third = open(folder.path());
    assert_eq!(segment_files(folder.path()).len(), 2);
    assert_eq!(third.state_get("of one").zip(third.state_get("of two")), Some((b"1".to_vec(), b"2".to_vec())));
    two.retain_catalogs(&BTreeSet::new());
    assert_eq!(segment_files(folder.path()).len(), 0);
    for index in [&one, &third] {
        assert_agrees(index, &model, SHAPE.ids);
    }
    assert_eq!(two.chunk_count(), 0);
    assert_eq!(open(folder.path()).loaded_catalogs(), []);
}

#[test]
fn what_two_loaded_is_kept_once() {
    let folder = quick_folder();
    let (one, two) = (open(folder.path()), open(folder.path()));
    one.add(vec![catalog(1, SHAPE)]).expect("good catalogs");
    one.add(vec![catalog(2, SHAPE)]).expect("good catalogs");
    let model = model(&[&[1, 2]]);
    two.add(model.batches[0].clone()).expect("good catalogs");
    assert_eq!(segment_files(folder.path()).len(), 3);
    assert_agrees(&open(folder.path()), &model, SHAPE.ids);
    assert_eq!(segment_files(folder.path()).len(), 1);
}

#[test]
fn threads_on_one_folder_lose_nothing() {
    let folder = quick_folder();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let path = folder.path();
            scope.spawn(move || {
                for number in 0..5 {
                    // One that has waited for the others for too long keeps it in memory only.
                    let add = || {
                        let index = open(path);
                        index.add(vec![catalog(thread * 10 + number, SHAPE)]).expect("good catalogs");
                        index.persistent()
                    };
                    assert!((0..1_000).any(|_| add()), "in the end it is its turn");
                }
            });
        }
    });
    assert_eq!(open(folder.path()).loaded_catalogs().len(), 20);
}

/// A folder of four segments of a catalog each.
fn four_segments() -> (tempfile::TempDir, Model) {
    let folder = quick_folder();
    let model = model(&[&[1], &[2], &[3], &[4]]);
    let index = open(folder.path());
    for batch in &model.batches {
        index.add(batch.clone()).expect("good catalogs");
    }
    (folder, model)
}

#[test]
fn who_finds_sources_gone_merges_for_himself_alone() {
    let (folder, model) = four_segments();
    let (one, two, three) = (open(folder.path()), open(folder.path()), open(folder.path()));
    three.retain_catalogs(&BTreeSet::from([1, 2, 3].map(object_id)));
    one.merge();
    assert_eq!((one.segment_count(), two.segment_count()), (1, 4), "one source is gone from the folder");
    assert_eq!(segment_files(folder.path()).len(), 3);
    two.add(vec![catalog(5, SHAPE)]).expect("good catalogs");
    for index in [&one, &two, &three] {
        assert!(index.persistent() && !index.damage_seen());
    }
    open(folder.path()).merge();
    assert_eq!(segment_files(folder.path()).len(), 1);
    two.merge();
    assert_agrees(&one, &model, SHAPE.ids);
    assert_eq!(open(folder.path()).loaded_catalogs(), model_names(&[1, 2, 3, 5]));
}

#[test]
fn a_merge_by_two_is_recorded_once() {
    let (folder, model) = four_segments();
    let (one, two) = (open(folder.path()), open(folder.path()));
    one.merge();
    let left = segment_files(folder.path());
    two.merge();
    assert_eq!((one.segment_count(), two.segment_count()), (1, 1));
    assert_eq!((left.len(), segment_files(folder.path())), (1, left));
    for index in [&one, &two, &open(folder.path())] {
        assert!(index.persistent() && !index.damage_seen());
        assert_agrees(index, &model, SHAPE.ids);
    }
}

/// Two long backups at once: what each adds stands between what the other adds, so that no neighbours of one are
/// neighbours in the folder.
#[test]
fn two_that_add_by_turns_have_few_segments_each() {
    let folder = quick_folder();
    let (one, two) = (open(folder.path()), open(folder.path()));
    for number in 0..20 {
        for (index, number) in [(&one, number), (&two, 100 + number)] {
            index.add(vec![catalog(number, SHAPE)]).expect("good catalogs");
            index.merge();
            assert!(index.segment_count() < 9, "{number}: {}", index.segment_count());
            assert!(index.persistent() && !index.damage_seen());
        }
    }
    let own = |first: u64| -> Vec<u64> { (first..first + 20).collect() };
    let batches = |first| Model {
        batches: own(first).iter().map(|one| vec![catalog(*one, SHAPE)]).collect(),
        ..Model::default()
    };
    assert_agrees(&one, &batches(0), SHAPE.ids);
    assert_agrees(&two, &batches(100), SHAPE.ids);
    let later = open(folder.path());
    assert_eq!(later.loaded_catalogs(), model_names(&[own(0), own(100)].concat()));
    later.merge();
    assert!(later.segment_count() < 9 && segment_files(folder.path()).len() < 9, "{}", later.segment_count());
}

#[test]
fn what_two_left_by_turns_takes_few_handles_and_is_soon_one_again() {
    let folder = quick_folder();
    let (one, two) = (open(folder.path()), open(folder.path()));
    for number in 0..300 {
        let index = if number % 2 == 0 { &one } else { &two };
        index.add(vec![catalog(number, SHAPE)]).expect("good catalogs");
    }
    assert_eq!(segment_files(folder.path()).len(), 300);
    let later = open(folder.path());
    let oldest: Vec<u64> = (0..256).collect();
    assert_eq!((later.segment_count(), later.loaded_catalogs()), (256, model_names(&oldest)));
    assert!(!later.damage_seen(), "nothing was damaged");
    assert_eq!(segment_files(folder.path()).len(), 256);
    later.add((256..300).map(|number| catalog(number, SHAPE)).collect()).expect("good catalogs");
    later.merge();
    assert!(later.segment_count() < 9, "{}", later.segment_count());
    assert_eq!(later.loaded_catalogs(), model_names(&(0..300).collect::<Vec<_>>()));
}

#[test]
fn threads_that_merge_one_folder_lose_nothing() {
    let folder = quick_folder();
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let path = folder.path();
            scope.spawn(move || {
                for number in 0..6 {
                    let add = || {
                        let index = open(path);
                        index.add(vec![catalog(thread * 10 + number, SHAPE)]).expect("good catalogs");
                        index.merge();
                        index.persistent()
                    };
                    assert!((0..1_000).any(|_| add()), "in the end it is its turn");
                }
            });
        }
    });
    let index = open(folder.path());
    index.merge();
    assert_eq!(index.loaded_catalogs().len(), 24);
    assert!(!index.damage_seen() && index.segment_count() <= 8, "{}", index.segment_count());
}

/// A catalog that was forgotten stays so in the next run; if that is lost, it is forgotten again.
#[test]
fn forgotten_catalogs_stay_forgotten_unless_the_database_is_older() {
    let (folder, old) = (quick_folder(), quick_folder());
    let index = open(folder.path());
    index.add(model(&[&[1, 5, 9]]).batches[0].clone()).expect("good catalogs");
    copy_folder(folder.path(), old.path());
    let present = BTreeSet::from([1, 9].map(object_id));
    index.retain_catalogs(&present);
    for index in [&index, &open(folder.path())] {
        assert_eq!(index.loaded_catalogs(), model_names(&[1, 9]));
        assert_agrees(index, &model(&[&[1, 9]]), SHAPE.ids);
        assert!(!index.damage_seen());
    }
    // It is not loaded any more: it may be added again, and then counts once.
    index.add(vec![catalog(5, SHAPE)]).expect("good catalogs");
    assert_agrees(&open(folder.path()), &model(&[&[1, 9], &[5]]), SHAPE.ids);
    copy_folder(old.path(), folder.path());
    let rolled_back = open(folder.path());
    assert_eq!(rolled_back.loaded_catalogs(), model_names(&[1, 5, 9]));
    rolled_back.retain_catalogs(&present);
    assert_agrees(&rolled_back, &model(&[&[1, 9]]), SHAPE.ids);
}

#[test]
fn most_of_a_segment_forgotten_it_is_written_anew() {
    let folder = quick_folder();
    let index = open(folder.path());
    index.add(model(&[&[1, 5, 9]]).batches[0].clone()).expect("good catalogs");
    let len = |folder: &std::path::Path| std::fs::metadata(&segment_files(folder)[0]).expect("a segment").len();
    let before = len(folder.path());
    index.merge();
    assert_eq!(len(folder.path()), before);
    index.retain_catalogs(&BTreeSet::from([object_id(9)]));
    assert_eq!(index.catalogs_listing(&index.packs().into_iter().map(|(pack, _)| pack).collect()).len(), 1);
    index.merge();
    assert!(len(folder.path()) < before && index.segment_count() == 1);
    for index in [&index, &open(folder.path())] {
        assert_agrees(index, &model(&[&[9]]), SHAPE.ids);
    }
    index.retain_catalogs(&BTreeSet::new());
    assert_eq!(segment_files(folder.path()).len(), 0);
}

/// Marks are bits of segments: whoever concludes from them must hear that a segment was merged or has forgotten.
#[test]
fn marks_are_not_current_after_a_merge_or_a_loss() {
    let (folder, _) = four_segments();
    let merging = open(folder.path());
    let marks = |index: &Index| {
        let mut set = vellum_index::CopySet::default();
        index.for_each_chunk(|_, location| assert!(set.insert(location))).expect("no damage");
        set
    };
    let before = marks(&merging);
    assert!(before.is_current(&merging));
    merging.merge();
    assert!(!before.is_current(&merging));
    let after = marks(&merging);
    merging.merge();
    assert!(after.is_current(&merging), "there was nothing to merge");
    merging.retain_catalogs(&BTreeSet::from([1, 2, 4].map(object_id)));
    assert!(!after.is_current(&merging));
}

#[test]
fn a_locked_folder_is_left_alone_after_a_second() {
    let folder = quick_folder();
    let model = model(&[&[1]]);
    open(folder.path()).add(model.batches[0].clone()).expect("good catalogs");
    let holder = redb::Database::create(folder.path().join("state.redb")).expect("a good database");
    let started = Instant::now();
    let index = open(folder.path());
    assert_eq!(index.persistence(), Persistence::Locked);
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(index.loaded_catalogs(), []);
    index.add(model.batches[0].clone()).expect("memory is enough");
    assert!(index.state_put("a", b"b").is_err());
    assert_agrees(&index, &model, SHAPE.ids);
    drop(holder);
    assert_eq!(open(folder.path()).loaded_catalogs().len(), 1);
}

#[test]
fn a_rolled_back_folder_knows_what_it_knew() {
    let (folder, old) = (quick_folder(), quick_folder());
    let before = model(&[&[1, 2], &[3]]);
    let index = open(folder.path());
    for batch in &before.batches {
        index.add(batch.clone()).expect("good catalogs");
    }
    index.state_put("cursor", b"old").expect("a writable folder");
    copy_folder(folder.path(), old.path());
    index.retain_catalogs(&BTreeSet::from([object_id(3)]));
    index.add(vec![catalog(4, SHAPE)]).expect("good catalogs");
    index.state_put("cursor", b"new").expect("a writable folder");
    copy_folder(old.path(), folder.path());
    let rolled_back = open(folder.path());
    assert_eq!(rolled_back.state_get("cursor").as_deref(), Some(&b"old"[..]));
    assert_agrees(&rolled_back, &before, SHAPE.ids);
    // The repository has catalogs 2 to 4 now: nothing of 1 may stay.
    let present: BTreeSet<_> = (2..5).map(object_id).collect();
    rolled_back.retain_catalogs(&present);
    assert_eq!(rolled_back.loaded_catalogs(), model_names(&[2, 3]));
    assert_agrees(&rolled_back, &model(&[&[2], &[3]]), SHAPE.ids);
}

#[test]
fn only_the_database_or_only_the_segments_rolled_back_is_no_worse() {
    let (folder, old) = (quick_folder(), quick_folder());
    let index = open(folder.path());
    index.add(vec![catalog(1, SHAPE)]).expect("good catalogs");
    copy_folder(folder.path(), old.path());
    index.add(vec![catalog(2, SHAPE)]).expect("good catalogs");
    std::fs::copy(old.path().join("state.redb"), folder.path().join("state.redb")).expect("a copy");
    assert_agrees(&open(folder.path()), &model(&[&[1]]), SHAPE.ids);
    open(folder.path()).add(vec![catalog(2, SHAPE)]).expect("good catalogs");
    for file in segment_files(folder.path()) {
        let before = old.path().join(file.strip_prefix(folder.path()).expect("a file of the folder"));
        if !before.exists() {
            std::fs::remove_file(file).expect("a file");
        }
    }
    let index = open(folder.path());
    assert_agrees(&index, &model(&[&[1]]), SHAPE.ids);
    assert!(index.damage_seen());
}

#[test]
fn what_a_killed_process_left_behind_is_removed() {
    let folder = quick_folder();
    open(folder.path()).add(vec![catalog(1, SHAPE)]).expect("good catalogs");
    for name in ["0.1.2.temporary", "00000000000000000000000000000000.segment"] {
        std::fs::write(folder.path().join("segments").join(name), "torn").expect("a writable folder");
    }
    assert_eq!(open(folder.path()).loaded_catalogs().len(), 1);
    assert_eq!(segment_files(folder.path()).len(), 1);
}

#[test]
fn a_catalog_that_no_decoder_returns_is_refused() {
    let folder = quick_folder();
    let index = open(folder.path());
    let (name, mut bad) = catalog(1, Shape { frames: 40, ..SHAPE });
    bad.packs[1].directory.wraps.clear();
    let added = index.add(vec![catalog(2, SHAPE), (name, bad)]);
    assert!(matches!(added, Err(IndexError::Inconsistent { catalog, .. }) if catalog == name));
    assert_eq!(index.loaded_catalogs(), []);
}
