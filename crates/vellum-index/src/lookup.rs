//! The questions that an index answers.

use crate::segment::{ChunkRecord, Content, FrameRecord, Near, Segment};
use crate::{CopySet, Index, IndexError, Known};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hint::black_box;
use std::sync::Arc;
use vellum_format::content::ChunkKind;
use vellum_format::pack::{Compression, KeyWrap};
use vellum_format::{ChunkId, ObjectId};

/// Lookups whose memory is fetched at once: what they need stays in the nearest caches until it is used.
const FETCHED_AT_ONCE: usize = 32;

/// For each segment, which of a few chunks its filter lets through, a bit for each.
type Suspects = Vec<u32>;

const _: () = assert!(FETCHED_AT_ONCE == u32::BITS as usize);

/// One frame known to an [`Index`]: valid for that value of `Index` only, until its segment is forgotten, in part or
/// whole, or merged ([`Index::merge`]).
///
/// Two references may mean the same frame if the same pack was added by different catalogs. The order is that of
/// segments, packs and offsets, so sorting places by it groups them for reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameRef {
    pub(crate) segment: u64,
    number: u32,
}

/// Where one copy of a chunk lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Location {
    /// The pack that holds it.
    pub pack: ObjectId,
    /// The frame that holds it; see [`Index::frame`].
    pub frame: FrameRef,
    /// Where it starts in the frame's plaintext, in bytes.
    pub offset_in_frame: u32,
    /// Length of its plaintext in bytes.
    pub len_bytes: u32,
    /// Which record of its segment says so; see [`crate::CopySet`].
    pub(crate) record: u64,
}

/// All that is needed to read and open one frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameInfo {
    /// The pack that holds it.
    pub pack: ObjectId,
    /// Length of the whole pack object in bytes.
    pub pack_len_bytes: u64,
    /// Offset of the sealed frame in bytes from the start of the pack.
    pub offset: u32,
    /// Length of the sealed frame in bytes.
    pub stored_len_bytes: u32,
    /// Length of the plaintext in bytes.
    pub plain_len_bytes: u32,
    /// Chunks in the frame.
    pub chunk_count: u32,
    /// What its chunks are.
    pub kind: ChunkKind,
    /// How its plaintext is compressed.
    pub compression: Compression,
    /// The salt of its seal.
    pub salt: [u8; 16],
    /// The wrap that holds its key; frames with the same wrap share it.
    pub wrap: Arc<KeyWrap>,
}

impl Index {
    /// The newest copy of a chunk whose pack is not known to be absent.
    #[must_use]
    pub fn lookup(&self, id: &ChunkId) -> Option<Location> {
        self.newest_copy(id, Known::is_there)
    }

    /// The newest copy of a chunk that a writer may rely on: its pack is neither known to be absent nor condemned, and
    /// its frame is not known to be damaged.
    #[must_use]
    pub fn lookup_reliable(&self, id: &ChunkId) -> Option<Location> {
        self.newest_copy(id, Known::is_reliable)
    }

