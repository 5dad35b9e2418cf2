//! `gear`: FastCDC of 2020 as the crate `fastcdc` computes it, with a table of ours.
//!
//! What a mask looks at depends on the last [`MEMORY`] bytes alone. So a stretch of the data is searched in lanes, each
//! of which begins that much earlier than the positions it is to test.

use std::ops::Range;

use zeroize::Zeroize;

use crate::Sizes;
use crate::keys;
#[cfg(target_arch = "x86_64")]
use crate::x86::{self, Vbmi};

/// Those of FastCDC for 10 to 24 bits.
const MASKS: [u64; 15] = [
    0x0000_5900_0353_0000,
    0x0000_d900_0353_0000,
    0x0000_d901_0353_0000,
    0x0000_d903_0353_0000,
    0x0000_d903_1353_0000,
    0x0000_d90f_0353_0000,
    0x0000_d903_0353_7000,
    0x0000_d907_0353_7000,
    0x0000_d907_0753_7000,
    0x0000_d917_0753_7000,
    0x0000_d917_4753_7000,
    0x0000_d917_6753_7000,
    0x0000_d937_6753_7000,
    0x0000_d937_7753_7000,
    0x0000_d937_7757_7000,
];

/// Bytes that have a part in the bits of a mask, the highest of which is bit 47.
const MEMORY: usize = 48;

/// Lengths of lanes are multiples of it, and so many bytes stand before each.
pub(crate) const COLUMN: usize = 64;

/// Longer lanes save nothing, and would only read the memory in more places at a time.
const LANE_BYTES_MAX: usize = 8 << 10;

const PORTABLE_LANES: usize = 4;

pub(crate) struct Gear {
    sizes: Sizes,
    table: Box<Table>,
    search: Search,
}

#[derive(Zeroize)]
#[zeroize(drop)]
pub(crate) struct Table(pub(crate) [u64; 256]);

enum Search {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Vbmi(Box<Vbmi>),
}

impl Gear {
    /// With the fastest search that this processor has.
    pub(crate) fn new(sizes: Sizes, key: &[u8; 32]) -> Gear {
        let table = Table::derive(key);
        let search = searches(&table).swap_remove(0).1;
        Gear { sizes, table, search }
    }

    /// With each search that this processor has.
    pub(crate) fn each_way(sizes: Sizes, key: &[u8; 32]) -> impl Iterator<Item = (&'static str, Gear)> {
        let searches = searches(&Table::derive(key));
        searches.into_iter().map(move |(name, search)| (name, Gear { sizes, table: Table::derive(key), search }))
    }

    pub(crate) fn cut(&self, data: &[u8]) -> usize {
        let [min, avg, max] = [self.sizes.min(), self.sizes.avg(), self.sizes.max()].map(|size| size as usize);
        let end = data.len().min(max);
        if end <= min {
            return end;
        }
        // The hash begins at `min`; an odd last byte is not tested.
        let bytes = &data[min..end - end % 2];
        let center = bytes.len().min(avg - min);
        let bits = self.sizes.avg().ilog2() as usize;
        let found = self
            .first(bytes, 0..center, bits + 2)
            .or_else(|| self.first(bytes, center..bytes.len(), bits - 2))
            .map(|at| min + at);
        found.unwrap_or(end)
    }

    /// The first of the positions whose hash has so many bits of 0 where the mask looks.
    fn first(&self, bytes: &[u8], positions: Range<usize>, bits: usize) -> Option<usize> {
        let mask = MASKS[bits - 10];
        let mut at = positions.start;
        if at < COLUMN {
            // Where nothing, or less than a column, stands before.
            at = positions.end.min(COLUMN);
            if let Some(found) = self.table.first(bytes, positions.start..at, mask) {
                return Some(found);
            }
        }
        // What lanes read behind the first find is in vain, so they are short where finds are close.
        let longest = ((1 << bits) / 32).clamp(COLUMN, LANE_BYTES_MAX);
        loop {
            let length = longest.min((positions.end - at) / self.search.lanes());
            let length = length - length % COLUMN;
            if length == 0 {
                return self.table.first(bytes, at..positions.end, mask);
            }
            if let Some(found) = self.search.first(&self.table, bytes, at, length, mask) {
                return Some(found);
            }
            at += self.search.lanes() * length;
        }
    }
}

