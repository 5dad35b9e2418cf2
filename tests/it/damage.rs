//! Damage of what is stored: every change is found, nothing wrong is ever given back, and one damaged object costs
//! only what needs it.
//!
//! P2: a check that reads all data finds any single change to any object. P3: what is restored without a problem is
//! what was saved. The mass of cases is read in memory; some of them are restored to a real folder too.

use crate::support::{
    self, LastKeys, Objects, StoredTree, Versions, bytes_of, names, objects, stored_tree, stored_tree_through, threads,
    try_backup, try_check,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use vellum::format::content::{ChunkRef, Content};
use vellum::format::tree::Node;
use vellum::format::{ObjectId, ObjectKind, ObjectName};
use vellum::storage::{MemoryStorage, Storage};
use vellum::{
    Context, Error, FrameCache, KeyFile, LocalState, Repository, RepositoryError, RestoreOptions, Snapshot,
    SnapshotRef, TreeWalk,
};
use vellum_faults::{Point, with_hook};
use vellum_testkit::lock;
use vellum_testkit::trees::{Manifest, TreeOptions, differences, manifest};

/// Of so many cases of a sweep one is restored to a real folder.
const RESTORE_EVERY: u64 = 150;

#[test]
fn flips_of_single_bytes_are_found_and_never_restored() {
    let sample = Sample::new().with_every_kind();
    sample.sweep(1, |bytes| (0..bytes.len()).step_by(269).map(|at| flipped(bytes, at)).collect());
}

#[test]
fn truncations_are_found_and_never_restored() {
    let sample = Sample::new().with_every_kind();
    sample.sweep(1, |bytes| {
        let lens = (0..bytes.len()).step_by(619).chain([1, 7, 8, 24, bytes.len() / 2, bytes.len() - 1]);
        lens.map(|len| bytes[..len].to_vec()).collect()
    });
}

/// A changed tail or a few more bytes are changes too.
#[test]
fn growth_is_found_and_never_restored() {
    let sample = Sample::new().with_every_kind();
    sample.sweep(1, |bytes| vec![[bytes, &[0]].concat(), [bytes, bytes].concat()]);
}

#[cfg(feature = "slow")]
#[test]
fn every_byte_flipped_and_every_truncation_is_found_and_never_restored() {
    let sample = Sample::of(larger_versions(), 200_000..250_000).with_every_kind();
    let total: usize = sample.objects().values().map(Vec::len).sum();
    assert!((256 << 10..280_000).contains(&total), "it is to have 256 KiB and little more, not {total}");
    let start = std::time::Instant::now();
    let flips = sample.sweep_lazily(2, |bytes| bytes.len(), flipped);
    println!("{flips} flips in {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let truncations = sample.sweep_lazily(2, |bytes| bytes.len(), |bytes, len| bytes[..len].to_vec());
    println!("{truncations} truncations in {:?}", start.elapsed());
}

/// Another non-zero pattern for each place.
fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1 << (at % 8);
    bytes
}

/// A repository with two snapshots of small data that does not compress, and everything it holds.
struct Sample {
    key: KeyFile,
    keys: LastKeys,
    versions: Versions,
    storage: MemoryStorage,
    snapshots: Vec<ObjectId>,
    cases: AtomicU64,
}

impl Sample {
    fn new() -> Self {
        Self::of(plain_versions(), 100_000..250_000)
    }

    /// With as many bytes in all objects together.
    fn of(versions: Versions, len_bytes: Range<usize>) -> Self {
        let key = KeyFile::generate().expect("randomness");
        let storage = Arc::new(MemoryStorage::new());
        let shared: Arc<dyn Storage> = Arc::<MemoryStorage>::clone(&storage);
        let repository = support::create(shared, &key, &LocalState::None);
        let snapshots = (0..2).map(|number| backup(&repository, versions.path(number))).collect();
        let mut options = vellum::CheckOptions::default();
        (options.now, options.read_data) = (Some(support::NOW), vellum::ReadData::All);
        vellum::check(&repository, &options, &threads(1)).expect("a check, which leaves a record");
        let storage = (*storage).clone();
        let (keys, cases) = (LastKeys::default(), AtomicU64::new(0));
        let sample = Self { key, keys, versions, storage, snapshots, cases };
        let total: usize = sample.objects().values().map(Vec::len).sum();
        assert!(len_bytes.contains(&total), "the sample is to have {len_bytes:?} bytes, not {total}");
        assert!(names(&sample.storage, ObjectKind::Pack).len() >= 4, "data and trees of both backups");
        sample.assert_undamaged();
        sample
    }

    /// The same after a backup that was killed, a forget, and prunes of which one waited for that writer and the next
    /// gave it up.
    fn with_every_kind(self) -> Self {
        let open_shared = || {
            let storage = Arc::new(self.storage.clone());
            let shared: Arc<dyn Storage> = Arc::<MemoryStorage>::clone(&storage);
            (storage, support::open(shared, &self.key, &LocalState::None))
        };
        let (elsewhere, other) = open_shared();
        let killed = Arc::new(Mutex::new(Objects::new()));
        let seen = Arc::clone(&killed);
        let hook = move |point| {
            if point == Point::IntentAfterPut {
                *lock(&seen) = of_kinds(&elsewhere, &[ObjectKind::Intent]);
            }
            Ok(())
        };
        with_hook(hook, || backup(&other, self.versions.path(2)));
        let (storage, repository) = open_shared();
        let gone = backup(&repository, self.versions.path(2));
        put_back(&lock(&killed), &storage);
        support::remove(&repository, gone).expect("a removal");
        let mut options = support::prune_all_at_once();
        vellum::prune(&repository, &options, &threads(1)).expect("a prune that waits");
        let condemned = of_kinds(&storage, &[ObjectKind::Condemned, ObjectKind::CondemnedMirror]);
        options.now.seconds += 8 * 86_400;
        vellum::prune(&repository, &options, &threads(1)).expect("a prune that waits no longer");
        put_back(&condemned, &storage);
        put_back(&lock(&killed), &storage);
        let missing: Vec<_> = ObjectKind::ALL.into_iter().filter(|kind| names(&*storage, *kind).is_empty()).collect();
        assert_eq!(missing, [], "it has every kind of object");
        let sample = Self { storage: (*storage).clone(), ..self };
        sample.assert_undamaged();
        sample
    }

    /// The judge must not condemn everything.
    fn assert_undamaged(&self) {
        let repository = open(&self.storage, &self.key).expect("an undamaged repository opens");
        assert_eq!(support::check(&repository).findings, [], "an undamaged repository has no findings");
        let problems = self.read_all(&repository).expect("an undamaged repository is read");
        assert_eq!(problems, Vec::<String>::new(), "an undamaged repository has no problems");
    }

    fn objects(&self) -> Objects {
        objects(&self.storage)
    }

    /// Judges every damage that is asked for, to every object.
    fn sweep(&self, thread_count: usize, damages: impl Fn(&[u8]) -> Vec<Vec<u8>> + Sync) {
        let all = BTreeMap::from_iter(self.objects().into_values().map(|bytes| (bytes.clone(), damages(&bytes))));
        self.sweep_lazily(thread_count, |bytes| all[bytes].len(), |bytes, number| all[bytes][number].clone());
    }

    fn sweep_lazily(
        &self,
        thread_count: usize,
        count: impl Fn(&[u8]) -> usize + Sync,
        damage: impl Fn(&[u8], usize) -> Vec<u8> + Sync,
    ) -> u64 {
        let before = self.cases.load(Ordering::Relaxed);
        for (name, bytes) in self.objects() {
            support::on_threads(thread_count, 0..count(&bytes), |number| {
                let damaged = damage(&bytes, number);
                let judged = self.judge(&self.with(&name, &damaged), &name);
                judged.unwrap_or_else(|why| panic!("{name}, case {number}: {why}"));
            });
        }
        self.cases.load(Ordering::Relaxed) - before
    }

    fn with(&self, name: &ObjectName, bytes: &[u8]) -> MemoryStorage {
        let storage = self.storage.clone();
        replace(&storage, name, name, bytes);
        storage
    }

    /// Unlocks anew where what unlocks may be damaged.
    fn open(&self, storage: &MemoryStorage, damaged: &ObjectName) -> Result<Repository, RepositoryError> {
        let unlocks = [ObjectKind::Config, ObjectKind::ConfigMirror, ObjectKind::Key, ObjectKind::KeyMirror];
        match unlocks.contains(&damaged.kind) {
            true => open(storage, &self.key),
            false => self.keys.try_open(Arc::new(storage.clone()), &self.key, &LocalState::None),
        }
    }

    /// What one damaged object must lead to.
    fn judge(&self, storage: &MemoryStorage, damaged: &ObjectName) -> Result<(), String> {
        let case = self.cases.fetch_add(1, Ordering::Relaxed);
        let repository = match self.open(storage, damaged) {
            Ok(repository) => repository,
            Err(error) if error.to_string().contains(&damaged.id.to_string()) => return Ok(()),
            Err(error) => return Err(format!("one damaged object keeps the repository shut, unnamed: {error}")),
        };
        let report = try_check(&repository, &threads(1)).map_err(|error| format!("the check broke off: {error}"))?;
        if !report.findings.iter().any(|finding| finding.object == Some(*damaged)) {
            return Err(format!("the check does not name it; it finds {:?}", report.findings));
        }
        let repository = self.open(storage, damaged).map_err(|error| error.to_string())?;
        let problems = self.read_all(&repository)?;
        if case.is_multiple_of(RESTORE_EVERY) {
            self.restore_all(&repository, problems.is_empty())?;
        }
        Ok(())
    }

    /// Reads every snapshot and returns what cannot be read; anything that differs is an error.
    fn read_all(&self, repository: &Repository) -> Result<Vec<String>, String> {
        repository.refresh().map_err(|error| error.to_string())?;
        let (mut problems, cache) = (Vec::new(), FrameCache::new(16));
        for (number, id) in self.snapshots.iter().enumerate() {
            let (source, expected) = (self.versions.path(number), self.versions.manifest(number));
            let read = repository.read_snapshot(*id).map_err(Error::from);
            match read.and_then(|snapshot| stored_tree_through(&cache, repository, &snapshot, source)) {
                Err(error) => problems.push(error.to_string()),
                Ok(tree) => {
                    same_as_far_as_there(expected, &tree)?;
                    problems.extend(tree.problems);
                }
            }
        }
        Ok(problems)
    }

    fn restore_all(&self, repository: &Repository, is_readable: bool) -> Result<(), String> {
        for (number, id) in self.snapshots.iter().enumerate() {
            let (source, expected) = (self.versions.path(number), self.versions.manifest(number));
            let restored = restored(repository, *id, source);
            let Some((tree, report)) = restored.map_err(|error| error.to_string()).ok() else { continue };
            same_as_far_as_there(expected, &tree)?;
            if is_readable && !tree.problems.is_empty() {
                return Err(format!("a restore does worse than reading: {report}"));
            }
        }
        Ok(())
    }
}

/// Few entries, so that one case takes about a millisecond; their lengths make one to five chunks.
fn plain_versions() -> Versions {
    Versions::of_files(&[
        &[("a", 9_000, 1), ("b", 100, 2), ("folder/c", 16_000, 3), ("folder/d", 1, 4), ("folder/deeper/e", 30_000, 5)],
        &[
            ("a", 9_000, 1),
            ("b", 120, 6),
            ("folder/c", 16_000, 3),
            ("folder/f", 7_000, 7),
            ("folder/deeper/e", 30_000, 8),
        ],
        &[("a", 9_000, 1), ("g", 2_000, 9), ("folder/c", 16_000, 3), ("folder/deeper/e", 30_000, 8)],
    ])
}

/// As few entries in a repository of more than 256 KiB.
#[cfg(feature = "slow")]
fn larger_versions() -> Versions {
    let (a, e) = (("a", 9_000, 1), ("folder/deeper/e", 30_000, 5));
    Versions::of_files(&[&[a, ("folder/c", 16_000, 3), e], &[a, ("folder/f", 17_000, 7), e], &[a, e]])
}

fn of_kinds(storage: &MemoryStorage, kinds: &[ObjectKind]) -> Objects {
    kinds.iter().flat_map(|kind| names(storage, *kind)).map(|name| (name, bytes_of(storage, &name))).collect()
}

fn put_back(objects: &Objects, storage: &MemoryStorage) {
    for (name, bytes) in objects {
        storage.put(name, bytes).expect("memory");
    }
}

fn backup(repository: &Repository, source: &Path) -> ObjectId {
    try_backup(repository, source, &threads(1)).expect("a backup")
}

fn open(storage: &MemoryStorage, key: &KeyFile) -> Result<Repository, RepositoryError> {
    open_with(storage, key, &LocalState::None)
}

fn open_with(storage: &MemoryStorage, key: &KeyFile, state: &LocalState) -> Result<Repository, RepositoryError> {
    support::try_open(Arc::new(storage.clone()), key, state)
}

fn replace(storage: &MemoryStorage, old: &ObjectName, new: &ObjectName, bytes: &[u8]) {
    storage.delete(old).expect("memory");
    storage.delete(new).expect("memory");
    storage.put(new, bytes).expect("memory");
}

/// P3: whatever was read without a problem is right, and without any problem it is all there.
fn same_as_far_as_there(expected: &Manifest, tree: &StoredTree) -> Result<(), String> {
    if tree.problems.is_empty() {
        return match &differences(expected, &tree.manifest)[..] {
            [] => Ok(()),
            lines => Err(format!("without any problem, something else is given back: {lines:?}")),
        };
    }
    let wrong = tree.manifest.iter().find(|(path, text)| {
        let wanted = expected.get(*path);
        wanted.is_none_or(|wanted| without_group(wanted) != without_group(text))
    });
    match wrong {
        None => Ok(()),
        Some((path, text)) => Err(format!("{} is given back as {text}", path.escape_ascii())),
    }
}

/// A hard link whose other name is lost is a group no more.
fn without_group(text: &str) -> &str {
    text.rfind(" group=").map_or(text, |at| &text[..at])
}

/// Restores one snapshot to a real folder and describes what is there; entries with a problem may be anything.
fn restored(repository: &Repository, id: ObjectId, source: &Path) -> Result<(StoredTree, String), Error> {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a scratch folder");
    let target = folder.path().join("target");
    let mut options = RestoreOptions::default();
    options.subfolder = Some(source.as_os_str().as_bytes().to_vec());
    let reference = SnapshotRef::Id(id.to_string());
    let report = vellum::restore(repository, &reference, &target, &options, &Context::default())?;
    let mut manifest = manifest(&target);
    let problems: Vec<String> = report.problems.iter().map(|problem| format!("{problem:?}")).collect();
    for problem in &report.problems {
        let relative = problem.path.strip_prefix(source.as_os_str().as_bytes());
        let relative = relative.map(|path| path.strip_prefix(b"/").unwrap_or(path).to_vec());
        manifest.remove(&relative.unwrap_or_default());
    }
    Ok((StoredTree { manifest, problems: problems.clone() }, problems.join(", ")))
}

/// What happens to one object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Harm {
    Deleted,
    Emptied,
    Truncated,
    Flipped,
    /// It and another of its kind hold each other's bytes.
    Swapped,
    /// Its name holds an object of another kind.
    OtherKind,
    /// Instead of it an object of another kind lies in its folder, under that object's own name.
    OtherKindInItsPlace,
    /// Its name holds the same kind of object of another repository.
    Foreign,
    /// Instead of it the same kind of object of another repository lies there, under that object's own name.
    ForeignInItsPlace,
    /// It says that it is of a later version of the format.
    Future,
    /// As before, with the name that its bytes have.
    FutureInItsPlace,
}

