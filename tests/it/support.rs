//! What several modules need: a repository in a moment, and the options that most tests share.

mod objects;
mod odd_disk;

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use vellum::format::ObjectId;
use vellum::format::snapshot::Timestamp;
use vellum::format::tree::{Entry, LinkGroup, Metadata, Node};
use vellum::storage::Storage;
use vellum::{
    BackupOptions, BackupReport, CheckOptions, CheckReport, Context, CreateOptions, Credential, FrameCache, HeldKeys,
    KeyFile, LocalState, Locked, MaxUnused, NewSlot, PruneOptions, ReadData, Removal, Repository, RepositoryError,
    RestoreOptions, RestoreReport, Snapshot, SnapshotRef, TreeWalk,
};
use vellum_testkit::trees::{self, Manifest, TreeOptions};
use vellum_testkit::{Random, lock};

pub(crate) use objects::{Objects, PutsNoPacks, bytes_of, change, names, objects, put_all};
pub(crate) use odd_disk::{OddDisk, Oddity};

/// The time that tests live in: 2026-11-21T00:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp { seconds: 1_795_219_200, nanoseconds: 0 };

/// Small packs, so that small data makes several.
pub(crate) fn small_packs() -> CreateOptions {
    let mut options = CreateOptions::new(NOW);
    options.pack_len_bytes = 1 << 20;
    options.frame_len_bytes = 64 << 10;
    options.chunker.min_len_bytes = 1 << 10;
    options.chunker.avg_len_bytes = 4 << 10;
    options.chunker.max_len_bytes = 16 << 10;
    options
}

/// A new repository that `key` unlocks; no key derivation, so it takes milliseconds.
pub(crate) fn create(storage: Arc<dyn Storage>, key: &KeyFile, state: &LocalState) -> Repository {
    create_with(storage, key, state, &small_packs())
}

/// The same with other options.
pub(crate) fn create_with(
    storage: Arc<dyn Storage>,
    key: &KeyFile,
    state: &LocalState,
    options: &CreateOptions,
) -> Repository {
    try_create(storage, key, state, options).expect("a new repository")
}

/// The same where it may fail.
pub(crate) fn try_create(
    storage: Arc<dyn Storage>,
    key: &KeyFile,
    state: &LocalState,
    options: &CreateOptions,
) -> Result<Repository, RepositoryError> {
    let slot = NewSlot { credential: Credential::KeyFile(key), label: "test", argon2id: None, now: NOW };
    Ok(Repository::create(storage, options, &[slot], state)?.repository)
}

/// Opens an existing repository.
pub(crate) fn open(storage: Arc<dyn Storage>, key: &KeyFile, state: &LocalState) -> Repository {
    try_open(storage, key, state).expect("a repository that the key file unlocks")
}

/// The same where it may fail.
pub(crate) fn try_open(
    storage: Arc<dyn Storage>,
    key: &KeyFile,
    state: &LocalState,
) -> Result<Repository, RepositoryError> {
    Locked::open(storage)?.unlock(&Credential::KeyFile(key), state)
}

/// The keys that were unlocked last, for suites that open one repository very often: to unlock takes longer than to
/// read what is small. What is read and verified before is so each time, and other keys are unlocked anew.
#[derive(Default)]
pub(crate) struct LastKeys(Mutex<Option<HeldKeys>>);

impl LastKeys {
    /// As [`open`].
    pub(crate) fn open(&self, storage: Arc<dyn Storage>, key: &KeyFile, state: &LocalState) -> Repository {
        self.try_open(storage, key, state).expect("a repository that the key file unlocks")
    }

    /// As [`try_open`].
    pub(crate) fn try_open(
        &self,
        storage: Arc<dyn Storage>,
        key: &KeyFile,
        state: &LocalState,
    ) -> Result<Repository, RepositoryError> {
        let held = lock(&self.0).clone();
        if let Some(held) = held {
            match Locked::open(Arc::clone(&storage))?.unlock_again(&held, state) {
                Err(RepositoryError::KeysChanged { .. }) => {}
                opened => return opened,
            }
        }
        let repository = try_open(storage, key, state)?;
        *lock(&self.0) = Some(repository.held_keys());
        Ok(repository)
    }
}