    /// [`Index::lookup`] for each of these chunks; in ascending order those that lie beside each other cost one read.
    #[must_use]
    pub fn lookup_each<'a>(&self, ids: impl IntoIterator<Item = &'a ChunkId>) -> Vec<Option<Location>> {
        self.newest_copies(ids, Known::is_there)
    }

    /// [`Index::lookup_reliable`] likewise.
    #[must_use]
    pub fn lookup_reliable_each<'a>(&self, ids: impl IntoIterator<Item = &'a ChunkId>) -> Vec<Option<Location>> {
        self.newest_copies(ids, Known::is_reliable)
    }

    /// The newest copy of a chunk whose pack is neither known to be absent nor condemned, in whatever state: what may
    /// not be deleted when there is no better one.
    #[must_use]
    pub fn lookup_staying(&self, id: &ChunkId) -> Option<Location> {
        self.newest_copy(id, Known::stays)
    }

    /// Whether [`Index::lookup`] finds the chunk.
    #[must_use]
    pub fn contains(&self, id: &ChunkId) -> bool {
        self.lookup(id).is_some()
    }

    /// Every copy of a chunk whose pack is not known to be absent, the newest first.
    #[must_use]
    pub fn all_locations(&self, id: &ChunkId) -> Vec<Location> {
        self.copies(id, Known::is_there)
    }

    /// Whether some copy of a chunk is in this set, and none is one that a writer may rely on.
    #[must_use]
    pub fn needs_copy(&self, id: &ChunkId, set: &CopySet) -> bool {
        let known = self.known();
        let (mut is_in_set, mut is_reliable) = (false, false);
        visit_copies(&known, id, Known::is_there, |segment, location| {
            is_in_set |= set.contains(&location);
            is_reliable = known.is_reliable(segment, &location);
            !is_reliable
        });
        is_in_set && !is_reliable
    }

    /// Every copy of a chunk, also in packs that are known to be absent or of another length, the newest first.
    #[must_use]
    pub fn locations_anywhere(&self, id: &ChunkId) -> Vec<Location> {
        self.copies(id, |_, _, _| true)
    }

    fn copies(&self, id: &ChunkId, counts: impl Fn(&Known, &Segment, &Location) -> bool) -> Vec<Location> {
        let mut locations: Vec<Location> = Vec::new();
        visit_copies(&self.known(), id, counts, |_, location| {
            // A pack that several segments know is told once, by the newest of them.
            let told = |other: &Location| other.pack == location.pack && other.frame.segment != location.frame.segment;
            if !locations.iter().any(told) {
                locations.push(location);
            }
            true
        });
        locations
    }

    /// How to read a frame; nothing when its segment was forgotten or merged, or turned out damaged: look up again
    /// then.
    #[must_use]
    pub fn frame(&self, frame: FrameRef) -> Option<FrameInfo> {
        let known = self.known();
        let segment = known.segments.iter().find(|segment| segment.serial == frame.segment && segment.is_usable())?;
        let record = segment.content.frame(frame.number).ok()??;
        frame_info(&segment.content, &record).ok()
    }

    /// Every known pack with its length in bytes, sorted by name.
    #[must_use]
    pub fn packs(&self) -> Vec<(ObjectId, u64)> {
        let mut packs = BTreeMap::new();
        for (_, pack) in self.segments().iter().flat_map(|segment| segment.packs()) {
            packs.entry(pack.name).or_insert(pack.len_bytes);
        }
        packs.into_iter().collect()
    }

    /// Copies of chunks in all known packs.
    #[must_use]
    pub fn chunk_count(&self) -> u64 {
        let mut seen = HashSet::new();
        let segments = self.segments();
        let packs = segments.iter().flat_map(|segment| segment.packs()).filter(|(_, pack)| seen.insert(pack.name));
        packs.map(|(_, pack)| u64::from(pack.chunk_count)).sum()
    }

    /// Visits every copy of every chunk, each pack's once, absent packs included; by id within a segment.
    ///
    /// `visit` may use the index; what is added meanwhile is not visited.
    ///
    /// # Errors
    /// [`IndexError::Damaged`] when not everything could be visited, so that nothing may be concluded from it.
    pub fn for_each_chunk(&self, mut visit: impl FnMut(&ChunkId, &Location)) -> Result<(), IndexError> {
        let segments = self.all_segments()?;
        segments.iter().zip(own_packs(&segments)).try_for_each(|(segment, own)| {
            let mut records = segment.content.chunks();
            while let Some((number, record)) = records.next()? {
                let record = ChunkRecord::decode(&record);
                let location = location(segment, number, &record)?;
                if own[record.pack as usize] {
                    visit(&record.id, &location);
                }
            }
            Ok(())
        })
    }

    /// Visits every frame, each pack's once, absent packs included; in the order of each pack.
    ///
    /// `visit` may use the index; what is added meanwhile is not visited.
    ///
    /// # Errors
    /// [`IndexError::Damaged`] when not everything could be visited, so that nothing may be concluded from it.
    pub fn for_each_frame(&self, mut visit: impl FnMut(FrameRef, &FrameInfo)) -> Result<(), IndexError> {
        let segments = self.all_segments()?;
        segments.iter().zip(own_packs(&segments)).try_for_each(|(segment, own)| {
            let mut records = segment.content.frames();
            for number in 0.. {
                let Some((_, record)) = records.next()? else { break };
                let record = FrameRecord::decode(&record);
                let info = frame_info(&segment.content, &record)?;
                if own[record.pack as usize] {
                    visit(FrameRef { segment: segment.serial, number }, &info);
                }
            }
            Ok(())
        })
    }

    fn newest_copy(&self, id: &ChunkId, counts: impl Fn(&Known, &Segment, &Location) -> bool) -> Option<Location> {
        let mut newest = None;
        visit_copies(&self.known(), id, counts, |_, location| {
            newest = Some(location);
            false
        });
        newest
    }

    fn newest_copies<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a ChunkId>,
        counts: impl Fn(&Known, &Segment, &Location) -> bool,
    ) -> Vec<Option<Location>> {
        let known = self.known();
        let mut near: Vec<Option<Box<Near>>> = known.segments.iter().map(|_| None).collect();
        let mut suspects = Suspects::new();
        let ids: Vec<&ChunkId> = ids.into_iter().collect();
        let mut copies = Vec::with_capacity(ids.len());
        for ids in ids.chunks(FETCHED_AT_ONCE) {
            fetch(&known, ids, &mut suspects);
            copies.extend(ids.iter().enumerate().map(|(bit, id)| {
                let mut newest = None;
                let segments = known.segments.iter().zip(&mut near).zip(&suspects);
                segments.filter(|(_, suspects)| *suspects >> bit & 1 == 1).any(|((segment, near), _)| {
                    let near = near.get_or_insert_with(|| Box::new(Near::new()));
                    visit_in(&known, segment, near, id, &counts, |_, location| {
                        newest = Some(location);
                        false
                    })
                });
                newest
            }));
        }
        copies
    }

    /// The serial numbers of the segments that may be asked.
    pub(crate) fn usable_segments(&self) -> BTreeSet<u64> {
        self.segments().iter().map(|segment| segment.serial).collect()
    }

    /// The segments of this moment, the newest first, or the damage of one.
    pub(crate) fn all_segments(&self) -> Result<Vec<Arc<Segment>>, IndexError> {
        let segments = self.known().segments.clone();
        match segments.iter().find(|segment| !segment.is_usable()) {
            Some(segment) => Err(segment.content.damage()),
            None => Ok(segments),
        }
    }

    /// The usable segments of this moment, the newest first.
    fn segments(&self) -> Vec<Arc<Segment>> {
        self.known().segments.iter().filter(|segment| segment.is_usable()).cloned().collect()
    }
}

