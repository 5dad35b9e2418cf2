//! `vellum backup`

mod events;
mod stream;

use crate::args::{BackupArgs, ExcludeArgs, Switch};
use crate::exit_code::ExitCode;
use crate::invocation::Invocation;
use crate::paths::{absolute, from_bytes};
use crate::render::human;
use crate::render::json::{BackupLine, Line};
use crate::render::progress::ProgressDisplay;
use crate::report::Failure;
use crate::selection::pattern_failure;
use crate::time::{now, rfc3339};
use crate::units::count;
use events::BackupEvents;
use std::ffi::OsString;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use vellum::{BackupOptions, BackupReport, Context, Error, Filter, Repository};

/// Makes a snapshot of paths or of a stream.
pub(super) fn run(invocation: &Invocation, args: &BackupArgs) -> Result<ExitCode, Failure> {
    let is_stream = args.stdin || args.from_command;
    let stream_name = is_stream.then(|| stream::name(&args.stdin_filename)).transpose()?;
    let paths = if is_stream { Vec::new() } else { source_paths(args)? };
    let options = options(invocation, args, paths)?;
    let (repository, mut context) = invocation.open_for_operation()?;
    let events = Arc::new(BackupEvents::new(Arc::clone(&invocation.output)));
    context.events = Some(Arc::<BackupEvents>::clone(&events));
    let start = Instant::now();
    let progress = ProgressDisplay::start(&invocation.output, &context.progress, "backing up", "file", None);
    let result = match &stream_name {
        Some(name) if args.stdin => stream::back_up_stdin(&repository, name, &options, &context),
        Some(name) => stream::back_up_command(&repository, name, &args.paths, &options, &context),
        None => back_up(&repository, &options, &context),
    };
    drop(progress);
    events.tell_rest();
    let report = result?;
    let output = &invocation.output;
    crate::history::warn_of(&report.history, output);
    match output.is_json {
        true => {
            let begun = rfc3339(options.time);
            output.json(&Line::Backup(BackupLine::new(&report, begun, start.elapsed(), args.dry_run)));
        }
        false => output.summary(&human::backup(&report, start.elapsed(), args.dry_run)),
    }
    if let Some(snapshot) = report.snapshot {
        output.finish().map_err(|lost| lost.after(format!("snapshot {snapshot} is saved; only its report is lost")))?;
    }
    if report.summary.errors == 0 {
        return Ok(ExitCode::Complete);
    }
    if !output.is_json {
        let entries = count(report.summary.errors, "entry");
        output.warn(&format!("{entries} of the source could not be saved as they are; they are named above"));
    }
    Ok(ExitCode::SourceIncomplete)
}

fn back_up(repository: &Repository, options: &BackupOptions, context: &Context) -> Result<BackupReport, Failure> {
    vellum::backup(repository, options, context).map_err(Failure::from)
}

/// A stream that ended because of a signal was not the stream's fault.
fn stream_failure(error: Error, context: &Context) -> Failure {
    match error {
        Error::Input(_) if context.cancel.is_cancelled() => Error::Cancelled.into(),
        other => other.into(),
    }
}

fn refuse_other_classes(args: &BackupArgs) -> Result<(), Failure> {
    for assignment in &args.class {
        let bytes = assignment.as_bytes();
        let class = bytes.iter().rposition(|byte| *byte == b'=').map(|at| &bytes[at + 1..]);
        match class {
            Some(b"private") => {}
            Some(class) => {
                let what = format!("the protection class `{}`", String::from_utf8_lossy(class));
                return Err(Failure::comes_later(&what, "leave --class out: everything is `private`, the strictest"));
            }
            None => {
                let message = format!("--class {} names no class", assignment.display());
                return Err(Failure::usage(message, "nothing was backed up", "write it as PATH=CLASS"));
            }
        }
    }
    Ok(())
}

