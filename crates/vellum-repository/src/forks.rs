//! Finding that history went two ways: writers that each built on what the other did not see (I15).
//!
//! Whoever writes a record has listed the records before, and names them, directly or through others. On a storage
//! whose listings show what was stored before, one writer's knowledge therefore contains the other's, whatever ran at
//! the same time: if `x` knows `a` and not `b`, `a` was there before `b`; if `y` knows `b` and not `a`, it was after.
//! Both together mean that the two were shown different histories. No clock and no device takes part in this.

use crate::history::Record;
use std::collections::{BTreeMap, BTreeSet};
use vellum_format::{ObjectId, ObjectKind, ObjectName};

/// The newest records, among which forks are looked for.
const RECORDS_MAX: usize = 1024;

/// What one record's writer had seen, as far as it can still be told.
struct Knowledge {
    /// Bits of the records that it names, directly or through others.
    known: Vec<u64>,
    /// Up to this sequence nothing can be said about what is not among them: it led through records that are gone.
    hidden: u64,
}

/// Pairs of records of which neither's followers knew the other, the earliest of each two ways.
pub(crate) fn forks<'a>(records: impl Iterator<Item = Record<'a>>) -> BTreeSet<(ObjectName, ObjectName)> {
    let mut records: Vec<Record<'_>> = records.collect();
    records.sort_by_key(|record| (record.sequence, record.name.id));
    let (older, newest) = records.split_at(records.len().saturating_sub(RECORDS_MAX));
    let older: BTreeSet<ObjectId> = older.iter().map(|record| record.name.id).collect();
    let places: BTreeMap<ObjectId, usize> = newest.iter().enumerate().map(|(at, one)| (one.name.id, at)).collect();
    let mut all: Vec<Knowledge> = Vec::with_capacity(newest.len());
    for record in newest {
        let knowledge = knowledge(record, newest, &places, &older, &all);
        all.push(knowledge);
    }
    // Listings of one kind are one after the other; between two kinds there is a gap.
    let masks = [ObjectKind::Snapshot, ObjectKind::Tombstone].map(|kind| {
        let of_kind = newest.iter().enumerate().filter(|(_, record)| record.name.kind == kind);
        let mut mask = empty(newest.len());
        of_kind.for_each(|(at, _)| set(&mut mask, at));
        mask
    });
    let mut forks = BTreeSet::new();
    for (at, x) in all.iter().enumerate() {
        for y in all[at + 1..].iter().filter(|y| !has(&y.known, at)) {
            for mask in &masks {
                let only = |x: &Knowledge, y: &Knowledge| first_unknown(x, y, mask, newest);
                forks.extend(only(x, y).zip(only(y, x)));
            }
        }
    }
    forks.into_iter().map(|(a, b)| (newest[a.min(b)].name, newest[a.max(b)].name)).collect()
}

