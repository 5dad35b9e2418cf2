//! Slots: how a credential gives the ring key.
//!
//! A credential gives a seed of 32 bytes, the seed is the private key of X-Wing (draft-connolly-cfrg-xwing-kem), and
//! the ring key is sealed to the public key: HPKE (RFC 9180) in base mode with HKDF-SHA256, export only,
//! `info` = the slot's header, and the committing AEAD under the exported secret. So a new ring key is sealed to
//! every slot without any credential, and one ciphertext cannot be made that opens under many passwords.

use crate::derive::{self, label};
use crate::ring::OWNER;
use crate::{Credential, RandomError, RingKey, Secret, open, seal_into};
use argon2::{Algorithm, Argon2, Params, Version};
use hpke::aead::ExportOnlyAead;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem, XWing};
use hpke::rand_core::{Infallible, TryCryptoRng, TryRng};
use hpke::{Deserializable, OpModeR, OpModeS, Serializable};
use std::ops::RangeInclusive;
use vellum_format::key_manifest::{Argon2idParameters, Slot, SlotHeader};
use vellum_format::snapshot::Timestamp;
use vellum_format::{Bytes, FixedBytes, FormatError, RepositoryId};
use zeroize::Zeroizing;

type PublicKey = <XWing as Kem>::PublicKey;
type PrivateKey = <XWing as Kem>::PrivateKey;

/// What a new password slot costs to open unless the caller says otherwise: about a second and 256 MiB.
pub const ARGON2ID_DEFAULT: Argon2idParameters = Argon2idParameters { memory_kib: 256 << 10, passes: 3, lanes: 4 };

/// Bytes of a slot's label at most.
pub const SLOT_LABEL_LEN_BYTES_MAX: usize = 256;

/// The bounds within which parameters from storage are followed: below, a guess is too cheap; above, opening would
/// exhaust the machine.
const MEMORY_KIB: RangeInclusive<u32> = 64 << 10..=4 << 20;
const PASSES: RangeInclusive<u32> = 3..=16;
const LANES: RangeInclusive<u32> = 1..=16;

/// HPKE's `info` is limited to 64 KiB; no slot header of ours comes near this.
const HEADER_LEN_BYTES_MAX: usize = 4096;
const ENCAPSULATION_RANDOM_BYTES: usize = 64;

/// Why a slot was not made or not opened.
#[derive(Debug, thiserror::Error)]
pub enum SlotError {
    /// The slot was made for another owner: the storage holds a forged repository in the place of the right one.
    #[error("the slot was made for another owner: somebody has replaced this repository")]
    OtherOwner,
    /// The slot is for another kind of credential.
    #[error("the slot is of kind {kind}")]
    NotThisKind {
        /// Its kind.
        kind: String,
    },
    /// The credential is not the slot's.
    #[error("the slot does not open with this credential")]
    WrongCredential,
    /// Cost parameters out of bounds; nothing was computed with them.
    #[error(
        "Argon2id with {} KiB, {} passes and {} lanes is out of bounds",
        .0.memory_kib, .0.passes, .0.lanes
    )]
    ParametersRefused(Argon2idParameters),
    /// The header does not decode.
    #[error("the slot's header is malformed")]
    Header(#[from] FormatError),
    /// The slot breaks a rule.
    #[error("the slot is malformed: {rule}")]
    Malformed {
        /// The rule that does not hold.
        rule: &'static str,
    },
    /// The credential is right, but the slot was changed after it was made.
    #[error("the credential is right, but the slot was changed after it was made")]
    Damaged,
    /// No memory for Argon2id.
    #[error("not enough memory: opening this slot takes {memory_kib} KiB")]
    OutOfMemory {
        /// What it takes.
        memory_kib: u32,
    },
    /// A label longer than [`SLOT_LABEL_LEN_BYTES_MAX`].
    #[error("the label has {len_bytes} bytes, more than {SLOT_LABEL_LEN_BYTES_MAX}")]
    LabelTooLong {
        /// Its length.
        len_bytes: usize,
    },
    /// No randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// What a slot leads to, and for whom.
#[derive(Clone, Copy)]
pub(crate) struct LeadsTo<'a> {
    pub(crate) repository: RepositoryId,
    pub(crate) owner: &'a FixedBytes<32>,
    pub(crate) ring_key: &'a RingKey,
}

