//! Walking the source: what is unchanged is taken over at once, what has to be read goes to the workers. Each folder is
//! walked in the order of its names; several walkers share the folders (`subtrees.rs`).

use super::batches::Batches;
use super::exclude::Excludes;
use super::file_cache::{CacheRecord, CachedFolder, FileCache, Kept, Remembered};
use super::folder::{Finished, FolderBuilder};
use super::roots::{self, RootNode, Roots};
use super::subtrees::Subtrees;
use super::worker::{Batch, FileJob};
use super::{BackupOptions, Run, SharedFolder, path_buf};
use crate::platform::{FileKind, Names, OwnerNames, SourceFolder, Stat, metadata_of};
use crate::tree_reader::is_too_deep;
use crate::{Error, Event, FileChange};
use crossbeam_channel::Sender;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;
use vellum_format::content::Content;
use vellum_format::tree::{Entry, EntryName, Metadata, Node};
use vellum_repository::{FrameWriter, Session};

/// Walkers beside those that only fill cores: with cold caches they wait for the disk most of the time.
const WALKERS_MIN: usize = 4;
const WALKERS_MAX: usize = 8;

/// Walks everything below the roots into `top`; the workers' queue ends with it.
pub(super) fn walk(
    run: &Run<'_>,
    options: &BackupOptions,
    roots: &Roots,
    cache: Option<&FileCache<'_>>,
    session: &Session<'_>,
    top: &SharedFolder,
    jobs: Sender<Batch>,
) -> Result<(), Error> {
    let plan = Plan::new(run, options, cache);
    let workers = run.context.worker_count();
    let walkers = if workers == 1 { 1 } else { workers.clamp(WALKERS_MIN, WALKERS_MAX) };
    let batches = Batches::new(jobs, walkers, workers);
    let begun = plan.subtrees.begin();
    std::thread::scope(|scope| {
        let start = |_| {
            let (plan, batches) = (&plan, batches.clone());
            let help = move || Walker::run(plan, session, batches, |walker| walker.help());
            std::thread::Builder::new().spawn_scoped(scope, help).ok()
        };
        let helpers: Vec<_> = (1..walkers).map_while(start).collect();
        let walked = Walker::run(&plan, session, batches, |walker| {
            let walked = walker.walk_roots(roots, top);
            // The others must not wait for what nobody finds any more.
            drop(begun);
            walked.inspect_err(|_| run.give_up()).and_then(|()| walker.help())
        });
        for helper in helpers {
            helper.join().map_err(|_| Error::WorkerPanicked)??;
        }
        walked
    })?;
    run.context.progress.scan_finished.store(true, Ordering::Relaxed);
    Ok(())
}

/// Walks without storing anything, for a dry run.
pub(super) fn survey(
    run: &Run<'_>,
    options: &BackupOptions,
    roots: &Roots,
    cache: Option<&FileCache<'_>>,
) -> Result<(), Error> {
    let plan = Plan::new(run, options, cache);
    Walker { plan: &plan, store: None }.walk_roots(roots, &FolderBuilder::top())?;
    run.context.progress.scan_finished.store(true, Ordering::Relaxed);
    Ok(())
}

/// What all walkers of a backup go by.
struct Plan<'a> {
    run: &'a Run<'a>,
    excludes: &'a Excludes,
    cache: Option<&'a FileCache<'a>>,
    names: Arc<OwnerNames>,
    repository_folder: Option<(u64, u64)>,
    subtrees: Subtrees<Subtree<'a>>,
}

impl<'a> Plan<'a> {
    fn new(run: &'a Run<'a>, options: &'a BackupOptions, cache: Option<&'a FileCache<'a>>) -> Self {
        let repository_folder = match &options.repository_folder {
            None => None,
            Some(path) => SourceFolder::pass(path).and_then(|folder| folder.stat_self()).ok(),
        };
        let repository_folder = repository_folder.map(|stat| (stat.device, stat.inode));
        let names = Arc::new(OwnerNames::load());
        Self { run, excludes: &options.excludes, cache, names, repository_folder, subtrees: Subtrees::new() }
    }
}

