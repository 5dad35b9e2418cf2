//! What this machine can do, stage by stage of a backup, and what a first backup can at most reach here.
//!
//! Everything is measured on generated data in memory, but for the writing to a storage. Memory: about three times the
//! 128 MiB that a whole backup is measured with.

mod backup;
mod bound;
mod sample;
mod stages;
mod storage;

use crate::{Context, Error};
use std::fmt;
use std::time::{Duration, Instant};
use vellum_format::snapshot::Timestamp;
use vellum_repository::CreateOptions;
use vellum_repository::storage::Storage;

pub use bound::Bound;
pub use sample::Sample;

/// What can be measured alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// Reading memory: what no other stage can be faster than.
    Memory,
    /// Each chunking function, computed in the way that is chosen on this processor.
    Chunker,
    /// Digest and id of a chunk.
    Hash,
    /// Compression of a frame at some levels.
    Compress,
    /// Sealing of a frame.
    Seal,
    /// Parity of a pack.
    Parity,
    /// A whole backup in memory, on all threads.
    Backup,
    /// Writing to a storage and syncing it.
    Storage,
}

impl Part {
    /// All, in the order in which they are measured.
    pub const ALL: [Self; 8] = [
        Self::Memory,
        Self::Chunker,
        Self::Hash,
        Self::Compress,
        Self::Seal,
        Self::Parity,
        Self::Backup,
        Self::Storage,
    ];
}

/// What one figure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stage {
    /// [`Part::Memory`].
    Memory,
    /// [`Part::Chunker`], by the function's name.
    Chunker(&'static str),
    /// [`Part::Hash`].
    Hash,
    /// [`Part::Compress`], of text at a zstd level.
    Compress(i32),
    /// [`Part::Seal`].
    Seal,
    /// [`Part::Parity`].
    Parity,
    /// [`Part::Backup`], of such data.
    Backup(Sample),
    /// [`Part::Storage`].
    Storage,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Chunker(name) => write!(f, "chunker {name}"),
            Self::Hash => f.write_str("hash"),
            Self::Compress(level) => write!(f, "compress {level}"),
            Self::Seal => f.write_str("seal"),
            Self::Parity => f.write_str("parity"),
            Self::Backup(sample) => write!(f, "backup {sample}"),
            Self::Storage => f.write_str("storage"),
        }
    }
}

/// One stage's speed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Figure {
    /// Which.
    pub stage: Stage,
    /// The instructions that compute it, where there is a choice.
    pub way: Option<&'static str>,
    /// How many threads worked.
    pub threads: usize,
    /// What went in.
    pub bytes: u64,
    /// What came out, where that is less or more.
    pub stored_bytes: Option<u64>,
    /// How long that took, in the fastest of several passes.
    pub took: Duration,
}

impl Figure {
    fn new(stage: Stage, bytes: usize, took: Duration) -> Self {
        Self { stage, way: None, threads: 1, bytes: bytes as u64, stored_bytes: None, took }
    }

    /// What went in a second, by all threads.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// What came out for a byte that went in.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn ratio(&self) -> f64 {
        self.stored_bytes.unwrap_or(self.bytes) as f64 / (self.bytes as f64).max(1.0)
    }
}

/// What to measure.
#[derive(Default)]
#[non_exhaustive]
pub struct BenchOptions<'a> {
    /// Which parts; all when there are none.
    pub parts: Vec<Part>,
    /// Tiny amounts in a moment, for rough figures.
    pub quick: bool,
    /// Where to write for [`Part::Storage`], which is left out without. It may hold something; what is written is
    /// deleted.
    pub storage: Option<&'a dyn Storage>,
}

/// What was measured.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct BenchReport {
    /// In the order of [`Part::ALL`].
    pub figures: Vec<Figure>,
    /// What follows for a first backup; only when a backup and its stages were measured.
    pub bound: Option<Bound>,
}

/// Measures, and tells each figure as soon as it is known.
///
/// # Errors
/// [`Error::Cancelled`], or whatever kept the storage from being written.
pub fn bench(
    options: &BenchOptions<'_>,
    context: &Context,
    tell: &mut dyn FnMut(&Figure),
) -> Result<BenchReport, Error> {
    let meter = Meter { amounts: if options.quick { Amounts::QUICK } else { Amounts::FULL }, context };
    let defaults = CreateOptions::new(Timestamp { seconds: 0, nanoseconds: 0 });
    let mut figures: Vec<Figure> = Vec::new();
    for part in Part::ALL.into_iter().filter(|part| options.parts.is_empty() || options.parts.contains(part)) {
        let new = match part {
            Part::Memory => vec![stages::memory(&meter)?],
            Part::Chunker => stages::chunkers(&meter, &defaults)?,
            Part::Hash => vec![stages::hash(&meter, &defaults)?],
            Part::Compress => stages::compress(&meter, &defaults)?,
            Part::Seal => vec![stages::seal(&meter, &defaults)?],
            Part::Parity => vec![stages::parity(&meter)?],
            Part::Backup => backup::backups(&meter, &defaults)?,
            Part::Storage => {
                options.storage.map(|storage| storage::write(&meter, storage)).transpose()?.into_iter().collect()
            }
        };
        new.iter().for_each(&mut *tell);
        figures.extend(new);
    }
    let bound = Bound::of(&figures, &defaults);
    Ok(BenchReport { figures, bound })
}

/// How much of what is measured.
struct Amounts {
    /// For what only reads.
    stream_len_bytes: usize,
    /// Text that is compressed again and again.
    text_len_bytes: usize,
    backup_len_bytes: usize,
    pack_len_bytes: usize,
    storage_len_bytes: usize,
    /// How long each figure may take, as long as one pass is not longer.
    time: Duration,
    /// How long writing to a storage may take, as long as one pack does not take longer.
    storage_time: Duration,
}

impl Amounts {
    const FULL: Self = Self {
        stream_len_bytes: 64 << 20,
        text_len_bytes: 16 << 20,
        backup_len_bytes: 128 << 20,
        pack_len_bytes: 32 << 20,
        storage_len_bytes: 1 << 30,
        time: Duration::from_millis(400),
        storage_time: Duration::from_secs(5),
    };
    const QUICK: Self = Self {
        stream_len_bytes: 2 << 20,
        text_len_bytes: 1 << 20,
        backup_len_bytes: 4 << 20,
        pack_len_bytes: 1 << 20,
        storage_len_bytes: 4 << 20,
        time: Duration::ZERO,
        storage_time: Duration::from_secs(5),
    };
}

/// What the parts are measured by.
struct Meter<'a> {
    amounts: Amounts,
    context: &'a Context,
}

impl Meter<'_> {
    /// The fastest of several passes: whatever else the machine does only slows one down.
    fn fastest(&self, mut pass: impl FnMut() -> Result<Duration, Error>) -> Result<Duration, Error> {
        let (begun, mut best) = (Instant::now(), Duration::MAX);
        loop {
            self.context.check_cancelled()?;
            best = best.min(pass()?);
            if begun.elapsed() >= self.amounts.time {
                return Ok(best);
            }
        }
    }

    /// The same of what cannot fail and has nothing to prepare.
    fn fastest_of(&self, mut pass: impl FnMut()) -> Result<Duration, Error> {
        self.fastest(|| {
            let begun = Instant::now();
            pass();
            Ok(begun.elapsed())
        })
    }
}

#[cfg(test)]
mod tests;
