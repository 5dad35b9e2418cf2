//! Damaged files: the index may know less, never anything else.

use crate::support::{
    KEY, Model, Random, Shape, assert_agrees, assert_never_wrong, catalog, open, quick_folder, segment_files,
};
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use vellum_format::ObjectId;
use vellum_index::{CopySet, Index, StateFolder};

const SHAPE: Shape = Shape { packs: 3, frames: 3, chunks: 12, ids: 60 };
const HEADER_LEN: usize = 4096;
const RECORD_LEN: usize = 64;
const PIECE_LEN: usize = 512;

/// A folder with two segments and a value, and what it holds.
fn filled() -> (tempfile::TempDir, Model) {
    filled_with(&[&[1, 2], &[3]])
}

/// The same with one segment, merged from four.
fn merged() -> (tempfile::TempDir, Model) {
    let (folder, model) = filled_with(&[&[1], &[2], &[3], &[4]]);
    open(folder.path()).merge();
    assert_eq!(segment_files(folder.path()).len(), 1);
    (folder, model)
}

fn filled_with(batches: &[&[u64]]) -> (tempfile::TempDir, Model) {
    let folder = quick_folder();
    let batches = batches.iter().map(|batch| batch.iter().map(|number| catalog(*number, SHAPE)).collect());
    let model = Model { batches: batches.collect(), ..Model::default() };
    let index = open(folder.path());
    for batch in &model.batches {
        index.add(batch.clone()).expect("good catalogs");
    }
    index.state_put("device", b"one").expect("a writable folder");
    (folder, model)
}

fn names(model: &Model) -> BTreeSet<ObjectId> {
    model.batches.iter().flatten().map(|(name, _)| *name).collect()
}

/// Opens a damaged folder, and shows that it is not wrong, heals when the catalogs are added again, and stays so.
fn assert_heals(folder: &Path, model: &Model) {
    let copies = model.copies();
    let index = open(folder);
    assert_never_wrong(&index, &copies, SHAPE.ids + 10);
    assert!(index.state_get("device").is_none_or(|value| value == b"one"));
    let again: BTreeSet<ObjectId> = index.drop_damaged().into_iter().collect();
    let loaded: BTreeSet<ObjectId> = index.loaded_catalogs().into_iter().collect();
    assert!(loaded.is_disjoint(&again));
    let missing: Vec<_> = model.batches.iter().flatten().filter(|(name, _)| !loaded.contains(name)).cloned().collect();
    index.add(missing).expect("good catalogs");
    assert_eq!(assert_never_wrong(&index, &copies, SHAPE.ids) > 0, !copies.is_empty());
    assert_eq!(open(folder).loaded_catalogs(), names(model).into_iter().collect::<Vec<_>>());
}

#[test]
fn a_flip_in_any_part_of_a_closed_segment_costs_a_reload() {
    for (folder, model) in [filled(), merged()] {
        flip_and_cut_each_file(folder.path(), &model);
    }
}

fn flip_and_cut_each_file(folder: &Path, model: &Model) {
    let mut random = Random(1);
    for file in segment_files(folder) {
        let good = std::fs::read(&file).expect("a segment");
        for (number, piece) in good.chunks(PIECE_LEN).enumerate() {
            let mut bad = good.clone();
            bad[number * PIECE_LEN + random.place(piece.len())] ^= 1 << random.below(8);
            std::fs::write(&file, &bad).expect("a writable file");
            assert_heals(folder, model);
        }
        for len in [0, 1, HEADER_LEN, good.len() / 2, good.len() - 1, good.len() + 1] {
            let mut bad = good.clone();
            bad.resize(len, 0);
            std::fs::write(&file, &bad).expect("a writable file");
            assert_heals(folder, model);
        }
    }
}

#[test]
fn swapped_segments_and_records_do_not_verify() {
    let (folder, model) = filled();
    let files = segment_files(folder.path());
    let (one, two) = (std::fs::read(&files[0]).expect("a segment"), std::fs::read(&files[1]).expect("a segment"));
    std::fs::write(&files[0], &two).expect("a writable file");
    std::fs::write(&files[1], &one).expect("a writable file");
    assert_eq!(open(folder.path()).loaded_catalogs(), []);
    assert_heals(folder.path(), &model);
    // A record of the same number from another segment, and two records of one segment in each other's place.
    let record = HEADER_LEN..HEADER_LEN + RECORD_LEN;
    let next = record.end..record.end + RECORD_LEN;
    let from_two = [&one[..record.start], &two[record.clone()], &one[record.end..]].concat();
    let exchanged = [&one[..record.start], &one[next.clone()], &one[record], &one[next.end..]].concat();
    for mixed in [from_two, exchanged] {
        let (folder, model) = filled();
        std::fs::write(&segment_files(folder.path())[0], mixed).expect("a writable file");
        let index = open(folder.path());
        assert_never_wrong(&index, &model.copies(), SHAPE.ids);
        assert!(index.damage_seen());
        assert_heals(folder.path(), &model);
    }
}

