//! The owner's ring: every secret of a repository, sealed under a ring key that the slots give.

use crate::derive::{self, Context, keyed_hash, label};
use crate::signature::KeyPair;
use crate::{DedupKeys, EpochKeys, RandomError, Secret, open, seal_into};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use vellum_format::key_manifest::SealedRing;
use vellum_format::{Bytes, FixedBytes, RepositoryId};
use zeroize::Zeroizing;

/// The only role of format version 1.
pub(crate) const OWNER: &str = "owner";

/// The key that a ring is sealed under; slots hold it, nobody else.
pub(crate) struct RingKey(pub(crate) Secret<32>);

impl RingKey {
    /// A fresh key.
    pub(crate) fn generate() -> Result<Self, RandomError> {
        Secret::random().map(Self)
    }
}

/// Why a ring was not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// The key manifest has no ring of the owner.
    #[error("the key manifest holds no owner's ring")]
    Missing,
    /// Sealed under another ring key, for another repository or generation, or changed.
    #[error("the owner's ring does not open under this ring key")]
    DoesNotOpen,
    /// It opened, but its content is unknown to this version; rewriting it could lose secrets.
    #[error("the owner's ring has content that this version of Vellum does not know")]
    Unknown,
    /// Its management key is not the one that signed the key manifest.
    #[error("the owner's ring holds another management key than the one that signed the key manifest")]
    OtherOwner,
}

