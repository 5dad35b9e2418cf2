//! Devices: who may write history, and the check of a record, snapshot or tombstone, before it is believed.

use crate::derive::{self, Context, keyed_hash};
use crate::signature::{KeyPair, verify};
use crate::{OwnerRing, RandomError, Secret};
use vellum_format::history::SignedRecord;
use vellum_format::snapshot::{DeviceCertificate, SnapshotManifest};
use vellum_format::tombstone::TombstoneManifest;
use vellum_format::{Bytes, DeviceId, FixedBytes, FormatError, RepositoryId};
use zeroize::Zeroizing;

/// The role of every device in format version 1.
const OWNER: &str = "owner";

/// Purposes of local keys: the id and the signing key of a device that has a name.
const NAMED_DEVICE_ID: &str = "device-id";
const NAMED_DEVICE_SEED: &str = "device-seed";

/// A device's identity and its signing key.
pub struct DeviceKey {
    device: DeviceId,
    pair: KeyPair,
}

/// A device's certificate: the exact bytes that the owner signed, and the signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCertificate {
    /// The encoded [`DeviceCertificate`].
    pub certificate: Bytes,
    /// The owner's signature.
    pub signature: FixedBytes<64>,
}

/// Why a record of history is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The device's certificate is not the owner's.
    #[error("the device's certificate is not signed by the owner of this repository")]
    WrongCertificate,
    /// The certificate or the manifest does not decode.
    #[error("it is malformed")]
    Format(#[from] FormatError),
    /// The certificate or the record was made for another repository.
    #[error("it belongs to repository {found}")]
    OtherRepository {
        /// That repository.
        found: RepositoryId,
    },
    /// The certificate allows something else.
    #[error("the device's role is {role}, which this version of Vellum does not know")]
    UnknownRole {
        /// The role.
        role: String,
    },
    /// The record is not signed by the certified device.
    #[error("it is not signed by device {device}")]
    WrongSignature {
        /// The device of the certificate.
        device: DeviceId,
    },
    /// The record claims to be another device's than the one that signed it.
    #[error("it claims to be of device {claimed} and is signed by device {signer}")]
    OtherDevice {
        /// The device of the manifest.
        claimed: DeviceId,
        /// The device of the certificate.
        signer: DeviceId,
    },
}

impl DeviceKey {
    /// Length of [`DeviceKey::to_secret_bytes`].
    pub const SECRET_BYTES: usize = DeviceId::LEN + 32;

    /// A new device.
    ///
    /// # Errors
    /// [`RandomError`] when the operating system has no random numbers.
    pub fn generate() -> Result<Self, RandomError> {
        Ok(Self { device: DeviceId::from_bytes(crate::random_array()?), pair: KeyPair::generate()? })
    }

    /// The device of this name: the same for everybody who holds the ring's local secret and gives the same name, so
    /// that it needs no keeping.
    #[must_use]
    pub fn named(ring: &OwnerRing, name: &[u8]) -> Self {
        let of = |purpose| keyed_hash(&ring.local_key(purpose), &[name]);
        let id = of(NAMED_DEVICE_ID);
        let seed = Zeroizing::new(of(NAMED_DEVICE_SEED));
        let device = DeviceId::from_bytes(*id.first_chunk().expect("a hash is longer than an id"));
        Self { device, pair: KeyPair::from_seed(Secret::copy_of(&seed)) }
    }

    /// Id and seed, to be sealed under a key of [`OwnerRing::local_key`] before they reach a disk.
    #[must_use]
    pub fn to_secret_bytes(&self) -> Zeroizing<[u8; Self::SECRET_BYTES]> {
        let mut bytes = Zeroizing::new([0; Self::SECRET_BYTES]);
        bytes[..DeviceId::LEN].copy_from_slice(self.device.as_bytes());
        bytes[DeviceId::LEN..].copy_from_slice(self.pair.seed().expose());
        bytes
    }

    /// The device of [`DeviceKey::to_secret_bytes`].
    #[must_use]
    pub fn from_secret_bytes(bytes: &[u8; Self::SECRET_BYTES]) -> Self {
        let device = bytes.first_chunk().expect("an id comes first");
        let seed = bytes.last_chunk().expect("a seed comes last");
        Self { device: DeviceId::from_bytes(*device), pair: KeyPair::from_seed(Secret::copy_of(seed)) }
    }

    /// The device's id.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.device
    }

    /// The device's public key.
    #[must_use]
    pub fn public_key(&self) -> FixedBytes<32> {
        self.pair.public_key()
    }

    /// Signs a snapshot; `certificate` is this device's.
    ///
    /// # Panics
    /// When the manifest names another device: such a snapshot would be refused by every reader.
    #[must_use]
    pub fn sign_snapshot(&self, manifest: &SnapshotManifest, certificate: &SignedCertificate) -> SignedRecord {
        assert_eq!(manifest.device, self.device, "a device signs its own snapshots");
        self.sign(derive::SNAPSHOT_SIGNATURE, manifest.encode(), certificate)
    }

    /// Signs a tombstone; `certificate` is this device's.
    ///
    /// # Panics
    /// When the manifest names another device: such a tombstone would be refused by every reader.
    #[must_use]
    pub fn sign_tombstone(&self, manifest: &TombstoneManifest, certificate: &SignedCertificate) -> SignedRecord {
        assert_eq!(manifest.device, self.device, "a device signs its own tombstones");
        self.sign(derive::TOMBSTONE_SIGNATURE, manifest.encode(), certificate)
    }

    fn sign(&self, context: Context, manifest: Vec<u8>, certificate: &SignedCertificate) -> SignedRecord {
        let signature = self.pair.sign(context, &manifest);
        SignedRecord {
            manifest: Bytes(manifest),
            certificate: certificate.certificate.clone(),
            certificate_signature: certificate.signature,
            signature,
        }
    }
}

