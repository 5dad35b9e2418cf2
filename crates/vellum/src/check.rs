//! Checking a repository: small objects with their copies, catalogs and packs, on request every byte, then every tree
//! and file of every snapshot, so that damage is told by what it costs.

mod checker;
mod drill;
mod files;
mod history;
mod packs;
mod parity;
mod random;
mod sample;
mod snapshots;

use crate::{Context, Error};
use checker::Checker;
use vellum_format::snapshot::Timestamp;
use vellum_format::{ObjectId, ObjectName};
use vellum_repository::{HeadCode, HistoryFinding, Repository};

pub use drill::{RestoreTest, RestoreTestReport};
pub use parity::ParityCover;
pub use sample::{Coverage, coverage};

/// Findings that are kept; further ones are only counted.
const FINDINGS_KEPT_MAX: usize = 10_000;

/// How often what was found is looked for again, as long as some of it is not found any more.
const SECOND_LOOKS_MAX: usize = 8;

/// How deep to look.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct CheckOptions {
    /// The time: the library reads no clock. Without it nothing of earlier checks counts, and nothing is recorded.
    pub now: Option<Timestamp>,
    /// Which packs are read and verified byte by byte, beside those that were damaged when they were read last.
    pub read_data: ReadData,
    /// Files that are restored to try it, if any.
    pub restore_test: Option<RestoreTest>,
    /// The code of a record that history must reach to.
    pub head: Option<HeadCode>,
    /// Takes what is wrong with history for how things are, and remembers that on this machine.
    pub accept_history: bool,
}

/// Which packs are read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum ReadData {
    /// None but those.
    #[default]
    None,
    /// Every one.
    All,
    /// This share of all bytes, in percent: the packs that were read longest ago, those that never were first.
    Percent(f64),
    /// At least so many bytes, of the same packs.
    Bytes(u64),
    /// The n-th of m parts, counted from 1; m runs with the same m read everything.
    Part(u32, u32),
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The object, if it is about one.
    pub object: Option<ObjectName>,
    /// The snapshot and path that it costs, if it is about a file or folder.
    pub path: Option<(ObjectId, Vec<u8>)>,
    /// What is wrong.
    pub reason: String,
}

/// What a check saw.
#[derive(Debug, Default)]
pub struct CheckReport {
    /// What is wrong, up to the first 10,000.
    pub findings: Vec<Finding>,
    /// How many things are wrong.
    pub finding_count: u64,
    /// Snapshots whose trees were walked.
    pub snapshots: u64,
    /// Different folders.
    pub folders: u64,
    /// Packs that catalogs list.
    pub packs: u64,
    /// Packs that were read and verified byte by byte.
    pub packs_read: u64,
    /// Bytes of them.
    pub bytes_read: u64,
    /// Damaged packs that can be healed by their parity. What lies in them is no loss.
    pub packs_healable: u64,
    /// Damaged or missing copies of small objects that are told as findings and of which the other copy is whole.
    pub copies_mendable: u64,
    /// Whether something is lost because no catalog lists the chunks that hold it. Packs that no catalog lists may have
    /// them: then a catalog is lost, and nothing else.
    pub misses_chunks: bool,
    /// Packs that no catalog lists: left by an interrupted backup or a running one. Harmless.
    pub packs_unlisted: u64,
    /// Catalogs and snapshots of which only one copy is there and that no acknowledged snapshot is known to need: left
    /// by an interrupted backup or a running one. Harmless; the next backup stores the other copy.
    pub copies_missing: u64,
    /// How many of them are snapshots: whole and listed, though the backup that stored them may have told that it
    /// failed.
    pub snapshots_unpaired: u64,
    /// What restoring files to try it showed.
    pub restore_test: RestoreTestReport,
    /// The code of history's newest record.
    pub head_code: Option<HeadCode>,
    /// Whether this machine remembered nothing of this repository's history, and so cannot tell an older state.
    pub is_first_sight: bool,
    /// What was wrong with history and was accepted.
    pub accepted: Vec<HistoryFinding>,
    /// When packs were verified, by this check and earlier ones.
    pub coverage: Coverage,
    /// What damage packs outlast.
    pub parity: ParityCover,
    /// Whether the repository remembers what this check read.
    pub is_recorded: bool,
    /// Why the repository could not remember what this check read, if it could not. Nothing depends on it.
    pub not_recorded: Option<String>,
}

/// Checks a repository. When it reads packs or restores files, and is told the time, it leaves a record of that and
/// removes earlier ones; it changes nothing else in the repository.
///
/// # Errors
/// [`Error::Repository`] when the storage cannot be read at all, or history does not reach to the given head; damage
/// is not an error but a finding.
pub fn check(repository: &Repository, options: &CheckOptions, context: &Context) -> Result<CheckReport, Error> {
    let mut checker = Checker::new(repository, context);
    checker.look(options)?;
    for _ in 0..SECOND_LOOKS_MAX {
        // What others forgot and pruned meanwhile is no damage. What is wrong is found again, and what could not be
        // read once is told as long as it is there.
        let found = std::mem::take(&mut checker.report.findings);
        if found.is_empty() {
            break;
        }
        let count = found.len();
        checker.look_again(options)?;
        let again = std::mem::take(&mut checker.report.findings);
        let found = confirmed(found, again, |finding| checker.is_still_there(finding));
        let counted = if found.len() < FINDINGS_KEPT_MAX { 0 } else { checker.report.finding_count };
        checker.report.finding_count = counted.max(found.len() as u64);
        checker.report.findings = found;
        if checker.report.findings.len() == count {
            break;
        }
    }
    checker.count_mendable_copies()?;
    checker.remember(options)?;
    // Last: a check that was stopped has accepted nothing.
    if options.accept_history {
        checker.report.accepted = repository.accept_history()?;
    }
    Ok(checker.report)
}

/// What was found twice, or is there all the same. Where the first look found more than is kept, whatever the second
/// found may have been among that, and counts until it is looked for again.
fn confirmed(mut found: Vec<Finding>, again: Vec<Finding>, is_still_there: impl Fn(&Finding) -> bool) -> Vec<Finding> {
    let is_full = found.len() == FINDINGS_KEPT_MAX;
    found.retain(|finding| again.contains(finding) || is_still_there(finding));
    if is_full {
        let room = FINDINGS_KEPT_MAX - found.len();
        let more: Vec<_> = again.into_iter().filter(|finding| !found.contains(finding)).take(room).collect();
        found.extend(more);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(numbers: std::ops::Range<usize>) -> Vec<Finding> {
        numbers.map(|number| Finding { object: None, path: None, reason: number.to_string() }).collect()
    }

    #[test]
    fn what_is_found_twice_or_is_still_there_counts() {
        let still = |finding: &Finding| finding.reason == "1";
        assert_eq!(confirmed(findings(0..4), findings(3..5), still), [findings(1..2), findings(3..4)].concat());
    }

    /// A forget and a prune meanwhile may cost more files than are kept, and damage that was found behind them is told.
    #[test]
    fn what_was_found_behind_all_that_is_kept_counts() {
        let many = || findings(0..FINDINGS_KEPT_MAX);
        let damage = || findings(FINDINGS_KEPT_MAX..FINDINGS_KEPT_MAX + 3);
        assert_eq!(confirmed(many(), damage(), |_| false), damage());
        assert_eq!(
            confirmed(many(), [damage(), findings(0..2)].concat(), |_| false),
            [findings(0..2), damage()].concat()
        );
        assert_eq!(confirmed(many(), damage(), |_| true), many(), "no more than is kept");
    }
}
