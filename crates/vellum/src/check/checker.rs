//! What one check goes through, and what it collects on its way.

use super::history::MISSING;
use super::snapshots::Needed;
use super::{CheckOptions, CheckReport, FINDINGS_KEPT_MAX, Finding};
use crate::losses::Losses;
use crate::{Context, Error};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use vellum_format::snapshot::Timestamp;
use vellum_format::{ObjectId, ObjectKind, ObjectName};
use vellum_repository::{Damage, Repository, RepositoryError, Verifications};

/// Nothing counts as recorded before it.
const LONG_AGO: Timestamp = Timestamp { seconds: i64::MIN, nanoseconds: 0 };

/// A check that is under way.
pub(super) struct Checker<'a> {
    pub(super) repository: &'a Repository,
    pub(super) context: &'a Context,
    pub(super) report: CheckReport,
    /// Trees that were walked, by the hash of their content.
    pub(super) seen: HashSet<[u8; 16]>,
    pub(super) losses: Losses<'a>,
    pub(super) needed: Needed,
    /// Packs of which something was read, with what is wrong with them.
    pub(super) read: BTreeMap<ObjectId, Damage>,
    /// What reading files as a restore would found.
    pub(super) tested: Vec<Finding>,
    /// Packs that catalogs list, and packs that are there with their lengths.
    pub(super) listed: BTreeSet<ObjectId>,
    pub(super) stored: BTreeMap<ObjectId, u64>,
    /// What earlier checks left.
    pub(super) known: Verifications,
    /// Packs that this one read, each with whether it was undamaged.
    pub(super) readings: BTreeMap<ObjectId, bool>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(repository: &'a Repository, context: &'a Context) -> Self {
        Self {
            repository,
            context,
            report: CheckReport::default(),
            seen: HashSet::new(),
            losses: Losses::new(repository),
            needed: Needed::default(),
            read: BTreeMap::new(),
            tested: Vec::new(),
            listed: BTreeSet::new(),
            stored: BTreeMap::new(),
            known: Verifications::default(),
            readings: BTreeMap::new(),
        }
    }

    /// Looks at everything.
    pub(super) fn look(&mut self, options: &CheckOptions) -> Result<(), Error> {
        let missing = self.check_small_objects(options)?;
        self.check_packs(options)?;
        let snapshots = self.check_history(options)?;
        self.check_snapshots(&snapshots, &missing)?;
        self.test_files(&snapshots, options)?;
        self.judge_missing_copies(&missing)?;
        self.tell_healed()
    }

    /// Looks at everything but what was read byte by byte, which is wrong as long as it is there.
    pub(super) fn look_again(&mut self, options: &CheckOptions) -> Result<(), Error> {
        self.report = CheckReport {
            packs_read: self.report.packs_read,
            bytes_read: self.report.bytes_read,
            restore_test: std::mem::take(&mut self.report.restore_test),
            ..CheckReport::default()
        };
        (self.seen, self.needed) = (HashSet::new(), Needed::default());
        let missing = self.check_small_objects(options)?;
        self.count_packs()?;
        self.read.retain(|pack, _| self.stored.contains_key(pack));
        self.losses.retain_packs(|pack| self.stored.contains_key(pack));
        self.blame_packs()?;
        let snapshots = self.check_history(options)?;
        self.check_snapshots(&snapshots, &missing)?;
        let there: BTreeSet<ObjectId> = snapshots.iter().map(|snapshot| snapshot.id).collect();
        let is_there = |finding: &Finding| finding.path.as_ref().is_some_and(|(snapshot, _)| there.contains(snapshot));
        for finding in std::mem::take(&mut self.tested) {
            if is_there(&finding) {
                self.find(finding.clone());
                self.tested.push(finding);
            }
        }
        self.judge_missing_copies(&missing)?;
        self.tell_healed()
    }

    /// Config, keys, catalogs, tombstones, records of deletion, what earlier checks left, and which of the copies are
    /// missing.
    fn check_small_objects(&mut self, options: &CheckOptions) -> Result<Vec<ObjectName>, Error> {
        let copies = self.repository.verify_copies()?;
        for damage in copies.damage {
            self.damage(damage);
        }
        self.repository.refresh_for_check()?;
        for damage in self.repository.verify_catalogs()? {
            match damage.object.kind {
                ObjectKind::Pack => self.damaged_pack(damage)?,
                _ => self.damage(damage),
            }
        }
        for damage in [self.repository.verify_tombstones()?, self.repository.verify_records()?].concat() {
            self.damage(damage);
        }
        self.known = self.repository.verifications(options.now.unwrap_or(LONG_AGO))?;
        for damage in std::mem::take(&mut self.known.damage) {
            self.damage(damage);
        }
        Ok(copies.missing)
    }

    /// Whether this is about the bytes of an object that is there, and not about its absence.
    pub(super) fn is_still_there(&self, finding: &Finding) -> bool {
        let is_there = |object| self.repository.storage().len(&object).is_ok();
        !finding.reason.starts_with(MISSING) && finding.object.is_some_and(is_there)
    }

    pub(super) fn find(&mut self, finding: Finding) {
        self.report.finding_count += 1;
        if self.report.findings.len() < FINDINGS_KEPT_MAX && !self.report.findings.contains(&finding) {
            self.report.findings.push(finding);
        }
    }

    pub(super) fn damage(&mut self, Damage { object, reason }: Damage) {
        self.find(Finding { object: Some(object), path: None, reason });
    }

    pub(super) fn damaged_pack(&mut self, damage: Damage) -> Result<(), Error> {
        let damage = self.losses.add_pack(damage)?;
        self.damage(damage);
        Ok(())
    }

    /// Packs of which something was healed on the way: nothing heals without being told.
    fn tell_healed(&mut self) -> Result<(), Error> {
        for object in self.repository.healed_packs() {
            if !self.losses.knows_pack(&object.id) {
                let reason = "what it holds does not open".to_owned();
                let told = self.losses.add_pack(Damage { object, reason })?;
                self.read.insert(object.id, told.clone());
                self.damage(told);
            }
        }
        self.report.packs_healable = self.losses.healable_count();
        Ok(())
    }

    /// A repository error that concerns one object or chunk becomes a finding; any other ends the check.
    pub(super) fn finding(&mut self, error: RepositoryError, path: Option<(ObjectId, Vec<u8>)>) -> Result<(), Error> {
        self.report.misses_chunks |= matches!(error, RepositoryError::ChunkMissing { .. });
        self.find(as_finding(error, path)?);
        Ok(())
    }

    /// How many of the objects that findings name a repair can store anew from their other copies.
    pub(super) fn count_mendable_copies(&mut self) -> Result<(), Error> {
        let named: BTreeSet<ObjectName> = self.report.findings.iter().filter_map(|finding| finding.object).collect();
        let is_named = |kind: ObjectKind| {
            named.iter().any(|name| name.kind == kind || kind.mirror().is_some_and(|copy| copy == name.kind))
        };
        let mendable = self.repository.broken_copies(is_named)?.mendable;
        self.report.copies_mendable = mendable.iter().filter(|name| named.contains(name)).count() as u64;
        Ok(())
    }
}

/// An error that concerns one object or chunk, as a finding.
pub(super) fn as_finding(error: RepositoryError, path: Option<(ObjectId, Vec<u8>)>) -> Result<Finding, Error> {
    match error {
        RepositoryError::Damaged { object, reason } => Ok(Finding { object: Some(object), path, reason }),
        RepositoryError::Storage(_) | RepositoryError::LocalState(_) => Err(error.into()),
        other => Ok(Finding { object: None, path, reason: other.to_string() }),
    }
}
