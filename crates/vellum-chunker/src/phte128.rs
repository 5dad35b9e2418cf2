//! `phte128`: a universal hash of the last 64 bytes, then a pseudorandom function, at every position.
//!
//! Here stand the definition and the portable search; which of the positions found becomes the cut, says
//! [`crate::search`].
//! Faster searches are in [`crate::x86`] and held to the same cut points by `tests/it/phte128.rs`.

use std::ops::Range;

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128Enc, Block};
use zeroize::Zeroize;

use crate::Sizes;
use crate::keys;
use crate::search::{self, Hit, Sink, WINDOW, each};
#[cfg(target_arch = "x86_64")]
use crate::x86::{AesNi, Vaes};

/// Positions whose blocks the portable search encrypts together: many, because the cipher prepares its keys each time.
const BATCH: usize = 256;

pub(crate) struct Phte128 {
    sizes: Sizes,
    tables: Box<Tables>,
    search: Search,
}

/// The block cipher, with what looks for its outputs.
enum Search {
    Portable(Aes128Enc),
    #[cfg(target_arch = "x86_64")]
    AesNi(AesNi),
    #[cfg(target_arch = "x86_64")]
    Vaes(Box<Vaes>),
}

impl Phte128 {
    /// With the fastest search that this processor has.
    pub(crate) fn new(sizes: Sizes, key: &[u8; 32]) -> Phte128 {
        Phte128::with(sizes, key, searches(key).swap_remove(0).1)
    }

    /// With each search that this processor has.
    pub(crate) fn each_way(sizes: Sizes, key: &[u8; 32]) -> impl Iterator<Item = (&'static str, Phte128)> {
        searches(key).into_iter().map(move |(name, search)| (name, Phte128::with(sizes, key, search)))
    }

    fn with(sizes: Sizes, key: &[u8; 32], search: Search) -> Phte128 {
        Phte128 { sizes, tables: Tables::derive(key), search }
    }

    pub(crate) fn cut(&self, data: &[u8]) -> usize {
        search::cut(self.sizes, data, |positions, zeros, sink| self.search(data, positions, zeros, sink))
    }

    fn search(&self, data: &[u8], positions: Range<usize>, zeros: u32, sink: &mut Sink<'_>) {
        if positions.is_empty() {
            return;
        }
        match &self.search {
            Search::Portable(cipher) => each(positions, zeros, sink, |positions, zeros| {
                find_portable(cipher, &self.tables, data, positions, zeros)
            }),
            #[cfg(target_arch = "x86_64")]
            Search::AesNi(aesni) => aesni.search(&self.tables, data, positions, zeros, sink),
            #[cfg(target_arch = "x86_64")]
            Search::Vaes(vaes) => vaes.search(&self.tables, data, positions, zeros, sink),
        }
    }
}

/// The searches that this processor has, the fastest first; the portable one is the last.
fn searches(key: &[u8; 32]) -> Vec<(&'static str, Search)> {
    let key = keys::expand::<16>(key, b"aes");
    let mut searches = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        searches.extend(Vaes::detect(&key).into_iter().map(|(name, vaes)| (name, Search::Vaes(Box::new(vaes)))));
        searches.extend(AesNi::detect(&key).map(|aesni| ("AES-NI", Search::AesNi(aesni))));
    }
    searches.push(("portable", Search::Portable(Aes128Enc::new((&*key).into()))));
    searches
}

fn find_portable(cipher: &Aes128Enc, tables: &Tables, data: &[u8], positions: Range<usize>, zeros: u32) -> Option<Hit> {
    let mut digest = tables.digest(&data[positions.start - WINDOW..positions.start]);
    let leaving = &data[positions.start - WINDOW..positions.end - WINDOW];
    let mut changes = [Lanes([0; 2]); BATCH];
    let mut blocks = [Block::default(); BATCH];
    let mut at = positions.start;
    for (entering, leaving) in data[positions].chunks(BATCH).zip(leaving.chunks(BATCH)) {
        // A loop of its own, which keeps the table look-ups out of the chain from digest to digest.
        for ((change, entering), leaving) in changes.iter_mut().zip(entering).zip(leaving) {
            *change = tables.change(*entering, *leaving);
        }
        let blocks = &mut blocks[..entering.len()];
        for (block, change) in blocks.iter_mut().zip(&changes) {
            block[..8].copy_from_slice(&digest.0[0].to_le_bytes());
            block[8..].copy_from_slice(&digest.0[1].to_le_bytes());
            digest = digest.times_x().plus(*change);
        }
        cipher.encrypt_blocks(blocks);
        for (offset, block) in blocks.iter().enumerate() {
            let found = u64::from_le_bytes(block.as_chunks().0[0]).trailing_zeros();
            if found >= zeros {
                return Some(Hit { at: at + offset, zeros: found });
            }
        }
        at += blocks.len();
    }
    None
}

