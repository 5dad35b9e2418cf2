//! The committing AEAD that seals everything: `commitment ‖ ciphertext ‖ tag`.
//!
//! ```text
//! t                  = enc(label, salt, ad, length of the plaintext as u64)
//! key ‖ nonce ‖ com  = KX(K, t), 32 ‖ 12 ‖ 32 bytes
//! ciphertext ‖ tag   = AES-256-GCM-SIV(key, nonce, aad = com, plaintext)
//! ```
//!
//! AES-GCM-SIV (RFC 8452) alone does not commit to its key: one ciphertext can open under several (Schmieg,
//! "Invisible Salamanders in AES-GCM-SIV", 2020; Len, Grubbs, Ristenpart, "Partitioning Oracle Attacks", 2021). The
//! commitment binds key, label, salt and associated data by BLAKE3's collision resistance. No nonce is stored,
//! counted or chosen, so no state can be rolled back to repeat one.

use crate::Secret;
use crate::derive::length_prefix;
use aes_gcm_siv::{AeadInOut, Aes256GcmSiv, KeyInit, Nonce, Tag};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 12;
const COMMITMENT_LEN: usize = 32;
const TAG_LEN: usize = 16;

/// How much longer a sealed message is than its plaintext, in bytes.
pub const SEAL_OVERHEAD_BYTES: usize = COMMITMENT_LEN + TAG_LEN;

/// The sealed message does not open: another key, label, salt or associated data, or changed bytes. There is no
/// saying which, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the seal does not open: another key, or changed bytes")]
pub struct OpenError;

/// Appends the sealed `plaintext` to `out`: [`SEAL_OVERHEAD_BYTES`] more than it has.
///
/// Equal inputs give equal output. `salt` and `ad` are not stored; whoever opens must know them.
pub fn seal_into(key: &Secret<32>, label: &str, salt: &[u8], ad: &[u8], plaintext: &[u8], out: &mut Vec<u8>) {
    let keys = MessageKeys::derive(key, label, salt, ad, plaintext.len());
    out.reserve(plaintext.len() + SEAL_OVERHEAD_BYTES);
    out.extend_from_slice(keys.commitment());
    let start = out.len();
    out.extend_from_slice(plaintext);
    let tag = keys
        .cipher()
        .encrypt_inout_detached(keys.nonce(), keys.commitment(), (&mut out[start..]).into())
        .expect("no plaintext reaches the 64 GiB that RFC 8452 allows");
    out.extend_from_slice(&tag);
}

/// The plaintext of a sealed message.
///
/// # Errors
/// [`OpenError`] for whatever reason it does not open.
pub fn open(key: &Secret<32>, label: &str, salt: &[u8], ad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
    let mut plaintext = Vec::new();
    open_into(key, label, salt, ad, sealed, &mut plaintext)?;
    Ok(plaintext)
}

/// Replaces the content of `out` by the plaintext of a sealed message, reusing its allocation.
///
/// # Errors
/// [`OpenError`] for whatever reason it does not open; then `out` is empty, and wiped if anything was decrypted.
pub fn open_into(
    key: &Secret<32>,
    label: &str,
    salt: &[u8],
    ad: &[u8],
    sealed: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), OpenError> {
    out.clear();
    let (commitment, rest) = sealed.split_first_chunk::<COMMITMENT_LEN>().ok_or(OpenError)?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG_LEN>().ok_or(OpenError)?;
    let keys = MessageKeys::derive(key, label, salt, ad, ciphertext.len());
    if !bool::from(keys.commitment().ct_eq(commitment)) {
        return Err(OpenError);
    }
    out.extend_from_slice(ciphertext);
    decrypt(&keys, out, tag).inspect_err(|_| out.clear())
}

/// Decrypts in place; on failure only zeros are left.
fn decrypt(keys: &MessageKeys, buffer: &mut [u8], tag: &[u8; TAG_LEN]) -> Result<(), OpenError> {
    let decrypted =
        keys.cipher().decrypt_inout_detached(keys.nonce(), keys.commitment(), (&mut *buffer).into(), &Tag::from(*tag));
    decrypted.map_err(|_| {
        buffer.zeroize();
        OpenError
    })
}

