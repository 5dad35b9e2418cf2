//! Byte strings in CBOR: serde's own vectors and arrays become lists of numbers there, these become byte strings.

use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A byte string of any length.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub Vec<u8>);

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl std::ops::Deref for Bytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_byte_buf(BytesVisitor).map(Self)
    }
}

/// A byte string of any length that stands elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ByteSlice<'a>(pub(crate) &'a [u8]);

impl Serialize for ByteSlice<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ByteSlice<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Deserialize::deserialize(deserializer).map(Self)
    }
}

/// A byte string of exactly `N` bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FixedBytes<const N: usize>(pub [u8; N]);

impl<const N: usize> fmt::Debug for FixedBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<const N: usize> Serialize for FixedBytes<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de, const N: usize> Deserialize<'de> for FixedBytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = deserializer.deserialize_byte_buf(BytesVisitor)?;
        let len = bytes.len();
        bytes.try_into().map(Self).map_err(|_| D::Error::invalid_length(len, &"a byte string of fixed length"))
    }
}

struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte string")
    }

    fn visit_byte_buf<E: serde::de::Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FormatError, cbor, record};

    #[test]
    fn byte_strings_of_cbor_and_of_records_come_back() {
        for len in [0, 1, 23, 24, 255, 256, 70_000] {
            let bytes = Bytes(vec![0xa5; len]);
            assert_eq!(cbor::decode("test", &cbor::encode(&bytes)), Ok(bytes.clone()), "{len}");
            let mut encoded = Vec::new();
            record::encode_into(&bytes, &mut encoded);
            assert_eq!(record::decode("test", &encoded), Ok(ByteSlice(&bytes)), "{len}");
            assert_eq!(record::decode("test", &encoded), Ok(bytes), "{len}");
        }
        assert_eq!(cbor::encode(&Bytes::from(vec![1, 2])), [0x42, 1, 2], "a byte string of RFC 8949, no list");
    }

    #[test]
    fn a_fixed_length_is_neither_more_nor_less() {
        for len in [0, 3, 5] {
            let other: Result<FixedBytes<4>, _> = cbor::decode("test", &cbor::encode(&Bytes(vec![7; len])));
            assert!(matches!(other, Err(FormatError::Malformed { .. })), "{len}");
        }
        assert_eq!(cbor::decode("test", &cbor::encode(&Bytes(vec![7; 4]))), Ok(FixedBytes([7; 4])));
    }

    #[test]
    fn a_list_of_numbers_is_refused_by_saying_what_was_expected() {
        let error = cbor::decode::<Bytes>("test", &cbor::encode(&[1u8, 2])).expect_err("no byte string");
        assert!(error.to_string().contains("expected a byte string"), "{error}");
    }
}
