//! Whole objects: read and verified by their names, and the small ones kept under two paths each (I6).
//!
//! A reader takes either copy of a kind that has a [`ObjectKind::mirror`], so such an object is there as long as one
//! undamaged copy is, and gone only when both are.

use crate::RepositoryError;
use crate::fault::{around_put, reach};
use crate::intent::OwnIntent;
use crate::open::Repository;
use std::collections::{BTreeMap, BTreeSet};
use vellum_faults::Point;
use vellum_format::{ObjectId, ObjectKind, ObjectName, limits};
use vellum_storage::{Storage, StorageError};

/// The kinds of which a missing copy is put back, with the most bytes of an object.
pub(crate) const KEPT_TWICE: [(ObjectKind, u64); 4] = [
    (ObjectKind::Config, limits::CONFIG_LEN_BYTES_MAX),
    (ObjectKind::Key, limits::KEY_MANIFEST_LEN_BYTES_MAX),
    (ObjectKind::Catalog, limits::CATALOG_LEN_BYTES_MAX),
    (ObjectKind::Snapshot, limits::SNAPSHOT_LEN_BYTES_MAX),
];

/// The reason of an error about an object that is not there.
pub(crate) const MISSING: &str = "it is missing";

/// The name of an object's second copy; none for kinds without.
pub(crate) fn copy_of(name: &ObjectName) -> Option<ObjectName> {
    Some(ObjectName::new(name.kind.mirror()?, name.id))
}

/// The names under which an object of this kind lies: its own, and its copy's where the kind has one.
pub(crate) fn names_of(name: &ObjectName) -> impl Iterator<Item = ObjectName> {
    std::iter::once(*name).chain(copy_of(name))
}

/// Stores an object under its name and, where its kind has copies, under that of its copy, the copy first; the
/// caller's next sync makes both durable. A crash before it leaves both, one or none, each whole.
pub(crate) fn put_twice(storage: &dyn Storage, kind: ObjectKind, bytes: &[u8]) -> Result<ObjectName, RepositoryError> {
    let name = ObjectName::of(kind, bytes);
    let at = |point: usize| around_put(kind).map_or(Ok(()), |points| reach(points[point]));
    at(0)?;
    if let Some(copy) = copy_of(&name) {
        storage.put(&copy, bytes)?;
        at(1)?;
    }
    storage.put(&name, bytes)?;
    at(2)?;
    Ok(name)
}

/// Makes both copies part of the next sync, as [`Storage::adopt`] does for one.
pub(crate) fn adopt_both(storage: &dyn Storage, name: &ObjectName) {
    names_of(name).for_each(|name| storage.adopt(&name));
}

/// Deletes both copies, the copy last.
///
/// A crash between the two leaves an object that is still there, and that the next backup stores twice again: whoever
/// deletes has to know how to go on, and nothing may rely on the deletion before both are gone durably.
pub(crate) fn delete_both(storage: &dyn Storage, name: &ObjectName) -> Result<(), RepositoryError> {
    storage.delete(name)?;
    let Some(copy) = copy_of(name) else { return Ok(()) };
    match name.kind {
        ObjectKind::Catalog => reach(Point::CatalogBetweenDeletions)?,
        ObjectKind::Condemned => reach(Point::CondemnedBetweenDeletions)?,
        _ => {}
    }
    Ok(storage.delete(&copy)?)
}

/// Every object of a kind with its length, wherever one of its copies lies; of two lengths, that of the first copy.
pub(crate) fn list_either(storage: &dyn Storage, kind: ObjectKind) -> Result<BTreeMap<ObjectId, u64>, RepositoryError> {
    let mut found = BTreeMap::new();
    for kind in std::iter::once(kind).chain(kind.mirror()) {
        storage.list(kind, &mut |object| {
            found.entry(object.name.id).or_insert(object.len_bytes);
        })?;
    }
    Ok(found)
}

/// The objects of a kind that lack one of their two copies.
fn unpaired(storage: &dyn Storage, kind: ObjectKind) -> Result<BTreeSet<ObjectId>, RepositoryError> {
    let mut ids = [BTreeSet::new(), BTreeSet::new()];
    for (kind, ids) in std::iter::once(kind).chain(kind.mirror()).zip(&mut ids) {
        storage.list(kind, &mut |object| {
            ids.insert(object.name.id);
        })?;
    }
    let [first, second] = ids;
    Ok(first.symmetric_difference(&second).copied().collect())
}