impl Harm {
    const ALL: [Self; 11] = [
        Self::Deleted,
        Self::Emptied,
        Self::Truncated,
        Self::Flipped,
        Self::Swapped,
        Self::OtherKind,
        Self::OtherKindInItsPlace,
        Self::Foreign,
        Self::ForeignInItsPlace,
        Self::Future,
        Self::FutureInItsPlace,
    ];

    /// Whether the object's name is gone.
    fn removes_name(self) -> bool {
        let gone = [Self::Deleted, Self::OtherKindInItsPlace, Self::ForeignInItsPlace, Self::FutureInItsPlace];
        gone.contains(&self)
    }

    /// Two configs, or keys of a later version, are for people to decide about; everything else opens.
    fn may_keep_shut(self, error: &RepositoryError, harmed: &BTreeSet<ObjectName>) -> bool {
        match error {
            RepositoryError::AmbiguousConfig { .. } => {
                [Self::ForeignInItsPlace, Self::FutureInItsPlace].contains(&self)
            }
            RepositoryError::Damaged { object, .. } => {
                self == Self::FutureInItsPlace && harmed.iter().any(|one| one.id == object.id)
            }
            _ => false,
        }
    }

    /// Does it, and names every object that is no more what it was, and what is new.
    fn apply(self, storage: &MemoryStorage, foreign: &MemoryStorage, name: &ObjectName) -> BTreeSet<ObjectName> {
        let bytes = bytes_of(storage, name);
        let first_of = |storage: &MemoryStorage, kind| {
            let first = *names(storage, kind).first().expect("each kind is there");
            bytes_of(storage, &first)
        };
        let is_catalog = matches!(name.kind, ObjectKind::Catalog | ObjectKind::CatalogMirror);
        let other_kind = if is_catalog { ObjectKind::Snapshot } else { ObjectKind::Catalog };
        let mut future = bytes.clone();
        future[8] = 2;
        let (new_bytes, takes_own_name) = match self {
            Self::Deleted => {
                storage.delete(name).expect("memory");
                return [*name].into();
            }
            Self::Swapped => {
                let Some(other) = names(storage, name.kind).into_iter().find(|other| other != name) else {
                    return BTreeSet::new();
                };
                let other_bytes = bytes_of(storage, &other);
                replace(storage, name, name, &other_bytes);
                replace(storage, &other, &other, &bytes);
                return [*name, other].into();
            }
            Self::Emptied => (Vec::new(), false),
            Self::Truncated => (bytes[..bytes.len() * 2 / 3].to_vec(), false),
            Self::Flipped => (flipped(&bytes, bytes.len() / 2), false),
            Self::OtherKind => (first_of(storage, other_kind), false),
            Self::OtherKindInItsPlace => (first_of(storage, other_kind), true),
            Self::Foreign => (first_of(foreign, name.kind), false),
            Self::ForeignInItsPlace => (first_of(foreign, name.kind), true),
            Self::Future => (future, false),
            Self::FutureInItsPlace => (future, true),
        };
        let new = if takes_own_name { ObjectName::of(name.kind, &new_bytes) } else { *name };
        replace(storage, name, &new, &new_bytes);
        [*name, new].into()
    }
}

