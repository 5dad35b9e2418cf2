//! Tests of the chunking functions through the crate's public face.
#![cfg(test)]

mod common;
mod gear;
mod golden;
mod phte128;
mod statistics;
mod stream;
