//! A segment without the catalogs that were forgotten since it was written.

use super::tables::{Listing, PackRecord};
use super::{Content, Source};
use crate::IndexError;
use crate::key::{LocalKey, SegmentId};
use std::collections::BTreeSet;
use std::sync::Arc;
use vellum_format::ObjectId;

/// What counts of an open segment: the catalogs that were not forgotten, and the packs that they list.
///
/// It never changes: when a catalog is forgotten, another value with a serial number of its own takes its place, so
/// that whoever remembers places of this one notices.
pub(crate) struct Segment {
    /// Unique among all segments that one [`crate::Index`] ever had.
    pub(crate) serial: u64,
    pub(crate) content: Arc<Content>,
    /// The numbers of forgotten catalogs, ascending.
    forgotten: Vec<u32>,
    /// Of each pack, whether a catalog lists it that is not forgotten.
    listed: Vec<bool>,
    chunks: u64,
}

impl Segment {
    pub(crate) fn open(source: Source, id: SegmentId, serial: u64, key: &LocalKey) -> Result<Self, IndexError> {
        let content = Content::open(source, id, key)?;
        Ok(Self::new(Arc::new(content), BTreeSet::new(), serial))
    }

    fn new(content: Arc<Content>, forgotten: BTreeSet<u32>, serial: u64) -> Self {
        let tables = &content.tables;
        let mut listed = vec![false; tables.packs.len()];
        for listing in tables.listings.iter().filter(|listing| !forgotten.contains(&listing.catalog)) {
            listed[listing.pack as usize] = true;
        }
        let own = tables.packs.iter().zip(&listed).filter(|(_, listed)| **listed);
        let chunks = own.map(|(pack, _)| u64::from(pack.chunk_count)).sum();
        Self { serial, content, forgotten: forgotten.into_iter().collect(), listed, chunks }
    }

    /// The same segment without these catalogs too; numbers that none has do no harm.
    pub(crate) fn without(&self, catalogs: impl IntoIterator<Item = u32>, serial: u64) -> Self {
        let forgotten = self.forgotten.iter().copied().chain(catalogs).collect();
        Self::new(Arc::clone(&self.content), forgotten, serial)
    }

    pub(crate) fn id(&self) -> SegmentId {
        self.content.id
    }

    /// Whether this segment is lost when the process ends.
    pub(crate) fn is_in_memory(&self) -> bool {
        self.content.is_in_memory()
    }

    /// Whether this segment may still be asked.
    pub(crate) fn is_usable(&self) -> bool {
        self.content.is_usable()
    }

    /// The catalogs that count, with their numbers.
    pub(crate) fn catalogs(&self) -> impl Iterator<Item = (u32, ObjectId)> {
        let all = (0..).zip(&self.content.tables.catalogs);
        all.filter(|(number, _)| !self.is_forgotten(*number)).map(|(number, name)| (number, *name))
    }

    pub(crate) fn catalog_names(&self) -> impl Iterator<Item = ObjectId> {
        self.catalogs().map(|(_, name)| name)
    }

    /// The numbers of forgotten catalogs, ascending.
    pub(crate) fn forgotten(&self) -> &[u32] {
        &self.forgotten
    }

    /// The packs that count, with their numbers.
    pub(crate) fn packs(&self) -> impl Iterator<Item = (u32, &PackRecord)> {
        let all = (0..).zip(&self.content.tables.packs).zip(&self.listed);
        all.filter(|(_, listed)| **listed).map(|(pack, _)| pack)
    }

    /// Whether what a record says of this pack counts.
    pub(crate) fn lists(&self, pack: u32) -> bool {
        self.listed.get(pack as usize).is_some_and(|listed| *listed)
    }

    /// Which catalogs that count list which packs.
    pub(crate) fn listings(&self) -> impl Iterator<Item = (&PackRecord, ObjectId)> {
        let tables = &self.content.tables;
        let own = |listing: &&Listing| !self.is_forgotten(listing.catalog);
        let names =
            |listing: &Listing| (&tables.packs[listing.pack as usize], tables.catalogs[listing.catalog as usize]);
        tables.listings.iter().filter(own).map(names)
    }

    /// Chunk records of packs that count.
    pub(crate) const fn chunk_count(&self) -> u64 {
        self.chunks
    }

    /// Whether most of its chunks are those of forgotten catalogs.
    pub(crate) fn is_mostly_forgotten(&self) -> bool {
        2 * self.chunks < self.content.chunk_count()
    }

    fn is_forgotten(&self, catalog: u32) -> bool {
        self.forgotten.binary_search(&catalog).is_ok()
    }
}