fn source_paths(args: &BackupArgs) -> Result<Vec<PathBuf>, Failure> {
    let mut paths: Vec<PathBuf> = args.paths.iter().map(PathBuf::from).collect();
    for file in &args.files_from {
        let list = read_whole(file)?;
        let separator = if list.contains(&0) { 0 } else { b'\n' };
        paths.extend(list.split(|byte| *byte == separator).filter(|line| !line.is_empty()).map(from_bytes));
    }
    if paths.is_empty() {
        return Err(Error::NothingToBackUp.into());
    }
    let mut result: Vec<PathBuf> = Vec::with_capacity(paths.len());
    for path in paths {
        let path = absolute(&path).map_err(|error| Failure::file("find", &path, &error))?;
        if !result.contains(&path) {
            result.push(path);
        }
    }
    Ok(result)
}

fn read_whole(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut content = Vec::new();
    let read = match path.as_os_str().as_bytes() {
        b"-" => std::io::stdin().lock().read_to_end(&mut content).map(drop),
        _ => std::fs::read(path).map(|bytes| content = bytes),
    };
    read.map_err(|error| Failure::file("read", path, &error))?;
    Ok(content)
}

fn options(invocation: &Invocation, args: &BackupArgs, paths: Vec<PathBuf>) -> Result<BackupOptions, Failure> {
    let settings = &invocation.settings;
    let mut options = BackupOptions::new(paths);
    options.host = args.host.as_ref().map_or_else(|| settings.host.clone(), |host| host.as_bytes().to_vec());
    options.user = settings.user.clone();
    options.parity = args.parity.map(Switch::parity);
    options.tags = args.tag.iter().filter(|tag| !tag.is_empty()).cloned().collect();
    options.time = args.time.unwrap_or_else(now);
    options.force = args.force;
    options.dry_run = args.dry_run;
    options.skip_if_unchanged = args.skip_if_unchanged;
    options.repository_folder = settings.repository_folder();
    exclude(&mut options, &args.excludes)?;
    Ok(options)
}

/// Refuses names that are empty, classes that are not there yet, and patterns that are none.
pub(super) fn look_over(args: &BackupArgs) -> Result<(), Failure> {
    if !args.from_command {
        refuse_empty("PATH", &args.paths)?;
    }
    refuse_empty("--host", args.host.as_slice())?;
    refuse_other_classes(args)?;
    let mut patterns = Filter::default();
    let mut all = args.excludes.exclude.iter().chain(&args.excludes.iexclude);
    all.try_for_each(|pattern| patterns.add(pattern, false)).map_err(|error| pattern_failure(&error))
}

/// An empty path is that of the current folder, and a script with a variable that is not set would go on with it.
pub(super) fn refuse_empty(name: &str, arguments: &[OsString]) -> Result<(), Failure> {
    match arguments.iter().position(|argument| argument.is_empty()) {
        None => Ok(()),
        Some(at) => Err(Failure::usage(
            format!("the argument {name}, number {} of its kind, is empty", at + 1),
            "it may come of a variable that is not set; nothing was done",
            "say what is meant; the current folder is `.`",
        )),
    }
}

fn exclude(options: &mut BackupOptions, args: &ExcludeArgs) -> Result<(), Failure> {
    let excludes = &mut options.excludes;
    for file in &args.exclude_file {
        let content = read_whole(file)?;
        let text = std::str::from_utf8(&content)
            .map_err(|error| Failure::file("read as text", file, &std::io::Error::other(error.to_string())))?;
        for pattern in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            excludes.patterns.add(pattern, false).map_err(|error| pattern_failure(&error))?;
        }
    }
    let with_case = args.exclude.iter().map(|pattern| (pattern, false));
    for (pattern, ignores_case) in with_case.chain(args.iexclude.iter().map(|pattern| (pattern, true))) {
        excludes.patterns.add(pattern, ignores_case).map_err(|error| pattern_failure(&error))?;
    }
    excludes.if_present = args.exclude_if_present.iter().map(|name| name.as_bytes().to_vec()).collect();
    excludes.caches = args.exclude_caches;
    excludes.larger_than_bytes = args.exclude_larger_than;
    excludes.one_file_system = args.one_file_system;
    Ok(())
}
