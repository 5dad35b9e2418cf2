//! Which packs go and which are rewritten.

use super::{LiveSet, Prune};
use crate::RepositoryError;
use crate::open::Repository;
use std::collections::{BTreeMap, BTreeSet};
use vellum_format::content::ChunkKind;
use vellum_format::pack::{PackHeader, PackedChunk};
use vellum_format::parity::Parity;
use vellum_format::{ObjectId, ObjectKind, ObjectName, padme_len};
use vellum_index::PackUse;

/// What a pack takes at most beside its frames and the entries of its chunks: its directory is padded on its own.
const ROUNDING_BYTES: u64 = 4096;

/// How much of the kept packs may be bytes that no snapshot needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxUnused {
    /// This share of the repository as it will be, in percent.
    Percent(f64),
    /// This many bytes.
    Bytes(u64),
    /// Any: nothing is rewritten.
    Unlimited,
}

/// What a prune is going to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrunePlan {
    /// Packs that hold nothing needed.
    pub dead: BTreeSet<ObjectId>,
    /// Packs whose needed part is moved to new packs.
    pub repack: BTreeSet<ObjectId>,
    /// Bytes of both.
    pub bytes_condemned: u64,
    /// About how many bytes are written anew.
    pub bytes_moved: u64,
    /// How many unused bytes may be moved along, since the repository stays within its limit.
    pub spare_bytes: u64,
}

/// Stored bytes that are not needed, if all chunks compress alike.
fn unused_bytes(one: &PackUse) -> u64 {
    one.len_bytes.saturating_sub(used_share(one.len_bytes, one))
}

/// The same in millionths of the pack.
fn unused_share(one: &PackUse) -> u128 {
    u128::from(unused_bytes(one)) * 1_000_000 / u128::from(one.len_bytes.max(1))
}

/// What is needed of a pack, with its part of a directory, if all chunks compress alike.
fn moved_bytes(one: &PackUse) -> u64 {
    used_share(one.frames_bytes, one) + one.used_chunks * PackedChunk::ENCODED_LEN as u64
}

/// The part of so many stored bytes that is needed as much as the pack's plaintext is.
fn used_share(stored_bytes: u64, one: &PackUse) -> u64 {
    let share = u128::from(stored_bytes) * u128::from(one.used_bytes) / u128::from(one.plain_bytes.max(1));
    u64::try_from(share).unwrap_or(u64::MAX)
}

impl Prune<'_, '_> {
    /// Chooses packs, given what the snapshots need. Packs of running writers and damaged packs are left alone.
    ///
    /// # Errors
    /// [`RepositoryError::FrameForgotten`] when the index turned out damaged since the marking, or a pack is gone that
    /// the marks count on: begin again.
    pub fn plan(&mut self, live: &LiveSet) -> Result<PrunePlan, RepositoryError> {
        let stored = self.repository.names(ObjectKind::Pack)?;
        let usage = usage(self.repository, &stored, live)?;
        // Everything needed was found elsewhere: these entries of catalogs only mislead.
        let listed = self.repository.catalogued_packs().into_iter().map(|(pack, _)| pack);
        self.absent = listed.filter(|pack| !stored.contains_key(pack)).collect();
        self.report.packs = usage.len() as u64;
        self.report.bytes = usage.values().map(|one| one.len_bytes).sum();
        self.report.unused_bytes = usage.values().map(unused_bytes).sum();
        let mut plan = PrunePlan::default();
        for (pack, one) in usage.iter().filter(|(pack, _)| !self.condemned_before.contains(pack)) {
            if one.used_chunks > 0 {
                self.relied_on.insert(*pack);
            } else if !self.is_of_running_writer(pack)? {
                plan.dead.insert(*pack);
                plan.bytes_condemned += one.len_bytes;
            }
        }
        self.choose_repack(&usage, &mut plan);
        Ok(plan)
    }

