//! Restoring: one thread walks the snapshot's trees and plans the chunks of many files at once, a window; meanwhile
//! the window before is written in the order of its packs: frames are decoded on all cores, and metadata is applied
//! from the leaves up.
//!
//! Memory is at most twice [`window::CHUNKS_MAX`] planned chunks of about 100 bytes, their files' entries, one frame of
//! each worker, and the folders that are open, with the names in them where all others are to be deleted. It grows
//! with the snapshot only by files of several names: about 200 bytes for each until the end. A damaged pack costs only
//! the files that need it.

mod chunks;
mod delete;
mod files;
mod folder;
mod links;
mod plan;
mod run;
mod scope;
mod special;
mod verify;
mod walk;
mod window;

use crate::filter::Filter;
use crate::platform::TargetFolder;
use crate::selection::{SnapshotFilter, SnapshotRef, find_snapshot};
use crate::tree_reader::{open_path, root_content};
use crate::{Context, Error, Problem};
use run::Run;
use std::path::{Path, PathBuf};
use vellum_format::ObjectName;
use vellum_format::content::Content;
use vellum_format::tree::{Entry, Metadata, Node};
use vellum_repository::{FrameCache, Repository, Snapshot};

pub(crate) use verify::{difference, open_file};

/// What to do with entries that are in the target already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// Replace them.
    #[default]
    Always,
    /// Replace files whose length or time differs, and what is not linked to the other names of its file.
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
    /// empty folder. Refused for a snapshot with errors, which may lack what is there.
    ///
    /// What the backup was told to leave out, by patterns, lengths or markers, and sockets are not in the snapshot
    /// either, and go: [`RestoreOptions::exclude`] keeps what it matches, and a dry run tells what would go.
    pub delete: bool,
    /// Reads every restored file back and compares it.
    pub verify: bool,
    /// Only tells what would be done.
    pub dry_run: bool,
    /// Makes holes of zeros in every file, not only in those that had holes.
    pub sparse: bool,
    /// Owners by number, even where the name is known here.
    pub numeric_owner: bool,
    /// The folder that the repository lies in, if it is a local one. Below the target it stays as it is, and what the
    /// snapshot has in its place is told as not restored.
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
    /// Metadata that this system did not take, such as an owner, an attribute or a hard link, up to the first 10,000;
    /// contents are right.
    pub metadata_problems: Vec<Problem>,
    /// How many there are.
    pub metadata_problem_count: u64,
    /// Damaged packs of which something was restored by their parity. What is stored of them is as damaged as before.
    pub healed: Vec<ObjectName>,
}

/// Restores a snapshot, or a folder of it, below `target`.
///
/// Nothing outside `target` is ever written, whatever the snapshot or the target holds.
///
/// Killed, it can be run again, with any [`Overwrite`]; but what [`Overwrite::IfNewer`] and [`Overwrite::Never`] keep
/// may be anything, so names that a kill left without a link to it become a file of their own. A file has its name only when it is complete, and what it had
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
    let own_folder = find_repository(target, options)?;
    let cache = FrameCache::new(16);
    let start = match &options.subfolder {
        None => Start { content: root_content(snapshot)?, only: None, metadata: None, path: Vec::new() },
        Some(path) => start_at(repository, &cache, snapshot, path)?,
    };
    let run = Run::new(repository, context, options, (target, &start.path), own_folder.as_deref());
    let root = match options.dry_run {
        true => TargetFolder::find_root(target),
        false => TargetFolder::create_root(target).map(Some),
    };
    let root = root.map_err(|source| Error::Target { path: target.into(), source })?;
    let restored = start.clone();
    walk::restore_all(&run, &cache, snapshot, root.as_ref(), start)?;
    if let Some(root) = root.filter(|_| !options.dry_run) {
        // Delayed write errors surface here and nowhere else; other file systems were synced when they were left.
        root.sync_file_system().map_err(|source| Error::TargetFailed { path: target.into(), source })?;
        if options.verify {
            verify::verify(&run, &cache, target, &restored)?;
        }
    }
    let healed = repository.healed_packs();
    Ok(RestoreReport { snapshot: Some(snapshot.id), healed, ..run.into_report() })
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

/// Where below the target the repository lies, if it does.
fn find_repository(target: &Path, options: &RestoreOptions) -> Result<Option<PathBuf>, Error> {
    let Some(repository) = options.repository_folder.as_ref().and_then(|path| path.canonicalize().ok()) else {
        return Ok(None);
    };
    // A relative path that is not there yet leads to the working folder, which its ancestors do not name.
    let from_here = Path::new(".").join(target);
    let existing = from_here.ancestors().find_map(|path| path.canonicalize().ok());
    if existing.is_some_and(|path| path.starts_with(&repository)) {
        return Err(Error::TargetInsideRepository { path: target.to_owned() });
    }
    let below = target.canonicalize().ok().and_then(|target| repository.strip_prefix(target).ok().map(Path::to_owned));
    Ok(below)
}

/// A tree does not say what could not be read: a file is left out of it, a folder that could not be listed is empty.
/// Only the number of errors tells that its absence means nothing (I26).
fn expect_complete(snapshot: &Snapshot) -> Result<(), Error> {
    match snapshot.manifest.summary.errors {
        0 => Ok(()),
        errors => Err(Error::DeleteByIncomplete { snapshot: snapshot.id.short(), errors }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_target_in_the_repository_is_refused_whether_it_is_there_or_not() {
        let repository = RestoreOptions { repository_folder: Some(PathBuf::from(".")), ..RestoreOptions::default() };
        for target in ["src", "new", "new/below", "src/new", "./new"] {
            let found = find_repository(Path::new(target), &repository);
            assert!(matches!(found, Err(Error::TargetInsideRepository { .. })), "{target}: {found:?}");
        }
        let below = RestoreOptions { repository_folder: Some(PathBuf::from("src")), ..RestoreOptions::default() };
        assert_eq!(find_repository(Path::new("new"), &below).unwrap(), None);
        assert_eq!(find_repository(Path::new("."), &below).unwrap(), Some(PathBuf::from("src")));
    }
}
