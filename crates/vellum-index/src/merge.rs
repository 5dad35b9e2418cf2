//! When segments are merged: so that there are few, each chunk is rarely written again, and nobody waits long.
//!
//! A run of neighbours becomes one segment when none of them holds more than a quarter of what the run holds; or half,
//! if it cannot grow much more, because no merge is of more than eight million chunks, or a twelfth of all. So what is
//! written again lies in a segment at least four times as large then, or twice: at most `log4` of 8,388,608 / 4,096
//! times and twice more, that is 7 times, when chunks come in the smallest steps that count, twice when they come a
//! million at once, and once more whenever the repository doubles beyond a hundred million. What stays are a few
//! segments for each power of four, and at most some twenty of the largest; beyond [`SEGMENTS_MAX`] the cheapest
//! neighbours are merged anyway.

use crate::Index;
use crate::segment::{Merge, Segment, Source};
use std::ops::Range;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// What a smaller segment counts as: opening and asking it costs as much.
const CHUNKS_MIN: u64 = 4096;

/// A run is merged when its largest segment holds at most one part in so many; in two, if it cannot grow much more.
const PARTS: u64 = 4;

/// Chunks that are merged at once: a merge takes half a microsecond for each, and somebody waits for it.
const CHUNKS_AT_ONCE: u64 = 8 << 20;

/// The part of all chunks that may be merged at once if it is more: segments have to stay few.
const PART_AT_ONCE: u64 = 12;

/// Segments that are borne beside each other.
const SEGMENTS_MAX: usize = 32;

/// Segments that are merged when there are too many and no run suits.
const SEGMENTS_FORCED: usize = 8;

impl Index {
    /// Merges segments until lookups have few to ask.
    ///
    /// Places, frames and sets of copies that are about a merged segment mean nothing afterwards, as after it was
    /// forgotten: call it when nobody holds marks, and look up again afterwards.
    ///
    /// A merge reads and writes what it merges, half a microsecond a chunk or, when the disk is slow, one; most calls
    /// merge nothing, and below a hundred million chunks none merges more than eight million. It is given up quietly
    /// when there is no space, or when a source turns out damaged, which then counts as damaged; nothing else is lost.
    /// When another process was faster, or has added segments in between, what is merged is this value's alone: the
    /// folder keeps its sources, and the space goes with this value at the latest.
    pub fn merge(&self) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let segments = self.known().segments.clone();
            let Some(run) = next_run(&segments) else { return };
            let Some(merged) = self.merged(&segments[run.clone()]) else { return };
            // Nobody else changes the segments meanwhile, so the run is where it was.
            self.known_mut().segments.splice(run, [Arc::new(merged)]);
        }
    }

    fn merged(&self, sources: &[Arc<Segment>]) -> Option<Segment> {
        let merge = Merge::plan(sources)?;
        let serial = self.next_serial.fetch_add(1, Ordering::Relaxed);
        let id = merge.id(&self.key);
        match &self.folder {
            Some(folder) if !sources[0].is_in_memory() => {
                let ids: Vec<_> = sources.iter().map(|source| source.id()).collect();
                folder.replace(&ids, id, serial, |out| merge.write(id, &self.key, out)).ok()
            }
            _ => {
                let mut bytes = Vec::new();
                merge.write(id, &self.key, &mut bytes).ok()?;
                bytes.shrink_to_fit();
                Segment::open(Source::Memory(bytes), id, serial, &self.key).ok()
            }
        }
    }
}

/// Which neighbours are to be merged next, of segments that are the newest first.
fn next_run(segments: &[Arc<Segment>]) -> Option<Range<usize>> {
    let mostly_forgotten = segments.iter().position(|segment| segment.is_mostly_forgotten());
    if let Some(alone) = mostly_forgotten.filter(|at| segments[*at].is_usable()) {
        return Some(alone..alone + 1);
    }
    let mut first = 0;
    // What is only in memory and what is in the folder stay apart, and nothing is merged with what is damaged.
    for group in segments.chunk_by(|a, b| a.is_in_memory() == b.is_in_memory() && a.is_usable() && b.is_usable()) {
        let weights: Vec<u64> = group.iter().map(|segment| segment.chunk_count().max(CHUNKS_MIN)).collect();
        if let Some(run) = run_of(&weights) {
            return Some(first + run.start..first + run.end);
        }
        first += group.len();
    }
    None
}

