//! When a condemnation may go, as a second model of which every state is visited.
//!
//! One pack that nobody needs, the catalogs that list it, and its condemnations. What makes prunes delete and rewrite
//! catalogs otherwise, and what makes them wait, is left out: they may do so at any time, so every way of the protocol
//! is among the ways of this model, and others.
//! - Every catalog lies there twice. Both copies are put one after the other, the second first, and deleted one after
//!   the other, the first first. One of which any copy is there lists its packs.
//! - A session, of a backup or a prune, puts an intent. As long as it stands, the session puts back the copies of
//!   catalogs that it has read, and lists the pack in a catalog if it has read that. At any moment it ends, or is
//!   killed and somebody deletes its intent; then it may begin again.
//! - A pruner that knows no condemnation of the pack puts other catalogs in the place of old ones. One that knows any
//!   deletes the catalogs, then the pack.
//! - Then it removes the condemnations that it knows: if it finds nobody else at work, and no catalog that lists the
//!   pack. If it finds somebody, it may only make one of many.
//! - A listing is no moment: it is begun, comes to each object that was there at some time in any order, and misses
//!   what was put since. For what is asked here of several objects at once that makes a difference.
//!
//! The bounds are the catalogs that there are at a time, and three condemnations; a step beyond them is not taken.

mod state;
mod steps;

use super::visited::{Visited, visit};
use state::{CATALOGS_MAX, State, Step};
use std::collections::BTreeSet;
use std::fmt::Write;
use steps::moves;

/// A mistake in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutant {
    /// A condemnation is removed although others are at work.
    RetiresBesideOthers,
    /// It is removed without listing catalogs again.
    RetiresUnlisted,
    /// Catalogs are listed before intents.
    CatalogsBeforeIntents,
    /// Intents are listed once.
    IntentsListedOnce,
    /// Who deletes catalogs with a pack that is gone already does not condemn it himself.
    DropsGoneUncondemned,
    /// Condemnations are removed that were put since the pruner has begun to look whether they may go.
    RetiresUnknown,
    /// A session puts back copies of catalogs before its intent.
    RestoresBeforeIntent,
    /// Who was given up does not look for its intent when it has put or deleted catalogs.
    NeverLooks,
    /// It looks when it has put some, and not when it has only deleted some.
    LooksOnlyAfterPuts,
}

/// What is explored.
#[derive(Debug, Clone, Copy)]
struct Setup {
    writers: usize,
    pruners: usize,
    /// Catalogs with the pack at a time.
    catalogs: usize,
    /// Intents of those who are still at work may be deleted. They look for it when they have put or deleted catalogs,
    /// condemn what is gone if they do not find it, and are not killed in between.
    gives_up: bool,
    mutant: Option<Mutant>,
}

const fn setup(writers: usize, pruners: usize, catalogs: usize) -> Setup {
    Setup { writers, pruners, catalogs, gives_up: false, mutant: None }
}

/// The state that stands for all that differ in the numbers of writers, pruners, catalogs and condemnations.
fn representative(state: &State, setup: &Setup) -> State {
    let mut smallest: Option<State> = None;
    let mut one = *state;
    let pruner = setup.writers;
    let writers: &[bool] = if setup.writers > 1 { &[false, true] } else { &[false] };
    let pruners: &[bool] = if setup.pruners > 1 { &[false, true] } else { &[false] };
    let exchanges: &[Option<(u8, u8)>] = match setup.catalogs {
        1 => &[None],
        2 => &[None, Some((0, 1))],
        _ => &[None, Some((0, 1)), Some((1, 2)), Some((0, 1)), Some((1, 2)), Some((0, 1))],
    };
    for &swaps_writers in writers {
        if swaps_writers {
            one.swap_processes(0, 1);
        }
        for &swaps_pruners in pruners {
            if swaps_pruners {
                one.swap_processes(pruner, pruner + 1);
            }
            for &exchange in exchanges {
                exchange.into_iter().for_each(|(a, b)| one.swap_catalogs(a, b));
                let mut sorted = one;
                sorted.condemnations.sort_unstable();
                smallest = Some(smallest.map_or(sorted, |smallest| smallest.min(sorted)));
            }
        }
    }
    smallest.expect("there is at least one order")
}

/// Every state; the last one misleads, if any does.
fn explore(setup: &Setup) -> (Visited<State>, bool) {
    assert!(setup.catalogs <= CATALOGS_MAX && setup.writers <= 2 && setup.pruners <= 2);
    let mut next_moves = Vec::new();
    let mut misleads = false;
    let seen = visit(representative(&State::new(), setup), |state, next| {
        misleads = state.misleads(setup.gives_up);
        if misleads {
            return false;
        }
        next_moves.clear();
        moves(state, setup, &mut next_moves);
        next.extend(next_moves.iter().map(|step| representative(&step.next, setup)));
        true
    });
    (seen, misleads)
}

