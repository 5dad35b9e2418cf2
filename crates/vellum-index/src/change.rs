//! What the index covers, and how that changes.

use crate::key::SegmentId;
use crate::segment::{Draft, Segment, Source};
use crate::{DamagedFrames, Index, IndexError};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use vellum_format::ObjectId;
use vellum_format::catalog::Catalog;

impl Index {
    /// The catalogs whose chunks can be found, sorted. The caller adds those that the repository has beyond these.
    #[must_use]
    pub fn loaded_catalogs(&self) -> Vec<ObjectId> {
        let known = self.known();
        let usable = known.segments.iter().filter(|segment| segment.is_usable());
        let names: BTreeSet<ObjectId> = usable.flat_map(|segment| segment.catalog_names()).collect();
        names.into_iter().collect()
    }

    /// Segments that a lookup may have to ask.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.known().segments.len()
    }

    /// Adds catalogs, the newest last, as one segment. Those that are loaded already are skipped.
    ///
    /// It takes 48 bytes of memory per chunk beside the catalogs, so a large repository is added in several calls;
    /// but every segment makes later lookups slower, so small catalogs are best added together, and [`Index::merge`] is
    /// called afterwards. If the folder cannot be written, the segment stays in memory and [`Index::persistence`] says
    /// so.
    ///
    /// # Errors
    /// [`IndexError::Inconsistent`] for a catalog that no decoder returns; nothing is added then.
    pub fn add(&self, mut catalogs: Vec<(ObjectId, Catalog)>) -> Result<(), IndexError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut loaded: BTreeSet<ObjectId> = self.loaded_catalogs().into_iter().collect();
        catalogs.retain(|(name, _)| loaded.insert(*name));
        if catalogs.is_empty() {
            return Ok(());
        }
        let draft = Draft::from_catalogs(catalogs)?;
        let segment = self.store(&draft)?;
        self.known_mut().segments.insert(0, Arc::new(segment));
        Ok(())
    }

    /// Forgets every catalog not `present` in the repository, and the packs that no other catalog lists.
    ///
    /// A folder that was rolled back, or lost what it noted, knows forgotten catalogs again: so this is called each
    /// time before places are trusted.
    pub fn retain_catalogs(&self, present: &BTreeSet<ObjectId>) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut dropped, mut fewer, mut kept) = (Vec::new(), Vec::new(), Vec::new());
        for segment in &self.known().segments {
            let gone = segment.catalogs().filter(|(_, name)| !present.contains(name));
            let gone: Vec<u32> = gone.map(|(number, _)| number).collect();
            if gone.len() == segment.catalogs().count() {
                dropped.push(Arc::clone(segment));
            } else if gone.is_empty() {
                kept.push(Arc::clone(segment));
            } else {
                let serial = self.next_serial.fetch_add(1, Ordering::Relaxed);
                kept.push(Arc::new(segment.without(gone.iter().copied(), serial)));
                fewer.extend((!segment.is_in_memory()).then(|| (segment.id(), gone)));
            }
        }
        self.known_mut().segments = kept;
        self.forget(&dropped, &fewer);
    }

    /// Forgets every segment in which damage was found since it was opened.
    ///
    /// Returns the catalogs that are no longer loaded because of that: the caller adds them again. Until then their
    /// chunks count as not stored.
    #[must_use = "these catalogs have to be added again"]
    pub fn drop_damaged(&self) -> Vec<ObjectId> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dropped = Vec::new();
        self.known_mut().segments.retain(|segment| {
            let keep = segment.is_usable();
            if !keep {
                dropped.push(Arc::clone(segment));
            }
            keep
        });
        self.forget(&dropped, &[]);
        let loaded: BTreeSet<ObjectId> = self.loaded_catalogs().into_iter().collect();
        let names: BTreeSet<ObjectId> = dropped.iter().flat_map(|segment| segment.catalog_names()).collect();
        names.difference(&loaded).copied().collect()
    }

    /// States which packs the caller found missing, or of another size, in the storage; it replaces what was stated
    /// before. Their chunks count as not stored.
    pub fn set_absent_packs(&self, packs: BTreeSet<ObjectId>) {
        self.known_mut().absent_packs = packs.into_iter().collect();
    }

    /// States which packs are condemned: readers still find their chunks, writers may not rely on them
    /// ([`Index::lookup_reliable`]). It replaces what was stated before.
    pub fn set_condemned_packs(&self, packs: BTreeSet<ObjectId>) {
        self.known_mut().condemned_packs = packs.into_iter().collect();
    }

    /// Changes which frames are known to be damaged: readers still find their chunks, writers may not rely on them.
    /// Lookups wait meanwhile.
    pub fn change_damaged_frames<T>(&self, change: impl FnOnce(&mut DamagedFrames) -> T) -> T {
        change(&mut self.known_mut().damaged_frames)
    }

    /// Whether this frame is known to be damaged.
    #[must_use]
    pub fn is_damaged(&self, pack: &ObjectId, offset: u32) -> bool {
        self.known().damaged_frames.get(pack).is_some_and(|offsets| offsets.contains(&offset))
    }

    /// The loaded catalogs that list any of these packs.
    #[must_use]
    pub fn catalogs_listing(&self, packs: &BTreeSet<ObjectId>) -> BTreeSet<ObjectId> {
        let known = self.known();
        let listings = known.segments.iter().flat_map(|segment| segment.listings());
        listings.filter(|(pack, _)| packs.contains(&pack.name)).map(|(_, catalog)| catalog).collect()
    }

    /// Removes segments from the folder, and notes catalogs of others as forgotten. If that fails, the next run finds
    /// and forgets them again.
    fn forget(&self, dropped: &[Arc<Segment>], catalogs: &[(SegmentId, Vec<u32>)]) {
        if dropped.iter().any(|segment| !segment.is_usable()) {
            self.damage_removed.store(true, Ordering::Relaxed);
        }
        let ids: Vec<SegmentId> =
            dropped.iter().filter(|segment| !segment.is_in_memory()).map(|segment| segment.id()).collect();
        if let Some(folder) = self.folder.as_ref().filter(|_| !ids.is_empty() || !catalogs.is_empty()) {
            folder.forget(&ids, catalogs).unwrap_or_else(|failure| self.note(failure));
        }
    }

    fn store(&self, draft: &Draft) -> Result<Segment, IndexError> {
        let id = draft.id(&self.key);
        let serial = self.next_serial.fetch_add(1, Ordering::Relaxed);
        if let Some(folder) = &self.folder {
            match folder.store(draft, id, serial) {
                Ok(segment) => return Ok(segment),
                Err(failure) => self.note(failure),
            }
        }
        let mut bytes = Vec::new();
        draft.write(id, &self.key, &mut bytes).map_err(|_| IndexError::Damaged { segment: id.to_string() })?;
        bytes.shrink_to_fit();
        Segment::open(Source::Memory(bytes), id, serial, &self.key)
    }
}
