//! Head codes: what people note of a repository's newest record, to prove later that they are not shown less.

use crate::crockford;
use std::fmt;
use vellum_format::ObjectId;

const SYMBOLS: usize = 12;

/// The first 60 bits of a record's name: 12 symbols of base 32 in groups of four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadCode([u8; SYMBOLS]);

/// Text that is no head code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a head code has 12 letters and digits, such as 7QZ4-0M3K-X9TB; U and other signs are not among them")]
pub struct ParseHeadCodeError;

impl HeadCode {
    /// The code of a record.
    #[must_use]
    pub fn of(record: &ObjectId) -> Self {
        Self(std::array::from_fn(|index| crockford::value_at(record.as_bytes(), index)))
    }

    /// Parses what a person typed: either case, with or without spaces and dashes.
    ///
    /// # Errors
    /// [`ParseHeadCodeError`] for anything but 12 symbols.
    pub fn parse(text: &str) -> Result<Self, ParseHeadCodeError> {
        let symbols = text.chars().filter(|symbol| !symbol.is_whitespace() && *symbol != '-');
        let values: Option<Vec<u8>> = symbols.take(SYMBOLS + 1).map(crockford::value_of).collect();
        let values = values.and_then(|values| values.try_into().ok());
        values.map(Self).ok_or(ParseHeadCodeError)
    }
}

impl fmt::Display for HeadCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        crockford::push_grouped(self.0.into_iter(), &mut text);
        f.write_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_the_first_60_bits_as_people_type_them() {
        let mut bytes = [0xFF; 32];
        bytes[..8].copy_from_slice(b"foobar\x12\x3F");
        let code = HeadCode::of(&ObjectId::from_bytes(bytes));
        assert_eq!(code.to_string(), "CSQP-YRK1-E893");
        assert_eq!(HeadCode::parse("csqp yrkl-e893 "), Ok(code));
        bytes[7] = 0x30;
        assert_eq!(HeadCode::of(&ObjectId::from_bytes(bytes)), code, "the last four bits are not in it");
        bytes[7] = 0x2F;
        assert_ne!(HeadCode::of(&ObjectId::from_bytes(bytes)), code);
        for wrong in ["", "CSQP-YRK1-E89", "CSQP-YRK1-E8930", "CSQP-YRK1-E89U"] {
            assert_eq!(HeadCode::parse(wrong), Err(ParseHeadCodeError), "{wrong}");
        }
    }
}
