//! Healing on read: bad sectors and flipped bits within the guarantee cost nothing, what is beyond it costs what lies
//! there, and the next backup stores that again.
//!
//! P4: any 4 damaged shards of a pack with parity are healed. I20: what cannot be read does not count as stored.

use crate::support::{self, Versions, stored_tree, threads, try_backup, try_check};
use std::sync::Arc;
use vellum::format::content::{ChunkKind, ChunkRef};
use vellum::format::parity::{Parity, ParityLayout};
use vellum::format::tree::Node;
use vellum::format::{ObjectId, ObjectKind, ObjectName};
use vellum::storage::{MemoryStorage, Storage};
use vellum::{CheckOptions, FrameCache, KeyFile, LocalState, Repository, SnapshotRef, TreeWalk};
use vellum_testkit::trees::{TreeOptions, assert_same_tree};
use vellum_testkit::{BadSectors, Operation, Random, RecordingStorage};

/// A repository with one snapshot of some hundred kilobytes, on a disk that may lose sectors.
struct Scene {
    key: KeyFile,
    versions: Versions,
    disk: Arc<BadSectors<MemoryStorage>>,
    snapshot: ObjectId,
    state: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        Self::with(Parity::ReedSolomon)
    }

    fn with(parity: Parity) -> Self {
        Self::of(parity, Versions::prepare(31, 2, TreeOptions { file_count: 30, len_bytes_max: 60_000 }))
    }

    fn of(parity: Parity, versions: Versions) -> Self {
        let key = KeyFile::generate().expect("randomness");
        let disk = Arc::new(BadSectors::new(MemoryStorage::new()));
        let storage: Arc<dyn Storage> = Arc::<BadSectors<_>>::clone(&disk);
        let mut options = support::small_packs();
        options.parity = parity;
        let repository = support::create_with(storage, &key, &LocalState::None, &options);
        let snapshot = try_backup(&repository, versions.path(0), &threads(1)).expect("a backup");
        Self { key, versions, disk, snapshot, state: tempfile::tempdir().expect("a scratch folder") }
    }

    fn open(&self) -> Repository {
        self.open_with(&LocalState::None)
    }

    fn open_with(&self, state: &LocalState) -> Repository {
        support::open(Arc::<BadSectors<_>>::clone(&self.disk), &self.key, state)
    }

    fn state(&self) -> LocalState {
        LocalState::At(self.state.path().to_owned())
    }

    fn packs(&self) -> Vec<ObjectName> {
        let mut packs = Vec::new();
        self.disk.list(ObjectKind::Pack, &mut |object| packs.push(object)).expect("memory");
        packs.sort_by_key(|object| (object.len_bytes, object.name));
        packs.into_iter().map(|object| object.name).collect()
    }

    /// The largest: it holds the data of most files.
    fn data_pack(&self) -> ObjectName {
        *self.packs().last().expect("a pack")
    }

    /// Changes what is stored of an object.
    fn change(&self, name: &ObjectName, change: impl FnOnce(&mut Vec<u8>)) {
        support::change(self.disk.inner(), name, change);
    }

    fn layout(&self, pack: &ObjectName) -> ParityLayout {
        let header = self.disk.inner().get_range(pack, 64..72).expect("a pack of the scene");
        ParityLayout::of_body(u64::from_le_bytes(header.try_into().expect("eight bytes")))
    }

    /// Spoils so many data shards, a byte in each.
    fn flip_shards(&self, pack: &ObjectName, count: u64) {
        let layout = self.layout(pack);
        assert!(layout.data_shards() >= count, "a pack with so many shards");
        self.change(pack, |bytes| {
            for number in 0..count {
                let shard = layout.shard(number * (layout.data_shards() / count));
                bytes[usize::try_from((shard.start + shard.end) / 2).expect("small")] ^= 1;
            }
        });
    }

    /// A repository that counts what is read of it, on a storage of its own.
    fn open_counted(&self) -> (Repository, Arc<RecordingStorage<MemoryStorage>>) {
        let storage = Arc::new(RecordingStorage::new(self.disk.inner().clone()));
        let repository = support::open(Arc::<RecordingStorage<_>>::clone(&storage), &self.key, &LocalState::None);
        repository.refresh().expect("memory");
        (repository, storage)
    }

    /// Chunks of files, each the first in another frame of the largest pack.
    fn chunks(&self, repository: &Repository) -> Vec<ChunkRef> {
        let root = support::snapshot(repository, self.snapshot).manifest.root.content().expect("a snapshot");
        let cache = FrameCache::new(4);
        let files = TreeWalk::new(repository, &cache, &root).filter_map(|step| match step.ok()?.entry.node {
            Node::File { content, .. } if content.depth == 0 => Some(content.chunks),
            _ => None,
        });
        let mut chunks: Vec<ChunkRef> = files.flatten().collect();
        let place = |chunk: &ChunkRef| repository.locate(chunk).expect("a chunk that is stored");
        chunks.retain(|chunk| repository.pack_of(place(chunk).frame) == Some(self.data_pack()));
        chunks.sort_by_key(|chunk| place(chunk).frame);
        chunks.dedup_by_key(|chunk| place(chunk).frame);
        chunks
    }

    fn assert_restores(&self, repository: &Repository, healed: &[ObjectName]) {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let (source, target) = (self.versions.path(0), folder.path().join("target"));
        let reference = SnapshotRef::Id(self.snapshot.to_string());
        let report = support::restore(repository, &reference, source, &target);
        assert!(report.problems.is_empty(), "{:?}", report.problems);
        assert_same_tree(source, &target);
        assert_eq!(report.healed, healed, "what was healed is told");
    }

    /// Damage that costs nothing: it is told as damage of these packs and of nothing else.
    fn assert_healable(&self, packs: &[ObjectName]) {
        let report = try_check(&self.open(), &threads(2)).expect("a check");
        assert_eq!(report.packs_healable, packs.len() as u64, "{:?}", report.findings);
        for pack in packs {
            let found: Vec<_> = report.findings.iter().filter(|finding| finding.object == Some(*pack)).collect();
            assert!(found.iter().any(|finding| finding.reason.contains("its parity can heal it")), "{found:?}");
        }
        let others = report.findings.iter().filter(|one| !one.object.is_some_and(|object| packs.contains(&object)));
        assert_eq!(others.count(), 0, "healable damage costs no file: {:?}", report.findings);
    }
}

