//! What AVX2 does with 32 positions to a register, with GFNI or without.

use std::arch::x86_64::*;

use crate::window::WANTED;

pub(super) const LEN: usize = 32;

pub(super) type Register = __m256i;

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn splat(byte: i8) -> __m256i {
    _mm256_set1_epi8(byte)
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn load(bytes: &[u8], at: usize) -> __m256i {
    let bytes: &[u8; LEN] = bytes[at..].first_chunk().expect("a register's length and three bytes");
    // SAFETY: reads the 32 bytes of the array, of any alignment.
    unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn xor(left: __m256i, right: __m256i) -> __m256i {
    _mm256_xor_si256(left, right)
}

/// What the register was 4, 8, 16 or 32 positions earlier; `previous` is the register before.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn before<const POSITIONS: usize>(register: __m256i, previous: __m256i) -> __m256i {
    let middle = _mm256_permute2x128_si256::<0x21>(previous, register);
    match POSITIONS {
        4 => _mm256_alignr_epi8::<12>(register, middle),
        8 => _mm256_alignr_epi8::<8>(register, middle),
        16 => middle,
        32 => previous,
        _ => unreachable!("no digest takes one so far before"),
    }
}

/// One bit for each position that is a candidate.
#[inline]
#[target_feature(enable = "avx2")]
pub(super) fn candidates(digest: __m256i, older: __m256i, older_mask: __m256i) -> u64 {
    let newer = _mm256_cmpeq_epi8(digest, splat(WANTED.cast_signed()));
    let older = _mm256_cmpeq_epi8(_mm256_and_si256(older, older_mask), splat(0));
    u64::from(_mm256_movemask_epi8(_mm256_and_si256(newer, older)).cast_unsigned())
}
