//! Packs: a clear header, sealed frames, filler, a sealed directory and a sealed trailer (`docs/FORMAT.md`, "Pack").
//!
//! ```text
//! header | frame | frame | … | filler | sealed directory | sealed trailer | parity, or nothing
//! '------------------------- body_len_bytes -----------------------------'
//! ```

use crate::content::ChunkKind;
use crate::cursor::{Cursor, at_most};
use crate::parity::Parity;
use crate::{ChunkId, FORMAT_VERSION, FormatError, RepositoryId, SUITE, limits};

const MAGIC: [u8; 8] = *b"VELLUMPK";

/// The clear start of every pack. It is bound into the sealed directory and trailer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackHeader {
    /// What follows the body.
    pub parity: Parity,
    /// The epoch whose keys seal the directory.
    pub epoch: u32,
    /// The repository (later: the domain) that the pack belongs to.
    pub scope: RepositoryId,
    /// The tag of its writer and fresh random bytes: no two packs ever have the same name, even with the same content.
    pub salt: [u8; 32],
    /// Bytes from the start of the header to the end of the trailer; parity follows.
    pub body_len_bytes: u64,
}

impl PackHeader {
    /// Length of the encoded header in bytes.
    pub const ENCODED_LEN: usize = 80;
    /// Where the body's length stands.
    pub const BODY_LEN_OFFSET: usize = 64;
    const SALT_OFFSET: usize = 32;

    /// The encoded header.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::ENCODED_LEN] {
        let mut out = Vec::with_capacity(Self::ENCODED_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.push(SUITE);
        out.push(self.parity.code());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(self.scope.as_bytes());
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.body_len_bytes.to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        out.try_into().expect("the fields add up to the encoded length")
    }

    /// The tag of the writer in the first bytes of a pack: the first half of its intent's name. Nothing else of the
    /// bytes is checked, and whoever can write the storage can change it.
    #[must_use]
    pub fn tag(bytes: &[u8]) -> Option<[u8; 16]> {
        bytes.get(Self::SALT_OFFSET..)?.first_chunk().copied()
    }

    /// Decodes the first bytes of a pack of `object_len_bytes`.
    ///
    /// # Errors
    /// [`FormatError`] when this is no pack of this version or its length contradicts the object's.
    pub fn decode(bytes: &[u8], object_len_bytes: u64) -> Result<Self, FormatError> {
        const WHAT: &str = "pack header";
        let mut cursor = Cursor::new(WHAT, bytes);
        crate::check_start(&mut cursor, "pack", MAGIC)?;
        let parity = Parity::from_code(WHAT, cursor.u8()?)?;
        let epoch = cursor.u32()?;
        let scope = RepositoryId::from_bytes(cursor.array()?);
        let salt = cursor.array()?;
        let body_len_bytes = at_most(WHAT, "body length", cursor.u64()?, limits::PACK_LEN_BYTES_MAX)?;
        Cursor::new(WHAT, cursor.take(8)?).zero_padding()?;
        cursor.end()?;
        if parity.object_len_bytes(body_len_bytes) != object_len_bytes {
            return Err(FormatError::Inconsistent { what: WHAT, rule: "body and parity are as long as the object" });
        }
        Ok(Self { parity, epoch, scope, salt, body_len_bytes })
    }
}

/// The end of a pack's body once opened: where the sealed directory stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackTrailer {
    /// Offset of the sealed directory in bytes from the start of the pack.
    pub directory_offset: u32,
    /// Length of the sealed directory in bytes, seal included.
    pub directory_len_bytes: u32,
}

impl PackTrailer {
    /// Length of the encoded trailer in bytes, before sealing.
    pub const ENCODED_LEN: usize = 16;

    /// The encoded trailer.
    #[must_use]
    pub fn encode(&self) -> [u8; Self::ENCODED_LEN] {
        let mut out = [0; Self::ENCODED_LEN];
        out[..4].copy_from_slice(&self.directory_offset.to_le_bytes());
        out[4..8].copy_from_slice(&self.directory_len_bytes.to_le_bytes());
        out
    }

