//! The one type for bytes that must not leave the program.

use crate::RandomError;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

/// Secret bytes. They are wiped on drop, do not print, copy or default, and compare in constant time; on the heap,
/// so that moving the value leaves no copy behind.
pub struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Fresh random bytes from the operating system.
    ///
    /// # Errors
    /// [`RandomError`] when it has none to give.
    pub fn random() -> Result<Self, RandomError> {
        let mut secret = Self(Box::new([0; N]));
        crate::random::fill(&mut secret.0[..])?;
        Ok(secret)
    }

    /// A copy of `bytes`; wiping those is the caller's task.
    #[must_use]
    pub fn copy_of(bytes: &[u8; N]) -> Self {
        Self::filled_by(|secret| secret.copy_from_slice(bytes))
    }

    /// What `fill` writes, without a copy on the way.
    pub(crate) fn filled_by(fill: impl FnOnce(&mut [u8; N])) -> Self {
        let mut secret = Self(Box::new([0; N]));
        fill(&mut secret.0);
        secret
    }

    /// The bytes themselves; never log, copy or compare them.
    #[must_use]
    pub fn expose(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0[..].ct_eq(&other.0[..]).into()
    }
}

impl<const N: usize> Eq for Secret<N> {}
