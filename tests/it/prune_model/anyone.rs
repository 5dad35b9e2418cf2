//! What may happen at any time: snapshots are forgotten, writers are fenced, and what is over is tidied away.

use super::explore::{Move, Who};
use super::state::{CONDEMNED, INDEXED, PRUNERS_MAX, STORED, State};
use super::{Mutant, Setup};

pub(super) fn moves(state: &State, setup: &Setup, out: &mut Vec<Move>) {
    let mut go = |words, change: &dyn Fn(&mut State)| {
        let mut next = *state;
        change(&mut next);
        out.push(Move { who: Who::Anyone, words, next });
    };
    for known in (0..1 << PRUNERS_MAX).filter(|known| state.finished >> known & 1 == 1) {
        go("forgets the oldest snapshot", &|next| next.finished &= !(1 << known));
    }
    for (number, writer) in state.writers.iter().enumerate() {
        if writer.is_visible {
            go("forgets a writer's snapshot", &|next| {
                next.writers[number].is_visible = false;
                next.writers[number].known = 0;
            });
        }
        if writer.has_intent && !writer.is_fenced {
            go("fences a writer", &|next| next.writers[number].is_fenced = true);
        }
        // A void verdict is enough: whatever this writer publishes still, nobody has to outlast it.
        let is_closed = writer.is_void || setup.mutant == Some(Mutant::TidiesBeforeClosing);
        if writer.has_intent && writer.is_fenced && is_closed {
            go("deletes the intent of a fenced writer", &|next| next.writers[number].has_intent = false);
        }
    }
    for slot in (0..state.packs.len()).filter(|_| setup.releases) {
        let pack = state.packs[slot];
        let is_over = match setup.mutant {
            Some(Mutant::ReleasesEarly) => pack.lacks(INDEXED),
            _ => pack.lacks(STORED),
        };
        if pack.has(CONDEMNED) && is_over {
            go("deletes a condemnation", &|next| next.packs[slot].clear(CONDEMNED));
        }
    }
}
