//! A content-addressed, deduplicating, encrypted backup engine: the crate to embed.
//!
//! Three layers, and a caller may stop at any: [`Storage`](storage::Storage) holds named objects, a [`Repository`]
//! is an encrypted, deduplicating chunk store on top of it, and [`backup`](backup()), [`restore`](restore()) and
//! [`check`](check()) move whole folders in, out and under the lamp. [`forget`](forget()) lets snapshots go, by the
//! rules of [`retention`].
//!
//! The library is synchronous and has no global state. It prints nothing, reads no environment and no terminal, and
//! installs no signal handler: a [`Context`] carries cancellation, progress and events.
//!
//! ```no_run
//! use std::sync::Arc;
//! use vellum::{BackupOptions, Context, Credential, LocalState, RestoreOptions, SnapshotRef};
//! use vellum::storage::LocalStorage;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let storage = Arc::new(LocalStorage::open("/mnt/backup")?);
//! let repository = vellum::Locked::open(storage)?
//!     .unlock(&Credential::Password(b"a long sentence"), &LocalState::At("/var/cache/vellum".into()))?;
//! let context = Context::default();
//! let report = vellum::backup(&repository, &BackupOptions::new(["/home/me".into()]), &context)?;
//! println!("snapshot {}", report.snapshot.expect("a backup that is no dry run makes one"));
//! vellum::restore(&repository, &SnapshotRef::Latest(0), "/tmp/out".as_ref(), &RestoreOptions::default(), &context)?;
//! # Ok(())
//! # }
//! ```

#![forbid(unsafe_code)]

mod backup;
pub mod bench;
mod check;
mod content;
mod context;
mod error;
mod filter;
mod forget;
mod losses;
mod platform;
mod prune;
mod repair;
mod restore;
pub mod retention;
mod scan;
mod selection;
mod stats;
mod tree_reader;
mod whole;

pub use backup::{BackupOptions, BackupReport, Excludes, backup, backup_stream};
pub use check::{
    CheckOptions, CheckReport, Coverage, Finding, ParityCover, ReadData, RestoreTest, RestoreTestReport, check,
    coverage,
};
pub use content::{read_stream, write_stream};
pub use context::{CancelToken, Context, Event, EventSink, FileChange, Problem, Progress};
pub use error::Error;
pub use filter::{Filter, FilterError};
pub use forget::{ForgetOptions, ForgetPlan, ForgetReport, ForgetTarget, PlannedGroup, Rules, forget, plan_forget};
pub use prune::{PruneOptions, prune};
pub use repair::{
    REPAIRED_TAG, RepairOptions, RepairReport, RepairedSnapshot, repair_index, repair_packs, repair_snapshots,
};
pub use restore::{Overwrite, RestoreOptions, RestoreReport, restore};
pub use selection::{SnapshotFilter, SnapshotRef, find_snapshot};
pub use stats::{RepositoryStats, stats};
pub use tree_reader::{TreeWalk, WalkedEntry, open_path};

/// What a mutex guards, also after a thread panicked while it held it: nothing here is left half changed.
pub(crate) fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub use vellum_format as format;
#[cfg(feature = "memory-faults")]
pub use vellum_repository::memory_faults;
pub use vellum_repository::storage;
pub use vellum_repository::{
    Argon2idParameters, CreateOptions, Created, Credential, FrameCache, FrameWriter, HeadCode, HeldKeys, History,
    HistoryFinding, KeyFile, KnownBy, LocalState, Locked, MaxUnused, NewSlot, ParseHeadCodeError, Persistence,
    PersistenceWatch, PruneReport, RecoveryKey, Removal, Repository, RepositoryError, Session, SessionOptions,
    SlotSummary, Snapshot, SnapshotDraft, Snapshots, Tombstone, WriterNote,
};