/// A whole object whose bytes hash to its name.
///
/// # Errors
/// [`RepositoryError::Damaged`] also when it is missing, or when the system cannot read it, as with a bad sector.
pub(crate) fn read_object(
    storage: &dyn Storage,
    name: &ObjectName,
    len_bytes_max: u64,
) -> Result<Vec<u8>, RepositoryError> {
    let damaged = |reason: &str| RepositoryError::Damaged { object: *name, reason: reason.to_owned() };
    let bytes = storage.get(name, len_bytes_max).map_err(|error| match error {
        StorageError::TooLarge { .. } => damaged("it is longer than any object of its kind"),
        error => unreadable(*name, error),
    })?;
    match ObjectId::of(&bytes) == name.id {
        true => Ok(bytes),
        false => Err(damaged("its bytes do not hash to its name")),
    }
}

/// [`read_object`], from the copy when the first does not give it. The error is the first's, unless the storage failed.
pub(crate) fn read_either(
    storage: &dyn Storage,
    name: &ObjectName,
    len_bytes_max: u64,
) -> Result<Vec<u8>, RepositoryError> {
    let first = read_object(storage, name, len_bytes_max);
    let (Err(error), Some(copy)) = (&first, copy_of(name)) else { return first };
    match read_object(storage, &copy, len_bytes_max) {
        Err(RepositoryError::Storage(failed)) if matches!(error, RepositoryError::Damaged { .. }) => Err(failed.into()),
        Err(_) => first,
        read => read,
    }
}

/// Whether a read failed because there is no such object.
pub(crate) fn is_missing(error: &RepositoryError) -> bool {
    matches!(error, RepositoryError::Damaged { reason, .. } if reason == MISSING)
}

/// What a failed read means: one object's damage, or a storage that cannot be used at all.
pub(crate) fn unreadable(object: ObjectName, error: StorageError) -> RepositoryError {
    let reason = match &error {
        StorageError::NotFound { .. } => MISSING.to_owned(),
        StorageError::ShortRead { .. } => "it is cut short".to_owned(),
        // A bad sector: the others can be read.
        StorageError::Io { source, .. } if !error.is_retryable() => format!("it cannot be read: {source}"),
        _ => return error.into(),
    };
    RepositoryError::Damaged { object, reason }
}

impl Repository {
    /// Every object of a kind with its length, wherever one of its copies lies.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`].
    pub fn names_of_either(&self, kind: ObjectKind) -> Result<BTreeMap<ObjectId, u64>, RepositoryError> {
        list_either(&**self.storage(), kind)
    }

    /// Puts back whichever copy of a small object is missing (I6); of configs and keys only those in use. When all
    /// are there, it costs one listing of each folder.
    ///
    /// The caller's intent stands: a catalog that a prune is deleting may come back by this, and that prune leaves its
    /// condemnation in place as long as anybody might do so (I22).
    ///
    /// # Errors
    /// [`RepositoryError::Storage`], [`RepositoryError::Fenced`].
    pub(crate) fn restore_copies(&self, intent: &OwnIntent<'_>) -> Result<(), RepositoryError> {
        let storage = &**self.storage();
        let mut catalogs = Vec::new();
        for (kind, len_bytes_max) in KEPT_TWICE {
            let in_use = match kind {
                ObjectKind::Config => Some(self.config_id()),
                ObjectKind::Key => Some(self.key_manifest()),
                _ => None,
            };
            let unpaired = unpaired(storage, kind)?;
            for id in unpaired.into_iter().filter(|id| in_use.is_none_or(|in_use| in_use == *id)) {
                // Where the only copy is damaged there is nothing to put back; `check` tells.
                if let Ok(bytes) = read_either(storage, &ObjectName::new(kind, id), len_bytes_max) {
                    put_twice(storage, kind, &bytes)?;
                    if kind == ObjectKind::Catalog {
                        catalogs.push(id);
                    }
                }
            }
        }
        match catalogs.is_empty() {
            true => Ok(()),
            false => intent.account_for(|| self.packs_in(&catalogs)),
        }
    }

    /// The packs that these catalogs list, of those that are there and open.
    fn packs_in(&self, catalogs: &[ObjectId]) -> Result<BTreeSet<ObjectId>, RepositoryError> {
        let mut packs = BTreeSet::new();
        for id in catalogs {
            match self.read_catalog(*id) {
                Ok(catalog) => packs.extend(catalog.packs.into_iter().map(|pack| pack.pack)),
                Err(RepositoryError::Damaged { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(packs)
    }

    pub(crate) fn read_either(&self, name: &ObjectName, len_bytes_max: u64) -> Result<Vec<u8>, RepositoryError> {
        read_either(&**self.storage(), name, len_bytes_max)
    }

    pub(crate) fn read_object(&self, name: &ObjectName, len_bytes_max: u64) -> Result<Vec<u8>, RepositoryError> {
        read_object(&**self.storage(), name, len_bytes_max)
    }
}

#[cfg(test)]
mod tests;
