//! How a stream of bytes is named by the chunks that hold it, however long it is.
//!
//! The content of a file, and the encoded entry list of a folder, is a list of chunk references. A short list
//! stands in the entry itself (depth 0). A long one is itself cut into chunks of kind [`ChunkKind::List`], whose
//! references stand in the entry (depth 1), and so on: one mechanism for a byte and for a terabyte.

use crate::cursor::{Cursor, at_most};
use crate::{Digest, FormatError, limits};

/// What a chunk holds; it is part of the chunk's digest, so that one kind can never pass for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ChunkKind {
    /// Bytes of a file.
    Data,
    /// Bytes of a folder's entry list.
    Tree,
    /// Encoded [`ChunkRef`]s of a long content.
    List,
}

impl ChunkKind {
    /// The byte that stands for the kind in digests and directories.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Tree => 2,
            Self::List => 3,
        }
    }

    /// The kind for a stored byte.
    ///
    /// # Errors
    /// [`FormatError::Unsupported`] for a byte that no kind has.
    pub fn from_code(code: u8) -> Result<Self, FormatError> {
        match code {
            1 => Ok(Self::Data),
            2 => Ok(Self::Tree),
            3 => Ok(Self::List),
            _ => Err(FormatError::Unsupported { what: "chunk", field: "kind", value: code.to_string() }),
        }
    }
}

/// A reference to one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkRef {
    /// The keyed digest of the plaintext; the lookup id is computed from it.
    pub digest: Digest,
    /// Length of the plaintext in bytes, 1 to [`limits::CHUNK_LEN_BYTES_MAX`].
    pub len_bytes: u32,
}

impl ChunkRef {
    /// Length of an encoded reference in bytes.
    pub const ENCODED_LEN: usize = Digest::LEN + 4;

    /// Appends the encoded reference: digest, length.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.digest.as_bytes());
        out.extend_from_slice(&self.len_bytes.to_le_bytes());
    }

    /// Decodes a whole list of references, as in the plaintext of [`ChunkKind::List`] chunks.
    ///
    /// # Errors
    /// [`FormatError`] when the input is no multiple of the encoded length or a length is out of bounds.
    pub fn decode_list(bytes: &[u8]) -> Result<Vec<Self>, FormatError> {
        if !bytes.len().is_multiple_of(Self::ENCODED_LEN) {
            return Err(FormatError::Truncated { what: "chunk list" });
        }
        bytes.chunks_exact(Self::ENCODED_LEN).map(Self::decode).collect()
    }

    fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new("chunk reference", bytes);
        let digest = Digest::from_bytes(cursor.array()?);
        let len_bytes = at_most("chunk reference", "length", cursor.u32()?, limits::CHUNK_LEN_BYTES_MAX)?;
        cursor.end()?;
        match len_bytes {
            0 => Err(FormatError::Inconsistent { what: "chunk reference", rule: "a chunk is not empty" }),
            _ => Ok(Self { digest, len_bytes }),
        }
    }
}

/// The chunks that hold a stream of bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Content {
    /// 0: `chunks` are the bytes themselves; n: they are lists whose references have depth n - 1.
    pub depth: u8,
    /// In the order of the stream.
    pub chunks: Vec<ChunkRef>,
}

impl Content {
    /// References that stand in an entry itself before the list is cut into chunks.
    pub const DIRECT_MAX: usize = 256;

    /// The content of an empty stream.
    #[must_use]
    pub const fn empty() -> Self {
        Self { depth: 0, chunks: Vec::new() }
    }

