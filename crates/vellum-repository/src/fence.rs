//! Fences: the end of waiting for a writer that does not come back, and which of its snapshots count.

use crate::RepositoryError;
use crate::fault::reach;
use crate::intent::OwnIntent;
use crate::open::Repository;
use crate::tombstones::Removal;
use std::collections::{BTreeMap, BTreeSet};
use vellum_crypto::RecordKind;
use vellum_faults::Point;
use vellum_format::deletion::FenceRecord;
use vellum_format::snapshot::{SnapshotManifest, Timestamp};
use vellum_format::{ObjectId, ObjectKind};

/// Every fence of a repository.
#[derive(Debug, Default)]
pub(crate) struct Fences {
    raised: BTreeSet<ObjectId>,
    closed: BTreeMap<ObjectId, Vec<BTreeSet<ObjectId>>>,
    has_damaged: bool,
}

impl Fences {
    /// Whether a writer's run must not be acknowledged any more. A fence that cannot be read may be about any writer
    /// that was there before it.
    pub(crate) fn forbid(&self, intent: &ObjectId) -> bool {
        self.has_damaged || self.stand_before(intent)
    }

    /// Whether a fence is known to be about this writer.
    pub(crate) fn stand_before(&self, intent: &ObjectId) -> bool {
        self.raised.contains(intent) || self.closed.contains_key(intent)
    }

    /// The writers that a fence was raised about.
    pub(crate) fn raised(&self) -> impl Iterator<Item = &ObjectId> {
        self.raised.iter()
    }

    /// Whether a snapshot of a fenced writer was not there when a prune made sure of what it would delete: it was
    /// never acknowledged, and what it needs may be gone.
    pub(crate) fn void(&self, snapshot: &ObjectId, intent: &ObjectId) -> bool {
        self.closed.get(intent).is_some_and(|seen| seen.iter().any(|seen| !seen.contains(snapshot)))
    }

    /// Whether exactly this was recorded already.
    pub(crate) fn is_closed_with(&self, intent: &ObjectId, snapshots: &BTreeSet<ObjectId>) -> bool {
        self.closed.get(intent).is_some_and(|seen| seen.contains(snapshots))
    }
}

impl Repository {
    /// Reads every fence.
    pub(crate) fn fences(&self) -> Result<Fences, RepositoryError> {
        self.read_fences(self.ids_of_either(ObjectKind::Fence)?)
    }

    fn read_fences(&self, ids: impl IntoIterator<Item = ObjectId>) -> Result<Fences, RepositoryError> {
        let mut fences = Fences::default();
        for id in ids {
            let record = match self.read_record(RecordKind::Fence, id) {
                Ok(plain) => FenceRecord::decode(&plain).ok(),
                Err(RepositoryError::Damaged { .. }) => None,
                Err(error) => return Err(error),
            };
            let Some(record) = record else {
                // Removed meanwhile, or damaged in both copies.
                fences.has_damaged |= self.ids_of_either(ObjectKind::Fence)?.contains(&id);
                continue;
            };
            let intent = record.intent();
            match record {
                FenceRecord::Raised { .. } => drop(fences.raised.insert(intent)),
                FenceRecord::Closed { snapshots, .. } => {
                    fences.closed.entry(intent).or_default().push(snapshots.into_iter().collect());
                }
            }
        }
        Ok(fences)
    }

    /// Ends the waiting for a writer. If it still runs, it finds the fence before it acknowledges anything.
    pub(crate) fn raise_fence(&self, intent: ObjectId, time: Timestamp) -> Result<(), RepositoryError> {
        let record = FenceRecord::Raised { intent, time };
        self.put_record(RecordKind::Fence, &record.encode())?;
        self.storage().sync()?;
        reach(Point::PruneFenceRaised)
    }

    /// Records which snapshots of a fenced writer were seen before anything is deleted.
    pub(crate) fn close_fence(&self, intent: ObjectId, snapshots: &BTreeSet<ObjectId>) -> Result<(), RepositoryError> {
        let record = FenceRecord::Closed { intent, snapshots: snapshots.iter().copied().collect() };
        self.put_record(RecordKind::Fence, &record.encode())?;
        Ok(())
    }

    /// W6: whether the run under this intent may be acknowledged; its snapshot has been stored.
    pub(crate) fn may_acknowledge(&self, intent: &OwnIntent<'_>) -> Result<bool, RepositoryError> {
        // A fence names an intent, whose name nobody could know before. So an old one that is damaged hinders nobody
        // who begins, and in the usual case nothing is read.
        let mut fences = self.ids_of_either(ObjectKind::Fence)?;
        fences.retain(|id| !intent.fences_before().contains(id));
        Ok(!self.read_fences(fences)?.forbid(&intent.id()))
    }

    /// Takes back a snapshot that was stored and must not be acknowledged. Others may have seen it, so it goes as any
    /// snapshot does, by a tombstone.
    pub(crate) fn take_back(&self, snapshot: ObjectId, manifest: &SnapshotManifest) -> Result<(), RepositoryError> {
        let removal = Removal {
            snapshots: vec![snapshot],
            time: manifest.time,
            host: manifest.host.0.clone(),
            user: manifest.user.clone(),
            program: manifest.program.clone(),
            reason: "never acknowledged: a prune had given its writer up".to_owned(),
        };
        self.remove_snapshots(&removal).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{NOW, World, spoil, vanishing};
    use crate::{LocalState, WriterNote};
    use std::sync::Arc;
    use vellum_format::ObjectName;
    use vellum_format::deletion::Intent;

    #[test]
    fn a_damaged_fence_may_be_about_anybody_older_and_one_that_is_removed_is_about_nobody() {
        let world = World::new();
        let repository = world.open();
        let declare = || OwnIntent::declare(&repository, Intent::BACKUP, &WriterNote::default()).unwrap();
        let (fenced, other) = (declare(), declare());
        repository.raise_fence(fenced.id(), NOW).unwrap();
        let later = declare();
        let may = || [&fenced, &other, &later].map(|writer| repository.may_acknowledge(writer).unwrap());
        assert_eq!(may(), [false, true, true]);
        let id = repository.ids_of_either(ObjectKind::Fence).unwrap().pop_first().unwrap();
        spoil(&world.storage, &ObjectName::new(ObjectKind::Fence, id));
        assert_eq!(may(), [false, false, true]);
        let watched = world.open_on(Arc::new(vanishing(&world.storage, ObjectKind::Fence)), &LocalState::None);
        assert!(watched.may_acknowledge(&other).unwrap());
    }
}
