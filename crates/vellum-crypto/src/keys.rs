//! What the secrets of a class give: names of chunks from its dedup secret, seals from the secret of an epoch.

use crate::derive::{self, derive_key, keyed_hash, label};
use crate::{OpenError, PackKey, RandomError, Secret, WrapError, open, seal_into};
use vellum_format::content::ChunkKind;
use vellum_format::pack::{KeyWrap, PackHeader};
use vellum_format::{
    ChunkId, Digest, FORMAT_VERSION, ObjectKind, RepositoryId, SUITE, SealedHeader, catalog, deletion, snapshot,
    tombstone, verification,
};
use zeroize::Zeroize as _;

/// Keys that name chunks. They outlive epochs, so that deduplication survives a rotation.
pub struct DedupKeys {
    digest: Secret<32>,
    chunk_id: Secret<32>,
    cut: Secret<32>,
}

impl DedupKeys {
    /// The keys of a dedup secret.
    #[must_use]
    pub fn derive(dedup_secret: &Secret<32>) -> Self {
        let key = |context| derive_key(context, &[dedup_secret.expose()]);
        Self { digest: key(derive::DIGEST), chunk_id: key(derive::CHUNK_ID), cut: key(derive::CHUNKER) }
    }

    /// The digest of a chunk's plaintext: `KH(K_digest, plain ‖ kind)`. Chunks of different kinds never share one.
    ///
    /// The kind stands last because a byte in front of the data would shift it against BLAKE3's subtrees, which
    /// halves the speed of a 64 KiB chunk.
    #[must_use]
    pub fn digest(&self, kind: ChunkKind, plain: &[u8]) -> Digest {
        Digest::from_bytes(keyed_hash(&self.digest, &[plain, &[kind.code()]]))
    }

    /// The lookup id of a digest: `KH(K_id, digest)`.
    #[must_use]
    pub fn chunk_id(&self, digest: &Digest) -> ChunkId {
        ChunkId::from_bytes(keyed_hash(&self.chunk_id, &[digest.as_bytes()]))
    }

    /// For many chunks, one after the other.
    #[must_use]
    pub fn chunk_hasher(&self) -> ChunkHasher {
        let keyed = |key: &Secret<32>| blake3::Hasher::new_keyed(key.expose());
        ChunkHasher { digest: keyed(&self.digest), chunk_id: keyed(&self.chunk_id) }
    }

    /// The key of the chunker.
    #[must_use]
    pub fn cut_key(&self) -> &[u8; 32] {
        self.cut.expose()
    }
}

/// Names chunks as [`DedupKeys`] does, without preparing and wiping a hash for each: a tenth of what a chunk of 1 KiB
/// costs. It is wiped when it goes.
pub struct ChunkHasher {
    digest: blake3::Hasher,
    chunk_id: blake3::Hasher,
}

impl ChunkHasher {
    /// As [`DedupKeys::digest`].
    pub fn digest(&mut self, kind: ChunkKind, plain: &[u8]) -> Digest {
        self.digest.reset().update(plain).update(&[kind.code()]);
        Digest::from_bytes(*self.digest.finalize().as_bytes())
    }

    /// As [`DedupKeys::chunk_id`].
    pub fn chunk_id(&mut self, digest: &Digest) -> ChunkId {
        self.chunk_id.reset().update(digest.as_bytes());
        ChunkId::from_bytes(*self.chunk_id.finalize().as_bytes())
    }
}

impl Drop for ChunkHasher {
    fn drop(&mut self) {
        self.digest.zeroize();
        self.chunk_id.zeroize();
    }
}

/// Keys of one class in one epoch.
pub struct EpochKeys {
    wrap: Secret<32>,
    meta: Secret<32>,
    index: Secret<32>,
}

impl EpochKeys {
    /// The keys of an epoch's secret.
    #[must_use]
    pub fn derive(epoch_secret: &Secret<32>) -> Self {
        let key = |context| derive_key(context, &[epoch_secret.expose()]);
        Self { wrap: key(derive::PACK_WRAP), meta: key(derive::META), index: key(derive::INDEX) }
    }

