//! The fast look at healthy snapshots: it tells whether all is whole, not what is wrong.

use crate::content::DistinctChunks;
use crate::losses::{expect_len, folder_hash};
use crate::scan::{Visit, scan};
use crate::tree_reader::root_content;
use crate::{Context, Error, lock};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use vellum_format::content::{ChunkKind, Content};
use vellum_repository::{FrameCache, References, Repository, RepositoryError, Snapshot};

/// Frames of trees that are kept open for each thread.
const CACHED_FRAMES: usize = 8;

/// How many different folders lie below the roots of these snapshots, when every one of them can be read and every
/// chunk of every file is listed in a pack that is there; nothing when anything may be wrong.
///
/// Memory: 16 bytes for each different folder, about 100 for each different file with lists, 4 MiB a thread.
///
/// # Errors
/// [`Error::Cancelled`].
pub(super) fn folders_of(
    repository: &Repository,
    snapshots: &[Snapshot],
    context: &Context,
) -> Result<Option<u64>, Error> {
    let Ok(mut roots) = snapshots.iter().map(root_content).collect::<Result<Vec<_>, _>>() else { return Ok(None) };
    let mut seen = HashSet::new();
    roots.retain(|root| seen.insert(folder_hash(root)));
    let cache = FrameCache::strict(CACHED_FRAMES * context.worker_count());
    let look = Look { repository, cache: &cache, folders: Mutex::default(), long_files: Mutex::default() };
    match scan(repository, &cache, roots, context, &look) {
        Ok(()) => Ok(Some(look.folders.into_inner().unwrap_or_else(PoisonError::into_inner).len() as u64)),
        Err(Error::Cancelled) => Err(Error::Cancelled),
        Err(_) => Ok(None),
    }
}

struct Look<'a> {
    repository: &'a Repository,
    cache: &'a FrameCache,
    /// Folders that were found, by the hash of their content.
    folders: Mutex<HashSet<[u8; 16]>>,
    /// Contents with lists whose chunks are looked up, likewise, with their lengths.
    long_files: Mutex<HashMap<[u8; 16], u64>>,
}

impl Visit for Look<'_> {
    type Own = References;

    fn enter(&self, _: &mut References, folder: &Content) -> Result<bool, RepositoryError> {
        Ok(lock(&self.folders).insert(folder_hash(folder)))
    }

    fn file(&self, own: &mut References, content: &Content, len_bytes: u64) -> Result<(), RepositoryError> {
        let hash = (content.depth > 0).then(|| folder_hash(content));
        if let Some(sum) = hash.and_then(|hash| lock(&self.long_files).get(&hash).copied()) {
            return expect_len(sum, len_bytes);
        }
        let sum = DistinctChunks::visit(self.repository, self.cache, content, &mut |kind, chunk| {
            // A list was read.
            if kind == ChunkKind::Data {
                self.repository.collect(own, kind, chunk);
            }
            if own.are_many() { self.look_up(own) } else { Ok(()) }
        })?;
        lock(&self.long_files).extend(hash.map(|hash| (hash, sum)));
        expect_len(sum, len_bytes)
    }

    fn finish(&self, mut own: References) -> Result<(), RepositoryError> {
        self.look_up(&mut own)
    }
}

impl Look<'_> {
    fn look_up(&self, references: &mut References) -> Result<(), RepositoryError> {
        match self.repository.are_stored(references) {
            true => Ok(()),
            false => Err(RepositoryError::TreeDamaged { reason: "something that it names is not stored".to_owned() }),
        }
    }
}