/// The entries of a snapshot by their full path, each with the packs that are needed to restore it.
type Needs = BTreeMap<Vec<u8>, BTreeSet<ObjectId>>;

fn needs(repository: &Repository, snapshot: &Snapshot) -> Needs {
    let packs = |content: &Content| {
        assert_eq!(content.depth, 0, "the sample's contents are short");
        let pack = |chunk: &ChunkRef| {
            let place = repository.locate(chunk).expect("an undamaged repository knows its chunks");
            repository.pack_of(place.frame).expect("a place is in a pack").id
        };
        content.chunks.iter().map(pack).collect::<BTreeSet<_>>()
    };
    let root = snapshot.manifest.root.content().expect("an undamaged snapshot");
    let mut needs = Needs::from([(Vec::new(), packs(&root))]);
    for step in TreeWalk::new(repository, &FrameCache::new(16), &root) {
        let step = step.expect("an undamaged tree");
        let parent = step.path.iter().rposition(|byte| *byte == b'/').map_or(&[][..], |at| &step.path[..at]);
        let mut wanted = needs[parent].clone();
        if let Node::File { content, .. } | Node::Folder { content } = &step.entry.node {
            wanted.extend(packs(content));
        }
        needs.insert(step.path, wanted);
    }
    needs
}

struct Matrix {
    sample: Sample,
    foreign: MemoryStorage,
    needs: Vec<Needs>,
    state: tempfile::TempDir,
}

