//! The bytes of a segment, from its records in their order.

use super::filter::FilterWriter;
use super::tables::Tables;
use super::{CHUNKS_PER_FENCE, ChunkRecord, FrameRecord, HEADER_LEN, Header, SEALED_LEN, Section, prefix};
use crate::key::{RECORD_LEN, SegmentKey, TAG_LEN};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

const BUFFER_LEN_BYTES: usize = 256 << 10;

/// Where a segment is written to, in several streams.
pub(crate) trait Output {
    /// Puts bytes so many bytes from the start.
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()>;
}

impl Output for &File {
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        self.write_all_at(bytes, at)
    }
}

impl Output for Vec<u8> {
    fn write_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        let at = usize::try_from(at).map_err(|_| io::ErrorKind::OutOfMemory)?;
        let end = at.checked_add(bytes.len()).ok_or(io::ErrorKind::OutOfMemory)?;
        if self.len() < end {
            self.resize(end, 0);
        }
        self[at..end].copy_from_slice(bytes);
        Ok(())
    }
}

/// Bytes that follow each other, written in large pieces.
pub(super) struct Stream {
    at: u64,
    buffer: Vec<u8>,
}

impl Stream {
    pub(super) const fn new(at: u64) -> Self {
        Self { at, buffer: Vec::new() }
    }

    pub(super) fn push(&mut self, bytes: &[u8], out: &mut impl Output) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() < BUFFER_LEN_BYTES { Ok(()) } else { self.flush(out) }
    }

    pub(super) fn flush(&mut self, out: &mut impl Output) -> io::Result<()> {
        out.write_at(&self.buffer, self.at)?;
        self.at += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// Writes one segment: all its chunks, sorted, then all its frames, then the tables. Beside buffers it takes 8 bytes of
/// memory for 64 chunks.
pub(super) struct Writer<'o, O> {
    out: &'o mut O,
    header: Header,
    key: SegmentKey,
    records: Stream,
    filter: FilterWriter,
    fences: Vec<u64>,
    chunks: u64,
    frames: u32,
}

impl<'o, O: Output> Writer<'o, O> {
    pub(super) fn new(header: Header, key: SegmentKey, out: &'o mut O) -> Self {
        let records = Stream::new(HEADER_LEN as u64);
        let filter = FilterWriter::new(header.filter_at(), header.chunks, &key);
        Self { out, header, key, records, filter, fences: Vec::new(), chunks: 0, frames: 0 }
    }

    pub(super) fn chunk(&mut self, chunk: &ChunkRecord) -> io::Result<()> {
        if self.chunks.is_multiple_of(CHUNKS_PER_FENCE as u64) {
            self.fences.push(prefix(&chunk.id));
        }
        self.filter.insert(&chunk.id, self.out)?;
        self.record(Section::Chunks, self.chunks, &chunk.encode())?;
        self.chunks += 1;
        Ok(())
    }

    pub(super) fn frame(&mut self, frame: &FrameRecord) -> io::Result<()> {
        self.record(Section::Frames, u64::from(self.frames), &frame.encode())?;
        self.frames += 1;
        Ok(())
    }

    /// Writes what is not yet written; an error if there were more or fewer records than announced.
    pub(super) fn finish(mut self, tables: &Tables) -> io::Result<()> {
        let meta = tables.encode(&self.fences);
        let written = (self.chunks, self.frames, meta.len() as u64);
        if written != (self.header.chunks, self.header.frames, self.header.meta_len_bytes) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a segment of other records than announced"));
        }
        self.records.push(&meta, self.out)?;
        self.records.push(&self.key.tag(Section::Meta.place(0), &meta), self.out)?;
        self.records.flush(self.out)?;
        self.filter.finish(self.out)?;
        let header: [u8; HEADER_LEN - TAG_LEN] = self.header.encode();
        let tag = self.key.tag(Section::Header.place(0), &header);
        self.out.write_at(&[&header[..], &tag].concat(), 0)
    }

    fn record(&mut self, section: Section, number: u64, record: &[u8; RECORD_LEN]) -> io::Result<()> {
        let mut sealed = [0; SEALED_LEN];
        sealed[..RECORD_LEN].copy_from_slice(record);
        sealed[RECORD_LEN..].copy_from_slice(&self.key.record_tag(section.place(number), record));
        self.records.push(&sealed, self.out)
    }
}
