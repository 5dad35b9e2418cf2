//! Small sealed objects, and second copies: how records that only a seal protects are put, found and read.

use crate::RepositoryError;
use crate::memory_faults::{Stage, pass};
use crate::objects::{delete_both, put_twice};
use crate::open::Repository;
use crate::pack_writer::random;
use std::collections::BTreeSet;
use vellum_crypto::{EpochKeys, RecordKind};
use vellum_format::{ObjectId, ObjectKind, ObjectName, SealedHeader, limits, padme_len};

impl Repository {
    /// Seals a record and stores it, with its copy where its kind has one. It is visible to others when this returns,
    /// and durable after a sync.
    pub(crate) fn put_record(&self, record: RecordKind, plain: &[u8]) -> Result<ObjectId, RepositoryError> {
        let seal = |keys: &EpochKeys, header: &SealedHeader, plain: &[u8], out: &mut Vec<u8>| {
            keys.seal_record(record, header, plain, out);
        };
        let bytes = self.seal_object(record.magic(), plain.to_vec(), seal)?;
        let name = self.put_verified(record.object_kind(), bytes, |name, bytes| {
            let stored = self.open_record(name, record, bytes)?;
            Ok(stored.strip_prefix(plain).is_some_and(|padding| padding.iter().all(|byte| *byte == 0)))
        })?;
        Ok(name.id)
    }

    /// Stores a sealed object, with its copy where its kind has one, if `is_right` finds in its bytes what is meant; so
    /// no fault of memory or processor since it was sealed is stored (I2).
    ///
    /// # Errors
    /// [`RepositoryError::WriteVerification`]; nothing is stored then.
    pub(crate) fn put_verified(
        &self,
        kind: ObjectKind,
        mut bytes: Vec<u8>,
        is_right: impl FnOnce(ObjectName, &[u8]) -> Result<bool, RepositoryError>,
    ) -> Result<ObjectName, RepositoryError> {
        self.name_verified(kind, &mut bytes, is_right)?;
        put_twice(&**self.storage(), kind, &bytes)
    }

    /// The name of a sealed object if `is_right` finds in its bytes what is meant, for who stores it in his own order.
    ///
    /// # Errors
    /// [`RepositoryError::WriteVerification`].
    pub(crate) fn name_verified(
        &self,
        kind: ObjectKind,
        bytes: &mut [u8],
        is_right: impl FnOnce(ObjectName, &[u8]) -> Result<bool, RepositoryError>,
    ) -> Result<ObjectName, RepositoryError> {
        pass(self.id(), Stage::SmallSealed, bytes);
        let name = ObjectName::of(kind, bytes);
        pass(self.id(), Stage::SmallNamed, bytes);
        let failed = |why: &dyn std::fmt::Display| RepositoryError::WriteVerification {
            reason: format!("a new {}: {why}", kind.noun()),
        };
        match is_right(name, bytes) {
            Ok(true) if ObjectId::of(bytes) == name.id => Ok(name),
            Ok(_) => Err(failed(&"it holds something else than it is to hold")),
            Err(error) => Err(failed(&error)),
        }
    }

    /// Opens a record from whichever of its copies is undamaged.
    pub(crate) fn read_record(&self, record: RecordKind, id: ObjectId) -> Result<Vec<u8>, RepositoryError> {
        let name = ObjectName::new(record.object_kind(), id);
        let bytes = self.read_either(&name, len_bytes_max(record))?;
        self.open_record(name, record, &bytes)
    }

    /// Opens the copy of a record that lies under exactly this name.
    pub(crate) fn read_record_at(&self, name: &ObjectName, record: RecordKind) -> Result<Vec<u8>, RepositoryError> {
        let bytes = self.read_object(name, len_bytes_max(record))?;
        self.open_record(*name, record, &bytes)
    }

    fn open_record(&self, name: ObjectName, record: RecordKind, bytes: &[u8]) -> Result<Vec<u8>, RepositoryError> {
        let (header, sealed) = SealedHeader::split(name.kind.noun(), record.magic(), bytes)
            .map_err(|error| RepositoryError::damaged(name, &error))?;
        let keys = self.class().keys_of(header.epoch).ok_or_else(|| RepositoryError::sealed_wrong(name))?;
        keys.open_record(record, &header, sealed).map_err(|_| RepositoryError::sealed_wrong(name))
    }

    /// Every object of a kind, whichever of its copies is there.
    pub(crate) fn ids_of_either(&self, kind: ObjectKind) -> Result<BTreeSet<ObjectId>, RepositoryError> {
        Ok(self.names_of_either(kind)?.into_keys().collect())
    }

    /// Deletes an object with its copy; durable after a sync.
    pub(crate) fn delete_both(&self, kind: ObjectKind, id: ObjectId) -> Result<(), RepositoryError> {
        delete_both(&**self.storage(), &ObjectName::new(kind, id))
    }

    /// Clear header, then one seal over `plain`, zero-padded so that the object has a Padmé length.
    pub(crate) fn seal_object(
        &self,
        magic: [u8; 8],
        mut plain: Vec<u8>,
        seal: impl FnOnce(&EpochKeys, &SealedHeader, &[u8], &mut Vec<u8>),
    ) -> Result<Vec<u8>, RepositoryError> {
        let overhead = SealedHeader::ENCODED_LEN + vellum_crypto::SEAL_OVERHEAD_BYTES;
        let padded = padme_len((plain.len() + overhead) as u64);
        plain.resize(usize::try_from(padded).expect("an object fits into memory") - overhead, 0);
        let header = SealedHeader { epoch: self.class().epoch, scope: self.id(), salt: random()? };
        let mut bytes = header.encode(magic).to_vec();
        seal(self.class().keys(), &header, &plain, &mut bytes);
        Ok(bytes)
    }
}

const fn len_bytes_max(record: RecordKind) -> u64 {
    match record {
        RecordKind::Intent | RecordKind::Condemned | RecordKind::Fence => limits::RECORD_LEN_BYTES_MAX,
        RecordKind::Verification => limits::VERIFICATION_LEN_BYTES_MAX,
    }
}
