//! Backing up: walk the source, read what changed, store it, publish one snapshot.
//!
//! Walkers share the folders; workers read, cut, name, compress and seal whole files, and what another reads of a long
//! one; an entry goes into its folder's tree by whichever thread completes those before it. Memory: two pack lengths
//! for open packs, one for each worker that is finishing one, two for the upload and two kept for the next; per worker
//! three open frames, one compressed and one sealed, the read buffer of a chunk stream and three pieces of long files;
//! per walker frames of trees and the names of the folders that it is in; and the entries that wait for others before
//! them. Every queue is bounded.

mod batches;
mod exclude;
mod file_cache;
mod folder;
mod pieces;
mod roots;
mod subtrees;
mod verify;
mod walk;
mod worker;

use crate::platform::{ReadXattrs, Xattrs};
use crate::tree_reader::entry_at;
use crate::{Context, Error, Problem, lock};
use file_cache::{CacheWriter, FileCache};
use folder::FolderBuilder;
use pieces::Pieces;
use roots::{RootNode, Roots};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use vellum_format::ObjectId;
use vellum_format::content::{ChunkKind, Content};
use vellum_format::parity::Parity;
use vellum_format::snapshot::{Summary, Timestamp};
use vellum_format::tree::{Entry, EntryName, Metadata, Node};
use vellum_repository::{
    FrameCache, HistoryFinding, Repository, RepositoryError, SessionOptions, SnapshotDraft, WriterNote,
};

pub use exclude::Excludes;

/// What to back up and how.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct BackupOptions {
    /// Absolute paths. A path that is a symbolic link saves the link. One that is not there, or cannot be entered or
    /// listed, is a [`Problem`] as long as another is and can: then the snapshot bears only the others, and is one of
    /// theirs for `skip_if_unchanged` and for whoever groups by paths.
    pub paths: Vec<PathBuf>,
    /// The host's name as it shall stand in the snapshot.
    pub host: Vec<u8>,
    /// The user who runs the backup.
    pub user: String,
    /// Labels.
    pub tags: Vec<String>,
    /// The snapshot's time.
    pub time: Timestamp,
    /// What to leave out.
    pub excludes: Excludes,
    /// Reads every file, whatever the file cache says.
    pub force: bool,
    /// Only tells what would be read.
    pub dry_run: bool,
    /// Publishes nothing when the tree equals that of the last snapshot with the same host and paths.
    pub skip_if_unchanged: bool,
    /// zstd level for this run.
    pub compression_level: Option<i32>,
    /// What new packs of this run carry against damage; `None` takes what the repository's config says.
    pub parity: Option<Parity>,
    /// The program's name and version, for the snapshot.
    pub program: String,
    /// The folder that the repository lies in, if it is a local one: it must not be part of the source.
    pub repository_folder: Option<PathBuf>,
}

impl BackupOptions {
    /// The defaults for these paths: no host, no tags, the time of 1970.
    #[must_use]
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        Self {
            paths: paths.into_iter().collect(),
            host: Vec::new(),
            user: String::new(),
            tags: Vec::new(),
            time: Timestamp { seconds: 0, nanoseconds: 0 },
            excludes: Excludes::default(),
            force: false,
            dry_run: false,
            skip_if_unchanged: false,
            compression_level: None,
            parity: None,
            program: concat!("vellum ", env!("CARGO_PKG_VERSION")).to_owned(),
            repository_folder: None,
        }
    }
}

/// What a backup did.
#[derive(Debug)]
pub struct BackupReport {
    /// The snapshot; `None` for a dry run or a skipped one.
    pub snapshot: Option<ObjectId>,
    /// Counts.
    pub summary: Summary,
    /// Entries that could not be saved as they are, up to the first 10,000; `summary.errors` counts all.
    pub problems: Vec<Problem>,
    /// What is wrong with the repository's history; the backup is not concerned.
    pub history: Vec<HistoryFinding>,
}

const PROBLEMS_KEPT_MAX: usize = 10_000;

