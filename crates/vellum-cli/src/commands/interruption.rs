//! What is true of each verb that was stopped by a signal.

use crate::args::Verb;
use crate::report::Failure;

/// Says it in the verb's own words.
pub(super) fn explain(failure: Failure, verb: &Verb) -> Failure {
    match (failure.code, words(verb)) {
        ("interrupted", Some((meaning, hint))) => Failure { meaning: meaning.into(), hint: hint.into(), ..failure },
        _ => failure,
    }
}

/// What it means and what to try; `None` where the words for a backup are right.
fn words(verb: &Verb) -> Option<(&'static str, &'static str)> {
    Some(match verb {
        Verb::Backup(_) => return None,
        Verb::Restore(args) if args.dry_run => ("you asked to stop; nothing was changed", "run the same command again"),
        Verb::Restore(_) => (
            "you asked to stop; files that were restored until then are whole, and folders may lack their metadata",
            "run the same command again; with --overwrite if-changed it leaves alone what is there already",
        ),
        Verb::Prune(_) => (
            "you asked to stop; nothing was deleted that a snapshot needs, and what was not deleted yet takes space",
            "run the same command again, now or later",
        ),
        Verb::Forget(_) => (
            "you asked to stop; each snapshot is either removed or whole, and nothing that one needs was deleted",
            "`vellum snapshots` tells which are there; run the same command again for the rest",
        ),
        Verb::Check(_) => (
            "you asked to stop; nothing was changed, and what the check read until then is not recorded",
            "run the same command again; `--sample 1%` reads a little each time, what was verified longest ago first",
        ),
        Verb::Repair(_) => {
            ("you asked to stop; a repair only adds, and what it stored until then stays", "run the same command again")
        }
        Verb::Try(_) | Verb::Bench(_) => {
            ("you asked to stop; what it made for itself is removed", "run the same command again")
        }
        _ => ("you asked to stop; nothing was changed", "run the same command again"),
    })
}
