//! Reading a stream once and lending its chunks.

use std::io::{self, ErrorKind, Read};

use crate::Chunker;

const BUFFER_BYTES_MIN: usize = 1 << 20;

/// Reads a stream once through one reused buffer and lends one chunk after the other.
///
/// A stream of at most `avg` bytes is exactly one chunk and is not scanned; an empty stream has none. All other chunks
/// are those of [`Chunker::cut`], whatever sizes the reader returns. Memory is one buffer of four times `max`, at least
/// 1 MiB, or the given one where that is longer. The buffer keeps the plaintext last read and is not wiped.
pub struct ChunkStream<R> {
    chunker: Chunker,
    reader: R,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    state: State,
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum State {
    /// No chunk was lent yet.
    First,
    Later,
    /// The reader is not asked again.
    Ended,
}

impl<R: Read> ChunkStream<R> {
    /// A stream of the chunks of all that `reader` returns from here on.
    pub fn new(chunker: Chunker, reader: R) -> Self {
        Self::with_buffer(chunker, reader, Vec::new())
    }

    /// As [`new`](Self::new), reusing the allocation of `buffer`, whose contents do not matter.
    pub fn with_buffer(chunker: Chunker, reader: R, mut buffer: Vec<u8>) -> Self {
        let length = BUFFER_BYTES_MIN.max(4 * chunker.sizes().max() as usize);
        if buffer.len() < length {
            buffer.resize(length, 0);
        }
        ChunkStream { chunker, reader, buffer, start: 0, end: 0, state: State::First }
    }

    /// The buffer, for the next stream's [`with_buffer`](Self::with_buffer).
    pub fn into_buffer(self) -> Vec<u8> {
        self.buffer
    }

    /// The next chunk, or `None` after the last.
    ///
    /// An interrupted read is tried again. After any other error, which loses what was read but not yet lent, the
    /// stream has ended.
    pub fn next_chunk(&mut self) -> io::Result<Option<&[u8]>> {
        let sizes = self.chunker.sizes();
        let first = self.state == State::First;
        if self.state != State::Ended {
            self.state = State::Later;
            self.fill(sizes.max() as usize)?;
        }
        let data = &self.buffer[self.start..self.end];
        let whole = first && self.state == State::Ended && data.len() <= sizes.avg() as usize;
        let length = if whole { data.len() } else { self.chunker.cut(data) };
        self.start += length;
        Ok((length > 0).then(|| &data[..length]))
    }

    /// Reads until at least `wanted` unlent bytes are there, or the stream has ended.
    fn fill(&mut self, wanted: usize) -> io::Result<()> {
        if self.start + wanted > self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        while self.end - self.start < wanted {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    self.state = State::Ended;
                    break;
                }
                Ok(length) => self.end += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.state = State::Ended;
                    self.end = self.start;
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}
