//! One backup's writing: from the first chunk to the snapshot that makes it visible.
//!
//! [`Session`] takes chunks. [`Session::seal`] consumes it when every chunk is durable and catalogued. Only what it
//! returns, [`Durable`], can publish a snapshot. Dropping either publishes nothing.
//!
//! The steps W1 to W7 are those of a writer in `docs/PRUNE.md`.

use crate::class::Class;
use crate::device::Device;
use crate::fault::reach;
use crate::history::{HistoryFinding, Position, Records};
use crate::intent::{OwnIntent, WriterNote};
use crate::memory_faults::{self, Stage, pass};
use crate::objects::names_of;
use crate::open::Repository;
use crate::pack_writer::{CatalogMark, CatalogMarks, FrameKey, OpenPack, PackShape, Room, SealedFrame, random};
use crate::pending::Pending;
use crate::put::FrameWriter;
use crate::refresh::BATCH_CHUNKS;
use crate::upload::{StoredPack, Uploader};
use crate::{RepositoryError, lock};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vellum_crypto::EpochKeys;
use vellum_faults::Point;
use vellum_format::catalog::{self, Catalog, CatalogedPack};
use vellum_format::content::{ChunkKind, ChunkRef, Content};
use vellum_format::deletion::Intent;
use vellum_format::pack::PackedChunk;
use vellum_format::parity::Parity;
use vellum_format::snapshot::{self, Root, SnapshotManifest, Summary, Timestamp};
use vellum_format::{Bytes, ChunkId, DeviceId, ObjectId, ObjectKind, ObjectName, RepositoryId, limits};
use vellum_storage::StorageError;

/// Packs, or chunks in them, after which a long session writes a catalog: so that an interrupted one need not store
/// them again, and so that the ids on their way are few, however small the files are.
const CHECKPOINT_PACKS: usize = 32;
const CHECKPOINT_CHUNKS: usize = 1 << 18;

/// Packs and bytes of chunk records after which another catalog is begun.
const CATALOG_PACKS: usize = 1024;
const CATALOG_LEN_BYTES: usize = 32 << 20;

/// How a session writes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SessionOptions {
    /// zstd level for this run; `None` takes the class's.
    pub compression_level: Option<i32>,
    /// What the packs of this run carry against damage; `None` takes what the config says.
    pub parity: Option<Parity>,
    /// Packs stored at once.
    pub upload_threads: usize,
    /// Threads that open the last packs again, when nobody has anything else to do.
    pub threads: usize,
    /// How this writer introduces itself while it runs.
    pub writer: WriterNote,
    /// Whether what the session adds to the index may be merged with what was there. Not for who remembers frames or
    /// holds marks: those about a merged segment mean nothing any more.
    pub merges_index: bool,
}

impl Default for SessionOptions {
    fn default() -> Self {
        let writer = WriterNote::default();
        Self { compression_level: None, parity: None, upload_threads: 1, threads: 1, writer, merges_index: true }
    }
}

/// What a session added to the repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stored {
    /// Chunks that were not stored before.
    pub chunks_new: u64,
    /// Their plaintext bytes.
    pub bytes_new: u64,
    /// Bytes of the objects written.
    pub bytes_stored: u64,
}

#[derive(Default)]
pub(crate) struct Counters {
    pub(crate) chunks_new: AtomicU64,
    pub(crate) bytes_new: AtomicU64,
    catalog_bytes: AtomicU64,
}

/// Takes chunks until it is sealed.
pub struct Session<'repository> {
    repository: &'repository Repository,
    intent: OwnIntent<'repository>,
    level: i32,
    parity: Parity,
    threads: usize,
    pending: Pending,
    data: Mutex<OpenPack>,
    meta: Mutex<OpenPack>,
    uploader: Uploader,
    checkpoint: Mutex<()>,
    /// Packs that this session wrote and that a catalog lists.
    written: Mutex<Vec<ObjectId>>,
    poisoned: AtomicBool,
    /// [`SessionOptions::merges_index`].
    merges_index: bool,
    pub(crate) counters: Counters,
}

