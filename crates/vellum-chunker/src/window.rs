//! `window`: a keyed linear filter of the last 64 bytes, made for wide registers, then a pseudorandom rank of the few
//! positions that pass it.
//!
//! Here stand the definition and the portable search; faster ones are in [`crate::x86`] and held to the same cut points
//! by `tests/it/searches.rs`.

use std::ops::Range;

use aes::Aes128Enc;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use zeroize::Zeroize;

use crate::Sizes;
use crate::keys;
use crate::search::{self, Hit, Sink, WINDOW};
#[cfg(target_arch = "x86_64")]
use crate::x86::Wide;

/// Bytes that the portable search has digests of at a time, those of the first window included.
const BLOCK: usize = 512;

/// The digest of the last 32 bytes at a candidate. That of a run of equal bytes is the same 32 bytes before, where the
/// lowest bits must be 0: so no position of such a run is one.
pub(crate) const WANTED: u8 = 1;

pub(crate) struct Window {
    sizes: Sizes,
    search: Search,
}

/// The keys, with what looks for the candidates.
enum Search {
    Portable(Box<Keys>),
    #[cfg(target_arch = "x86_64")]
    Wide(Box<Wide>),
}

impl Window {
    /// With the fastest search that this processor has.
    pub(crate) fn new(sizes: Sizes, key: &[u8; 32]) -> Window {
        Window { sizes, search: searches(key).swap_remove(0).1 }
    }

    /// With each search that this processor has.
    pub(crate) fn each_way(sizes: Sizes, key: &[u8; 32]) -> impl Iterator<Item = (&'static str, Window)> {
        searches(key).into_iter().map(move |(name, search)| (name, Window { sizes, search }))
    }

    pub(crate) fn cut(&self, data: &[u8]) -> usize {
        search::cut(self.sizes, data, |positions, zeros, sink| self.search(data, positions, zeros, sink))
    }

    fn search(&self, data: &[u8], positions: Range<usize>, zeros: u32, sink: &mut Sink<'_>) {
        let filter = Filter::of(self.sizes);
        match &self.search {
            Search::Portable(keys) => keys.search(data, positions, filter, zeros, sink),
            #[cfg(target_arch = "x86_64")]
            Search::Wide(wide) => wide.search(data, positions, filter, zeros, sink),
        }
    }
}

/// The searches that this processor has, the fastest first; the portable one is the last.
fn searches(key: &[u8; 32]) -> Vec<(&'static str, Search)> {
    let keys = Box::new(Keys::derive(key));
    let mut searches = Vec::new();
    #[cfg(target_arch = "x86_64")]
    searches.extend(Wide::detect(&keys).into_iter().map(|(name, wide)| (name, Search::Wide(Box::new(wide)))));
    searches.push(("portable", Search::Portable(keys)));
    searches
}

/// How many bits a candidate has that others lack.
#[derive(Clone, Copy)]
pub(crate) struct Filter {
    /// All of them: the eight of the younger digest and the lowest of the older one.
    pub(crate) bits: u32,
}

impl Filter {
    fn of(sizes: Sizes) -> Filter {
        Filter { bits: 12.min(sizes.avg().ilog2() - 2) }
    }

    /// The bits of the digest of 32 bytes before that are 0 at a candidate.
    pub(crate) fn older_mask(self) -> u8 {
        (1 << (self.bits - 8)) - 1
    }
}

/// The secret of the filter and of the rank.
#[derive(Zeroize)]
#[zeroize(drop)]
pub(crate) struct Keys {
    /// What each of the last four bytes contributes, and what is made of a digest 4, 8 and 16 bytes before.
    pub(crate) maps: [Map; 7],
    /// The universal hash of a window, before the cipher.
    pub(crate) words: [u64; 8],
    pub(crate) aes_key: [u8; 16],
    #[zeroize(skip)]
    cipher: Aes128Enc,
    tables: [[u8; 256]; 7],
}

impl Keys {
    fn derive(key: &[u8; 32]) -> Keys {
        let bytes = keys::expand::<136>(key, b"window");
        let (maps, rest) = bytes.split_first_chunk::<56>().expect("it is longer");
        let (words, aes_key) = rest.split_first_chunk::<64>().expect("it is longer");
        let maps: [Map; 7] = std::array::from_fn(|index| Map::invertible(maps.as_chunks().0[index]));
        let words = std::array::from_fn(|index| u64::from_le_bytes(words.as_chunks().0[index]));
        let aes_key: [u8; 16] = aes_key.try_into().expect("16 bytes are left");
        let tables = std::array::from_fn(|index| maps[index].table());
        Keys { maps, words, aes_key, cipher: Aes128Enc::new(&aes_key.into()), tables }
    }