/// Backs one folder up.
pub(crate) fn backup(repository: &Repository, source: &Path) -> BackupReport {
    let mut options = BackupOptions::new([source.to_owned()]);
    options.time = NOW;
    vellum::backup(repository, &options, &Context::default()).expect("a backup")
}

/// Removes one snapshot.
pub(crate) fn remove(repository: &Repository, snapshot: ObjectId) -> Result<ObjectId, RepositoryError> {
    repository.remove_snapshots(&Removal {
        snapshots: vec![snapshot],
        time: NOW,
        host: Vec::new(),
        user: String::new(),
        program: "test".to_owned(),
        reason: "a test".to_owned(),
    })
}

/// Restores the folder `source` of a snapshot directly into `target`.
pub(crate) fn restore(repository: &Repository, snapshot: &SnapshotRef, source: &Path, target: &Path) -> RestoreReport {
    let mut options = RestoreOptions::default();
    options.subfolder = Some(source.as_os_str().as_encoded_bytes().to_vec());
    vellum::restore(repository, snapshot, target, &options, &Context::default()).expect("a restore")
}

/// Checks everything, every byte.
pub(crate) fn check(repository: &Repository) -> CheckReport {
    try_check(repository, &Context::default()).expect("a check")
}

/// How to prune so that what may go is deleted in the first run.
pub(crate) fn prune_at_once() -> PruneOptions {
    let mut options = PruneOptions::new(NOW);
    options.grace_seconds = 0;
    options
}

/// The same, and everything that has to move for it is moved.
pub(crate) fn prune_all_at_once() -> PruneOptions {
    let mut options = prune_at_once();
    options.max_unused = MaxUnused::Percent(0.0);
    options
}

/// One thread, for runs that have to do the same again.
pub(crate) fn threads(count: usize) -> Context {
    Context { threads: Some(count), ..Context::default() }
}

/// Backs one folder up; what could not be saved of a folder that holds still is a failure too.
pub(crate) fn try_backup(repository: &Repository, source: &Path, context: &Context) -> Result<ObjectId, vellum::Error> {
    let mut options = BackupOptions::new([source.to_owned()]);
    options.time = NOW;
    let report = vellum::backup(repository, &options, context)?;
    assert!(report.problems.is_empty(), "a source that holds still is saved whole: {:?}", report.problems);
    Ok(report.snapshot.expect("a backup that is no dry run makes a snapshot"))
}

/// Checks everything, every byte.
pub(crate) fn try_check(repository: &Repository, context: &Context) -> Result<CheckReport, vellum::Error> {
    let mut options = CheckOptions::default();
    options.read_data = ReadData::All;
    vellum::check(repository, &options, context)
}

/// What can be read of one folder of a snapshot, without restoring it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StoredTree {
    /// As [`trees::manifest`] describes the restored folder.
    pub(crate) manifest: Manifest,
    /// What cannot be read.
    pub(crate) problems: Vec<String>,
}

/// Reads a folder of a snapshot in memory, every byte of every file. What is damaged is a problem, never an error.
pub(crate) fn stored_tree(
    repository: &Repository,
    snapshot: &Snapshot,
    source: &Path,
) -> Result<StoredTree, vellum::Error> {
    stored_tree_through(&FrameCache::new(16), repository, snapshot, source)
}

