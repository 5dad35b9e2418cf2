//! The one error type of every storage.

use std::io;
use std::ops::Range;
use std::path::PathBuf;
use vellum_format::ObjectName;

/// Why a storage could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// There is no object of this name.
    #[error("{name} does not exist")]
    NotFound {
        /// The object asked for.
        name: ObjectName,
    },
    /// An object of this name but of another length is there: one of the two is damaged.
    #[error("{name} is there with {len_bytes_there} bytes, not {len_bytes_put}")]
    NameTaken {
        /// The object to be put.
        name: ObjectName,
        /// Length of the object that is there.
        len_bytes_there: u64,
        /// Length of the bytes to be put.
        len_bytes_put: u64,
    },
    /// The bytes that were to replace an object are not those that its name stands for; nothing was changed.
    #[error("what was to replace {name} does not hash to its name")]
    OtherBytes {
        /// The object.
        name: ObjectName,
    },
    /// The object is longer than the caller allows; nothing was read.
    #[error("{name} has {len_bytes} bytes, more than the {len_bytes_max} allowed")]
    TooLarge {
        /// The object asked for.
        name: ObjectName,
        /// Its length.
        len_bytes: u64,
        /// The caller's limit.
        len_bytes_max: u64,
    },
    /// The range asked for does not lie inside the object.
    #[error("{name} has {len_bytes} bytes and cannot give bytes {} to {}", wanted.start, wanted.end)]
    ShortRead {
        /// The object asked for.
        name: ObjectName,
        /// The range asked for.
        wanted: Range<u64>,
        /// The object's length.
        len_bytes: u64,
    },
    /// The disk, the quota or the allowed file size is used up.
    #[error("no space left for {}", path.display())]
    NoSpace {
        /// What was being written.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The system does not allow it, be it by permissions or because the file system is read-only.
    #[error("not allowed to {operation} {}", path.display())]
    PermissionDenied {
        /// A verb.
        operation: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Any other answer of the system.
    #[error("could not {operation} {}", path.display())]
    Io {
        /// A verb.
        operation: &'static str,
        /// What it was done to.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A remote storage did not answer.
    #[error("{location} cannot be reached")]
    Unreachable {
        /// [`Storage::location`](crate::Storage::location).
        location: String,
        /// The last failure.
        source: io::Error,
    },
    /// An earlier sync failed, so nothing more is written until the storage is opened again.
    #[error("{location} refuses to write because an earlier sync failed")]
    Poisoned {
        /// [`Storage::location`](crate::Storage::location).
        location: String,
    },
    /// There is nothing at the path.
    #[error("{} does not exist", path.display())]
    PathMissing {
        /// Where a repository was expected.
        path: PathBuf,
    },
    /// There is something at the path, but no repository.
    #[error("{} is not a repository", path.display())]
    NotARepository {
        /// Where a repository was expected.
        path: PathBuf,
    },
    /// A folder that every repository has is missing, which is not the same as an empty one.
    #[error("the repository's folder {} is missing", path.display())]
    FolderMissing {
        /// The missing folder.
        path: PathBuf,
    },
    /// A repository cannot be created because there is one already.
    #[error("{} is a repository already", path.display())]
    RepositoryExists {
        /// Where it was to be created.
        path: PathBuf,
    },
    /// A repository cannot be created because the folder holds something else.
    #[error("{} is not empty", path.display())]
    FolderNotEmpty {
        /// Where it was to be created.
        path: PathBuf,
    },
    /// The address is of a kind that this build does not support.
    #[error("addresses that begin with {scheme}: are not supported")]
    UnsupportedScheme {
        /// The part before the colon.
        scheme: String,
    },
    /// The address of the repository is empty.
    #[error("the address of the repository is empty")]
    EmptyAddress,
}

impl StorageError {
    /// Sorts a system's answer into the variant that a caller can act on.
    #[must_use]
    pub fn from_io(operation: &'static str, path: PathBuf, source: io::Error) -> Self {
        use io::ErrorKind::{FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        match source.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => Self::NoSpace { path, source },
            PermissionDenied | ReadOnlyFilesystem => Self::PermissionDenied { operation, path, source },
            _ => Self::Io { operation, path, source },
        }
    }

    /// Whether the same call may succeed a little later without anybody doing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        use io::ErrorKind::{Interrupted, ResourceBusy, TimedOut, WouldBlock};
        match self {
            Self::Unreachable { .. } => true,
            Self::Io { source, .. } => {
                matches!(source.kind(), Interrupted | ResourceBusy | TimedOut | WouldBlock)
            }
            _ => false,
        }
    }

    /// Whether deleting something would help.
    #[must_use]
    pub const fn is_no_space(&self) -> bool {
        matches!(self, Self::NoSpace { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn system_answers_fall_into_the_class_a_caller_acts_on() {
        let class = |errno: Errno| StorageError::from_io("write", PathBuf::from("x"), errno.into());
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::FBIG] {
            assert!(class(errno).is_no_space(), "{errno}");
            assert!(!class(errno).is_retryable(), "{errno}");
        }
        for errno in [Errno::ACCESS, Errno::PERM, Errno::ROFS] {
            assert!(matches!(class(errno), StorageError::PermissionDenied { .. }), "{errno}");
        }
        assert!(matches!(class(Errno::IO), StorageError::Io { .. }));
        assert!(class(Errno::INTR).is_retryable());
        assert!(!class(Errno::IO).is_retryable());
    }
}
