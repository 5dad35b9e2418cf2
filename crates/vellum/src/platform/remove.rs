//! Removing a folder with everything in it, without ever leaving it.

use super::folder::{self, OPEN_FOLDER};
use super::names::Names;
use super::stat::Stat;
use rustix::fs::AtFlags;
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use vellum_format::tree::EntryName;

/// A folder on the way down.
struct Level {
    name: EntryName,
    stat: Stat,
    remaining: Names,
}

/// Removes an entry, of a folder also everything below; one that is not there is removed already.
///
/// Links are removed, not followed. Something mounted below is not entered, and makes this fail. Depth costs neither
/// stack nor handles.
///
/// # Errors
/// The first one; what was removed until then stays removed.
pub(super) fn remove(parent: BorrowedFd<'_>, name: &EntryName) -> io::Result<()> {
    if remove_non_folder(parent, name)? {
        return Ok(());
    }
    let mut current = enter(parent, name)?;
    let mut levels = vec![level(current.as_fd(), name)?];
    while let Some(deepest) = levels.last_mut() {
        if let Some(name) = deepest.remaining.next() {
            if !remove_non_folder(current.as_fd(), &name)? {
                current = enter(current.as_fd(), &name)?;
                levels.push(level(current.as_fd(), &name)?);
            }
            continue;
        }
        let done = deepest.name.clone();
        levels.pop();
        if let Some(above) = levels.last() {
            current = folder::open_parent(current.as_fd(), &above.stat)?;
            rustix::fs::unlinkat(&current, done.as_bytes(), AtFlags::REMOVEDIR)?;
        }
    }
    Ok(rustix::fs::unlinkat(parent, name.as_bytes(), AtFlags::REMOVEDIR)?)
}

/// Whether the entry is gone; false for a folder.
fn remove_non_folder(folder: BorrowedFd<'_>, name: &EntryName) -> io::Result<bool> {
    match rustix::fs::unlinkat(folder, name.as_bytes(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        // POSIX lets a system answer this for folders, and it is the true answer for immutable files.
        Err(Errno::PERM) if folder::stat_name(folder, name)?.kind == super::stat::FileKind::Folder => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn level(folder: BorrowedFd<'_>, name: &EntryName) -> io::Result<Level> {
    let (stat, remaining) = (folder::stat_handle(folder)?, folder::read_names(folder)?);
    Ok(Level { name: name.clone(), stat, remaining })
}

fn enter(parent: BorrowedFd<'_>, name: &EntryName) -> io::Result<OwnedFd> {
    let (child, stat, _) = folder::open_to_change(parent, name, open_same_mount)?;
    match stat.device == folder::stat_handle(parent)?.device {
        true => Ok(child),
        false => Err(Errno::XDEV.into()),
    }
}

/// Refuses mount points, those of the same file system too.
#[cfg(target_os = "linux")]
fn open_same_mount(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    use rustix::fs::{Mode, ResolveFlags};
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    match rustix::fs::openat2(parent, name, OPEN_FOLDER, Mode::empty(), resolve) {
        // Kernels before 5.6 and some containers do not have the call; then only other devices are noticed.
        Err(Errno::NOSYS | Errno::PERM) => folder::open(parent, name, OPEN_FOLDER),
        result => result,
    }
}

#[cfg(not(target_os = "linux"))]
fn open_same_mount(parent: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    folder::open(parent, name, OPEN_FOLDER)
}
