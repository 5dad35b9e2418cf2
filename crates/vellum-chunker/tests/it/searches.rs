//! `phte128` and `window`: every way to find the cut points finds those of the definition.

use proptest::prelude::*;
use vellum_chunker::{Algorithm, Chunker, Sizes};

use crate::common::{KIB, cycle, data, lengths, private_sizes, random, shared_sizes, small_sizes};
use crate::reference::{Cut, Reference};

const SEARCHED: [Algorithm; 2] = [Algorithm::Phte128, Algorithm::Window];

fn assert_equals_reference(algorithm: Algorithm, sizes: Sizes, key: &[u8; 32], data: &[u8]) -> Vec<Cut> {
    let cuts = Reference::new(algorithm, sizes, key).cuts(data);
    let expected: Vec<_> = cuts.iter().map(|cut| cut.length()).collect();
    for (way, chunker) in Chunker::each_way(algorithm, sizes, key) {
        assert_eq!(lengths(&chunker, data), expected, "{algorithm:?}, {way}");
    }
    cuts
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_search_equals_the_reference(sizes in small_sizes(), key: [u8; 32], data in data()) {
        for algorithm in SEARCHED {
            assert_equals_reference(algorithm, sizes, &key, &data);
        }
    }

    #[test]
    fn all_searches_are_equal_at_any_length(sizes in small_sizes(), key: [u8; 32], data in data(), near in 0..70usize) {
        for algorithm in SEARCHED {
            let ways = Chunker::each_way(algorithm, sizes, &key);
            for length in [64, sizes.min(), sizes.avg(), sizes.max()] {
                let data = &data[..data.len().min((length as usize + near).saturating_sub(35))];
                let cuts: Vec<_> = ways.iter().map(|(way, chunker)| (way, chunker.cut(data))).collect();
                prop_assert!(cuts.iter().all(|(_, cut)| *cut == cuts[0].1), "{:?}", cuts);
            }
        }
    }
}

/// All four ways for a chunk to end must have been compared for the comparison to mean anything.
#[test]
fn the_reference_is_met_in_every_kind_of_cut() {
    let sizes = Sizes::new(256, 4 * KIB, 8 * KIB).unwrap();
    for algorithm in SEARCHED {
        let mut cuts = Vec::new();
        for seed in 0..4u8 {
            let noise = random(&[seed], 200_000);
            cuts.extend(assert_equals_reference(algorithm, sizes, &[seed; 32], &noise));
            for data in [vec![seed; 20_000], cycle(&noise[..2], 20_000), cycle(&noise[..64], 20_000)] {
                cuts.extend(assert_equals_reference(algorithm, sizes, &[seed; 32], &data));
            }
        }
        let count = |kind: fn(&Cut) -> bool| cuts.iter().filter(|cut| kind(cut)).count();
        assert!(count(|cut| matches!(cut, Cut::Found(length) if *length < 4096)) > 20);
        assert!(count(|cut| matches!(cut, Cut::Found(length) if *length >= 4096)) > 20);
        // What passes the filter of `window` is enough for a cut at so small an average.
        assert!(algorithm == Algorithm::Window || count(|cut| matches!(cut, Cut::Fallback(_))) > 5);
        assert!(count(|cut| matches!(cut, Cut::Forced(_))) > 5);
        assert!(count(|cut| matches!(cut, Cut::End(_))) > 5);
    }
}

/// Where cuts ask for more than the filter of `window`, the best candidate is taken.
#[test]
fn the_reference_is_met_where_the_best_candidate_is_taken() {
    let sizes = Sizes::new(4 * KIB, 64 * KIB, 128 * KIB).unwrap();
    for algorithm in SEARCHED {
        let cuts = assert_equals_reference(algorithm, sizes, &[11; 32], &random(b"candidates", 4 << 20));
        assert!(cuts.iter().filter(|cut| matches!(cut, Cut::Fallback(_))).count() > 0, "{algorithm:?}: {cuts:?}");
    }
}

/// Constant data has one value at every position. With `phte128` one key in 2^(log2(avg) + 2) cuts it everywhere at
/// `min`, and a few more at `avg`; a value between the thresholds must give the first candidate, which is at `avg` too.
/// The filter of `window` passes none.
#[test]
fn constant_data_is_cut_where_its_one_value_says() {
    let sizes = Sizes::new(256, 4 * KIB, 8 * KIB).unwrap();
    for (algorithm, byte) in [(Algorithm::Phte128, 0), (Algorithm::Window, 0), (Algorithm::Window, 0xa5)] {
        let data = vec![byte; 8 << 10];
        let mut at_avg = 0;
        for seed in 0..200u8 {
            let zeros = Reference::new(algorithm, sizes, &[seed; 32]).value(&data, 64);
            assert!(algorithm == Algorithm::Phte128 || zeros == 0);
            let expected = match zeros {
                14.. => 256,
                6.. => 4096,
                _ => 8192,
            };
            at_avg += usize::from(expected == 4096);
            for (way, chunker) in Chunker::each_way(algorithm, sizes, &[seed; 32]) {
                assert_eq!(chunker.cut(&data), expected, "{algorithm:?}, {way}");
            }
        }
        assert!(algorithm == Algorithm::Window || at_avg > 0);
    }
}

#[test]
fn all_searches_are_equal_at_the_default_sizes() {
    let noise = random(b"default sizes", 3 << 20);
    let islands = [&vec![0; 300_000][..], &noise[..3000], &vec![0; 700_000], &noise[5000..5100], &vec![0; 900_000]];
    for (algorithm, sizes) in SEARCHED.into_iter().flat_map(|one| [(one, private_sizes()), (one, shared_sizes())]) {
        let ways = Chunker::each_way(algorithm, sizes, &[9; 32]);
        for data in [noise.clone(), islands.concat(), cycle(&noise[..64], 1 << 20), cycle(&[0, 255], 1 << 20)] {
            let expected = lengths(&ways[0].1, &data);
            ways.iter().for_each(|(way, chunker)| assert_eq!(lengths(chunker, &data), expected, "{way}"));
        }
    }
}

#[test]
fn lengths_around_the_bounds() {
    let sizes = Sizes::new(256, 4 * KIB, 8 * KIB).unwrap();
    let data = vec![1; 9 << 10];
    for (way, chunker) in SEARCHED.into_iter().flat_map(|algorithm| Chunker::each_way(algorithm, sizes, &[3; 32])) {
        assert_eq!(chunker.cut(&data), 8192, "{way}: this key has no candidate here");
        for length in [0, 1, 63, 64, 65, 255, 256, 257, 258, 263, 264, 4095, 4096, 4097, 8191, 8192, 8193] {
            assert_eq!(chunker.cut(&data[..length]), length.min(8192), "{way}");
        }
    }
}