impl Matrix {
    fn new() -> Self {
        let sample = Sample::new();
        let foreign = Sample::new().storage;
        let state = tempfile::tempdir().expect("a scratch folder");
        // A local state that has published the last snapshot and knows every catalog.
        let kept = LocalState::At(state.path().join("state"));
        let storage = sample.storage.clone();
        let repository = open_with(&storage, &sample.key, &kept).expect("an undamaged repository");
        repository.refresh().expect("memory");
        let needed = |id: &ObjectId| needs(&repository, &support::snapshot(&repository, *id));
        let needs = sample.snapshots.iter().map(needed).collect();
        Self { sample, foreign, needs, state }
    }

    /// One cell of the matrix; what it breaks is returned, so that all cells are seen at once.
    fn try_cell(&self, name: &ObjectName, harm: Harm, remembers: bool) -> Vec<String> {
        let mut broken = Vec::new();
        let storage = self.sample.storage.clone();
        let harmed = harm.apply(&storage, &self.foreign, name);
        if harmed.is_empty() {
            return broken;
        }
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let state = match remembers {
            true => {
                support::copy(&self.state.path().join("state"), &scratch.path().join("state"));
                LocalState::At(scratch.path().join("state"))
            }
            false => LocalState::None,
        };
        let key = &self.sample.key;
        match open_with(&storage, key, &state) {
            Err(error) if harm.may_keep_shut(&error, &harmed) => return broken,
            Err(error) => return vec![format!("open: {error}")],
            Ok(repository) => broken.extend(self.check_cell(&repository, name, harm, &harmed)),
        }
        let repository = open_with(&storage, key, &state).expect("it was opened a moment ago");
        broken.extend(self.read_cell(&repository, &harmed));
        let repository = open_with(&storage, key, &state).expect("it was opened a moment ago");
        broken.extend(self.restore_cell(&repository));
        let shared = Arc::new(storage);
        let reopen = || support::try_open(Arc::<MemoryStorage>::clone(&shared), key, &state);
        broken.extend(self.back_up_cell(&reopen, name, &harmed));
        broken
    }