/// Every chunk of a session is durable and catalogued; nothing refers to them yet.
#[must_use = "a backup exists only once its snapshot is published"]
pub struct Durable<'repository> {
    repository: &'repository Repository,
    intent: OwnIntent<'repository>,
    stored: Stored,
    written: BTreeSet<ObjectId>,
    records: Option<Records>,
}

/// What a snapshot says beside what the repository knows itself.
#[derive(Debug, Clone)]
pub struct SnapshotDraft {
    /// When the backup began, or the time it was told.
    pub time: Timestamp,
    /// The host's name.
    pub host: Vec<u8>,
    /// The user who ran the backup.
    pub user: String,
    /// The paths asked for.
    pub paths: Vec<Vec<u8>>,
    /// Labels.
    pub tags: Vec<String>,
    /// The entry list of the folder above all roots.
    pub root: Content,
    /// What the backup did.
    pub summary: Summary,
    /// The program and its version.
    pub program: String,
}

impl<'repository> Session<'repository> {
    /// The session of a writer whose intent stands and who knows what is stored and what is condemned (W1, W2).
    pub(crate) fn begin(
        repository: &'repository Repository,
        options: &SessionOptions,
        intent: OwnIntent<'repository>,
    ) -> Result<Self, RepositoryError> {
        let key = || FrameKey::generate(repository.class(), repository.id());
        let open = || Ok::<_, RepositoryError>(OpenPack::new(key()?, Vec::new()));
        Ok(Self {
            repository,
            intent,
            level: options.compression_level.unwrap_or(repository.class().config.compression_level),
            parity: options.parity.unwrap_or(repository.config().parity),
            threads: options.threads,
            pending: Pending::new(),
            data: Mutex::new(open()?),
            meta: Mutex::new(open()?),
            uploader: Uploader::start(Arc::clone(repository.storage()), options.upload_threads.max(1))?,
            checkpoint: Mutex::default(),
            written: Mutex::default(),
            poisoned: AtomicBool::new(false),
            merges_index: options.merges_index,
            counters: Counters::default(),
        })
    }

