//! Folders that one walker leaves to another.
//!
//! A walker gives a folder away only while another one has nothing to do, and only one that may hold further folders:
//! few hand-overs, each of which costs more than a small folder does. Whoever takes a folder walks all below it.

use crate::lock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

/// What walkers share.
pub(super) struct Subtrees<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    /// Walkers that wait.
    idle: AtomicUsize,
}

struct State<T> {
    waiting: Vec<T>,
    walking: usize,
}

/// Somebody walks, and may give folders away.
pub(super) struct Walking<'a, T>(&'a Subtrees<T>);

impl<T> Subtrees<T> {
    pub(super) fn new() -> Self {
        let state = Mutex::new(State { waiting: Vec::new(), walking: 0 });
        Self { state, changed: Condvar::new(), idle: AtomicUsize::new(0) }
    }

    /// The first walker begins, before any other asks for the [`Subtrees::next`].
    pub(super) fn begin(&self) -> Walking<'_, T> {
        lock(&self.state).walking += 1;
        Walking(self)
    }

    /// Whether somebody waits.
    pub(super) fn is_wanted(&self) -> bool {
        self.idle.load(Ordering::Relaxed) > 0
    }

    /// Gives a folder to somebody who waits; back if there is nobody any more.
    pub(super) fn offer(&self, subtree: T) -> Option<T> {
        let mut state = lock(&self.state);
        if state.waiting.len() >= self.idle.load(Ordering::Relaxed) {
            return Some(subtree);
        }
        state.waiting.push(subtree);
        self.changed.notify_one();
        None
    }

    /// Waits for a folder; `None` when nobody walks any more.
    pub(super) fn next(&self) -> Option<(T, Walking<'_, T>)> {
        let mut state = lock(&self.state);
        self.idle.fetch_add(1, Ordering::Relaxed);
        while state.waiting.is_empty() && state.walking > 0 {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        self.idle.fetch_sub(1, Ordering::Relaxed);
        let subtree = state.waiting.pop()?;
        state.walking += 1;
        Some((subtree, Walking(self)))
    }
}

impl<T> Drop for Walking<'_, T> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.walking -= 1;
        if state.walking == 0 {
            self.0.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers stand for folders: each holds those of half its size, as often as it has a half.
    #[test]
    fn everything_is_walked_once_and_everybody_comes_back() {
        let subtrees = Subtrees::new();
        let walked = AtomicUsize::new(0);
        let walk = |size: usize| {
            let mut open = vec![size];
            while let Some(size) = open.pop() {
                walked.fetch_add(1, Ordering::Relaxed);
                for half in [size / 2, size - size / 2].into_iter().filter(|_| size > 1) {
                    open.extend(if subtrees.is_wanted() { subtrees.offer(half) } else { Some(half) });
                }
            }
        };
        let first = subtrees.begin();
        std::thread::scope(|scope| {
            let help = || {
                while let Some((size, _walking)) = subtrees.next() {
                    walk(size);
                }
            };
            (0..3).for_each(|_| drop(scope.spawn(help)));
            walk(20_000);
            drop(first);
            help();
        });
        assert_eq!(walked.into_inner(), 2 * 20_000 - 1, "a tree with so many leaves");
        assert!(subtrees.next().is_none());
    }
}
