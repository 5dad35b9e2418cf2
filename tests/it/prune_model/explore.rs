//! Every state that can be reached, breadth first, and the shortest way to one that breaks a promise.

use super::reduce::{Merging, representative};
use super::state::{CONDEMNED, INDEXED, Promise, STORED, State, doomed};
use super::{Setup, anyone, pruner, writer};
use std::fmt::{self, Write};
use std::hash::{Hash, Hasher};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Writer(usize),
    Pruner(usize),
    Anyone,
}

/// One step of one process.
pub(super) struct Move {
    pub(super) who: Who,
    pub(super) words: &'static str,
    pub(super) next: State,
}

/// Explores until nothing new is found, or a promise is broken: by the last of the states that it returns then.
pub(super) fn explore(setup: &Setup, promises: &[Promise]) -> (Vec<State>, Option<Promise>) {
    let (seen, broken) = search(setup, promises);
    (seen.states, broken)
}

/// The shortest way to break a promise, in words.
pub(super) fn shortest_way(setup: &Setup, promise: Promise) -> String {
    // Everybody who is merged here has the same moves, so that the way can be gone again step by step.
    let setup = Setup { merging: setup.merging.min(Merging::Alike), ..*setup };
    match search(&setup, &[promise]) {
        (seen, Some(_)) => format!("{promise:?} is broken:\n{}", in_words(&seen.way_to_last(), &setup)),
        (_, None) => format!("{promise:?} is broken only when more states are merged: that is wrong"),
    }
}

fn search(setup: &Setup, promises: &[Promise]) -> (Seen, Option<Promise>) {
    let mut seen = Seen::default();
    seen.insert(representative(&State::new(setup.copies), setup), 0);
    let mut moves = Vec::new();
    let mut at = 0;
    while at < seen.states.len() {
        let state = seen.states[at];
        if let Some(promise) = promises.iter().find(|promise| state.breaks(**promise)) {
            seen.states.truncate(at + 1);
            return (seen, Some(*promise));
        }
        moves.clear();
        all_moves(&state, setup, &mut moves);
        for step in &moves {
            assert_eq!(state.void() & !step.next.void(), 0, "a void verdict is final");
            seen.insert(representative(&step.next, setup), at);
        }
        at += 1;
    }
    (seen, None)
}

fn all_moves(state: &State, setup: &Setup, out: &mut Vec<Move>) {
    (0..setup.writers).for_each(|number| writer::moves(state, number, setup, out));
    (0..setup.pruners).for_each(|number| pruner::moves(state, number, setup, out));
    anyone::moves(state, setup, out);
}

/// States in the order in which they were found, each with the one that it was found from.
#[derive(Default)]
struct Seen {
    states: Vec<State>,
    parents: Vec<u32>,
    /// Numbers of states plus one, by hash, with linear probing; 0 is free.
    table: Vec<u32>,
}

impl Seen {
    fn insert(&mut self, state: State, parent: usize) {
        if self.states.len() * 2 >= self.table.len() {
            self.grow();
        }
        if let Err(free) = self.find(&state) {
            self.states.push(state);
            self.parents.push(u32::try_from(parent).expect("fewer than 2^32 states"));
            self.table[free] = u32::try_from(self.states.len()).expect("fewer than 2^32 states");
        }
    }

    fn grow(&mut self) {
        self.table = vec![0; (self.table.len() * 2).max(1 << 10)];
        for number in 1..=self.states.len() {
            let free = self.find(&self.states[number - 1]).expect_err("every state is there once");
            self.table[free] = u32::try_from(number).expect("fewer than 2^32 states");
        }
    }

    /// Where the state stands in the table, or where it should.
    fn find(&self, state: &State) -> Result<usize, usize> {
        let mut hasher = Mixer(0);
        state.hash(&mut hasher);
        let last = self.table.len() - 1;
        let mut place = usize::try_from(hasher.finish() >> 20).expect("a 64-bit system") & last;
        loop {
            match self.table[place] {
                0 => return Err(place),
                number if self.states[number as usize - 1] == *state => return Ok(place),
                _ => place = (place + 1) & last,
            }
        }
    }

    /// The states from the first one to the last one.
    fn way_to_last(&self) -> Vec<State> {
        let parent = |at: &usize| (*at != 0).then(|| self.parents[*at] as usize);
        let numbers = std::iter::successors(Some(self.states.len() - 1), parent);
        let mut way: Vec<State> = numbers.map(|number| self.states[number]).collect();
        way.reverse();
        way
    }
}

/// Multiply and rotate: the standard hasher would take most of the time.
struct Mixer(u64);

impl Hasher for Mixer {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_u8(&mut self, word: u8) {
        self.write_u64(u64::from(word));
    }

    fn write_u16(&mut self, word: u16) {
        self.write_u64(u64::from(word));
    }

    fn write_isize(&mut self, word: isize) {
        self.write_u64(word.unsigned_abs() as u64);
    }
}

/// Goes the same way again without exchanging anybody, so that everybody keeps the name.
fn in_words(way: &[State], setup: &Setup) -> String {
    let mut state = State::new(setup.copies);
    let mut words = format!("{:70} {}\n", "", Facts(&state));
    for representative_next in &way[1..] {
        let mut moves = Vec::new();
        all_moves(&state, setup, &mut moves);
        let step = moves.into_iter().find(|step| representative(&step.next, setup) == *representative_next);
        let step = step.expect("states that are merged have the same moves");
        let who = match step.who {
            Who::Writer(number) => format!("writer {}", number + 1),
            Who::Pruner(number) => format!("pruner {}", number + 1),
            Who::Anyone => "anyone".to_owned(),
        };
        state = step.next;
        writeln!(words, "{:70} {}", format!("{who:9} {}", step.words), Facts(&state)).expect("memory");
    }
    words
}

/// Packs by letters: `?` no catalog lists it, `!` it is condemned, and the numbers of pruners that will delete it.
struct Facts<'a>(&'a State);

impl fmt::Display for Facts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0;
        for (pack, letter) in state.packs.iter().zip('A'..).filter(|(pack, _)| pack.has(STORED)) {
            let unlisted = if pack.has(INDEXED) { "" } else { "?" };
            let condemned = if pack.has(CONDEMNED) { "!" } else { "" };
            let deleters = (0..state.pruners.len()).filter(|&pruner| pack.has(doomed(pruner)));
            let deleters: String = deleters.map(|pruner| (pruner + 1).to_string()).collect();
            write!(f, "{letter}{unlisted}{condemned}{deleters} ")?;
        }
        write!(f, "| snapshots:{}", if state.finished == 0 { "" } else { " oldest" })?;
        for (number, writer) in state.writers.iter().enumerate().filter(|(_, writer)| writer.is_visible) {
            let acknowledged = if writer.is_acknowledged() { " acknowledged" } else { "" };
            write!(f, " {}{acknowledged}{}", number + 1, if writer.is_void { " void" } else { "" })?;
        }
        Ok(())
    }
}
