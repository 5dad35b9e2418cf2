//! The repository config: what every client must know before it can do anything. Clear CBOR, authenticated by the
//! key manifest, which names it.

use crate::parity::Parity;
use crate::snapshot::Timestamp;
use crate::{FEATURES_UNDERSTOOD, FixedBytes, FormatError, RepositoryId, cbor, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

const WHAT: &str = "repository config";
const MAGIC: [u8; 8] = *b"VELLUMCF";

/// What `init` decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryConfig {
    /// Chosen at random.
    pub repository: RepositoryId,
    /// When `init` ran.
    pub created: Timestamp,
    /// The owner's Ed25519 public key; key manifests and device certificates are signed with it.
    pub owner: FixedBytes<32>,
    /// Bytes of the body of a full pack: all full packs are equally long.
    pub pack_len_bytes: u32,
    /// Plaintext bytes after which a frame is closed.
    pub frame_len_bytes: u32,
    /// What new packs carry against damage, unless a writer is told otherwise; each pack says what it has.
    pub parity: Parity,
    /// The protection classes; version 1 writes `private`.
    pub classes: Vec<ClassConfig>,
    /// Features that a reader must know; an unknown one means refuse.
    pub must_understand: Vec<String>,
    /// Features that a reader may ignore.
    pub may_ignore: Vec<String>,
}

/// One protection class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassConfig {
    /// `private`; `sealed`, `recoverable` and `shared:DOMAIN` are reserved.
    pub name: String,
    /// Where files of the class are cut.
    pub chunker: ChunkerConfig,
    /// zstd level for its frames, 1 to 22; 0 stores them uncompressed.
    pub compression_level: i32,
}

/// A chunker and its sizes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkerConfig {
    /// `phte128`, `window` or `gear`.
    pub algorithm: String,
    /// Smallest chunk in bytes, but for the last of a file.
    pub min_len_bytes: u32,
    /// Average chunk in bytes.
    pub avg_len_bytes: u32,
    /// Largest chunk in bytes.
    pub max_len_bytes: u32,
}

impl RepositoryConfig {
    /// The object's bytes: magic, version, suite, a zero, CBOR.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        crate::start_object(MAGIC, &cbor::encode(self))
    }

    /// Decodes a config object.
    ///
    /// # Errors
    /// [`FormatError`] when it is none, breaks a limit or needs an unknown version, suite or feature.
    pub fn decode(object: &[u8]) -> Result<Self, FormatError> {
        let config: Self = cbor::decode(WHAT, crate::object_body(WHAT, MAGIC, object)?)?;
        check_features(WHAT, &config.must_understand)?;
        if !limits::PACK_TARGET_LEN_BYTES.contains(&config.pack_len_bytes) {
            return Err(FormatError::BeyondLimit {
                what: WHAT,
                field: "pack length",
                value: config.pack_len_bytes.into(),
                limit: (*limits::PACK_TARGET_LEN_BYTES.end()).into(),
            });
        }
        if !(4096..=8 << 20).contains(&config.frame_len_bytes) || config.frame_len_bytes > config.pack_len_bytes / 4 {
            return Err(FormatError::Inconsistent { what: WHAT, rule: "a frame is at most a quarter of a pack" });
        }
        let names: BTreeSet<&str> = config.classes.iter().map(|class| class.name.as_str()).collect();
        if names.len() != config.classes.len() {
            return Err(FormatError::Inconsistent { what: WHAT, rule: "every class has a name of its own" });
        }
        match config.classes.iter().all(|class| class.is_within(&config)) && !config.classes.is_empty() {
            true => Ok(config),
            false => Err(FormatError::Inconsistent { what: WHAT, rule: "classes have sizes that packs can hold" }),
        }
    }
}

impl ClassConfig {
    fn is_within(&self, config: &RepositoryConfig) -> bool {
        let chunker = &self.chunker;
        (0..=22).contains(&self.compression_level)
            && chunker.min_len_bytes < chunker.avg_len_bytes
            && chunker.avg_len_bytes < chunker.max_len_bytes
            && chunker.max_len_bytes <= limits::CHUNK_LEN_BYTES_MAX
            && chunker.max_len_bytes <= config.pack_len_bytes / 4
    }
}

