//! Ids of chunks that this session has taken over and that no catalog lists yet.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use vellum_format::ChunkId;

const SHARDS: usize = 64;

/// A set of ids that many workers ask at once; two files that share a chunk store it once.
pub(crate) struct Pending {
    shards: Vec<Mutex<HashSet<ChunkId>>>,
}

impl Pending {
    pub(crate) fn new() -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect() }
    }

    /// Claims an id: true for exactly one caller.
    pub(crate) fn claim(&self, id: &ChunkId) -> bool {
        self.shard(id).insert(*id)
    }

    /// Forgets ids that a catalog lists now: the index answers for them.
    pub(crate) fn release<'a>(&self, ids: impl Iterator<Item = &'a ChunkId>) {
        for id in ids {
            self.shard(id).remove(id);
        }
    }

    fn shard(&self, id: &ChunkId) -> MutexGuard<'_, HashSet<ChunkId>> {
        let shard = usize::from(id.as_bytes()[31]) % SHARDS;
        self.shards[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}
