//! Deleting packs whose time has come: out of the catalogs first, then from the storage.

use super::{Prune, packs_of};
use crate::RepositoryError;
use crate::condemned::Condemnation;
use crate::fault::reach;
use crate::open::Repository;
use crate::pack_writer::CatalogMark;
use crate::publish::CatalogDraft;
use std::collections::{BTreeMap, BTreeSet};
use vellum_faults::Point;
use vellum_format::catalog::{Catalog, CatalogedPack};
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
        let mut relisting = Relisting { repository, draft: CatalogDraft::default(), listed: BTreeSet::new() };
        let recovered = repository.take_recovered().into_iter().filter(|(pack, _)| !packs.contains(pack));
        for pack in recovered {
            relisting.add(repository.read_recovered(pack)?)?;
        }
        let (mut replaced, mut gone) = (Vec::new(), BTreeSet::new());
        for id in repository.index().catalogs_listing(packs) {
            let Some(catalog) = self.readable_catalog(id)? else { continue };
            let (going, staying): (Vec<_>, Vec<_>) =
                catalog.packs.into_iter().partition(|pack| packs.contains(&pack.pack));
            if !going.is_empty() {
                replaced.push(id);
                gone.extend(going.iter().map(|pack| pack.pack).filter(|pack| !stored.contains_key(pack)));
                staying.into_iter().try_for_each(|pack| relisting.add(pack))?;
            }
        }
        let listed = relisting.finish()?;
        if replaced.is_empty() && listed.is_empty() {
            return self.intent.account_for(|| Ok(packs.clone()));
        }
        // Somebody may be putting back a copy of what is deleted here, while another prune finds that no catalog lists
        // these packs any more and removes the condemnations that it knows. It does not know this one. (I22)
        if !gone.is_empty() {
            self.finished.extend(repository.condemn(&gone, self.settings.note.time)?);
        }
        repository.storage().sync()?;
        reach(Point::PruneRelisted)?;
        for id in replaced {
            repository.delete_both(ObjectKind::Catalog, id)?;
        }
        repository.storage().sync()?;
        self.intent.account_for(|| Ok(packs | &listed))
    }

    /// A catalog that the index knows. Nothing for what it knows under a recovered pack's own name, nor for a damaged
    /// catalog, which lists nothing any more.
    fn readable_catalog(&self, id: ObjectId) -> Result<Option<Catalog>, RepositoryError> {
        match self.repository.read_catalog(id) {
            Err(RepositoryError::Damaged { .. }) => Ok(None),
            read => read.map(Some),
        }
    }
}

/// Packs on their way into new catalogs. Each is stored as soon as it is full: all together may be most of what a
/// repository lists, and do not have to fit into memory.
struct Relisting<'r> {
    repository: &'r Repository,
    draft: CatalogDraft,
    listed: BTreeSet<ObjectId>,
}

impl Relisting<'_> {
    fn add(&mut self, pack: CatalogedPack) -> Result<(), RepositoryError> {
        if !self.listed.insert(pack.pack) {
            return Ok(());
        }
        self.draft.push(pack).map_or(Ok(()), |full| self.put(&full))
    }

    /// Every pack that is listed now.
    fn finish(mut self) -> Result<BTreeSet<ObjectId>, RepositoryError> {
        let last = std::mem::take(&mut self.draft).finish();
        last.map_or(Ok(()), |last| self.put(&last))?;
        Ok(self.listed)
    }

    fn put(&self, catalog: &Catalog) -> Result<(), RepositoryError> {
        let marks = catalog.packs.iter().map(|pack| (pack.pack, CatalogMark::of(pack))).collect();
        self.repository.put_catalog(catalog, &marks).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use crate::LocalState;
    use crate::pack_writer::CatalogMark;
    use crate::prune::tests::settings;
    use crate::support::{Watched, World};
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use vellum_format::catalog::{Catalog, CatalogedPack};
    use vellum_format::pack::Directory;
    use vellum_format::{ObjectId, ObjectKind, ObjectName};
    use vellum_storage::Storage;

    /// What stays of many catalogs is not in memory all at once.
    #[test]
    fn catalogs_are_stored_anew_while_others_are_still_to_be_read() {
        const PACKS: u32 = 700;
        let world = World::new();
        let writer = world.open();
        let name = |catalog: u32, number: u32| ObjectId::of(&[catalog.to_le_bytes(), number.to_le_bytes()].concat());
        let pack = |pack| CatalogedPack { pack, len_bytes: 1, directory: Directory { wraps: vec![], frames: vec![] } };
        for number in 0..3 {
            let catalog = Catalog { packs: (0..PACKS).map(|one| pack(name(number, one))).collect() };
            let marks = catalog.packs.iter().map(|pack| (pack.pack, CatalogMark::of(pack))).collect();
            writer.put_catalog(&catalog, &marks).unwrap();
        }
        let (others, most) = (world.storage.clone(), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::clone(&most);
        let before_reading = move |name: &ObjectName| {
            let mut count = 0;
            others.list(ObjectKind::Catalog, &mut |_| count += 1).unwrap();
            seen.fetch_max(if name.kind == ObjectKind::Catalog { count } else { 0 }, Ordering::Relaxed);
        };
        let watched = Watched { inner: world.storage.clone(), cheap_listing: true, before_reading };
        let repository = world.open_on(Arc::new(watched), &LocalState::None);
        let mut prune = repository.begin_prune(settings()).unwrap();
        let going: BTreeSet<ObjectId> = (0..3).map(|number| name(number, number)).collect();
        let stored: BTreeMap<ObjectId, u64> =
            (0..3).flat_map(|catalog| (0..PACKS).map(move |one| (name(catalog, one), 1))).collect();
        prune.relist(&going, &stored).unwrap();
        assert_eq!(most.load(Ordering::Relaxed), 4, "of three, the first two fill one");
        let fresh = world.open();
        assert_eq!(fresh.refresh().unwrap().catalogs_read, 3);
        let listed: Vec<ObjectId> =
            fresh.catalogs().into_iter().flat_map(|id| fresh.catalog(id).unwrap().packs).map(|one| one.pack).collect();
        let expected: BTreeSet<ObjectId> = stored.into_keys().filter(|pack| !going.contains(pack)).collect();
        assert_eq!((listed.len(), listed.into_iter().collect()), (expected.len(), expected));
    }
}