    /// Wraps a pack's key. The wrap binds scope and epoch but no pack, because frames move between packs together
    /// with their wraps.
    ///
    /// # Errors
    /// [`RandomError`] when there is no fresh salt.
    pub fn seal_pack_key(&self, key: &PackKey, scope: RepositoryId, epoch: u32) -> Result<KeyWrap, RandomError> {
        let salt = crate::random_array::<32>()?;
        let mut bytes = salt.to_vec();
        seal_into(&self.wrap, label::PACK_WRAP, &salt, &wrap_ad(scope, epoch), key.secret().expose(), &mut bytes);
        Ok(KeyWrap { epoch, kind: KeyWrap::SYMMETRIC, bytes })
    }

    /// Unwraps a pack's key; these must be the keys of the wrap's epoch.
    ///
    /// # Errors
    /// [`WrapError::Unsupported`] for a kind of wrap that this version does not know; [`WrapError::DoesNotOpen`] when
    /// it was wrapped with other keys, for another scope or epoch, or changed.
    pub fn open_pack_key(&self, wrap: &KeyWrap, scope: RepositoryId) -> Result<PackKey, WrapError> {
        if wrap.kind != KeyWrap::SYMMETRIC {
            return Err(WrapError::Unsupported { kind: wrap.kind });
        }
        let (salt, sealed) = wrap.bytes.split_first_chunk::<32>().ok_or(OpenError)?;
        let opened = open(&self.wrap, label::PACK_WRAP, salt, &wrap_ad(scope, wrap.epoch), sealed)?;
        let opened = zeroize::Zeroizing::new(opened);
        let key: &[u8; 32] = opened.as_slice().try_into().map_err(|_| OpenError)?;
        Ok(PackKey::from_secret(Secret::copy_of(key)))
    }

    /// Appends the sealed directory of the pack with this header.
    pub fn seal_directory(&self, header: &PackHeader, directory: &[u8], out: &mut Vec<u8>) {
        seal_into(&self.index, label::PACK_DIRECTORY, &header.salt, &header.encode(), directory, out);
    }

    /// Opens the sealed directory of the pack with this header.
    ///
    /// # Errors
    /// [`OpenError`] when it is another pack's, is something else, or was changed.
    pub fn open_directory(&self, header: &PackHeader, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        open(&self.index, label::PACK_DIRECTORY, &header.salt, &header.encode(), sealed)
    }

    /// Appends the sealed trailer of the pack with this header.
    pub fn seal_trailer(&self, header: &PackHeader, trailer: &[u8], out: &mut Vec<u8>) {
        seal_into(&self.index, label::PACK_TRAILER, &header.salt, &header.encode(), trailer, out);
    }

    /// Opens the sealed trailer of the pack with this header.
    ///
    /// # Errors
    /// [`OpenError`] when it is another pack's, is something else, or was changed.
    pub fn open_trailer(&self, header: &PackHeader, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        open(&self.index, label::PACK_TRAILER, &header.salt, &header.encode(), sealed)
    }

    /// Appends the sealed rest of the catalog with this header.
    pub fn seal_catalog(&self, header: &SealedHeader, catalog: &[u8], out: &mut Vec<u8>) {
        seal_into(&self.index, label::CATALOG, &header.salt, &header.encode(catalog::MAGIC), catalog, out);
    }

    /// Opens the sealed rest of the catalog with this header.
    ///
    /// # Errors
    /// [`OpenError`] when it is another catalog's, is something else, or was changed.
    pub fn open_catalog(&self, header: &SealedHeader, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        open(&self.index, label::CATALOG, &header.salt, &header.encode(catalog::MAGIC), sealed)
    }

    /// Appends the sealed rest of the snapshot with this header.
    pub fn seal_snapshot(&self, header: &SealedHeader, snapshot: &[u8], out: &mut Vec<u8>) {
        seal_into(&self.meta, label::SNAPSHOT, &header.salt, &header.encode(snapshot::MAGIC), snapshot, out);
    }

