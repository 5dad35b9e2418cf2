//! What chance decides in a check.

use vellum_repository::RepositoryError;

/// Numbers for choosing samples; unpredictable, so that nobody can prepare for them.
pub(super) struct Random(blake3::OutputReader);

impl Random {
    pub(super) fn new() -> Result<Self, RepositoryError> {
        let seed: [u8; 32] = vellum_repository::random_bytes()?;
        Ok(Self(blake3::Hasher::new_keyed(&seed).finalize_xof()))
    }

    pub(super) fn next(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit.max(1)
    }
}
