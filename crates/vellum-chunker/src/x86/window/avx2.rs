//! 32 positions to a register, with AVX2 alone: a map is the sum of what it makes of the two halves of a byte.

use std::arch::x86_64::*;

pub(super) use super::registers256::*;

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

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn map([low, high]: Map, bytes: __m256i) -> __m256i {
    let half = splat(0x0f);
    let of_low = _mm256_shuffle_epi8(low, _mm256_and_si256(bytes, half));
    let of_high = _mm256_shuffle_epi8(high, _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), half));
    _mm256_xor_si256(of_low, of_high)
}
