//! The walk through a snapshot's trees: makes folders, links and devices, hands files to the plan, and deletes what
//! the snapshot does not have.

use super::delete::delete_others;
use super::files::FileWriter;
use super::folder::RestoredFolder;
use super::links::{DeferredLink, Inodes, LinkedInode};
use super::plan::Planner;
use super::run::Run;
use super::scope::Scope;
use super::special::make_special;
use super::window::{LeftFolder, Writer};
use super::{Overwrite, Start};
use crate::Error;
use crate::platform::{FileKind, Stat, TargetFolder};
use crate::tree_reader::{FolderEntries, is_too_deep};
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread;
use vellum_format::tree::{Entry, EntryName, Node};
use vellum_repository::{FrameCache, RepositoryError, Snapshot};

/// Walks and plans in this thread, while another has the window before it written.
pub(super) fn restore_all(
    run: &Run<'_>,
    cache: &FrameCache,
    snapshot: &Snapshot,
    root: Option<&TargetFolder>,
    start: Start,
) -> Result<(), Error> {
    let writer = Writer::new(run)?;
    let (full, windows) = mpsc::sync_channel(0);
    thread::scope(|scope| {
        let write_all = move || windows.into_iter().try_for_each(|window| writer.write(window));
        let written = thread::Builder::new().spawn_scoped(scope, write_all).map_err(RepositoryError::NoThread)?;
        let walked = Restorer::new(run, cache, snapshot, Planner::new(run, full)).restore_all(root, start);
        written.join().unwrap_or_else(|panic| resume_unwind(panic)).and(walked)
    })
}

/// The walk through one snapshot.
struct Restorer<'a> {
    run: &'a Run<'a>,
    cache: &'a FrameCache,
    scope: Scope,
    planner: Planner<'a>,
    inodes: Inodes,
}

/// Folders above each other that are held open; of those above every 64th is, and the others are opened again from
/// there when they are needed.
pub(super) const HANDLES_MAX: usize = 64;

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

/// What becomes of an entry that is no folder.
enum Decision {
    /// What stands there stays.
    Keep,
    /// It becomes another name of an inode, in place of what may be unchanged there.
    Link { inode: Arc<LinkedInode>, is_unchanged: bool },
    /// It is made, and may have other names.
    Restore(Option<Arc<LinkedInode>>),
}

/// A folder that the walk is in.
struct OpenFolder<'a> {
    entries: Box<dyn Iterator<Item = Result<Entry, RepositoryError>> + 'a>,
    target: Option<Arc<RestoredFolder>>,
    path_len: usize,
    /// Whether the snapshot holds all that was in it.
    is_held: bool,
    /// Names that the snapshot has, when others are to be deleted.
    kept: Option<BTreeSet<EntryName>>,
}

impl<'a> Restorer<'a> {
    fn new(run: &'a Run<'a>, cache: &'a FrameCache, snapshot: &Snapshot, planner: Planner<'a>) -> Self {
        Self { run, cache, scope: Scope::of(snapshot), planner, inodes: Inodes::default() }
    }

