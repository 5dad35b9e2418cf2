//! The protocol by which packs are deleted while others write, as a model of which every state is visited.
//!
//! One chunk, and the packs that hold it: what else these packs hold is only another reason to condemn them.
//! Processes take one step at a time, in any order. A process that crashed is one that takes no more steps, so every
//! state has it. What a step did is durable, and seen by every step after it; nobody knows a time.
//! That a listing is one step leaves nothing out: each object in it is read once, and steps only promise that all of
//! it is read before the next one begins.
//!
//! A writer:
//! - W1 puts an intent.
//! - W2 lists condemnations, then loads the index: the chunk counts as stored if it is in a pack that is in the
//!   storage and not condemned. A pack that no catalog lists is adopted.
//! - W3 puts a pack, if it has to, and a catalog with it and with what it adopted.
//! - W5 puts the snapshot.
//! - W6 looks for a fence of its own. If there is one, the run fails; else the snapshot is acknowledged.
//! - W7 deletes the intent.
//!
//! A pruner:
//! - G1 lists condemnations, then snapshots, then loads the index and, if a snapshot needs the chunk, marks a copy that
//!   is indexed and not condemned. Then it chooses packs: any, if no snapshot needs the chunk; otherwise so that the
//!   marked copy is left. If that is gone by now, it chooses nothing.
//! - G2 makes that copy, if there is no other: it puts a pack and indexes it.
//! - G3 puts a condemnation with the packs that it chose, if any. Nothing takes that back.
//! - G3b lists all condemnations. From here on, all packs that they name are condemned to this pruner.
//! - G4 lists intents.
//! - G5 waits until every one of them is gone or fenced. Anybody may put fences, at any time.
//! - G6 lists snapshots, then loads the index. If a snapshot needs the chunk and all copies are condemned, it puts a
//!   copy of one and indexes it; if there is none, it stops.
//!   It need not look at the index if each snapshot was there at G1, and a pack that it counted on at G1 is still there
//!   and not condemned.
//! - G6b puts a closing for every fenced writer of G5, which names the snapshots that G6 saw. A snapshot of a writer
//!   that a closing does not name is void: it was not acknowledged and never will be, and needs nothing.
//! - G7 drops the condemned packs from the index, then deletes them.
//!
//! Another pruner may go on from what one recorded after G4: its condemned packs and its intents.
//! At any time, snapshots are forgotten, a condemnation is deleted whose packs are gone from the storage, and so is the
//! intent of a writer that a closing has made void. Fences and closings stay.

mod anyone;
mod catalogs;
mod explore;
mod pruner;
mod reduce;
mod state;
mod visited;
mod writer;

use explore::{explore, shortest_way};
use reduce::Merging;
use state::{Promise, PrunerStep, WriterStep};
use std::collections::BTreeSet;

/// What pruners condemn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Choice {
    /// Whatever comes to their mind, whether it is needed or not. So it does not matter what G1 found, and when.
    Anything,
    /// What G1 finds redundant, with or without G2; G6 skips the index when it may.
    Redundant { repacks: bool },
}

/// A mistake in the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mutant {
    /// Without W1.
    NoIntent,
    /// W1 after W2.
    LateIntent,
    /// W2 lists no condemnations.
    CondemnationsUnlisted,
    /// W2 loads the index, then lists condemnations.
    IndexBeforeCondemnations,
    /// W2 counts what a catalog lists, be it in the storage or not.
    PresenceUnchecked,
    /// W3 puts a pack under the name of one that is there, because both hold the same.
    NamesRepeat,
    /// Without W6.
    FenceUnchecked,
    /// Without G3b.
    OwnCondemnationOnly,
    /// G1 chooses as if nothing were needed when the copy that it marked is gone.
    ForgetsVanishedMarks,
    /// G4 before G3.
    IntentsBeforeOwnCondemnation,
    /// G4 before G3b.
    IntentsBeforeCondemnations,
    /// Without G5.
    NoWaiting,
    /// Without G6.
    NoSecondListing,
    /// G6 counts packs that no catalog lists, without listing them.
    UnlistedCounts,
    /// G6 does not look at the index although there is a new snapshot.
    SkipsDespiteSnapshots,
    /// G6 does not look at the index although what it counted on is condemned.
    SkipsDespiteCondemnations,
    /// G6 does not look at the index although what it counted on is gone.
    SkipsDespiteAbsence,
    /// G6 deletes condemnations, where it should copy.
    Uncondemns,
    /// Without G6b.
    NoClosing,
    /// G6b after G7.
    ClosesLast,
    /// G6b also closes writers that were fenced after G6 listed snapshots.
    ClosesLateFences,
    /// The intent of a fenced writer is deleted although nobody has closed it.
    TidiesBeforeClosing,
    /// A condemnation is deleted as soon as its packs are dropped from the index.
    ReleasesEarly,
}

