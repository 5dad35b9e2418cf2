//! Checking what is stored, object by object.

use crate::RepositoryError;
use crate::get::FrameId;
use crate::objects::{KEPT_TWICE, MISSING, is_missing, names_of};
use crate::open::Repository;
use crate::pack_reader::{FrameReader, open_pack};
use crate::parity::has_right_parity;
use crate::tombstones::Tombstone;
use std::collections::{BTreeMap, BTreeSet};
use vellum_crypto::RecordKind;
use vellum_format::catalog::Catalog;
use vellum_format::deletion::{CondemnedRecord, FenceRecord, Intent};
use vellum_format::key_manifest::SignedKeyManifest;
use vellum_format::pack::Directory;
use vellum_format::repository_config::RepositoryConfig;
use vellum_format::{FormatError, ObjectId, ObjectKind, ObjectName, limits};

/// One thing that is wrong, with the object it is wrong with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The object.
    pub object: ObjectName,
    /// What is wrong with it.
    pub reason: String,
}

/// What looking at the copies of small objects found.
#[derive(Debug, Default)]
pub struct Copies {
    /// What is wrong, whatever snapshots need.
    pub damage: Vec<Damage>,
    /// Second copies of catalogs and snapshots that are not there although the others are: lost, or never stored by a
    /// writer that was killed or is still running.
    pub missing: Vec<ObjectName>,
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
    /// Checks the copies of every small object: each must be there twice and undamaged (I6).
    ///
    /// A change of keys that was interrupted (I11) leaves the manifests before it twice and may have put its own only
    /// once, or leaves one of them only once; neither is damage.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`].
    pub fn verify_copies(&self) -> Result<Copies, RepositoryError> {
        let mut copies = Copies::default();
        for (kind, len_bytes_max) in KEPT_TWICE {
            let is_put_by_sessions = matches!(kind, ObjectKind::Catalog | ObjectKind::Snapshot);
            let once_is_enough = self.interrupted_change(kind)?;
            for id in self.names_of_either(kind)?.into_keys() {
                let mut missing = Vec::new();
                for name in names_of(&ObjectName::new(kind, id)) {
                    match self.read_object(&name, len_bytes_max).and_then(|bytes| self.decodes(&name, &bytes)) {
                        Err(error) if is_put_by_sessions && is_missing(&error) => missing.push(name),
                        Err(error) if once_is_enough.contains(&id) && is_missing(&error) => {}
                        checked => self.note(&mut copies.damage, checked)?,
                    }
                }
                // When both are gone by now, somebody deletes.
                copies.missing.extend(missing.pop().filter(|_| missing.is_empty()));
            }
        }
        Ok(copies)
    }

    /// Configs or key manifests of which one copy is as it should be while a change of keys is not complete.
    fn interrupted_change(&self, kind: ObjectKind) -> Result<BTreeSet<ObjectId>, RepositoryError> {
        let in_use = match kind {
            ObjectKind::Config => self.config_id(),
            ObjectKind::Key => self.key_manifest(),
            _ => return Ok(BTreeSet::new()),
        };
        let first = self.names(kind)?;
        let second = kind.mirror().map(|copy| self.names(copy)).transpose()?.unwrap_or_default();
        let is_half_done = first.keys().any(|id| *id != in_use && second.contains_key(id));
        let all = first.into_keys().chain(second.into_keys());
        Ok(all.filter(|id| *id != in_use || is_half_done).collect())
    }