/// What the threads of one backup share.
pub(crate) struct Run<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) context: &'a Context,
    pub(crate) counts: Counts,
    pub(crate) cache_writer: Option<CacheWriter>,
    problems: Mutex<Vec<Problem>>,
    /// Roots that could not be saved, or what they stand below.
    lost: Mutex<Vec<(PathBuf, io::Error)>>,
    failure: Mutex<Option<Error>>,
}

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) files: AtomicU64,
    pub(crate) folders: AtomicU64,
    pub(crate) others: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) files_new: AtomicU64,
    pub(crate) files_changed: AtomicU64,
    pub(crate) files_unchanged: AtomicU64,
    pub(crate) errors: AtomicU64,
}

impl Run<'_> {
    pub(crate) fn problem(&self, path: &[u8], doing: &'static str, reason: &impl ToString) {
        let problem = Problem::new(path.to_vec(), doing, reason);
        self.context.tell(&crate::Event::Problem(&problem));
        self.counts.errors.fetch_add(1, Ordering::Relaxed);
        let mut problems = lock(&self.problems);
        if problems.len() < PROBLEMS_KEPT_MAX {
            problems.push(problem);
        }
    }

    /// Tells that the roots at or below a node cannot be saved.
    pub(crate) fn lose(&self, node: &RootNode, path: &[u8], error: io::Error) {
        node.visit_roots(&mut path.to_vec(), &mut |path| self.problem(path, "back up", &error));
        lock(&self.lost).push((path_buf(path), error));
    }

    /// The paths of which something is saved.
    fn saved_paths(&self, roots: &Roots) -> Result<Vec<Vec<u8>>, Error> {
        let mut lost = lock(&self.lost);
        let is_lost = |path: &Path| lost.iter().any(|(lost, _)| path.starts_with(lost));
        let saved: Vec<_> = roots.paths.iter().filter(|path| !is_lost(path)).map(|path| path_bytes(path)).collect();
        match lost.pop() {
            Some((path, source)) if saved.is_empty() => Err(Error::SourceMissing { path, source }),
            _ => Ok(saved),
        }
    }

    /// The extended attributes that an entry is saved with, and whether these are all; else it is told which are not.
    pub(crate) fn readable(&self, read: ReadXattrs, path: impl FnOnce() -> Vec<u8>) -> (Xattrs, bool) {
        let ReadXattrs { xattrs, unread } = read;
        if let Some(unread) = &unread {
            self.problem(&path(), "save all extended attributes of", unread);
        }
        (xattrs, unread.is_none())
    }

    /// Keeps the first error that ends the run; one that only says that there was another gives way to it.
    pub(crate) fn fail(&self, error: Error) {
        let mut failure = lock(&self.failure);
        if matches!(*failure, None | Some(Error::Repository(RepositoryError::SessionPoisoned))) {
            *failure = Some(error);
        }
    }

    /// Has everybody stop for an error that is told elsewhere.
    pub(crate) fn give_up(&self) {
        self.fail(RepositoryError::SessionPoisoned.into());
    }

    pub(crate) fn has_failed(&self) -> bool {
        lock(&self.failure).is_some()
    }

    fn summary(&self) -> Summary {
        let counts = &self.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Summary {
            files: read(&counts.files),
            folders: read(&counts.folders),
            others: read(&counts.others),
            bytes: read(&counts.bytes),
            files_new: read(&counts.files_new),
            files_changed: read(&counts.files_changed),
            files_unchanged: read(&counts.files_unchanged),
            errors: read(&counts.errors),
            ..Summary::default()
        }
    }
}

/// Backs folders and files up into one new snapshot.
///
/// A crash or kill at any time leaves a valid repository; the snapshot is there exactly when this has returned it.
/// What was stored until then is found by the next backup.
///
/// A run that a prune gave up while it stood still is made again, from the start.
///
/// # Errors
/// [`Error::SourceMissing`] when none of the paths is there and can be entered: nothing is published then. An entry that cannot be read is
/// no error but a [`Problem`] in the report. [`Error::Cancelled`] keeps what was stored, without a snapshot.
pub fn backup(repository: &Repository, options: &BackupOptions, context: &Context) -> Result<BackupReport, Error> {
    match try_backup(repository, options, context) {
        // The second run finds almost everything stored. One that is given up twice has a reason that stays.
        Err(Error::Repository(RepositoryError::Fenced)) => try_backup(repository, options, context),
        done => done,
    }
}

