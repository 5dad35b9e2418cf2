//! Assembling packs: frames in, finished and re-read packs out.

use crate::RepositoryError;
use crate::class::Class;
use crate::memory_faults::{Stage, pass};
use crate::pack_reader::{FrameReader, open_pack};
use crate::parity::add_parity;
use crate::threads::run_on;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use vellum_crypto::{PackKey, SEAL_OVERHEAD_BYTES, random_array};
use vellum_format::catalog::CatalogedPack;
use vellum_format::content::ChunkKind;
use vellum_format::pack::{Compression, Directory, Frame, KeyWrap, PackHeader, PackTrailer, PackedChunk};
use vellum_format::parity::Parity;
use vellum_format::{ObjectId, ObjectKind, ObjectName, RepositoryId, limits, padme_len};

/// A directory is padded to a multiple of this, so that its length says little about the number of chunks.
const DIRECTORY_PADDING_BYTES: usize = 4096;
const TRAILER_LEN_BYTES: usize = PackTrailer::ENCODED_LEN + SEAL_OVERHEAD_BYTES;

/// Chunks that a writer puts into a pack, far fewer than readers take: so many records of a few bytes of data each are
/// several times in memory while a pack is finished.
const CHUNKS_MAX: usize = 1 << 17;

/// Whether a pack can take a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    /// It would be longer than packs are.
    TooLong,
    /// It would have too many frames, chunks or keys, whatever their lengths.
    TooMany,
}

/// A pack's key together with its stored wrap. Frames sealed for one pack may land in the next: the wrap goes along.
pub(crate) struct FrameKey {
    pub(crate) key: PackKey,
    wrap: KeyWrap,
}

impl FrameKey {
    pub(crate) fn generate(class: &Class, scope: RepositoryId) -> Result<Arc<Self>, RepositoryError> {
        let key = PackKey::generate()?;
        let wrap = class.keys().seal_pack_key(&key, scope, class.epoch)?;
        Ok(Arc::new(Self { key, wrap }))
    }

    /// The key of frames that are moved as they are.
    pub(crate) fn of_wrap(wrap: &KeyWrap, class: &Class, scope: RepositoryId) -> Result<Arc<Self>, String> {
        let keys = class.keys_of(wrap.epoch).ok_or("the keys of a frame's epoch are not there")?;
        let key = keys.open_pack_key(wrap, scope).map_err(|error| error.to_string())?;
        Ok(Arc::new(Self { key, wrap: wrap.clone() }))
    }
}

/// A frame that is sealed but has no place yet.
pub(crate) struct SealedFrame {
    pub(crate) key: Arc<FrameKey>,
    pub(crate) kind: ChunkKind,
    pub(crate) compression: Compression,
    pub(crate) salt: [u8; 16],
    pub(crate) chunks: Vec<PackedChunk>,
}

/// A pack that still takes frames.
pub(crate) struct OpenPack {
    pub(crate) key: Arc<FrameKey>,
    bytes: Vec<u8>,
    wraps: Vec<Arc<FrameKey>>,
    frames: Vec<Frame>,
    chunk_count: usize,
}

/// How a pack is completed.
pub(crate) struct PackShape {
    pub(crate) pack_len_bytes: u32,
    /// Whether the body is as long as that, because the next frame did not fit, or as Padmé says.
    pub(crate) full: bool,
    pub(crate) parity: Parity,
    /// Threads that open it again.
    pub(crate) threads: usize,
}

/// A pack that was finished and re-read, ready to be stored.
pub(crate) struct FinishedPack {
    pub(crate) name: ObjectName,
    pub(crate) bytes: Vec<u8>,
    pub(crate) directory: Directory,
    /// What a catalog that lists the pack is compared with.
    pub(crate) mark: CatalogMark,
}

/// A hash of what a catalog says of a pack, made of the pack itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CatalogMark(ObjectId);

/// The marks of packs, by their names.
pub(crate) type CatalogMarks = BTreeMap<ObjectId, CatalogMark>;

impl CatalogMark {
    pub(crate) fn of(pack: &CatalogedPack) -> Self {
        Self::new(&pack.pack, pack.len_bytes, &pack.directory)
    }

