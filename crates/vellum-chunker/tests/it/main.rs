//! Tests of the chunking functions through the crate's public face.
#![cfg(test)]

mod common;
mod gear;
mod golden;
mod reference;
mod searches;
mod statistics;
mod stream;
