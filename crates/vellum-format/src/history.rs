//! What every record of history is made of, snapshot or tombstone: a signed CBOR manifest and who signed it.

use crate::{Bytes, FixedBytes, FormatError, cbor};
use serde::{Deserialize, Serialize};

const WHAT: &str = "record";

/// What is sealed: the exact bytes that were signed, and who signed them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedRecord {
    /// The encoded [`SnapshotManifest`](crate::snapshot::SnapshotManifest) or
    /// [`TombstoneManifest`](crate::tombstone::TombstoneManifest); a signature is checked over these bytes, never
    /// over a re-encoding.
    pub manifest: Bytes,
    /// The encoded [`DeviceCertificate`](crate::snapshot::DeviceCertificate).
    pub certificate: Bytes,
    /// The owner's Ed25519 signature over the certificate.
    pub certificate_signature: FixedBytes<64>,
    /// The device's Ed25519 signature over the manifest.
    pub signature: FixedBytes<64>,
}

impl SignedRecord {
    /// The encoding: a length of four bytes, CBOR, then whatever padding the caller adds.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let body = cbor::encode(self);
        let len = u32::try_from(body.len()).expect("who writes a record keeps far below 4 GiB");
        [&len.to_le_bytes()[..], &body].concat()
    }

    /// Decodes an opened record, zero padding included.
    ///
    /// # Errors
    /// [`FormatError`] for anything but what [`SignedRecord::encode`] writes, padded with zeros.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = crate::cursor::Cursor::new(WHAT, bytes);
        let len = cursor.u32()?;
        let body = cursor.take(len as usize)?;
        cursor.zero_padding()?;
        cbor::decode(WHAT, body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn padding_is_zero_and_lengths_are_checked() {
        let signed = SignedRecord {
            manifest: Bytes(vec![7; 100]),
            certificate: Bytes(vec![1]),
            certificate_signature: FixedBytes([0; 64]),
            signature: FixedBytes([0; 64]),
        };
        let mut bytes = signed.encode();
        bytes.extend_from_slice(&[0; 9]);
        assert_eq!(SignedRecord::decode(&bytes), Ok(signed));
        *bytes.last_mut().unwrap() = 1;
        assert!(SignedRecord::decode(&bytes).is_err());
        assert!(SignedRecord::decode(&bytes[..20]).is_err());
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(SignedRecord::decode(&bytes));
        }
    }
}
