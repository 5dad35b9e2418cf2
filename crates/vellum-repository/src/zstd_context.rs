//! Contexts of zstd. Those that its Rust library makes panic when there is no memory for them.

use std::alloc::{Layout, handle_alloc_error};
use std::io;
use zstd::zstd_safe::{CCtx, CParameter, DCtx, ErrorCode, get_error_name};

/// About what a context for decompression takes.
const CONTEXT_LEN_BYTES: usize = 96 << 10;

/// The level that repositories have if nobody says otherwise.
const DEFAULT_LEVEL: i32 = 3;

/// The tables of that level take 512 KiB instead of 768 KiB, so that they and what is compressed stay near the core:
/// a tenth faster on frames of source text, which become half a percent longer.
const DEFAULT_LEVEL_TABLES_LOG: u32 = 16;

/// Compresses into frames of one level.
pub(crate) struct Compressor(CCtx<'static>);

impl Compressor {
    pub(crate) fn new(level: i32) -> io::Result<Self> {
        let mut context = CCtx::try_create().ok_or(io::ErrorKind::OutOfMemory)?;
        let mut set = |parameter| context.set_parameter(parameter).map_err(failed);
        set(CParameter::CompressionLevel(level))?;
        if level == DEFAULT_LEVEL {
            set(CParameter::HashLog(DEFAULT_LEVEL_TABLES_LOG))?;
            set(CParameter::ChainLog(DEFAULT_LEVEL_TABLES_LOG))?;
        }
        Ok(Self(context))
    }

    /// The length of the one frame that `out` begins with then.
    pub(crate) fn compress(&mut self, plain: &[u8], out: &mut [u8]) -> io::Result<usize> {
        self.0.compress2(out, plain).map_err(failed)
    }
}

/// Decompresses whole frames.
pub(crate) struct Decompressor(DCtx<'static>);

impl Decompressor {
    /// Without memory the process ends, as it does for any other allocation: a frame that cannot be opened for want of
    /// memory must not count as damaged.
    pub(crate) fn new() -> Self {
        let no_memory = || handle_alloc_error(Layout::new::<[u8; CONTEXT_LEN_BYTES]>());
        Self(DCtx::try_create().unwrap_or_else(no_memory))
    }

    /// The length of what `out` begins with then, however much the frame claims to hold.
    pub(crate) fn decompress(&mut self, compressed: &[u8], out: &mut [u8]) -> io::Result<usize> {
        self.0.decompress(out, compressed).map_err(failed)
    }
}

fn failed(code: ErrorCode) -> io::Error {
    io::Error::other(get_error_name(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_back_and_never_more_than_there_is_room_for() {
        let plain = b"again and again and again and again".repeat(100);
        let mut frame = vec![0; 1000];
        let len = Compressor::new(3).unwrap().compress(&plain, &mut frame).unwrap();
        frame.truncate(len);
        assert!(len < plain.len() / 10);
        let mut decompressor = Decompressor::new();
        let mut open = |frame: &[u8], room: usize| {
            let mut out = vec![0; room];
            decompressor.decompress(frame, &mut out).map(|len| out[..len].to_vec())
        };
        assert_eq!(open(&frame, plain.len() + 1).unwrap(), plain);
        assert!(open(&frame, plain.len() - 1).is_err());
        assert!(open(&frame[..len - 1], plain.len()).is_err());
        assert_eq!(open(&frame, plain.len()).unwrap(), plain, "it is as good as new after an error");
    }
}
