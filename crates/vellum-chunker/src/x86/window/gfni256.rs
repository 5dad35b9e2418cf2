//! 32 positions to a register, with AVX2 and GFNI.

use std::arch::x86_64::*;

pub(super) use super::registers256::*;

/// A map, once for each eight bytes.
pub(super) type Map = __m256i;

#[target_feature(enable = "avx2")]
pub(super) fn prepare(map: &crate::window::Map) -> Map {
    _mm256_set1_epi64x(map.matrix())
}

#[inline]
#[target_feature(enable = "avx2,gfni")]
pub(super) fn map(map: Map, bytes: __m256i) -> __m256i {
    _mm256_gf2p8affine_epi64_epi8::<0>(bytes, map)
}
