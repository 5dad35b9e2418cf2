use fastcdc::v2020::{MASKS, cut_gear};
use proptest::prelude::*;
use vellum_chunker::{Algorithm, Chunker, Sizes};

use crate::common::{KIB, cycle, data, lengths, private_sizes, random, shared_sizes, small_sizes};

fn table(key: &[u8; 32]) -> Vec<u64> {
    let mut bytes = [0; 2048];
    blake3::Hasher::new_keyed(key).update(b"gear").finalize_xof().fill(&mut bytes);
    bytes.chunks(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect()
}

/// The function as `docs/CHUNKERS.md` defines it, one byte at a time.
fn reference_cut(sizes: Sizes, table: &[u64], data: &[u8]) -> usize {
    let log = sizes.avg().ilog2() as usize;
    let end = data.len().min(sizes.max() as usize);
    let mut hash = 0u64;
    for position in sizes.min() as usize..end - end % 2 {
        hash = (hash << 1).wrapping_add(table[usize::from(data[position])]);
        let bits = if position < sizes.avg() as usize { log + 2 } else { log - 2 };
        if hash & MASKS[bits] == 0 {
            return position;
        }
    }
    end
}

pub(crate) fn reference_lengths(sizes: Sizes, key: &[u8; 32], mut data: &[u8]) -> Vec<usize> {
    let table = table(key);
    let mut lengths = Vec::new();
    while !data.is_empty() {
        let length = reference_cut(sizes, &table, data);
        data = &data[length..];
        lengths.push(length);
    }
    lengths
}

/// What the crate gives when called as its own example calls it.
fn crate_cut(sizes: Sizes, table: &[u64], data: &[u8]) -> usize {
    let log = sizes.avg().ilog2() as usize;
    let doubled: Vec<_> = table.iter().map(|entry| entry << 1).collect();
    let [min, avg, max] = [sizes.min(), sizes.avg(), sizes.max()].map(|size| size as usize);
    let (strict, relaxed) = (MASKS[log + 2], MASKS[log - 2]);
    cut_gear(data, min, avg, max, strict, relaxed, strict << 1, relaxed << 1, table, &doubled).1
}

fn assert_equals_references(sizes: Sizes, key: &[u8; 32], data: &[u8]) {
    let table = table(key);
    let expected = reference_lengths(sizes, key, data);
    let mut rest = data;
    for length in &expected {
        assert_eq!(*length, crate_cut(sizes, &table, rest));
        rest = &rest[*length..];
    }
    for (way, chunker) in Chunker::each_way(Algorithm::Gear, sizes, key) {
        assert_eq!(lengths(&chunker, data), expected, "{way}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn equals_the_crate_and_the_definition(sizes in small_sizes(), key: [u8; 32], data in data()) {
        assert_equals_references(sizes, &key, &data);
    }
}

#[test]
fn equals_the_crate_and_the_definition_at_the_default_sizes() {
    let data = random(b"gear", (4 << 20) + 1);
    for sizes in [private_sizes(), shared_sizes()] {
        assert_equals_references(sizes, &[5; 32], &data);
    }
}

/// Chunks so short that finds are close, several of them in the lanes of one stretch.
#[test]
fn equals_the_crate_and_the_definition_where_finds_are_close() {
    let data = random(b"close", 1 << 20);
    for (key, avg) in [(1, 4 * KIB), (2, 8 * KIB), (3, 16 * KIB)] {
        assert_equals_references(Sizes::new(256, avg, 8 * avg).unwrap(), &[key; 32], &data);
    }
}

#[test]
fn equals_the_crate_and_the_definition_on_data_that_repeats() {
    let noise = random(b"repeats", 64 << 10);
    let island = [&vec![0; 300_001][..], &noise[..5000], &vec![0; 500_000]].concat();
    let zeros = vec![0; 600_000];
    for sizes in [private_sizes(), Sizes::new(256, 4 * KIB, 64 * KIB).unwrap()] {
        for key in 0..4u8 {
            let two = cycle(&[key, 255 - key], 600_000);
            let period = cycle(&noise[64 * usize::from(key)..][..64], 600_000);
            for data in [&zeros, &two, &period, &island] {
                assert_equals_references(sizes, &[key; 32], data);
            }
        }
    }
}

#[test]
fn equals_the_crate_and_the_definition_at_every_length_near_a_bound() {
    let sizes = Sizes::new(256, 4 * KIB, 8 * KIB).unwrap();
    let key = [3; 32];
    let noise = random(b"bounds", 9 << 10);
    let uncut = vec![1; 9 << 10];
    assert_eq!(reference_lengths(sizes, &key, &uncut)[0], 8192);
    for bound in [0, 256, 256 + 64, 256 + 64 + 512, 4096, 8192] {
        for length in bound.max(70) - 70..bound + 70 {
            assert_equals_references(sizes, &key, &uncut[..length]);
            assert_equals_references(sizes, &key, &noise[..length]);
        }
    }
}
