//! P13: local state may be lost, old, or nonsense, and nothing follows but a slower run.
//!
//! P11: whatever it remembers, a change in the source is in the next snapshot.

use crate::support::{
    self, StoredTree, assert_holds, copy, files_below, names, stored_tree, threads, try_backup, try_check,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use vellum::format::content::ChunkKind;
use vellum::format::{ObjectId, ObjectKind};
use vellum::storage::{MemoryStorage, Storage};
use vellum::{BackupOptions, Context, KeyFile, LocalState, MaxUnused, Repository, SnapshotRef};
use vellum_faults::Point;
use vellum_testkit::Random;
use vellum_testkit::trees::{self, Manifest, TreeOptions, assert_same_tree, manifest};

/// What a file was changed within the last tenth of a second is not remembered, so tests that want memory wait.
const SETTLED: Duration = Duration::from_millis(150);

/// The folders above a source are in a snapshot too, and other tests change them.
const FOLDERS_ABOVE: u64 = 3;

/// What is done to the folder of local state between two runs.
#[derive(Debug, Clone, Copy)]
enum Treatment {
    Kept,
    Deleted,
    /// An older copy is put back.
    RolledBack,
    /// Only some files are older copies.
    PartlyRolledBack,
    /// Every file holds random bytes of its length.
    Scrambled,
    /// A few bytes of every file are changed.
    Scratched,
    Truncated,
    Emptied,
    /// Files hold each other's bytes.
    Shuffled,
    /// Some files are gone.
    PartlyDeleted,
    /// Folders stand where files stood, and files where folders stood.
    Misshapen,
}

const TREATMENTS: [Treatment; 11] = [
    Treatment::Kept,
    Treatment::Deleted,
    Treatment::RolledBack,
    Treatment::PartlyRolledBack,
    Treatment::Scrambled,
    Treatment::Scratched,
    Treatment::Truncated,
    Treatment::Emptied,
    Treatment::Shuffled,
    Treatment::PartlyDeleted,
    Treatment::Misshapen,
];

struct World {
    scratch: tempfile::TempDir,
    key: KeyFile,
    storage: Arc<MemoryStorage>,
    /// Every snapshot with what it holds.
    history: Vec<(ObjectId, Manifest)>,
    old_states: Vec<PathBuf>,
}

impl World {
    fn new(seed: u64) -> Self {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let key = KeyFile::generate().expect("randomness");
        let storage = Arc::new(MemoryStorage::new());
        drop(support::create(Arc::<MemoryStorage>::clone(&storage), &key, &LocalState::None));
        let world = Self { scratch, key, storage, history: Vec::new(), old_states: Vec::new() };
        trees::build(&world.source(), seed, TreeOptions { file_count: 16, len_bytes_max: 20_000 });
        world
    }

    fn source(&self) -> PathBuf {
        self.scratch.path().join("source")
    }

    fn state(&self) -> PathBuf {
        self.scratch.path().join("state")
    }

    fn open(&self, state: &LocalState) -> Repository {
        support::open(Arc::<MemoryStorage>::clone(&self.storage), &self.key, state)
    }

    fn open_with_state(&self) -> Repository {
        self.open(&LocalState::At(self.state()))
    }

    /// A backup with local state, of which a copy is put away.
    fn back_up(&mut self) -> ObjectId {
        let repository = self.open_with_state();
        let id = try_backup(&repository, &self.source(), &threads(2)).expect("a backup, whatever the local state");
        drop(repository);
        self.history.push((id, manifest(&self.source())));
        let kept = self.scratch.path().join(format!("state-{}", self.old_states.len()));
        copy(&self.state(), &kept);
        self.old_states.push(kept);
        id
    }

    /// Everything is right with this local state and without any.
    fn assert_right(&self, case: &str) {
        for state in [LocalState::None, LocalState::At(self.state())] {
            let repository = self.open(&state);
            repository.refresh().expect("memory");
            for (id, expected) in &self.history {
                assert_holds(&repository, *id, &self.source(), expected);
            }
            let report = try_check(&repository, &threads(1)).expect("a check");
            assert_eq!(report.findings, [], "{case}: local state is no damage, with {state:?}");
        }
    }

    fn assert_readable(&self) {
        let repository = self.open_with_state();
        repository.refresh().expect("memory");
        self.history.iter().for_each(|(id, expected)| assert_holds(&repository, *id, &self.source(), expected));
    }

    fn assert_clean(&self) {
        let report = try_check(&self.open_with_state(), &threads(1)).expect("a check");
        let first = report.findings.first().map(|finding| &finding.reason);
        assert!(first.is_none(), "a check takes damage of local state for damage of the repository: {first:?}");
    }

    /// A real restore with this local state gives back the source.
    fn assert_restores(&self) {
        let target = tempfile::tempdir().expect("a scratch folder");
        let repository = self.open_with_state();
        let restored = support::restore(&repository, &SnapshotRef::Latest(0), &self.source(), target.path());
        assert!(restored.problems.is_empty(), "a restore has problems: {:?}", restored.problems);
        assert_same_tree(&self.source(), target.path());
    }

    /// A prune with this local state works, and deletes nothing, because everything is needed.
    fn assert_prunes(&self) {
        let mut options = support::prune_at_once();
        options.max_unused = MaxUnused::Bytes(0);
        let done = vellum::prune(&self.open_with_state(), &options, &threads(1));
        assert!(done.is_ok(), "a prune takes damage of local state for more than that: {:?}", done.err());
        self.assert_readable();
    }

    fn treat(&self, treatment: Treatment, random: &mut Random) {
        let state = self.state();
        let files = files_below(&state);
        match treatment {
            Treatment::Kept => {}
            Treatment::Deleted => fs::remove_dir_all(&state).expect("it was there"),
            Treatment::RolledBack => {
                fs::remove_dir_all(&state).expect("it was there");
                let old: &PathBuf = random.pick(&self.old_states);
                copy(old, &state);
            }
            Treatment::PartlyRolledBack => {
                let old: &PathBuf = random.pick(&self.old_states);
                for path in files_below(old) {
                    let now = state.join(path.strip_prefix(old).expect("below it"));
                    if random.one_in(2) {
                        fs::create_dir_all(now.parent().expect("below it")).expect("a folder");
                        fs::write(now, fs::read(&path).expect("a file")).expect("a file");
                    }
                }
            }
            Treatment::Scrambled => change_each(&files, |bytes| *bytes = random.bytes(bytes.len())),
            Treatment::Scratched => change_each(&files, |bytes| {
                for _ in 0..bytes.len().min(3) {
                    let at = random.below(bytes.len());
                    bytes[at] ^= 1 << random.below(8);
                }
            }),
            Treatment::Truncated => change_each(&files, |bytes| bytes.truncate(random.below(bytes.len() + 1))),
            Treatment::Emptied => change_each(&files, Vec::clear),
            Treatment::Shuffled => {
                let contents: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).expect("a file")).collect();
                for (number, path) in files.iter().enumerate() {
                    fs::write(path, &contents[(number + 1) % contents.len()]).expect("a file");
                }
            }
            Treatment::PartlyDeleted => {
                files.iter().filter(|_| random.one_in(2)).for_each(|path| fs::remove_file(path).expect("a file"));
            }
            Treatment::Misshapen => {
                for path in files.iter().filter(|path| !path.ends_with("state.redb")) {
                    fs::remove_file(path).expect("a file");
                    fs::create_dir(path).expect("a folder");
                }
            }
        }
    }
}

