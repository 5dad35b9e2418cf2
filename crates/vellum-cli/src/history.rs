//! What a run tells of a repository's history: what is wrong with it, and what this machine cannot prove.

use crate::output::Output;
use crate::report::Failure;
use vellum::{HeadCode, History, HistoryFinding, KnownBy, Repository};

/// Findings that are told one by one.
const FINDINGS_TOLD_MAX: usize = 5;

/// Reads history before something of it is used: warns of what is wrong, sees that it reaches to the head that was
/// noted, or says that nothing proves how new it is.
pub(crate) fn look(repository: &Repository, head: Option<&HeadCode>, output: &Output) -> Result<History, Failure> {
    let history = repository.history()?;
    if let Some(code) = head {
        history.expect_head(code)?;
    }
    warn_of(&history.findings, output);
    note_first_sight(history.is_first_sight && history.head.is_some() && head.is_none(), output);
    Ok(history)
}

/// Says that an older state could not be told from the newest.
pub(crate) fn note_first_sight(is_first_sight: bool, output: &Output) {
    if is_first_sight {
        output.note(
            "note: what is here is authentic, but this machine has not seen this repository before and cannot prove \
             that it is the newest state; --head CODE proves it, with the code that the last backup printed",
        );
    }
}

/// Names what is wrong with history, what it means and what to try. The run goes on.
pub(crate) fn warn_of(findings: &[HistoryFinding], output: &Output) {
    for finding in findings.iter().take(FINDINGS_TOLD_MAX) {
        let (meaning, hint) = words(finding);
        output.warn_in_full(&finding.to_string(), meaning, hint);
    }
    if findings.len() > FINDINGS_TOLD_MAX {
        output
            .warn(&format!("{} more findings like these; `vellum check` has all", findings.len() - FINDINGS_TOLD_MAX));
    }
}

fn words(finding: &HistoryFinding) -> (&'static str, &'static str) {
    match finding {
        HistoryFinding::Shortened { known_by: KnownBy::ThisMachine, .. } => (
            "the storage shows an older state than before, as after it was restored from a copy, with another disk \
             mounted, or when somebody withholds the rest; what is listed is authentic",
            "look for the newer state of the storage; if this is how it is meant to be, `vellum check \
             --accept-history` takes it so",
        ),
        HistoryFinding::Shortened { .. } => (
            "the storage lost or withholds it, and no removal says that it may be gone; what is listed is authentic",
            "bring it back from a copy of the repository; if it is lost for good, `vellum check --accept-history` \
             takes it so",
        ),
        _ => (
            "two copies of the repository were both written to and put together again, or the storage showed two \
             machines different states; every snapshot that is listed is authentic and whole in itself",
            "let all machines write to one copy; when you know the reason, `vellum check --accept-history` takes it so",
        ),
    }
}
