//! A regular file on its way into the target.

use super::folder;
use super::inode::Inode;
use super::metadata::{self, MetadataProblem, OwnerPolicy};
use super::stat::{FileKind, Stat};
use super::target::{TargetFolder, remove_empty_folder, temporary_name};
use crate::lock;
use rustix::fs::{AtFlags, Mode, OFlags, openat, renameat};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use vellum_format::tree::{EntryName, Metadata};

/// Holes start and end on multiples of this: the block size of nearly every file system.
const BLOCK_LEN_BYTES: usize = 4096;

const ZEROS: [u8; BLOCK_LEN_BYTES] = [0; BLOCK_LEN_BYTES];

/// A regular file that is being restored, always a new inode; several threads may write different parts at once.
///
/// One that is written at once has its name from the start where that is free, readable for us alone. One that is
/// written in parts, or where something stands, takes a temporary name in the same folder and its own when it is
/// finished: so nobody takes for whole what a killed process left of it. Dropped unfinished, it is removed.
#[derive(Debug)]
#[must_use = "an unfinished file is removed again"]
pub(crate) struct TargetFile {
    folder: TargetFolder,
    name: EntryName,
    temporary: Option<EntryName>,
    file: File,
    len_bytes: u64,
    is_finished: bool,
}

/// An unfinished file that is not open.
#[derive(Debug)]
#[must_use = "it stays where it is until it is resumed or removed"]
pub(crate) struct SuspendedFile {
    temporary: EntryName,
    /// What the kernel said of it last.
    stat: Stat,
}

impl SuspendedFile {
    /// Whether this is the file: the same inode, or as good as it where the file system numbers files anew after they
    /// were closed. Nobody else has a reason to put such a file under a name that was drawn at random; and a file of
    /// one name has no other outside the target (I10).
    fn is(&self, found: &Stat) -> bool {
        let Stat { device, mode, uid, gid, len_bytes, .. } = self.stat;
        let alike = (device, FileKind::File, mode, uid, gid, len_bytes, 1);
        found.is_same_inode(&self.stat)
            || alike == (found.device, found.kind, found.mode, found.uid, found.gid, found.len_bytes, found.links)
    }

