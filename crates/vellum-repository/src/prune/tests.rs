//! Steps of a prune, each looked at alone: what it chooses, foretells, hides, moves and looks at again.

use super::plan::MaxUnused;
use super::*;
use crate::LocalState;
use crate::pack_writer::CatalogMark;
use crate::support::{NOW, Watched, World, note, store};
use std::sync::{Arc, Mutex};
use vellum_format::{Bytes, ObjectName};
use vellum_storage::Storage as _;

/// Everything that may go goes at once, and what is partly needed is written anew.
pub(super) fn settings() -> PruneSettings<'static> {
    PruneSettings {
        note: note("pruner"),
        max_unused: MaxUnused::Percent(0.0),
        max_repack_bytes: u64::MAX,
        grace_seconds: 0,
        give_up_seconds: 1_000_000,
        threads: 1,
        fate: &|_| ProcessFate::Unknown,
    }
}

/// Marks chunks where they lie in one pack.
fn mark_in(repository: &Repository, pack: ObjectId, chunks: &[ChunkRef]) -> LiveSet {
    let mut live = LiveSet::default();
    for chunk in chunks {
        let copies = repository.index().all_locations(&repository.chunk_id(chunk));
        live.copies.insert(copies.iter().find(|copy| copy.pack == pack).expect("a copy in this pack"));
    }
    live
}

/// Plans with these chunks of a pack as all that is needed.
fn plan_for(
    repository: &Repository,
    settings: PruneSettings<'_>,
    pack: ObjectId,
    chunks: &[ChunkRef],
) -> (PrunePlan, PruneReport) {
    let mut prune = repository.begin_prune(settings).expect("memory");
    let live = mark_in(repository, pack, chunks);
    let plan = prune.plan(&live).expect("memory");
    prune.condemn(&plan, &live, &|_| {}).expect("memory");
    (plan, prune.report().clone())
}

#[test]
fn a_prune_marks_again_when_something_it_counts_on_has_changed_and_only_then() {
    let world = World::new();
    let (kept, chunks) = world.store(ChunkKind::Data, &[(1, 5000)]);
    world.store(ChunkKind::Data, &[(2, 5000)]);
    let repository = world.open();
    let mut prune = repository.begin_prune(settings()).unwrap();
    let live = mark_in(&repository, kept, &chunks);
    let plan = prune.plan(&live).unwrap();
    prune.condemn(&plan, &live, &|_| {}).unwrap();
    assert!(prune.outlast().unwrap());
    assert!(!prune.look_again().unwrap(), "what it has condemned itself is no change");
    world.storage.delete(&ObjectName::new(ObjectKind::Pack, kept)).unwrap();
    assert!(prune.look_again().unwrap(), "a pack with something needed is gone");
}

/// Many packs are condemned by several records, and several prunes may have condemned while a writer was running.
#[test]
fn a_writer_that_keeps_several_condemnations_waiting_is_given_up_once() {
    let world = World::new();
    let repository = world.open();
    let writer = OwnIntent::declare(&repository, Intent::BACKUP, &note("writer")).unwrap();
    for seed in 0..3 {
        let (pack, _) = world.store(ChunkKind::Data, &[(seed, 5000)]);
        let condemned = repository.condemn(&[pack].into(), NOW).unwrap();
        repository.record_outlast(condemned[0].0, &[writer.id()].into()).unwrap();
    }
    let mut prune = repository.begin_prune(PruneSettings { give_up_seconds: 0, ..settings() }).unwrap();
    assert!(prune.outlast().unwrap());
    assert_eq!((prune.report().writers_fenced, prune.due.len()), (1, 3));
    assert_eq!(repository.ids_of_either(ObjectKind::Fence).unwrap().len(), 1);
}

/// A copy in a pack that goes for being of no use is no reason not to move the other.
#[test]
fn what_is_needed_is_moved_though_a_copy_lies_in_another_pack_that_goes() {
    let world = World::new();
    // Neither writer knows of the other's copy.
    let (one, other) = (world.open(), world.open());
    let sessions = [&one, &other].map(|repository| repository.begin(&SessionOptions::default()).unwrap());
    let mut packs = Vec::new();
    let mut chunks = Vec::new();
    for (session, seeds) in sessions.into_iter().zip([&[1, 2][..], &[1]]) {
        let mut writer = session.frame_writer().unwrap();
        for seed in seeds {
            let bytes = vellum_testkit::Random::new(*seed).bytes(300_000);
            chunks.push(writer.put(ChunkKind::Data, &bytes).unwrap().chunk);
        }
        writer.flush().unwrap();
        drop(writer);
        packs.push(*session.seal().unwrap().written().first().unwrap());
    }
    let repository = world.open();
    let (plan, _) = plan_for(&repository, settings(), packs[0], &chunks[..1]);
    assert_eq!((plan.repack, plan.dead), ([packs[0]].into(), [packs[1]].into()));
    let fresh = world.open();
    fresh.heed_condemnations().unwrap();
    fresh.refresh().unwrap();
    assert!(fresh.index().lookup_staying(&fresh.chunk_id(&chunks[0])).is_some(), "it lies in a pack that stays");
}

