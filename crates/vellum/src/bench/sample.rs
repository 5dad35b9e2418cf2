//! Data made from a seed, the same on every machine.

use std::fmt;

/// What generated data is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sample {
    /// Lines of words, about as compressible as the source of a large program.
    Text,
    /// Nothing that compresses.
    Random,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Random => "random",
        })
    }
}

impl Sample {
    /// Exactly `len_bytes` bytes; the same seed gives the same, another seed others.
    #[must_use]
    pub fn bytes(self, seed: u64, len_bytes: usize) -> Vec<u8> {
        match self {
            Self::Text => text(seed, len_bytes),
            Self::Random => {
                let mut bytes = vec![0; len_bytes];
                blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
                bytes
            }
        }
    }
}

/// Words that a text chooses from.
const WORDS: usize = 2048;

/// Lines behind a line, from which it is repeated in part, as programs repeat themselves.
const LINES_BACK: usize = 512;

/// Words by rank, the earlier ones far more often, in indented lines of which two in three begin as one of those
/// before.
fn text(seed: u64, len_bytes: usize) -> Vec<u8> {
    let mut random = Random(seed);
    let words: Vec<Vec<u8>> = (0..WORDS).map(|_| word(&mut random)).collect();
    let mut bytes = Vec::with_capacity(len_bytes + 256);
    let mut starts = [0; LINES_BACK];
    for number in 0.. {
        if bytes.len() >= len_bytes {
            break;
        }
        let start = bytes.len();
        if number > LINES_BACK && random.below(3) > 0 {
            let again = starts[random.below(LINES_BACK)];
            let len = 16 + random.below(64);
            bytes.extend_from_within(again..(again + len).min(start));
        } else {
            bytes.resize(start + 4 * random.below(5), b' ');
        }
        for _ in 0..1 + random.below(4) {
            bytes.extend_from_slice(&words[rank(&mut random)]);
            bytes.push(b" (_.,"[random.below(5)]);
        }
        bytes.extend_from_slice(b";\n");
        starts[number % LINES_BACK] = start;
    }
    bytes.truncate(len_bytes);
    bytes
}

fn word(random: &mut Random) -> Vec<u8> {
    let len = 2 + random.below(9);
    (0..len).map(|_| b"etaoinshrdlucmfwypvbgkqjxz"[random.below(26).min(random.below(26))]).collect()
}

/// The product of two uniform numbers falls off about as the frequencies of words do.
fn rank(random: &mut Random) -> usize {
    random.below(WORDS) * random.below(WORDS) / WORDS
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let scaled = (u128::from(mixed ^ (mixed >> 31)) * bound as u128) >> 64;
        usize::try_from(scaled).expect("less than bound")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum_repository::Stages;

    #[test]
    fn a_seed_gives_the_same_bytes_and_another_seed_others() {
        for sample in [Sample::Text, Sample::Random] {
            let bytes = sample.bytes(1, 100_000);
            assert_eq!(bytes.len(), 100_000);
            assert!(bytes == sample.bytes(1, 100_000) && bytes[..1000] != sample.bytes(2, 1000), "{sample}");
        }
    }

    #[test]
    fn text_compresses_like_source_and_random_data_does_not() {
        let compressed = |sample: Sample| Stages::new(3).unwrap().compress(&sample.bytes(1, 1 << 20)).unwrap();
        let ratio = (1 << 20) / compressed(Sample::Text);
        assert!((3..=5).contains(&ratio), "{ratio}");
        assert_eq!(compressed(Sample::Random), 1 << 20);
    }
}