    fn check_cell(
        &self,
        repository: &Repository,
        name: &ObjectName,
        harm: Harm,
        harmed: &BTreeSet<ObjectName>,
    ) -> Option<String> {
        let report = match try_check(repository, &threads(1)) {
            Ok(report) => report,
            Err(error) => return Some(format!("check broke off: {error}")),
        };
        let names_it = report.findings.iter().any(|finding| finding.object.is_some_and(|one| harmed.contains(&one)));
        // That no later history knows the last snapshot makes it one that may never have got its second copy.
        let is_told = names_it || (self.is_last(name) && harm.removes_name() && report.copies_missing > 0);
        match is_told {
            true => None,
            false => Some(format!("check does not name the object; it finds {:?}", report.findings)),
        }
    }

    fn is_last(&self, name: &ObjectName) -> bool {
        matches!(name.kind, ObjectKind::Snapshot | ObjectKind::SnapshotMirror) && name.id == self.sample.snapshots[1]
    }

    /// Everything that does not need a harmed pack is read, and nothing is read wrong.
    fn read_cell(&self, repository: &Repository, harmed: &BTreeSet<ObjectName>) -> Vec<String> {
        let mut broken = Vec::new();
        if let Err(error) = repository.refresh() {
            return vec![format!("refresh: {error}")];
        }
        let harmed_packs: BTreeSet<ObjectId> =
            harmed.iter().filter(|name| name.kind == ObjectKind::Pack).map(|name| name.id).collect();
        for (number, id) in self.sample.snapshots.iter().enumerate() {
            let (source, expected) = (self.sample.versions.path(number), self.sample.versions.manifest(number));
            let snapshot = match repository.read_snapshot(*id) {
                Err(error) => {
                    broken.push(format!("an undamaged copy of snapshot {number} is there and does not read: {error}"));
                    continue;
                }
                Ok(snapshot) => snapshot,
            };
            let tree = stored_tree(repository, &snapshot, source)
                .unwrap_or_else(|error| StoredTree { manifest: Manifest::new(), problems: vec![error.to_string()] });
            broken.extend(same_as_far_as_there(expected, &tree).err());
            for (path, needed) in below(&self.needs[number], source) {
                if needed.is_disjoint(&harmed_packs) && !tree.manifest.contains_key(path) {
                    let path = path.escape_ascii();
                    broken.push(format!("{path} of snapshot {number} needs nothing harmed and is lost"));
                }
            }
        }
        broken
    }

