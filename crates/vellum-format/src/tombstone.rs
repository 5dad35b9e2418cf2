//! Tombstones: which records of history were removed, by whom and why. Built, sealed and signed as snapshots are.

use crate::snapshot::Timestamp;
use crate::{Bytes, DeviceId, FormatError, ObjectId, RepositoryId, cbor, limits};
use serde::{Deserialize, Serialize};

const WHAT: &str = "tombstone manifest";

/// The clear magic of a tombstone object.
pub const MAGIC: [u8; 8] = *b"VELLUMTS";

/// One removal as its device wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TombstoneManifest {
    /// The repository, so that a tombstone cannot be carried into another one.
    pub repository: RepositoryId,
    /// The device that made it.
    pub device: DeviceId,
    /// Grows by at least one with each record of the device, snapshot or tombstone.
    pub sequence: u64,
    /// The device's previous record.
    pub previous: Option<ObjectId>,
    /// Heads of history that the device saw when it wrote, beside `previous` and without what it removed.
    pub seen: Vec<ObjectId>,
    /// When.
    pub time: Timestamp,
    /// The host's name.
    pub host: Bytes,
    /// The user who removed.
    pub user: String,
    /// The records that are gone, or go as soon as this is durable; at least one.
    pub removed: Vec<ObjectId>,
    /// Why, for people.
    pub reason: String,
    /// The program and its version.
    pub program: String,
    /// Names of features that a reader must know to use this tombstone.
    pub must_understand: Vec<String>,
}

impl TombstoneManifest {
    /// The encoding that is signed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a manifest.
    ///
    /// # Errors
    /// [`FormatError`] when it is none, breaks a limit, removes nothing or needs an unknown feature.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let manifest: Self = cbor::decode(WHAT, bytes)?;
        let bounded = [
            ("removed count", manifest.removed.len(), limits::TOMBSTONE_REMOVED_MAX),
            ("seen count", manifest.seen.len(), limits::SNAPSHOT_SEEN_MAX),
            ("reason length", manifest.reason.len(), limits::TOMBSTONE_REASON_LEN_BYTES_MAX),
        ];
        for (field, value, limit) in bounded {
            if value > limit {
                let (value, limit) = (value as u64, limit as u64);
                return Err(FormatError::BeyondLimit { what: WHAT, field, value, limit });
            }
        }
        if manifest.removed.is_empty() {
            return Err(FormatError::Inconsistent { what: WHAT, rule: "a tombstone removes at least one record" });
        }
        crate::repository_config::check_features(WHAT, &manifest.must_understand)?;
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::assert_bound;
    use proptest::prelude::*;

    fn manifest() -> TombstoneManifest {
        TombstoneManifest {
            repository: RepositoryId::from_bytes([1; 16]),
            device: DeviceId::from_bytes([2; 16]),
            sequence: 8,
            previous: Some(ObjectId::of(b"previous")),
            seen: vec![ObjectId::of(b"other")],
            time: Timestamp { seconds: -5, nanoseconds: 6 },
            host: Bytes(b"host\xff".to_vec()),
            user: "me".into(),
            removed: vec![ObjectId::of(b"one"), ObjectId::of(b"two")],
            reason: "keep 7 daily".into(),
            program: "vellum 0.1.0".into(),
            must_understand: vec![],
        }
    }

    fn decoded(manifest: &TombstoneManifest) -> Result<TombstoneManifest, FormatError> {
        TombstoneManifest::decode(&manifest.encode())
    }

    #[test]
    fn manifest_round_trip() {
        assert_eq!(decoded(&manifest()), Ok(manifest()));
    }

    #[test]
    fn it_removes_something_within_limits_and_needs_nothing_unknown() {
        let removing = |count: usize| TombstoneManifest { removed: vec![ObjectId::of(b"one"); count], ..manifest() };
        assert!(matches!(decoded(&removing(0)), Err(FormatError::Inconsistent { .. })));
        assert!(decoded(&removing(limits::TOMBSTONE_REMOVED_MAX)).is_ok());
        let too_many = decoded(&removing(limits::TOMBSTONE_REMOVED_MAX + 1));
        assert!(matches!(too_many, Err(FormatError::BeyondLimit { field: "removed count", .. })));
        let told = |len: usize| TombstoneManifest { reason: "x".repeat(len), ..manifest() };
        assert!(decoded(&told(limits::TOMBSTONE_REASON_LEN_BYTES_MAX)).is_ok());
        let too_long = decoded(&told(limits::TOMBSTONE_REASON_LEN_BYTES_MAX + 1));
        assert!(matches!(too_long, Err(FormatError::BeyondLimit { field: "reason length", .. })));
        assert_bound(limits::SNAPSHOT_SEEN_MAX as u64, |count| {
            let seen = vec![ObjectId::of(b"other"); usize::try_from(count).unwrap()];
            decoded(&TombstoneManifest { seen, ..manifest() })
        });
        let needy = TombstoneManifest { must_understand: vec!["teleport".into()], ..manifest() };
        assert!(matches!(decoded(&needy), Err(FormatError::Unsupported { .. })));
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(TombstoneManifest::decode(&bytes));
        }
    }
}