/// Two polynomials over GF(2), of degree below 64, side by side: a digest or a table entry.
#[derive(Clone, Copy, Zeroize)]
#[repr(align(16))]
pub(crate) struct Lanes(pub(crate) [u64; 2]);

impl Lanes {
    /// The product with x modulo x^64 + x^4 + x^3 + x + 1.
    fn times_x(self) -> Lanes {
        Lanes(self.0.map(|lane| (lane << 1) ^ (0u64.wrapping_sub(lane >> 63) & 0b1_1011)))
    }

    /// The product with x^64, which is x^4 + x^3 + x + 1.
    fn times_x64(self) -> Lanes {
        let x = self.times_x();
        let x3 = x.times_x().times_x();
        self.plus(x).plus(x3).plus(x3.times_x())
    }

    fn plus(self, other: Lanes) -> Lanes {
        Lanes([self.0[0] ^ other.0[0], self.0[1] ^ other.0[1]])
    }
}

/// What a byte contributes on entering the window, and what remains to be taken away when it leaves: side by side, so
/// that one load brings both.
#[derive(Clone, Copy, Zeroize)]
#[repr(C, align(32))]
pub(crate) struct Contribution {
    pub(crate) entering: Lanes,
    pub(crate) leaving: Lanes,
}

/// The contribution of each byte.
#[derive(Zeroize)]
#[zeroize(drop)]
pub(crate) struct Tables(pub(crate) [Contribution; 256]);

impl Tables {
    fn derive(key: &[u8; 32]) -> Box<Tables> {
        let nothing = Contribution { entering: Lanes([0; 2]), leaving: Lanes([0; 2]) };
        let mut tables = Box::new(Tables([nothing; 256]));
        let bytes = keys::expand::<4096>(key, b"uhf");
        for (lane, words) in bytes.as_chunks::<2048>().0.iter().enumerate() {
            for (byte, word) in tables.0.iter_mut().zip(words.as_chunks().0) {
                byte.entering.0[lane] = u64::from_le_bytes(*word);
            }
        }
        for byte in &mut tables.0 {
            byte.leaving = byte.entering.times_x64();
        }
        tables
    }

    /// What is added to a digest multiplied by x when `entering` follows the window and `leaving` falls out of it.
    fn change(&self, entering: u8, leaving: u8) -> Lanes {
        self.0[usize::from(entering)].entering.plus(self.0[usize::from(leaving)].leaving)
    }

    /// The digest of a whole window of 64 bytes.
    pub(crate) fn digest(&self, window: &[u8]) -> Lanes {
        window.iter().fold(Lanes([0; 2]), |digest, byte| digest.times_x().plus(self.0[usize::from(*byte)].entering))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(phte128: &Phte128, data: &[u8], range: Range<usize>, zeros: u32, rising: bool) -> Vec<(usize, u32)> {
        let mut hits = Vec::new();
        phte128.search(data, range, zeros, &mut |hit| {
            hits.push((hit.at, hit.zeros));
            Some(if rising { hit.zeros + 1 } else { zeros })
        });
        hits
    }

    /// With few zeros asked for, some position just past the range would do: no search may name it.
    #[test]
    fn every_search_finds_the_same_in_any_range() {
        let mut data = [0; 12_000];
        blake3::Hasher::new().update(b"ranges").finalize_xof().fill(&mut data);
        let sizes = Sizes::new(256, 4 << 10, 8 << 10).unwrap();
        let ways: Vec<_> = Phte128::each_way(sizes, &[6; 32]).collect();
        let ((_, portable), fast) = ways.split_last().unwrap();
        let lengths = (0..40).chain([255, 256, 257, 511, 512, 513, 575, 576, 577, 4095, 4096, 4097, 9001]);
        for (start, length) in lengths.flat_map(|length| (64..100).map(move |start| (start, length))) {
            let range = start..start + length;
            for (zeros, rising) in [(0, false), (0, true), (1, true), (3, false), (6, false), (6, true), (9, false)] {
                let expected = hits(portable, &data, range.clone(), zeros, rising);
                assert!(expected.iter().all(|(at, found)| range.contains(at) && *found >= zeros));
                for (name, way) in fast {
                    assert_eq!(hits(way, &data, range.clone(), zeros, rising), expected, "{name}, {range:?}, {zeros}");
                }
            }
        }
    }
}
