//! Many segments into one that answers as they do together.

use super::read::Records;
use super::tables::{Listing, PackRecord, Tables, count};
use super::write::{Output, Writer};
use super::{ChunkRecord, FrameRecord, Header, Segment, VERSION};
use crate::IndexError;
use crate::key::{LocalKey, SegmentId};
use std::cmp::Ordering;
use std::collections::binary_heap::PeekMut;
use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::io;
use std::sync::Arc;
use vellum_format::ObjectId;

/// The plan of a merge. What was forgotten is left out, and of a pack that several sources know, all but the newest.
///
/// It is carried out in one pass over the sources, each read from its start to its end, and takes no memory for chunks
/// but that of fences and buffers.
pub(crate) struct Merge<'s> {
    /// The newest first.
    sources: &'s [Arc<Segment>],
    /// Of each source, where its packs go.
    moved: Vec<Vec<Option<Moved>>>,
    tables: Tables,
    chunks: u64,
    frames: u32,
}

/// The new number of a pack, and what is added to the numbers of its frames and wraps, wrapping around.
#[derive(Clone, Copy)]
struct Moved {
    pack: u32,
    frame_shift: u32,
    wrap_shift: u32,
}

impl<'s> Merge<'s> {
    /// Plans the merge of neighbouring segments, the newest first; nothing when they are too much for one.
    pub(crate) fn plan(sources: &'s [Arc<Segment>]) -> Option<Self> {
        let moved = sources.iter().map(|source| vec![None; source.content.tables.packs.len()]).collect();
        let mut merge = Self { sources, moved, tables: Tables::default(), chunks: 0, frames: 0 };
        let owners = owners(sources);
        let mut numbers = HashMap::new();
        // The oldest first, so that newer frames have higher numbers, as in a segment made from catalogs. // N4
        for source in (0..sources.len()).rev() {
            merge.take_packs(source, &owners, &mut numbers).ok()?;
        }
        merge.take_listings(&numbers).ok()?;
        Some(merge)
    }

