//! The one door to the operating system's random numbers.

/// The operating system gave no random numbers, so nothing that needs them was made.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the operating system gave no random numbers: {0}")]
pub struct RandomError(getrandom::Error);

/// Random bytes for salts and ids; secrets come from [`crate::Secret::random`], which wipes them.
///
/// # Errors
/// [`RandomError`] when the operating system has none to give.
pub fn random_array<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    fill(&mut bytes)?;
    Ok(bytes)
}

pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), RandomError> {
    getrandom::fill(bytes).map_err(RandomError)
}
