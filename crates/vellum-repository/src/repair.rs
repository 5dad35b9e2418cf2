//! Storing what is damaged anew: from its second copy, or by its parity. Nothing is deleted, and what is undamaged
//! stays as it is, to the byte (I19).

use crate::RepositoryError;
use crate::fault::reach;
use crate::objects::{is_missing, names_of, read_object};
use crate::open::Repository;
use crate::verify::Damage;
use std::collections::BTreeSet;
use vellum_faults::Point;
use vellum_format::{ObjectId, ObjectKind, ObjectName, limits};

/// The kinds that lie under two paths, with the most bytes of an object.
const WITH_COPIES: [(ObjectKind, u64); 7] = [
    (ObjectKind::Config, limits::CONFIG_LEN_BYTES_MAX),
    (ObjectKind::Key, limits::KEY_MANIFEST_LEN_BYTES_MAX),
    (ObjectKind::Catalog, limits::CATALOG_LEN_BYTES_MAX),
    (ObjectKind::Snapshot, limits::SNAPSHOT_LEN_BYTES_MAX),
    (ObjectKind::Tombstone, limits::TOMBSTONE_LEN_BYTES_MAX),
    (ObjectKind::Condemned, limits::RECORD_LEN_BYTES_MAX),
    (ObjectKind::Fence, limits::RECORD_LEN_BYTES_MAX),
];

/// What is wrong with objects that lie under two paths.
#[derive(Debug, Default)]
pub struct BrokenCopies {
    /// Copies that are damaged or missing while the other is whole.
    pub mendable: Vec<ObjectName>,
    /// Objects of which no copy is whole.
    pub lost: Vec<Damage>,
}

impl Repository {
    /// Looks for broken copies of the kinds for which `wanted` holds.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`].
    pub fn broken_copies(&self, wanted: impl Fn(ObjectKind) -> bool) -> Result<BrokenCopies, RepositoryError> {
        let mut broken = BrokenCopies::default();
        for (kind, len_bytes_max) in WITH_COPIES.into_iter().filter(|(kind, _)| wanted(*kind)) {
            for id in self.names_of_either(kind)?.into_keys() {
                self.look_at_copies(&ObjectName::new(kind, id), len_bytes_max, &mut broken)?;
            }
        }
        Ok(broken)
    }

    fn look_at_copies(
        &self,
        name: &ObjectName,
        len_bytes_max: u64,
        broken: &mut BrokenCopies,
    ) -> Result<(), RepositoryError> {
        let mut errors = Vec::new();
        for copy in names_of(name) {
            match read_object(&**self.storage(), &copy, len_bytes_max) {
                Ok(_) => {}
                Err(RepositoryError::Damaged { object, reason }) => errors.push(Damage { object, reason }),
                Err(error) => return Err(error),
            }
        }
        match &errors[..] {
            [one] => broken.mendable.extend(self.may_mend(one).then_some(one.object)),
            // Nothing is wrong, or both went since they were listed: somebody deletes.
            all if all.iter().all(is_gone) => {}
            _ => broken.lost.append(&mut errors),
        }
        Ok(())
    }

    /// A damaged copy gets its own bytes back, whatever it is. A missing one may be missing for a reason: keys that
    /// change, and records of deletion, which those who wrote them complete.
    fn may_mend(&self, damage: &Damage) -> bool {
        let ObjectName { kind, id } = damage.object;
        !is_gone(damage)
            || match kind {
                ObjectKind::Config | ObjectKind::ConfigMirror => id == self.config_id(),
                ObjectKind::Key | ObjectKind::KeyMirror => id == self.key_manifest(),
                ObjectKind::Catalog | ObjectKind::CatalogMirror => true,
                ObjectKind::Snapshot | ObjectKind::SnapshotMirror => true,
                _ => false,
            }
    }

    /// Stores a copy anew from the other. The caller syncs. False when somebody has deleted both meanwhile.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] when the other is damaged by now, or [`RepositoryError::Storage`].
    pub fn mend_copy(&self, name: &ObjectName) -> Result<bool, RepositoryError> {
        let first = WITH_COPIES.into_iter().find(|(kind, _)| *kind == name.kind || kind.mirror() == Some(name.kind));
        let (kind, len_bytes_max) = first.expect("only kinds with copies have broken ones");
        let bytes = match self.read_either(&ObjectName::new(kind, name.id), len_bytes_max) {
            Err(error) if is_missing(&error) && !self.names_of_either(kind)?.contains_key(&name.id) => {
                return Ok(false);
            }
            read => read?,
        };
        reach(Point::RepairCopyBeforeReplace)?;
        self.storage().replace_damaged(name, &bytes)?; // I18
        reach(Point::RepairCopyReplaced)?;
        Ok(true)
    }

    /// Whether a pack is what its name says, to the last byte; gives its length.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] when it is not, or [`RepositoryError::Storage`].
    pub fn verify_pack_name(&self, id: ObjectId) -> Result<u64, RepositoryError> {
        let pack = self.read_object(&ObjectName::new(ObjectKind::Pack, id), limits::PACK_LEN_BYTES_MAX)?;
        self.mark_whole(&id);
        Ok(pack.len() as u64)
    }

    /// Stores a damaged pack anew as its parity makes it whole, durably, and reads it back.
    ///
    /// # Errors
    /// [`RepositoryError::Damaged`] when parity cannot heal it, or [`RepositoryError::Storage`].
    pub fn mend_pack(&self, id: ObjectId) -> Result<(), RepositoryError> {
        let pack = self.healed_pack(id)?;
        let storage = self.storage();
        reach(Point::RepairPackBeforeReplace)?;
        storage.replace_damaged(&ObjectName::new(ObjectKind::Pack, id), &pack)?; // I17, I18
        reach(Point::RepairPackReplaced)?;
        storage.sync()?;
        reach(Point::RepairPackSynced)?;
        self.verify_pack_name(id)?;
        self.forget_healing(&id);
        Ok(())
    }

    /// Packs that are stored and that no loaded catalog lists, but for those that are condemned: left by an
    /// interrupted backup, by a lost catalog, or of a backup that is running.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`]; [`RepositoryError::Damaged`] when a condemnation cannot be read.
    pub fn unlisted_packs(&self) -> Result<BTreeSet<ObjectId>, RepositoryError> {
        let listed: BTreeSet<ObjectId> = self.index().packs().into_iter().map(|(pack, _)| pack).collect();
        let condemned = self.condemnations()?.packs();
        let stored = self.names(ObjectKind::Pack)?.into_keys();
        Ok(stored.filter(|pack| !listed.contains(pack) && !condemned.contains(pack)).collect())
    }

    /// Packs that loaded catalogs list, that are not stored and not condemned.
    ///
    /// # Errors
    /// As [`Repository::unlisted_packs`].
    pub fn missing_packs(&self) -> Result<Vec<ObjectName>, RepositoryError> {
        let stored = self.names(ObjectKind::Pack)?;
        let condemned = self.condemnations()?.packs();
        let listed = self.index().packs().into_iter().map(|(pack, _)| pack);
        let missing = listed.filter(|pack| !stored.contains_key(pack) && !condemned.contains(pack));
        Ok(missing.map(|pack| ObjectName::new(ObjectKind::Pack, pack)).collect())
    }
}

fn is_gone(damage: &Damage) -> bool {
    let Damage { object, reason } = damage.clone();
    is_missing(&RepositoryError::Damaged { object, reason })
}
