//! A storage on a disk that does not give some of its sectors any more.

use crate::lock;
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;
use vellum_format::ObjectName;
use vellum_storage::{Storage, StorageError, forward};

/// What a disk fails to read at least.
const SECTOR_LEN_BYTES: u64 = 4096;

/// Reads that touch a bad sector fail with `EIO`, every time; everything else is forwarded.
#[derive(Debug, Default)]
pub struct BadSectors<S> {
    inner: S,
    bad: Mutex<BTreeSet<(ObjectName, u64)>>,
}

impl<S> BadSectors<S> {
    /// All sectors are good.
    pub const fn new(inner: S) -> Self {
        Self { inner, bad: Mutex::new(BTreeSet::new()) }
    }

    /// From now on this sector of an object, counted from 0, cannot be read. What is stored anew lies elsewhere.
    pub fn spoil(&self, name: &ObjectName, sector: u64) {
        lock(&self.bad).insert((*name, sector));
    }

    /// The storage beneath.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    fn read(&self, name: &ObjectName, range: Range<u64>) -> Result<(), StorageError> {
        let sectors = range.start / SECTOR_LEN_BYTES..range.end.div_ceil(SECTOR_LEN_BYTES);
        let bad = lock(&self.bad);
        let is_hit =
            range.start < range.end && bad.range((*name, sectors.start)..(*name, sectors.end)).next().is_some();
        match is_hit {
            true => Err(StorageError::from_io("read", PathBuf::from(name.path()), Errno::IO.into())),
            false => Ok(()),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl<S: Storage> Storage for BadSectors<S> {
    forward!(|self| self.inner => put, adopt, sync, len, list, release_reserve, keep_reserve, location, capabilities);

    fn replace_damaged(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.inner.replace_damaged(name, bytes)?;
        lock(&self.bad).retain(|(bad, _)| bad != name);
        Ok(())
    }

    fn get(&self, name: &ObjectName, len_bytes_max: u64) -> Result<Vec<u8>, StorageError> {
        self.read(name, 0..self.inner.len(name)?)?;
        self.inner.get(name, len_bytes_max)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.read(name, range.clone())?;
        self.inner.get_range(name, range)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        self.inner.delete(name)?;
        lock(&self.bad).retain(|(bad, _)| bad != name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum_format::ObjectKind;
    use vellum_storage::MemoryStorage;

    #[test]
    fn without_bad_sectors_it_keeps_the_contract() {
        vellum_storage::conformance::run(&|| Box::new(BadSectors::new(MemoryStorage::new())));
    }

    #[test]
    fn a_bad_sector_fails_every_read_that_touches_it() {
        let storage = BadSectors::new(MemoryStorage::new());
        let bytes = vec![1; 10_000];
        let name = ObjectName::of(ObjectKind::Pack, &bytes);
        storage.put(&name, &bytes).unwrap();
        storage.spoil(&name, 1);
        let is_bad = |range| matches!(storage.get_range(&name, range), Err(StorageError::Io { .. }));
        assert!([0..4097, 4096..4097, 8191..10_000, 0..10_000].into_iter().all(is_bad));
        assert!(![0..4096, 8192..10_000, 5000..5000].into_iter().any(is_bad));
        assert!(storage.get(&name, u64::MAX).is_err());
        storage.replace_damaged(&name, &bytes).unwrap();
        assert_eq!(storage.get(&name, u64::MAX).unwrap(), bytes);
    }
}