    /// A writer for one worker thread.
    ///
    /// # Errors
    /// [`RepositoryError::Compression`] when no compression context can be made.
    pub fn frame_writer(&self) -> Result<FrameWriter<'_>, RepositoryError> {
        FrameWriter::new(self, self.level)
    }

    /// Makes everything durable: open packs are finished, packs synced, then their catalog.
    ///
    /// A crash before it returns leaves packs without a catalog; a crash after it leaves a catalog that no snapshot
    /// needs. Neither harms, and the next backup finds the catalogued chunks.
    ///
    /// # Errors
    /// The first error of any worker or upload; [`RepositoryError::Fenced`] when a prune gave this session up
    /// meanwhile. Nothing is published then.
    pub fn seal(mut self) -> Result<Durable<'repository>, RepositoryError> {
        if self.poisoned.load(Ordering::SeqCst) {
            self.uploader.finish()?;
            return Err(RepositoryError::SessionPoisoned);
        }
        for kind in [ChunkKind::Data, ChunkKind::Tree] {
            let last = {
                let mut pack = self.pack(kind);
                let key = Arc::clone(&pack.key);
                std::mem::replace(&mut *pack, OpenPack::new(key, Vec::new()))
            };
            self.finish_pack(last, false, self.threads)?;
        }
        self.uploader.finish()?;
        self.write_catalog()?;
        let counters = &self.counters;
        let stored = Stored {
            chunks_new: counters.chunks_new.load(Ordering::Relaxed),
            bytes_new: counters.bytes_new.load(Ordering::Relaxed),
            bytes_stored: self.uploader.bytes() + counters.catalog_bytes.load(Ordering::Relaxed),
        };
        let written = self.written.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect();
        Ok(Durable { repository: self.repository, intent: self.intent, stored, written, records: None })
    }

    /// Ends a session that failed: packs that it stored and that no catalog lists. Nothing relies on them but what
    /// found them by chance.
    pub(crate) fn abandon(self) -> Vec<ObjectId> {
        let stored = self.uploader.stored();
        stored.iter().map(|stored| stored.pack.pack).collect()
    }

    pub(crate) fn class(&self) -> &Class {
        self.repository.class()
    }

    pub(crate) fn scope(&self) -> RepositoryId {
        self.repository.id()
    }

    pub(crate) fn frame_len_bytes(&self) -> usize {
        self.repository.config().frame_len_bytes as usize
    }

    /// Whether the caller is the one to store this chunk.
    pub(crate) fn claim(&self, id: &ChunkId) -> bool {
        self.repository.index().lookup_reliable(id).is_none() && self.claim_unlisted(id)
    }

    /// The same for a chunk of which the index has no copy to rely on.
    pub(crate) fn claim_unlisted(&self, id: &ChunkId) -> bool {
        self.pending.claim(id)
    }

    /// I9: from here on nothing is published.
    pub(crate) fn poison(&self) {
        self.poisoned.store(true, Ordering::SeqCst);
    }

    pub(crate) fn frame_key(&self, kind: ChunkKind) -> Result<Arc<FrameKey>, RepositoryError> {
        match self.poisoned.load(Ordering::SeqCst) {
            true => Err(RepositoryError::SessionPoisoned),
            false => Ok(Arc::clone(&self.pack(kind).key)),
        }
    }

    /// Appends a frame to the open pack of its kind; a pack that has no room is finished and stored by this thread.
    pub(crate) fn store_frame(&self, frame: SealedFrame, sealed: &[u8]) -> Result<(), RepositoryError> {
        let pack_len_bytes = self.repository.config().pack_len_bytes;
        let full = {
            let mut pack = self.pack(frame.kind);
            let room = pack.room(sealed.len(), frame.chunks.len(), pack_len_bytes);
            let full = match room {
                Room::Enough => None,
                Room::TooLong | Room::TooMany => {
                    let key = FrameKey::generate(self.class(), self.scope())?;
                    let full = std::mem::replace(&mut *pack, OpenPack::new(key, self.uploader.buffer()));
                    Some((full, room == Room::TooLong))
                }
            };
            pack.append(frame, sealed);
            full
        };
        match full {
            Some((pack, full_len)) => self.finish_pack(pack, full_len, 1),
            None => Ok(()),
        }
    }

    fn finish_pack(&self, pack: OpenPack, full: bool, threads: usize) -> Result<(), RepositoryError> {
        if pack.is_empty() {
            return Ok(());
        }
        let pack_len_bytes = self.repository.config().pack_len_bytes;
        let shape = PackShape { pack_len_bytes, full, parity: self.parity, threads };
        let finished = pack.finish(self.class(), self.scope(), pack_salt(&self.intent)?, &shape)?;
        self.uploader.submit(finished)?;
        if is_checkpoint_due(&self.uploader.stored()) { self.write_catalog() } else { Ok(()) }
    }

    /// Publishes what is stored so far in catalogs, with what was adopted, and lets the index answer for it.
    fn write_catalog(&self) -> Result<(), RepositoryError> {
        let _one_at_a_time = lock(&self.checkpoint);
        let mut stored = std::mem::take(&mut *self.uploader.stored());
        lock(&self.written).extend(stored.iter().map(|one| one.pack.pack));
        let mut chunks = 0;
        for pack in self.repository.take_recovered() {
            let pack = self.repository.read_recovered(pack)?;
            chunks += pack.directory.chunk_count();
            stored.push(StoredPack::recovered(pack));
            if chunks >= BATCH_CHUNKS {
                self.list(std::mem::take(&mut stored))?;
                chunks = 0;
            }
        }
        self.list(stored)
    }

    fn list(&self, stored: Vec<StoredPack>) -> Result<(), RepositoryError> {
        let (mut packs, mut marks) = (Vec::new(), CatalogMarks::new());
        for StoredPack { pack, mark } in stored {
            marks.insert(pack.pack, mark);
            packs.push(pack);
        }
        memory_faults::pass_packs(self.scope(), &mut packs);
        let storage = self.repository.storage();
        // I1: packs are durable before a catalog lists them; and without new ones, what was adopted is durable before
        // a snapshot relies on it.
        reach(Point::WriterPacksStored)?;
        storage.sync()?;
        reach(Point::WriterPacksSynced)?;
        if packs.is_empty() {
            return Ok(());
        }
        let mut catalogs = Vec::new();
        for catalog in split_into_catalogs(packs) {
            let (id, catalog, len_bytes) = self.repository.put_catalog(&catalog, &marks)?;
            self.counters.catalog_bytes.fetch_add(2 * len_bytes, Ordering::Relaxed);
            catalogs.push((id, catalog));
        }
        storage.sync()?; // I1: catalogs are durable before a snapshot needs them
        reach(Point::WriterCatalogsSynced)?;
        self.intent.account_for(|| Ok(marks.keys().copied().collect()))?;
        let frames = catalogs.iter().flat_map(|(_, catalog)| &catalog.packs).flat_map(|pack| &pack.directory.frames);
        let ids: Vec<ChunkId> = frames.flat_map(|frame| &frame.chunks).map(|chunk| chunk.id).collect();
        self.repository.index().add(catalogs)?;
        self.pending.release(ids.iter());
        if self.merges_index {
            // A long session adds a segment for each GiB.
            self.repository.index().merge();
        }
        Ok(())
    }

    fn pack(&self, kind: ChunkKind) -> MutexGuard<'_, OpenPack> {
        let pack = match kind {
            ChunkKind::Data => &self.data,
            ChunkKind::Tree | ChunkKind::List => &self.meta,
        };
        lock(pack)
    }
}

