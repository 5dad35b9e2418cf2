//! Devices: who may write snapshots, and the check of a snapshot before it is believed.

use crate::derive;
use crate::signature::{KeyPair, verify};
use crate::{OwnerRing, RandomError, Secret};
use vellum_format::snapshot::{DeviceCertificate, SignedSnapshot, SnapshotManifest};
use vellum_format::{Bytes, DeviceId, FixedBytes, FormatError, RepositoryId};
use zeroize::Zeroizing;

/// The role of every device in format version 1.
const OWNER: &str = "owner";

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

/// Why a snapshot is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The device's certificate is not the owner's.
    #[error("the device's certificate is not signed by the owner of this repository")]
    WrongCertificate,
    /// The certificate or the manifest does not decode.
    #[error("the snapshot is malformed")]
    Format(#[from] FormatError),
    /// The certificate or the snapshot was made for another repository.
    #[error("the snapshot belongs to repository {found}")]
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
    /// The snapshot is not signed by the certified device.
    #[error("the snapshot is not signed by device {device}")]
    WrongSignature {
        /// The device of the certificate.
        device: DeviceId,
    },
    /// The snapshot claims to be another device's than the one that signed it.
    #[error("the snapshot of device {claimed} is signed by device {signer}")]
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
    pub fn sign_snapshot(&self, manifest: &SnapshotManifest, certificate: &SignedCertificate) -> SignedSnapshot {
        assert_eq!(manifest.device, self.device, "a device signs its own snapshots");
        let manifest = manifest.encode();
        let signature = self.pair.sign(derive::SNAPSHOT_SIGNATURE, &manifest);
        SignedSnapshot {
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
/// [`SnapshotError`] for the first check that fails.
pub fn verify_snapshot(
    snapshot: &SignedSnapshot,
    repository: RepositoryId,
    owner_public_key: &FixedBytes<32>,
) -> Result<SnapshotManifest, SnapshotError> {
    let SignedSnapshot { manifest, certificate, certificate_signature, signature } = snapshot;
    verify(derive::DEVICE_CERTIFICATE_SIGNATURE, certificate, owner_public_key, certificate_signature)
        .map_err(|_| SnapshotError::WrongCertificate)?;
    let certificate = DeviceCertificate::decode(certificate)?;
    if certificate.repository != repository {
        return Err(SnapshotError::OtherRepository { found: certificate.repository });
    }
    if certificate.role != OWNER {
        return Err(SnapshotError::UnknownRole { role: certificate.role });
    }
    let signer = certificate.device;
    verify(derive::SNAPSHOT_SIGNATURE, manifest, &certificate.public_key, signature)
        .map_err(|_| SnapshotError::WrongSignature { device: signer })?;
    let manifest = SnapshotManifest::decode(manifest)?;
    if manifest.repository != repository {
        return Err(SnapshotError::OtherRepository { found: manifest.repository });
    }
    match manifest.device == signer {
        true => Ok(manifest),
        false => Err(SnapshotError::OtherDevice { claimed: manifest.device, signer }),
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
        let signed = SignedSnapshot {
            manifest: Bytes(vec![1]),
            certificate_signature: ring.sign(derive::DEVICE_CERTIFICATE_SIGNATURE, &certificate),
            certificate: Bytes(certificate),
            signature: device.pair.sign(derive::SNAPSHOT_SIGNATURE, &[1]),
        };
        let refused = verify_snapshot(&signed, repository, &ring.owner_public_key());
        assert_eq!(refused, Err(SnapshotError::UnknownRole { role: "reader".to_owned() }));
    }
}