fn change_each(files: &[PathBuf], mut change: impl FnMut(&mut Vec<u8>)) {
    for path in files {
        let mut bytes = fs::read(path).expect("a file");
        change(&mut bytes);
        fs::write(path, bytes).expect("a file");
    }
}

#[test]
fn whatever_happened_to_local_state_backups_are_whole_and_changes_are_in_them() {
    let mut world = World::new(1);
    let mut random = Random::new(1);
    std::thread::sleep(SETTLED);
    world.back_up();
    for (number, treatment) in TREATMENTS.into_iter().enumerate() {
        world.treat(treatment, &mut random);
        trees::mutate(&world.source(), number as u64, 6);
        std::thread::sleep(SETTLED);
        let id = world.back_up();
        let repository = world.open(&LocalState::None);
        repository.refresh().expect("memory");
        let (_, expected) = world.history.last().expect("there was a backup");
        assert_holds(&repository, id, &world.source(), expected);
    }
    world.assert_right("after all treatments");
}

/// Between a backup and a restore, too; and a check is not misled.
#[test]
fn whatever_happened_to_local_state_restores_and_checks_are_right() {
    let mut world = World::new(2);
    let mut random = Random::new(2);
    for seed in 0..3 {
        world.back_up();
        trees::mutate(&world.source(), 100 + seed, 10);
    }
    world.back_up();
    let mut broken = Vec::new();
    for treatment in TREATMENTS {
        world.treat(treatment, &mut random);
        broken.extend(failure(treatment, || world.assert_restores()));
        world.treat(treatment, &mut random);
        broken.extend(failure(treatment, || world.assert_right("after it")));
        world.back_up();
    }
    assert!(broken.is_empty(), "local state is not disposable:\n{}", broken.join("\n"));
}

