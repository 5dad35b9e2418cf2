//! Deleting what no snapshot needs, beside any number of writers and other prunes (`docs/PRUNE.md`, steps G1 to G8).
//!
//! The caller walks the trees, because this crate does not know any: it marks what the snapshots of [`Prune`] need in
//! a [`LiveSet`], and once more when [`Prune::look_again`] asks for it. What a crash leaves at any point is a valid
//! repository; the next prune goes on where this one stopped.

mod mover;
mod outlast;
mod plan;
mod repack;
mod sweep;

pub use plan::{MaxUnused, PrunePlan};

use crate::RepositoryError;
use crate::condemned::Condemnation;
use crate::fault::reach;
use crate::intent::{OwnIntent, WriterNote, pack_tag};
use crate::lock;
use crate::open::Repository;
use crate::publish::SessionOptions;
use crate::references::References;
use crate::snapshots::{Snapshot, Snapshots};
use std::collections::BTreeSet;
use std::sync::Mutex;
use vellum_faults::Point;
use vellum_format::content::{ChunkKind, ChunkRef};
use vellum_format::deletion::{Intent, ProcessMark};
use vellum_format::snapshot::Timestamp;
use vellum_format::{ChunkId, ObjectId, ObjectKind};
use vellum_index::CopySet;

/// How a prune decides.
pub struct PruneSettings<'a> {
    /// Who prunes, and when.
    pub note: WriterNote,
    /// How much of the repository may stay unused before packs are rewritten.
    pub max_unused: MaxUnused,
    /// Bytes of packs that one run rewrites at most.
    pub max_repack_bytes: u64,
    /// Seconds between the condemnation of a pack and its deletion: a second belt, no part of the proof.
    pub grace_seconds: i64,
    /// Seconds for which a condemnation waits for a writer that was running when it was made.
    pub give_up_seconds: i64,
    /// Threads that move what is needed, at least one.
    pub threads: usize,
    /// What became of a writer's process.
    pub fate: &'a dyn Fn(&ProcessMark) -> ProcessFate,
}

/// What can be told about the process of a writer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessFate {
    /// It runs, or nothing is known: it is waited for.
    Unknown,
    /// It has certainly ended.
    Ended,
    /// Its machine was started again since, if there are no two machines of one name: it is fenced rather than
    /// waited for.
    Rebooted,
}

/// What the snapshots need, as far as the caller has marked it.
#[derive(Default)]
pub struct LiveSet {
    copies: CopySet,
    /// Needed chunks whose every copy lies in a condemned pack.
    stranded: Vec<(ChunkKind, ChunkRef)>,
    stranded_ids: BTreeSet<ChunkId>,
}

/// What a prune did or, as a dry run, would do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Packs in the repository when the run began, and their bytes.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes in them that no snapshot needs, as far as it can be told without opening them.
    pub unused_bytes: u64,
    /// Packs condemned by this run, those that were rewritten included.
    pub packs_condemned: u64,
    /// Packs of which this run moved what is needed to new ones.
    pub packs_repacked: u64,
    /// Bytes of new packs.
    pub bytes_written: u64,
    /// Packs deleted by this run, those condemned by earlier runs included.
    pub packs_deleted: u64,
    /// Their bytes.
    pub bytes_deleted: u64,
    /// Packs that stay for now: within their grace period, or because a writer may rely on them.
    pub packs_waiting: u64,
    /// Running writers that this prune did not outlast; a later one goes on.
    pub waits_for: Vec<Intent>,
    /// Writers that are running and could not be read; also waited for.
    pub waits_for_unknown: u64,
    /// When the first of the waiting packs will be old enough to be deleted.
    pub grace_ends: Option<Timestamp>,
    /// Writers that were given up.
    pub writers_fenced: u64,
    /// Damaged packs that were left alone.
    pub damaged: Vec<String>,
    /// Whether nothing was rewritten because the storage is full.
    pub is_full: bool,
}

/// A prune that knows what is there: intents, condemnations, snapshots, index, in this order (G1).
pub struct Prune<'repository, 'settings> {
    repository: &'repository Repository,
    settings: PruneSettings<'settings>,
    /// Stands until this prune has ended, so that others know that a catalog may still come of it.
    intent: OwnIntent<'repository>,
    busy: BTreeSet<[u8; 16]>,
    condemned_before: BTreeSet<ObjectId>,
    condemned_own: BTreeSet<ObjectId>,
    snapshots: Vec<Snapshot>,
    /// Writers that were fenced before `snapshots` were listed for G6: only for these says an absence anything.
    fenced: BTreeSet<ObjectId>,
    /// Packs that hold what is needed, by this run's marks.
    relied_on: BTreeSet<ObjectId>,
    /// Packs that catalogs list, that are not there, and that nobody needs.
    absent: BTreeSet<ObjectId>,
    due: Vec<(ObjectId, Condemnation)>,
    /// Condemnations whose packs are gone already.
    finished: Vec<(ObjectId, Condemnation)>,
    report: PruneReport,
}

