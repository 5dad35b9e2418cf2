//! Key manifests: verified before anything in them is used, unlocked by a credential, replaced by a new generation.

use crate::derive;
use crate::ring::OWNER;
use crate::signature::verify;
use crate::slot::{self, SlotError};
use crate::{Credential, OwnerRing, RandomError, RingError, RingKey};
use vellum_format::key_manifest::{Argon2idParameters, KeyManifest, SignedKeyManifest, Slot, SlotHeader};
use vellum_format::snapshot::Timestamp;
use vellum_format::{Bytes, FixedBytes, FormatError, ObjectId, RepositoryId, limits};

/// What a key manifest must match before it is used.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// The repository.
    pub repository: RepositoryId,
    /// The owner's public key: the pinned one where there is one, else the config's.
    pub owner: FixedBytes<32>,
    /// The name of the config in use.
    pub config: ObjectId,
    /// The highest generation that this client ever saw; 0 for a fresh one.
    pub generation_min: u64,
}

/// Why a key manifest is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// Not signed by the expected owner.
    #[error("the key manifest is not signed by the owner of this repository")]
    WrongSignature,
    /// It does not decode.
    #[error("the key manifest is malformed")]
    Format(#[from] FormatError),
    /// It belongs to another repository.
    #[error("the key manifest belongs to repository {found}")]
    OtherRepository {
        /// That repository.
        found: RepositoryId,
    },
    /// It names another config.
    #[error("the key manifest names config {found}")]
    OtherConfig {
        /// That config.
        found: ObjectId,
    },
    /// Older than what this client already saw: storage went back in time.
    #[error("the key manifest has generation {found}, but generation {known} was seen before")]
    Stale {
        /// Its generation.
        found: u64,
        /// The known one.
        known: u64,
    },
    /// It breaks a rule.
    #[error("the key manifest is inconsistent: {rule}")]
    Inconsistent {
        /// The rule that does not hold.
        rule: &'static str,
    },
}

