//! Snapshots: the commit point. A signed CBOR manifest, sealed as a whole.

use crate::content::Content;
use crate::{Bytes, DeviceId, FixedBytes, FormatError, ObjectId, RepositoryId, cbor, limits};
use serde::{Deserialize, Serialize};

/// The clear magic of a snapshot object.
pub const MAGIC: [u8; 8] = *b"VELLUMSN";

/// The owner's statement that a device may write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceCertificate {
    /// The repository it holds for.
    pub repository: RepositoryId,
    /// The device.
    pub device: DeviceId,
    /// Its Ed25519 public key.
    pub public_key: FixedBytes<32>,
    /// What it may do; `owner` is the only role of version 1, others are reserved.
    pub role: String,
}

impl DeviceCertificate {
    /// The encoding that is signed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a certificate.
    ///
    /// # Errors
    /// [`FormatError`] when it is none.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        cbor::decode("device certificate", bytes)
    }
}

/// One backup as its device wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotManifest {
    /// The repository, so that a snapshot cannot be carried into another one.
    pub repository: RepositoryId,
    /// The device that made it.
    pub device: DeviceId,
    /// Grows by at least one with each record of the device, snapshot or tombstone.
    pub sequence: u64,
    /// The device's previous record.
    pub previous: Option<ObjectId>,
    /// Heads of history that the device saw when it wrote, beside `previous`.
    pub seen: Vec<ObjectId>,
    /// The name of the intent under which it was written: a fence about that intent is about this snapshot.
    pub intent: ObjectId,
    /// Seconds since 1970 and nanoseconds: when the backup began, or the time it was told.
    pub time: Timestamp,
    /// The host's name.
    pub host: Bytes,
    /// The user who ran the backup.
    pub user: String,
    /// The paths asked for, absolute, as bytes.
    pub paths: Vec<Bytes>,
    /// Labels.
    pub tags: Vec<String>,
    /// The folder that holds every root by its full path.
    pub root: Root,
    /// What the backup did.
    pub summary: Summary,
    /// The program and its version.
    pub program: String,
    /// Names of features that a reader must know to use this snapshot.
    pub must_understand: Vec<String>,
}

impl SnapshotManifest {
    /// The encoding that is signed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(self)
    }

    /// Decodes a manifest.
    ///
    /// # Errors
    /// [`FormatError`] when it is none, breaks a limit or needs an unknown feature.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        let manifest: Self = cbor::decode("snapshot manifest", bytes)?;
        let beyond = |field, value: usize, limit: usize| FormatError::BeyondLimit {
            what: "snapshot manifest",
            field,
            value: value as u64,
            limit: limit as u64,
        };
        if manifest.paths.len() > limits::SNAPSHOT_PATHS_MAX {
            return Err(beyond("path count", manifest.paths.len(), limits::SNAPSHOT_PATHS_MAX));
        }
        if manifest.seen.len() > limits::SNAPSHOT_SEEN_MAX {
            return Err(beyond("seen count", manifest.seen.len(), limits::SNAPSHOT_SEEN_MAX));
        }
        crate::repository_config::check_features("snapshot manifest", &manifest.must_understand)?;
        Ok(manifest)
    }
}

/// A point in time: whole seconds since 1970-01-01T00:00:00Z, rounded down, and nanoseconds after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp {
    /// May be negative.
    pub seconds: i64,
    /// 0 to 999,999,999.
    #[serde(deserialize_with = "below_one_second")]
    pub nanoseconds: u32,
}

fn below_one_second<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let nanoseconds = u32::deserialize(deserializer)?;
    match nanoseconds < 1_000_000_000 {
        true => Ok(nanoseconds),
        false => Err(serde::de::Error::custom("nanoseconds make a whole second")),
    }
}

/// Where the snapshot's tree starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// The encoded [`Content`] of the root folder's entry list.
    content: Bytes,
    /// Name of the protection class whose keys read it.
    pub class: String,
}

impl Root {
    /// A root in a class.
    #[must_use]
    pub fn new(content: &Content, class: &str) -> Self {
        let mut bytes = Vec::new();
        content.encode_into(&mut bytes);
        Self { content: Bytes(bytes), class: class.to_owned() }
    }

