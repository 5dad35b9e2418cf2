//! Naming snapshots: `latest`, `latest~2`, a full or short id, or a date.

use crate::Error;
use vellum_format::snapshot::Timestamp;
use vellum_repository::{Repository, Snapshot, Snapshots};

/// A snapshot as the user names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotRef {
    /// The newest, or the n-th before it.
    Latest(usize),
    /// A full or short id, in lower-case hex.
    Id(String),
    /// The newest that is not younger than this.
    At(Timestamp),
}

impl std::fmt::Display for SnapshotRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Latest(0) => f.write_str("latest"),
            Self::Latest(back) => write!(f, "latest~{back}"),
            Self::Id(id) => f.write_str(id),
            Self::At(time) => write!(f, "the time {} seconds since 1970", time.seconds),
        }
    }
}

/// Which snapshots count.
#[derive(Debug, Clone, Default)]
pub struct SnapshotFilter {
    /// Only of these hosts; empty takes every host.
    pub hosts: Vec<Vec<u8>>,
    /// Only with at least one of these tag sets, each of which must be there whole; empty takes every snapshot.
    pub tags: Vec<Vec<String>>,
    /// Only with every one of these paths.
    pub paths: Vec<Vec<u8>>,
}

impl SnapshotFilter {
    /// Whether a snapshot counts.
    #[must_use]
    pub fn matches(&self, snapshot: &Snapshot) -> bool {
        let manifest = &snapshot.manifest;
        let host = self.hosts.is_empty() || self.hosts.contains(&manifest.host.0);
        let has_all = |set: &Vec<String>| set.iter().all(|tag| manifest.tags.contains(tag));
        let tags = self.tags.is_empty() || self.tags.iter().any(has_all);
        host && tags && self.paths.iter().all(|path| manifest.paths.iter().any(|own| own.0 == *path))
    }
}

/// The snapshot that a reference names, among those that the filter lets through. An id is looked for among all.
///
/// # Errors
/// [`Error::NoSnapshot`], [`Error::AmbiguousSnapshot`], or the repository's.
pub fn find_snapshot(
    repository: &Repository,
    reference: &SnapshotRef,
    filter: &SnapshotFilter,
) -> Result<Snapshot, Error> {
    if let SnapshotRef::Id(id) = reference
        && let Some(id) = vellum_format::ObjectId::from_hex(id)
        && repository.names_of_either(vellum_format::ObjectKind::Snapshot)?.contains_key(&id)
    {
        return Ok(repository.read_snapshot(id)?);
    }
    let Snapshots { snapshots, damaged, void: _ } = repository.snapshots()?;
    // Where no snapshot can be read at all, that is the news.
    let unreadable = if snapshots.is_empty() { damaged.into_iter().next() } else { None };
    let missing = || unreadable.map_or_else(|| Error::NoSnapshot { reference: reference.to_string() }, Error::from);
    match reference {
        SnapshotRef::Id(id) => {
            let mut matching: Vec<Snapshot> =
                snapshots.into_iter().filter(|snapshot| snapshot.id.to_string().starts_with(id)).collect();
            match (matching.pop(), matching.len()) {
                (Some(snapshot), 0) => Ok(snapshot),
                (Some(_), others) => Err(Error::AmbiguousSnapshot { reference: id.clone(), count: others + 1 }),
                (None, _) => Err(missing()),
            }
        }
        SnapshotRef::Latest(back) => {
            snapshots.into_iter().rev().filter(|snapshot| filter.matches(snapshot)).nth(*back).ok_or_else(missing)
        }
        SnapshotRef::At(time) => snapshots
            .into_iter()
            .rev()
            .find(|snapshot| filter.matches(snapshot) && snapshot.manifest.time <= *time)
            .ok_or_else(missing),
    }
}