    /// Decodes an opened trailer whose sealed form starts at `trailer_offset`, where the directory must end.
    ///
    /// # Errors
    /// [`FormatError`] when the directory would not lie between header and trailer.
    pub fn decode(bytes: &[u8], trailer_offset: u64) -> Result<Self, FormatError> {
        const WHAT: &str = "pack trailer";
        let mut cursor = Cursor::new(WHAT, bytes);
        let directory_offset = cursor.u32()?;
        let directory_len_bytes = at_most(WHAT, "directory length", cursor.u32()?, limits::DIRECTORY_LEN_BYTES_MAX)?;
        Cursor::new(WHAT, cursor.take(8)?).zero_padding()?;
        cursor.end()?;
        let end = u64::from(directory_offset) + u64::from(directory_len_bytes);
        if end != trailer_offset || (directory_offset as usize) < PackHeader::ENCODED_LEN {
            return Err(FormatError::Inconsistent {
                what: WHAT,
                rule: "the directory lies between header and trailer",
            });
        }
        Ok(Self { directory_offset, directory_len_bytes })
    }
}

/// How the key of a pack's frames is wrapped. A pack that takes over frames from others carries their wraps too,
/// so that frames move without being opened.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyWrap {
    /// The epoch whose keys wrap it: frames that moved keep the epoch that they were sealed in.
    pub epoch: u32,
    /// 1: symmetric, under the epoch's wrap key. 2 (HPKE to the reader) and 3 (domain) are reserved.
    pub kind: u8,
    /// Kind 1: salt (32) and sealed pack key (80).
    pub bytes: Vec<u8>,
}

impl KeyWrap {
    /// Wrapped under the epoch's symmetric wrap key.
    pub const SYMMETRIC: u8 = 1;
    /// Bytes in front of a wrap's own: kind, zero, length, epoch.
    const START_LEN: usize = 8;
}

impl std::fmt::Debug for KeyWrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "KeyWrap(epoch {}, kind {}, {} bytes)", self.epoch, self.kind, self.bytes.len())
    }
}

/// How a frame's plaintext is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Stored as it is.
    None,
    /// One zstd frame (RFC 8878), of any level.
    Zstd,
}

impl Compression {
    /// The stored byte.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Zstd => 1,
        }
    }

    fn from_code(code: u8) -> Result<Self, FormatError> {
        match code {
            0 => Ok(Self::None),
            1 => Ok(Self::Zstd),
            _ => Err(FormatError::Unsupported { what: "frame", field: "compression", value: code.to_string() }),
        }
    }
}

/// One frame of a pack: where it lies and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Offset of the sealed frame in bytes from the start of the pack.
    pub offset: u32,
    /// Length of the sealed frame in bytes.
    pub stored_len_bytes: u32,
    /// Which of the pack's wraps holds its key.
    pub wrap: u16,
    /// What its chunks are.
    pub kind: ChunkKind,
    /// How its plaintext is compressed.
    pub compression: Compression,
    /// Function of the ids inside; it makes the seal of equal frames equal and of different frames different.
    pub salt: [u8; 16],
    /// Its chunks in the order of the plaintext.
    pub chunks: Vec<PackedChunk>,
}

impl Frame {
    const ENCODED_LEN: usize = 40;

    /// Length of the plaintext in bytes.
    #[must_use]
    pub fn plain_len_bytes(&self) -> u32 {
        self.chunks.iter().map(|chunk| chunk.len_bytes).sum()
    }
}

/// One chunk of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedChunk {
    /// Its lookup id.
    pub id: ChunkId,
    /// Length of its plaintext in bytes.
    pub len_bytes: u32,
}

impl PackedChunk {
    /// Length of an encoded chunk in bytes.
    pub const ENCODED_LEN: usize = ChunkId::LEN + 4;
}

