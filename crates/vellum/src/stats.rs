//! What a repository holds and what it takes.

use crate::tree_reader::{TreeWalk, root_content};
use crate::{Context, Error};
use vellum_format::ObjectKind;
use vellum_format::tree::Node;
use vellum_repository::{FrameCache, Repository, Snapshot};

/// Sizes of a repository and of snapshots in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RepositoryStats {
    /// Snapshots counted.
    pub snapshots: u64,
    /// Files in them, each snapshot's anew.
    pub files: u64,
    /// Bytes a restore of them would write.
    pub restore_bytes: u64,
    /// Chunks in all catalogs.
    pub chunks: u64,
    /// Packs stored.
    pub packs: u64,
    /// Bytes of all objects.
    pub stored_bytes: u64,
}

/// Adds up a repository and these snapshots.
///
/// # Errors
/// [`Error::Repository`] when a tree is damaged or the storage fails.
pub fn stats(repository: &Repository, snapshots: &[Snapshot], context: &Context) -> Result<RepositoryStats, Error> {
    repository.refresh()?;
    let mut stats = RepositoryStats { chunks: repository.chunk_count(), ..RepositoryStats::default() };
    for kind in ObjectKind::ALL {
        let objects = repository.names(kind)?;
        stats.stored_bytes += objects.values().sum::<u64>();
        if kind == ObjectKind::Pack {
            stats.packs = objects.len() as u64;
        }
    }
    let cache = FrameCache::new(16);
    for snapshot in snapshots {
        stats.snapshots += 1;
        for step in TreeWalk::new(repository, &cache, &root_content(snapshot)?) {
            context.check_cancelled()?;
            let step = step.map_err(|(_, error)| error)?;
            if let Node::File { len_bytes, .. } = step.entry.node {
                stats.files += 1;
                stats.restore_bytes = stats.restore_bytes.saturating_add(len_bytes);
            }
        }
    }
    Ok(stats)
}
