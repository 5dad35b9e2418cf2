//! Who writes here: a device is one local state folder. Losing it makes a new device, never a lost snapshot.

use crate::RepositoryError;
use crate::open::Repository;
use std::collections::BTreeSet;
use vellum_crypto::{DeviceKey, SignedCertificate};
use vellum_format::snapshot::{SignedSnapshot, SnapshotManifest};
use vellum_format::{DeviceId, ObjectId};

const STATE_KEY: &str = "device";
const LAST_PUBLISHED_KEY: &str = "last-published";

/// This process's device with the owner's statement that it may write.
pub(crate) struct Device {
    key: DeviceKey,
    certificate: SignedCertificate,
}

/// Where a device's next snapshot stands among the others.
pub(crate) struct History {
    pub(crate) sequence: u64,
    pub(crate) previous: Option<ObjectId>,
    pub(crate) seen: Vec<ObjectId>,
}

impl Device {
    pub(crate) fn id(&self) -> DeviceId {
        self.key.device()
    }

    pub(crate) fn sign_snapshot(&self, manifest: &SnapshotManifest) -> SignedSnapshot {
        self.key.sign_snapshot(manifest, &self.certificate)
    }
}

impl Repository {
    /// The device of this local state; a new one when the state is empty, unusable or not kept.
    pub(crate) fn device(&self) -> Result<Device, RepositoryError> {
        let kept = self.index().state_get(STATE_KEY).and_then(|sealed| self.open_local(STATE_KEY, &sealed));
        let kept = kept.and_then(|bytes| bytes.try_into().ok());
        let key = match kept.map(|bytes| DeviceKey::from_secret_bytes(&bytes)) {
            Some(key) => key,
            None => {
                let key = DeviceKey::generate()?;
                let sealed = self.seal_local(STATE_KEY, &*key.to_secret_bytes())?;
                // A device that is not kept is a new one next time, which costs nothing.
                self.index().state_put(STATE_KEY, &sealed).ok();
                key
            }
        };
        let certificate = self.unlocked().ring.certify(self.id(), &key);
        Ok(Device { key, certificate })
    }

    /// The last snapshot that this device published, as far as its local state remembers.
    #[must_use]
    pub fn last_published(&self) -> Option<ObjectId> {
        let sealed = self.index().state_get(LAST_PUBLISHED_KEY)?;
        let bytes = self.open_local(LAST_PUBLISHED_KEY, &sealed)?;
        Some(ObjectId::from_bytes(bytes.try_into().ok()?))
    }

    /// The snapshot is published already: a failure to remember it must not look like a failed backup.
    pub(crate) fn remember_published(&self, snapshot: ObjectId) {
        if let Ok(sealed) = self.seal_local(LAST_PUBLISHED_KEY, snapshot.as_bytes()) {
            self.index().state_put(LAST_PUBLISHED_KEY, &sealed).ok();
        }
    }

    /// Reads the heads of history: snapshots that no other snapshot names.
    pub(crate) fn history(&self, device: DeviceId) -> Result<History, RepositoryError> {
        let snapshots = self.snapshots()?.snapshots;
        let named: BTreeSet<ObjectId> = snapshots
            .iter()
            .flat_map(|snapshot| snapshot.manifest.previous.iter().chain(&snapshot.manifest.seen))
            .copied()
            .collect();
        let own = snapshots.iter().filter(|snapshot| snapshot.manifest.device == device);
        let last = own.max_by_key(|snapshot| (snapshot.manifest.sequence, snapshot.id));
        let previous = last.map(|snapshot| snapshot.id);
        let heads = snapshots.iter().map(|snapshot| snapshot.id).filter(|id| !named.contains(id));
        Ok(History {
            sequence: last.map_or(1, |snapshot| snapshot.manifest.sequence.saturating_add(1)),
            previous,
            seen: heads.filter(|id| Some(*id) != previous).take(vellum_format::limits::SNAPSHOT_SEEN_MAX).collect(),
        })
    }
}
