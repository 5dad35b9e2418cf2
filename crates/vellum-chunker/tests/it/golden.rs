use std::fmt::Write;

use vellum_chunker::{Algorithm, Chunker, Sizes};

use crate::common::{ALGORITHMS, golden_key, lengths, private_sizes, random, shared_sizes};
use crate::{gear, reference};

const GOLDEN: &str = include_str!("../../tests-data/golden.txt");
const HEADER: &str =
    "# Frozen chunk lengths; docs/CHUNKERS.md says what they are of. A change here breaks every repository.\n";
const LENGTH: usize = 4 << 20;

/// Zeros, in which sixteen islands stand that were copied from the random data at the same offsets.
fn islands(noise: &[u8]) -> Vec<u8> {
    let mut data = vec![0; noise.len()];
    for island in 0..16 {
        let start = (island << 18) + island * island * 997;
        let length = 1 + island * 331;
        data[start..start + length].copy_from_slice(&noise[start..start + length]);
    }
    data
}

fn render(cut: impl Fn(Algorithm, Sizes, &[u8]) -> Vec<usize>) -> String {
    let noise = random(b"vellum-chunker golden vectors", LENGTH);
    let mut text = HEADER.to_owned();
    for (name, data) in [("random", &noise), ("islands", &islands(&noise))] {
        for sizes in [private_sizes(), shared_sizes()] {
            for algorithm in ALGORITHMS {
                let (min, avg, max) = (sizes.min(), sizes.avg(), sizes.max());
                write!(text, "\n{} {min}/{avg}/{max} {name}", algorithm.name()).unwrap();
                for (index, length) in cut(algorithm, sizes, data).iter().enumerate() {
                    write!(text, "{}{length}", if index % 12 == 0 { "\n  " } else { " " }).unwrap();
                }
                text.push('\n');
            }
        }
    }
    text
}

fn cut(algorithm: Algorithm, sizes: Sizes, data: &[u8]) -> Vec<usize> {
    lengths(&Chunker::new(algorithm, sizes, &golden_key()), data)
}

#[test]
fn cut_points_are_frozen() {
    let rendered = render(cut);
    if rendered != GOLDEN {
        // For a new algorithm; for an old one it is a defect.
        let path = concat!(env!("CARGO_TARGET_TMPDIR"), "/golden.txt");
        std::fs::write(path, &rendered).unwrap();
        panic!("cut points differ from tests-data/golden.txt; what they are now is in {path}");
    }
}

#[test]
fn cut_points_are_frozen_whichever_instructions_find_them() {
    let same = |algorithm, sizes, data: &[u8]| {
        let expected = cut(algorithm, sizes, data);
        for (way, chunker) in Chunker::each_way(algorithm, sizes, &golden_key()) {
            assert_eq!(lengths(&chunker, data), expected, "{way}");
        }
        expected
    };
    assert_eq!(render(same), GOLDEN);
}

#[test]
fn frozen_cut_points_are_those_of_the_definitions() {
    let defined = |algorithm, sizes, data: &[u8]| match algorithm {
        Algorithm::Gear => gear::reference_lengths(sizes, &golden_key(), data),
        _ => reference::lengths(algorithm, sizes, &golden_key(), data),
    };
    assert_eq!(render(defined), GOLDEN);
}
