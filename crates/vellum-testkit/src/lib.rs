//! Doubles, an oracle and source trees for the tests of every other crate; never part of a product.
//!
//! [`SimDisk`] puts the real local storage on a disk that can lose power. [`FaultyStorage`] makes any storage fail at
//! a chosen call, [`RecordingStorage`] counts its calls, [`Oracle`] remembers what was acknowledged, [`trees`] builds
//! and compares folders with everything that a file system can hold, and [`entries`] are those that no backup makes.
//! All randomness comes from seeds: one seed is one run.

#![forbid(unsafe_code)]

mod bad_sectors;
pub mod entries;
mod faulty_storage;
mod operation;
mod oracle;
mod random;
mod recording_storage;
mod sim_disk;
pub mod trees;

pub use bad_sectors::BadSectors;
pub use faulty_storage::{Fault, FaultKind, FaultMoment, FaultyStorage};
pub use operation::Operation;
pub use oracle::Oracle;
pub use random::Random;
pub use recording_storage::{Call, RecordingStorage};
pub use sim_disk::{CrashStates, DiskFault, DiskFaultEffect, DiskOperation, SimDisk};

/// Locks a mutex whose guarded value is valid between any two statements, so that a panic elsewhere does not matter.
pub fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
