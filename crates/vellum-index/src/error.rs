//! The one error of this crate. Most of what can go wrong with a cache is not an error but a slower run.

use vellum_format::ObjectId;

/// Why the index could not do what it was asked. Damage of its own files never surfaces as wrong places.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IndexError {
    /// A segment does not hold what was written, or cannot be read. It is no longer used; see
    /// [`crate::Index::drop_damaged`].
    #[error("index segment {segment} is damaged")]
    Damaged {
        /// The segment's name in hex.
        segment: String,
    },
    /// A catalog that no decoder of `vellum-format` returns: the caller's mistake, nothing was added.
    #[error("catalog {catalog} cannot be indexed: {rule}")]
    Inconsistent {
        /// The catalog.
        catalog: ObjectId,
        /// The rule that it breaks.
        rule: &'static str,
    },
    /// A value is remembered for this run only, although a folder was given; see
    /// [`crate::Index::persistence`] for the reason.
    #[error("the local state could not be saved")]
    NotKept,
}
