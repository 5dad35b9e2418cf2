//! Deleting packs whose time has come: out of the catalogs first, then from the storage.

use super::{Prune, packs_of};
use crate::RepositoryError;
use crate::condemned::Condemnation;
use crate::fault::reach;
use crate::pack_writer::CatalogMark;
use crate::publish::split_into_catalogs;
use std::collections::{BTreeMap, BTreeSet};
use vellum_faults::Point;
use vellum_format::catalog::CatalogedPack;
use vellum_format::{ObjectId, ObjectKind, ObjectName};

/// Condemnations of packs that are gone that may stand beside each other while somebody is always at work.
const STANDING_MAX: usize = 8;

impl Prune<'_, '_> {
    /// G7 and G8: deletes what [`Prune::outlast`] found due; [`Prune::rescue`] has made sure that nobody needs it.
    ///
    /// The index claims less than the storage at every moment: catalogs without the packs are durable before the old
    /// catalogs go, and these are durably gone before the packs are deleted. (I4)
    ///
    /// # Errors
    /// [`RepositoryError`]; what was not deleted is due again for the next prune.
    pub fn sweep(&mut self) -> Result<(), RepositoryError> {
        let repository = self.repository;
        let stored = repository.names(ObjectKind::Pack)?;
        let packs = packs_of(&self.due);
        let gone: BTreeSet<ObjectId> =
            repository.condemned_packs().iter().filter(|pack| !stored.contains_key(pack)).copied().collect();
        self.close_fences()?;
        reach(Point::PruneFencesClosed)?;
        repository.storage().sync()?; // what was adopted and what was seen of fenced writers, before anything goes
        reach(Point::PruneBeforeRelist)?;
        self.relist(&(&(&packs | &self.absent) | &gone), &stored)?;
        reach(Point::PruneCatalogsDeleted)?;
        for pack in &packs {
            reach(Point::PackBeforeDeletion)?;
            repository.storage().delete(&ObjectName::new(ObjectKind::Pack, *pack))?;
            if let Some(len_bytes) = stored.get(pack) {
                self.report.packs_deleted += 1;
                self.report.bytes_deleted += len_bytes;
            }
        }
        reach(Point::PrunePacksDeleted)?;
        repository.storage().sync()?;
        reach(Point::PrunePacksGone)?;
        self.retire_condemnations()?;
        repository.heed_condemnations()?;
        Ok(())
    }

    /// G8: removes condemnations whose packs are gone, unless somebody else is at work: he may have read a catalog with
    /// these packs before they went, and store one made of it. Nor when somebody has done so until now. As long as the
    /// condemnation stands nobody relies on what that catalog says, and a later prune mends it. (I22)
    fn retire_condemnations(&mut self) -> Result<(), RepositoryError> {
        let repository = self.repository;
        // Known before the intents are listed: one that is put later may be all that says that a pack is gone.
        let mut over: Vec<(ObjectId, Condemnation)> = self.due.drain(..).chain(self.finished.drain(..)).collect();
        // Twice: of two whose times overlap, one listing can miss both, who begins too late and who ends too early.
        let is_alone = self.is_alone()? && self.is_alone()?;
        repository.refresh()?;
        if !is_alone {
            if over.len() < STANDING_MAX {
                return Ok(());
            }
            // One that says the same as many, before they go.
            let time = over.iter().map(|(_, one)| one.time).min().unwrap_or(self.settings.note.time);
            repository.condemn(&packs_of(&over), time)?;
        } else {
            // After the intents: what those have stored who were at work before is listed by now.
            let listed: BTreeSet<ObjectId> = repository.index().packs().into_iter().map(|(pack, _)| pack).collect();
            over.retain(|(_, one)| one.packs.is_disjoint(&listed));
        }
        for (id, one) in &over {
            repository.remove_condemnation(*id, one)?;
        }
        reach(Point::PruneRetired)?;
        repository.storage().sync()?;
        Ok(())
    }

    /// Whether no intent but the own one is listed.
    fn is_alone(&self) -> Result<bool, RepositoryError> {
        Ok(self.repository.intents()?.iter().all(|(id, _)| *id == self.intent.id()))
    }

    /// Records which snapshots of fenced writers were seen: any other of theirs is void from now on.
    fn close_fences(&self) -> Result<(), RepositoryError> {
        let repository = self.repository;
        let fences = repository.fences()?;
        for intent in &self.fenced {
            let own = self.snapshots.iter().filter(|snapshot| snapshot.manifest.intent == *intent);
            let seen: BTreeSet<ObjectId> = own.map(|snapshot| snapshot.id).collect();
            if !fences.is_closed_with(intent, &seen) {
                repository.close_fence(*intent, &seen)?;
            }
            // Should the writer wake up, it looks for its fence, not for its intent.
            repository.delete_both(ObjectKind::Intent, *intent)?;
        }
        Ok(())
    }

    /// Replaces every catalog that lists one of these packs by catalogs that list the others, and lists packs that no
    /// catalog did: what this prune has counted on must not need anybody's luck to be found. (I4) `stored` are the
    /// packs that were there when G7 began.
    fn relist(&mut self, packs: &BTreeSet<ObjectId>, stored: &BTreeMap<ObjectId, u64>) -> Result<(), RepositoryError> {
        let repository = self.repository;
        let recovered = repository.take_recovered().into_iter().filter(|pack| !packs.contains(&pack.pack));
        let mut kept: BTreeMap<ObjectId, CatalogedPack> = recovered.map(|pack| (pack.pack, pack)).collect();
        let mut replaced = Vec::new();
        let mut gone = BTreeSet::new();
        for id in repository.index().catalogs_listing(packs) {
            let catalog = match repository.read_catalog(id) {
                Ok(catalog) => catalog,
                // The index knows recovered packs under their own names; and a damaged catalog lists nothing any more.
                Err(RepositoryError::Damaged { .. }) => continue,
                Err(error) => return Err(error),
            };
            if catalog.packs.iter().any(|pack| packs.contains(&pack.pack)) {
                replaced.push(id);
                let (dropped, others): (Vec<_>, Vec<_>) =
                    catalog.packs.into_iter().partition(|pack| packs.contains(&pack.pack));
                gone.extend(dropped.into_iter().map(|pack| pack.pack).filter(|pack| !stored.contains_key(pack)));
                kept.extend(others.into_iter().map(|pack| (pack.pack, pack)));
            }
        }
        if replaced.is_empty() && kept.is_empty() {
            return self.intent.account_for(|| Ok(packs.clone()));
        }
        // Somebody may be putting back a copy of what is deleted here, while another prune finds that no catalog lists
        // these packs any more and removes the condemnations that it knows. It does not know this one. (I22)
        if !gone.is_empty() {
            self.finished.extend(repository.condemn(&gone, self.settings.note.time)?);
        }
        let marks = kept.iter().map(|(id, pack)| (*id, CatalogMark::of(pack))).collect();
        for catalog in split_into_catalogs(kept.into_values().collect()) {
            repository.put_catalog(&catalog, &marks)?;
        }
        repository.storage().sync()?;
        reach(Point::PruneRelisted)?;
        for id in replaced {
            repository.delete_both(ObjectKind::Catalog, id)?;
        }
        repository.storage().sync()?;
        self.intent.account_for(|| Ok(packs.iter().copied().chain(marks.into_keys()).collect()))
    }
}