/// What a pack holds: the plaintext of its sealed directory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directory {
    /// Wrapped keys of the frames.
    pub wraps: Vec<KeyWrap>,
    /// In the order of the pack, without overlap.
    pub frames: Vec<Frame>,
}

const DIRECTORY: &str = "pack directory";

impl Directory {
    const START_LEN: usize = 16;

    /// Chunks in all frames.
    #[must_use]
    pub fn chunk_count(&self) -> usize {
        self.frames.iter().map(|frame| frame.chunks.len()).sum()
    }

    /// Length of the encoded directory in bytes for these many parts.
    #[must_use]
    pub fn encoded_len(wrap_lens_bytes: &[usize], frames: usize, chunks: usize) -> usize {
        let wraps: usize = wrap_lens_bytes.iter().map(|len| len + KeyWrap::START_LEN).sum();
        Self::START_LEN + wraps + frames * Frame::ENCODED_LEN + chunks * PackedChunk::ENCODED_LEN
    }

    /// The encoded directory, without padding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let count = |len: usize| u32::try_from(len).expect("a pack writer keeps below the limits");
        let mut out = Vec::new();
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&u16::try_from(self.wraps.len()).expect("below PACK_WRAPS_MAX").to_le_bytes());
        out.extend_from_slice(&count(self.frames.len()).to_le_bytes());
        out.extend_from_slice(&count(self.chunk_count()).to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for wrap in &self.wraps {
            out.extend_from_slice(&[wrap.kind, 0]);
            out.extend_from_slice(&u16::try_from(wrap.bytes.len()).expect("below WRAP_LEN_BYTES_MAX").to_le_bytes());
            out.extend_from_slice(&wrap.epoch.to_le_bytes());
            out.extend_from_slice(&wrap.bytes);
        }
        for frame in &self.frames {
            out.extend_from_slice(&frame.offset.to_le_bytes());
            out.extend_from_slice(&frame.stored_len_bytes.to_le_bytes());
            out.extend_from_slice(&frame.plain_len_bytes().to_le_bytes());
            out.extend_from_slice(&count(frame.chunks.len()).to_le_bytes());
            out.extend_from_slice(&frame.salt);
            out.extend_from_slice(&frame.wrap.to_le_bytes());
            out.extend_from_slice(&[frame.kind.code(), frame.compression.code(), 0, 0, 0, 0]);
        }
        for chunk in self.frames.iter().flat_map(|frame| &frame.chunks) {
            out.extend_from_slice(chunk.id.as_bytes());
            out.extend_from_slice(&chunk.len_bytes.to_le_bytes());
        }
        out
    }

    /// Decodes an opened directory, zero padding included, of a pack whose frames must end before `frames_end`.
    ///
    /// # Errors
    /// [`FormatError`] for anything but what [`Directory::encode`] writes, padded with zeros.
    pub fn decode(bytes: &[u8], frames_end: u64) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(DIRECTORY, bytes);
        let version = cursor.u16()?;
        if version != FORMAT_VERSION {
            return Err(FormatError::Unsupported { what: DIRECTORY, field: "version", value: version.to_string() });
        }
        let wrap_count = at_most(DIRECTORY, "wrap count", cursor.u16()?, limits::PACK_WRAPS_MAX)?;
        let frame_count = at_most(DIRECTORY, "frame count", cursor.u32()?, limits::PACK_FRAMES_MAX)?;
        let chunk_count = at_most(DIRECTORY, "chunk count", cursor.u32()?, limits::PACK_CHUNKS_MAX)?;
        Cursor::new(DIRECTORY, cursor.take(4)?).zero_padding()?;
        let wraps = (0..wrap_count).map(|_| decode_wrap(&mut cursor)).collect::<Result<Vec<_>, _>>()?;
        let mut starts = Cursor::new(DIRECTORY, cursor.take(frame_count as usize * Frame::ENCODED_LEN)?);
        let mut chunks = Cursor::new(DIRECTORY, cursor.take(chunk_count as usize * PackedChunk::ENCODED_LEN)?);
        cursor.zero_padding()?;
        let mut frames = Vec::new();
        let mut free_from = PackHeader::ENCODED_LEN as u64;
        for _ in 0..frame_count {
            let frame = decode_frame(&mut starts, &mut chunks, wrap_count)?;
            let end = u64::from(frame.offset) + u64::from(frame.stored_len_bytes);
            if u64::from(frame.offset) < free_from || end > frames_end {
                return Err(FormatError::Inconsistent { what: DIRECTORY, rule: "frames lie in order inside the pack" });
            }
            free_from = end;
            frames.push(frame);
        }
        chunks.end()?;
        Ok(Self { wraps, frames })
    }
}

