//! Frames of packs that go, moved by several workers: whole where all or nearly all of them is needed, opened and
//! packed anew otherwise.
//!
//! The caller's thread reads packs one after the other and hands out their frames. Memory: three packs at most, beside
//! what the session holds open.

use super::LiveSet;
use crate::open::Repository;
use crate::pack_reader::{FrameReader, open_pack, sealed_frame};
use crate::pack_writer::{FrameKey, SealedFrame};
use crate::publish::Session;
use crate::put::FrameWriter;
use crate::{RepositoryError, lock};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::ScopedJoinHandle;
use vellum_faults::inheriting;
use vellum_format::pack::{Directory, Frame, PackedChunk};
use vellum_format::{ChunkId, ObjectId, ObjectKind, ObjectName, limits};

/// A frame of which at most one part in so many is not needed may be moved whole.
const SPARED_SHARE: u64 = 8;

/// What the workers of one move share.
pub(super) struct Mover<'a> {
    repository: &'a Repository,
    session: &'a Session<'a>,
    live: &'a LiveSet,
    /// Stored bytes that nobody needs and that may still be moved with their frames.
    spare_bytes: AtomicU64,
    /// Packs of which something could not be moved, and why.
    failed: Mutex<BTreeMap<ObjectId, String>>,
    /// Needed chunks of frames that do not open.
    unmoved: Mutex<BTreeSet<ChunkId>>,
    /// A worker met an error: nobody goes on.
    is_over: AtomicBool,
}

/// What was moved.
pub(super) struct MovedPacks {
    /// Packs of which everything that is needed was handed to the session.
    pub(super) packs: BTreeSet<ObjectId>,
    /// Packs that may hold the only good copy of what could not be moved.
    pub(super) staying: BTreeSet<ObjectId>,
    /// Damaged packs, and what is wrong with them.
    pub(super) damaged: Vec<String>,
}

/// A pack that was read and opened.
struct Source {
    pack: ObjectId,
    bytes: Vec<u8>,
    directory: Directory,
    /// Of each wrap; frames of one wrap share its key, so that their new pack holds the wrap once.
    keys: Vec<OnceLock<Result<Arc<FrameKey>, String>>>,
}

