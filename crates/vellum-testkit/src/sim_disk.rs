//! A disk in memory that can lose power.
//!
//! The model is harsher than any file system in use: every file and every name in a folder has its own fate.
//! D1. Content is durable once its file was synced; of later content any 512-byte sectors may arrive, or none,
//!     under any length up to the whole.
//! D2. A name that came or went is durable once its folder was synced; before that the folder may hold, for each
//!     name apart, what was durable or anything that the name stood for since.
//! D3. A sync that failed has lost what it was to make durable: no later sync of it helps, though it says it does.

mod crash;
mod fault;
mod nodes;
mod operations;

use crate::{Random, lock};
use crash::Fate;
use nodes::Nodes;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use crash::CrashStates;
pub use fault::{DiskFault, DiskFaultEffect, DiskOperation};

/// A simulated disk; a clone is another handle to the same disk, [`SimDisk::snapshot`] is a copy.
///
/// Deterministic: the same operations and the same seed give the same disk, down to the names of temporary files.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Clone, Default)]
struct State {
    nodes: Nodes,
    clock: Duration,
    writer_count: u64,
    change_count: u64,
    crash_at: Option<u64>,
    is_crashed: bool,
    faults: Vec<(DiskFault, u64)>,
    trace: Vec<String>,
    /// The disk at each change since recording began, as if the power went during it.
    cuts: Option<Vec<State>>,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An independent copy of everything, durable or not; cheap, because contents are shared until changed.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self { state: Arc::new(Mutex::new(lock(&self.state).clone())) }
    }

    /// A new disk in the state that a power cut at this moment may leave; another seed may give another state.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        lock(&self.state).crash(&mut Fate::Random(Random::new(seed)))
    }

    /// All states that a power cut at this moment may leave: exact for names, six representative tears for contents.
    #[must_use]
    pub fn crash_states(&self) -> CrashStates {
        CrashStates::of(lock(&self.state).clone())
    }

    /// Cuts the power during the n-th change from now, counted from 1: it and everything after it fails.
    ///
    /// What that change did may have arrived or not, as [`SimDisk::crash`] then decides.
    pub fn crash_at(&self, nth_change: u64) {
        let mut state = lock(&self.state);
        state.crash_at = Some(state.change_count + nth_change);
    }

    /// Cuts the power now: everything after it fails.
    pub fn cut_power(&self) {
        lock(&self.state).is_crashed = true;
    }

    /// From now on keeps the disk of every change, as [`SimDisk::crash_at`] leaves it there: one run gives them all.
    pub fn record_cuts(&self) {
        lock(&self.state).cuts = Some(Vec::new());
    }

    /// What was recorded, in order, with the disk as it is now as the last.
    #[must_use]
    pub fn take_cuts(&self) -> Vec<Self> {
        let mut state = lock(&self.state);
        let mut cuts = state.cuts.take().unwrap_or_default();
        cuts.push(state.clone());
        cuts.into_iter().map(|state| Self { state: Arc::new(Mutex::new(state)) }).collect()
    }

    /// A hash of every name and content. Of files in folders with the name `junk` only the names count: what is in them
    /// nobody reads.
    #[must_use]
    pub fn print(&self, junk: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        lock(&self.state).nodes.print(junk, &mut hasher);
        hasher.finalize().into()
    }

    /// Whether the power was cut.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        lock(&self.state).is_crashed
    }

    /// How many operations changed this disk or made something durable, failed ones included.
    #[must_use]
    pub fn change_count(&self) -> u64 {
        lock(&self.state).change_count
    }

    /// Plans a fault; of several that meet in one operation the earliest planned decides.
    pub fn plan(&self, fault: DiskFault) {
        lock(&self.state).faults.push((fault, 0));
    }

    /// Drops all faults.
    pub fn heal(&self) {
        lock(&self.state).faults.clear();
    }

    /// Moves the disk's clock, which otherwise stands still.
    pub fn advance_clock(&self, by: Duration) {
        lock(&self.state).clock += by;
    }

    /// Every change in order, for comparing two runs of one seed.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        lock(&self.state).trace.clone()
    }

    fn apply<T: Default>(
        &self,
        operation: DiskOperation,
        what: &str,
        change: impl Fn(&mut State, Manner) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = lock(&self.state);
        if operation.is_change() && !state.is_crashed && state.cuts.is_some() {
            let mut cut = State { nodes: state.nodes.clone(), clock: state.clock, ..State::default() };
            cut.writer_count = state.writer_count;
            drop(change(&mut cut, Manner::Crashing));
            state.cuts.get_or_insert_default().push(cut);
        }
        let verdict = state.begin(operation, what)?;
        if let Verdict::Delay(time) = verdict {
            drop(state);
            std::thread::sleep(time);
            state = lock(&self.state);
        }
        match verdict {
            Verdict::Proceed | Verdict::Delay(_) => change(&mut state, Manner::Whole),
            Verdict::Lie => Ok(T::default()),
            Verdict::Fail(errno) => {
                drop(change(&mut state, Manner::Failing));
                Err(io::Error::from_raw_os_error(errno))
            }
            Verdict::Crash => {
                drop(change(&mut state, Manner::Crashing));
                Err(injected_crash())
            }
        }
    }
}

enum Verdict {
    Proceed,
    Lie,
    Fail(i32),
    Delay(Duration),
    Crash,
}

/// How far an operation gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Whole,
    /// It returns an error.
    Failing,
    /// The power goes while it is being done, so it may be done.
    Crashing,
}

fn injected_crash() -> io::Error {
    io::Error::other("injected crash")
}

impl State {
    fn begin(&mut self, operation: DiskOperation, what: &str) -> io::Result<Verdict> {
        if self.is_crashed {
            return Err(injected_crash());
        }
        if operation.is_change() {
            self.change_count += 1;
            self.trace.push(format!("{operation:?} {what}"));
            if Some(self.change_count) == self.crash_at {
                self.is_crashed = true;
                return Ok(Verdict::Crash);
            }
        }
        let mut hit = None;
        for (fault, seen_count) in &mut self.faults {
            if fault.operation.is_none_or(|only| only == operation) {
                *seen_count += 1;
                if *seen_count >= fault.first && *seen_count - fault.first < fault.count {
                    hit = hit.or(Some(fault.effect));
                }
            }
        }
        Ok(match hit {
            None => Verdict::Proceed,
            Some(DiskFaultEffect::Lie) if operation.can_lie() => Verdict::Lie,
            Some(DiskFaultEffect::Lie) => Verdict::Proceed,
            Some(DiskFaultEffect::Fail(errno)) => Verdict::Fail(errno),
            Some(DiskFaultEffect::Delay(time)) => Verdict::Delay(time),
        })
    }

    fn crash(&self, fate: &mut Fate) -> SimDisk {
        let nodes = self.nodes.crash(fate);
        let survived = Self { nodes, clock: self.clock, writer_count: self.writer_count, ..Self::default() };
        SimDisk { state: Arc::new(Mutex::new(survived)) }
    }
}

#[cfg(test)]
mod tests;