/// What one message is sealed with.
struct MessageKeys(Zeroizing<[u8; KEY_LEN + NONCE_LEN + COMMITMENT_LEN]>);

impl MessageKeys {
    fn derive(key: &Secret<32>, label: &str, salt: &[u8], ad: &[u8], plaintext_len: usize) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(key.expose());
        for part in [label.as_bytes(), salt, ad, &(plaintext_len as u64).to_le_bytes()] {
            hasher.update(&length_prefix(part)).update(part);
        }
        let mut keys = Self(Zeroizing::new([0; _]));
        let mut reader = hasher.finalize_xof();
        reader.fill(&mut keys.0[..]);
        reader.zeroize();
        hasher.zeroize();
        keys
    }

    fn cipher(&self) -> Aes256GcmSiv {
        Aes256GcmSiv::new_from_slice(&self.0[..KEY_LEN]).expect("AES-256 takes 32 bytes")
    }

    fn nonce(&self) -> &Nonce {
        self.0[KEY_LEN..][..NONCE_LEN].try_into().expect("the nonce has 12 bytes")
    }

    fn commitment(&self) -> &[u8] {
        &self.0[KEY_LEN + NONCE_LEN..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const PLAIN: &[u8] = b"a plaintext that is long enough to be recognised";

    fn keys(byte: u8) -> MessageKeys {
        MessageKeys::derive(&Secret::copy_of(&[byte; 32]), "frame", b"salt", b"ad", PLAIN.len())
    }

    /// What `seal_into` makes, with commitment and cipher of different keys.
    fn salamander(commitment: &MessageKeys, cipher: &MessageKeys) -> Vec<u8> {
        let mut buffer = PLAIN.to_vec();
        let encrypted = cipher.cipher().encrypt_inout_detached(
            cipher.nonce(),
            commitment.commitment(),
            buffer.as_mut_slice().into(),
        );
        [commitment.commitment(), &buffer, &encrypted.unwrap()].concat()
    }

    #[test]
    fn a_ciphertext_under_the_commitment_of_another_key_is_refused() {
        let opens =
            |byte: u8, sealed: &[u8]| open(&Secret::copy_of(&[byte; 32]), "frame", b"salt", b"ad", sealed).is_ok();
        assert!(opens(1, &salamander(&keys(1), &keys(1))));
        for (commitment, cipher) in [(1, 2), (2, 1)] {
            let crafted = salamander(&keys(commitment), &keys(cipher));
            assert!(!opens(1, &crafted) && !opens(2, &crafted));
            // A ciphertext that decrypts under one key as it is: only the commitment can refuse it.
            let mut decryptable = salamander(&keys(cipher), &keys(cipher));
            decryptable[..COMMITMENT_LEN].copy_from_slice(keys(commitment).commitment());
            assert!(!opens(1, &decryptable) && !opens(2, &decryptable));
        }
    }

    #[test]
    fn failed_decryption_leaves_zeros() {
        let mut buffer = salamander(&keys(1), &keys(1)).split_off(COMMITMENT_LEN);
        let tag = buffer.split_off(PLAIN.len()).try_into().unwrap();
        let mut good = buffer.clone();
        assert_eq!(decrypt(&keys(1), &mut good, &tag), Ok(()));
        assert_eq!(good, PLAIN);
        buffer[3] ^= 1;
        assert_eq!(decrypt(&keys(1), &mut buffer, &tag), Err(OpenError));
        assert!(buffer.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn no_key_and_nonce_repeat() {
        let key = Secret::copy_of(&[1; 32]);
        let mut seen = HashSet::new();
        for salt in 0..50u8 {
            for ad in 0..50u8 {
                for (label, len) in [("frame", 0), ("frame", 1), ("ring", 0), ("ring", 1 << 20)] {
                    let keys = MessageKeys::derive(&key, label, &[salt], &[ad], len);
                    assert!(seen.insert(keys.0[..KEY_LEN + NONCE_LEN].to_vec()));
                }
            }
        }
        assert_eq!(seen.len(), 10_000);
    }
}