fn decode_wrap(cursor: &mut Cursor<'_>) -> Result<KeyWrap, FormatError> {
    let kind = cursor.u8()?;
    let reserved = cursor.u8()?;
    let len = at_most(DIRECTORY, "wrap length", cursor.u16()?, limits::WRAP_LEN_BYTES_MAX)?;
    if reserved != 0 {
        return Err(FormatError::Inconsistent { what: DIRECTORY, rule: "reserved bytes are zero" });
    }
    Ok(KeyWrap { epoch: cursor.u32()?, kind, bytes: cursor.take(usize::from(len))?.to_vec() })
}

fn decode_frame(starts: &mut Cursor<'_>, chunks: &mut Cursor<'_>, wrap_count: u16) -> Result<Frame, FormatError> {
    let offset = starts.u32()?;
    let stored_len_bytes = starts.u32()?;
    let plain_len_bytes = at_most(DIRECTORY, "frame length", starts.u32()?, limits::FRAME_PLAIN_LEN_BYTES_MAX)?;
    let chunk_count = starts.u32()?;
    let salt = starts.array()?;
    let wrap = starts.u16()?;
    let kind = ChunkKind::from_code(starts.u8()?)?;
    let compression = Compression::from_code(starts.u8()?)?;
    Cursor::new(DIRECTORY, starts.take(4)?).zero_padding()?;
    if wrap >= wrap_count {
        return Err(FormatError::Inconsistent { what: DIRECTORY, rule: "a frame's wrap exists" });
    }
    let mut encoded =
        Cursor::new(DIRECTORY, chunks.take((chunk_count as usize).saturating_mul(PackedChunk::ENCODED_LEN))?);
    let mut members = Vec::with_capacity(chunk_count as usize);
    let mut sum = 0u64;
    for _ in 0..chunk_count {
        let id = ChunkId::from_bytes(encoded.array()?);
        let len_bytes = at_most(DIRECTORY, "chunk length", encoded.u32()?, limits::CHUNK_LEN_BYTES_MAX)?;
        sum += u64::from(len_bytes);
        members.push(PackedChunk { id, len_bytes });
    }
    if members.is_empty() {
        return Err(FormatError::Inconsistent { what: DIRECTORY, rule: "a frame holds a chunk" });
    }
    if sum != u64::from(plain_len_bytes) || members.iter().any(|chunk| chunk.len_bytes == 0) {
        return Err(FormatError::Inconsistent { what: DIRECTORY, rule: "chunks are not empty and fill their frame" });
    }
    Ok(Frame { offset, stored_len_bytes, wrap, kind, compression, salt, chunks: members })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::bounds::{assert_bound, with_number};
    use proptest::prelude::*;

    pub(crate) fn directory() -> impl Strategy<Value = Directory> {
        let chunk = (any::<[u8; 32]>(), 1..100_000u32)
            .prop_map(|(id, len_bytes)| PackedChunk { id: ChunkId::from_bytes(id), len_bytes });
        let frame = (proptest::collection::vec(chunk, 1..5), 48..10_000u32, any::<[u8; 16]>(), 1..=3u8, any::<bool>());
        let wrap = proptest::collection::vec(any::<u8>(), 0..130);
        (proptest::collection::vec(frame, 0..6), proptest::collection::vec(wrap, 1..3)).prop_map(|(frames, wraps)| {
            let mut offset = 80;
            let frames = frames.into_iter().map(|(chunks, stored_len_bytes, salt, kind, zstd)| {
                let frame = Frame {
                    offset,
                    stored_len_bytes,
                    wrap: 0,
                    kind: ChunkKind::from_code(kind).expect("1 to 3 are kinds"),
                    compression: if zstd { Compression::Zstd } else { Compression::None },
                    salt,
                    chunks,
                };
                offset += stored_len_bytes;
                frame
            });
            let wraps = wraps.into_iter().map(|bytes| KeyWrap { epoch: 1, kind: 1, bytes }).collect();
            Directory { frames: frames.collect(), wraps }
        })
    }

    fn header() -> PackHeader {
        let scope = RepositoryId::from_bytes([1; 16]);
        let salt = std::array::from_fn(|at| u8::try_from(at).expect("32 bytes"));
        PackHeader { parity: Parity::None, epoch: 3, scope, salt, body_len_bytes: 4096 }
    }

    #[test]
    fn the_tag_is_the_first_half_of_the_salt() {
        let bytes = header().encode();
        assert_eq!(PackHeader::tag(&bytes), Some(std::array::from_fn(|at| header().salt[at])));
        assert_eq!(PackHeader::tag(&bytes[..48]), PackHeader::tag(&bytes));
        assert_eq!(PackHeader::tag(&bytes[..47]), None);
    }

    #[test]
    fn a_header_is_bounded_and_nothing_else_follows() {
        let bytes = header().encode();
        assert_bound(limits::PACK_LEN_BYTES_MAX, |len| PackHeader::decode(&with_number::<8>(&bytes, 64, len), len));
        let reserved = PackHeader::decode(&with_number::<1>(&bytes, 79, 1), 4096);
        assert!(matches!(reserved, Err(FormatError::Inconsistent { .. })), "{reserved:?}");
        let longer = PackHeader::decode(&[&bytes[..], &[0]].concat(), 4096);
        assert!(matches!(longer, Err(FormatError::TrailingBytes { len_bytes: 1, .. })), "{longer:?}");
    }

    #[test]
    fn a_trailer_is_stored_as_specified() {
        let trailer = PackTrailer { directory_offset: 80, directory_len_bytes: 0x0102_0304 };
        let bytes = [80, 0, 0, 0, 4, 3, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(trailer.encode(), bytes);
        assert_eq!(PackTrailer::decode(&bytes, 80 + 0x0102_0304), Ok(trailer));
        assert!(PackTrailer::decode(&[&bytes[..], &[0]].concat(), 80 + 0x0102_0304).is_err(), "something follows");
        assert!(PackTrailer::decode(&with_number::<1>(&bytes, 15, 1), 80 + 0x0102_0304).is_err(), "zeros");
    }

    #[test]
    fn a_directory_lies_behind_the_header_and_ends_at_the_trailer() {
        let decoded = |offset: u32, len: u64, at: u64| {
            let len = u32::try_from(len).unwrap();
            let trailer = PackTrailer { directory_offset: offset, directory_len_bytes: len };
            PackTrailer::decode(&trailer.encode(), at)
        };
        assert_bound(limits::DIRECTORY_LEN_BYTES_MAX.into(), |len| decoded(80, len, 80 + len));
        assert!(decoded(80, 4096, 4176).is_ok());
        for (offset, at) in [(79, 4175), (0, 4096), (80, 4175), (80, 4177), (81, 4176)] {
            let refused = decoded(offset, 4096, at);
            assert!(matches!(refused, Err(FormatError::Inconsistent { .. })), "{offset}, {at}: {refused:?}");
        }
    }

    /// Frames of one chunk each between these places.
    fn placed(places: &[(u32, u32)]) -> Directory {
        let frame = |&(start, end): &(u32, u32)| Frame {
            offset: start,
            stored_len_bytes: end - start,
            wrap: 0,
            kind: ChunkKind::Data,
            compression: Compression::None,
            salt: [1; 16],
            chunks: vec![PackedChunk { id: ChunkId::from_bytes([2; 32]), len_bytes: 9 }],
        };
        let wrap = KeyWrap { epoch: 1, kind: KeyWrap::SYMMETRIC, bytes: vec![3; 112] };
        Directory { wraps: vec![wrap], frames: places.iter().map(frame).collect() }
    }

    #[test]
    fn frames_lie_in_order_between_header_and_directory() {
        let decoded = |places: &[(u32, u32)]| Directory::decode(&placed(places).encode(), 1000);
        for fits in [&[(80, 1000)][..], &[(80, 500), (500, 1000)], &[(90, 500), (510, 990)], &[]] {
            assert_eq!(decoded(fits), Ok(placed(fits)), "{fits:?}");
        }
        for bad in [
            &[(79, 1000)][..],
            &[(80, 1001)],
            &[(80, 500), (499, 1000)],
            &[(500, 1000), (80, 500)],
            &[(80, 1001), (1001, 1002)],
        ] {
            let refused = decoded(bad);
            assert!(matches!(refused, Err(FormatError::Inconsistent { .. })), "{bad:?}: {refused:?}");
        }
    }

    #[test]
    fn every_number_of_a_directory_is_bounded() {
        let bytes = placed(&[(80, 500)]).encode();
        let (wrap, frame, chunk) = (16, 16 + 8 + 112, 16 + 8 + 112 + 40);
        let decode = |bytes: &[u8]| Directory::decode(bytes, 1000);
        assert_bound(limits::PACK_WRAPS_MAX.into(), |count| decode(&with_number::<2>(&bytes[..16], 2, count)));
        assert_bound(limits::PACK_FRAMES_MAX.into(), |count| decode(&with_number::<4>(&bytes[..16], 4, count)));
        assert_bound(limits::PACK_CHUNKS_MAX.into(), |count| decode(&with_number::<4>(&bytes[..16], 8, count)));
        assert_bound(limits::WRAP_LEN_BYTES_MAX.into(), |len| decode(&with_number::<2>(&bytes, wrap + 2, len)));
        assert_bound(limits::CHUNK_LEN_BYTES_MAX.into(), |len| {
            decode(&with_number::<4>(&with_number::<4>(&bytes, frame + 8, len), chunk + 36 - 4, len))
        });
        assert_bound(limits::FRAME_PLAIN_LEN_BYTES_MAX.into(), |len| {
            let mut directory = placed(&[(80, 500)]);
            let half = u32::try_from(len).unwrap() / 2;
            directory.frames[0].chunks[0].len_bytes = half;
            directory.frames[0].chunks.push(PackedChunk { id: ChunkId::from_bytes([4; 32]), len_bytes: half });
            decode(&with_number::<4>(&directory.encode(), frame + 8, len))
        });
    }

    #[test]
    fn reserved_bytes_wraps_and_lengths_of_a_directory_are_checked() {
        let bytes = placed(&[(80, 500)]).encode();
        let (wrap, frame, chunk) = (16, 16 + 8 + 112, 16 + 8 + 112 + 40);
        let inconsistent = [
            ("reserved bytes of the start", 12, 1),
            ("reserved byte of a wrap", wrap + 1, 1),
            ("reserved bytes of a frame", frame + 39, 1),
            ("a wrap that is not there", frame + 32, 1),
            ("a frame longer than its chunks", frame + 8, 10),
            ("an empty frame", frame + 12, 0),
            ("padding", bytes.len(), 1),
        ];
        for (what, at, byte) in inconsistent {
            let refused = Directory::decode(&with_number::<1>(&[&bytes[..], &[0; 9]].concat(), at, byte), 1000);
            assert!(matches!(refused, Err(FormatError::Inconsistent { .. })), "{what}: {refused:?}");
        }
        let empty = with_number::<1>(&with_number::<1>(&bytes, frame + 8, 0), chunk + 32, 0);
        assert!(matches!(Directory::decode(&empty, 1000), Err(FormatError::Inconsistent { .. })), "an empty chunk");
        for (what, at) in [("version", 0), ("kind", frame + 34), ("compression", frame + 35)] {
            let refused = Directory::decode(&with_number::<1>(&bytes, at, 4), 1000);
            assert!(matches!(refused, Err(FormatError::Unsupported { .. })), "{what}: {refused:?}");
        }
        let unclaimed = Directory::decode(&[&with_number::<1>(&bytes, 8, 2)[..], &[0; 36]].concat(), 1000);
        assert!(matches!(unclaimed, Err(FormatError::TrailingBytes { len_bytes: 36, .. })), "a chunk of no frame");
    }

    proptest! {
        #[test]
        fn directory_round_trip(directory in directory(), padding in 0..100usize) {
            let mut bytes = directory.encode();
            let wrap_lens: Vec<usize> = directory.wraps.iter().map(|wrap| wrap.bytes.len()).collect();
            prop_assert_eq!(bytes.len(), Directory::encoded_len(&wrap_lens, directory.frames.len(), directory.chunk_count()));
            bytes.resize(bytes.len() + padding, 0);
            prop_assert_eq!(Directory::decode(&bytes, 1 << 30), Ok(directory));
        }

        #[test]
        fn directory_takes_hostile_bytes(directory in directory(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
            let mut bytes = directory.encode();
            let at = at.index(bytes.len());
            bytes[at] = to;
            if let Ok(other) = Directory::decode(&bytes, 1 << 30) {
                prop_assert_eq!(other.encode(), bytes);
            }
        }

        #[test]
        fn header_with_parity_round_trip(len in 1..limits::PACK_LEN_BYTES_MAX) {
            let scope = RepositoryId::from_bytes([1; 16]);
            let header =
                PackHeader { parity: Parity::ReedSolomon, epoch: 1, scope, salt: [2; 32], body_len_bytes: len };
            let object = Parity::ReedSolomon.object_len_bytes(len);
            prop_assert_eq!(PackHeader::decode(&header.encode(), object), Ok(header.clone()));
            prop_assert!(PackHeader::decode(&header.encode(), len).is_err());
            prop_assert_eq!(&header.encode()[PackHeader::BODY_LEN_OFFSET..][..8], len.to_le_bytes());
        }

        #[test]
        fn header_round_trip(epoch in any::<u32>(), scope in any::<[u8; 16]>(), salt in any::<[u8; 32]>(), len in 0..limits::PACK_LEN_BYTES_MAX) {
            let header = PackHeader { parity: Parity::None, epoch, scope: RepositoryId::from_bytes(scope), salt, body_len_bytes: len };
            prop_assert_eq!(PackHeader::decode(&header.encode(), len), Ok(header.clone()));
            prop_assert!(PackHeader::decode(&header.encode(), len + 1).is_err());
            prop_assert!(PackHeader::decode(&header.encode()[..79], len).is_err());
        }

        #[test]
        fn trailer_stays_inside(offset in any::<u32>(), len in any::<u32>(), at in any::<u32>()) {
            let trailer = PackTrailer { directory_offset: offset, directory_len_bytes: len };
            if let Ok(decoded) = PackTrailer::decode(&trailer.encode(), u64::from(at)) {
                prop_assert_eq!(decoded, trailer);
                prop_assert!(u64::from(offset) + u64::from(len) == u64::from(at) && offset >= 80);
            }
        }
    }
}
