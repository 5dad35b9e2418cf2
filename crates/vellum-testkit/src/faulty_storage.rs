//! A storage that fails where a test wants it to.

use crate::{Operation, lock};
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;
use vellum_format::{ObjectKind, ObjectName};
use vellum_storage::{ObjectSummary, Put, Storage, StorageError, forward};

/// Which calls fail, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Only calls of this operation are counted and fail; with none, those of all operations.
    pub operation: Option<Operation>,
    /// The counted call, from 1, that fails first; calls from before the fault was planned are not counted.
    pub first: u64,
    /// How many calls in a row fail; `u64::MAX` for all.
    pub count: u64,
    /// Whether the storage does what it was asked.
    pub moment: FaultMoment,
    /// The error.
    pub kind: FaultKind,
}

/// Whether a failing call is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultMoment {
    /// It fails and nothing was done.
    Before,
    /// It is done and then fails, as when the answer of a server is lost.
    After,
    /// A put, replacement, sync or delete is reported as done but is not; other operations are not affected.
    SilentlyNot,
}

/// The error that a failing call returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// [`StorageError::Io`] with `EIO`
    Io,
    /// [`StorageError::NoSpace`]
    NoSpace,
    /// [`StorageError::PermissionDenied`]
    PermissionDenied,
    /// [`StorageError::Unreachable`], which may be tried again
    Unreachable,
}

/// Fails the calls that its faults name; without faults it only forwards.
///
/// Calls are counted over all threads, in the order in which they begin.
#[derive(Debug)]
pub struct FaultyStorage<S> {
    inner: S,
    plan: Mutex<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    call_count: u64,
    failed_count: u64,
    faults: Vec<(Fault, u64)>,
}

impl<S> FaultyStorage<S> {
    /// Forwards to this storage until a fault is planned.
    pub fn new(inner: S) -> Self {
        Self { inner, plan: Mutex::default() }
    }

    /// Plans a fault; of several that meet in one call the earliest planned decides.
    pub fn plan(&self, fault: Fault) {
        lock(&self.plan).faults.push((fault, 0));
    }

    /// Fails the n-th call from now, counted from 1, before it is done.
    pub fn fail_nth(&self, nth: u64, kind: FaultKind) {
        self.plan(Fault { operation: None, first: nth, count: 1, moment: FaultMoment::Before, kind });
    }

    /// Fails the n-th call from now, counted from 1, and every call after it, as when a storage goes away.
    pub fn fail_from(&self, nth: u64, kind: FaultKind) {
        self.plan(Fault { operation: None, first: nth, count: u64::MAX, moment: FaultMoment::Before, kind });
    }

    /// Drops all faults.
    pub fn heal(&self) {
        lock(&self.plan).faults.clear();
    }

    /// How many calls there were, failed ones included.
    pub fn call_count(&self) -> u64 {
        lock(&self.plan).call_count
    }

    /// How many calls failed or were silently not done; a test that never hits its fault tests nothing.
    pub fn failed_count(&self) -> u64 {
        lock(&self.plan).failed_count
    }

    /// The storage beneath.
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    fn next_fault(&self, operation: Operation) -> Option<Fault> {
        let mut plan = lock(&self.plan);
        plan.call_count += 1;
        let mut hit = None;
        for (fault, seen_count) in &mut plan.faults {
            let lies_about_nothing = fault.moment == FaultMoment::SilentlyNot && !operation.is_write();
            if fault.operation.is_some_and(|only| only != operation) || lies_about_nothing {
                continue;
            }
            *seen_count += 1;
            if *seen_count >= fault.first && *seen_count - fault.first < fault.count {
                hit = hit.or(Some(*fault));
            }
        }
        plan.failed_count += u64::from(hit.is_some());
        hit
    }
}

impl<S: Storage> FaultyStorage<S> {
    /// Does the call, or not, and fails it, or not.
    fn call<T>(
        &self,
        operation: Operation,
        silent: impl FnOnce() -> Option<T>,
        call: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let Some(fault) = self.next_fault(operation) else { return call() };
        match fault.moment {
            FaultMoment::Before => Err(self.error(fault.kind)),
            FaultMoment::After => call().and_then(|_done| Err(self.error(fault.kind))),
            FaultMoment::SilentlyNot => silent().map_or_else(call, Ok),
        }
    }

