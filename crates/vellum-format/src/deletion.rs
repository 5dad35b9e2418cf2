//! The records of the deletion protocol (`docs/PRUNE.md`): intents of writers, condemnations, fences.
//!
//! Each is CBOR behind its length, zero-padded and sealed as a whole, as a snapshot is.

use crate::cursor::Cursor;
use crate::snapshot::Timestamp;
use crate::{Bytes, FormatError, ObjectId, cbor, limits};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The clear magic of an intent.
pub const INTENT_MAGIC: [u8; 8] = *b"VELLUMIN";
/// The clear magic of a condemnation record.
pub const CONDEMNED_MAGIC: [u8; 8] = *b"VELLUMCD";
/// The clear magic of a fence record.
pub const FENCE_MAGIC: [u8; 8] = *b"VELLUMFN";

/// What a running writer says of itself. Only that its object is there matters for safety; the rest lets people and
/// prunes tell a writer that runs from one that was killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// `backup`, whose snapshot others have to wait for, or `prune`, which publishes none.
    pub purpose: String,
    /// When it began, by its own clock.
    pub time: Timestamp,
    /// The host's name.
    pub host: Bytes,
    /// The user.
    pub user: String,
    /// Which process it is, if it said so.
    pub process: Option<ProcessMark>,
    /// The program and its version.
    pub program: String,
}

impl Intent {
    /// The purpose of a writer that will publish a snapshot.
    pub const BACKUP: &str = "backup";
    /// The purpose of a writer that only moves what is stored already.
    pub const PRUNE: &str = "prune";
}

/// A process, so that others on its machine can see whether it still runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessMark {
    /// The machine, however often it was started.
    pub machine: Bytes,
    /// This start of the machine and the process namespace: where they are equal, process numbers can be compared.
    pub boot: Bytes,
    /// The process number.
    pub process: u32,
    /// When it was started, in the machine's own ticks: numbers are used again.
    pub started: u64,
}

/// Packs that nobody may rely on any more, or who is to be outlasted before they go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CondemnedRecord {
    /// Irrevocable: what is still needed of these packs is copied out, never is a pack taken back.
    Packs {
        /// When, by the pruner's clock; only a grace period counts from it.
        time: Timestamp,
        /// The packs.
        packs: Vec<ObjectId>,
    },
    /// Intents that were there at some moment after a condemnation was stored.
    Outlast {
        /// That condemnation's name.
        condemned: ObjectId,
        /// The names of the intents.
        intents: Vec<ObjectId>,
    },
}

/// That a writer is not waited for any longer, and what of it counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FenceRecord {
    /// Whoever finds this about its own intent after its snapshot was stored was not acknowledged.
    Raised {
        /// The intent's name.
        intent: ObjectId,
        /// When, by the pruner's clock.
        time: Timestamp,
    },
    /// What a pruner saw of a fenced writer before it deleted: any other snapshot of it is void.
    Closed {
        /// The intent's name.
        intent: ObjectId,
        /// Snapshots of this writer whose data was kept.
        snapshots: Vec<ObjectId>,
    },
}

impl Intent {
    /// The encoding, without padding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes an opened record, zero padding included.
    ///
    /// # Errors
    /// [`FormatError`] for anything but what `encode` writes, padded with zeros.
    pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
        decode("intent", bytes)
    }
}

/// Implements the same encoding for a record that names objects, whose `count` is bounded.
macro_rules! record_of_names {
    ($type:ty, $what:literal) => {
        impl $type {
            /// The encoding, without padding.
            #[must_use]
            pub fn encode(&self) -> Vec<u8> {
                encode(self)
            }

            /// Decodes an opened record, zero padding included.
            ///
            /// # Errors
            /// [`FormatError`] for anything but what `encode` writes, padded with zeros, and for what breaks a limit.
            pub fn decode(bytes: &[u8]) -> Result<Self, FormatError> {
                let record: Self = decode($what, bytes)?;
                match record.count() {
                    count if count <= limits::RECORD_NAMES_MAX => Ok(record),
                    count => Err(FormatError::BeyondLimit {
                        what: $what,
                        field: "name count",
                        value: count as u64,
                        limit: limits::RECORD_NAMES_MAX as u64,
                    }),
                }
            }
        }
    };
}

