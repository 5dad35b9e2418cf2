//! One backup's writing: from the first chunk to the snapshot that makes it visible.
//!
//! [`Session`] takes chunks. [`Session::seal`] consumes it when every chunk is durable and catalogued. Only what it
//! returns, [`Durable`], can publish a snapshot. Dropping either publishes nothing.

use crate::RepositoryError;
use crate::class::Class;
use crate::history::{HistoryFinding, Records};
use crate::open::Repository;
use crate::pack_writer::{FrameKey, OpenPack, SealedFrame, random};
use crate::pending::Pending;
use crate::put::FrameWriter;
use crate::upload::Uploader;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vellum_crypto::EpochKeys;
use vellum_format::catalog::{self, Catalog, CatalogedPack};
use vellum_format::content::{ChunkKind, Content};
use vellum_format::pack::PackedChunk;
use vellum_format::snapshot::{self, Root, SnapshotManifest, Summary, Timestamp};
use vellum_format::{Bytes, ChunkId, ObjectId, ObjectKind, ObjectName, RepositoryId, SealedHeader, limits, padme_len};

/// Packs after which a long session writes a catalog, so that an interrupted one need not store them again.
const CHECKPOINT_PACKS: usize = 32;

/// Packs and bytes of chunk records after which another catalog is begun.
const CATALOG_PACKS: usize = 1024;
const CATALOG_LEN_BYTES: usize = 32 << 20;

/// How a session writes.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct SessionOptions {
    /// zstd level for this run; `None` takes the class's.
    pub compression_level: Option<i32>,
    /// Packs stored at once.
    pub upload_threads: usize,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self { compression_level: None, upload_threads: 1 }
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
    level: i32,
    pending: Pending,
    data: Mutex<OpenPack>,
    meta: Mutex<OpenPack>,
    uploader: Uploader,
    checkpoint: Mutex<()>,
    poisoned: AtomicBool,
    pub(crate) counters: Counters,
}

