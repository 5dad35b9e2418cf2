//! Removing snapshots: a signed tombstone names them, and only then do they go (I13).

use crate::RepositoryError;
use crate::fault::reach;
use crate::history::{Position, Records};
use crate::objects::MISSING;
use crate::open::Repository;
use std::collections::BTreeSet;
use vellum_crypto::EpochKeys;
use vellum_faults::Point;
use vellum_format::history::SignedRecord;
use vellum_format::snapshot::Timestamp;
use vellum_format::tombstone::{self, TombstoneManifest};
use vellum_format::{Bytes, DeviceId, ObjectId, ObjectKind, ObjectName, SealedHeader, limits};

/// As soon as a device has so many tombstones, its next one carries over what they say and removes them: whoever reads
/// history reads every tombstone.
const CARRIED_OVER_MIN: usize = 16;

/// A tombstone whose signatures hold.
#[derive(Debug, Clone)]
pub struct Tombstone {
    /// Its name.
    pub id: ObjectId,
    /// What it says.
    pub manifest: TombstoneManifest,
}

/// Which snapshots shall go, and what history shall say about it.
#[derive(Debug, Clone)]
pub struct Removal {
    /// The snapshots; at least one.
    pub snapshots: Vec<ObjectId>,
    /// When: the library reads no clock.
    pub time: Timestamp,
    /// The host's name.
    pub host: Vec<u8>,
    /// The user who removes.
    pub user: String,
    /// The program and its version.
    pub program: String,
    /// Why, for people; at most 4,096 bytes.
    pub reason: String,
}

impl Repository {
    /// Removes snapshots and returns the tombstone that names the last of them. What only they needed stays until a
    /// prune.
    ///
    /// A snapshot is removed as soon as a tombstone names it: from then on [`Repository::snapshots`] does not list
    /// it. A crash before that leaves it as it was; a crash after it leaves at most a file, which the next removal
    /// or [`Repository::finish_removals`] deletes. Snapshots that are removed already are deleted once more.
    ///
    /// # Errors
    /// [`RepositoryError::NothingToRemove`], [`RepositoryError::Damaged`] when one of them is not there: nothing was
    /// removed then. [`RepositoryError::Storage`] may leave all or none of them removed.
    pub fn remove_snapshots(&self, removal: &Removal) -> Result<ObjectId, RepositoryError> {
        let mut records = self.read_records()?;
        let mut leaving: BTreeSet<ObjectId> = removal.snapshots.iter().copied().collect();
        let last = leaving.last().copied().ok_or(RepositoryError::NothingToRemove)?;
        let mut fresh: Vec<ObjectId> = leaving.iter().copied().filter(|id| !records.removed.contains_key(id)).collect();
        if let Some(missing) = fresh.iter().find(|id| !records.snapshot_names.contains(id)) {
            let object = ObjectName::new(ObjectKind::Snapshot, *missing);
            return Err(RepositoryError::Damaged { object, reason: MISSING.to_owned() });
        }
        let device = self.device()?;
        if let Some(carried) = carried_over(&records, device.id(), fresh.len()) {
            leaving.extend(carried.iter().map(|tombstone| tombstone.id));
            fresh.extend(carried.iter().flat_map(|old| old.manifest.removed.iter().chain([&old.id])));
            fresh.sort_unstable();
            fresh.dedup();
        }
        let mut position = records.position(device.id(), &leaving);
        for removed in fresh.chunks(limits::TOMBSTONE_REMOVED_MAX) {
            self.settle(&records, &position)?;
            let name = self.put_tombstone(removal, removed, &device, &position)?;
            records.removed.extend(removed.iter().map(|id| (*id, name.id)));
            records.tombstone_names.insert(name.id);
            records.tombstone_copies.insert(name.id);
            self.remember_own(device.id(), position.sequence, name);
            position = position.after(name);
        }
        self.delete_removed(&records)?;
        Ok(records.removed[&last])
    }

    /// Deletes what interrupted removals have left: records that a tombstone names. Returns how many there were.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`]; what is left then is found by the next call.
    pub fn finish_removals(&self) -> Result<usize, RepositoryError> {
        let records = self.read_records()?;
        self.delete_removed(&records)
    }

    /// Deletes records that tombstones name, once these are durable under both names. // I13
    fn delete_removed(&self, records: &Records) -> Result<usize, RepositoryError> {
        let mut left = Vec::new();
        let kinds =
            [ObjectKind::SnapshotMirror, ObjectKind::Snapshot, ObjectKind::TombstoneMirror, ObjectKind::Tombstone];
        for kind in kinds {
            let names = self.names(kind)?.into_keys().filter(|id| records.removed.contains_key(id));
            left.extend(names.map(|id| ObjectName::new(kind, id)));
        }
        if left.is_empty() {
            return Ok(0);
        }
        self.settle_tombstones(records)?;
        self.storage().sync()?;
        for name in &left {
            reach(Point::RecordBeforeDeletion)?;
            self.storage().delete(name)?;
        }
        reach(Point::ForgetRemoved)?;
        self.storage().sync()?;
        Ok(left.iter().map(|name| name.id).collect::<BTreeSet<_>>().len())
    }