    fn error(&self, kind: FaultKind) -> StorageError {
        let path = PathBuf::from(self.inner.location());
        let injected = |kind: io::ErrorKind| io::Error::new(kind, "injected fault");
        match kind {
            FaultKind::Io => StorageError::from_io("use", path, rustix::io::Errno::IO.into()),
            FaultKind::NoSpace => StorageError::from_io("write", path, injected(io::ErrorKind::StorageFull)),
            FaultKind::PermissionDenied => {
                StorageError::from_io("use", path, injected(io::ErrorKind::PermissionDenied))
            }
            FaultKind::Unreachable => StorageError::Unreachable {
                location: self.inner.location(),
                source: injected(io::ErrorKind::ConnectionReset),
            },
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl<S: Storage> Storage for FaultyStorage<S> {
    forward!(|self| self.inner => adopt, release_reserve, keep_reserve, location, capabilities);

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StorageError> {
        self.call(Operation::Put, || Some(Put::Stored), || self.inner.put(name, bytes))
    }

    fn replace_damaged(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.call(Operation::Replace, || Some(()), || self.inner.replace_damaged(name, bytes))
    }

    fn sync(&self) -> Result<(), StorageError> {
        self.call(Operation::Sync, || Some(()), || self.inner.sync())
    }

    fn get(&self, name: &ObjectName, len_bytes_max: u64) -> Result<Vec<u8>, StorageError> {
        self.call(Operation::Get, || None, || self.inner.get(name, len_bytes_max))
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        self.call(Operation::GetRange, || None, || self.inner.get_range(name, range))
    }

    fn len(&self, name: &ObjectName) -> Result<u64, StorageError> {
        self.call(Operation::Len, || None, || self.inner.len(name))
    }

    /// A listing that fails after it is done has visited everything.
    fn list(&self, kind: ObjectKind, visit: &mut dyn FnMut(ObjectSummary)) -> Result<(), StorageError> {
        self.call(Operation::List, || None, || self.inner.list(kind, visit))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        self.call(Operation::Delete, || Some(()), || self.inner.delete(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum_storage::MemoryStorage;

    fn faulty() -> FaultyStorage<MemoryStorage> {
        FaultyStorage::new(MemoryStorage::new())
    }

    fn pack(bytes: &[u8]) -> ObjectName {
        ObjectName::of(ObjectKind::Pack, bytes)
    }

    #[test]
    fn without_faults_it_keeps_the_contract() {
        vellum_storage::conformance::run(&|| Box::new(faulty()));
    }

    #[test]
    fn the_nth_call_of_all_fails_and_only_that() {
        let storage = faulty();
        storage.fail_nth(2, FaultKind::NoSpace);
        storage.put(&pack(b"a"), b"a").unwrap();
        assert!(storage.sync().unwrap_err().is_no_space());
        storage.sync().unwrap();
        assert_eq!((storage.call_count(), storage.failed_count()), (3, 1));
    }

    #[test]
    fn before_after_and_silently_not() {
        for (moment, is_error, is_stored) in [
            (FaultMoment::Before, true, false),
            (FaultMoment::After, true, true),
            (FaultMoment::SilentlyNot, false, false),
        ] {
            let storage = faulty();
            let operation = Some(Operation::Put);
            storage.plan(Fault { operation, first: 2, count: 1, moment, kind: FaultKind::Unreachable });
            storage.put(&pack(b"a"), b"a").unwrap();
            let put = storage.put(&pack(b"b"), b"b");
            assert_eq!(put.is_err(), is_error, "{moment:?}");
            assert!(put.err().is_none_or(|error| error.is_retryable()), "{moment:?}");
            assert_eq!(storage.inner().len(&pack(b"b")).is_ok(), is_stored, "{moment:?}");
            storage.put(&pack(b"c"), b"c").unwrap();
        }
    }

    #[test]
    fn from_the_nth_call_on_all_fail_until_healed() {
        let storage = faulty();
        storage.fail_from(1, FaultKind::PermissionDenied);
        for _ in 0..3 {
            assert!(matches!(storage.sync(), Err(StorageError::PermissionDenied { .. })));
        }
        storage.heal();
        storage.sync().unwrap();
        storage.fail_nth(1, FaultKind::Io);
        assert!(matches!(storage.len(&pack(b"a")), Err(StorageError::Io { .. })));
    }
}
