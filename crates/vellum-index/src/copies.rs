//! Sets of copies of chunks, one bit each, for whoever has to remember which of a hundred million are needed.

use crate::{Index, Location};
use std::collections::BTreeMap;

/// A set of places of one [`Index`]. It means something only as long as that value has neither forgotten nor merged a
/// segment that it is about, nor forgotten a catalog of one: ask [`CopySet::is_current`] before anything is concluded
/// from it.
///
/// Memory: one bit for each chunk of every segment in which a place was inserted.
#[derive(Debug, Default)]
pub struct CopySet {
    segments: BTreeMap<u64, Vec<u64>>,
}

impl CopySet {
    /// Adds a place; false when it was in the set.
    pub fn insert(&mut self, location: &Location) -> bool {
        let words = self.segments.entry(location.frame.segment).or_default();
        let (word, bit) = place(location.record);
        if words.len() <= word {
            words.resize(word + 1, 0);
        }
        let is_new = words[word] & bit == 0;
        words[word] |= bit;
        is_new
    }

    /// Whether a place is in the set.
    #[must_use]
    pub fn contains(&self, location: &Location) -> bool {
        self.of_segment(location.frame.segment)(location.record)
    }

    /// Which records of one segment are in the set.
    pub(crate) fn of_segment(&self, serial: u64) -> impl Fn(u64) -> bool {
        let words: &[u64] = self.segments.get(&serial).map_or(&[], |words| words);
        move |record| {
            let (word, bit) = place(record);
            words.get(word).is_some_and(|word| word & bit != 0)
        }
    }

    /// Whether the index still has every segment that this set is about, undamaged.
    #[must_use]
    pub fn is_current(&self, index: &Index) -> bool {
        let usable = index.usable_segments();
        self.segments.keys().all(|serial| usable.contains(serial))
    }
}

fn place(record: u64) -> (usize, u64) {
    let word = usize::try_from(record / 64).expect("a segment that can be read has fewer records");
    (word, 1 << (record % 64))
}
