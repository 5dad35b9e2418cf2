//! Moving what is needed out of packs that go: whole frames as they are, what is left of others in new frames.

use super::{LiveSet, Prune, PrunePlan, prune_options};
use crate::RepositoryError;
use crate::fault::reach;
use crate::get::FrameCache;
use crate::intent::OwnIntent;
use crate::open::Repository;
use crate::pack_reader::{FrameReader, open_pack, sealed_frame};
use crate::pack_writer::{FrameKey, SealedFrame};
use crate::publish::{Durable, Session};
use crate::put::FrameWriter;
use std::collections::BTreeSet;
use std::sync::Arc;
use vellum_faults::Point;
use vellum_format::deletion::Intent;
use vellum_format::pack::{Directory, Frame, PackedChunk};
use vellum_format::{ObjectId, ObjectKind, ObjectName, limits};

/// Frames of trees that are kept open while stranded chunks are read.
const CACHED_FRAMES: usize = 8;

impl Prune<'_, '_> {
    /// G2 and G3: moves what is needed, reads it back, then condemns the packs of the plan. `progress` hears the
    /// bytes of each pack that was moved.
    ///
    /// A storage without space is no error: then nothing is moved, and only what nobody needs is condemned.
    ///
    /// # Errors
    /// [`RepositoryError`]; what was condemned until then stays so, and harms nobody.
    pub fn condemn(&mut self, plan: &PrunePlan, live: &LiveSet, progress: &dyn Fn(u64)) -> Result<(), RepositoryError> {
        let repository = self.repository;
        reach(Point::PruneMarked)?;
        let mut condemned = plan.dead.clone();
        let durable = match plan.repack.is_empty() {
            true => None,
            false => {
                let intent = OwnIntent::declare(repository, Intent::PRUNE, &self.settings.note)?;
                let session = Session::begin(repository, &prune_options(&self.settings.note), intent)?;
                // From here on nothing counts that lies in a pack that is to go.
                let hidden = &(&*repository.condemned_packs() | &plan.dead) | &plan.repack;
                repository.set_condemned_packs(hidden);
                match self.move_packs(session, plan, live, progress)? {
                    Moved::All { packs, durable } => {
                        condemned.extend(packs);
                        Some(durable)
                    }
                    Moved::NoSpace { left_over } => {
                        self.report.is_full = true;
                        condemned.extend(left_over);
                        None
                    }
                }
            }
        };
        if !condemned.is_empty() {
            repository.condemn(&condemned, self.settings.note.time)?; // G3
            reach(Point::PruneCondemned)?;
        }
        self.report.packs_condemned += condemned.len() as u64;
        self.relied_on = &self.relied_on - &condemned;
        self.relied_on.extend(durable.iter().flat_map(|durable| durable.written()));
        self.condemned_own = condemned;
        Ok(())
    }

    fn move_packs<'r>(
        &mut self,
        session: Session<'r>,
        plan: &PrunePlan,
        live: &LiveSet,
        progress: &dyn Fn(u64),
    ) -> Result<Moved<'r>, RepositoryError> {
        match self.try_move(&session, plan, live, progress) {
            Ok(packs) => match session.seal() {
                Ok(durable) => {
                    reach(Point::PruneRepacked)?;
                    read_back(self.repository, &durable)?;
                    reach(Point::PruneReadBack)?;
                    self.report.packs_repacked += packs.len() as u64;
                    self.report.bytes_written += durable.stored().bytes_stored;
                    Ok(Moved::All { packs, durable: Box::new(durable) })
                }
                Err(RepositoryError::Storage(error)) if error.is_no_space() => {
                    Ok(Moved::NoSpace { left_over: BTreeSet::new() })
                }
                Err(error) => Err(error),
            },
            Err(RepositoryError::Storage(error)) if error.is_no_space() => {
                Ok(Moved::NoSpace { left_over: session.abandon().into_iter().collect() })
            }
            Err(error) => Err(error),
        }
    }

    /// The packs out of which everything that is needed was handed to the session.
    fn try_move(
        &mut self,
        session: &Session<'_>,
        plan: &PrunePlan,
        live: &LiveSet,
        progress: &dyn Fn(u64),
    ) -> Result<BTreeSet<ObjectId>, RepositoryError> {
        let mut writer = session.frame_writer()?;
        let mut reader = FrameReader::new();
        let mut moved = BTreeSet::new();
        for pack in &plan.repack {
            let name = ObjectName::new(ObjectKind::Pack, *pack);
            let bytes = match self.repository.read_object(&name, limits::PACK_LEN_BYTES_MAX) {
                Ok(bytes) => bytes,
                Err(RepositoryError::Damaged { object, reason }) => {
                    self.report.damaged.push(format!("{object}: {reason}"));
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut mover =
                Mover { repository: self.repository, session, writer: &mut writer, reader: &mut reader, live };
            match mover.move_pack(&bytes)? {
                Ok(()) => drop(moved.insert(*pack)),
                Err(reason) => self.report.damaged.push(format!("{name}: {reason}")),
            }
            progress(bytes.len() as u64);
        }
        writer.flush()?;
        Ok(moved)
    }

    /// Copies needed chunks whose every copy is condemned, so that deleting these packs costs nobody anything.
    ///
    /// # Errors
    /// [`RepositoryError`] when one of them cannot be read from anywhere: then nothing is deleted.
    pub fn rescue(&mut self, live: &LiveSet) -> Result<(), RepositoryError> {
        if live.stranded.is_empty() {
            return Ok(());
        }
        let repository = self.repository;
        let session = repository.begin_as(Intent::PRUNE, &prune_options(&self.settings.note))?;
        let mut writer = session.frame_writer()?;
        let cache = FrameCache::new(CACHED_FRAMES);
        for (kind, chunk) in &live.stranded {
            let id = repository.chunk_id(chunk);
            if session.claim(&id) {
                let plain = repository.read_chunk(&cache, *kind, chunk)?;
                writer.append(*kind, PackedChunk { id, len_bytes: chunk.len_bytes }, &plain)?;
            }
        }
        writer.flush()?;
        drop(writer);
        let durable = session.seal()?;
        reach(Point::PruneRescued)?;
        read_back(repository, &durable)?;
        reach(Point::PruneRescueReadBack)?;
        self.report.bytes_written += durable.stored().bytes_stored;
        Ok(())
    }
}

/// What became of moving packs.
enum Moved<'r> {
    All {
        packs: BTreeSet<ObjectId>,
        durable: Box<Durable<'r>>,
    },
    /// New packs that were stored before the space ended: nobody needs them.
    NoSpace {
        left_over: BTreeSet<ObjectId>,
    },
}

