//! Extended attributes: user attributes, ACLs, capabilities and labels are all kept as the raw bytes the kernel gives.

use rustix::io::Errno;
use std::fmt;
use std::io;
#[cfg(target_os = "linux")]
use std::os::fd::{AsRawFd, BorrowedFd};

/// Names and values, sorted by name.
pub(crate) type Xattrs = Vec<(Vec<u8>, Vec<u8>)>;

/// What could be read of an entry's attributes.
#[derive(Debug, Default)]
pub(crate) struct ReadXattrs {
    /// Those that could be.
    pub(crate) xattrs: Xattrs,
    /// Which could not, and why.
    pub(crate) unread: Option<UnreadXattrs>,
}

/// Attributes that could not be read.
#[derive(Debug)]
pub(crate) struct UnreadXattrs {
    /// The first of them; without it nobody knows which there are.
    first: Option<Vec<u8>>,
    others: usize,
    /// Why that one could not, or their list.
    pub(crate) source: io::Error,
}

impl fmt::Display for UnreadXattrs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { first, others, source } = self;
        if let Some(first) = first {
            write!(f, "{}: ", first.escape_ascii())?;
        }
        write!(f, "{source}")?;
        if *others > 0 {
            write!(f, ", and {others} others")?;
        }
        Ok(())
    }
}

impl From<io::Error> for ReadXattrs {
    /// None could.
    fn from(source: io::Error) -> Self {
        Self { xattrs: Xattrs::new(), unread: Some(UnreadXattrs { first: None, others: 0, source }) }
    }
}

/// Holds the access list of an entry; the kernel shows its mask as the group bits of the mode.
pub(super) const ACL_ACCESS: &[u8] = b"system.posix_acl_access";

/// The kernel hands out no list and no value above 64 KiB.
#[cfg(target_os = "linux")]
const XATTR_LEN_BYTES_MAX: usize = 64 << 10;

/// Where the extended attributes of one inode are reached, without following a link.
#[cfg(target_os = "linux")]
pub(super) enum Place<'a> {
    /// An opened file or folder.
    Handle(BorrowedFd<'a>),
    /// A path through `/proc` that ends in the entry's name, which is not followed.
    Named(Vec<u8>),
    /// A path through `/proc` that ends in the number of a handle, which leads to the inode itself, link or not.
    Pinned(Vec<u8>),
}

/// Whether `/proc` is there and is what its name says.
#[cfg(target_os = "linux")]
static PROC_IS_MOUNTED: std::sync::LazyLock<bool> = std::sync::LazyLock::new(|| {
    rustix::fs::statfs("/proc/self/fd").is_ok_and(|found| found.f_type == rustix::fs::PROC_SUPER_MAGIC)
});

/// The path that leads to the inode of a handle.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] without `/proc`.
#[cfg(target_os = "linux")]
pub(super) fn proc_path(handle: BorrowedFd<'_>) -> io::Result<Vec<u8>> {
    match *PROC_IS_MOUNTED {
        true => Ok(format!("/proc/self/fd/{}", handle.as_raw_fd()).into_bytes()),
        false => Err(io::Error::new(io::ErrorKind::Unsupported, "this needs /proc, which is not mounted")),
    }
}

