//! CBOR (RFC 8949) for what must be readable in twenty years: one place that bounds it and checks the end.

use crate::FormatError;
use serde::{Serialize, de::DeserializeOwned};

/// Nested levels that a decoder follows; our own structures need six.
const RECURSION_MAX: usize = 16;

/// The CBOR encoding of a value of ours.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).expect("our structures encode and a vector takes every write");
    bytes
}

/// The value that `bytes` encode, to their end.
pub(crate) fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, FormatError> {
    let mut rest = bytes;
    let value = ciborium::de::from_reader_with_recursion_limit(&mut rest, RECURSION_MAX)
        .map_err(|error| FormatError::Malformed { what, detail: error.to_string() })?;
    match rest.len() {
        0 => Ok(value),
        len_bytes => Err(FormatError::TrailingBytes { what, len_bytes }),
    }
}
