//! Reading a segment: nothing is believed that was not verified after it was read.

use super::filter::Filter;
use super::tables::{PackRecord, Tables};
use super::{CHUNKS_PER_FENCE, ChunkRecord, FrameRecord, HEADER_LEN, Header, SEALED_LEN, Section, prefix};
use crate::IndexError;
use crate::key::{LocalKey, RECORD_LEN, SegmentId, SegmentKey, TAG_LEN};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use vellum_format::ChunkId;
use vellum_format::pack::KeyWrap;

/// Records that are read at once by who reads all of them.
const PIECE_RECORDS: usize = 4096;

/// How far from a guess a fence is looked for before all are searched. Chance moves the fence behind 465 others, three
/// times what is usual at a hundred million chunks, by four.
const FENCES_NEAR: usize = 12;

/// Where a segment's bytes are.
pub(crate) enum Source {
    File(File),
    Memory(Vec<u8>),
}

impl Source {
    /// Fills the buffer, or nothing when the source ends before or cannot be read.
    pub(super) fn read(&self, at: u64, buffer: &mut [u8]) -> Option<()> {
        match self {
            Self::File(file) => file.read_exact_at(buffer, at).ok(),
            Self::Memory(bytes) => {
                let from = bytes.get(usize::try_from(at).ok()?..)?;
                buffer.copy_from_slice(from.get(..buffer.len())?);
                Some(())
            }
        }
    }
}

/// The chunk records that a segment was asked for last, as they were read: who asks for neighbours reads them once, and
/// verifies each record that he uses.
pub(crate) struct Near {
    group: Option<usize>,
    bytes: [u8; CHUNKS_PER_FENCE * SEALED_LEN],
}

impl Near {
    /// Nothing was asked for.
    pub(crate) const fn new() -> Self {
        Self { group: None, bytes: [0; _] }
    }
}

/// What an open segment holds. Once any of it turned out damaged it is not asked again.
pub(crate) struct Content {
    pub(crate) id: SegmentId,
    pub(crate) tables: Tables,
    fences: Vec<u64>,
    filter: Filter,
    pub(super) header: Header,
    key: SegmentKey,
    source: Source,
    damaged: AtomicBool,
}

impl Content {
    /// Opens a segment that must be `id`. It verifies the header, the meta part and the filter.
    pub(crate) fn open(source: Source, id: SegmentId, key: &LocalKey) -> Result<Self, IndexError> {
        Self::open_verified(source, id, key).ok_or_else(|| IndexError::Damaged { segment: id.to_string() })
    }

    fn open_verified(source: Source, id: SegmentId, key: &LocalKey) -> Option<Self> {
        let key = key.segment_key(id);
        let mut bytes = vec![0; HEADER_LEN];
        source.read(0, &mut bytes)?;
        let header = Header::decode(verified(&bytes, Section::Header, &key)?)?;
        if header.id != id {
            return None;
        }
        bytes.resize(usize::try_from(header.meta_len_bytes).ok()?.checked_add(TAG_LEN)?, 0);
        source.read(header.meta_at(), &mut bytes)?;
        let (tables, fences) = Tables::decode(&header, verified(&bytes, Section::Meta, &key)?)?;
        let filter = Filter::read(&source, header.filter_at(), header.chunks, &key)?;
        Some(Self { id, tables, fences, filter, header, key, source, damaged: AtomicBool::new(false) })
    }

    /// Whether this segment may still be asked.
    pub(crate) fn is_usable(&self) -> bool {
        !self.damaged.load(Ordering::Relaxed)
    }

    /// Whether this segment is lost when the process ends.
    pub(crate) const fn is_in_memory(&self) -> bool {
        matches!(self.source, Source::Memory(_))
    }

    /// Chunk records, those of forgotten catalogs included.
    pub(crate) const fn chunk_count(&self) -> u64 {
        self.header.chunks
    }

    /// Whether a chunk may be here; if not, it certainly is not.
    pub(crate) fn may_hold(&self, id: &ChunkId) -> bool {
        self.filter.may_hold(id)
    }

    /// Something of what [`Content::may_hold`] will read.
    pub(crate) fn filter_word(&self, id: &ChunkId) -> u64 {
        self.filter.word(id)
    }

