//! What each process may do next.

use super::state::{Condemnation, Hand, Process, Set, State, Step, bit};
use super::{Mutant, Setup};

/// One step of one process.
pub(super) struct Move {
    pub(super) process: usize,
    pub(super) words: &'static str,
    pub(super) next: State,
}

pub(super) fn moves(state: &State, setup: &Setup, out: &mut Vec<Move>) {
    for process in 0..setup.writers + setup.pruners {
        let mut mover = Mover { state, setup, me: process, out };
        mover.any_process();
        if process >= setup.writers {
            mover.pruner();
        }
    }
}

struct Mover<'a> {
    state: &'a State,
    setup: &'a Setup,
    me: usize,
    out: &'a mut Vec<Move>,
}

impl Mover<'_> {
    fn go(&mut self, words: &'static str, change: impl FnOnce(&mut State)) {
        let mut next = *self.state;
        change(&mut next);
        self.out.push(Move { process: self.me, words, next });
    }

    fn go_to(&mut self, step: Step, words: &'static str, change: impl FnOnce(&mut State)) {
        let me = self.me;
        self.go(words, |next| {
            next.processes[me].step = step;
            change(next);
        });
    }

    fn hold(&mut self, hand: Hand, words: &'static str, change: impl FnOnce(&mut State)) {
        let me = self.me;
        self.go(words, |next| {
            next.processes[me].hand = hand;
            change(next);
        });
    }

    fn process(&self) -> Process {
        self.state.processes[self.me]
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.setup.mutant == Some(mutant)
    }

    /// The catalogs of which a copy is there, by their numbers.
    fn catalogs(&self) -> Vec<u8> {
        (0u8..).zip(&self.state.catalogs).filter(|(_, one)| one.is_there()).map(|(number, _)| number).collect()
    }

    /// Beginning, ending, being killed, and what a session of either kind does with catalogs.
    fn any_process(&mut self) {
        let me = self.me;
        let Process { step, hand, has_intent, owes_look, .. } = self.process();
        let is_late = self.is(Mutant::RestoresBeforeIntent);
        if step == Step::Idle {
            let words = if is_late { "begins without an intent" } else { "puts its intent" };
            self.go_to(Step::Begun, words, |next| next.processes[me].has_intent = !is_late);
            return;
        }
        // Who was given up may mislead when he is killed just then.
        if has_intent || !owes_look {
            self.go("ends or is killed, and its intent is gone", |next| next.end(me));
        }
        if self.setup.gives_up && has_intent {
            self.go("is given up: its intent is deleted", |next| next.delete_intent(me));
        }
        if is_late && step == Step::Begun && hand == Hand::Empty && !has_intent {
            self.go("puts its intent", |next| next.processes[me].has_intent = true);
        }
        if hand == Hand::Empty && owes_look {
            self.look();
        }
        if hand != Hand::Empty {
            self.go_on_with(hand);
        } else if matches!(step, Step::Begun | Step::Unaware | Step::Aware) {
            for number in self.catalogs() {
                self.hold(Hand::Restores(number), "reads a catalog to put back its copies", |_| {});
            }
            if self.state.is_stored && step != Step::Aware {
                self.hold(Hand::Adopts, "reads the pack to list it", |_| {});
            }
        }
    }

    fn go_on_with(&mut self, hand: Hand) {
        let from = self.out.len();
        self.put_or_delete(hand);
        if !(matches!(hand, Hand::Deletes(_)) && self.is(Mutant::LooksOnlyAfterPuts)) {
            self.owe_look(from);
        }
    }

    /// These steps put or delete a copy of a catalog.
    fn owe_look(&mut self, from: usize) {
        let owes_look = self.setup.gives_up && !self.is(Mutant::NeverLooks);
        self.out[from..].iter_mut().for_each(|step| step.next.processes[step.process].owes_look |= owes_look);
    }

    fn put_or_delete(&mut self, hand: Hand) {
        let (me, at) = (self.me, usize::from);
        let free = self.state.free_catalog(self.setup.catalogs);
        match (hand, free) {
            (Hand::Restores(one), _) => self.hold(Hand::RestoresFirst(one), "puts back the second copy", |next| {
                next.catalogs[at(one)].copy = true;
            }),
            (Hand::RestoresFirst(one), _) => self.hold(Hand::Empty, "puts back the first copy", |next| {
                next.catalogs[at(one)].first = true;
            }),
            (Hand::Adopts, Some(one)) => self.hold(Hand::Puts(one), "puts the second copy of a catalog", |next| {
                next.catalogs[at(one)].copy = true;
            }),
            (Hand::Puts(one), _) => self.hold(Hand::Empty, "puts the first copy of its catalog", |next| {
                next.catalogs[at(one)].first = true;
            }),
            (Hand::Rewrites(old), Some(new)) => {
                self.hold(Hand::RewritesFirst(old, new), "G7: puts the second copy of another catalog", |next| {
                    next.catalogs[at(new)].copy = true;
                });
            }
            (Hand::RewritesFirst(old, new), _) => {
                self.hold(Hand::Replaces(old), "G7: puts its first copy", |next| next.catalogs[at(new)].first = true);
            }
            (Hand::Replaces(old), _) => self.delete_first(old),
            (Hand::Deletes(one), _) => self.hold(Hand::Empty, "G7: deletes the second copy", |next| {
                let catalog = &mut next.catalogs[at(one)];
                catalog.copy = false;
                catalog.copy_ahead = 0;
                catalog.dropped &= !bit(me);
            }),
            (Hand::Adopts | Hand::Rewrites(_), None) | (Hand::Empty, _) => {}
        }
    }

    /// Whoever finds that he was given up condemns what is gone, and ends.
    fn look(&mut self) {
        let me = self.me;
        if self.process().has_intent {
            self.go("finds its intent", |next| next.processes[me].owes_look = false);
        } else if self.state.is_stored {
            self.go("was given up; the pack is there; ends", |next| next.end(me));
        } else {
            let from = self.out.len();
            self.condemn_to(Step::Idle, 0, "was given up; condemns the pack, which is gone; ends");
            self.out[from..].iter_mut().for_each(|step| step.next.end(me));
        }
    }

    fn delete_first(&mut self, number: u8) {
        self.hold(Hand::Deletes(number), "G7: deletes the first copy of a catalog", |next| {
            next.catalogs[usize::from(number)].first = false;
            next.catalogs[usize::from(number)].first_ahead = 0;
        });
    }

    /// G3 to G8, of a pruner that has nothing in hand.
    fn pruner(&mut self) {
        let me = self.me;
        let Process { step, hand, .. } = self.process();
        if hand != Hand::Empty {
            return;
        }
        match step {
            Step::Idle => {}
            Step::Begun | Step::Condemned => self.condemn(step),
            Step::Unaware => {
                for number in self.catalogs() {
                    self.hold(Hand::Rewrites(number), "G7: reads a catalog that lists another condemned pack", |_| {});
                }
            }
            Step::Aware => self.go_to(Step::Loaded, "G6: loads the index", |next| {
                next.catalogs.iter_mut().filter(|one| one.is_there()).for_each(|one| one.dropped |= bit(me));
            }),
            Step::Loaded => match self.state.is_stored {
                true => self.go_to(Step::Drops, "G7: lists the packs", |_| {}),
                false => self.go_to(Step::SeesGone, "G7: lists the packs, and this one is gone", |_| {}),
            },
            Step::SeesGone | Step::Drops | Step::DropsGone => self.drop_pack(step),
            _ => self.retire(step),
        }
    }

    fn condemn(&mut self, step: Step) {
        let me = self.me;
        if step == Step::Begun && self.state.is_stored {
            self.condemn_to(Step::Condemned, 0, "G3: puts a condemnation");
        }
        let to = if self.state.is_condemned() { Step::Aware } else { Step::Unaware };
        self.go_to(to, "G3b: lists condemnations", |next| know_all(next, me));
    }

    /// Puts a condemnation, if the bounds allow one more.
    fn condemn_to(&mut self, step: Step, known: Set, words: &'static str) {
        let mut next = *self.state;
        if next.condemn(known) {
            next.processes[self.me].step = step;
            self.out.push(Move { process: self.me, words, next });
        }
    }

    /// Catalogs with the pack go, then the pack.
    fn drop_pack(&mut self, step: Step) {
        let me = self.me;
        let dropped: Vec<u8> =
            (0u8..).zip(&self.state.catalogs).filter(|(_, one)| one.dropped & bit(me) != 0).map(|(at, _)| at).collect();
        match step {
            _ if dropped.is_empty() && self.process().owes_look => {}
            _ if dropped.is_empty() => self.go_to(Step::Deleted, "G7: deletes the pack", |next| next.is_stored = false),
            Step::SeesGone if self.is(Mutant::DropsGoneUncondemned) => {
                self.go_to(Step::DropsGone, "G7: does not condemn again what is gone", |_| {});
            }
            Step::SeesGone => self.condemn_to(Step::DropsGone, bit(me), "G7: condemns again what is gone"),
            _ => {
                let from = self.out.len();
                dropped.into_iter().for_each(|number| self.delete_first(number));
                if !self.is(Mutant::LooksOnlyAfterPuts) {
                    self.owe_look(from);
                }
            }
        }
    }

    /// G8: what is condemned and gone is over.
    fn retire(&mut self, step: Step) {
        let me = self.me;
        let catalogs = &self.state.catalogs;
        let first_ahead = catalogs.iter().any(|one| one.first_ahead & bit(me) != 0);
        let copy_ahead = catalogs.iter().any(|one| one.copy_ahead & bit(me) != 0);
        match step {
            Step::Deleted if self.is(Mutant::RetiresBesideOthers) => {
                self.go_to(Step::Alone, "G8: looks for nobody", |_| {});
            }
            Step::Deleted if self.is(Mutant::CatalogsBeforeIntents) => self.list_first(),
            Step::Deleted => self.list_intents(Step::ListsIntents),
            Step::ListsIntents | Step::ListsIntentsAgain => self.look_for_others(step),
            Step::Alone if self.is(Mutant::RetiresUnlisted) => self.retire_known(),
            Step::Alone => self.list_first(),
            // Whoever finds a catalog ends.
            Step::ListsFirst if !first_ahead => {
                self.go_to(Step::ListsCopies, "G8: finds no first copy; begins to list second ones", |next| {
                    next.catalogs.iter_mut().filter(|one| one.copy).for_each(|one| one.copy_ahead |= bit(me));
                });
            }
            Step::ListsCopies if !copy_ahead => match self.is(Mutant::CatalogsBeforeIntents) {
                true => self.list_intents(Step::ListsIntents),
                false => self.retire_known(),
            },
            Step::Removes => self.remove(),
            _ => {}
        }
    }

    fn list_first(&mut self) {
        let me = self.me;
        self.go_to(Step::ListsFirst, "G8: begins to list first copies of catalogs", |next| {
            next.catalogs.iter_mut().filter(|one| one.first).for_each(|one| one.first_ahead |= bit(me));
        });
    }

    fn list_intents(&mut self, step: Step) {
        let me = self.me;
        self.go_to(step, "G8: begins to list intents", |next| {
            let others = next.processes.iter_mut().enumerate().filter(|(other, one)| *other != me && one.has_intent);
            others.for_each(|(_, one)| one.ahead |= bit(me));
        });
    }

    fn look_for_others(&mut self, step: Step) {
        let me = self.me;
        let is_alone = !self.state.processes.iter().any(|one| one.ahead & bit(me) != 0);
        let is_last = step == Step::ListsIntentsAgain || self.is(Mutant::IntentsListedOnce);
        match is_alone {
            true if !is_last => self.list_intents(Step::ListsIntentsAgain),
            true if self.is(Mutant::CatalogsBeforeIntents) => self.retire_known(),
            true => self.go_to(Step::Alone, "G8: finds no other intent", |_| {}),
            false if self.state.knows_condemnation(me) => {
                let from = self.out.len();
                self.condemn_to(Step::Removes, 0, "G8: finds others, and makes one condemnation of many");
                self.out[from..].iter_mut().for_each(|step| step.next.stop_listing(me));
            }
            false => {}
        }
    }

    fn retire_known(&mut self) {
        let me = self.me;
        let learns = self.is(Mutant::RetiresUnknown);
        self.go_to(Step::Removes, "G8: finds nobody and nothing", |next| {
            if learns {
                know_all(next, me);
            }
        });
    }

    fn remove(&mut self) {
        for number in 0..self.state.condemnations.len() {
            if self.state.condemnations[number].known & bit(self.me) != 0 {
                self.go("G8: removes a condemnation", |next| {
                    next.condemnations[number] = Condemnation::default();
                });
            }
        }
    }
}

fn know_all(next: &mut State, pruner: usize) {
    let known: Set = bit(pruner);
    next.condemnations.iter_mut().filter(|one| one.stands).for_each(|one| one.known |= known);
}
