//! Which packs a check reads, and what is known of the others.

use super::ReadData;
use super::random::Random;
use crate::Error;
use std::collections::{BTreeMap, BTreeSet};
use vellum_format::snapshot::Timestamp;
use vellum_format::{ObjectId, ObjectKind};
use vellum_repository::{Repository, RepositoryError, Verifications};

/// When the packs of a repository were read and found undamaged, over all checks that left a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Packs that catalogs list and that are there.
    pub packs: u64,
    /// Those that no check is known to have read.
    pub never_read: u64,
    /// Those that were damaged when they were read last.
    pub damaged: u64,
    /// Since when every pack was found undamaged: the time of the reading that is longest ago. None as long as a pack
    /// was never read or is damaged.
    pub fully_verified: Option<Timestamp>,
    /// When files were restored and compared last.
    pub restore_tested: Option<Timestamp>,
}

impl Coverage {
    pub(super) fn of<'a>(packs: impl IntoIterator<Item = &'a ObjectId>, known: &Verifications) -> Self {
        let mut coverage = Self { restore_tested: known.last_restore_test(), ..Self::default() };
        for pack in packs {
            coverage.packs += 1;
            match (known.last_read(pack), known.was_whole(pack)) {
                (Some(time), Some(true)) => {
                    let oldest = coverage.fully_verified.map_or(time, |oldest| oldest.min(time));
                    coverage.fully_verified = Some(oldest);
                }
                (Some(_), _) => coverage.damaged += 1,
                (None, _) => coverage.never_read += 1,
            }
        }
        if coverage.never_read + coverage.damaged > 0 {
            coverage.fully_verified = None;
        }
        coverage
    }
}

/// When the packs of a repository were verified, as far as earlier checks recorded it. Nothing is read but their
/// records; those that are damaged or dated after `now` do not count.
///
/// # Errors
/// [`Error::Repository`] when the storage fails.
pub fn coverage(repository: &Repository, now: Timestamp) -> Result<Coverage, Error> {
    let known = repository.verifications(now)?;
    let stored = repository.names(ObjectKind::Pack)?;
    let listed: BTreeSet<ObjectId> = repository.catalogued_packs().into_iter().map(|(pack, _)| pack).collect();
    Ok(Coverage::of(listed.iter().filter(|pack| stored.contains_key(*pack)), &known))
}

/// Chooses packs to read: first every one of those that catalogs list that was damaged when it was read last, so that
/// a check judges by what it sees itself (I25), and then what is asked for of the others.
pub(super) fn choose(
    packs: &BTreeMap<ObjectId, u64>,
    listed: &BTreeSet<ObjectId>,
    which: ReadData,
    known: &Verifications,
) -> Result<Vec<(ObjectId, u64)>, RepositoryError> {
    let is_suspect = |pack: &ObjectId| known.was_whole(pack) == Some(false) && listed.contains(pack);
    let (mut chosen, others): (Vec<_>, Vec<_>) =
        packs.iter().map(|(pack, len_bytes)| (*pack, *len_bytes)).partition(|(pack, _)| is_suspect(pack));
    chosen.extend(choose_share(&others, which, known)?);
    Ok(chosen)
}

/// A share is taken from those that were read longest ago, those that never were first; among equals chance decides,
/// so that nobody can prepare for it.
fn choose_share(
    packs: &[(ObjectId, u64)],
    which: ReadData,
    known: &Verifications,
) -> Result<Vec<(ObjectId, u64)>, RepositoryError> {
    let all = || packs.iter().copied();
    let total: u64 = packs.iter().map(|(_, len_bytes)| len_bytes).sum();
    let share = match which {
        ReadData::None => return Ok(Vec::new()),
        ReadData::All => return Ok(all().collect()),
        ReadData::Part(part, parts) => {
            let of = |id: &ObjectId| id.as_bytes().first_chunk().map_or(0, |start| u32::from_le_bytes(*start));
            return Ok(all().filter(|(id, _)| of(id) % parts.max(1) == part.saturating_sub(1)).collect());
        }
        ReadData::Bytes(bytes) => bytes,
        ReadData::Percent(percent) => share_of(total, percent),
    };
    let mut random = Random::new()?;
    let mut queue: Vec<_> = all().map(|pack| (known.last_read(&pack.0), random.next(), pack)).collect();
    queue.sort_unstable();
    let mut len_bytes = 0;
    let is_wanted = |(_, len): &(ObjectId, u64)| {
        let is_wanted = len_bytes < share;
        len_bytes += *len;
        is_wanted
    };
    Ok(queue.into_iter().map(|(.., pack)| pack).take_while(is_wanted).collect())
}

