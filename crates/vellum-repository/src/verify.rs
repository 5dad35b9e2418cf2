//! Checking what is stored, object by object.

use crate::RepositoryError;
use crate::get::FrameId;
use crate::open::Repository;
use crate::pack_reader::{FrameReader, open_pack};
use crate::tombstones::Tombstone;
use std::collections::{BTreeMap, BTreeSet};
use vellum_format::catalog::Catalog;
use vellum_format::key_manifest::SignedKeyManifest;
use vellum_format::pack::Directory;
use vellum_format::repository_config::RepositoryConfig;
use vellum_format::{ObjectId, ObjectKind, ObjectName, limits};

/// One thing that is wrong, with the object it is wrong with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The object.
    pub object: ObjectName,
    /// What is wrong with it.
    pub reason: String,
}

/// What reading a whole pack found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackVerdict {
    /// Bytes that were read.
    pub len_bytes: u64,
    /// Chunks that hold what their ids say.
    pub chunks: u64,
}

impl Repository {
    /// Checks config and key manifests with their copies: each must be there twice and undamaged.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`].
    pub fn verify_config_and_keys(&self) -> Result<Vec<Damage>, RepositoryError> {
        let mut damage = Vec::new();
        let pairs = [(ObjectKind::Config, ObjectKind::ConfigMirror), (ObjectKind::Key, ObjectKind::KeyMirror)];
        for (kind, copy) in pairs {
            let names = [self.names(kind)?, self.names(copy)?];
            let [mut ids, copies] = names.map(|names| names.into_keys().collect::<Vec<_>>());
            ids.extend(copies);
            ids.sort_unstable();
            ids.dedup();
            for name in ids.iter().flat_map(|id| [ObjectName::new(kind, *id), ObjectName::new(copy, *id)]) {
                self.note(&mut damage, self.verify_clear_object(&name))?;
            }
        }
        Ok(damage)
    }

    /// Checks that every catalog opens, and that each pack they list is there in full length.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`].
    pub fn verify_catalogs(&self) -> Result<Vec<Damage>, RepositoryError> {
        let mut damage = Vec::new();
        let stored = self.names(ObjectKind::Pack)?;
        for id in self.names(ObjectKind::Catalog)?.into_keys() {
            let catalog = self.read_catalog(id);
            let packs = catalog.as_ref().map_or(&[][..], |catalog| &catalog.packs);
            for pack in packs {
                let reason = match stored.get(&pack.pack) {
                    Some(len) if *len == pack.len_bytes => continue,
                    Some(len) => format!("it is {len} bytes long instead of {}", pack.len_bytes),
                    None => "it is missing".to_owned(),
                };
                damage.push(Damage { object: ObjectName::new(ObjectKind::Pack, pack.pack), reason });
            }
            self.note(&mut damage, catalog.map(drop))?;
        }
        damage.sort_by_key(|one| one.object);
        damage.dedup();
        Ok(damage)
    }

    /// Checks that every tombstone is there twice and undamaged. A copy alone of which nothing is removed yet was left
    /// by an interrupted removal, and is fine.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`].
    pub fn verify_tombstones(&self) -> Result<Vec<Damage>, RepositoryError> {
        let mut damage = Vec::new();
        let [names, copies] = [self.names(ObjectKind::Tombstone)?, self.names(ObjectKind::TombstoneMirror)?];
        let unfinished = match copies.keys().all(|id| names.contains_key(id)) {
            true => BTreeSet::new(),
            false => self.interrupted_removals()?,
        };
        let ids: BTreeSet<ObjectId> = names.into_keys().chain(copies.into_keys()).collect();
        for id in ids.difference(&unfinished) {
            for kind in [ObjectKind::Tombstone, ObjectKind::TombstoneMirror] {
                self.note(&mut damage, self.read_tombstone_at(&ObjectName::new(kind, *id)).map(drop))?;
            }
        }
        Ok(damage)
    }

    /// Tombstones of which there is only the copy, that no record names, and of whose snapshots none is gone.
    fn interrupted_removals(&self) -> Result<BTreeSet<ObjectId>, RepositoryError> {
        let records = self.read_records()?;
        let named: BTreeSet<ObjectId> = records.iter().flat_map(|record| record.named()).collect();
        let is_interrupted = |tombstone: &&Tombstone| {
            let is_alone = !records.tombstone_names.contains(&tombstone.id) && !named.contains(&tombstone.id);
            is_alone && tombstone.manifest.removed.iter().all(|id| records.lists(id))
        };
        Ok(records.tombstones.iter().filter(is_interrupted).map(|tombstone| tombstone.id).collect())
    }

