//! The fast look at healthy folders: it tells whether all is whole, not what is wrong.

use crate::content::DistinctChunks;
use crate::losses::{expect_len, folder_hash};
use crate::scan::{Visit, scan};
use crate::tree_reader::root_content;
use crate::{Context, Error, lock};
use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use vellum_format::content::{ChunkKind, Content};
use vellum_repository::{FrameCache, References, Repository, RepositoryError, Snapshot};

/// Frames of trees that are kept open for each thread.
const CACHED_FRAMES: usize = 4;

/// How many different folders lie below the roots of these snapshots, when all of them are whole; nothing when anything
/// may be wrong.
///
/// Memory: 16 bytes for each different folder beside that of [`is_whole`].
///
/// # Errors
/// [`Error::Cancelled`].
pub(crate) fn folders_of(
    repository: &Repository,
    snapshots: &[Snapshot],
    context: &Context,
) -> Result<Option<u64>, Error> {
    let Ok(mut roots) = snapshots.iter().map(root_content).collect::<Result<Vec<_>, _>>() else { return Ok(None) };
    let mut seen = HashSet::new();
    roots.retain(|root| seen.insert(folder_hash(root)));
    let folders = Mutex::new(HashSet::new());
    let is_new = |folder: &Content| lock(&folders).insert(folder_hash(folder));
    let is_whole = is_whole(repository, roots, is_new, context)?;
    Ok(is_whole.then(|| lock(&folders).len() as u64))
}

/// Whether these folders and all below them that `enter` wants can be read, and every chunk of every file in them is
/// listed in a pack that is there. False when the index turns out damaged, too.
///
/// Memory: about 100 bytes for each different file with lists, 4 MiB and a few frames of trees a thread.
///
/// # Errors
/// [`Error::Cancelled`].
pub(crate) fn is_whole(
    repository: &Repository,
    roots: Vec<Content>,
    enter: impl Fn(&Content) -> bool + Sync,
    context: &Context,
) -> Result<bool, Error> {
    let cache = FrameCache::strict(CACHED_FRAMES * context.worker_count());
    let look = Look { repository, cache: &cache, enter, long_files: Mutex::default() };
    match scan(repository, &cache, roots, context, &look) {
        Ok(()) => Ok(true),
        Err(Error::Cancelled) => Err(Error::Cancelled),
        Err(_) => Ok(false),
    }
}

struct Look<'a, E> {
    repository: &'a Repository,
    cache: &'a FrameCache,
    enter: E,
    /// Contents with lists whose chunks are looked up, by their hashes, with their lengths.
    long_files: Mutex<HashMap<[u8; 16], u64>>,
}

impl<E: Fn(&Content) -> bool + Sync> Visit for Look<'_, E> {
    type Own = References;

    fn enter(&self, _: &mut References, folder: &Content) -> Result<bool, RepositoryError> {
        Ok((self.enter)(folder))
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

impl<E> Look<'_, E> {
    fn look_up(&self, references: &mut References) -> Result<(), RepositoryError> {
        match self.repository.are_stored(references) {
            true => Ok(()),
            false => Err(RepositoryError::TreeDamaged { reason: "something that it names is not stored".to_owned() }),
        }
    }
}
