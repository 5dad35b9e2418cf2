//! The search of `window` with 64 or 32 positions to a register.

use std::arch::x86_64::*;
use std::ops::Range;

use zeroize::Zeroize;

use super::{AesNi, prefetch};
use crate::search::{Hit, Sink, WINDOW};
use crate::window::{Filter, Keys};

mod avx2;
mod gfni256;
mod gfni512;
mod registers256;

/// Bytes before the first position of a range that a scan reads: the digests of a window earlier take four more.
const BEFORE: usize = WINDOW + 4;

/// How far ahead of a scan memory is asked for.
const PREFETCH_BYTES: usize = 2 << 10;

/// The keys as the instructions want them, and the proof that this processor has these.
pub(crate) struct Wide {
    scan: Scan,
    rank: Rank,
}

enum Scan {
    Gfni512([gfni512::Map; 7]),
    Gfni256([gfni256::Map; 7]),
    Avx2([avx2::Map; 7]),
}

impl Drop for Wide {
    fn drop(&mut self) {
        match &mut self.scan {
            Scan::Gfni512(maps) => maps.zeroize(),
            Scan::Gfni256(maps) => maps.zeroize(),
            Scan::Avx2(maps) => maps.zeroize(),
        }
    }
}

impl Wide {
    /// The searches that this processor can run, the fastest first.
    pub(crate) fn detect(keys: &Keys) -> Vec<(&'static str, Wide)> {
        let Some(rank) = Rank::detect(keys) else { return Vec::new() };
        let mut scans = Vec::new();
        let (avx2, gfni) = (is_x86_feature_detected!("avx2"), is_x86_feature_detected!("gfni"));
        if gfni && is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            // SAFETY: what `map` is compiled for was detected just now, here and in the next two.
            scans.push(("AVX-512 and GFNI", Scan::Gfni512(keys.maps.map(|map| unsafe { gfni512::prepare(&map) }))));
        }
        if gfni && avx2 {
            // SAFETY: see above.
            scans.push(("AVX2 and GFNI", Scan::Gfni256(keys.maps.map(|map| unsafe { gfni256::prepare(&map) }))));
        }
        if avx2 {
            // SAFETY: see above.
            scans.push(("AVX2", Scan::Avx2(keys.maps.map(|map| unsafe { avx2::prepare(&map) }))));
        }
        scans.into_iter().map(|(name, scan)| (name, Wide { scan, rank: rank.clone() })).collect()
    }

    /// Finds what the portable search finds.
    pub(crate) fn search(
        &self,
        data: &[u8],
        positions: Range<usize>,
        filter: Filter,
        mut zeros: u32,
        sink: &mut Sink<'_>,
    ) {
        let older_mask = filter.older_mask().cast_signed();
        let mut candidate = |at: usize| {
            let window = data[at - WINDOW..].first_chunk().expect("a position lies a window behind the beginning");
            let found = filter.bits + self.rank.of(window).trailing_zeros();
            if found < zeros {
                return true;
            }
            let more = sink(Hit { at, zeros: found });
            zeros = more.unwrap_or(zeros);
            more.is_some()
        };
        // SAFETY: `detect` made each of these after it found the features that its function is compiled for.
        unsafe {
            match &self.scan {
                Scan::Gfni512(maps) => scan_gfni512(maps, data, positions, older_mask, &mut candidate),
                Scan::Gfni256(maps) => scan_gfni256(maps, data, positions, older_mask, &mut candidate),
                Scan::Avx2(maps) => avx2::scan(maps, data, positions, older_mask, &mut candidate),
            }
        }
    }
}

/// The twin of [`Keys::rank`].
#[derive(Clone, Zeroize)]
#[zeroize(drop)]
struct Rank {
    words: [u64; 8],
    aesni: AesNi,
}

impl Rank {
    fn detect(keys: &Keys) -> Option<Rank> {
        let aesni = AesNi::detect(&keys.aes_key)?;
        is_x86_feature_detected!("pclmulqdq").then_some(Rank { words: keys.words, aesni })
    }

    fn of(&self, window: &[u8; WINDOW]) -> u64 {
        // SAFETY: `detect` found the feature that `sum` is compiled for.
        self.aesni.encrypt(unsafe { sum(&self.words, window) })
    }
}

