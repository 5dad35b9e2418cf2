//! Restoring: walk the snapshot's trees, plan the chunks of many files at once in the order of their packs, decode
//! frames on all cores, write files, then apply metadata from the leaves up.
//!
//! The plan goes window by window, so memory does not grow with the snapshot: at most [`WINDOW_CHUNKS_MAX`] planned
//! chunks of about 100 bytes, their files' entries, one frame of each worker, and the folders that are open. A
//! damaged pack costs only the files that need it.

mod files;
mod plan;
mod scope;
mod verify;

use crate::filter::Filter;
use crate::platform::{FileKind, OwnerPolicy, Stat, TargetFolder};
use crate::selection::{SnapshotFilter, SnapshotRef, find_snapshot};
use crate::tree_reader::{FolderEntries, is_too_deep, open_path, root_content};
use crate::{Context, Error, Event, Problem, lock};
use files::FileWriter;
use plan::{Planner, RestoredFolder};
use scope::Scope;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use vellum_format::ObjectName;
use vellum_format::content::Content;
use vellum_format::tree::{Entry, EntryName, Metadata, Node};
use vellum_repository::{FrameCache, Repository, Snapshot};

pub(crate) use verify::{difference, open_file};

/// What to do with entries that are in the target already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// Replace them.
    #[default]
    Always,
    /// Replace files whose length or time differs.
    IfChanged,
    /// Replace files that are older than the snapshot's, and empty ones with mode 0600 by longer ones: a killed restore
    /// leaves such.
    IfNewer,
    /// Keep them, but for the same empty ones.
    Never,
}

/// How to restore.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct RestoreOptions {
    /// A path inside the snapshot whose content goes directly into the target; `None` restores everything below
    /// its full source path.
    pub subfolder: Option<Vec<u8>>,
    /// Which snapshots `latest` and dates choose from.
    pub filter: SnapshotFilter,
    /// Only these paths, if any pattern is given. Paths are as in the snapshot, absolute.
    pub include: Filter,
    /// Not these.
    pub exclude: Filter,
    /// What to do with entries that are there already.
    pub overwrite: Overwrite,
    /// Removes entries that the snapshot does not have from the folders that were backed up and from those below
    /// them. Folders that only lead to these keep what they have, and so does what is mounted where the snapshot has an
    /// empty folder. What the backup left out by a pattern is not in the snapshot, and goes. Refused for a snapshot
    /// with errors, which may lack what is there.
    pub delete: bool,
    /// Reads every restored file back and compares it.
    pub verify: bool,
    /// Only tells what would be done.
    pub dry_run: bool,
    /// Makes holes of zeros in every file, not only in those that had holes.
    pub sparse: bool,
    /// Owners by number, even where the name is known here.
    pub numeric_owner: bool,
    /// The folder that the repository lies in, if it is a local one.
    pub repository_folder: Option<PathBuf>,
}

/// What a restore did.
#[derive(Debug, Default)]
pub struct RestoreReport {
    /// The snapshot.
    pub snapshot: Option<vellum_format::ObjectId>,
    /// Files written.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Folders, links and other entries made or kept.
    pub others: u64,
    /// Entries left as they were.
    pub skipped: u64,
    /// Entries removed.
    pub deleted: u64,
    /// Entries that are not as in the snapshot, up to the first 10,000. Any of these means that the restore is
    /// incomplete. Where the snapshot cannot be read the path is the snapshot's, else the target's; a folder stands
    /// for what is in it.
    pub problems: Vec<Problem>,
    /// How many there are.
    pub problem_count: u64,
    /// Of how many of these the snapshot cannot be read. The others are the target's.
    pub unreadable_count: u64,
    /// Metadata that this system did not take, such as an owner or an attribute, up to the first 10,000; contents are
    /// right.
    pub metadata_problems: Vec<Problem>,
    /// How many there are.
    pub metadata_problem_count: u64,
    /// Damaged packs of which something was restored by their parity. What is stored of them is as damaged as before.
    pub healed: Vec<ObjectName>,
}

