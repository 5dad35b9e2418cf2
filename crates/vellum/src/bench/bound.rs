//! What figures of single stages say about a first backup.

use super::{Figure, Sample, Stage};
use vellum_chunker::Algorithm;
use vellum_repository::CreateOptions;

/// What a first backup can at most reach on this machine, with default settings and a source that is read at any speed.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Bound {
    /// Of data like source code, in bytes a second.
    pub text_bytes_per_second: f64,
    /// Of data that does not compress.
    pub random_bytes_per_second: f64,
    /// What text waits for: [`Stage::Storage`], or the stage that takes most of the processor's time.
    pub slowest: Stage,
    /// That stage's share of the time that a byte of text takes on its way through all stages, 0 to 1; with
    /// [`Stage::Storage`], 1.
    pub share: f64,
}

impl Bound {
    /// The bound that follows from these figures, if all that it takes is among them; the storage's may be missing.
    pub(super) fn of(figures: &[Figure], defaults: &CreateOptions) -> Option<Self> {
        let find = |stage: Stage| figures.iter().find(|figure| figure.stage == stage);
        let backup = |sample: Sample| find(Stage::Backup(sample));
        let (text, random) = (backup(Sample::Text)?, backup(Sample::Random)?);
        let storage = find(Stage::Storage);
        let reached = |backup: &Figure| {
            let of_storage = storage.map_or(f64::INFINITY, |storage| storage.bytes_per_second() / backup.ratio());
            (backup.bytes_per_second().min(of_storage), of_storage < backup.bytes_per_second())
        };
        let ((text_bytes_per_second, waits_for_storage), (random_bytes_per_second, _)) =
            (reached(text), reached(random));
        let (slowest, share) = match waits_for_storage {
            true => (Stage::Storage, 1.0),
            false => slowest_of(&find, defaults)?,
        };
        Some(Self { text_bytes_per_second, random_bytes_per_second, slowest, share })
    }
}

/// The stage that takes longest for a byte of text, and its share of the sum. Sealing and parity see it compressed.
fn slowest_of<'a>(find: &impl Fn(Stage) -> Option<&'a Figure>, defaults: &CreateOptions) -> Option<(Stage, f64)> {
    let compress = find(Stage::Compress(defaults.compression_level))?;
    let chunker = Algorithm::from_name(&defaults.chunker.algorithm)?;
    let costs = [
        (find(Stage::Chunker(chunker.name()))?, 1.0),
        (find(Stage::Hash)?, 1.0),
        (compress, 1.0),
        (find(Stage::Seal)?, compress.ratio()),
        (find(Stage::Parity)?, compress.ratio()),
    ]
    .map(|(figure, bytes)| (figure.stage, bytes / figure.bytes_per_second()));
    let sum: f64 = costs.iter().map(|(_, cost)| cost).sum();
    let slowest = costs.into_iter().max_by(|one, other| one.1.total_cmp(&other.1));
    slowest.map(|(stage, cost)| (stage, cost / sum))
}
