//! History as the storage shows it: a graph of records, snapshots and tombstones, each naming those before it.
//!
//! A writer names the record of its own device before it, and every other head: a record that no other names. So
//! what is gone without a tombstone leaves a name behind that nothing answers to (I14).

use crate::RepositoryError;
use crate::forks::forks;
use crate::objects::{adopt_both, is_missing, put_twice};
use crate::open::Repository;
use crate::remembered::{Remembered, Seen};
use crate::snapshots::Snapshot;
use crate::tombstones::Tombstone;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use vellum_crypto::HeadCode;
use vellum_format::{DeviceId, ObjectId, ObjectKind, ObjectName, limits};
use vellum_storage::StorageError;

/// How often history is read anew because something was deleted while it was read.
const ATTEMPTS: usize = 3;

/// Something about history that an honest storage does not show, whoever writes at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HistoryFinding {
    /// A record is neither there nor removed by a tombstone: the storage lost it, withholds it, or shows an older
    /// state.
    Shortened {
        /// The record. Where only its name is known, it counts as a snapshot.
        record: ObjectName,
        /// Who knows that it was there.
        known_by: KnownBy,
    },
    /// History went two ways: each of two records has followers that did not know of the other, although one of the
    /// two was stored before the other's followers were.
    Forked {
        /// The record of lower sequence.
        one: ObjectName,
        /// The other.
        other: ObjectName,
    },
}

/// Who knows of a record that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KnownBy {
    /// A later record names it.
    Record(ObjectId),
    /// This machine has seen it.
    ThisMachine,
}

impl fmt::Display for HistoryFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shortened { record, known_by: KnownBy::Record(later) } => {
                write!(f, "{record} is missing, although later history knows it: {} names it", later.short())
            }
            Self::Shortened { record, known_by: KnownBy::ThisMachine } => {
                write!(f, "{record} is missing, although this machine has seen it")
            }
            Self::Forked { one, other } => {
                write!(f, "history went two ways: what follows {one} does not know {other}, nor the other way round")
            }
        }
    }
}

impl HistoryFinding {
    /// The object that it is about, and for a fork the first of the two.
    #[must_use]
    pub fn object(&self) -> ObjectName {
        match self {
            Self::Shortened { record, .. } => *record,
            Self::Forked { one, .. } => *one,
        }
    }

    fn records(&self) -> [ObjectId; 2] {
        match self {
            Self::Shortened { record, .. } => [record.id; 2],
            Self::Forked { one, other } => [one.id, other.id],
        }
    }
}

/// All of a repository's history, as this machine sees it.
#[derive(Debug)]
pub struct History {
    /// The snapshots that can be trusted and that no tombstone removes, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// The tombstones that can be trusted, in the order of their sequence.
    pub tombstones: Vec<Tombstone>,
    /// Why others cannot be used; each names its object.
    pub damaged: Vec<RepositoryError>,
    /// What an honest storage does not show, but for what was accepted here before.
    pub findings: Vec<HistoryFinding>,
    /// Whether this machine remembered nothing of it: then it cannot tell an older state from the newest.
    pub is_first_sight: bool,
    /// The newest record.
    pub head: Option<ObjectId>,
    /// Records that others name or that this machine remembers, but for removed ones: they were durable, each with its
    /// copy.
    pub known: BTreeSet<ObjectId>,
    removed: BTreeSet<ObjectId>,
}

impl History {
    /// The code of the newest record, for people to note.
    #[must_use]
    pub fn head_code(&self) -> Option<HeadCode> {
        self.head.as_ref().map(HeadCode::of)
    }

    /// Proves that history reaches at least to the record of which somebody has noted this code.
    ///
    /// # Errors
    /// [`RepositoryError::HeadUnknown`] when no record that is there, or that a tombstone removes, has it.
    pub fn expect_head(&self, code: &HeadCode) -> Result<(), RepositoryError> {
        let snapshots = self.snapshots.iter().map(|snapshot| &snapshot.id);
        let tombstones = self.tombstones.iter().map(|tombstone| &tombstone.id);
        match snapshots.chain(tombstones).chain(&self.removed).any(|id| HeadCode::of(id) == *code) {
            true => Ok(()),
            false => Err(RepositoryError::HeadUnknown { code: *code }),
        }
    }
}

