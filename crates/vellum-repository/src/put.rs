//! Taking chunks in: name, look up, group into frames, compress, seal.

use crate::RepositoryError;
use crate::memory_faults::{Stage, pass, pass_array};
use crate::pack_writer::SealedFrame;
use crate::publish::Session;
use crate::zstd_context::Compressor;
use std::sync::atomic::Ordering;
use vellum_crypto::{ChunkHasher, frame_ad, frame_salt};
use vellum_format::content::{ChunkKind, ChunkRef};
use vellum_format::pack::{Compression, PackedChunk};
use vellum_format::{ChunkId, Digest, limits};

/// Chunks of a frame, however few bytes they have: any number of frames makes a pack that can be read.
const FRAME_CHUNKS_MAX: usize = 1 << 14;

/// What became of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Put {
    /// How to refer to it.
    pub chunk: ChunkRef,
    /// Whether this call was the first to bring it.
    pub is_new: bool,
}

/// Takes chunks for one worker thread: it owns a compressor and one open frame per kind.
///
/// What was put is stored only after [`FrameWriter::flush`]; a writer that is dropped with open frames poisons its
/// session, so that nothing is published that lacks them.
pub struct FrameWriter<'session> {
    session: &'session Session<'session>,
    names: ChunkHasher,
    compressor: Compressor,
    level: i32,
    open: [OpenFrame; 3],
    compressed: Vec<u8>,
    sealed: Vec<u8>,
}

#[derive(Default)]
struct OpenFrame {
    plain: Vec<u8>,
    chunks: Vec<PackedChunk>,
}

impl<'session> FrameWriter<'session> {
    pub(crate) fn new(session: &'session Session<'session>, level: i32) -> Result<Self, RepositoryError> {
        let compressor = Compressor::new(level).map_err(RepositoryError::Compression)?;
        let open = [OpenFrame::default(), OpenFrame::default(), OpenFrame::default()];
        let names = session.class().dedup.chunk_hasher();
        Ok(Self { session, names, compressor, level, open, compressed: Vec::new(), sealed: Vec::new() })
    }

    /// Takes one chunk, unless it is stored or on its way already.
    ///
    /// # Errors
    /// [`RepositoryError`] when a pack that this chunk completed could not be stored.
    ///
    /// # Panics
    /// When `plain` is empty or longer than [`limits::CHUNK_LEN_BYTES_MAX`]: chunkers cut neither.
    pub fn put(&mut self, kind: ChunkKind, plain: &[u8]) -> Result<Put, RepositoryError> {
        let len_bytes = u32::try_from(plain.len()).expect("a chunk is at most CHUNK_LEN_BYTES_MAX long");
        assert!((1..=limits::CHUNK_LEN_BYTES_MAX).contains(&len_bytes), "a chunk is 1 to CHUNK_LEN_BYTES_MAX long");
        let session = self.session;
        let scope = session.scope();
        let digest = self.names.digest(kind, plain);
        let digest = Digest::from_bytes(pass_array(scope, Stage::Digest, *digest.as_bytes()));
        let id = self.names.chunk_id(&digest);
        let digest = Digest::from_bytes(pass_array(scope, Stage::Reference, *digest.as_bytes()));
        let chunk = ChunkRef { digest, len_bytes };
        if !session.claim(&id) {
            return Ok(Put { chunk, is_new: false });
        }
        let id = ChunkId::from_bytes(pass_array(scope, Stage::Id, *id.as_bytes()));
        self.append(kind, PackedChunk { id, len_bytes }, plain)?;
        Ok(Put { chunk, is_new: true })
    }

    /// Takes a chunk that the caller has claimed.
    pub(crate) fn append(&mut self, kind: ChunkKind, chunk: PackedChunk, plain: &[u8]) -> Result<(), RepositoryError> {
        let counters = &self.session.counters;
        counters.chunks_new.fetch_add(1, Ordering::Relaxed);
        counters.bytes_new.fetch_add(u64::from(chunk.len_bytes), Ordering::Relaxed);
        let frame_len_max = self.session.frame_len_bytes();
        let frame = &mut self.open[slot(kind)];
        let has_room = frame.plain.len() + plain.len() <= frame_len_max && frame.chunks.len() < FRAME_CHUNKS_MAX;
        if !frame.plain.is_empty() && !has_room {
            self.close(kind)?;
        }
        let frame = &mut self.open[slot(kind)];
        frame.plain.extend_from_slice(plain);
        frame.chunks.push(chunk);
        Ok(())
    }

    /// Tells that what comes next has nothing to do with what came last: an open frame of data that is half full is
    /// handed over, because neighbours compress better than strangers.
    ///
    /// # Errors
    /// As [`FrameWriter::put`].
    pub fn part(&mut self) -> Result<(), RepositoryError> {
        match 2 * self.open[slot(ChunkKind::Data)].plain.len() >= self.session.frame_len_bytes() {
            true => self.close(ChunkKind::Data),
            false => Ok(()),
        }
    }

