//! Who writes here: the device of the name that the caller gave, or else of the local state folder.

use crate::RepositoryError;
use crate::open::Repository;
use vellum_crypto::{DeviceKey, SignedCertificate};
use vellum_format::DeviceId;
use vellum_format::history::SignedRecord;
use vellum_format::snapshot::SnapshotManifest;
use vellum_format::tombstone::TombstoneManifest;

const STATE_KEY: &str = "device";

/// This process's device with the owner's statement that it may write.
pub(crate) struct Device {
    key: DeviceKey,
    certificate: SignedCertificate,
}

impl Device {
    pub(crate) fn id(&self) -> DeviceId {
        self.key.device()
    }

    pub(crate) fn sign_snapshot(&self, manifest: &SnapshotManifest) -> SignedRecord {
        self.key.sign_snapshot(manifest, &self.certificate)
    }

    pub(crate) fn sign_tombstone(&self, manifest: &TombstoneManifest) -> SignedRecord {
        self.key.sign_tombstone(manifest, &self.certificate)
    }
}

impl Repository {
    /// Writes from now on as the device of this name: the same for everybody who unlocks this repository and gives the
    /// same name, whatever becomes of local state. It should name one user of one machine, and stay.
    ///
    /// Without a name the device is a random one, kept in local state and new when that is lost.
    #[must_use]
    pub fn with_device_name(mut self, name: &[u8]) -> Self {
        self.device_name = Some(name.to_owned());
        self
    }

    /// Who this process writes as.
    ///
    /// # Errors
    /// [`RepositoryError::Randomness`].
    pub fn device_id(&self) -> Result<DeviceId, RepositoryError> {
        Ok(self.device()?.id())
    }

    /// The device that this process writes as.
    pub(crate) fn device(&self) -> Result<Device, RepositoryError> {
        let key = match &self.device_name {
            Some(name) => DeviceKey::named(&self.unlocked().ring, name),
            None => self.kept_device()?,
        };
        let certificate = self.unlocked().ring.certify(self.id(), &key);
        Ok(Device { key, certificate })
    }

    /// The device of this local state; a new one when the state is empty, unusable or not kept.
    fn kept_device(&self) -> Result<DeviceKey, RepositoryError> {
        let kept = self.index().state_get(STATE_KEY).and_then(|sealed| self.open_local(STATE_KEY, &sealed));
        if let Some(bytes) = kept.and_then(|bytes| bytes.try_into().ok()) {
            return Ok(DeviceKey::from_secret_bytes(&bytes));
        }
        let key = DeviceKey::generate()?;
        let sealed = self.seal_local(STATE_KEY, &*key.to_secret_bytes())?;
        // A device that is not kept is a new one next time, which costs nothing.
        self.index().state_put(STATE_KEY, &sealed).ok();
        Ok(key)
    }
}