/// Every record that the storage shows.
#[derive(Default)]
pub(crate) struct Records {
    /// Those that can be trusted and are not removed, oldest first.
    pub(crate) snapshots: Vec<Snapshot>,
    /// Those that can be trusted, in the order of their sequence; removed ones among them.
    pub(crate) tombstones: Vec<Tombstone>,
    /// Why the others cannot be used.
    pub(crate) damaged: Vec<RepositoryError>,
    /// What the tombstones remove, each with one that does.
    pub(crate) removed: BTreeMap<ObjectId, ObjectId>,
    /// Snapshots that lie there, damaged and removed ones among them.
    pub(crate) snapshot_names: BTreeSet<ObjectId>,
    /// Those of which one copy lies there: a writer was killed between the two, or one was lost.
    halves: BTreeSet<ObjectId>,
    /// Tombstones that lie there under their own name, damaged ones among them.
    pub(crate) tombstone_names: BTreeSet<ObjectId>,
    /// Tombstones of which a copy lies there, damaged ones among them.
    pub(crate) tombstone_copies: BTreeSet<ObjectId>,
}

/// What every record has.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) name: ObjectName,
    pub(crate) device: DeviceId,
    pub(crate) sequence: u64,
    pub(crate) previous: Option<ObjectId>,
    pub(crate) seen: &'a [ObjectId],
}

/// Where a device's next record stands among the others.
pub(crate) struct Position {
    pub(crate) sequence: u64,
    pub(crate) previous: Option<ObjectId>,
    pub(crate) seen: Vec<ObjectId>,
    /// The objects that it names.
    named: Vec<ObjectName>,
}

impl<'a> Record<'a> {
    fn of_snapshot(snapshot: &'a Snapshot) -> Self {
        let manifest = &snapshot.manifest;
        Self {
            name: ObjectName::new(ObjectKind::Snapshot, snapshot.id),
            device: manifest.device,
            sequence: manifest.sequence,
            previous: manifest.previous,
            seen: &manifest.seen,
        }
    }

    fn of_tombstone(tombstone: &'a Tombstone) -> Self {
        let manifest = &tombstone.manifest;
        Self {
            name: ObjectName::new(ObjectKind::Tombstone, tombstone.id),
            device: manifest.device,
            sequence: manifest.sequence,
            previous: manifest.previous,
            seen: &manifest.seen,
        }
    }

    /// The records that it was built on.
    pub(crate) fn named(self) -> impl Iterator<Item = ObjectId> + 'a {
        self.previous.into_iter().chain(self.seen.iter().copied())
    }
}

impl Position {
    /// Behind a record that was just written, which names everything else.
    pub(crate) fn after(self, record: ObjectName) -> Self {
        let sequence = self.sequence.saturating_add(1);
        Self { sequence, previous: Some(record.id), seen: Vec::new(), named: vec![record] }
    }
}

impl Records {
    /// Every record that can be trusted and is not removed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        let tombstones = self.tombstones.iter().filter(|tombstone| !self.removed.contains_key(&tombstone.id));
        self.snapshots.iter().map(Record::of_snapshot).chain(tombstones.map(Record::of_tombstone))
    }

    /// Whether something of this name lies there, sound or not.
    pub(crate) fn lists(&self, id: &ObjectId) -> bool {
        [&self.snapshot_names, &self.tombstone_names, &self.tombstone_copies].iter().any(|names| names.contains(id))
    }

    fn accounts_for(&self, id: &ObjectId) -> bool {
        self.removed.contains_key(id) || self.lists(id)
    }

    /// Records that are neither there nor removed, each once, though somebody knows them.
    fn missing(&self, remembered: &Remembered) -> Vec<HistoryFinding> {
        let named = self.iter().flat_map(|record| {
            let known_by = KnownBy::Record(record.name.id);
            record.named().map(move |id| (ObjectName::new(ObjectKind::Snapshot, id), known_by))
        });
        let seen = remembered.records().map(|seen| (seen.name, KnownBy::ThisMachine));
        let mut missing = BTreeMap::new();
        for (record, known_by) in seen.chain(named) {
            if !self.accounts_for(&record.id) && !remembered.accepted.contains(&record.id) {
                missing.entry(record.id).or_insert(HistoryFinding::Shortened { record, known_by });
            }
        }
        missing.into_values().collect()
    }

    /// The record of the highest sequence: no other record names it, directly or through others.
    fn head(&self) -> Option<ObjectId> {
        self.iter().map(|record| (record.sequence, record.name.id)).max().map(|(_, id)| id)
    }

    /// What to remember after this was seen. What is missing stays remembered until it is back or accepted.
    fn renew(&self, remembered: &Remembered) -> Remembered {
        let mut next = remembered.clone();
        let is_lost = |seen: &Seen| !self.accounts_for(&seen.name.id) && !next.accepted.contains(&seen.name.id);
        next.lost = remembered.records().filter(is_lost).collect();
        let is_there = |seen: &Seen| self.lists(&seen.name.id) && !self.removed.contains_key(&seen.name.id);
        // Of a device whose records are all removed, the tombstones are remembered.
        next.newest.retain(|_, seen| is_there(seen));
        for record in self.iter().filter(|record| !self.halves.contains(&record.name.id)) {
            let Record { name, device, sequence, .. } = record;
            let seen = Seen { device, sequence, name };
            let known = next.newest.entry(device).or_insert(seen);
            if (known.sequence, known.name.id) < (sequence, name.id) {
                *known = seen;
            }
        }
        next
    }

    /// Where the next record of a device stands that removes the records `leaving`.
    ///
    /// Its sequence is beyond every other, of whichever device: so no number comes twice on a device, also when all
    /// of its records are removed, and whatever the clocks say.
    pub(crate) fn position(&self, device: DeviceId, leaving: &BTreeSet<ObjectId>) -> Position {
        let staying = || self.iter().filter(|record| !leaving.contains(&record.name.id));
        let named: BTreeSet<ObjectId> = staying().flat_map(|record| record.named()).collect();
        let own = staying().filter(|record| record.device == device);
        let previous = own.max_by_key(|record| (record.sequence, record.name.id)).map(|record| record.name);
        let is_head = |name: &ObjectName| !named.contains(&name.id) && Some(*name) != previous;
        let heads: Vec<ObjectName> =
            staying().map(|record| record.name).filter(is_head).take(limits::SNAPSHOT_SEEN_MAX).collect();
        Position {
            sequence: self.iter().map(|record| record.sequence).max().unwrap_or(0).saturating_add(1),
            previous: previous.map(|name| name.id),
            seen: heads.iter().map(|name| name.id).collect(),
            named: previous.into_iter().chain(heads).collect(),
        }
    }
}

