//! The command line as it is typed. Parsing only validates text; nothing is opened, asked or computed here.
//!
//! Every text below is part of `--help`. The variables in brackets are read by `settings`.

use crate::reference::{SnapshotPath, SnapshotReference};
use crate::rules::{parse_count, parse_grouping, parse_span};
use crate::units::{parse_seconds, parse_size};
use clap::builder::TypedValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;
use vellum::format::parity::Parity;
use vellum::format::snapshot::Timestamp;
use vellum::retention::{Count, Grouping, Span};
use vellum::{HeadCode, MaxUnused, ReadData};

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
    #[arg(short, long, global = true, value_name = "URL")]
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
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
}

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
    /// A faster keyed window hash; not in this version yet
    Window,
    /// FastCDC v2020 with a keyed table
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

/// `vellum restore`
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// A snapshot, below TARGET with its full paths; with :PATH the content of that folder, directly in TARGET
    #[arg(value_name = "SNAPSHOT[:PATH]", value_parser = snapshot_path())]
    pub(crate) snapshot: SnapshotPath,
    /// Folder to restore into; made if it is not there
    pub(crate) target: PathBuf,
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
    /// Remove what the snapshot does not have from restored folders
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

/// `vellum forget`
#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    /// Snapshots that shall go, whatever they are; without any, rules decide
    #[arg(value_name = "SNAPSHOT", value_parser = snapshot_reference())]
    pub(crate) snapshots: Vec<SnapshotReference>,
    /// What rules count by, of host, paths and tags; each device is always counted by itself
    #[arg(short, long, value_name = "LIST", default_value = "host,paths", value_parser = parse_grouping)]
    pub(crate) group_by: Grouping,
    /// Count the snapshots of all devices together; then one device may push out what another made
    #[arg(long)]
    pub(crate) across_devices: bool,
    /// Whose days, weeks and months rules count, such as Europe/Berlin; default: this machine's
    #[arg(long, value_name = "ZONE")]
    pub(crate) timezone: Option<String>,
    /// Let rules remove the last snapshot of a host and paths
    #[arg(long)]
    pub(crate) allow_empty: bool,
    #[command(flatten)]
    pub(crate) filter: FilterArgs,
    /// Tell for each snapshot which rules keep it
    #[arg(long)]
    pub(crate) explain: bool,
    /// Then give the space back, as `vellum prune` does
    #[arg(long)]
    pub(crate) prune: bool,
    #[command(flatten)]
    pub(crate) prune_limits: PruneLimits,
    /// Only tell what would be done
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    // Last, because its heading holds for all that follow.
    #[command(flatten)]
    pub(crate) keep: KeepArgs,
}

/// Rules that keep snapshots.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Rules (N is a number, or `unlimited`; D is such as 30d or 1y5m7d2h)")]
pub(crate) struct KeepArgs {
    /// Keep the newest N snapshots
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_count)]
    pub(crate) keep_last: Option<Count>,
    /// Keep the newest of each hour, for the newest N hours with snapshots
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_count)]
    pub(crate) keep_hourly: Option<Count>,
    /// Keep the newest of each day, for N days
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_count)]
    pub(crate) keep_daily: Option<Count>,
    /// Keep the newest of each week, for N weeks
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_count)]
    pub(crate) keep_weekly: Option<Count>,
    /// Keep the newest of each month, for N months
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_count)]
    pub(crate) keep_monthly: Option<Count>,
    /// Keep the newest of each year, for N years
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = parse_count)]
    pub(crate) keep_yearly: Option<Count>,
    /// Keep all that are less than D older than the newest
    #[arg(long, value_name = "D", value_parser = parse_span)]
    pub(crate) keep_within: Option<Span>,
    /// Keep the newest of each hour, within D before the newest
    #[arg(long, value_name = "D", value_parser = parse_span)]
    pub(crate) keep_within_hourly: Option<Span>,
    /// Keep the newest of each day, within D before the newest
    #[arg(long, value_name = "D", value_parser = parse_span)]
    pub(crate) keep_within_daily: Option<Span>,
    /// Keep the newest of each week, within D before the newest
    #[arg(long, value_name = "D", value_parser = parse_span)]
    pub(crate) keep_within_weekly: Option<Span>,
    /// Keep the newest of each month, within D before the newest
    #[arg(long, value_name = "D", value_parser = parse_span)]
    pub(crate) keep_within_monthly: Option<Span>,
    /// Keep the newest of each year, within D before the newest
    #[arg(long, value_name = "D", value_parser = parse_span)]
    pub(crate) keep_within_yearly: Option<Span>,
    /// Keep what has these labels: `a,b` needs both, given twice either; an empty one keeps what has none
    #[arg(long, value_name = "T")]
    pub(crate) keep_tag: Vec<String>,
}

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

