//! Handles of folders: opening them and reading their names, for both sides.

use super::names::Names;
use super::stat::{FileKind, Stat};
use rustix::fs::{AtFlags, Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};
use vellum_format::tree::EntryName;

/// Opens a real folder for reading its names.
pub(super) const OPEN_FOLDER: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A handle that only names an inode; opening it needs no permission on the inode and has no side effect.
#[cfg(target_os = "linux")]
pub(super) const PIN: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A step on the way to a root: follows links, needs only the right to search.
#[cfg(target_os = "linux")]
pub(super) const STEP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
pub(super) const STEP: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

#[cfg(target_os = "linux")]
const LEAVE_ATIME: OFlags = OFlags::NOATIME;
#[cfg(not(target_os = "linux"))]
const LEAVE_ATIME: OFlags = OFlags::empty();

/// Opens without following a link.
pub(super) fn open(folder: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    retry_on_intr(|| openat(folder, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty()))
}

/// Opens without following a link and, where the kernel allows us that, without touching the access time.
pub(super) fn open_quietly(folder: BorrowedFd<'_>, name: &[u8], flags: OFlags) -> rustix::io::Result<OwnedFd> {
    match open(folder, name, flags | LEAVE_ATIME) {
        Err(Errno::PERM) => open(folder, name, flags),
        result => result,
    }
}

/// Opens the folder at a path that the user gave, following links; `create` makes what is missing.
pub(super) fn open_path(path: &Path, create: bool) -> io::Result<OwnedFd> {
    Ok(open_quietly(pass_path(path, create)?.as_fd(), b".", OPEN_FOLDER)?)
}

/// The same for a handle to go through: it needs the right to search the folder, not to read its names.
///
/// The path is walked in steps, so it may be longer than the kernel takes at once.
pub(super) fn pass_path(path: &Path, create: bool) -> io::Result<OwnedFd> {
    let start = match path.as_os_str() {
        nothing if nothing.is_empty() => return Err(Errno::NOENT.into()),
        _ if path.has_root() => "/",
        _ => ".",
    };
    let mut current = openat(rustix::fs::CWD, start, STEP, Mode::empty())?;
    for component in path.components() {
        if let Component::Normal(_) | Component::ParentDir = component {
            current = step(current.as_fd(), component, create)?;
        }
    }
    Ok(current)
}

fn step(folder: BorrowedFd<'_>, component: Component<'_>, create: bool) -> io::Result<OwnedFd> {
    match openat(folder, component.as_os_str(), STEP, Mode::empty()) {
        Err(Errno::NOENT) if create => {
            match rustix::fs::mkdirat(folder, component.as_os_str(), Mode::RWXU | Mode::RWXG | Mode::RWXO) {
                Ok(()) | Err(Errno::EXIST) => Ok(openat(folder, component.as_os_str(), STEP, Mode::empty())?),
                Err(error) => Err(error.into()),
            }
        }
        result => Ok(result?),
    }
}

/// Opens the folder above, which must be the one that is expected.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] when the folder was moved elsewhere in the meantime.
pub(super) fn open_parent(folder: BorrowedFd<'_>, expected: &Stat) -> io::Result<OwnedFd> {
    expect_inode(open_quietly(folder, b"..", OPEN_FOLDER)?, expected)
}

/// The handle, if it is that of the folder that is expected.
///
/// # Errors
/// [`io::ErrorKind::NotFound`] when it is another.
pub(super) fn expect_inode(folder: OwnedFd, expected: &Stat) -> io::Result<OwnedFd> {
    match stat_handle(folder.as_fd())?.is_same_inode(expected) {
        true => Ok(folder),
        false => Err(io::Error::new(io::ErrorKind::NotFound, "the folder was moved while it was in use")),
    }
}

pub(super) fn stat_name(folder: BorrowedFd<'_>, name: &EntryName) -> rustix::io::Result<Stat> {
    retry_on_intr(|| rustix::fs::statat(folder, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW)).map(Stat::from)
}

pub(super) fn stat_handle(handle: BorrowedFd<'_>) -> rustix::io::Result<Stat> {
    retry_on_intr(|| rustix::fs::fstat(handle)).map(Stat::from)
}

/// The folder's names from the handle's position on, sorted by their bytes.
///
/// A name that the file system lists twice comes once: both are the same entry.
pub(super) fn read_names(folder: BorrowedFd<'_>) -> io::Result<Names> {
    let mut names = Names::default();
    visit_names(folder, &mut |name| match name {
        b"." | b".." => Ok(()),
        name => names.push(name).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
    })?;
    names.sort();
    Ok(names)
}

/// Asks the kernel for 64 KiB of names at a time, about 2,000.
#[cfg(target_os = "linux")]
fn visit_names(folder: BorrowedFd<'_>, visit: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(64 << 10);
    let mut entries = rustix::fs::RawDir::new(folder, buffer.spare_capacity_mut());
    loop {
        match entries.next() {
            None => return Ok(()),
            Some(Err(Errno::INTR)) => {}
            Some(entry) => visit(entry?.file_name().to_bytes())?,
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn visit_names(folder: BorrowedFd<'_>, visit: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    for entry in rustix::fs::Dir::read_from(folder)? {
        visit(entry?.file_name().to_bytes())?;
    }
    Ok(())
}

/// Opens a real folder of the target, and gives ourselves the right to work in it if it is ours and lacks it; then the
/// mode that it had is returned too.
///
/// The added permission stays until the folder's metadata is applied, or that mode. Beside it comes what the folder was
/// before.
pub(super) fn open_to_change(
    folder: BorrowedFd<'_>,
    name: &EntryName,
    open: impl Fn(BorrowedFd<'_>, &[u8]) -> rustix::io::Result<OwnedFd>,
) -> rustix::io::Result<(OwnedFd, Stat, Option<u32>)> {
    let (opened, unlocked) = match open(folder, name.as_bytes()) {
        Err(Errno::ACCESS) => {
            let mode = unlock(folder, name).ok_or(Errno::ACCESS)?;
            (open(folder, name.as_bytes())?, Some(mode))
        }
        result => (result?, None),
    };
    let euid = rustix::process::geteuid();
    let stat = stat_handle(opened.as_fd())?;
    if !euid.is_root() && stat.uid == euid.as_raw() && stat.mode & 0o700 != 0o700 {
        rustix::fs::fchmod(&opened, Mode::from_raw_mode((stat.mode | 0o700) as _))?;
        let mode = stat.mode;
        return Ok((opened, stat, unlocked.or(Some(mode))));
    }
    Ok((opened, stat, unlocked))
}

/// Adds the owner's permissions to a folder of ours that we may not even open, and returns the mode that it had.
fn unlock(folder: BorrowedFd<'_>, name: &EntryName) -> Option<u32> {
    let inode = super::inode::Inode::named(folder, name).ok()?;
    let stat = inode.stat().ok().filter(|stat| stat.kind == FileKind::Folder)?;
    inode.set_mode(stat.mode | 0o700).ok().map(|()| stat.mode)
}
