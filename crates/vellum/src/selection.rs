//! Naming snapshots: `latest`, `latest~2`, a full or short id, or a date.

use crate::Error;
use vellum_format::snapshot::Timestamp;
use vellum_format::{ObjectId, ObjectKind};
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
    /// The only one dated from the first to the last of these moments.
    During(Timestamp, Timestamp),
}

impl std::fmt::Display for SnapshotRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Latest(0) => f.write_str("latest"),
            Self::Latest(back) => write!(f, "latest~{back}"),
            Self::Id(id) => f.write_str(id),
            Self::At(time) | Self::During(time, _) => write!(f, "the time {} seconds since 1970", time.seconds),
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
        && let Some(id) = ObjectId::from_hex(id)
        && repository.names_of_either(ObjectKind::Snapshot)?.contains_key(&id)
    {
        return Ok(repository.read_snapshot(id)?);
    }
    let Snapshots { snapshots, damaged, void: _ } = repository.snapshots()?;
    // Where no snapshot can be read at all, that is the news.
    match damaged.into_iter().next().filter(|_| snapshots.is_empty()) {
        Some(unreadable) => Err(unreadable.into()),
        None => reference.among(&snapshots, filter).cloned(),
    }
}

impl SnapshotRef {
    /// Whether what it names depends on which snapshots there are.
    #[must_use]
    pub fn is_relative(&self) -> bool {
        !matches!(self, Self::Id(_))
    }

    /// Whether it is this id or the start of it.
    pub(crate) fn is_start_of(&self, snapshot: ObjectId) -> bool {
        matches!(self, Self::Id(id) if snapshot.to_string().starts_with(id))
    }

    /// As [`find_snapshot`], among these snapshots, which are oldest first.
    pub(crate) fn among<'a>(&self, snapshots: &'a [Snapshot], filter: &SnapshotFilter) -> Result<&'a Snapshot, Error> {
        let mut newest_first = snapshots.iter().rev().filter(|snapshot| filter.matches(snapshot));
        let found = match self {
            Self::Id(id) => {
                let matching: Vec<&Snapshot> =
                    snapshots.iter().filter(|snapshot| self.is_start_of(snapshot.id)).collect();
                if matching.len() > 1 {
                    return Err(Error::AmbiguousSnapshot { reference: id.clone(), count: matching.len() });
                }
                matching.first().copied()
            }
            Self::Latest(back) => newest_first.nth(*back),
            Self::At(time) => newest_first.find(|snapshot| snapshot.manifest.time <= *time),
            Self::During(first, last) => return self.only_one(newest_first, *first, *last),
        };
        found.ok_or_else(|| Error::NoSnapshot { reference: self.to_string() })
    }

    /// The snapshot of a span of time, if it is the only one there; else the error names those there, or its
    /// neighbours.
    fn only_one<'a>(
        &self,
        newest_first: impl Iterator<Item = &'a Snapshot>,
        first: Timestamp,
        last: Timestamp,
    ) -> Result<&'a Snapshot, Error> {
        let (mut before, mut during, mut after) = (None, Vec::new(), None);
        for snapshot in newest_first {
            match snapshot.manifest.time {
                time if time > last => after = Some(snapshot),
                time if time < first => before = before.or(Some(snapshot)),
                _ => during.push(snapshot),
            }
        }
        if let [only] = during[..] {
            return Ok(only);
        }
        let (reference, count) = (self.to_string(), during.len());
        let candidates = if during.is_empty() { before.into_iter().chain(after).collect() } else { during };
        let candidates = candidates.into_iter().map(|snapshot| (snapshot.id, snapshot.manifest.time)).collect();
        Err(Error::NotOneSnapshot { reference, count, candidates })
    }
}
