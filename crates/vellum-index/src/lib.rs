//! Chunk id to place in a pack: a local lookup, made from catalogs, that is never the only copy of anything.
//!
//! This crate hides one decision: how the places of up to a hundred million chunks are kept on one machine. All of
//! its files are a cache. They may be deleted, rolled back to an older copy, cut short, scrambled or shared by
//! several processes at any time, while they are in use too; what follows is a slower run or a missed duplicate.
//!
//! Invariants, cited where they are kept:
//!
//! - **N1** No place is given from bytes that were not verified after they were read, each time they are read.
//! - **N2** What verifies is what was written at that very place of that very segment: each record's tag
//!   covers its place, and the key depends on a name that covers all that the segment holds.
//! - **N3** No content of the folder makes a call fail or panic; damage removes knowledge and nothing else.
//! - **N4** Among usable copies of a chunk the newest is given; every copy can be reached.
//!
//! What the index cannot know is whether a pack still exists: a rolled-back folder names catalogs and packs that
//! have been deleted since. The caller states what exists, by [`Index::retain_catalogs`] and
//! [`Index::set_absent_packs`], before it trusts a place.
//!
//! Memory: 2 bytes a chunk for filters, and about 0.8 for packs, wraps and fences (a pack has hundreds of chunks); 3
//! KiB a lookup, and for each segment with an answer while many are looked up; while [`Index::add`] runs, 48 bytes for
//! each chunk added; while [`Index::merge`] runs, 0.3 bytes for each chunk merged and half a megabyte for each segment.
//! Without a folder, all of it: about 73 bytes a chunk.

#![forbid(unsafe_code)]

mod change;
mod copies;
mod error;
mod folder;
mod key;
mod lookup;
mod merge;
mod segment;
mod state;
mod usage;

pub use copies::CopySet;
pub use error::IndexError;
pub use lookup::{FrameInfo, FrameRef, Location};
pub use usage::PackUse;

use folder::{Folder, Found};
use key::LocalKey;
use segment::Segment;
use state::Failure;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use vellum_format::ObjectId;

/// Where an index keeps its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateFolder {
    /// In this folder, which is made if need be. It belongs to one repository and one local key.
    At(PathBuf),
    /// Nowhere: all in memory, for this run only.
    None,
}

/// Whether the next run will find what this one knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// All of it.
    Kept,
    /// Nothing, as asked for by [`StateFolder::None`].
    Disabled,
    /// Not all of it: other processes kept the state database locked for about a second.
    Locked,
    /// Not all of it: the system refused to write, for example for want of space or permission.
    Unwritable,
}

/// The [`Persistence`] of an index as it is whenever somebody asks.
#[derive(Debug, Clone)]
pub struct PersistenceWatch(Arc<Mutex<Persistence>>);

impl PersistenceWatch {
    fn new(persistence: Persistence) -> Self {
        Self(Arc::new(Mutex::new(persistence)))
    }