/// Reads every pack that was written back from the storage: only then may its sources go. (I23)
fn read_back(repository: &Repository, durable: &Durable<'_>) -> Result<(), RepositoryError> {
    let mut reader = FrameReader::new();
    durable.written().iter().try_for_each(|pack| repository.verify_pack(&mut reader, *pack).map(drop))
}

struct Mover<'a, 'session> {
    repository: &'a Repository,
    session: &'session Session<'session>,
    writer: &'a mut FrameWriter<'session>,
    reader: &'a mut FrameReader,
    live: &'a LiveSet,
}

impl Mover<'_, '_> {
    /// The inner error says what is wrong with the pack, which then stays.
    fn move_pack(&mut self, bytes: &[u8]) -> Result<Result<(), String>, RepositoryError> {
        let directory = match open_pack(bytes, self.repository.class(), self.repository.id()) {
            Ok(directory) => directory,
            Err(reason) => return Ok(Err(reason)),
        };
        let mut keys: Vec<Option<Arc<FrameKey>>> = vec![None; directory.wraps.len()];
        for frame in &directory.frames {
            // Needed, and nowhere else: claimed for this move.
            let claimed: Vec<bool> = frame.chunks.iter().map(|chunk| self.claim(chunk)).collect();
            let done = match claimed.iter().all(|claimed| *claimed) {
                true => self.move_frame(bytes, &directory, frame, &mut keys)?,
                false if claimed.iter().any(|claimed| *claimed) => {
                    self.move_chunks(bytes, &directory, frame, &claimed)?
                }
                false => Ok(()),
            };
            if done.is_err() {
                // Another pack of the plan may hold a good copy of them.
                let ids =
                    frame.chunks.iter().zip(&claimed).filter(|(_, claimed)| **claimed).map(|(chunk, _)| &chunk.id);
                self.session.release(ids);
                return Ok(done);
            }
        }
        Ok(Ok(()))
    }

    fn claim(&self, chunk: &PackedChunk) -> bool {
        self.live.has(self.repository, &chunk.id) && self.session.claim(&chunk.id)
    }

    /// As it is, with its wrap: nothing is opened before the new pack is finished and opened again (I2).
    fn move_frame(
        &self,
        bytes: &[u8],
        directory: &Directory,
        frame: &Frame,
        keys: &mut [Option<Arc<FrameKey>>],
    ) -> Result<Result<(), String>, RepositoryError> {
        let (class, scope) = (self.repository.class(), self.repository.id());
        let wrap = usize::from(frame.wrap);
        let opened = match &keys[wrap] {
            Some(key) => Ok(Arc::clone(key)),
            None => FrameKey::of_wrap(&directory.wraps[wrap], class, scope),
        };
        let (key, sealed) = match (opened, sealed_frame(bytes, frame)) {
            (Ok(key), Ok(sealed)) => (key, sealed),
            (Err(reason), _) | (_, Err(reason)) => return Ok(Err(reason)),
        };
        keys[wrap] = Some(Arc::clone(&key));
        let Frame { kind, compression, salt, .. } = *frame;
        let moved = SealedFrame { key, kind, compression, salt, chunks: frame.chunks.clone() };
        self.session.store_frame(moved, sealed).map(Ok)
    }

    fn move_chunks(
        &mut self,
        bytes: &[u8],
        directory: &Directory,
        frame: &Frame,
        claimed: &[bool],
    ) -> Result<Result<(), String>, RepositoryError> {
        let wrap = &directory.wraps[usize::from(frame.wrap)];
        let (class, scope) = (self.repository.class(), self.repository.id());
        let mut claimed = claimed.iter();
        let mut needed: Vec<(PackedChunk, Vec<u8>)> = Vec::new();
        let opened = self.reader.for_each_chunk(class, scope, wrap, frame, bytes, |chunk, plain| {
            if claimed.next() == Some(&true) {
                needed.push((*chunk, plain.to_vec()));
            }
        });
        if opened.is_ok() {
            needed.iter().try_for_each(|(chunk, plain)| self.writer.append(frame.kind, *chunk, plain))?;
        }
        Ok(opened)
    }
}