impl<'a> Mover<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        session: &'a Session<'a>,
        live: &'a LiveSet,
        spare_bytes: u64,
    ) -> Self {
        Self {
            repository,
            session,
            live,
            spare_bytes: AtomicU64::new(spare_bytes),
            failed: Mutex::default(),
            unmoved: Mutex::default(),
            is_over: AtomicBool::new(false),
        }
    }

    /// Moves what is needed out of these packs. `progress` hears the bytes of each pack that was read.
    pub(super) fn run(
        self,
        packs: &BTreeSet<ObjectId>,
        workers: usize,
        progress: &dyn Fn(u64),
    ) -> Result<MovedPacks, RepositoryError> {
        let (sender, queue) = bounded(2 * workers);
        std::thread::scope(|scope| {
            let start = || {
                let (mover, queue) = (&self, queue.clone());
                std::thread::Builder::new().spawn_scoped(scope, inheriting(move || mover.work(&queue)))
            };
            let first = start().map_err(RepositoryError::NoThread)?;
            let handles: Vec<_> = std::iter::once(first).chain((1..workers).map_while(|_| start().ok())).collect();
            drop(queue);
            let read = self.read_packs(packs, &sender, progress);
            drop(sender);
            let mut worked: Vec<Result<(), RepositoryError>> = handles.into_iter().map(join).collect();
            worked.push(read);
            // What one worker meets poisons the session for the others: theirs is not the cause.
            worked.sort_by_key(|done| matches!(done, Err(RepositoryError::SessionPoisoned)));
            worked.into_iter().collect::<Result<(), _>>()
        })?;
        Ok(self.sum_up(packs))
    }

    fn read_packs(
        &self,
        packs: &BTreeSet<ObjectId>,
        sender: &Sender<(Arc<Source>, usize)>,
        progress: &dyn Fn(u64),
    ) -> Result<(), RepositoryError> {
        for pack in packs {
            let Some(source) = self.read_pack(*pack)? else { continue };
            let (source, len_bytes) = (Arc::new(source.0), source.1);
            for frame in 0..source.directory.frames.len() {
                // Without a receiver, all workers have failed, and tell why.
                if self.is_over.load(Ordering::Relaxed) || sender.send((Arc::clone(&source), frame)).is_err() {
                    return Ok(());
                }
            }
            progress(len_bytes);
        }
        Ok(())
    }

    /// Nothing when the pack is damaged: then it stays.
    fn read_pack(&self, pack: ObjectId) -> Result<Option<(Source, u64)>, RepositoryError> {
        let name = ObjectName::new(ObjectKind::Pack, pack);
        let bytes = match self.repository.read_object(&name, limits::PACK_LEN_BYTES_MAX) {
            Ok(bytes) => bytes,
            Err(RepositoryError::Damaged { reason, .. }) => {
                self.fail(pack, reason);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match open_pack(&bytes, self.repository.class(), self.repository.id()) {
            Ok(directory) => {
                let keys = directory.wraps.iter().map(|_| OnceLock::new()).collect();
                let len_bytes = bytes.len() as u64;
                Ok(Some((Source { pack, bytes, directory, keys }, len_bytes)))
            }
            Err(reason) => {
                self.fail(pack, reason);
                Ok(None)
            }
        }
    }

    /// Takes frames until there are no more.
    fn work(&self, queue: &Receiver<(Arc<Source>, usize)>) -> Result<(), RepositoryError> {
        let done = self.try_work(queue);
        if done.is_err() {
            self.is_over.store(true, Ordering::Relaxed);
        }
        done
    }

    fn try_work(&self, queue: &Receiver<(Arc<Source>, usize)>) -> Result<(), RepositoryError> {
        let mut writer = self.session.frame_writer()?;
        let mut reader = FrameReader::new();
        while let Ok((source, number)) = queue.recv() {
            if self.is_over.load(Ordering::Relaxed) {
                break;
            }
            let frame = &source.directory.frames[number];
            // Needed, and nowhere else: claimed for this move.
            let claimed: Vec<bool> = frame.chunks.iter().map(|chunk| self.claim(chunk)).collect();
            let done = match how(frame, &claimed, &self.spare_bytes) {
                How::NotAtAll => Ok(()),
                How::Whole => self.move_frame(&source, frame)?,
                How::ByChunks => self.move_chunks(&source, frame, &claimed, &mut reader, &mut writer)?,
            };
            if let Err(reason) = done {
                self.fail(source.pack, reason);
                let unmoved = frame.chunks.iter().zip(&claimed).filter(|(_, claimed)| **claimed);
                lock(&self.unmoved).extend(unmoved.map(|(chunk, _)| chunk.id));
            }
        }
        writer.flush()
    }

    fn claim(&self, chunk: &PackedChunk) -> bool {
        self.repository.index().needs_copy(&chunk.id, &self.live.copies) && self.session.claim_unlisted(&chunk.id)
    }

    /// As it is, with its wrap: nothing is opened before the new pack is finished and opened again (I2). The inner
    /// error says what is wrong with the pack, which then stays.
    fn move_frame(&self, source: &Source, frame: &Frame) -> Result<Result<(), String>, RepositoryError> {
        let (class, scope) = (self.repository.class(), self.repository.id());
        let wrap = usize::from(frame.wrap);
        let key = source.keys[wrap].get_or_init(|| FrameKey::of_wrap(&source.directory.wraps[wrap], class, scope));
        let (key, sealed) = match (key, sealed_frame(&source.bytes, frame)) {
            (Ok(key), Ok(sealed)) => (Arc::clone(key), sealed),
            (Err(reason), _) => return Ok(Err(reason.clone())),
            (_, Err(reason)) => return Ok(Err(reason)),
        };
        let Frame { kind, compression, salt, .. } = *frame;
        let moved = SealedFrame { key, kind, compression, salt, chunks: frame.chunks.clone() };
        self.session.store_frame(moved, sealed).map(Ok)
    }

    fn move_chunks(
        &self,
        source: &Source,
        frame: &Frame,
        claimed: &[bool],
        reader: &mut FrameReader,
        writer: &mut FrameWriter<'_>,
    ) -> Result<Result<(), String>, RepositoryError> {
        let wrap = &source.directory.wraps[usize::from(frame.wrap)];
        let (class, scope) = (self.repository.class(), self.repository.id());
        let mut claimed = claimed.iter();
        let mut needed: Vec<(PackedChunk, Vec<u8>)> = Vec::new();
        let opened = reader.for_each_chunk(class, scope, wrap, frame, &source.bytes, |chunk, plain| {
            if claimed.next() == Some(&true) {
                needed.push((*chunk, plain.to_vec()));
            }
        });
        if opened.is_ok() {
            needed.iter().try_for_each(|(chunk, plain)| writer.append(frame.kind, *chunk, plain))?;
        }
        Ok(opened)
    }

    fn fail(&self, pack: ObjectId, reason: String) {
        lock(&self.failed).entry(pack).or_insert(reason);
    }

    /// A pack with a good copy of a chunk whose frame elsewhere does not open has perhaps not moved it, because that
    /// other frame was to do so: it stays as well.
    fn sum_up(self, packs: &BTreeSet<ObjectId>) -> MovedPacks {
        let failed = self.failed.into_inner().unwrap_or_else(PoisonError::into_inner);
        let unmoved = self.unmoved.into_inner().unwrap_or_else(PoisonError::into_inner);
        let index = self.repository.index();
        let holding = unmoved.iter().flat_map(|id| index.all_locations(id)).map(|location| location.pack);
        let staying: BTreeSet<ObjectId> = holding.chain(failed.keys().copied()).collect();
        let tell = |(pack, reason)| format!("{}: {reason}", ObjectName::new(ObjectKind::Pack, pack));
        MovedPacks { packs: packs - &staying, staying, damaged: failed.into_iter().map(tell).collect() }
    }
}

/// What to do with a frame of which these chunks are claimed. What is moved along is taken from `spare_bytes`.
fn how(frame: &Frame, claimed: &[bool], spare_bytes: &AtomicU64) -> How {
    let of = |chunks: &mut dyn Iterator<Item = &PackedChunk>| chunks.map(|one| u64::from(one.len_bytes)).sum();
    let all: u64 = of(&mut frame.chunks.iter());
    let needed: u64 = of(&mut frame.chunks.iter().zip(claimed).filter(|(_, claimed)| **claimed).map(|(one, _)| one));
    let unused = all - needed;
    match needed {
        0 => How::NotAtAll,
        _ if unused <= all / SPARED_SHARE && take(spare_bytes, stored_share(frame, unused, all)) => How::Whole,
        _ => How::ByChunks,
    }
}

/// Takes so much of what may stay unused, if there is as much.
fn take(spare_bytes: &AtomicU64, bytes: u64) -> bool {
    let taken = |left: u64| left.checked_sub(bytes);
    spare_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, taken).is_ok()
}

