//! `vellum try`: everything once, in a temporary folder that is gone afterwards.

mod compare;
mod told;
mod workspace;

use super::problems;
use crate::args::TryArgs;
use crate::exit_code::ExitCode;
use crate::invocation::{Invocation, install_signals};
use crate::paths::{absolute, text};
use crate::render::json::{Line, TryLine};
use crate::render::progress::ProgressDisplay;
use crate::render::trial;
use crate::report::Failure;
use crate::time::now;
use crate::units::bytes_per_second;
use compare::Comparison;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use told::Told;
use trial::{Step, Trial};
use vellum::{
    BackupOptions, BackupReport, Context, CreateOptions, Credential, KeyFile, LocalState, NewSlot, Problem, Progress,
    Repository, RestoreOptions, RestoreReport, SnapshotRef,
};
use workspace::Workspace;

/// Problems that are told one by one.
const PROBLEMS_TOLD_MAX: usize = 20;

/// Backs up twice, restores, compares, and tells what it took.
pub(super) fn run(invocation: &Invocation, args: &TryArgs) -> Result<ExitCode, Failure> {
    let paths = args.paths.iter().map(Path::new);
    let paths = paths.map(|path| absolute(path).map_err(|error| Failure::file("find", path, &error)));
    let paths: Vec<PathBuf> = paths.collect::<Result<_, _>>()?;
    let signals = install_signals()?;
    let context = invocation.context(&signals);
    let workspace = Workspace::create()?;
    let tried = try_in(invocation, &workspace, paths, &context).map_err(|failure| workspace.explain(failure));
    let removed = workspace.remove();
    let trial = tried?;
    removed?;
    tell(invocation, &trial);
    if !trial.differences.is_empty() {
        return Err(different());
    }
    if trial.restored.problem_count > 0 {
        return Err(workspace::restore_incomplete(trial.restored.problem_count));
    }
    Ok(if trial.unsaved_count == 0 { ExitCode::Complete } else { ExitCode::SourceIncomplete })
}

fn different() -> Failure {
    Failure::new(
        ExitCode::Failed,
        "different",
        "what was restored is not what was backed up",
        "the entries are named above; this must never happen, unless the disk or memory of this machine is faulty",
        "test this machine's memory and disk, run it again, and report it if it stays so",
    )
}

fn try_in(
    invocation: &Invocation,
    workspace: &Workspace,
    paths: Vec<PathBuf>,
    context: &Context,
) -> Result<Trial, Failure> {
    let told = Arc::<Told>::default();
    let run = Run { invocation, context, told: Arc::clone(&told) };
    let repository = create(workspace)?;
    let mut options = BackupOptions::new(paths);
    options.host = invocation.settings.host.clone();
    options.user = invocation.settings.user.clone();
    options.repository_folder = Some(workspace.repository());
    let begun = SystemTime::now();
    let (first, first_took) = run.back_up("backing up", &repository, &mut options)?;
    let (second, second_took) = run.back_up("backing up again", &repository, &mut options)?;
    let (restored, restore_took) = run.restore(&repository, workspace, (second.summary.files, second.summary.bytes))?;
    let mut told = told.paths();
    let unsaved_count = told.len() as u64;
    told.extend(restored.problems.iter().map(vellum::Problem::path_buf));
    let start = Instant::now();
    let mut comparison = Comparison::new(begun, context.cancel.clone(), told);
    // Where more is missing than was named, as on a full disk, every difference may be one of those.
    let is_all_named = restored.problem_count == restored.problems.len() as u64;
    for path in options.paths.iter().filter(|_| is_all_named) {
        comparison.compare(path, &workspace.restored_path(path))?;
    }
    let steps = vec![
        Step::new("first backup", first.summary.files, first.summary.bytes, first_took),
        Step::new("second backup", second.summary.files, second.summary.bytes, second_took),
        Step::new("restore", restored.files, restored.bytes, restore_took),
        Step::new("comparison", comparison.files, comparison.bytes, start.elapsed()),
    ];
    let repository_bytes = vellum::stats(&repository, &[], context)?.stored_bytes;
    let slots = repository.slots();
    Ok(Trial {
        steps,
        first: first.summary,
        second: second.summary,
        unsaved: unsaved(first.problems, second.problems),
        unsaved_count,
        restored,
        differences: comparison.differences,
        changed: comparison.changed,
        too_long: comparison.too_long,
        repository_bytes,
        slots,
    })
}

/// What either backup could not save; most of it neither could.
fn unsaved(mut first: Vec<Problem>, second: Vec<Problem>) -> Vec<Problem> {
    let known: BTreeSet<Vec<u8>> = first.iter().map(|problem| problem.path.clone()).collect();
    first.extend(second.into_iter().filter(|problem| !known.contains(&problem.path)));
    first
}

