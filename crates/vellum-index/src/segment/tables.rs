//! The tables of a segment: its catalogs, packs and wraps, and which catalog lists which pack.

use super::{HEADER_LEN, Header, field};
use crate::key::SegmentId;
use std::sync::Arc;
use vellum_format::ObjectId;
use vellum_format::pack::KeyWrap;

/// One pack of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackRecord {
    pub(crate) name: ObjectId,
    pub(crate) len_bytes: u64,
    pub(crate) chunk_count: u32,
    /// Its frames and wraps follow those of the packs before.
    pub(crate) frame_count: u32,
    pub(crate) wrap_count: u32,
}

/// That a catalog lists a pack, by their numbers in the segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Listing {
    pub(crate) pack: u32,
    pub(crate) catalog: u32,
}

/// All that a segment holds beside chunks and frames.
#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) catalogs: Vec<ObjectId>,
    pub(crate) packs: Vec<PackRecord>,
    pub(crate) listings: Vec<Listing>,
    pub(crate) wraps: Vec<Arc<KeyWrap>>,
}

impl Tables {
    const PACK_LEN: usize = ObjectId::LEN + 8 + 3 * 4;
    const WRAP_START_LEN: usize = 8;

    /// What a segment of these tables and so many records is announced by; what is too much for one is told as a rule.
    pub(super) fn header(&self, id: SegmentId, chunks: u64, frames: u32) -> Result<Header, &'static str> {
        let wraps: usize = self.wraps.iter().map(|wrap| Self::WRAP_START_LEN + wrap.bytes.len()).sum();
        let names = self.catalogs.len() * ObjectId::LEN + self.packs.len() * Self::PACK_LEN;
        let mut header = Header {
            id,
            catalogs: count(self.catalogs.len())?,
            packs: count(self.packs.len())?,
            listings: count(self.listings.len())?,
            wraps: count(self.wraps.len())?,
            frames,
            chunks,
            meta_len_bytes: 0,
        };
        header.meta_len_bytes = (names + self.listings.len() * 8 + wraps) as u64 + header.fences() * 8;
        Ok(header)
    }

    pub(super) fn encode(&self, fences: &[u64]) -> Vec<u8> {
        let mut meta = Vec::with_capacity(HEADER_LEN + fences.len() * 8);
        for name in &self.catalogs {
            meta.extend_from_slice(name.as_bytes());
        }
        for pack in &self.packs {
            meta.extend_from_slice(pack.name.as_bytes());
            meta.extend_from_slice(&pack.len_bytes.to_le_bytes());
            let counts = [pack.chunk_count, pack.frame_count, pack.wrap_count];
            counts.iter().for_each(|count| meta.extend_from_slice(&count.to_le_bytes()));
        }
        for listing in &self.listings {
            meta.extend_from_slice(&listing.pack.to_le_bytes());
            meta.extend_from_slice(&listing.catalog.to_le_bytes());
        }
        fences.iter().for_each(|fence| meta.extend_from_slice(&fence.to_le_bytes()));
        for wrap in &self.wraps {
            let len = u16::try_from(wrap.bytes.len()).expect("wraps were checked when the packs were taken");
            meta.extend_from_slice(&[wrap.kind, 0]);
            meta.extend_from_slice(&len.to_le_bytes());
            meta.extend_from_slice(&wrap.epoch.to_le_bytes());
            meta.extend_from_slice(&wrap.bytes);
        }
        meta
    }

    /// Decodes a verified meta part into tables and fences.
    pub(super) fn decode(header: &Header, meta: &[u8]) -> Option<(Self, Vec<u64>)> {
        let mut meta = Meta(meta);
        let catalogs = (0..header.catalogs).map(|_| meta.name()).collect::<Option<_>>()?;
        let packs = (0..header.packs).map(|_| meta.pack()).collect::<Option<_>>()?;
        let listings = (0..header.listings).map(|_| meta.listing()).collect::<Option<_>>()?;
        let fences = (0..header.fences()).map(|_| meta.take().map(u64::from_le_bytes)).collect::<Option<_>>()?;
        let wraps = (0..header.wraps).map(|_| meta.wrap()).collect::<Option<_>>()?;
        let tables = Self { catalogs, packs, listings, wraps };
        tables.are_consistent(header).then_some((tables, fences))
    }

    /// Whether all numbers are those of something: what relies on it need not look again.
    fn are_consistent(&self, header: &Header) -> bool {
        let sum = |count: fn(&PackRecord) -> u32| self.packs.iter().map(|pack| u64::from(count(pack))).sum::<u64>();
        let exists = |listing: &Listing| listing.pack < header.packs && listing.catalog < header.catalogs;
        sum(|pack| pack.chunk_count) == header.chunks
            && sum(|pack| pack.frame_count) == u64::from(header.frames)
            && sum(|pack| pack.wrap_count) == u64::from(header.wraps)
            && self.listings.iter().all(exists)
    }
}

/// What is left of a verified meta part.
struct Meta<'a>(&'a [u8]);

impl Meta<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn number(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn name(&mut self) -> Option<ObjectId> {
        self.take().map(ObjectId::from_bytes)
    }

    fn pack(&mut self) -> Option<PackRecord> {
        let (name, len_bytes) = (self.name()?, self.take().map(u64::from_le_bytes)?);
        let (chunk_count, frame_count, wrap_count) = (self.number()?, self.number()?, self.number()?);
        Some(PackRecord { name, len_bytes, chunk_count, frame_count, wrap_count })
    }

    fn listing(&mut self) -> Option<Listing> {
        Some(Listing { pack: self.number()?, catalog: self.number()? })
    }

    fn wrap(&mut self) -> Option<Arc<KeyWrap>> {
        let start: [u8; Tables::WRAP_START_LEN] = self.take()?;
        let (bytes, rest) = self.0.split_at_checked(usize::from(u16::from_le_bytes(field(&start, 2))))?;
        self.0 = rest;
        let epoch = u32::from_le_bytes(field(&start, 4));
        Some(Arc::new(KeyWrap { epoch, kind: start[0], bytes: bytes.to_vec() }))
    }
}

/// A number that a segment can hold.
pub(super) fn count(len: usize) -> Result<u32, &'static str> {
    u32::try_from(len).map_err(|_| "one segment holds fewer than 2^32 catalogs, packs, wraps and frames")
}
