//! The filter of a segment: says of almost every chunk that the segment does not hold that it is absent, from memory.
//!
//! A blocked Bloom filter of 16 bits a chunk. An id belongs to one block of 64 bytes, chosen by its first 8 bytes, and
//! stands for one bit in each of the block's eight words, chosen by 6 bits of its second 8 bytes each. Ids are output
//! of keyed BLAKE3, so all of these are as good as drawn at random. The block rises with the id: sorted records fill
//! the blocks one after the other, and neighbours ask neighbouring blocks.
//!
//! False alarms: a block has `n` of the segment's chunks with Poisson's probability of mean 32, and then a word has a
//! given bit with probability `1 - (63/64)^n`; the eighth power of it, averaged over `n`, is 0.091 %. Each costs one
//! read. Ids that somebody made up can do worse, and then cost a read each, as all did without a filter.

use super::write::{Output, Stream};
use super::{Section, Source, field, prefix};
use crate::key::{SegmentKey, TAG_LEN, Tagger};
use std::io;
use vellum_format::ChunkId;

const WORDS: usize = 8;
const BLOCK_LEN: usize = WORDS * size_of::<u64>();
const CHUNKS_PER_BLOCK: u64 = 32;
const PIECE_LEN_BYTES: usize = 1 << 20;

const _: () = assert!(PIECE_LEN_BYTES.is_multiple_of(BLOCK_LEN));

/// One line of the processor's cache.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Block([u64; WORDS]);

/// The filter of an open segment, which was verified when it was read. // N1
pub(super) struct Filter(Vec<Block>);

impl Filter {
    /// Reads the filter for so many chunks, in pieces; nothing if it is not as it was written.
    pub(super) fn read(source: &Source, at: u64, chunks: u64, key: &SegmentKey) -> Option<Self> {
        let mut left = usize::try_from(len_bytes(chunks)).ok()?;
        let mut blocks = Vec::with_capacity(left / BLOCK_LEN);
        let mut tagger = key.tagger(Section::Filter.place(0));
        let mut piece = vec![0; PIECE_LEN_BYTES];
        let mut at = at;
        while left > 0 {
            let len = left.min(PIECE_LEN_BYTES);
            source.read(at, &mut piece[..len])?;
            tagger.update(&piece[..len]);
            blocks.extend(piece[..len].as_chunks().0.iter().map(Block::decode));
            (at, left) = (at + len as u64, left - len);
        }
        let mut tag = [0; TAG_LEN];
        source.read(at, &mut tag)?;
        (tagger.finish() == tag).then_some(Self(blocks))
    }

    /// Whether the segment may hold a chunk; if not, it certainly does not.
    pub(super) fn may_hold(&self, id: &ChunkId) -> bool {
        let (block, bits) = place(id, self.0.len() as u64);
        let Some(Block(words)) = self.block(block) else { return true };
        // Without a branch for each word, so that the processor is already at the next segment's filter.
        let has = |all, (number, word): (usize, &u64)| all & (word >> bit(bits, number));
        words.iter().enumerate().fold(1, has) == 1
    }

    /// A word of the block that a chunk belongs to.
    pub(super) fn word(&self, id: &ChunkId) -> u64 {
        self.block(place(id, self.0.len() as u64).0).map_or(0, |block| block.0[0])
    }

    fn block(&self, number: u64) -> Option<&Block> {
        usize::try_from(number).ok().and_then(|number| self.0.get(number))
    }
}

impl Block {
    const EMPTY: Self = Self([0; WORDS]);

    fn decode(bytes: &[u8; BLOCK_LEN]) -> Self {
        let mut words = [0; WORDS];
        let numbers = bytes.as_chunks().0.iter().map(|word: &[u8; 8]| u64::from_le_bytes(*word));
        words.iter_mut().zip(numbers).for_each(|(word, number)| *word = number);
        Self(words)
    }

    fn insert(&mut self, bits: u64) {
        self.0.iter_mut().enumerate().for_each(|(number, word)| *word |= 1 << bit(bits, number));
    }

    fn encode(self) -> [u8; BLOCK_LEN] {
        let mut bytes = [0; BLOCK_LEN];
        let places: &mut [[u8; 8]] = bytes.as_chunks_mut().0;
        places.iter_mut().zip(self.0).for_each(|(place, word)| *place = word.to_le_bytes());
        bytes
    }
}

/// Writes the filter of a segment while its chunks are written, in the order of their ids.
pub(super) struct FilterWriter {
    blocks: u64,
    number: u64,
    block: Block,
    tagger: Tagger,
    stream: Stream,
}

