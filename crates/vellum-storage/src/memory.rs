//! Objects in memory: for tests, and the reference that the contract is read against.

use crate::{Capabilities, ObjectSummary, Put, Storage, StorageError, lock, refuse_other_bytes};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use vellum_format::{ObjectKind, ObjectName};

/// A storage in memory; durable as long as the value lives.
///
/// A clone is an independent copy that shares the bytes, so keeping the state of each step of a test is cheap.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    objects: Mutex<BTreeMap<ObjectName, Arc<[u8]>>>,
}

impl MemoryStorage {
    /// An empty storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn object(&self, name: &ObjectName) -> Result<Arc<[u8]>, StorageError> {
        lock(&self.objects).get(name).cloned().ok_or(StorageError::NotFound { name: *name })
    }
}

impl Clone for MemoryStorage {
    fn clone(&self) -> Self {
        Self { objects: Mutex::new(lock(&self.objects).clone()) }
    }
}

#[deny(clippy::missing_trait_methods)]
impl Storage for MemoryStorage {
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StorageError> {
        let mut objects = lock(&self.objects);
        match objects.get(name) {
            Some(there) => Put::already_there(name, there.len() as u64, bytes),
            None => {
                objects.insert(*name, bytes.into());
                Ok(Put::Stored)
            }
        }
    }

    fn replace_damaged(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        refuse_other_bytes(name, bytes)?;
        lock(&self.objects).insert(*name, bytes.into());
        Ok(())
    }

    /// Nothing to do: what is here is here.
    fn adopt(&self, _name: &ObjectName) {}

    fn sync(&self) -> Result<(), StorageError> {
        Ok(())
    }

    fn get(&self, name: &ObjectName, len_bytes_max: u64) -> Result<Vec<u8>, StorageError> {
        let object = self.object(name)?;
        match object.len() as u64 {
            len_bytes if len_bytes > len_bytes_max => {
                Err(StorageError::TooLarge { name: *name, len_bytes, len_bytes_max })
            }
            _ => Ok(object.to_vec()),
        }
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        let object = self.object(name)?;
        let inside = match (usize::try_from(range.start), usize::try_from(range.end)) {
            (Ok(start), Ok(end)) => object.get(start..end),
            _ => None,
        };
        let len_bytes = object.len() as u64;
        inside.map(<[u8]>::to_vec).ok_or(StorageError::ShortRead { name: *name, wanted: range, len_bytes })
    }

    fn len(&self, name: &ObjectName) -> Result<u64, StorageError> {
        self.object(name).map(|object| object.len() as u64)
    }

    fn list(&self, kind: ObjectKind, visit: &mut dyn FnMut(ObjectSummary)) -> Result<(), StorageError> {
        let of_kind = |(name, object): (&ObjectName, &Arc<[u8]>)| {
            (name.kind == kind).then_some(ObjectSummary { name: *name, len_bytes: object.len() as u64 })
        };
        let found: Vec<_> = lock(&self.objects).iter().filter_map(of_kind).collect();
        found.into_iter().for_each(visit);
        Ok(())
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        lock(&self.objects).remove(name);
        Ok(())
    }

    /// Memory keeps none.
    fn release_reserve(&self) -> Result<bool, StorageError> {
        Ok(false)
    }

    fn keep_reserve(&self) {}

    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { cheap_listing: true, puts_end_with_process: true }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_contract() {
        crate::conformance::run(&|| Box::new(MemoryStorage::new()));
    }

    #[test]
    fn a_clone_is_independent() {
        let name = ObjectName::of(ObjectKind::Pack, b"a");
        let original = MemoryStorage::new();
        let copy = original.clone();
        original.put(&name, b"a").unwrap();
        assert!(matches!(copy.len(&name), Err(StorageError::NotFound { .. })));
    }
}
