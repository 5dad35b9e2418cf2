//! The stages that a byte goes through on one thread.

use super::{Figure, Meter, Sample, Stage};
use crate::Error;
use std::hint::black_box;
use std::time::Instant;
use vellum_chunker::{Algorithm, Chunker, Sizes};
use vellum_repository::{CreateOptions, RepositoryError, Stages, add_parity};

/// Levels of which a user chooses.
const LEVELS: [i32; 3] = [1, 3, 6];

pub(super) fn memory(meter: &Meter<'_>) -> Result<Figure, Error> {
    let data = Sample::Random.bytes(0, meter.amounts.stream_len_bytes);
    let took = meter.fastest_of(|| {
        let words = black_box(&data).as_chunks().0.iter();
        black_box(words.fold(0u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word))));
    })?;
    Ok(Figure::new(Stage::Memory, data.len(), took))
}

pub(super) fn chunkers(meter: &Meter<'_>, defaults: &CreateOptions) -> Result<Vec<Figure>, Error> {
    let data = Sample::Random.bytes(1, meter.amounts.stream_len_bytes);
    let config = &defaults.chunker;
    let sizes = Sizes::new(config.min_len_bytes, config.avg_len_bytes, config.max_len_bytes)
        .expect("the default sizes keep the rules");
    let figure = |algorithm: Algorithm| {
        let ways = Chunker::each_way(algorithm, sizes, &[7; 32]);
        let (way, chunker) = ways.first().expect("there is always the portable way");
        let took = meter.fastest_of(|| {
            let mut rest = black_box(&data[..]);
            while !rest.is_empty() {
                rest = &rest[chunker.cut(rest)..];
            }
        })?;
        Ok(Figure { way: Some(way), ..Figure::new(Stage::Chunker(algorithm.name()), data.len(), took) })
    };
    [Algorithm::Phte128, Algorithm::Window, Algorithm::Gear].into_iter().map(figure).collect()
}

pub(super) fn hash(meter: &Meter<'_>, defaults: &CreateOptions) -> Result<Figure, Error> {
    let data = Sample::Random.bytes(2, meter.amounts.stream_len_bytes);
    let mut stages = Stages::new(0)?;
    let took = meter.fastest_of(|| {
        for chunk in data.chunks(defaults.chunker.avg_len_bytes as usize) {
            black_box(stages.name(black_box(chunk)));
        }
    })?;
    Ok(Figure::new(Stage::Hash, data.len(), took))
}

pub(super) fn compress(meter: &Meter<'_>, defaults: &CreateOptions) -> Result<Vec<Figure>, Error> {
    let text = Sample::Text.bytes(3, meter.amounts.text_len_bytes);
    let figure = |level| {
        let mut stages = Stages::new(level)?;
        let mut stored = 0;
        let took = meter.fastest(|| {
            let begun = Instant::now();
            let lens = text.chunks(defaults.frame_len_bytes as usize).map(|frame| stages.compress(black_box(frame)));
            stored = lens.sum::<Result<usize, RepositoryError>>()?;
            Ok(begun.elapsed())
        })?;
        Ok(Figure { stored_bytes: Some(stored as u64), ..Figure::new(Stage::Compress(level), text.len(), took) })
    };
    LEVELS.into_iter().map(figure).collect()
}

pub(super) fn seal(meter: &Meter<'_>, defaults: &CreateOptions) -> Result<Figure, Error> {
    let data = Sample::Random.bytes(4, meter.amounts.stream_len_bytes);
    let mut stages = Stages::new(0)?;
    let took = meter.fastest_of(|| {
        for frame in data.chunks(defaults.frame_len_bytes as usize) {
            black_box(stages.seal(black_box(frame)));
        }
    })?;
    Ok(Figure::new(Stage::Seal, data.len(), took))
}

pub(super) fn parity(meter: &Meter<'_>) -> Result<Figure, Error> {
    let len = meter.amounts.pack_len_bytes;
    let mut pack = Sample::Random.bytes(5, len);
    let took = meter.fastest(|| {
        pack.truncate(len);
        let begun = Instant::now();
        add_parity(black_box(&mut pack));
        Ok(begun.elapsed())
    })?;
    Ok(Figure { stored_bytes: Some(pack.len() as u64), ..Figure::new(Stage::Parity, len, took) })
}