/// What the threads of one restore share.
pub(crate) struct Run<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) context: &'a Context,
    pub(crate) options: &'a RestoreOptions,
    pub(crate) owners: OwnerPolicy,
    target: Vec<u8>,
    /// The part of each path in the snapshot that lies above what comes directly into the target.
    start_len: usize,
    pub(crate) files: AtomicU64,
    pub(crate) bytes: AtomicU64,
    problems: Mutex<Problems>,
    metadata_problems: Mutex<Problems>,
}

/// Problems that are kept; further ones are only counted.
const PROBLEMS_KEPT_MAX: usize = 10_000;

#[derive(Default)]
struct Problems {
    kept: Vec<Problem>,
    count: u64,
    unreadable_count: u64,
    /// Of those that are kept, as paths of the snapshot, where all is compared afterwards.
    paths: BTreeSet<Vec<u8>>,
}

impl Problems {
    /// True while problems are kept.
    fn add(&mut self, problem: Problem) -> bool {
        self.count += 1;
        let is_kept = self.kept.len() < PROBLEMS_KEPT_MAX;
        if is_kept {
            self.kept.push(problem);
        }
        is_kept
    }
}

impl Run<'_> {
    /// Where something of the snapshot is restored to.
    fn at_target(&self, path: &[u8]) -> Vec<u8> {
        [self.target.strip_suffix(b"/").unwrap_or(&self.target), &path[self.start_len..]].concat()
    }

    /// Something of the snapshot cannot be read.
    pub(crate) fn unreadable(&self, path: &[u8], doing: &'static str, reason: &impl ToString) {
        let shown = if path.is_empty() { b"/" } else { path };
        self.problem(path, Problem::new(shown.to_vec(), doing, reason));
        lock(&self.problems).unreadable_count += 1;
    }

    /// Something is not done in the target.
    pub(crate) fn undone(&self, path: &[u8], doing: &'static str, reason: &impl ToString) {
        self.problem(path, Problem::new(self.at_target(path), doing, reason));
    }

    fn problem(&self, path: &[u8], problem: Problem) {
        self.context.tell(&Event::Problem(&problem));
        let mut problems = lock(&self.problems);
        if problems.add(problem) && self.options.verify {
            problems.paths.insert(path.to_vec());
        }
    }

    /// Whether something was told of this path of the snapshot, as far as that is kept.
    pub(crate) fn is_told(&self, path: &[u8]) -> bool {
        lock(&self.problems).paths.contains(path)
    }

    pub(crate) fn metadata_problems(&self, path: &[u8], problems: Vec<crate::platform::MetadataProblem>) {
        for problem in problems {
            let reason = format!("{}: {}", problem.part, problem.source);
            let told = Problem::new(self.at_target(path), "set metadata", &reason);
            self.context.tell(&Event::Problem(&told));
            lock(&self.metadata_problems).add(told);
        }
    }
}

/// Restores a snapshot, or a folder of it, below `target`.
///
/// Nothing outside `target` is ever written, whatever the snapshot or the target holds.
///
/// Killed, it can be run again, with any [`Overwrite`]: a file has its name only when it is complete, and what it had
/// before stays until then. Only a file of at most 64 KiB where nothing stood is created under its name, with mode
/// 0600: left empty, it is written by the next run; complete, it may lack its metadata; a kill in the midst of its one
/// write may cut it. Files under temporary names, `.vellum-` and 16 hexadecimal digits, stay, as another restore
/// could be writing them; [`RestoreOptions::delete`] removes them. After a power cut, which may take back what was
/// complete, [`Overwrite::Always`] is right.
///
/// # Errors
/// [`Error::DeleteByIncomplete`] before anything is changed, and others when nothing can be restored at all. What
/// concerns single entries is in the report.
pub fn restore(
    repository: &Repository,
    snapshot: &SnapshotRef,
    target: &Path,
    options: &RestoreOptions,
    context: &Context,
) -> Result<RestoreReport, Error> {
    check_target(target, options)?;
    repository.refresh()?;
    let snapshot = find_snapshot(repository, snapshot, &options.filter)?;
    restore_snapshot(repository, &snapshot, target, options, context)
}