/// How many chunks may be merged at once.
fn chunks_at_once(weights: &[u64]) -> u64 {
    CHUNKS_AT_ONCE.max(weights.iter().sum::<u64>() / PART_AT_ONCE)
}

/// The longest run of which no member holds too much, or a cheap one if there are too many.
fn run_of(weights: &[u64]) -> Option<Range<usize>> {
    let at_once = chunks_at_once(weights);
    let mut longest = 0..0;
    for start in 0..weights.len() {
        let (mut total, mut largest) = (0u64, 0);
        for (end, weight) in (start + 1..).zip(&weights[start..]) {
            total += weight;
            largest = largest.max(*weight);
            let parts = if total > at_once / 2 { 2 } else { PARTS };
            if total <= at_once && largest * parts <= total && end - start > longest.len() {
                longest = start..end;
            }
        }
    }
    if longest.is_empty() && weights.len() > SEGMENTS_MAX {
        let total = |start: &usize| weights[*start..*start + SEGMENTS_FORCED].iter().sum::<u64>();
        let start = (0..=weights.len() - SEGMENTS_FORCED).min_by_key(total)?;
        return Some(start..start + SEGMENTS_FORCED);
    }
    (!longest.is_empty()).then_some(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn runs_are_long_and_balanced() {
        for (weights, run) in [
            (&[1, 1, 1][..], None),
            (&[1, 1, 1, 1], Some(0..4)),
            (&[5, 1, 1, 1, 1], Some(1..5)),
            (&[1, 1, 1, 1, 4], Some(0..4)),
            (&[1, 1, 1, 4, 4, 4], None),
            (&[1, 1, 1, 1, 4, 4, 4, 16, 16, 16, 80], Some(0..10)),
            (&[MIB, MIB, MIB, MIB], Some(0..4)),
            (&[MIB, MIB, MIB, MIB, 4 * MIB, 8 * MIB], Some(0..5)),
            (&[4 * MIB, 4 * MIB], Some(0..2)),
            (&[2 * MIB, 3 * MIB], None),
            (&[8 * MIB, 8 * MIB, 8 * MIB, 8 * MIB], None),
        ] {
            assert_eq!(run_of(weights), run, "{weights:?}");
        }
        let halves: Vec<u64> = (0..40).map(|power| 1 << power).collect();
        assert_eq!(run_of(&halves[..SEGMENTS_MAX]), None);
        assert_eq!(run_of(&halves), Some(0..SEGMENTS_FORCED));
    }

    /// Whatever comes, segments stay few, and chunks are rarely written again.
    #[test]
    fn segments_stay_few_and_are_rarely_written_again() {
        for kind in 0..6u64 {
            let (mut weights, mut added, mut written) = (Vec::new(), 0, 0);
            for number in 0..20_000u64 {
                let weight = match kind {
                    0 => 1,
                    1 => 1 + number % 7,
                    2 => 1 << (number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60),
                    3 => 1 + (20_000 - number) / 16,
                    4 => 1 << 10,
                    _ => MIB,
                };
                weights.insert(0, weight);
                added += weight;
                while let Some(run) = run_of(&weights) {
                    let total: u64 = weights[run.clone()].iter().sum();
                    assert!(total <= chunks_at_once(&weights) || added > 1000 * MIB, "kind {kind}: {total} of {added}");
                    written += total;
                    weights.splice(run, [total]);
                }
                assert!(weights.len() <= SEGMENTS_MAX);
            }
            assert_eq!(weights.iter().sum::<u64>(), added);
            // Each time the segment grows fourfold.
            let times_max = added.ilog(PARTS) + 1;
            assert!(written <= u64::from(times_max) * added, "kind {kind}: {written} of {added}");
        }
    }
}
