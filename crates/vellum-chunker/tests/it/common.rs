use std::ops::Range;

use proptest::prelude::*;
use vellum_chunker::{Algorithm, Chunker, Sizes};

pub(crate) const KIB: u32 = 1 << 10;
pub(crate) const MIB: u32 = 1 << 20;
pub(crate) const ALGORITHMS: [Algorithm; 3] = [Algorithm::Phte128, Algorithm::Window, Algorithm::Gear];

pub(crate) fn private_sizes() -> Sizes {
    Sizes::new(16 * KIB, 64 * KIB, 256 * KIB).unwrap()
}

pub(crate) fn shared_sizes() -> Sizes {
    Sizes::new(256 * KIB, MIB, 4 * MIB).unwrap()
}

/// The key of the golden vectors: the bytes 0 to 31.
pub(crate) fn golden_key() -> [u8; 32] {
    std::array::from_fn(|index| u8::try_from(index).unwrap())
}

/// The first `length` bytes of BLAKE3's extended output over `label`.
pub(crate) fn random(label: &[u8], length: usize) -> Vec<u8> {
    let mut data = vec![0; length];
    blake3::Hasher::new().update(label).finalize_xof().fill(&mut data);
    data
}

/// The lengths of the chunks of `data`.
pub(crate) fn lengths(chunker: &Chunker, data: &[u8]) -> Vec<usize> {
    ranges(chunker, data).into_iter().map(|range| range.len()).collect()
}

pub(crate) fn ranges(chunker: &Chunker, data: &[u8]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    while start < data.len() {
        let length = chunker.cut(&data[start..]);
        assert!(length > 0 && length <= data.len() - start);
        ranges.push(start..start + length);
        start += length;
    }
    assert_eq!(chunker.cut(&[]), 0);
    ranges
}

/// Small sizes, so that short data has every kind of cut.
pub(crate) fn small_sizes() -> impl Strategy<Value = Sizes> {
    (0..2u32).prop_flat_map(|power| {
        let avg = (4 * KIB) << power;
        (128..=avg / 4, avg..=2 * avg)
            .prop_map(move |(min, max)| Sizes::new(2 * min, avg, 2 * max).expect("within the rules"))
    })
}

/// Random runs, runs of one byte, and cycles of up to 130 bytes with few symbols, joined.
pub(crate) fn data() -> impl Strategy<Value = Vec<u8>> {
    let seed = any::<[u8; 8]>();
    let run = (seed, 0..4u8, prop_oneof![1..200usize, Just(64), 1..20_000usize]).prop_map(|(seed, kind, length)| {
        let noise = random(&seed, length.max(130));
        match kind {
            0 => noise[..length].to_vec(),
            1 => vec![seed[0] & 1; length],
            2 => cycle(&noise[..1 + usize::from(seed[0] % 130)], length),
            _ => cycle(&noise.iter().map(|byte| byte & 1).take(64).collect::<Vec<_>>(), length),
        }
    });
    prop::collection::vec(run, 0..6).prop_map(|runs| runs.concat())
}

pub(crate) fn cycle(pattern: &[u8], length: usize) -> Vec<u8> {
    pattern.iter().copied().cycle().take(length).collect()
}
