//! Ids of chunks that this session has taken over and that no catalog lists yet.

use crate::lock;
use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};
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
        lock(&self.shards[shard])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_claimed_once_until_it_is_released() {
        let pending = Pending::new();
        let ids: Vec<ChunkId> = (0..=255).map(|byte| ChunkId::from_bytes([byte; 32])).collect();
        assert!(ids.iter().all(|id| pending.claim(id)));
        assert!(!ids.iter().any(|id| pending.claim(id)));
        pending.release(ids[..100].iter());
        assert!(ids.iter().enumerate().all(|(number, id)| pending.claim(id) == (number < 100)));
    }
}