/// So many percent of `total`, rounded up, so that 100 runs of 1 % read everything.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share, and what is lost to rounding is made good"
)]
fn share_of(total: u64, percent: f64) -> u64 {
    // A double has 53 bits: of 2^64 bytes it may miss 2^11.
    let share = (total as f64 * percent.clamp(0.0, 100.0) / 100.0).ceil() as u64;
    share.saturating_add((total >> 53) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use vellum_format::DeviceId;
    use vellum_format::verification::{CheckRun, Reach};

    fn read(known: &mut Verifications, seconds: i64, packs: &[(ObjectId, u64)]) {
        let time = Timestamp { seconds, nanoseconds: 0 };
        let device = DeviceId::from_bytes([0; 16]);
        let run = CheckRun { time, device, reach: Reach::Sample, files_restored: 0, findings: 0 };
        known.add(run, &packs.iter().map(|(pack, _)| (*pack, true)).collect());
    }

    proptest! {
        /// A hundred runs of 1 % read every pack, ten of 10 % too, whatever the lengths, even when nothing but the
        /// record is kept between them.
        #[test]
        fn so_many_shares_read_everything(
            lens in proptest::collection::vec(1..1_000_000u64, 1..60),
            parts in prop_oneof![Just(100u32), Just(33), Just(10), Just(3), Just(1)],
        ) {
            let packs: BTreeMap<ObjectId, u64> = (0u64..).zip(&lens).map(|(n, len)| (ObjectId::of(&n.to_le_bytes()), *len)).collect();
            let (mut known, mut seen) = (Verifications::default(), BTreeSet::new());
            let percent = 100.0 / f64::from(parts);
            for run in 0..parts {
                let chosen = choose(&packs, &BTreeSet::new(), ReadData::Percent(percent), &known).unwrap();
                prop_assert!(!chosen.is_empty(), "a share of something is something");
                let rest: u64 = packs.iter().filter(|(pack, _)| !seen.contains(*pack)).map(|(_, len)| len).sum();
                let len: u64 = chosen.iter().map(|(_, len)| len).sum();
                prop_assert!(rest == 0 || chosen.iter().all(|(pack, _)| !seen.contains(pack)) || len >= rest, "what was not read comes first");
                seen.extend(chosen.iter().map(|(pack, _)| *pack));
                read(&mut known, i64::from(run), &chosen);
            }
            prop_assert_eq!(seen.len(), packs.len());
            let coverage = Coverage::of(packs.keys(), &known);
            prop_assert_eq!((coverage.never_read, coverage.damaged), (0, 0));
            prop_assert!(coverage.fully_verified.is_some());
        }
    }

    #[test]
    fn a_size_is_read_to_the_end_of_the_pack_that_reaches_it() {
        let packs: BTreeMap<ObjectId, u64> = (0..10u8).map(|number| (ObjectId::of(&[number]), 100)).collect();
        let count =
            |bytes| choose(&packs, &BTreeSet::new(), ReadData::Bytes(bytes), &Verifications::default()).unwrap().len();
        assert_eq!([count(1), count(100), count(101), count(1000), count(u64::MAX)], [1, 1, 2, 10, 10]);
    }

    #[test]
    fn equals_are_read_in_another_order_each_time() {
        let packs: BTreeMap<ObjectId, u64> = (0..64u8).map(|number| (ObjectId::of(&[number]), 1)).collect();
        let order = || choose(&packs, &BTreeSet::new(), ReadData::Bytes(32), &Verifications::default()).unwrap();
        assert_ne!(order(), order());
    }
}
