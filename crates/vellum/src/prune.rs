//! Pruning: what no snapshot needs is deleted, beside any number of running backups (`docs/PRUNE.md`).

use crate::content::DistinctChunks;
use crate::platform::process;
use crate::scan::{Visit, scan};
use crate::tree_reader::root_content;
use crate::{Context, Error, lock};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use vellum_format::content::{ChunkKind, Content};
use vellum_format::snapshot::Timestamp;
use vellum_format::{ObjectId, ObjectKind};
use vellum_repository::storage::StorageError;
use vellum_repository::{
    FrameCache, LiveSet, MaxUnused, PruneReport, PruneSettings, References, Repository, RepositoryError, Snapshot,
    WriterNote,
};

/// Each time a damaged segment of the index was replaced, or a snapshot was forgotten. More than this is no accident.
const ATTEMPTS_MAX: usize = 16;

/// Frames of trees that are kept open for each thread that marks.
const CACHED_FRAMES: usize = 8;

/// As which attempt a prune takes what it does not find for missing.
const ABSENT_MAX: usize = 3;

/// How to prune.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PruneOptions {
    /// The time: the library reads no clock.
    pub now: Timestamp,
    /// The host's name, for those who wait.
    pub host: Vec<u8>,
    /// The user.
    pub user: String,
    /// The program and its version.
    pub program: String,
    /// How much of the repository may stay unused before packs are rewritten.
    pub max_unused: MaxUnused,
    /// Bytes of packs that are rewritten at most.
    pub max_repack_bytes: u64,
    /// Seconds between condemnation and deletion of a pack; 0 deletes at once where no running writer forbids it.
    pub grace_seconds: i64,
    /// Seconds after which a prune does not wait any longer for a writer that was running when it condemned.
    pub give_up_seconds: i64,
    /// Only tells what would be done.
    pub dry_run: bool,
    /// Snapshots that a dry run takes for forgotten. Without `dry_run` it means nothing: what is there is needed.
    pub dry_run_without: Vec<ObjectId>,
}

impl PruneOptions {
    /// The defaults: 5 % may stay unused, a day of grace, writers are given up after a week.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        const DAY: i64 = 24 * 60 * 60;
        Self {
            now,
            host: Vec::new(),
            user: String::new(),
            program: concat!("vellum ", env!("CARGO_PKG_VERSION")).to_owned(),
            max_unused: MaxUnused::Percent(5.0),
            max_repack_bytes: u64::MAX,
            grace_seconds: DAY,
            give_up_seconds: 7 * DAY,
            dry_run: false,
            dry_run_without: Vec::new(),
        }
    }
}

/// Deletes packs that no snapshot needs and rewrites those of which little is needed.
///
/// No backup has to stop, on any machine, and any number of prunes may run. A crash at any time leaves a valid
/// repository, and the next prune goes on. Packs that a running backup may rely on stay until it has ended.
///
/// # Errors
/// [`Error::Repository`] when anything that says what is needed cannot be read: then nothing more is deleted.
pub fn prune(repository: &Repository, options: &PruneOptions, context: &Context) -> Result<PruneReport, Error> {
    freeing_space(repository, || {
        for count in 1..ATTEMPTS_MAX {
            if let Some(report) = attempt(repository, options, context, count)? {
                return Ok(report);
            }
        }
        try_prune(repository, options, context, &mut Vec::new())
    })
}

/// One attempt; nothing when what it went by turned out wrong without anything being wrong with the repository.
fn attempt(
    repository: &Repository,
    options: &PruneOptions,
    context: &Context,
    count: usize,
) -> Result<Option<PruneReport>, Error> {
    let mut marked = Vec::new();
    match try_prune(repository, options, context, &mut marked) {
        Ok(report) => Ok(Some(report)),
        // P13: damage of the index on this machine.
        Err(Error::Repository(RepositoryError::FrameForgotten | RepositoryError::LocalState(_))) => {
            repository.reload_if_damaged(repository.mend_count())?;
            Ok(None)
        }
        // What it has stored is found by the next attempt.
        Err(Error::Repository(RepositoryError::Fenced)) => Ok(None),
        Err(Error::Repository(RepositoryError::Damaged { object, .. }))
            if object.kind == ObjectKind::Condemned && !options.dry_run && count < ABSENT_MAX =>
        {
            repository.remove_unreadable_condemnations(&settings(options, context))?;
            Ok(None)
        }
        // Another prune may have moved it while this one listed what there is.
        Err(Error::Repository(error)) if tells_of_absence(&error) && count < ABSENT_MAX => Ok(None),
        // Nobody waits for a prune: what only a snapshot needs that was forgotten meanwhile may be gone already.
        Err(Error::Repository(error)) if tells_of_absence(&error) && were_forgotten(repository, &marked)? => Ok(None),
        Err(error) => Err(error),
    }
}

fn tells_of_absence(error: &RepositoryError) -> bool {
    use RepositoryError::{ChunkDamaged, ChunkMissing, Damaged, Storage};
    match error {
        ChunkMissing { .. } | ChunkDamaged { .. } | Damaged { .. } => true,
        Storage(error) => matches!(error, StorageError::NotFound { .. }),
        _ => false,
    }
}

/// Whether some of these snapshots are not there any more.
fn were_forgotten(repository: &Repository, marked: &[ObjectId]) -> Result<bool, Error> {
    let there: HashSet<ObjectId> = repository.snapshots()?.snapshots.iter().map(|snapshot| snapshot.id).collect();
    Ok(marked.iter().any(|id| !there.contains(id)))
}

