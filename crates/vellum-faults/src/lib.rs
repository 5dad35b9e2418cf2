//! Named points of the code at which tests make it fail, die or wait for others.
//!
//! The code reaches a [`Point`] at every boundary between two steps that a crash or another process may fall between.
//! Without the feature `fault-points`, [`reach`] is `Ok(())` and nothing of it is left in a binary. With it, a test
//! hangs a hook into its own thread (`with_hook`): other threads, and so other tests, do not see it, but for those
//! that the code itself starts with [`inheriting`].

#![forbid(unsafe_code)]

#[cfg(feature = "fault-points")]
mod hook;
mod point;

pub use point::Point;

#[cfg(feature = "fault-points")]
pub use hook::{inheriting, reach, with_hook};

/// Tells that a point was reached; the error that a test wants there.
///
/// # Errors
/// None but those of tests.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn reach(_point: Point) -> std::io::Result<()> {
    Ok(())
}

/// The same work for another thread, with the hook of this one.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn inheriting<T, F: FnOnce() -> T>(work: F) -> F {
    work
}