    /// Every object of a kind with its length.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`].
    pub fn names(&self, kind: ObjectKind) -> Result<BTreeMap<ObjectId, u64>, RepositoryError> {
        let mut names = BTreeMap::new();
        self.storage().list(kind, &mut |object| {
            names.insert(object.name.id, object.len_bytes);
        })?;
        Ok(names)
    }

    /// Every pack that a loaded catalog lists.
    #[must_use]
    pub fn catalogued_packs(&self) -> Vec<(ObjectId, u64)> {
        self.index().packs()
    }

    /// Chunks in all catalogs, duplicates counted each.
    #[must_use]
    pub fn chunk_count(&self) -> u64 {
        self.index().chunk_count()
    }

    /// Reads a whole pack: its hash, its directory, every frame, the id of every chunk.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] naming the pack and what is wrong with it, or [`RepositoryError::Storage`].
    pub fn verify_pack(&self, reader: &mut FrameReader, id: ObjectId) -> Result<PackVerdict, RepositoryError> {
        let name = ObjectName::new(ObjectKind::Pack, id);
        let damaged = |reason: String| RepositoryError::Damaged { object: name, reason };
        let bytes = self.read_object(&name, limits::PACK_LEN_BYTES_MAX)?;
        let directory = open_pack(&bytes, self.class(), self.id()).map_err(damaged)?;
        for frame in &directory.frames {
            let wrap = &directory.wraps[usize::from(frame.wrap)];
            reader.verify_frame(self.class(), self.id(), wrap, frame, &bytes).map_err(damaged)?;
        }
        Ok(PackVerdict { len_bytes: bytes.len() as u64, chunks: directory.chunk_count() as u64 })
    }

    /// The frames of damaged packs that do not open any more; the others still give what is in them.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`], or [`RepositoryError::LocalState`] when the index is damaged.
    pub fn lost_frames(&self, packs: &BTreeSet<ObjectId>) -> Result<Vec<FrameId>, RepositoryError> {
        if packs.is_empty() {
            return Ok(Vec::new());
        }
        let seen = self.mend_count();
        let frames = match self.frames_of(packs) {
            Err(_) if self.reload_if_damaged(seen)? => self.frames_of(packs)?,
            frames => frames?,
        };
        let mut reader = FrameReader::new();
        let mut lost = Vec::new();
        for frame in frames {
            match self.open_frame(&mut reader, frame) {
                Ok(_) => {}
                Err(RepositoryError::Damaged { .. }) => lost.push(frame),
                Err(error) => return Err(error),
            }
        }
        Ok(lost)
    }

    fn frames_of(&self, packs: &BTreeSet<ObjectId>) -> Result<Vec<FrameId>, RepositoryError> {
        let mut frames = Vec::new();
        self.index().for_each_frame(|frame, info| {
            if packs.contains(&info.pack) {
                frames.push(frame);
            }
        })?;
        Ok(frames)
    }

    /// The content of a catalog.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`], also when there is none, or [`RepositoryError::Storage`].
    pub fn catalog(&self, id: ObjectId) -> Result<Catalog, RepositoryError> {
        self.read_catalog(id)
    }

    /// The directory of a pack, from the pack itself.
    ///
    /// # Errors
    /// As [`Repository::catalog`].
    pub fn pack_directory(&self, id: ObjectId) -> Result<Directory, RepositoryError> {
        let name = ObjectName::new(ObjectKind::Pack, id);
        let bytes = self.read_object(&name, limits::PACK_LEN_BYTES_MAX)?;
        open_pack(&bytes, self.class(), self.id()).map_err(|reason| RepositoryError::Damaged { object: name, reason })
    }

    fn verify_clear_object(&self, name: &ObjectName) -> Result<(), RepositoryError> {
        let damaged = |error| RepositoryError::damaged(*name, &error);
        match name.kind {
            ObjectKind::Config | ObjectKind::ConfigMirror => {
                let bytes = self.read_object(name, limits::CONFIG_LEN_BYTES_MAX)?;
                RepositoryConfig::decode(&bytes).map(drop).map_err(damaged)
            }
            _ => {
                let bytes = self.read_object(name, limits::KEY_MANIFEST_LEN_BYTES_MAX)?;
                SignedKeyManifest::decode(&bytes).map(drop).map_err(damaged)
            }
        }
    }

    fn note(&self, damage: &mut Vec<Damage>, result: Result<(), RepositoryError>) -> Result<(), RepositoryError> {
        match result {
            Err(RepositoryError::Damaged { object, reason }) => damage.push(Damage { object, reason }),
            other => other?,
        }
        Ok(())
    }
}
