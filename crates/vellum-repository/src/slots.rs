//! Changing who can unlock: each change is a new generation of the key manifest, added before the old one goes.

use crate::RepositoryError;
use crate::create::NewSlot;
use crate::fault::reach;
use crate::objects::{delete_both, put_twice};
use crate::open::{Repository, newest_key_manifest, remove_older_key_manifests};
use vellum_crypto::KeyManifestDraft;
use vellum_faults::Point;
use vellum_format::key_manifest::{KeyManifest, Slot, SlotHeader};
use vellum_format::snapshot::Timestamp;
use vellum_format::{ObjectId, ObjectKind};

/// What a slot says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotSummary {
    /// Its id in hex; empty where it does not decode.
    pub id: String,
    /// `password`, `key-file`, `recovery`, ….
    pub kind: String,
    /// The ring it opens.
    pub role: String,
    /// For people.
    pub label: String,
    /// When it was added; unknown where it does not decode.
    pub created: Option<Timestamp>,
    /// Argon2id memory in KiB, passes and lanes of a password slot.
    pub argon2id: Option<(u32, u32, u32)>,
    /// Whether this process unlocked with it.
    pub is_current: bool,
}

impl SlotSummary {
    /// The kind of slots that do not decode.
    pub const UNKNOWN: &str = "unknown";
}

impl Repository {
    /// Every way to unlock, in the order in which they were added. One that does not decode, as a newer version may
    /// make it, is of the kind [`SlotSummary::UNKNOWN`]; as long as it is there, keys cannot be changed.
    #[must_use]
    pub fn slots(&self) -> Vec<SlotSummary> {
        let summarize = |slot: &Slot| match SlotHeader::decode(&slot.header) {
            Ok(header) => SlotSummary {
                is_current: self.unlocked().slot == Some(header.slot),
                id: format!("{:?}", header.slot),
                kind: header.kind,
                role: header.role,
                label: header.label,
                created: Some(header.created),
                argon2id: header.argon2id.map(|cost| (cost.memory_kib, cost.passes, cost.lanes)),
            },
            Err(_) => SlotSummary {
                id: String::new(),
                kind: SlotSummary::UNKNOWN.to_owned(),
                role: String::new(),
                label: String::new(),
                created: None,
                argon2id: None,
                is_current: false,
            },
        };
        self.unlocked().manifest.slots.iter().map(summarize).collect()
    }

    /// Adds a way to unlock and returns its id.
    ///
    /// # Errors
    /// [`RepositoryError::ConcurrentKeyChange`] when somebody else was faster; nothing was changed then.
    pub fn add_slot(&mut self, slot: &NewSlot<'_>) -> Result<String, RepositoryError> {
        let mut added = String::new();
        self.change_keys(|draft| {
            added = format!("{:?}", slot.add_to(draft)?);
            Ok(())
        })?;
        Ok(added)
    }

    /// Removes a way to unlock and gives the ring a new key, sealed to every slot that stays.
    ///
    /// Whoever kept an old copy of the repository's keys can still open that copy with the removed secret.
    ///
    /// # Errors
    /// [`RepositoryError::Slot`] when there is no such slot or it is the last.
    pub fn remove_slot(&mut self, id: &str) -> Result<(), RepositoryError> {
        let id = id.to_owned();
        self.change_keys(|draft| remove(draft, &id))
    }

    /// Adds `slot` and removes the slot `replaced` in one generation.
    ///
    /// # Errors
    /// As [`Repository::add_slot`] and [`Repository::remove_slot`].
    pub fn replace_slot(&mut self, replaced: &str, slot: &NewSlot<'_>) -> Result<String, RepositoryError> {
        let mut added = String::new();
        self.change_keys(|draft| {
            added = format!("{:?}", slot.add_to(draft)?);
            remove(draft, replaced)
        })?;
        Ok(added)
    }

