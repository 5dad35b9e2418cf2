//! With AVX2: four registers of two stretches.

use std::arch::x86_64::*;

use super::{Found, LANES, Operations, Rows, drive, load_both, note};
use crate::phte128::Tables;

/// The digests of all stretches, or what becomes of them.
type Registers = [__m256i; LANES / 2];

/// Finds the positions with at least `zeros` among `LANES · steps`; `bytes` begins with the window of the first.
#[target_feature(enable = "avx2,vaes,aes,sse4.2")]
pub(super) fn block(
    round_keys: &[__m256i; 11],
    tables: &Tables,
    bytes: &[u8],
    steps: usize,
    zeros: u32,
    found: &mut Found,
) {
    let mask = _mm256_set1_epi64x((1 << zeros) - 1);
    let nothing = [_mm256_setzero_si256(); LANES / 2];
    let look = |digests: Registers, step: usize| {
        let values = encrypt(round_keys, digests);
        if may_hit(&values, mask) {
            note(&first_words(&values), steps, step, zeros, found);
        }
    };
    let turn = |digests: Registers, entering: Registers, left: Registers| {
        roll(digests, std::array::from_fn(|two| _mm256_xor_si256(entering[two], left[two])))
    };
    let contribute = |rows: &Rows, step: usize, leaving: &mut Registers| contributions(tables, rows, step, leaving);
    drive(nothing, bytes, steps, Operations { contribute, turn, look });
}

/// Whether any first word has zeros wherever the mask has ones.
#[inline]
#[target_feature(enable = "avx2")]
fn may_hit(values: &Registers, mask: __m256i) -> bool {
    let zero = _mm256_setzero_si256();
    let is_zero = values.map(|values| _mm256_cmpeq_epi64(_mm256_and_si256(values, mask), zero));
    let any = _mm256_or_si256(_mm256_or_si256(is_zero[0], is_zero[1]), _mm256_or_si256(is_zero[2], is_zero[3]));
    // The first word of each half.
    _mm256_movemask_pd(_mm256_castsi256_pd(any)) & 0b0101 != 0
}

/// What the next byte of each stretch adds to its digest; `leaving` becomes what it takes away later.
#[inline]
#[target_feature(enable = "avx2")]
fn contributions(tables: &Tables, rows: &Rows, step: usize, leaving: &mut Registers) -> Registers {
    let both = std::array::from_fn::<_, LANES, _>(|lane| load_both(&tables.0[rows.at(lane, step)]));
    *leaving = std::array::from_fn(|two| _mm256_permute2x128_si256::<0x31>(both[2 * two], both[2 * two + 1]));
    std::array::from_fn(|two| _mm256_permute2x128_si256::<0x20>(both[2 * two], both[2 * two + 1]))
}

/// Moves all windows on by one byte: the product with x, as [`crate::phte128::Lanes::times_x`], and the change.
#[inline]
#[target_feature(enable = "avx2")]
fn roll(digests: Registers, changes: Registers) -> Registers {
    std::array::from_fn(|two| {
        let overflow = _mm256_cmpgt_epi64(_mm256_setzero_si256(), digests[two]);
        let doubled = _mm256_xor_si256(_mm256_add_epi64(digests[two], digests[two]), changes[two]);
        _mm256_xor_si256(doubled, _mm256_and_si256(overflow, _mm256_set1_epi64x(0b1_1011)))
    })
}

#[inline]
#[target_feature(enable = "avx2,vaes")]
fn encrypt(round_keys: &[__m256i; 11], digests: Registers) -> Registers {
    let mut values = digests.map(|two| _mm256_xor_si256(two, round_keys[0]));
    for round_key in &round_keys[1..10] {
        values = values.map(|two| _mm256_aesenc_epi128(two, *round_key));
    }
    values.map(|two| _mm256_aesenclast_epi128(two, round_keys[10]))
}

/// The first eight bytes of each value.
#[target_feature(enable = "avx2,sse4.2")]
fn first_words(values: &Registers) -> [u64; LANES] {
    let halves = values.map(|values| [_mm256_castsi256_si128(values), _mm256_extracti128_si256::<1>(values)]);
    std::array::from_fn(|lane| _mm_cvtsi128_si64(halves[lane / 2][lane % 2]).cast_unsigned())
}

#[target_feature(enable = "avx2")]
pub(super) fn broadcast(round_keys: &[__m128i; 11]) -> [__m256i; 11] {
    round_keys.map(|key| _mm256_broadcastsi128_si256(key))
}
