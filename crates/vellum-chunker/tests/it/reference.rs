//! `docs/CHUNKERS.md` read word by word: every value computed anew from its window, and the cut chosen among all.

use aes::cipher::{BlockCipherEncrypt, KeyInit};
use vellum_chunker::{Algorithm, Sizes};

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cut {
    Found(usize),
    Fallback(usize),
    Forced(usize),
    End(usize),
}

impl Cut {
    pub(crate) fn length(self) -> usize {
        match self {
            Cut::Found(length) | Cut::Fallback(length) | Cut::Forced(length) | Cut::End(length) => length,
        }
    }
}

pub(crate) fn lengths(algorithm: Algorithm, sizes: Sizes, key: &[u8; 32], data: &[u8]) -> Vec<usize> {
    Reference::new(algorithm, sizes, key).cuts(data).into_iter().map(Cut::length).collect()
}

/// The value of the position behind a window.
type Value = Box<dyn Fn(&[u8]) -> u32>;

pub(crate) struct Reference {
    sizes: Sizes,
    value: Value,
}

impl Reference {
    pub(crate) fn new(algorithm: Algorithm, sizes: Sizes, key: &[u8; 32]) -> Reference {
        let value: Value = match algorithm {
            Algorithm::Phte128 => phte128(key),
            Algorithm::Window => window(key, 12.min(sizes.avg().ilog2() - 2)),
            _ => unreachable!("no other shares the rule for cuts"),
        };
        Reference { sizes, value }
    }

    pub(crate) fn value(&self, data: &[u8], position: usize) -> u32 {
        (self.value)(&data[position - 64..position])
    }

    pub(crate) fn cuts(&self, mut data: &[u8]) -> Vec<Cut> {
        let mut cuts = Vec::new();
        while !data.is_empty() {
            let cut = self.cut(data);
            data = &data[cut.length()..];
            cuts.push(cut);
        }
        cuts
    }

    fn cut(&self, data: &[u8]) -> Cut {
        let [min, avg, max] = [self.sizes.min(), self.sizes.avg(), self.sizes.max()].map(|size| size as usize);
        let log = self.sizes.avg().ilog2();
        let mut candidates = Vec::new();
        for position in min..max.min(data.len()) {
            let zeros = self.value(data, position);
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
}

fn expand<const N: usize>(key: &[u8; 32], message: &str) -> [u8; N] {
    let mut bytes = [0; N];
    blake3::Hasher::new_keyed(key).update(message.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

fn words<const N: usize>(bytes: &[u8]) -> [u64; N] {
    std::array::from_fn(|index| u64::from_le_bytes(bytes[8 * index..8 * index + 8].try_into().unwrap()))
}

fn encrypted_zeros(aes_key: &[u8; 16], block: [u8; 16]) -> u32 {
    let mut block = block.into();
    aes::Aes128::new(&(*aes_key).into()).encrypt_block(&mut block);
    u64::from_le_bytes(block[..8].try_into().unwrap()).trailing_zeros()
}

fn phte128(key: &[u8; 32]) -> Value {
    let tables: [u64; 512] = words(&expand::<4096>(key, "uhf"));
    let aes_key = expand(key, "aes");
    Box::new(move |window| {
        let mut block = [0; 16];
        for (lane, table) in tables.chunks(256).enumerate() {
            let mut sum = 0;
            for (index, byte) in window.iter().enumerate() {
                sum ^= u128::from(table[usize::from(*byte)]) << (63 - index);
            }
            while sum >> 64 != 0 {
                let high = sum >> 64;
                sum = sum & u128::from(u64::MAX) ^ high << 4 ^ high << 3 ^ high << 1 ^ high;
            }
            block[8 * lane..8 * lane + 8].copy_from_slice(&u64::try_from(sum).unwrap().to_le_bytes());
        }
        encrypted_zeros(&aes_key, block)
    })
}

/// What each byte becomes.
type Map = [u8; 256];

fn window(key: &[u8; 32], filter_bits: u32) -> Value {
    let bytes = expand::<136>(key, "window");
    let maps: [Map; 7] = std::array::from_fn(|map| {
        let random = |row: usize, column: usize| bytes[8 * map + row] >> column & 1 == 1;
        let lower = |row, column| row == column || (column < row && random(row, column));
        let upper = |row, column| row == column || (column > row && random(row, column));
        let product = |row: usize, column: usize| (0..8).filter(|at| lower(row, *at) && upper(*at, column)).count() % 2;
        let bit =
            |row, byte: usize| (0..8).map(|column| product(row, column) * (byte >> column & 1)).sum::<usize>() % 2;
        std::array::from_fn(|byte| (0..8).map(|row| u8::from(bit(row, byte) == 1) << row).sum())
    });
    let words_of_key: [u64; 8] = words(&bytes[56..120]);
    let aes_key: [u8; 16] = bytes[120..].try_into().unwrap();
    Box::new(move |window| {
        let newer = digest(&maps, &window[32..]);
        let older = digest(&maps, &window[..32]);
        if newer != 1 || u32::from(older).trailing_zeros() < filter_bits - 8 {
            return 0;
        }
        let mut sum = 0u128;
        for (word, key) in words::<8>(window).into_iter().zip(words_of_key) {
            for bit in (0..64).filter(|bit| word >> bit & 1 == 1) {
                sum ^= u128::from(key) << bit;
            }
        }
        filter_bits + encrypted_zeros(&aes_key, sum.to_le_bytes())
    })
}

/// By halves: the younger one, and what a map makes of the older one.
fn digest(maps: &[Map; 7], bytes: &[u8]) -> u8 {
    let apply = |map: usize, byte: u8| maps[map][usize::from(byte)];
    if bytes.len() == 4 {
        return (0..4).fold(0, |sum, back| sum ^ apply(back, bytes[3 - back]));
    }
    let (older, younger) = bytes.split_at(bytes.len() / 2);
    let map = 1 + bytes.len().ilog2() as usize;
    digest(maps, younger) ^ apply(map, digest(maps, older))
}
