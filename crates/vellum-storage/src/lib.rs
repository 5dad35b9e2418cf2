//! Named write-once objects, wherever they lie.
//!
//! This crate hides one decision: where the objects of a repository lie. It never interprets a byte of them, and
//! the only names it can be asked for are those of the format, so no backend is ever handed a `..`.
//! Every sentence of the contract at [`Storage`] is a test in [`conformance`], which each backend and wrapper runs.

#![forbid(unsafe_code)]

pub mod conformance;
mod disk;
mod error;
mod forward;
mod local;
mod memory;
mod open_url;

use std::ops::Range;
use std::sync::Arc;

pub use disk::{Disk, DiskEntry, DiskEntryKind, OsDisk, WriterId};
pub use error::StorageError;
pub use local::LocalStorage;
pub use memory::MemoryStorage;
pub use open_url::{Location, open_url};
#[doc(hidden)]
pub use vellum_format::{ObjectKind, ObjectName};

/// Named write-once objects.
///
/// Names are hashes of the stored bytes, so two objects of one name have the same bytes unless one is damaged.
/// What another process has put may be seen before it is durable; only an own [`Storage::sync`] makes it so.
pub trait Storage: Send + Sync {
    /// Stores an object, all or nothing: a reader sees the whole object or none.
    ///
    /// An existing object is never replaced: with the same length it is [`Put::AlreadyThere`]. Either way the object
    /// is durable only after [`Storage::sync`]; what a crash leaves before that is the whole object or nothing.
    ///
    /// # Errors
    /// [`StorageError::NameTaken`] when the existing object has another length, which means damage.
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StorageError>;

    /// Puts an undamaged object in the place of a damaged one, or stores it when there is none: a reader sees one of
    /// the two, whole. It is durable only after [`Storage::sync`]; what a crash leaves before that is either, whole.
    ///
    /// Only the bytes that a name stands for replace what has it, so that an undamaged object cannot be lost by this.
    ///
    /// # Errors
    /// [`StorageError::OtherBytes`], before anything is changed, when the bytes do not hash to the name.
    fn replace_damaged(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError>;

    /// Makes an object that a listing has shown part of the next [`Storage::sync`], as if it had been put here:
    /// whoever put it may have been killed before his own.
    fn adopt(&self, name: &ObjectName);

    /// Makes every put, replacement, adoption and delete that returned before this call began durable.
    ///
    /// # Errors
    /// After an error nothing is known about what is durable, and the storage may refuse to write from then on
    /// with [`StorageError::Poisoned`].
    fn sync(&self) -> Result<(), StorageError>;

    /// Reads a whole object of at most `len_bytes_max` bytes.
    ///
    /// # Errors
    /// [`StorageError::TooLarge`], before anything is read, when the object is longer;
    /// [`StorageError::NotFound`] when there is none.
    fn get(&self, name: &ObjectName, len_bytes_max: u64) -> Result<Vec<u8>, StorageError>;

    /// Reads exactly `range.end - range.start` bytes, never fewer.
    ///
    /// # Errors
    /// [`StorageError::ShortRead`] when the range does not lie inside the object;
    /// [`StorageError::NotFound`] when there is none.
    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError>;

    /// The length of an object in bytes.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] when there is none.
    fn len(&self, name: &ObjectName) -> Result<u64, StorageError>;

    /// Visits every object of a kind once, in no promised order.
    ///
    /// Files that are no objects are passed over. Objects put or deleted meanwhile may be visited or not.
    ///
    /// # Errors
    /// A listing that could not be read to its end is an error, never a shorter listing.
    fn list(&self, kind: ObjectKind, visit: &mut dyn FnMut(ObjectSummary)) -> Result<(), StorageError>;

    /// Deletes an object; deleting an absent one succeeds.
    ///
    /// # Errors
    /// Whatever kept the object from being deleted.
    fn delete(&self, name: &ObjectName) -> Result<(), StorageError>;

    /// Gives back space that was set aside for a full storage; false when there is none. Only for what frees space.
    ///
    /// # Errors
    /// Whatever kept the space from being given back.
    fn release_reserve(&self) -> Result<bool, StorageError>;

    /// Sets space aside for a full storage, as far as there is any and the storage does such things.
    fn keep_reserve(&self);

    /// Where the objects lie, for messages, such as the folder's path.
    fn location(&self) -> String;

    /// What callers may assume about cost.
    fn capabilities(&self) -> Capabilities;
}

/// What a successful [`Storage::put`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The object is new.
    Stored,
    /// An object of this name and length was there and was left alone.
    AlreadyThere,
}

impl Put {
    /// The answer to a put whose name is taken by an object of `len_bytes_there`.
    fn already_there(name: &ObjectName, len_bytes_there: u64, bytes: &[u8]) -> Result<Self, StorageError> {
        match bytes.len() as u64 {
            len_bytes if len_bytes == len_bytes_there => Ok(Self::AlreadyThere),
            len_bytes_put => Err(StorageError::NameTaken { name: *name, len_bytes_there, len_bytes_put }),
        }
    }
}

/// One visited object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectSummary {
    /// Its name.
    pub name: ObjectName,
    /// Its stored length.
    pub len_bytes: u64,
}

/// Refuses bytes that a name does not stand for.
fn refuse_other_bytes(name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
    match ObjectName::of(name.kind, bytes) == *name {
        true => Ok(()),
        false => Err(StorageError::OtherBytes { name: *name }),
    }
}

/// What callers may assume about the cost of a storage; nothing, by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Capabilities {
    /// Listing all packs costs little against reading one, as on a local disk.
    pub cheap_listing: bool,
    /// A put or delete that was under way when its process ended is done or will never be: nothing arrives later.
    pub puts_end_with_process: bool,
}

/// Implements [`Storage`] for a pointer to one.
macro_rules! forward_storage {
    ($($pointer:ty),*) => {$(
        #[deny(clippy::missing_trait_methods)]
        impl<S: Storage + ?Sized> Storage for $pointer {
            crate::forward!(|self| (**self) =>
                put, replace_damaged, adopt, sync, get, get_range, len, list, delete, release_reserve, keep_reserve,
                location, capabilities
            );
        }
    )*};
}

forward_storage!(&S, Arc<S>, Box<S>);

/// Locks a mutex whose guarded value is valid between any two statements, so that a panic elsewhere does not matter.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