/// Why a repository was not unlocked.
#[derive(Debug, thiserror::Error)]
pub enum UnlockError {
    /// The key manifest is not to be used at all.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// There is no slot for this kind of credential.
    #[error("the repository has no slot of kind {kind}")]
    NoSlot {
        /// The credential's kind.
        kind: &'static str,
    },
    /// No slot opens with the credential.
    #[error("none of the {slots_tried} slots of kind {kind} opens with it")]
    WrongCredential {
        /// The credential's kind.
        kind: &'static str,
        /// How many slots were tried.
        slots_tried: usize,
    },
    /// No slot opened, and this one for another reason than a wrong credential.
    #[error("slot {} cannot be used", .slot_index + 1)]
    Slot {
        /// Its place in the manifest, from 0.
        slot_index: usize,
        /// The reason.
        source: SlotError,
    },
    /// A slot opened, but not the ring.
    #[error(transparent)]
    Ring(#[from] RingError),
}

/// What a credential gives: the owner's secrets, and the manifest that they came from.
pub struct Unlocked {
    /// The owner's secrets.
    pub ring: OwnerRing,
    /// The verified manifest.
    pub manifest: KeyManifest,
    /// The slot that opened, as long as it is there.
    pub slot: Option<FixedBytes<8>>,
    ring_key: RingKey,
}

/// The content of a key manifest, once its signature and everything in `expected` was checked.
///
/// # Errors
/// [`ManifestError`] for the first check that fails.
pub fn verify_manifest(signed: &SignedKeyManifest, expected: &Expected) -> Result<KeyManifest, ManifestError> {
    verify(derive::KEY_MANIFEST_SIGNATURE, &signed.manifest, &expected.owner, &signed.signature)
        .map_err(|_| ManifestError::WrongSignature)?;
    let manifest = KeyManifest::decode(&signed.manifest)?;
    if manifest.repository != expected.repository {
        return Err(ManifestError::OtherRepository { found: manifest.repository });
    }
    if manifest.config != expected.config {
        return Err(ManifestError::OtherConfig { found: manifest.config });
    }
    if manifest.generation < expected.generation_min {
        return Err(ManifestError::Stale { found: manifest.generation, known: expected.generation_min });
    }
    match manifest.generation {
        0 | u64::MAX => Err(ManifestError::Inconsistent { rule: "generations count from 1" }),
        first => match (first == 1) == manifest.previous.is_none() {
            true => Ok(manifest),
            false => Err(ManifestError::Inconsistent { rule: "every generation but the first names the previous" }),
        },
    }
}

/// Unlocks a repository: verifies the manifest, tries every slot of the credential's kind, opens the owner's ring
/// and checks that its management key is the owner's.
///
/// Each password slot costs what its parameters say; they are within bounds, and under the owner's signature.
///
/// # Errors
/// [`UnlockError`]; no secret is reached unless every check passes.
pub fn unlock(
    signed: &SignedKeyManifest,
    expected: &Expected,
    credential: &Credential<'_>,
) -> Result<Unlocked, UnlockError> {
    let manifest = verify_manifest(signed, expected)?;
    let (ring_key, slot) = ring_key(&manifest, credential, &expected.owner)?;
    let sealed = manifest.rings.iter().find(|ring| ring.role == OWNER).ok_or(RingError::Missing)?;
    let ring = OwnerRing::open(sealed, &ring_key, manifest.repository, manifest.generation)?;
    match ring.owner_public_key() == expected.owner {
        true => Ok(Unlocked { ring, ring_key, manifest, slot: Some(slot) }),
        false => Err(RingError::OtherOwner.into()),
    }
}

fn ring_key(
    manifest: &KeyManifest,
    credential: &Credential<'_>,
    owner: &FixedBytes<32>,
) -> Result<(RingKey, FixedBytes<8>), UnlockError> {
    let kind = credential.slot_kind();
    let mut slots_tried = 0;
    let mut obstacle = None;
    for (slot_index, slot) in manifest.slots.iter().enumerate() {
        match slot::open_slot(slot, manifest.repository, credential, owner) {
            Ok(opened) => return Ok(opened),
            Err(SlotError::NotThisKind { .. }) => continue,
            Err(SlotError::WrongCredential) => (),
            Err(source) => obstacle = obstacle.or(Some(UnlockError::Slot { slot_index, source })),
        }
        slots_tried += 1;
    }
    Err(match (obstacle, slots_tried) {
        (Some(obstacle), _) => obstacle,
        (None, 0) => UnlockError::NoSlot { kind },
        (None, _) => UnlockError::WrongCredential { kind, slots_tried },
    })
}

/// A key manifest in the making. [`KeyManifestDraft::finish`] signs it; dropping it changes nothing.
#[must_use = "a draft has no effect until it is finished and stored"]
pub struct KeyManifestDraft {
    repository: RepositoryId,
    generation: u64,
    previous: Option<ObjectId>,
    config: ObjectId,
    slots: Vec<Slot>,
    ring: OwnerRing,
    ring_key: RingKey,
    unlocked_by: Option<FixedBytes<8>>,
}

/// Why a key manifest was not made.
#[derive(Debug, thiserror::Error)]
pub enum DraftError {
    /// There is no slot with this id.
    #[error("there is no such slot")]
    UnknownSlot {
        /// The id.
        slot: FixedBytes<8>,
    },
    /// The change would leave no way to unlock.
    #[error("this is the last slot: without it nobody could unlock the repository")]
    LastSlot,
    /// There are as many slots as a key manifest holds.
    #[error("a repository has at most {} slots", limits::SLOTS_MAX)]
    TooManySlots,
    /// The manifest holds something that this version cannot carry over.
    #[error("the key manifest has a role {role}, which this version of Vellum does not know")]
    UnknownRole {
        /// The role.
        role: String,
    },
    /// A slot does not decode, so that it cannot be sealed anew.
    #[error("slot number {number} does not decode: it was made by a newer version of Vellum")]
    UnreadableSlot {
        /// Its place, counted from 1.
        number: usize,
    },
    /// A slot was not made or not sealed anew.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

impl Unlocked {
    /// Prepares the generation after this one, which stays usable; `previous` names the stored object of this one.
    ///
    /// # Errors
    /// [`DraftError::UnknownRole`] when the manifest holds rings or slots of roles that this version does not know,
    /// [`DraftError::UnreadableSlot`] when it holds a slot that does not decode.
    pub fn draft(&self, previous: ObjectId) -> Result<KeyManifestDraft, DraftError> {
        let Self { ring, ring_key, manifest, .. } = self;
        let role_of = |(number, slot)| match slot::header_of(slot) {
            Ok(header) => Ok(header.role),
            Err(_) => Err(DraftError::UnreadableSlot { number }),
        };
        let slot_roles = (1..).zip(&manifest.slots).map(role_of).collect::<Result<Vec<_>, _>>()?;
        let roles = manifest.rings.iter().map(|ring| ring.role.clone()).chain(slot_roles);
        if let Some(role) = roles.into_iter().find(|role| role != OWNER) {
            return Err(DraftError::UnknownRole { role });
        }
        Ok(KeyManifestDraft {
            repository: manifest.repository,
            generation: manifest.generation + 1,
            previous: Some(previous),
            config: manifest.config,
            slots: manifest.slots.clone(),
            ring: ring.duplicate(),
            ring_key: RingKey(crate::Secret::copy_of(ring_key.0.expose())),
            unlocked_by: self.slot,
        })
    }
}

impl KeyManifestDraft {
    /// Starts the first generation of a repository.
    ///
    /// # Errors
    /// [`RandomError`] when the operating system has no random numbers.
    pub fn first(repository: RepositoryId, config: ObjectId, ring: OwnerRing) -> Result<Self, RandomError> {
        let ring_key = RingKey::generate()?;
        Ok(Self {
            repository,
            generation: 1,
            previous: None,
            config,
            slots: Vec::new(),
            ring,
            ring_key,
            unlocked_by: None,
        })
    }

