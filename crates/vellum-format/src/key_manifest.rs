//! Key manifests: one generation of slots and rings, signed by the owner. Clear CBOR; every secret inside is sealed.
//!
//! A slot is a recipient: it turns some secret of the user into an X-Wing key pair, and the ring key is sealed to its
//! public key. So the ring key can be changed, and sealed anew to every slot, without any user being present.

use crate::cursor::at_most;
use crate::snapshot::Timestamp;
use crate::{Bytes, FixedBytes, FormatError, ObjectId, RepositoryId, cbor, limits};
use serde::{Deserialize, Serialize};

const WHAT: &str = "key manifest";
const MAGIC: [u8; 8] = *b"VELLUMKY";

/// The stored form: the exact bytes that were signed, and the signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedKeyManifest {
    /// The encoded [`KeyManifest`]; the signature is checked over these bytes.
    pub manifest: Bytes,
    /// The owner's Ed25519 signature.
    pub signature: FixedBytes<64>,
}

impl SignedKeyManifest {
    /// The object's bytes: magic, version, suite, a zero, CBOR.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        crate::start_object(MAGIC, &cbor::encode(self))
    }

    /// Decodes a key manifest object.
    ///
    /// # Errors
    /// [`FormatError`] when it is none.
    pub fn decode(object: &[u8]) -> Result<Self, FormatError> {
        cbor::decode(WHAT, crate::object_body(WHAT, MAGIC, object)?)
    }
}

/// One generation of keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyManifest {
    /// The repository it belongs to.
    pub repository: RepositoryId,
    /// 1 for the first; each change adds one.
    pub generation: u64,
    /// The manifest that this one replaces.
    pub previous: Option<ObjectId>,
    /// The config in force; this is what authenticates it.
    pub config: ObjectId,
    /// Ways to unlock.
    pub slots: Vec<Slot>,
    /// Sealed bundles of secrets, one per role; version 1 writes `owner`.
    pub rings: Vec<SealedRing>,
}

impl KeyManifest {
    /// The encoding that is signed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a manifest.
    ///
    /// # Errors
    /// [`FormatError`] when it is none or breaks a limit.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let manifest: Self = cbor::decode(WHAT, bytes)?;
        at_most(WHAT, "slot count", manifest.slots.len() as u64, limits::SLOTS_MAX as u64)?;
        at_most(WHAT, "ring count", manifest.rings.len() as u64, limits::RINGS_MAX as u64)?;
        Ok(manifest)
    }
}

/// One way to unlock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// The encoded [`SlotHeader`]; HPKE and the seal bind these bytes.
    pub header: Bytes,
    /// The HPKE encapsulation: X-Wing ciphertext, 1120 bytes.
    pub encapsulated: Bytes,
    /// The ring key, sealed under the HPKE export.
    pub sealed_ring_key: Bytes,
}

/// What a slot says of itself before it is opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotHeader {
    /// The repository it belongs to.
    pub repository: RepositoryId,
    /// Chosen at random.
    pub slot: FixedBytes<8>,
    /// `password`, `key-file` or `recovery`; `contacts`, `fido2`, `tpm`, `pkcs11`, `device` and `escrow` are reserved.
    pub kind: String,
    /// The ring it opens: `owner`; others are reserved.
    pub role: String,
    /// For people.
    pub label: String,
    /// When it was added.
    pub created: Timestamp,
    /// How a password becomes a seed; only for `password`.
    pub argon2id: Option<Argon2idParameters>,
    /// Salt of the key derivation.
    pub salt: FixedBytes<32>,
    /// The slot's X-Wing public key, 1216 bytes.
    pub public_key: Bytes,
    /// Made from the slot's secret, repository and owner: who unlocks knows that this is the owner for whom the slot
    /// was made, and not one that the storage put in his place.
    pub owner_proof: FixedBytes<32>,
}

impl SlotHeader {
    /// The encoding that is bound.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a slot header.
    ///
    /// # Errors
    /// [`FormatError`] when it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        cbor::decode("slot header", bytes)
    }
}

/// Cost of a password slot (RFC 9106).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Argon2idParameters {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

/// A bundle of secrets under its ring key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedRing {
    /// Whose secrets: `owner`; `reader`, `writer`, `maintainer` and `domain:NAME` are reserved.
    pub role: String,
    /// Fresh random bytes.
    pub salt: FixedBytes<32>,
    /// The sealed bundle.
    pub sealed: Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::assert_bound;
    use proptest::prelude::*;

    fn signed() -> SignedKeyManifest {
        let header = SlotHeader {
            repository: RepositoryId::from_bytes([1; 16]),
            slot: FixedBytes([2; 8]),
            kind: "password".into(),
            role: "owner".into(),
            label: "laptop".into(),
            created: Timestamp { seconds: 1, nanoseconds: 2 },
            argon2id: Some(Argon2idParameters { memory_kib: 65_536, passes: 3, lanes: 4 }),
            salt: FixedBytes([3; 32]),
            public_key: Bytes(vec![4; 1216]),
            owner_proof: FixedBytes([10; 32]),
        };
        assert_eq!(SlotHeader::decode(&header.encode()).as_ref(), Ok(&header));
        let manifest = KeyManifest {
            repository: RepositoryId::from_bytes([1; 16]),
            generation: 1,
            previous: None,
            config: ObjectId::of(b"config"),
            slots: vec![Slot {
                header: Bytes(header.encode()),
                encapsulated: Bytes(vec![5; 1120]),
                sealed_ring_key: Bytes(vec![6; 80]),
            }],
            rings: vec![SealedRing { role: "owner".into(), salt: FixedBytes([7; 32]), sealed: Bytes(vec![8; 300]) }],
        };
        assert_eq!(KeyManifest::decode(&manifest.encode()).as_ref(), Ok(&manifest));
        SignedKeyManifest { manifest: Bytes(manifest.encode()), signature: FixedBytes([9; 64]) }
    }

    #[test]
    fn slots_and_rings_are_bounded() {
        let manifest = KeyManifest::decode(&signed().manifest).unwrap();
        assert_bound(limits::SLOTS_MAX as u64, |count| {
            let slots = vec![manifest.slots[0].clone(); usize::try_from(count).unwrap()];
            KeyManifest::decode(&KeyManifest { slots, ..manifest.clone() }.encode())
        });
        assert_bound(limits::RINGS_MAX as u64, |count| {
            let rings = vec![manifest.rings[0].clone(); usize::try_from(count).unwrap()];
            KeyManifest::decode(&KeyManifest { rings, ..manifest.clone() }.encode())
        });
    }

    #[test]
    fn round_trip_and_every_truncation() {
        let bytes = signed().encode();
        assert_eq!(SignedKeyManifest::decode(&bytes), Ok(signed()));
        for len in 0..bytes.len() {
            assert!(SignedKeyManifest::decode(&bytes[..len]).is_err(), "{len}");
        }
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(SignedKeyManifest::decode(&bytes));
            drop(KeyManifest::decode(&bytes));
            drop(SlotHeader::decode(&bytes));
        }
    }
}