fn is_checkpoint_due(stored: &[StoredPack]) -> bool {
    let chunks = || stored.iter().map(|stored| stored.pack.directory.chunk_count()).sum::<usize>();
    stored.len() >= CHECKPOINT_PACKS || chunks() >= CHECKPOINT_CHUNKS
}

/// Packs that a catalog is to list, as many as keep it far below its limits, whatever they hold.
#[derive(Default)]
pub(crate) struct CatalogDraft {
    packs: Vec<CatalogedPack>,
    len_bytes: usize,
}

impl CatalogDraft {
    /// Adds a pack; gives the catalog of those before when they leave no room for it.
    pub(crate) fn push(&mut self, pack: CatalogedPack) -> Option<Catalog> {
        let len_bytes = pack.directory.chunk_count() * PackedChunk::ENCODED_LEN;
        let has_room = self.len_bytes + len_bytes <= CATALOG_LEN_BYTES && self.packs.len() < CATALOG_PACKS;
        let full = if has_room { None } else { std::mem::take(self).finish() };
        self.packs.push(pack);
        self.len_bytes += len_bytes;
        full
    }

    /// The catalog of the packs that are left, if there are any.
    pub(crate) fn finish(self) -> Option<Catalog> {
        (!self.packs.is_empty()).then_some(Catalog { packs: self.packs })
    }
}

/// Catalogs that stay far below their limits, whatever the packs hold.
fn split_into_catalogs(packs: Vec<CatalogedPack>) -> Vec<Catalog> {
    let mut draft = CatalogDraft::default();
    let mut catalogs: Vec<Catalog> = packs.into_iter().filter_map(|pack| draft.push(pack)).collect();
    catalogs.extend(draft.finish());
    catalogs
}