    /// The owner's secrets, for instance to start new epochs.
    pub fn ring_mut(&mut self) -> &mut OwnerRing {
        &mut self.ring
    }

    /// Names another config.
    pub fn set_config(&mut self, config: ObjectId) {
        self.config = config;
    }

    /// Adds a way to unlock and returns its id. `argon2id` is for passwords only; without it,
    /// [`crate::ARGON2ID_DEFAULT`].
    ///
    /// # Errors
    /// [`DraftError::TooManySlots`], or [`DraftError::Slot`] for a label or cost out of bounds.
    pub fn add_slot(
        &mut self,
        label: &str,
        created: Timestamp,
        credential: &Credential<'_>,
        argon2id: Option<Argon2idParameters>,
    ) -> Result<FixedBytes<8>, DraftError> {
        if self.slots.len() >= limits::SLOTS_MAX {
            return Err(DraftError::TooManySlots);
        }
        let owner = self.ring.owner_public_key();
        let leads_to = slot::LeadsTo { repository: self.repository, owner: &owner, ring_key: &self.ring_key };
        let slot = slot::create(&leads_to, label, created, credential, argon2id)?;
        let id = slot::header_of(&slot)?.slot;
        self.slots.push(slot);
        Ok(id)
    }

    /// Removes a way to unlock and rotates the ring key, so that a copy of the slot opens no later generation. What
    /// it could open before, whoever kept a copy can still open; see [`OwnerRing::start_epochs`] for what comes.
    ///
    /// # Errors
    /// [`DraftError::LastSlot`], [`DraftError::UnknownSlot`], or as [`KeyManifestDraft::rotate_ring_key`]; nothing is
    /// changed then.
    pub fn remove_slot(&mut self, slot: FixedBytes<8>) -> Result<(), DraftError> {
        let headers = self.slot_headers()?;
        let index = headers.iter().position(|header| header.slot == slot).ok_or(DraftError::UnknownSlot { slot })?;
        if self.slots.len() == 1 {
            return Err(DraftError::LastSlot);
        }
        let mut slots = self.slots.clone();
        slots.remove(index);
        self.seal_new_ring_key_to(&slots)
    }