    fn choose_repack(&self, usage: &BTreeMap<ObjectId, PackUse>, plan: &mut PrunePlan) {
        let used = usage.values().map(|one| one.len_bytes - unused_bytes(one)).sum();
        let allowed = allowed_unused(self.settings.max_unused, used);
        let partly = usage.iter().filter(|(pack, _)| self.relied_on.contains(pack));
        let partly = partly.map(|(pack, one)| (*pack, *one)).collect();
        let (chosen, unused) = choose(partly, allowed, self.settings.max_repack_bytes);
        let moved = |is_data| {
            let bytes = chosen
                .iter()
                .filter(|(_, one)| (one.kind == Some(ChunkKind::Data)) == is_data)
                .map(|(_, one)| moved_bytes(one))
                .sum();
            let config = self.repository.config();
            written_len_bytes(bytes, config.pack_len_bytes.into(), config.parity)
        };
        let written = moved(true) + moved(false);
        let len_bytes: u64 = chosen.iter().map(|(_, one)| one.len_bytes).sum();
        if written < len_bytes {
            plan.repack = chosen.into_iter().map(|(pack, _)| pack).collect();
            plan.bytes_condemned += len_bytes;
            plan.bytes_moved = written;
            plan.spare_bytes = allowed.saturating_sub(unused);
        }
    }

    /// Whether the pack bears the tag of an intent that stood when this prune began. What cannot be read is not
    /// condemned either.
    fn is_of_running_writer(&self, pack: &ObjectId) -> Result<bool, RepositoryError> {
        if self.busy.is_empty() {
            return Ok(false);
        }
        let name = ObjectName::new(ObjectKind::Pack, *pack);
        let start = match self.repository.storage().get_range(&name, 0..PackHeader::ENCODED_LEN as u64) {
            Ok(start) => start,
            Err(vellum_storage::StorageError::NotFound { .. } | vellum_storage::StorageError::ShortRead { .. }) => {
                return Ok(false);
            }
            Err(error) => return Err(error.into()),
        };
        Ok(PackHeader::tag(&start).is_none_or(|tag| self.busy.contains(&tag)))
    }
}

/// The packs with the largest unused shares, until what stays unused is within the limit, and how much that is.
fn choose(mut partly: Vec<(ObjectId, PackUse)>, allowed: u64, mut budget: u64) -> (Vec<(ObjectId, PackUse)>, u64) {
    let mut unused: u64 = partly.iter().map(|(_, one)| unused_bytes(one)).sum();
    // A pack whose only loss is its padding would be written anew for nothing.
    partly.retain(|(_, one)| one.used_bytes < one.plain_bytes);
    partly.sort_by_key(|(pack, one)| (std::cmp::Reverse(unused_share(one)), *pack));
    let mut chosen = Vec::new();
    for (pack, one) in partly {
        if unused <= allowed {
            break;
        }
        if let Some(rest) = budget.checked_sub(one.len_bytes) {
            budget = rest;
            unused -= unused_bytes(&one);
            chosen.push((pack, one));
        }
    }
    (chosen, unused)
}

/// What packs of so many bytes take, the last of which is not full, with padding and parity.
fn written_len_bytes(bytes: u64, full_len_bytes: u64, parity: Parity) -> u64 {
    let last_len_bytes = match bytes % full_len_bytes {
        0 => 0,
        last => parity.object_len_bytes(padme_len(last + ROUNDING_BYTES)),
    };
    bytes / full_len_bytes * parity.object_len_bytes(full_len_bytes) + last_len_bytes
}

fn allowed_unused(limit: MaxUnused, used_bytes: u64) -> u64 {
    match limit {
        MaxUnused::Unlimited => u64::MAX,
        MaxUnused::Bytes(bytes) => bytes,
        MaxUnused::Percent(percent) if percent >= 100.0 => u64::MAX,
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an estimate of bytes, rounded down"
        )]
        MaxUnused::Percent(percent) => (used_bytes as f64 * percent.max(0.0) / (100.0 - percent.max(0.0))) as u64,
    }
}