    /// The root folder's entry list.
    ///
    /// # Errors
    /// [`FormatError`] when the stored bytes are no content.
    pub fn content(&self) -> Result<Content, FormatError> {
        Content::decode(&self.content)
    }
}

/// Counts of what a backup saw and stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// Regular files.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Links, devices and other entries.
    pub others: u64,
    /// Bytes in regular files.
    pub bytes: u64,
    /// Files that were not in the previous state.
    pub files_new: u64,
    /// Files that differ from the previous state.
    pub files_changed: u64,
    /// Files that were taken from the previous state without reading.
    pub files_unchanged: u64,
    /// Chunks that were not stored before.
    pub chunks_new: u64,
    /// Plaintext bytes of those chunks.
    pub bytes_new: u64,
    /// Bytes added to the repository.
    pub bytes_stored: u64,
    /// Source entries that could not be read.
    pub errors: u64,
    /// How long the backup took, in milliseconds.
    pub duration_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::assert_bound;
    use proptest::prelude::*;

    fn manifest() -> SnapshotManifest {
        SnapshotManifest {
            repository: RepositoryId::from_bytes([1; 16]),
            device: DeviceId::from_bytes([2; 16]),
            sequence: 7,
            previous: Some(ObjectId::of(b"previous")),
            seen: vec![ObjectId::of(b"other")],
            intent: ObjectId::of(b"intent"),
            time: Timestamp { seconds: -5, nanoseconds: 6 },
            host: Bytes(b"host\xff".to_vec()),
            user: "me".into(),
            paths: vec![Bytes(b"/home/\xfe".to_vec())],
            tags: vec!["tag".into()],
            root: Root::new(&Content::empty(), "private"),
            summary: Summary { files: 3, ..Summary::default() },
            program: "vellum 0.1.0".into(),
            must_understand: vec![],
        }
    }

    #[test]
    fn manifest_round_trip() {
        assert_eq!(SnapshotManifest::decode(&manifest().encode()), Ok(manifest()));
    }

    #[test]
    fn paths_and_seen_heads_are_bounded() {
        assert_bound(limits::SNAPSHOT_PATHS_MAX as u64, |count| {
            let paths = vec![Bytes(vec![]); usize::try_from(count).unwrap()];
            SnapshotManifest::decode(&SnapshotManifest { paths, ..manifest() }.encode())
        });
        assert_bound(limits::SNAPSHOT_SEEN_MAX as u64, |count| {
            let seen = vec![ObjectId::of(b"other"); usize::try_from(count).unwrap()];
            SnapshotManifest::decode(&SnapshotManifest { seen, ..manifest() }.encode())
        });
    }

    #[test]
    fn nanoseconds_are_below_a_second() {
        let decoded = |nanoseconds: u32| cbor::decode("time", &cbor::encode(&Timestamp { seconds: -1, nanoseconds }));
        for nanoseconds in [0, 999_999_999] {
            assert_eq!(decoded(nanoseconds), Ok(Timestamp { seconds: -1, nanoseconds }));
        }
        assert!(matches!(decoded(1_000_000_000), Err(FormatError::Malformed { .. })));
    }

    #[test]
    fn a_root_leads_to_its_content() {
        let chunk = crate::content::ChunkRef { digest: crate::Digest::from_bytes([3; 32]), len_bytes: 5 };
        let content = Content { depth: 2, chunks: vec![chunk] };
        let root = Root::new(&content, "private");
        assert_eq!((root.content(), root.class.as_str()), (Ok(content), "private"));
    }

    #[test]
    fn certificates_round_trip() {
        let certificate = DeviceCertificate {
            repository: RepositoryId::from_bytes([1; 16]),
            device: DeviceId::from_bytes([2; 16]),
            public_key: FixedBytes([3; 32]),
            role: "owner".into(),
        };
        assert_eq!(DeviceCertificate::decode(&certificate.encode()), Ok(certificate));
    }

    #[test]
    fn an_unknown_feature_is_refused() {
        let needy = SnapshotManifest { must_understand: vec!["teleport".into()], ..manifest() };
        assert!(matches!(SnapshotManifest::decode(&needy.encode()), Err(FormatError::Unsupported { .. })));
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(SnapshotManifest::decode(&bytes));
            drop(DeviceCertificate::decode(&bytes));
        }
    }
}