/// A repository that a random key opens: there is no password to be slow about.
fn create(workspace: &Workspace) -> Result<Repository, Failure> {
    let key = KeyFile::generate().map_err(|error| {
        let meaning = "the operating system gave no random numbers; nothing was done";
        Failure::new(ExitCode::Failed, "system", error.to_string(), meaning, "try again")
    })?;
    let slot = NewSlot { credential: Credential::KeyFile(&key), label: "try", argon2id: None, now: now() };
    let storage = vellum::storage::Location::Local(workspace.repository()).create()?;
    let local_state = LocalState::At(workspace.cache());
    let created = Repository::create(Arc::from(storage), &CreateOptions::new(now()), &[slot], &local_state)?;
    Ok(created.repository)
}

struct Run<'a> {
    invocation: &'a Invocation,
    context: &'a Context,
    /// Hears of what cannot be backed up.
    told: Arc<Told>,
}

impl Run<'_> {
    /// A context with counters of its own, and whatever draws them.
    fn step(&self, verb: &'static str, expected: Option<(u64, u64)>) -> (Context, ProgressDisplay) {
        let context = Context { progress: Arc::new(Progress::default()), ..self.context.clone() };
        let display = ProgressDisplay::start(&self.invocation.output, &context.progress, verb, "file", expected);
        (context, display)
    }

    fn back_up(
        &self,
        verb: &'static str,
        repository: &Repository,
        options: &mut BackupOptions,
    ) -> Result<(BackupReport, Duration), Failure> {
        options.time = now();
        let (context, _display) = self.step(verb, None);
        let context = Context { events: Some(Arc::<Told>::clone(&self.told)), ..context };
        let start = Instant::now();
        let report = vellum::backup(repository, options, &context)?;
        Ok((report, start.elapsed()))
    }

    fn restore(
        &self,
        repository: &Repository,
        workspace: &Workspace,
        expected: (u64, u64),
    ) -> Result<(RestoreReport, Duration), Failure> {
        let (context, _display) = self.step("restoring", Some(expected));
        let start = Instant::now();
        let latest = SnapshotRef::Latest(0);
        let report = vellum::restore(repository, &latest, &workspace.restored(), &RestoreOptions::default(), &context)?;
        Ok((report, start.elapsed()))
    }
}

fn tell(invocation: &Invocation, trial: &Trial) {
    let output = &invocation.output;
    problems::tell(output, &trial.unsaved, trial.unsaved_count, PROBLEMS_TOLD_MAX, Line::Problem);
    let restored = &trial.restored;
    problems::tell(output, &restored.problems, restored.problem_count, PROBLEMS_TOLD_MAX, Line::Problem);
    if !output.is_json {
        for (path, reason) in trial.differences.iter().take(PROBLEMS_TOLD_MAX) {
            output.warn(&format!("{} came back different: {reason}", crate::paths::printable_path(path)));
        }
        return output.result(&trial::table(trial));
    }
    for step in &trial.steps {
        output.json(&Line::Step {
            step: step.name,
            files: step.files,
            bytes: step.bytes,
            seconds: step.took.as_secs_f64(),
            bytes_per_second: bytes_per_second(step.bytes, step.took),
        });
    }
    let compared = trial.steps.last();
    output.json(&Line::Try(TryLine {
        ok: trial.is_right(),
        files_compared: compared.map_or(0, |step| step.files),
        bytes_compared: compared.map_or(0, |step| step.bytes),
        differences: trial
            .differences
            .iter()
            .take(100)
            .map(|(path, _)| text(path.as_os_str().as_encoded_bytes()))
            .collect(),
        changed_meanwhile: trial.changed,
        not_compared: trial.too_long,
        errors: trial.unsaved_count,
        source_bytes: trial.first.bytes,
        unique_bytes: trial.first.bytes_new,
        repository_bytes: trial.repository_bytes,
        readable_by: trial.slots.iter().map(|slot| slot.kind.clone()).collect(),
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_second_backup_could_not_save_is_told_too() {
        let problem = |path: &str, reason: &str| Problem { path: path.into(), doing: "read", reason: reason.into() };
        let (both, also) = (problem("/both", "first"), problem("/both", "second"));
        let (first, second) = (problem("/first", "gone"), problem("/second", "changed"));
        let told = unsaved(vec![both, first], vec![also, second]);
        let told: Vec<_> = told.iter().map(|problem| (&problem.path[..], &problem.reason[..])).collect();
        assert_eq!(told, [(&b"/both"[..], "first"), (b"/first", "gone"), (b"/second", "changed")]);
    }
}