#[test]
fn flipped_bits_in_four_shards_of_every_pack_cost_nothing() {
    let scene = Scene::new();
    let packs = scene.packs();
    assert!(packs.len() >= 2, "data and trees");
    for pack in &packs {
        scene.flip_shards(pack, 4.min(scene.layout(pack).data_shards()));
    }
    let mut sorted = packs.clone();
    sorted.sort();
    let repository = scene.open();
    scene.assert_restores(&repository, &sorted);
    scene.assert_healable(&packs);
}

#[test]
fn sectors_that_cannot_be_read_cost_nothing() {
    let scene = Scene::new();
    let pack = scene.data_pack();
    let sectors = scene.disk.len(&pack).expect("a pack") / 4096;
    let mut random = Random::new(5);
    for _ in 0..4 {
        scene.disk.spoil(&pack, random.next() % sectors);
    }
    scene.assert_restores(&scene.open(), &[pack]);
    scene.assert_healable(&[pack]);
}

#[test]
fn a_pack_that_was_cut_short_or_grew_costs_nothing() {
    let cut: fn(&mut Vec<u8>) = |bytes| bytes.truncate(bytes.len() - 9_000);
    let grow: fn(&mut Vec<u8>) = |bytes| bytes.extend_from_slice(&[7; 99]);
    for harm in [cut, grow] {
        let scene = Scene::new();
        let pack = scene.data_pack();
        scene.change(&pack, harm);
        // Its body is whole, so nothing had to be healed.
        scene.assert_restores(&scene.open(), &[]);
        scene.assert_healable(&[pack]);
    }
}

