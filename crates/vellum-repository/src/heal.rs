//! Reading damaged packs: what is left of them, made whole by their parity.

use crate::get::{FrameId, OpenedFrame};
use crate::objects::unreadable;
use crate::open::Repository;
use crate::pack_reader::FrameReader;
use crate::parity::heal_pack;
use crate::{RepositoryError, lock};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, MutexGuard};
use vellum_format::parity::ParityLayout;
use vellum_format::{ObjectId, ObjectKind, ObjectName, limits};
use vellum_storage::{Storage, StorageError};

/// Bytes that are read at once of a pack that cannot be read whole.
const PIECE_LEN_BYTES: u64 = 64 << 10;

/// What a disk fails to read at least.
const SECTOR_LEN_BYTES: u64 = 4096;

/// What parity was asked for since the repository was opened.
#[derive(Default)]
pub(crate) struct Healing {
    /// The pack that was asked for last, whole.
    last: Option<(ObjectId, Arc<Vec<u8>>)>,
    /// Packs that cannot be healed, and why: asking again would read them again.
    hopeless: BTreeMap<ObjectId, String>,
    /// Packs that are damaged and were healed.
    healed: BTreeSet<ObjectId>,
}

impl Repository {
    /// Packs that turned out damaged since the repository was opened, and of which something was read by their parity.
    /// What is stored of them is as damaged as before.
    #[must_use]
    pub fn healed_packs(&self) -> Vec<ObjectName> {
        self.healing().healed.iter().map(|id| ObjectName::new(ObjectKind::Pack, *id)).collect()
    }

    /// Whether this is one of them.
    #[must_use]
    pub fn was_healed(&self, pack: &ObjectId) -> bool {
        self.healing().healed.contains(pack)
    }

    /// A whole pack, healed by its parity if it is damaged. Memory: up to twice a pack, and the pack asked for last.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] when it is missing or damaged beyond healing, or [`RepositoryError::Storage`].
    pub fn healed_pack(&self, id: ObjectId) -> Result<Arc<Vec<u8>>, RepositoryError> {
        let name = ObjectName::new(ObjectKind::Pack, id);
        let damaged = |reason: String| RepositoryError::Damaged { object: name, reason };
        // Held to the end: of many readers that need one pack, one heals it, and there is one in memory at a time.
        let mut healing = self.healing();
        match &healing.last {
            Some((last, pack)) if *last == id => return Ok(Arc::clone(pack)),
            _ => healing.last = None,
        }
        if let Some(why) = healing.hopeless.get(&id) {
            return Err(damaged(why.clone()));
        }
        let bytes = read_what_is_left(&**self.storage(), &name, limits::PACK_LEN_BYTES_MAX)?;
        let pack = match ObjectId::of(&bytes) == id {
            true => bytes,
            false => {
                let healed = heal_pack(&bytes, &id).map_err(|why| {
                    healing.hopeless.insert(id, why.to_string());
                    damaged(why.to_string())
                })?;
                healing.healed.insert(id);
                healed
            }
        };
        let pack = Arc::new(pack);
        healing.last = Some((id, Arc::clone(&pack)));
        Ok(pack)
    }

    /// [`Repository::open_frame`] from its pack as it should be.
    pub(crate) fn open_healed_frame(
        &self,
        reader: &mut FrameReader,
        frame: FrameId,
    ) -> Result<OpenedFrame, RepositoryError> {
        let info = self.index().frame(frame).ok_or(RepositoryError::FrameForgotten)?;
        let pack = self.healed_pack(info.pack)?;
        let start = info.offset as usize;
        let sealed = start.checked_add(info.stored_len_bytes as usize).and_then(|end| pack.get(start..end));
        self.open_sealed(reader, &info, sealed.unwrap_or_default())
    }

    /// Forgets what was found about a pack that was stored anew.
    pub(crate) fn forget_healing(&self, id: &ObjectId) {
        let mut healing = self.healing();
        healing.hopeless.remove(id);
        healing.healed.remove(id);
    }

    fn healing(&self) -> MutexGuard<'_, Healing> {
        lock(&self.healing)
    }
}

