//! Whom a prune waits for, and whom it gives up.

use super::{ProcessFate, Prune, PruneSettings};
use crate::RepositoryError;
use crate::condemned::Condemnation;
use crate::fault::reach;
use crate::intent::OwnIntent;
use crate::open::Repository;
use std::collections::BTreeSet;
use vellum_faults::Point;
use vellum_format::deletion::Intent;
use vellum_format::snapshot::Timestamp;
use vellum_format::{ObjectId, ObjectKind, ObjectName};

impl Prune<'_, '_> {
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
        let (mut waited, mut given_up) = (BTreeSet::new(), BTreeSet::new());
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
            let waits = self.give_up_the_old(&one, waits, &mut given_up)?;
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
    /// condemnation bears the time of one. Whoever keeps several waiting is `given_up` once.
    fn give_up_the_old(
        &mut self,
        one: &Condemnation,
        waits: BTreeSet<ObjectId>,
        given_up: &mut BTreeSet<ObjectId>,
    ) -> Result<BTreeSet<ObjectId>, RepositoryError> {
        let since = one.time.seconds.saturating_add(self.settings.give_up_seconds);
        if one.outlast.is_none() || since > self.settings.note.time.seconds {
            return Ok(waits);
        }
        for intent in waits.into_iter().filter(|intent| given_up.insert(*intent)) {
            self.give_up(intent)?;
        }
        Ok(BTreeSet::new())
    }

    fn give_up(&mut self, intent: ObjectId) -> Result<(), RepositoryError> {
        self.report.writers_fenced += 1;
        self.repository.raise_fence(intent, self.settings.note.time)
    }

    /// Writers that may still publish something that relies on what is condemned now.
    pub(super) fn running_writers(&mut self) -> Result<Vec<(ObjectId, Option<Intent>)>, RepositoryError> {
        let AtWork { writers, prunes: _, fenced } = at_work(self.repository, &self.settings, self.intent.id())?;
        self.report.writers_fenced += fenced;
        Ok(writers)
    }

    fn tell_waits(&mut self, running: Vec<(ObjectId, Option<Intent>)>, waited: &BTreeSet<ObjectId>) {
        for (_, intent) in running.into_iter().filter(|(id, _)| waited.contains(id)) {
            match intent {
                Some(intent) => self.report.waits_for.push(intent),
                None => self.report.waits_for_unknown += 1,
            }
        }
    }
}

/// Whose intents stand beside one's own.
struct AtWork {
    /// Neither fenced nor known to have ended; none where the intent cannot be read.
    writers: Vec<(ObjectId, Option<Intent>)>,
    prunes: Vec<Intent>,
    /// Writers that were fenced just now.
    fenced: u64,
}

/// Lists who is at work, and clears away who is not: intents of those that have certainly ended go, and a writer whose
/// machine was started again is fenced.
fn at_work(repository: &Repository, settings: &PruneSettings<'_>, own: ObjectId) -> Result<AtWork, RepositoryError> {
    let ends_with_process = repository.storage().capabilities().puts_end_with_process;
    let fences = repository.fences()?;
    let mut found = AtWork { writers: Vec::new(), prunes: Vec::new(), fenced: 0 };
    for (id, intent) in repository.intents()?.into_iter().filter(|(id, _)| *id != own) {
        let process = intent.as_ref().and_then(|intent| intent.process.as_ref());
        let fate = process.map_or(ProcessFate::Unknown, |process| (settings.fate)(process));
        match intent {
            // It publishes nothing, so nobody waits; but what it left behind when it was killed has to go.
            Some(prune) if prune.purpose == Intent::PRUNE => {
                match fate == ProcessFate::Unknown && !is_old(&prune, settings) {
                    true => found.prunes.push(prune),
                    false => repository.delete_both(ObjectKind::Intent, id)?,
                }
            }
            _ if fences.stand_before(&id) => {} // It finds its fence.
            // Whatever it published is there already and will be seen by the next listing of snapshots.
            _ if ends_with_process && fate == ProcessFate::Ended => repository.delete_both(ObjectKind::Intent, id)?,
            intent if fate == ProcessFate::Unknown => found.writers.push((id, intent)),
            _ => {
                repository.raise_fence(id, settings.note.time)?;
                found.fenced += 1;
            }
        }
    }
    Ok(found)
}

/// Whether somebody has begun so long ago that he is given up.
fn is_old(intent: &Intent, settings: &PruneSettings<'_>) -> bool {
    intent.time.seconds.saturating_add(settings.give_up_seconds) <= settings.note.time.seconds
}

impl Repository {
    /// Removes condemnations of which no copy says what is condemned, when nobody else is at work. As long as they are
    /// there, nobody can write. What was condemned by them counts again until a prune chooses anew.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] naming the condemnation and who is at work.
    pub fn remove_unreadable_condemnations(&self, settings: &PruneSettings<'_>) -> Result<(), RepositoryError> {
        let intent = OwnIntent::declare(self, Intent::PRUNE, &settings.note)?;
        // Known before the intents are listed: whoever begins later knows what he condemns himself.
        let (unreadable, outlasts) = self.unreadable_condemnations()?;
        let Some(first) = unreadable.first() else { return Ok(()) };
        // Twice, as in G8. No prune that sleeps may delete later what others rely on again, so all have to be gone; one
        // that was given up looks for its intent before it deletes packs (W4).
        for _ in 0..2 {
            if let Some(who) = self.who_is_at_work(settings, &intent)? {
                let object = ObjectName::new(ObjectKind::Condemned, *first);
                let reason = format!("no copy of it can be read, and it cannot be removed while {who} runs");
                return Err(RepositoryError::Damaged { object, reason });
            }
        }
        // What is about them first: without them it would say nothing, and nobody would remove it.
        outlasts.into_iter().chain(unreadable).try_for_each(|id| self.delete_both(ObjectKind::Condemned, id))?;
        Ok(self.storage().sync()?)
    }

    /// Somebody beside the own intent; fences whoever began too long ago, or cannot be read.
    fn who_is_at_work(
        &self,
        settings: &PruneSettings<'_>,
        own: &OwnIntent<'_>,
    ) -> Result<Option<String>, RepositoryError> {
        let AtWork { writers, prunes, fenced: _ } = at_work(self, settings, own.id())?;
        let mut running = prunes;
        for (id, intent) in writers {
            match intent.filter(|intent| !is_old(intent, settings)) {
                Some(intent) => running.push(intent),
                None => self.raise_fence(id, settings.note.time)?,
            }
        }
        let fences = self.fences()?;
        let fenced = self.ids_of_either(ObjectKind::Intent)?.into_iter().filter(|id| fences.stand_before(id));
        // Should such a writer wake up, it looks for its fence, and after it has listed packs for its intent.
        fenced.into_iter().try_for_each(|id| self.delete_both(ObjectKind::Intent, id))?;
        let host = |intent: &Intent| String::from_utf8_lossy(&intent.host.0).escape_debug().to_string();
        Ok(running.first().map(|intent| format!("a {} of {}", intent.purpose.escape_debug(), host(intent))))
    }
}