/// Every chunk of a session is durable and catalogued; nothing refers to them yet.
#[must_use = "a backup exists only once its snapshot is published"]
pub struct Durable<'repository> {
    repository: &'repository Repository,
    stored: Stored,
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
    pub(crate) fn begin(
        repository: &'repository Repository,
        options: &SessionOptions,
    ) -> Result<Self, RepositoryError> {
        let open = || Ok::<_, RepositoryError>(OpenPack::new(FrameKey::generate(repository.class(), repository.id())?));
        Ok(Self {
            repository,
            level: options.compression_level.unwrap_or(repository.class().config.compression_level),
            pending: Pending::new(),
            data: Mutex::new(open()?),
            meta: Mutex::new(open()?),
            uploader: Uploader::start(Arc::clone(repository.storage()), options.upload_threads.max(1)),
            checkpoint: Mutex::default(),
            poisoned: AtomicBool::new(false),
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
    /// The first error of any worker or upload; nothing is published then.
    pub fn seal(mut self) -> Result<Durable<'repository>, RepositoryError> {
        if self.poisoned.load(Ordering::SeqCst) {
            self.uploader.finish()?;
            return Err(RepositoryError::SessionPoisoned);
        }
        for kind in [ChunkKind::Data, ChunkKind::Tree] {
            let last = {
                let mut pack = self.pack(kind);
                let key = Arc::clone(&pack.key);
                std::mem::replace(&mut *pack, OpenPack::new(key))
            };
            self.finish_pack(last, false)?;
        }
        self.uploader.finish()?;
        self.write_catalog()?;
        let counters = &self.counters;
        let stored = Stored {
            chunks_new: counters.chunks_new.load(Ordering::Relaxed),
            bytes_new: counters.bytes_new.load(Ordering::Relaxed),
            bytes_stored: self.uploader.bytes() + counters.catalog_bytes.load(Ordering::Relaxed),
        };
        Ok(Durable { repository: self.repository, stored, records: None })
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
        !self.repository.index().contains(id) && self.pending.claim(id)
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

    /// Appends a frame to the open pack of its kind; a pack that is full is finished and stored by this thread.
    pub(crate) fn store_frame(&self, frame: SealedFrame, sealed: &[u8]) -> Result<(), RepositoryError> {
        let pack_len_bytes = self.repository.config().pack_len_bytes;
        let full = {
            let mut pack = self.pack(frame.kind);
            let fits = pack.is_empty() || pack.fits(sealed.len(), frame.chunks.len(), pack_len_bytes);
            let full = match fits {
                true => None,
                false => {
                    let key = FrameKey::generate(self.class(), self.scope())?;
                    Some(std::mem::replace(&mut *pack, OpenPack::new(key)))
                }
            };
            pack.append(frame, sealed);
            full
        };
        match full {
            Some(pack) => self.finish_pack(pack, true),
            None => Ok(()),
        }
    }

    fn finish_pack(&self, pack: OpenPack, full: bool) -> Result<(), RepositoryError> {
        if pack.is_empty() {
            return Ok(());
        }
        let pack_len_bytes = self.repository.config().pack_len_bytes;
        let finished = pack.finish(self.class(), self.scope(), pack_len_bytes, full)?;
        self.uploader.submit(finished)?;
        let due = self.uploader.stored().len() >= CHECKPOINT_PACKS;
        if due { self.write_catalog() } else { Ok(()) }
    }

    /// Publishes what is stored so far in catalogs, and lets the index answer for it.
    fn write_catalog(&self) -> Result<(), RepositoryError> {
        let _one_at_a_time = self.checkpoint.lock().unwrap_or_else(PoisonError::into_inner);
        let mut packs = std::mem::take(&mut *self.uploader.stored());
        packs.append(&mut self.repository.take_recovered());
        let storage = self.repository.storage();
        // I1: packs are durable before a catalog lists them; and without new ones, what was adopted is durable before
        // a snapshot relies on it.
        storage.sync()?;
        if packs.is_empty() {
            return Ok(());
        }
        let mut catalogs = Vec::new();
        for catalog in split_into_catalogs(packs) {
            let bytes = self.repository.seal_catalog(&catalog)?;
            let name = ObjectName::of(ObjectKind::Catalog, &bytes);
            storage.put(&name, &bytes)?;
            self.counters.catalog_bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            catalogs.push((name.id, catalog));
        }
        storage.sync()?; // I1: catalogs are durable before a snapshot needs them
        let frames = catalogs.iter().flat_map(|(_, catalog)| &catalog.packs).flat_map(|pack| &pack.directory.frames);
        let ids: Vec<ChunkId> = frames.flat_map(|frame| &frame.chunks).map(|chunk| chunk.id).collect();
        self.repository.index().add(catalogs)?;
        self.pending.release(ids.iter());
        Ok(())
    }

    fn pack(&self, kind: ChunkKind) -> MutexGuard<'_, OpenPack> {
        let pack = match kind {
            ChunkKind::Data => &self.data,
            ChunkKind::Tree | ChunkKind::List => &self.meta,
        };
        pack.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Catalogs that stay far below their limits, whatever the packs hold.
fn split_into_catalogs(packs: Vec<CatalogedPack>) -> Vec<Catalog> {
    let mut catalogs: Vec<Catalog> = Vec::new();
    let mut len_bytes = 0;
    for pack in packs {
        let pack_len_bytes = pack.directory.chunk_count() * PackedChunk::ENCODED_LEN;
        let fits = len_bytes + pack_len_bytes <= CATALOG_LEN_BYTES && len_bytes > 0;
        match catalogs.last_mut().filter(|catalog| fits && catalog.packs.len() < CATALOG_PACKS) {
            Some(catalog) => catalog.packs.push(pack),
            None => {
                len_bytes = 0;
                catalogs.push(Catalog { packs: vec![pack] });
            }
        }
        len_bytes += pack_len_bytes;
    }
    catalogs
}

impl Durable<'_> {
    /// What the session added so far; the snapshot itself is not in it.
    #[must_use]
    pub fn stored(&self) -> Stored {
        self.stored
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

    /// Stores the snapshot: the commit point. When this returns, the backup is durable and visible.
    ///
    /// # Errors
    /// [`RepositoryError`] when the snapshot may not be there; the chunks stay for the next backup.
    pub fn publish(self, draft: SnapshotDraft) -> Result<ObjectId, RepositoryError> {
        let repository = self.repository;
        let device = repository.device()?;
        let records = self.records.map_or_else(|| repository.read_records(), Ok)?;
        let position = records.position(device.id(), &BTreeSet::new());
        repository.settle(&records, &position)?;
        let manifest = SnapshotManifest {
            repository: repository.id(),
            device: device.id(),
            sequence: position.sequence,
            previous: position.previous,
            seen: position.seen,
            time: draft.time,
            host: Bytes(draft.host),
            user: draft.user,
            paths: draft.paths.into_iter().map(Bytes).collect(),
            tags: draft.tags,
            root: Root::new(&draft.root, &repository.class().config.name),
            summary: draft.summary,
            program: draft.program,
            must_understand: Vec::new(),
        };
        let signed = device.sign_snapshot(&manifest);
        let bytes = repository.seal_snapshot(&signed.encode())?;
        let name = ObjectName::of(ObjectKind::Snapshot, &bytes);
        // What no reader would take must not be acknowledged.
        let refused = |reason: String| RepositoryError::SnapshotRefused { reason };
        SnapshotManifest::decode(&signed.manifest).map_err(|error| refused(error.to_string()))?;
        if bytes.len() as u64 > limits::SNAPSHOT_LEN_BYTES_MAX {
            return Err(refused(format!("it has {} bytes", bytes.len())));
        }
        repository.storage().put(&name, &bytes)?;
        repository.storage().sync()?;
        repository.remember_own(device.id(), manifest.sequence, name);
        Ok(name.id)
    }
}

impl Repository {
    /// Starts a backup's writing. Any number of sessions, here and on other machines, may write at once.
    ///
    /// # Errors
    /// [`RepositoryError::Randomness`], or [`RepositoryError::Storage`] when a copy of the config or the keys was
    /// missing and could not be put back.
    pub fn begin(&self, options: &SessionOptions) -> Result<Session<'_>, RepositoryError> {
        self.restore_copies()?;
        Session::begin(self, options)
    }

    /// Puts back whichever copy of the config and of the keys is missing (I6: both are there twice).
    fn restore_copies(&self) -> Result<(), RepositoryError> {
        let pairs = [
            (self.config_id(), ObjectKind::Config, ObjectKind::ConfigMirror, limits::CONFIG_LEN_BYTES_MAX),
            (self.key_manifest(), ObjectKind::Key, ObjectKind::KeyMirror, limits::KEY_MANIFEST_LEN_BYTES_MAX),
        ];
        for (id, first, second, len_bytes_max) in pairs {
            let has_first = self.names(first)?.contains_key(&id);
            let has_second = self.names(second)?.contains_key(&id);
            let (from, to) = match (has_first, has_second) {
                (true, false) => (first, second),
                (false, true) => (second, first),
                _ => continue,
            };
            if let Ok(bytes) = self.read_object(&ObjectName::new(from, id), len_bytes_max) {
                self.storage().put(&ObjectName::new(to, id), &bytes)?;
            }
        }
        Ok(())
    }

    fn seal_catalog(&self, catalog: &Catalog) -> Result<Vec<u8>, RepositoryError> {
        self.seal_object(catalog::MAGIC, catalog.encode(), EpochKeys::seal_catalog)
    }

    pub(crate) fn seal_snapshot(&self, signed: &[u8]) -> Result<Vec<u8>, RepositoryError> {
        self.seal_object(snapshot::MAGIC, signed.to_vec(), EpochKeys::seal_snapshot)
    }

    /// Clear header, then one seal over `plain`, zero-padded so that the object has a Padmé length.
    pub(crate) fn seal_object(
        &self,
        magic: [u8; 8],
        mut plain: Vec<u8>,
        seal: impl FnOnce(&EpochKeys, &SealedHeader, &[u8], &mut Vec<u8>),
    ) -> Result<Vec<u8>, RepositoryError> {
        let overhead = SealedHeader::ENCODED_LEN + vellum_crypto::SEAL_OVERHEAD_BYTES;
        let padded = padme_len((plain.len() + overhead) as u64);
        plain.resize(usize::try_from(padded).expect("an object fits into memory") - overhead, 0);
        let header = SealedHeader { epoch: self.class().epoch, scope: self.id(), salt: random()? };
        let mut bytes = header.encode(magic).to_vec();
        seal(self.class().keys(), &header, &plain, &mut bytes);
        Ok(bytes)
    }
}
