//! What checks remember in the repository: which pack was read when, and whether it was undamaged.
//!
//! Only advice (I25): a record decides which packs a check reads first and what people are told about it, nothing
//! else. Each run stores the union of what it found there and what it saw, and then removes what that replaces.

use crate::RepositoryError;
use crate::objects::is_missing;
use crate::open::Repository;
use crate::verify::Damage;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use vellum_crypto::RecordKind;
use vellum_format::snapshot::Timestamp;
use vellum_format::verification::{CheckRun, PackReading, Verification};
use vellum_format::{ObjectId, ObjectKind, ObjectName, limits};

/// Records with times after now that are left to those whose clocks they are right by; when there are more, all go.
const LATER_RECORDS_MAX: usize = 16;

/// What is known of earlier checks.
#[derive(Debug, Clone, Default)]
pub struct Verifications {
    /// The last reading of each pack that is not dated after now.
    record: Verification,
    /// Objects that a record of all this replaces.
    replaceable: Vec<ObjectId>,
    /// What is wrong with stored records.
    pub damage: Vec<Damage>,
}

impl Verifications {
    /// When a pack was read last, damaged or not.
    #[must_use]
    pub fn last_read(&self, pack: &ObjectId) -> Option<Timestamp> {
        self.reading(pack).map(|reading| self.record.time_of(reading))
    }

    /// Whether a pack was undamaged when it was read last.
    #[must_use]
    pub fn was_whole(&self, pack: &ObjectId) -> Option<bool> {
        self.reading(pack).map(|reading| reading.is_whole)
    }

    /// When files were restored and compared last.
    #[must_use]
    pub fn last_restore_test(&self) -> Option<Timestamp> {
        self.record.runs.iter().filter(|run| run.files_restored > 0).map(|run| run.time).max()
    }

    fn reading(&self, pack: &ObjectId) -> Option<&PackReading> {
        let at = self.record.packs.binary_search_by_key(pack, |reading| reading.pack).ok()?;
        self.record.packs.get(at)
    }

    /// Adds what a run saw.
    pub fn add(&mut self, run: CheckRun, readings: &BTreeMap<ObjectId, bool>) {
        let readings = readings.iter().map(|(pack, is_whole)| PackReading { pack: *pack, run: 0, is_whole: *is_whole });
        self.merge(Verification { runs: vec![run], packs: readings.collect() }, |_| true);
    }

    /// Takes over what another record says of runs for which `counts` holds. Of several readings of a pack the last
    /// one stays; of those of one time, one that found damage.
    fn merge(&mut self, other: Verification, counts: impl Fn(&CheckRun) -> bool) {
        let Verification { runs, packs } = &mut self.record;
        let first = to_u32(runs.len());
        let counted = other.packs.into_iter().filter(|reading| counts(&other.runs[reading.run as usize]));
        packs.extend(counted.map(|reading| PackReading { run: first + reading.run, ..reading }));
        runs.extend(other.runs);
        let time = |reading: &PackReading| runs[reading.run as usize].time;
        packs.sort_by_key(|reading| (reading.pack, Reverse(time(reading)), reading.is_whole));
        packs.dedup_by_key(|reading| reading.pack);
        self.drop_runs(&counts);
    }

    /// Drops the runs that read nothing that is left or do not count, but for the newest of all and the newest that
    /// restored files; beyond the limit of a record the oldest, with what they read.
    fn drop_runs(&mut self, counts: impl Fn(&CheckRun) -> bool) {
        let Verification { runs, packs } = &mut self.record;
        let mut is_kept = vec![false; runs.len()];
        packs.iter().for_each(|reading| is_kept[reading.run as usize] = true);
        let newest = |wanted: fn(&CheckRun) -> bool| {
            let wanted = (0..runs.len()).filter(|number| counts(&runs[*number]) && wanted(&runs[*number]));
            wanted.max_by_key(|number| runs[*number].time)
        };
        for number in newest(|_| true).into_iter().chain(newest(|run| run.files_restored > 0)) {
            is_kept[number] = true;
        }
        let kept: BTreeSet<Reverse<CheckRun>> =
            (0..runs.len()).filter(|number| is_kept[*number]).map(|number| Reverse(runs[number])).collect();
        let kept: Vec<CheckRun> =
            kept.into_iter().map(|run| run.0).take(limits::VERIFICATION_RUNS_MAX as usize).collect();
        let numbers: BTreeMap<CheckRun, u32> = (0..).zip(&kept).map(|(number, run)| (*run, number)).collect();
        packs.retain(|reading| numbers.contains_key(&runs[reading.run as usize]));
        packs.iter_mut().for_each(|reading| reading.run = numbers[&runs[reading.run as usize]]);
        *runs = kept;
    }

    /// Drops packs that are not stored any more; beyond the limit of a record, those that were read longest ago.
    fn drop_packs(&mut self, stored: &BTreeSet<ObjectId>) {
        self.record.packs.retain(|reading| stored.contains(&reading.pack));
        let most = limits::VERIFICATION_PACKS_MAX as usize;
        if self.record.packs.len() > most {
            let Verification { runs, packs } = &mut self.record;
            packs.sort_by_key(|reading| Reverse(runs[reading.run as usize].time));
            packs.truncate(most);
            packs.sort();
        }
        self.drop_runs(|_| true);
    }
}

