//! The identifiers of the format, each its own type so that none can stand for another.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Declares an identifier that may be printed: lower-case hex in full, parsed strictly.
macro_rules! printable_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(crate::FixedBytes<$len>);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// Wraps raw bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; $len]) -> Self {
                Self(crate::FixedBytes(bytes))
            }

            /// The raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0.0
            }

            /// Parses exactly what `Display` prints: lower-case hex in full length.
            #[must_use]
            pub fn from_hex(text: &str) -> Option<Self> {
                parse_hex(text).map(Self::from_bytes)
            }

            /// The first eight hex digits, for people.
            #[must_use]
            pub fn short(&self) -> String {
                self.0.0[..4].iter().map(|byte| format!("{byte:02x}")).collect()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(hex(&self.0.0, &mut [0; 2 * $len]))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }
    };
}

printable_id! {
    /// The name of a stored object: BLAKE3 of its stored bytes, so that anybody can verify it without keys.
    ObjectId, 32
}
printable_id! {
    /// The lookup name of a chunk: a keyed function of its [`Digest`]. It gives no access and may be logged.
    ChunkId, 32
}
printable_id! {
    /// A repository, chosen at random by `init`.
    RepositoryId, 16
}
printable_id! {
    /// A device: derived from the name of one user of one machine, or random where nothing names it.
    DeviceId, 16
}

impl ObjectId {
    /// The name of an object with these stored bytes.
    #[must_use]
    pub fn of(stored_bytes: &[u8]) -> Self {
        Self::from_bytes(*blake3::hash(stored_bytes).as_bytes())
    }
}

/// The keyed digest of a chunk's plaintext. Whoever holds it may be able to read the chunk in a shared class,
/// so it stays inside sealed trees and is never printed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// Wraps raw bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The raw bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest(secret)")
    }
}

/// The lower-case hex of `bytes`, which fills `digits`.
pub(crate) fn hex<'digits>(bytes: &[u8], digits: &'digits mut [u8]) -> &'digits str {
    let digit = |value: u8| b"0123456789abcdef"[usize::from(value)];
    for (byte, pair) in bytes.iter().zip(digits.chunks_exact_mut(2)) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    std::str::from_utf8(digits).expect("hex digits are ASCII")
}

fn parse_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = hex_value(pair[0])? * 16 + hex_value(pair[1])?;
    }
    Some(bytes)
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_is_lower_case_hex() {
        let id = RepositoryId::from_bytes([0, 1, 9, 10, 15, 16, 127, 128, 159, 160, 171, 205, 239, 240, 254, 255]);
        assert_eq!(id.to_string(), "0001090a0f107f809fa0abcdeff0feff");
    }

    #[test]
    fn hex_parses_only_what_display_prints() {
        let id = RepositoryId::from_bytes(*b"jklmnopqrstuvwxy");
        assert_eq!(RepositoryId::from_hex(&id.to_string()), Some(id));
        assert_eq!(RepositoryId::from_hex(&id.to_string().to_uppercase()), None);
        assert_eq!(RepositoryId::from_hex(&id.to_string()[1..]), None);
        assert_eq!(RepositoryId::from_hex("zz"), None);
    }

    #[test]
    fn a_digest_does_not_print() {
        assert_eq!(format!("{:?}", Digest::from_bytes([7; 32])), "Digest(secret)");
    }
}
