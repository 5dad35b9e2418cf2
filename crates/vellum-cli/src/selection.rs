//! From what was typed to snapshots of the repository.

use crate::args::FilterArgs;
use crate::exit_code::ExitCode;
use crate::output::Output;
use crate::paths::absolute_bytes;
use crate::reference::SnapshotReference;
use crate::report::Failure;
use std::os::unix::ffi::OsStrExt as _;
use vellum::format::content::Content;
use vellum::format::{ObjectKind, ObjectName};
use vellum::{Error, FilterError, Repository, RepositoryError, Snapshot, SnapshotFilter, find_snapshot};

/// The filter that flags describe.
pub(crate) fn filter(args: &FilterArgs) -> Result<SnapshotFilter, Failure> {
    let split = |tags: &String| tags.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    let paths = args
        .path
        .iter()
        .map(|path| absolute_bytes(path).map_err(|error| Failure::file("find the current folder for", path, &error)));
    Ok(SnapshotFilter {
        hosts: args.host.iter().map(|host| host.as_bytes().to_vec()).collect(),
        tags: args.tag.iter().map(split).collect(),
        paths: paths.collect::<Result<_, _>>()?,
    })
}

/// A snapshot that was chosen.
pub(crate) struct Chosen {
    /// The snapshot.
    pub(crate) snapshot: Snapshot,
    /// Whether another one might have been meant, had it not been damaged.
    pub(crate) is_doubtful: bool,
}

impl Chosen {
    /// The exit code of a command that did all that can be done with it.
    pub(crate) fn exit_code(&self) -> ExitCode {
        if self.is_doubtful { ExitCode::Damage } else { ExitCode::Complete }
    }
}

/// The snapshot that was meant. `latest` and dates choose among what can be read, so damaged snapshots are told.
pub(crate) fn choose(
    repository: &Repository,
    reference: &SnapshotReference,
    filter: &SnapshotFilter,
    output: &Output,
) -> Result<Chosen, Failure> {
    let damaged = match reference.snapshot.is_relative() {
        true => repository.snapshots()?.damaged,
        false => Vec::new(),
    };
    warn_of_damaged(&damaged, output);
    let snapshot = find_snapshot(repository, &reference.snapshot, filter).map_err(|error| match error {
        Error::NoSnapshot { .. } => Error::NoSnapshot { reference: reference.text.clone() },
        other => other,
    })?;
    Ok(Chosen { snapshot, is_doubtful: !damaged.is_empty() })
}

/// Names snapshots that cannot be used.
pub(crate) fn warn_of_damaged(damaged: &[RepositoryError], output: &Output) {
    for error in damaged {
        output.warn(&format!("{error}; this snapshot cannot be used, others are not concerned"));
    }
}

/// Names damaged packs of which something was read by their parity: nothing is lost, and nothing is repaired yet.
pub(crate) fn warn_of_healed(repository: &Repository, output: &Output) {
    for pack in repository.healed_packs() {
        output.warn(&format!("{pack} is damaged and was read by its parity; `vellum repair packs` stores it anew"));
    }
}

/// The entry list of a snapshot's root.
pub(crate) fn root_content(snapshot: &Snapshot) -> Result<Content, Failure> {
    let object = ObjectName::new(ObjectKind::Snapshot, snapshot.id);
    let content = snapshot.manifest.root.content();
    Ok(content.map_err(|error| RepositoryError::Damaged { object, reason: error.to_string() })?)
}

/// Why a pattern cannot be used.
pub(crate) fn pattern_failure(error: &FilterError) -> Failure {
    Failure::usage(
        error.to_string(),
        "a pattern does not parse; nothing was done",
        "correct it, or quote what is not meant as a pattern with `\\`",
    )
}
