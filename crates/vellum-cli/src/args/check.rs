//! `check` and `repair`: what looks for damage and mends it.

use super::parse_head;
use crate::units::parse_size;
use clap::{Args, Subcommand};
use vellum::{HeadCode, ReadData};

/// `vellum check`
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Read and verify every byte
    #[arg(long)]
    pub(crate) read_data: bool,
    /// Read and verify a share such as 5% or 20G, of what was verified longest ago; or the n-th of m parts as n/m
    #[arg(long, value_name = "PCT|SIZE|n/m", value_parser = parse_sample, conflicts_with = "read_data")]
    pub(crate) sample: Option<ReadData>,
    /// Restore N files, chosen at random, into a temporary folder and compare them, also with unchanged sources
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    pub(crate) restore_test: usize,
    /// Refuse a repository whose history does not reach to this head code, as a backup printed it
    #[arg(long, value_name = "CODE", value_parser = parse_head)]
    pub(crate) head: Option<HeadCode>,
    /// Take what is wrong with history for how things are; this machine does not tell it again
    #[arg(long, conflicts_with = "no_cache")]
    pub(crate) accept_history: bool,
}

/// `vellum repair`
#[derive(Debug, Subcommand)]
pub(crate) enum RepairVerb {
    /// Second copies of small objects, and catalogs of packs that none lists
    Index,
    /// Packs, by their parity; reads every pack
    Packs,
    /// Make a new snapshot of what is left of each that has lost something; reads every pack
    Snapshots,
}

/// `5%` or `5`, `20G`, or `1/4`.
fn parse_sample(text: &str) -> Result<ReadData, String> {
    let wrong = || "it must be a share such as 5%, a size such as 20G, or a part such as 1/4".to_owned();
    if let Some((part, parts)) = text.split_once('/') {
        let (part, parts): (u32, u32) = (part.parse().map_err(|_| wrong())?, parts.parse().map_err(|_| wrong())?);
        return match (1..=parts).contains(&part) {
            true => Ok(ReadData::Part(part, parts)),
            false => Err("n in n/m goes from 1 to m".to_owned()),
        };
    }
    if text.ends_with(|last: char| last.is_ascii_alphabetic()) {
        return match parse_size(text).map_err(|_| wrong())? {
            0 => Err("a size is more than 0".to_owned()),
            bytes => Ok(ReadData::Bytes(bytes)),
        };
    }
    let percent: f64 = text.strip_suffix('%').unwrap_or(text).parse().map_err(|_| wrong())?;
    match percent > 0.0 && percent <= 100.0 {
        true => Ok(ReadData::Percent(percent)),
        false => Err("a share is more than 0% and at most 100%".to_owned()),
    }
}
