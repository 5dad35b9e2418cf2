//! A whole backup in memory: everything but the file systems of source and storage.

use super::{Figure, Meter, Sample, Stage};
use crate::{Context, Error, write_stream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use vellum_repository::storage::MemoryStorage;
use vellum_repository::{
    CreateOptions, Credential, KeyFile, LocalState, NewSlot, Repository, Session, SessionOptions, run_on,
};

/// Length of what is cut as one stream.
const FILE_LEN_BYTES: usize = 1 << 20;

pub(super) fn backups(meter: &Meter<'_>, defaults: &CreateOptions) -> Result<Vec<Figure>, Error> {
    let threads = meter.context.worker_count();
    let figure = |sample: Sample| {
        let data = sample.bytes(6, meter.amounts.backup_len_bytes);
        let mut stored = 0;
        let took = meter.fastest(|| {
            let took;
            (took, stored) = back_up(&data, threads, defaults, meter.context)?;
            Ok(took)
        })?;
        let figure = Figure::new(Stage::Backup(sample), data.len(), took);
        Ok(Figure { threads, stored_bytes: Some(stored), ..figure })
    };
    [Sample::Text, Sample::Random].into_iter().map(figure).collect()
}

/// Stores `data` in a new repository; how long that took from the first byte until all was durable, and the bytes of
/// all objects written.
fn back_up(data: &[u8], threads: usize, defaults: &CreateOptions, context: &Context) -> Result<(Duration, u64), Error> {
    let key = KeyFile::generate().map_err(vellum_repository::RepositoryError::from)?;
    let slot = NewSlot { credential: Credential::KeyFile(&key), label: "bench", argon2id: None, now: defaults.now };
    let storage = Arc::new(MemoryStorage::new());
    let repository = Repository::create(storage, defaults, &[slot], &LocalState::None)?.repository;
    let session = repository.begin(&SessionOptions::default())?;
    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    let worked = run_on(threads, || work(&repository, &session, data, &next, context));
    worked.into_iter().collect::<Result<(), Error>>()?;
    let stored = session.seal()?.stored();
    Ok((begun.elapsed(), stored.bytes_stored))
}

/// Takes one piece after the other until none is left.
fn work(
    repository: &Repository,
    session: &Session<'_>,
    data: &[u8],
    next: &AtomicUsize,
    context: &Context,
) -> Result<(), Error> {
    let mut writer = session.frame_writer()?;
    while let Some(file) = data.chunks(FILE_LEN_BYTES).nth(next.fetch_add(1, Ordering::Relaxed)) {
        context.check_cancelled()?;
        write_stream(repository, &mut writer, file)?;
    }
    Ok(writer.flush()?)
}