    /// Removes it; what somebody else has put in its place stays.
    pub(super) fn remove(&self, folder: &TargetFolder) -> io::Result<()> {
        let (folder, name) = (folder.handle(), &self.temporary);
        match folder::stat_name(folder, name) {
            Ok(found) if self.is(&found) => Ok(rustix::fs::unlinkat(folder, name.as_bytes(), AtFlags::empty())?),
            Ok(_) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl TargetFile {
    pub(super) fn create(folder: &TargetFolder, name: &EntryName, len_bytes: u64) -> io::Result<Self> {
        match create_new(folder, name) {
            Err(Errno::EXIST) => {
                folder.expect_found(name)?;
                remove_empty_folder(folder.handle(), name)?;
                Self::create_in_parts(folder, name, len_bytes)
            }
            handle => Ok(Self::new(folder, name, None, handle?, len_bytes)),
        }
    }

    pub(super) fn create_in_parts(folder: &TargetFolder, name: &EntryName, len_bytes: u64) -> io::Result<Self> {
        let temporary = temporary_name();
        let handle = create_new(folder, &temporary)?;
        Ok(Self::new(folder, name, Some(temporary), handle, len_bytes))
    }

    /// Opens a file again that was closed by [`TargetFile::suspend`].
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when it is not there any more.
    pub(super) fn resume(
        folder: &TargetFolder,
        name: &EntryName,
        suspended: &SuspendedFile,
        len_bytes: u64,
    ) -> io::Result<Self> {
        let temporary = &suspended.temporary;
        // A pipe that has its name must not make us wait for a reader.
        let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let handle = openat(folder.handle(), temporary.as_bytes(), flags, Mode::empty())?;
        match suspended.is(&folder::stat_handle(handle.as_fd())?) {
            true => Ok(Self::new(folder, name, Some(temporary.clone()), handle, len_bytes)),
            false => Err(io::Error::new(io::ErrorKind::NotFound, "the file was replaced while it was restored")),
        }
    }

    fn new(
        folder: &TargetFolder,
        name: &EntryName,
        temporary: Option<EntryName>,
        handle: OwnedFd,
        len_bytes: u64,
    ) -> Self {
        let (folder, name, file) = (folder.clone(), name.clone(), handle.into());
        Self { folder, name, temporary, file, len_bytes, is_finished: false }
    }

    /// Closes an unfinished file that has a temporary name, and keeps it; itself if that cannot be.
    pub(crate) fn suspend(mut self) -> Result<SuspendedFile, Self> {
        let (Some(temporary), Ok(stat)) = (&self.temporary, folder::stat_handle(self.file.as_fd())) else {
            return Err(self);
        };
        let suspended = SuspendedFile { temporary: temporary.clone(), stat };
        // Dropped as if it were: whoever has what is returned finishes or removes it.
        self.is_finished = true;
        Ok(suspended)
    }

    /// Gives the file its length already, as one hole.
    ///
    /// # Errors
    /// [`io::ErrorKind::FileTooLarge`] when no file of this file system can be that long.
    pub(crate) fn reserve_len(&self) -> io::Result<()> {
        match i64::try_from(self.len_bytes) {
            Ok(_) => self.file.set_len(self.len_bytes),
            Err(_) => Err(io::ErrorKind::FileTooLarge.into()),
        }
    }

    /// Writes all bytes at an offset.
    pub(crate) fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, offset)
    }

    /// Writes all bytes at an offset, except blocks of zeros, which stay holes.
    ///
    /// Zeros at the edges of `bytes` that fill a block only in part are left out too, as the neighbouring write may
    /// bring the rest of the hole. So no byte may be written twice: zeros would not cover what stands there.
    pub(crate) fn write_at_sparse(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (mut unwritten, mut at) = (0, 0);
        while at < bytes.len() {
            let end = bytes.len().min(at + left_in_block(offset + at as u64));
            if bytes[at..end] == ZEROS[..end - at] {
                self.write_at(offset + unwritten as u64, &bytes[unwritten..at])?;
                unwritten = end;
            }
            at = end;
        }
        self.write_at(offset + unwritten as u64, &bytes[unwritten..])
    }

    /// Gives the file its length, metadata and name; what was not written is zeros.
    ///
    /// # Errors
    /// Only when the file is not there with its content; then nothing of it is left, and what had its name still has.
    pub(crate) fn finish(mut self, metadata: &Metadata, policy: &OwnerPolicy) -> io::Result<Vec<MetadataProblem>> {
        if folder::stat_handle(self.file.as_fd())?.len_bytes != self.len_bytes {
            self.file.set_len(self.len_bytes)?;
        }
        let problems = metadata::apply(&Inode::Open(self.file.as_fd()), FileKind::File, metadata, policy);
        if let Some(temporary) = &self.temporary {
            self.take_name_from(temporary)?;
        }
        self.is_finished = true;
        Ok(problems)
    }

    fn take_name_from(&self, temporary: &EntryName) -> io::Result<()> {
        let folder = self.folder.handle();
        if !self.folder.found().is_at(&self.name) {
            return match rename_to_new(folder, temporary, &self.name) {
                Err(Errno::EXIST) => self.folder.expect_found(&self.name),
                renamed => Ok(renamed?),
            };
        }
        let rename = || renameat(folder, temporary.as_bytes(), folder, self.name.as_bytes());
        match rename() {
            Err(Errno::ISDIR) => {
                remove_empty_folder(folder, &self.name)?;
                Ok(rename()?)
            }
            renamed => Ok(renamed?),
        }
    }

    /// Whether a name still leads to this file, and not to what somebody else has put there.
    fn is_at(&self, name: &EntryName) -> bool {
        match (folder::stat_name(self.folder.handle(), name), folder::stat_handle(self.file.as_fd())) {
            (Ok(at_name), Ok(own)) => at_name.is_same_inode(&own),
            _ => false,
        }
    }
}

impl Drop for TargetFile {
    fn drop(&mut self) {
        let name = self.temporary.as_ref().unwrap_or(&self.name);
        if !self.is_finished && self.is_at(name) {
            // There is nobody to tell; a leftover is private.
            rustix::fs::unlinkat(self.folder.handle(), name.as_bytes(), AtFlags::empty()).ok();
        }
    }
}

fn create_new(folder: &TargetFolder, name: &EntryName) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(folder.handle(), name.as_bytes(), flags, Mode::RUSR | Mode::WUSR)
}

/// Gives an entry a name that none has.
fn rename_to_new(folder: BorrowedFd<'_>, from: &EntryName, to: &EntryName) -> rustix::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(folder, from.as_bytes(), folder, to.as_bytes(), flags) {
            Err(Errno::INVAL | Errno::NOSYS) => {}
            renamed => return renamed,
        }
    }
    // Two threads that do this at once with names of one entry would both find nothing.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _guard = lock(&ONE_AT_A_TIME);
    match folder::stat_name(folder, to) {
        Err(Errno::NOENT) => renameat(folder, from.as_bytes(), folder, to.as_bytes()),
        found => found.and(Err(Errno::EXIST)),
    }
}

fn left_in_block(offset: u64) -> usize {
    let block = BLOCK_LEN_BYTES as u64;
    usize::try_from(block - offset % block).expect("at most a block")
}
