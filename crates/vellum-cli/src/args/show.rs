//! `snapshots`, `ls`, `stats` and `cat`: what only shows what is there.

use super::{FilterArgs, snapshot_path, snapshot_reference};
use crate::reference::{SnapshotPath, SnapshotReference};
use clap::{Args, Subcommand};

/// `vellum snapshots`
#[derive(Debug, Args)]
pub(crate) struct SnapshotsArgs {
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// Only the newest N of each host and paths
    #[arg(long, value_name = "N")]
    pub(crate) latest: Option<usize>,
}

/// `vellum ls`
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// A snapshot, or a folder in it
    #[arg(value_name = "SNAPSHOT[:PATH]", value_parser = snapshot_path())]
    pub(crate) snapshot: SnapshotPath,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// With mode, owner, size and time
    #[arg(short, long)]
    pub(crate) long: bool,
    /// With everything below
    #[arg(long)]
    pub(crate) recursive: bool,
}

/// `vellum stats`
#[derive(Debug, Args)]
pub(crate) struct StatsArgs {
    /// Snapshots to count; default: all
    #[arg(value_name = "SNAPSHOT", value_parser = snapshot_reference())]
    pub(crate) snapshots: Vec<SnapshotReference>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
}

/// `vellum cat`
#[derive(Debug, Subcommand)]
pub(crate) enum CatVerb {
    /// The repository's config
    Config,
    /// The key slots, without secrets
    Keys,
    /// A snapshot
    Snapshot {
        /// Which
        #[arg(value_name = "SNAPSHOT", value_parser = snapshot_reference())]
        snapshot: SnapshotReference,
    },
    /// The packs that a catalog lists, with their frames
    Catalog {
        /// Its id, or the beginning of it
        #[arg(value_name = "ID")]
        id: String,
    },
    /// The directory of a pack
    Pack {
        /// Its id, or the beginning of it
        #[arg(value_name = "ID")]
        id: String,
    },
    /// The entries of a folder, with the ids of their chunks
    Tree {
        /// Which
        #[arg(value_name = "SNAPSHOT[:PATH]", value_parser = snapshot_path())]
        snapshot: SnapshotPath,
    },
}
