//! The paths of a backup as one tree of names, so that overlapping and nested roots are each saved once.

use super::BackupOptions;
use crate::Error;
use crate::platform::{FileKind, SourceFolder, Stat};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use vellum_format::limits::SNAPSHOT_PATHS_MAX;
use vellum_format::snapshot::Timestamp;
use vellum_format::tree::EntryName;

/// Every root by its path from `/`.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    pub(crate) top: RootNode,
    /// The paths that they are, as given and in that order.
    pub(crate) paths: Vec<PathBuf>,
    /// Paths that are not there or cannot be saved, and why.
    pub(crate) missing: Vec<(PathBuf, io::Error)>,
}

/// A folder on the way to roots, or a root.
#[derive(Debug, Default)]
pub(crate) struct RootNode {
    /// Everything here is wanted.
    pub(crate) is_root: bool,
    /// When a root at or below it was last changed. Folders above roots are saved with this time instead of their
    /// own, which changes with every neighbour of a root.
    pub(crate) modified: Option<Timestamp>,
    /// Otherwise only this.
    pub(crate) children: BTreeMap<EntryName, RootNode>,
}

/// Puts together the paths that are there; the others are told, and none of them being there is an error.
pub(crate) fn resolve(options: &BackupOptions) -> Result<Roots, Error> {
    if options.paths.is_empty() {
        return Err(Error::NothingToBackUp);
    }
    if options.paths.len() > SNAPSHOT_PATHS_MAX {
        return Err(Error::TooManyPaths { count: options.paths.len(), max: SNAPSHOT_PATHS_MAX });
    }
    let mut roots = Roots::default();
    let mut paths = options.paths.clone();
    paths.sort();
    for path in paths {
        let names = components(&path)?;
        let inserted = check_root(&path, options).and_then(|modified| roots.insert(&path, &names, modified));
        match inserted {
            Err(Error::SourceMissing { path, source }) => roots.missing.push((path, source)),
            inserted => inserted?,
        }
    }
    let missing: BTreeSet<_> = roots.missing.iter().map(|(path, _)| path).collect();
    roots.paths = options.paths.iter().filter(|path| !missing.contains(path)).cloned().collect();
    match roots.paths.is_empty() {
        true => {
            let (path, source) = roots.missing.swap_remove(0);
            Err(Error::SourceMissing { path, source })
        }
        false => Ok(roots),
    }
}

impl Roots {
    fn insert(&mut self, path: &Path, names: &[EntryName], modified: Timestamp) -> Result<(), Error> {
        let mut node = &mut self.top;
        for name in names {
            if node.is_root {
                return check_is_below(path);
            }
            node = node.children.entry(name.clone()).or_default();
            node.modified = node.modified.max(Some(modified));
        }
        node.is_root = true;
        node.children.clear();
        Ok(())
    }

    /// Bytes that name this set of roots, for the file cache.
    pub(crate) fn identity(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.top.visit_roots(&mut Vec::new(), &mut |path| {
            out.extend_from_slice(path);
            out.push(0);
        });
        out
    }
}

impl RootNode {
    /// Visits the paths of the roots at or below this node, whose path is given.
    pub(crate) fn visit_roots(&self, path: &mut Vec<u8>, visit: &mut dyn FnMut(&[u8])) {
        if self.is_root {
            visit(path);
        }
        for (name, child) in &self.children {
            let len = path.len();
            path.push(b'/');
            path.extend_from_slice(name.as_bytes());
            child.visit_roots(path, visit);
            path.truncate(len);
        }
    }
}

fn components(path: &Path) -> Result<Vec<EntryName>, Error> {
    let unusable = |reason| Error::UnusableRoot { path: path.to_owned(), reason };
    if !path.is_absolute() {
        return Err(unusable("a path to back up must be absolute"));
    }
    let mut names = Vec::new();
    for component in path.components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => {
                let name = EntryName::new(name.as_bytes().to_vec());
                names.push(name.map_err(|_| unusable("a name in it cannot be stored"))?);
            }
            Component::ParentDir | Component::Prefix(_) => return Err(unusable("it must not contain `..`")),
        }
    }
    Ok(names)
}

/// A root below another is saved with it, unless the way to it leads through a link, which nobody would follow.
fn check_is_below(path: &Path) -> Result<(), Error> {
    let parent = path.parent().unwrap_or(path);
    match parent.canonicalize() {
        Ok(real) if real == parent => Ok(()),
        Ok(_) => Err(Error::UnusableRoot {
            path: path.to_owned(),
            reason: "it is reached through a symbolic link below another path that is backed up; name its real path",
        }),
        Err(source) => Err(Error::SourceMissing { path: path.to_owned(), source }),
    }
}

/// When the root was last changed.
fn check_root(path: &Path, options: &BackupOptions) -> Result<Timestamp, Error> {
    let missing = |source| Error::SourceMissing { path: path.to_owned(), source };
    let modified = stat_path(path).map_err(missing)?.modified;
    let Some(repository) = &options.repository_folder else { return Ok(modified) };
    let (Ok(repository), Ok(root)) = (repository.canonicalize(), path.canonicalize()) else { return Ok(modified) };
    let Ok(below) = repository.strip_prefix(&root) else { return Ok(modified) };
    let as_walked: PathBuf = path.join(below);
    match options.excludes.patterns.matches_with_parents(as_walked.as_os_str().as_bytes()) {
        true => Ok(modified),
        false => Err(Error::RepositoryInsideSource { path: path.to_owned() }),
    }
}

/// What stands at a path; a link in its last place is not followed.
fn stat_path(path: &Path) -> io::Result<Stat> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return SourceFolder::pass(path)?.stat_self();
    };
    let name = EntryName::new(name.as_bytes().to_vec()).map_err(io::Error::other)?;
    let stat = SourceFolder::pass(parent)?.stat(&name)?;
    if matches!(stat.kind, FileKind::Socket | FileKind::Unknown) {
        return Err(unsupported_kind());
    }
    Ok(stat)
}

/// Why what is no file, folder, link, pipe or device is not saved.
pub(super) fn unsupported_kind() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this kind of file cannot be backed up")
}
