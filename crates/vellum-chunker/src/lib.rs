//! Where a stream of bytes is cut into chunks, and nothing else.
//!
//! The crate hides one decision: which function of a secret key and the bytes themselves sets the boundaries.
//! It knows no files, no content hashes and no storage. The functions are specified, byte for byte, in
//! `docs/CHUNKERS.md`; the golden vectors in `tests-data/` freeze them, because a repository whose boundaries moved
//! would no longer deduplicate against its own past.
//!
//! ```
//! use vellum_chunker::{Algorithm, ChunkStream, Chunker, Sizes};
//!
//! let sizes = Sizes::new(16 << 10, 64 << 10, 256 << 10)?;
//! let chunker = Chunker::new(Algorithm::Phte128, sizes, &[7; 32]);
//! let mut stream = ChunkStream::new(chunker, std::io::repeat(0).take(1 << 20));
//! let mut length = 0;
//! while let Some(chunk) = stream.next_chunk()? {
//!     length += chunk.len();
//! }
//! assert_eq!(length, 1 << 20);
//! # use std::io::Read;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![deny(missing_docs)]

mod blocks;
mod gear;
mod keys;
mod phte128;
mod search;
mod sizes;
mod stream;
mod window;
#[cfg(target_arch = "x86_64")]
mod x86;

use std::fmt;
use std::sync::{Arc, OnceLock};

pub use blocks::{Block, BlockStream};
use gear::Gear;
use phte128::Phte128;
pub use sizes::{Sizes, SizesError};
pub use stream::ChunkStream;
use window::Window;

/// A chunking function, as named in a repository's config.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Algorithm {
    /// A 128-bit universal hash of the last 64 bytes, then AES-128 at every position.
    ///
    /// Cut points tell no more than which windows of the data are equal; see the security section of
    /// `docs/CHUNKERS.md`.
    Phte128,
    /// A keyed linear filter of the last 64 bytes, then a pseudorandom rank of what passes it.
    ///
    /// Many times faster than the others. Who knows enough cut points of known data can learn the filter, as with
    /// [`Gear`](Self::Gear): for trusted targets only.
    Window,
    /// FastCDC of 2020 with full keyed tables.
    ///
    /// The key can be recovered from the cut points of known data, so the boundaries are forgeable and files can be
    /// recognised wherever chunk sizes become visible. For trusted targets only.
    Gear,
}

impl Algorithm {
    /// The name stored in a repository's config: `phte128`, `window` or `gear`.
    pub fn name(self) -> &'static str {
        match self {
            Algorithm::Phte128 => "phte128",
            Algorithm::Window => "window",
            Algorithm::Gear => "gear",
        }
    }

    /// The algorithm of exactly this [`name`](Self::name), if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        [Algorithm::Phte128, Algorithm::Window, Algorithm::Gear].into_iter().find(|algorithm| algorithm.name() == name)
    }
}

/// A chunking function with its sizes and its secret tables.
///
/// Clones share the tables, which are wiped when the last clone is dropped. Printing it shows no secret.
#[derive(Clone)]
pub struct Chunker {
    inner: Arc<Inner>,
}

struct Inner {
    sizes: Sizes,
    function: Function,
    /// Where the function cuts zeros, once it was asked.
    zeros_cut: OnceLock<usize>,
}

enum Function {
    Phte128(Phte128),
    Window(Window),
    Gear(Gear),
}

impl Chunker {
    /// Derives the tables from `key`, which must be secret and used for nothing but chunking.
    ///
    /// Equal arguments give equal cut points on every machine; which instructions compute them is chosen here.
    /// Keep the chunker and clone it rather than deriving its tables for every stream.
    pub fn new(algorithm: Algorithm, sizes: Sizes, key: &[u8; 32]) -> Chunker {
        let function = match algorithm {
            Algorithm::Phte128 => Function::Phte128(Phte128::new(sizes, key)),
            Algorithm::Window => Function::Window(Window::new(sizes, key)),
            Algorithm::Gear => Function::Gear(Gear::new(sizes, key)),
        };
        Chunker::of(sizes, function)
    }

    fn of(sizes: Sizes, function: Function) -> Chunker {
        Chunker { inner: Arc::new(Inner { sizes, function, zeros_cut: OnceLock::new() }) }
    }

    /// The same chunker by each way that this processor has to compute it, by name, the one that [`Chunker::new`] takes
    /// first and the portable one last: for tests and benchmarks.
    #[doc(hidden)]
    pub fn each_way(algorithm: Algorithm, sizes: Sizes, key: &[u8; 32]) -> Vec<(&'static str, Chunker)> {
        let with = |function| Chunker::of(sizes, function);
        match algorithm {
            Algorithm::Phte128 => {
                Phte128::each_way(sizes, key).map(|(name, phte128)| (name, with(Function::Phte128(phte128)))).collect()
            }
            Algorithm::Window => {
                Window::each_way(sizes, key).map(|(name, window)| (name, with(Function::Window(window)))).collect()
            }
            Algorithm::Gear => {
                Gear::each_way(sizes, key).map(|(name, gear)| (name, with(Function::Gear(gear)))).collect()
            }
        }
    }

    /// The sizes given to [`Chunker::new`].
    pub fn sizes(&self) -> Sizes {
        self.inner.sizes
    }

    /// The algorithm given to [`Chunker::new`].
    pub fn algorithm(&self) -> Algorithm {
        match &self.inner.function {
            Function::Phte128(_) => Algorithm::Phte128,
            Function::Window(_) => Algorithm::Window,
            Function::Gear(_) => Algorithm::Gear,
        }
    }

    /// Length in bytes of the first chunk of `data`, which is either the rest of a stream or at least `max` bytes of
    /// it.
    ///
    /// 0 only for empty data, and never above `max`; below `min` only where `data` ends. Bytes beyond `max` are not
    /// looked at. Given fewer than `max` bytes of a stream that goes on, the answer is not the stream's cut point.
    #[must_use]
    pub fn cut(&self, data: &[u8]) -> usize {
        match data.get(..self.inner.sizes.max() as usize) {
            // Sparse files are read at the speed of memory: the answer is the same for all zeros.
            Some(longest) if is_zero(longest) => *self.inner.zeros_cut.get_or_init(|| self.search(longest)),
            _ => self.search(data),
        }
    }

    fn search(&self, data: &[u8]) -> usize {
        match &self.inner.function {
            Function::Phte128(phte128) => phte128.cut(data),
            Function::Window(window) => window.cut(data),
            Function::Gear(gear) => gear.cut(data),
        }
    }
}

fn is_zero(data: &[u8]) -> bool {
    // All bytes equal their neighbours: one comparison of memory, which ends at the first other byte.
    data.first() == Some(&0) && data[1..] == data[..data.len() - 1]
}

impl fmt::Debug for Chunker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunker")
            .field("algorithm", &self.algorithm())
            .field("sizes", &self.inner.sizes)
            .finish_non_exhaustive()
    }
}
