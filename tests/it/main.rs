//! Integration tests, one binary. A module belongs here when it needs more than one crate.

mod call_budget;
mod golden;
mod round_trip;
mod support;