/// Every pack that is there and known, with what is needed of it.
///
/// # Errors
/// [`RepositoryError::FrameForgotten`] as for [`Prune::plan`]: another prune has deleted a copy since it was marked, so
/// one that looks superfluous beside it may be the last.
fn usage(
    repository: &Repository,
    stored: &BTreeMap<ObjectId, u64>,
    live: &LiveSet,
) -> Result<BTreeMap<ObjectId, PackUse>, RepositoryError> {
    let index = repository.index();
    let (present, absent): (Vec<_>, Vec<_>) =
        index.pack_uses(&live.copies)?.into_iter().partition(|one| stored.get(&one.pack) == Some(&one.len_bytes));
    let all_there = absent.iter().all(|one| one.used_chunks == 0);
    match all_there && live.copies.is_current(index) {
        true => Ok(present.into_iter().map(|one| (one.pack, one)).collect()),
        false => Err(RepositoryError::FrameForgotten),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: PackUse = PackUse {
        pack: ObjectId::from_bytes([0; 32]),
        len_bytes: 0,
        plain_bytes: 0,
        used_bytes: 0,
        used_chunks: 0,
        frames_bytes: 0,
        kind: None,
    };

    #[test]
    fn unused_bytes_follow_the_share_of_the_plaintext() {
        let one = PackUse { len_bytes: 1000, plain_bytes: 4000, used_bytes: 1000, ..NONE };
        assert_eq!(unused_bytes(&one), 750);
        assert_eq!(unused_bytes(&PackUse { used_bytes: 0, ..one }), 1000);
        assert_eq!(unused_bytes(&PackUse { used_bytes: 4000, ..one }), 0);
        assert_eq!(unused_bytes(&PackUse { len_bytes: 1000, ..NONE }), 1000);
    }

    #[test]
    fn what_is_moved_is_the_needed_share_of_the_frames_with_its_part_of_a_directory() {
        let one = PackUse { plain_bytes: 4000, used_bytes: 1000, frames_bytes: 900, used_chunks: 3, ..NONE };
        assert_eq!(moved_bytes(&one), 225 + 3 * PackedChunk::ENCODED_LEN as u64);
        assert_eq!(moved_bytes(&PackUse { plain_bytes: 0, used_bytes: 0, used_chunks: 0, ..one }), 0);
    }

    #[test]
    fn written_packs_are_full_but_for_the_last() {
        assert_eq!(written_len_bytes(0, 1 << 20, Parity::None), 0);
        assert_eq!(written_len_bytes(3 << 20, 1 << 20, Parity::None), 3 << 20);
        assert_eq!(written_len_bytes((2 << 20) + 5000, 1 << 20, Parity::None), (2 << 20) + padme_len(5000 + 4096));
        let full = Parity::ReedSolomon.object_len_bytes(1 << 20);
        assert_eq!(written_len_bytes(2 << 20, 1 << 20, Parity::ReedSolomon), 2 * full);
    }

    #[test]
    fn the_packs_with_the_largest_unused_shares_are_chosen_within_limit_and_budget() {
        // Of each: its length, and what is unused of it. The second is of half the length, so it has the largest share.
        let sizes = [(1000, 300), (500, 250), (1000, 400), (1000, 100)];
        let packs: Vec<(ObjectId, PackUse)> = sizes
            .into_iter()
            .zip(0u8..)
            .map(|((len_bytes, unused), number)| {
                let usage = PackUse { len_bytes, plain_bytes: len_bytes, used_bytes: len_bytes - unused, ..NONE };
                (ObjectId::of(&[number]), usage)
            })
            .collect();
        let numbers = |allowed, budget| {
            let (chosen, unused) = choose(packs.clone(), allowed, budget);
            let number = |pack| packs.iter().position(|(id, _)| *id == pack).unwrap();
            (chosen.into_iter().map(|(pack, _)| number(pack)).collect::<Vec<_>>(), unused)
        };
        assert_eq!(numbers(0, u64::MAX), (vec![1, 2, 0, 3], 0));
        assert_eq!(numbers(1050, u64::MAX), (vec![], 1050));
        assert_eq!(numbers(1049, u64::MAX), (vec![1], 800));
        assert_eq!(numbers(400, u64::MAX), (vec![1, 2], 400));
        assert_eq!(numbers(0, 1500), (vec![1, 2], 400), "what no more fits the budget waits");
        assert_eq!(numbers(0, 1499), (vec![1], 800));
        // All of it is needed, and it would fit where another does not.
        let whole = PackUse { len_bytes: 200, plain_bytes: 200, used_bytes: 200, ..NONE };
        let with_whole = [&packs[..1], &[(ObjectId::of(b""), whole)]].concat();
        assert_eq!(choose(with_whole, 0, 200).0.len(), 0);
        let share = |(len_bytes, used_bytes)| PackUse { len_bytes, plain_bytes: 8, used_bytes, ..NONE };
        assert_eq!([(1000, 2), (2000, 4), (0, 0)].map(|one| unused_share(&share(one))), [750_000, 500_000, 0]);
    }

    #[test]
    fn the_limit_is_a_share_of_the_repository_as_it_will_be() {
        assert_eq!(allowed_unused(MaxUnused::Percent(5.0), 95), 5);
        assert_eq!(allowed_unused(MaxUnused::Percent(0.0), 95), 0);
        assert_eq!(allowed_unused(MaxUnused::Percent(100.0), 0), u64::MAX);
        assert_eq!(allowed_unused(MaxUnused::Bytes(7), 95), 7);
    }
}
