//! What a storage holds: listed, compared, copied and damaged; a storage that keeps no packs.

use std::collections::BTreeMap;
use std::sync::Arc;
use vellum::format::{ObjectKind, ObjectName};
use vellum::storage::{MemoryStorage, Put, Storage, StorageError, forward};

/// Every object with its bytes.
pub(crate) type Objects = BTreeMap<ObjectName, Vec<u8>>;

/// The objects of a kind, in order.
pub(crate) fn names(storage: &dyn Storage, kind: ObjectKind) -> Vec<ObjectName> {
    let mut names = Vec::new();
    storage.list(kind, &mut |object| names.push(object.name)).expect("a readable storage");
    names.sort();
    names
}

/// The bytes of an object that is there.
pub(crate) fn bytes_of(storage: &dyn Storage, name: &ObjectName) -> Vec<u8> {
    storage.get(name, u64::MAX).expect("an object that is there")
}

/// All that a storage holds.
pub(crate) fn objects(storage: &dyn Storage) -> Objects {
    let all = ObjectKind::ALL.into_iter().flat_map(|kind| names(storage, kind));
    all.map(|name| (name, bytes_of(storage, &name))).collect()
}

/// Copies all that a storage holds.
pub(crate) fn put_all(from: &dyn Storage, to: &dyn Storage) {
    for (name, bytes) in objects(from) {
        to.put(&name, &bytes).expect("a writable storage");
    }
}

/// Changes what is stored under a name, as damage does.
pub(crate) fn change(storage: &dyn Storage, name: &ObjectName, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = bytes_of(storage, name);
    change(&mut bytes);
    storage.delete(name).expect("a writable storage");
    storage.put(name, &bytes).expect("a writable storage");
}

/// A storage that keeps no pack, whatever it answers to whoever stores one.
pub(crate) struct PutsNoPacks<F> {
    pub(crate) inner: Arc<MemoryStorage>,
    pub(crate) answer: F,
}

#[deny(clippy::missing_trait_methods)]
impl<F: Fn() -> Result<Put, StorageError> + Send + Sync> Storage for PutsNoPacks<F> {
    forward!(|self| self.inner =>
        replace_damaged, adopt, sync, get, get_range, len, list, delete, release_reserve, keep_reserve, location,
        capabilities
    );

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StorageError> {
        match name.kind {
            ObjectKind::Pack => (self.answer)(),
            _ => self.inner.put(name, bytes),
        }
    }
}
