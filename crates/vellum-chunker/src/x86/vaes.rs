//! The search of `phte128` with AVX-512 and VAES: eight stretches of the data side by side, four to a register.

use std::arch::x86_64::*;
use std::ops::Range;

use zeroize::Zeroize;

use super::AesNi;
use crate::phte128::{Contribution, Tables};
use crate::search::{Hit, Sink, WINDOW};

/// Stretches searched side by side: two registers of four, so that one's rounds hide the latency of the other's.
const LANES: usize = 8;

/// Bytes taken from each stretch at a time.
const GROUP: usize = 8;

/// Positions of each stretch. Longer ones waste more behind a cut, shorter ones more on the first window of each.
const STEPS_MAX: usize = 512;

/// Positions of each stretch below which eight first windows cost more than they save.
const STEPS_MIN: usize = 64;

const BLOCK: usize = LANES * STEPS_MAX;

/// The round keys in each lane, and the proof that this processor has the instructions to use them.
#[derive(Zeroize)]
#[zeroize(drop)]
pub(crate) struct Vaes {
    round_keys: [__m512i; 11],
    /// For what is too short for eight stretches.
    aesni: AesNi,
}

impl Vaes {
    /// The search under AES key `key`, if this processor can run it.
    pub(crate) fn detect(key: &[u8; 16]) -> Option<Vaes> {
        let aesni = AesNi::detect(key)?;
        if !is_x86_feature_detected!("avx512f") || !is_x86_feature_detected!("vaes") {
            return None;
        }
        // SAFETY: the features that `broadcast` is compiled for were detected just now.
        Some(Vaes { round_keys: unsafe { broadcast(&aesni.round_keys) }, aesni })
    }

    /// Finds what the portable search finds.
    pub(crate) fn search(
        &self,
        tables: &Tables,
        data: &[u8],
        positions: Range<usize>,
        mut zeros: u32,
        sink: &mut Sink<'_>,
    ) {
        let mut found = Found { marks: [0; BLOCK / 64], zeros: [0; BLOCK] };
        let mut at = positions.start;
        loop {
            let steps = ((positions.end - at) / LANES / GROUP * GROUP).min(STEPS_MAX);
            if steps < STEPS_MIN {
                break;
            }
            let bytes = &data[at - WINDOW..at + LANES * steps];
            // SAFETY: a `Vaes` is made only by `detect`, after it found the features that `block` is compiled for.
            unsafe { block(&self.round_keys, tables, bytes, steps, zeros, &mut found) };
            while let Some((offset, hit_zeros)) = found.take_first() {
                if hit_zeros >= zeros {
                    match sink(Hit { at: at + offset, zeros: hit_zeros }) {
                        Some(more) => zeros = more,
                        None => return,
                    }
                }
            }
            at += LANES * steps;
        }
        self.aesni.search(tables, data, at..positions.end, zeros, sink);
    }
}

/// What was found in a block, by offset.
struct Found {
    marks: [u64; BLOCK / 64],
    zeros: [u8; BLOCK],
}

impl Found {
    fn insert(&mut self, offset: usize, zeros: u32) {
        self.marks[offset / 64] |= 1 << (offset % 64);
        self.zeros[offset] = u8::try_from(zeros).unwrap_or(u8::MAX);
    }

    fn take_first(&mut self) -> Option<(usize, u32)> {
        let (index, marks) = self.marks.iter_mut().enumerate().find(|(_, marks)| **marks != 0)?;
        let offset = 64 * index + marks.trailing_zeros() as usize;
        *marks &= *marks - 1;
        Some((offset, u32::from(self.zeros[offset])))
    }
}