/// What is explored.
#[derive(Debug, Clone, Copy)]
struct Setup {
    writers: usize,
    pruners: usize,
    /// Packs with the chunk at the start.
    copies: usize,
    choice: Choice,
    /// Pruners may go on from the record of another one.
    takes_over: bool,
    /// Condemnations whose packs are gone may be deleted.
    releases: bool,
    merging: Merging,
    mutant: Option<Mutant>,
}

impl Setup {
    const fn new(writers: usize, pruners: usize, copies: usize, choice: Choice) -> Self {
        Self {
            writers,
            pruners,
            copies,
            choice,
            takes_over: false,
            releases: true,
            merging: Merging::Settled,
            mutant: None,
        }
    }
}

const REDUNDANT: Choice = Choice::Redundant { repacks: false };
const REPACKED: Choice = Choice::Redundant { repacks: true };

const PROMISES: [Promise; 3] =
    [Promise::AcknowledgedIsComplete, Promise::AcknowledgedIsNotVoid, Promise::NotVoidIsComplete];

/// Every promise holds in every state.
fn holds(setup: &Setup) {
    let (states, broken) = explore(setup, &PROMISES);
    println!("{setup:?}: {} states", states.len());
    if let Some(promise) = broken {
        panic!("{setup:?}: {}", shortest_way(setup, promise));
    }
}

#[test]
fn nothing_is_lost_whatever_is_condemned() {
    holds(&Setup::new(2, 2, 1, Choice::Anything));
}

#[test]
fn nothing_is_lost_when_pruners_condemn_different_copies_and_skip_what_they_may() {
    holds(&Setup::new(2, 2, 2, REDUNDANT));
}

#[test]
fn nothing_is_lost_when_packs_are_repacked() {
    holds(&Setup::new(1, 2, 1, REPACKED));
    holds(&Setup::new(1, 2, 2, REPACKED));
    holds(&Setup::new(0, 3, 2, REPACKED));
}

#[test]
fn nothing_is_lost_between_three_pruners() {
    holds(&Setup::new(1, 3, 1, Choice::Anything));
}

#[test]
fn nothing_is_lost_when_a_pruner_goes_on_from_the_record_of_another() {
    holds(&Setup { takes_over: true, ..Setup::new(1, 2, 2, Choice::Anything) });
    holds(&Setup { takes_over: true, ..Setup::new(1, 2, 2, REPACKED) });
    holds(&Setup { takes_over: true, ..Setup::new(0, 3, 2, REDUNDANT) });
}

/// Packs that are gone stay in everybody's memory here, and condemnations that name them are there or deleted.
#[test]
fn nothing_is_lost_when_no_states_are_merged() {
    for choice in [Choice::Anything, REDUNDANT] {
        holds(&Setup { merging: Merging::Nothing, ..Setup::new(2, 1, 1, choice) });
        holds(&Setup { merging: Merging::Nothing, ..Setup::new(1, 2, 1, choice) });
        holds(&Setup { merging: Merging::Alike, ..Setup::new(1, 2, 2, choice) });
    }
}

/// Processes that were stuck would break no promise.
#[test]
fn every_step_is_taken() {
    let setup = Setup { merging: Merging::Alike, ..Setup::new(1, 2, 1, REPACKED) };
    let (states, _) = explore(&setup, &[]);
    let writers: BTreeSet<WriterStep> = states.iter().map(|state| state.writers[0].step).collect();
    let all = WriterStep::ALL.into_iter().filter(|step| *step != WriterStep::Loaded);
    assert_eq!(writers, all.collect(), "only a mutant loads the index before it lists condemnations");
    let pruners: BTreeSet<PrunerStep> = states.iter().map(|state| state.pruners[0].step).collect();
    assert_eq!(pruners, PrunerStep::ALL.into_iter().collect());
    assert!(states.iter().any(|state| state.writers[0].is_visible && state.writers[0].is_void));
}

