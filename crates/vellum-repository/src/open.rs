//! Opening and unlocking: two states, so that nothing can be used before its keys were checked.

use crate::class::{Class, PRIVATE};
use crate::damaged::DamagedCounts;
use crate::fault::reach;
use crate::heal::Healing;
use crate::local_state::LocalState;
use crate::{RepositoryError, lock};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use vellum_chunker::Chunker;
use vellum_crypto::{Credential, Expected, ManifestError, SlotError, UnlockError, Unlocked, unlock, verify_manifest};
use vellum_faults::Point;
use vellum_format::key_manifest::SignedKeyManifest;
use vellum_format::repository_config::RepositoryConfig;
use vellum_format::{ObjectId, ObjectKind, ObjectName, RepositoryId, limits};
use vellum_index::{Index, PersistenceWatch, StateFolder};
use vellum_storage::{Storage, StorageError};

/// A repository whose config was read but not yet authenticated: that takes the keys.
pub struct Locked {
    storage: Arc<dyn Storage>,
    config: RepositoryConfig,
    config_id: ObjectId,
}

/// An unlocked repository. Share it by reference; all of its methods may be called from many threads.
pub struct Repository {
    storage: Arc<dyn Storage>,
    config: RepositoryConfig,
    config_id: ObjectId,
    unlocked: Arc<Unlocked>,
    key_manifest: ObjectId,
    class: Class,
    index: Index,
    state_folder: Option<PathBuf>,
    pub(crate) device_name: Option<Vec<u8>>,
    /// Lengths of packs that were adopted and that no catalog lists yet.
    recovered: Mutex<BTreeMap<ObjectId, u64>>,
    has_absent_packs: AtomicBool,
    condemned: Mutex<Arc<BTreeSet<ObjectId>>>,
    mending: Mutex<Mending>,
    pub(crate) healing: Mutex<Healing>,
    pub(crate) damaged_frames: Mutex<DamagedCounts>,
    pub(crate) has_damaged_frames: AtomicBool,
}

/// The keys of a repository that was unlocked, to open the same again; see [`Locked::unlock_again`].
///
/// Whoever has this can do what whoever unlocked the repository can. A clone shares the secrets, which are wiped with
/// the last one and the last [`Repository`] that has them.
#[derive(Clone)]
pub struct HeldKeys {
    key_manifest: ObjectId,
    unlocked: Arc<Unlocked>,
}

/// What was done about an index that did not know enough.
#[derive(Default)]
pub(crate) struct Mending {
    /// How often it was mended.
    pub(crate) count: u64,
    /// Whether packs without a catalog were looked for; again would find the same.
    pub(crate) has_recovered: bool,
    /// Packs that turned out missing, for each of which the index was brought up to date once.
    pub(crate) missing: BTreeSet<ObjectId>,
}

impl Drop for Repository {
    fn drop(&mut self) {
        self.settle_damaged_frames();
    }
}

impl Locked {
    /// Reads the config, from its copy when the first is damaged.
    ///
    /// # Errors
    /// [`RepositoryError::NoRepository`] when there is none, [`RepositoryError::NothingLeft`] when every copy is
    /// damaged, [`RepositoryError::AmbiguousConfig`] when there are several.
    pub fn open(storage: Arc<dyn Storage>) -> Result<Self, RepositoryError> {
        let location = || storage.location();
        let kinds = [ObjectKind::Config, ObjectKind::ConfigMirror];
        let found = read_undamaged(&*storage, kinds, limits::CONFIG_LEN_BYTES_MAX)?;
        let mut configs = Vec::new();
        let mut refused = None;
        for (id, bytes) in found.objects {
            match RepositoryConfig::decode(&bytes) {
                Ok(config) => configs.push((id, config)),
                Err(error) => {
                    refused = Some(RepositoryError::damaged(ObjectName::new(ObjectKind::Config, id), &error));
                }
            }
        }
        match (configs.pop(), configs.len(), refused) {
            (Some((config_id, config)), 0, _) => Ok(Self { storage, config, config_id }),
            (Some(_), others, _) => Err(RepositoryError::AmbiguousConfig { location: location(), count: others + 1 }),
            (None, _, Some(refused)) => Err(refused),
            (None, ..) if found.names == 0 => Err(RepositoryError::NoRepository { location: location() }),
            (None, ..) => Err(RepositoryError::NothingLeft { kind: ObjectKind::Config, location: location() }),
        }
    }