    /// Adds a way to unlock, removes another one, and returns the id of the new one: a password change.
    ///
    /// # Errors
    /// As [`KeyManifestDraft::add_slot`] and [`KeyManifestDraft::remove_slot`].
    pub fn replace_slot(
        &mut self,
        old: FixedBytes<8>,
        label: &str,
        created: Timestamp,
        credential: &Credential<'_>,
        argon2id: Option<Argon2idParameters>,
    ) -> Result<FixedBytes<8>, DraftError> {
        if !self.slot_headers()?.iter().any(|header| header.slot == old) {
            return Err(DraftError::UnknownSlot { slot: old });
        }
        let new = self.add_slot(label, created, credential, argon2id)?;
        self.remove_slot(old)?;
        Ok(new)
    }

    /// Seals a new ring key to every slot. Nobody has to present a credential.
    ///
    /// # Errors
    /// [`DraftError::Slot`] when a slot has no usable public key, [`DraftError::Random`]; nothing is changed then.
    pub fn rotate_ring_key(&mut self) -> Result<(), DraftError> {
        self.seal_new_ring_key_to(&self.slots.clone())
    }

    fn seal_new_ring_key_to(&mut self, slots: &[Slot]) -> Result<(), DraftError> {
        let ring_key = RingKey::generate()?;
        self.slots = slots.iter().map(|slot| slot::reseal(slot, &ring_key)).collect::<Result<_, _>>()?;
        self.ring_key = ring_key;
        Ok(())
    }

    /// The headers of the slots as they stand.
    ///
    /// # Errors
    /// [`DraftError::Slot`] when one does not decode.
    pub fn slot_headers(&self) -> Result<Vec<SlotHeader>, DraftError> {
        Ok(self.slots.iter().map(slot::header_of).collect::<Result<_, _>>()?)
    }