fn try_backup(repository: &Repository, options: &BackupOptions, context: &Context) -> Result<BackupReport, Error> {
    let started = Instant::now();
    let roots = roots::resolve(options)?;
    let session = match options.dry_run {
        true => {
            repository.refresh()?;
            None
        }
        false => Some(repository.begin(&session_options(options, context))?),
    };
    let cache = (!options.force).then(|| FileCache::open(repository, &roots)).flatten();
    let cache_writer = if options.dry_run { None } else { CacheWriter::create(repository, &roots) };
    let run = Run {
        repository,
        context,
        counts: Counts::default(),
        cache_writer,
        problems: Mutex::default(),
        lost: Mutex::default(),
        failure: Mutex::default(),
    };
    for (path, error) in &roots.missing {
        run.problem(&path_bytes(path), "back up", error);
    }
    let Some(session) = session else {
        walk::survey(&run, options, &roots, cache.as_ref())?;
        run.saved_paths(&roots)?;
        return Ok(report(run, None, Summary::default()));
    };
    let stored = store(&run, options, &roots, cache.as_ref(), &session);
    if let Err(Error::Cancelled) = &stored {
        // What is complete becomes durable, so that the next backup need not store it again.
        drop(session.seal());
        return Err(Error::Cancelled);
    }
    let root = stored?;
    let paths = run.saved_paths(&roots)?;
    let mut durable = session.seal()?;
    if options.skip_if_unchanged && is_unchanged(repository, options, &paths, &root)? {
        return Ok(report(run, None, Summary::default()));
    }
    verify::verify(repository, &durable, &root, context)?;
    let stored = durable.stored();
    let summary = Summary {
        chunks_new: stored.chunks_new,
        bytes_new: stored.bytes_new,
        bytes_stored: stored.bytes_stored,
        duration_ms: milliseconds_since(started),
        ..run.summary()
    };
    let history = durable.history_findings()?;
    let snapshot = durable.publish(draft(options, paths, root, summary))?;
    if let Some(writer) = &run.cache_writer {
        writer.publish(repository);
    }
    Ok(BackupReport { history, ..report(run, Some(snapshot), summary) })
}

/// Backs one stream up as a file of this name in the root of a new snapshot.
///
/// # Errors
/// [`Error::Input`] when the stream fails: nothing is published then.
pub fn backup_stream(
    repository: &Repository,
    name: &EntryName,
    stream: impl Read,
    options: &BackupOptions,
    context: &Context,
) -> Result<BackupReport, Error> {
    let started = Instant::now();
    let session = repository.begin(&session_options(options, context))?;
    let mut writer = session.frame_writer()?;
    let stream = WatchedReader { stream, context };
    let written = pieces::write_stream(&session, stream, repository.chunker(), &mut writer, context);
    // Also when the stream came to its end: whoever asked to stop may have ended it.
    context.check_cancelled()?;
    let (content, len_bytes) = written?;
    let metadata = Metadata {
        mode: 0o600,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        user: Vec::new(),
        group: Vec::new(),
        modified: options.time,
        xattrs: Vec::new(),
        link_group: None,
    };
    let node = Node::File { len_bytes, content, sparse: false };
    let mut tree = crate::content::StreamWriter::new(ChunkKind::Tree, repository.chunker());
    Entry { name: name.clone(), node, metadata }.encode_into(tree.buffer());
    let root = tree.finish(&mut writer)?;
    writer.flush()?;
    drop(writer);
    let mut durable = session.seal()?;
    verify::verify(repository, &durable, &root, context)?;
    let stored = durable.stored();
    let summary = Summary {
        files: 1,
        files_new: 1,
        bytes: len_bytes,
        chunks_new: stored.chunks_new,
        bytes_new: stored.bytes_new,
        bytes_stored: stored.bytes_stored,
        duration_ms: milliseconds_since(started),
        ..Summary::default()
    };
    let paths = vec![[b"/", name.as_bytes()].concat()];
    let history = durable.history_findings()?;
    let snapshot = durable.publish(draft(options, paths, root, summary))?;
    Ok(BackupReport { snapshot: Some(snapshot), summary, problems: Vec::new(), history })
}

