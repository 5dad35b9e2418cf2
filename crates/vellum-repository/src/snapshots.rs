//! Reading snapshots: opened, decoded, and both signatures checked before anything of them is used.

use crate::RepositoryError;
use crate::open::Repository;
use vellum_format::history::SignedRecord;
use vellum_format::snapshot::{self, SnapshotManifest};
use vellum_format::{ObjectId, ObjectKind, ObjectName, SealedHeader, limits};

/// A snapshot whose signatures hold.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Its name.
    pub id: ObjectId,
    /// What it says.
    pub manifest: SnapshotManifest,
}

/// Every snapshot of a repository.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// Those that can be trusted, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// Why others cannot be used, tombstones among them; each names its object.
    pub damaged: Vec<RepositoryError>,
    /// Those that were never acknowledged: a prune had given their writers up before it saw them. What they need may
    /// be gone.
    pub void: Vec<Snapshot>,
}

impl Repository {
    /// Reads every snapshot that no tombstone removes. A damaged one costs only itself.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`] when the storage cannot be listed or read at all.
    pub fn snapshots(&self) -> Result<Snapshots, RepositoryError> {
        let records = self.read_records()?;
        let (void, snapshots) = self.split_void(records.snapshots)?;
        Ok(Snapshots { snapshots, damaged: records.damaged, void })
    }

    /// Parts void snapshots from those that count.
    pub(crate) fn split_void(&self, all: Vec<Snapshot>) -> Result<(Vec<Snapshot>, Vec<Snapshot>), RepositoryError> {
        let fences = self.fences()?;
        Ok(all.into_iter().partition(|snapshot| fences.void(&snapshot.id, &snapshot.manifest.intent)))
    }

    /// Reads one snapshot, from either of its copies.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] when both are missing or damaged, when it does not open or is not signed by a
    /// device of the owner.
    pub fn read_snapshot(&self, id: ObjectId) -> Result<Snapshot, RepositoryError> {
        let name = ObjectName::new(ObjectKind::Snapshot, id);
        let bytes = self.read_either(&name, limits::SNAPSHOT_LEN_BYTES_MAX)?;
        self.open_snapshot(name, &bytes)
    }

    /// Opens the bytes of a snapshot, and believes it only with both signatures.
    pub(crate) fn open_snapshot(&self, name: ObjectName, bytes: &[u8]) -> Result<Snapshot, RepositoryError> {
        let damaged = |error| RepositoryError::damaged(name, &error);
        let (header, sealed) = SealedHeader::split("snapshot", snapshot::MAGIC, bytes).map_err(damaged)?;
        let keys = self.class().keys_of(header.epoch).ok_or_else(|| RepositoryError::sealed_wrong(name))?;
        let plain = keys.open_snapshot(&header, sealed).map_err(|_| RepositoryError::sealed_wrong(name))?;
        let signed = SignedRecord::decode(&plain).map_err(damaged)?;
        let manifest = vellum_crypto::verify_snapshot(&signed, self.id(), &self.config().owner)
            .map_err(|error| RepositoryError::Damaged { object: name, reason: error.to_string() })?;
        Ok(Snapshot { id: name.id, manifest })
    }
}