    /// Seals the ring, signs the manifest, and returns it with what it unlocks to.
    ///
    /// # Errors
    /// [`DraftError::LastSlot`] when there is no slot, [`DraftError::Random`].
    pub fn finish(self) -> Result<(SignedKeyManifest, Unlocked), DraftError> {
        let Self { repository, generation, previous, config, slots, ring, ring_key, unlocked_by } = self;
        if slots.is_empty() {
            return Err(DraftError::LastSlot);
        }
        let rings = vec![ring.seal(&ring_key, repository, generation)?];
        let manifest = KeyManifest { repository, generation, previous, config, slots, rings };
        let bytes = manifest.encode();
        let signature = ring.sign(derive::KEY_MANIFEST_SIGNATURE, &bytes);
        let ids = manifest.slots.iter().map(|slot| slot::header_of(slot).map(|header| header.slot));
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        let slot = unlocked_by.filter(|slot| ids.contains(slot));
        Ok((SignedKeyManifest { manifest: Bytes(bytes), signature }, Unlocked { ring, ring_key, manifest, slot }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeyFile;

    const REPOSITORY: RepositoryId = RepositoryId::from_bytes([1; 16]);
    const NOW: Timestamp = Timestamp { seconds: 1, nanoseconds: 2 };

    fn expected(owner: FixedBytes<32>) -> Expected {
        Expected { repository: REPOSITORY, owner, config: ObjectId::of(b"config"), generation_min: 0 }
    }

    fn born(credential: &Credential<'_>) -> (SignedKeyManifest, Unlocked) {
        let ring = OwnerRing::generate(&["private"]).unwrap();
        let mut draft = KeyManifestDraft::first(REPOSITORY, ObjectId::of(b"config"), ring).unwrap();
        draft.add_slot("first", NOW, credential, None).unwrap();
        draft.finish().unwrap()
    }

    fn signed(manifest: &KeyManifest, ring: &OwnerRing) -> SignedKeyManifest {
        let bytes = manifest.encode();
        let signature = ring.sign(derive::KEY_MANIFEST_SIGNATURE, &bytes);
        SignedKeyManifest { manifest: Bytes(bytes), signature }
    }

    #[test]
    fn the_old_ring_key_does_not_open_the_new_ring() {
        let (keep, drop) = (KeyFile::generate().unwrap(), KeyFile::generate().unwrap());
        let (first, unlocked) = born(&Credential::KeyFile(&drop));
        let old_ring_key = RingKey(crate::Secret::copy_of(unlocked.ring_key.0.expose()));
        let mut draft = unlocked.draft(ObjectId::of(&first.encode())).unwrap();
        let dropped = draft.slot_headers().unwrap()[0].slot;
        draft.add_slot("keep", NOW, &Credential::KeyFile(&keep), None).unwrap();
        draft.remove_slot(dropped).unwrap();
        let (_, unlocked) = draft.finish().unwrap();
        let sealed = &unlocked.manifest.rings[0];
        assert_eq!(OwnerRing::open(sealed, &old_ring_key, REPOSITORY, 2).err(), Some(RingError::DoesNotOpen));
        assert!(OwnerRing::open(sealed, &unlocked.ring_key, REPOSITORY, 2).is_ok());
    }

    #[test]
    fn slots_and_ring_of_one_owner_under_the_signature_of_another_are_refused() {
        let key = KeyFile::generate().unwrap();
        let (_, victim) = born(&Credential::KeyFile(&key));
        let thief = OwnerRing::generate(&["private"]).unwrap();
        let forged = signed(&victim.manifest, &thief);
        let error = unlock(&forged, &expected(thief.owner_public_key()), &Credential::KeyFile(&key)).err();
        assert!(matches!(error, Some(UnlockError::Slot { source: SlotError::OtherOwner, .. })));
    }

    #[test]
    fn one_bad_slot_does_not_hide_a_good_one_and_is_named_otherwise() {
        let (key, other) = (KeyFile::generate().unwrap(), KeyFile::generate().unwrap());
        let credential = Credential::KeyFile(&key);
        let (_, mut unlocked) = born(&credential);
        let expected = expected(unlocked.ring.owner_public_key());
        let mut bad = unlocked.manifest.slots[0].clone();
        bad.sealed_ring_key.0[0] ^= 1;
        unlocked.manifest.slots.insert(0, bad);
        unlocked.manifest.slots.insert(0, Slot { header: Bytes(vec![1]), ..unlocked.manifest.slots[0].clone() });
        let opened = unlock(&signed(&unlocked.manifest, &unlocked.ring), &expected, &credential).unwrap();
        let refused = opened.draft(ObjectId::of(b"previous")).err();
        assert!(matches!(refused, Some(DraftError::UnreadableSlot { number: 1 })), "keys are not changed without it");
        unlocked.manifest.slots.remove(0);
        unlocked.manifest.slots.pop();
        let error = unlock(&signed(&unlocked.manifest, &unlocked.ring), &expected, &credential).err();
        assert!(matches!(error, Some(UnlockError::Slot { slot_index: 0, source: SlotError::Damaged })));
        let error = unlock(&signed(&unlocked.manifest, &unlocked.ring), &expected, &Credential::KeyFile(&other)).err();
        assert!(matches!(error, Some(UnlockError::WrongCredential { slots_tried: 1, .. })));
    }

    #[test]
    fn generations_and_their_predecessors_agree() {
        let (_, unlocked) = born(&Credential::KeyFile(&KeyFile::generate().unwrap()));
        let expected = expected(unlocked.ring.owner_public_key());
        let check = |generation, previous| {
            let manifest = KeyManifest { generation, previous, ..unlocked.manifest.clone() };
            verify_manifest(&signed(&manifest, &unlocked.ring), &expected).is_ok()
        };
        let some = Some(ObjectId::of(b"previous"));
        assert!(check(1, None) && check(2, some));
        assert!(!check(1, some) && !check(2, None) && !check(0, None) && !check(u64::MAX, some));
    }
}
