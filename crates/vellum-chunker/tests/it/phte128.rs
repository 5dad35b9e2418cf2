use aes::cipher::{BlockCipherEncrypt, KeyInit};
use proptest::prelude::*;
use vellum_chunker::{Algorithm, Chunker, Sizes};

use crate::common::{KIB, cycle, data, lengths, private_sizes, random, shared_sizes, small_sizes};

/// The function as `docs/CHUNKERS.md` defines it, with every digest computed anew from its window.
struct Reference {
    sizes: Sizes,
    tables: [[u64; 256]; 2],
    cipher: aes::Aes128,
}

impl Reference {
    fn new(sizes: Sizes, key: &[u8; 32]) -> Reference {
        let mut words = [0; 4096];
        blake3::Hasher::new_keyed(key).update(b"uhf").finalize_xof().fill(&mut words);
        let mut aes_key = [0; 16];
        blake3::Hasher::new_keyed(key).update(b"aes").finalize_xof().fill(&mut aes_key);
        let word = |index: usize| u64::from_le_bytes(words[8 * index..8 * index + 8].try_into().unwrap());
        let tables = [0, 256].map(|first| std::array::from_fn(|byte| word(first + byte)));
        Reference { sizes, tables, cipher: aes::Aes128::new(&aes_key.into()) }
    }

    fn digest(&self, lane: usize, window: &[u8]) -> u64 {
        let mut sum = 0;
        for (index, byte) in window.iter().enumerate() {
            sum ^= u128::from(self.tables[lane][usize::from(*byte)]) << (63 - index);
        }
        while sum >> 64 != 0 {
            let high = sum >> 64;
            sum = sum & u128::from(u64::MAX) ^ high << 4 ^ high << 3 ^ high << 1 ^ high;
        }
        u64::try_from(sum).unwrap()
    }

    fn trailing_zeros(&self, data: &[u8], position: usize) -> u32 {
        let window = &data[position - 64..position];
        let mut block = [0; 16];
        block[..8].copy_from_slice(&self.digest(0, window).to_le_bytes());
        block[8..].copy_from_slice(&self.digest(1, window).to_le_bytes());
        let mut block = block.into();
        self.cipher.encrypt_block(&mut block);
        u64::from_le_bytes(block[..8].try_into().unwrap()).trailing_zeros()
    }

    fn cut(&self, data: &[u8]) -> Cut {
        let [min, avg, max] = [self.sizes.min(), self.sizes.avg(), self.sizes.max()].map(|size| size as usize);
        let log = self.sizes.avg().ilog2();
        let mut candidates = Vec::new();
        for position in min..max.min(data.len()) {
            let zeros = self.trailing_zeros(data, position);
            if zeros >= if position < avg { log + 2 } else { log - 2 } {
                return Cut::Found(position);
            }
            if position >= avg && zeros >= log - 6 {
                candidates.push((zeros, position));
            }
        }
        if data.len() < max {
            return Cut::End(data.len());
        }
        let most = candidates.iter().map(|(zeros, _)| *zeros).max();
        let first = candidates.iter().find(|(zeros, _)| Some(*zeros) == most);
        first.map_or(Cut::Forced(max), |(_, position)| Cut::Fallback(*position))
    }

