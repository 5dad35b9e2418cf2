//! Internal records: bincode 2.0.1 in its `legacy` layout (little-endian, fixed width, lengths as u64), always with a
//! byte limit. This is the only place that names the crate; `wincode` reads and writes the same bytes, should
//! bincode have to go.

use crate::FormatError;
use serde::{Serialize, de::DeserializeOwned};

const LIMIT: usize = crate::limits::ENTRY_LEN_BYTES_MAX;

/// The encoding of a record of ours.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::legacy())
        .expect("our records encode and a vector takes every write")
}

/// The record that `bytes` encode, to their end.
pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, FormatError> {
    let config = bincode::config::legacy().with_limit::<LIMIT>();
    let (value, read) = bincode::serde::decode_from_slice(bytes, config)
        .map_err(|error| FormatError::Malformed { what, detail: error.to_string() })?;
    match bytes.len() - read {
        0 => Ok(value),
        len_bytes => Err(FormatError::TrailingBytes { what, len_bytes }),
    }
}
