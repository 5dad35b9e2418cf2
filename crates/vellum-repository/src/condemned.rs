//! Condemnations: packs that no writer may rely on any more, and whom to outlast before they go.
//!
//! They are a set that only grows until its packs are gone. A pack is never taken back out of it: what is still
//! needed of a condemned pack is copied. (I22)

use crate::RepositoryError;
use crate::open::Repository;
use std::collections::{BTreeMap, BTreeSet};
use vellum_crypto::RecordKind;
use vellum_format::deletion::CondemnedRecord;
use vellum_format::snapshot::Timestamp;
use vellum_format::{ObjectId, ObjectKind, ObjectName, limits};

/// One condemnation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Condemnation {
    /// When, by the pruner's clock.
    pub(crate) time: Timestamp,
    pub(crate) packs: BTreeSet<ObjectId>,
    /// The intents to outlast, if anybody has recorded them.
    pub(crate) outlast: Option<BTreeSet<ObjectId>>,
    /// The records that say so.
    outlast_records: Vec<ObjectId>,
}

/// Every condemnation, by its name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Condemnations(pub(crate) BTreeMap<ObjectId, Condemnation>);

impl Condemnations {
    /// Every condemned pack.
    pub(crate) fn packs(&self) -> BTreeSet<ObjectId> {
        self.0.values().flat_map(|one| &one.packs).copied().collect()
    }
}

impl Repository {
    /// Reads every condemnation. One that cannot be read is an error: whoever writes must know what not to rely on.
    pub(crate) fn condemnations(&self) -> Result<Condemnations, RepositoryError> {
        let mut found = Condemnations::default();
        let mut outlasts = Vec::new();
        for id in self.ids_of_either(ObjectKind::Condemned)? {
            match self.read_condemned(id)? {
                Some(CondemnedRecord::Packs { time, packs }) => {
                    let packs = packs.into_iter().collect();
                    found.0.insert(id, Condemnation { time, packs, outlast: None, outlast_records: Vec::new() });
                }
                Some(CondemnedRecord::Outlast { condemned, intents }) => outlasts.push((id, condemned, intents)),
                None => {}
            }
        }
        for (id, condemned, intents) in outlasts {
            let Some(one) = found.0.get_mut(&condemned) else { continue };
            let listed: BTreeSet<ObjectId> = intents.into_iter().collect();
            // Each listing was taken after the condemnation; who is missing in one of them had withdrawn by then.
            let known = one.outlast.take().map_or_else(|| listed.clone(), |known| &known & &listed);
            one.outlast = Some(known);
            one.outlast_records.push(id);
        }
        Ok(found)
    }

    /// Records of which no copy opens, and those that say whom to outlast for one of them.
    pub(crate) fn unreadable_condemnations(&self) -> Result<(Vec<ObjectId>, Vec<ObjectId>), RepositoryError> {
        let (mut unreadable, mut outlasts) = (Vec::new(), Vec::new());
        for id in self.ids_of_either(ObjectKind::Condemned)? {
            match self.read_condemned(id) {
                Ok(Some(CondemnedRecord::Outlast { condemned, .. })) => outlasts.push((id, condemned)),
                Ok(_) => {}
                Err(RepositoryError::Damaged { .. }) => unreadable.push(id),
                Err(error) => return Err(error),
            }
        }
        outlasts.retain(|(_, condemned)| unreadable.contains(condemned));
        Ok((unreadable, outlasts.into_iter().map(|(id, _)| id).collect()))
    }

