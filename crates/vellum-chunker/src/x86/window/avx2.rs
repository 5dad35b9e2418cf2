//! 32 positions to a register, with AVX2 alone: a map is the sum of what it makes of the two halves of a byte.
//!
//! That takes so long that digests would wait for each other, and the keys are more than the registers hold. So each
//! length of digest is made for a whole block, of those of the length before, which lie in memory.

use std::arch::x86_64::*;
use std::ops::Range;

use super::registers256::*;
use super::{BEFORE, PREFETCH_BYTES, WINDOW, prefetch};

/// Positions whose digests are made at a time.
const BLOCK: usize = 2 << 10;

/// Zeros before the digests of a block, so that those of its first bytes have something before them.
const PADDING: usize = LEN;

/// The digests of a block and of the window before it.
#[repr(align(32))]
struct Digests([u8; PADDING + WINDOW + BLOCK]);

/// What each lower and each upper half of a byte becomes.
pub(super) type Map = [__m256i; 2];

#[target_feature(enable = "avx2")]
pub(super) fn prepare(map: &crate::window::Map) -> Map {
    [0, 4].map(|shift| {
        let halves = [0, 1, 2, 3, 4, 5, 6, 7].map(|half| [map.apply(half << shift), map.apply((8 + half) << shift)]);
        let [low, high] = [0, 1].map(|side| i64::from_le_bytes(halves.map(|half| half[side])));
        _mm256_set_epi64x(high, low, high, low)
    })
}

/// Shows `candidate` each candidate among the positions, until it says that it has seen enough.
#[target_feature(enable = "avx2")]
pub(super) fn scan(
    maps: &[Map; 7],
    data: &[u8],
    positions: Range<usize>,
    older_bits: i8,
    candidate: &mut dyn FnMut(usize) -> bool,
) {
    let mut digests = Digests([0; PADDING + WINDOW + BLOCK]);
    let mut last = [0; BEFORE + BLOCK];
    let mut at = positions.start;
    while at < positions.end {
        let bytes = match data[at - BEFORE..positions.end].first_chunk() {
            Some(bytes) => bytes,
            None => {
                // What fills no block is searched in a copy that does.
                last[..BEFORE + positions.end - at].copy_from_slice(&data[at - BEFORE..positions.end]);
                &last
            }
        };
        digest(maps, bytes, &mut digests);
        for first in (0..BLOCK.min(positions.end - at)).step_by(LEN) {
            // The digest at a position is that of the byte before it.
            let newest = PADDING + WINDOW + first - 1;
            let older = load(&digests.0, newest - 32);
            let mut found = candidates(load(&digests.0, newest), older, splat(older_bits));
            while found != 0 {
                let position = at + first + found.trailing_zeros() as usize;
                if position >= positions.end || !candidate(position) {
                    return;
                }
                found &= found - 1;
            }
        }
        at += BLOCK;
    }
}

/// The digests of the 32 bytes up to each byte, which lies four bytes behind the same place of `bytes`.
#[target_feature(enable = "avx2")]
fn digest(maps: &[Map; 7], bytes: &[u8; BEFORE + BLOCK], Digests(digests): &mut Digests) {
    let [newest, second, third, fourth, by_four, by_eight, by_sixteen] = *maps;
    for at in (0..WINDOW + BLOCK).step_by(LEN) {
        prefetch(&bytes[at..], PREFETCH_BYTES);
        let old = xor(map(third, load(bytes, at + 2)), map(fourth, load(bytes, at + 1)));
        let new = xor(map(newest, load(bytes, at + 4)), map(second, load(bytes, at + 3)));
        store(digests, PADDING + at, xor(new, old));
    }
    for (distance, by) in [(4, by_four), (8, by_eight), (16, by_sixteen)] {
        // From the end, because each needs what an earlier one was.
        for at in (PADDING..PADDING + WINDOW + BLOCK).step_by(LEN).rev() {
            let earlier = load(digests, at - distance);
            let longer = xor(load(digests, at), map(by, earlier));
            store(digests, at, longer);
        }
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn map([low, high]: Map, bytes: __m256i) -> __m256i {
    let half = splat(0x0f);
    let of_low = _mm256_shuffle_epi8(low, _mm256_and_si256(bytes, half));
    let of_high = _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), half));
    xor(of_low, of_high)
}

#[inline]
#[target_feature(enable = "avx2")]
fn store(bytes: &mut [u8], at: usize, register: __m256i) {
    let bytes: &mut [u8; LEN] = bytes[at..].first_chunk_mut().expect("a register's length");
    // SAFETY: writes the 32 bytes of the array, of any alignment.
    unsafe { _mm256_storeu_si256(bytes.as_mut_ptr().cast(), register) }
}