    fn set(&self, persistence: Persistence) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = persistence;
    }

    /// As it is now.
    #[must_use]
    pub fn now(&self) -> Persistence {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The places of all chunks of a repository, as far as this machine knows them.
///
/// It can be shared by threads; lookups do not wait for each other.
pub struct Index {
    key: LocalKey,
    folder: Option<Folder>,
    known: RwLock<Known>,
    values: RwLock<BTreeMap<String, Vec<u8>>>,
    persistence: PersistenceWatch,
    changing: Mutex<()>,
    next_serial: AtomicU64,
    /// Whether damaged files were removed, when this was opened or since.
    damage_removed: AtomicBool,
}

/// Offsets of damaged frames by their pack.
pub type DamagedFrames = BTreeMap<ObjectId, BTreeSet<u32>>;

/// What lookups read.
#[derive(Default)]
struct Known {
    /// The newest first. // N4
    segments: Vec<Arc<Segment>>,
    absent_packs: HashSet<ObjectId>,
    condemned_packs: HashSet<ObjectId>,
    damaged_frames: DamagedFrames,
}

impl Index {
    /// Opens the index of a folder under a key that stays the same as long as the folder is used.
    ///
    /// Damaged content is removed and counts as not loaded. Under another key everything looks damaged. When other
    /// processes keep the folder locked for a second, or it cannot be made or written, the index works in memory and
    /// [`Index::persistence`] says so.
    #[must_use]
    pub fn open(folder: &StateFolder, local_key: &[u8; 32]) -> Self {
        let mut index = Self {
            key: LocalKey::new(*local_key),
            folder: None,
            known: RwLock::default(),
            values: RwLock::default(),
            persistence: PersistenceWatch::new(Persistence::Disabled),
            changing: Mutex::default(),
            next_serial: AtomicU64::new(0),
            damage_removed: AtomicBool::new(false),
        };
        let StateFolder::At(path) = folder else { return index };
        let opened = Folder::create(path, &index.key).and_then(|folder| {
            let found = folder.load(&index.next_serial)?;
            Ok((folder, found))
        });
        match opened {
            Ok((folder, found)) => index.start_with(folder, found),
            Err(failure) => index.note(failure),
        }
        index
    }

    fn start_with(&mut self, folder: Folder, found: Found) {
        let segments = found.segments.into_iter().rev().map(Arc::new).collect();
        self.known = RwLock::new(Known { segments, ..Known::default() });
        self.values = RwLock::new(found.values);
        self.persistence.set(Persistence::Kept);
        self.damage_removed = AtomicBool::new(found.damaged);
        self.folder = Some(folder);
    }

    /// Whether the next run will find what this one knows, and if not, why.
    #[must_use]
    pub fn persistence(&self) -> Persistence {
        self.persistence.now()
    }

    /// What tells of [`Index::persistence`] also while others use the index, and when it is gone.
    #[must_use]
    pub fn persistence_watch(&self) -> PersistenceWatch {
        self.persistence.clone()
    }

    /// Whether the next run will find everything that this one knows.
    #[must_use]
    pub fn persistent(&self) -> bool {
        self.persistence() == Persistence::Kept
    }

    /// Whether files of this index were found missing or damaged, when it was opened or since.
    #[must_use]
    pub fn damage_seen(&self) -> bool {
        self.damage_removed.load(Ordering::Relaxed) || !self.known().segments.iter().all(|segment| segment.is_usable())
    }

    /// A value that [`Index::state_put`] stored in this run or an earlier one.
    ///
    /// Values are read when the index is opened: what another process stores meanwhile is not seen. They are as
    /// losable as everything else here.
    #[must_use]
    pub fn state_get(&self, name: &str) -> Option<Vec<u8>> {
        self.values.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Stores a value under a name, replacing what was there. It is meant for a few small values.
    ///
    /// # Errors
    /// [`IndexError::NotKept`] when a folder was given but the next run will not find the value; this run does.
    pub fn state_put(&self, name: &str, value: &[u8]) -> Result<(), IndexError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.values.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), value.to_vec());
        match &self.folder {
            None if self.persistence() == Persistence::Disabled => Ok(()),
            None => Err(IndexError::NotKept),
            Some(folder) => folder.put_value(name, value).map_err(|failure| {
                self.note(failure);
                IndexError::NotKept
            }),
        }
    }

    fn note(&self, failure: Failure) {
        let is_locked = failure == Failure::Locked;
        self.persistence.set(if is_locked { Persistence::Locked } else { Persistence::Unwritable });
    }

    fn known(&self) -> RwLockReadGuard<'_, Known> {
        self.known.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known_mut(&self) -> RwLockWriteGuard<'_, Known> {
        self.known.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let known = self.known();
        write!(f, "Index({} segments, {:?})", known.segments.len(), self.persistence())
    }
}
