//! Every label of the format and the functions that take them: `DK`, `KH` and `enc`.

use crate::Secret;
use zeroize::Zeroize;

/// A constant context of BLAKE3's `derive_key`. Only this module can make one, so that none depends on data.
#[derive(Clone, Copy)]
pub(crate) struct Context(&'static str);

// "live-set" and all labels that start with "d-" are reserved for what is to come.
macro_rules! contexts {
    ($($name:ident = $label:literal;)*) => {
        $(pub(crate) const $name: Context = Context(concat!("vellum v1 2026-11 ", $label));)*
        #[cfg(test)]
        const CONTEXTS: &[Context] = &[$($name),*];
    };
}

contexts! {
    PACK_WRAP = "pack-wrap";
    META = "meta";
    INDEX = "index";
    DIGEST = "digest";
    CHUNK_ID = "chunk-id";
    CHUNKER = "chunker";
    FRAME_SALT = "frame-salt";
    KEY_FILE_SEED = "key-file-seed";
    RECOVERY_SEED = "rk-seed";
    RECOVERY_CHECK = "rk-check";
    SLOT_OWNER = "slot-owner";
    KEY_MANIFEST_SIGNATURE = "key-manifest-sig";
    DEVICE_CERTIFICATE_SIGNATURE = "device-certificate-sig";
    SNAPSHOT_SIGNATURE = "snapshot-sig";
    TOMBSTONE_SIGNATURE = "tombstone-sig";
}

/// Labels of the committing AEAD: what a sealed message is, so that none passes for another under the same key.
pub(crate) mod label {
    pub(crate) const FRAME: &str = "frame";
    pub(crate) const PACK_WRAP: &str = "pack-wrap";
    pub(crate) const PACK_DIRECTORY: &str = "pack-directory";
    pub(crate) const PACK_TRAILER: &str = "pack-trailer";
    pub(crate) const CATALOG: &str = "catalog";
    pub(crate) const SNAPSHOT: &str = "snapshot";
    pub(crate) const INTENT: &str = "intent";
    pub(crate) const CONDEMNED: &str = "condemned";
    pub(crate) const FENCE: &str = "fence";
    pub(crate) const TOMBSTONE: &str = "tombstone";
    pub(crate) const VERIFICATION: &str = "verification";
    pub(crate) const RING: &str = "ring";
    pub(crate) const SLOT: &str = "slot";
}

/// `DK(context, parts joined)` as a secret. All parts but one have a fixed length, so that joining is unambiguous.
pub(crate) fn derive_key(context: Context, parts: &[&[u8]]) -> Secret<32> {
    Secret::filled_by(|key| hash_into(blake3::Hasher::new_derive_key(context.0), parts, key))
}

/// `DK(context, message)` of a message that is not secret.
pub(crate) fn derive_hash(context: Context, message: &[u8]) -> [u8; 32] {
    blake3::derive_key(context.0, message)
}

/// A hasher for `DK(context, …)` of a message that is not secret and comes in pieces.
pub(crate) fn derive_hasher(context: Context) -> blake3::Hasher {
    blake3::Hasher::new_derive_key(context.0)
}

/// `KH(key, parts joined)`.
pub(crate) fn keyed_hash(key: &Secret<32>, parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash_into(blake3::Hasher::new_keyed(key.expose()), parts, &mut hash);
    hash
}

fn hash_into(mut hasher: blake3::Hasher, parts: &[&[u8]], out: &mut [u8; 32]) {
    for part in parts {
        hasher.update(part);
    }
    let mut reader = hasher.finalize_xof();
    reader.fill(out);
    reader.zeroize();
    hasher.zeroize();
}

/// `enc(parts)`: unambiguous whatever the parts hold.
pub(crate) fn enc(parts: &[&[u8]]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(parts.iter().map(|part| 4 + part.len()).sum());
    for part in parts {
        encoded.extend_from_slice(&length_prefix(part));
        encoded.extend_from_slice(part);
    }
    encoded
}

/// The prefix that `enc` gives a part.
pub(crate) fn length_prefix(part: &[u8]) -> [u8; 4] {
    u32::try_from(part.len()).expect("labels, salts and headers are far below 4 GiB").to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn contexts_are_distinct() {
        let distinct: HashSet<_> = CONTEXTS.iter().map(|context| context.0).collect();
        assert_eq!(distinct.len(), CONTEXTS.len());
    }

    #[test]
    fn enc_does_not_confuse_parts() {
        assert_eq!(enc(&[b"ab", b""]), b"\x02\0\0\0ab\0\0\0\0");
        assert_ne!(enc(&[b"a", b"b"]), enc(&[b"ab", b""]));
        assert_ne!(enc(&[b"ab"]), enc(&[b"ab", b""]));
    }
}
