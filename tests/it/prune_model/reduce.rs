//! States that nobody can tell apart are explored once.

use super::state::{Pack, STORED, State, Writer, WriterStep as At};
use super::{Mutant, Setup};

/// What is taken for one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Merging {
    /// Only what is equal.
    Nothing,
    /// What differs in the numbers of writers, pruners and packs, and in packs that are gone.
    Alike,
    /// Also what differs in writers that can change nothing any more. Only for the protocol as it is: some mutants
    /// make a difference where it makes none.
    Settled,
}

/// The state that stands for all those that are merged with this one.
pub(super) fn representative(state: &State, setup: &Setup) -> State {
    let mut state = *state;
    if setup.merging == Merging::Nothing {
        return state;
    }
    // Whoever counts on a pack asks whether it is there, and names never repeat. Only these do without.
    let ghosts = [Mutant::IndexBeforeCondemnations, Mutant::PresenceUnchecked, Mutant::SkipsDespiteAbsence];
    if !setup.mutant.is_some_and(|mutant| ghosts.contains(&mutant)) {
        state.packs.iter_mut().filter(|pack| pack.lacks(STORED)).for_each(|pack| *pack = Pack::default());
    }
    if setup.merging == Merging::Settled {
        (0..setup.writers).for_each(|number| settle(&mut state, number));
    }
    smallest(state, setup)
}

fn settle(state: &mut State, number: usize) {
    let bit = 1 << number;
    let is_awaited = state.pruners.iter().any(|pruner| pruner.unseen & bit != 0);
    let writer = &mut state.writers[number];
    // From W5 on, an intent can only hold pruners up, and a writer that is fenced holds nobody up and cannot be
    // acknowledged any more.
    let is_over = match writer.step {
        At::Published => writer.is_fenced || !writer.is_visible,
        At::Acknowledged => !is_awaited || !writer.is_visible,
        At::Refused | At::Withdrawn | At::Done => true,
        // What it publishes is void at once.
        At::Ready => writer.is_void,
        _ => false,
    };
    if !is_over {
        return;
    }
    // Nobody can call its snapshot void any more: it is like that of any run that is over.
    if writer.counts() && !is_awaited {
        state.finished |= 1 << writer.known;
        writer.is_visible = false;
    }
    let is_acknowledged = writer.is_acknowledged();
    *writer = match writer.is_visible && (is_acknowledged || !writer.is_void) {
        true => Writer {
            step: if is_acknowledged { At::Done } else { At::Withdrawn },
            has_intent: false,
            is_fenced: false,
            ..*writer
        },
        false => Writer { step: At::Done, ..Writer::IDLE },
    };
    let is_kept = writer.is_visible;
    for pruner in &mut state.pruners {
        pruner.outlasts &= !bit;
        pruner.unseen &= if is_kept { !0 } else { !bit };
    }
}

/// Exchanges that lead through every order of so many.
const EXCHANGES: [&[(usize, usize)]; 4] = [&[], &[], &[(0, 1)], &[(0, 1), (1, 2), (0, 1), (1, 2), (0, 1)]];

/// The smallest of the states that differ in the numbers of writers, pruners and packs.
fn smallest(state: State, setup: &Setup) -> State {
    let mut smallest = state;
    sort_packs(&mut smallest);
    let mut one = state;
    for writers in [None].into_iter().chain(EXCHANGES[setup.writers].iter().map(Some)) {
        writers.into_iter().for_each(|&(a, b)| one.swap_writers(a, b));
        for pruners in [None].into_iter().chain(EXCHANGES[setup.pruners].iter().map(Some)) {
            pruners.into_iter().for_each(|&(a, b)| one.swap_pruners(a, b));
            if (&one.writers, &one.pruners, one.finished) <= (&smallest.writers, &smallest.pruners, smallest.finished) {
                let mut sorted = one;
                sort_packs(&mut sorted);
                smallest = smallest.min(sorted);
            }
        }
    }
    smallest
}

fn sort_packs(state: &mut State) {
    state.packs.sort_unstable_by(|a, b| b.cmp(a));
}