    fn new(pack: &ObjectId, len_bytes: u64, directory: &Directory) -> Self {
        Self(ObjectId::of(&[&pack.as_bytes()[..], &len_bytes.to_le_bytes(), &directory.encode()].concat()))
    }
}

impl OpenPack {
    /// In a buffer whose contents do not matter.
    pub(crate) fn new(key: Arc<FrameKey>, mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        bytes.resize(PackHeader::ENCODED_LEN, 0);
        Self { key, bytes, wraps: Vec::new(), frames: Vec::new(), chunk_count: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether a pack of at most `pack_len_bytes` has room for this frame.
    pub(crate) fn room(&self, sealed_len_bytes: usize, chunks: usize, pack_len_bytes: u32) -> Room {
        let counts_fit = self.frames.len() < limits::PACK_FRAMES_MAX as usize
            && self.chunk_count + chunks <= CHUNKS_MAX
            && self.wraps.len() + 2 < usize::from(limits::PACK_WRAPS_MAX);
        match counts_fit {
            _ if self.is_empty() => Room::Enough,
            false => Room::TooMany,
            true if self.len_fits(sealed_len_bytes, chunks, pack_len_bytes) => Room::Enough,
            true => Room::TooLong,
        }
    }

    /// Whether the finished body would still be at most `pack_len_bytes` with this frame in it.
    fn len_fits(&self, sealed_len_bytes: usize, chunks: usize, pack_len_bytes: u32) -> bool {
        let wraps: Vec<usize> =
            self.wraps.iter().map(|key| key.wrap.bytes.len()).chain([self.key.wrap.bytes.len(); 2]).collect();
        let directory = Directory::encoded_len(&wraps, self.frames.len() + 1, self.chunk_count + chunks);
        let end = self.bytes.len() + sealed_len_bytes + sealed_directory_len(directory) + TRAILER_LEN_BYTES;
        end <= pack_len_bytes as usize
    }

    /// Takes a frame over. The caller has asked [`OpenPack::room`].
    pub(crate) fn append(&mut self, frame: SealedFrame, sealed: &[u8]) {
        let position = self.wraps.iter().position(|key| Arc::ptr_eq(key, &frame.key));
        let wrap = position.unwrap_or_else(|| {
            self.wraps.push(Arc::clone(&frame.key));
            self.wraps.len() - 1
        });
        self.chunk_count += frame.chunks.len();
        self.frames.push(Frame {
            offset: to_u32(self.bytes.len()),
            stored_len_bytes: to_u32(sealed.len()),
            wrap: u16::try_from(wrap).expect("room() keeps the wraps below their limit"),
            kind: frame.kind,
            compression: frame.compression,
            salt: frame.salt,
            chunks: frame.chunks,
        });
        self.bytes.extend_from_slice(sealed);
    }

    /// Completes the pack: body, parity, name. Then opens it again from its final bytes and compares every chunk, so
    /// that no fault of memory, processor or compressor is stored (I2).
    pub(crate) fn finish(
        self,
        class: &Class,
        scope: RepositoryId,
        salt: [u8; 32],
        shape: &PackShape,
    ) -> Result<FinishedPack, RepositoryError> {
        let PackShape { pack_len_bytes, full, parity, threads } = *shape;
        let Self { key, mut bytes, wraps, frames, .. } = self;
        let directory = Directory { wraps: wraps.iter().map(|key| key.wrap.clone()).collect(), frames };
        pass(scope, Stage::Body, &mut bytes[PackHeader::ENCODED_LEN..]);
        let mut plain = directory.encode();
        pass(scope, Stage::Directory, &mut plain);
        plain.resize(plain.len().next_multiple_of(DIRECTORY_PADDING_BYTES), 0);
        let tail_len = plain.len() + SEAL_OVERHEAD_BYTES + TRAILER_LEN_BYTES;
        let body_len_bytes = body_len((bytes.len() + tail_len) as u64, u64::from(pack_len_bytes), full);
        let header = PackHeader { parity, epoch: class.epoch, scope, salt, body_len_bytes };
        bytes[..PackHeader::ENCODED_LEN].copy_from_slice(&header.encode());
        let directory_offset = usize::try_from(body_len_bytes).expect("a pack fits into memory") - tail_len;
        // Where the frames stop must not show.
        key.key.append_filler(directory_offset - bytes.len(), &mut bytes);
        class.keys().seal_directory(&header, &plain, &mut bytes);
        let trailer = PackTrailer {
            directory_offset: to_u32(directory_offset),
            directory_len_bytes: to_u32(plain.len() + SEAL_OVERHEAD_BYTES),
        };
        class.keys().seal_trailer(&header, &trailer.encode(), &mut bytes);
        pass(scope, Stage::Finished, &mut bytes);
        if parity == Parity::ReedSolomon {
            add_parity(&mut bytes);
        }
        pass(scope, Stage::Parity, &mut bytes);
        // The name comes before the look at what it is of; whoever stores the pack looks at its parity.
        let name = ObjectName::of(ObjectKind::Pack, &bytes);
        pass(scope, Stage::Named, &mut bytes);
        let mark = verify(&bytes, &name.id, &directory, (class, scope), threads)?;
        pass(scope, Stage::Waiting, &mut bytes);
        Ok(FinishedPack { name, bytes, directory, mark })
    }
}

/// How long a body becomes that holds so much, in a repository with packs of so many bytes.
///
/// A single frame may need more: no writer of this engine makes such a frame, but a prune moves what it finds. (P9)
fn body_len(needed: u64, pack_len_bytes: u64, full: bool) -> u64 {
    match needed <= pack_len_bytes {
        true if full => pack_len_bytes,
        true => padme_len(needed).min(pack_len_bytes),
        false => padme_len(needed),
    }
}

fn verify(
    bytes: &[u8],
    name: &ObjectId,
    meant: &Directory,
    (class, scope): (&Class, RepositoryId),
    threads: usize,
) -> Result<CatalogMark, RepositoryError> {
    let failed = |reason: &str| RepositoryError::WriteVerification { reason: reason.to_owned() };
    let directory = open_pack(bytes, class, scope).map_err(|reason| failed(&reason))?;
    if directory != *meant {
        return Err(failed("its directory differs"));
    }
    let next = AtomicUsize::new(0);
    run_on(threads.min(directory.frames.len()), || {
        let mut reader = FrameReader::new();
        while let Some(frame) = directory.frames.get(next.fetch_add(1, Ordering::Relaxed)) {
            let wrap = &directory.wraps[usize::from(frame.wrap)];
            reader.verify_frame(class, scope, wrap, frame, bytes).map_err(|reason| failed(&reason))?;
        }
        Ok(())
    })
    .into_iter()
    .collect::<Result<(), RepositoryError>>()?;
    Ok(CatalogMark::new(name, bytes.len() as u64, &directory))
}

fn sealed_directory_len(encoded_len: usize) -> usize {
    encoded_len.next_multiple_of(DIRECTORY_PADDING_BYTES) + SEAL_OVERHEAD_BYTES
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N], RepositoryError> {
    Ok(random_array()?)
}

fn to_u32(len: usize) -> u32 {
    u32::try_from(len).expect("a pack is at most 512 MiB long")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::World;
    use vellum_crypto::{frame_ad, frame_salt};
    use vellum_format::ChunkId;

    fn key(byte: u8, len: usize) -> Arc<FrameKey> {
        let wrap = KeyWrap { kind: KeyWrap::SYMMETRIC, epoch: 1, bytes: vec![byte; len] };
        Arc::new(FrameKey { key: PackKey::generate().unwrap(), wrap })
    }

    fn frame(key: &Arc<FrameKey>, chunks: usize) -> SealedFrame {
        let chunks = vec![PackedChunk { id: ChunkId::from_bytes([0; 32]), len_bytes: 1 }; chunks];
        let (kind, compression) = (ChunkKind::Data, Compression::None);
        SealedFrame { key: Arc::clone(key), kind, compression, salt: [0; 16], chunks }
    }

    /// What the body takes at least, once the frames are in it.
    fn end(pack: &OpenPack) -> usize {
        let wraps: Vec<usize> = pack.wraps.iter().map(|key| key.wrap.bytes.len()).collect();
        let directory = Directory::encoded_len(&wraps, pack.frames.len(), pack.chunk_count);
        let sealed = directory.next_multiple_of(DIRECTORY_PADDING_BYTES) + SEAL_OVERHEAD_BYTES;
        pack.bytes.len() + sealed + TRAILER_LEN_BYTES
    }

    #[test]
    fn what_fits_is_what_the_body_has_room_for() {
        for (chunks, key_len) in (1..300).flat_map(|chunks| [(chunks, 100), (chunks, 1)]) {
            let (own, other) = (key(1, key_len), key(2, key_len));
            let mut pack = OpenPack::new(Arc::clone(&own), Vec::new());
            pack.append(frame(&other, chunks), &[0; 5000]);
            let fits = |len: usize| pack.room(3000, 2 * chunks, u32::try_from(len).unwrap()) == Room::Enough;
            let least = (0..60_000).collect::<Vec<_>>().partition_point(|len| !fits(*len));
            pack.append(frame(&own, 2 * chunks), &[0; 3000]);
            assert!(least >= end(&pack), "{chunks}: {least}");
            assert!(least <= end(&pack) + 100 + DIRECTORY_PADDING_BYTES, "{chunks}: one more key is reserved, {least}");
        }
    }

    /// P9: others who hold the keys may have stored frames that are longer than packs are here.
    #[test]
    fn a_frame_that_is_longer_than_packs_are_gets_a_pack_that_holds_it() {
        let repository = World::new().open();
        let (class, scope) = (repository.class(), repository.id());
        let plain = vellum_testkit::Random::new(1).bytes(2 << 20);
        let kind = ChunkKind::Data;
        let id = class.dedup.chunk_id(&class.dedup.digest(kind, &plain));
        for full in [false, true] {
            let key = FrameKey::generate(class, scope).unwrap();
            let (compression, chunks) = (Compression::None, vec![PackedChunk { id, len_bytes: 2 << 20 }]);
            let (salt, mut sealed) = (frame_salt(&chunks), Vec::new());
            key.key.seal_frame_into(&salt, &frame_ad(scope, kind, compression, 2 << 20, 1), &plain, &mut sealed);
            let mut pack = OpenPack::new(Arc::clone(&key), Vec::new());
            assert_eq!(pack.room(sealed.len(), 1, 1 << 20), Room::Enough, "where else");
            pack.append(SealedFrame { key, kind, compression, salt, chunks }, &sealed);
            let shape = PackShape { pack_len_bytes: 1 << 20, full, parity: Parity::ReedSolomon, threads: 1 };
            let finished = pack.finish(class, scope, [7; 32], &shape).unwrap();
            assert_eq!(open_pack(&finished.bytes, class, scope), Ok(finished.directory));
        }
    }

    #[test]
    fn a_pack_takes_no_more_frames_chunks_and_keys_than_its_readers() {
        assert!(CHUNKS_MAX <= limits::PACK_CHUNKS_MAX as usize);
        let own = key(1, 1);
        let fits = |frames: usize, chunk_count: usize, wraps: usize| {
            let SealedFrame { kind, compression, salt, .. } = frame(&own, 0);
            let frame = Frame { offset: 0, stored_len_bytes: 0, wrap: 0, kind, compression, salt, chunks: Vec::new() };
            let mut pack = OpenPack::new(Arc::clone(&own), Vec::new());
            (pack.frames, pack.chunk_count) = (vec![frame; frames], chunk_count);
            pack.wraps = vec![Arc::clone(&own); wraps];
            pack.room(1, 5, u32::MAX) == Room::Enough
        };
        let frames = limits::PACK_FRAMES_MAX as usize;
        let (chunks, wraps) = (CHUNKS_MAX - 5, usize::from(limits::PACK_WRAPS_MAX) - 2);
        assert_eq!([fits(frames - 1, 0, 1), fits(frames, 0, 1)], [true, false]);
        assert_eq!([fits(1, chunks, 1), fits(1, chunks + 1, 1)], [true, false]);
        assert_eq!([fits(1, 1, wraps - 1), fits(1, 1, wraps)], [true, false], "its own and one that comes along");
    }
}