/// Makes a slot that gives `ring_key` for `credential`; `argon2id` is what a password slot costs to open.
pub(crate) fn create(
    leads_to: &LeadsTo<'_>,
    label: &str,
    created: Timestamp,
    credential: &Credential<'_>,
    argon2id: Option<Argon2idParameters>,
) -> Result<Slot, SlotError> {
    let LeadsTo { repository, owner, ring_key } = *leads_to;
    if label.len() > SLOT_LABEL_LEN_BYTES_MAX {
        return Err(SlotError::LabelTooLong { len_bytes: label.len() });
    }
    let password = matches!(credential, Credential::Password(_));
    let mut header = SlotHeader {
        repository,
        slot: FixedBytes(crate::random_array()?),
        kind: credential.slot_kind().to_owned(),
        role: OWNER.to_owned(),
        label: label.to_owned(),
        created,
        argon2id: password.then(|| argon2id.unwrap_or(ARGON2ID_DEFAULT)),
        salt: FixedBytes(crate::random_array()?),
        public_key: Bytes(Vec::new()),
        owner_proof: FixedBytes([0; 32]),
    };
    let seed = seed(&header, credential)?;
    let public_key = XWing::sk_to_pk(&private_key(&seed));
    header.owner_proof = FixedBytes(owner_proof(&seed, repository, owner));
    header.public_key = Bytes(public_key.to_bytes().to_vec());
    seal_to(&header.encode(), &public_key, ring_key, &crate::random_array()?)
}

/// The ring key of a slot, and the slot's id.
pub(crate) fn open_slot(
    slot: &Slot,
    repository: RepositoryId,
    credential: &Credential<'_>,
    owner: &FixedBytes<32>,
) -> Result<(RingKey, FixedBytes<8>), SlotError> {
    let header = header_of(slot)?;
    if header.repository != repository {
        return Err(SlotError::Malformed { rule: "a slot belongs to its repository" });
    }
    let seed = seed(&header, credential)?;
    let private_key = private_key(&seed);
    if XWing::sk_to_pk(&private_key).to_bytes()[..] != header.public_key[..] {
        return Err(SlotError::WrongCredential);
    }
    // I8: everything else in the manifest follows from the owner's key, so this comes before anything is opened.
    if Secret::copy_of(&header.owner_proof.0) != Secret::copy_of(&owner_proof(&seed, repository, owner)) {
        return Err(SlotError::OtherOwner);
    }
    Ok((open_with(slot, &private_key)?, header.slot))
}

/// The same slot for another ring key; it opens with the same credential, which is not needed. The slot must come
/// from a verified key manifest: a forged one would give the key to its forger.
pub(crate) fn reseal(slot: &Slot, ring_key: &RingKey) -> Result<Slot, SlotError> {
    let public_key = PublicKey::from_bytes(&header_of(slot)?.public_key)
        .map_err(|_| SlotError::Malformed { rule: "its public key is one of X-Wing" })?;
    seal_to(&slot.header, &public_key, ring_key, &crate::random_array()?)
}

/// `KH(DK("slot-owner", seed), repository ‖ owner)`: only who knows the slot's secret can say who the owner is.
pub(crate) fn owner_proof(seed: &Secret<32>, repository: RepositoryId, owner: &FixedBytes<32>) -> [u8; 32] {
    let key = derive::derive_key(derive::SLOT_OWNER, &[seed.expose()]);
    derive::keyed_hash(&key, &[repository.as_bytes(), &owner.0])
}

/// The decoded header of a slot.
pub(crate) fn header_of(slot: &Slot) -> Result<SlotHeader, SlotError> {
    match slot.header.len() <= HEADER_LEN_BYTES_MAX {
        true => Ok(SlotHeader::decode(&slot.header)?),
        false => Err(SlotError::Malformed { rule: "a header has at most 4 KiB" }),
    }
}