/// What can be read of a pack: zeros stand for what the disk does not give.
fn read_what_is_left(storage: &dyn Storage, name: &ObjectName, len_bytes_max: u64) -> Result<Vec<u8>, RepositoryError> {
    let damaged = |reason: &str| RepositoryError::Damaged { object: *name, reason: reason.to_owned() };
    let is_gap = |error: &StorageError| matches!(error, StorageError::Io { .. }) && !error.is_retryable();
    let len_bytes = match storage.get(name, len_bytes_max) {
        Ok(bytes) => return Ok(bytes),
        Err(StorageError::TooLarge { .. }) => return Err(damaged("it is longer than any object of its kind")),
        Err(error) if is_gap(&error) => storage.len(name).map_err(|error| unreadable(*name, error))?,
        Err(error) => return Err(unreadable(*name, error)),
    };
    if len_bytes > len_bytes_max {
        return Err(damaged("it is longer than any object of its kind"));
    }
    // More than parity can make good is not worth waiting for: a disk takes seconds to fail.
    let healable = ParityLayout::PARITY_SHARDS * ParityLayout::of_body(len_bytes).shard_len_bytes();
    let mut gaps_left = healable / SECTOR_LEN_BYTES + ParityLayout::PARITY_SHARDS;
    let mut bytes = Vec::new();
    for start in (0..len_bytes).step_by(to_usize(PIECE_LEN_BYTES)) {
        let piece = start..len_bytes.min(start + PIECE_LEN_BYTES);
        match storage.get_range(name, piece.clone()) {
            Ok(read) => bytes.extend_from_slice(&read),
            Err(error) if is_gap(&error) => {
                for start in piece.clone().step_by(to_usize(SECTOR_LEN_BYTES)) {
                    let end = piece.end.min(start + SECTOR_LEN_BYTES);
                    match storage.get_range(name, start..end) {
                        Ok(read) => bytes.extend_from_slice(&read),
                        Err(error) if is_gap(&error) && gaps_left > 0 => {
                            gaps_left -= 1;
                            bytes.resize(to_usize(end), 0);
                        }
                        Err(error) => return Err(unreadable(*name, error)),
                    }
                }
            }
            Err(error) => return Err(unreadable(*name, error)),
        }
    }
    Ok(bytes)
}

fn to_usize(len: u64) -> usize {
    usize::try_from(len).expect("a pack fits into memory")
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum_storage::MemoryStorage;
    use vellum_testkit::{BadSectors, Fault, FaultKind, FaultMoment, FaultyStorage, Operation, Random};

    /// Not a multiple of a piece or a sector.
    const LEN_BYTES: usize = 201_000;

    fn read(storage: &dyn Storage, name: &ObjectName) -> Result<Vec<u8>, RepositoryError> {
        read_what_is_left(storage, name, LEN_BYTES as u64)
    }

    fn pack() -> (BadSectors<MemoryStorage>, ObjectName, Vec<u8>) {
        let (disk, bytes) = (BadSectors::new(MemoryStorage::new()), Random::new(1).bytes(LEN_BYTES));
        let name = ObjectName::of(ObjectKind::Pack, &bytes);
        disk.put(&name, &bytes).unwrap();
        (disk, name, bytes)
    }

    #[test]
    fn zeros_stand_for_sectors_that_cannot_be_read_and_for_nothing_else() {
        let (disk, name, mut bytes) = pack();
        for sector in [0, 15, 16, 30, 49] {
            disk.spoil(&name, sector);
            let start = to_usize(sector * SECTOR_LEN_BYTES);
            bytes[start..LEN_BYTES.min(start + 4096)].fill(0);
        }
        assert!(read(&disk, &name).unwrap() == bytes);
        assert!(matches!(read_what_is_left(&disk, &name, LEN_BYTES as u64 - 1), Err(RepositoryError::Damaged { .. })));
    }

    #[test]
    fn no_more_bad_sectors_are_waited_for_than_parity_can_make_good() {
        let (disk, name, _) = pack();
        // Four shards of 4,096 bytes, each of which may lie in two sectors.
        (0..8).for_each(|sector| disk.spoil(&name, sector));
        assert!(read(&disk, &name).is_ok());
        disk.spoil(&name, 8);
        assert!(matches!(read(&disk, &name), Err(RepositoryError::Damaged { .. })));
    }

    #[test]
    fn a_storage_that_does_not_answer_is_no_bad_sector() {
        let fault = |operation, first, kind| Fault {
            operation: Some(operation),
            first,
            count: 1,
            moment: FaultMoment::Before,
            kind,
        };
        // Read whole it has a bad sector; then the first piece, or a sector of it, is not answered.
        for faults in [
            vec![fault(Operation::Get, 1, FaultKind::PermissionDenied)],
            vec![fault(Operation::GetRange, 1, FaultKind::Unreachable)],
            vec![fault(Operation::GetRange, 2, FaultKind::Unreachable)],
        ] {
            let (disk, name, _) = pack();
            disk.spoil(&name, 0);
            let storage = FaultyStorage::new(disk);
            faults.into_iter().for_each(|fault| storage.plan(fault));
            let read = read(&storage, &name);
            assert!(matches!(read, Err(RepositoryError::Storage(_))), "{:?}", read.map(|bytes| bytes.len()));
        }
    }
}
