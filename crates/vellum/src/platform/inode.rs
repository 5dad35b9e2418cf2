//! One inode that is held while its metadata is set, so that nothing can be swapped in between.

use super::folder;
use super::stat::Stat;
use super::xattr;
use rustix::fs::{AtFlags, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid};
use std::io;
use std::os::fd::BorrowedFd;
#[cfg(target_os = "linux")]
use std::os::fd::{AsFd, OwnedFd};
use vellum_format::snapshot::Timestamp;
use vellum_format::tree::EntryName;

/// An inode whose metadata can be set.
pub(super) enum Inode<'a> {
    /// A file or folder that was opened.
    Open(BorrowedFd<'a>),
    /// An entry that cannot be opened without consequences: a link, a pipe, a device.
    #[cfg(target_os = "linux")]
    Pinned(OwnedFd),
    /// The same where the kernel has no such handles; the last component is not followed.
    #[cfg(not(target_os = "linux"))]
    Named { folder: BorrowedFd<'a>, name: &'a EntryName },
}

impl<'a> Inode<'a> {
    /// Holds an entry without opening it.
    #[cfg(target_os = "linux")]
    pub(super) fn named(folder: BorrowedFd<'a>, name: &'a EntryName) -> io::Result<Self> {
        Ok(Self::Pinned(folder::open(folder, name.as_bytes(), folder::PIN)?))
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn named(folder: BorrowedFd<'a>, name: &'a EntryName) -> io::Result<Self> {
        folder::stat_name(folder, name)?;
        Ok(Self::Named { folder, name })
    }

    pub(super) fn stat(&self) -> io::Result<Stat> {
        Ok(match self {
            Self::Open(handle) => folder::stat_handle(*handle)?,
            #[cfg(target_os = "linux")]
            Self::Pinned(handle) => folder::stat_handle(handle.as_fd())?,
            #[cfg(not(target_os = "linux"))]
            Self::Named { folder, name } => folder::stat_name(*folder, name)?,
        })
    }

    pub(super) fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        let (Some(uid), Some(gid)) = (checked_id(uid), checked_id(gid)) else {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "no owner can have this number"));
        };
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        match self {
            Self::Open(handle) => rustix::fs::fchown(handle, uid, gid)?,
            #[cfg(target_os = "linux")]
            Self::Pinned(handle) => rustix::fs::chownat(handle, c"", uid, gid, AtFlags::EMPTY_PATH)?,
            #[cfg(not(target_os = "linux"))]
            Self::Named { folder, name } => {
                rustix::fs::chownat(folder, name.as_bytes(), uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            }
        }
        Ok(())
    }

    /// Sets the 12 mode bits; a symbolic link has none.
    pub(super) fn set_mode(&self, mode: u32) -> io::Result<()> {
        let mode = Mode::from_raw_mode(mode as _);
        match self {
            Self::Open(handle) => rustix::fs::fchmod(handle, mode)?,
            #[cfg(target_os = "linux")]
            Self::Pinned(handle) => rustix::fs::chmod(xattr::proc_path(handle.as_fd())?, mode)?,
            #[cfg(not(target_os = "linux"))]
            Self::Named { folder, name } => {
                rustix::fs::chmodat(folder, name.as_bytes(), mode, AtFlags::SYMLINK_NOFOLLOW)?;
            }
        }
        Ok(())
    }

    /// Sets the modification time and leaves the access time.
    pub(super) fn set_modified(&self, time: Timestamp) -> io::Result<()> {
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT as _ },
            last_modification: Timespec { tv_sec: time.seconds, tv_nsec: time.nanoseconds.into() },
        };
        match self {
            Self::Open(handle) => rustix::fs::futimens(handle, &times)?,
            #[cfg(target_os = "linux")]
            Self::Pinned(handle) => match rustix::fs::utimensat(handle, c"", &times, AtFlags::EMPTY_PATH) {
                // Kernels before 5.8 do not take an empty path here.
                Err(rustix::io::Errno::INVAL) => {
                    let path = xattr::proc_path(handle.as_fd())?;
                    rustix::fs::utimensat(rustix::fs::CWD, path, &times, AtFlags::empty())?;
                }
                result => result?,
            },
            #[cfg(not(target_os = "linux"))]
            Self::Named { folder, name } => {
                rustix::fs::utimensat(folder, name.as_bytes(), &times, AtFlags::SYMLINK_NOFOLLOW)?;
            }
        }
        Ok(())
    }

    /// Where its extended attributes are reached.
    #[cfg(target_os = "linux")]
    pub(super) fn xattrs(&self) -> io::Result<xattr::Place<'_>> {
        Ok(match self {
            Self::Open(handle) => xattr::Place::Handle(*handle),
            Self::Pinned(handle) => xattr::Place::Pinned(xattr::proc_path(handle.as_fd())?),
        })
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn xattrs(&self) -> io::Result<xattr::Place<'_>> {
        Ok(xattr::Place::default())
    }
}

/// The kernel takes this number for "leave it as it is".
fn checked_id(id: u32) -> Option<u32> {
    (id != u32::MAX).then_some(id)
}