pub(crate) fn seed(header: &SlotHeader, credential: &Credential<'_>) -> Result<Secret<32>, SlotError> {
    if header.kind != credential.slot_kind() {
        return Err(SlotError::NotThisKind { kind: header.kind.clone() });
    }
    match (credential, header.argon2id) {
        (Credential::Password(password), Some(parameters)) => password_seed(password, &header.salt.0, parameters),
        (Credential::KeyFile(key), None) => Ok(key.seed(&header.salt.0)),
        (Credential::RecoveryKey(key), None) => Ok(key.seed(header.repository)),
        _ => Err(SlotError::Malformed { rule: "password slots and no others have a cost" }),
    }
}

/// Argon2id version 1.3 (RFC 9106) of a password.
fn password_seed(password: &[u8], salt: &[u8; 32], parameters: Argon2idParameters) -> Result<Secret<32>, SlotError> {
    let Argon2idParameters { memory_kib, passes, lanes } = parameters;
    if !(MEMORY_KIB.contains(&memory_kib) && PASSES.contains(&passes) && LANES.contains(&lanes)) {
        return Err(SlotError::ParametersRefused(parameters));
    }
    let cost =
        Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| SlotError::ParametersRefused(parameters))?;
    let mut outcome = Ok(());
    let seed = Secret::filled_by(|seed| {
        outcome = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost).hash_password_into(password, salt, seed);
    });
    match outcome {
        Ok(()) => Ok(seed),
        Err(argon2::Error::OutOfMemory) => Err(SlotError::OutOfMemory { memory_kib }),
        Err(_) => Err(SlotError::Malformed { rule: "Argon2id takes the password" }),
    }
}

fn private_key(seed: &Secret<32>) -> PrivateKey {
    PrivateKey::from_bytes(seed.expose()).expect("an X-Wing private key is any 32 bytes")
}

fn seal_to(
    header: &[u8],
    public_key: &PublicKey,
    ring_key: &RingKey,
    random: &[u8; ENCAPSULATION_RANDOM_BYTES],
) -> Result<Slot, SlotError> {
    let mut random = Drawn(random);
    let (encapsulated, context) = hpke::setup_sender_with_rng::<ExportOnlyAead, HkdfSha256, XWing>(
        &OpModeS::Base,
        public_key,
        header,
        &mut random,
    )
    .map_err(|_| SlotError::Malformed { rule: "its public key takes an encapsulation" })?;
    let export =
        Secret::filled_by(|out| context.export(label::SLOT.as_bytes(), out).expect("32 bytes are not too long"));
    let mut sealed = Vec::new();
    seal_into(&export, label::SLOT, b"", header, ring_key.0.expose(), &mut sealed);
    Ok(Slot {
        header: Bytes(header.to_vec()),
        encapsulated: Bytes(encapsulated.to_bytes().to_vec()),
        sealed_ring_key: Bytes(sealed),
    })
}

fn open_with(slot: &Slot, private_key: &PrivateKey) -> Result<RingKey, SlotError> {
    let encapsulated = <XWing as Kem>::EncappedKey::from_bytes(&slot.encapsulated)
        .map_err(|_| SlotError::Malformed { rule: "the encapsulation has 1120 bytes" })?;
    let context = hpke::setup_receiver::<ExportOnlyAead, HkdfSha256, XWing>(
        &OpModeR::Base,
        private_key,
        &encapsulated,
        &slot.header,
    )
    .map_err(|_| SlotError::Damaged)?;
    let export =
        Secret::filled_by(|out| context.export(label::SLOT.as_bytes(), out).expect("32 bytes are not too long"));
    let opened = open(&export, label::SLOT, b"", &slot.header, &slot.sealed_ring_key);
    let opened = Zeroizing::new(opened.map_err(|_| SlotError::Damaged)?);
    let key = opened.as_slice().try_into().map_err(|_| SlotError::Malformed { rule: "a ring key has 32 bytes" })?;
    Ok(RingKey(Secret::copy_of(key)))
}

/// Random bytes that were drawn before, because HPKE's own way to them panics when there are none.
struct Drawn<'a>(&'a [u8]);

impl TryRng for Drawn<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let (drawn, rest) = self.0.split_at_checked(out.len()).expect("X-Wing takes exactly 64 random bytes");
        out.copy_from_slice(drawn);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Drawn<'_> {}

