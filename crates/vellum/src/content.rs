//! Streams of bytes into chunks and back.

use crate::Error;
use std::collections::HashMap;
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

/// Reads a stored stream into `out`, chunk by chunk, each checked. Small streams often lie in one frame, which a
/// `cache` that is kept for all of them opens once.
///
/// # Errors
/// [`Error::Repository`] for a missing or damaged chunk, [`Error::Input`] when `out` fails.
pub fn read_stream(
    repository: &Repository,
    cache: &FrameCache,
    content: &Content,
    out: &mut impl Write,
) -> Result<u64, Error> {
    let mut len_bytes = 0;
    for chunk in ChunkIter::new(repository, cache, content) {
        let bytes = repository.read_chunk(cache, ChunkKind::Data, &chunk?)?;
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
        Self { repository, cache, levels }
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

/// What a content names, each list visited once however often it is repeated: a small repository may name files of
/// 2^63 bytes, and whoever only wants to know what they need has to come to an end.
///
/// Memory: one list chunk a level, and about 100 bytes for each different list.
pub(crate) struct DistinctChunks<'a> {
    repository: &'a Repository,
    cache: &'a FrameCache,
    /// The piece of a reference that a chunk boundary cut through, for each depth.
    carried: Vec<Vec<u8>>,
    /// What lists turned out to be, by depth, reference, and what was carried into them.
    passed: HashMap<(usize, ChunkRef, Vec<Vec<u8>>), Passed>,
    last: Option<ChunkRef>,
}

struct Passed {
    len_bytes: u64,
    carried: Vec<Vec<u8>>,
}

impl<'a> DistinctChunks<'a> {
    /// Visits every list and data reference of a content, and gives the length of the stream that it names.
    ///
    /// # Errors
    /// The first of `visit`, or of a list that cannot be read.
    pub(crate) fn visit(
        repository: &'a Repository,
        cache: &'a FrameCache,
        content: &Content,
        visit: &mut dyn FnMut(ChunkKind, &ChunkRef) -> Result<(), RepositoryError>,
    ) -> Result<u64, RepositoryError> {
        let depth = usize::from(content.depth);
        let mut own = Self { repository, cache, carried: vec![Vec::new(); depth], passed: HashMap::new(), last: None };
        let mut len_bytes = 0;
        for chunk in &content.chunks {
            len_bytes = sum(len_bytes, own.reference(depth, chunk, visit)?)?;
        }
        match own.carried.iter().all(Vec::is_empty) {
            true => Ok(len_bytes),
            false => Err(list_damaged(&vellum_format::FormatError::Truncated { what: "chunk list" })),
        }
    }

    /// The length of what a reference of this depth names: data, or a list of references of the depth below.
    fn reference(
        &mut self,
        depth: usize,
        chunk: &ChunkRef,
        visit: &mut dyn FnMut(ChunkKind, &ChunkRef) -> Result<(), RepositoryError>,
    ) -> Result<u64, RepositoryError> {
        if let Some(below) = depth.checked_sub(1) {
            return self.list(below, chunk, visit);
        }
        if self.last != Some(*chunk) {
            visit(ChunkKind::Data, chunk)?;
            self.last = Some(*chunk);
        }
        Ok(chunk.len_bytes.into())
    }

    /// The length of what a list of references of this depth names.
    fn list(
        &mut self,
        depth: usize,
        list: &ChunkRef,
        visit: &mut dyn FnMut(ChunkKind, &ChunkRef) -> Result<(), RepositoryError>,
    ) -> Result<u64, RepositoryError> {
        let key = (depth, *list, self.carried[..=depth].to_vec());
        if let Some(passed) = self.passed.get(&key) {
            self.carried[..=depth].clone_from_slice(&passed.carried);
            return Ok(passed.len_bytes);
        }
        visit(ChunkKind::List, list)?;
        let bytes = self.repository.read_chunk(self.cache, ChunkKind::List, list)?;
        let mut joined = std::mem::take(&mut self.carried[depth]);
        joined.extend_from_slice(&bytes);
        drop(bytes);
        let references = joined.chunks_exact(ChunkRef::ENCODED_LEN);
        self.carried[depth] = references.remainder().to_vec();
        let mut len_bytes = 0;
        for reference in references {
            for chunk in ChunkRef::decode_list(reference).map_err(|error| list_damaged(&error))? {
                len_bytes = sum(len_bytes, self.reference(depth, &chunk, visit)?)?;
            }
        }
        let carried = self.carried[..=depth].to_vec();
        self.passed.insert(key, Passed { len_bytes, carried });
        Ok(len_bytes)
    }
}

fn sum(a: u64, b: u64) -> Result<u64, RepositoryError> {
    let too_long = || RepositoryError::TreeDamaged { reason: "it names more than 2^64 bytes".to_owned() };
    a.checked_add(b).ok_or_else(too_long)
}