impl Known {
    fn is_there(&self, _: &Segment, copy: &Location) -> bool {
        !self.absent_packs.contains(&copy.pack)
    }

    fn stays(&self, segment: &Segment, copy: &Location) -> bool {
        self.is_there(segment, copy) && !self.condemned_packs.contains(&copy.pack)
    }

    fn is_reliable(&self, segment: &Segment, copy: &Location) -> bool {
        self.stays(segment, copy) && !self.is_damaged(segment, copy)
    }

    /// What cannot be told counts as damaged.
    fn is_damaged(&self, segment: &Segment, copy: &Location) -> bool {
        self.damaged_frames.get(&copy.pack).is_some_and(|offsets| {
            let frame = segment.content.frame(copy.frame.number).ok().flatten();
            frame.is_none_or(|frame| offsets.contains(&frame.offset))
        })
    }
}

/// Asks the filters about a few chunks, and has the processor fetch what their lookups will read of memory: none of
/// these reads waits for another, while a lookup waits for each line that it needs.
fn fetch(known: &Known, ids: &[&ChunkId], suspects: &mut Suspects) {
    suspects.clear();
    suspects.extend(known.segments.iter().map(|segment| {
        let words = ids.iter().map(|id| segment.content.filter_word(id));
        black_box(words.fold(0, |all, word| all ^ word));
        let bits = ids.iter().enumerate().map(|(bit, id)| u32::from(segment.content.may_hold(id)) << bit);
        let suspects = bits.fold(0, |all, bit| all | bit);
        let fences = ids.iter().enumerate().filter(|(bit, _)| suspects >> bit & 1 == 1);
        black_box(fences.fold(0, |all, (_, id)| all ^ segment.content.fence_near(id)));
        suspects
    }));
}

