//! How much of each pack is in a set of copies.

use crate::lookup::{frame_info, own_packs};
use crate::segment::{ChunkRecord, FrameRecord, Segment};
use crate::{CopySet, Index, IndexError};
use std::collections::HashMap;
use std::sync::Arc;
use vellum_format::ObjectId;
use vellum_format::content::ChunkKind;

/// A known pack, and how much of it is in a [`CopySet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackUse {
    /// The pack.
    pub pack: ObjectId,
    /// Length of the whole object in bytes.
    pub len_bytes: u64,
    /// Plaintext bytes of its chunks.
    pub plain_bytes: u64,
    /// Plaintext bytes of those that are in the set.
    pub used_bytes: u64,
    /// How many are in the set.
    pub used_chunks: u64,
    /// Sealed bytes of its frames.
    pub frames_bytes: u64,
    /// What its chunks are; nothing if it has none.
    pub kind: Option<ChunkKind>,
}

impl Index {
    /// How much of every known pack is in a set, absent packs included; in no order.
    ///
    /// A pack that several segments know is told once, and whatever place of it is in the set counts, whichever segment
    /// the place is of: another catalog that lists the pack too may have been added since it was inserted. A chunk
    /// whose places of two segments are in the set counts twice, but never more than the pack holds.
    ///
    /// # Errors
    /// [`IndexError::Damaged`] when not everything could be counted, so that nothing may be concluded from it.
    pub fn pack_uses(&self, set: &CopySet) -> Result<Vec<PackUse>, IndexError> {
        let segments = self.all_segments()?;
        let own = own_packs(&segments);
        let (mut uses, slots) = slots(&segments);
        for ((segment, own), slots) in segments.iter().zip(&own).zip(&slots) {
            count_chunks(segment, own, slots, set, &mut uses)?;
            count_frames(segment, own, slots, &mut uses)?;
        }
        uses.iter_mut().for_each(|one| one.used_bytes = one.used_bytes.min(one.plain_bytes));
        Ok(uses)
    }
}

/// A pack each, with nothing counted, and for each segment's pack numbers where theirs is; nothing for what is not
/// listed.
fn slots(segments: &[Arc<Segment>]) -> (Vec<PackUse>, Vec<Vec<Option<usize>>>) {
    let mut uses = Vec::new();
    let mut by_name = HashMap::new();
    let slots = segments.iter().map(|segment| {
        let mut slots = vec![None; segment.content.tables.packs.len()];
        for (number, pack) in segment.packs() {
            let slot = by_name.entry(pack.name).or_insert_with(|| {
                let (pack, len_bytes) = (pack.name, pack.len_bytes);
                let (plain_bytes, used_bytes, used_chunks, frames_bytes, kind) = (0, 0, 0, 0, None);
                uses.push(PackUse { pack, len_bytes, plain_bytes, used_bytes, used_chunks, frames_bytes, kind });
                uses.len() - 1
            });
            slots[number as usize] = Some(*slot);
        }
        slots
    });
    let slots = slots.collect();
    (uses, slots)
}

fn count_chunks(
    segment: &Segment,
    own: &[bool],
    slots: &[Option<usize>],
    set: &CopySet,
    uses: &mut [PackUse],
) -> Result<(), IndexError> {
    let is_in_set = set.of_segment(segment.serial);
    let mut records = segment.content.chunks();
    while let Some((number, record)) = records.next()? {
        let record = ChunkRecord::decode(&record);
        let pack = record.pack as usize;
        let slot = *slots.get(pack).ok_or_else(|| segment.content.damage())?;
        let Some(slot) = slot else { continue };
        let len_bytes = u64::from(record.len_bytes);
        if own[pack] {
            uses[slot].plain_bytes += len_bytes;
        }
        if is_in_set(number) {
            uses[slot].used_bytes += len_bytes; // I23
            uses[slot].used_chunks += 1;
        }
    }
    Ok(())
}

fn count_frames(
    segment: &Segment,
    own: &[bool],
    slots: &[Option<usize>],
    uses: &mut [PackUse],
) -> Result<(), IndexError> {
    let mut records = segment.content.frames();
    while let Some((_, record)) = records.next()? {
        let record = FrameRecord::decode(&record);
        let info = frame_info(&segment.content, &record)?;
        let pack = record.pack as usize;
        if let Some(slot) = slots[pack].filter(|_| own[pack]) {
            uses[slot].frames_bytes += u64::from(info.stored_len_bytes);
            uses[slot].kind = Some(info.kind);
        }
    }
    Ok(())
}
