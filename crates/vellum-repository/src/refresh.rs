//! Bringing the index up to what the storage holds: the index may claim less than the storage, never more (I4).

use crate::RepositoryError;
use crate::fault::reach;
use crate::objects::{adopt_both, unreadable};
use crate::open::Repository;
use crate::pack_reader::open_pack_by_ranges;
use std::collections::{BTreeMap, BTreeSet};
use vellum_faults::Point;
use vellum_format::catalog::{self, Catalog, CatalogedPack};
use vellum_format::{ObjectId, ObjectKind, ObjectName, SealedHeader, limits};

/// Catalogs that are opened before they become one segment, and chunks in them: those of small files are so many that
/// 64 catalogs of them would take gigabytes. As many chunks are adopted at once from packs without a catalog.
const BATCH_CATALOGS: usize = 64;
pub(crate) const BATCH_CHUNKS: usize = 1 << 20;

/// What a refresh found.
#[derive(Debug, Default)]
pub struct Refreshed {
    /// Catalogs that were read; the others were loaded before.
    pub catalogs_read: usize,
    /// Catalogs that cannot be used. What their packs hold was read from the packs themselves.
    pub damaged: Vec<RepositoryError>,
    /// Packs whose directories were read one by one because no usable catalog lists them.
    pub packs_recovered: usize,
    /// Packs that catalogs list and the storage does not hold in full length. Their chunks count as missing.
    pub packs_absent: usize,
}

impl Repository {
    /// Loads new catalogs, forgets vanished ones, and stops counting packs that are not there in full length.
    ///
    /// Places that were looked up before are to be looked up again: segments of the index are merged when there are
    /// many.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`] when the storage cannot be listed: then nothing may be concluded from it.
    pub fn refresh(&self) -> Result<Refreshed, RepositoryError> {
        let refreshed = self.load_catalogs(true)?;
        self.compare_with_packs(refreshed)
    }

    fn compare_with_packs(&self, mut refreshed: Refreshed) -> Result<Refreshed, RepositoryError> {
        let is_cheap = self.storage().capabilities().cheap_listing;
        if is_cheap || !refreshed.damaged.is_empty() {
            let stored = self.names(ObjectKind::Pack)?;
            self.retain_recovered(&stored);
            refreshed.packs_recovered = self.adopt_unlisted(&stored)?;
            refreshed.packs_absent = self.mark_absent_packs(&stored);
            self.retain_damaged(&stored);
        }
        Ok(refreshed)
    }

    /// As [`Repository::refresh`], for whoever deletes: packs are listed even where that is slow, so that none counts
    /// that is gone.
    pub(crate) fn refresh_for_deletion(&self) -> Result<(), RepositoryError> {
        self.refresh()?;
        if !self.storage().capabilities().cheap_listing {
            let stored = self.names(ObjectKind::Pack)?;
            self.retain_recovered(&stored);
            self.mark_absent_packs(&stored);
        }
        Ok(())
    }

    /// As [`Repository::refresh`], but heals nothing on the way: what no usable catalog lists counts as missing, and
    /// packs are listed even where that is slow.
    ///
    /// # Errors
    /// As [`Repository::refresh`].
    pub fn refresh_for_check(&self) -> Result<Refreshed, RepositoryError> {
        let mut refreshed = self.load_catalogs(true)?;
        refreshed.packs_absent = self.mark_absent_packs(&self.names(ObjectKind::Pack)?);
        Ok(refreshed)
    }

