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