    /// Appends the encoded content: depth, count, references.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        let count = u32::try_from(self.chunks.len()).expect("a content keeps at most DIRECT_MAX references");
        out.push(self.depth);
        out.extend_from_slice(&count.to_le_bytes());
        self.chunks.iter().for_each(|chunk| chunk.encode_into(out));
    }

    /// Decodes what [`Content::encode_into`] writes.
    ///
    /// # Errors
    /// [`FormatError`] for anything else.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new("content", bytes);
        let depth = at_most("content", "depth", cursor.u8()?, limits::CONTENT_DEPTH_MAX)?;
        let count = at_most("content", "chunk count", cursor.u32()?, Self::DIRECT_MAX as u64)?;
        let len = count as usize * ChunkRef::ENCODED_LEN;
        let chunks = ChunkRef::decode_list(cursor.take(len)?)?;
        cursor.end()?;
        if depth > 0 && chunks.is_empty() {
            return Err(FormatError::Inconsistent { what: "content", rule: "a list above data is not empty" });
        }
        Ok(Self { depth, chunks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::assert_bound;
    use proptest::prelude::*;

    fn content() -> impl Strategy<Value = Content> {
        let chunk = (any::<[u8; 32]>(), 1..limits::CHUNK_LEN_BYTES_MAX)
            .prop_map(|(digest, len_bytes)| ChunkRef { digest: Digest::from_bytes(digest), len_bytes });
        (0..=limits::CONTENT_DEPTH_MAX, proptest::collection::vec(chunk, 1..20))
            .prop_map(|(depth, chunks)| Content { depth, chunks })
    }

    fn reference(len_bytes: u32) -> ChunkRef {
        ChunkRef { digest: Digest::from_bytes([5; 32]), len_bytes }
    }

    fn decoded(depth: u8, references: usize) -> Result<Content, FormatError> {
        let mut bytes = Vec::new();
        Content { depth, chunks: vec![reference(1); references] }.encode_into(&mut bytes);
        Content::decode(&bytes)
    }

    #[test]
    fn depth_and_references_are_bounded() {
        assert_bound(limits::CONTENT_DEPTH_MAX.into(), |depth| decoded(u8::try_from(depth).unwrap(), 1));
        assert_bound(Content::DIRECT_MAX as u64, |count| decoded(0, usize::try_from(count).unwrap()));
        assert_eq!(decoded(0, 0), Ok(Content::empty()));
        assert!(matches!(decoded(1, 0), Err(FormatError::Inconsistent { .. })), "a list is not empty");
    }

    #[test]
    fn a_reference_is_to_a_chunk_of_a_byte_or_more() {
        let list = |len_bytes: u64| {
            let mut bytes = Vec::new();
            reference(1).encode_into(&mut bytes);
            reference(u32::try_from(len_bytes).unwrap()).encode_into(&mut bytes);
            ChunkRef::decode_list(&bytes)
        };
        assert_bound(limits::CHUNK_LEN_BYTES_MAX.into(), list);
        assert_eq!(list(1), Ok(vec![reference(1); 2]));
        assert!(matches!(list(0), Err(FormatError::Inconsistent { .. })));
    }

    #[test]
    fn what_is_cut_short_or_followed_by_more_is_refused() {
        let mut bytes = Vec::new();
        Content { depth: 0, chunks: vec![reference(1)] }.encode_into(&mut bytes);
        bytes.push(0);
        assert_eq!(Content::decode(&bytes), Err(FormatError::TrailingBytes { what: "content", len_bytes: 1 }));
        for len in 0..bytes.len() - 1 {
            assert!(matches!(Content::decode(&bytes[..len]), Err(FormatError::Truncated { .. })), "{len}");
        }
        assert!(matches!(ChunkRef::decode_list(&bytes[5..]), Err(FormatError::Truncated { .. })));
    }

    proptest! {
        #[test]
        fn round_trip(content in content()) {
            let mut bytes = Vec::new();
            content.encode_into(&mut bytes);
            prop_assert_eq!(Content::decode(&bytes), Ok(content));
        }

        #[test]
        fn hostile_bytes_give_an_error_or_their_own_encoding(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(content) = Content::decode(&bytes) {
                let mut again = Vec::new();
                content.encode_into(&mut again);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
