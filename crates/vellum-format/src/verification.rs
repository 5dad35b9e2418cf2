//! What checks leave behind: which packs were read, when, by whom, and whether they were what their names say.
//!
//! ```text
//! version u16 | zero u16 | runs u32 | packs u32 | run … | pack …
//! run:  seconds i64 | nanoseconds u32 | device [16] | reach u8 | zero [3] | files u64 | findings u64
//! pack: name [32] | run u32 | outcome u8
//! ```
//!
//! It is zero-padded and sealed as a whole, as a catalog is. Nothing relies on it (I25).

use crate::cursor::{Cursor, at_most};
use crate::snapshot::Timestamp;
use crate::{DeviceId, FORMAT_VERSION, FormatError, ObjectId, limits};

const WHAT: &str = "verification record";

/// The clear magic of a verification record.
pub const MAGIC: [u8; 8] = *b"VELLUMVF";

/// Which packs a check read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// None: structure, and perhaps files as a restore reads them.
    Structure,
    /// Some.
    Sample,
    /// Every one that was stored.
    EveryByte,
}

impl Reach {
    const fn code(self) -> u8 {
        match self {
            Self::Structure => 0,
            Self::Sample => 1,
            Self::EveryByte => 2,
        }
    }

    fn from_code(code: u8) -> Result<Self, FormatError> {
        match code {
            0 => Ok(Self::Structure),
            1 => Ok(Self::Sample),
            2 => Ok(Self::EveryByte),
            _ => Err(FormatError::Unsupported { what: WHAT, field: "reach", value: code.to_string() }),
        }
    }
}

/// One run of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CheckRun {
    /// When it began, by its own clock.
    pub time: Timestamp,
    /// Who checked.
    pub device: DeviceId,
    /// Which packs it read.
    pub reach: Reach,
    /// Files that it restored and compared.
    pub files_restored: u64,
    /// How many things it found wrong.
    pub findings: u64,
}

impl CheckRun {
    /// Encoded length in bytes.
    pub const ENCODED_LEN: usize = 48;

    fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.time.seconds.to_le_bytes());
        out.extend_from_slice(&self.time.nanoseconds.to_le_bytes());
        out.extend_from_slice(self.device.as_bytes());
        out.extend_from_slice(&[self.reach.code(), 0, 0, 0]);
        out.extend_from_slice(&self.files_restored.to_le_bytes());
        out.extend_from_slice(&self.findings.to_le_bytes());
    }

    fn decode(cursor: &mut Cursor<'_>) -> Result<Self, FormatError> {
        let seconds = cursor.u64()?.cast_signed();
        let nanoseconds = cursor.u32()?;
        let device = DeviceId::from_bytes(cursor.array()?);
        let reach = Reach::from_code(cursor.u8()?)?;
        if nanoseconds >= 1_000_000_000 || cursor.array()? != [0; 3] {
            return Err(FormatError::Inconsistent {
                what: WHAT,
                rule: "nanoseconds are below 10^9 and reserved bytes zero",
            });
        }
        let (files_restored, findings) = (cursor.u64()?, cursor.u64()?);
        Ok(Self { time: Timestamp { seconds, nanoseconds }, device, reach, files_restored, findings })
    }
}

/// The last reading of one pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackReading {
    /// The pack.
    pub pack: ObjectId,
    /// Which of the record's runs read it.
    pub run: u32,
    /// Whether it was undamaged.
    pub is_whole: bool,
}

impl PackReading {
    /// Encoded length in bytes.
    pub const ENCODED_LEN: usize = 37;
}

/// A record, opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verification {
    /// Runs, in no promised order.
    pub runs: Vec<CheckRun>,
    /// Packs, strictly ascending by their names.
    pub packs: Vec<PackReading>,
}

impl Verification {
    /// Bytes before the runs.
    pub const START_LEN: usize = 12;