/// The index is damaged where it stands, so that it is noticed in the middle of the work or never.
#[test]
fn any_flip_in_local_state_leaves_restores_checks_and_prunes_right() {
    let mut world = World::new(11);
    world.back_up();
    let good = world.old_states[0].clone();
    let (mut broken, mut cases) = (std::collections::BTreeSet::new(), 0);
    for path in files_below(&good) {
        let len_bytes = fs::read(&path).expect("a file").len();
        let places = if path.extension().is_some_and(|kind| kind == "segment") { 15 } else { 4 };
        for at in (0..len_bytes).step_by(len_bytes / places + 1) {
            for work in [World::assert_restores, World::assert_readable, World::assert_clean, World::assert_prunes] {
                fs::remove_dir_all(world.state()).expect("it was there");
                copy(&good, &world.state());
                let now = world.state().join(path.strip_prefix(&good).expect("below it"));
                change_each(&[now], |bytes| bytes[at] ^= 1 << (at % 8));
                cases += 1;
                let case = path.extension().map(|kind| kind.to_string_lossy().into_owned()).unwrap_or_default();
                broken.extend(failure(&case, || work(&world)));
            }
        }
    }
    assert!(cases > 60, "index, database and file cache have more places than {cases}");
    let broken: Vec<String> = broken.into_iter().collect();
    assert!(broken.is_empty(), "one flipped bit in local state is not harmless:\n{}", broken.join("\n"));
}

/// What a promise that is broken says; ids are left out, so that equal failures are equal.
fn failure(case: impl std::fmt::Debug, work: impl FnOnce()) -> Option<String> {
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).err()?;
    let text = panic.downcast_ref::<String>().map_or("a panic without a message", String::as_str);
    let is_id = |word: &str| word.len() > 40 && word.contains(|character: char| character.is_ascii_digit());
    let words = text.split_whitespace().map(|word| if is_id(word) { "(id)" } else { word });
    Some(format!("{case:?}: {}", words.collect::<Vec<_>>().join(" ").chars().take(300).collect::<String>()))
}

/// Otherwise the tests above would test a file cache that is never used.
#[test]
fn undisturbed_local_state_spares_reading_and_any_damage_to_it_only_costs_that() {
    let mut world = World::new(3);
    std::thread::sleep(SETTLED);
    world.back_up();
    let unchanged = |world: &World| {
        let repository = world.open_with_state();
        let report = support::backup(&repository, &world.source());
        (report.summary.files_unchanged, report.summary.files, report.summary.chunks_new)
    };
    let (spared, all, new) = unchanged(&world);
    assert_eq!(spared, all, "with its memory a backup reads no unchanged file");
    assert!(new <= FOLDERS_ABOVE, "with its memory a backup stores {new} chunks of an unchanged source");
    world.treat(Treatment::Scrambled, &mut Random::new(3));
    let (spared, _, new) = unchanged(&world);
    assert_eq!(spared, 0, "without its memory a backup reads everything");
    assert!(new <= FOLDERS_ABOVE, "what is stored is stored {new} times again for want of local state");
}

/// Local state of a repository that went back in time, as after its own restore from a copy.
#[test]
fn a_repository_older_than_local_state_gets_everything_again() {
    let mut world = World::new(4);
    std::thread::sleep(SETTLED);
    world.back_up();
    let old_storage = (*world.storage).clone();
    let old_history = world.history.len();
    trees::mutate(&world.source(), 4, 30);
    std::thread::sleep(SETTLED);
    world.back_up();
    world.storage = Arc::new(old_storage);
    world.history.truncate(old_history);
    world.back_up();
    let repository = world.open(&LocalState::None);
    repository.refresh().expect("memory");
    for (id, expected) in &world.history {
        assert_holds(&repository, *id, &world.source(), expected);
    }
    let report = try_check(&repository, &threads(1)).expect("a check");
    assert_eq!(report.findings, [], "what local state knew and the repository had not is stored again");
}