/// The sum of the products of a window's words and the keys.
#[target_feature(enable = "pclmulqdq")]
fn sum(keys: &[u64; 8], window: &[u8; WINDOW]) -> __m128i {
    let words = window.as_chunks().0.iter().map(|word| _mm_cvtsi64_si128(i64::from_le_bytes(*word)));
    let keys = keys.iter().map(|key| _mm_cvtsi64_si128(key.cast_signed()));
    words
        .zip(keys)
        .fold(_mm_setzero_si128(), |sum, (word, key)| _mm_xor_si128(sum, _mm_clmulepi64_si128::<0>(word, key)))
}

/// Makes the function that shows `candidate` each candidate among the positions, until it says that it has seen enough.
/// It is the same for all registers with GFNI; what differs is in the module `$of`.
macro_rules! scan {
    ($name:ident, $next:ident, $of:ident, $features:literal) => {
        #[target_feature(enable = $features)]
        fn $name(
            maps: &[$of::Map; 7],
            data: &[u8],
            positions: Range<usize>,
            older_bits: i8,
            candidate: &mut dyn FnMut(usize) -> bool,
        ) {
            if positions.is_empty() {
                return;
            }
            let mut state = [$of::splat(0); 4];
            // A window earlier, so that at the first position the digest of 32 bytes before is complete.
            let mut at = positions.start - WINDOW;
            while let Some(mut found) = $next(maps, &mut state, &data[..positions.end], &mut at, older_bits) {
                let first = at - $of::LEN;
                while first >= positions.start && found != 0 {
                    if !candidate(first + found.trailing_zeros() as usize) {
                        return;
                    }
                    found &= found - 1;
                }
            }
            // What fills no register is searched in a copy that does.
            at = at.max(positions.start);
            if at < positions.end {
                let mut padded = [0; BEFORE + $of::LEN];
                padded[..BEFORE + positions.end - at].copy_from_slice(&data[at - BEFORE..positions.end]);
                $name(maps, &padded, BEFORE..padded.len(), older_bits, &mut |found| {
                    let found = at + found - BEFORE;
                    found >= positions.end || candidate(found)
                });
            }
        }

        /// The candidates of the next register that has any, one bit each; moves `at` behind it. Calls nothing, so that
        /// keys and digests stay in registers.
        #[inline(never)]
        #[target_feature(enable = $features)]
        fn $next(
            maps: &[$of::Map; 7],
            state: &mut [$of::Register; 4],
            data: &[u8],
            at: &mut usize,
            older_bits: i8,
        ) -> Option<u64> {
            let [newest, second, third, fourth, by_four, by_eight, by_sixteen] = *maps;
            let older_mask = $of::splat(older_bits);
            let [mut fours, mut eights, mut sixteens, mut digests] = *state;
            let mut found = 0;
            // Four bytes more than the window before them, and one less than a register behind the first position.
            while found == 0
                && let Some(bytes) = data[*at - 4..].get(..$of::LEN + 4)
            {
                prefetch(bytes, PREFETCH_BYTES);
                let old = $of::xor($of::map(third, $of::load(bytes, 1)), $of::map(fourth, $of::load(bytes, 0)));
                let new = $of::xor($of::map(newest, $of::load(bytes, 3)), $of::map(second, $of::load(bytes, 2)));
                let of_four = $of::xor(new, old);
                let of_eight = $of::xor(of_four, $of::map(by_four, $of::before::<4>(of_four, fours)));
                let of_sixteen = $of::xor(of_eight, $of::map(by_eight, $of::before::<8>(of_eight, eights)));
                let digest = $of::xor(of_sixteen, $of::map(by_sixteen, $of::before::<16>(of_sixteen, sixteens)));
                found = $of::candidates(digest, $of::before::<32>(digest, digests), older_mask);
                [fours, eights, sixteens, digests] = [of_four, of_eight, of_sixteen, digest];
                *at += $of::LEN;
            }
            *state = [fours, eights, sixteens, digests];
            (found != 0).then_some(found)
        }
    };
}

scan!(scan_gfni512, next_gfni512, gfni512, "avx512f,avx512bw,gfni");
scan!(scan_gfni256, next_gfni256, gfni256, "avx2,gfni");
