//! `vellum prune`

use crate::args::{PruneArgs, PruneLimits};
use crate::exit_code::ExitCode;
use crate::invocation::Invocation;
use crate::render::human;
use crate::render::json::{Line, PruneLine};
use crate::render::progress::ProgressDisplay;
use crate::report::Failure;
use crate::time::now;
use std::time::Instant;
use vellum::format::ObjectId;
use vellum::{Context, PruneOptions, Repository};

/// Deletes what no snapshot needs.
pub(super) fn run(invocation: &Invocation, args: &PruneArgs) -> Result<ExitCode, Failure> {
    let (repository, context) = invocation.open_for_operation()?;
    prune(invocation, &repository, &context, &args.limits, args.dry_run.then(Vec::new))?;
    Ok(ExitCode::Complete)
}

/// Prunes an open repository and tells what came of it. With `foretold_without` it only tells what would be done if
/// these snapshots were forgotten.
pub(super) fn prune(
    invocation: &Invocation,
    repository: &Repository,
    context: &Context,
    limits: &PruneLimits,
    foretold_without: Option<Vec<ObjectId>>,
) -> Result<(), Failure> {
    let output = &invocation.output;
    let mut options = PruneOptions::new(now());
    options.host = invocation.settings.host.clone();
    options.user = invocation.settings.user.clone();
    options.max_unused = limits.max_unused;
    options.max_repack_bytes = limits.max_repack.unwrap_or(u64::MAX);
    options.grace_seconds = limits.grace;
    let dry_run = foretold_without.is_some();
    options.dry_run = dry_run;
    options.dry_run_without = foretold_without.unwrap_or_default();
    let start = Instant::now();
    let progress = ProgressDisplay::start(output, &context.progress, "pruning", "pack", None);
    let result = vellum::prune(repository, &options, context);
    drop(progress);
    let report = result?;
    for damaged in &report.damaged {
        output.warn(&format!("left alone, because it is damaged: {damaged}; run `vellum check --read-data`"));
    }
    match output.is_json {
        true => output.json(&Line::Prune(PruneLine::new(&report, start.elapsed(), dry_run))),
        false => output.summary(&human::prune(&report, start.elapsed(), dry_run)),
    }
    Ok(())
}