/// Refuses features that this version does not understand.
pub(crate) fn check_features(what: &'static str, must_understand: &[String]) -> Result<(), FormatError> {
    match must_understand.iter().find(|name| !FEATURES_UNDERSTOOD.contains(&name.as_str())) {
        Some(name) => Err(FormatError::Unsupported { what, field: "feature", value: name.clone() }),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn config() -> RepositoryConfig {
        RepositoryConfig {
            repository: RepositoryId::from_bytes([1; 16]),
            created: Timestamp { seconds: 1, nanoseconds: 2 },
            owner: FixedBytes([3; 32]),
            pack_len_bytes: 32 << 20,
            frame_len_bytes: 1 << 20,
            parity: Parity::ReedSolomon,
            classes: vec![ClassConfig {
                name: "private".into(),
                chunker: ChunkerConfig {
                    algorithm: "phte128".into(),
                    min_len_bytes: 16 << 10,
                    avg_len_bytes: 64 << 10,
                    max_len_bytes: 256 << 10,
                },
                compression_level: 3,
            }],
            must_understand: vec![],
            may_ignore: vec!["colour".into()],
        }
    }

    #[test]
    fn round_trip_and_refusals() {
        assert_eq!(RepositoryConfig::decode(&config().encode()), Ok(config()));
        assert!(config().encode().len() as u64 * 100 < limits::CONFIG_LEN_BYTES_MAX, "room for many classes");
        let refused = |change: fn(&mut RepositoryConfig)| {
            let mut changed = config();
            change(&mut changed);
            assert!(RepositoryConfig::decode(&changed.encode()).is_err());
        };
        refused(|config| config.must_understand = vec!["teleport".into()]);
        refused(|config| config.pack_len_bytes = 1);
        refused(|config| config.frame_len_bytes = 1 << 30);
        refused(|config| config.classes.clear());
        refused(|config| config.classes[0].chunker.max_len_bytes = 1);
    }

    /// A class with the smallest chunks, which fit every pack.
    fn small_class() -> ClassConfig {
        let mut class = config().classes[0].clone();
        class.chunker = ChunkerConfig { min_len_bytes: 1, avg_len_bytes: 2, max_len_bytes: 3, ..class.chunker };
        class
    }

    /// Whether a config decodes with this change to one of small chunks and frames.
    fn takes(change: impl Fn(&mut RepositoryConfig)) -> bool {
        let mut changed = RepositoryConfig { classes: vec![small_class()], frame_len_bytes: 4096, ..config() };
        change(&mut changed);
        RepositoryConfig::decode(&changed.encode()).is_ok()
    }

    /// `docs/FORMAT.md`, "Config".
    #[test]
    fn lengths_are_taken_up_to_their_limits() {
        let mib = 1 << 20;
        let pack = |len: u32| takes(|config| config.pack_len_bytes = len);
        assert_eq!([mib - 1, mib, 512 * mib, 512 * mib + 1].map(pack), [false, true, true, false]);
        let frame = |len: u32| takes(|config| config.frame_len_bytes = len);
        assert_eq!([4095, 4096, 8 * mib, 8 * mib + 1].map(frame), [false, true, true, false]);
        let quarter = |len: u32| takes(|config| (config.pack_len_bytes, config.frame_len_bytes) = (mib, len));
        assert_eq!([mib / 4, mib / 4 + 1].map(quarter), [true, false]);
    }

    #[test]
    fn classes_are_taken_up_to_their_limits() {
        let level = |level: i32| takes(|config| config.classes[0].compression_level = level);
        assert_eq!([-1, 0, 22, 23].map(level), [false, true, true, false]);
        let sizes = |pack: u32, min: u32, avg: u32, max: u32| {
            takes(|config| {
                config.pack_len_bytes = pack;
                let chunker = &mut config.classes[0].chunker;
                (chunker.min_len_bytes, chunker.avg_len_bytes, chunker.max_len_bytes) = (min, avg, max);
            })
        };
        let (mib, max) = (1 << 20, limits::CHUNK_LEN_BYTES_MAX);
        assert!(sizes(512 * mib, 1, 2, max) && !sizes(512 * mib, 1, 2, max + 1));
        assert!(sizes(mib, 1, 2, mib / 4) && !sizes(mib, 1, 2, mib / 4 + 1));
        assert!(!sizes(mib, 2, 2, 3) && !sizes(mib, 3, 2, 4) && !sizes(mib, 1, 2, 2) && !sizes(mib, 1, 3, 2));
        let two = |name: &str| {
            takes(|config| config.classes.push(ClassConfig { name: name.to_owned(), ..config.classes[0].clone() }))
        };
        assert!(two("other") && !two("private"));
        assert!(!takes(|config| config.classes.clear()));
    }

    #[test]
    fn the_reserved_byte_of_the_start_is_zero() {
        let mut bytes = config().encode();
        bytes[11] = 1;
        assert!(matches!(RepositoryConfig::decode(&bytes), Err(FormatError::Inconsistent { .. })));
    }

    #[test]
    fn every_truncation_and_another_version_are_refused() {
        let bytes = config().encode();
        for len in 0..bytes.len() {
            assert!(RepositoryConfig::decode(&bytes[..len]).is_err(), "{len}");
        }
        let mut newer = bytes;
        newer[8] = 2;
        assert!(matches!(RepositoryConfig::decode(&newer), Err(FormatError::Unsupported { .. })));
    }

    proptest! {
        #[test]
        fn hostile_bytes_do_not_panic(at in 0..200usize, to in any::<u8>()) {
            let mut bytes = config().encode();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = to;
            }
            drop(RepositoryConfig::decode(&bytes));
        }
    }
}