    /// Checks that every catalog opens, and that each pack they list is there in full length.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`].
    pub fn verify_catalogs(&self) -> Result<Vec<Damage>, RepositoryError> {
        let mut damage = Vec::new();
        let mut listed: BTreeSet<(ObjectId, u64)> = BTreeSet::new();
        for id in self.names_of_either(ObjectKind::Catalog)?.into_keys() {
            let catalog = self.read_catalog(id);
            listed.extend(catalog.iter().flat_map(|catalog| &catalog.packs).map(|pack| (pack.pack, pack.len_bytes)));
            self.note(&mut damage, catalog.map(drop))?;
        }
        // In this order, since others go on: a pack is there before a catalog lists it, and condemned before it goes.
        let stored = self.names(ObjectKind::Pack)?;
        let condemned = match self.condemnations() {
            // Told by those who verify the records one by one.
            Err(RepositoryError::Damaged { .. }) => BTreeSet::new(),
            condemnations => condemnations?.packs(),
        };
        for (pack, len_bytes) in listed {
            let reason = match stored.get(&pack) {
                Some(len) if *len == len_bytes => continue,
                Some(len) => format!("it is {len} bytes long instead of {len_bytes}"),
                None if condemned.contains(&pack) => continue,
                None => MISSING.to_owned(),
            };
            damage.push(Damage { object: ObjectName::new(ObjectKind::Pack, pack), reason });
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
        let mut removed = BTreeSet::new();
        for id in ids.difference(&unfinished) {
            for kind in [ObjectKind::Tombstone, ObjectKind::TombstoneMirror] {
                let read = self.read_tombstone_at(&ObjectName::new(kind, *id));
                self.note(&mut damage, read.map(|tombstone| removed.extend(tombstone.manifest.removed)))?;
            }
        }
        // Of tombstones that a later one replaces, anything may be left.
        damage.retain(|damage| !removed.contains(&damage.object.id));
        Ok(damage)
    }

    /// Tombstones of which there is only the copy, that no record names, and of whose records none is gone by their
    /// word alone.
    fn interrupted_removals(&self) -> Result<BTreeSet<ObjectId>, RepositoryError> {
        let records = self.read_records()?;
        let named: BTreeSet<ObjectId> = records.iter().flat_map(|record| record.named()).collect();
        let is_interrupted = |tombstone: &&Tombstone| {
            let is_alone = !records.tombstone_names.contains(&tombstone.id) && !named.contains(&tombstone.id);
            let others = records.tombstones.iter().filter(|other| other.id != tombstone.id);
            let by_others: BTreeSet<&ObjectId> = others.flat_map(|other| &other.manifest.removed).collect();
            is_alone && tombstone.manifest.removed.iter().all(|id| records.lists(id) || by_others.contains(id))
        };
        Ok(records.tombstones.iter().filter(is_interrupted).map(|tombstone| tombstone.id).collect())
    }

    /// Checks that every intent, condemnation and fence opens, wherever a copy lies. A copy that is missing was left
    /// by an interrupted prune, or goes just now.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`].
    pub fn verify_records(&self) -> Result<Vec<Damage>, RepositoryError> {
        type Decode = fn(&[u8]) -> Result<(), FormatError>;
        let kinds: [(RecordKind, Decode); 3] = [
            (RecordKind::Intent, |plain| Intent::decode(plain).map(drop)),
            (RecordKind::Condemned, |plain| CondemnedRecord::decode(plain).map(drop)),
            (RecordKind::Fence, |plain| FenceRecord::decode(plain).map(drop)),
        ];
        let mut damage = Vec::new();
        for (record, decode) in kinds {
            for id in self.ids_of_either(record.object_kind())? {
                for name in names_of(&ObjectName::new(record.object_kind(), id)) {
                    let opened = self.read_record_at(&name, record);
                    let damaged = |error: FormatError| RepositoryError::damaged(name, &error);
                    match opened.and_then(|plain| decode(&plain).map_err(damaged)) {
                        Err(error) if is_missing(&error) => {}
                        verified => self.note(&mut damage, verified)?,
                    }
                }
            }
        }
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

    /// Reads a whole pack: its hash, its directory, every frame, the id of every chunk, its parity.
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
        if !has_right_parity(&bytes) {
            return Err(damaged("its parity is not that of its body, and could not heal it".to_owned()));
        }
        self.mark_whole(&id);
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

    /// Configs and key manifests are decoded here; snapshots by those who read what is in them.
    fn decodes(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), RepositoryError> {
        let decoded = match name.kind {
            ObjectKind::Config | ObjectKind::ConfigMirror => RepositoryConfig::decode(bytes).map(drop),
            ObjectKind::Key | ObjectKind::KeyMirror => SignedKeyManifest::decode(bytes).map(drop),
            _ => Ok(()),
        };
        decoded.map_err(|error| RepositoryError::damaged(*name, &error))
    }

    fn note(&self, damage: &mut Vec<Damage>, result: Result<(), RepositoryError>) -> Result<(), RepositoryError> {
        match result {
            Err(RepositoryError::Damaged { object, reason }) => damage.push(Damage { object, reason }),
            other => other?,
        }
        Ok(())
    }
}