/// I4, I5: index and file cache still know a pack that is gone; presence is what the storage says.
#[test]
fn a_pack_that_vanished_is_not_counted_on() {
    let mut world = World::new(5);
    std::thread::sleep(SETTLED);
    world.back_up();
    let packs = names(&*world.storage, ObjectKind::Pack);
    assert!(packs.len() >= 2, "data and trees");
    for pack in packs {
        world.storage.delete(&pack).expect("memory");
        let report = support::backup(&world.open_with_state(), &world.source());
        assert!(report.summary.chunks_new > 0, "chunks of a lost pack are stored again");
        let id = report.snapshot.expect("a snapshot");
        let expected = manifest(&world.source());
        for state in [LocalState::None, LocalState::At(world.state())] {
            let repository = world.open(&state);
            repository.refresh().expect("memory");
            assert_holds(&repository, id, &world.source(), &expected);
            let report = try_check(&repository, &threads(1)).expect("a check");
            let of_new =
                |finding: &&vellum::Finding| finding.path.as_ref().is_some_and(|(snapshot, _)| *snapshot == id);
            let costs = report.findings.iter().find(of_new);
            assert!(costs.is_none(), "with {state:?} the backup after the loss lacks something: {costs:?}");
            let names_it = report.findings.iter().any(|finding| finding.object == Some(pack));
            assert!(names_it, "with {state:?} a check does not name the lost pack");
        }
    }
}

/// The same when files changed meanwhile: what only the lost pack had is lost, and nothing else.
#[test]
fn a_lost_pack_costs_old_snapshots_only_what_the_source_has_no_more() {
    let mut world = World::new(6);
    std::thread::sleep(SETTLED);
    let old = world.back_up();
    let expected_old = manifest(&world.source());
    let packs = names(&*world.storage, ObjectKind::Pack);
    trees::mutate(&world.source(), 6, 8);
    for pack in packs {
        world.storage.delete(&pack).expect("memory");
    }
    std::thread::sleep(SETTLED);
    let new = world.back_up();
    let expected_new = manifest(&world.source());
    let repository = world.open_with_state();
    repository.refresh().expect("memory");
    assert_holds(&repository, new, &world.source(), &expected_new);
    let old = support::snapshot(&repository, old);
    let StoredTree { manifest: found, .. } = stored_tree(&repository, &old, &world.source())
        .unwrap_or_else(|_| StoredTree { manifest: Manifest::new(), problems: Vec::new() });
    for (path, text) in &found {
        let same = |expected: &String| without_group(expected) == without_group(text);
        assert!(expected_old.get(path).is_some_and(same), "{} is given back wrong", path.escape_ascii());
    }
    let report = try_check(&repository, &threads(1)).expect("a check");
    let of_new = report.findings.iter().find(|finding| finding.path.as_ref().is_some_and(|(id, _)| *id == new));
    assert!(of_new.is_none(), "the new snapshot was made after the loss and lacks nothing: {of_new:?}");
    let of_old = report.findings.iter().any(|finding| finding.path.as_ref().is_some_and(|(id, _)| *id == old.id));
    assert!(of_old || found.len() == expected_old.len(), "what the old snapshot lacks must be told");
}

fn without_group(text: &str) -> &str {
    text.rfind(" group=").map_or(text, |at| &text[..at])
}

/// Two processes, or two programs in one, may share the folder. Each saves its own; both save the same.
#[test]
fn two_writers_share_one_state_folder() {
    let mut world = World::new(7);
    let other = world.scratch.path().join("other");
    trees::build(&other, 8, TreeOptions { file_count: 30, len_bytes_max: 30_000 });
    std::thread::sleep(SETTLED);
    let mut others = Vec::new();
    for round in 0..4 {
        let source = world.source();
        let sources = [&source, if round % 2 == 0 { &other } else { &source }];
        let ids: Vec<ObjectId> = std::thread::scope(|scope| {
            let world = &world;
            let write = |source: &'_ Path| {
                let repository = world.open_with_state();
                try_backup(&repository, source, &Context::default()).expect("a backup beside another")
            };
            let writers: Vec<_> = sources.into_iter().map(|source| scope.spawn(move || write(source))).collect();
            writers.into_iter().map(|writer| writer.join().expect("a writer does not panic")).collect()
        });
        for (id, source) in ids.into_iter().zip(sources) {
            match source == &world.source() {
                true => world.history.push((id, manifest(source))),
                false => others.push((id, manifest(source))),
            }
        }
        let repository = world.open_with_state();
        repository.refresh().expect("memory");
        others.iter().for_each(|(id, expected)| assert_holds(&repository, *id, &other, expected));
        world.assert_right(&format!("round {round} of two writers"));
        trees::mutate(&world.source(), round, 10);
        trees::mutate(&other, 50 + round, 10);
        std::thread::sleep(SETTLED);
    }
}