#[cfg(target_os = "linux")]
impl Place<'_> {
    fn list(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        match self {
            Self::Handle(handle) => rustix::fs::flistxattr(handle, buffer),
            Self::Named(path) => rustix::fs::llistxattr(path, buffer),
            Self::Pinned(path) => rustix::fs::listxattr(path, buffer),
        }
    }

    fn get(&self, name: &[u8], buffer: &mut [u8]) -> rustix::io::Result<usize> {
        match self {
            Self::Handle(handle) => rustix::fs::fgetxattr(handle, name, buffer),
            Self::Named(path) => rustix::fs::lgetxattr(path, name, buffer),
            Self::Pinned(path) => rustix::fs::getxattr(path, name, buffer),
        }
    }

    fn put(&self, name: &[u8], value: &[u8]) -> rustix::io::Result<()> {
        let flags = rustix::fs::XattrFlags::empty();
        match self {
            Self::Handle(handle) => rustix::fs::fsetxattr(handle, name, value, flags),
            Self::Named(path) => rustix::fs::lsetxattr(path, name, value, flags),
            Self::Pinned(path) => rustix::fs::setxattr(path, name, value, flags),
        }
    }

    /// Removes one attribute.
    pub(super) fn remove(&self, name: &[u8]) -> io::Result<()> {
        let removed = match self {
            Self::Handle(handle) => rustix::fs::fremovexattr(handle, name),
            Self::Named(path) => rustix::fs::lremovexattr(path, name),
            Self::Pinned(path) => rustix::fs::removexattr(path, name),
        };
        Ok(removed?)
    }

    /// The names of all attributes; none where the file system knows no attributes.
    pub(super) fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        let list = match read_whole(|buffer| self.list(buffer)) {
            Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
            list => list?,
        };
        Ok(list.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
    }

    /// The value of one attribute; none when it is gone, or listed by a file system that cannot give it.
    pub(super) fn value(&self, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
        match read_whole(|buffer| self.get(name, buffer)) {
            Err(Errno::NODATA | Errno::OPNOTSUPP) => Ok(None),
            value => Ok(Some(value?)),
        }
    }
}

/// Reads what has an unknown length: mostly a few bytes, never more than the kernel's limit.
#[cfg(target_os = "linux")]
fn read_whole(read: impl Fn(&mut [u8]) -> rustix::io::Result<usize>) -> rustix::io::Result<Vec<u8>> {
    let mut small = [0; 512];
    match read(&mut small) {
        Err(Errno::RANGE) => {
            let mut large = vec![0; XATTR_LEN_BYTES_MAX];
            let len = read(&mut large)?;
            large.truncate(len);
            large.shrink_to_fit();
            Ok(large)
        }
        len => Ok(small[..len?].to_vec()),
    }
}

/// Extended attributes are only known on Linux yet.
#[cfg(not(target_os = "linux"))]
#[derive(Default)]
pub(super) struct Place<'a>(std::marker::PhantomData<&'a ()>);

#[cfg(not(target_os = "linux"))]
impl Place<'_> {
    fn put(&self, _name: &[u8], _value: &[u8]) -> rustix::io::Result<()> {
        Err(Errno::OPNOTSUPP)
    }

    pub(super) fn remove(&self, _name: &[u8]) -> io::Result<()> {
        Err(Errno::OPNOTSUPP.into())
    }

    pub(super) fn names(&self) -> io::Result<Vec<Vec<u8>>> {
        Ok(Vec::new())
    }

    pub(super) fn value(&self, _name: &[u8]) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }
}

impl Place<'_> {
    /// All attributes, as far as they can be read: one that cannot costs no other.
    pub(super) fn read(&self) -> ReadXattrs {
        let mut names = match self.names() {
            Ok(names) => names,
            Err(error) => return error.into(),
        };
        names.sort_unstable();
        names.dedup();
        let ReadXattrs { mut xattrs, mut unread } = ReadXattrs::default();
        for name in names {
            match (self.value(&name), &mut unread) {
                (Ok(value), _) => xattrs.extend(value.map(|value| (name, value))),
                (Err(_), Some(UnreadXattrs { others, .. })) => *others += 1,
                (Err(source), None) => unread = Some(UnreadXattrs { first: Some(name), others: 0, source }),
            }
        }
        ReadXattrs { xattrs, unread }
    }

    /// Sets one attribute; succeeds too when we may not set it but it has that value already, as labels often do.
    pub(super) fn set(&self, name: &[u8], value: &[u8]) -> io::Result<()> {
        match self.put(name, value) {
            Err(_) if matches!(self.value(name), Ok(Some(present)) if present == value) => Ok(()),
            result => Ok(result?),
        }
    }
}
