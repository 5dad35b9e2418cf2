//! `restore`: what comes out of a snapshot, and where to.

use super::{FilterArgs, parse_head, snapshot_path};
use crate::reference::SnapshotPath;
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};
use vellum::HeadCode;

/// `vellum restore`
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// A snapshot, below TARGET with its full paths; with :PATH the content of that folder, directly in TARGET
    #[arg(value_name = "SNAPSHOT[:PATH]", value_parser = snapshot_path())]
    pub(crate) snapshot: SnapshotPath,
    /// Folder to restore into; made if it is not there
    #[arg(required_unless_present = "target_flag")]
    target: Option<PathBuf>,
    /// As restic spells it
    #[arg(long = "target", value_name = "TARGET", hide = true, conflicts_with = "target")]
    target_flag: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// Only what matches
    #[arg(short, long, value_name = "G")]
    pub(crate) include: Vec<String>,
    /// Not what matches
    #[arg(short, long, value_name = "G")]
    pub(crate) exclude: Vec<String>,
    /// What to do with files that are there already
    #[arg(long, value_enum, default_value_t = OverwriteChoice::Always)]
    pub(crate) overwrite: OverwriteChoice,
    /// Remove what the snapshot does not have from the folders that were backed up and those below them, also what the
    /// backup was told to leave out; --exclude keeps what it matches, --dry-run -v names what would go
    #[arg(long)]
    pub(crate) delete: bool,
    /// Read every restored file back and compare it
    #[arg(long)]
    pub(crate) verify: bool,
    /// Only tell what would be done
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Make holes where files are zero
    #[arg(long)]
    pub(crate) sparse: bool,
    /// Restore owners by number, even where the name is known
    #[arg(long)]
    pub(crate) numeric_owner: bool,
    /// Refuse a repository whose history does not reach to this head code, as a backup printed it
    #[arg(long, value_name = "CODE", value_parser = parse_head)]
    pub(crate) head: Option<HeadCode>,
}

impl RestoreArgs {
    pub(crate) fn target(&self) -> &Path {
        self.target.as_deref().or(self.target_flag.as_deref()).expect("one of them is required")
    }
}

/// What to do with entries that are in the target already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum OverwriteChoice {
    /// Replace them
    Always,
    /// Replace files whose length or time differs
    IfChanged,
    /// Replace files that are older than the snapshot's
    IfNewer,
    /// Keep them
    Never,
}
