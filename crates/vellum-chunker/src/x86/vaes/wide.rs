//! With AVX-512: two registers of four stretches.

use std::arch::x86_64::*;

use super::{Found, LANES, Operations, Rows, drive, load_both, note};
use crate::phte128::Tables;

/// The digests of all stretches, or what becomes of them.
type Registers = [__m512i; 2];

/// Finds the positions with at least `zeros` among `LANES · steps`; `bytes` begins with the window of the first.
#[target_feature(enable = "avx512f,vaes,aes,sse4.2")]
pub(super) fn block(
    round_keys: &[__m512i; 11],
    tables: &Tables,
    bytes: &[u8],
    steps: usize,
    zeros: u32,
    found: &mut Found,
) {
    let mask = _mm512_set1_epi32((1 << zeros) - 1);
    let nothing = [_mm512_setzero_si512(); 2];
    let look = |digests: Registers, step: usize| {
        let values = encrypt(round_keys, digests);
        // The lowest 32 bits of each value.
        let lowest = 0b0001_0001_0001_0001;
        let hits = _mm512_mask_testn_epi32_mask(lowest, values[0], mask)
            | _mm512_mask_testn_epi32_mask(lowest, values[1], mask);
        if hits != 0 {
            note(&first_words(&values), steps, step, zeros, found);
        }
    };
    let turn = |digests: Registers, entering: Registers, left: Registers| {
        let changes = [_mm512_xor_si512(entering[0], left[0]), _mm512_xor_si512(entering[1], left[1])];
        [roll(digests[0], changes[0]), roll(digests[1], changes[1])]
    };
    let contribute = |rows: &Rows, step: usize, leaving: &mut Registers| contributions(tables, rows, step, leaving);
    drive(nothing, bytes, steps, Operations { contribute, turn, look });
}

/// What the next byte of each stretch adds to its digest; `leaving` becomes what it takes away later.
#[inline]
#[target_feature(enable = "avx512f")]
fn contributions(tables: &Tables, rows: &Rows, step: usize, leaving: &mut Registers) -> Registers {
    let pair = |lane: usize| {
        let both = [lane, lane + 1].map(|lane| load_both(&tables.0[rows.at(lane, step)]));
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(both[0]), both[1])
    };
    let (low, high) = ([pair(0), pair(2)], [pair(4), pair(6)]);
    *leaving = [low, high].map(|[one, two]| _mm512_shuffle_i64x2::<0b1101_1101>(one, two));
    [low, high].map(|[one, two]| _mm512_shuffle_i64x2::<0b1000_1000>(one, two))
}

/// Moves four windows on by one byte: the product with x, as [`crate::phte128::Lanes::times_x`], and the change.
#[inline]
#[target_feature(enable = "avx512f")]
fn roll(digests: __m512i, changes: __m512i) -> __m512i {
    /// `a XOR (b AND c)`, as a table of three bits.
    const XOR_AND: i32 = 0b0111_1000;
    let overflow = _mm512_srai_epi64::<63>(digests);
    let doubled = _mm512_xor_si512(_mm512_add_epi64(digests, digests), changes);
    _mm512_ternarylogic_epi64::<XOR_AND>(doubled, overflow, _mm512_set1_epi64(0b1_1011))
}

#[inline]
#[target_feature(enable = "avx512f,vaes")]
fn encrypt(round_keys: &[__m512i; 11], [low, high]: Registers) -> Registers {
    let mut low = _mm512_xor_si512(low, round_keys[0]);
    let mut high = _mm512_xor_si512(high, round_keys[0]);
    for round_key in &round_keys[1..10] {
        low = _mm512_aesenc_epi128(low, *round_key);
        high = _mm512_aesenc_epi128(high, *round_key);
    }
    [_mm512_aesenclast_epi128(low, round_keys[10]), _mm512_aesenclast_epi128(high, round_keys[10])]
}

/// The first eight bytes of each value.
#[target_feature(enable = "avx512f,sse4.2")]
fn first_words(values: &Registers) -> [u64; LANES] {
    let quarters = values.map(|values| {
        [
            _mm512_extracti32x4_epi32::<0>(values),
            _mm512_extracti32x4_epi32::<1>(values),
            _mm512_extracti32x4_epi32::<2>(values),
            _mm512_extracti32x4_epi32::<3>(values),
        ]
    });
    std::array::from_fn(|lane| _mm_cvtsi128_si64(quarters[lane / 4][lane % 4]).cast_unsigned())
}

#[target_feature(enable = "avx512f")]
pub(super) fn broadcast(round_keys: &[__m128i; 11]) -> [__m512i; 11] {
    round_keys.map(|key| _mm512_broadcast_i32x4(key))
}