    /// As [`search::Sink`] says, with the definition read byte by byte.
    fn search(&self, data: &[u8], positions: Range<usize>, filter: Filter, mut zeros: u32, sink: &mut Sink<'_>) {
        let mut digests = [0; BLOCK];
        let mut at = positions.start;
        while at < positions.end {
            let end = positions.end.min(at + BLOCK - WINDOW);
            let bytes = &data[at - WINDOW..end];
            let digests = &mut digests[..bytes.len()];
            self.digest(bytes, digests);
            // A position's digest is that of the byte before it.
            for position in at..end {
                let newest = position - at + WINDOW - 1;
                if digests[newest] != WANTED || digests[newest - 32] & filter.older_mask() != 0 {
                    continue;
                }
                let found = filter.bits + self.rank(&data[position - WINDOW..position]).trailing_zeros();
                if found >= zeros {
                    match sink(Hit { at: position, zeros: found }) {
                        Some(more) => zeros = more,
                        None => return,
                    }
                }
            }
            at = end;
        }
    }

    /// The digest of the 32 bytes up to each byte, from the thirty-second on.
    fn digest(&self, bytes: &[u8], digests: &mut [u8]) {
        let [newest, second, third, fourth, by_four, by_eight, by_sixteen] = &self.tables;
        let at = |table: &[u8; 256], byte: u8| table[usize::from(byte)];
        for index in 3..bytes.len() {
            digests[index] = at(newest, bytes[index])
                ^ at(second, bytes[index - 1])
                ^ at(third, bytes[index - 2])
                ^ at(fourth, bytes[index - 3]);
        }
        for (distance, table) in [(4, by_four), (8, by_eight), (16, by_sixteen)] {
            // From the end, because each needs what an earlier one was.
            for index in (2 * distance - 1..bytes.len()).rev() {
                digests[index] ^= at(table, digests[index - distance]);
            }
        }
    }

    /// The pseudorandom value of a window.
    fn rank(&self, window: &[u8]) -> u64 {
        let words = window.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word));
        let sum = words.zip(&self.words).fold(0, |sum, (word, key)| sum ^ product(word, *key));
        let mut block = sum.to_le_bytes().into();
        self.cipher.encrypt_block(&mut block);
        u64::from_le_bytes(block.as_chunks().0[0])
    }
}

/// The product of two polynomials over GF(2), of degree below 64.
fn product(left: u64, right: u64) -> u128 {
    let bit = |index: u32| u128::from(left >> index & 1).wrapping_neg() & u128::from(right) << index;
    (0..64).fold(0, |sum, index| sum ^ bit(index))
}

/// An invertible linear map of bytes over GF(2): bit `i` of the result is the parity of row `i` and the argument.
#[derive(Clone, Copy, Zeroize)]
pub(crate) struct Map {
    rows: [u8; 8],
}

impl Map {
    /// The product of two triangular matrices with ones on their diagonals: the lower one takes what lies below the
    /// diagonal of `bits`, the upper one what lies above.
    fn invertible(bits: [u8; 8]) -> Map {
        let upper: [u8; 8] = std::array::from_fn(|row| bits[row] & (0xfe << row) | 1 << row);
        let rows = std::array::from_fn(|row| {
            (0..row).filter(|below| bits[row] >> below & 1 == 1).fold(upper[row], |sum, below| sum ^ upper[below])
        });
        Map { rows }
    }

    /// As GFNI wants it: the rows from the last byte to the first.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn matrix(&self) -> i64 {
        let mut rows = self.rows;
        rows.reverse();
        i64::from_le_bytes(rows)
    }

    pub(crate) fn apply(&self, byte: u8) -> u8 {
        (0..8).fold(0, |result, row| result | u8::from((self.rows[row] & byte).count_ones() % 2 == 1) << row)
    }

    fn table(&self) -> [u8; 256] {
        let mut table = [0; 256];
        for byte in 0..=u8::MAX {
            table[usize::from(byte)] = self.apply(byte);
        }
        table
    }
}
