//! How the tests of every decoder look at a limit.

use crate::FormatError;
use std::fmt::Debug;

/// Wants that `decode` takes `limit` and says of one more what it is and what it may be.
///
/// A count at its limit need not be followed by as much: then the input may end too early, which is another error.
#[track_caller]
pub(crate) fn assert_bound<T: Debug>(limit: u64, decode: impl Fn(u64) -> Result<T, FormatError>) {
    let at_limit = decode(limit);
    assert!(matches!(at_limit, Ok(_) | Err(FormatError::Truncated { .. })), "{limit} is allowed: {at_limit:?}");
    match decode(limit + 1) {
        Err(FormatError::BeyondLimit { value, limit: told, .. }) => assert_eq!((value, told), (limit + 1, limit)),
        other => panic!("one more than {limit} gives {other:?}"),
    }
}

/// `bytes` with a little-endian number of `N` bytes at `at`.
pub(crate) fn with_number<const N: usize>(bytes: &[u8], at: usize, number: u64) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[at..at + N].copy_from_slice(&number.to_le_bytes()[..N]);
    changed
}