/// The owner's secrets: the management key, the secret of local state, and for each class its epochs and dedup
/// secrets. It is only reached through [`crate::unlock`], or made by [`OwnerRing::generate`].
pub struct OwnerRing {
    management: KeyPair,
    local: Secret<32>,
    classes: Vec<ClassSecrets>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassSecrets {
    name: String,
    /// Ascending; the last one is in use. No other class has the same numbers.
    epochs: Vec<Numbered>,
    /// Ascending; the last one is in use.
    dedup: Vec<Numbered>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Numbered {
    number: u32,
    secret: Stored,
}

impl ClassSecrets {
    fn duplicate(&self) -> Self {
        let copy = |one: &Numbered| {
            let secret = Stored(Secret::copy_of(one.secret.0.expose()));
            Numbered { number: one.number, secret }
        };
        let (epochs, dedup) = (self.epochs.iter().map(copy).collect(), self.dedup.iter().map(copy).collect());
        Self { name: self.name.clone(), epochs, dedup }
    }
}

impl OwnerRing {
    /// Fresh secrets for these classes, each in its first epoch.
    ///
    /// # Errors
    /// [`RandomError`] when the operating system has no random numbers.
    pub fn generate(class_names: &[&str]) -> Result<Self, RandomError> {
        let mut classes = Vec::new();
        for (name, epoch) in class_names.iter().zip(1..) {
            let epochs = vec![Numbered { number: epoch, secret: Stored(Secret::random()?) }];
            let dedup = vec![Numbered { number: 1, secret: Stored(Secret::random()?) }];
            classes.push(ClassSecrets { name: (*name).to_owned(), epochs, dedup });
        }
        Ok(Self { management: KeyPair::generate()?, local: Secret::random()?, classes })
    }

    /// The owner's public key, which config and clients pin.
    #[must_use]
    pub fn owner_public_key(&self) -> FixedBytes<32> {
        self.management.public_key()
    }

    /// A key for one use of this repository's state on local disks: `KH(local secret, purpose)`.
    #[must_use]
    pub fn local_key(&self, purpose: &str) -> Secret<32> {
        Secret::copy_of(&keyed_hash(&self.local, &[purpose.as_bytes()]))
    }

    /// The same secrets once more, for the generation that is being prepared beside the one in use.
    pub(crate) fn duplicate(&self) -> Self {
        Self {
            management: KeyPair::from_seed(Secret::copy_of(self.management.seed().expose())),
            local: Secret::copy_of(self.local.expose()),
            classes: self.classes.iter().map(ClassSecrets::duplicate).collect(),
        }
    }

    /// The epoch that a class writes in.
    #[must_use]
    pub fn current_epoch(&self, class: &str) -> Option<u32> {
        self.class(class)?.epochs.last().map(|epoch| epoch.number)
    }

    /// Every epoch of a class, the oldest first.
    #[must_use]
    pub fn epochs(&self, class: &str) -> Vec<u32> {
        self.class(class).map(|class| class.epochs.iter().map(|epoch| epoch.number).collect()).unwrap_or_default()
    }

    /// The class of an epoch: numbers are unique in a repository, so that a clear header needs to name no class.
    #[must_use]
    pub fn class_of_epoch(&self, epoch: u32) -> Option<&str> {
        let class = self.classes.iter().find(|class| class.epochs.iter().any(|known| known.number == epoch))?;
        Some(&class.name)
    }

    /// The keys of a class in an epoch.
    #[must_use]
    pub fn epoch_keys(&self, class: &str, epoch: u32) -> Option<EpochKeys> {
        find(&self.class(class)?.epochs, epoch).map(EpochKeys::derive)
    }

    /// The version of the dedup secret that a class writes with.
    #[must_use]
    pub fn current_dedup_version(&self, class: &str) -> Option<u32> {
        self.class(class)?.dedup.last().map(|version| version.number)
    }

    /// The keys that name a class's chunks.
    #[must_use]
    pub fn dedup_keys(&self, class: &str, version: u32) -> Option<DedupKeys> {
        find(&self.class(class)?.dedup, version).map(DedupKeys::derive)
    }

    /// Starts a new epoch in every class. What is written from now on stays closed to whoever holds only what was
    /// valid before; deduplication goes on.
    ///
    /// # Errors
    /// [`RandomError`] when the operating system has no random numbers; some classes may have a new epoch then.
    pub fn start_epochs(&mut self) -> Result<(), RandomError> {
        let last = self.classes.iter().flat_map(|class| &class.epochs).map(|epoch| epoch.number).max().unwrap_or(0);
        for (class, number) in self.classes.iter_mut().zip(last + 1..) {
            class.epochs.push(Numbered { number, secret: Stored(Secret::random()?) });
        }
        Ok(())
    }

    pub(crate) fn sign(&self, context: Context, message: &[u8]) -> FixedBytes<64> {
        self.management.sign(context, message)
    }

    /// Seals the ring for one generation of one repository's key manifest.
    pub(crate) fn seal(
        &self,
        ring_key: &RingKey,
        repository: RepositoryId,
        generation: u64,
    ) -> Result<SealedRing, RandomError> {
        let salt = crate::random_array::<32>()?;
        let mut sealed = Vec::new();
        seal_into(&ring_key.0, label::RING, &salt, &ring_ad(repository, generation), &self.encode(), &mut sealed);
        Ok(SealedRing { role: OWNER.to_owned(), salt: FixedBytes(salt), sealed: Bytes(sealed) })
    }

    /// Opens what [`OwnerRing::seal`] sealed.
    pub(crate) fn open(
        sealed: &SealedRing,
        ring_key: &RingKey,
        repository: RepositoryId,
        generation: u64,
    ) -> Result<Self, RingError> {
        let ad = ring_ad(repository, generation);
        let bundle = open(&ring_key.0, label::RING, &sealed.salt.0, &ad, &sealed.sealed);
        Self::decode(&Zeroizing::new(bundle.map_err(|_| RingError::DoesNotOpen)?))
    }

    fn class(&self, name: &str) -> Option<&ClassSecrets> {
        self.classes.iter().find(|class| class.name == name)
    }

    pub(crate) fn encode(&self) -> Zeroizing<Vec<u8>> {
        let class_len = |class: &ClassSecrets| 64 + class.name.len() + 64 * (class.epochs.len() + class.dedup.len());
        let capacity = 256 + self.classes.iter().map(class_len).sum::<usize>();
        let mut bytes = Zeroizing::new(Vec::with_capacity(capacity));
        let bundle = Bundle { management: self.management.seed(), local: &self.local, classes: &self.classes };
        ciborium::into_writer(&bundle, &mut *bytes).expect("the bundle encodes and a vector takes every write");
        debug_assert!(bytes.len() <= capacity, "a vector that grows leaves secrets behind");
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, RingError> {
        let mut scratch = Zeroizing::new([0; 256]);
        let mut rest = bytes;
        let bundle: OpenedBundle =
            ciborium::de::from_reader_with_buffer(&mut rest, &mut scratch[..]).map_err(|_| RingError::Unknown)?;
        let ring = Self {
            management: KeyPair::from_seed(bundle.management.0),
            local: bundle.local.0,
            classes: bundle.classes,
        };
        match rest.is_empty() && ring.is_consistent() {
            true => Ok(ring),
            false => Err(RingError::Unknown),
        }
    }

    fn is_consistent(&self) -> bool {
        let ascends = |list: &[Numbered]| !list.is_empty() && list.is_sorted_by(|a, b| a.number < b.number);
        let mut epochs: Vec<u32> =
            self.classes.iter().flat_map(|class| &class.epochs).map(|epoch| epoch.number).collect();
        epochs.sort_unstable();
        let mut names: Vec<&str> = self.classes.iter().map(|class| class.name.as_str()).collect();
        names.sort_unstable();
        epochs.is_sorted_by(|a, b| a < b)
            && names.is_sorted_by(|a, b| a < b)
            && self.classes.iter().all(|class| ascends(&class.epochs) && ascends(&class.dedup))
    }
}

fn find(list: &[Numbered], number: u32) -> Option<&Secret<32>> {
    list.iter().find(|entry| entry.number == number).map(|entry| &entry.secret.0)
}

fn ring_ad(repository: RepositoryId, generation: u64) -> Vec<u8> {
    derive::enc(&[repository.as_bytes(), OWNER.as_bytes(), &generation.to_le_bytes()])
}

/// The CBOR form of a ring. An unknown field is refused: an older version that rewrote the ring would lose it.
#[derive(Serialize)]
struct Bundle<'a> {
    #[serde(serialize_with = "serialize_secret")]
    management: &'a Secret<32>,
    #[serde(serialize_with = "serialize_secret")]
    local: &'a Secret<32>,
    classes: &'a [ClassSecrets],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenedBundle {
    management: Stored,
    local: Stored,
    classes: Vec<ClassSecrets>,
}

/// A secret as a CBOR byte string; private, so that no secret is serialised anywhere else.
struct Stored(Secret<32>);

fn serialize_secret<S: Serializer>(secret: &Secret<32>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(secret.expose())
}

impl Serialize for Stored {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize_secret(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for Stored {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(StoredVisitor)
    }
}

struct StoredVisitor;

impl Visitor<'_> for StoredVisitor {
    type Value = Stored;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("32 secret bytes")
    }

    fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Stored, E> {
        let bytes = bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))?;
        Ok(Stored(Secret::copy_of(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl OwnerRing {
        /// A ring of these secrets: management, local, epoch, dedup.
        pub(crate) fn fixed([management, local, epoch, dedup]: [Secret<32>; 4]) -> Self {
            let classes = vec![ClassSecrets {
                name: "private".to_owned(),
                epochs: vec![Numbered { number: 1, secret: Stored(epoch) }],
                dedup: vec![Numbered { number: 1, secret: Stored(dedup) }],
            }];
            Self { management: KeyPair::from_seed(management), local, classes }
        }
    }

    const REPOSITORY: RepositoryId = RepositoryId::from_bytes([1; 16]);

    #[test]
    fn a_ring_survives_its_encoding() {
        let mut ring = OwnerRing::generate(&["private", "sealed"]).unwrap();
        for _ in 0..300 {
            ring.start_epochs().unwrap();
        }
        let bytes = ring.encode();
        let again = OwnerRing::decode(&bytes).unwrap();
        assert_eq!(*again.encode(), *bytes);
        assert_eq!(again.owner_public_key(), ring.owner_public_key());
        assert!(again.local_key("a") == ring.local_key("a"));
        for len in 0..bytes.len() {
            assert!(OwnerRing::decode(&bytes[..len]).is_err());
        }
        assert!(OwnerRing::decode(&[&bytes[..], &[0]].concat()).is_err());
    }

    #[test]
    fn epochs_are_unique_and_dedup_survives_them() {
        let mut ring = OwnerRing::generate(&["private", "sealed"]).unwrap();
        assert_eq!((ring.current_epoch("private"), ring.current_epoch("sealed")), (Some(1), Some(2)));
        ring.start_epochs().unwrap();
        assert_eq!((ring.current_epoch("private"), ring.current_epoch("sealed")), (Some(3), Some(4)));
        assert_eq!((ring.class_of_epoch(2), ring.class_of_epoch(3)), (Some("sealed"), Some("private")));
        assert_eq!((ring.class_of_epoch(5), ring.current_epoch("other")), (None, None));
        assert!(ring.epoch_keys("private", 1).is_some() && ring.epoch_keys("private", 2).is_none());
        assert_eq!(ring.current_dedup_version("private"), Some(1));
        assert!(ring.dedup_keys("private", 1).is_some() && ring.dedup_keys("private", 2).is_none());
    }

    #[test]
    fn unknown_and_inconsistent_content_is_refused() {
        let encode = |change: fn(&mut ciborium::Value)| {
            let ring = OwnerRing::generate(&["private", "sealed"]).unwrap();
            let mut value: ciborium::Value = ciborium::from_reader(&ring.encode()[..]).unwrap();
            change(&mut value);
            let mut bytes = Vec::new();
            ciborium::into_writer(&value, &mut bytes).unwrap();
            OwnerRing::decode(&bytes).err()
        };
        assert_eq!(encode(|_| ()), None);
        assert_eq!(encode(|ring| ring.as_map_mut().unwrap().push(("more".into(), 1.into()))), Some(RingError::Unknown));
        assert_eq!(encode(|ring| ring.as_map_mut().unwrap()[0].1 = vec![0u8; 31].into()), Some(RingError::Unknown));
        let twice = |ring: &mut ciborium::Value| {
            let classes = ring.as_map_mut().unwrap()[2].1.as_array_mut().unwrap();
            classes[1] = classes[0].clone();
        };
        assert_eq!(encode(twice), Some(RingError::Unknown));
    }

    #[test]
    fn a_sealed_ring_is_bound_to_key_repository_and_generation() {
        let ring = OwnerRing::generate(&["private"]).unwrap();
        let key = RingKey::generate().unwrap();
        let sealed = ring.seal(&key, REPOSITORY, 7).unwrap();
        let error = |key: &RingKey, repository, generation| OwnerRing::open(&sealed, key, repository, generation).err();
        assert_eq!(error(&key, REPOSITORY, 7), None);
        assert_eq!(error(&key, REPOSITORY, 8), Some(RingError::DoesNotOpen));
        assert_eq!(error(&key, RepositoryId::from_bytes([2; 16]), 7), Some(RingError::DoesNotOpen));
        assert_eq!(error(&RingKey::generate().unwrap(), REPOSITORY, 7), Some(RingError::DoesNotOpen));
    }
}
