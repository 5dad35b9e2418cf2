//! Everything that is computed under the caller's local key, each use under a key of its own.

use std::fmt;

/// The 32-byte key of one machine's local state. Another key makes existing files look damaged.
#[derive(Clone)]
pub(crate) struct LocalKey([u8; 32]);

/// Names one segment by all that it holds, so that a block can only verify where it was written. // N2
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct SegmentId(pub(crate) [u8; 16]);

/// Seals the blocks of one segment.
#[derive(Clone)]
pub(crate) struct SegmentKey([u8; 32]);

/// Makes the tag of bytes that come in pieces.
pub(crate) struct Tagger(blake3::Hasher);

/// A tag: proof that bytes are as this machine wrote them.
pub(crate) type Tag = [u8; TAG_LEN];

/// Length of a [`Tag`] in bytes.
pub(crate) const TAG_LEN: usize = 16;

/// Length in bytes of what says where tagged bytes belong.
pub(crate) const PLACE_LEN: usize = 9;

/// Length in bytes of a record, chosen so that place and record are one block of BLAKE3.
pub(crate) const RECORD_LEN: usize = 48;

const _: () = assert!(PLACE_LEN + RECORD_LEN <= 64);

impl LocalKey {
    pub(crate) const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Starts the hash whose first bytes become a [`SegmentId`].
    pub(crate) fn segment_id_hasher(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.derive(&[b"segment id"]))
    }

    pub(crate) fn segment_key(&self, id: SegmentId) -> SegmentKey {
        SegmentKey(self.derive(&[b"segment blocks", &id.0]))
    }

    /// Names the segment that comes of merging these sources, each with the catalogs of it that are left out: nothing
    /// else decides what it holds. // N2
    pub(crate) fn merge_id<'a>(
        &self,
        version: u16,
        sources: impl Iterator<Item = (SegmentId, &'a [u32])>,
    ) -> SegmentId {
        let mut hasher = blake3::Hasher::new_keyed(&self.derive(&[b"merged segment id", &version.to_le_bytes()]));
        for (id, forgotten) in sources {
            hasher.update(&id.0).update(&(forgotten.len() as u64).to_le_bytes());
            for catalog in forgotten {
                hasher.update(&catalog.to_le_bytes());
            }
        }
        SegmentId::from_hash(&hasher.finalize())
    }

    /// The tag of one row of the state database, bound to its table and key.
    pub(crate) fn row_tag(&self, table: &str, row: &[u8], value: &[u8]) -> Tag {
        first_bytes(&self.derive(&[b"state row", table.as_bytes(), row, value]))
    }

    /// A keyed hash of unambiguously joined parts.
    fn derive(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }
}

impl SegmentId {
    pub(crate) fn from_hash(hash: &blake3::Hash) -> Self {
        Self(first_bytes(hash.as_bytes()))
    }
}

impl fmt::Display for SegmentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl SegmentKey {
    /// The tag of bytes at a place of the segment.
    pub(crate) fn tag(&self, place: [u8; PLACE_LEN], bytes: &[u8]) -> Tag {
        let mut tagger = self.tagger(place);
        tagger.update(bytes);
        tagger.finish()
    }

    /// The same for bytes that come in pieces.
    pub(crate) fn tagger(&self, place: [u8; PLACE_LEN]) -> Tagger {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&place);
        Tagger(hasher)
    }

    /// The same for a record, in a single compression.
    pub(crate) fn record_tag(&self, place: [u8; PLACE_LEN], record: &[u8; RECORD_LEN]) -> Tag {
        let mut bytes = [0; PLACE_LEN + RECORD_LEN];
        bytes[..PLACE_LEN].copy_from_slice(&place);
        bytes[PLACE_LEN..].copy_from_slice(record);
        first_bytes(blake3::keyed_hash(&self.0, &bytes).as_bytes())
    }
}

impl Tagger {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(crate) fn finish(&self) -> Tag {
        first_bytes(self.0.finalize().as_bytes())
    }
}

fn first_bytes(hash: &[u8; 32]) -> Tag {
    let mut tag = Tag::default();
    tag.copy_from_slice(&hash[..TAG_LEN]);
    tag
}
