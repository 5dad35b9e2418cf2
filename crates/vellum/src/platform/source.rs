//! The reading side: the user's folders and files.

use super::folder::{self, OPEN_FOLDER};
use super::inode::Inode;
use super::names::Names;
use super::stat::{FileKind, Stat};
use super::xattr::{Place, ReadXattrs};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use vellum_format::tree::EntryName;

/// Files from this length on are announced to the kernel, which then reads further ahead.
const ANNOUNCED_LEN_BYTES_MIN: u64 = 1 << 20;

/// How often and after which pause a file is opened again that a file server still holds for its client.
const LEASE_ATTEMPTS_MAX: u32 = 20;
const LEASE_PAUSE: Duration = Duration::from_millis(50);

/// An open folder of the source.
#[derive(Debug)]
pub(crate) struct SourceFolder {
    handle: OwnedFd,
    /// The handle only leads to what is in the folder, and cannot list it.
    is_passed: bool,
}

impl SourceFolder {
    /// Opens the folder at a path of any length, following links.
    pub(crate) fn open_root(path: &Path) -> io::Result<Self> {
        Ok(Self::listed(folder::open_path(path, false)?))
    }

    /// The same for a folder on the way to another one: it may be one that this user may enter and not list.
    pub(crate) fn pass(path: &Path) -> io::Result<Self> {
        Ok(Self::passed(folder::pass_path(path, false)?))
    }

    /// The same for a folder that was opened before.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when another one is there now.
    pub(crate) fn pass_again(path: &Path, expected: &Stat) -> io::Result<Self> {
        Ok(Self::passed(folder::expect_inode(folder::pass_path(path, false)?, expected)?))
    }

    fn listed(handle: OwnedFd) -> Self {
        Self { handle, is_passed: false }
    }

    fn passed(handle: OwnedFd) -> Self {
        Self { handle, is_passed: true }
    }

    /// Opens a folder in this one, and nothing but a real folder.
    ///
    /// Another file system may be mounted on it: compare [`SourceFolder::stat_self`].
    pub(crate) fn open_child(&self, name: &EntryName) -> io::Result<Self> {
        Ok(Self::listed(folder::open_quietly(self.handle.as_fd(), name.as_bytes(), OPEN_FOLDER)?))
    }

    /// The same for a folder on the way to another one, as for [`SourceFolder::pass`].
    pub(crate) fn pass_child(&self, name: &EntryName) -> io::Result<Self> {
        Ok(Self::passed(folder::open(self.handle.as_fd(), name.as_bytes(), folder::STEP)?))
    }

    /// Opens the folder above this one, so that a walk of any depth needs few handles.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when the folder above is no longer the `expected` one.
    pub(crate) fn open_parent(&self, expected: &Stat) -> io::Result<Self> {
        Ok(Self::listed(folder::open_parent(self.handle.as_fd(), expected)?))
    }

    /// The names of all entries, sorted by their bytes, each once.
    pub(crate) fn names(&mut self) -> io::Result<Names> {
        rustix::fs::seek(&self.handle, rustix::fs::SeekFrom::Start(0))?;
        folder::read_names(self.handle.as_fd())
    }

    /// What the kernel says about an entry; a link is not followed.
    pub(crate) fn stat(&self, name: &EntryName) -> io::Result<Stat> {
        Ok(folder::stat_name(self.handle.as_fd(), name)?)
    }

    /// What the kernel says about this folder.
    pub(crate) fn stat_self(&self) -> io::Result<Stat> {
        Ok(folder::stat_handle(self.handle.as_fd())?)
    }

    /// Opens a regular file; never waits for the other end of a pipe that has taken its place.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidData`] when the entry is no regular file any more.
    pub(crate) fn open_file(&self, name: &EntryName) -> io::Result<SourceFile> {
        let handle = open_despite_lease(self.handle.as_fd(), name)?;
        let opened = folder::stat_handle(handle.as_fd())?;
        if opened.kind != FileKind::File {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no longer a regular file"));
        }
        #[cfg(target_os = "linux")]
        if opened.len_bytes >= ANNOUNCED_LEN_BYTES_MIN {
            // Only advice: a file system that does not take it reads as well without.
            rustix::fs::fadvise(&handle, 0, None, rustix::fs::Advice::Sequential).ok();
        }
        Ok(SourceFile { file: File::from(handle), opened })
    }

    /// Where a symbolic link points.
    pub(crate) fn read_link(&self, name: &EntryName) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&self.handle, name.as_bytes(), Vec::new())?.into_bytes())
    }

    /// The extended attributes of an entry of any kind, sorted by name; a link is not followed. Without `/proc` none
    /// can be read of what is neither a file nor a folder.
    #[cfg(target_os = "linux")]
    pub(crate) fn xattrs(&self, name: &EntryName, kind: FileKind) -> ReadXattrs {
        match (super::xattr::proc_path(self.handle.as_fd()), kind) {
            (Ok(path), _) => Place::Named([&path, &b"/"[..], name.as_bytes()].concat()).read(),
            (Err(_), FileKind::File) => self.open_file(name).map_or_else(ReadXattrs::from, |file| file.xattrs()),
            (Err(_), FileKind::Folder) => {
                self.open_child(name).map_or_else(ReadXattrs::from, |open| open.xattrs_self())
            }
            (Err(error), _) => error.into(),
        }
    }

    /// None are known on this system.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn xattrs(&self, _name: &EntryName, _kind: FileKind) -> ReadXattrs {
        Place::default().read()
    }

    /// This folder's own extended attributes; of one that is only passed, those that this user may read.
    pub(crate) fn xattrs_self(&self) -> ReadXattrs {
        if !self.is_passed {
            return xattrs_of(self.handle.as_fd());
        }
        match folder::open_quietly(self.handle.as_fd(), b".", OPEN_FOLDER) {
            Ok(listed) => xattrs_of(listed.as_fd()),
            Err(Errno::ACCESS) => ReadXattrs::default(),
            Err(error) => io::Error::from(error).into(),
        }
    }
}

fn xattrs_of(handle: BorrowedFd<'_>) -> ReadXattrs {
    Inode::Open(handle).xattrs().map_or_else(ReadXattrs::from, |place| place.read())
}

/// `O_NONBLOCK` keeps us from waiting for a pipe, but makes the kernel refuse a file that a server leased to a client.
/// Refusing has asked for it back, so a moment later it is free.
fn open_despite_lease(folder: BorrowedFd<'_>, name: &EntryName) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    for _ in 1..LEASE_ATTEMPTS_MAX {
        match folder::open_quietly(folder, name.as_bytes(), flags) {
            Err(Errno::AGAIN) => std::thread::sleep(LEASE_PAUSE),
            result => return Ok(result?),
        }
    }
    Ok(folder::open_quietly(folder, name.as_bytes(), flags)?)
}

/// An open regular file of the source. Holes are read as zeros and never skipped: file systems have lied about them.
#[derive(Debug)]
pub(crate) struct SourceFile {
    file: File,
    opened: Stat,
}

impl SourceFile {
    /// What the kernel said when the file was opened, which may be another file than the one looked at before.
    pub(crate) fn opened(&self) -> &Stat {
        &self.opened
    }

    /// What the kernel says now; another identity than [`SourceFile::opened`] means that it changed while it was read.
    pub(crate) fn stat(&self) -> io::Result<Stat> {
        Ok(folder::stat_handle(self.file.as_fd())?)
    }

    /// Its extended attributes, sorted by name.
    pub(crate) fn xattrs(&self) -> ReadXattrs {
        xattrs_of(self.file.as_fd())
    }
}

impl Read for SourceFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.file.read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }
}
