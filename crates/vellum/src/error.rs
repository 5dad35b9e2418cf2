//! The one error of the engine. Words for people live at the edge.

use std::path::PathBuf;
use vellum_format::ObjectId;
use vellum_format::snapshot::Timestamp;
use vellum_repository::RepositoryError;

/// Why an operation as a whole failed. What concerns a single entry is a [`Problem`](crate::Problem) instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The repository failed.
    #[error(transparent)]
    Repository(#[from] RepositoryError),
    /// Somebody asked to stop.
    #[error("cancelled")]
    Cancelled,
    /// None of the paths to back up is there and can be entered; this is one of them.
    #[error("{}: {source}", path.display())]
    SourceMissing {
        /// The path.
        path: PathBuf,
        /// Why it cannot be opened.
        source: std::io::Error,
    },
    /// Nothing was named to back up.
    #[error("there is nothing to back up")]
    NothingToBackUp,
    /// More paths than a snapshot can name.
    #[error("{count} paths are too many for one snapshot, which can name {max}")]
    TooManyPaths {
        /// How many were given.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// The repository lies inside what is to be backed up.
    #[error("the repository lies inside {}, which is to be backed up", path.display())]
    RepositoryInsideSource {
        /// The source path.
        path: PathBuf,
    },
    /// The target lies inside the repository.
    #[error("the target {} lies inside the repository", path.display())]
    TargetInsideRepository {
        /// The target path.
        path: PathBuf,
    },
    /// Two roots contradict each other.
    #[error("{}: {reason}", path.display())]
    UnusableRoot {
        /// The path.
        path: PathBuf,
        /// Why.
        reason: &'static str,
    },
    /// The target cannot be made or entered.
    #[error("{}: {source}", path.display())]
    Target {
        /// The path.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The target's disk is full or failed while something was restored into it.
    #[error("{}: {source}", path.display())]
    TargetFailed {
        /// Where in the target.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No snapshot matches.
    #[error("no snapshot matches {reference}")]
    NoSnapshot {
        /// What was asked for.
        reference: String,
    },
    /// More than one snapshot begins like this.
    #[error("{count} snapshots begin with {reference}")]
    AmbiguousSnapshot {
        /// What was asked for.
        reference: String,
        /// How many.
        count: usize,
    },
    /// A time was to name one snapshot, and names none or several.
    #[error("{count} snapshots are dated {reference}")]
    NotOneSnapshot {
        /// What was asked for.
        reference: String,
        /// How many.
        count: usize,
        /// Those, newest first; when there is none, the last before and the first after.
        candidates: Vec<(ObjectId, Timestamp)>,
    },
    /// What a reference names depends on records of history that cannot be read.
    #[error("it is not certain what {reference} means, because {damaged} snapshots or tombstones cannot be read")]
    DoubtfulSnapshot {
        /// What was asked for.
        reference: String,
        /// How many cannot be read.
        damaged: usize,
    },
    /// Snapshots were to be forgotten by rules of which none keeps anything.
    #[error("there is no rule that keeps anything")]
    NoRetentionRule,
    /// Snapshots were to be forgotten by tags that no snapshot has.
    #[error("no snapshot has the tags to keep: {tags}")]
    UnknownKeepTag {
        /// The tags of each rule.
        tags: String,
    },
    /// Rules would leave nothing of a group.
    #[error("no rule keeps any of {count} snapshots of {group}{}", and_so_for(*.others))]
    GroupsEmptied {
        /// The first such group.
        group: String,
        /// How many snapshots it has.
        count: usize,
        /// How many more such groups there are.
        others: usize,
    },
    /// What a snapshot does not have was to be deleted, and the snapshot does not have what could not be read.
    #[error("snapshot {snapshot} was made with {errors} errors")]
    DeleteByIncomplete {
        /// The snapshot's short id.
        snapshot: String,
        /// What could not be saved, or was lost since by a repair; a folder counts once, whatever was in it.
        errors: u64,
    },
    /// A path is not in the snapshot.
    #[error("{path} is not in snapshot {snapshot}")]
    NoSuchPath {
        /// The path.
        path: String,
        /// The snapshot's short id.
        snapshot: String,
    },
    /// A stream given by the caller failed.
    #[error("the input stream failed: {0}")]
    Input(#[source] std::io::Error),
    /// A worker thread panicked: a defect of this program.
    #[error("a worker thread panicked; this is a defect of Vellum")]
    WorkerPanicked,
}

fn and_so_for(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => ", nor of another group".to_owned(),
        others => format!(", nor of {others} other groups"),
    }
}