    /// Something of what [`Content::find`] will read of memory.
    pub(crate) fn fence_near(&self, id: &ChunkId) -> u64 {
        self.fences.get(self.ruled(prefix(id))).copied().unwrap_or_default()
    }

    /// The first copy of a chunk that `accept` takes, the newest tried first. `near` is of this segment.
    ///
    /// An absence is verified as a place is: by the records on both sides of where the chunk would stand, or by
    /// the fence behind it. // N1
    pub(crate) fn find(
        &self,
        near: &mut Near,
        id: &ChunkId,
        mut accept: impl FnMut(u64, &ChunkRecord) -> bool,
    ) -> Result<Option<ChunkRecord>, IndexError> {
        let end = self.fences_up_to(prefix(id));
        for group in self.first_group_with(id, end)?..end {
            let (first_number, records) = self.read_group(group, near)?;
            let first = records.partition_point(|record| record[..ChunkId::LEN] < id.as_bytes()[..]);
            let verified_from = first.saturating_sub(1);
            for (number, sealed) in (first_number..).zip(records).skip(verified_from) {
                let record = ChunkRecord::decode(self.verified(Section::Chunks, number, sealed)?);
                if record.id > *id {
                    return Ok(None);
                }
                if record.id == *id && accept(number, &record) {
                    return Ok(Some(record));
                }
            }
        }
        Ok(None)
    }

    /// How many fences are not after a prefix.
    ///
    /// Ids are spread evenly: a fence is about where a ruler would put it, and what it is off tells the distance to the
    /// right one. So this touches three lines of memory, where a binary search touches twenty.
    fn fences_up_to(&self, prefix: u64) -> usize {
        let fences = &self.fences;
        let ruled = self.ruled(prefix);
        let Some(fence) = fences.get(ruled) else { return 0 };
        let distance = prefix.abs_diff(*fence) / (u64::MAX / fences.len() as u64);
        let distance = usize::try_from(distance).unwrap_or(usize::MAX);
        let guess = if *fence <= prefix { ruled.saturating_add(distance) } else { ruled.saturating_sub(distance) };
        let low = guess.min(fences.len()).saturating_sub(FENCES_NEAR);
        let high = fences.len().min(low + 2 * FENCES_NEAR);
        let is_near = (low == 0 || fences[low - 1] <= prefix) && fences.get(high).is_none_or(|fence| *fence > prefix);
        let (low, range) = if is_near { (low, &fences[low..high]) } else { (0, &fences[..]) };
        low + range.partition_point(|fence| *fence <= prefix)
    }

    /// Where a ruler would put a prefix among the fences.
    fn ruled(&self, prefix: u64) -> usize {
        let ruled = (u128::from(prefix) * self.fences.len() as u128) >> u64::BITS;
        usize::try_from(ruled).expect("it is less than the number of fences")
    }

    /// The first group of chunk records before `end` that may hold a chunk: the last one that starts with a smaller
    /// id, or the first of all. It reads only where several start with the same 8 bytes, as only made-up ids do.
    fn first_group_with(&self, id: &ChunkId, end: usize) -> Result<usize, IndexError> {
        let is_alone = end > 0 && self.fences[end - 1] < prefix(id);
        let mut low = if is_alone { end } else { self.fences.partition_point(|fence| *fence < prefix(id)) };
        let mut high = end;
        while low < high {
            let middle = low.midpoint(high);
            let first = self.record(Section::Chunks, (middle * CHUNKS_PER_FENCE) as u64)?;
            if ChunkRecord::decode(&first).id < *id {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low.saturating_sub(1))
    }

    /// A frame by its number.
    pub(crate) fn frame(&self, number: u32) -> Result<Option<FrameRecord>, IndexError> {
        if number >= self.header.frames {
            return Ok(None);
        }
        self.record(Section::Frames, u64::from(number)).map(|record| Some(FrameRecord::decode(&record)))
    }

    /// A pack by the number that this segment's records have for it.
    pub(crate) fn pack(&self, number: u32) -> Result<&PackRecord, IndexError> {
        self.tables.packs.get(number as usize).ok_or_else(|| self.damage())
    }

    /// A wrap by the number that this segment's records have for it.
    pub(crate) fn wrap(&self, number: u32) -> Result<&Arc<KeyWrap>, IndexError> {
        self.tables.wraps.get(number as usize).ok_or_else(|| self.damage())
    }

    /// All chunk records, by id.
    pub(crate) fn chunks(&self) -> Records<'_> {
        Records::new(self, Section::Chunks, self.header.chunks)
    }