    /// `None` when it was removed since it was listed, because its packs are gone.
    fn read_condemned(&self, id: ObjectId) -> Result<Option<CondemnedRecord>, RepositoryError> {
        let name = ObjectName::new(ObjectKind::Condemned, id);
        match self.read_record(RecordKind::Condemned, id) {
            Ok(plain) => {
                CondemnedRecord::decode(&plain).map(Some).map_err(|error| RepositoryError::damaged(name, &error))
            }
            Err(RepositoryError::Damaged { .. }) if !self.ids_of_either(ObjectKind::Condemned)?.contains(&id) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Lets the index answer writers without what is condemned now, and returns it.
    pub(crate) fn heed_condemnations(&self) -> Result<Condemnations, RepositoryError> {
        let condemnations = self.condemnations()?;
        self.set_condemned_packs(condemnations.packs());
        Ok(condemnations)
    }

    /// Condemns packs, durably, and returns what says so. From when this returns, no writer that begins relies on them.
    pub(crate) fn condemn(
        &self,
        packs: &BTreeSet<ObjectId>,
        time: Timestamp,
    ) -> Result<Vec<(ObjectId, Condemnation)>, RepositoryError> {
        let packs: Vec<ObjectId> = packs.iter().copied().collect();
        let mut put = Vec::new();
        for packs in packs.chunks(limits::RECORD_NAMES_MAX) {
            let record = CondemnedRecord::Packs { time, packs: packs.to_vec() };
            let id = self.put_record(RecordKind::Condemned, &record.encode())?;
            let packs = packs.iter().copied().collect();
            put.push((id, Condemnation { time, packs, outlast: None, outlast_records: Vec::new() }));
        }
        self.storage().sync()?;
        Ok(put)
    }

    /// Records whom to outlast, so that a later prune does not have to wait for writers that began since.
    pub(crate) fn record_outlast(
        &self,
        condemned: ObjectId,
        intents: &BTreeSet<ObjectId>,
    ) -> Result<(), RepositoryError> {
        if intents.len() > limits::RECORD_NAMES_MAX {
            return Ok(()); // the next prune takes a listing of its own
        }
        let intents = intents.iter().copied().collect();
        let record = CondemnedRecord::Outlast { condemned, intents };
        self.put_record(RecordKind::Condemned, &record.encode())?;
        Ok(())
    }

    /// Removes a condemnation whose packs are durably gone, and the records about it.
    pub(crate) fn remove_condemnation(&self, id: ObjectId, one: &Condemnation) -> Result<(), RepositoryError> {
        // The condemnation last: what is left of an interrupted removal is removed by the next prune.
        for record in &one.outlast_records {
            self.delete_both(ObjectKind::Condemned, *record)?;
        }
        self.delete_both(ObjectKind::Condemned, id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalState;
    use crate::support::{NOW, World, spoil, vanishing};
    use std::sync::Arc;

    fn ids(range: std::ops::Range<usize>) -> BTreeSet<ObjectId> {
        range.map(|number| ObjectId::of(number.to_string().as_bytes())).collect()
    }

    #[test]
    fn only_who_is_in_every_listing_is_to_be_outlasted() {
        let repository = World::new().open();
        let (id, condemned) = repository.condemn(&ids(0..3), NOW).unwrap().remove(0);
        assert_eq!(repository.condemnations().unwrap().0[&id], condemned);
        for listed in [10..12, 11..13] {
            repository.record_outlast(id, &ids(listed)).unwrap();
        }
        assert_eq!(repository.condemnations().unwrap().0[&id].outlast, Some(ids(11..12)));
    }

    #[test]
    fn whom_to_outlast_is_recorded_as_far_as_a_record_has_room() {
        for (count, is_recorded) in [(limits::RECORD_NAMES_MAX, true), (limits::RECORD_NAMES_MAX + 1, false)] {
            let repository = World::new().open();
            let id = repository.condemn(&ids(0..1), NOW).unwrap()[0].0;
            repository.record_outlast(id, &ids(0..count)).unwrap();
            let outlast = repository.condemnations().unwrap().0.remove(&id).unwrap().outlast;
            assert_eq!(outlast.map(|listed| listed.len()), is_recorded.then_some(count));
        }
    }

    #[test]
    fn a_condemnation_that_is_removed_while_it_is_read_is_none_and_a_damaged_one_is_an_error() {
        let world = World::new();
        let id = world.open().condemn(&ids(0..1), NOW).unwrap()[0].0;
        let repository = world.open_on(Arc::new(vanishing(&world.storage, ObjectKind::Condemned)), &LocalState::None);
        assert_eq!(repository.condemnations().unwrap().packs(), BTreeSet::new());
        spoil(&world.storage, &ObjectName::new(ObjectKind::Condemned, id));
        assert!(matches!(world.open().condemnations(), Err(RepositoryError::Damaged { .. })));
    }
}