/// Walks and stores everything below the roots and returns the content of the folder above them.
fn store(
    run: &Run<'_>,
    options: &BackupOptions,
    roots: &Roots,
    cache: Option<&FileCache<'_>>,
    session: &vellum_repository::Session<'_>,
) -> Result<Content, Error> {
    let top = FolderBuilder::top();
    let workers = run.context.worker_count();
    let (jobs, queue) = crossbeam_channel::bounded(batches::waiting_max(workers));
    let pieces = Pieces::new(workers);
    let panicked = std::thread::scope(|scope| {
        let start = || {
            let (queue, pieces) = (queue.clone(), pieces.clone());
            std::thread::Builder::new().spawn_scoped(scope, move || worker::work(run, session, &queue, pieces))
        };
        let first = match start() {
            Ok(first) => first,
            Err(error) => {
                run.fail(RepositoryError::NoThread(error).into());
                return false;
            }
        };
        let handles: Vec<_> = std::iter::once(first).chain((1..workers).map_while(|_| start().ok())).collect();
        // Each worker has its own end: without workers nobody waits for them.
        drop((queue, pieces));
        if let Err(error) = walk::walk(run, options, roots, cache, session, &top, jobs) {
            run.fail(error);
        }
        handles.into_iter().any(|handle| handle.join().is_err())
    });
    if panicked {
        return Err(Error::WorkerPanicked);
    }
    if let Some(error) = lock(&run.failure).take() {
        return Err(error);
    }
    top.content().ok_or(Error::WorkerPanicked)
}

fn session_options(options: &BackupOptions, context: &Context) -> SessionOptions {
    let mut session = SessionOptions::default();
    session.threads = context.worker_count();
    session.compression_level = options.compression_level;
    session.parity = options.parity;
    session.writer = WriterNote {
        time: options.time,
        host: options.host.clone(),
        user: options.user.clone(),
        program: options.program.clone(),
        process: crate::platform::process::current(),
    };
    session
}

fn draft(options: &BackupOptions, paths: Vec<Vec<u8>>, root: Content, summary: Summary) -> SnapshotDraft {
    SnapshotDraft {
        time: options.time,
        host: options.host.clone(),
        user: options.user.clone(),
        paths,
        tags: options.tags.clone(),
        root,
        summary,
        program: options.program.clone(),
    }
}

fn is_unchanged(
    repository: &Repository,
    options: &BackupOptions,
    paths: &[Vec<u8>],
    root: &Content,
) -> Result<bool, Error> {
    let snapshots = repository.snapshots()?.snapshots;
    let last = snapshots.iter().rev().find(|snapshot| {
        let manifest = &snapshot.manifest;
        manifest.host.0 == options.host && manifest.paths.iter().map(|path| &path.0).eq(paths.iter())
    });
    let Some(last) = last else { return Ok(false) };
    let cache = FrameCache::new(4);
    let before = crate::tree_reader::root_content(last)?;
    for path in paths {
        // The folders above a root do not count: their times change with every neighbour.
        if entry_at(repository, &cache, root, path)? != entry_at(repository, &cache, &before, path)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn milliseconds_since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn report(run: Run<'_>, snapshot: Option<ObjectId>, stored: Summary) -> BackupReport {
    let counted = run.summary();
    let Summary { chunks_new, bytes_new, bytes_stored, .. } = stored;
    let summary = Summary { chunks_new, bytes_new, bytes_stored, ..counted };
    let problems = run.problems.into_inner().unwrap_or_else(PoisonError::into_inner);
    BackupReport { snapshot, summary, problems, history: Vec::new() }
}

fn path_bytes(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt as _;
    path.as_os_str().as_bytes().to_vec()
}

fn path_buf(path: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    PathBuf::from(std::ffi::OsStr::from_bytes(path))
}

/// Watches for cancellation while a stream is read.
struct WatchedReader<'a, R> {
    stream: R,
    context: &'a Context,
}

impl<R: Read> Read for WatchedReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.context.cancel.is_cancelled() {
            return Err(std::io::Error::other("cancelled"));
        }
        self.stream.read(buffer)
    }
}

/// Shares a builder's parent chain between the walker and the workers.
pub(crate) type SharedFolder = Arc<FolderBuilder>;
