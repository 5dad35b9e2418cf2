//! The chunks of one file, in its order.

use super::run::Run;
use crate::content::ChunkIter;
use vellum_format::content::{ChunkRef, Content};
use vellum_repository::FrameCache;

/// The chunks of a file with their offsets, or why there are no more: they add up to the file's length or end with that.
pub(super) struct FileChunks<'a> {
    chunks: ChunkIter<'a>,
    offset: u64,
    len_bytes: u64,
    is_over: bool,
}

impl<'a> FileChunks<'a> {
    pub(super) fn new(run: &Run<'a>, cache: &'a FrameCache, content: &Content, len_bytes: u64) -> Self {
        Self { chunks: ChunkIter::new(run.repository, cache, content), offset: 0, len_bytes, is_over: false }
    }
}

impl Iterator for FileChunks<'_> {
    type Item = Result<(u64, ChunkRef), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let reason = match self.chunks.next() {
            Some(Ok(chunk)) => {
                let offset = self.offset;
                self.offset = offset.saturating_add(chunk.len_bytes.into());
                if self.offset <= self.len_bytes {
                    return Some(Ok((offset, chunk)));
                }
                // What follows may be without end.
                "its chunks are longer than it".to_owned()
            }
            Some(Err(error)) => error.to_string(),
            None if self.offset == self.len_bytes => return None,
            None => "its chunks do not add up to its length".to_owned(),
        };
        self.is_over = true;
        Some(Err(reason))
    }
}