/// The way to the last state, in words.
fn in_words(seen: &Visited<State>, setup: &Setup) -> String {
    let mut state = State::new();
    let mut words = String::new();
    for representative_next in &seen.way_to_last()[1..] {
        let mut next_moves = Vec::new();
        moves(&state, setup, &mut next_moves);
        let step = next_moves.into_iter().find(|step| representative(&step.next, setup) == *representative_next);
        let step = step.expect("states that are merged have the same moves");
        let who = match step.process.checked_sub(setup.writers) {
            None => format!("writer {}", step.process + 1),
            Some(pruner) => format!("pruner {}", pruner + 1),
        };
        state = step.next;
        let copies = |one: &state::Catalog| match (one.first, one.copy) {
            (true, true) => "12",
            (true, false) => "1",
            (false, true) => "2",
            (false, false) => "-",
        };
        let catalogs: Vec<&str> = state.catalogs.iter().map(copies).collect();
        let pack = if state.is_stored { "stored" } else { "gone" };
        let condemned = state.condemnations.iter().filter(|one| one.stands).count();
        let facts = format!("{pack}, copies: {}, condemnations: {condemned}", catalogs.join(" "));
        writeln!(words, "{:70} {facts}", format!("{who:9} {}", step.words)).expect("memory");
    }
    words
}

/// A pack that is gone is condemned as long as a catalog lists it, or somebody at work may put one that does.
fn holds(setup: &Setup) {
    let (seen, misleads) = explore(setup);
    println!("{setup:?}: {} states", seen.states.len());
    assert!(!misleads, "{setup:?}:\n{}", in_words(&seen, setup));
}

#[test]
fn what_is_listed_and_gone_is_condemned() {
    holds(&setup(2, 1, 2));
    holds(&setup(1, 2, 2));
    holds(&setup(2, 2, 1));
}

/// Who was given up and goes on all the same condemns what is gone.
#[test]
fn who_is_given_up_does_not_mislead() {
    holds(&Setup { gives_up: true, ..setup(2, 1, 1) });
    holds(&Setup { gives_up: true, ..setup(1, 1, 2) });
}

/// Processes that were stuck would not mislead.
#[test]
fn every_step_about_catalogs_is_taken() {
    let (seen, _) = explore(&setup(1, 2, 1));
    let steps =
        |number: usize| seen.states.iter().map(|state| state.processes[number].step).collect::<BTreeSet<Step>>();
    assert_eq!(steps(0), BTreeSet::from([Step::Idle, Step::Begun]));
    assert_eq!(&steps(1) | &steps(2), BTreeSet::from(Step::ALL));
    let is_over = |state: &State| !state.is_stored && !state.is_condemned();
    assert!(seen.states.iter().any(is_over), "no condemnation is ever removed");
}

/// Mistakes, and how many writers and pruners each takes.
const MUTANTS: [(Mutant, usize, usize); 9] = [
    (Mutant::RetiresBesideOthers, 1, 1),
    (Mutant::RetiresUnlisted, 1, 1),
    (Mutant::CatalogsBeforeIntents, 1, 1),
    (Mutant::IntentsListedOnce, 1, 2),
    (Mutant::DropsGoneUncondemned, 1, 2),
    (Mutant::RetiresUnknown, 1, 2),
    (Mutant::RestoresBeforeIntent, 1, 1),
    (Mutant::NeverLooks, 1, 1),
    (Mutant::LooksOnlyAfterPuts, 1, 2),
];

#[test]
fn every_mistake_about_catalogs_misleads() {
    for (mutant, writers, pruners) in MUTANTS {
        let gives_up = matches!(mutant, Mutant::NeverLooks | Mutant::LooksOnlyAfterPuts);
        let mutated = |writers, pruners| Setup { gives_up, mutant: Some(mutant), ..setup(writers, pruners, 1) };
        let (seen, misleads) = explore(&mutated(writers, pruners));
        assert!(misleads, "{mutant:?}");
        println!("{mutant:?}: {} states\n{}", seen.states.len(), in_words(&seen, &mutated(writers, pruners)));
        for (writers, pruners) in [(writers - 1, pruners), (writers, pruners - 1)] {
            assert!(!explore(&mutated(writers, pruners)).1, "{mutant:?} with {writers} writers, {pruners} pruners");
        }
    }
}

#[cfg(feature = "slow")]
mod slow {
    use super::{Setup, holds, setup};

    #[test]
    fn what_is_listed_and_gone_is_condemned_with_more_writers_and_catalogs() {
        holds(&setup(2, 2, 2));
        holds(&setup(1, 2, 3));
    }

    #[test]
    fn who_is_given_up_does_not_mislead_beside_another_prune() {
        holds(&Setup { gives_up: true, ..setup(1, 2, 1) });
        holds(&Setup { gives_up: true, ..setup(2, 1, 2) });
    }
}