impl FilterWriter {
    pub(super) fn new(at: u64, chunks: u64, key: &SegmentKey) -> Self {
        let blocks = len_bytes(chunks) / BLOCK_LEN as u64;
        let tagger = key.tagger(Section::Filter.place(0));
        Self { blocks, number: 0, block: Block::EMPTY, tagger, stream: Stream::new(at) }
    }

    /// Adds a chunk whose id is not less than that of the chunk before.
    pub(super) fn insert(&mut self, id: &ChunkId, out: &mut impl Output) -> io::Result<()> {
        let (number, bits) = place(id, self.blocks);
        if number < self.number {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "chunks are not sorted"));
        }
        self.go_to(number, out)?;
        self.block.insert(bits);
        Ok(())
    }

    pub(super) fn finish(mut self, out: &mut impl Output) -> io::Result<()> {
        self.go_to(self.blocks, out)?;
        let tag = self.tagger.finish();
        self.stream.push(&tag, out)?;
        self.stream.flush(out)
    }

    fn go_to(&mut self, number: u64, out: &mut impl Output) -> io::Result<()> {
        while self.number < number {
            let bytes = std::mem::replace(&mut self.block, Block::EMPTY).encode();
            self.tagger.update(&bytes);
            self.stream.push(&bytes, out)?;
            self.number += 1;
        }
        Ok(())
    }
}

/// Length of the filter of so many chunks in bytes.
pub(super) const fn len_bytes(chunks: u64) -> u64 {
    (chunks / CHUNKS_PER_BLOCK + 1) * BLOCK_LEN as u64
}

/// The number of an id's block, and what chooses its bits.
fn place(id: &ChunkId, blocks: u64) -> (u64, u64) {
    let bits = u64::from_le_bytes(field(id.as_bytes(), 8));
    let block = (u128::from(prefix(id)) * u128::from(blocks)) >> u64::BITS;
    (u64::try_from(block).expect("it is less than the number of blocks"), bits)
}

/// Which bit of a word.
const fn bit(bits: u64, word: usize) -> u64 {
    (bits >> (6 * word)) & 63
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{LocalKey, SegmentId};

    fn id(number: u64) -> ChunkId {
        ChunkId::from_bytes(*blake3::hash(&number.to_le_bytes()).as_bytes())
    }

    fn key() -> SegmentKey {
        LocalKey::new([1; 32]).segment_key(SegmentId([2; 16]))
    }

    fn written(chunks: u64) -> Vec<u8> {
        let mut ids: Vec<ChunkId> = (0..chunks).map(id).collect();
        ids.sort_unstable();
        let (mut out, mut writer) = (Vec::new(), FilterWriter::new(0, chunks, &key()));
        ids.iter().for_each(|id| writer.insert(id, &mut out).unwrap());
        writer.finish(&mut out).unwrap();
        out
    }

    #[test]
    fn one_absent_chunk_in_a_thousand_raises_an_alarm_and_every_present_one() {
        const CHUNKS: u64 = 100_000;
        let out = written(CHUNKS);
        assert_eq!(out.len() as u64, len_bytes(CHUNKS) + TAG_LEN as u64);
        let filter = Filter::read(&Source::Memory(out), 0, CHUNKS, &key()).unwrap();
        assert!((0..CHUNKS).all(|number| filter.may_hold(&id(number))));
        let alarms = (CHUNKS..11 * CHUNKS).filter(|number| filter.may_hold(&id(*number))).count();
        // 909 are expected of a million; chance adds or takes 30.
        assert!((750..1_070).contains(&alarms), "{alarms}");
    }

    #[test]
    fn any_flip_or_cut_is_noticed() {
        for chunks in [0, 1, 100] {
            let good = written(chunks);
            let is_read = |bytes: Vec<u8>| Filter::read(&Source::Memory(bytes), 0, chunks, &key()).is_some();
            assert!(is_read(good.clone()));
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 1 << (at % 8);
                assert!(!is_read(bad) && !is_read(good[..at].to_vec()), "{at}");
            }
        }
    }

    #[test]
    fn chunks_out_of_order_are_refused() {
        let (mut out, mut writer) = (Vec::new(), FilterWriter::new(0, 1000, &key()));
        writer.insert(&ChunkId::from_bytes([0xFF; 32]), &mut out).unwrap();
        assert!(writer.insert(&ChunkId::from_bytes([0; 32]), &mut out).is_err());
    }
}