/// Restores a snapshot that was read already, from an index that is up to date.
pub(crate) fn restore_snapshot(
    repository: &Repository,
    snapshot: &Snapshot,
    target: &Path,
    options: &RestoreOptions,
    context: &Context,
) -> Result<RestoreReport, Error> {
    if options.delete {
        expect_complete(snapshot)?;
    }
    let cache = FrameCache::new(16);
    let start = match &options.subfolder {
        None => Start { content: root_content(snapshot)?, only: None, metadata: None, path: Vec::new() },
        Some(path) => start_at(repository, &cache, snapshot, path)?,
    };
    let run = Run {
        repository,
        context,
        options,
        owners: OwnerPolicy::of_this_process(options.numeric_owner),
        target: target.as_os_str().as_bytes().to_vec(),
        start_len: start.path.len(),
        files: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        problems: Mutex::default(),
        metadata_problems: Mutex::default(),
    };
    let scope = Scope::of(snapshot);
    let planner = Planner::new(&run)?;
    let mut restorer = Restorer { run: &run, cache: &cache, scope, planner, others: 0, skipped: 0, deleted: 0 };
    let root = match options.dry_run {
        true => TargetFolder::find_root(target),
        false => TargetFolder::create_root(target).map(Some),
    };
    let root = root.map_err(|source| Error::Target { path: target.into(), source })?;
    let restored = start.clone();
    restorer.restore_all(root.as_ref(), start)?;
    let Restorer { others, skipped, deleted, .. } = restorer;
    if let Some(root) = root.filter(|_| !options.dry_run) {
        // Delayed write errors surface here and nowhere else.
        root.sync_file_system().map_err(|source| Error::TargetFailed { path: target.into(), source })?;
        if options.verify {
            verify::verify(&run, &cache, target, &restored)?;
        }
    }
    let problems = run.problems.into_inner().unwrap_or_else(PoisonError::into_inner);
    let metadata_problems = run.metadata_problems.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(RestoreReport {
        snapshot: Some(snapshot.id),
        files: run.files.load(Ordering::Relaxed),
        bytes: run.bytes.load(Ordering::Relaxed),
        others,
        skipped,
        deleted,
        problems: problems.kept,
        problem_count: problems.count,
        unreadable_count: problems.unreadable_count,
        metadata_problems: metadata_problems.kept,
        metadata_problem_count: metadata_problems.count,
        healed: repository.healed_packs(),
    })
}

/// Where in the snapshot a restore starts.
#[derive(Clone)]
struct Start {
    content: Content,
    /// A single entry of that folder, when the path names no folder.
    only: Option<Entry>,
    /// Of the folder that becomes the target itself.
    metadata: Option<Metadata>,
    path: Vec<u8>,
}

fn start_at(repository: &Repository, cache: &FrameCache, snapshot: &Snapshot, path: &[u8]) -> Result<Start, Error> {
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    let path: Vec<u8> = parts.flat_map(|part| [b"/", part].concat()).collect();
    Ok(match open_path(repository, cache, snapshot, &path)? {
        None => Start { content: root_content(snapshot)?, only: None, metadata: None, path: Vec::new() },
        Some(Entry { node: Node::Folder { content }, metadata, .. }) => {
            Start { content, only: None, metadata: Some(metadata), path }
        }
        Some(entry) => {
            let parent = path.iter().rposition(|byte| *byte == b'/').map_or(&[][..], |at| &path[..at]);
            Start { content: Content::empty(), only: Some(entry), metadata: None, path: parent.to_vec() }
        }
    })
}

fn check_target(target: &Path, options: &RestoreOptions) -> Result<(), Error> {
    let Some(repository) = options.repository_folder.as_ref().and_then(|path| path.canonicalize().ok()) else {
        return Ok(());
    };
    let existing = target.ancestors().find_map(|path| path.canonicalize().ok());
    let whole = target.canonicalize();
    let inside = existing.is_some_and(|path| path.starts_with(&repository));
    match inside || whole.is_ok_and(|path| repository.starts_with(path)) {
        true => Err(Error::RepositoryInsideTarget { path: target.to_owned() }),
        false => Ok(()),
    }
}