/// The searches that this processor has, the fastest first; the portable one is the last.
fn searches(table: &Table) -> Vec<(&'static str, Search)> {
    let mut searches = Vec::new();
    #[cfg(target_arch = "x86_64")]
    searches.extend(Vbmi::detect(table).map(|vbmi| ("AVX-512 and VBMI", Search::Vbmi(Box::new(vbmi)))));
    #[cfg(not(target_arch = "x86_64"))]
    let _ = table;
    searches.push(("portable", Search::Portable));
    searches
}

impl Search {
    fn lanes(&self) -> usize {
        match self {
            Search::Portable => PORTABLE_LANES,
            #[cfg(target_arch = "x86_64")]
            Search::Vbmi(_) => x86::GEAR_LANES,
        }
    }

    /// The first position, in lanes of this length from `at` on, whose hash has no bit of the mask.
    fn first(&self, table: &Table, bytes: &[u8], at: usize, length: usize, mask: u64) -> Option<usize> {
        match self {
            Search::Portable => table.first_in_lanes(bytes, at, length, mask),
            #[cfg(target_arch = "x86_64")]
            Search::Vbmi(vbmi) => {
                let columns = vbmi.columns(bytes, at, length, mask);
                // Which position of the column it is, is found again.
                columns.into_iter().enumerate().find_map(|(lane, column)| {
                    let start = at + lane * length + column? * COLUMN;
                    table.first(bytes, start..start + COLUMN, mask)
                })
            }
        }
    }
}

impl Table {
    fn derive(key: &[u8; 32]) -> Box<Table> {
        let bytes = keys::expand::<2048>(key, b"gear");
        let mut table = Box::new(Table([0; 256]));
        for (entry, word) in table.0.iter_mut().zip(bytes.as_chunks().0) {
            *entry = u64::from_le_bytes(*word);
        }
        table
    }

    fn next(&self, hash: u64, byte: u8) -> u64 {
        (hash << 1).wrapping_add(self.0[usize::from(byte)])
    }

    /// The hash before a position, as far as masks look.
    fn before(&self, bytes: &[u8], position: usize) -> u64 {
        bytes[position.saturating_sub(MEMORY)..position].iter().fold(0, |hash, byte| self.next(hash, *byte))
    }

    /// The first of the positions whose hash has no bit of the mask, one by one.
    fn first(&self, bytes: &[u8], positions: Range<usize>, mask: u64) -> Option<usize> {
        let mut hash = self.before(bytes, positions.start);
        let found = bytes[positions.clone()].iter().position(|byte| {
            hash = self.next(hash, *byte);
            hash & mask == 0
        });
        found.map(|index| positions.start + index)
    }

    /// The same for all positions of four lanes of this length: each hash waits for the one before it, so four that do
    /// not wait for each other take little longer than one.
    fn first_in_lanes(&self, bytes: &[u8], at: usize, length: usize, mask: u64) -> Option<usize> {
        let starts: [usize; PORTABLE_LANES] = std::array::from_fn(|lane| at + lane * length);
        let mut hashes = starts.map(|start| self.before(bytes, start));
        let lanes = starts.map(|start| bytes[start..start + length].as_chunks::<2>().0);
        let pairs = lanes[0].iter().zip(lanes[1]).zip(lanes[2]).zip(lanes[3]);
        for (index, (((first, second), third), fourth)) in pairs.enumerate() {
            let pairs = [first, second, third, fourth];
            for of_pair in 0..2 {
                for (hash, pair) in hashes.iter_mut().zip(pairs) {
                    *hash = self.next(*hash, pair[of_pair]);
                }
                if let Some(lane) = hashes.iter().position(|hash| hash & mask == 0) {
                    let step = 2 * index + of_pair;
                    // Lanes before it have not come to their ends.
                    let earlier = starts[..lane].iter();
                    return earlier
                        .map(|start| start + step..start + length)
                        .find_map(|rest| self.first(bytes, rest, mask))
                        .or(Some(starts[lane] + step));
                }
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_those_of_the_crate() {
        assert_eq!(MASKS, fastcdc::v2020::MASKS[10..=24]);
        assert!(MASKS.iter().all(|mask| mask >> MEMORY == 0));
    }
}
