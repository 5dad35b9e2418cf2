//! `vellum check`

use crate::args::CheckArgs;
use crate::exit_code::ExitCode;
use crate::invocation::Invocation;
use crate::render::human;
use crate::render::json::{CheckLine, FindingLine, Line};
use crate::render::progress::ProgressDisplay;
use crate::report::Failure;
use crate::time;
use crate::units::count;
use std::time::Instant;
use vellum::{CheckOptions, HistoryFinding, ReadData, RestoreTest};

/// Looks for damage and names what it costs.
pub(super) fn run(invocation: &Invocation, args: &CheckArgs) -> Result<ExitCode, Failure> {
    let mut options = CheckOptions::default();
    options.read_data = match (args.read_data, args.sample) {
        (true, _) => ReadData::All,
        (false, Some(sample)) => sample,
        (false, None) => ReadData::None,
    };
    options.now = Some(time::now());
    let scratch = (args.restore_test > 0).then(scratch_folder).transpose()?;
    options.restore_test = scratch.as_ref().map(|folder| RestoreTest {
        files: args.restore_test,
        scratch: folder.path().to_owned(),
        host: Some(invocation.settings.host.clone()),
    });
    options.head = args.head;
    options.accept_history = args.accept_history;
    let (repository, context) = invocation.open_for_operation()?;
    let output = &invocation.output;
    let start = Instant::now();
    let progress = ProgressDisplay::start(output, &context.progress, "checking", "pack", None);
    let result = vellum::check(&repository, &options, &context);
    drop(progress);
    let report = result?;
    for finding in &report.findings {
        let path = human::absolute_path(finding);
        match output.is_json {
            true => output.json(&Line::Finding(FindingLine::new(finding, path.as_deref()))),
            false => output.result(&human::finding(finding, path.as_deref())),
        }
    }
    let untold = report.finding_count.saturating_sub(report.findings.len() as u64);
    if untold > 0 {
        output.note(&format!("{untold} further findings repeat these, or are too many to name"));
    }
    crate::history::note_first_sight(
        report.is_first_sight && report.head_code.is_some() && args.head.is_none(),
        output,
    );
    if args.accept_history {
        match output.is_json {
            true => {
                let line = |finding: &HistoryFinding| output.json(&Line::accepted(finding, &finding.to_string()));
                report.accepted.iter().for_each(line);
            }
            false => output.result(&human::accepted(&report.accepted)),
        }
    }
    if let Some(reason) = &report.not_recorded {
        output.warn(&format!(
            "which packs were read could not be recorded, so a later sample may read them again: {reason}"
        ));
    }
    match output.is_json {
        true => output.json(&Line::Check(CheckLine::new(&report, start.elapsed()))),
        false => output.summary(&human::check(&report, start.elapsed())),
    }
    let not_written = &report.restore_test.not_written;
    if let Some(reason) = not_written.first() {
        let files = count(not_written.len() as u64, "file");
        output.warn(&format!("{files} could not be restored into the temporary folder, so not tested: {reason}"));
    }
    Ok(match (report.finding_count, not_written.is_empty()) {
        (0, true) => ExitCode::Complete,
        (0, false) => ExitCode::Failed,
        _ => ExitCode::Damage,
    })
}

/// A folder of this user only, which goes when it is dropped.
fn scratch_folder() -> Result<tempfile::TempDir, Failure> {
    tempfile::Builder::new().prefix("vellum-check-").tempdir().map_err(|error| {
        Failure::new(
            ExitCode::Failed,
            "temporary_folder",
            format!("cannot make a folder in {}: {error}", std::env::temp_dir().display()),
            "a restore test needs a temporary folder; nothing was checked",
            "set TMPDIR to a folder where you may write",
        )
    })
}
