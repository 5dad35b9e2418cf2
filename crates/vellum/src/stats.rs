//! What a repository holds and what it takes.

use crate::losses::folder_hash;
use crate::tree_reader::{TreeWalk, root_content};
use crate::{Context, Error};
use std::collections::HashMap;
use vellum_format::ObjectKind;
use vellum_format::content::Content;
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
        // A file with holes may claim to be of any length.
        stats.stored_bytes = objects.values().fold(stats.stored_bytes, |sum, len| sum.saturating_add(*len));
        if kind == ObjectKind::Pack {
            stats.packs = objects.len() as u64;
        }
    }
    let mut counter = Counter { repository, context, known: HashMap::new() };
    for snapshot in snapshots {
        stats.snapshots += 1;
        let counts = counter.count(&root_content(snapshot)?)?;
        stats.files = stats.files.saturating_add(counts.files);
        stats.restore_bytes = stats.restore_bytes.saturating_add(counts.bytes);
    }
    Ok(stats)
}

/// Files, and the bytes in them.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    files: u64,
    bytes: u64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.files = self.files.saturating_add(other.files);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// Looks at each different folder once: a few of them may be repeated more often than anybody can count. Memory: 32
/// bytes for each.
struct Counter<'a> {
    repository: &'a Repository,
    context: &'a Context,
    /// What folders hold with everything below, by the hash of their content.
    known: HashMap<[u8; 16], Counts>,
}

impl Counter<'_> {
    fn count(&mut self, root: &Content) -> Result<Counts, Error> {
        let cache = FrameCache::new(16);
        let mut open = vec![(folder_hash(root), Counts::default())];
        let mut walk = TreeWalk::new(self.repository, &cache, root);
        while let Some(step) = walk.next() {
            self.context.check_cancelled()?;
            let step = step.map_err(|(_, error)| error)?;
            self.leave(&mut open, step.depth + 1);
            let (_, counts) = open.last_mut().expect("the walk is below the root");
            match &step.entry.node {
                Node::File { len_bytes, .. } => counts.add(Counts { files: 1, bytes: *len_bytes }),
                Node::Folder { content } => {
                    let hash = folder_hash(content);
                    if let Some(known) = self.known.get(&hash) {
                        counts.add(*known);
                        walk.skip_folder();
                    } else {
                        open.push((hash, Counts::default()));
                    }
                }
                _ => {}
            }
        }
        self.leave(&mut open, 1);
        Ok(open[0].1)
    }

    /// Counts what the folders that the walk has left hold to those above, until so many are open.
    fn leave(&mut self, open: &mut Vec<([u8; 16], Counts)>, count: usize) {
        while open.len() > count {
            let (hash, counts) = open.pop().expect("more are open");
            self.known.insert(hash, counts);
            if let Some((_, above)) = open.last_mut() {
                above.add(counts);
            }
        }
    }
}
