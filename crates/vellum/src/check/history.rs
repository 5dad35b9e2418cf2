//! History, and the copies of what it relies on: what is missing although somebody knows of it.

use super::checker::Checker;
use super::{CheckOptions, Finding};
use crate::Error;
use std::collections::BTreeSet;
use vellum_format::{ObjectId, ObjectKind, ObjectName};
use vellum_repository::{HistoryFinding, KnownBy, RepositoryError, Snapshot};

/// How the reason of a finding begins that is about an absence.
pub(super) const MISSING: &str = "it is missing";

impl Checker<'_> {
    /// Every record that another, or this machine, knows of is there or removed by a tombstone, and history went one
    /// way. Gives the snapshots that can be used.
    pub(super) fn check_history(&mut self, options: &CheckOptions) -> Result<Vec<Snapshot>, Error> {
        let history = self.repository.history()?;
        if let Some(code) = &options.head {
            history.expect_head(code)?;
        }
        self.report.head_code = history.head_code();
        self.report.is_first_sight = history.is_first_sight;
        self.needed.snapshots = history.known;
        for error in history.damaged {
            // Tombstones were verified one by one, in both places.
            if !matches!(&error, RepositoryError::Damaged { object, .. } if object.kind == ObjectKind::Tombstone) {
                self.finding(error, None)?;
            }
        }
        // What is to be accepted is told as that, at the end.
        if !options.accept_history {
            for finding in history.findings {
                self.find(Finding { object: Some(finding.object()), path: None, reason: reason(&finding) });
            }
        }
        Ok(history.snapshots)
    }

    /// A copy that is missing was lost when a snapshot relies on its object: that was published after both were
    /// durable. Otherwise it may never have been there; and a catalog of which all that is needed is listed twice
    /// elsewhere may be one that a prune had begun to delete.
    pub(super) fn judge_missing_copies(&mut self, missing: &[ObjectName]) -> Result<(), Error> {
        let listed = match missing.iter().any(is_catalog) {
            true => self.packs_listed_twice()?,
            false => BTreeSet::new(),
        };
        for name in missing {
            let is_needed = match name.kind {
                ObjectKind::Snapshot | ObjectKind::SnapshotMirror => self.needed.snapshots.contains(&name.id),
                _ => match self.repository.catalog(name.id) {
                    Ok(catalog) => catalog
                        .packs
                        .iter()
                        .any(|pack| self.needed.packs.contains(&pack.pack) && !listed.contains(&pack.pack)),
                    Err(error) => {
                        self.finding(error, None)?;
                        true
                    }
                },
            };
            if is_needed {
                self.find(Finding { object: Some(*name), path: None, reason: MISSING.to_owned() });
            } else {
                self.report.copies_missing += 1;
                self.report.snapshots_unpaired += u64::from(!is_catalog(name));
            }
        }
        Ok(())
    }

    /// Packs that catalogs list of which both copies are there.
    fn packs_listed_twice(&self) -> Result<BTreeSet<ObjectId>, Error> {
        let copies = self.repository.names(ObjectKind::CatalogMirror)?;
        let mut listed = BTreeSet::new();
        for id in self.repository.names(ObjectKind::Catalog)?.into_keys().filter(|id| copies.contains_key(id)) {
            // One that cannot be read lists nothing, and was told of.
            let packs = self.repository.catalog(id).map(|catalog| catalog.packs).unwrap_or_default();
            listed.extend(packs.into_iter().map(|pack| pack.pack));
        }
        Ok(listed)
    }
}

pub(super) fn is_catalog(name: &ObjectName) -> bool {
    matches!(name.kind, ObjectKind::Catalog | ObjectKind::CatalogMirror)
}

/// What is wrong with the object that a finding is about, which stands beside it.
fn reason(finding: &HistoryFinding) -> String {
    match finding {
        HistoryFinding::Shortened { known_by: KnownBy::ThisMachine, .. } => {
            format!("{MISSING}, although this machine has seen it")
        }
        HistoryFinding::Shortened { .. } => format!("{MISSING}, although later history knows it"),
        other => other.to_string(),
    }
}