/// Shows usable copies of a chunk that count with their segments, the newest first, as long as `visit` wants
/// more. // N4
fn visit_copies(
    known: &Known,
    id: &ChunkId,
    counts: impl Fn(&Known, &Segment, &Location) -> bool,
    mut visit: impl FnMut(&Segment, Location) -> bool,
) {
    let mut suspects = known.segments.iter().filter(|segment| segment.content.may_hold(id));
    suspects.any(|segment| visit_in(known, segment, &mut Near::new(), id, &counts, &mut visit));
}

/// The same in one segment, whose filter was asked; true when `visit` wants no more.
fn visit_in(
    known: &Known,
    segment: &Segment,
    near: &mut Near,
    id: &ChunkId,
    counts: impl Fn(&Known, &Segment, &Location) -> bool,
    mut visit: impl FnMut(&Segment, Location) -> bool,
) -> bool {
    if !segment.is_usable() {
        return false;
    }
    let found = segment.content.find(near, id, |number, record| match location(segment, number, record) {
        Ok(location) => segment.lists(record.pack) && counts(known, segment, &location) && !visit(segment, location),
        Err(_) => false,
    });
    // A damaged segment has marked itself; what it would have known counts as not stored. // N3
    matches!(found, Ok(Some(_)))
}

/// For each segment, the newest first, which of its packs count and are in no newer segment.
pub(crate) fn own_packs(segments: &[Arc<Segment>]) -> Vec<Vec<bool>> {
    let mut seen = HashSet::new();
    let own = |segment: &Arc<Segment>| {
        let packs = (0..).zip(&segment.content.tables.packs);
        packs.map(|(number, pack)| segment.lists(number) && seen.insert(pack.name)).collect()
    };
    segments.iter().map(own).collect()
}

fn location(segment: &Segment, number: u64, record: &ChunkRecord) -> Result<Location, IndexError> {
    Ok(Location {
        pack: segment.content.pack(record.pack)?.name,
        frame: FrameRef { segment: segment.serial, number: record.frame },
        offset_in_frame: record.offset_in_frame,
        len_bytes: record.len_bytes,
        record: number,
    })
}

pub(crate) fn frame_info(segment: &Content, record: &FrameRecord) -> Result<FrameInfo, IndexError> {
    let pack = segment.pack(record.pack)?;
    let known = [Compression::None, Compression::Zstd];
    let compression = known.into_iter().find(|compression| compression.code() == record.compression);
    Ok(FrameInfo {
        pack: pack.name,
        pack_len_bytes: pack.len_bytes,
        offset: record.offset,
        stored_len_bytes: record.stored_len_bytes,
        plain_len_bytes: record.plain_len_bytes,
        chunk_count: record.chunk_count,
        kind: ChunkKind::from_code(record.kind).map_err(|_| segment.damage())?,
        compression: compression.ok_or_else(|| segment.damage())?,
        salt: record.salt,
        wrap: Arc::clone(segment.wrap(record.wrap)?),
    })
}