/// `vellum prune`
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    #[command(flatten)]
    pub(crate) limits: PruneLimits,
    /// Only tell what would be done
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
}

/// How `prune`, and `forget --prune`, decide.
#[derive(Debug, Clone, Args)]
pub(crate) struct PruneLimits {
    /// How much may stay unused before packs are rewritten: a share such as 5%, a size, or `unlimited`
    #[arg(long, value_name = "PCT|SIZE", default_value = "5%", value_parser = parse_max_unused)]
    pub(crate) max_unused: MaxUnused,
    /// Rewrite packs of at most this size in one run, such as 10G
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) max_repack: Option<u64>,
    /// How long a condemned pack stays before it is deleted, such as 24h or 7d; 0 deletes at once what may go
    #[arg(long, value_name = "D", default_value = "24h", value_parser = parse_seconds)]
    pub(crate) grace: i64,
}

/// `vellum key`
#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    /// List the ways to unlock
    List,
    /// Add a password, or with --key-file F a key file that is made at F
    Add(NewKeyArgs),
    /// Remove a way to unlock
    Remove {
        /// Its id, as `key list` shows it, or the start of it
        id: String,
    },
    /// Change the password
    Passwd(NewKeyArgs),
}

/// A way to unlock that is about to be made.
#[derive(Debug, Args)]
pub(crate) struct NewKeyArgs {
    /// File whose first line is the new password; without it a terminal is asked
    #[arg(long, value_name = "F")]
    pub(crate) new_password_file: Option<PathBuf>,
    /// Its name, for `key list`; default: user@host
    #[arg(long)]
    pub(crate) label: Option<String>,
}