#[test]
fn a_flip_or_cut_while_in_use_is_noticed_by_who_asks() {
    for (cut, (folder, model)) in [(false, filled()), (true, filled()), (false, merged()), (true, merged())] {
        let copies = model.copies();
        let index = open(folder.path());
        assert_agrees(&index, &model, SHAPE.ids);
        for path in segment_files(folder.path()) {
            let file = OpenOptions::new().write(true).open(&path).expect("a writable file");
            if cut {
                file.set_len(HEADER_LEN as u64 + 5).expect("a writable file");
            } else {
                file.write_all_at(&[0xA5; HEADER_LEN], HEADER_LEN as u64).expect("a writable file");
            }
        }
        assert_eq!(assert_never_wrong(&index, &copies, SHAPE.ids), 0);
        assert!(index.damage_seen());
        assert!(index.for_each_chunk(|_, _| ()).is_err() && index.pack_uses(&CopySet::default()).is_err());
        assert_eq!(index.loaded_catalogs(), []);
        assert_eq!(index.drop_damaged(), names(&model).into_iter().collect::<Vec<_>>());
        assert_eq!(segment_files(folder.path()).len(), 0);
        for batch in &model.batches {
            index.add(batch.clone()).expect("good catalogs");
        }
        assert_agrees(&index, &model, SHAPE.ids);
        assert!(index.persistent() && index.damage_seen());
    }
}

/// Whatever record of whatever source is damaged, the merge is given up, and what the source knew is lost alone.
#[test]
fn a_merge_of_a_damaged_segment_is_given_up() {
    let mut random = Random(4);
    for _ in 0..12 {
        let (folder, model) = filled_with(&[&[1], &[2], &[3], &[4]]);
        let index = open(folder.path());
        let path = &segment_files(folder.path())[random.place(4)];
        let file = OpenOptions::new().write(true).open(path).expect("a writable file");
        let records = u64::from_le_bytes(std::fs::read(path).expect("a segment")[44..52].try_into().expect("8 bytes"));
        let damaged = HEADER_LEN as u64 + random.next() % records * RECORD_LEN as u64;
        file.write_all_at(&[0xA5; RECORD_LEN], damaged).expect("a writable file");
        index.merge();
        assert_eq!((index.segment_count(), segment_files(folder.path()).len()), (4, 4), "nothing is left of the merge");
        assert!(index.damage_seen() && index.persistent());
        let lost = index.drop_damaged();
        assert_eq!(lost.len(), 1);
        let missing = model.batches.iter().filter(|batch| lost.contains(&batch[0].0));
        missing.for_each(|batch| index.add(batch.clone()).expect("good catalogs"));
        index.merge();
        assert_eq!((index.segment_count(), segment_files(folder.path()).len()), (1, 1));
        assert_eq!(index.loaded_catalogs(), names(&model).into_iter().collect::<Vec<_>>());
        assert!(assert_never_wrong(&index, &model.copies(), SHAPE.ids) > 0);
    }
}

#[test]
fn a_damaged_frame_record_leaves_the_place_true_and_asks_for_a_reload() {
    let folder = quick_folder();
    let model = Model { batches: vec![vec![catalog(1, SHAPE), catalog(2, SHAPE)]], ..Model::default() };
    let index = open(folder.path());
    index.add(model.batches[0].clone()).expect("good catalogs");
    let file = OpenOptions::new().write(true).open(&segment_files(folder.path())[0]).expect("a writable file");
    let frames_at = HEADER_LEN as u64 + index.chunk_count() * RECORD_LEN as u64;
    file.write_all_at(&[0xA5; RECORD_LEN], frames_at).expect("a writable file");
    assert!(assert_never_wrong(&index, &model.copies(), SHAPE.ids) > 0);
    assert!(index.pack_uses(&CopySet::default()).is_err(), "frames count too");
    assert!(index.for_each_frame(|_, _| ()).is_err() && index.for_each_chunk(|_, _| ()).is_err());
    assert_eq!(index.drop_damaged().len(), 2);
}

#[test]
fn garbage_in_place_of_any_file_costs_a_reload() {
    let (folder, model) = filled();
    let mut random = Random(2);
    for _ in 0..20 {
        for file in segment_files(folder.path()).iter().chain([&folder.path().join("state.redb")]) {
            let garbage: Vec<u8> = (0..random.below(20_000)).map(|_| random.byte()).collect();
            std::fs::write(file, garbage).expect("a writable file");
        }
        assert_heals(folder.path(), &model);
    }
}

#[test]
fn flips_and_cuts_of_the_database_cost_a_reload() {
    let (folder, model) = filled();
    let copies = model.copies();
    let copy = quick_folder();
    let good = std::fs::read(folder.path().join("state.redb")).expect("the database");
    let mut random = Random(3);
    for round in 0..400 {
        crate::support::copy_folder(folder.path(), copy.path());
        let mut bad = good.clone();
        if round % 4 == 0 {
            bad.truncate(random.place(bad.len()));
        } else {
            let at = random.place(bad.len());
            bad[at] ^= 1 << random.below(8);
        }
        std::fs::write(copy.path().join("state.redb"), bad).expect("a writable file");
        let index = Index::open(&StateFolder::At(copy.path().to_owned()), &KEY);
        assert!(index.persistent());
        assert_never_wrong(&index, &copies, SHAPE.ids);
        assert!(index.state_get("device").is_none_or(|value| value == b"one"));
    }
}