impl Repository {
    /// What earlier checks left. What is dated after `now` does not count: no clock keeps a pack from being read. (P14)
    ///
    /// # Errors
    /// [`RepositoryError::Storage`].
    pub fn verifications(&self, now: Timestamp) -> Result<Verifications, RepositoryError> {
        let mut known = Verifications::default();
        let mut later = Vec::new();
        for id in self.ids_of_either(ObjectKind::Verification)? {
            match self.read_verification(id) {
                Ok(record) => {
                    let is_later = record.runs.iter().any(|run| run.time > now);
                    if is_later { &mut later } else { &mut known.replaceable }.push(id);
                    known.merge(record, |run| run.time <= now);
                }
                // Another check has replaced it since it was listed.
                Err(error) if is_missing(&error) && !self.ids_of_either(ObjectKind::Verification)?.contains(&id) => {}
                Err(RepositoryError::Damaged { object, reason }) => {
                    known.replaceable.push(id);
                    let reason = format!(
                        "{reason}; it only says which packs were read when, and the next check that reads packs replaces it"
                    );
                    known.damage.push(Damage { object, reason });
                }
                Err(error) => return Err(error),
            }
        }
        if later.len() > LATER_RECORDS_MAX {
            known.replaceable.append(&mut later);
        }
        Ok(known)
    }

    fn read_verification(&self, id: ObjectId) -> Result<Verification, RepositoryError> {
        let plain = self.read_record(RecordKind::Verification, id)?;
        let name = ObjectName::new(ObjectKind::Verification, id);
        Verification::decode(&plain).map_err(|error| RepositoryError::damaged(name, &error))
    }

    /// Stores what a check saw together with all that earlier ones did, durably, and then removes their records.
    ///
    /// A crash leaves the earlier records, or the new one beside some of them: nothing that was known is lost.
    ///
    /// # Errors
    /// [`RepositoryError`] when the storage takes no record or gives none up, or packs cannot be listed.
    pub fn record_check(&self, run: CheckRun, readings: &BTreeMap<ObjectId, bool>) -> Result<(), RepositoryError> {
        // Read again: another check may have stored or removed records meanwhile.
        let mut known = self.verifications(run.time)?;
        known.add(run, readings);
        known.drop_packs(&self.names(ObjectKind::Pack)?.into_keys().collect());
        self.put_record(RecordKind::Verification, &known.record.encode())?;
        self.storage().sync()?;
        known.replaceable.iter().try_for_each(|id| self.delete_both(ObjectKind::Verification, *id))
    }
}

fn to_u32(number: usize) -> u32 {
    u32::try_from(number).expect("records keep below their limits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vellum_format::DeviceId;
    use vellum_format::verification::Reach;

    fn run(seconds: i64, files_restored: u64) -> CheckRun {
        let time = Timestamp { seconds, nanoseconds: 0 };
        CheckRun { time, device: DeviceId::from_bytes([1; 16]), reach: Reach::Sample, files_restored, findings: 0 }
    }

    fn pack(number: u8) -> ObjectId {
        ObjectId::of(&[number])
    }

    proptest! {
        /// Whatever the order in which runs come together, and however often: the last reading of each pack counts.
        #[test]
        fn any_merge_agrees_with_the_model(
            runs in proptest::collection::vec(
                (0..6i64, 0..2u64, proptest::collection::btree_map(0..8u8, any::<bool>(), 0..6)), 0..8),
            later in 0..6i64,
            gone in proptest::collection::btree_set(0..8u8, 0..4),
        ) {
            let mut model: BTreeMap<ObjectId, (i64, bool)> = BTreeMap::new();
            let mut known = Verifications::default();
            for (seconds, files, readings) in &runs {
                let readings: BTreeMap<ObjectId, bool> = readings.iter().map(|(number, is_whole)| (pack(*number), *is_whole)).collect();
                let mut one = Verifications::default();
                one.add(run(*seconds, *files), &readings);
                known.merge(one.record.clone(), |run| run.time.seconds <= later);
                known.merge(one.record, |run| run.time.seconds <= later);
                for (pack, is_whole) in readings {
                    if *seconds <= later {
                        let last = model.entry(pack).or_insert((*seconds, is_whole));
                        *last = match (*seconds).cmp(&last.0) {
                            std::cmp::Ordering::Less => *last,
                            std::cmp::Ordering::Equal => (last.0, last.1 && is_whole),
                            std::cmp::Ordering::Greater => (*seconds, is_whole),
                        };
                    }
                }
            }
            let stored: BTreeSet<ObjectId> = (0..8).filter(|number| !gone.contains(number)).map(pack).collect();
            known.drop_packs(&stored);
            for pack in (0..8).map(pack) {
                let expected = model.get(&pack).filter(|_| stored.contains(&pack));
                prop_assert_eq!(known.last_read(&pack).map(|time| time.seconds), expected.map(|(time, _)| *time));
                prop_assert_eq!(known.was_whole(&pack), expected.map(|(_, is_whole)| *is_whole));
            }
            let drill = runs.iter().filter(|(seconds, files, _)| *files > 0 && *seconds <= later);
            prop_assert_eq!(known.last_restore_test().map(|time| time.seconds), drill.map(|(seconds, ..)| *seconds).max());
            prop_assert!(known.record.runs.len() <= 8 + 2);
            prop_assert_eq!(Verification::decode(&known.record.encode()), Ok(known.record));
        }
    }
}