    /// The encoding, without padding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let count = |len: usize| u32::try_from(len).expect("a record keeps below its limits").to_le_bytes();
        let mut out = Vec::new();
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(&count(self.runs.len()));
        out.extend_from_slice(&count(self.packs.len()));
        self.runs.iter().for_each(|run| run.encode_into(&mut out));
        for reading in &self.packs {
            out.extend_from_slice(reading.pack.as_bytes());
            out.extend_from_slice(&reading.run.to_le_bytes());
            out.push(u8::from(reading.is_whole));
        }
        out
    }

    /// Decodes an opened record, zero padding included.
    ///
    /// # Errors
    /// [`FormatError`] for anything but what `encode` writes of ascending packs, padded with zeros.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut cursor = Cursor::new(WHAT, bytes);
        let version = cursor.u16()?;
        if version != FORMAT_VERSION {
            return Err(FormatError::Unsupported { what: WHAT, field: "version", value: version.to_string() });
        }
        if cursor.u16()? != 0 {
            return Err(FormatError::Inconsistent { what: WHAT, rule: "reserved bytes are zero" });
        }
        let run_count = at_most(WHAT, "run count", cursor.u32()?, limits::VERIFICATION_RUNS_MAX)?;
        let pack_count = at_most(WHAT, "pack count", cursor.u32()?, limits::VERIFICATION_PACKS_MAX)?;
        let mut encoded_runs = Cursor::new(WHAT, cursor.take(run_count as usize * CheckRun::ENCODED_LEN)?);
        let mut encoded_packs = Cursor::new(WHAT, cursor.take(pack_count as usize * PackReading::ENCODED_LEN)?);
        cursor.zero_padding()?;
        let runs = (0..run_count).map(|_| CheckRun::decode(&mut encoded_runs)).collect::<Result<_, _>>()?;
        let mut packs: Vec<PackReading> = Vec::with_capacity(pack_count as usize);
        for _ in 0..pack_count {
            let pack = ObjectId::from_bytes(encoded_packs.array()?);
            let run = encoded_packs.u32()?;
            let outcome = encoded_packs.u8()?;
            if run >= run_count || packs.last().is_some_and(|last| last.pack >= pack) {
                return Err(FormatError::Inconsistent {
                    what: WHAT,
                    rule: "packs ascend and name one of the record's runs",
                });
            }
            if outcome > 1 {
                return Err(FormatError::Unsupported { what: WHAT, field: "outcome", value: outcome.to_string() });
            }
            packs.push(PackReading { pack, run, is_whole: outcome == 1 });
        }
        Ok(Self { runs, packs })
    }

    /// When a run read a pack; the time of a run that is not there is the earliest.
    #[must_use]
    pub fn time_of(&self, reading: &PackReading) -> Timestamp {
        let run = self.runs.get(reading.run as usize);
        run.map_or(Timestamp { seconds: i64::MIN, nanoseconds: 0 }, |run| run.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::{assert_bound, with_number};
    use proptest::prelude::*;

    fn run() -> impl Strategy<Value = CheckRun> {
        let reach = prop_oneof![Just(Reach::Structure), Just(Reach::Sample), Just(Reach::EveryByte)];
        (any::<i64>(), 0..1_000_000_000u32, any::<[u8; 16]>(), reach, any::<(u64, u64)>()).prop_map(
            |(seconds, nanoseconds, device, reach, (files_restored, findings))| CheckRun {
                time: Timestamp { seconds, nanoseconds },
                device: DeviceId::from_bytes(device),
                reach,
                files_restored,
                findings,
            },
        )
    }

    prop_compose! {
        fn record()(
            runs in proptest::collection::vec(run(), 1..5),
            packs in proptest::collection::btree_map(any::<[u8; 32]>(), any::<(u32, bool)>(), 0..20),
        ) -> Verification {
            let count = u32::try_from(runs.len()).unwrap();
            let packs = packs.into_iter().map(|(pack, (run, is_whole))| {
                PackReading { pack: ObjectId::from_bytes(pack), run: run % count, is_whole }
            });
            Verification { packs: packs.collect(), runs }
        }
    }

    fn sample() -> Verification {
        let time = Timestamp { seconds: 5, nanoseconds: 6 };
        let device = DeviceId::from_bytes([7; 16]);
        let run = CheckRun { time, device, reach: Reach::Sample, files_restored: 8, findings: 9 };
        let reading = |byte: u8, is_whole| PackReading { pack: ObjectId::from_bytes([byte; 32]), run: 0, is_whole };
        Verification { runs: vec![run], packs: vec![reading(1, true), reading(2, false)] }
    }

    #[test]
    fn a_pack_costs_less_than_forty_bytes() {
        let len = Verification::START_LEN + CheckRun::ENCODED_LEN + 2 * PackReading::ENCODED_LEN;
        assert_eq!(sample().encode().len(), len);
        assert!(PackReading::ENCODED_LEN < 40 && size_of::<PackReading>() <= 40);
        let most = limits::VERIFICATION_PACKS_MAX as usize * PackReading::ENCODED_LEN
            + limits::VERIFICATION_RUNS_MAX as usize * CheckRun::ENCODED_LEN;
        assert!((most as u64) < limits::VERIFICATION_LEN_BYTES_MAX * 8 / 10, "with header, seal and Padmé");
    }

    #[test]
    fn what_is_out_of_order_or_beyond_a_limit_is_refused() {
        let refused = |change: &dyn Fn(&mut Verification)| {
            let mut record = sample();
            change(&mut record);
            Verification::decode(&record.encode()).expect_err("refused")
        };
        let inconsistent = |error| matches!(error, FormatError::Inconsistent { .. });
        assert!(inconsistent(refused(&|record| record.packs.reverse())));
        assert!(inconsistent(refused(&|record| record.packs[1] = record.packs[0])));
        assert!(inconsistent(refused(&|record| record.packs[1].run = 1)));
        assert!(inconsistent(refused(&|record| record.runs[0].time.nanoseconds = 1_000_000_000)));
        let with = |at: usize, byte: u8| {
            let mut bytes = sample().encode();
            bytes[at] = byte;
            Verification::decode(&bytes).expect_err("refused")
        };
        assert!(matches!(with(7, 1), FormatError::BeyondLimit { .. }));
        assert!(matches!(with(11, 1), FormatError::BeyondLimit { .. }));
        assert!(matches!(with(8, 3), FormatError::Truncated { .. }));
        assert!(matches!(with(0, 2), FormatError::Unsupported { .. }));
        assert!(matches!(with(Verification::START_LEN + 28, 3), FormatError::Unsupported { .. }));
        assert!(matches!(with(sample().encode().len() - 1, 2), FormatError::Unsupported { .. }));
    }

    #[test]
    fn counts_are_bounded_and_need_what_they_count() {
        let start = &sample().encode()[..Verification::START_LEN];
        let runs = |count| Verification::decode(&with_number::<4>(start, 4, count));
        assert_bound(limits::VERIFICATION_RUNS_MAX.into(), runs);
        let packs = |count| Verification::decode(&with_number::<4>(start, 8, count));
        assert_bound(limits::VERIFICATION_PACKS_MAX.into(), packs);
    }

    #[test]
    fn reserved_bytes_are_zero() {
        for at in [2, 3, Verification::START_LEN + 29, Verification::START_LEN + 31] {
            let refused = Verification::decode(&with_number::<1>(&sample().encode(), at, 1));
            assert!(matches!(refused, Err(FormatError::Inconsistent { .. })), "{at}: {refused:?}");
        }
    }

    #[test]
    fn a_reading_is_as_old_as_its_run() {
        let mut record = sample();
        record.runs.push(CheckRun { time: Timestamp { seconds: 50, nanoseconds: 60 }, ..record.runs[0] });
        let reading = |run| PackReading { run, ..record.packs[0] };
        assert_eq!(record.time_of(&reading(0)), Timestamp { seconds: 5, nanoseconds: 6 });
        assert_eq!(record.time_of(&reading(1)), Timestamp { seconds: 50, nanoseconds: 60 });
        assert!(record.time_of(&reading(2)) < Timestamp { seconds: i64::MIN, nanoseconds: 1 });
    }

    proptest! {
        #[test]
        fn records_round_trip_with_padding(record in record(), padding in 0..20usize) {
            let mut bytes = record.encode();
            bytes.extend(vec![0; padding]);
            prop_assert_eq!(Verification::decode(&bytes), Ok(record));
            if let Some(last) = bytes.last_mut().filter(|_| padding > 0) {
                *last = 1;
                prop_assert!(Verification::decode(&bytes).is_err());
            }
        }

        #[test]
        fn hostile_bytes_never_panic(
            record in record(),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            noise in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            drop(Verification::decode(&noise));
            let mut bytes = record.encode();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(decoded) = Verification::decode(&bytes) {
                prop_assert_eq!(decoded.encode(), bytes);
            }
            prop_assert!(Verification::decode(&record.encode()[..at]).is_err());
        }
    }
}
