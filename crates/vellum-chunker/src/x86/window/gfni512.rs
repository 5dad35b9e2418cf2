//! 64 positions to a register, with AVX-512 and GFNI.

use std::arch::x86_64::*;

use crate::window::WANTED;

pub(super) const LEN: usize = 64;

pub(super) type Register = __m512i;

/// A map, once for each eight bytes.
pub(super) type Map = __m512i;

#[target_feature(enable = "avx512f")]
pub(super) fn prepare(map: &crate::window::Map) -> Map {
    _mm512_set1_epi64(map.matrix())
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn splat(byte: i8) -> __m512i {
    _mm512_set1_epi8(byte)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn load(bytes: &[u8], at: usize) -> __m512i {
    let bytes: &[u8; LEN] = bytes[at..].first_chunk().expect("a register's length and three bytes");
    // SAFETY: reads the 64 bytes of the array, of any alignment.
    unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
}

#[inline]
#[target_feature(enable = "avx512f,gfni")]
pub(super) fn map(map: Map, bytes: __m512i) -> __m512i {
    _mm512_gf2p8affine_epi64_epi8::<0>(bytes, map)
}

#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn xor(left: __m512i, right: __m512i) -> __m512i {
    _mm512_xor_si512(left, right)
}

/// What the register was 4, 8, 16 or 32 positions earlier; `previous` is the register before.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn before<const POSITIONS: usize>(register: __m512i, previous: __m512i) -> __m512i {
    match POSITIONS {
        4 => _mm512_alignr_epi32::<15>(register, previous),
        8 => _mm512_alignr_epi32::<14>(register, previous),
        16 => _mm512_alignr_epi32::<12>(register, previous),
        32 => _mm512_alignr_epi32::<8>(register, previous),
        _ => unreachable!("no digest takes one so far before"),
    }
}

/// One bit for each position that is a candidate.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn candidates(digest: __m512i, older: __m512i, older_mask: __m512i) -> u64 {
    let wanted = _mm512_cmpeq_epi8_mask(digest, splat(WANTED.cast_signed()));
    _mm512_mask_testn_epi8_mask(wanted, older, older_mask)
}
