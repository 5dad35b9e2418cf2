//! The index against a plain model, through random histories.

use crate::support::{Model, Shape, assert_agrees, catalog, object_id, open, quick_folder};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use vellum_format::{ChunkId, ObjectId};
use vellum_index::{CopySet, FrameInfo, Index, Location, PackUse, StateFolder};

const SHAPE: Shape = Shape { packs: 4, frames: 4, chunks: 40, ids: 400 };

#[derive(Debug, Clone)]
enum Step {
    Add(Vec<u64>),
    Reopen,
    Forget(u64),
    Absent(Vec<prop::sample::Index>),
    Merge,
    DeleteFolder,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => proptest::collection::vec(0..30u64, 0..4).prop_map(Step::Add),
        2 => Just(Step::Reopen),
        3 => (0..30u64).prop_map(Step::Forget),
        2 => Just(Step::Merge),
        2 => proptest::collection::vec(any::<prop::sample::Index>(), 0..3).prop_map(Step::Absent),
        1 => Just(Step::DeleteFolder),
    ]
}

/// An index and what it should know.
struct Pair {
    folder: tempfile::TempDir,
    at: StateFolder,
    index: Index,
    model: Model,
}

impl Pair {
    fn new(in_memory: bool) -> Self {
        let folder = quick_folder();
        let at = if in_memory { StateFolder::None } else { StateFolder::At(folder.path().join("state")) };
        let index = Index::open(&at, &[1; 32]);
        Self { folder, at, index, model: Model::default() }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Add(numbers) => self.add(numbers),
            Step::Reopen => self.reopen(),
            Step::Forget(number) => self.forget(*number),
            Step::Absent(packs) => self.absent(packs),
            Step::Merge => self.index.merge(),
            Step::DeleteFolder if self.at != StateFolder::None => {
                std::fs::remove_dir_all(self.folder.path().join("state")).expect("the folder is there");
                self.model = Model::default();
                self.reopen();
            }
            Step::DeleteFolder => {}
        }
    }

    fn add(&mut self, numbers: &[u64]) {
        let catalogs: Vec<_> = numbers.iter().map(|number| catalog(*number, SHAPE)).collect();
        self.index.add(catalogs.clone()).expect("catalogs as a decoder gives them");
        let mut loaded: BTreeSet<ObjectId> = self.model.batches.iter().flatten().map(|(name, _)| *name).collect();
        let new: Vec<_> = catalogs.into_iter().filter(|(name, _)| loaded.insert(*name)).collect();
        self.model.batches.extend((!new.is_empty()).then_some(new));
    }

    fn reopen(&mut self) {
        if self.at == StateFolder::None {
            self.model = Model::default();
        }
        self.model.absent.clear();
        self.index = Index::open(&self.at, &[1; 32]);
    }

    fn forget(&mut self, number: u64) {
        let (gone, _) = catalog(number, SHAPE);
        let present: BTreeSet<ObjectId> =
            self.index.loaded_catalogs().into_iter().filter(|name| *name != gone).collect();
        self.index.retain_catalogs(&present);
        for batch in &mut self.model.batches {
            let lost = batch.extract_if(.., |(name, _)| *name == gone);
            self.model.moving.extend(lost.flat_map(|(_, catalog)| catalog.packs).map(|pack| pack.pack));
        }
        self.model.batches.retain(|batch| !batch.is_empty());
    }

    fn absent(&mut self, packs: &[prop::sample::Index]) {
        let known = self.index.packs();
        let packs = packs.iter().filter(|_| !known.is_empty()).map(|pack| pack.get(&known).0);
        self.model.absent = packs.collect();
        self.index.set_absent_packs(self.model.absent.clone());
    }

    fn compare(&self) {
        assert_agrees(&self.index, &self.model, SHAPE.ids + 10);
        let names: BTreeSet<ObjectId> = self.model.batches.iter().flatten().map(|(name, _)| *name).collect();
        assert_eq!(self.index.loaded_catalogs(), names.into_iter().collect::<Vec<_>>());
        self.compare_all();
    }

    /// Compares what iterates over everything, where absent packs count.
    fn compare_all(&self) {
        let model = Model { absent: BTreeSet::new(), ..self.model.clone() };
        let copies = model.copies();
        let mut expected: Vec<ChunkId> = copies.iter().flat_map(|(id, copies)| vec![*id; copies.len()]).collect();
        let mut visited = Vec::new();
        self.index.for_each_chunk(|id, _| visited.push(*id)).expect("no damage");
        visited.sort_unstable();
        expected.sort_unstable();
        assert_eq!(visited, expected);
        assert_eq!(self.index.chunk_count(), expected.len() as u64);
        let mut chunks_in_frames = 0;
        self.index
            .for_each_frame(|frame, info| {
                assert_eq!(self.index.frame(frame).as_ref(), Some(info));
                chunks_in_frames += u64::from(info.chunk_count);
            })
            .expect("no damage");
        assert_eq!(chunks_in_frames, expected.len() as u64);
        self.compare_uses();
    }

    /// Compares what is counted of each pack with what is visited, every third copy being in a set.
    fn compare_uses(&self) {
        let (mut set, mut number) = (CopySet::default(), 0);
        let mut expected: BTreeMap<ObjectId, PackUse> = self.index.packs().into_iter().map(unused).collect();
        let visit = |_: &ChunkId, location: &Location| {
            let one = expected.get_mut(&location.pack).expect("a known pack");
            one.plain_bytes += u64::from(location.len_bytes);
            number += 1;
            if number % 3 == 0 {
                assert!(set.insert(location) && set.contains(location));
                one.used_bytes += u64::from(location.len_bytes);
                one.used_chunks += 1;
            }
        };
        self.index.for_each_chunk(visit).expect("no damage");
        let visit = |_, info: &FrameInfo| {
            let one = expected.get_mut(&info.pack).expect("a known pack");
            one.frames_bytes += u64::from(info.stored_len_bytes);
            one.kind = Some(info.kind);
        };
        self.index.for_each_frame(visit).expect("no damage");
        let mut uses = self.index.pack_uses(&set).expect("no damage");
        uses.sort_unstable_by_key(|one| one.pack);
        assert_eq!(uses, expected.into_values().collect::<Vec<_>>());
    }
}

