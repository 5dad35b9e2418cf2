//! `init`, `backup` and `try`: what makes a repository and snapshots.

use crate::units::parse_size;
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use vellum::format::parity::Parity;
use vellum::format::snapshot::Timestamp;

/// `vellum try`
#[derive(Debug, Args)]
pub(crate) struct TryArgs {
    /// What to back up for a try; needs about twice its size in the temporary folder
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<OsString>,
}

/// `vellum init`
#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// How files are cut
    #[arg(long, value_enum, default_value_t = ChunkerChoice::Phte128)]
    pub(crate) chunker: ChunkerChoice,
    /// zstd level, 0 (off) to 22
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(i32).range(0..=22))]
    pub(crate) level: i32,
    /// Parity in packs against bad sectors, a sixteenth more space
    #[arg(long, value_enum, default_value_t = Switch::On)]
    pub(crate) parity: Switch,
    /// Name of the new slot, for `key list`; default: user@host
    #[arg(long)]
    pub(crate) label: Option<String>,
}

/// The chunkers of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChunkerChoice {
    /// Provable boundaries: they tell nothing about the content
    Phte128,
    /// Many times faster, keyed; for trusted targets, because boundaries may tell what is known already
    Window,
    /// FastCDC v2020 with a keyed table; for trusted targets
    Gear,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    /// On
    On,
    /// Off
    Off,
}

impl Switch {
    /// What packs carry.
    pub(crate) fn parity(self) -> Parity {
        match self {
            Self::On => Parity::ReedSolomon,
            Self::Off => Parity::None,
        }
    }
}

/// `vellum backup`
#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// Files and folders to back up; with --from-command, the command and its arguments
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<OsString>,
    /// Label for the snapshot; may be given several times
    #[arg(long, value_name = "T", value_delimiter = ',')]
    pub(crate) tag: Vec<String>,
    /// Host's name for the snapshot; default: this machine's
    #[arg(short = 'H', long, value_name = "H")]
    pub(crate) host: Option<OsString>,
    /// Time for the snapshot, RFC 3339 or local such as "2026-11-21 18:30:00"; default: now
    #[arg(long, value_name = "T", value_parser = crate::time::parse_time)]
    pub(crate) time: Option<Timestamp>,
    #[command(flatten)]
    pub(crate) excludes: ExcludeArgs,
    /// Also back up the paths that this file lists, one a line or NUL-separated; `-` is standard input
    #[arg(long, value_name = "F")]
    pub(crate) files_from: Vec<PathBuf>,
    /// Protection class of a path; only `private` in this version
    #[arg(long, value_name = "PATH=CLASS")]
    pub(crate) class: Vec<OsString>,
    /// Parity in the packs of this run; default: as `init` was told
    #[arg(long, value_enum)]
    pub(crate) parity: Option<Switch>,
    /// Only tell what would be read
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Read every file, even if it looks unchanged
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Make no snapshot when nothing differs from the last one of this host and these paths
    #[arg(long)]
    pub(crate) skip_if_unchanged: bool,
    /// Back up standard input as one file
    #[arg(long, conflicts_with_all = ["paths", "files_from", "from_command", "dry_run", "skip_if_unchanged"])]
    pub(crate) stdin: bool,
    /// Name of that file
    #[arg(long, value_name = "N", default_value = "stdin")]
    pub(crate) stdin_filename: OsString,
    /// Run the command after `--` and back up what it prints; nothing is kept if it fails
    #[arg(long, requires = "paths", conflicts_with_all = ["files_from", "dry_run", "skip_if_unchanged"])]
    pub(crate) from_command: bool,
}

/// What `backup` leaves out.
#[derive(Debug, Default, Args)]
pub(crate) struct ExcludeArgs {
    /// Leave out what matches; `!` takes back
    #[arg(short, long, value_name = "G")]
    pub(crate) exclude: Vec<String>,
    /// Leave out what matches, in either case
    #[arg(long, value_name = "G")]
    pub(crate) iexclude: Vec<String>,
    /// File of patterns, one a line, `#` begins a comment
    #[arg(long, value_name = "F")]
    pub(crate) exclude_file: Vec<PathBuf>,
    /// Leave out the content of folders that hold an entry of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) exclude_if_present: Vec<OsString>,
    /// Leave out the content of folders with a CACHEDIR.TAG
    #[arg(long)]
    pub(crate) exclude_caches: bool,
    /// Leave out files longer than this, such as 500M
    #[arg(long, value_name = "N", value_parser = parse_size)]
    pub(crate) exclude_larger_than: Option<u64>,
    /// Do not go into other file systems
    #[arg(short = 'x', long)]
    pub(crate) one_file_system: bool,
}
