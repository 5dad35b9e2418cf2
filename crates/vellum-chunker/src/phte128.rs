//! `phte128`: a universal hash of the last 64 bytes, then a pseudorandom function, at every position.
//!
//! Here stand the definition, the choice of the cut among the values found, and the portable search for them.
//! A faster search belongs in a module below and is held to the same cut points by `tests/it/phte128.rs`.

#[cfg(target_arch = "x86_64")]
mod aesni;

use std::ops::Range;

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use aes::{Aes128Enc, Block};
use zeroize::Zeroize;

use crate::Sizes;
use crate::keys;

const WINDOW: usize = 64;

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
    AesNi(aesni::AesNi),
}

/// A position whose value has `zeros` trailing zero bits.
struct Hit {
    at: usize,
    zeros: u32,
}

impl Phte128 {
    pub(crate) fn new(sizes: Sizes, key: &[u8; 32]) -> Phte128 {
        #[cfg(target_arch = "x86_64")]
        if let Some(aesni) = aesni::AesNi::detect(&keys::expand::<16>(key, b"aes")) {
            return Phte128 { sizes, tables: Tables::derive(key), search: Search::AesNi(aesni) };
        }
        Phte128::portable(sizes, key)
    }

    pub(crate) fn portable(sizes: Sizes, key: &[u8; 32]) -> Phte128 {
        let aes_key = keys::expand::<16>(key, b"aes");
        let search = Search::Portable(Aes128Enc::new((&*aes_key).into()));
        Phte128 { sizes, tables: Tables::derive(key), search }
    }

    pub(crate) fn cut(&self, data: &[u8]) -> usize {
        let [min, avg, max] = [self.sizes.min(), self.sizes.avg(), self.sizes.max()].map(|size| size as usize);
        let end = data.len().min(max);
        let bits = self.sizes.avg().ilog2();
        if end <= min {
            return end;
        }
        if let Some(hit) = self.find(data, min..end.min(avg), bits + 2) {
            return hit.at;
        }
        let mut best = max;
        let mut from = avg;
        // Only a position better than the best so far is looked for, so that even hostile data restarts the search no
        // more than four times.
        let mut zeros = bits - 6;
        while let Some(hit) = self.find(data, from..end, zeros) {
            if hit.zeros >= bits - 2 {
                return hit.at;
            }
            best = hit.at;
            from = hit.at + 1;
            zeros = hit.zeros + 1;
        }
        if data.len() < max { data.len() } else { best }
    }

    /// The first of `positions` whose value has at least `zeros` trailing zero bits.
    fn find(&self, data: &[u8], positions: Range<usize>, zeros: u32) -> Option<Hit> {
        if positions.is_empty() {
            return None;
        }
        match &self.search {
            Search::Portable(cipher) => find_portable(cipher, &self.tables, data, positions, zeros),
            #[cfg(target_arch = "x86_64")]
            Search::AesNi(aesni) => aesni.find(&self.tables, data, positions, zeros),
        }
    }
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
struct Lanes([u64; 2]);

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

/// What a byte contributes on entering the window, and what remains to be taken away when it leaves.
#[derive(Zeroize)]
#[zeroize(drop)]
struct Tables {
    entering: [Lanes; 256],
    leaving: [Lanes; 256],
}

impl Tables {
    fn derive(key: &[u8; 32]) -> Box<Tables> {
        let mut tables = Box::new(Tables { entering: [Lanes([0; 2]); 256], leaving: [Lanes([0; 2]); 256] });
        let Tables { entering, leaving } = &mut *tables;
        let bytes = keys::expand::<4096>(key, b"uhf");
        for (lane, words) in bytes.as_chunks::<2048>().0.iter().enumerate() {
            for (entry, word) in entering.iter_mut().zip(words.as_chunks().0) {
                entry.0[lane] = u64::from_le_bytes(*word);
            }
        }
        for (leaving, entering) in leaving.iter_mut().zip(entering) {
            *leaving = entering.times_x64();
        }
        tables
    }

    /// What is added to a digest multiplied by x when `entering` follows the window and `leaving` falls out of it.
    fn change(&self, entering: u8, leaving: u8) -> Lanes {
        self.entering[usize::from(entering)].plus(self.leaving[usize::from(leaving)])
    }

    /// The digest of a whole window of 64 bytes.
    fn digest(&self, window: &[u8]) -> Lanes {
        window.iter().fold(Lanes([0; 2]), |digest, byte| digest.times_x().plus(self.entering[usize::from(*byte)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With few zeros asked for, some position just past the range would do: neither search may name it.
    #[test]
    fn both_searches_find_the_same_in_any_range() {
        let mut data = [0; 1000];
        blake3::Hasher::new().update(b"ranges").finalize_xof().fill(&mut data);
        let sizes = Sizes::new(256, 4 << 10, 8 << 10).unwrap();
        let [fast, portable] = [Phte128::new, Phte128::portable].map(|make| make(sizes, &[6; 32]));
        for zeros in 0..10 {
            for (start, length) in
                (64..100).flat_map(|start| (0..40).chain([255, 256, 257]).map(move |length| (start, length)))
            {
                let range = start..start + length;
                let find = |phte128: &Phte128| phte128.find(&data, range.clone(), zeros).map(|hit| (hit.at, hit.zeros));
                let found = find(&fast);
                assert_eq!(found, find(&portable));
                assert!(found.is_none_or(|(at, found)| range.contains(&at) && found >= zeros));
            }
        }
    }
}
