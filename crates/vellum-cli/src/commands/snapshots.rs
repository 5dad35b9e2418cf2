//! `vellum snapshots`

use crate::args::SnapshotsArgs;
use crate::exit_code::ExitCode;
use crate::invocation::Invocation;
use crate::render::human;
use crate::render::json::{Line, SnapshotLine};
use crate::report::Failure;
use crate::selection;
use std::collections::BTreeMap;
use vellum::Snapshot;

/// Lists snapshots, oldest first.
pub(super) fn run(invocation: &Invocation, args: &SnapshotsArgs) -> Result<ExitCode, Failure> {
    let filter = selection::filter(&args.filter)?;
    let repository = invocation.open()?;
    let output = &invocation.output;
    let history = repository.history()?;
    let (snapshots, damaged) = (&history.snapshots, &history.damaged);
    selection::warn_of_damaged(damaged, output);
    crate::history::warn_of(&history.findings, output);
    let mut shown: Vec<&Snapshot> = snapshots.iter().filter(|snapshot| filter.matches(snapshot)).collect();
    if let Some(count_max) = args.latest {
        shown = newest_of_each_group(&shown, count_max);
    }
    if output.is_json {
        shown.iter().for_each(|snapshot| output.json(&Line::Snapshot(SnapshotLine::new(snapshot))));
    } else {
        output.result(&human::snapshots(&shown));
        history.head_code().into_iter().for_each(|code| output.summary(&human::head(code)));
    }
    Ok(if damaged.is_empty() { ExitCode::Complete } else { ExitCode::Damage })
}

/// The newest snapshots of each host and paths, in their order.
fn newest_of_each_group<'a>(snapshots: &[&'a Snapshot], count_max: usize) -> Vec<&'a Snapshot> {
    let mut counts: BTreeMap<_, usize> = BTreeMap::new();
    let mut kept: Vec<&Snapshot> = Vec::new();
    for snapshot in snapshots.iter().rev() {
        let manifest = &snapshot.manifest;
        let paths: Vec<&[u8]> = manifest.paths.iter().map(|path| &path.0[..]).collect();
        let count = counts.entry((&manifest.host.0, paths)).or_default();
        *count += 1;
        if *count <= count_max {
            kept.push(snapshot);
        }
    }
    kept.reverse();
    kept
}
