//! Power cuts: what of the content and the names that were not synced is left.

use super::{SimDisk, State};
use crate::Random;

pub(super) const PAGE_LEN_BYTES: usize = 4096;
pub(super) const SECTOR_LEN_BYTES: usize = 512;

/// Each unsynced file takes this many states in [`SimDisk::crash_states`].
const ENUMERATED_TEARS: usize = 6;

/// Who decides what a power cut leaves.
pub(super) enum Fate {
    Random(Random),
    Each(Odometer),
}

impl Fate {
    pub(super) fn choose(&mut self, options: usize) -> usize {
        match self {
            Self::Random(random) => random.below(options),
            Self::Each(odometer) => odometer.choose(options),
        }
    }

    /// What is left of new content that was not synced over what was durable. // D1
    pub(super) fn tear(&mut self, durable: &[u8], new: &[u8]) -> Vec<u8> {
        let half = new.len() / 2 / SECTOR_LEN_BYTES * SECTOR_LEN_BYTES;
        match self {
            Self::Random(random) => match random.below(6) {
                0 => durable.to_vec(),
                1 => new.to_vec(),
                2 => new[..random.below(new.len() + 1)].to_vec(),
                3 => torn(durable, new, new.len(), |_| 0),
                _ => {
                    let len_bytes = if random.one_in(4) { random.below(new.len() + 1) } else { new.len() };
                    torn(durable, new, len_bytes, |_| torn_page(random))
                }
            },
            Self::Each(odometer) => match odometer.choose(ENUMERATED_TEARS) {
                0 => durable.to_vec(),
                1 => new.to_vec(),
                2 => new[..half].to_vec(),
                3 => torn(durable, new, new.len(), |_| 0),
                4 => torn(durable, new, new.len(), |page| if page % 2 == 0 { 0 } else { u8::MAX }),
                _ => torn(durable, new, new.len(), |_| 0b0000_1111),
            },
        }
    }
}

/// Which sectors of a page arrived, one bit each: a third of the pages is torn.
fn torn_page(random: &mut Random) -> u8 {
    match random.below(3) {
        0 => 0,
        1 => u8::MAX,
        _ => random.next().to_le_bytes()[0],
    }
}

/// A file of this length with those sectors of the new content that arrived; the others as they were, or zeros.
fn torn(durable: &[u8], new: &[u8], len_bytes: usize, mut arrived: impl FnMut(usize) -> u8) -> Vec<u8> {
    let mut left = durable.to_vec();
    left.resize(len_bytes, 0);
    for (page_index, page) in left.chunks_mut(PAGE_LEN_BYTES).enumerate() {
        let arrived = arrived(page_index);
        for (sector_index, sector) in page.chunks_mut(SECTOR_LEN_BYTES).enumerate() {
            if arrived >> sector_index & 1 == 1 {
                let start = page_index * PAGE_LEN_BYTES + sector_index * SECTOR_LEN_BYTES;
                sector.copy_from_slice(&new[start..start + sector.len()]);
            }
        }
    }
    left
}

/// Walks all paths of a tree of choices, each path once.
#[derive(Debug, Clone, Default)]
pub(super) struct Odometer {
    /// The choices of this path: which, of how many.
    path: Vec<(usize, usize)>,
    made_count: usize,
}

impl Odometer {
    fn choose(&mut self, options: usize) -> usize {
        if self.made_count == self.path.len() {
            self.path.push((0, options));
        }
        self.made_count += 1;
        self.path[self.made_count - 1].0
    }

    fn next_path(mut self) -> Option<Self> {
        while let Some((choice, options)) = self.path.pop() {
            if choice + 1 < options {
                self.path.push((choice + 1, options));
                return Some(Self { path: self.path, made_count: 0 });
            }
        }
        None
    }
}

/// Iterator over the states that a power cut may leave; see [`SimDisk::crash_states`].
#[derive(Debug)]
pub struct CrashStates {
    state: State,
    next: Option<Odometer>,
}

impl CrashStates {
    pub(super) fn of(state: State) -> Self {
        Self { state, next: Some(Odometer::default()) }
    }
}

impl Iterator for CrashStates {
    type Item = SimDisk;

    fn next(&mut self) -> Option<SimDisk> {
        let mut fate = Fate::Each(self.next.take()?);
        let disk = self.state.crash(&mut fate);
        if let Fate::Each(odometer) = fate {
            self.next = odometer.next_path();
        }
        Some(disk)
    }
}
