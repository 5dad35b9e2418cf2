//! Frames that could not be read, remembered in local state: no backup counts on them, so the next one stores their
//! chunks again as long as the source still has them (I20).

use crate::get::FrameId;
use crate::lock;
use crate::open::Repository;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use vellum_format::ObjectId;

const STATE_KEY: &str = "damaged-frames";
const VERSION: u8 = 1;

/// Frames that are remembered; a repository with more of them is not repaired by its next backup alone.
const FRAMES_MAX: usize = 1 << 16;

/// Offsets of damaged frames by their pack.
pub(crate) type DamagedFrames = BTreeMap<ObjectId, BTreeSet<u32>>;

impl Repository {
    /// Takes up what an earlier run remembered.
    pub(crate) fn recall_damaged_frames(&self) {
        let sealed = self.index().state_get(STATE_KEY);
        let frames = sealed.and_then(|sealed| decode(&self.open_local(STATE_KEY, &sealed)?));
        *self.damaged_frames() = frames.unwrap_or_default();
        self.state_damaged_frames();
    }

    /// Remembers that these frames cannot be read and not be healed. To be called with frames that are damaged for
    /// certain: their pack is there.
    pub fn mark_damaged(&self, frames: impl IntoIterator<Item = FrameId>) {
        let known = |frame| self.index().frame(frame).map(|info| (info.pack, info.offset));
        let found: Vec<(ObjectId, u32)> = frames.into_iter().filter_map(known).collect();
        self.change_damaged_frames(|damaged| {
            let count: usize = damaged.values().map(BTreeSet::len).sum();
            for (pack, offset) in found.into_iter().take(FRAMES_MAX.saturating_sub(count)) {
                damaged.entry(pack).or_default().insert(offset);
            }
        });
    }

    /// Forgets what was remembered of a pack: it is whole.
    pub(crate) fn mark_whole(&self, pack: &ObjectId) {
        if self.has_damaged_frames() {
            self.change_damaged_frames(|damaged| drop(damaged.remove(pack)));
        }
    }

    /// Forgets one frame: it was read.
    pub(crate) fn mark_read(&self, pack: &ObjectId, offset: u32) {
        // Asked for each frame that is read, and rarely so: what changes is copied, and may be megabytes.
        if self.has_damaged_frames() && self.is_marked(pack, offset) {
            self.change_damaged_frames(|damaged| {
                if let Some(offsets) = damaged.get_mut(pack) {
                    offsets.remove(&offset);
                }
                damaged.retain(|_, offsets| !offsets.is_empty());
            });
        }
    }

    fn is_marked(&self, pack: &ObjectId, offset: u32) -> bool {
        self.damaged_frames().get(pack).is_some_and(|offsets| offsets.contains(&offset))
    }

    /// Forgets packs that are not stored any more.
    pub(crate) fn retain_damaged(&self, stored: &BTreeMap<ObjectId, u64>) {
        if self.has_damaged_frames() {
            self.change_damaged_frames(|damaged| damaged.retain(|pack, _| stored.contains_key(pack)));
        }
    }

    /// Whether any frame is known to be damaged.
    pub(crate) fn has_damaged_frames(&self) -> bool {
        self.has_damaged_frames.load(Ordering::Relaxed)
    }

    fn change_damaged_frames(&self, change: impl FnOnce(&mut DamagedFrames)) {
        let mut damaged = self.damaged_frames();
        let before = damaged.clone();
        change(&mut damaged);
        if *damaged == before {
            return;
        }
        let encoded = encode(&damaged);
        drop(damaged);
        self.state_damaged_frames();
        // What is not kept is found again by whoever reads it.
        if let Ok(sealed) = self.seal_local(STATE_KEY, &encoded) {
            self.index().state_put(STATE_KEY, &sealed).ok();
        }
    }

    /// Lets the index go by what is remembered.
    fn state_damaged_frames(&self) {
        let damaged = self.damaged_frames();
        self.has_damaged_frames.store(!damaged.is_empty(), Ordering::Relaxed);
        self.index().set_damaged_frames(damaged.clone());
    }

    fn damaged_frames(&self) -> MutexGuard<'_, DamagedFrames> {
        lock(&self.damaged_frames)
    }
}

fn encode(damaged: &DamagedFrames) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    for (pack, offsets) in damaged {
        for offset in offsets {
            bytes.extend_from_slice(pack.as_bytes());
            bytes.extend_from_slice(&offset.to_le_bytes());
        }
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<DamagedFrames> {
    let (entries, rest) = bytes.strip_prefix(&[VERSION])?.as_chunks::<36>();
    let mut damaged = DamagedFrames::new();
    for entry in entries {
        let (pack, offset) = entry.split_first_chunk::<32>()?;
        let offset = u32::from_le_bytes(offset.try_into().ok()?);
        damaged.entry(ObjectId::from_bytes(*pack)).or_default().insert(offset);
    }
    rest.is_empty().then_some(damaged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::World;

    #[test]
    fn a_frame_that_was_read_is_forgotten_and_no_other() {
        let repository = World::new().open();
        let offsets: BTreeSet<u32> = (0..32).collect();
        let packs = (0..FRAMES_MAX / 32).map(|pack| (ObjectId::of(pack.to_string().as_bytes()), offsets.clone()));
        repository.change_damaged_frames(|damaged| damaged.extend(packs));
        let count = || repository.damaged_frames().values().map(BTreeSet::len).sum::<usize>();
        repository.mark_read(&ObjectId::of(b"another"), 31);
        repository.mark_read(&ObjectId::of(b"0"), 32);
        assert_eq!(count(), FRAMES_MAX);
        repository.mark_read(&ObjectId::of(b"0"), 31);
        assert_eq!(count(), FRAMES_MAX - 1);
    }

    #[test]
    fn what_is_remembered_comes_back_and_garbage_is_nothing() {
        let damaged = DamagedFrames::from([
            (ObjectId::of(b"one"), BTreeSet::from([80, 4096])),
            (ObjectId::of(b"two"), BTreeSet::from([u32::MAX])),
        ]);
        let encoded = encode(&damaged);
        assert_eq!(decode(&encoded), Some(damaged));
        assert_eq!(decode(&[VERSION]), Some(DamagedFrames::new()));
        assert_eq!(decode(&encoded[..encoded.len() - 1]), None);
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[VERSION + 1]), None);
    }
}
