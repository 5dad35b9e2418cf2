//! A pruner, G1 to G7.

use super::explore::{Move, Who};
use super::state::{
    CONDEMNED, INDEXED, PACKS_MAX, Pack, Pruner, PrunerStep as At, STORED, Set, Slots, State, doomed, kept,
};
use super::{Choice, Mutant, Setup};

pub(super) fn moves(state: &State, number: usize, setup: &Setup, out: &mut Vec<Move>) {
    let mut pruner = Mover { state, number, setup, doom: doomed(number), keep: kept(number), out };
    match state.pruners[number].step {
        At::Idle | At::Began | At::Surveyed | At::Marked => pruner.choose(),
        At::Repacking | At::RepackPut | At::Chosen => pruner.condemn(),
        At::Condemned | At::Listed | At::Waiting => pruner.outlast(),
        At::Walked | At::Rescuing | At::RescuePut => pruner.rescue(),
        At::Closing | At::Deleting => pruner.delete(),
        At::Done => {}
    }
}

struct Mover<'a> {
    state: &'a State,
    number: usize,
    setup: &'a Setup,
    doom: u16,
    keep: u16,
    out: &'a mut Vec<Move>,
}

impl Mover<'_> {
    fn go(&mut self, to: At, words: &'static str, change: impl FnOnce(&mut State)) {
        let mut next = *self.state;
        next.pruners[self.number].step = to;
        change(&mut next);
        self.out.push(Move { who: Who::Pruner(self.number), words, next });
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.setup.mutant == Some(mutant)
    }

    fn intents(&self) -> Set {
        self.state.writers_that(|writer| writer.has_intent)
    }

    fn fences(&self) -> Set {
        self.state.writers_that(|writer| writer.is_fenced)
    }

    /// G1, or at once G3 where any choice is allowed.
    fn choose(&mut self) {
        let (number, doom) = (self.number, self.doom);
        match (self.state.pruners[number].step, self.setup.choice) {
            (At::Idle, Choice::Anything) => {
                for chosen in subsets(self.state.packs_that(|pack| pack.has(STORED) && pack.lacks(CONDEMNED))) {
                    let words = if chosen == 0 { "condemns nothing" } else { "G3: puts a condemnation" };
                    self.go(At::Condemned, words, |next| {
                        for slot in slots(chosen) {
                            next.packs[slot].set(doom | CONDEMNED);
                        }
                    });
                }
                self.take_over();
            }
            (At::Idle, Choice::Redundant { .. }) => {
                self.go(At::Began, "G1: lists condemnations", |next| {
                    next.each_pack(|pack| pack.set_to(doom, pack.has(CONDEMNED)));
                });
                self.take_over();
            }
            (At::Began, _) => self.go(At::Surveyed, "G1: lists snapshots", |next| {
                next.pruners[number].needs = next.is_needed();
                next.change_known(|known| known | 1 << number);
            }),
            (At::Surveyed, _) => self.mark(),
            _ => {
                for chosen in subsets(self.state.packs_that(|pack| pack.has(STORED) && pack.lacks(doom))) {
                    self.choose_packs(chosen);
                }
            }
        }
    }

    /// G1: when a snapshot needs the chunk, one of the copies that count is marked.
    fn mark(&mut self) {
        let (doom, keep) = (self.doom, self.keep);
        let counts = match self.state.pruners[self.number].needs {
            true => self.state.packs_that(|pack| pack.has(STORED | INDEXED) && pack.lacks(doom)),
            false => 0,
        };
        for marked in slots(counts) {
            self.go(At::Marked, "G1: loads the index, and marks a copy", |next| next.packs[marked].set(keep));
        }
        if counts == 0 {
            self.go(At::Marked, "G1: loads the index, and marks nothing", |_| {});
        }
    }

    /// G1: when a snapshot needs the chunk, the copy that is marked must be left, or another be made by G2.
    fn choose_packs(&mut self, chosen: Slots) {
        let (number, doom, keep) = (self.number, self.doom, self.keep);
        let needs = self.state.pruners[number].needs;
        let marked = self.state.packs_that(|pack| pack.has(STORED | keep));
        let forgets = needs && marked == 0 && self.is(Mutant::ForgetsVanishedMarks);
        let (to, words) = match needs && marked & !chosen == 0 && chosen != 0 && !forgets {
            true if self.setup.choice == (Choice::Redundant { repacks: true }) && self.state.is_readable() => {
                (At::Repacking, "G1: chooses packs to repack")
            }
            true => return,
            false if chosen == 0 => (At::Condemned, "G1: condemns nothing"),
            false => (At::Chosen, "G1: chooses packs"),
        };
        let intents = self.intents();
        let lists_intents = self.is(Mutant::IntentsBeforeOwnCondemnation);
        self.go(to, words, |next| {
            for (slot, pack) in next.packs.iter_mut().enumerate() {
                pack.set_to(doom, chosen >> slot & 1 == 1);
                pack.set_to(keep, (marked & !chosen) >> slot & 1 == 1);
            }
            let pruner = &mut next.pruners[number];
            pruner.outlasts = if lists_intents { intents } else { 0 };
            pruner.needs &= !forgets;
        });
    }

    /// Goes on with what another one condemned, for the writers that he recorded.
    fn take_over(&mut self) {
        let (state, number, doom) = (self.state, self.number, self.doom);
        for (other, pruner) in state.pruners.iter().enumerate().filter(|_| self.setup.takes_over) {
            if (At::Waiting..At::Done).contains(&pruner.step) {
                self.go(At::Waiting, "goes on with what another one recorded", |next| {
                    next.each_pack(|pack| pack.set_to(doom, pack.has(doomed(other))));
                    next.pruners[number].outlasts = pruner.outlasts;
                });
            }
        }
    }

    /// G2 and G3.
    fn condemn(&mut self) {
        let (doom, keep) = (self.doom, self.keep);
        match self.state.pruners[self.number].step {
            At::Repacking if self.state.any_pack(|pack| pack.has(STORED | doom)) => {
                self.go(At::RepackPut, "G2: puts a copy", |next| next.put_pack(keep));
            }
            At::Repacking => {}
            At::RepackPut => self.go(At::Chosen, "G2: indexes the copy", |next| next.index_packs(keep)),
            _ => self.go(At::Condemned, "G3: puts a condemnation", |next| {
                next.packs.iter_mut().filter(|pack| pack.has(doom)).for_each(|pack| pack.set(CONDEMNED));
            }),
        }
    }

    /// G3b to G5, and the listing of snapshots that ends it.
    fn outlast(&mut self) {
        let (number, doom) = (self.number, self.doom);
        let intents = self.intents();
        let list = |next: &mut State| {
            next.packs.iter_mut().filter(|pack| pack.has(CONDEMNED)).for_each(|pack| pack.set(doom));
        };
        let list_intents = move |next: &mut State| next.pruners[number].outlasts = intents;
        match (self.state.pruners[number].step, self.setup.mutant) {
            (At::Condemned, Some(Mutant::OwnCondemnationOnly)) => {
                self.go(At::Listed, "does not list condemnations", |_| {});
            }
            (At::Condemned, Some(Mutant::IntentsBeforeCondemnations)) => {
                self.go(At::Listed, "G4: lists intents", list_intents);
            }
            (At::Condemned, _) => self.go(At::Listed, "G3b: lists condemnations", list),
            (At::Listed, Some(Mutant::IntentsBeforeCondemnations)) => {
                self.go(At::Waiting, "G3b: lists condemnations", list);
            }
            (At::Listed, Some(Mutant::IntentsBeforeOwnCondemnation)) => {
                self.go(At::Waiting, "has listed intents before", |_| {});
            }
            (At::Listed, _) => self.go(At::Waiting, "G4: lists intents", list_intents),
            _ => {
                let open = self.state.pruners[number].outlasts & intents & !self.fences();
                if open == 0 || self.is(Mutant::NoWaiting) {
                    self.list_snapshots();
                }
            }
        }
    }

    /// The end of G5 and the begin of G6 in one step: what is gone or fenced stays so.
    fn list_snapshots(&mut self) {
        let (state, number, keep) = (self.state, self.number, self.keep);
        let skips = state.knows_all_snapshots(number) || self.is(Mutant::SkipsDespiteSnapshots);
        // With no snapshot that G1 did not see, a chunk that none needed then is not looked for.
        let needs = state.is_needed() && (state.pruners[number].needs || !skips) && !self.is(Mutant::NoSecondListing);
        let keeps_record = self.setup.takes_over;
        let absent = state.writers_that(|writer| !writer.is_visible);
        let must = match self.is(Mutant::ClosesLateFences) {
            true => absent, // and at the end of G6 forgets those that are not fenced then either
            false => absent & self.fences() & state.pruners[number].outlasts,
        };
        // Others that are fenced already may get a closing as well.
        let may = must | absent & self.fences();
        for unseen in [Some(must), (may != must).then_some(may)].into_iter().flatten() {
            self.go(At::Walked, "G5: has waited; G6: lists snapshots", |next| {
                let pruner = &mut next.pruners[number];
                (pruner.needs, pruner.unseen) = (needs, unseen);
                pruner.outlasts = if keeps_record { pruner.outlasts } else { 0 };
                next.change_known(|known| known & !(1 << number));
                if !skips {
                    next.each_pack(|pack| pack.clear(keep));
                }
            });
        }
    }

    /// The rest of G6.
    fn rescue(&mut self) {
        let (state, number, doom, keep) = (self.state, self.number, self.doom, self.keep);
        let pruner = state.pruners[number];
        let late = if self.is(Mutant::ClosesLateFences) { self.fences() } else { Set::MAX };
        let end = move |next: &mut State| {
            next.pruners[number].needs = false;
            next.pruners[number].unseen &= late;
            next.each_pack(|pack| pack.clear(keep));
        };
        match pruner.step {
            At::Walked => {
                let is_left = self.finds_copy();
                if !pruner.needs || is_left {
                    self.go(At::Closing, "G6: finds nothing to copy", end);
                }
                if !pruner.needs || is_left && !self.setup.takes_over || !state.is_readable() {
                    return;
                }
                match self.is(Mutant::Uncondemns) {
                    true => self.go(At::Done, "takes the condemnations back", |next| {
                        end(next);
                        next.pruners[number].unseen = 0;
                        next.packs.iter_mut().filter(|pack| pack.has(doom)).for_each(|pack| pack.clear(CONDEMNED));
                    }),
                    false => self.go(At::Rescuing, "G6: loads the index, and finds condemned copies only", |next| {
                        next.pruners[number].needs = false;
                        next.each_pack(|pack| pack.clear(keep));
                    }),
                }
            }
            At::Rescuing if state.any_pack(|pack| pack.has(STORED | doom)) => {
                self.go(At::RescuePut, "G6: puts a copy", |next| next.put_pack(keep));
            }
            At::Rescuing => {}
            _ => self.go(At::Closing, "G6: indexes the copy", |next| {
                next.index_packs(keep);
                end(next);
            }),
        }
    }

    /// Whether a copy is left that is not condemned, by the index, or by what G1 counted on when that is enough.
    fn finds_copy(&self) -> bool {
        let (doom, keep) = (self.doom, self.keep);
        let counts = |pack: &Pack| match self.setup.mutant {
            Some(Mutant::UnlistedCounts) => pack.has(STORED) && pack.lacks(doom),
            _ => pack.has(STORED | INDEXED) && pack.lacks(doom),
        };
        let still_counts = |pack: &Pack| match self.setup.mutant {
            Some(Mutant::SkipsDespiteAbsence) => pack.has(keep) && pack.lacks(doom),
            Some(Mutant::SkipsDespiteCondemnations) => pack.has(keep | STORED),
            _ => pack.has(keep | STORED) && pack.lacks(doom),
        };
        self.state.any_pack(counts) || self.state.any_pack(still_counts)
    }

    /// G6b and G7.
    fn delete(&mut self) {
        let (state, number, doom) = (self.state, self.number, self.doom);
        let pruner = state.pruners[number];
        let closes_first = !self.is(Mutant::NoClosing) && !self.is(Mutant::ClosesLast);
        let doomed = state.packs_that(|pack| pack.has(STORED | doom));
        match pruner.step {
            At::Closing if pruner.unseen == 0 || !closes_first => {
                self.go(At::Deleting, "G7: drops condemned packs from the index", |next| {
                    next.packs.iter_mut().filter(|pack| pack.has(doom)).for_each(|pack| pack.clear(INDEXED));
                });
            }
            At::Closing => self.close(),
            _ if doomed != 0 => {
                for slot in slots(doomed) {
                    self.go(At::Deleting, "G7: deletes a pack", |next| next.packs[slot].clear(STORED));
                }
            }
            _ if self.is(Mutant::ClosesLast) && pruner.unseen != 0 => self.close(),
            _ => self.go(At::Done, "is done", |next| {
                next.pruners[number] = Pruner { step: At::Done, ..Pruner::IDLE };
                next.each_pack(|pack| pack.clear(doom));
            }),
        }
    }

    /// G6b for one writer. A closing that names its snapshot changes nothing, so it is no step.
    fn close(&mut self) {
        let number = self.number;
        let pruner = self.state.pruners[number];
        let writer = pruner.unseen.trailing_zeros() as usize;
        self.go(pruner.step, "G6b: puts a closing without a snapshot", |next| {
            next.pruners[number].unseen &= !(1 << writer);
            next.writers[writer].is_void = true;
        });
    }
}

fn slots(set: Slots) -> impl Iterator<Item = usize> {
    (0..PACKS_MAX).filter(move |slot| set >> slot & 1 == 1)
}

fn subsets(of: Slots) -> impl Iterator<Item = Slots> {
    std::iter::successors(Some(of), move |&set| set.checked_sub(1).map(|below| below & of))
}
