//! `vellum stats`

use crate::args::StatsArgs;
use crate::exit_code::ExitCode;
use crate::invocation::Invocation;
use crate::render::human;
use crate::render::json::{Line, StatsLine};
use crate::report::Failure;
use crate::{selection, time};
use vellum::{Snapshot, Snapshots};

/// Adds up the repository and the snapshots that are meant, or all.
pub(super) fn run(invocation: &Invocation, args: &StatsArgs) -> Result<ExitCode, Failure> {
    let filter = selection::filter(&args.filter)?;
    let (repository, context) = invocation.open_for_operation()?;
    let output = &invocation.output;
    let mut exit_code = ExitCode::Complete;
    let mut snapshots: Vec<Snapshot> = Vec::new();
    if args.snapshots.is_empty() {
        let Snapshots { snapshots: all, damaged, .. } = repository.snapshots()?;
        selection::warn_of_damaged(&damaged, output);
        if !damaged.is_empty() {
            exit_code = ExitCode::Damage;
        }
        snapshots.extend(all.into_iter().filter(|snapshot| filter.matches(snapshot)));
    }
    for reference in &args.snapshots {
        let chosen = selection::choose(&repository, reference, &filter, output)?;
        if chosen.is_doubtful {
            exit_code = ExitCode::Damage;
        }
        if snapshots.iter().all(|snapshot| snapshot.id != chosen.snapshot.id) {
            snapshots.push(chosen.snapshot);
        }
    }
    let stats = vellum::stats(&repository, &snapshots, &context)?;
    let coverage = vellum::coverage(&repository, time::now())?;
    selection::warn_of_healed(&repository, output);
    match output.is_json {
        true => output.json(&Line::Stats(StatsLine::new(&stats, &coverage))),
        false => output.result(&human::stats(&stats, &coverage)),
    }
    Ok(exit_code)
}