    /// Opens the sealed rest of the snapshot with this header.
    ///
    /// # Errors
    /// [`OpenError`] when it is another snapshot's, is something else, or was changed.
    pub fn open_snapshot(&self, header: &SealedHeader, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        open(&self.meta, label::SNAPSHOT, &header.salt, &header.encode(snapshot::MAGIC), sealed)
    }

    /// Appends the sealed rest of the tombstone with this header.
    pub fn seal_tombstone(&self, header: &SealedHeader, tombstone: &[u8], out: &mut Vec<u8>) {
        seal_into(&self.meta, label::TOMBSTONE, &header.salt, &header.encode(tombstone::MAGIC), tombstone, out);
    }

    /// Opens the sealed rest of the tombstone with this header.
    ///
    /// # Errors
    /// [`OpenError`] when it is another tombstone's, is something else, or was changed.
    pub fn open_tombstone(&self, header: &SealedHeader, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        open(&self.meta, label::TOMBSTONE, &header.salt, &header.encode(tombstone::MAGIC), sealed)
    }

    /// Appends the sealed rest of a record with this header.
    pub fn seal_record(&self, kind: RecordKind, header: &SealedHeader, record: &[u8], out: &mut Vec<u8>) {
        seal_into(&self.meta, kind.label(), &header.salt, &header.encode(kind.magic()), record, out);
    }

    /// Opens the sealed rest of a record with this header.
    ///
    /// # Errors
    /// [`OpenError`] when it is another record's, of another kind, or was changed.
    pub fn open_record(&self, kind: RecordKind, header: &SealedHeader, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        open(&self.meta, kind.label(), &header.salt, &header.encode(kind.magic()), sealed)
    }
}

/// The small records that only a seal protects: those of the deletion protocol, and what checks leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordKind {
    /// [`deletion::Intent`]
    Intent,
    /// [`deletion::CondemnedRecord`]
    Condemned,
    /// [`deletion::FenceRecord`]
    Fence,
    /// [`verification::Verification`]
    Verification,
}

impl RecordKind {
    /// The kind of its objects.
    #[must_use]
    pub const fn object_kind(self) -> ObjectKind {
        match self {
            Self::Intent => ObjectKind::Intent,
            Self::Condemned => ObjectKind::Condemned,
            Self::Fence => ObjectKind::Fence,
            Self::Verification => ObjectKind::Verification,
        }
    }

    /// The magic of its objects.
    #[must_use]
    pub const fn magic(self) -> [u8; 8] {
        match self {
            Self::Intent => deletion::INTENT_MAGIC,
            Self::Condemned => deletion::CONDEMNED_MAGIC,
            Self::Fence => deletion::FENCE_MAGIC,
            Self::Verification => verification::MAGIC,
        }
    }

    const fn label(self) -> &'static str {
        match self {
            Self::Intent => label::INTENT,
            Self::Condemned => label::CONDEMNED,
            Self::Fence => label::FENCE,
            Self::Verification => label::VERIFICATION,
        }
    }
}

fn wrap_ad(scope: RepositoryId, epoch: u32) -> Vec<u8> {
    derive::enc(&[&FORMAT_VERSION.to_le_bytes(), &[SUITE], scope.as_bytes(), &epoch.to_le_bytes()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hasher_names_chunk_after_chunk_as_the_keys_do() {
        let keys = DedupKeys::derive(&Secret::copy_of(&[7; 32]));
        let mut hasher = keys.chunk_hasher();
        for (len, kind) in
            [(70_000, ChunkKind::Data), (1, ChunkKind::Tree), (1024, ChunkKind::List), (0, ChunkKind::Data)]
        {
            let plain = vec![3; len];
            let digest = hasher.digest(kind, &plain);
            assert_eq!(digest, keys.digest(kind, &plain), "{len}");
            assert_eq!(hasher.chunk_id(&digest), keys.chunk_id(&digest), "{len}");
        }
    }
}