/// P13, I2: local state that turns out damaged after the plan says of nothing that nobody needs it.
#[test]
fn nothing_is_condemned_by_what_a_damaged_index_forgot() {
    let world = World::new();
    let (pack, chunks) = world.store(ChunkKind::Data, &[(1, 300_000), (2, 300_000)]);
    let state = tempfile::tempdir().unwrap();
    let repository = world.open_on(world.storage.clone(), &LocalState::At(state.path().to_owned()));
    let mut prune = repository.begin_prune(settings()).unwrap();
    let live = mark_in(&repository, pack, &chunks[..1]);
    let plan = prune.plan(&live).unwrap();
    assert_eq!(plan.repack, [pack].into());
    let segments = state.path().join(repository.id().to_string()).join("segments");
    for segment in std::fs::read_dir(segments).unwrap() {
        let path = segment.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.iter_mut().for_each(|byte| *byte ^= 1);
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).unwrap();
    }
    let condemned = prune.condemn(&plan, &live, &|_| {});
    assert!(matches!(condemned, Err(RepositoryError::FrameForgotten)), "{condemned:?}");
    assert_eq!(world.open().names(ObjectKind::Condemned).unwrap().len(), 0);
}

/// I23: two writers that find the same pack in no catalog each list it in one of their own. A prune may load the second
/// between marking and planning, because it looked for something else; what it has marked by the first stays needed.
#[test]
fn what_is_marked_stays_needed_when_another_catalog_lists_its_pack_too() {
    for needed in [1, 2] {
        let world = World::new();
        let (pack, chunks) = world.store(ChunkKind::Data, &[(1, 300_000), (2, 300_000)]);
        let repository = world.open();
        let mut prune = repository.begin_prune(settings()).unwrap();
        let live = mark_in(&repository, pack, &chunks[..needed]);
        let catalog = repository.read_catalog(repository.catalogs()[0]).unwrap();
        let marks = catalog.packs.iter().map(|pack| (pack.pack, CatalogMark::of(pack))).collect();
        world.open().put_catalog(&catalog, &marks).unwrap();
        assert!(repository.refresh_after_missing(ObjectId::of(b"gone"), repository.mend_count()).unwrap());
        assert_eq!(repository.catalogs().len(), 2);
        let plan = prune.plan(&live).unwrap();
        assert_eq!((plan.dead.len(), plan.repack.len()), (0, 2 - needed), "{needed} of two chunks");
        prune.condemn(&plan, &live, &|_| {}).unwrap();
        let fresh = world.open();
        fresh.heed_condemnations().unwrap();
        fresh.refresh().unwrap();
        let stays = |chunk: &ChunkRef| fresh.index().lookup_staying(&fresh.chunk_id(chunk)).is_some();
        assert_eq!(chunks.iter().filter(|chunk| stays(chunk)).count(), needed);
    }
}

/// Padding adds a sixteenth at most; many small chunks make a long directory.
#[test]
fn what_a_plan_foretells_is_about_what_is_written() {
    let cases = [(ChunkKind::Data, 40, 10_000), (ChunkKind::Tree, 40, 10_000), (ChunkKind::Data, 3000, 100)];
    for (kind, count, len) in cases {
        let world = World::new();
        let (pack, chunks) = world.store(kind, &(0..count).map(|number| (number, len)).collect::<Vec<_>>());
        let (plan, report) = plan_for(&world.open(), settings(), pack, &chunks[..chunks.len() / 2]);
        assert_eq!((plan.repack.len(), report.packs_repacked), (1, 1));
        let stored = world.open().names(ObjectKind::Pack).unwrap();
        let written: u64 = stored.iter().filter(|(id, _)| **id != pack).map(|(_, len_bytes)| len_bytes).sum();
        assert!(written.abs_diff(plan.bytes_moved) <= written / 16, "{written} are written, {plan:?}");
    }
}

/// The limit is a share of what will be there, not of what is there.
#[test]
fn a_pack_of_which_most_is_unused_is_more_than_half_of_the_repository_as_it_will_be() {
    let world = World::new();
    let (pack, chunks) = world.store(ChunkKind::Data, &[(1, 100_000), (2, 400_000)]);
    let settings = PruneSettings { max_unused: MaxUnused::Percent(50.0), ..settings() };
    let (plan, _) = plan_for(&world.open(), settings, pack, &chunks[..1]);
    assert_eq!(plan.repack, [pack].into());
}

