//! The search of `phte128` with the AES and SSE instructions of x86-64, eight positions in flight.

use std::arch::x86_64::*;
use std::ops::Range;

use zeroize::Zeroize;

use crate::phte128::{Lanes, Tables};
use crate::search::{Hit, Sink, WINDOW, each};

/// Positions encrypted together: enough to hide the latency of a round.
const BATCH: usize = 8;

/// The round keys, and the proof that this processor has the instructions to use them.
#[derive(Clone, Zeroize)]
#[zeroize(drop)]
pub(crate) struct AesNi {
    pub(super) round_keys: [__m128i; 11],
}

impl AesNi {
    /// The search under AES key `key`, if this processor can run it.
    pub(crate) fn detect(key: &[u8; 16]) -> Option<AesNi> {
        if !is_x86_feature_detected!("aes") || !is_x86_feature_detected!("sse4.2") {
            return None;
        }
        // SAFETY: the features that `expand` is compiled for were detected just now.
        Some(AesNi { round_keys: unsafe { expand(key) } })
    }

    /// The first eight bytes of a block when it is encrypted.
    pub(super) fn encrypt(&self, block: __m128i) -> u64 {
        // SAFETY: as in `search`.
        unsafe { encrypt_one(&self.round_keys, block) }
    }

    /// Finds what the portable search finds.
    pub(crate) fn search(
        &self,
        tables: &Tables,
        data: &[u8],
        positions: Range<usize>,
        zeros: u32,
        sink: &mut Sink<'_>,
    ) {
        each(positions, zeros, sink, |positions, zeros| {
            // SAFETY: an `AesNi` is made only by `detect`, after it found the features that `find` is compiled for.
            unsafe { find(&self.round_keys, tables, data, positions, zeros) }
        });
    }
}

#[target_feature(enable = "aes,sse4.2")]
fn find(round_keys: &[__m128i; 11], tables: &Tables, data: &[u8], positions: Range<usize>, zeros: u32) -> Option<Hit> {
    let mut digest = load(tables.digest(&data[positions.start - WINDOW..positions.start]));
    let mask = _mm_set1_epi32((1 << zeros) - 1);
    let (leaving, _) = data[positions.start - WINDOW..positions.end - WINDOW].as_chunks::<BATCH>();
    let (entering, rest) = data[positions.clone()].as_chunks::<BATCH>();
    let mut at = positions.start;
    for (entering, leaving) in entering.iter().zip(leaving) {
        let values = encrypt(round_keys, &mut digest, tables, entering, leaving);
        if any_zero(&values, mask)
            && let Some(hit) = first_hit(&values, at, zeros)
        {
            return Some(hit);
        }
        at += BATCH;
    }
    if rest.is_empty() {
        return None;
    }
    let mut padded = [0; WINDOW + BATCH];
    padded[..WINDOW + rest.len()].copy_from_slice(&data[at - WINDOW..positions.end]);
    let hit = find(round_keys, tables, &padded, WINDOW..padded.len(), zeros)?;
    (hit.at < WINDOW + rest.len()).then_some(Hit { at: hit.at - WINDOW + at, ..hit })
}

/// The encrypted digests of eight positions; rolls `digest` past them.
#[inline]
#[target_feature(enable = "aes,sse4.2")]
fn encrypt(
    round_keys: &[__m128i; 11],
    digest: &mut __m128i,
    tables: &Tables,
    entering: &[u8; BATCH],
    leaving: &[u8; BATCH],
) -> [__m128i; BATCH] {
    // Backwards and apart, so that the compiler adds up each change before the digest is known: otherwise the look-ups
    // join the chain from digest to digest, which sets the speed.
    let mut changes = [_mm_setzero_si128(); BATCH];
    for (change, (entering, leaving)) in changes.iter_mut().zip(entering.iter().zip(leaving)).rev() {
        let entry = load(tables.0[usize::from(*entering)].entering);
        *change = _mm_xor_si128(entry, load(tables.0[usize::from(*leaving)].leaving));
    }
    let mut blocks = changes;
    for (block, change) in blocks.iter_mut().zip(changes) {
        *block = _mm_xor_si128(*digest, round_keys[0]);
        *digest = _mm_xor_si128(times_x(*digest), change);
    }
    for round_key in &round_keys[1..10] {
        for block in &mut blocks {
            *block = _mm_aesenc_si128(*block, *round_key);
        }
    }
    for block in &mut blocks {
        *block = _mm_aesenclast_si128(*block, round_keys[10]);
    }
    blocks
}