    fn cuts(&self, mut data: &[u8]) -> Vec<Cut> {
        let mut cuts = Vec::new();
        while !data.is_empty() {
            let cut = self.cut(data);
            data = &data[cut.length()..];
            cuts.push(cut);
        }
        cuts
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cut {
    Found(usize),
    Fallback(usize),
    Forced(usize),
    End(usize),
}

impl Cut {
    fn length(self) -> usize {
        match self {
            Cut::Found(length) | Cut::Fallback(length) | Cut::Forced(length) | Cut::End(length) => length,
        }
    }
}

pub(crate) fn reference_lengths(sizes: Sizes, key: &[u8; 32], data: &[u8]) -> Vec<usize> {
    Reference::new(sizes, key).cuts(data).into_iter().map(Cut::length).collect()
}

fn both(sizes: Sizes, key: &[u8; 32]) -> [Chunker; 2] {
    [Chunker::new(Algorithm::Phte128, sizes, key), Chunker::phte128_portable(sizes, key)]
}

fn assert_equals_reference(sizes: Sizes, key: &[u8; 32], data: &[u8]) -> Vec<Cut> {
    let cuts = Reference::new(sizes, key).cuts(data);
    let expected: Vec<_> = cuts.iter().map(|cut| cut.length()).collect();
    for chunker in both(sizes, key) {
        assert_eq!(lengths(&chunker, data), expected);
    }
    cuts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn both_searches_equal_the_reference(sizes in small_sizes(), key: [u8; 32], data in data()) {
        assert_equals_reference(sizes, &key, &data);
    }

    #[test]
    fn both_searches_are_equal_at_any_length(sizes in small_sizes(), key: [u8; 32], data in data(), near in 0..5usize) {
        let [fast, portable] = both(sizes, &key);
        for length in [64, sizes.min(), sizes.avg(), sizes.max()] {
            let data = &data[..data.len().min((length as usize + near).saturating_sub(2))];
            prop_assert_eq!(fast.cut(data), portable.cut(data));
        }
    }
}

/// All four ways for a chunk to end must have been compared for the comparison to mean anything.
#[test]
fn the_reference_is_met_in_every_kind_of_cut() {
    let sizes = Sizes::new(256, 4 * KIB, 8 * KIB).unwrap();
    let mut cuts = Vec::new();
    for seed in 0..4u8 {
        let noise = random(&[seed], 100_000);
        cuts.extend(assert_equals_reference(sizes, &[seed; 32], &noise));
        for data in [vec![seed; 20_000], cycle(&noise[..2], 20_000), cycle(&noise[..64], 20_000)] {
            cuts.extend(assert_equals_reference(sizes, &[seed; 32], &data));
        }
    }
    let count = |kind: fn(&Cut) -> bool| cuts.iter().filter(|cut| kind(cut)).count();
    assert!(count(|cut| matches!(cut, Cut::Found(length) if *length < 4096)) > 20);
    assert!(count(|cut| matches!(cut, Cut::Found(length) if *length >= 4096)) > 20);
    assert!(count(|cut| matches!(cut, Cut::Fallback(_))) > 5);
    assert!(count(|cut| matches!(cut, Cut::Forced(_))) > 5);
    assert!(count(|cut| matches!(cut, Cut::End(_))) > 5);
}

/// Constant data has one value at every position, so one key in 2^(log2(avg) + 2) cuts it everywhere at `min`, and a few
/// more at `avg`; a value between the thresholds must give the first candidate, which is at `avg` too.
#[test]
fn constant_data_is_cut_where_its_one_value_says() {
    let sizes = Sizes::new(256, 4 * KIB, 8 * KIB).unwrap();
    let data = vec![0; 8 << 10];
    let mut at_avg = 0;
    for seed in 0..200u8 {
        let zeros = Reference::new(sizes, &[seed; 32]).trailing_zeros(&data, 64);
        let expected = match zeros {
            14.. => 256,
            6.. => 4096,
            _ => 8192,
        };
        at_avg += usize::from(expected == 4096);
        for chunker in both(sizes, &[seed; 32]) {
            assert_eq!(chunker.cut(&data), expected);
        }
    }
    assert!(at_avg > 0);
}

#[test]
fn both_searches_are_equal_at_the_default_sizes() {
    let noise = random(b"default sizes", 3 << 20);
    let islands = [&vec![0; 300_000][..], &noise[..3000], &vec![0; 700_000], &noise[5000..5100], &vec![0; 900_000]];
    for sizes in [private_sizes(), shared_sizes()] {
        let [fast, portable] = both(sizes, &[9; 32]);
        for data in [noise.clone(), islands.concat(), cycle(&noise[..64], 1 << 20), cycle(&[0, 255], 1 << 20)] {
            assert_eq!(lengths(&fast, &data), lengths(&portable, &data));
        }
    }
}

#[test]
fn lengths_around_the_bounds() {
    let sizes = Sizes::new(256, 4 * KIB, 8 * KIB).unwrap();
    let data = vec![1; 9 << 10];
    for chunker in both(sizes, &[3; 32]) {
        assert_eq!(chunker.cut(&data), 8192, "this key has no candidate here");
        for length in [0, 1, 63, 64, 65, 255, 256, 257, 258, 263, 264, 4095, 4096, 4097, 8191, 8192, 8193] {
            assert_eq!(chunker.cut(&data[..length]), length.min(8192));
        }
    }
}
