//! How fast packs become durable on a storage.

use super::{Figure, Meter, Sample, Stage};
use crate::Error;
use std::time::{Duration, Instant};
use vellum_format::{ObjectKind, ObjectName};
use vellum_repository::RepositoryError;
use vellum_repository::storage::{Storage, StorageError};

/// Puts packs of random bytes and syncs until there are enough of them or it took long enough, and deletes them again.
pub(super) fn write(meter: &Meter<'_>, storage: &dyn Storage) -> Result<Figure, Error> {
    let mut names = Vec::new();
    let written = put_packs(meter, storage, &mut names);
    let deleted = names.iter().try_for_each(|name| storage.delete(name)).and_then(|()| storage.sync());
    let took = written?;
    deleted.map_err(failed)?;
    Ok(Figure::new(Stage::Storage, names.len() * meter.amounts.pack_len_bytes, took))
}

fn put_packs(meter: &Meter<'_>, storage: &dyn Storage, names: &mut Vec<ObjectName>) -> Result<Duration, Error> {
    let mut pack = Sample::Random.bytes(7, meter.amounts.pack_len_bytes);
    let mut took = Duration::ZERO;
    while names.len() * pack.len() < meter.amounts.storage_len_bytes && took < meter.amounts.storage_time {
        meter.context.check_cancelled()?;
        // Another name for each, and nothing that a disk could deduplicate.
        pack.rotate_left(1);
        let name = ObjectName::of(ObjectKind::Pack, &pack);
        names.push(name);
        let begun = Instant::now();
        storage.put(&name, &pack).map_err(failed)?;
        storage.sync().map_err(failed)?;
        took += begun.elapsed();
    }
    Ok(took)
}

fn failed(error: StorageError) -> Error {
    Error::Repository(RepositoryError::Storage(error))
}
