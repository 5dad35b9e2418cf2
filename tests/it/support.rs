//! What several modules need: a repository in a moment, and the options that most tests share.

use std::path::Path;
use std::sync::Arc;
use vellum::format::snapshot::Timestamp;
use vellum::storage::Storage;
use vellum::{
    BackupOptions, BackupReport, CheckOptions, CheckReport, Context, CreateOptions, Credential, KeyFile, LocalState,
    Locked, NewSlot, ReadData, Repository, RestoreOptions, RestoreReport, SnapshotRef,
};

/// The time that tests live in: 2026-11-21T00:00:00Z.
pub(crate) const NOW: Timestamp = Timestamp { seconds: 1_795_219_200, nanoseconds: 0 };

/// Small packs, so that small data makes several.
pub(crate) fn small_packs() -> CreateOptions {
    let mut options = CreateOptions::new(NOW);
    options.pack_len_bytes = 1 << 20;
    options.frame_len_bytes = 64 << 10;
    options.chunker.min_len_bytes = 1 << 10;
    options.chunker.avg_len_bytes = 4 << 10;
    options.chunker.max_len_bytes = 16 << 10;
    options
}

/// A new repository that `key` unlocks; no key derivation, so it takes milliseconds.
pub(crate) fn create(storage: Arc<dyn Storage>, key: &KeyFile, state: &LocalState) -> Repository {
    let slot = NewSlot { credential: Credential::KeyFile(key), label: "test", argon2id: None, now: NOW };
    Repository::create(storage, &small_packs(), &[slot], state).expect("a new repository").repository
}

/// Opens an existing repository.
pub(crate) fn open(storage: Arc<dyn Storage>, key: &KeyFile, state: &LocalState) -> Repository {
    let locked = Locked::open(storage).expect("a repository");
    locked.unlock(&Credential::KeyFile(key), state).expect("the key file unlocks")
}

/// Backs one folder up.
pub(crate) fn backup(repository: &Repository, source: &Path) -> BackupReport {
    let mut options = BackupOptions::new([source.to_owned()]);
    options.time = NOW;
    vellum::backup(repository, &options, &Context::default()).expect("a backup")
}

/// Restores the folder `source` of a snapshot directly into `target`.
pub(crate) fn restore(repository: &Repository, snapshot: &SnapshotRef, source: &Path, target: &Path) -> RestoreReport {
    let mut options = RestoreOptions::default();
    options.subfolder = Some(source.as_os_str().as_encoded_bytes().to_vec());
    vellum::restore(repository, snapshot, target, &options, &Context::default()).expect("a restore")
}

/// Checks everything, every byte.
pub(crate) fn check(repository: &Repository) -> CheckReport {
    let mut options = CheckOptions::default();
    options.read_data = ReadData::All;
    vellum::check(repository, &options, &Context::default()).expect("a check")
}