impl Repository {
    /// Begins a prune.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] when a snapshot or condemnation cannot be read: then nobody knows what is needed.
    pub fn begin_prune<'settings>(
        &self,
        settings: PruneSettings<'settings>,
    ) -> Result<Prune<'_, 'settings>, RepositoryError> {
        let intent = OwnIntent::declare(self, Intent::PRUNE, &settings.note)?;
        self.restore_copies(&intent)?;
        let busy = self.intents()?.iter().filter(|(id, _)| *id != intent.id()).map(|(id, _)| pack_tag(id)).collect();
        let condemned_before = self.heed_condemnations()?.packs();
        let snapshots = self.readable_snapshots()?;
        self.refresh_for_deletion()?;
        reach(Point::PruneListed)?;
        Ok(Prune {
            repository: self,
            settings,
            intent,
            busy,
            condemned_before,
            condemned_own: BTreeSet::new(),
            snapshots,
            fenced: BTreeSet::new(),
            relied_on: BTreeSet::new(),
            absent: BTreeSet::new(),
            due: Vec::new(),
            finished: Vec::new(),
            report: PruneReport::default(),
        })
    }

    /// Every snapshot that counts, or the first error: what a snapshot that cannot be read needs is not known.
    fn readable_snapshots(&self) -> Result<Vec<Snapshot>, RepositoryError> {
        let Snapshots { snapshots, damaged, void: _ } = self.snapshots()?;
        damaged.into_iter().next().map_or(Ok(snapshots), Err)
    }

    /// Marks these chunks as needed; afterwards none is to be looked up.
    ///
    /// # Errors
    /// [`RepositoryError::ChunkMissing`] when one is nowhere: nothing may be deleted before that is understood.
    pub fn mark(&self, live: &Mutex<LiveSet>, references: &mut References) -> Result<(), RepositoryError> {
        let seen = self.mend_count();
        let chunks = references.take();
        // Of copies that stay one that is not known to be damaged.
        let found = self.index().lookup_reliable_each(chunks.iter().map(|(id, ..)| id));
        let mut live = lock(live);
        chunks.iter().zip(found).try_for_each(|((id, kind, chunk), found)| match found {
            Some(location) => {
                live.copies.insert(&location);
                Ok(())
            }
            None => self.mark_doubtful(&mut live, *id, (*kind, *chunk), seen),
        })
    }

    /// Marks a chunk of which no copy stays that is not known to be damaged.
    fn mark_doubtful(
        &self,
        live: &mut LiveSet,
        id: ChunkId,
        chunk: (ChunkKind, ChunkRef),
        seen: u64,
    ) -> Result<(), RepositoryError> {
        let index = self.index();
        if let Some(location) = index.lookup_reliable(&id).or_else(|| index.lookup_staying(&id)) {
            live.copies.insert(&location);
            return Ok(());
        }
        if index.contains(&id) {
            if live.stranded_ids.insert(id) {
                live.stranded.push(chunk);
            }
            return Ok(());
        }
        match self.reload_if_damaged(seen)? {
            true => Err(RepositoryError::FrameForgotten),
            false => Err(RepositoryError::ChunkMissing { id }),
        }
    }
}

impl<'repository> Prune<'repository, '_> {
    /// The snapshots whose needs the caller marks.
    #[must_use]
    pub fn snapshots(&self) -> &[Snapshot] {
        &self.snapshots
    }

    /// What was done so far.
    #[must_use]
    pub fn report(&self) -> &PruneReport {
        &self.report
    }

    /// What [`Prune::condemn`] would do, as a report.
    #[must_use]
    pub fn foretell(self, plan: &PrunePlan) -> PruneReport {
        PruneReport {
            packs_condemned: (plan.dead.len() + plan.repack.len()) as u64,
            packs_repacked: plan.repack.len() as u64,
            bytes_written: plan.bytes_moved,
            bytes_deleted: plan.bytes_condemned,
            ..self.report
        }
    }

    /// G6: lists snapshots and packs again. True when the caller has to mark everything once more, for
    /// [`Prune::rescue`]; false when nothing has changed that could need a condemned pack.
    ///
    /// # Errors
    /// As [`Repository::begin_prune`].
    pub fn look_again(&mut self) -> Result<bool, RepositoryError> {
        let repository = self.repository;
        let condemned = repository.condemned_packs();
        reach(Point::PruneBeforeSecondLook)?;
        // Before the snapshots: one whose writer is fenced later may have been acknowledged after they were listed.
        self.fenced = repository.fences()?.raised().copied().collect();
        let snapshots = repository.readable_snapshots()?;
        repository.refresh_for_deletion()?;
        let stored = repository.names(ObjectKind::Pack)?;
        let before: BTreeSet<ObjectId> = self.snapshots.iter().map(|one| one.id).collect();
        let none_new = snapshots.iter().all(|one| before.contains(&one.id));
        let same_condemned =
            condemned.iter().all(|pack| self.condemned_before.contains(pack) || self.condemned_own.contains(pack));
        let all_there = self.relied_on.iter().all(|pack| stored.contains_key(pack) && !condemned.contains(pack));
        self.snapshots = snapshots;
        reach(Point::PruneSecondLook)?;
        Ok(!(none_new && same_condemned && all_there))
    }
}

/// A prune's session stores at the class's level.
fn prune_options(settings: &PruneSettings<'_>) -> SessionOptions {
    let writer = settings.note.clone();
    SessionOptions { writer, threads: settings.threads, merges_index: false, ..SessionOptions::default() }
}

/// Packs of condemnations that are still to be deleted.
fn packs_of(due: &[(ObjectId, Condemnation)]) -> BTreeSet<ObjectId> {
    due.iter().flat_map(|(_, one)| &one.packs).copied().collect()
}

#[cfg(test)]
mod tests;
