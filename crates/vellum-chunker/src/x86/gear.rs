//! The search of `gear` in eight lanes, with AVX-512 and VBMI.
//!
//! VBMI looks 64 bytes up in a table of 256 bytes in two instructions and a choice. Six such tables have the lowest 48
//! bits of the entries, which are all that a mask looks at.

use std::arch::x86_64::*;

use zeroize::Zeroize;

use super::prefetch;
use crate::gear::{COLUMN, Table};

pub(crate) const LANES: usize = 8;

/// How far ahead of a lane memory is asked for.
const PREFETCH_BYTES: usize = 512;

/// Tables of the lowest byte of each entry, of the second, and so on, and the proof that this processor has the
/// instructions.
#[derive(Zeroize)]
#[zeroize(drop)]
pub(crate) struct Vbmi {
    planes: [[[u8; 64]; 4]; 6],
}

impl Vbmi {
    pub(crate) fn detect(table: &Table) -> Option<Vbmi> {
        let features = [
            is_x86_feature_detected!("avx512f"),
            is_x86_feature_detected!("avx512bw"),
            is_x86_feature_detected!("avx512dq"),
            is_x86_feature_detected!("avx512vbmi"),
        ];
        let byte = |plane: usize, index: usize| table.0[index].to_le_bytes()[plane];
        features.iter().all(|detected| *detected).then(|| Vbmi {
            planes: std::array::from_fn(|plane| {
                std::array::from_fn(|quarter| std::array::from_fn(|index| byte(plane, 64 * quarter + index)))
            }),
        })
    }

