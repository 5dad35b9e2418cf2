//! Who is writing: every session declares itself before it learns what is stored, so that a prune can outlast it.
//!
//! See `docs/PRUNE.md` for the protocol whose steps W1 to W7 are cited here.

use crate::RepositoryError;
use crate::fault::reach;
use crate::open::Repository;
use std::collections::BTreeSet;
use vellum_crypto::RecordKind;
use vellum_faults::Point;
use vellum_format::deletion::{Intent, ProcessMark};
use vellum_format::snapshot::Timestamp;
use vellum_format::{Bytes, ObjectId, ObjectKind, ObjectName};
use vellum_storage::StorageError;

/// How a writer introduces itself to people and prunes; nothing of it matters for safety.
#[derive(Debug, Clone)]
pub struct WriterNote {
    /// When it begins.
    pub time: Timestamp,
    /// The host's name.
    pub host: Vec<u8>,
    /// The user.
    pub user: String,
    /// The program and its version.
    pub program: String,
    /// The process, so that a prune on the same machine can tell that it was killed.
    pub process: Option<ProcessMark>,
}

impl Default for WriterNote {
    fn default() -> Self {
        let time = Timestamp { seconds: 0, nanoseconds: 0 };
        Self { time, host: Vec::new(), user: String::new(), program: String::new(), process: None }
    }
}

/// The intent of a session of this process. Dropping it withdraws it: whoever drops it publishes nothing more.
pub(crate) struct OwnIntent<'repository> {
    repository: &'repository Repository,
    id: ObjectId,
    time: Timestamp,
    fences_before: BTreeSet<ObjectId>,
}

impl<'repository> OwnIntent<'repository> {
    /// W1. From when this returns, every prune that could take something from this writer waits for it.
    pub(crate) fn declare(
        repository: &'repository Repository,
        purpose: &str,
        note: &WriterNote,
    ) -> Result<Self, RepositoryError> {
        let intent = Intent {
            purpose: purpose.to_owned(),
            time: note.time,
            host: Bytes(note.host.clone()),
            user: note.user.clone(),
            process: note.process.clone(),
            program: note.program.clone(),
        };
        let fences_before = repository.ids_of_either(ObjectKind::Fence)?;
        reach(Point::IntentBeforePut)?;
        let id = repository.put_record(RecordKind::Intent, &intent.encode())?;
        let declared = Self { repository, id, time: note.time, fences_before };
        reach(Point::IntentAfterPut)?;
        Ok(declared)
    }

    pub(crate) const fn id(&self) -> ObjectId {
        self.id
    }

    /// The fences that were there before this intent: none of them is about it.
    pub(crate) const fn fences_before(&self) -> &BTreeSet<ObjectId> {
        &self.fences_before
    }

    /// W4: follows when catalogs that list `packs` were stored or deleted under this intent. Whoever was given up
    /// before may have listed again a pack that is gone, or have hidden from another prune that it was listed. So he
    /// condemns again those that are gone: as long as somebody may list one, a condemnation says so. (I22)
    ///
    /// # Errors
    /// [`RepositoryError::Fenced`] when the intent stands no more: the run has to begin again.
    pub(crate) fn account_for(
        &self,
        packs: impl FnOnce() -> Result<BTreeSet<ObjectId>, RepositoryError>,
    ) -> Result<(), RepositoryError> {
        let repository = self.repository;
        match repository.storage().len(&ObjectName::new(ObjectKind::Intent, self.id)) {
            Ok(_) => return Ok(()),
            Err(StorageError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let packs = packs()?;
        let stored = repository.names(ObjectKind::Pack)?;
        let gone: BTreeSet<ObjectId> = packs.into_iter().filter(|pack| !stored.contains_key(pack)).collect();
        if !gone.is_empty() {
            repository.condemn(&gone, self.time)?;
        }
        Err(RepositoryError::Fenced)
    }

    /// What the packs of this session bear, so that no prune takes them for garbage while it runs.
    pub(crate) fn pack_tag(&self) -> [u8; 16] {
        pack_tag(&self.id)
    }
}

impl Drop for OwnIntent<'_> {
    /// W7. An intent that cannot be removed delays the next prune, which then sees that its process is gone.
    fn drop(&mut self) {
        let name = ObjectName::new(ObjectKind::Intent, self.id);
        let removed = reach(Point::IntentBeforeRemoval)
            .and_then(|()| Ok(self.repository.storage().delete(&name)?))
            .and_then(|()| reach(Point::IntentAfterRemoval));
        drop(removed);
    }
}

/// The first half of the salt of every pack that is written under an intent.
pub(crate) fn pack_tag(intent: &ObjectId) -> [u8; 16] {
    *intent.as_bytes().first_chunk().expect("a name is longer than a tag")
}

impl Repository {
    /// Every writer that has declared itself and not withdrawn. One whose record is damaged is there all the same.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`].
    pub fn intents(&self) -> Result<Vec<(ObjectId, Option<Intent>)>, RepositoryError> {
        let read = |id| match self.read_record(RecordKind::Intent, id) {
            Ok(plain) => Ok((id, Intent::decode(&plain).ok())),
            Err(RepositoryError::Damaged { .. }) => Ok((id, None)),
            Err(error) => Err(error),
        };
        let listed = self.ids_of_either(ObjectKind::Intent)?;
        let read: Vec<_> = listed.into_iter().map(read).collect::<Result<_, _>>()?;
        // One that was withdrawn between listing and reading reads as missing; it is listed once more to know.
        let still_there = match read.iter().any(|(_, intent)| intent.is_none()) {
            true => self.ids_of_either(ObjectKind::Intent)?,
            false => return Ok(read),
        };
        Ok(read.into_iter().filter(|(id, intent)| intent.is_some() || still_there.contains(id)).collect())
    }
}