    /// The repository's id.
    #[must_use]
    pub fn id(&self) -> RepositoryId {
        self.config.repository
    }

    /// Unlocks with the newest generation of keys and authenticates the config through it.
    ///
    /// # Errors
    /// [`RepositoryError::WrongCredential`], [`RepositoryError::NoSuchSlot`], or what contradicts what.
    pub fn unlock(self, credential: &Credential<'_>, local_state: &LocalState) -> Result<Repository, RepositoryError> {
        let expected = self.expected();
        let (key_manifest, signed) = newest_key_manifest(&*self.storage, &expected)?;
        let name = ObjectName::new(ObjectKind::Key, key_manifest);
        let unlocked = unlock(&signed, &expected, credential).map_err(|error| unlock_error(error, name))?;
        self.unlocked(&HeldKeys { key_manifest, unlocked: Arc::new(unlocked) }, local_state)
    }

    /// Unlocks with keys that an earlier [`Locked::unlock`] gave, without a credential and what it costs.
    ///
    /// They are those of one key manifest, and only for as long as the newest manifest of this repository, read and
    /// verified again, is the same byte for byte: then a credential that gave them would give them again.
    ///
    /// # Errors
    /// [`RepositoryError::KeysChanged`] when it is another one, newer or older, or of another repository: then
    /// [`Locked::unlock`] is for people to decide about.
    pub fn unlock_again(self, keys: &HeldKeys, local_state: &LocalState) -> Result<Repository, RepositoryError> {
        // I8: the manifest names its config, and that its owner; so these two are as they were then as well.
        let (key_manifest, _) = newest_key_manifest(&*self.storage, &self.expected())?;
        match key_manifest == keys.key_manifest {
            true => self.unlocked(keys, local_state),
            false => Err(RepositoryError::KeysChanged { location: self.storage.location() }),
        }
    }

    fn expected(&self) -> Expected {
        Expected {
            repository: self.config.repository,
            owner: self.config.owner,
            config: self.config_id,
            generation_min: 0,
        }
    }

    /// The repository with the keys of its newest manifest.
    fn unlocked(self, keys: &HeldKeys, local_state: &LocalState) -> Result<Repository, RepositoryError> {
        let Self { storage, config, config_id } = self;
        let HeldKeys { key_manifest, unlocked } = keys.clone();
        let class = config.classes.iter().find(|class| class.name == PRIVATE);
        let class = class.ok_or_else(|| RepositoryError::KeysMissing { class: PRIVATE.to_owned() })?;
        let class = Class::new(class, &unlocked.ring)?;
        let state_folder = local_state.folder(config.repository);
        let index_folder = state_folder.clone().map_or(StateFolder::None, StateFolder::At);
        let index = Index::open(&index_folder, unlocked.ring.local_key("index").expose());
        let repository = Repository {
            storage,
            config,
            config_id,
            unlocked,
            key_manifest,
            class,
            index,
            state_folder,
            device_name: None,
            recovered: Mutex::default(),
            has_absent_packs: AtomicBool::new(false),
            condemned: Mutex::default(),
            mending: Mutex::default(),
            healing: Mutex::default(),
            damaged_frames: Mutex::default(),
            has_damaged_frames: AtomicBool::new(false),
        };
        repository.recall_damaged_frames();
        Ok(repository)
    }
}

impl Repository {
    /// The repository's id.
    #[must_use]
    pub fn id(&self) -> RepositoryId {
        self.config.repository
    }

    /// The authenticated config.
    #[must_use]
    pub fn config(&self) -> &RepositoryConfig {
        &self.config
    }

    /// Cuts files as this repository wants them cut.
    #[must_use]
    pub fn chunker(&self) -> Chunker {
        self.class.chunker.clone()
    }

    /// The owner's fingerprint, to be compared by people.
    #[must_use]
    pub fn owner_fingerprint(&self) -> String {
        vellum_crypto::fingerprint(&self.config.owner)
    }