    /// For each lane of this length, a multiple of [`COLUMN`], from `at` on, the number of the first column that has a
    /// position whose hash has no bit of the mask. A column of bytes stands before `at`. Lanes behind one that found
    /// may not be searched to their ends.
    pub(crate) fn columns(&self, bytes: &[u8], at: usize, length: usize, mask: u64) -> [Option<usize>; LANES] {
        // SAFETY: `detect` found the features that `columns` is compiled for.
        unsafe { columns(&self.planes, bytes, at, length, mask) }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vbmi")]
fn columns(planes: &[[[u8; 64]; 4]; 6], bytes: &[u8], at: usize, length: usize, mask: u64) -> [Option<usize>; LANES] {
    let mut tables = [[_mm512_setzero_si512(); 4]; 6];
    for (registers, plane) in tables.iter_mut().zip(planes) {
        for (register, quarter) in registers.iter_mut().zip(plane) {
            *register = load(quarter);
        }
    }
    let lanes: [_; LANES] = std::array::from_fn(|lane| {
        let start = at + lane * length;
        bytes[start - COLUMN..start + length].as_chunks::<COLUMN>().0
    });
    let mask = _mm512_set1_epi64(mask.cast_signed());
    let mut hashes = _mm512_setzero_si512();
    let mut first = [None; LANES];
    for column in 0..=length / COLUMN {
        let mut found = 0;
        let mut rows = [_mm512_setzero_si512(); LANES];
        for (row, lane) in rows.iter_mut().zip(lanes) {
            prefetch(&lane[column], PREFETCH_BYTES);
            // The lanes that follow begin there, too short for the processor to see them coming.
            prefetch(&lane[column], LANES * length);
            *row = load(&lane[column]);
        }
        for eight in transposed(rows) {
            for two in words(&tables, eight) {
                let [next, hash] = advance(hashes, two);
                found = _kor_mask8(found, _mm512_testn_epi64_mask(next, mask));
                found = _kor_mask8(found, _mm512_testn_epi64_mask(hash, mask));
                hashes = hash;
            }
        }
        // The first column is the one before the lane, after which the hash is complete.
        if column > 0 && found != 0 {
            for (lane, first) in first.iter_mut().enumerate() {
                if found >> lane & 1 == 1 {
                    *first = first.or(Some(column - 1));
                }
            }
            if found & 1 == 1 {
                break;
            }
        }
    }
    first
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(bytes: &[u8; 64]) -> __m512i {
    // SAFETY: reads the 64 bytes of the array, of any alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

/// From 64 bytes of each lane, eight bytes of all lanes at a time: the 16 bytes of a pair of lanes side by side, byte
/// by byte in turn.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn transposed([a, b, c, d, e, f, g, h]: [__m512i; LANES]) -> [__m512i; 8] {
    let [first, third, fifth, seventh] = blocks_transposed([
        _mm512_unpacklo_epi8(a, b),
        _mm512_unpacklo_epi8(c, d),
        _mm512_unpacklo_epi8(e, f),
        _mm512_unpacklo_epi8(g, h),
    ]);
    let [second, fourth, sixth, eighth] = blocks_transposed([
        _mm512_unpackhi_epi8(a, b),
        _mm512_unpackhi_epi8(c, d),
        _mm512_unpackhi_epi8(e, f),
        _mm512_unpackhi_epi8(g, h),
    ]);
    [first, second, third, fourth, fifth, sixth, seventh, eighth]
}

/// Four rows of four blocks of 16 bytes become columns.
#[inline]
#[target_feature(enable = "avx512f")]
fn blocks_transposed([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let [front_even, back_even] = [_mm512_shuffle_i64x2::<0x88>(a, b), _mm512_shuffle_i64x2::<0x88>(c, d)];
    let [front_odd, back_odd] = [_mm512_shuffle_i64x2::<0xdd>(a, b), _mm512_shuffle_i64x2::<0xdd>(c, d)];
    [
        _mm512_shuffle_i64x2::<0x88>(front_even, back_even),
        _mm512_shuffle_i64x2::<0x88>(front_odd, back_odd),
        _mm512_shuffle_i64x2::<0xdd>(front_even, back_even),
        _mm512_shuffle_i64x2::<0xdd>(front_odd, back_odd),
    ]
}

/// The lowest 48 bits of the entries of eight bytes of all lanes, for two bytes at a time.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn words(tables: &[[__m512i; 4]; 6], bytes: __m512i) -> [[__m512i; 2]; 4] {
    let [p0, p1] = [look_up(tables[0], bytes), look_up(tables[1], bytes)];
    let [p2, p3] = [look_up(tables[2], bytes), look_up(tables[3], bytes)];
    let [p4, p5] = [look_up(tables[4], bytes), look_up(tables[5], bytes)];
    let [first, second] =
        joined(_mm512_unpacklo_epi8(p0, p1), _mm512_unpacklo_epi8(p2, p3), _mm512_unpacklo_epi8(p4, p5));
    let [third, fourth] =
        joined(_mm512_unpackhi_epi8(p0, p1), _mm512_unpackhi_epi8(p2, p3), _mm512_unpackhi_epi8(p4, p5));
    [first, second, third, fourth]
}

/// What a table of 256 bytes has for each byte.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn look_up([first, second, third, fourth]: [__m512i; 4], bytes: __m512i) -> __m512i {
    let lower = _mm512_permutex2var_epi8(first, bytes, second);
    let upper = _mm512_permutex2var_epi8(third, bytes, fourth);
    _mm512_mask_blend_epi8(_mm512_movepi8_mask(bytes), lower, upper)
}

/// Words of 48 bits from three parts of 16 bits.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn joined(low: __m512i, middle: __m512i, high: __m512i) -> [[__m512i; 2]; 2] {
    let zero = _mm512_setzero_si512();
    let [front, front_high] = [_mm512_unpacklo_epi16(low, middle), _mm512_unpacklo_epi16(high, zero)];
    let [back, back_high] = [_mm512_unpackhi_epi16(low, middle), _mm512_unpackhi_epi16(high, zero)];
    [
        [_mm512_unpacklo_epi32(front, front_high), _mm512_unpackhi_epi32(front, front_high)],
        [_mm512_unpacklo_epi32(back, back_high), _mm512_unpackhi_epi32(back, back_high)],
    ]
}

/// The hashes after the next byte and after the one that follows it, which does not wait for the first.
#[inline]
#[target_feature(enable = "avx512f")]
fn advance(hashes: __m512i, [first, second]: [__m512i; 2]) -> [__m512i; 2] {
    let both = _mm512_add_epi64(_mm512_add_epi64(first, first), second);
    [_mm512_add_epi64(_mm512_add_epi64(hashes, hashes), first), _mm512_add_epi64(_mm512_slli_epi64::<2>(hashes), both)]
}