    fn restore_cell(&self, repository: &Repository) -> Vec<String> {
        let mut broken = Vec::new();
        for (number, id) in self.sample.snapshots.iter().enumerate() {
            let (source, expected) = (self.sample.versions.path(number), self.sample.versions.manifest(number));
            if let Ok((tree, _)) = restored(repository, *id, source) {
                broken.extend(same_as_far_as_there(expected, &tree).err().map(|why| format!("restore: {why}")));
            }
        }
        broken
    }

    /// The next backup succeeds, is whole where it can know, and heals what it can.
    fn back_up_cell(
        &self,
        reopen: &dyn Fn() -> Result<Repository, RepositoryError>,
        name: &ObjectName,
        harmed: &BTreeSet<ObjectName>,
    ) -> Vec<String> {
        let (source, expected) = (self.sample.versions.path(2), self.sample.versions.manifest(2));
        let repository = reopen().expect("it was opened a moment ago");
        let id = match try_backup(&repository, source, &threads(1)) {
            Ok(id) => id,
            Err(error) => return vec![format!("the next backup fails: {error}")],
        };
        let mut broken = Vec::new();
        let stored = repository.names(ObjectKind::Pack).expect("memory");
        let hidden = |one: &ObjectName| {
            one.kind == ObjectKind::Pack && stored.get(&one.id) == self.sample.storage.len(one).ok().as_ref()
        };
        // A pack that kept name and length is only found by reading it.
        let can_know = !harmed.iter().any(hidden);
        let repository = reopen().expect("it was opened a moment ago");
        repository.refresh().expect("memory");
        let tree = stored_tree(&repository, &support::snapshot(&repository, id), source);
        match tree {
            Ok(tree) if can_know && !tree.problems.is_empty() => {
                broken.push(format!("the next backup is not whole: {:?}", tree.problems));
            }
            Ok(tree) => broken.extend(same_as_far_as_there(expected, &tree).err()),
            Err(error) if can_know => broken.push(format!("the next backup is not whole: {error}")),
            Err(_) => {}
        }
        let repository = reopen().expect("it was opened a moment ago");
        let report = try_check(&repository, &threads(1)).expect("a check");
        for finding in report.findings {
            // A planted object lacks its copy, which is a finding about the copy.
            let is_about_harmed = finding.object.is_some_and(|object| harmed.iter().any(|one| one.id == object.id));
            let is_of_new = finding.path.as_ref().is_some_and(|(snapshot, _)| *snapshot == id);
            let is_excused = match name.kind {
                ObjectKind::Pack => is_about_harmed || !is_of_new || !can_know,
                _ => is_about_harmed,
            };
            if !is_excused {
                broken.push(format!("after the next backup a check still finds {finding:?}"));
            }
        }
        broken
    }
}

/// The entries below a source, by their path below it.
fn below<'n>(needs: &'n Needs, source: &Path) -> impl Iterator<Item = (&'n [u8], &'n BTreeSet<ObjectId>)> {
    use std::os::unix::ffi::OsStrExt as _;
    let prefix = [&source.as_os_str().as_bytes()[1..], b"/"].concat();
    needs.iter().filter_map(move |(path, needed)| Some((path.strip_prefix(&prefix[..])?, needed)))
}

fn run_matrix(kinds: &[ObjectKind]) {
    let matrix = Matrix::new();
    let (mut broken, mut cells) = (BTreeMap::new(), 0);
    for name in kinds.iter().flat_map(|kind| names(&matrix.sample.storage, *kind)) {
        for harm in Harm::ALL {
            for remembers in [false, true] {
                cells += 1;
                for why in matrix.try_cell(&name, harm, remembers) {
                    let why = why.replace(&name.id.to_string(), "(it)");
                    let of = name.kind.noun();
                    broken.entry(format!("{of} {harm:?}: {why}")).or_insert((name, remembers));
                }
            }
        }
    }
    assert!(cells >= kinds.len() * 22, "every kind is harmed in every way");
    let broken: Vec<String> = broken.into_iter().map(|(why, (_, state))| format!("{why} (state: {state})")).collect();
    assert!(broken.is_empty(), "{} promises are broken by harm to one object:\n{}", broken.len(), broken.join("\n"));
}

