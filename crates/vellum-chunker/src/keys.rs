//! KX, the expansion of the chunking key into tables.

use zeroize::{Zeroize, Zeroizing};

/// The first `N` bytes of the extended output of BLAKE3, keyed with `key`, over `label`.
pub(crate) fn expand<const N: usize>(key: &[u8; 32], label: &[u8]) -> Zeroizing<[u8; N]> {
    let mut hasher = blake3::Hasher::new_keyed(key);
    hasher.update(label);
    let mut output = hasher.finalize_xof();
    let mut bytes = Zeroizing::new([0; N]);
    output.fill(bytes.as_mut_slice());
    output.zeroize();
    hasher.zeroize();
    bytes
}
