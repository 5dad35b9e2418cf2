//! Taking packs and frames apart, with every check that stands between stored bytes and plaintext.

use crate::class::Class;
use crate::zstd_context::Decompressor;
use std::ops::Range;
use vellum_crypto::frame_ad;
use vellum_format::RepositoryId;
use vellum_format::content::ChunkKind;
use vellum_format::pack::{Compression, Directory, Frame, KeyWrap, PackHeader, PackTrailer, PackedChunk};

/// Bytes of a sealed trailer.
pub(crate) const TRAILER_LEN_BYTES: u64 = (PackTrailer::ENCODED_LEN + vellum_crypto::SEAL_OVERHEAD_BYTES) as u64;

/// What is needed to open one frame.
pub(crate) struct FrameSeal<'a> {
    pub(crate) wrap: &'a KeyWrap,
    pub(crate) salt: &'a [u8; 16],
    pub(crate) kind: ChunkKind,
    pub(crate) compression: Compression,
    pub(crate) plain_len_bytes: u32,
    pub(crate) chunk_count: u32,
}

/// Opens the directory of a whole pack. The error says what is wrong, without the pack's name.
pub(crate) fn open_pack(bytes: &[u8], class: &Class, scope: RepositoryId) -> Result<Directory, String> {
    let len = bytes.len() as u64;
    let header_bytes = bytes.first_chunk::<{ PackHeader::ENCODED_LEN }>().ok_or("pack is cut short")?;
    let header = decode_header(header_bytes, len, class, scope)?;
    let at = trailer_range(&header)?;
    let trailer = open_trailer(class, &header, slice(bytes, at.clone())?, at.start)?;
    let sealed = slice(bytes, directory_range(&trailer))?;
    open_directory(class, &header, sealed, &trailer)
}

/// Opens the directory of a pack of which only ranges can be read: three small reads instead of the whole.
pub(crate) fn open_pack_by_ranges<E>(
    len: u64,
    class: &Class,
    scope: RepositoryId,
    mut read: impl FnMut(Range<u64>) -> Result<Vec<u8>, E>,
) -> Result<Result<Directory, String>, E> {
    if len < PackHeader::ENCODED_LEN as u64 {
        return Ok(Err("pack is cut short".to_owned()));
    }
    let header_bytes = read(0..PackHeader::ENCODED_LEN as u64)?;
    let header = decode_header(&header_bytes, len, class, scope);
    let (header, at) = match header.and_then(|header| trailer_range(&header).map(|at| (header, at))) {
        Ok(found) => found,
        Err(reason) => return Ok(Err(reason)),
    };
    let trailer_bytes = read(at.clone())?;
    let trailer = match open_trailer(class, &header, &trailer_bytes, at.start) {
        Ok(trailer) => trailer,
        Err(reason) => return Ok(Err(reason)),
    };
    let sealed = read(directory_range(&trailer))?;
    Ok(open_directory(class, &header, &sealed, &trailer))
}

/// Where the sealed trailer lies: at the end of the body, which the header gives and parity may follow.
fn trailer_range(header: &PackHeader) -> Result<Range<u64>, String> {
    let end = header.body_len_bytes;
    let start = end.checked_sub(TRAILER_LEN_BYTES).filter(|at| *at >= PackHeader::ENCODED_LEN as u64);
    start.map(|start| start..end).ok_or_else(|| "pack is cut short".to_owned())
}

fn decode_header(bytes: &[u8], len: u64, class: &Class, scope: RepositoryId) -> Result<PackHeader, String> {
    let header = PackHeader::decode(bytes, len).map_err(|error| error.to_string())?;
    match header.scope == scope && class.keys_of(header.epoch).is_some() {
        true => Ok(header),
        false => Err("it belongs to another repository, or to an epoch whose keys are not there".to_owned()),
    }
}

fn open_trailer(class: &Class, header: &PackHeader, sealed: &[u8], trailer_at: u64) -> Result<PackTrailer, String> {
    let keys = class.keys_of(header.epoch).ok_or("its epoch's keys are not there")?;
    let plain = keys
        .open_trailer(header, sealed)
        .map_err(|_| "its trailer does not open with this repository's keys".to_owned())?;
    PackTrailer::decode(&plain, trailer_at).map_err(|error| error.to_string())
}

fn open_directory(
    class: &Class,
    header: &PackHeader,
    sealed: &[u8],
    trailer: &PackTrailer,
) -> Result<Directory, String> {
    let keys = class.keys_of(header.epoch).ok_or("its epoch's keys are not there")?;
    let plain = keys
        .open_directory(header, sealed)
        .map_err(|_| "its directory does not open with this repository's keys".to_owned())?;
    Directory::decode(&plain, trailer.directory_offset.into()).map_err(|error| error.to_string())
}

