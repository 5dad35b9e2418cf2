//! The searches of `phte128` with VAES: eight stretches of the data side by side, four or two to a register.

use std::arch::x86_64::{__m256i, __m512i, _mm256_set_epi64x};
use std::ops::Range;

use zeroize::Zeroize;

use super::AesNi;
use crate::phte128::{Contribution, Tables};
use crate::search::{Hit, Sink, WINDOW};

mod narrow;
mod wide;

/// Stretches searched side by side: several registers of them, so that one's rounds hide the latency of the other's.
const LANES: usize = 8;

/// Bytes taken from each stretch at a time.
const GROUP: usize = 8;

/// Positions of each stretch. Longer ones waste more behind a cut, shorter ones more on the first window of each.
const STEPS_MAX: usize = 512;

/// Positions of each stretch below which eight first windows cost more than they save.
const STEPS_MIN: usize = 64;

const BLOCK: usize = LANES * STEPS_MAX;

/// The round keys in each lane of a register, and the proof that this processor has the instructions to use them.
#[derive(Zeroize)]
#[zeroize(drop)]
#[expect(clippy::large_enum_variant, reason = "a chunker holds one, in a box")]
enum RoundKeys {
    Wide([__m512i; 11]),
    Narrow([__m256i; 11]),
}

#[derive(Zeroize)]
#[zeroize(drop)]
pub(crate) struct Vaes {
    round_keys: RoundKeys,
    /// For what is too short for eight stretches.
    aesni: AesNi,
}

impl Vaes {
    /// The searches under AES key `key` that this processor can run, with their names, the fastest first.
    pub(crate) fn detect(key: &[u8; 16]) -> Vec<(&'static str, Vaes)> {
        let Some(aesni) = AesNi::detect(key).filter(|_| is_x86_feature_detected!("vaes")) else { return Vec::new() };
        let mut found = Vec::new();
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the features that `broadcast` is compiled for were detected just now.
            let round_keys = RoundKeys::Wide(unsafe { wide::broadcast(&aesni.round_keys) });
            found.push(("AVX-512 and VAES", Vaes { round_keys, aesni: aesni.clone() }));
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: as above.
            let round_keys = RoundKeys::Narrow(unsafe { narrow::broadcast(&aesni.round_keys) });
            found.push(("AVX2 and VAES", Vaes { round_keys, aesni }));
        }
        found
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
            // SAFETY: such keys are made only by `detect`, after it found the features that `block` is compiled for.
            unsafe {
                match &self.round_keys {
                    RoundKeys::Wide(keys) => wide::block(keys, tables, bytes, steps, zeros, &mut found),
                    RoundKeys::Narrow(keys) => narrow::block(keys, tables, bytes, steps, zeros, &mut found),
                }
            };
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

/// What the stretches are rolled and looked at with: the operations on registers `R` that hold one value each stretch.
struct Operations<C, T, L> {
    /// What the next byte of each stretch adds to its digest; what it takes away later goes to the second argument.
    contribute: C,
    /// The next digests, of the present ones, what the entering bytes add and what the leaving ones take away.
    turn: T,
    /// Notes what is found in the digests, given the step.
    look: L,
}

/// Goes through `LANES · steps` positions; `bytes` begins with the window of the first, and `nothing` is a digest of no
/// bytes. Inlined, so that the operations are, which are compiled for more than this.
#[inline(always)]
fn drive<R: Copy>(
    nothing: R,
    bytes: &[u8],
    steps: usize,
    Operations { contribute, turn, mut look }: Operations<
        impl Fn(&Rows, usize, &mut R) -> R,
        impl Fn(R, R, R) -> R,
        impl FnMut(R, usize),
    >,
) {
    let mut digests = nothing;
    // What each byte of the windows will take away when it leaves.
    let mut leaving = [nothing; WINDOW];
    for from in (0..WINDOW).step_by(GROUP) {
        let rows = Rows::of(bytes, steps, from);
        for step in 0..GROUP {
            let entering = contribute(&rows, step, &mut leaving[from + step]);
            digests = turn(digests, entering, nothing);
        }
    }
    for from in (0..steps).step_by(GROUP) {
        let rows = Rows::of(bytes, steps, from + WINDOW);
        for step in 0..GROUP {
            let slot = &mut leaving[(from + step) % WINDOW];
            let left = *slot;
            let entering = contribute(&rows, step, slot);
            look(digests, from + step);
            digests = turn(digests, entering, left);
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

/// Both parts of a contribution, the entering one in the lower half.
#[inline]
#[target_feature(enable = "avx")]
fn load_both(Contribution { entering, leaving }: &Contribution) -> __m256i {
    let [entering, leaving] = [entering.0, leaving.0].map(|lanes| lanes.map(u64::cast_signed));
    _mm256_set_epi64x(leaving[1], leaving[0], entering[1], entering[0])
}

/// Notes which of the values of one step have enough zeros; rare.
#[cold]
fn note(values: &[u64; LANES], steps: usize, step: usize, zeros: u32, found: &mut Found) {
    for (lane, value) in values.iter().enumerate() {
        if value.trailing_zeros() >= zeros {
            found.insert(lane * steps + step, value.trailing_zeros());
        }
    }
}