/// Mistakes, a promise that each breaks, and how many writers and pruners that takes.
const MUTANTS: [(Mutant, Promise, usize, usize); 23] = [
    (Mutant::NoIntent, Promise::AcknowledgedIsComplete, 1, 1),
    (Mutant::LateIntent, Promise::AcknowledgedIsComplete, 1, 1),
    (Mutant::CondemnationsUnlisted, Promise::AcknowledgedIsComplete, 1, 1),
    (Mutant::IndexBeforeCondemnations, Promise::AcknowledgedIsComplete, 1, 1),
    (Mutant::PresenceUnchecked, Promise::AcknowledgedIsComplete, 2, 1),
    (Mutant::NamesRepeat, Promise::AcknowledgedIsComplete, 1, 1),
    (Mutant::FenceUnchecked, Promise::AcknowledgedIsComplete, 1, 1),
    (Mutant::OwnCondemnationOnly, Promise::AcknowledgedIsComplete, 0, 2),
    (Mutant::ForgetsVanishedMarks, Promise::AcknowledgedIsComplete, 0, 2),
    (Mutant::IntentsBeforeOwnCondemnation, Promise::AcknowledgedIsComplete, 1, 1),
    (Mutant::IntentsBeforeCondemnations, Promise::AcknowledgedIsComplete, 1, 2),
    (Mutant::NoWaiting, Promise::AcknowledgedIsComplete, 1, 1),
    (Mutant::NoSecondListing, Promise::AcknowledgedIsComplete, 1, 1),
    (Mutant::UnlistedCounts, Promise::AcknowledgedIsComplete, 0, 2),
    (Mutant::SkipsDespiteSnapshots, Promise::AcknowledgedIsComplete, 1, 1),
    (Mutant::SkipsDespiteCondemnations, Promise::AcknowledgedIsComplete, 0, 2),
    (Mutant::SkipsDespiteAbsence, Promise::AcknowledgedIsComplete, 0, 2),
    (Mutant::Uncondemns, Promise::AcknowledgedIsComplete, 1, 2),
    (Mutant::NoClosing, Promise::NotVoidIsComplete, 1, 1),
    (Mutant::ClosesLast, Promise::NotVoidIsComplete, 1, 1),
    (Mutant::ClosesLateFences, Promise::AcknowledgedIsNotVoid, 1, 1),
    (Mutant::TidiesBeforeClosing, Promise::NotVoidIsComplete, 1, 1),
    (Mutant::ReleasesEarly, Promise::AcknowledgedIsComplete, 1, 1),
];

fn mutated(mutant: Mutant, writers: usize, pruners: usize) -> Setup {
    Setup { merging: Merging::Alike, mutant: Some(mutant), ..Setup::new(writers, pruners, 2, REDUNDANT) }
}

#[test]
fn every_mistake_breaks_a_promise() {
    for (mutant, promise, writers, pruners) in MUTANTS {
        let setup = mutated(mutant, writers, pruners);
        let (states, broken) = explore(&setup, &[promise]);
        assert_eq!(broken, Some(promise), "{mutant:?}");
        println!("{setup:?}: {} states\n{}", states.len(), shortest_way(&setup, promise));
        let fewer = [(writers.saturating_sub(1), pruners), (writers, pruners - 1)];
        for (writers, pruners) in fewer.into_iter().filter(|numbers| *numbers != (writers, pruners)) {
            let broken = explore(&mutated(mutant, writers, pruners), &[promise]).1;
            assert_eq!(broken, None, "{mutant:?} with {writers} writers and {pruners} pruners");
        }
    }
}

#[test]
fn merging_hides_no_mistake() {
    // That a writer with a fence is not acknowledged is what allows to merge it with others.
    for (mutant, promise, writers, pruners) in MUTANTS.into_iter().filter(|row| row.0 != Mutant::FenceUnchecked) {
        let setup = Setup { merging: Merging::Settled, ..mutated(mutant, writers, pruners) };
        assert_eq!(explore(&setup, &[promise]).1, Some(promise), "{mutant:?}");
    }
}

#[test]
fn without_closings_only_unacknowledged_snapshots_suffer() {
    let promises = [Promise::AcknowledgedIsComplete, Promise::AcknowledgedIsNotVoid];
    for mutant in [Mutant::NoClosing, Mutant::ClosesLast, Mutant::TidiesBeforeClosing] {
        assert_eq!(explore(&mutated(mutant, 1, 2), &promises).1, None, "{mutant:?}");
    }
}

/// So these orders are the price of deleting condemnations.
#[test]
fn while_condemnations_are_kept_the_index_may_be_older_than_their_listing() {
    for mutant in [Mutant::IndexBeforeCondemnations, Mutant::PresenceUnchecked, Mutant::SkipsDespiteAbsence] {
        for (writers, pruners) in [(2, 1), (1, 2)] {
            let setup = Setup { releases: false, ..mutated(mutant, writers, pruners) };
            assert_eq!(explore(&setup, &PROMISES).1, None, "{mutant:?}");
        }
    }
}

#[cfg(feature = "slow")]
mod slow {
    use super::{Choice, Merging, REDUNDANT, REPACKED, Setup, holds};

    #[test]
    fn nothing_is_lost_with_three_writers_whatever_is_condemned() {
        holds(&Setup::new(3, 2, 1, Choice::Anything));
    }

    #[test]
    fn nothing_is_lost_with_three_writers_and_different_copies() {
        holds(&Setup::new(3, 2, 2, REDUNDANT));
    }

    #[test]
    fn nothing_is_lost_when_pruners_repack_and_go_on_from_records() {
        holds(&Setup { takes_over: true, ..Setup::new(2, 2, 2, REPACKED) });
    }

    #[test]
    fn nothing_is_lost_with_two_writers_when_only_equal_states_are_merged() {
        holds(&Setup { merging: Merging::Alike, ..Setup::new(2, 2, 1, Choice::Anything) });
    }
}
