//! Frames that could not be read, remembered in local state: no backup counts on them, so the next one stores their
//! chunks again as long as the source still has them (I20).

use crate::get::FrameId;
use crate::lock;
use crate::open::Repository;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::MutexGuard;
use std::sync::atomic::Ordering;
use vellum_format::ObjectId;
use vellum_index::DamagedFrames;

const STATE_KEY: &str = "damaged-frames";
const VERSION: u8 = 1;

/// Frames that are remembered; a repository with more of them is not repaired by its next backup alone.
const FRAMES_MAX: usize = 1 << 16;

/// What is remembered is written whole: with many frames not for each, but whenever a sixteenth has changed, and when
/// the repository is closed.
const UNSAVED_SHARE_MAX: usize = 16;

/// How much is remembered, and how much of that only here.
#[derive(Default)]
pub(crate) struct DamagedCounts {
    count: usize,
    unsaved: usize,
}

impl Repository {
    /// Takes up what an earlier run remembered.
    pub(crate) fn recall_damaged_frames(&self) {
        let sealed = self.index().state_get(STATE_KEY);
        let frames = sealed.and_then(|sealed| decode(&self.open_local(STATE_KEY, &sealed)?)).unwrap_or_default();
        self.change_damaged_frames(|damaged, _| {
            *damaged = frames;
            Change { added: count(damaged), removed: 0 }
        });
        self.damaged_frames().unsaved = 0;
    }

    /// Remembers that these frames cannot be read and not be healed. To be called with frames that are damaged for
    /// certain: their pack is there. A process that is killed may have remembered some for itself alone; they are found
    /// again by whoever reads them.
    pub fn mark_damaged(&self, frames: impl IntoIterator<Item = FrameId>) {
        let known = |frame| self.index().frame(frame).map(|info| (info.pack, info.offset));
        let is_new = |(pack, offset): &(ObjectId, u32)| !self.index().is_damaged(pack, *offset);
        let found: BTreeSet<(ObjectId, u32)> = frames.into_iter().filter_map(known).filter(is_new).collect();
        if found.is_empty() {
            return;
        }
        self.change_damaged_frames(|damaged, before| {
            let room = FRAMES_MAX.saturating_sub(before);
            let insert = |&(pack, offset): &(ObjectId, u32)| damaged.entry(pack).or_default().insert(offset);
            Change { added: found.into_iter().filter(insert).take(room).count(), removed: 0 }
        });
    }

    /// Forgets what was remembered of a pack: it is whole.
    pub(crate) fn mark_whole(&self, pack: &ObjectId) {
        if self.has_damaged_frames() {
            self.change_damaged_frames(|damaged, _| {
                let removed = damaged.remove(pack).map_or(0, |offsets| offsets.len());
                Change { added: 0, removed }
            });
        }
    }

    /// Forgets one frame: it was read.
    pub(crate) fn mark_read(&self, pack: &ObjectId, offset: u32) {
        // Asked for each frame that is read, of which nearly none is marked.
        if self.has_damaged_frames() && self.index().is_damaged(pack, offset) {
            self.change_damaged_frames(|damaged, _| {
                let Some(offsets) = damaged.get_mut(pack) else { return Change::default() };
                let removed = usize::from(offsets.remove(&offset));
                if offsets.is_empty() {
                    damaged.remove(pack);
                }
                Change { added: 0, removed }
            });
        }
    }

    /// Forgets packs that are not stored any more.
    pub(crate) fn retain_damaged(&self, stored: &BTreeMap<ObjectId, u64>) {
        if self.has_damaged_frames() {
            self.change_damaged_frames(|damaged, before| {
                damaged.retain(|pack, _| stored.contains_key(pack));
                Change { added: 0, removed: before - count(damaged) }
            });
        }
    }

    /// Whether any frame is known to be damaged.
    pub(crate) fn has_damaged_frames(&self) -> bool {
        self.has_damaged_frames.load(Ordering::Relaxed)
    }

