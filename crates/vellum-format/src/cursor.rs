//! Reading fixed little-endian layouts without ever reaching past the end.

use crate::FormatError;

/// A position in bytes that came from outside.
pub(crate) struct Cursor<'a> {
    what: &'static str,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, rest: bytes }
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], FormatError> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or(FormatError::Truncated { what: self.what })?;
        self.rest = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or(FormatError::Truncated { what: self.what })?;
        self.rest = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, FormatError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, FormatError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, FormatError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, FormatError> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Everything that is left, which must be zero bytes.
    pub(crate) fn zero_padding(self) -> Result<(), FormatError> {
        match self.rest.iter().all(|byte| *byte == 0) {
            true => Ok(()),
            false => Err(FormatError::Inconsistent { what: self.what, rule: "padding is zero" }),
        }
    }

    pub(crate) fn end(self) -> Result<(), FormatError> {
        match self.rest.len() {
            0 => Ok(()),
            len_bytes => Err(FormatError::TrailingBytes { what: self.what, len_bytes }),
        }
    }
}

/// `value` if it is at most `limit`.
pub(crate) fn at_most<T: Into<u64> + Copy>(
    what: &'static str,
    field: &'static str,
    value: T,
    limit: impl Into<u64>,
) -> Result<T, FormatError> {
    let limit = limit.into();
    match value.into() {
        number if number > limit => Err(FormatError::BeyondLimit { what, field, value: number, limit }),
        _ => Ok(value),
    }
}