impl OwnerRing {
    /// States that a device may write to a repository.
    #[must_use]
    pub fn certify(&self, repository: RepositoryId, device: &DeviceKey) -> SignedCertificate {
        let (device, public_key) = (device.device, device.public_key());
        let certificate = DeviceCertificate { repository, device, public_key, role: OWNER.to_owned() }.encode();
        let signature = self.sign(derive::DEVICE_CERTIFICATE_SIGNATURE, &certificate);
        SignedCertificate { certificate: Bytes(certificate), signature }
    }
}

/// The manifest of an opened snapshot, once the owner's signature over the certificate, the repository, the device,
/// and the device's signature over the manifest were checked. Its place in history is the caller's to check.
///
/// # Errors
/// [`RecordError`] for the first check that fails.
pub fn verify_snapshot(
    snapshot: &SignedRecord,
    repository: RepositoryId,
    owner_public_key: &FixedBytes<32>,
) -> Result<SnapshotManifest, RecordError> {
    let signer = verify_signatures(derive::SNAPSHOT_SIGNATURE, snapshot, repository, owner_public_key)?;
    let manifest = SnapshotManifest::decode(&snapshot.manifest)?;
    check_claims((manifest.repository, manifest.device), (repository, signer))?;
    Ok(manifest)
}

/// The manifest of an opened tombstone, once the same was checked as [`verify_snapshot`] does.
///
/// # Errors
/// [`RecordError`] for the first check that fails.
pub fn verify_tombstone(
    tombstone: &SignedRecord,
    repository: RepositoryId,
    owner_public_key: &FixedBytes<32>,
) -> Result<TombstoneManifest, RecordError> {
    let signer = verify_signatures(derive::TOMBSTONE_SIGNATURE, tombstone, repository, owner_public_key)?;
    let manifest = TombstoneManifest::decode(&tombstone.manifest)?;
    check_claims((manifest.repository, manifest.device), (repository, signer))?;
    Ok(manifest)
}

/// The device that signed a record, certified by the owner for this repository.
fn verify_signatures(
    context: Context,
    record: &SignedRecord,
    repository: RepositoryId,
    owner_public_key: &FixedBytes<32>,
) -> Result<DeviceId, RecordError> {
    let SignedRecord { manifest, certificate, certificate_signature, signature } = record;
    verify(derive::DEVICE_CERTIFICATE_SIGNATURE, certificate, owner_public_key, certificate_signature)
        .map_err(|_| RecordError::WrongCertificate)?;
    let certificate = DeviceCertificate::decode(certificate)?;
    if certificate.repository != repository {
        return Err(RecordError::OtherRepository { found: certificate.repository });
    }
    if certificate.role != OWNER {
        return Err(RecordError::UnknownRole { role: certificate.role });
    }
    let signer = certificate.device;
    verify(context, manifest, &certificate.public_key, signature)
        .map_err(|_| RecordError::WrongSignature { device: signer })?;
    Ok(signer)
}

/// A record says itself where it belongs and whose it is.
fn check_claims(
    (found, claimed): (RepositoryId, DeviceId),
    (repository, signer): (RepositoryId, DeviceId),
) -> Result<(), RecordError> {
    if found != repository {
        return Err(RecordError::OtherRepository { found });
    }
    match claimed == signer {
        true => Ok(()),
        false => Err(RecordError::OtherDevice { claimed, signer }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_of_later_versions_is_refused() {
        let repository = RepositoryId::from_bytes([1; 16]);
        let ring = OwnerRing::generate(&["private"]).unwrap();
        let device = DeviceKey::generate().unwrap();
        let (id, public_key) = (device.device(), device.public_key());
        let certificate = DeviceCertificate { repository, device: id, public_key, role: "reader".to_owned() }.encode();
        let signed = SignedRecord {
            manifest: Bytes(vec![1]),
            certificate_signature: ring.sign(derive::DEVICE_CERTIFICATE_SIGNATURE, &certificate),
            certificate: Bytes(certificate),
            signature: device.pair.sign(derive::SNAPSHOT_SIGNATURE, &[1]),
        };
        let refused = verify_snapshot(&signed, repository, &ring.owner_public_key());
        assert_eq!(refused, Err(RecordError::UnknownRole { role: "reader".to_owned() }));
    }
    #[test]
    fn a_name_gives_one_device_of_one_ring() {
        let ring = OwnerRing::generate(&["private"]).unwrap();
        let device = DeviceKey::named(&ring, b"machine");
        let again = DeviceKey::named(&ring, b"machine");
        assert!(device.to_secret_bytes() == again.to_secret_bytes());
        let other_ring = OwnerRing::generate(&["private"]).unwrap();
        for other in [DeviceKey::named(&ring, b"machine2"), DeviceKey::named(&other_ring, b"machine")] {
            assert_ne!(other.device(), device.device());
            assert_ne!(other.public_key(), device.public_key());
        }
    }
}
