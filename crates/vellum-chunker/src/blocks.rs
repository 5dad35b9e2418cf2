//! Reading a stream once and handing out its chunks by the block, for others to take while the next block is read.

use std::io::{self, ErrorKind, Read};

use crate::Chunker;

/// Some chunks of a stream that follow each other, in one buffer.
pub struct Block {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Block {
    /// The chunks, in their order; never none.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    /// The buffer, for another block. It keeps the plaintext.
    pub fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

/// Reads a stream once and hands out blocks of its chunks, which are those of [`ChunkStream`](crate::ChunkStream).
///
/// Memory: the blocks that are out, and one chunk of `max` bytes.
pub struct BlockStream<R> {
    chunker: Chunker,
    reader: R,
    /// What was read behind the last block.
    rest: Vec<u8>,
    is_first: bool,
    has_ended: bool,
}

impl<R: Read> BlockStream<R> {
    /// A stream of the chunks of all that `reader` returns from here on.
    pub fn new(chunker: Chunker, reader: R) -> Self {
        BlockStream { chunker, reader, rest: Vec::new(), is_first: true, has_ended: false }
    }

    /// The next chunks, or `None` after the last.
    ///
    /// They lie in `buffer`, whose contents do not matter and which is made `len_bytes` long, at least four times the
    /// largest chunk. An interrupted read is tried again. After any other error, which loses what was read but not yet
    /// handed out, the stream has ended.
    pub fn next_block(&mut self, mut buffer: Vec<u8>, len_bytes: usize) -> io::Result<Option<Block>> {
        let sizes = self.chunker.sizes();
        buffer.resize(len_bytes.max(4 * sizes.max() as usize), 0);
        let end = self.fill(&mut buffer)?;
        let is_whole = std::mem::take(&mut self.is_first) && self.has_ended && end <= sizes.avg() as usize;
        let mut ends = Vec::new();
        let mut at = 0;
        while at < end && (self.has_ended || end - at >= sizes.max() as usize) {
            at += if is_whole { end } else { self.chunker.cut(&buffer[at..end]) };
            ends.push(at);
        }
        self.rest.extend_from_slice(&buffer[at..end]);
        Ok((!ends.is_empty()).then_some(Block { bytes: buffer, ends }))
    }

    /// Fills the buffer with what was left and what comes next, as far as the stream goes.
    fn fill(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut end = self.rest.len();
        buffer[..end].copy_from_slice(&self.rest);
        self.rest.clear();
        while end < buffer.len() && !self.has_ended {
            match self.reader.read(&mut buffer[end..]) {
                Ok(0) => self.has_ended = true,
                Ok(length) => end += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.has_ended = true;
                    return Err(error);
                }
            }
        }
        Ok(end)
    }
}