/// Runs what frees space; on a full storage once more, with the space that was set aside for that.
pub(crate) fn freeing_space<T>(repository: &Repository, run: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    let done = match run() {
        Err(Error::Repository(RepositoryError::Storage(error)))
            if error.is_no_space() && repository.storage().release_reserve().is_ok_and(|released| released) =>
        {
            run()
        }
        done => done,
    };
    repository.storage().keep_reserve();
    done
}

/// `marked` gets the snapshots whose needs it goes by.
fn try_prune(
    repository: &Repository,
    options: &PruneOptions,
    context: &Context,
    marked: &mut Vec<ObjectId>,
) -> Result<PruneReport, Error> {
    if !options.dry_run {
        repository.finish_removals()?;
    }
    let mut prune = repository.begin_prune(settings(options, context))?;
    if options.dry_run {
        let mut snapshots = prune.snapshots().to_vec();
        snapshots.retain(|snapshot| !options.dry_run_without.contains(&snapshot.id));
        *marked = ids(&snapshots);
        let plan = prune.plan(&mark(repository, &snapshots, context)?)?;
        return Ok(prune.foretell(&plan));
    }
    *marked = ids(prune.snapshots());
    let mut live = mark(repository, prune.snapshots(), context)?;
    let plan = prune.plan(&live)?;
    context.progress.add_total(plan.repack.len() as u64, plan.bytes_moved);
    prune.condemn(&plan, &live, &|bytes| context.progress.add_done(1, bytes))?;
    context.check_cancelled()?;
    if prune.outlast()? {
        if prune.look_again()? {
            *marked = ids(prune.snapshots());
            live = mark(repository, prune.snapshots(), context)?;
        }
        prune.rescue(&live)?;
        context.check_cancelled()?;
        prune.sweep()?;
    }
    Ok(prune.report().clone())
}

fn settings(options: &PruneOptions, context: &Context) -> PruneSettings<'static> {
    PruneSettings {
        note: WriterNote {
            time: options.now,
            host: options.host.clone(),
            user: options.user.clone(),
            program: options.program.clone(),
            process: process::current(),
        },
        max_unused: options.max_unused,
        max_repack_bytes: options.max_repack_bytes,
        grace_seconds: options.grace_seconds,
        give_up_seconds: options.give_up_seconds,
        threads: context.worker_count(),
        fate: &process::fate,
    }
}

fn ids(snapshots: &[Snapshot]) -> Vec<ObjectId> {
    snapshots.iter().map(|snapshot| snapshot.id).collect()
}

/// Marks everything that these snapshots need.
fn mark(repository: &Repository, snapshots: &[Snapshot], context: &Context) -> Result<LiveSet, Error> {
    let cache = FrameCache::new(CACHED_FRAMES * context.worker_count());
    let marker = Marker { repository, cache: &cache, live: Mutex::default(), seen: Mutex::default() };
    let mut own = References::default();
    let mut roots = Vec::new();
    for snapshot in snapshots {
        let root = root_content(snapshot)?;
        if marker.enter(&mut own, &root)? {
            roots.push(root);
        }
    }
    marker.finish(own)?;
    scan(repository, &cache, roots, context, &marker)?;
    Ok(marker.live.into_inner().unwrap_or_else(PoisonError::into_inner))
}

struct Marker<'a> {
    repository: &'a Repository,
    cache: &'a FrameCache,
    live: Mutex<LiveSet>,
    seen: Mutex<Seen>,
}

/// What is marked or about to be, by the hashes of the contents.
#[derive(Default)]
struct Seen {
    /// Folders with everything below.
    folders: HashSet<[u8; 16]>,
    /// Files with lists.
    files: HashSet<[u8; 16]>,
}

impl Visit for Marker<'_> {
    type Own = References;

    fn enter(&self, own: &mut References, folder: &Content) -> Result<bool, RepositoryError> {
        let is_new = lock(&self.seen).folders.insert(hash(folder));
        if is_new {
            self.mark_content(own, ChunkKind::Tree, folder)?;
        }
        Ok(is_new)
    }

    fn file(&self, own: &mut References, content: &Content, _: u64) -> Result<(), RepositoryError> {
        // A long file that is there twice is marked.
        match content.depth > 0 && !lock(&self.seen).files.insert(hash(content)) {
            true => Ok(()),
            false => self.mark_content(own, ChunkKind::Data, content),
        }
    }

    fn finish(&self, mut own: References) -> Result<(), RepositoryError> {
        self.repository.mark(&self.live, &mut own)
    }
}

impl Marker<'_> {
    fn mark_content(&self, own: &mut References, kind: ChunkKind, content: &Content) -> Result<(), RepositoryError> {
        DistinctChunks::visit(self.repository, self.cache, content, &mut |of, chunk| {
            self.repository.collect(own, if of == ChunkKind::List { of } else { kind }, chunk);
            match own.are_many() {
                true => self.repository.mark(&self.live, own),
                false => Ok(()),
            }
        })?;
        Ok(())
    }
}

fn hash(content: &Content) -> [u8; 16] {
    let mut bytes = Vec::new();
    content.encode_into(&mut bytes);
    *blake3::hash(&bytes).as_bytes().first_chunk().expect("a hash is longer than 16 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum_format::ObjectName;

    #[test]
    fn what_is_not_there_is_told_from_what_cannot_be_asked() {
        let name = ObjectName::of(ObjectKind::Pack, b"gone");
        assert!(tells_of_absence(&RepositoryError::Storage(StorageError::NotFound { name })));
        let source = std::io::ErrorKind::TimedOut.into();
        let asked_in_vain = StorageError::Unreachable { location: "far away".to_owned(), source };
        assert!(!tells_of_absence(&RepositoryError::Storage(asked_in_vain)));
        assert!(!tells_of_absence(&RepositoryError::Fenced));
    }
}
