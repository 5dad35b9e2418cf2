//! Entries of folders as they are stored, for trees that no backup makes.

use vellum_format::snapshot::Timestamp;
use vellum_format::tree::{Entry, EntryName, Metadata, Node};

/// What a test that cares for nothing of it gives an entry: whoever runs the test may restore it.
#[must_use]
pub fn metadata() -> Metadata {
    Metadata {
        mode: 0o755,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        user: Vec::new(),
        group: Vec::new(),
        modified: Timestamp { seconds: 1, nanoseconds: 0 },
        xattrs: Vec::new(),
        link_group: None,
    }
}

/// An encoded entry with [`metadata`].
///
/// # Panics
/// When the name is none that an entry may have.
#[must_use]
pub fn entry(name: &[u8], node: Node) -> Vec<u8> {
    entry_with(name, node, metadata())
}

/// An encoded entry.
///
/// # Panics
/// When the name is none that an entry may have.
#[must_use]
pub fn entry_with(name: &[u8], node: Node, metadata: Metadata) -> Vec<u8> {
    let name = EntryName::new(name.to_vec()).expect("a plain name");
    let mut bytes = Vec::new();
    Entry { name, node, metadata }.encode_into(&mut bytes);
    bytes
}