#[test]
fn harm_to_one_config_copy_or_key_copy_costs_nothing() {
    run_matrix(&[ObjectKind::Config, ObjectKind::ConfigMirror, ObjectKind::Key, ObjectKind::KeyMirror]);
}

#[test]
fn harm_to_one_copy_of_a_catalog_costs_nothing() {
    run_matrix(&[ObjectKind::Catalog, ObjectKind::CatalogMirror]);
}

#[test]
fn harm_to_one_copy_of_a_snapshot_costs_nothing() {
    run_matrix(&[ObjectKind::Snapshot, ObjectKind::SnapshotMirror]);
}

#[test]
fn harm_to_a_pack_costs_what_lies_in_it() {
    run_matrix(&[ObjectKind::Pack]);
}

#[test]
fn a_deleted_last_snapshot_is_missed_by_the_machine_that_made_it() {
    let (key, versions) = (KeyFile::generate().expect("randomness"), plain_versions());
    let state = tempfile::tempdir().expect("a scratch folder");
    let kept = LocalState::At(state.path().to_owned());
    let storage = Arc::new(MemoryStorage::new());
    let repository = support::create(Arc::<MemoryStorage>::clone(&storage), &key, &kept);
    let id = backup(&repository, versions.path(0));
    let name = ObjectName::new(ObjectKind::Snapshot, id);
    for kind in [ObjectKind::Snapshot, ObjectKind::SnapshotMirror] {
        storage.delete(&ObjectName::new(kind, id)).expect("memory");
    }
    let repository = support::open(storage, &key, &kept);
    let report = vellum::check(&repository, &vellum::CheckOptions::default(), &threads(1)).expect("a check");
    assert!(
        report.findings.iter().any(|finding| finding.object == Some(name)),
        "a snapshot that was published here is gone, and a check says nothing: {:?}",
        report.findings
    );
}

#[test]
fn a_plain_check_finds_every_missing_object() {
    let matrix = Matrix::new();
    // A record of checks may be missing: nothing relies on it (I25).
    let objects = matrix.sample.objects().into_keys();
    for name in objects.filter(|name| name.kind != ObjectKind::Verification) {
        let storage = matrix.sample.storage.clone();
        storage.delete(&name).expect("memory");
        let repository = open(&storage, &matrix.sample.key).expect("one missing object");
        let report = vellum::check(&repository, &vellum::CheckOptions::default(), &threads(1)).expect("a check");
        let told = if matrix.is_last(&name) { report.copies_missing } else { report.finding_count };
        assert!(told > 0, "{name} is missing and a plain check finds nothing");
    }
}

#[test]
fn both_copies_lost_say_what_is_lost() {
    let sample = Sample::new();
    let pairs = [(ObjectKind::Config, ObjectKind::ConfigMirror), (ObjectKind::Key, ObjectKind::KeyMirror)];
    for (kind, copy) in pairs {
        for harm in [Harm::Deleted, Harm::Emptied, Harm::Truncated, Harm::Flipped, Harm::OtherKind, Harm::Future] {
            let storage = sample.storage.clone();
            for name in [kind, copy].into_iter().flat_map(|kind| names(&storage, kind)) {
                harm.apply(&storage, &sample.storage, &name);
            }
            let error = open(&storage, &sample.key).err();
            let error = error.unwrap_or_else(|| panic!("{harm:?}: it opens without any {}", kind.noun()));
            let is_told = match &error {
                RepositoryError::NothingLeft { kind: told, .. } => *told == kind,
                RepositoryError::NoRepository { .. } => kind == ObjectKind::Config && harm == Harm::Deleted,
                _ => false,
            };
            assert!(is_told, "{harm:?} of both: the error must say that no {} is left, not: {error}", kind.noun());
        }
    }
}

/// Of a snapshot too, but that costs no other.
#[test]
fn both_copies_of_a_snapshot_lost_cost_that_snapshot() {
    let sample = Sample::new();
    for harm in [Harm::Emptied, Harm::Truncated, Harm::Flipped, Harm::OtherKind, Harm::Future] {
        let storage = sample.storage.clone();
        for kind in [ObjectKind::Snapshot, ObjectKind::SnapshotMirror] {
            harm.apply(&storage, &sample.storage, &ObjectName::new(kind, sample.snapshots[0]));
        }
        let repository = open(&storage, &sample.key).expect("snapshots are not needed to open");
        let found = repository.snapshots().expect("memory");
        let ids: Vec<ObjectId> = found.snapshots.iter().map(|snapshot| snapshot.id).collect();
        assert_eq!(ids, sample.snapshots[1..], "{harm:?}");
        let told = found.damaged.iter().any(|error| error.to_string().contains(&sample.snapshots[0].to_string()));
        assert!(told, "{harm:?}: the lost snapshot is named in {:?}", found.damaged);
        let report = try_check(&repository, &threads(1)).expect("a check");
        let lost = ObjectName::new(ObjectKind::Snapshot, sample.snapshots[0]);
        assert!(report.findings.iter().any(|finding| finding.object == Some(lost)), "{harm:?}: {:?}", report.findings);
    }
}

