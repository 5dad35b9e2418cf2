//! The clear start that catalogs and snapshots share: what the sealed rest is bound to.

use crate::cursor::Cursor;
use crate::{FORMAT_VERSION, FormatError, RepositoryId, SUITE};

/// The clear start of an object whose whole rest is one seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedHeader {
    /// The epoch whose keys seal the rest.
    pub epoch: u32,
    /// The repository that the object belongs to.
    pub scope: RepositoryId,
    /// Fresh random bytes.
    pub salt: [u8; 32],
}

impl SealedHeader {
    /// Length of the encoded header in bytes.
    pub const ENCODED_LEN: usize = 64;

    /// The encoded header of an object with this magic.
    #[must_use]
    pub fn encode(&self, magic: [u8; 8]) -> [u8; Self::ENCODED_LEN] {
        let mut out = Vec::with_capacity(Self::ENCODED_LEN);
        out.extend_from_slice(&magic);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.push(SUITE);
        out.push(1); // wrap kind: 1 is symmetric; 2, HPKE to the reader, is reserved
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(self.scope.as_bytes());
        out.extend_from_slice(&self.salt);
        out.try_into().expect("the fields add up to the encoded length")
    }

    /// Splits an object into its decoded header and the sealed rest.
    ///
    /// # Errors
    /// [`FormatError`] when the magic is another one or the version, suite or wrap kind is unknown.
    pub fn split<'a>(what: &'static str, magic: [u8; 8], object: &'a [u8]) -> Result<(Self, &'a [u8]), FormatError> {
        let mut cursor = Cursor::new(what, object);
        crate::check_start(&mut cursor, what, magic)?;
        let wrap_kind = cursor.u8()?;
        if wrap_kind != 1 {
            return Err(FormatError::Unsupported { what, field: "wrap kind", value: wrap_kind.to_string() });
        }
        let epoch = cursor.u32()?;
        let scope = RepositoryId::from_bytes(cursor.array()?);
        let salt = cursor.array()?;
        let rest = cursor.take(cursor.remaining())?;
        Ok((Self { epoch, scope, salt }, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAGIC: [u8; 8] = *b"VELLUMSN";

    fn header() -> SealedHeader {
        SealedHeader { epoch: 0x0102_0304, scope: RepositoryId::from_bytes([5; 16]), salt: [6; 32] }
    }

    #[test]
    fn a_header_is_stored_as_specified() {
        let bytes = [&b"VELLUMSN\x01\0\x01\x01\x04\x03\x02\x01"[..], &[5; 16], &[6; 32]].concat();
        assert_eq!(header().encode(MAGIC)[..], bytes);
        assert_eq!(SealedHeader::split("snapshot", MAGIC, &bytes), Ok((header(), &[][..])));
        let object = [&bytes[..], b"sealed"].concat();
        assert_eq!(SealedHeader::split("snapshot", MAGIC, &object), Ok((header(), &b"sealed"[..])));
        for len in 0..bytes.len() {
            let cut = SealedHeader::split("snapshot", MAGIC, &bytes[..len]);
            assert!(matches!(cut, Err(FormatError::Truncated { .. })), "{len}: {cut:?}");
        }
    }

    #[test]
    fn another_magic_version_suite_or_wrap_kind_is_refused() {
        let with = |at: usize, byte: u8| {
            let mut bytes = header().encode(MAGIC);
            bytes[at] = byte;
            SealedHeader::split("snapshot", MAGIC, &bytes).expect_err("refused")
        };
        assert_eq!(with(7, b'T'), FormatError::WrongMagic { what: "snapshot" });
        for (at, byte, named) in [(8, 2, "version"), (9, 1, "version"), (10, 2, "suite"), (11, 2, "wrap kind")] {
            assert!(matches!(with(at, byte), FormatError::Unsupported { field, .. } if field == named), "{named}");
        }
        assert!(matches!(with(11, 0), FormatError::Unsupported { .. }));
    }
}