/// A pack of which nothing is counted.
fn unused((pack, len_bytes): (ObjectId, u64)) -> (ObjectId, PackUse) {
    let (plain_bytes, used_bytes, used_chunks, frames_bytes, kind) = (0, 0, 0, 0, None);
    (pack, PackUse { pack, len_bytes, plain_bytes, used_bytes, used_chunks, frames_bytes, kind })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn any_history_agrees_with_the_model(in_memory in any::<bool>(), steps in proptest::collection::vec(step(), 1..24)) {
        let mut pair = Pair::new(in_memory);
        for step in &steps {
            pair.take(step);
        }
        pair.compare();
    }
}

/// Segments that were merged again and again, with catalogs lost in between, on disk and in memory.
#[test]
fn merges_of_merges_agree_with_the_model() {
    for in_memory in [false, true] {
        let mut pair = Pair::new(in_memory);
        for number in 0..40 {
            pair.take(&Step::Add(vec![number, number / 2]));
            if number % 5 == 4 {
                pair.take(&Step::Forget(number - 3));
            }
            pair.take(&Step::Merge);
            assert!(pair.index.segment_count() <= 8, "{}", pair.index.segment_count());
            if number % 8 == 0 {
                pair.compare();
            }
        }
        pair.compare();
    }
}

#[test]
fn a_hundred_thousand_entries_agree() {
    let shape = Shape { packs: 40, frames: 40, chunks: 40, ids: 60_000 };
    let folder = quick_folder();
    let mut model = Model::default();
    for batch in [0..3u64, 3..4, 4..7] {
        model.batches.push(batch.map(|number| catalog(number, shape)).collect());
        open(folder.path()).add(model.batches.last().expect("just pushed").clone()).expect("good catalogs");
    }
    let index = open(folder.path());
    assert!(index.chunk_count() > 90_000, "{}", index.chunk_count());
    assert_agrees(&index, &model, shape.ids + 40_000);
}

