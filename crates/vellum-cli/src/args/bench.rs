//! `bench`: what this machine can do.

use clap::{Args, ValueEnum};
use vellum::bench::Part;

/// `vellum bench`
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// What to measure; default: all, the storage only if a folder is named with -r, which need not be a repository
    #[arg(value_enum, value_name = "PART")]
    pub(crate) parts: Vec<PartChoice>,
    /// Tiny amounts, in a moment: rough figures
    #[arg(long)]
    pub(crate) quick: bool,
}

/// The parts of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PartChoice {
    /// Reading memory
    Memory,
    /// Finding where to cut, by each chunker
    Chunker,
    /// Naming chunks, by keyed BLAKE3
    Hash,
    /// zstd levels 1, 3 and 6 on text
    Compress,
    /// Encrypting and authenticating
    Seal,
    /// Making packs outlast bad sectors
    Parity,
    /// A whole backup in memory, on all cores or --threads
    Backup,
    /// Writing and syncing packs where -r says; they are removed again
    Storage,
}

impl PartChoice {
    /// As the engine names it.
    pub(crate) fn part(self) -> Part {
        match self {
            Self::Memory => Part::Memory,
            Self::Chunker => Part::Chunker,
            Self::Hash => Part::Hash,
            Self::Compress => Part::Compress,
            Self::Seal => Part::Seal,
            Self::Parity => Part::Parity,
            Self::Backup => Part::Backup,
            Self::Storage => Part::Storage,
        }
    }
}
