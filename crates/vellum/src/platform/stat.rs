//! What the kernel says about one entry.

use rustix::fs::FileType;
use vellum_format::snapshot::Timestamp;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileKind {
    File,
    Folder,
    Symlink,
    BlockDevice,
    CharDevice,
    Fifo,
    /// Exists only while its process listens; nothing to back up.
    Socket,
    /// A kind that this program does not know.
    Unknown,
}

/// The kernel's record of one inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) kind: FileKind,
    /// The low 12 bits of `st_mode`.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) len_bytes: u64,
    /// Space taken, in units of 512 bytes whatever the file system's block size.
    pub(crate) blocks_512: u64,
    /// Last change of the content; anybody with write permission can set it.
    pub(crate) modified: Timestamp,
    /// Last change of the content or of the inode; only the kernel sets it.
    pub(crate) changed: Timestamp,
    pub(crate) device: u64,
    pub(crate) inode: u64,
    /// Names of the inode.
    pub(crate) links: u64,
    /// Of a device node: its own number.
    pub(crate) device_major: u32,
    /// Of a device node: its own number.
    pub(crate) device_minor: u32,
}

/// What change detection compares: while it stays the same, so does the content, as far as the kernel tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Identity {
    pub(crate) len_bytes: u64,
    pub(crate) modified: Timestamp,
    pub(crate) changed: Timestamp,
    pub(crate) inode: u64,
    pub(crate) device: u64,
}

impl Stat {
    /// What change detection compares.
    pub(crate) fn identity(&self) -> Identity {
        let Self { len_bytes, modified, changed, inode, device, .. } = *self;
        Identity { len_bytes, modified, changed, inode, device }
    }

    /// Whether both are the same inode, changed or not.
    pub(crate) fn is_same_inode(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether a regular file takes less space than its length: by holes, or because the file system compresses.
    pub(crate) fn is_sparse(&self) -> bool {
        self.kind == FileKind::File && self.blocks_512.saturating_mul(512) < self.len_bytes
    }
}

impl From<rustix::fs::Stat> for Stat {
    #[cfg_attr(
        target_os = "linux",
        expect(clippy::unnecessary_cast, reason = "the fields' types differ between architectures")
    )]
    fn from(stat: rustix::fs::Stat) -> Self {
        Self {
            kind: kind_of(FileType::from_raw_mode(stat.st_mode)),
            mode: stat.st_mode as u32 & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            len_bytes: stat.st_size as u64,
            blocks_512: stat.st_blocks as u64,
            modified: timestamp(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
            changed: timestamp(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            links: stat.st_nlink as u64,
            device_major: rustix::fs::major(stat.st_rdev),
            device_minor: rustix::fs::minor(stat.st_rdev),
        }
    }
}

fn kind_of(kind: FileType) -> FileKind {
    match kind {
        FileType::RegularFile => FileKind::File,
        FileType::Directory => FileKind::Folder,
        FileType::Symlink => FileKind::Symlink,
        FileType::BlockDevice => FileKind::BlockDevice,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::Unknown => FileKind::Unknown,
    }
}

/// File systems in user space can report any nanoseconds, the format takes only real ones.
fn timestamp(seconds: i64, nanoseconds: u64) -> Timestamp {
    let nanoseconds = u32::try_from(nanoseconds).unwrap_or(u32::MAX).min(999_999_999);
    Timestamp { seconds, nanoseconds }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_stay_in_range() {
        for (given, kept) in [(0, 0), (999_999_999, 999_999_999), (1 << 30, 999_999_999), (u64::MAX, 999_999_999)] {
            assert_eq!(timestamp(-1, given), Timestamp { seconds: -1, nanoseconds: kept });
        }
    }
}
