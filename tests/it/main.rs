//! Integration tests, one binary. A module belongs here when it needs more than one crate.

mod call_budget;
mod check;
mod crash;
mod damage;
mod docs;
mod embedding;
mod fault_points;
mod faults;
mod forget;
mod golden;
mod heal;
mod history;
mod hostile;
mod invariants;
mod layering;
mod local_state;
#[cfg(feature = "memory-faults")]
mod memory_faults;
mod prune;
mod prune_model;
mod prune_races;
mod prune_writers;
mod repair;
mod restore;
mod round_trip;
mod schedules;
mod secrecy;
mod support;