/// A folder that was opened by one walker for another.
struct Subtree<'a> {
    folder: OpenFolder<'a>,
    path: Vec<u8>,
    /// Folders above it.
    depth: usize,
}

struct Walker<'a, 's> {
    plan: &'a Plan<'a>,
    store: Option<Store<'s>>,
}

struct Store<'s> {
    writer: FrameWriter<'s>,
    batches: Batches,
}

/// Folders above each other that are held open; those above are opened again on the way back, so that a walk of any
/// depth needs few handles.
const HANDLES_MAX: usize = 32;

/// A folder that the walk is in.
struct OpenFolder<'a> {
    handle: Option<Arc<SourceFolder>>,
    stat: Stat,
    names: Names,
    builder: SharedFolder,
    cached: CachedFolder,
    path_len: usize,
    /// On the way to roots: which names are wanted, and what below them.
    wanted: Option<&'a BTreeMap<EntryName, RootNode>>,
}

impl<'a, 's> Walker<'a, 's> {
    /// Walks with a frame writer and a batch of its own, which reach the session also when the walk fails.
    fn run(
        plan: &'a Plan<'a>,
        session: &'s Session<'_>,
        batches: Batches,
        walk: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let store = Store { writer: session.frame_writer()?, batches };
        let mut walker = Self { plan, store: Some(store) };
        let walked = walk(&mut walker);
        let mut store = walker.store.take().expect("the walker keeps what it was given");
        if walked.is_ok() {
            store.batches.send();
        }
        let flushed = store.writer.flush();
        walked?;
        Ok(flushed?)
    }

    /// Walks what others leave to it until nobody walks any more.
    fn help(&mut self) -> Result<(), Error> {
        while let Some((Subtree { folder, path, depth }, _walking)) = self.plan.subtrees.next() {
            self.walk(folder, path, depth).inspect_err(|_| self.plan.run.give_up())?;
        }
        Ok(())
    }

    fn walk_roots(&mut self, roots: &'a Roots, top: &SharedFolder) -> Result<(), Error> {
        let root = Path::new("/");
        let handle = match roots.top.is_root {
            true => SourceFolder::open_root(root),
            false => SourceFolder::pass(root),
        };
        let opened = handle.and_then(|mut handle| {
            let (stat, names) = (handle.stat_self()?, self.list(&mut handle, Some(&roots.top))?);
            Ok((handle, stat, names))
        });
        let opened = opened.map_err(|source| Error::SourceMissing { path: root.into(), source })?;
        let opened = self.open_folder(opened, Arc::clone(top), &[], Some(&roots.top));
        self.walk(opened, Vec::new(), 0)
    }

    /// Walks a folder and all below it, but for what others take.
    fn walk(&mut self, folder: OpenFolder<'a>, mut path: Vec<u8>, depth: usize) -> Result<(), Error> {
        let mut open = vec![folder];
        while let Some(folder) = open.last_mut() {
            self.plan.run.context.check_cancelled()?;
            if self.plan.run.has_failed() {
                return Ok(());
            }
            path.truncate(folder.path_len);
            let Some(name) = folder.names.next() else {
                let left = open.pop().expect("it was just there");
                self.release(&left.builder)?;
                if let Some(above) = open.last_mut() {
                    self.reopen(above, left.handle.as_deref(), &path[..above.path_len]);
                }
                continue;
            };
            path.push(b'/');
            path.extend_from_slice(name.as_bytes());
            let Some(below) = self.visit(folder, name, &path)? else { continue };
            if is_too_deep(depth + open.len(), &path) {
                self.plan.run.problem(&path, "enter", &"it is too deep in its tree");
                self.release(&below.builder)?;
                continue;
            }
            if let Some(below) = self.offer(below, &path, depth + open.len()) {
                open.push(below);
                if let Some(above) = open.len().checked_sub(HANDLES_MAX) {
                    open[above].handle = None;
                }
            }
        }
        Ok(())
    }