impl Durable<'_> {
    /// What the session added so far; the snapshot itself is not in it.
    #[must_use]
    pub fn stored(&self) -> Stored {
        self.stored
    }

    /// Whether the session stored any chunk that this content names itself, or does not know one of them.
    #[must_use]
    pub fn wrote(&self, content: &Content) -> bool {
        let is_old = |pack: ObjectName| !self.written.contains(&pack.id);
        let pack_of = |chunk: &ChunkRef| self.repository.pack_of(self.repository.locate(chunk)?.frame);
        !content.chunks.iter().all(|chunk| pack_of(chunk).is_some_and(is_old))
    }

    /// Every pack that the session wrote.
    pub(crate) fn written(&self) -> &BTreeSet<ObjectId> {
        &self.written
    }

    /// What is wrong with the history that the snapshot will continue; see [`Repository::history`]. It hinders nothing.
    ///
    /// # Errors
    /// [`RepositoryError::Storage`] when the storage cannot be listed or read at all.
    pub fn history_findings(&mut self) -> Result<Vec<HistoryFinding>, RepositoryError> {
        let (records, findings) = self.repository.examine_records()?;
        self.records = Some(records);
        Ok(findings)
    }

    /// Why something of what was stored is missing: [`RepositoryError::Fenced`] when a prune gave this writer up, and
    /// may have deleted what it relied on; else the error itself.
    #[must_use]
    pub fn explain(&self, error: RepositoryError) -> RepositoryError {
        match self.repository.may_acknowledge(&self.intent) {
            Ok(false) => RepositoryError::Fenced,
            Ok(true) | Err(_) => error,
        }
    }

    /// Stores the snapshot: the commit point. When this returns, the backup is durable and visible.
    ///
    /// # Errors
    /// [`RepositoryError::Fenced`] when a prune gave this writer up: nothing was published, and the backup has to be
    /// made again. [`RepositoryError::Unacknowledged`] when the snapshot is there or may be. Another
    /// [`RepositoryError`] when it is not; the chunks stay for the next backup in any case.
    pub fn publish(mut self, mut draft: SnapshotDraft) -> Result<ObjectId, RepositoryError> {
        let repository = self.repository;
        let device = repository.device()?;
        let records = self.records.take().map_or_else(|| repository.read_records(), Ok)?;
        let position = repository.settled_position(records, device.id())?;
        reach(Point::WriterHistorySettled)?;
        let sequence = position.sequence;
        let root = draft.root.clone();
        memory_faults::pass_content(repository.id(), &mut draft.root);
        let manifest = self.manifest(draft, device.id(), position);
        let bytes = seal_readable(repository, &device, &manifest)?;
        let mut named = None;
        let stored = repository.put_verified(ObjectKind::Snapshot, bytes, |name, bytes| {
            named = Some(name);
            let stored = repository.open_snapshot(name, bytes)?.manifest;
            Ok(stored == manifest && stored.root.content().is_ok_and(|stored| stored == root))
        }); // W5
        let acknowledged = stored.and_then(|name| {
            repository.storage().sync()?;
            reach(Point::WriterSnapshotSynced)?;
            repository.remember_own(device.id(), sequence, name);
            self.acknowledge(name, &manifest)
        });
        acknowledged.map_err(|error| repository.unacknowledged(named, error))
    }

    /// The id of a snapshot that is durable, unless a prune gave this writer up.
    fn acknowledge(&self, name: ObjectName, manifest: &SnapshotManifest) -> Result<ObjectId, RepositoryError> {
        let repository = self.repository;
        if !repository.may_acknowledge(&self.intent)? {
            reach(Point::WriterFenceFound)?;
            repository.take_back(name.id, manifest)?; // W6, I24
            return Err(RepositoryError::Fenced);
        }
        reach(Point::WriterFencesListed)?;
        Ok(name.id)
    }

    fn manifest(&self, draft: SnapshotDraft, device: DeviceId, position: Position) -> SnapshotManifest {
        SnapshotManifest {
            repository: self.repository.id(),
            device,
            sequence: position.sequence,
            previous: position.previous,
            seen: position.seen,
            intent: self.intent.id(),
            time: draft.time,
            host: Bytes(draft.host),
            user: draft.user,
            paths: draft.paths.into_iter().map(Bytes).collect(),
            tags: draft.tags,
            root: Root::new(&draft.root, &self.repository.class().config.name),
            summary: draft.summary,
            program: draft.program,
            must_understand: Vec::new(),
        }
    }
}

/// What no reader would take must not be acknowledged.
fn seal_readable(
    repository: &Repository,
    device: &Device,
    manifest: &SnapshotManifest,
) -> Result<Vec<u8>, RepositoryError> {
    let refused = |reason: String| RepositoryError::SnapshotRefused { reason };
    let mut signed = device.sign_snapshot(manifest);
    pass(repository.id(), Stage::Manifest, &mut signed.manifest.0);
    let bytes = repository.seal_snapshot(&signed.encode())?;
    SnapshotManifest::decode(&manifest.encode()).map_err(|error| refused(error.to_string()))?;
    match bytes.len() as u64 > limits::SNAPSHOT_LEN_BYTES_MAX {
        true => Err(refused(format!("it has {} bytes", bytes.len()))),
        false => Ok(bytes),
    }
}

