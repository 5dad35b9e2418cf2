//! Every state that can be reached, breadth first.

use std::hash::{Hash, Hasher};

/// Visits states until `expand` finds nothing new or says that it is enough: by the last of the states that are
/// returned then.
pub(super) fn visit<S: Copy + Eq + Hash>(first: S, mut expand: impl FnMut(&S, &mut Vec<S>) -> bool) -> Visited<S> {
    let mut seen = Visited { states: Vec::new(), parents: Vec::new(), table: Vec::new() };
    seen.insert(first, 0);
    let mut next = Vec::new();
    let mut at = 0;
    while at < seen.states.len() {
        let state = seen.states[at];
        if !expand(&state, &mut next) {
            seen.states.truncate(at + 1);
            return seen;
        }
        next.drain(..).for_each(|state| seen.insert(state, at));
        at += 1;
    }
    seen
}

/// States in the order in which they were found, each with the one that it was found from.
pub(super) struct Visited<S> {
    pub(super) states: Vec<S>,
    parents: Vec<u32>,
    /// Numbers of states plus one, by hash, with linear probing; 0 is free.
    table: Vec<u32>,
}

impl<S: Copy + Eq + Hash> Visited<S> {
    fn insert(&mut self, state: S, parent: usize) {
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
    fn find(&self, state: &S) -> Result<usize, usize> {
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
    pub(super) fn way_to_last(&self) -> Vec<S> {
        let parent = |at: &usize| (*at != 0).then(|| self.parents[*at] as usize);
        let numbers = std::iter::successors(Some(self.states.len() - 1), parent);
        let mut way: Vec<S> = numbers.map(|number| self.states[number]).collect();
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
