//! Deleting what no snapshot needs, beside any number of writers and other prunes (`docs/PRUNE.md`, steps G1 to G8).
//!
//! The caller walks the trees, because this crate does not know any: it marks what the snapshots of [`Prune`] need in
//! a [`LiveSet`], and once more when [`Prune::look_again`] asks for it. What a crash leaves at any point is a valid
//! repository; the next prune goes on where this one stopped.

mod mover;
mod plan;
mod repack;
mod sweep;

pub use plan::{MaxUnused, PrunePlan};

use crate::RepositoryError;
use crate::condemned::Condemnation;
use crate::fault::reach;
use crate::intent::{OwnIntent, WriterNote, pack_tag};
use crate::open::Repository;
use crate::publish::SessionOptions;
use crate::snapshots::{Snapshot, Snapshots};
use std::collections::BTreeSet;
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

    /// Marks a chunk as needed.
    ///
    /// # Errors
    /// [`RepositoryError::ChunkMissing`] when it is nowhere: nothing may be deleted before that is understood.
    pub fn mark(&self, live: &mut LiveSet, kind: ChunkKind, chunk: &ChunkRef) -> Result<(), RepositoryError> {
        let id = self.chunk_id(chunk);
        let seen = self.mend_count();
        let index = self.index();
        // Of copies that stay one that is not known to be damaged.
        if let Some(location) = index.lookup_reliable(&id).or_else(|| index.lookup_staying(&id)) {
            live.copies.insert(&location);
            return Ok(());
        }
        if index.contains(&id) {
            if live.stranded_ids.insert(id) {
                live.stranded.push((kind, *chunk));
            }
            return Ok(());
        }
        match self.reload_if_damaged(seen)? {
            true => Err(RepositoryError::FrameForgotten),
            false => Err(RepositoryError::ChunkMissing { id }),
        }
    }
}

impl LiveSet {
    /// Whether some copy of this chunk was marked.
    fn has(&self, repository: &Repository, id: &ChunkId) -> bool {
        repository.index().all_locations(id).iter().any(|location| self.copies.contains(location))
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

    /// G3b to G5: which condemned packs may go now. Writers that have certainly ended are not waited for, those that
    /// are older than the settings allow are fenced. True when [`Prune::look_again`] and [`Prune::sweep`] have to
    /// follow.
    ///
    /// # Errors
    /// [`RepositoryError`] when intents, fences or condemnations cannot be read.
    pub fn outlast(&mut self) -> Result<bool, RepositoryError> {
        let repository = self.repository;
        // G3b: after the own condemnation, so that of two prunes that condemn two copies of a chunk one knows both.
        let condemnations = repository.heed_condemnations()?;
        let running = self.running_writers()?; // G4
        reach(Point::PruneWritersListed)?;
        let stored = repository.names(ObjectKind::Pack)?;
        let mut waited = BTreeSet::new();
        for (id, one) in condemnations.0 {
            if !one.packs.iter().any(|pack| stored.contains_key(pack)) {
                self.finished.push((id, one));
                continue;
            }
            let among = one.outlast.as_ref();
            let waits: BTreeSet<ObjectId> = running
                .iter()
                .map(|(intent, _)| *intent)
                .filter(|intent| among.is_none_or(|listed| listed.contains(intent)))
                .collect();
            let waits = self.give_up_the_old(&one, waits)?;
            let ends = one.time.seconds.saturating_add(self.settings.grace_seconds);
            if waits.is_empty() && ends <= self.settings.note.time.seconds {
                self.due.push((id, one));
                continue;
            }
            self.report.packs_waiting += one.packs.len() as u64;
            if waits.is_empty() {
                let ends = Timestamp { seconds: ends, nanoseconds: one.time.nanoseconds };
                self.report.grace_ends = Some(self.report.grace_ends.map_or(ends, |other| other.min(ends)));
            }
            if among.is_none() {
                repository.record_outlast(id, &waits)?; // G5: a later run waits for these only
            }
            waited.extend(waits);
        }
        self.tell_waits(running, &waited);
        Ok(!self.due.is_empty() || !self.finished.is_empty() || !self.absent.is_empty())
    }

    /// Fences the writers that have kept a condemnation waiting for too long. Only clocks of prunes count: the
    /// condemnation bears the time of one.
    fn give_up_the_old(
        &mut self,
        one: &Condemnation,
        waits: BTreeSet<ObjectId>,
    ) -> Result<BTreeSet<ObjectId>, RepositoryError> {
        let since = one.time.seconds.saturating_add(self.settings.give_up_seconds);
        if one.outlast.is_none() || since > self.settings.note.time.seconds {
            return Ok(waits);
        }
        waits.into_iter().try_for_each(|intent| self.give_up(intent))?;
        Ok(BTreeSet::new())
    }

    fn give_up(&mut self, intent: ObjectId) -> Result<(), RepositoryError> {
        self.report.writers_fenced += 1;
        self.repository.raise_fence(intent, self.settings.note.time)
    }

    /// Writers that may still publish something that relies on what is condemned now.
    fn running_writers(&mut self) -> Result<Vec<(ObjectId, Option<Intent>)>, RepositoryError> {
        let repository = self.repository;
        let ends_with_process = repository.storage().capabilities().puts_end_with_process;
        let fences = repository.fences()?;
        let mut running = Vec::new();
        for (id, intent) in repository.intents()? {
            let process = intent.as_ref().and_then(|intent| intent.process.as_ref());
            let fate = process.map_or(ProcessFate::Unknown, |process| (self.settings.fate)(process));
            if let Some(prune) = intent.as_ref().filter(|intent| intent.purpose == Intent::PRUNE) {
                // It publishes nothing, so nobody waits; but what it left behind when it was killed has to go.
                let is_old =
                    prune.time.seconds.saturating_add(self.settings.give_up_seconds) <= self.settings.note.time.seconds;
                if id != self.intent.id() && (fate != ProcessFate::Unknown || is_old) {
                    repository.delete_both(ObjectKind::Intent, id)?;
                }
                continue;
            }
            if fences.stand_before(&id) {
                continue; // It finds its fence.
            }
            if ends_with_process && fate == ProcessFate::Ended {
                // Whatever it published is there already and will be seen by the next listing of snapshots.
                repository.delete_both(ObjectKind::Intent, id)?;
                continue;
            }
            if fate != ProcessFate::Unknown {
                self.give_up(id)?;
                continue;
            }
            running.push((id, intent));
        }
        Ok(running)
    }

    fn tell_waits(&mut self, running: Vec<(ObjectId, Option<Intent>)>, waited: &BTreeSet<ObjectId>) {
        for (_, intent) in running.into_iter().filter(|(id, _)| waited.contains(id)) {
            match intent {
                Some(intent) => self.report.waits_for.push(intent),
                None => self.report.waits_for_unknown += 1,
            }
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
fn prune_options(note: &WriterNote) -> SessionOptions {
    SessionOptions { writer: note.clone(), ..SessionOptions::default() }
}

/// Packs of condemnations that are still to be deleted.
fn packs_of(due: &[(ObjectId, Condemnation)]) -> BTreeSet<ObjectId> {
    due.iter().flat_map(|(_, one)| &one.packs).copied().collect()
}

#[cfg(test)]
mod tests;
