//! The one error of this crate. A variant is something a caller could act on; words for people live at the edge.

use vellum_format::{ChunkId, FormatError, ObjectId, ObjectKind, ObjectName};
use vellum_storage::StorageError;

/// Why the repository could not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RepositoryError {
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// There is no repository at this location.
    #[error("there is no repository at {location}")]
    NoRepository {
        /// The storage's location.
        location: String,
    },
    /// `init` found a repository, or another `init` was faster.
    #[error("there is a repository at {location} already")]
    AlreadyExists {
        /// The storage's location.
        location: String,
    },
    /// More than one config: two `init` ran at once or two repositories were copied into one place.
    #[error("there are {count} repository configs at {location}")]
    AmbiguousConfig {
        /// The storage's location.
        location: String,
        /// How many.
        count: usize,
    },
    /// Every copy of an object that is needed to open the repository is missing or damaged.
    #[error("no undamaged {} is left at {location}", kind.noun())]
    NothingLeft {
        /// What is missing.
        kind: ObjectKind,
        /// The storage's location.
        location: String,
    },
    /// No slot opens with this password, key file or recovery key.
    #[error("no slot opens with this {credential}")]
    WrongCredential {
        /// `password`, `key file` or `recovery key`.
        credential: &'static str,
    },
    /// No slot of this kind exists.
    #[error("this repository has no {credential} slot")]
    NoSuchSlot {
        /// `password`, `key file` or `recovery key`.
        credential: &'static str,
    },
    /// The keys that were to open it again are not those of its newest key manifest.
    #[error("the keys of the repository at {location} are not those that were unlocked before")]
    KeysChanged {
        /// The storage's location.
        location: String,
    },
    /// Keys or signatures that contradict each other: tampering, or an object of another repository.
    #[error("the keys of this repository do not belong together: {detail}")]
    KeysContradict {
        /// What does not fit.
        detail: String,
    },
    /// A slot cannot be used for another reason than a wrong credential, such as too little memory.
    #[error("slot {slot} cannot be used: {reason}")]
    UnusableSlot {
        /// Its place, counted from 1.
        slot: usize,
        /// Why.
        reason: String,
    },
    /// The change of keys that was asked for is not possible.
    #[error("the keys were not changed")]
    KeyChange(#[source] vellum_crypto::DraftError),
    /// The ring holds no keys for a class that the config names.
    #[error("there are no keys for the class {class}")]
    KeysMissing {
        /// The class.
        class: String,
    },
    /// The config names a chunker that cannot be used.
    #[error("the chunker {algorithm} cannot be used: {reason}")]
    UnusableChunker {
        /// Its name.
        algorithm: String,
        /// Why.
        reason: String,
    },
    /// An object is not what its name says or does not open.
    #[error("{object} is damaged: {reason}")]
    Damaged {
        /// The object.
        object: ObjectName,
        /// What is wrong with it.
        reason: String,
    },
    /// A chunk that something refers to is in no pack that the catalogs list.
    #[error("chunk {id} is missing")]
    ChunkMissing {
        /// The chunk.
        id: ChunkId,
    },
    /// A chunk does not hold what its reference says, in any copy.
    #[error("chunk {id} is damaged")]
    ChunkDamaged {
        /// The chunk.
        id: ChunkId,
    },
    /// Chunks that are what their references say, but hold no valid list or tree.
    #[error("a tree does not decode: {reason}")]
    TreeDamaged {
        /// What is wrong.
        reason: String,
    },
    /// A finished pack did not read back as it was written: faulty memory or processor. Nothing was stored.
    #[error("a new pack did not read back as it was written ({reason}); nothing of it was stored")]
    WriteVerification {
        /// What differs.
        reason: String,
    },
    /// A snapshot that no reader would take, for example with too many paths. Nothing was published.
    #[error("the snapshot would not be readable: {reason}")]
    SnapshotRefused {
        /// Why.
        reason: String,
    },
    /// A snapshot may be there that was not acknowledged: something failed after it had been stored in one place at
    /// least. It is whole, and may go with a crash.
    #[error("{source}")]
    Unacknowledged {
        /// The snapshot.
        snapshot: ObjectId,
        /// Whether it was seen to be there; else nobody could tell.
        is_there: bool,
        /// What failed.
        source: Box<RepositoryError>,
    },
    /// History does not hold the record whose code somebody has noted: an older state is shown, or another repository.
    #[error("no record of this repository has the head code {code}")]
    HeadUnknown {
        /// The code.
        code: vellum_crypto::HeadCode,
    },
    /// A removal without any snapshot.
    #[error("no snapshot was named to be removed")]
    NothingToRemove,
    /// A tombstone that no reader would take, for example with too long a reason. Nothing was removed.
    #[error("the tombstone would not be readable: {reason}")]
    TombstoneRefused {
        /// Why.
        reason: String,
    },
    /// A worker failed before; the session refuses everything since.
    #[error("an earlier error ended this session")]
    SessionPoisoned,
    /// The local state cannot be used.
    #[error(transparent)]
    LocalState(#[from] vellum_index::IndexError),
    /// The compressor failed.
    #[error("compression failed: {0}")]
    Compression(#[source] std::io::Error),
    /// The operating system gave no randomness.
    #[error(transparent)]
    Randomness(#[from] vellum_crypto::RandomError),
    /// The operating system gave no thread.
    #[error("could not start a thread: {0}")]
    NoThread(#[source] std::io::Error),
    /// A place in the index that turned out damaged since it was looked up.
    #[error("the local index was damaged while it was used; run the command again")]
    FrameForgotten,
    /// A prune gave this writer or prune up for dead and may have deleted what it relied on; nothing was published.
    #[error("a prune on another machine gave this run up for dead, so it stopped before it was done; run it again")]
    Fenced,
    /// Two processes changed keys at once.
    #[error("somebody else changed the keys of this repository at the same time; nothing was changed, try again")]
    ConcurrentKeyChange,
    /// A slot that does not exist, or the last one.
    #[error("slot {slot}: {reason}")]
    Slot {
        /// Its id.
        slot: String,
        /// Why not.
        reason: String,
    },
}

impl RepositoryError {
    /// An object that does not decode.
    pub(crate) fn damaged(object: ObjectName, error: &FormatError) -> Self {
        Self::Damaged { object, reason: error.to_string() }
    }

    /// An object whose seal does not open.
    pub(crate) fn sealed_wrong(object: ObjectName) -> Self {
        let reason = "its seal does not open with this repository's keys".to_owned();
        Self::Damaged { object, reason }
    }
}