/// Another source under a path that was saved before: same names, same lengths, same times, other bytes.
#[test]
fn a_source_swapped_for_another_with_the_same_times_is_read() {
    let mut world = World::new(9);
    std::thread::sleep(SETTLED);
    world.back_up();
    let twin = world.scratch.path().join("twin");
    copy(&world.source(), &twin);
    let mut changed = 0;
    for path in files_below(&twin) {
        let metadata = fs::symlink_metadata(&path).expect("it was just listed");
        if !metadata.is_file() || metadata.len() == 0 {
            continue;
        }
        let mut bytes = fs::read(&path).expect("a file");
        bytes.iter_mut().for_each(|byte| *byte = byte.wrapping_add(1));
        let file = fs::OpenOptions::new().write(true).open(&path).expect("a file");
        std::os::unix::fs::FileExt::write_all_at(&file, &bytes, 0).expect("a file");
        file.set_modified(metadata.modified().expect("a time")).expect("a file");
        changed += 1;
    }
    assert!(changed > 20, "most files are files");
    fs::rename(world.source(), world.scratch.path().join("before")).expect("a rename");
    fs::rename(&twin, world.source()).expect("a rename");
    std::thread::sleep(SETTLED);
    world.back_up();
    world.assert_right("after the source was swapped");
}

/// The memory of a folder that takes several blocks is compared piece by piece, whatever changed where.
#[test]
fn a_large_folder_is_read_only_where_it_changed() {
    let mut world = World::new(12);
    let folder = world.source().join("large");
    fs::create_dir(&folder).expect("a folder");
    let file = |number: usize| folder.join(format!("{number:04}{}", "n".repeat(200)));
    (0..6000).for_each(|number| fs::write(file(number), []).expect("a file"));
    std::thread::sleep(SETTLED);
    world.back_up();
    let backup = |world: &World| {
        let summary = support::backup(&world.open_with_state(), &world.source()).summary;
        (summary.files - summary.files_unchanged, summary.files_new, summary.files_changed)
    };
    assert_eq!(backup(&world), (0, 0, 0), "every block is found");
    assert_eq!(backup(&world), (0, 0, 0), "also where blocks were carried over");
    fs::remove_file(file(0)).expect("a file");
    (2000..2100).for_each(|number| fs::remove_file(file(number)).expect("a file"));
    [1, 3000, 5999].into_iter().for_each(|number| fs::write(file(number), b"changed").expect("a file"));
    ["0", "30001", "9"].into_iter().for_each(|name| fs::write(folder.join(name), b"new").expect("a file"));
    std::thread::sleep(SETTLED);
    assert_eq!(backup(&world), (6, 3, 3), "what moved in its block is found in it");
    assert_eq!(backup(&world), (0, 0, 0));
    world.back_up();
    world.assert_readable();
}

/// `--force` and a file cache of another set of roots.
#[test]
fn memory_of_other_roots_is_not_taken() {
    let mut world = World::new(10);
    std::thread::sleep(SETTLED);
    world.back_up();
    let mut options = BackupOptions::new([world.source().join("src"), world.source().join("docs")]);
    options.time = support::NOW;
    let report = vellum::backup(&world.open_with_state(), &options, &threads(1)).expect("a backup");
    assert_eq!(report.summary.files_unchanged, 0, "these roots were never saved before");
    let repository = world.open(&LocalState::None);
    repository.refresh().expect("memory");
    let id = report.snapshot.expect("a snapshot");
    for root in ["src", "docs"] {
        let source = world.source().join(root);
        assert_holds(&repository, id, &source, &manifest(&source));
    }
    let mut options = BackupOptions::new([world.source()]);
    options.force = true;
    let report = vellum::backup(&world.open_with_state(), &options, &threads(1)).expect("a backup");
    assert_eq!(report.summary.files_unchanged, 0, "a forced backup reads everything");
    world.history.push((report.snapshot.expect("a snapshot"), manifest(&world.source())));
    world.assert_right("after other roots and a forced backup");
}