record_of_names!(CondemnedRecord, "condemnation");
record_of_names!(FenceRecord, "fence");

impl CondemnedRecord {
    const fn count(&self) -> usize {
        match self {
            Self::Packs { packs: names, .. } | Self::Outlast { intents: names, .. } => names.len(),
        }
    }
}

impl FenceRecord {
    const fn count(&self) -> usize {
        match self {
            Self::Raised { .. } => 0,
            Self::Closed { snapshots, .. } => snapshots.len(),
        }
    }

    /// The writer that it is about.
    #[must_use]
    pub const fn intent(&self) -> ObjectId {
        match self {
            Self::Raised { intent, .. } | Self::Closed { intent, .. } => *intent,
        }
    }
}

/// A length of four bytes, then CBOR; the caller adds whatever padding there is.
fn encode(record: &impl Serialize) -> Vec<u8> {
    let body = cbor::encode(record);
    let len = u32::try_from(body.len()).expect("a record keeps below its limits");
    [&len.to_le_bytes()[..], &body].concat()
}

fn decode<T: DeserializeOwned>(what: &'static str, bytes: &[u8]) -> Result<T, FormatError> {
    let mut cursor = Cursor::new(what, bytes);
    let len = cursor.u32()?;
    let body = cursor.take(len as usize)?;
    cursor.zero_padding()?;
    cbor::decode(what, body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounds::assert_bound;
    use proptest::prelude::*;

    fn id(byte: u8) -> ObjectId {
        ObjectId::of(&[byte])
    }

    fn time() -> Timestamp {
        Timestamp { seconds: 1, nanoseconds: 2 }
    }

    fn intent() -> Intent {
        Intent {
            purpose: Intent::BACKUP.to_owned(),
            time: time(),
            host: Bytes(b"host\xff".to_vec()),
            user: "me".to_owned(),
            process: Some(ProcessMark {
                machine: Bytes(vec![7; 24]),
                boot: Bytes(vec![8; 9]),
                process: 3,
                started: u64::MAX,
            }),
            program: "vellum 0.1.0".to_owned(),
        }
    }

    #[test]
    fn records_round_trip_with_padding() {
        let padded = |mut bytes: Vec<u8>| {
            bytes.extend([0; 9]);
            bytes
        };
        assert_eq!(Intent::decode(&padded(intent().encode())), Ok(intent()));
        for record in [
            CondemnedRecord::Packs { time: time(), packs: vec![id(1), id(2)] },
            CondemnedRecord::Outlast { condemned: id(3), intents: vec![] },
        ] {
            assert_eq!(CondemnedRecord::decode(&padded(record.encode())), Ok(record));
        }
        for record in [
            FenceRecord::Raised { intent: id(1), time: time() },
            FenceRecord::Closed { intent: id(1), snapshots: vec![id(4)] },
        ] {
            assert_eq!(record.intent(), id(1));
            assert_eq!(FenceRecord::decode(&padded(record.encode())), Ok(record));
        }
    }

    #[test]
    fn what_is_left_over_or_too_much_is_refused() {
        let mut trailing = intent().encode();
        trailing.push(1);
        assert!(matches!(Intent::decode(&trailing), Err(FormatError::Inconsistent { .. })), "{trailing:?}");
        trailing.pop();
        assert!(matches!(Intent::decode(&trailing[..trailing.len() - 1]), Err(FormatError::Truncated { .. })));
    }

    #[test]
    fn names_are_bounded_in_every_record() {
        let names = |count: u64| vec![id(0); usize::try_from(count).unwrap()];
        let max = limits::RECORD_NAMES_MAX as u64;
        assert_bound(max, |count| {
            CondemnedRecord::decode(&CondemnedRecord::Packs { time: time(), packs: names(count) }.encode())
        });
        assert_bound(max, |count| {
            CondemnedRecord::decode(&CondemnedRecord::Outlast { condemned: id(1), intents: names(count) }.encode())
        });
        assert_bound(max, |count| {
            FenceRecord::decode(&FenceRecord::Closed { intent: id(1), snapshots: names(count) }.encode())
        });
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            drop(Intent::decode(&bytes));
            drop(CondemnedRecord::decode(&bytes));
            drop(FenceRecord::decode(&bytes));
        }
    }
}
