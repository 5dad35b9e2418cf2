//! A storage that remembers what it was asked.

use crate::{Operation, lock};
use std::ops::Range;
use std::sync::Mutex;
use vellum_format::{ObjectKind, ObjectName};
use vellum_storage::{ObjectSummary, Put, Storage, StorageError, forward};

/// One call that a storage was asked to do, whether it succeeded or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// What was asked.
    pub operation: Operation,
    /// The kind of objects it was about; none for a sync.
    pub kind: Option<ObjectKind>,
    /// The object it was about; none for a sync and a listing.
    pub name: Option<ObjectName>,
    /// Bytes put or got; for a listing the number of objects visited.
    pub len: u64,
}

/// Counts calls, for tests with a budget of calls instead of a stopwatch.
#[derive(Debug)]
pub struct RecordingStorage<S> {
    inner: S,
    calls: Mutex<Vec<Call>>,
}

impl<S> RecordingStorage<S> {
    /// Records the calls to this storage.
    pub const fn new(inner: S) -> Self {
        Self { inner, calls: Mutex::new(Vec::new()) }
    }

    /// The storage beneath.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    /// Every call in the order in which they ended.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.calls).clone()
    }

    /// How many calls of this operation there were.
    pub fn count(&self, operation: Operation) -> usize {
        lock(&self.calls).iter().filter(|call| call.operation == operation).count()
    }

    /// How many calls of this operation there were for objects of this kind.
    pub fn count_of(&self, operation: Operation, kind: ObjectKind) -> usize {
        lock(&self.calls).iter().filter(|call| call.operation == operation && call.kind == Some(kind)).count()
    }

    /// The sum of [`Call::len`] of this operation.
    pub fn len_sum(&self, operation: Operation) -> u64 {
        lock(&self.calls).iter().filter(|call| call.operation == operation).map(|call| call.len).sum()
    }

    /// Forgets the calls so far.
    pub fn clear(&self) {
        lock(&self.calls).clear();
    }

    fn record(&self, operation: Operation, name: &ObjectName, len: u64) {
        lock(&self.calls).push(Call { operation, kind: Some(name.kind), name: Some(*name), len });
    }
}

fn len_of(read: &Result<Vec<u8>, StorageError>) -> u64 {
    read.as_ref().map_or(0, |bytes| bytes.len() as u64)
}

#[deny(clippy::missing_trait_methods)]
impl<S: Storage> Storage for RecordingStorage<S> {
    forward!(|self| self.inner => adopt, release_reserve, keep_reserve, location, capabilities);

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StorageError> {
        let put = self.inner.put(name, bytes);
        self.record(Operation::Put, name, bytes.len() as u64);
        put
    }

    fn replace_damaged(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        let replaced = self.inner.replace_damaged(name, bytes);
        self.record(Operation::Replace, name, bytes.len() as u64);
        replaced
    }

    fn sync(&self) -> Result<(), StorageError> {
        let synced = self.inner.sync();
        lock(&self.calls).push(Call { operation: Operation::Sync, kind: None, name: None, len: 0 });
        synced
    }

    fn get(&self, name: &ObjectName, len_bytes_max: u64) -> Result<Vec<u8>, StorageError> {
        let read = self.inner.get(name, len_bytes_max);
        self.record(Operation::Get, name, len_of(&read));
        read
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        let read = self.inner.get_range(name, range);
        self.record(Operation::GetRange, name, len_of(&read));
        read
    }

    fn len(&self, name: &ObjectName) -> Result<u64, StorageError> {
        let len = self.inner.len(name);
        self.record(Operation::Len, name, 0);
        len
    }

    fn list(&self, kind: ObjectKind, visit: &mut dyn FnMut(ObjectSummary)) -> Result<(), StorageError> {
        let mut len = 0;
        let listed = self.inner.list(kind, &mut |object| {
            len += 1;
            visit(object);
        });
        lock(&self.calls).push(Call { operation: Operation::List, kind: Some(kind), name: None, len });
        listed
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        let deleted = self.inner.delete(name);
        self.record(Operation::Delete, name, 0);
        deleted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum_storage::MemoryStorage;

    #[test]
    fn keeps_the_contract() {
        vellum_storage::conformance::run(&|| Box::new(RecordingStorage::new(MemoryStorage::new())));
    }

    #[test]
    fn counts_calls_by_operation_and_kind() {
        let storage = RecordingStorage::new(MemoryStorage::new());
        let name = ObjectName::of(ObjectKind::Pack, b"12345");
        storage.put(&name, b"12345").unwrap();
        storage.sync().unwrap();
        storage.get(&name, 5).unwrap();
        storage.get(&name, 4).unwrap_err();
        storage.get_range(&name, 1..3).unwrap();
        storage.len(&name).unwrap();
        storage.list(ObjectKind::Pack, &mut |_| ()).unwrap();
        storage.replace_damaged(&name, b"12345").unwrap();
        storage.delete(&name).unwrap();
        let counts = Operation::ALL.map(|operation| storage.count(operation));
        assert_eq!(counts, [1, 1, 2, 1, 1, 1, 1, 1]);
        let sums = Operation::ALL.map(|operation| storage.len_sum(operation));
        assert_eq!(sums, [5, 0, 5, 2, 0, 1, 0, 5]);
        assert_eq!(storage.count_of(Operation::Get, ObjectKind::Pack), 2);
        assert_eq!(storage.count_of(Operation::Get, ObjectKind::Key), 0);
        let first = Call { operation: Operation::Put, kind: Some(ObjectKind::Pack), name: Some(name), len: 5 };
        assert_eq!(storage.calls()[0], first);
        storage.clear();
        assert!(storage.calls().is_empty());
    }
}