/// The same, for several snapshots: a frame in which they share something is read and opened once.
pub(crate) fn stored_tree_through(
    cache: &FrameCache,
    repository: &Repository,
    snapshot: &Snapshot,
    source: &Path,
) -> Result<StoredTree, vellum::Error> {
    let root = vellum::open_path(repository, cache, snapshot, source.as_os_str().as_bytes())?;
    let Some(Entry { node: Node::Folder { content }, .. }) = root else { panic!("a source is a folder") };
    let mut tree = StoredTree { manifest: Manifest::new(), problems: Vec::new() };
    let mut groups: BTreeMap<LinkGroup, Vec<Vec<u8>>> = BTreeMap::new();
    for step in TreeWalk::new(repository, cache, &content) {
        let (path, entry) = match step {
            Ok(step) => (step.path, step.entry),
            Err((path, error)) => {
                tree.problems.push(format!("{}: {error}", path.escape_ascii()));
                continue;
            }
        };
        if let Some(group) = entry.metadata.link_group {
            groups.entry(group).or_default().push(path.clone());
        }
        match described(repository, cache, &entry) {
            Ok(text) => drop(tree.manifest.insert(path, text)),
            Err(error) => tree.problems.push(format!("{}: {error}", path.escape_ascii())),
        }
    }
    for names in groups.values_mut().filter(|names| names.len() > 1) {
        names.sort();
        for name in &*names {
            if let Some(text) = tree.manifest.get_mut(name) {
                text.push_str(&format!(" group={}", names[0].escape_ascii()));
            }
        }
    }
    Ok(tree)
}

fn described(repository: &Repository, cache: &FrameCache, entry: &Entry) -> Result<String, vellum::Error> {
    let Metadata { mode, uid, gid, modified, xattrs, .. } = &entry.metadata;
    let (kind, more) = match &entry.node {
        Node::File { content, .. } => {
            // Hashed as one piece, which takes a fraction of the time of many small ones.
            let mut bytes = Vec::new();
            let len_bytes = vellum::read_stream(repository, cache, content, &mut bytes)?;
            ("file", format!(" size={len_bytes} blake3={}", blake3::hash(&bytes)))
        }
        Node::Folder { .. } => ("folder", String::new()),
        Node::Symlink { target } => ("symlink", format!(" target={}", target.escape_ascii())),
        Node::Fifo => ("fifo", String::new()),
        Node::BlockDevice { .. } | Node::CharDevice { .. } => panic!("the trees of tests hold no devices"),
    };
    let Timestamp { seconds, nanoseconds } = modified;
    let mut text = format!("{kind} mode={mode:04o} uid={uid} gid={gid} mtime={seconds}+{nanoseconds:09}ns{more}");
    for (name, value) in xattrs {
        text.push_str(&format!(" xattr:{}={}", name.escape_ascii(), value.escape_ascii()));
    }
    Ok(text)
}

/// A snapshot by its id.
pub(crate) fn snapshot(repository: &Repository, id: ObjectId) -> Snapshot {
    repository.read_snapshot(id).expect("an acknowledged snapshot is there and undamaged")
}

/// Panics unless a snapshot gives back exactly what was saved.
#[track_caller]
pub(crate) fn assert_holds(repository: &Repository, id: ObjectId, source: &Path, expected: &Manifest) {
    assert_tree(stored_tree(repository, &snapshot(repository, id), source), expected);
}

#[track_caller]
fn assert_tree(tree: Result<StoredTree, vellum::Error>, expected: &Manifest) {
    let tree = tree.expect("a readable snapshot");
    assert!(tree.problems.is_empty(), "an acknowledged snapshot cannot be read whole: {:?}", tree.problems);
    let differences = trees::differences(expected, &tree.manifest);
    assert!(differences.is_empty(), "an acknowledged snapshot gives back something else: {differences:?}");
}

/// A folder at several times, each under a path of its own.
pub(crate) struct Versions {
    _folder: tempfile::TempDir,
    all: Vec<(PathBuf, Manifest)>,
}

impl Versions {
    /// The first is built, each later one is a changed copy.
    pub(crate) fn prepare(seed: u64, count: usize, options: TreeOptions) -> Self {
        let folder = quiet_folder();
        let mut all: Vec<(PathBuf, Manifest)> = Vec::new();
        for number in 0..count {
            let path = folder.path().join(format!("version-{number}"));
            match all.last() {
                None => trees::build(&path, seed, options),
                Some((previous, _)) => {
                    copy(previous, &path);
                    trees::mutate(&path, seed + number as u64, 12);
                }
            }
            let manifest = trees::manifest(&path);
            all.push((path, manifest));
        }
        Self { _folder: folder, all }
    }

