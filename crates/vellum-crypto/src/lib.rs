//! Keys, keyed names, sealing and opening for a Vellum repository, as `docs/FORMAT.md` describes them.
//!
//! This crate hides one decision: which primitives protect what, and under which labels. It does no I/O but for the
//! operating system's random numbers, chooses no object name, and decodes nothing that it has not authenticated
//! except the clear headers it is told to open.
//!
//! Notation of the comments: `KH` keyed BLAKE3, `KX` its extended output, `DK` BLAKE3's `derive_key`, `enc(a, b, …)`
//! every part after its length as `u32` little-endian.

#![forbid(unsafe_code)]

mod credential;
mod crockford;
mod derive;
mod device;
#[cfg(test)]
mod frozen;
mod head_code;
mod keys;
mod manifest;
mod pack_key;
mod random;
mod ring;
mod seal;
mod secret;
mod signature;
mod slot;

pub use credential::{Credential, KeyFile, ParseKeyFileError, ParseRecoveryKeyError, RecoveryKey};
pub use device::{DeviceKey, RecordError, SignedCertificate, verify_snapshot, verify_tombstone};
pub use head_code::{HeadCode, ParseHeadCodeError};
pub use keys::{ChunkHasher, DedupKeys, EpochKeys, RecordKind};
pub use manifest::{
    DraftError, Expected, KeyManifestDraft, ManifestError, UnlockError, Unlocked, unlock, verify_manifest,
};
pub use pack_key::{FRAME_AD_BYTES, PackKey, WrapError, frame_ad, frame_salt};
pub use random::{RandomError, random_array};
use ring::RingKey;
pub use ring::{OwnerRing, RingError};
pub use seal::{OpenError, SEAL_OVERHEAD_BYTES, open, open_into, seal_into};
pub use secret::Secret;
pub use signature::fingerprint;
pub use slot::{ARGON2ID_DEFAULT, SLOT_LABEL_LEN_BYTES_MAX, SlotError};