/// Of all catalogs, as of one, what they list is found in the packs.
#[test]
fn both_copies_of_a_catalog_lost_cost_nothing() {
    let sample = Sample::new();
    for harm in [Harm::Deleted, Harm::Emptied, Harm::Truncated, Harm::Flipped, Harm::OtherKind, Harm::Future] {
        for name in names(&sample.storage, ObjectKind::Catalog) {
            let storage = sample.storage.clone();
            for kind in [ObjectKind::Catalog, ObjectKind::CatalogMirror] {
                harm.apply(&storage, &sample.storage, &ObjectName::new(kind, name.id));
            }
            let report = try_check(&open(&storage, &sample.key).expect("catalogs are not needed to open"), &threads(1));
            assert!(report.expect("a check").finding_count > 0, "{harm:?}: what no catalog lists is told");
            let repository = open(&storage, &sample.key).expect("catalogs are not needed to open");
            assert_eq!(sample.read_all(&repository), Ok(Vec::new()), "{harm:?} of {name}");
        }
    }
}

/// Keys of another repository that got into this one, by a wrong copy or an `init` that was cut off, are not ours.
#[test]
fn keys_of_another_repository_are_not_taken_for_ours() {
    let sample = Sample::new();
    let own = names(&sample.storage, ObjectKind::Key)[0];
    let mut met = BTreeSet::new();
    let mut refused = BTreeSet::new();
    while met.len() < 2 {
        let foreign = MemoryStorage::new();
        let shared = Arc::new(foreign);
        drop(support::create(Arc::<MemoryStorage>::clone(&shared), &sample.key, &LocalState::None));
        let planted = names(&shared, ObjectKind::Key)[0];
        met.insert(planted.id < own.id);
        let storage = sample.storage.clone();
        storage.put(&planted, &bytes_of(&shared, &planted)).expect("memory");
        match open(&storage, &sample.key) {
            Ok(repository) => assert_eq!(sample.read_all(&repository), Ok(Vec::new()), "own keys open own data"),
            Err(error) => drop(refused.insert(error.to_string())),
        }
    }
    assert!(refused.is_empty(), "own keys are there twice, and one foreign manifest keeps all shut: {refused:?}");
}

/// I4 the other way round: without any catalog everything is still in the packs.
#[test]
fn without_any_catalog_all_is_restored_and_the_next_backup_lists_it_again() {
    let sample = Sample::new();
    let storage = Arc::new(sample.storage.clone());
    for name in [ObjectKind::Catalog, ObjectKind::CatalogMirror].into_iter().flat_map(|kind| names(&storage, kind)) {
        storage.delete(&name).expect("memory");
    }
    let reopen = || support::open(Arc::<MemoryStorage>::clone(&storage), &sample.key, &LocalState::None);
    assert_eq!(sample.read_all(&reopen()), Ok(Vec::new()), "packs hold everything that catalogs list");
    backup(&reopen(), sample.versions.path(2));
    let report = try_check(&reopen(), &threads(1)).expect("a check");
    assert_eq!(report.findings, [], "the next backup lists what lost its catalog");
}

/// The same with a rich tree: links, attributes, empty folders.
#[test]
fn a_lost_pack_of_a_rich_tree_costs_what_lies_in_it() {
    let key = KeyFile::generate().expect("randomness");
    let versions = Versions::prepare(5, 2, TreeOptions { file_count: 20, len_bytes_max: 20_000 });
    let storage = Arc::new(MemoryStorage::new());
    let repository = support::create(Arc::<MemoryStorage>::clone(&storage), &key, &LocalState::None);
    let ids = [0, 1].map(|number| backup(&repository, versions.path(number)));
    let needed = ids.map(|id| needs(&repository, &support::snapshot(&repository, id)));
    for lost in names(&storage, ObjectKind::Pack) {
        let copy = (*storage).clone();
        copy.delete(&lost).expect("memory");
        let repository = open(&copy, &key).expect("a pack is not needed to open");
        repository.refresh().expect("memory");
        let mut survivors = 0;
        for (number, id) in ids.iter().enumerate() {
            let source = versions.path(number);
            let tree = stored_tree(&repository, &support::snapshot(&repository, *id), source);
            let Ok(tree) = tree else { continue };
            same_as_far_as_there(versions.manifest(number), &tree).expect("nothing wrong is given back");
            for (path, needed) in below(&needed[number], source) {
                let is_there = tree.manifest.contains_key(path);
                survivors += usize::from(is_there);
                assert!(is_there || needed.contains(&lost.id), "{} is lost without need", path.escape_ascii());
            }
        }
        let without_it = |needs: &Needs| needs.values().filter(|needed| !needed.contains(&lost.id)).count();
        assert!(survivors > 0 || needed.iter().all(|needs| without_it(needs) == 0), "something survives {lost}");
    }
}