    /// Hands every open frame over.
    ///
    /// # Errors
    /// As [`FrameWriter::put`].
    pub fn flush(&mut self) -> Result<(), RepositoryError> {
        [ChunkKind::Data, ChunkKind::Tree, ChunkKind::List].into_iter().try_for_each(|kind| self.close(kind))
    }

    /// A frame that cannot be stored takes its chunks with it, and others may rely on them: nothing is published.
    fn close(&mut self, kind: ChunkKind) -> Result<(), RepositoryError> {
        let result = self.try_close(kind);
        if result.is_err() {
            self.session.poison();
        }
        result
    }

    fn try_close(&mut self, kind: ChunkKind) -> Result<(), RepositoryError> {
        let frame = &mut self.open[slot(kind)];
        if frame.chunks.is_empty() {
            return Ok(());
        }
        let chunks = std::mem::take(&mut frame.chunks);
        let scope = self.session.scope();
        pass(scope, Stage::Frame, &mut frame.plain);
        let plain_len = u32::try_from(frame.plain.len()).expect("a frame is at most 32 MiB long");
        let compression = compress(&mut self.compressor, self.level, &frame.plain, &mut self.compressed)?;
        let payload = match compression {
            Compression::Zstd => &mut self.compressed,
            Compression::None => &mut frame.plain,
        };
        pass(scope, Stage::Payload, payload);
        let key = self.session.frame_key(kind)?;
        let salt = frame_salt(&chunks);
        let count = u32::try_from(chunks.len()).expect("a frame has fewer chunks than bytes");
        let ad = frame_ad(scope, kind, compression, plain_len, count);
        self.sealed.clear();
        key.key.seal_frame_into(&salt, &ad, payload, &mut self.sealed);
        pass(scope, Stage::Sealed, &mut self.sealed);
        frame.plain.clear();
        self.session.store_frame(SealedFrame { key, kind, compression, salt, chunks }, &self.sealed)
    }
}

impl Drop for FrameWriter<'_> {
    fn drop(&mut self) {
        if self.open.iter().any(|frame| !frame.chunks.is_empty()) {
            self.session.poison();
        }
    }
}

/// Fills `out` with the compressed form if that is shorter.
pub(crate) fn compress(
    compressor: &mut Compressor,
    level: i32,
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<Compression, RepositoryError> {
    if level == 0 {
        return Ok(Compression::None);
    }
    let bound = zstd::zstd_safe::compress_bound(plain.len());
    out.clear();
    out.resize(bound, 0);
    let len = compressor.compress(plain, out).map_err(RepositoryError::Compression)?;
    out.truncate(len);
    Ok(if len < plain.len() { Compression::Zstd } else { Compression::None })
}

fn slot(kind: ChunkKind) -> usize {
    match kind {
        ChunkKind::Data => 0,
        ChunkKind::Tree => 1,
        ChunkKind::List => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SessionOptions;
    use crate::support::World;

    #[test]
    fn what_follows_strangers_begins_another_frame_where_the_open_one_is_half_full() {
        let frames = |len: usize| {
            let repository = World::new().open();
            let session = repository.begin(&SessionOptions::default()).unwrap();
            let half = session.frame_len_bytes() / 2;
            let mut writer = session.frame_writer().unwrap();
            writer.put(ChunkKind::Tree, &vec![3; half + 1]).unwrap();
            writer.put(ChunkKind::Data, &vec![1; half + len - 10]).unwrap();
            writer.part().unwrap();
            writer.put(ChunkKind::Data, &[2; 5]).unwrap();
            writer.put(ChunkKind::Tree, &[2; 5]).unwrap();
            writer.flush().unwrap();
            drop(writer);
            drop(session.seal().unwrap());
            let (mut data, mut trees) = (0, 0);
            repository
                .index()
                .for_each_frame(|_, frame| *(if frame.kind == ChunkKind::Data { &mut data } else { &mut trees }) += 1)
                .unwrap();
            (data, trees)
        };
        assert_eq!(frames(9), (1, 1));
        assert_eq!(frames(10), (2, 1), "trees are not parted: they are read one folder after the other");
    }

    #[test]
    fn what_compression_makes_no_shorter_is_stored_as_it_is() {
        let compressed = |level: i32, plain: &[u8]| {
            let (mut compressor, mut out) = (Compressor::new(level).unwrap(), Vec::new());
            compress(&mut compressor, level, plain, &mut out).unwrap()
        };
        assert_eq!(compressed(3, &[7; 1000]), Compression::Zstd);
        assert_eq!(compressed(0, &[7; 1000]), Compression::None);
        assert_eq!(compressed(3, &(0..100).collect::<Vec<u8>>()), Compression::None);
        // A length that is the same both ways says nothing for the compressed form.
        let same =
            (1..64).map(|len| vec![7; len]).find(|plain| zstd::bulk::compress(plain, 3).unwrap().len() == plain.len());
        assert_eq!(compressed(3, &same.expect("a length that compression leaves")), Compression::None);
    }
}