    /// Gives a folder to a walker who has nothing to do, if it may hold others; back if not.
    fn offer(&self, below: OpenFolder<'a>, path: &[u8], depth: usize) -> Option<OpenFolder<'a>> {
        // A folder without folders has two names, its own and `.`; some file systems do not count and say one.
        if !self.plan.subtrees.is_wanted() || below.stat.links == 2 || below.wanted.is_some() {
            return Some(below);
        }
        let subtree = Subtree { folder: below, path: path.to_vec(), depth };
        self.plan.subtrees.offer(subtree).map(|subtree| subtree.folder)
    }

    /// Opens a folder again whose handle was given up, from the one below it; by its path, if it leads to roots.
    fn reopen(&self, above: &mut OpenFolder<'_>, below: Option<&SourceFolder>, path: &[u8]) {
        if above.handle.is_some() {
            return;
        }
        let opened = match (below, &above.wanted) {
            // As it was come to: what lies in the folder below may have been reached through a link.
            (_, Some(_)) => SourceFolder::pass_again(&Path::new("/").join(path_buf(path)), &above.stat),
            (None, None) => Err(io::ErrorKind::NotFound.into()),
            (Some(below), None) => below.open_parent(&above.stat),
        };
        match opened {
            Ok(handle) => above.handle = Some(Arc::new(handle)),
            Err(error) => {
                // It was moved away while the walk was below it: what was not visited yet is lost, and told.
                self.plan.run.problem(path, "go back to", &error);
                above.names = Names::default();
            }
        }
    }

    /// Handles one name and returns the folder to go into, if it is one.
    fn visit(
        &mut self,
        folder: &mut OpenFolder<'a>,
        name: EntryName,
        path: &[u8],
    ) -> Result<Option<OpenFolder<'a>>, Error> {
        let node = folder.wanted.and_then(|wanted| wanted.get(&name));
        let Some(handle) = folder.handle.clone() else { return Ok(None) };
        let looked_at = SystemTime::now();
        let stat = match handle.stat(&name) {
            Ok(stat) => stat,
            Err(error) => {
                self.miss(node, path, "look at", error);
                return Ok(None);
            }
        };
        if node.is_none() && self.plan.excludes.excludes(path, &stat) {
            return Ok(None);
        }
        let leads_to_root = node.is_some_and(|node| !node.is_root);
        match stat.kind {
            _ if leads_to_root => self.visit_folder(folder, &handle, &name, path),
            FileKind::Folder => self.visit_folder(folder, &handle, &name, path),
            FileKind::File => self.visit_file(folder, &handle, name, path, &stat).map(|()| None),
            FileKind::Socket | FileKind::Unknown if node.is_some() => {
                self.miss(node, path, "save", roots::unsupported_kind());
                Ok(None)
            }
            FileKind::Socket => {
                self.plan.run.context.tell(&Event::Notice { path, text: "sockets are not saved" });
                Ok(None)
            }
            FileKind::Unknown => {
                self.miss(None, path, "save", roots::unsupported_kind());
                Ok(None)
            }
            _ => self.visit_other(folder, &handle, name, path, &stat, looked_at).map(|()| None),
        }
    }