    fn restore_all(mut self, root: Option<&TargetFolder>, start: Start) -> Result<(), Error> {
        let Start { content, only, metadata, mut path } = start;
        let dry_run = self.run.options.dry_run;
        let target = root.map(|root| RestoredFolder::root(root.clone(), path.clone(), metadata, dry_run));
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
                    if let Some(mut below) = self.enter(folder, entry, &path)? {
                        if is_too_deep(open.len(), &path) {
                            self.run.unreadable(&path, "enter", &"it is too deep in its tree");
                            // Nor must what may be in it be deleted (I26).
                            below.kept = None;
                            self.leave(below, &path)?;
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
        let OpenFolder { target: Some(target), kept, .. } = folder else { return Ok(()) };
        let kept = kept.filter(|kept| target.is_made() && !self.may_be_left_out(&target, kept, path));
        if !self.run.options.dry_run {
            return self.planner.leave_folder(LeftFolder { folder: target, kept });
        }
        if let Some(kept) = kept {
            delete_others(self.run, &target, &kept);
        }
        Ok(())
    }

    /// Whether a folder may be empty in the snapshot because a backup of one file system does not enter others.
    fn may_be_left_out(&self, target: &RestoredFolder, kept: &BTreeSet<EntryName>, path: &[u8]) -> bool {
        kept.is_empty() && !self.scope.is_root(path) && target.is_mount().unwrap_or(true)
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
        let included = self.run.is_included(path);
        // What is not wanted is gone through, for what may be wanted in it.
        let is_in_the_way = match entry.node {
            Node::Folder { .. } => self.run.is_in_own(path),
            _ => self.run.is_in_own(path) || self.run.leads_to_own(path),
        };
        if included && is_in_the_way {
            self.run.undone(path, "restore", &"the repository lies there");
            return Ok(None);
        }
        if let Node::Folder { content } = &entry.node {
            let entries = Box::new(FolderEntries::new(self.run.repository, self.cache, content));
            let is_held = folder.is_held || self.scope.is_root(path);
            let kept = self.kept(is_held);
            let target = folder.target.as_ref().map(|parent| RestoredFolder::below(parent, &entry, included));
            if included {
                self.run.others.fetch_add(1, Ordering::Relaxed);
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
            self.foresee_entry(parent, &entry);
            return Ok(());
        };
        let handle = match parent.handle() {
            Ok(handle) => handle,
            Err(error) => {
                self.run.undone(path, "make its folder", &error);
                return Ok(());
            }
        };
        let inode = match self.decide(parent, &handle, &entry) {
            Decision::Keep => {
                self.run.skipped.fetch_add(1, Ordering::Relaxed);
                return Ok(());
            }
            Decision::Link { inode, is_unchanged } => {
                let link = DeferredLink { folder: Arc::clone(parent), entry, inode, is_unchanged };
                return self.planner.add_link(link);
            }
            Decision::Restore(inode) => inode,
        };
        if let Node::File { .. } = entry.node {
            let file = FileWriter::new(Arc::clone(parent), entry, inode, self.run.options.sparse);
            return self.planner.add_file(file, self.cache);
        }
        make_special(self.run, parent, &entry, inode.as_ref());
        Ok(())
    }

    /// Counts what would be done with an entry.
    fn foresee_entry(&mut self, parent: Option<&Arc<RestoredFolder>>, entry: &Entry) {
        let decision = match parent.and_then(|parent| Some((parent, parent.handle().ok()?))) {
            Some((parent, handle)) => self.decide(parent, &handle, entry),
            None => self.decide_anew(entry),
        };
        let counter = match (decision, &entry.node) {
            (Decision::Keep, _) => &self.run.skipped,
            (Decision::Restore(_), Node::File { len_bytes, .. }) => {
                self.run.bytes.fetch_add(*len_bytes, Ordering::Relaxed);
                &self.run.files
            }
            _ => &self.run.others,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn decide(&mut self, parent: &Arc<RestoredFolder>, handle: &TargetFolder, entry: &Entry) -> Decision {
        let Some(existing) = self.kept_existing(handle, entry) else { return self.decide_anew(entry) };
        if self.run.options.overwrite != Overwrite::IfChanged {
            // It may be anything: other names of what the snapshot has are not linked to it (P3).
            return Decision::Keep;
        }
        match self.inodes.of(entry) {
            Some((inode, true)) if !inode.is(&existing) => return Decision::Link { inode, is_unchanged: true },
            Some((inode, false)) => inode.stands_at(parent, &entry.name),
            _ => {}
        }
        Decision::Keep
    }

    fn decide_anew(&mut self, entry: &Entry) -> Decision {
        match self.inodes.of(entry) {
            Some((inode, true)) => Decision::Link { inode, is_unchanged: false },
            first => Decision::Restore(first.map(|(inode, _)| inode)),
        }
    }

    /// What stands there, where that stays.
    fn kept_existing(&self, handle: &TargetFolder, entry: &Entry) -> Option<Stat> {
        let overwrite = self.run.options.overwrite;
        if overwrite == Overwrite::Always {
            return None;
        }
        let existing = handle.existing(&entry.name).ok()??;
        if is_left_by_a_kill(&existing, entry) {
            return None;
        }
        let is_newer = existing.modified >= entry.metadata.modified;
        let stays = match (overwrite, &entry.node) {
            (Overwrite::Never, _) => true,
            (Overwrite::IfNewer, _) => is_newer,
            (Overwrite::IfChanged, Node::File { len_bytes, .. }) => {
                existing.kind == FileKind::File
                    && existing.len_bytes == *len_bytes
                    && existing.modified == entry.metadata.modified
            }
            _ => false,
        };
        stays.then_some(existing)
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
}
