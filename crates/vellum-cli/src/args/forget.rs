//! `forget` and `prune`: what takes away, and the rules and limits for it.

use super::{FilterArgs, exact_snapshot_reference};
use crate::reference::SnapshotReference;
use crate::rules::{parse_count, parse_grouping, parse_span};
use crate::units::{parse_seconds, parse_size};
use clap::Args;
use vellum::MaxUnused;
use vellum::retention::{Count, Grouping, Span};

/// `vellum forget`
#[derive(Debug, Args)]
pub(crate) struct ForgetArgs {
    /// Snapshots that shall go, whatever they are; a date names the only one of it; without any, rules decide
    #[arg(value_name = "SNAPSHOT", value_parser = exact_snapshot_reference())]
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

/// `5%`, `10G` or `unlimited`.
fn parse_max_unused(text: &str) -> Result<MaxUnused, String> {
    let Some(share) = text.strip_suffix('%') else {
        return match text {
            "unlimited" => Ok(MaxUnused::Unlimited),
            size => parse_size(size)
                .map(MaxUnused::Bytes)
                .map_err(|_| "it must be a share such as 5%, a size such as 500M, or `unlimited`".to_owned()),
        };
    };
    match share.parse() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(MaxUnused::Percent(percent)),
        _ => Err("a share goes from 0% to 100%".to_owned()),
    }
}