/// How many stored bytes so much of a frame is, if all of it compresses alike, with a quarter for padding and parity.
fn stored_share(frame: &Frame, unused: u64, all: u64) -> u64 {
    u64::from(frame.stored_len_bytes) * 5 / 4 * unused / all
}

/// What becomes of a frame.
#[derive(Debug, PartialEq, Eq)]
enum How {
    NotAtAll,
    Whole,
    ByChunks,
}

fn join<T>(handle: ScopedJoinHandle<'_, T>) -> T {
    handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum_format::content::ChunkKind;
    use vellum_format::pack::Compression;

    /// A frame of 1,000 stored bytes with chunks of these lengths.
    fn frame(lens: &[u32]) -> Frame {
        let chunk = |len_bytes: &u32| PackedChunk { id: ChunkId::from_bytes([0; 32]), len_bytes: *len_bytes };
        Frame {
            offset: 0,
            stored_len_bytes: 1000,
            wrap: 0,
            kind: ChunkKind::Data,
            compression: Compression::None,
            salt: [0; 16],
            chunks: lens.iter().map(chunk).collect(),
        }
    }

    #[test]
    fn a_frame_is_moved_whole_when_an_eighth_is_unused_at_most_and_may_stay_so() {
        let (spare, nothing) = (AtomicU64::new(400), AtomicU64::new(0));
        assert_eq!(how(&frame(&[700, 100]), &[false, false], &spare), How::NotAtAll);
        assert_eq!(how(&frame(&[700, 100]), &[true, true], &nothing), How::Whole);
        assert_eq!(how(&frame(&[700, 100]), &[true, false], &nothing), How::ByChunks);
        assert_eq!(how(&frame(&[699, 101]), &[true, false], &spare), How::ByChunks);
        // An eighth of 1,000 bytes and of a quarter more.
        let left: Vec<_> = (0..3).map(|_| how(&frame(&[700, 100]), &[true, false], &spare)).collect();
        assert_eq!((left, spare.into_inner()), (vec![How::Whole, How::Whole, How::ByChunks], 88));
    }

    #[test]
    fn the_stored_share_of_a_frame_has_padding_and_parity_in_it() {
        let frame = frame(&[]);
        assert_eq!(stored_share(&frame, 400, 4000), 125);
        assert_eq!(stored_share(&frame, 4000, 4000), 1250);
    }
}