#[test]
fn a_pack_is_not_written_anew_for_less_than_it_saves() {
    let world = World::new();
    let (pack, chunks) = world.store(ChunkKind::Data, &[(1, 400_000), (2, 1000)]);
    let (plan, report) = plan_for(&world.open(), settings(), pack, &chunks[..1]);
    assert_eq!((plan.repack.len(), plan.bytes_moved, report.packs_condemned), (0, 0, 0));
}

/// The catalogs stop naming a pack when it is deleted, not when it is condemned: until then readers need it.
#[test]
fn catalogs_list_condemned_packs_until_these_are_deleted() {
    let world = World::new();
    let repository = world.open();
    let session = repository.begin(&SessionOptions::default()).unwrap();
    let mut writer = session.frame_writer().unwrap();
    writer.put(ChunkKind::Data, b"goes now").unwrap();
    writer.put(ChunkKind::Tree, b"goes later").unwrap();
    writer.flush().unwrap();
    drop(writer);
    let packs: Vec<ObjectId> = session.seal().unwrap().written().iter().copied().collect();
    for (pack, seconds) in packs.iter().zip([10, 5]) {
        let time = Timestamp { seconds: NOW.seconds - seconds, ..NOW };
        repository.condemn(&[*pack].into(), time).unwrap();
    }
    let mut prune = repository.begin_prune(PruneSettings { grace_seconds: 10, ..settings() }).unwrap();
    let live = LiveSet::default();
    let plan = prune.plan(&live).unwrap();
    prune.condemn(&plan, &live, &|_| {}).unwrap();
    assert!(prune.outlast().unwrap());
    prune.look_again().unwrap();
    prune.rescue(&live).unwrap();
    prune.sweep().unwrap();
    assert_eq!((prune.report().packs_deleted, prune.report().packs_waiting), (1, 1));
    drop(prune);
    let fresh = world.open();
    fresh.refresh_for_check().unwrap();
    let listed: Vec<ObjectId> = fresh.index().packs().into_iter().map(|(pack, _)| pack).collect();
    assert_eq!(listed, packs[1..]);
}

#[test]
fn whoever_sees_an_intent_of_a_prune_reads_whose_it_is() {
    let world = World::new();
    let (pack, chunks) = store(&world.open(), ChunkKind::Data, &[(1, 5000)]);
    world.open().condemn(&[pack].into(), NOW).unwrap();
    let (seen, others) = (Arc::new(Mutex::new(Vec::new())), world.open());
    let programs = seen.clone();
    let before_reading = move |name: &ObjectName| {
        if name.kind == ObjectKind::Pack {
            let intents = others.intents().unwrap().into_iter().map(|(_, intent)| intent.unwrap().program);
            *programs.lock().unwrap() = intents.collect::<Vec<String>>();
        }
    };
    let watched = Watched { inner: world.storage.clone(), cheap_listing: true, before_reading };
    let repository = world.open_on(Arc::new(watched), &LocalState::None);
    let mut prune = repository.begin_prune(settings()).unwrap();
    let (live, mut references) = (Mutex::default(), References::default());
    repository.collect(&mut references, ChunkKind::Data, &chunks[0]);
    repository.mark(&live, &mut references).unwrap();
    let live = live.into_inner().unwrap();
    prune.rescue(&live).unwrap();
    assert_eq!(*seen.lock().unwrap(), ["pruner", "pruner"], "of the prune and of what it writes");
}

/// The number of its process stands for what became of it.
fn fate(mark: &ProcessMark) -> ProcessFate {
    [ProcessFate::Ended, ProcessFate::Rebooted, ProcessFate::Unknown][mark.process as usize]
}

#[test]
fn who_has_ended_is_cleared_away_and_whose_machine_was_started_again_is_fenced_once() {
    let world = World::new();
    let repository = world.open();
    let declare = |process: u32| {
        let mark = ProcessMark { machine: Bytes(vec![1]), boot: Bytes(vec![2]), process, started: 0 };
        let note = WriterNote { process: Some(mark), ..note("writer") };
        OwnIntent::declare(&repository, Intent::BACKUP, &note).expect("memory")
    };
    let (ended, rebooted, runs) = (declare(0), declare(1), declare(2));
    let mut prune = repository.begin_prune(PruneSettings { fate: &fate, ..settings() }).unwrap();
    for _ in 0..2 {
        let running: Vec<ObjectId> = prune.running_writers().unwrap().into_iter().map(|(id, _)| id).collect();
        assert_eq!((running, prune.report().writers_fenced), (vec![runs.id()], 1));
    }
    let fences = repository.fences().unwrap();
    assert_eq!(fences.raised().collect::<Vec<_>>(), [&rebooted.id()]);
    let intents: BTreeSet<ObjectId> = repository.intents().unwrap().into_iter().map(|(id, _)| id).collect();
    assert_eq!(intents, BTreeSet::from([rebooted.id(), runs.id(), prune.intent.id()]), "without {}", ended.id());
}
