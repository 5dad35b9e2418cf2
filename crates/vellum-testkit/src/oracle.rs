//! What must be true after any crash.

use std::collections::BTreeMap;
use std::fmt::Debug;

/// Everything that was acknowledged: a plain map, so that nobody doubts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oracle<K, V> {
    acknowledged: BTreeMap<K, V>,
}

impl<K: Ord + Debug, V: Eq + Debug> Oracle<K, V> {
    /// Nothing acknowledged yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { acknowledged: BTreeMap::new() }
    }

    /// Remembers a promise.
    ///
    /// # Panics
    /// When another content was acknowledged under the same key.
    pub fn acknowledge(&mut self, key: K, value: V) {
        match self.acknowledged.get(&key) {
            Some(earlier) => assert!(*earlier == value, "{key:?} was acknowledged with another content"),
            None => drop(self.acknowledged.insert(key, value)),
        }
    }

    /// Releases from a promise, as a forget does; before it is asked for, because it may be done and then fail.
    pub fn forget(&mut self, key: &K) {
        self.acknowledged.remove(key);
    }

    /// Hands every promise to a check, which panics when it is broken.
    pub fn expect_each(&self, check: impl FnMut((&K, &V))) {
        self.acknowledged.iter().for_each(check);
    }

    /// How many promises there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.acknowledged.len()
    }
}

impl<K: Ord + Debug, V: Eq + Debug> Default for Oracle<K, V> {
    fn default() -> Self {
        Self::new()
    }
}
