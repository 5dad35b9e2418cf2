//! The one error of this crate: what was being decoded and what is wrong with it.

/// Why bytes are not what they should be. It names the structure; the caller adds which object it came from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The input ended inside the structure.
    #[error("{what} is cut short")]
    Truncated {
        /// The structure that was being decoded.
        what: &'static str,
    },
    /// The structure ended before the input did.
    #[error("{what} is followed by {len_bytes} bytes that do not belong to it")]
    TrailingBytes {
        /// The structure that was decoded.
        what: &'static str,
        /// How many bytes were left over.
        len_bytes: usize,
    },
    /// The magic number is another one.
    #[error("this is not a {what}")]
    WrongMagic {
        /// The structure that was expected.
        what: &'static str,
    },
    /// A version, suite or feature that this program does not know.
    #[error("{what} has {field} {value}, which this version of Vellum does not know; use a newer version")]
    Unsupported {
        /// The structure that was being decoded.
        what: &'static str,
        /// The field that carries the unknown value.
        field: &'static str,
        /// The unknown value.
        value: String,
    },
    /// A number or length is beyond its limit.
    #[error("{what} has {field} {value}, beyond the limit of {limit}")]
    BeyondLimit {
        /// The structure that was being decoded.
        what: &'static str,
        /// The field concerned.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The largest value allowed.
        limit: u64,
    },
    /// A value that contradicts the rest of the structure.
    #[error("{what} is inconsistent: {rule}")]
    Inconsistent {
        /// The structure that was being decoded.
        what: &'static str,
        /// The rule that does not hold.
        rule: &'static str,
    },
    /// A self-describing part (CBOR) or an internal record (bincode) that does not decode.
    #[error("{what} does not decode: {detail}")]
    Malformed {
        /// The structure that was being decoded.
        what: &'static str,
        /// What the decoder found.
        detail: String,
    },
}