/// `vellum recovery`
#[derive(Debug, Subcommand)]
pub(crate) enum RecoveryVerb {
    /// Tell since when there is a recovery key; the key itself is stored nowhere
    Show {
        /// Make a new recovery key, print it once, and remove the old one
        #[arg(long)]
        new: bool,
    },
    /// Test whether a recovery key that you type, or pipe in, opens this repository
    Check,
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

/// `5%`, `10G` or `unlimited`.
fn parse_max_unused(text: &str) -> Result<MaxUnused, String> {
    let Some(share) = text.strip_suffix('%') else {
        return match text {
            "unlimited" => Ok(MaxUnused::Unlimited),
            size => parse_size(size).map(MaxUnused::Bytes),
        };
    };
    match share.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(MaxUnused::Percent(percent)),
        _ => Err("a share goes from 0% to 100%".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split_whitespace())
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_contract_parses() {
        for line in [
            "vellum -r /r init --chunker gear --level 0 --parity off",
            "vellum init --repository /r --key-file /k",
            "vellum try /a /b",
            "vellum backup /a --tag x,y --tag z --host h --time 2026-11-21T10:00:00Z --exclude *.o --exclude-file f",
            "vellum backup a --iexclude G --exclude-if-present N --exclude-caches --exclude-larger-than 10M -x",
            "vellum backup --files-from - --class /a=private --dry-run --force --skip-if-unchanged",
            "vellum backup --stdin --stdin-filename dump.sql",
            "vellum backup --stdin-filename x --from-command -- pg_dump --all",
            "vellum repair index",
            "vellum repair packs --json",
            "vellum repair snapshots",
            "vellum snapshots --host H --tag T --path P --latest 3 --json",
            "vellum ls latest:/etc -l --recursive",
            "vellum restore latest~2:/home target --include a --exclude b --overwrite if-changed --delete --verify",
            "vellum restore 2026-11-21 target --dry-run --sparse --json -r x",
            "vellum forget",
            "vellum forget latest~3 abcd 2026-11-21 --dry-run",
            "vellum forget --keep-last 1 --keep-hourly 24 --keep-daily 7 --keep-weekly 5 --keep-monthly -1",
            "vellum forget --keep-yearly unlimited --keep-within 1y5m7d2h --keep-tag a,b --keep-tag c --group-by host",
            "vellum forget --keep-within-daily 30d --keep-within-hourly 24h --host H --tag T --path P -n --explain",
            "vellum forget --keep-last 3 --timezone Europe/Berlin --allow-empty --across-devices --group-by=",
            "vellum forget --keep-last 3 --prune --max-unused 10% --max-repack 5G --grace 7d --dry-run",
            "vellum check --read-data --restore-test 5",
            "vellum check --sample 2.5%",
            "vellum check --sample 3/4",
            "vellum check --sample 1.5GiB",
            "vellum prune --max-unused 2.5% --max-repack 10G --grace 0 --dry-run",
            "vellum prune --max-unused unlimited --grace 36h",
            "vellum check --accept-history --head 7qz4-0m3k-x9tb",
            "vellum restore latest target --head 7QZ40M3KX9TB",
            "vellum key list -r x",
            "vellum key add --key-file F --label me --password-file p",
            "vellum key remove abcd",
            "vellum key passwd --new-password-file F",
            "vellum recovery show --new",
            "vellum recovery check",
            "vellum stats latest abcd --json",
            "vellum cat config",
            "vellum cat tree latest:/etc",
            "vellum completions zsh",
        ] {
            parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "vellum",
            "vellum frobnicate",
            "vellum init --level 23",
            "vellum init --chunker rabin",
            "vellum backup --stdin /a",
            "vellum backup --from-command",
            "vellum backup /a --time yesterdayish",
            "vellum backup /a --exclude-larger-than lots",
            "vellum forget --keep-last -2",
            "vellum forget --keep-last many",
            "vellum forget --keep-within 3",
            "vellum forget --keep-last 1 --group-by user",
            "vellum forget --keep-last 1 --grace 7d",
            "vellum forget --keep-last 1 --max-unused 3%",
            "vellum forget --keep-last 1 --prune --grace 1y",
            "vellum forget --keep-last 1 --prune --max-unused 101%",
            "vellum check --sample 0%",
            "vellum check --sample 0G",
            "vellum check --sample NaN",
            "vellum check --sample 101",
            "vellum check --sample 5/4",
            "vellum check --sample 0/4",
            "vellum check --read-data --sample 5%",
            "vellum prune --max-unused 101%",
            "vellum prune --grace soon",
            "vellum restore nonsense! target",
            "vellum restore latest",
            "vellum snapshots --threads 0",
            "vellum snapshots -q -v",
            "vellum try",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }

    #[test]
    fn global_flags_stand_anywhere() {
        for line in ["vellum --json -r /r snapshots", "vellum snapshots -r /r --json", "vellum -r /r snapshots --json"]
        {
            let cli = parse(line).unwrap();
            assert!(cli.global.json && cli.global.repository.as_deref() == Some("/r".as_ref()), "{line}");
        }
        let cli = parse("vellum --key-file outer key add --key-file inner").unwrap();
        assert_eq!(cli.global.key_file, Some("inner".into()));
    }
}