/// A plain check reads trees only, and tells what it met there.
#[test]
fn a_plain_check_tells_what_it_had_to_heal() {
    let scene = Scene::new();
    let trees = scene.packs()[0];
    let end = scene.layout(&trees).body_len_bytes();
    scene.change(&trees, |bytes| bytes[100] ^= 1);
    let report = vellum::check(&scene.open(), &CheckOptions::default(), &threads(1)).expect("a check");
    assert!(end > 4096 && report.findings.iter().any(|one| one.object == Some(trees)), "{:?}", report.findings);
    assert!(report.findings.iter().all(|finding| finding.path.is_none()), "it costs nothing: {:?}", report.findings);
}

#[test]
fn what_is_beyond_parity_costs_what_lies_there_and_the_next_backup_stores_it_again() {
    for parity in [Parity::ReedSolomon, Parity::None] {
        let scene = Scene::with(parity);
        let pack = scene.data_pack();
        match parity {
            Parity::ReedSolomon => scene.flip_shards(&pack, 5),
            Parity::None => scene.change(&pack, |bytes| bytes[200] ^= 1),
        }
        let repository = scene.open_with(&scene.state());
        repository.refresh().expect("memory");
        let source = scene.versions.path(0);
        let tree = stored_tree(&repository, &support::snapshot(&repository, scene.snapshot), source);
        let tree = tree.expect("trees are undamaged");
        assert!(!tree.problems.is_empty(), "something is lost");
        assert!(tree.manifest.len() > 1, "and not everything");
        assert_eq!(repository.healed_packs(), [], "nothing was healed");
        drop(repository);

        // Another run of the program knows what the one before could not read.
        let repository = scene.open_with(&scene.state());
        let id = try_backup(&repository, source, &threads(1)).expect("a backup");
        drop(repository);
        let repository = scene.open();
        repository.refresh().expect("memory");
        support::assert_holds(&repository, id, source, scene.versions.manifest(0));
        // And the old snapshot is whole again, because the chunks are.
        support::assert_holds(&repository, scene.snapshot, source, scene.versions.manifest(0));
    }
}

/// One lost frame fails a file; what else of it is lost has to be stored again as well.
#[test]
fn all_that_a_restore_met_of_a_lost_file_is_stored_again() {
    for workers in [1, 4] {
        let scene = Scene::of(Parity::None, Versions::of_files(&[&[("large", 700_000, 1)]]));
        // Ten frames, and room behind them.
        scene.change(&scene.data_pack(), |bytes| (5_000..700_000).step_by(20_000).for_each(|at| bytes[at] ^= 1));
        let (source, target) = (scene.versions.path(0), tempfile::tempdir().expect("a scratch folder"));
        let repository = scene.open_with(&scene.state());
        let report = vellum::restore(
            &repository,
            &SnapshotRef::Latest(0),
            target.path(),
            &vellum::RestoreOptions::default(),
            &threads(workers),
        );
        assert_eq!(report.expect("a restore").problem_count, 1, "the file is lost");
        drop(repository);
        let id = try_backup(&scene.open_with(&scene.state()), source, &threads(1)).expect("a backup");
        let repository = scene.open();
        repository.refresh().expect("memory");
        support::assert_holds(&repository, id, source, scene.versions.manifest(0));
    }
}

#[test]
fn what_a_check_finds_lost_is_stored_again() {
    let scene = Scene::new();
    let pack = scene.data_pack();
    scene.flip_shards(&pack, 6);
    let report = try_check(&scene.open_with(&scene.state()), &threads(1)).expect("a check");
    let told = report.findings.iter().any(|one| one.object == Some(pack) && one.reason.contains("6 of its"));
    assert!(told, "how much is damaged is told: {:?}", report.findings);
    assert!(report.findings.iter().any(|one| one.path.is_some()), "what it costs is told");
    assert_eq!(report.packs_healable, 0);
    let source = scene.versions.path(0);
    let id = try_backup(&scene.open_with(&scene.state()), source, &threads(1)).expect("a backup");
    let repository = scene.open();
    repository.refresh().expect("memory");
    support::assert_holds(&repository, id, source, scene.versions.manifest(0));
}