    /// The storage beneath.
    #[must_use]
    pub fn storage(&self) -> &Arc<dyn Storage> {
        &self.storage
    }

    /// The folder for local state of this repository, if any may be kept.
    #[must_use]
    pub fn state_folder(&self) -> Option<&PathBuf> {
        self.state_folder.as_ref()
    }

    /// What tells whether local state is kept: a folder that cannot be used costs time, not the run.
    #[must_use]
    pub fn local_state_watch(&self) -> PersistenceWatch {
        self.index.persistence_watch()
    }

    /// The catalogs that the index has loaded.
    #[must_use]
    pub fn catalogs(&self) -> Vec<ObjectId> {
        self.index.loaded_catalogs()
    }

    /// Whether everything that these catalogs listed is still counted as stored.
    #[must_use]
    pub fn holds_all(&self, catalogs: impl IntoIterator<Item = ObjectId>) -> bool {
        let loaded: BTreeSet<ObjectId> = self.index.loaded_catalogs().into_iter().collect();
        let is_known = self.storage.capabilities().cheap_listing || self.condemned_packs().is_empty();
        let all_count = is_known && !self.has_absent_packs.load(Ordering::Relaxed) && !self.has_damaged_frames(); // I20
        all_count && catalogs.into_iter().all(|id| loaded.contains(&id))
    }

    /// Packs that no writer may rely on, as far as this process has heard.
    pub(crate) fn condemned_packs(&self) -> Arc<BTreeSet<ObjectId>> {
        Arc::clone(&lock(&self.condemned))
    }

    pub(crate) fn set_condemned_packs(&self, packs: BTreeSet<ObjectId>) {
        self.index.set_condemned_packs(packs.clone());
        *lock(&self.condemned) = Arc::new(packs);
    }

    /// `has_condemned`: whether packs that no writer may rely on are there.
    pub(crate) fn set_absent_packs(&self, packs: BTreeSet<ObjectId>, has_condemned: bool) {
        self.has_absent_packs.store(!packs.is_empty() || has_condemned, Ordering::Relaxed);
        self.index.set_absent_packs(packs);
    }

    pub(crate) fn config_id(&self) -> ObjectId {
        self.config_id
    }

    /// What a key manifest of this repository must match.
    pub(crate) fn expected(&self) -> Expected {
        Expected { repository: self.id(), owner: self.config.owner, config: self.config_id, generation_min: 0 }
    }

    pub(crate) fn class(&self) -> &Class {
        &self.class
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn unlocked(&self) -> &Unlocked {
        &self.unlocked
    }

    pub(crate) fn set_keys(&mut self, key_manifest: ObjectId, unlocked: Unlocked) {
        (self.key_manifest, self.unlocked) = (key_manifest, Arc::new(unlocked));
    }

    /// The keys that this process unlocked, to open the repository again.
    #[must_use]
    pub fn held_keys(&self) -> HeldKeys {
        HeldKeys { key_manifest: self.key_manifest, unlocked: Arc::clone(&self.unlocked) }
    }

    /// The generation of keys that this process unlocked.
    #[must_use]
    pub fn key_manifest(&self) -> ObjectId {
        self.key_manifest
    }

    pub(crate) fn mending(&self) -> MutexGuard<'_, Mending> {
        lock(&self.mending)
    }

    /// Packs that were adopted and that no catalog lists yet, with their lengths; it is for the caller to list them.
    pub(crate) fn take_recovered(&self) -> Vec<(ObjectId, u64)> {
        let recovered = std::mem::take(&mut *lock(&self.recovered));
        let condemned = self.condemned_packs();
        recovered.into_iter().filter(|(pack, _)| !condemned.contains(pack)).collect()
    }

    /// Forgets packs that are not stored any more: a catalog made of them would list what is gone. (I4)
    pub(crate) fn retain_recovered(&self, stored: &BTreeMap<ObjectId, u64>) {
        lock(&self.recovered).retain(|pack, _| stored.contains_key(pack));
    }

    pub(crate) fn remember_recovered(&self, packs: impl IntoIterator<Item = (ObjectId, u64)>) {
        lock(&self.recovered).extend(packs);
    }
}

