//! Checking what is stored, object by object.

use crate::RepositoryError;
use crate::get::FrameId;
use crate::open::Repository;
use crate::pack_reader::{FrameReader, open_pack};
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
    /// Checks config and key manifests: those in use must be there twice, and whatever lies beside them undamaged.
    ///
    /// A change of keys that was interrupted (I11) leaves the manifests before it twice and may have put its own only
    /// once, or leaves one of them only once; neither is damage.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`].
    pub fn verify_config_and_keys(&self) -> Result<Vec<Damage>, RepositoryError> {
        let mut damage = Vec::new();
        let in_use = [
            (self.config_id(), [ObjectKind::Config, ObjectKind::ConfigMirror]),
            (self.key_manifest(), [ObjectKind::Key, ObjectKind::KeyMirror]),
        ];
        for (in_use, kinds) in in_use {
            let [first, second] = [self.names(kinds[0])?, self.names(kinds[1])?];
            let was_interrupted = first.keys().any(|id| *id != in_use && second.contains_key(id));
            let mut wanted: BTreeSet<ObjectName> = BTreeSet::new();
            for (kind, names) in kinds.into_iter().zip([first, second]) {
                wanted.extend(names.keys().map(|id| ObjectName::new(kind, *id)));
                if !was_interrupted {
                    wanted.insert(ObjectName::new(kind, in_use));
                }
            }
            for name in wanted {
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
