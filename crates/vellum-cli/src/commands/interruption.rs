//! What is true of each verb that was stopped by a signal.

use crate::args::Verb;
use crate::report::Failure;

/// Says it in the verb's own words.
pub(super) fn explain(failure: Failure, verb: &Verb) -> Failure {
    if !failure.is_interruption() {
        return failure;
    }
    let (truth, more) = words(verb);
    let meaning = format!("you asked to stop; {truth}").into();
    let hint = format!("run the same command again{more}").into();
    Failure { meaning, hint, ..failure }
}

/// What is true after it was stopped, and what there is to know of running it again.
fn words(verb: &Verb) -> (&'static str, &'static str) {
    match verb {
        Verb::Backup(_) => ("no snapshot was made, and earlier ones are untouched", ": what was done already is used"),
        Verb::Restore(args) if !args.dry_run => (
            "files that were restored until then are whole, and folders may lack their metadata",
            "; with --overwrite if-changed it leaves alone what is there already",
        ),
        Verb::Prune(_) => {
            ("nothing was deleted that a snapshot needs, and what was not deleted yet takes space", ", now or later")
        }
        Verb::Forget(_) => (
            "each snapshot is either removed or whole, and nothing that one needs was deleted",
            " for the rest; `vellum snapshots` tells which are there",
        ),
        Verb::Check(_) => (
            "nothing was changed, and what the check read until then is not recorded",
            "; `--sample 1%` reads a little each time, what was verified longest ago first",
        ),
        Verb::Repair(_) => ("a repair only adds, and what it stored until then stays", ""),
        Verb::Try(_) | Verb::Bench(_) => ("what it made for itself is removed", ""),
        _ => ("nothing was changed", ""),
    }
}