/// The undamaged objects under a prefix and its mirror, once each.
struct Found {
    objects: Vec<(ObjectId, Vec<u8>)>,
    names: usize,
}

fn read_undamaged(storage: &dyn Storage, kinds: [ObjectKind; 2], len_bytes_max: u64) -> Result<Found, RepositoryError> {
    let mut names: Vec<ObjectName> = Vec::new();
    for kind in kinds {
        storage.list(kind, &mut |object| names.push(object.name))?;
    }
    let mut objects: Vec<(ObjectId, Vec<u8>)> = Vec::new();
    let mut unreadable = None;
    for name in &names {
        if objects.iter().any(|(id, _)| *id == name.id) {
            continue;
        }
        match storage.get(name, len_bytes_max) {
            Ok(bytes) if ObjectId::of(&bytes) == name.id => objects.push((name.id, bytes)),
            Ok(_) | Err(StorageError::NotFound { .. } | StorageError::TooLarge { .. }) => {}
            // A bad sector below one copy must not keep anybody from the other.
            Err(error @ StorageError::Io { .. }) => unreadable = Some(error),
            Err(error) => return Err(error.into()),
        }
    }
    match unreadable {
        Some(error) if objects.is_empty() => Err(error.into()),
        _ => Ok(Found { objects, names: names.len() }),
    }
}

/// The undamaged key manifest of the highest generation that the owner signed for this config. What else lies there
/// was left by an interrupted `init` or planted, and must not keep anybody from unlocking.
pub(crate) fn newest_key_manifest(
    storage: &dyn Storage,
    expected: &Expected,
) -> Result<(ObjectId, SignedKeyManifest), RepositoryError> {
    let kinds = [ObjectKind::Key, ObjectKind::KeyMirror];
    let found = read_undamaged(storage, kinds, limits::KEY_MANIFEST_LEN_BYTES_MAX)?;
    let usable = found.objects.into_iter().filter_map(|(id, bytes)| {
        let signed = SignedKeyManifest::decode(&bytes).ok()?;
        let generation = verify_manifest(&signed, expected).ok()?.generation;
        // Of two with one generation the smaller name wins, so that every client takes the same.
        Some(((generation, std::cmp::Reverse(id)), signed))
    });
    usable
        .max_by_key(|(rank, _)| *rank)
        .map(|((_, id), signed)| (id.0, signed))
        .ok_or_else(|| RepositoryError::NothingLeft { kind: ObjectKind::Key, location: storage.location() })
}

/// Removes older key manifests once a newer one is durable.
pub(crate) fn remove_older_key_manifests(storage: &dyn Storage, keep: ObjectId) -> Result<(), RepositoryError> {
    for kind in [ObjectKind::Key, ObjectKind::KeyMirror] {
        let mut old = Vec::new();
        storage.list(kind, &mut |object| old.push(object.name))?;
        for name in old.iter().filter(|name| name.id != keep) {
            reach(Point::KeyBeforeRemoval)?;
            storage.delete(name)?;
        }
    }
    Ok(())
}

/// What people call what opens a kind of slot.
fn noun(slot_kind: &'static str) -> &'static str {
    match slot_kind {
        "key-file" => "key file",
        "recovery" => "recovery key",
        other => other,
    }
}

fn unlock_error(error: UnlockError, object: ObjectName) -> RepositoryError {
    match error {
        UnlockError::WrongCredential { kind, .. } => RepositoryError::WrongCredential { credential: noun(kind) },
        UnlockError::NoSlot { kind } => RepositoryError::NoSuchSlot { credential: noun(kind) },
        UnlockError::Manifest(ManifestError::Format(error)) => RepositoryError::damaged(object, &error),
        UnlockError::Slot { source: SlotError::OtherOwner, .. } => {
            RepositoryError::KeysContradict { detail: SlotError::OtherOwner.to_string() }
        }
        UnlockError::Slot { slot_index, source } => {
            RepositoryError::UnusableSlot { slot: slot_index + 1, reason: source.to_string() }
        }
        UnlockError::Manifest(error) => RepositoryError::KeysContradict { detail: error.to_string() },
        UnlockError::Ring(error) => RepositoryError::KeysContradict { detail: error.to_string() },
    }
}

#[cfg(test)]
mod tests;
