//! A writer, W1 to W7.

use super::explore::{Move, Who};
use super::state::{CONDEMNED, INDEXED, Pack, STORED, State, WriterStep, marked};
use super::{Mutant, Setup};

pub(super) fn moves(state: &State, number: usize, setup: &Setup, out: &mut Vec<Move>) {
    use WriterStep as At;
    let mut go = |to, words, change: &dyn Fn(&mut State)| {
        let mut next = *state;
        next.writers[number].step = to;
        change(&mut next);
        out.push(Move { who: Who::Writer(number), words, next });
    };
    let mark = marked(number);
    let lists = |next: &mut State| next.each_pack(|pack| pack.set_to(mark, pack.has(CONDEMNED)));
    let indexes = |next: &mut State| {
        next.index_packs(mark);
        next.each_pack(|pack| pack.clear(mark));
    };
    match state.writers[number].step {
        At::Idle => match setup.mutant {
            Some(Mutant::NoIntent) => go(At::Intended, "begins without an intent", &|_| {}),
            Some(Mutant::LateIntent) => go(At::Listed, "W2: lists condemnations, without an intent", &lists),
            _ => go(At::Intended, "W1: puts its intent", &|next| next.writers[number].has_intent = true),
        },
        At::Intended => match setup.mutant {
            Some(Mutant::CondemnationsUnlisted) => go(At::Listed, "W2: lists no condemnations", &|_| {}),
            Some(Mutant::IndexBeforeCondemnations) => go(At::Loaded, "W2: loads the index first", &|next| {
                next.each_pack(|pack| pack.set_to(mark, pack.has(STORED)));
            }),
            _ => go(At::Listed, "W2: lists condemnations", &lists),
        },
        At::Loaded => go(At::Loaded, "W2: lists condemnations last", &|next| {
            decide(next, number, |pack| pack.has(mark) && pack.lacks(CONDEMNED));
        }),
        At::Listed => go(At::Listed, "W2: loads the index", &|next| {
            next.writers[number].has_intent |= setup.mutant == Some(Mutant::LateIntent);
            let by_catalogs = setup.mutant == Some(Mutant::PresenceUnchecked);
            let is_there = |pack: &Pack| pack.has(STORED) || by_catalogs && pack.has(INDEXED);
            decide(next, number, |pack| pack.lacks(mark) && is_there(pack));
        }),
        At::Adopting => go(At::Ready, "W3: lists packs in its catalog that none listed", &indexes),
        At::Missing if setup.mutant == Some(Mutant::NamesRepeat) && state.any_pack(|pack| pack.has(STORED)) => {
            go(At::Ready, "W3: puts and indexes a pack whose name is there already", &|next| next.index_packs(STORED));
        }
        At::Missing => go(At::PackPut, "W3: puts a pack", &|next| next.put_pack(mark)),
        At::PackPut => go(At::Ready, "W3: indexes its pack", &indexes),
        At::Ready => go(At::Published, "W5: puts its snapshot", &|next| next.writers[number].is_visible = true),
        At::Published => match state.writers[number].is_fenced && setup.mutant != Some(Mutant::FenceUnchecked) {
            true => go(At::Refused, "W6: finds its fence, and fails", &|_| {}),
            false => go(At::Acknowledged, "W6: finds no fence, and acknowledges", &|_| {}),
        },
        At::Refused => go(At::Withdrawn, "deletes its intent", &|next| next.writers[number].has_intent = false),
        At::Acknowledged => go(At::Done, "W7: deletes its intent", &|next| next.writers[number].has_intent = false),
        At::Withdrawn | At::Done => {}
    }
}

/// With an indexed pack among those that count, nothing has to be done; one that no catalog lists is adopted.
fn decide(next: &mut State, number: usize, counts: impl Fn(&Pack) -> bool) {
    let mark = marked(number);
    let is_found = next.any_pack(&counts);
    next.each_pack(|pack| pack.set_to(mark, counts(pack) && pack.lacks(INDEXED)));
    next.writers[number].step = match next.any_pack(|pack| pack.has(mark)) {
        true => WriterStep::Adopting,
        false if is_found => WriterStep::Ready,
        false => WriterStep::Missing,
    };
}