    fn change_keys(
        &mut self,
        change: impl FnOnce(&mut KeyManifestDraft) -> Result<(), RepositoryError>,
    ) -> Result<(), RepositoryError> {
        if newest_key_manifest(&**self.storage(), &self.expected())?.0 != self.key_manifest() {
            return Err(RepositoryError::ConcurrentKeyChange);
        }
        let mut draft = self.unlocked().draft(self.key_manifest()).map_err(RepositoryError::KeyChange)?;
        change(&mut draft)?;
        let (signed, next) = draft.finish().map_err(RepositoryError::KeyChange)?;
        let generation = next.manifest.generation;
        // I11: the new generation is durable before the old one goes.
        let storage = self.storage().clone();
        let name = put_twice(&*storage, ObjectKind::Key, &signed.encode())?;
        storage.sync()?;
        reach(Point::KeyChangeSynced)?;
        if self.has_rival(generation, name.id)? {
            delete_both(&*storage, &name)?;
            return Err(RepositoryError::ConcurrentKeyChange);
        }
        remove_older_key_manifests(&*storage, name.id)?;
        self.set_keys(name.id, next);
        Ok(())
    }

    /// Whether another manifest has reached this generation. Whoever sees one steps back.
    fn has_rival(&self, generation: u64, own: ObjectId) -> Result<bool, RepositoryError> {
        let mut others = Vec::new();
        self.storage().list(ObjectKind::Key, &mut |object| {
            if object.name.id != own {
                others.push(object.name);
            }
        })?;
        for name in others {
            let limit = vellum_format::limits::KEY_MANIFEST_LEN_BYTES_MAX;
            let decoded = self.read_object(&name, limit).map(|bytes| {
                let signed = vellum_format::key_manifest::SignedKeyManifest::decode(&bytes)?;
                Ok::<_, vellum_format::FormatError>(KeyManifest::decode(&signed.manifest)?.generation)
            });
            if matches!(decoded, Ok(Ok(other)) if other >= generation) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn remove(draft: &mut KeyManifestDraft, id: &str) -> Result<(), RepositoryError> {
    let refused = |reason: &str| RepositoryError::Slot { slot: id.to_owned(), reason: reason.to_owned() };
    let headers = draft.slot_headers().map_err(RepositoryError::KeyChange)?;
    let matching: Vec<_> =
        headers.iter().map(|header| header.slot).filter(|slot| format!("{slot:?}").starts_with(id)).collect();
    match matching[..] {
        [] => Err(refused("there is no such slot")),
        [slot] => draft.remove_slot(slot).map_err(RepositoryError::KeyChange),
        _ => Err(refused("more than one slot begins like this")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::World;
    use crate::{Credential, KeyFile};
    use vellum_crypto::DraftError;
    use vellum_format::Bytes;

    #[test]
    fn a_slot_of_a_newer_version_is_shown_and_keeps_keys_from_being_changed() {
        let world = World::new();
        let mut repository = world.open();
        let slots = repository.slots();
        let (_, mut unlocked) = repository.unlocked().draft(repository.key_manifest()).unwrap().finish().unwrap();
        let newer = Slot { header: Bytes(vec![1]), ..unlocked.manifest.slots[0].clone() };
        unlocked.manifest.slots.push(newer);
        repository.set_keys(repository.key_manifest(), unlocked);
        let shown = repository.slots();
        assert_eq!(shown[..slots.len()], slots);
        let newer = &shown[slots.len()];
        assert_eq!((newer.kind.as_str(), newer.created, newer.is_current), (SlotSummary::UNKNOWN, None, false));
        let key = KeyFile::generate().unwrap();
        let now = crate::support::NOW;
        let slot = NewSlot { credential: Credential::KeyFile(&key), label: "new", argon2id: None, now };
        let number = shown.len();
        for refused in [repository.add_slot(&slot).map(drop), repository.remove_slot(&slots[0].id)] {
            let error = refused.unwrap_err();
            assert!(
                matches!(error, RepositoryError::KeyChange(DraftError::UnreadableSlot { number: one }) if one == number),
                "{error:?}"
            );
        }
    }
}
