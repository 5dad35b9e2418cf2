//! Bytes to values and back for everything a Vellum repository stores, as `docs/FORMAT.md` describes it.
//!
//! This crate hides one decision: what the stored bytes look like. It does no I/O, knows no key and never
//! allocates by a length it has not checked. Every decoder takes hostile bytes: it is bounded by [`limits`],
//! returns a [`FormatError`] instead of panicking, and refuses input that it did not consume to the end.

#![forbid(unsafe_code)]

#[cfg(test)]
mod bounds;
mod bytes;
pub mod catalog;
mod cbor;
pub mod content;
mod cursor;
pub mod deletion;
mod error;
pub mod history;
mod ids;
pub mod key_manifest;
pub mod limits;
mod object_name;
pub mod pack;
mod padme;
pub mod parity;
mod record;
pub mod repository_config;
mod sealed;
pub mod snapshot;
pub mod tombstone;
pub mod tree;
pub mod verification;

use cursor::Cursor;

pub use bytes::{Bytes, FixedBytes};
pub use error::FormatError;
pub use ids::{ChunkId, DeviceId, Digest, ObjectId, RepositoryId};
pub use object_name::{ObjectKind, ObjectName, ParseObjectNameError};
pub use padme::padme_len;
pub use sealed::SealedHeader;

/// The only version of every layout in this crate; `docs/FORMAT.md` describes exactly this one.
pub const FORMAT_VERSION: u16 = 1;

/// Suite 1: keyed BLAKE3, AES-256-GCM-SIV inside the committing AEAD, X-Wing slots, Ed25519 signatures.
pub const SUITE: u8 = 1;

/// Feature names that this version understands in a config's `must_understand` list.
pub const FEATURES_UNDERSTOOD: &[&str] = &[];

/// A clear object: magic, version, suite, a zero byte, then its body.
fn start_object(magic: [u8; 8], body: &[u8]) -> Vec<u8> {
    [&magic[..], &FORMAT_VERSION.to_le_bytes(), &[SUITE, 0], body].concat()
}

/// The body of a clear object with this magic.
fn object_body<'a>(what: &'static str, magic: [u8; 8], object: &'a [u8]) -> Result<&'a [u8], FormatError> {
    let mut cursor = Cursor::new(what, object);
    check_start(&mut cursor, what, magic)?;
    match cursor.u8()? {
        0 => cursor.take(cursor.remaining()),
        _ => Err(FormatError::Inconsistent { what, rule: "reserved bytes are zero" }),
    }
}

/// Consumes magic, version and suite, which every object starts with.
fn check_start(cursor: &mut Cursor<'_>, what: &'static str, magic: [u8; 8]) -> Result<(), FormatError> {
    if cursor.array::<8>()? != magic {
        return Err(FormatError::WrongMagic { what });
    }
    let version = cursor.u16()?;
    if version != FORMAT_VERSION {
        return Err(FormatError::Unsupported { what, field: "version", value: version.to_string() });
    }
    match cursor.u8()? {
        SUITE => Ok(()),
        suite => Err(FormatError::Unsupported { what, field: "suite", value: suite.to_string() }),
    }
}