#[inline]
#[target_feature(enable = "aes,sse4.2")]
fn encrypt_one(round_keys: &[__m128i; 11], block: __m128i) -> u64 {
    let block = _mm_xor_si128(block, round_keys[0]);
    let block = round_keys[1..10].iter().fold(block, |block, round_key| _mm_aesenc_si128(block, *round_key));
    _mm_cvtsi128_si64(_mm_aesenclast_si128(block, round_keys[10])).cast_unsigned()
}

/// As [`Lanes::times_x`].
#[inline]
#[target_feature(enable = "sse4.2")]
fn times_x(lanes: __m128i) -> __m128i {
    let overflow = _mm_cmpgt_epi64(_mm_setzero_si128(), lanes);
    _mm_xor_si128(_mm_add_epi64(lanes, lanes), _mm_and_si128(overflow, _mm_set1_epi64x(0b1_1011)))
}

/// Whether some value is zero under `mask`, which is compared with its lowest 32 bits.
#[inline]
#[target_feature(enable = "sse4.2")]
fn any_zero(values: &[__m128i; BATCH], mask: __m128i) -> bool {
    let [a, b, c, d, e, f, g, h] = *values;
    let low = _mm_unpacklo_epi64(_mm_unpacklo_epi32(a, b), _mm_unpacklo_epi32(c, d));
    let high = _mm_unpacklo_epi64(_mm_unpacklo_epi32(e, f), _mm_unpacklo_epi32(g, h));
    let least = _mm_min_epu32(_mm_and_si128(low, mask), _mm_and_si128(high, mask));
    _mm_movemask_epi8(_mm_cmpeq_epi32(least, _mm_setzero_si128())) != 0
}

#[target_feature(enable = "sse4.2")]
fn first_hit(values: &[__m128i], at: usize, zeros: u32) -> Option<Hit> {
    values.iter().enumerate().find_map(|(offset, value)| {
        let found = _mm_cvtsi128_si64(*value).trailing_zeros();
        (found >= zeros).then_some(Hit { at: at + offset, zeros: found })
    })
}

#[inline]
#[target_feature(enable = "sse4.2")]
fn load(lanes: Lanes) -> __m128i {
    _mm_set_epi64x(lanes.0[1].cast_signed(), lanes.0[0].cast_signed())
}

/// The key schedule of AES-128.
#[target_feature(enable = "aes,sse4.2")]
fn expand(key: &[u8; 16]) -> [__m128i; 11] {
    let [low, high] = [0, 8].map(|at| i64::from_le_bytes(std::array::from_fn(|byte| key[at + byte])));
    let mut keys = [_mm_set_epi64x(high, low); 11];
    keys[1] = next_round_key::<0x01>(keys[0]);
    keys[2] = next_round_key::<0x02>(keys[1]);
    keys[3] = next_round_key::<0x04>(keys[2]);
    keys[4] = next_round_key::<0x08>(keys[3]);
    keys[5] = next_round_key::<0x10>(keys[4]);
    keys[6] = next_round_key::<0x20>(keys[5]);
    keys[7] = next_round_key::<0x40>(keys[6]);
    keys[8] = next_round_key::<0x80>(keys[7]);
    keys[9] = next_round_key::<0x1b>(keys[8]);
    keys[10] = next_round_key::<0x36>(keys[9]);
    keys
}

#[target_feature(enable = "aes,sse4.2")]
fn next_round_key<const ROUND_CONSTANT: i32>(key: __m128i) -> __m128i {
    let assist = _mm_shuffle_epi32::<0xff>(_mm_aeskeygenassist_si128::<ROUND_CONSTANT>(key));
    let key = _mm_xor_si128(key, _mm_slli_si128::<4>(key));
    let key = _mm_xor_si128(key, _mm_slli_si128::<8>(key));
    _mm_xor_si128(key, assist)
}
