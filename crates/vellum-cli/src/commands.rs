//! One module a verb: resolve what it needs, call the engine, render what came of it.

mod backup;
mod bench;
mod cat;
mod check;
mod completions;
mod forget;
mod init;
mod interruption;
mod key;
mod ls;
mod problems;
mod prune;
mod recovery;
mod repair;
mod restore;
mod snapshots;
mod stats;
mod try_out;

use crate::args::Verb;
use crate::exit_code::ExitCode;
use crate::invocation::Invocation;
use crate::report::Failure;

/// Refuses what a verb's arguments already show to be wrong.
pub(crate) fn look_over(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Try(args) => backup::refuse_empty("PATH", &args.paths),
        Verb::Backup(args) => backup::look_over(args),
        Verb::Restore(args) => restore::look_over(args),
        Verb::Forget(args) => forget::look_over(args),
        _ => Ok(()),
    }
}

/// Runs a verb.
pub(crate) fn run(invocation: &Invocation, verb: &Verb) -> Result<ExitCode, Failure> {
    look_over(verb)?;
    run_verb(invocation, verb).map_err(|failure| interruption::explain(failure, verb))
}

fn run_verb(invocation: &Invocation, verb: &Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Try(args) => try_out::run(invocation, args),
        Verb::Init(args) => init::run(invocation, args),
        Verb::Backup(args) => backup::run(invocation, args),
        Verb::Restore(args) => restore::run(invocation, args),
        Verb::Snapshots(args) => snapshots::run(invocation, args),
        Verb::Ls(args) => ls::run(invocation, args),
        Verb::Forget(args) => forget::run(invocation, args),
        Verb::Check(args) => check::run(invocation, args),
        Verb::Repair(verb) => repair::run(invocation, verb),
        Verb::Prune(args) => prune::run(invocation, args),
        Verb::Key(verb) => key::run(invocation, verb),
        Verb::Recovery(verb) => recovery::run(invocation, verb),
        Verb::Stats(args) => stats::run(invocation, args),
        Verb::Cat(verb) => cat::run(invocation, verb),
        Verb::Bench(args) => bench::run(invocation, args),
        Verb::Completions(args) => Ok(completions::run(invocation, args)),
    }
}
