//! Ed25519 (RFC 8032) over a labelled hash of exact bytes.

use crate::derive::{Context, derive_hash};
use crate::{RandomError, Secret, crockford};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use vellum_format::FixedBytes;

/// The signature is not that key's over these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WrongSignature;

/// A private key and the public key that belongs to it.
pub(crate) struct KeyPair {
    seed: Secret<32>,
    public_key: FixedBytes<32>,
}

impl KeyPair {
    pub(crate) fn generate() -> Result<Self, RandomError> {
        Secret::random().map(Self::from_seed)
    }

    pub(crate) fn from_seed(seed: Secret<32>) -> Self {
        let public_key = FixedBytes(SigningKey::from_bytes(seed.expose()).verifying_key().to_bytes());
        Self { seed, public_key }
    }

    pub(crate) fn seed(&self) -> &Secret<32> {
        &self.seed
    }

    pub(crate) fn public_key(&self) -> FixedBytes<32> {
        self.public_key
    }

    /// Signs `DK(context, message)`, so that a signature over one kind of message is worth nothing for another.
    pub(crate) fn sign(&self, context: Context, message: &[u8]) -> FixedBytes<64> {
        let key = SigningKey::from_bytes(self.seed.expose());
        FixedBytes(key.sign(&derive_hash(context, message)).to_bytes())
    }
}

/// Checks what [`KeyPair::sign`] made, strictly: weak keys and malleable signatures are refused too.
pub(crate) fn verify(
    context: Context,
    message: &[u8],
    public_key: &FixedBytes<32>,
    signature: &FixedBytes<64>,
) -> Result<(), WrongSignature> {
    let hash = derive_hash(context, message);
    let claim = (public_key.0, hash, signature.0);
    if lock(&HELD).contains(&claim) {
        return Ok(());
    }
    let key = VerifyingKey::from_bytes(&public_key.0).map_err(|_| WrongSignature)?;
    key.verify_strict(&hash, &Signature::from_bytes(&signature.0)).map_err(|_| WrongSignature)?;
    let mut held = lock(&HELD);
    if held.len() >= HELD_MAX {
        held.clear();
    }
    held.insert(claim);
    Ok(())
}

/// A key, the labelled hash of a message, and a signature.
type Claim = ([u8; 32], [u8; 32], [u8; 64]);

/// Signatures that held: a device's certificate is in each of its records, and commands read records more than once.
static HELD: Mutex<BTreeSet<Claim>> = Mutex::new(BTreeSet::new());

/// After so many they are forgotten; they take half a megabyte.
const HELD_MAX: usize = 4096;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What people compare to be sure of an owner: 20 symbols of `KH(0, public key)` in groups of four.
#[must_use]
pub fn fingerprint(owner_public_key: &FixedBytes<32>) -> String {
    let hash = blake3::keyed_hash(&[0; 32], &owner_public_key.0);
    let mut text = String::new();
    crockford::push_grouped((0..20).map(|index| crockford::value_at(hash.as_bytes(), index)), &mut text);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::{KEY_MANIFEST_SIGNATURE, SNAPSHOT_SIGNATURE};

    #[test]
    fn a_signature_is_for_one_key_one_message_and_one_purpose() {
        let pair = KeyPair::generate().unwrap();
        let signature = pair.sign(SNAPSHOT_SIGNATURE, b"message");
        let check = |context, message: &[u8], key| verify(context, message, &key, &signature);
        assert_eq!(check(SNAPSHOT_SIGNATURE, b"message", pair.public_key()), Ok(()));
        assert_eq!(check(SNAPSHOT_SIGNATURE, b"massage", pair.public_key()), Err(WrongSignature));
        assert_eq!(check(KEY_MANIFEST_SIGNATURE, b"message", pair.public_key()), Err(WrongSignature));
        let other = KeyPair::generate().unwrap().public_key();
        assert_eq!(check(SNAPSHOT_SIGNATURE, b"message", other), Err(WrongSignature));
    }

    #[test]
    fn what_held_holds_again_and_nothing_like_it() {
        let pair = KeyPair::generate().unwrap();
        let signature = pair.sign(SNAPSHOT_SIGNATURE, b"message");
        let check = |message: &[u8], signature| verify(SNAPSHOT_SIGNATURE, message, &pair.public_key(), &signature);
        assert_eq!([check(b"message", signature), check(b"message", signature)], [Ok(()); 2]);
        assert_eq!(check(b"massage", signature), Err(WrongSignature));
        for at in 0..64 {
            let mut other = signature;
            other.0[at] ^= 1;
            assert_eq!(check(b"message", other), Err(WrongSignature), "byte {at}");
        }
    }

    #[test]
    fn the_weak_key_that_accepts_every_message_is_refused() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let mut signature = [0; 64];
        signature[0] = 1;
        let lenient = VerifyingKey::from_bytes(&neutral).unwrap();
        let message = derive_hash(SNAPSHOT_SIGNATURE, b"message");
        assert!(ed25519_dalek::Verifier::verify(&lenient, &message, &Signature::from_bytes(&signature)).is_ok());
        let strict = verify(SNAPSHOT_SIGNATURE, b"message", &FixedBytes(neutral), &FixedBytes(signature));
        assert_eq!(strict, Err(WrongSignature));
    }
}
