//! Backs a folder up into a new repository, restores it and checks the repository.
//!
//! `cargo run --example backup_and_restore -- SOURCE REPOSITORY TARGET`, the latter two not there yet.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use vellum::format::snapshot::Timestamp;
use vellum::storage::LocalStorage;
use vellum::{
    BackupOptions, CheckOptions, Context, CreateOptions, Credential, KeyFile, LocalState, NewSlot, ReadData,
    Repository, RestoreOptions, SnapshotRef,
};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [source, repository, target] = &arguments[..] else {
        return Err("usage: backup_and_restore SOURCE REPOSITORY TARGET".into());
    };
    run(&std::path::absolute(source)?, repository, target)
}

/// Backs `source`, an absolute path, up into a new repository and restores it into `target`.
pub(crate) fn run(source: &Path, repository: &Path, target: &Path) -> Result<(), Box<dyn Error>> {
    let (context, now) = (Context::default(), now()?);

    // A key file needs no key derivation. The recovery key is the second way in: keep it somewhere else.
    let key_file = KeyFile::generate()?;
    let slot = NewSlot { credential: Credential::KeyFile(&key_file), label: "example", argon2id: None, now };
    let storage = Arc::new(LocalStorage::create(repository)?);
    let created = Repository::create(storage, &CreateOptions::new(now), &[slot], &LocalState::None)?;
    println!("recovery key {}", *created.recovery_key.format());

    let mut options = BackupOptions::new([source.to_owned()]);
    options.time = now;
    let report = vellum::backup(&created.repository, &options, &context)?;
    println!("{} files, {} bytes stored", report.summary.files, report.summary.bytes_stored);
    if !report.problems.is_empty() {
        return Err(format!("{} entries could not be read", report.problems.len()).into());
    }

    // The content of the source goes directly into the target.
    let mut options = RestoreOptions::default();
    options.subfolder = Some(bytes_of(source));
    let report = vellum::restore(&created.repository, &SnapshotRef::Latest(0), target, &options, &context)?;
    println!("{} files restored, {} problems", report.files, report.problems.len());
    if !report.problems.is_empty() {
        return Err(format!("{} entries could not be restored", report.problems.len()).into());
    }

    let mut options = CheckOptions::default();
    options.read_data = ReadData::All;
    let report = vellum::check(&created.repository, &options, &context)?;
    println!("{} packs read, {} findings", report.packs_read, report.finding_count);
    match report.finding_count {
        0 => Ok(()),
        count => Err(format!("{count} things are damaged").into()),
    }
}

fn now() -> Result<Timestamp, Box<dyn Error>> {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(Timestamp { seconds: since_1970.as_secs().try_into()?, nanoseconds: since_1970.subsec_nanos() })
}

fn bytes_of(path: &Path) -> Vec<u8> {
    path.as_os_str().as_encoded_bytes().to_vec()
}
