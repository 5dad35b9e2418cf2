//! An encrypted, deduplicating chunk store on top of a storage.
//!
//! This crate hides everything below a chunk: keys, frames, packs, catalogs, the index, the order of publication.
//! It never knows a file, a path or a tree. A chunk goes down through [`put`](crate::FrameWriter::put),
//! `pack_writer` and `upload`, and comes back through [`get`](crate::Repository::read_chunk) and `pack_reader`.
//!
//! Order of publication (I1): packs durable, then the catalog that lists them, then the snapshot. Every prefix of
//! that order is a valid repository with, at worst, packs that nobody refers to.

#![forbid(unsafe_code)]

mod class;
mod condemned;
mod create;
mod damaged;
mod device;
mod error;
mod fault;
mod fence;
mod forks;
mod get;
mod heal;
mod history;
mod intent;
mod local_state;
pub mod memory_faults;
mod objects;
mod open;
mod pack_reader;
mod pack_writer;
mod parity;
mod pending;
mod prune;
mod publish;
mod put;
mod records;
mod references;
mod refresh;
mod remembered;
mod repair;
mod slots;
mod snapshots;
mod stages;
#[cfg(test)]
mod support;
mod threads;
mod tombstones;
mod upload;
mod verification;
mod verify;
mod zstd_context;

pub use create::{CreateOptions, Created, NewSlot};
pub use error::RepositoryError;
pub use get::{FrameCache, FrameId, OpenedFrame, Place};
pub use history::{History, HistoryFinding, KnownBy};
pub use intent::WriterNote;
pub use local_state::LocalState;
pub use open::{HeldKeys, Locked, Repository};
pub use pack_reader::FrameReader;
pub use parity::{Unhealable, add_parity, heal_pack};
pub use prune::{LiveSet, MaxUnused, ProcessFate, Prune, PrunePlan, PruneReport, PruneSettings};
pub use publish::{Durable, Session, SessionOptions, SnapshotDraft, Stored};
pub use put::{FrameWriter, Put};
pub use references::References;
pub use refresh::Refreshed;
pub use repair::BrokenCopies;
pub use slots::SlotSummary;
pub use snapshots::{Snapshot, Snapshots};
pub use stages::Stages;
pub use threads::run_on;
pub use tombstones::{Removal, Tombstone};
pub use verification::Verifications;
pub use verify::{Copies, Damage, PackVerdict};

/// Bytes from the operating system's generator.
///
/// # Errors
/// [`RepositoryError::Randomness`].
pub fn random_bytes<const N: usize>() -> Result<[u8; N], RepositoryError> {
    pack_writer::random()
}

/// What a mutex guards, also after a thread panicked while it held it: nothing here is left half changed.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub use vellum_crypto::{Credential, HeadCode, KeyFile, ParseHeadCodeError, RecoveryKey};
pub use vellum_format as format;
pub use vellum_format::key_manifest::Argon2idParameters;
pub use vellum_index::{Persistence, PersistenceWatch};
pub use vellum_storage as storage;
