//! From the text that a person writes to a storage.

use crate::{LocalStorage, Storage, StorageError};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Where a repository lies, parsed but not yet touched.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A folder of this machine.
    Local(PathBuf),
}

impl Location {
    /// Parses an address: a path, or `file://` and a path, which is taken as it stands.
    ///
    /// A text with a colon before its first slash is an address of another machine, as with ssh and rsync, even if
    /// a folder of that name exists; `./a:b` names the folder.
    ///
    /// # Errors
    /// [`StorageError::UnsupportedScheme`] for every address that is not a path, [`StorageError::EmptyAddress`].
    pub fn parse(text: impl AsRef<OsStr>) -> Result<Self, StorageError> {
        let text = text.as_ref().as_bytes();
        let path = match text.strip_prefix(b"file://") {
            Some(path) => path,
            None => match scheme(text) {
                Some(scheme) => return Err(StorageError::UnsupportedScheme { scheme }),
                None => text,
            },
        };
        match path {
            [] => Err(StorageError::EmptyAddress),
            path => Ok(Self::Local(PathBuf::from(OsString::from_vec(path.to_vec())))),
        }
    }

    /// Opens the storage of an existing repository.
    ///
    /// # Errors
    /// See [`LocalStorage::open`].
    pub fn open(&self) -> Result<Box<dyn Storage>, StorageError> {
        match self {
            Self::Local(path) => Ok(Box::new(LocalStorage::open(path)?)),
        }
    }

    /// Makes an empty storage for a new repository.
    ///
    /// # Errors
    /// See [`LocalStorage::create`].
    pub fn create(&self) -> Result<Box<dyn Storage>, StorageError> {
        match self {
            Self::Local(path) => Ok(Box::new(LocalStorage::create(path)?)),
        }
    }
}

/// Parses an address and opens the storage of the repository there.
///
/// # Errors
/// See [`Location::parse`] and [`Location::open`].
pub fn open_url(text: impl AsRef<OsStr>) -> Result<Box<dyn Storage>, StorageError> {
    Location::parse(text)?.open()
}

fn scheme(text: &[u8]) -> Option<String> {
    let first = text.iter().position(|byte| matches!(byte, b':' | b'/'))?;
    (text[first] == b':').then(|| String::from_utf8_lossy(&text[..first]).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_local_and_other_addresses_are_named() {
        for (text, path) in [
            ("/srv/backup", "/srv/backup"),
            ("backup", "backup"),
            ("./s3:bucket", "./s3:bucket"),
            ("/srv/a:b", "/srv/a:b"),
            ("file:///srv/a b%20", "/srv/a b%20"),
            ("file://relative:1", "relative:1"),
        ] {
            assert_eq!(Location::parse(text).unwrap(), Location::Local(PathBuf::from(path)), "{text}");
        }
        for (text, expected) in [
            ("s3://bucket/x", "s3"),
            ("sftp://host/x", "sftp"),
            ("sftp:user@host:/x", "sftp"),
            ("webdav://host/x", "webdav"),
            ("rclone:remote:x", "rclone"),
            ("https://host/x", "https"),
            ("user@host:x", "user@host"),
        ] {
            match Location::parse(text) {
                Err(StorageError::UnsupportedScheme { scheme }) => assert_eq!(scheme, expected, "{text}"),
                other => panic!("{text} gave {other:?}"),
            }
        }
        for text in ["", "file://"] {
            assert!(matches!(Location::parse(text), Err(StorageError::EmptyAddress)), "{text:?}");
        }
    }

    #[test]
    fn a_path_need_not_be_utf_8() {
        let path = OsString::from_vec(b"/srv/\xff".to_vec());
        assert_eq!(Location::parse(&path).unwrap(), Location::Local(PathBuf::from(path)));
    }
}