#[cfg(test)]
pub(crate) use tests::{public_key_of, seal_with};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyFile, RecoveryKey};

    const REPOSITORY: RepositoryId = RepositoryId::from_bytes([1; 16]);
    const NOW: Timestamp = Timestamp { seconds: 1, nanoseconds: 2 };

    pub(crate) fn public_key_of(seed: &Secret<32>) -> Vec<u8> {
        XWing::sk_to_pk(&private_key(seed)).to_bytes().to_vec()
    }

    pub(crate) fn seal_with(
        header: &[u8],
        seed: &Secret<32>,
        ring_key: &RingKey,
        random: &[u8; ENCAPSULATION_RANDOM_BYTES],
    ) -> Result<Slot, SlotError> {
        seal_to(header, &XWing::sk_to_pk(&private_key(seed)), ring_key, random)
    }

    const OWNER_KEY: FixedBytes<32> = FixedBytes([7; 32]);

    fn slot(credential: &Credential<'_>) -> (Slot, RingKey) {
        let ring_key = RingKey::generate().unwrap();
        let leads_to = LeadsTo { repository: REPOSITORY, owner: &OWNER_KEY, ring_key: &ring_key };
        (create(&leads_to, "label", NOW, credential, None).unwrap(), ring_key)
    }

    fn with_header(slot: &Slot, change: impl FnOnce(&mut SlotHeader)) -> Slot {
        let mut header = header_of(slot).unwrap();
        change(&mut header);
        Slot { header: Bytes(header.encode()), ..slot.clone() }
    }

    #[test]
    fn the_kem_is_x_wing() {
        let text = include_str!("../tests-data/x-wing.txt");
        let field = |name: &str| {
            let hex = text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim();
            (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..][..2], 16).unwrap()).collect::<Vec<_>>()
        };
        let seed = Secret::copy_of(&field("seed ").try_into().unwrap());
        assert_eq!(public_key_of(&seed), field("pk "));
        let random = field("eseed ").try_into().unwrap();
        let slot = seal_with(b"header", &seed, &RingKey(Secret::copy_of(&[1; 32])), &random).unwrap();
        assert_eq!(*slot.encapsulated, field("ct "));
    }

    #[test]
    fn a_slot_opens_only_for_the_owner_it_was_made_for() {
        let recovery = RecoveryKey::generate().unwrap();
        let credential = Credential::RecoveryKey(&recovery);
        let (slot, _) = slot(&credential);
        // A forger knows the clear header with its public key, and seals a ring key of his own to it.
        let forged = reseal(&slot, &RingKey::generate().unwrap()).unwrap();
        let forger = FixedBytes([66; 32]);
        assert!(matches!(open_slot(&forged, REPOSITORY, &credential, &forger), Err(SlotError::OtherOwner)));
        let claimed = with_header(&forged, |header| header.owner_proof = FixedBytes([0; 32]));
        assert!(matches!(open_slot(&claimed, REPOSITORY, &credential, &forger), Err(SlotError::OtherOwner)));
    }

    #[test]
    fn a_new_ring_key_opens_with_the_old_credential() {
        let recovery = RecoveryKey::generate().unwrap();
        let credential = Credential::RecoveryKey(&recovery);
        let (old_slot, old_key) = slot(&credential);
        let new_key = RingKey::generate().unwrap();
        let new_slot = reseal(&old_slot, &new_key).unwrap();
        assert_eq!(new_slot.header, old_slot.header);
        assert!(new_slot.encapsulated != old_slot.encapsulated);
        assert!(open_slot(&old_slot, REPOSITORY, &credential, &OWNER_KEY).unwrap().0.0 == old_key.0);
        assert!(open_slot(&new_slot, REPOSITORY, &credential, &OWNER_KEY).unwrap().0.0 == new_key.0);
        let mixed = Slot { encapsulated: old_slot.encapsulated, ..new_slot };
        assert!(matches!(open_slot(&mixed, REPOSITORY, &credential, &OWNER_KEY), Err(SlotError::Damaged)));
    }

    #[test]
    fn every_changed_or_missing_byte_is_refused() {
        let key = KeyFile::generate().unwrap();
        let credential = Credential::KeyFile(&key);
        let (slot, _) = slot(&credential);
        let parts: [fn(&mut Slot) -> &mut Vec<u8>; 3] =
            [|slot| &mut slot.header.0, |slot| &mut slot.encapsulated.0, |slot| &mut slot.sealed_ring_key.0];
        for part in parts {
            for at in 0..part(&mut slot.clone()).len() {
                let mut changed = slot.clone();
                part(&mut changed)[at] ^= 1 << (at % 8);
                assert!(open_slot(&changed, REPOSITORY, &credential, &OWNER_KEY).is_err(), "{at}");
                let mut cut = slot.clone();
                part(&mut cut).truncate(at);
                assert!(open_slot(&cut, REPOSITORY, &credential, &OWNER_KEY).is_err(), "{at}");
            }
        }
        // X25519's half set to zero: X-Wing does not refuse it, the seal does.
        let mut zeroed = slot.clone();
        zeroed.encapsulated.0[1088..].fill(0);
        assert!(matches!(open_slot(&zeroed, REPOSITORY, &credential, &OWNER_KEY), Err(SlotError::Damaged)));
    }

    #[test]
    fn a_header_is_bound_even_where_the_seed_is_not() {
        let key = KeyFile::generate().unwrap();
        let credential = Credential::KeyFile(&key);
        let (slot, ring_key) = slot(&credential);
        let error = |slot: &Slot| open_slot(slot, REPOSITORY, &credential, &OWNER_KEY).err();
        let renamed = with_header(&slot, |header| header.label = "other".to_owned());
        assert!(matches!(error(&renamed), Some(SlotError::Damaged)));
        let promoted = with_header(&slot, |header| header.role = "reader".to_owned());
        assert!(matches!(error(&promoted), Some(SlotError::Damaged)));
        let salted = with_header(&slot, |header| header.salt.0[0] ^= 1);
        assert!(matches!(error(&salted), Some(SlotError::WrongCredential)));
        let carried = with_header(&slot, |header| header.repository = RepositoryId::from_bytes([2; 16]));
        assert!(matches!(error(&carried), Some(SlotError::Malformed { .. })));
        let other_kind = with_header(&slot, |header| header.kind = "fido2".to_owned());
        assert!(matches!(error(&other_kind), Some(SlotError::NotThisKind { kind }) if kind == "fido2"));
        let no_point = with_header(&slot, |header| header.public_key.0.truncate(1215));
        assert!(matches!(reseal(&no_point, &ring_key), Err(SlotError::Malformed { .. })));
        let huge = with_header(&slot, |header| header.label = "x".repeat(1 << 17));
        assert!(matches!(error(&huge), Some(SlotError::Malformed { .. })));
        assert!(matches!(reseal(&huge, &ring_key), Err(SlotError::Malformed { .. })));
    }

    #[test]
    fn stored_costs_out_of_bounds_are_refused() {
        let key = KeyFile::generate().unwrap();
        let (slot, _) = slot(&Credential::KeyFile(&key));
        let error = |memory_kib, passes, lanes| {
            let cost = Argon2idParameters { memory_kib, passes, lanes };
            let slot = with_header(&slot, |header| {
                header.kind = "password".to_owned();
                header.argon2id = Some(cost);
            });
            match open_slot(&slot, REPOSITORY, &Credential::Password(b"x"), &OWNER_KEY) {
                Err(SlotError::ParametersRefused(refused)) => assert_eq!(refused, cost),
                other => panic!("{:?}", other.err()),
            }
        };
        error((64 << 10) - 1, 3, 4);
        error((4 << 20) + 1, 3, 4);
        error(u32::MAX, 3, 4);
        error(64 << 10, 2, 4);
        error(64 << 10, 17, 4);
        error(64 << 10, 3, 0);
        error(64 << 10, 3, 17);
        let uncosted = with_header(&slot, |header| header.kind = "password".to_owned());
        let refused = open_slot(&uncosted, REPOSITORY, &Credential::Password(b"x"), &OWNER_KEY).err();
        assert!(matches!(refused, Some(SlotError::Malformed { .. })));
    }
}