/// A tree does not say what could not be read: a file is left out of it, a folder that could not be listed is empty.
/// Only the number of errors tells that its absence means nothing (I26).
fn expect_complete(snapshot: &Snapshot) -> Result<(), Error> {
    match snapshot.manifest.summary.errors {
        0 => Ok(()),
        errors => Err(Error::DeleteByIncomplete { snapshot: snapshot.id.short(), errors }),
    }
}

struct Restorer<'a> {
    run: &'a Run<'a>,
    cache: &'a FrameCache,
    scope: Scope,
    planner: Planner<'a>,
    others: u64,
    skipped: u64,
    deleted: u64,
}

/// Folders above each other that are held open; of those above every 64th is, and the others are opened again from
/// there when they are needed.
const HANDLES_MAX: usize = 64;

fn is_no_space(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// Whether an error says that no folder is there.
fn is_absent(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

/// Whether what stands there may be a short file that a killed restore created and did not write: empty, ours alone,
/// where the snapshot has content. Nothing is lost with it if it is somebody's own.
fn is_left_by_a_kill(existing: &Stat, entry: &Entry) -> bool {
    let is_content_missing = matches!(entry.node, Node::File { len_bytes, .. } if len_bytes > 0);
    is_content_missing && existing.kind == FileKind::File && existing.len_bytes == 0 && existing.mode == 0o600
}

/// A folder that the walk is in.
struct OpenFolder<'a> {
    entries: Box<dyn Iterator<Item = Result<Entry, vellum_repository::RepositoryError>> + 'a>,
    target: Option<Arc<RestoredFolder>>,
    path_len: usize,
    /// Whether the snapshot holds all that was in it.
    is_held: bool,
    /// Names that the snapshot has, when others are to be deleted.
    kept: Option<BTreeSet<EntryName>>,
}

impl<'a> Restorer<'a> {
    fn restore_all(&mut self, root: Option<&TargetFolder>, start: Start) -> Result<(), Error> {
        let Start { content, only, metadata, mut path } = start;
        let dry_run = self.run.options.dry_run;
        let target = root.map(|root| RestoredFolder::root(root.clone(), metadata, dry_run));
        let is_held = only.is_none() && self.scope.holds(&path);
        let entries: Box<dyn Iterator<Item = _>> = match only {
            Some(entry) => Box::new(std::iter::once(Ok(entry))),
            None => Box::new(FolderEntries::new(self.run.repository, self.cache, &content)),
        };
        let kept = self.kept(is_held);
        let mut open = vec![OpenFolder { entries, target, path_len: path.len(), is_held, kept }];
        while let Some(folder) = open.last_mut() {
            self.run.context.check_cancelled()?;
            path.truncate(folder.path_len);
            match folder.entries.next() {
                None => {
                    let folder = open.pop().expect("it was just there");
                    self.leave(folder, &path)?;
                }
                Some(Err(error)) => {
                    self.run.unreadable(&path, "read the folder", &error);
                    // What is missing from a damaged list must not be deleted (I26).
                    folder.kept = None;
                    folder.entries = Box::new(std::iter::empty());
                }
                Some(Ok(entry)) => {
                    path.push(b'/');
                    path.extend_from_slice(entry.name.as_bytes());
                    if let Some(below) = self.enter(folder, entry, &path)? {
                        if is_too_deep(open.len(), &path) {
                            self.run.unreadable(&path, "enter", &"it is too deep in its tree");
                            continue;
                        }
                        open.push(below);
                        if let Some(above) = open.len().checked_sub(HANDLES_MAX)
                            && let Some(target) = &open[above].target
                        {
                            target.spare_handle();
                        }
                    }
                }
            }
        }
        self.planner.finish()
    }

    fn kept(&self, is_held: bool) -> Option<BTreeSet<EntryName>> {
        (self.run.options.delete && is_held).then(BTreeSet::new)
    }

    fn leave(&mut self, folder: OpenFolder<'_>, path: &[u8]) -> Result<(), Error> {
        let Some(target) = folder.target else { return Ok(()) };
        if let Some(kept) = folder.kept
            && target.is_made()
            && !self.may_be_left_out(&target, &kept, path)
        {
            self.delete_others(&target, &kept, path);
        }
        match self.run.options.dry_run {
            true => Ok(()),
            false => self.planner.leave_folder(target, path),
        }
    }

    /// Whether a folder may be empty in the snapshot because a backup of one file system does not enter others.
    fn may_be_left_out(&self, target: &RestoredFolder, kept: &BTreeSet<EntryName>, path: &[u8]) -> bool {
        kept.is_empty() && !self.scope.is_root(path) && target.is_mount().unwrap_or(true)
    }

    fn delete_others(&mut self, target: &RestoredFolder, kept: &BTreeSet<EntryName>, path: &[u8]) {
        let handle = match target.handle() {
            Ok(handle) => handle,
            Err(error) => return self.run.undone(path, "list", &error),
        };
        let names = match handle.names() {
            Ok(names) => names,
            Err(error) => return self.run.undone(path, "list", &error),
        };
        for name in names.filter(|name| !kept.contains(name)) {
            let full = [path, b"/", name.as_bytes()].concat();
            if self.run.options.exclude.matches_with_parents(&full) || !self.is_included(&full) {
                continue;
            }
            let removed = match self.run.options.dry_run {
                true => Ok(()),
                false => handle.remove(&name),
            };
            match removed {
                Ok(()) => {
                    self.deleted += 1;
                    self.run.context.tell(&Event::Deleted { path: &self.run.at_target(&full) });
                }
                Err(error) => self.run.undone(&full, "delete", &error),
            }
        }
    }

    fn is_included(&self, path: &[u8]) -> bool {
        let include = &self.run.options.include;
        include.is_empty() || include.matches_with_parents(path)
    }

    /// Handles one entry and returns the folder to go into, if it is one.
    fn enter(
        &mut self,
        folder: &mut OpenFolder<'a>,
        entry: Entry,
        path: &[u8],
    ) -> Result<Option<OpenFolder<'a>>, Error> {
        if let Some(kept) = &mut folder.kept {
            kept.insert(entry.name.clone());
        }
        if self.run.options.exclude.matches(path) {
            return Ok(None);
        }
        let included = self.is_included(path);
        if let Node::Folder { content } = &entry.node {
            let entries = Box::new(FolderEntries::new(self.run.repository, self.cache, content));
            let is_held = folder.is_held || self.scope.is_root(path);
            let kept = self.kept(is_held);
            let target = folder.target.as_ref().map(|parent| RestoredFolder::below(parent, &entry, included));
            if included {
                self.others += 1;
                match target.as_ref().map(|target| target.handle()) {
                    Some(Err(error)) if self.run.options.dry_run && is_absent(&error) => {}
                    // Nor is there room for any other entry, of which there may be more than anybody can count.
                    Some(Err(source)) if is_no_space(&source) => {
                        let path = PathBuf::from(OsString::from_vec(self.run.at_target(path)));
                        return Err(Error::TargetFailed { path, source });
                    }
                    Some(Err(error)) => {
                        self.run.undone(path, "make the folder", &error);
                        return Ok(None);
                    }
                    _ => {}
                }
            }
            return Ok(Some(OpenFolder { entries, target, path_len: path.len(), is_held, kept }));
        }
        if included {
            self.restore_entry(folder.target.as_ref(), entry, path)?;
        }
        Ok(None)
    }

    fn restore_entry(&mut self, parent: Option<&Arc<RestoredFolder>>, entry: Entry, path: &[u8]) -> Result<(), Error> {
        let Some(parent) = parent.filter(|_| !self.run.options.dry_run) else {
            self.foresee_entry(parent, &entry, path);
            return Ok(());
        };
        let handle = match parent.handle() {
            Ok(handle) => handle,
            Err(error) => {
                self.run.undone(path, "make its folder", &error);
                return Ok(());
            }
        };
        if self.keeps_existing(&handle, &entry) {
            self.skipped += 1;
            return Ok(());
        }
        if self.planner.defer_link(&entry, Some(parent), path) {
            self.others += 1;
            return Ok(());
        }
        if let Node::File { .. } = entry.node {
            let file = FileWriter::new(Arc::clone(parent), entry, path.to_vec(), self.run.options.sparse);
            return self.planner.add_file(file, self.cache);
        }
        self.others += 1;
        self.make_special(&handle, &entry, path);
        Ok(())
    }

    /// Counts what would be done with an entry.
    fn foresee_entry(&mut self, parent: Option<&Arc<RestoredFolder>>, entry: &Entry, path: &[u8]) {
        let handle = parent.and_then(|parent| parent.handle().ok());
        match entry.node {
            _ if handle.is_some_and(|handle| self.keeps_existing(&handle, entry)) => self.skipped += 1,
            _ if self.planner.defer_link(entry, None, path) => self.others += 1,
            Node::File { len_bytes, .. } => {
                self.run.files.fetch_add(1, Ordering::Relaxed);
                self.run.bytes.fetch_add(len_bytes, Ordering::Relaxed);
            }
            _ => self.others += 1,
        }
    }

    fn keeps_existing(&self, handle: &TargetFolder, entry: &Entry) -> bool {
        let overwrite = self.run.options.overwrite;
        if overwrite == Overwrite::Always {
            return false;
        }
        let Ok(Some(existing)) = handle.existing(&entry.name) else { return false };
        if is_left_by_a_kill(&existing, entry) {
            return false;
        }
        let is_newer = existing.modified >= entry.metadata.modified;
        match (overwrite, &entry.node) {
            (Overwrite::Never, _) => true,
            (Overwrite::IfNewer, _) => is_newer,
            (Overwrite::IfChanged, Node::File { len_bytes, .. }) => {
                existing.kind == FileKind::File
                    && existing.len_bytes == *len_bytes
                    && existing.modified == entry.metadata.modified
            }
            _ => false,
        }
    }

    fn make_special(&self, handle: &TargetFolder, entry: &Entry, path: &[u8]) {
        let name = &entry.name;
        let (kind, made) = match &entry.node {
            Node::Symlink { target } => (FileKind::Symlink, handle.symlink(name, target)),
            Node::Fifo => (FileKind::Fifo, handle.fifo(name)),
            Node::BlockDevice { major, minor } => {
                (FileKind::BlockDevice, handle.device(name, FileKind::BlockDevice, *major, *minor))
            }
            Node::CharDevice { major, minor } => {
                (FileKind::CharDevice, handle.device(name, FileKind::CharDevice, *major, *minor))
            }
            Node::File { .. } | Node::Folder { .. } => unreachable!("files and folders are handled before"),
        };
        match made {
            Ok(()) => {
                let problems = handle.apply(name, kind, &entry.metadata, &self.run.owners);
                self.run.metadata_problems(path, problems);
            }
            Err(error) => self.run.undone(path, "make", &error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[test]
    fn a_full_disk_is_told_from_other_errors() {
        assert!([ErrorKind::StorageFull, ErrorKind::QuotaExceeded].map(Error::from).iter().all(is_no_space));
        assert!(![ErrorKind::PermissionDenied, ErrorKind::NotFound].map(Error::from).iter().any(is_no_space));
    }

    #[test]
    fn problems_are_counted_and_the_first_are_kept() {
        let mut problems = Problems::default();
        for _ in 0..PROBLEMS_KEPT_MAX + 2 {
            problems.add(Problem::new(b"/file".to_vec(), "write", &"it is full"));
        }
        assert_eq!((problems.kept.len(), problems.count), (PROBLEMS_KEPT_MAX, PROBLEMS_KEPT_MAX as u64 + 2));
    }
}
