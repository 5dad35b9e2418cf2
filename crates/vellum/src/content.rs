//! Streams of bytes into chunks and back.

use crate::Error;
use std::io::{Read, Write};
use vellum_chunker::{ChunkStream, Chunker};
use vellum_format::content::{ChunkKind, ChunkRef, Content};
use vellum_repository::{FrameCache, FrameWriter, Repository, RepositoryError};

/// Collects the references of a stream and cuts them into list chunks of their own when they are many, level by
/// level. Memory: two maximal chunks a level, whatever the length of the stream.
pub(crate) struct ContentBuilder {
    chunker: Chunker,
    levels: Vec<Level>,
}

#[derive(Default)]
struct Level {
    pending: Vec<u8>,
    was_cut: bool,
}

impl ContentBuilder {
    pub(crate) fn new(chunker: Chunker) -> Self {
        Self { chunker, levels: vec![Level::default()] }
    }

    pub(crate) fn push(&mut self, chunk: &ChunkRef, writer: &mut FrameWriter<'_>) -> Result<(), RepositoryError> {
        self.push_at(0, chunk, writer)
    }

    fn push_at(&mut self, level: usize, chunk: &ChunkRef, writer: &mut FrameWriter<'_>) -> Result<(), RepositoryError> {
        if level == self.levels.len() {
            self.levels.push(Level::default());
        }
        chunk.encode_into(&mut self.levels[level].pending);
        let max = self.chunker.sizes().max() as usize;
        if self.levels[level].pending.len() < 2 * max {
            return Ok(());
        }
        self.cut_lists(level, max, writer)
    }

    /// Cuts list chunks off a level while at least `keep` bytes are pending.
    fn cut_lists(&mut self, level: usize, keep: usize, writer: &mut FrameWriter<'_>) -> Result<(), RepositoryError> {
        let pending = std::mem::take(&mut self.levels[level].pending);
        self.levels[level].was_cut = true;
        let mut rest = &pending[..];
        while !rest.is_empty() && rest.len() >= keep {
            let (list, after) = rest.split_at(self.chunker.cut(rest));
            let put = writer.put(ChunkKind::List, list)?;
            self.push_at(level + 1, &put.chunk, writer)?;
            rest = after;
        }
        self.levels[level].pending = rest.to_vec();
        Ok(())
    }

    pub(crate) fn finish(mut self, writer: &mut FrameWriter<'_>) -> Result<Content, RepositoryError> {
        let mut depth = 0;
        loop {
            let level = &self.levels[depth];
            if !level.was_cut && level.pending.len() <= Content::DIRECT_MAX * ChunkRef::ENCODED_LEN {
                let chunks = ChunkRef::decode_list(&level.pending).expect("these references were just encoded");
                let depth = u8::try_from(depth).expect("eight levels hold more than any file");
                return Ok(Content { depth, chunks });
            }
            self.cut_lists(depth, 0, writer)?;
            depth += 1;
        }
    }
}

/// A stream that is produced piece by piece, such as a folder's entry list, cut like a file.
pub(crate) struct StreamWriter {
    kind: ChunkKind,
    chunker: Chunker,
    pending: Vec<u8>,
    was_cut: bool,
    content: ContentBuilder,
}

impl StreamWriter {
    pub(crate) fn new(kind: ChunkKind, chunker: Chunker) -> Self {
        let content = ContentBuilder::new(chunker.clone());
        Self { kind, chunker, pending: Vec::new(), was_cut: false, content }
    }

    /// Where the next piece is appended; call [`StreamWriter::settle`] after it.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// Cuts what is certain off the buffer.
    pub(crate) fn settle(&mut self, writer: &mut FrameWriter<'_>) -> Result<(), RepositoryError> {
        let max = self.chunker.sizes().max() as usize;
        if self.pending.len() < 2 * max {
            return Ok(());
        }
        self.cut(max, writer)
    }

    fn cut(&mut self, keep: usize, writer: &mut FrameWriter<'_>) -> Result<(), RepositoryError> {
        let pending = std::mem::take(&mut self.pending);
        self.was_cut = true;
        let mut rest = &pending[..];
        while !rest.is_empty() && rest.len() >= keep {
            let (chunk, after) = rest.split_at(self.chunker.cut(rest));
            let put = writer.put(self.kind, chunk)?;
            self.content.push(&put.chunk, writer)?;
            rest = after;
        }
        self.pending = rest.to_vec();
        Ok(())
    }