    fn take_packs(
        &mut self,
        source: usize,
        owners: &HashMap<ObjectId, usize>,
        numbers: &mut HashMap<ObjectId, u32>,
    ) -> Result<(), &'static str> {
        let segment = &self.sources[source];
        let all = &segment.content.tables;
        let (mut frame, mut wrap) = (0u32, 0u32);
        for (old, pack) in (0u32..).zip(&all.packs) {
            let wraps = wrap as usize..(wrap + pack.wrap_count) as usize;
            if segment.lists(old) && owners.get(&pack.name) == Some(&source) {
                let number = count(self.tables.packs.len())?;
                let first_wrap = count(self.tables.wraps.len())?;
                self.moved[source][old as usize] = Some(Moved {
                    pack: number,
                    frame_shift: self.frames.wrapping_sub(frame),
                    wrap_shift: first_wrap.wrapping_sub(wrap),
                });
                numbers.insert(pack.name, number);
                self.tables.packs.push(*pack);
                self.tables.wraps.extend(all.wraps[wraps].iter().map(Arc::clone));
                self.frames = self.frames.checked_add(pack.frame_count).ok_or("a segment's frames fit 32 bits")?;
                self.chunks += u64::from(pack.chunk_count);
            }
            frame += pack.frame_count;
            wrap += pack.wrap_count;
        }
        Ok(())
    }

    /// Who lists a pack in any source lists it in the merged segment.
    fn take_listings(&mut self, packs: &HashMap<ObjectId, u32>) -> Result<(), &'static str> {
        let mut catalogs = HashMap::new();
        for name in self.sources.iter().rev().flat_map(|source| source.catalog_names()) {
            if let Entry::Vacant(entry) = catalogs.entry(name) {
                entry.insert(count(self.tables.catalogs.len())?);
                self.tables.catalogs.push(name);
            }
        }
        let listings = self.sources.iter().flat_map(|source| source.listings());
        let numbers =
            |(pack, catalog): (&PackRecord, ObjectId)| Listing { pack: packs[&pack.name], catalog: catalogs[&catalog] };
        let listings: BTreeSet<Listing> = listings.map(numbers).collect();
        self.tables.listings = listings.into_iter().collect();
        Ok(())
    }

    /// The name of what comes of it. // N2
    pub(crate) fn id(&self, key: &LocalKey) -> SegmentId {
        key.merge_id(VERSION, self.sources.iter().map(|source| (source.id(), source.forgotten())))
    }

    /// Carries it out. An error when a source turns out damaged, which then says so itself, or nothing can be written.
    pub(crate) fn write(&self, id: SegmentId, key: &LocalKey, out: &mut impl Output) -> io::Result<()> {
        let header: Header = self.tables.header(id, self.chunks, self.frames).map_err(io::Error::other)?;
        let mut writer = Writer::new(header, key.segment_key(id), out);
        self.write_chunks(&mut writer)?;
        self.write_frames(&mut writer)?;
        writer.finish(&self.tables)
    }

    fn write_chunks(&self, writer: &mut Writer<'_, impl Output>) -> io::Result<()> {
        let mut streams: Vec<Records<'_>> = self.sources.iter().map(|source| source.content.chunks()).collect();
        let mut heads = BinaryHeap::with_capacity(streams.len());
        for (source, stream) in streams.iter_mut().enumerate() {
            heads.extend(self.next_chunk(source, stream)?);
        }
        while let Some(mut head) = heads.peek_mut() {
            writer.chunk(&head.chunk)?;
            match self.next_chunk(head.source, &mut streams[head.source])? {
                Some(next) => *head = next,
                None => drop(PeekMut::pop(head)),
            }
        }
        Ok(())
    }

    /// The next chunk of a source that is not left out, with its new numbers.
    fn next_chunk(&self, source: usize, stream: &mut Records<'_>) -> io::Result<Option<Head>> {
        while let Some((_, record)) = stream.next().map_err(damaged)? {
            let mut chunk = ChunkRecord::decode(&record);
            if let Some(moved) = self.moved(source, chunk.pack)? {
                chunk.pack = moved.pack;
                chunk.frame = chunk.frame.wrapping_add(moved.frame_shift);
                return Ok(Some(Head { chunk, source }));
            }
        }
        Ok(None)
    }

    fn write_frames(&self, writer: &mut Writer<'_, impl Output>) -> io::Result<()> {
        for (source, segment) in self.sources.iter().enumerate().rev() {
            let mut frames = segment.content.frames();
            while let Some((_, record)) = frames.next().map_err(damaged)? {
                let mut frame = FrameRecord::decode(&record);
                if let Some(moved) = self.moved(source, frame.pack)? {
                    frame.pack = moved.pack;
                    frame.wrap = frame.wrap.wrapping_add(moved.wrap_shift);
                    writer.frame(&frame)?;
                }
            }
        }
        Ok(())
    }

    fn moved(&self, source: usize, pack: u32) -> io::Result<Option<Moved>> {
        let moved = self.moved[source].get(pack as usize);
        moved.copied().ok_or_else(|| damaged(self.sources[source].content.damage()))
    }
}

/// The next chunk of a source: the greatest is the one to write next.
#[derive(PartialEq, Eq)]
struct Head {
    chunk: ChunkRecord,
    source: usize,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        // Of equal ids that of the newest source, whose frames have the higher numbers. // N4
        other.chunk.id.cmp(&self.chunk.id).then(other.source.cmp(&self.source))
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Of each pack that counts, the newest source that has it.
fn owners(sources: &[Arc<Segment>]) -> HashMap<ObjectId, usize> {
    let mut owners = HashMap::new();
    for (source, segment) in sources.iter().enumerate() {
        for (_, pack) in segment.packs() {
            owners.entry(pack.name).or_insert(source);
        }
    }
    owners
}

fn damaged(error: IndexError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
