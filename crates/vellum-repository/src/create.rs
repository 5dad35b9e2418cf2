//! `init`: a new repository in an empty place.

use crate::RepositoryError;
use crate::class::PRIVATE;
use crate::fault::reach;
use crate::local_state::LocalState;
use crate::objects::{delete_both, put_twice};
use crate::open::{Locked, Repository, remove_older_key_manifests};
use crate::pack_writer::random;
use std::sync::Arc;
use vellum_crypto::{Credential, KeyManifestDraft, OwnerRing, RecoveryKey};
use vellum_faults::Point;
use vellum_format::key_manifest::Argon2idParameters;
use vellum_format::parity::Parity;
use vellum_format::repository_config::{ChunkerConfig, ClassConfig, RepositoryConfig};
use vellum_format::snapshot::Timestamp;
use vellum_format::{FixedBytes, ObjectKind, ObjectName, RepositoryId};
use vellum_storage::Storage;

/// What `init` may choose.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CreateOptions {
    /// Where files are cut.
    pub chunker: ChunkerConfig,
    /// zstd level, 0 to 22.
    pub compression_level: i32,
    /// Bytes of the body of a full pack.
    pub pack_len_bytes: u32,
    /// Plaintext bytes after which a frame is closed.
    pub frame_len_bytes: u32,
    /// What packs carry against damage.
    pub parity: Parity,
    /// When: the library reads no clock.
    pub now: Timestamp,
}

impl CreateOptions {
    /// The defaults: `phte128` with 16, 64 and 256 KiB, zstd 3, packs of 32 MiB with parity, frames of
    /// 1 MiB.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let chunker = ChunkerConfig {
            algorithm: "phte128".to_owned(),
            min_len_bytes: 16 << 10,
            avg_len_bytes: 64 << 10,
            max_len_bytes: 256 << 10,
        };
        let parity = Parity::ReedSolomon;
        Self { chunker, compression_level: 3, pack_len_bytes: 32 << 20, frame_len_bytes: 2 << 20, parity, now }
    }
}

/// A way to unlock that is about to be added.
pub struct NewSlot<'a> {
    /// What the user will show.
    pub credential: Credential<'a>,
    /// For people.
    pub label: &'a str,
    /// Cost of a password; `None` takes the default.
    pub argon2id: Option<Argon2idParameters>,
    /// When: the library reads no clock.
    pub now: Timestamp,
}

impl NewSlot<'_> {
    pub(crate) fn add_to(&self, draft: &mut KeyManifestDraft) -> Result<FixedBytes<8>, RepositoryError> {
        draft.add_slot(self.label, self.now, &self.credential, self.argon2id).map_err(RepositoryError::KeyChange)
    }
}

/// What `init` made.
pub struct Created {
    /// Ready to be used.
    pub repository: Repository,
    /// To be shown once; it is stored nowhere.
    pub recovery_key: RecoveryKey,
}

impl Repository {
    /// Makes a repository that `slots` and a fresh recovery key unlock.
    ///
    /// Keys are durable before the config, which is the commit point: a crash leaves a place where `create` can be
    /// run again. Of two that run at once at most one succeeds.
    ///
    /// # Errors
    /// [`RepositoryError::AlreadyExists`] when there is a config already.
    pub fn create(
        storage: Arc<dyn Storage>,
        options: &CreateOptions,
        slots: &[NewSlot<'_>],
        local_state: &LocalState,
    ) -> Result<Created, RepositoryError> {
        if !configs(&*storage)?.is_empty() {
            return Err(RepositoryError::AlreadyExists { location: storage.location() });
        }
        let ring = OwnerRing::generate(&[PRIVATE])?;
        let config = new_config(options, &ring)?;
        let config_bytes = config.encode();
        RepositoryConfig::decode(&config_bytes).map_err(|error| RepositoryError::UnusableChunker {
            algorithm: options.chunker.algorithm.clone(),
            reason: error.to_string(),
        })?;
        let config_name = ObjectName::of(ObjectKind::Config, &config_bytes);
        let recovery_key = RecoveryKey::generate()?;
        let mut draft = KeyManifestDraft::first(config.repository, config_name.id, ring)?;
        for slot in slots {
            slot.add_to(&mut draft)?;
        }
        let recovery = Credential::RecoveryKey(&recovery_key);
        NewSlot { credential: recovery, label: "recovery key", argon2id: None, now: options.now }.add_to(&mut draft)?;
        let (signed, _) = draft.finish().map_err(RepositoryError::KeyChange)?;
        let keys = signed.encode();
        let key_name = put_twice(&*storage, ObjectKind::Key, &keys)?;
        storage.sync()?;
        reach(Point::InitKeysSynced)?;
        put_twice(&*storage, ObjectKind::Config, &config_bytes)?;
        storage.sync()?;
        reach(Point::InitConfigSynced)?;
        if configs(&*storage)?.iter().any(|other| *other != config_name) {
            // Whoever sees another config steps back: at worst both do, never do both stay.
            delete_both(&*storage, &config_name)?;
            delete_both(&*storage, &key_name)?;
            storage.sync()?;
            return Err(RepositoryError::AlreadyExists { location: storage.location() });
        }
        // Keys of an earlier `init` that was interrupted unlock nothing any more.
        remove_older_key_manifests(&*storage, key_name.id)?;
        let locked = Locked::open(storage)?;
        let repository = locked.unlock(&Credential::RecoveryKey(&recovery_key), local_state)?;
        Ok(Created { repository, recovery_key })
    }
}

fn new_config(options: &CreateOptions, ring: &OwnerRing) -> Result<RepositoryConfig, RepositoryError> {
    Ok(RepositoryConfig {
        repository: RepositoryId::from_bytes(random()?),
        created: options.now,
        owner: ring.owner_public_key(),
        pack_len_bytes: options.pack_len_bytes,
        frame_len_bytes: options.frame_len_bytes,
        parity: options.parity,
        classes: vec![ClassConfig {
            name: PRIVATE.to_owned(),
            chunker: options.chunker.clone(),
            compression_level: options.compression_level,
        }],
        must_understand: Vec::new(),
        may_ignore: Vec::new(),
    })
}

fn configs(storage: &dyn Storage) -> Result<Vec<ObjectName>, RepositoryError> {
    let mut names = Vec::new();
    storage.list(ObjectKind::Config, &mut |object| names.push(object.name))?;
    Ok(names)
}
