//! Internal records: bincode 2.0.1 in its `legacy` layout (little-endian, fixed width, lengths as u64), always with a
//! byte limit. This is the only place that names the crate; `wincode` reads and writes the same bytes, should
//! bincode have to go.

use crate::FormatError;
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use serde::{Deserialize, Serialize};

const LIMIT: usize = crate::limits::ENTRY_LEN_BYTES_MAX;

struct Appended<'a>(&'a mut Vec<u8>);

impl Writer for Appended<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Appends the encoding of a record of ours.
pub(crate) fn encode_into(value: &impl Serialize, out: &mut Vec<u8>) {
    bincode::serde::encode_into_writer(value, Appended(out), bincode::config::legacy())
        .expect("our records encode and a vector takes every write");
}

/// The record that `bytes` encode, to their end; it may borrow from them.
pub(crate) fn decode<'a, T: Deserialize<'a>>(what: &'static str, bytes: &'a [u8]) -> Result<T, FormatError> {
    let config = bincode::config::legacy().with_limit::<LIMIT>();
    let (value, read) = bincode::serde::borrow_decode_from_slice(bytes, config)
        .map_err(|error| FormatError::Malformed { what, detail: error.to_string() })?;
    match bytes.len() - read {
        0 => Ok(value),
        len_bytes => Err(FormatError::TrailingBytes { what, len_bytes }),
    }
}
