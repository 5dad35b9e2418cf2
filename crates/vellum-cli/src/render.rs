//! How results look: text for people, JSON for programs, progress on a terminal.

pub(crate) mod bench;
pub(crate) mod forget;
pub(crate) mod human;
pub(crate) mod json;
pub(crate) mod progress;
pub(crate) mod trial;