    /// Makes every tombstone part of the next sync, and puts back whichever copy is missing: whoever wrote one may
    /// have been killed before his own sync.
    pub(crate) fn settle_tombstones(&self, records: &Records) -> Result<(), RepositoryError> {
        for tombstone in records.tombstones.iter().filter(|one| !records.removed.contains_key(&one.id)) {
            let places = [
                (ObjectKind::Tombstone, &records.tombstone_names),
                (ObjectKind::TombstoneMirror, &records.tombstone_copies),
            ];
            for (at, (kind, there)) in places.iter().enumerate() {
                let name = ObjectName::new(*kind, tombstone.id);
                if there.contains(&tombstone.id) {
                    self.storage().adopt(&name);
                } else {
                    let other = ObjectName::new(places[1 - at].0, tombstone.id);
                    let bytes = self.read_object(&other, limits::TOMBSTONE_LEN_BYTES_MAX)?;
                    self.storage().put(&name, &bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Stores one tombstone, durably under both names. The copy is durable first: so a tombstone without its copy has
    /// lost it, and a copy alone may be an interrupted removal, of which nothing is deleted yet.
    fn put_tombstone(
        &self,
        removal: &Removal,
        removed: &[ObjectId],
        device: &crate::device::Device,
        position: &Position,
    ) -> Result<ObjectName, RepositoryError> {
        let manifest = TombstoneManifest {
            repository: self.id(),
            device: device.id(),
            sequence: position.sequence,
            previous: position.previous,
            seen: position.seen.clone(),
            time: removal.time,
            host: Bytes(removal.host.clone()),
            user: removal.user.clone(),
            removed: removed.to_vec(),
            reason: removal.reason.clone(),
            program: removal.program.clone(),
            must_understand: Vec::new(),
        };
        let signed = device.sign_tombstone(&manifest);
        let mut bytes = self.seal_object(tombstone::MAGIC, signed.encode(), EpochKeys::seal_tombstone)?;
        // What no reader would take must remove nothing.
        let refused = |reason: String| RepositoryError::TombstoneRefused { reason };
        TombstoneManifest::decode(&signed.manifest).map_err(|error| refused(error.to_string()))?;
        if bytes.len() as u64 > limits::TOMBSTONE_LEN_BYTES_MAX {
            return Err(refused(format!("it has {} bytes", bytes.len())));
        }
        let is_right = |name, bytes: &[u8]| self.open_tombstone(&name, bytes).map(|stored| stored.manifest == manifest);
        let name = self.name_verified(ObjectKind::Tombstone, &mut bytes, is_right)?; // I2
        reach(Point::TombstoneBeforePut)?;
        let copy = ObjectName::new(ObjectKind::TombstoneMirror, name.id);
        for (name, after) in [(copy, Point::TombstoneBetweenCopies), (name, Point::TombstoneAfterPut)] {
            self.storage().put(&name, &bytes)?;
            self.storage().sync()?;
            reach(after)?;
        }
        Ok(name)
    }

    /// Reads one tombstone, from its copy when the first is missing or damaged.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] when neither opens and is signed by a device of the owner.
    pub fn read_tombstone(&self, id: ObjectId) -> Result<Tombstone, RepositoryError> {
        let name = ObjectName::new(ObjectKind::Tombstone, id);
        match self.read_tombstone_at(&name) {
            Err(error @ RepositoryError::Damaged { .. }) => self
                .read_tombstone_at(&ObjectName::new(ObjectKind::TombstoneMirror, name.id))
                .map_err(|copy| match copy {
                    RepositoryError::Damaged { .. } => error,
                    copy => copy,
                }),
            read => read,
        }
    }

    pub(crate) fn read_tombstone_at(&self, name: &ObjectName) -> Result<Tombstone, RepositoryError> {
        let bytes = self.read_object(name, limits::TOMBSTONE_LEN_BYTES_MAX)?;
        self.open_tombstone(name, &bytes)
    }

    fn open_tombstone(&self, name: &ObjectName, bytes: &[u8]) -> Result<Tombstone, RepositoryError> {
        let damaged = |error| RepositoryError::damaged(*name, &error);
        let (header, sealed) = SealedHeader::split("tombstone", tombstone::MAGIC, bytes).map_err(damaged)?;
        let keys = self.class().keys_of(header.epoch).ok_or_else(|| RepositoryError::sealed_wrong(*name))?;
        let plain = keys.open_tombstone(&header, sealed).map_err(|_| RepositoryError::sealed_wrong(*name))?;
        let signed = SignedRecord::decode(&plain).map_err(damaged)?;
        let manifest = vellum_crypto::verify_tombstone(&signed, self.id(), &self.config().owner)
            .map_err(|error| RepositoryError::Damaged { object: *name, reason: error.to_string() })?;
        Ok(Tombstone { id: name.id, manifest })
    }
}

/// Tombstones of a device that its next one can replace beside `fresh` removals: as many as leave it readable.
fn carried_over(records: &Records, device: DeviceId, fresh: usize) -> Option<Vec<&Tombstone>> {
    let is_own =
        |tombstone: &&Tombstone| tombstone.manifest.device == device && !records.removed.contains_key(&tombstone.id);
    let mut own: Vec<&Tombstone> = records.tombstones.iter().filter(is_own).collect();
    own.sort_by_key(|tombstone| tombstone.manifest.removed.len());
    let mut count = fresh;
    own.retain(|tombstone| {
        count += tombstone.manifest.removed.len() + 1;
        count <= limits::TOMBSTONE_REMOVED_MAX
    });
    (fresh > 0 && own.len() >= CARRIED_OVER_MIN).then_some(own)
}

#[cfg(test)]
mod tests;