    pub(crate) fn finish(mut self, writer: &mut FrameWriter<'_>) -> Result<Content, RepositoryError> {
        if !self.was_cut && !self.pending.is_empty() && self.pending.len() <= self.chunker.sizes().avg() as usize {
            let put = writer.put(self.kind, &self.pending)?;
            self.content.push(&put.chunk, writer)?;
        } else {
            self.cut(0, writer)?;
        }
        self.content.finish(writer)
    }
}

/// Stores a stream and returns how to find it again with its length; nothing of it is durable before the writer's
/// session is sealed.
///
/// # Errors
/// [`Error::Input`] when the reader fails, [`Error::Repository`] when the repository does.
pub fn write_stream(
    repository: &Repository,
    writer: &mut FrameWriter<'_>,
    reader: impl Read,
) -> Result<(Content, u64), Error> {
    let mut builder = ContentBuilder::new(repository.chunker());
    let mut stream = ChunkStream::new(repository.chunker(), reader);
    let mut len_bytes = 0;
    while let Some(chunk) = stream.next_chunk().map_err(Error::Input)? {
        len_bytes += chunk.len() as u64;
        let put = writer.put(ChunkKind::Data, chunk)?;
        builder.push(&put.chunk, writer)?;
    }
    Ok((builder.finish(writer)?, len_bytes))
}

/// Reads a stored stream into `out`, chunk by chunk, each checked.
///
/// # Errors
/// [`Error::Repository`] for a missing or damaged chunk, [`Error::Input`] when `out` fails.
pub fn read_stream(repository: &Repository, content: &Content, out: &mut impl Write) -> Result<u64, Error> {
    let cache = FrameCache::new(4);
    let mut len_bytes = 0;
    for chunk in ChunkIter::new(repository, &cache, content) {
        let bytes = repository.read_chunk(&cache, ChunkKind::Data, &chunk?)?;
        out.write_all(&bytes).map_err(Error::Input)?;
        len_bytes += bytes.len() as u64;
    }
    Ok(len_bytes)
}

/// The data references of a content, its lists read on the way. Memory: one list chunk a level.
pub(crate) struct ChunkIter<'a> {
    repository: &'a Repository,
    cache: &'a FrameCache,
    /// From the data upwards: what is left of the list that is open at each depth, and a piece of a reference that
    /// a chunk boundary cut through.
    levels: Vec<OpenList>,
    lists_read: Vec<ChunkRef>,
}

#[derive(Default)]
struct OpenList {
    bytes: Vec<u8>,
    at: usize,
}

impl<'a> ChunkIter<'a> {
    pub(crate) fn new(repository: &'a Repository, cache: &'a FrameCache, content: &Content) -> Self {
        let mut levels: Vec<OpenList> = (0..=content.depth).map(|_| OpenList::default()).collect();
        let top = &mut levels[usize::from(content.depth)];
        content.chunks.iter().for_each(|chunk| chunk.encode_into(&mut top.bytes));
        Self { repository, cache, levels, lists_read: Vec::new() }
    }

    /// The list chunks that were read since this was asked last.
    pub(crate) fn take_lists(&mut self) -> std::vec::Drain<'_, ChunkRef> {
        self.lists_read.drain(..)
    }

    fn next_at(&mut self, level: usize) -> Result<Option<ChunkRef>, RepositoryError> {
        loop {
            let open = &mut self.levels[level];
            let rest = &open.bytes[open.at..];
            if let Some(encoded) = rest.get(..ChunkRef::ENCODED_LEN) {
                let decoded = ChunkRef::decode_list(encoded).map_err(|error| list_damaged(&error))?;
                open.at += ChunkRef::ENCODED_LEN;
                return Ok(decoded.first().copied());
            }
            let left_over = rest.to_vec();
            if level + 1 == self.levels.len() {
                return match left_over.is_empty() {
                    true => Ok(None),
                    false => Err(list_damaged(&vellum_format::FormatError::Truncated { what: "chunk list" })),
                };
            }
            match self.next_at(level + 1)? {
                Some(list) => {
                    let bytes = self.repository.read_chunk(self.cache, ChunkKind::List, &list)?;
                    self.lists_read.push(list);
                    self.levels[level] = OpenList { bytes: [left_over, bytes].concat(), at: 0 };
                }
                None if left_over.is_empty() => return Ok(None),
                None => return Err(list_damaged(&vellum_format::FormatError::Truncated { what: "chunk list" })),
            }
        }
    }
}

impl Iterator for ChunkIter<'_> {
    type Item = Result<ChunkRef, RepositoryError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.next_at(0).transpose();
        if matches!(next, Some(Err(_))) {
            self.levels = vec![OpenList::default()];
        }
        next
    }
}

fn list_damaged(error: &vellum_format::FormatError) -> RepositoryError {
    RepositoryError::TreeDamaged { reason: error.to_string() }
}