/// N4, P13: whoever is killed before or after a merge of the index is recorded has lost none of it, and no space.
#[test]
fn a_kill_around_a_merge_of_the_index_costs_nothing() {
    let world = World::new(11);
    let scratch = support::memory_folder();
    let state = scratch.path().join("state");
    let points = [Point::IndexMergeWritten, Point::IndexMergeRecorded];
    let at_each = points.map(|point| (point, scratch.path().join(point.name())));
    let open = |state: &Path| world.open(&LocalState::At(state.to_owned()));
    for number in 0..4u64 {
        fs::write(world.source().join("new"), Random::new(number).bytes(5_000)).expect("a writable source");
        try_backup(&world.open(&LocalState::None), &world.source(), &threads(1)).expect("a backup");
        let (copied, from) = (at_each.clone(), state.clone());
        let hook = move |point| {
            let due = copied.iter().filter(|(when, _)| *when == point);
            due.for_each(|(_, to)| copy(&from, to));
            Ok(())
        };
        let refreshed = vellum_faults::with_hook(hook, || open(&state).refresh()).expect("a healthy storage");
        assert_eq!(refreshed.catalogs_read, 1);
    }
    let segments =
        |state: &Path| files_below(state).iter().filter(|path| path.to_string_lossy().contains(".seg")).count();
    assert_eq!(segments(&state), 1);
    let counts = |repository: &Repository| (repository.chunk_count(), repository.catalogued_packs().len());
    let whole = counts(&open(&state));
    for (point, left) in at_each {
        assert!(segments(&left) >= 4, "{point:?} is reached with the sources still there");
        let repository = open(&left);
        assert_eq!(repository.refresh().expect("a healthy storage").catalogs_read, 0, "{point:?}");
        assert_eq!(counts(&repository), whole, "{point:?}");
        assert_eq!(segments(&left), 1, "{point:?}: the merge is made again, or its sources go");
        let found = try_check(&repository, &threads(1)).expect("a check");
        assert_eq!(found.findings, [], "{point:?}");
    }
}

/// Incident 34: what a backup has stored is looked up before its snapshot is published, and damage of the index in that
/// moment is no reason to give up.
#[test]
fn a_segment_that_is_damaged_while_a_backup_looks_at_what_it_stored_is_read_again() {
    let mut world = World::new(12);
    let (state, recorded) = (world.state(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&recorded);
    let hook = move |point| {
        if point == Point::IndexRecorded && counted.fetch_add(1, Ordering::Relaxed) == 0 {
            let mut segments = files_below(&state);
            segments.retain(|path| path.extension().is_some_and(|kind| kind == "segment"));
            assert_eq!(segments.len(), 1);
            change_each(&segments, |bytes| damage_data_record(bytes));
        }
        Ok(())
    };
    let repository = world.open_with_state();
    let done = vellum_faults::with_hook(hook, || try_backup(&repository, &world.source(), &threads(1)));
    let id = done.expect("a backup, whatever the local state");
    assert_eq!(recorded.load(Ordering::Relaxed), 2, "the catalog is read again");
    drop(repository);
    world.history.push((id, manifest(&world.source())));
    world.assert_right("a damaged segment");
}

/// Damages what a segment says of one chunk of a file, where no lookup of a folder reads: it reads the record before.
fn damage_data_record(segment: &mut [u8]) {
    const HEADER_LEN: usize = 4096;
    const RECORD_LEN: usize = 64;
    let number = |at: usize| {
        let bytes = segment[at..at + 4].try_into().expect("four bytes");
        usize::try_from(u32::from_le_bytes(bytes)).expect("it is small")
    };
    let chunks = number(44);
    let is_data = |record: usize| {
        let frame = number(HEADER_LEN + record * RECORD_LEN + 36);
        segment[HEADER_LEN + (chunks + frame) * RECORD_LEN + 24] == ChunkKind::Data.code()
    };
    let mut records = (0..chunks).filter(|record| is_data(*record) && (record + 1 == chunks || is_data(record + 1)));
    let record = records.next().expect("more chunks of files than of folders");
    segment[HEADER_LEN + record * RECORD_LEN + 44] ^= 1;
}
