//! The bounds of a chunk's length.

use std::fmt;

const AVG_BYTES_MIN: u32 = 4 << 10;
const AVG_BYTES_MAX: u32 = 4 << 20;
const MIN_BYTES_MIN: u32 = 256;
const MIN_BYTES_MAX: u32 = 1 << 20;
const MAX_BYTES_MAX: u32 = 16 << 20;

/// The least, intended and greatest length of a chunk, in bytes.
///
/// Part of a repository's format: other sizes give other cut points. The mean length over random data is somewhat
/// above `avg`; only the last chunk of a stream may be shorter than `min`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sizes {
    min: u32,
    avg: u32,
    max: u32,
}

impl Sizes {
    /// Checks the three lengths against the rules every chunking function here relies on.
    ///
    /// - `avg` is a power of two from 4 KiB to 4 MiB.
    /// - `min` is even, at least 256, at most `avg / 2` and at most 1 MiB.
    /// - `max` is even, at least `2 * avg` and at most 16 MiB.
    pub fn new(min: u32, avg: u32, max: u32) -> Result<Sizes, SizesError> {
        if !avg.is_power_of_two() || !(AVG_BYTES_MIN..=AVG_BYTES_MAX).contains(&avg) {
            return Err(SizesError::Average { avg });
        }
        if !min.is_multiple_of(2) || !(MIN_BYTES_MIN..=MIN_BYTES_MAX.min(avg / 2)).contains(&min) {
            return Err(SizesError::Minimum { min, avg });
        }
        if !max.is_multiple_of(2) || !(2 * avg..=MAX_BYTES_MAX).contains(&max) {
            return Err(SizesError::Maximum { max, avg });
        }
        Ok(Sizes { min, avg, max })
    }

    /// The least length of a chunk that is not the last, in bytes.
    pub fn min(&self) -> u32 {
        self.min
    }

    /// The length in bytes around which chunks are gathered.
    pub fn avg(&self) -> u32 {
        self.avg
    }

    /// The greatest length of a chunk, in bytes.
    pub fn max(&self) -> u32 {
        self.max
    }
}

/// Which of the three lengths broke its rule; the rules are those of [`Sizes::new`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum SizesError {
    /// `avg` is no power of two, or out of range.
    Average {
        /// The length refused, in bytes.
        avg: u32,
    },
    /// `min` is odd, or out of range for this `avg`.
    Minimum {
        /// The length refused, in bytes.
        min: u32,
        /// The average it was given with, in bytes.
        avg: u32,
    },
    /// `max` is odd, or out of range for this `avg`.
    Maximum {
        /// The length refused, in bytes.
        max: u32,
        /// The average it was given with, in bytes.
        avg: u32,
    },
}

impl fmt::Display for SizesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SizesError::Average { avg } => {
                write!(f, "average chunk size {avg} is not a power of two from {AVG_BYTES_MIN} to {AVG_BYTES_MAX}")
            }
            SizesError::Minimum { min, avg } => {
                let most = MIN_BYTES_MAX.min(avg / 2);
                write!(f, "minimum chunk size {min} is not an even number from {MIN_BYTES_MIN} to {most}")
            }
            SizesError::Maximum { max, avg } => {
                let least = 2 * avg;
                write!(f, "maximum chunk size {max} is not an even number from {least} to {MAX_BYTES_MAX}")
            }
        }
    }
}

impl std::error::Error for SizesError {}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u32 = 1 << 10;
    const MIB: u32 = 1 << 20;

    #[test]
    fn bounds_are_accepted() {
        for (min, avg, max) in [
            (16 * KIB, 64 * KIB, 256 * KIB),
            (256 * KIB, MIB, 4 * MIB),
            (256, 4 * KIB, 8 * KIB),
            (2 * KIB, 4 * KIB, 16 * MIB),
            (258, 4 * KIB, 8 * KIB + 2),
            (MIB, 4 * MIB, 16 * MIB),
        ] {
            let sizes = Sizes::new(min, avg, max).unwrap();
            assert_eq!((sizes.min(), sizes.avg(), sizes.max()), (min, avg, max));
        }
    }

    #[test]
    fn a_bad_average_is_refused() {
        for avg in [0, 1, 2 * KIB, 4 * KIB - 1, 4 * KIB + 1, 96 * KIB, 8 * MIB, u32::MAX] {
            assert_eq!(Sizes::new(256, avg, 16 * MIB), Err(SizesError::Average { avg }));
        }
    }

    #[test]
    fn a_bad_minimum_is_refused() {
        let avg = 64 * KIB;
        for min in [0, 2, 254, 257, 16 * KIB + 1, 32 * KIB + 2, u32::MAX - 1] {
            assert_eq!(Sizes::new(min, avg, 256 * KIB), Err(SizesError::Minimum { min, avg }));
        }
        let (min, avg) = (MIB + 2, 4 * MIB);
        assert_eq!(Sizes::new(min, avg, 16 * MIB), Err(SizesError::Minimum { min, avg }));
    }

    #[test]
    fn a_bad_maximum_is_refused() {
        let avg = 64 * KIB;
        for max in [0, avg, 2 * avg - 2, 2 * avg + 1, 16 * MIB + 2, u32::MAX - 1] {
            assert_eq!(Sizes::new(16 * KIB, avg, max), Err(SizesError::Maximum { max, avg }));
        }
    }

    #[test]
    fn an_error_names_the_range() {
        let error = Sizes::new(128, 64 * KIB, 256 * KIB).unwrap_err();
        assert_eq!(error.to_string(), "minimum chunk size 128 is not an even number from 256 to 32768");
    }
}