    fn visit_folder(
        &mut self,
        folder: &OpenFolder<'a>,
        handle: &SourceFolder,
        name: &EntryName,
        path: &[u8],
    ) -> Result<Option<OpenFolder<'a>>, Error> {
        let node = folder.wanted.and_then(|wanted| wanted.get(name));
        let opened = match node {
            // On the way to a root a link may stand: the user named the path through it.
            Some(node) if !node.is_root => SourceFolder::pass(&path_buf(path)),
            _ => handle.open_child(name),
        };
        let (mut handle, stat) = match opened.and_then(|handle| handle.stat_self().map(|stat| (handle, stat))) {
            Ok(entered) => entered,
            Err(error) => {
                self.miss(node, path, "open", error);
                return Ok(None);
            }
        };
        if self.plan.repository_folder == Some((stat.device, stat.inode)) {
            return Err(Error::RepositoryInsideSource { path: path_buf(path) });
        }
        let is_elsewhere = self.plan.excludes.one_file_system && node.is_none() && stat.device != folder.stat.device;
        let listed = if is_elsewhere { Ok(None) } else { self.list(&mut handle, node).map(Some) };
        let names = match (listed, node) {
            (Ok(names), _) => names,
            (Err(error), Some(_)) => {
                self.miss(node, path, "list", error);
                return Ok(None);
            }
            // It is better saved as an empty folder than not at all.
            (Err(error), None) => {
                self.miss(node, path, "list", error);
                None
            }
        };
        self.plan.run.counts.folders.fetch_add(1, Ordering::Relaxed);
        let metadata = self.metadata_of_folder(&handle, &stat, node, path);
        let builder = FolderBuilder::child(&folder.builder, name.clone(), metadata);
        match names {
            Some(names) => Ok(Some(self.open_folder((handle, stat, names), builder, path, node))),
            None => {
                self.release(&builder)?;
                Ok(None)
            }
        }
    }

    fn metadata_of_folder(&self, handle: &SourceFolder, stat: &Stat, node: Option<&RootNode>, path: &[u8]) -> Metadata {
        let (xattrs, _) = self.plan.run.readable(handle.xattrs_self(), || path.to_vec());
        let mut metadata = metadata_of(stat, xattrs, &self.plan.names);
        if let Some(RootNode { is_root: false, modified: Some(modified), .. }) = node {
            metadata.modified = *modified;
        }
        metadata
    }

    /// The names that are to be visited in a folder.
    fn list(&self, handle: &mut SourceFolder, node: Option<&RootNode>) -> io::Result<Names> {
        if let Some(RootNode { is_root: false, children, .. }) = node {
            return Ok(children.keys().cloned().collect());
        }
        let names = handle.names()?;
        Ok(match self.plan.excludes.marker(handle, &names) {
            Some(marker) => Names::from_iter([marker]),
            None => names,
        })
    }

    fn open_folder(
        &self,
        (handle, stat, names): (SourceFolder, Stat, Names),
        builder: SharedFolder,
        path: &[u8],
        node: Option<&'a RootNode>,
    ) -> OpenFolder<'a> {
        let wanted = node.filter(|node| !node.is_root).map(|node| &node.children);
        let cached = self.plan.cache.map(|cache| cache.folder(path)).unwrap_or_default();
        let path_len = path.len();
        let handle = Some(Arc::new(handle));
        OpenFolder { handle, stat, names, builder, cached, path_len, wanted }
    }

    /// Tells that an entry cannot be saved; of what the user named the others are worth a snapshot, if there are any.
    fn miss(&self, node: Option<&RootNode>, path: &[u8], doing: &'static str, error: io::Error) {
        match node {
            Some(node) => self.plan.run.lose(node, path, error),
            None => self.plan.run.problem(path, doing, &error),
        }
    }

    fn visit_file(
        &mut self,
        folder: &mut OpenFolder<'a>,
        handle: &Arc<SourceFolder>,
        name: EntryName,
        path: &[u8],
        stat: &Stat,
    ) -> Result<(), Error> {
        self.plan.run.context.progress.add_total(1, stat.len_bytes);
        let change = match self.remembered(folder, &name, stat) {
            Remembered::Same(kept) if self.is_stored(&kept) => {
                let counts = &self.plan.run.counts;
                counts.files.fetch_add(1, Ordering::Relaxed);
                counts.files_unchanged.fetch_add(1, Ordering::Relaxed);
                counts.bytes.fetch_add(stat.len_bytes, Ordering::Relaxed);
                self.plan.run.context.progress.add_done(1, stat.len_bytes);
                self.plan.run.context.tell(&Event::File {
                    path,
                    change: FileChange::Unchanged,
                    len_bytes: stat.len_bytes,
                });
                return self.append(&folder.builder, Finished::Kept(kept));
            }
            Remembered::Same(_) | Remembered::Changed => FileChange::Changed,
            Remembered::Nothing => FileChange::New,
        };
        let Some(store) = &mut self.store else {
            let counts = &self.plan.run.counts;
            let kind = if change == FileChange::New { &counts.files_new } else { &counts.files_changed };
            kind.fetch_add(1, Ordering::Relaxed);
            counts.files.fetch_add(1, Ordering::Relaxed);
            counts.bytes.fetch_add(stat.len_bytes, Ordering::Relaxed);
            self.plan.run.context.tell(&Event::File { path, change, len_bytes: stat.len_bytes });
            return Ok(());
        };
        store.batches.add(FileJob {
            folder: Arc::clone(handle),
            builder: Arc::clone(&folder.builder),
            slot: folder.builder.reserve(),
            name,
            stat: *stat,
            change,
            names: Arc::clone(&self.plan.names),
        });
        Ok(())
    }

    fn visit_other(
        &mut self,
        folder: &mut OpenFolder<'a>,
        handle: &SourceFolder,
        name: EntryName,
        path: &[u8],
        stat: &Stat,
        looked_at: SystemTime,
    ) -> Result<(), Error> {
        self.plan.run.counts.others.fetch_add(1, Ordering::Relaxed);
        if let Remembered::Same(kept) = self.remembered(folder, &name, stat) {
            return self.append(&folder.builder, Finished::Kept(kept));
        }
        match self.read_other(handle, &name, stat) {
            Ok(node) => {
                let (xattrs, has_all) = self.plan.run.readable(handle.xattrs(&name, stat.kind), || path.to_vec());
                let entry = Entry { name, node, metadata: metadata_of(stat, xattrs, &self.plan.names) };
                let record = if has_all { CacheRecord::settled(stat, looked_at) } else { None };
                self.append(&folder.builder, Finished::made(entry, record, || path.to_vec(), self.plan.run))
            }
            Err(error) => {
                self.plan.run.problem(path, "read", &error);
                Ok(())
            }
        }
    }

    fn read_other(&self, handle: &SourceFolder, name: &EntryName, stat: &Stat) -> io::Result<Node> {
        let (major, minor) = (stat.device_major, stat.device_minor);
        Ok(match stat.kind {
            FileKind::Symlink => Node::Symlink { target: handle.read_link(name)? },
            FileKind::BlockDevice => Node::BlockDevice { major, minor },
            FileKind::CharDevice => Node::CharDevice { major, minor },
            _ => Node::Fifo,
        })
    }

    fn remembered(&self, folder: &mut OpenFolder<'_>, name: &EntryName, stat: &Stat) -> Remembered {
        self.plan.cache.map_or(Remembered::Nothing, |cache| folder.cached.look(cache, name, stat))
    }

    fn append(&mut self, builder: &SharedFolder, finished: Finished) -> Result<(), Error> {
        match &mut self.store {
            Some(store) => Ok(builder.append(finished, self.plan.run, &mut store.writer)?),
            None => Ok(()),
        }
    }

    fn release(&mut self, builder: &SharedFolder) -> Result<(), Error> {
        match &mut self.store {
            Some(store) => Ok(builder.release(self.plan.run, &mut store.writer)?),
            None => Ok(()),
        }
    }

    /// I5: what was stored when it was remembered must be stored now.
    fn is_stored(&self, kept: &Kept) -> bool {
        let is_there = |content: &Content| {
            content.depth == 0 && content.chunks.iter().all(|chunk| self.plan.run.repository.contains(chunk))
        };
        self.plan.cache.is_some_and(|cache| cache.is_complete)
            || matches!(kept.entry(), Some(Entry { node: Node::File { content, .. }, .. }) if is_there(&content))
    }
}
