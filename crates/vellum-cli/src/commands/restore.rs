//! `vellum restore`

use super::problems;
use crate::args::{OverwriteChoice, RestoreArgs};
use crate::exit_code::ExitCode;
use crate::invocation::Invocation;
use crate::output::Output;
use crate::paths::{absolute, printable};
use crate::render::human;
use crate::render::json::{Line, PathField, RestoreLine};
use crate::render::progress::ProgressDisplay;
use crate::report::Failure;
use crate::selection::{self, pattern_failure};
use std::sync::Arc;
use std::time::Instant;
use vellum::{Event, EventSink, Filter, Overwrite, RestoreOptions, RestoreReport, SnapshotRef};

/// Problems that are told one by one to people.
const PROBLEMS_TOLD_MAX: usize = 100;
/// As [`PROBLEMS_TOLD_MAX`], of metadata only.
const METADATA_PROBLEMS_TOLD_MAX: usize = 20;

/// What to try where the snapshot cannot be read.
const UNREADABLE_HINT: &str =
    "where objects are damaged see `vellum check --read-data`; other snapshots may have these files undamaged";
/// What to try where the target does not take something.
const UNDONE_HINT: &str =
    "free space, give the right or clear the way in the target, as the messages say, then run the same command again";

/// Tells each entry that is deleted.
struct RestoreEvents {
    output: Arc<Output>,
    dry_run: bool,
}

impl EventSink for RestoreEvents {
    fn event(&self, event: &Event<'_>) {
        let Event::Deleted { path } = event else { return };
        match self.output.is_json {
            true => self.output.json(&Line::Deleted(PathField::new(path))),
            false => {
                let verb = if self.dry_run { "would remove" } else { "removed" };
                self.output.note(&format!("{verb} {}", printable(path)));
            }
        }
    }
}

/// Restores a snapshot or a folder of it.
pub(super) fn run(invocation: &Invocation, args: &RestoreArgs) -> Result<ExitCode, Failure> {
    let mut options = options(invocation, args)?;
    let target = absolute(args.target()).map_err(|error| Failure::file("find", args.target(), &error))?;
    let (repository, mut context) = invocation.open_for_operation()?;
    if invocation.output.verbosity > 0 {
        let output = Arc::clone(&invocation.output);
        context.events = Some(Arc::new(RestoreEvents { output, dry_run: args.dry_run }));
    }
    let output = &invocation.output;
    crate::history::look(&repository, args.head.as_ref(), output)?;
    let chosen = selection::choose(&repository, &args.snapshot.snapshot, &options.filter, output)?;
    options.filter = vellum::SnapshotFilter::default();
    let reference = SnapshotRef::Id(chosen.snapshot.id.to_string());
    let start = Instant::now();
    let is_whole = options.subfolder.is_none() && options.include.is_empty() && options.exclude.is_empty();
    let summary = &chosen.snapshot.manifest.summary;
    let expected = is_whole.then_some((summary.files, summary.bytes));
    let progress = ProgressDisplay::start(output, &context.progress, "restoring", "file", expected);
    let result = vellum::restore(&repository, &reference, &target, &options, &context);
    drop(progress);
    let report = result?;
    selection::warn_of_healed(&repository, output);
    problems::tell(output, &report.problems, report.problem_count, PROBLEMS_TOLD_MAX, Line::Problem);
    let count = report.metadata_problem_count;
    problems::tell(output, &report.metadata_problems, count, METADATA_PROBLEMS_TOLD_MAX, Line::MetadataProblem);
    match output.is_json {
        true => output.json(&Line::Restore(RestoreLine::new(&report, start.elapsed(), args.dry_run))),
        false => output.summary(&human::restore(&report, start.elapsed(), args.dry_run)),
    }
    match report.problem_count {
        0 => Ok(chosen.exit_code()),
        _ => Err(incomplete(&report)),
    }
}

/// Some of it was not restored: because the snapshot cannot be read, or because the target does not take it.
fn incomplete(report: &RestoreReport) -> Failure {
    let unreadable = report.unreadable_count;
    let meaning = match (report.files, report.others) {
        (0, 0) => "what cannot be restored is named above; nothing was restored",
        _ => "they are named above, folders for all in them; everything else was restored and is right",
    };
    let hint = match (unreadable, report.problem_count - unreadable) {
        (_, 0) => UNREADABLE_HINT.to_owned(),
        (0, _) => UNDONE_HINT.to_owned(),
        _ => format!("{UNDONE_HINT}; {UNREADABLE_HINT}"),
    };
    Failure::new(
        ExitCode::Damage,
        "restore_incomplete",
        format!("{} could not be restored right", crate::units::count(report.problem_count, "entry")),
        meaning,
        hint,
    )
}

fn options(invocation: &Invocation, args: &RestoreArgs) -> Result<RestoreOptions, Failure> {
    let mut options = RestoreOptions::default();
    options.subfolder = args.snapshot.path.clone();
    options.filter = selection::filter(&args.filter)?;
    options.include = patterns(&args.include)?;
    options.exclude = patterns(&args.exclude)?;
    options.overwrite = match args.overwrite {
        OverwriteChoice::Always => Overwrite::Always,
        OverwriteChoice::IfChanged => Overwrite::IfChanged,
        OverwriteChoice::IfNewer => Overwrite::IfNewer,
        OverwriteChoice::Never => Overwrite::Never,
    };
    options.delete = args.delete;
    options.verify = args.verify;
    options.dry_run = args.dry_run;
    options.sparse = args.sparse;
    options.numeric_owner = args.numeric_owner;
    options.repository_folder = invocation.settings.repository_folder();
    Ok(options)
}

/// Refuses patterns that are none.
pub(super) fn look_over(args: &RestoreArgs) -> Result<(), Failure> {
    patterns(&args.include)?;
    patterns(&args.exclude).map(drop)
}

fn patterns(texts: &[String]) -> Result<Filter, Failure> {
    let mut filter = Filter::default();
    for text in texts {
        filter.add(text, false).map_err(|error| pattern_failure(&error))?;
    }
    Ok(filter)
}