fn directory_range(trailer: &PackTrailer) -> Range<u64> {
    let start = u64::from(trailer.directory_offset);
    start..start + u64::from(trailer.directory_len_bytes)
}

fn slice(bytes: &[u8], range: Range<u64>) -> Result<&[u8], String> {
    let in_memory = |at: u64| usize::try_from(at).ok();
    let range = in_memory(range.start).zip(in_memory(range.end));
    range.and_then(|(start, end)| bytes.get(start..end)).ok_or_else(|| "pack is cut short".to_owned())
}

/// Opens frames one after the other, with one decompressor and reused buffers. One per thread.
#[derive(Default)]
pub struct FrameReader {
    /// Made for the first frame that is compressed: what does not compress is read without.
    decompressor: Option<Decompressor>,
    compressed: Vec<u8>,
    plain: Vec<u8>,
}

impl FrameReader {
    /// A reader without any state.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens and decompresses one sealed frame into `self.plain`, which has exactly the authenticated length.
    pub(crate) fn open(
        &mut self,
        class: &Class,
        scope: RepositoryId,
        seal: &FrameSeal<'_>,
        sealed: &[u8],
    ) -> Result<&[u8], String> {
        let wrong = |_| "a frame does not open with this repository's keys".to_owned();
        let keys = class.keys_of(seal.wrap.epoch).ok_or("the keys of a frame's epoch are not there")?;
        let key = keys.open_pack_key(seal.wrap, scope).map_err(|error| error.to_string())?;
        let ad = frame_ad(scope, seal.kind, seal.compression, seal.plain_len_bytes, seal.chunk_count);
        self.plain.clear();
        match seal.compression {
            Compression::None => key.open_frame_into(seal.salt, &ad, sealed, &mut self.plain).map_err(wrong)?,
            Compression::Zstd => {
                self.compressed.clear();
                key.open_frame_into(seal.salt, &ad, sealed, &mut self.compressed).map_err(wrong)?;
                // The output is bounded by the authenticated length, whatever the zstd header claims.
                self.plain.reserve(seal.plain_len_bytes as usize);
                self.plain.resize(seal.plain_len_bytes as usize, 0);
                let decompressor = self.decompressor.get_or_insert_with(Decompressor::new);
                let len = decompressor
                    .decompress(&self.compressed, &mut self.plain)
                    .map_err(|error| format!("a frame does not decompress: {error}"))?;
                self.plain.truncate(len);
            }
        }
        match self.plain.len() == seal.plain_len_bytes as usize {
            true => Ok(&self.plain),
            false => Err("a frame has another length than its directory says".to_owned()),
        }
    }

    /// Opens a frame of a whole pack and recomputes the id of each of its chunks.
    pub(crate) fn verify_frame(
        &mut self,
        class: &Class,
        scope: RepositoryId,
        wrap: &KeyWrap,
        frame: &Frame,
        pack: &[u8],
    ) -> Result<(), String> {
        self.for_each_chunk(class, scope, wrap, frame, pack, |_, _| ())
    }

    /// Visits the chunks of a frame of a whole pack, each after its id was computed again and compared.
    pub(crate) fn for_each_chunk(
        &mut self,
        class: &Class,
        scope: RepositoryId,
        wrap: &KeyWrap,
        frame: &Frame,
        pack: &[u8],
        mut visit: impl FnMut(&PackedChunk, &[u8]),
    ) -> Result<(), String> {
        let seal = FrameSeal {
            wrap,
            salt: &frame.salt,
            kind: frame.kind,
            compression: frame.compression,
            plain_len_bytes: frame.plain_len_bytes(),
            chunk_count: u32::try_from(frame.chunks.len()).map_err(|_| "too many chunks".to_owned())?,
        };
        let mut plain = self.open(class, scope, &seal, sealed_frame(pack, frame)?)?;
        let mut names = class.dedup.chunk_hasher();
        for chunk in &frame.chunks {
            let (bytes, rest) = plain
                .split_at_checked(chunk.len_bytes as usize)
                .ok_or_else(|| "chunks are longer than their frame".to_owned())?;
            let digest = names.digest(frame.kind, bytes);
            if names.chunk_id(&digest) != chunk.id {
                return Err(format!("chunk {} does not hold what its id says", chunk.id));
            }
            visit(chunk, bytes);
            plain = rest;
        }
        Ok(())
    }
}

/// The sealed bytes of a frame inside its whole pack.
pub(crate) fn sealed_frame<'pack>(pack: &'pack [u8], frame: &Frame) -> Result<&'pack [u8], String> {
    let start = u64::from(frame.offset);
    slice(pack, start..start + u64::from(frame.stored_len_bytes))
}