/// The salt of a new pack: whose it is, and fresh random bytes.
fn pack_salt(intent: &OwnIntent<'_>) -> Result<[u8; 32], RepositoryError> {
    let mut salt: [u8; 32] = random()?;
    let tag = intent.pack_tag();
    salt[..tag.len()].copy_from_slice(&tag);
    Ok(salt)
}

impl Repository {
    /// Starts a backup's writing: declares it to others, then learns what is stored. Any number of sessions, here and
    /// on other machines, may write at once, and prunes may run beside them.
    ///
    /// A crash leaves the intent, which the next prune removes.
    ///
    /// # Errors
    /// [`RepositoryError::Randomness`]; [`RepositoryError::Storage`] when the storage cannot be read or written, for
    /// example because a missing copy of a small object could not be put back.
    pub fn begin(&self, options: &SessionOptions) -> Result<Session<'_>, RepositoryError> {
        self.begin_as(Intent::BACKUP, options)
    }

    /// [`Repository::begin`] for any purpose.
    pub(crate) fn begin_as(&self, purpose: &str, options: &SessionOptions) -> Result<Session<'_>, RepositoryError> {
        let intent = OwnIntent::declare(self, purpose, &options.writer)?; // W1, I21
        self.restore_copies(&intent)?;
        self.heed_condemnations()?; // W2: before the index, so that what it adds later is no older than this
        reach(Point::WriterCondemnationsHeeded)?;
        self.refresh()?;
        reach(Point::WriterIndexLoaded)?;
        Session::begin(self, options, intent)
    }

    /// Seals a catalog, opens it again, compares it with the marks of its packs, and stores it. Gives what is stored.
    pub(crate) fn put_catalog(
        &self,
        catalog: &Catalog,
        marks: &CatalogMarks,
    ) -> Result<(ObjectId, Catalog, u64), RepositoryError> {
        let mut plain = catalog.encode();
        pass(self.id(), Stage::Catalog, &mut plain);
        let bytes = self.seal_object(catalog::MAGIC, plain, EpochKeys::seal_catalog)?;
        let len_bytes = bytes.len() as u64;
        let mut stored = Catalog::default();
        let name = self.put_verified(ObjectKind::Catalog, bytes, |name, bytes| {
            stored = self.open_catalog(name, bytes)?;
            let is_right = |pack: &CatalogedPack| marks.get(&pack.pack) == Some(&CatalogMark::of(pack));
            Ok(stored.packs.len() == catalog.packs.len() && stored.packs.iter().all(is_right))
        })?;
        Ok((name.id, stored, len_bytes))
    }

    /// The error of a snapshot that was to be published under this name: also that it is there, if it is or may be.
    fn unacknowledged(&self, named: Option<ObjectName>, error: RepositoryError) -> RepositoryError {
        let is_taken_back = matches!(error, RepositoryError::Fenced | RepositoryError::WriteVerification { .. });
        let Some(name) = named.filter(|_| !is_taken_back) else { return error };
        let looks: Vec<_> = names_of(&name).map(|name| self.storage().len(&name)).collect();
        let is_there = looks.iter().any(Result::is_ok);
        match is_there || !looks.iter().all(|look| matches!(look, Err(StorageError::NotFound { .. }))) {
            true => RepositoryError::Unacknowledged { snapshot: name.id, is_there, source: Box::new(error) },
            false => error,
        }
    }

    pub(crate) fn seal_snapshot(&self, signed: &[u8]) -> Result<Vec<u8>, RepositoryError> {
        self.seal_object(snapshot::MAGIC, signed.to_vec(), EpochKeys::seal_snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::{World, draft};
    use vellum_format::pack::{Compression, Directory, Frame};
    use vellum_storage::Storage as _;

    fn pack(number: u64, chunks: usize) -> CatalogedPack {
        let frame = Frame {
            offset: 0,
            stored_len_bytes: 0,
            wrap: 0,
            kind: ChunkKind::Data,
            compression: Compression::None,
            salt: [0; 16],
            chunks: vec![PackedChunk { id: ChunkId::from_bytes([0; 32]), len_bytes: 1 }; chunks],
        };
        let directory = Directory { wraps: Vec::new(), frames: vec![frame] };
        CatalogedPack { pack: ObjectId::of(&number.to_le_bytes()), len_bytes: 0, directory }
    }

    /// The lengths of objects are padded: the first user's name ends just below the limit, the other's just above it.
    #[test]
    fn a_snapshot_that_no_reader_would_take_is_refused() {
        let world = World::new();
        let repository = world.open();
        let len = usize::try_from(limits::SNAPSHOT_LEN_BYTES_MAX).unwrap();
        let publish = |len: usize| {
            let session = repository.begin(&SessionOptions::default()).unwrap();
            session.seal().unwrap().publish(SnapshotDraft { user: "x".repeat(len), ..draft() })
        };
        let id = publish(len - 10_000).unwrap();
        assert_eq!(repository.read_snapshot(id).unwrap().manifest.user.len(), len - 10_000);
        assert_eq!(world.storage.len(&ObjectName::new(ObjectKind::Snapshot, id)).unwrap(), len as u64);
        assert!(matches!(publish(len), Err(RepositoryError::SnapshotRefused { .. })));
    }

    #[test]
    fn a_checkpoint_is_due_after_many_packs_or_many_chunks() {
        let is_due = |packs: usize, chunks: usize| {
            let stored: Vec<_> = (0..packs).map(|number| StoredPack::recovered(pack(number as u64, chunks))).collect();
            is_checkpoint_due(&stored)
        };
        assert_eq!([is_due(0, 1), is_due(CHECKPOINT_PACKS - 1, 1), is_due(CHECKPOINT_PACKS, 1)], [false, false, true]);
        assert_eq!([is_due(2, CHECKPOINT_CHUNKS / 2 - 1), is_due(2, CHECKPOINT_CHUNKS / 2)], [false, true]);
    }

    /// What each checkpoint adds to the index is merged, but not beside a prune, whose marks are about what is there.
    #[test]
    fn a_long_backup_keeps_the_segments_of_the_index_few() {
        let world = World::new();
        let (_, chunks) = world.store(ChunkKind::Data, &[(1, 5000)]);
        let repository = world.open();
        let session = repository.begin(&SessionOptions::default()).unwrap();
        let directory = {
            let place = repository.locate(&chunks[0]).unwrap();
            let info = repository.index().frame(place.frame).unwrap();
            let id = repository.chunk_id(&chunks[0]);
            let chunks = vec![PackedChunk { id, len_bytes: info.plain_len_bytes }];
            let frame = Frame {
                offset: info.offset,
                stored_len_bytes: info.stored_len_bytes,
                wrap: 0,
                kind: info.kind,
                compression: info.compression,
                salt: info.salt,
                chunks,
            };
            Directory { wraps: vec![(*info.wrap).clone()], frames: vec![frame] }
        };
        let checkpoints = |session: &Session<'_>, numbers: std::ops::Range<u64>| {
            for number in numbers {
                let pack = CatalogedPack { len_bytes: 8192, directory: directory.clone(), ..pack(number, 0) };
                session.uploader.stored().push(StoredPack::recovered(pack));
                session.write_catalog().unwrap();
            }
            repository.index().segment_count()
        };
        assert!(checkpoints(&session, 0..12) < 6);
        let before = repository.index().segment_count();
        assert_eq!(checkpoints(&Session { merges_index: false, ..session }, 12..18), before + 6);
    }

    fn lens(packs: Vec<CatalogedPack>) -> Vec<usize> {
        split_into_catalogs(packs).iter().map(|catalog| catalog.packs.len()).collect()
    }

    #[test]
    fn catalogs_are_split_by_packs_and_by_bytes() {
        assert_eq!(lens(Vec::new()), [0; 0]);
        assert_eq!(lens((0..=CATALOG_PACKS as u64).map(|number| pack(number, 1)).collect()), [CATALOG_PACKS, 1]);
        let third = CATALOG_LEN_BYTES / PackedChunk::ENCODED_LEN / 3;
        assert_eq!(lens((0..4).map(|number| pack(number, third)).collect()), [3, 1]);
        assert_eq!(lens(vec![pack(0, 1), pack(1, 4 * third), pack(2, 1)]), [1, 1, 1]);
    }
}
