//! Every state that can be reached, breadth first, and the shortest way to one that breaks a promise.

use super::reduce::{Merging, representative};
use super::state::{CONDEMNED, INDEXED, Promise, STORED, State, doomed};
use super::visited::{Visited, visit};
use super::{Setup, anyone, pruner, writer};
use std::fmt::{self, Write};

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

fn search(setup: &Setup, promises: &[Promise]) -> (Visited<State>, Option<Promise>) {
    let mut moves = Vec::new();
    let mut broken = None;
    let first = representative(&State::new(setup.copies), setup);
    let seen = visit(first, |state, next| {
        broken = promises.iter().copied().find(|promise| state.breaks(*promise));
        if broken.is_some() {
            return false;
        }
        moves.clear();
        all_moves(state, setup, &mut moves);
        assert!(moves.iter().all(|step| state.void() & !step.next.void() == 0), "a void verdict is final");
        next.extend(moves.iter().map(|step| representative(&step.next, setup)));
        true
    });
    (seen, broken)
}

fn all_moves(state: &State, setup: &Setup, out: &mut Vec<Move>) {
    (0..setup.writers).for_each(|number| writer::moves(state, number, setup, out));
    (0..setup.pruners).for_each(|number| pruner::moves(state, number, setup, out));
    anyone::moves(state, setup, out);
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