#[test]
fn what_became_whole_again_counts_again() {
    let scene = Scene::with(Parity::None);
    let pack = scene.data_pack();
    scene.change(&pack, |bytes| bytes[200] ^= 1);
    try_check(&scene.open_with(&scene.state()), &threads(1)).expect("a check");
    scene.change(&pack, |bytes| bytes[200] ^= 1);
    let report = try_check(&scene.open_with(&scene.state()), &threads(1)).expect("a check");
    assert_eq!(report.findings, [], "the disk gives it again");
    let before = scene.packs();
    try_backup(&scene.open_with(&scene.state()), scene.versions.path(0), &threads(1)).expect("a backup");
    let new = scene.packs().len() - before.len();
    assert!(new <= 1, "no data is stored twice: {new} new packs");
}

#[test]
fn a_frame_that_was_marked_counts_again_when_it_or_its_pack_was_read() {
    let scene = Scene::new();
    let (repository, _) = scene.open_counted();
    let chunk = &scene.chunks(&repository)[0];
    let frame = repository.locate(chunk).expect("it is stored").frame;
    let read_frame = || drop(repository.read_chunk(&FrameCache::new(1), ChunkKind::Data, chunk).expect("a chunk"));
    let read_pack = || assert!(repository.verify_pack_name(scene.data_pack().id).is_ok());
    for read in [&read_frame as &dyn Fn(), &read_pack] {
        assert!(repository.contains(chunk));
        repository.mark_damaged([frame]);
        assert!(!repository.contains(chunk), "the next backup stores it again (I20)");
        read();
    }
    assert!(repository.contains(chunk));
}

#[test]
fn frames_and_packs_are_read_as_often_as_that_may_help() {
    let scene = Scene::new();
    let (repository, storage) = scene.open_counted();
    let (chunks, pack) = (scene.chunks(&repository), scene.data_pack());
    let reads_of = |act: &mut dyn FnMut()| {
        storage.clear();
        act();
        [Operation::GetRange, Operation::Get].map(|operation| storage.count_of(operation, ObjectKind::Pack))
    };
    let read = |cache: &FrameCache, chunk| repository.read_chunk(cache, ChunkKind::Data, chunk);
    let cache = FrameCache::new(2);
    let order = [0, 1, 0, 1, 2, 1, 0];
    let reads = reads_of(&mut || order.iter().for_each(|at| drop(read(&cache, &chunks[*at]).expect("a chunk"))));
    assert_eq!(reads, [4, 0], "of two frames both are kept, of three those that were asked for last");

    let strict = || drop(read(&FrameCache::strict(1), &chunks[0]).expect_err("damaged or missing"));
    let bytes = support::bytes_of(&*storage, &pack);
    storage.inner().delete(&pack).expect("memory");
    let missing = reads_of(&mut || strict());
    storage.inner().put(&pack, &bytes).expect("memory");
    assert!(repository.contains(&chunks[0]), "a pack that is missing is not damaged");
    support::change(storage.inner(), &pack, |bytes| bytes.fill(0));
    let damaged = reads_of(&mut || strict());
    assert_eq!(damaged[0], 2 * missing[0], "what came wrong is read once more, what is not there is not");

    support::change(storage.inner(), &pack, |stored| {
        stored.clone_from(&bytes);
        stored[100] ^= 1;
    });
    let repository = support::open(Arc::<RecordingStorage<_>>::clone(&storage), &scene.key, &LocalState::None);
    let healed = reads_of(&mut || assert!((0..2).all(|_| repository.healed_pack(pack.id).is_ok())));
    assert_eq!(healed, [0, 1], "a pack that was just healed is at hand");
}