/// Finds the positions with at least `zeros` among `LANES · steps`; `bytes` begins with the window of the first.
#[target_feature(enable = "avx512f,vaes,aes,sse4.2")]
fn block(round_keys: &[__m512i; 11], tables: &Tables, bytes: &[u8], steps: usize, zeros: u32, found: &mut Found) {
    let mask = _mm512_set1_epi32((1 << zeros) - 1);
    let mut digests = [_mm512_setzero_si512(); 2];
    // What each byte of the windows will take away when it leaves.
    let mut leaving = [digests; WINDOW];
    for from in (0..WINDOW).step_by(GROUP) {
        let rows = Rows::of(bytes, steps, from);
        for step in 0..GROUP {
            let entering = contributions(tables, &rows, step, &mut leaving[from + step]);
            digests = [roll(digests[0], entering[0]), roll(digests[1], entering[1])];
        }
    }
    for from in (0..steps).step_by(GROUP) {
        let rows = Rows::of(bytes, steps, from + WINDOW);
        for step in 0..GROUP {
            let slot = &mut leaving[(from + step) % WINDOW];
            let left = *slot;
            let entering = contributions(tables, &rows, step, slot);
            let values = encrypt(round_keys, digests);
            let changes = [_mm512_xor_si512(entering[0], left[0]), _mm512_xor_si512(entering[1], left[1])];
            digests = [roll(digests[0], changes[0]), roll(digests[1], changes[1])];
            // The lowest 32 bits of each value.
            let lowest = 0b0001_0001_0001_0001;
            let hits = _mm512_mask_testn_epi32_mask(lowest, values[0], mask)
                | _mm512_mask_testn_epi32_mask(lowest, values[1], mask);
            if hits != 0 {
                note(&values, steps, from + step, zeros, found);
            }
        }
    }
}

/// The next bytes of each stretch.
struct Rows([[u8; GROUP]; LANES]);

impl Rows {
    #[inline]
    fn of(bytes: &[u8], steps: usize, from: usize) -> Rows {
        let mut rows = [[0; GROUP]; LANES];
        for (lane, row) in rows.iter_mut().enumerate() {
            *row =
                *bytes[lane * steps + from..].first_chunk().expect("the last stretch ends a window behind its steps");
        }
        Rows(rows)
    }

    #[inline]
    fn at(&self, lane: usize, step: usize) -> usize {
        usize::from(self.0[lane][step])
    }
}

/// What the next byte of each stretch adds to its digest; `leaving` becomes what it takes away later.
#[inline]
#[target_feature(enable = "avx512f")]
fn contributions(tables: &Tables, rows: &Rows, step: usize, leaving: &mut [__m512i; 2]) -> [__m512i; 2] {
    let pair = |lane: usize| {
        let both = [lane, lane + 1].map(|lane| load_both(&tables.0[rows.at(lane, step)]));
        _mm512_inserti64x4::<1>(_mm512_castsi256_si512(both[0]), both[1])
    };
    let (low, high) = ([pair(0), pair(2)], [pair(4), pair(6)]);
    *leaving = [low, high].map(|[one, two]| _mm512_shuffle_i64x2::<0b1101_1101>(one, two));
    [low, high].map(|[one, two]| _mm512_shuffle_i64x2::<0b1000_1000>(one, two))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_both(Contribution { entering, leaving }: &Contribution) -> __m256i {
    let [entering, leaving] = [entering.0, leaving.0].map(|lanes| lanes.map(u64::cast_signed));
    _mm256_set_epi64x(leaving[1], leaving[0], entering[1], entering[0])
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
fn encrypt(round_keys: &[__m512i; 11], [low, high]: [__m512i; 2]) -> [__m512i; 2] {
    let mut low = _mm512_xor_si512(low, round_keys[0]);
    let mut high = _mm512_xor_si512(high, round_keys[0]);
    for round_key in &round_keys[1..10] {
        low = _mm512_aesenc_epi128(low, *round_key);
        high = _mm512_aesenc_epi128(high, *round_key);
    }
    [_mm512_aesenclast_epi128(low, round_keys[10]), _mm512_aesenclast_epi128(high, round_keys[10])]
}

/// Notes which values have enough zeros; rare.
#[cold]
#[target_feature(enable = "avx512f,sse4.2")]
fn note(values: &[__m512i; 2], steps: usize, step: usize, zeros: u32, found: &mut Found) {
    for (half, values) in values.iter().enumerate() {
        let lanes = [
            _mm512_extracti32x4_epi32::<0>(*values),
            _mm512_extracti32x4_epi32::<1>(*values),
            _mm512_extracti32x4_epi32::<2>(*values),
            _mm512_extracti32x4_epi32::<3>(*values),
        ];
        for (lane, value) in lanes.into_iter().enumerate() {
            let hit = _mm_cvtsi128_si64(value).trailing_zeros();
            if hit >= zeros {
                found.insert((4 * half + lane) * steps + step, hit);
            }
        }
    }
}

#[target_feature(enable = "avx512f")]
fn broadcast(round_keys: &[__m128i; 11]) -> [__m512i; 11] {
    round_keys.map(|key| _mm512_broadcast_i32x4(key))
}