fn knowledge(
    record: &Record<'_>,
    newest: &[Record<'_>],
    places: &BTreeMap<ObjectId, usize>,
    older: &BTreeSet<ObjectId>,
    before: &[Knowledge],
) -> Knowledge {
    let mut own = Knowledge { known: empty(newest.len()), hidden: 0 };
    for id in record.named() {
        match places.get(&id) {
            Some(&at) if at < before.len() && newest[at].sequence < record.sequence => {
                own.known.iter_mut().zip(&before[at].known).for_each(|(own, named)| *own |= named);
                set(&mut own.known, at);
                own.hidden = own.hidden.max(before[at].hidden);
            }
            // Against the order that every writer keeps: nothing is concluded from such a record.
            Some(_) => own.hidden = u64::MAX,
            // Older than all that are looked at, so it knew none of them.
            None if older.contains(&id) => {}
            None => own.hidden = own.hidden.max(record.sequence.saturating_sub(2)),
        }
    }
    own
}

/// The first record of a kind that `x` surely knows and `y` surely does not.
fn first_unknown(x: &Knowledge, y: &Knowledge, mask: &[u64], newest: &[Record<'_>]) -> Option<usize> {
    let words = x.known.iter().zip(&y.known).zip(mask);
    let candidates = words.enumerate().flat_map(|(word, ((x, y), mask))| {
        let bits = x & !y & mask;
        (0..64).filter(move |bit| bits >> bit & 1 == 1).map(move |bit| word * 64 + bit)
    });
    { candidates }.find(|at| newest[*at].sequence > y.hidden)
}

fn empty(len: usize) -> Vec<u64> {
    vec![0; len.div_ceil(64)]
}

fn set(bits: &mut [u64], at: usize) {
    bits[at / 64] |= 1 << (at % 64);
}

fn has(bits: &[u64], at: usize) -> bool {
    bits[at / 64] >> (at % 64) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum_format::DeviceId;

    /// Records by name, with the names that each names; sequences as a writer gives them.
    struct Graph(Vec<(ObjectName, u64, Vec<ObjectId>)>);

    fn id(name: &str) -> ObjectId {
        ObjectId::of(name.as_bytes())
    }

    impl Graph {
        /// `a: b c` is a record `a` that names `b` and `c`; a name that begins with `t` is a tombstone's.
        fn of(text: &str) -> Self {
            let mut graph = Self(Vec::new());
            for line in text.split(';') {
                let (name, named) = line.trim().split_once(':').unwrap();
                let kind = if name.starts_with('t') { ObjectKind::Tombstone } else { ObjectKind::Snapshot };
                let named: Vec<ObjectId> = named.split_whitespace().map(id).collect();
                let of = |id: &ObjectId| graph.0.iter().find(|(name, ..)| name.id == *id).map_or(0, |(_, one, _)| *one);
                let sequence = named.iter().map(of).max().unwrap_or(0) + 1;
                graph.0.push((ObjectName::new(kind, id(name)), sequence, named));
            }
            graph
        }

        fn forks(&self, gone: &[&str]) -> Vec<(ObjectId, ObjectId)> {
            let gone: Vec<ObjectId> = gone.iter().map(|name| id(name)).collect();
            let there = self.0.iter().filter(|(name, ..)| !gone.contains(&name.id));
            let records = there.map(|(name, sequence, seen)| Record {
                name: *name,
                device: DeviceId::from_bytes([1; 16]),
                sequence: *sequence,
                previous: None,
                seen,
            });
            forks(records).into_iter().map(|(a, b)| (a.id, b.id)).collect()
        }
    }

    fn is_pair(found: &[(ObjectId, ObjectId)], a: &str, b: &str) -> bool {
        matches!(found, [(x, y)] if [(id(a), id(b)), (id(b), id(a))].contains(&(*x, *y)))
    }

    #[test]
    fn writers_at_once_are_no_fork_however_many() {
        // Each knows a prefix of what was stored, and the next one joins them.
        let graph = Graph::of("a:; b: a; c: a; d: a; e: b c; f: b c d; g: e f; h: e f; i: h g");
        assert_eq!(graph.forks(&[]), []);
    }

    #[test]
    fn two_ways_of_which_neither_knew_the_other_are_a_fork() {
        let graph = Graph::of("a:; b: a; c: a; b2: b; c2: c");
        assert!(is_pair(&graph.forks(&[]), "b", "c"));
        let joined = Graph::of("a:; b: a; c: a; b2: b; b3: b2; c2: c; d: b3 c2; e: d");
        assert!(is_pair(&joined.forks(&[]), "b", "c"), "a fork that was joined is still told");
    }

    #[test]
    fn what_led_through_removed_records_is_not_held_against_anybody() {
        // c2 knew b through r, which is gone.
        let graph = Graph::of("a:; b: a; c: a; r: b c; b2: b; c2: c r");
        assert_eq!(graph.forks(&["r"]), []);
        // What the removal left is two ways all the same, if both went on after it.
        let graph = Graph::of("a:; r: a; t: a r; b: t; c: t; b2: b; c2: c");
        assert!(is_pair(&graph.forks(&["r"]), "b", "c"));
    }

    #[test]
    fn snapshots_and_tombstones_are_listed_one_after_the_other() {
        // x listed snapshots before s came and tombstones after t came; y the other way round.
        let graph = Graph::of("a:; s: a; t: a; x: a t; y: a s; z: x y");
        assert_eq!(graph.forks(&[]), []);
    }

    #[test]
    fn a_record_that_breaks_the_order_of_sequences_proves_nothing() {
        let mut graph = Graph::of("a:; b: a; c: a; b2: b; c2: c");
        graph.0[4].1 = 1;
        assert_eq!(graph.forks(&[]), []);
        // Of two with one sequence neither can have named the other.
        let name = (0..).map(|number| format!("c{number}")).find(|name| id(name) > id("c")).unwrap();
        let mut graph = Graph::of(&format!("a:; b: a; c: a; b2: b; {name}: c"));
        graph.0[4].1 = graph.0[2].1;
        assert_eq!(graph.forks(&[]), []);
    }

    #[test]
    fn two_ways_from_the_very_first_records_are_a_fork_however_long_they_are() {
        assert!(is_pair(&Graph::of("b:; c:; b2: b; c2: c").forks(&[]), "b", "c"));
        let before: String = (1..100).map(|number| format!("; a{number}: a{}", number - 1)).collect();
        let graph = Graph::of(&format!("a0:{before}; b: a99; c: a99; b2: b; c2: c"));
        assert!(is_pair(&graph.forks(&[]), "b", "c"));
    }

    /// What was written before all that is looked at hides nothing of it.
    #[test]
    fn a_fork_is_told_as_long_as_it_is_among_the_newest_records() {
        let after =
            |count: usize| -> String { (1..=count).map(|number| format!("; d{number}: d{}", number - 1)).collect() };
        // z, which alone knows c, names a as well; its sequence is beyond those of the others, as if it had seen more.
        let graph = |count| {
            let mut graph = Graph::of(&format!("a:; b: a; c: a; b2: b; z: c a; d0: z{}", after(count)));
            graph.0[4..].iter_mut().for_each(|(_, sequence, _)| *sequence += 5);
            graph
        };
        // All but a are looked at; then all but a, b and c.
        assert!(is_pair(&graph(RECORDS_MAX - 5).forks(&[]), "b", "c"));
        assert_eq!(graph(RECORDS_MAX - 3).forks(&[]), []);
    }
}
