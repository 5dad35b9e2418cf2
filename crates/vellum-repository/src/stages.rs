//! What a chunk goes through on its way into a pack, one step at a time and storing nothing: for measuring.

use crate::RepositoryError;
use crate::put::compress;
use crate::zstd_context::Compressor;
use vellum_crypto::{ChunkHasher, DedupKeys, FRAME_AD_BYTES, PackKey, Secret};
use vellum_format::ChunkId;
use vellum_format::content::ChunkKind;
use vellum_format::pack::Compression;

/// The steps of [`FrameWriter`](crate::FrameWriter), each alone, under fresh keys that nothing else uses.
pub struct Stages {
    names: ChunkHasher,
    key: PackKey,
    compressor: Compressor,
    level: i32,
    compressed: Vec<u8>,
    sealed: Vec<u8>,
}

impl Stages {
    /// Stages that compress at this zstd level.
    ///
    /// # Errors
    /// [`RepositoryError::Randomness`], and [`RepositoryError::Compression`] when no compression context can be made.
    pub fn new(level: i32) -> Result<Self, RepositoryError> {
        Ok(Self {
            names: DedupKeys::derive(&Secret::random()?).chunk_hasher(),
            key: PackKey::generate()?,
            compressor: Compressor::new(level).map_err(RepositoryError::Compression)?,
            level,
            compressed: Vec::new(),
            sealed: Vec::new(),
        })
    }

    /// A chunk's id, by way of its digest.
    #[must_use]
    pub fn name(&mut self, chunk: &[u8]) -> ChunkId {
        let digest = self.names.digest(ChunkKind::Data, chunk);
        self.names.chunk_id(&digest)
    }

    /// Compresses a frame; the bytes that would be sealed.
    ///
    /// # Errors
    /// [`RepositoryError::Compression`].
    pub fn compress(&mut self, frame: &[u8]) -> Result<usize, RepositoryError> {
        Ok(match compress(&mut self.compressor, self.level, frame, &mut self.compressed)? {
            Compression::Zstd => self.compressed.len(),
            Compression::None => frame.len(),
        })
    }

    /// Seals what a frame was compressed to; the sealed bytes, until the next call.
    pub fn seal(&mut self, payload: &[u8]) -> &[u8] {
        self.sealed.clear();
        self.key.seal_frame_into(&[0; 16], &[0; FRAME_AD_BYTES], payload, &mut self.sealed);
        &self.sealed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum_crypto::SEAL_OVERHEAD_BYTES;

    #[test]
    fn each_step_does_what_a_writer_does() {
        let (mut stages, mut others) = (Stages::new(3).unwrap(), Stages::new(3).unwrap());
        assert_eq!(stages.name(b"one"), stages.name(b"one"));
        assert_ne!(stages.name(b"one"), stages.name(b"two"));
        assert_ne!(stages.name(b"one"), others.name(b"one"), "each has keys of its own");
        assert!(stages.compress(&[7; 10_000]).unwrap() < 100);
        let incompressible: Vec<u8> = (0..100).collect();
        assert_eq!(stages.compress(&incompressible).unwrap(), 100, "it would be sealed as it is");
        let sealed = stages.seal(&incompressible);
        assert_eq!(sealed.len(), 100 + SEAL_OVERHEAD_BYTES);
        assert!(!sealed.windows(8).any(|window| window == &incompressible[..8]), "nothing of it can be read");
    }
}
