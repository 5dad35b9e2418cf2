//! The command line as it is typed. Parsing only validates text; nothing is opened, asked or computed here.
//!
//! Every text here and below is part of `--help`. The variables in brackets are read by `settings`.

mod backup;
mod bench;
mod check;
mod forget;
mod key;
mod restore;
mod show;

use crate::reference::{SnapshotPath, SnapshotReference};
use clap::builder::TypedValueParser;
use clap::{ArgAction, Args, Parser, Subcommand};
use std::ffi::OsString;
use std::path::PathBuf;
use vellum::HeadCode;

pub(crate) use backup::{BackupArgs, ChunkerChoice, ExcludeArgs, InitArgs, Switch, TryArgs};
pub(crate) use bench::{BenchArgs, PartChoice};
pub(crate) use check::{CheckArgs, RepairVerb};
pub(crate) use forget::{ForgetArgs, KeepArgs, PruneArgs, PruneLimits};
pub(crate) use key::{KeyVerb, NewKeyArgs, RecoveryVerb};
pub(crate) use restore::{OverwriteChoice, RestoreArgs};
pub(crate) use show::{CatVerb, LsArgs, SnapshotsArgs, StatsArgs};

/// Deduplicating, encrypted backups.
#[derive(Debug, Parser)]
#[command(name = "vellum", version, after_long_help = AFTER_HELP)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

const AFTER_HELP: &str = "\
Variables: each flag with a variable in brackets takes it when the flag is not given. VELLUM_PASSWORD holds the
password itself; without any password a terminal is asked. A recovery key may stand wherever a password is asked.
NO_COLOR turns colours off; XDG_CACHE_HOME moves the default cache folder.

Snapshots are named by `latest`, `latest~2`, a full or short id, or a date such as 2026-11-21 or \"2026-11-21 18:30\".

Exit codes: 0 complete; 1 failed, nothing acknowledged; 2 usage; 3 snapshot made, but some source data could not be
read; 4 damage found or restore incomplete; 5 storage unreachable; 10 no repository; 12 wrong password or key;
130 interrupted.";

/// Flags that stand before or after any verb.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Global flags")]
pub(crate) struct GlobalArgs {
    /// Where the repository lies, as a path [VELLUM_REPOSITORY]
    #[arg(short, long, global = true, value_name = "URL", alias = "repo")]
    pub(crate) repository: Option<OsString>,
    /// File whose first line is the password [VELLUM_PASSWORD_FILE]
    #[arg(long, global = true, value_name = "F")]
    pub(crate) password_file: Option<PathBuf>,
    /// Shell command whose first output line is the password [VELLUM_PASSWORD_COMMAND]
    #[arg(long, global = true, value_name = "C")]
    pub(crate) password_command: Option<OsString>,
    /// Key file that unlocks instead of a password; for `key add`, the file to make [VELLUM_KEY_FILE]
    #[arg(long, global = true, value_name = "F")]
    pub(crate) key_file: Option<PathBuf>,
    /// Folder for local state, disposable at any time [VELLUM_CACHE_DIR]
    #[arg(long, global = true, value_name = "D")]
    pub(crate) cache_dir: Option<PathBuf>,
    /// Read and keep no local state
    #[arg(long, global = true)]
    pub(crate) no_cache: bool,
    /// Profile of the configuration; not in this version yet [VELLUM_PROFILE]
    #[arg(short = 'P', long, global = true, value_name = "NAME")]
    pub(crate) profile: Option<OsString>,
    /// Only errors and warnings
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// Tell more, such as every file that is read
    #[arg(short, long, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// One JSON object a line on standard output, errors too [VELLUM_JSON]
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Worker threads; default: one a core [VELLUM_THREADS]
    #[arg(long, global = true, value_name = "N", value_parser = parse_threads)]
    pub(crate) threads: Option<usize>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Try it out: back up, restore and compare in a temporary folder, and tell what it took
    Try(TryArgs),
    /// Make a new repository and print its recovery key once
    Init(InitArgs),
    /// Back up files and folders into a new snapshot
    Backup(Box<BackupArgs>),
    /// Restore a snapshot, or a folder of it
    Restore(RestoreArgs),
    /// List snapshots
    Snapshots(SnapshotsArgs),
    /// List what is in a snapshot
    Ls(LsArgs),
    /// Remove snapshots: those that are named, or those that no rule keeps
    #[command(mut_arg("max_unused", |arg| arg.requires("prune")))]
    #[command(mut_arg("max_repack", |arg| arg.requires("prune")))]
    #[command(mut_arg("grace", |arg| arg.requires("prune")))]
    Forget(Box<ForgetArgs>),
    /// Look for damage
    Check(CheckArgs),
    /// Store what is damaged anew; nothing is deleted, and what is undamaged stays as it is
    #[command(subcommand)]
    Repair(RepairVerb),
    /// Delete what no snapshot needs
    Prune(PruneArgs),
    /// Manage the ways to unlock the repository
    #[command(subcommand)]
    Key(KeyVerb),
    /// Show, replace or test the recovery key
    #[command(subcommand)]
    Recovery(RecoveryVerb),
    /// Tell how much is stored
    Stats(StatsArgs),
    /// Print what the repository holds, as JSON
    #[command(subcommand)]
    Cat(CatVerb),
    /// Measure what this machine can do, and what binds a first backup here
    Bench(BenchArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

/// Which snapshots count.
#[derive(Debug, Default, Args)]
pub(crate) struct FilterArgs {
    /// Only snapshots of this host
    #[arg(short = 'H', long, value_name = "H")]
    pub(crate) host: Vec<OsString>,
    /// Only snapshots with these labels: `a,b` needs both, given twice either
    #[arg(long, value_name = "T")]
    pub(crate) tag: Vec<String>,
    /// Only snapshots of this path
    #[arg(long, value_name = "P")]
    pub(crate) path: Vec<PathBuf>,
}

/// `vellum completions`
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

fn snapshot_path() -> impl TypedValueParser<Value = SnapshotPath> {
    clap::builder::OsStringValueParser::new().try_map(|text| SnapshotPath::parse(&text))
}

fn snapshot_reference() -> impl TypedValueParser<Value = SnapshotReference> {
    clap::builder::StringValueParser::new().try_map(|text| SnapshotReference::parse(&text))
}

fn exact_snapshot_reference() -> impl TypedValueParser<Value = SnapshotReference> {
    clap::builder::StringValueParser::new().try_map(|text| SnapshotReference::parse_exact(&text))
}

fn parse_head(text: &str) -> Result<HeadCode, String> {
    HeadCode::parse(text).map_err(|error| error.to_string())
}

/// A number of threads, 1 or more.
pub(crate) fn parse_threads(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(threads) if threads > 0 => Ok(threads),
        _ => Err("it must be a number from 1".to_owned()),
    }
}

#[cfg(test)]
mod tests;
