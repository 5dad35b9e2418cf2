//! The random key of one pack and the frames under it.

use crate::derive::{self, derive_hasher, label};
use crate::{OpenError, RandomError, Secret, open_into, seal_into};
use vellum_format::content::ChunkKind;
use vellum_format::pack::{Compression, PackedChunk};
use vellum_format::{FORMAT_VERSION, RepositoryId, SUITE};
use zeroize::Zeroize;

/// The random key of a pack's frames; stored only wrapped, see [`crate::EpochKeys::seal_pack_key`].
pub struct PackKey(Secret<32>);

/// Why a pack's key was not unwrapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// A kind of wrap that this version does not know.
    #[error("the pack key is wrapped in kind {kind}, which this version of Vellum does not know")]
    Unsupported {
        /// The stored kind.
        kind: u8,
    },
    /// Wrapped with other keys, for another scope or epoch, or changed.
    #[error("the pack key does not unwrap")]
    DoesNotOpen(#[from] OpenError),
}

impl PackKey {
    /// A fresh key.
    ///
    /// # Errors
    /// [`RandomError`] when the operating system has no random numbers.
    pub fn generate() -> Result<Self, RandomError> {
        Secret::random().map(Self)
    }

    /// A key from its secret.
    pub(crate) fn from_secret(secret: Secret<32>) -> Self {
        Self(secret)
    }

    pub(crate) fn secret(&self) -> &Secret<32> {
        &self.0
    }

    /// Appends the sealed frame whose compressed content is `z`, under its [`frame_salt`] and [`frame_ad`].
    pub fn seal_frame_into(&self, frame_salt: &[u8; 16], ad: &[u8; FRAME_AD_BYTES], z: &[u8], out: &mut Vec<u8>) {
        seal_into(&self.0, label::FRAME, frame_salt, ad, z, out);
    }

    /// Replaces the content of `out` by a frame's compressed content.
    ///
    /// # Errors
    /// [`OpenError`] when the frame is another one or was changed; then `out` is empty.
    pub fn open_frame_into(
        &self,
        frame_salt: &[u8; 16],
        ad: &[u8; FRAME_AD_BYTES],
        sealed: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), OpenError> {
        open_into(&self.0, label::FRAME, frame_salt, ad, sealed, out)
    }

    /// A frame's compressed content.
    ///
    /// # Errors
    /// [`OpenError`] when the frame is another one or was changed.
    pub fn open_frame(
        &self,
        frame_salt: &[u8; 16],
        ad: &[u8; FRAME_AD_BYTES],
        sealed: &[u8],
    ) -> Result<Vec<u8>, OpenError> {
        let mut z = Vec::new();
        self.open_frame_into(frame_salt, ad, sealed, &mut z)?;
        Ok(z)
    }

    /// Appends `len` bytes that nobody without the key can tell from sealed frames: `KX(pack key, "fill")`. No seal
    /// hashes this input, because what a seal hashes is longer.
    pub fn append_filler(&self, len: usize, out: &mut Vec<u8>) {
        let start = out.len();
        out.resize(start + len, 0);
        let mut hasher = blake3::Hasher::new_keyed(self.0.expose());
        hasher.update(b"fill").finalize_xof().fill(&mut out[start..]);
        hasher.zeroize();
    }
}

/// The salt of a frame with these chunks: the first 16 bytes of `DK("frame-salt", (id ‖ length as u32)*)`.
///
/// I12: it ties a frame to what it holds. Under one pack key two frames share it only if they hold the same chunks, and
/// then AES-GCM-SIV gives away no more than whether they are equal.
#[must_use]
pub fn frame_salt(chunks: &[PackedChunk]) -> [u8; 16] {
    let mut hasher = derive_hasher(derive::FRAME_SALT);
    for chunk in chunks {
        hasher.update(chunk.id.as_bytes()).update(&chunk.len_bytes.to_le_bytes());
    }
    *hasher.finalize().as_bytes().first_chunk().expect("a hash is longer than a salt")
}

/// Length of [`frame_ad`] in bytes.
pub const FRAME_AD_BYTES: usize = 2 + 1 + 16 + 1 + 1 + 4 + 4;

/// The associated data of a frame: version, suite, scope, kind, compression, plaintext length, chunk count. Fixed
/// widths need no length prefixes. Neither pack nor offset is in it, so that a prune copies sealed frames.
#[must_use]
pub fn frame_ad(
    scope: RepositoryId,
    kind: ChunkKind,
    compression: Compression,
    plain_len_bytes: u32,
    chunk_count: u32,
) -> [u8; FRAME_AD_BYTES] {
    let mut ad = [0; FRAME_AD_BYTES];
    ad[..2].copy_from_slice(&FORMAT_VERSION.to_le_bytes());
    ad[2] = SUITE;
    ad[3..19].copy_from_slice(scope.as_bytes());
    ad[19] = kind.code();
    ad[20] = compression.code();
    ad[21..25].copy_from_slice(&plain_len_bytes.to_le_bytes());
    ad[25..].copy_from_slice(&chunk_count.to_le_bytes());
    ad
}