    /// Plain files, each with its path, its length and the seed of its bytes, which do not compress.
    pub(crate) fn of_files(versions: &[&[(&str, usize, u64)]]) -> Self {
        let folder = quiet_folder();
        let write = |(number, files): (usize, &&[(&str, usize, u64)])| {
            let root = folder.path().join(format!("version-{number}"));
            for (path, len_bytes, seed) in *files {
                let path = root.join(path);
                std::fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder");
                std::fs::write(&path, Random::new(*seed).bytes(*len_bytes)).expect("a file");
            }
            let manifest = trees::manifest(&root);
            (root, manifest)
        };
        let all = versions.iter().enumerate().map(write).collect();
        Self { _folder: folder, all }
    }

    /// Where one lies.
    pub(crate) fn path(&self, number: usize) -> &Path {
        &self.all[number].0
    }

    /// What one holds.
    pub(crate) fn manifest(&self, number: usize) -> &Manifest {
        &self.all[number].1
    }

    /// The version that a snapshot was made of.
    pub(crate) fn number_of(&self, snapshot: &Snapshot) -> usize {
        let path = &snapshot.manifest.paths[0].0;
        let found = self.all.iter().position(|(own, _)| own.as_os_str().as_bytes() == path);
        found.expect("every snapshot of a test is of one of its versions")
    }

    /// Panics unless a snapshot holds what it was made of.
    #[track_caller]
    pub(crate) fn assert_holds(&self, repository: &Repository, snapshot: &Snapshot) {
        self.assert_hold(repository, std::slice::from_ref(snapshot));
    }

    /// The same of several snapshots.
    #[track_caller]
    pub(crate) fn assert_hold(&self, repository: &Repository, snapshots: &[Snapshot]) {
        let cache = FrameCache::new(16);
        for snapshot in snapshots {
            let number = self.number_of(snapshot);
            let tree = stored_tree_through(&cache, repository, snapshot, self.path(number));
            assert_tree(tree, self.manifest(number));
        }
    }
}

/// A scratch folder above which nothing changes while other tests run: the folders above a source are in its
/// snapshots, and a test may need two backups that are equal. Each test has its own, which stays empty between runs.
fn quiet_folder() -> tempfile::TempDir {
    let test = std::thread::current().name().unwrap_or("unnamed").replace(':', "-");
    let above = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sources").join(test);
    std::fs::create_dir_all(&above).expect("a scratch folder");
    tempfile::tempdir_in(above).expect("a scratch folder")
}

/// How many cases a slow suite has: a number in the environment, or what `just test-slow` has time for.
#[cfg(feature = "slow")]
#[expect(clippy::disallowed_methods, reason = "test programs take no arguments of their own")]
pub(crate) fn count(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(count) => count.parse().unwrap_or_else(|_| panic!("{variable}={count} is no number")),
        Err(std::env::VarError::NotPresent) => default,
        Err(error) => panic!("{variable}: {error}"),
    }
}

/// Where files cost no disk, if there is such a place.
pub(crate) fn memory_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a scratch folder")
}

/// Does something with each item, on so many threads. One that panics stops only its own thread, until all have ended.
pub(crate) fn on_threads<T: Send>(count: usize, items: impl Iterator<Item = T> + Send, run: impl Fn(T) + Sync) {
    let items = Mutex::new(items);
    let next = || lock(&items).next();
    std::thread::scope(|scope| {
        for _ in 0..count {
            scope.spawn(|| {
                while let Some(item) = next() {
                    run(item);
                }
            });
        }
    });
}

/// Copies a folder with everything in it, hard links and attributes included.
pub(crate) fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp can be run");
    assert!(status.success(), "cp {} {}", from.display(), to.display());
}

/// Every file below a folder, in order.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().expect("a kind").is_dir() {
            true => files.extend(files_below(&entry.path())),
            false => files.push(entry.path()),
        }
    }
    files.sort();
    files
}