    /// Loads what is new in batches, after each of which segments are merged if that is wanted.
    fn load_catalogs(&self, merges: bool) -> Result<Refreshed, RepositoryError> {
        let present: BTreeSet<ObjectId> = self.names_of_either(ObjectKind::Catalog)?.into_keys().collect();
        // I4: a snapshot that relies on a catalog must not outlive it; also on one that was loaded long ago.
        present.iter().for_each(|id| adopt_both(&**self.storage(), &ObjectName::new(ObjectKind::Catalog, *id)));
        self.index().retain_catalogs(&present);
        // What became unloaded with it is read again below, with everything else that is missing.
        drop(self.index().drop_damaged());
        let loaded: BTreeSet<ObjectId> = self.index().loaded_catalogs().into_iter().collect();
        let mut refreshed = Refreshed::default();
        let missing: Vec<ObjectId> = present.difference(&loaded).copied().collect();
        let (mut opened, mut chunks) = (Vec::new(), 0);
        for id in missing {
            let catalog = match self.read_catalog(id) {
                Ok(catalog) => catalog,
                Err(error @ RepositoryError::Damaged { .. }) => {
                    refreshed.damaged.push(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            refreshed.catalogs_read += 1;
            let more = catalog.packs.iter().map(|pack| pack.directory.chunk_count()).sum::<usize>();
            if opened.len() == BATCH_CATALOGS || chunks + more > BATCH_CHUNKS {
                self.add_catalogs(std::mem::take(&mut opened), merges)?;
                chunks = 0;
            }
            opened.push((id, catalog));
            chunks += more;
        }
        self.add_catalogs(opened, merges)?;
        Ok(refreshed)
    }

    fn add_catalogs(&self, catalogs: Vec<(ObjectId, Catalog)>, merges: bool) -> Result<(), RepositoryError> {
        self.index().add(catalogs)?;
        if merges {
            self.index().merge();
        }
        Ok(())
    }

    /// How often the index was mended since it was opened. Whoever looks something up takes it before, so that a miss
    /// is told apart from one that another thread has mended meanwhile.
    #[must_use]
    pub fn mend_count(&self) -> u64 {
        self.mending().count
    }

    /// Tries to find again what the index does not know: reads damaged segments' catalogs anew, and once a process the
    /// directories of packs that no catalog lists. Whether a lookup from before `seen` is worth repeating.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`].
    pub fn recover(&self, seen: u64) -> Result<bool, RepositoryError> {
        if self.reload_if_damaged(seen)? {
            return Ok(true);
        }
        let mut mending = self.mending();
        if mending.count == seen && !mending.has_recovered {
            mending.has_recovered = true;
            if self.adopt_unlisted(&self.names(ObjectKind::Pack)?)? > 0 {
                mending.count += 1;
            }
        }
        Ok(mending.count != seen)
    }

    /// Reads catalogs again whose segments turned out damaged since they were loaded: until then, what they list
    /// looks missing. Whether a lookup from before `seen` is worth repeating.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`].
    pub fn reload_if_damaged(&self, seen: u64) -> Result<bool, RepositoryError> {
        // Held while catalogs are read, so that nobody takes the gap for the truth.
        let mut mending = self.mending();
        if mending.count == seen && !self.index().drop_damaged().is_empty() {
            self.load_catalogs(false)?;
            mending.count += 1;
        }
        Ok(mending.count != seen)
    }

    /// Learns anew what is stored because a pack turned out missing since it was looked up: a prune may have moved what
    /// is needed of it. Whether a lookup from before `seen` is worth repeating; for each pack once.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`].
    pub(crate) fn refresh_after_missing(&self, pack: ObjectId, seen: u64) -> Result<bool, RepositoryError> {
        let mut mending = self.mending();
        if mending.count == seen && mending.missing.insert(pack) {
            // Without a merge: others are reading by places that they have looked up.
            let refreshed = self.load_catalogs(false)?;
            self.compare_with_packs(refreshed)?;
            mending.count += 1;
        }
        Ok(mending.count != seen)
    }

    /// Adopts the packs that no loaded catalog lists, also where listing packs is slow; see [`Repository::refresh`].
    ///
    /// # Errors
    /// [`RepositoryError::Storage`].
    pub fn adopt_all(&self) -> Result<usize, RepositoryError> {
        self.adopt_unlisted(&self.names(ObjectKind::Pack)?)
    }

    /// Reads the directories of packs that no loaded catalog lists, left by a killed backup or a lost catalog, so that
    /// their chunks are found. The next session lists them in its catalog, so they become part of its sync.
    fn adopt_unlisted(&self, stored: &BTreeMap<ObjectId, u64>) -> Result<usize, RepositoryError> {
        let known: BTreeSet<ObjectId> = self.index().packs().into_iter().map(|(pack, _)| pack).collect();
        let (mut count, mut batch, mut chunks) = (0, Vec::new(), 0);
        for (id, len_bytes) in stored.iter().filter(|(id, _)| !known.contains(id)) {
            let name = ObjectName::new(ObjectKind::Pack, *id);
            if let Some(pack) = self.read_directory(&name, *len_bytes)? {
                self.storage().adopt(&name);
                count += 1;
                chunks += pack.directory.chunk_count();
                batch.push(pack);
            }
            if chunks >= BATCH_CHUNKS {
                self.adopt(std::mem::take(&mut batch))?;
                chunks = 0;
            }
        }
        self.adopt(batch)?;
        if count > 0 {
            reach(Point::WriterPacksAdopted)?;
        }
        Ok(count)
    }

    /// Lets the index answer for packs without a catalog, and remembers to list them.
    fn adopt(&self, packs: Vec<CatalogedPack>) -> Result<(), RepositoryError> {
        self.remember_recovered(packs.iter().map(|pack| (pack.pack, pack.len_bytes)));
        // Under the pack's own name, which is no catalog's: the next refresh forgets it again.
        let own_catalogs = packs.into_iter().map(|pack| (pack.pack, Catalog { packs: vec![pack] }));
        Ok(self.index().add(own_catalogs.collect())?)
    }

    /// Reads the directory of a pack again that was adopted: all together do not have to fit into memory.
    pub(crate) fn read_recovered(&self, (id, len_bytes): (ObjectId, u64)) -> Result<CatalogedPack, RepositoryError> {
        let name = ObjectName::new(ObjectKind::Pack, id);
        let changed = || RepositoryError::Damaged { object: name, reason: "its directory cannot be read again".into() };
        self.read_directory(&name, len_bytes)?.ok_or_else(changed)
    }

    /// The directory of a pack, or nothing when it does not open: then the pack is damaged and `check` says so.
    fn read_directory(&self, name: &ObjectName, len_bytes: u64) -> Result<Option<CatalogedPack>, RepositoryError> {
        let read = |range| self.storage().get_range(name, range);
        match open_pack_by_ranges(len_bytes, self.class(), self.id(), read) {
            Ok(Ok(directory)) => Ok(Some(CatalogedPack { pack: name.id, len_bytes, directory })),
            Ok(Err(_)) => Ok(None),
            // A bad sector in a pack that nobody has asked for keeps nobody from working.
            Err(error) => match unreadable(*name, error) {
                RepositoryError::Damaged { .. } => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Presence means name and length agree; a name alone is never presence.
    fn mark_absent_packs(&self, stored: &BTreeMap<ObjectId, u64>) -> usize {
        let listed = self.index().packs().into_iter();
        let absent: BTreeSet<ObjectId> =
            listed.filter(|(pack, len)| stored.get(pack) != Some(len)).map(|(pack, _)| pack).collect();
        let count = absent.len();
        let has_condemned = self.condemned_packs().iter().any(|pack| stored.contains_key(pack));
        self.set_absent_packs(absent, has_condemned);
        count
    }

    pub(crate) fn read_catalog(&self, id: ObjectId) -> Result<Catalog, RepositoryError> {
        let name = ObjectName::new(ObjectKind::Catalog, id);
        let bytes = self.read_either(&name, limits::CATALOG_LEN_BYTES_MAX)?;
        self.open_catalog(name, &bytes)
    }

    /// Opens the bytes of a catalog.
    pub(crate) fn open_catalog(&self, name: ObjectName, bytes: &[u8]) -> Result<Catalog, RepositoryError> {
        let (header, sealed) = SealedHeader::split("catalog", catalog::MAGIC, bytes)
            .map_err(|error| RepositoryError::damaged(name, &error))?;
        let keys = self.class().keys_of(header.epoch).ok_or_else(|| RepositoryError::sealed_wrong(name))?;
        let plain = keys.open_catalog(&header, sealed).map_err(|_| RepositoryError::sealed_wrong(name))?;
        Catalog::decode(&plain).map_err(|error| RepositoryError::damaged(name, &error))
    }
}

#[cfg(test)]
mod tests;
