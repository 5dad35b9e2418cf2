//! `vellum repair`

use crate::args::RepairVerb;
use crate::exit_code::ExitCode;
use crate::invocation::Invocation;
use crate::output::Output;
use crate::render::human;
use crate::render::json::{FindingLine, Line, RepairLine};
use crate::render::progress::ProgressDisplay;
use crate::report::Failure;
use crate::time::now;
use std::time::Instant;
use vellum::{RepairOptions, RepairReport};

/// Stores damaged things anew, and names what cannot be saved.
pub(super) fn run(invocation: &Invocation, verb: &RepairVerb) -> Result<ExitCode, Failure> {
    let (repository, context) = invocation.open_for_operation()?;
    let output = &invocation.output;
    let mut options = RepairOptions::new(now());
    options.host = invocation.settings.host.clone();
    options.user = invocation.settings.user.clone();
    let start = Instant::now();
    let progress = ProgressDisplay::start(output, &context.progress, "reading", "pack", None);
    let result = match verb {
        RepairVerb::Index => vellum::repair_index(&repository, &options, &context),
        RepairVerb::Packs => vellum::repair_packs(&repository, &options, &context),
        RepairVerb::Snapshots => vellum::repair_snapshots(&repository, &options, &context),
    };
    drop(progress);
    let report = result?;
    tell(output, &report);
    if let Some(reason) = &report.not_recorded {
        output
            .warn(&format!("that packs are whole again could not be recorded, so the next check reads them: {reason}"));
    }
    match output.is_json {
        true => output.json(&Line::Repair(RepairLine::new(&report, start.elapsed()))),
        false => output.summary(&human::repair(&report, start.elapsed())),
    }
    Ok(if report.findings.is_empty() { ExitCode::Complete } else { ExitCode::Damage })
}

fn tell(output: &Output, report: &RepairReport) {
    for object in &report.mended {
        match output.is_json {
            true => output.json(&Line::Mended { object: object.to_string(), kind: object.kind.noun() }),
            false => output.result(&format!("stored anew: {object}")),
        }
    }
    for finding in &report.findings {
        let path = human::absolute_path(finding);
        match output.is_json {
            true => output.json(&Line::Finding(FindingLine::new(finding, path.as_deref()))),
            false => output.result(&human::finding(finding, path.as_deref())),
        }
    }
    for snapshot in &report.snapshots {
        match output.is_json {
            true => output.json(&Line::repaired(snapshot)),
            false => output.result(&human::repaired_snapshot(snapshot)),
        }
    }
}