/// Catalogs that list the same packs are added while somebody marks: what he has marked before counts as much.
#[test]
fn a_copy_in_a_set_counts_whichever_catalog_lists_its_pack() {
    let (name, catalog) = catalog(7, SHAPE);
    let index = Index::open(&StateFolder::None, &[1; 32]);
    index.add(vec![(name, catalog.clone())]).expect("a good catalog");
    let mut set = CopySet::default();
    let insert_all = |set: &mut CopySet| index.for_each_chunk(|_, location| assert!(set.insert(location)));
    insert_all(&mut set).expect("no damage");
    let uses = |set: &CopySet| {
        let mut uses = index.pack_uses(set).expect("no damage");
        uses.sort_unstable_by_key(|one| one.pack);
        uses
    };
    let before = uses(&set);
    assert!(before.iter().all(|one| one.used_bytes == one.plain_bytes && one.used_chunks > 0));
    index.add(vec![(object_id(1000), catalog)]).expect("a good catalog");
    assert_eq!(index.segment_count(), 2);
    assert_eq!(uses(&set), before);
    insert_all(&mut set).expect("no damage");
    let twice = |one: PackUse| PackUse { used_chunks: 2 * one.used_chunks, ..one };
    assert_eq!(uses(&set), before.into_iter().map(twice).collect::<Vec<_>>(), "never more bytes than a pack holds");
}

/// Frames that are known to be damaged are not relied on, and still found by whoever reads.
#[test]
fn what_is_damaged_is_read_from_and_not_relied_on() {
    let (name, catalog) = catalog(7, SHAPE);
    let index = Index::open(&StateFolder::None, &[1; 32]);
    index.add(vec![(name, catalog.clone())]).expect("a good catalog");
    let damaged = &catalog.packs[1];
    let (bad, good) = (&damaged.directory.frames[1], &damaged.directory.frames[0]);
    index.change_damaged_frames(|frames| frames.extend([(damaged.pack, [bad.offset].into())]));
    assert!(index.is_damaged(&damaged.pack, bad.offset) && !index.is_damaged(&damaged.pack, good.offset));
    let (mut hidden, mut checked) = (0, 0);
    for chunk in bad.chunks.iter().chain(&good.chunks) {
        let all = index.all_locations(&chunk.id);
        let is_bad = |place: &Location| {
            let info = index.frame(place.frame).expect("an undamaged segment");
            (info.pack, info.offset) == (damaged.pack, bad.offset)
        };
        assert_eq!(index.lookup_reliable(&chunk.id), all.iter().find(|place| !is_bad(place)).copied());
        assert_eq!(index.lookup_staying(&chunk.id), all.first().copied());
        assert_eq!(index.lookup(&chunk.id), all.first().copied());
        let mut needed = CopySet::default();
        assert!(!index.needs_copy(&chunk.id, &needed), "nobody needs it");
        needed.insert(&all[0]);
        assert_eq!(index.needs_copy(&chunk.id, &needed), all.iter().all(is_bad));
        hidden += usize::from(all.iter().all(is_bad));
        checked += 1;
    }
    assert!(hidden > 0 && hidden < checked, "some chunks are nowhere else, some are");
    index.set_absent_packs([damaged.pack].into());
    assert!(bad.chunks.iter().all(|chunk| !index.locations_anywhere(&chunk.id).is_empty()), "also of absent packs");
}

#[test]
fn a_chunk_stored_a_thousand_times_is_found_in_its_last_usable_pack() {
    let shape = Shape { packs: 60, frames: 4, chunks: 40, ids: 1 };
    let (name, catalog) = catalog(5, shape);
    let index = Index::open(&StateFolder::None, &[1; 32]);
    let mut model = Model { batches: vec![vec![(name, catalog.clone())]], ..Model::default() };
    index.add(model.batches[0].clone()).expect("a good catalog");
    assert!(index.chunk_count() > 1000);
    let mut packs: Vec<ObjectId> = catalog.packs.iter().map(|pack| pack.pack).collect();
    while let Some(pack) = packs.pop() {
        assert_agrees(&index, &model, 2);
        model.absent.insert(pack);
        index.set_absent_packs(model.absent.clone());
    }
    assert_eq!(index.lookup(&crate::support::chunk_id(0)), None);
}

#[test]
fn an_index_is_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Index>();
}