impl Repository {
    /// Reads every record. A damaged one costs only itself.
    pub(crate) fn read_records(&self) -> Result<Records, RepositoryError> {
        for _ in 1..ATTEMPTS {
            if let Some(records) = self.try_read_records(false)? {
                return Ok(records);
            }
        }
        Ok(self.try_read_records(true)?.unwrap_or_default())
    }

    /// Nothing when a record vanished after it was listed, unless that shall count as damage.
    fn try_read_records(&self, is_last: bool) -> Result<Option<Records>, RepositoryError> {
        let keys = |kind| Ok::<BTreeSet<ObjectId>, RepositoryError>(self.names(kind)?.into_keys().collect());
        // Snapshots first: what is missing among them was removed by a tombstone that is listed now.
        let (first, second) = (keys(ObjectKind::Snapshot)?, keys(ObjectKind::SnapshotMirror)?);
        let mut records = Records {
            snapshot_names: &first | &second,
            halves: &first ^ &second,
            tombstone_names: keys(ObjectKind::Tombstone)?,
            tombstone_copies: keys(ObjectKind::TombstoneMirror)?,
            ..Records::default()
        };
        let mut damaged = BTreeMap::new();
        for id in records.tombstone_names.union(&records.tombstone_copies) {
            match self.read_tombstone(*id) {
                Ok(tombstone) => records.tombstones.push(tombstone),
                Err(_) if !is_last && self.has_vanished(ObjectKind::Tombstone, *id)? => return Ok(None),
                Err(error) => drop(damaged.insert(*id, damage(error)?)),
            }
        }
        records.tombstones.sort_by_key(|tombstone| (tombstone.manifest.sequence, tombstone.id));
        for tombstone in &records.tombstones {
            records.removed.extend(tombstone.manifest.removed.iter().map(|id| (*id, tombstone.id)));
        }
        let removed = &records.removed;
        records.damaged.extend(damaged.into_iter().filter(|(id, _)| !removed.contains_key(id)).map(|(_, error)| error));
        for id in records.snapshot_names.iter().filter(|id| !records.removed.contains_key(id)) {
            match self.read_snapshot(*id) {
                Ok(snapshot) => records.snapshots.push(snapshot),
                Err(_) if !is_last && self.has_vanished(ObjectKind::Snapshot, *id)? => return Ok(None),
                Err(error) => records.damaged.push(damage(error)?),
            }
        }
        records.snapshots.sort_by_key(|snapshot| (snapshot.manifest.time, snapshot.manifest.sequence, snapshot.id));
        Ok(Some(records))
    }

