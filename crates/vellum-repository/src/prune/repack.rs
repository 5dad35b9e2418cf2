//! Copying what is needed out of packs that go, and condemning these.

use super::mover::{MovedPacks, Mover};
use super::{LiveSet, Prune, PrunePlan, prune_options};
use crate::fault::reach;
use crate::get::FrameCache;
use crate::intent::OwnIntent;
use crate::open::Repository;
use crate::publish::{Durable, Session};
use crate::threads::run_on;
use crate::{RepositoryError, lock};
use std::collections::BTreeSet;
use std::sync::Mutex;
use vellum_faults::Point;
use vellum_format::deletion::Intent;
use vellum_format::pack::PackedChunk;
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
                let session = Session::begin(repository, &prune_options(&self.settings), intent)?;
                // From here on nothing counts that lies in a pack that is to go.
                let hidden = &(&*repository.condemned_packs() | &plan.dead) | &plan.repack;
                repository.set_condemned_packs(hidden);
                match self.move_packs(session, plan, live, progress)? {
                    Moved::All { packs, staying, durable } => {
                        condemned = &(&condemned | &packs) - &staying;
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
        let mover = Mover::new(self.repository, &session, live, plan.spare_bytes);
        let moved = mover.run(&plan.repack, self.settings.threads.max(1), progress);
        // A segment that turned out damaged meanwhile has answered that nobody needs what it knew.
        if moved.is_ok() && !live.copies.is_current(self.repository.index()) {
            return Err(RepositoryError::FrameForgotten);
        }
        match moved {
            Ok(MovedPacks { packs, staying, damaged }) => match session.seal() {
                Ok(durable) => {
                    self.report.damaged.extend(damaged);
                    reach(Point::PruneRepacked)?;
                    read_back(self.repository, &durable, self.settings.threads)?;
                    reach(Point::PruneReadBack)?;
                    self.report.packs_repacked += packs.len() as u64;
                    self.report.bytes_written += durable.stored().bytes_stored;
                    Ok(Moved::All { packs, staying, durable: Box::new(durable) })
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

    /// Copies needed chunks whose every copy is condemned, so that deleting these packs costs nobody anything.
    ///
    /// # Errors
    /// [`RepositoryError`] when one of them cannot be read from anywhere: then nothing is deleted.
    pub fn rescue(&mut self, live: &LiveSet) -> Result<(), RepositoryError> {
        if live.stranded.is_empty() {
            return Ok(());
        }
        let repository = self.repository;
        let session = repository.begin_as(Intent::PRUNE, &prune_options(&self.settings))?;
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
        read_back(repository, &durable, self.settings.threads)?;
        reach(Point::PruneRescueReadBack)?;
        self.report.bytes_written += durable.stored().bytes_stored;
        Ok(())
    }
}

/// What became of moving packs.
enum Moved<'r> {
    All {
        packs: BTreeSet<ObjectId>,
        staying: BTreeSet<ObjectId>,
        durable: Box<Durable<'r>>,
    },
    /// New packs that were stored before the space ended: nobody needs them.
    NoSpace {
        left_over: BTreeSet<ObjectId>,
    },
}

/// Reads every pack that was written back from the storage: only then may its sources go. (I23)
///
/// That it hashes to its name says that it is, byte for byte, what was opened before it was stored. (I2)
fn read_back(repository: &Repository, durable: &Durable<'_>, threads: usize) -> Result<(), RepositoryError> {
    let left = Mutex::new(durable.written().iter());
    run_on(threads.min(durable.written().len()), || {
        let next = || lock(&left).next();
        while let Some(pack) = next() {
            let name = ObjectName::new(ObjectKind::Pack, *pack);
            repository.read_object(&name, limits::PACK_LEN_BYTES_MAX)?;
        }
        Ok(())
    })
    .into_iter()
    .collect()
}