    /// Changes what the index goes by, given how many frames that are, and keeps it.
    fn change_damaged_frames(&self, change: impl FnOnce(&mut DamagedFrames, usize) -> Change) {
        // Held until it is kept: of two that change it, the later state has to be the one that stays (I20).
        let mut remembered = self.damaged_frames();
        let Change { added, removed } = self.index().change_damaged_frames(|frames| change(frames, remembered.count));
        remembered.count = remembered.count + added - removed;
        remembered.unsaved += added + removed;
        self.has_damaged_frames.store(remembered.count > 0, Ordering::Relaxed);
        if remembered.unsaved * UNSAVED_SHARE_MAX > remembered.count {
            self.keep_damaged_frames(&mut remembered);
        }
    }

    /// Keeps what is not kept yet.
    pub(crate) fn settle_damaged_frames(&self) {
        let mut remembered = self.damaged_frames();
        if remembered.unsaved > 0 {
            self.keep_damaged_frames(&mut remembered);
        }
    }

    fn keep_damaged_frames(&self, remembered: &mut DamagedCounts) {
        remembered.unsaved = 0;
        let encoded = self.index().change_damaged_frames(|frames| encode(frames));
        // What is not kept is found again by whoever reads it.
        if let Ok(sealed) = self.seal_local(STATE_KEY, &encoded) {
            self.index().state_put(STATE_KEY, &sealed).ok();
        }
    }

    fn damaged_frames(&self) -> MutexGuard<'_, DamagedCounts> {
        lock(&self.damaged_frames)
    }
}

/// How many frames were marked, and how many are no longer.
#[derive(Default)]
struct Change {
    added: usize,
    removed: usize,
}

fn count(damaged: &DamagedFrames) -> usize {
    damaged.values().map(BTreeSet::len).sum()
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
    use crate::LocalState;
    use crate::support::World;

    #[test]
    fn a_frame_that_was_read_is_forgotten_and_no_other() {
        let repository = World::new().open();
        let offsets: BTreeSet<u32> = (0..32).collect();
        let packs = (0..FRAMES_MAX / 32).map(|pack| (ObjectId::of(pack.to_string().as_bytes()), offsets.clone()));
        repository.change_damaged_frames(|damaged, _| {
            damaged.extend(packs);
            Change { added: FRAMES_MAX, removed: 0 }
        });
        let found = || repository.index().change_damaged_frames(|damaged| count(damaged));
        repository.mark_read(&ObjectId::of(b"another"), 31);
        repository.mark_read(&ObjectId::of(b"0"), 32);
        assert_eq!(found(), FRAMES_MAX);
        repository.mark_read(&ObjectId::of(b"0"), 31);
        assert_eq!(found(), FRAMES_MAX - 1);
        assert_eq!(repository.damaged_frames().count, FRAMES_MAX - 1);
    }

    /// Each offset from a thread of its own, as the workers of a restore mark what they meet.
    fn mark_at_once(repository: &Repository, offsets: std::ops::Range<u32>) {
        std::thread::scope(|scope| {
            for offset in offsets {
                scope.spawn(move || {
                    repository.change_damaged_frames(|damaged, _| {
                        let added = damaged.entry(ObjectId::of(b"pack")).or_default().insert(offset);
                        Change { added: usize::from(added), removed: 0 }
                    });
                });
            }
        });
    }

    #[test]
    fn what_many_mark_at_once_is_remembered_by_the_next_run() {
        let (world, state) = (World::new(), tempfile::tempdir().unwrap());
        let open = || world.open_on(world.storage.clone(), &LocalState::At(state.path().to_path_buf()));
        for round in 0..20 {
            let repository = open();
            mark_at_once(&repository, 0..8);
            drop(repository);
            let repository = open();
            let found = |pack| repository.index().change_damaged_frames(|damaged| damaged.get(pack).cloned());
            assert_eq!(found(&ObjectId::of(b"pack")), Some((0..8).collect()), "round {round}");
            repository.mark_whole(&ObjectId::of(b"pack"));
            assert!(!repository.has_damaged_frames());
        }
    }

    #[test]
    fn many_marks_are_not_written_whole_for_each() {
        let repository = World::new().open();
        let mut kept = 0;
        for offset in 0..1000 {
            mark_at_once(&repository, offset..offset + 1);
            kept += usize::from(repository.damaged_frames().unsaved == 0);
        }
        // Each of the first sixteen, and then as often as a sixteenth is added.
        assert!((16..120).contains(&kept), "{kept}");
        repository.settle_damaged_frames();
        assert_eq!(repository.damaged_frames().unsaved, 0);
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