    /// Whether neither a record nor a copy of it lies there any more.
    fn has_vanished(&self, kind: ObjectKind, id: ObjectId) -> Result<bool, RepositoryError> {
        for kind in [Some(kind), kind.mirror()].into_iter().flatten() {
            match self.storage().len(&ObjectName::new(kind, id)) {
                Ok(_) => return Ok(false),
                Err(StorageError::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Reads all of history, compares it with what this machine remembers of it, and remembers what is new.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`] when the storage cannot be listed or read at all.
    pub fn history(&self) -> Result<History, RepositoryError> {
        let is_first_sight = self.remembered().is_empty();
        let (records, findings) = self.examine_records()?;
        let head = records.head();
        let remembered = self.remembered();
        let known = records.iter().flat_map(Record::named).chain(remembered.records().map(|seen| seen.name.id));
        let known = known.filter(|id| !records.removed.contains_key(id)).collect();
        let (_void, snapshots) = self.split_void(records.snapshots)?;
        Ok(History {
            is_first_sight,
            head,
            tombstones: records.tombstones.into_iter().filter(|one| !records.removed.contains_key(&one.id)).collect(),
            removed: records.removed.keys().copied().collect(),
            snapshots,
            known,
            damaged: records.damaged,
            findings,
        })
    }

    pub(crate) fn examine_records(&self) -> Result<(Records, Vec<HistoryFinding>), RepositoryError> {
        let remembered = self.remembered();
        let mut records = self.read_records()?;
        let mut findings = records.missing(&remembered);
        if !findings.is_empty() {
            // Listings are not one moment. Whatever is named was there before the record that names it was read: so
            // by now it is there, or the tombstone is that removed it.
            records = self.read_records()?;
            let still = records.missing(&remembered);
            let still: BTreeSet<[ObjectId; 2]> = still.iter().map(HistoryFinding::records).collect();
            findings.retain(|finding| still.contains(&finding.records()));
        }
        let forks = forks(records.iter()).into_iter().map(|(one, other)| HistoryFinding::Forked { one, other });
        findings.extend(forks.filter(|fork| !fork.records().iter().all(|id| remembered.accepted.contains(id))));
        self.remember_durably(&remembered, &records.renew(&remembered));
        Ok((records, findings))
    }

    /// What an honest storage would not show; see [`Repository::history`].
    ///
    /// # Errors
    /// As [`Repository::history`].
    pub fn history_findings(&self) -> Result<Vec<HistoryFinding>, RepositoryError> {
        Ok(self.history()?.findings)
    }

    /// Takes what history is found to lack, and where it went two ways, for how things are: this machine does not
    /// tell it again. Returns what was accepted. Other machines are not concerned.
    ///
    /// # Errors
    /// As [`Repository::history`].
    pub fn accept_history(&self) -> Result<Vec<HistoryFinding>, RepositoryError> {
        let findings = self.history()?.findings;
        let mut remembered = self.remembered();
        remembered.accepted.extend(findings.iter().flat_map(HistoryFinding::records));
        remembered.lost.clear();
        self.remember(&remembered);
        Ok(findings)
    }

    /// Remembers only what a power cut cannot take away: whoever put it may not have made it durable yet. What cannot
    /// be made durable, as on a storage that only reads, is not remembered.
    fn remember_durably(&self, before: &Remembered, next: &Remembered) {
        if next == before || self.state_folder().is_none() {
            return;
        }
        for seen in next.newest.values().filter(|seen| before.newest.get(&seen.device) != Some(*seen)) {
            adopt_both(&**self.storage(), &seen.name);
        }
        if self.storage().sync().is_ok() {
            self.remember(next);
        }
    }

    /// The position of this device's next record, with what it names made durable. What vanished since the records were
    /// read was removed by somebody else: they are read again.
    pub(crate) fn settled_position(&self, mut records: Records, device: DeviceId) -> Result<Position, RepositoryError> {
        for _ in 1..ATTEMPTS {
            let position = records.position(device, &BTreeSet::new());
            match self.settle(&records, &position) {
                Err(error) if is_missing(&error) => records = self.read_records()?,
                settled => return settled.map(|()| position),
            }
        }
        let position = records.position(device, &BTreeSet::new());
        self.settle(&records, &position)?;
        Ok(position)
    }

    /// Makes what a new record names durable: others may have put it, and been killed before their sync.
    pub(crate) fn settle(&self, records: &Records, position: &Position) -> Result<(), RepositoryError> {
        for name in &position.named {
            if records.halves.contains(&name.id) {
                let bytes = self.read_either(name, limits::SNAPSHOT_LEN_BYTES_MAX)?;
                put_twice(&**self.storage(), name.kind, &bytes)?;
            }
            adopt_both(&**self.storage(), name);
        }
        self.settle_tombstones(records)?;
        Ok(self.storage().sync()?)
    }
}

/// An error that concerns one object only; any other is returned as an error.
fn damage(error: RepositoryError) -> Result<RepositoryError, RepositoryError> {
    match error {
        RepositoryError::Damaged { .. } | RepositoryError::KeysContradict { .. } => Ok(error),
        error => Err(error),
    }
}

#[cfg(test)]
mod tests;