    /// All frame records, in the order of the packs.
    pub(crate) fn frames(&self) -> Records<'_> {
        Records::new(self, Section::Frames, u64::from(self.header.frames))
    }

    /// Marks the segment as damaged: it is not asked again, and [`crate::Index::drop_damaged`] removes it.
    pub(crate) fn damage(&self) -> IndexError {
        self.damaged.store(true, Ordering::Relaxed);
        IndexError::Damaged { segment: self.id.to_string() }
    }

    /// Reads and verifies one record.
    fn record(&self, section: Section, number: u64) -> Result<[u8; RECORD_LEN], IndexError> {
        let mut sealed = [0; SEALED_LEN];
        self.read(self.header.record_at(section, number), &mut sealed)?;
        self.verified(section, number, &sealed).copied()
    }

    /// The chunk records that follow a fence, read unless they were asked for last. They are not verified; the first
    /// one's number comes with them.
    fn read_group<'a>(&self, group: usize, near: &'a mut Near) -> Result<(u64, &'a [[u8; SEALED_LEN]]), IndexError> {
        let first = (group * CHUNKS_PER_FENCE) as u64;
        let count = self.header.chunks.saturating_sub(first).min(CHUNKS_PER_FENCE as u64);
        let count = usize::try_from(count).unwrap_or(CHUNKS_PER_FENCE);
        let bytes = &mut near.bytes[..count * SEALED_LEN];
        if near.group != Some(group) {
            near.group = None;
            self.read(self.header.record_at(Section::Chunks, first), bytes)?;
            near.group = Some(group);
        }
        Ok((first, bytes.as_chunks().0))
    }

    fn read(&self, at: u64, buffer: &mut [u8]) -> Result<(), IndexError> {
        self.source.read(at, buffer).ok_or_else(|| self.damage())
    }

    /// The record inside a sealed one, if it is as it was written, and at this place. // N1, N2
    fn verified<'a>(
        &self,
        section: Section,
        number: u64,
        sealed: &'a [u8; SEALED_LEN],
    ) -> Result<&'a [u8; RECORD_LEN], IndexError> {
        let (record, tag) = sealed.split_first_chunk().ok_or_else(|| self.damage())?;
        if self.key.record_tag(section.place(number), record) == *tag { Ok(record) } else { Err(self.damage()) }
    }
}

/// The bytes before the tag that ends them, if they are as they were written.
fn verified<'a>(sealed: &'a [u8], section: Section, key: &SegmentKey) -> Option<&'a [u8]> {
    let (bytes, tag) = sealed.split_last_chunk::<TAG_LEN>()?;
    (key.tag(section.place(0), bytes) == *tag).then_some(bytes)
}

/// The records of one section from the first to the last, read in large pieces.
pub(crate) struct Records<'a> {
    content: &'a Content,
    section: Section,
    /// The number of the next record, and how many there are.
    next: u64,
    count: u64,
    buffer: Vec<u8>,
    at: usize,
}

impl<'a> Records<'a> {
    const fn new(content: &'a Content, section: Section, count: u64) -> Self {
        Self { content, section, next: 0, count, buffer: Vec::new(), at: 0 }
    }

    /// The next record with its number, verified; nothing after the last. // N1
    pub(crate) fn next(&mut self) -> Result<Option<(u64, [u8; RECORD_LEN])>, IndexError> {
        if self.next == self.count {
            return Ok(None);
        }
        if self.at == self.buffer.len() {
            self.fill()?;
        }
        let sealed = self.buffer[self.at..].first_chunk().ok_or_else(|| self.content.damage())?;
        let record = *self.content.verified(self.section, self.next, sealed)?;
        self.at += SEALED_LEN;
        self.next += 1;
        Ok(Some((self.next - 1, record)))
    }

    fn fill(&mut self) -> Result<(), IndexError> {
        let records = usize::try_from(self.count - self.next).unwrap_or(PIECE_RECORDS).min(PIECE_RECORDS);
        self.buffer.resize(records * SEALED_LEN, 0);
        self.at = 0;
        self.content.read(self.content.header.record_at(self.section, self.next), &mut self.buffer)
    }
}
