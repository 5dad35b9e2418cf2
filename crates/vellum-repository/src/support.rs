//! What the tests of several modules need: a repository in memory with chunks in it, and a storage that others change.

use crate::objects::{delete_both, names_of};
use crate::publish::SnapshotDraft;
use crate::{CreateOptions, Credential, KeyFile, LocalState, Locked, NewSlot, Repository, SessionOptions, WriterNote};
use std::ops::Range;
use std::sync::Arc;
use vellum_format::content::{ChunkKind, ChunkRef, Content};
use vellum_format::snapshot::{Summary, Timestamp};
use vellum_format::{ObjectId, ObjectKind, ObjectName};
use vellum_storage::{Capabilities, MemoryStorage, Storage, StorageError, forward};
use vellum_testkit::Random;

/// The time that tests live in.
pub(crate) const NOW: Timestamp = Timestamp { seconds: 1_795_219_200, nanoseconds: 0 };

/// A repository in memory.
pub(crate) struct World {
    pub(crate) storage: Arc<MemoryStorage>,
    key: KeyFile,
}

impl World {
    pub(crate) fn new() -> Self {
        let (storage, key) = (Arc::new(MemoryStorage::new()), KeyFile::generate().expect("randomness"));
        let slot = NewSlot { credential: Credential::KeyFile(&key), label: "test", argon2id: None, now: NOW };
        let mut options = CreateOptions::new(NOW);
        options.pack_len_bytes = 1 << 20;
        options.frame_len_bytes = 64 << 10;
        Repository::create(storage.clone(), &options, &[slot], &LocalState::None).expect("a new repository");
        Self { storage, key }
    }

    pub(crate) fn open(&self) -> Repository {
        self.open_on(self.storage.clone(), &LocalState::None)
    }

    pub(crate) fn open_on(&self, storage: Arc<dyn Storage>, state: &LocalState) -> Repository {
        let locked = Locked::open(storage).expect("a repository");
        locked.unlock(&Credential::KeyFile(&self.key), state).expect("a repository that the key file unlocks")
    }

    /// Somebody else stores these chunks, in a pack of their own that a catalog of its own lists.
    pub(crate) fn store(&self, kind: ChunkKind, chunks: &[(u64, usize)]) -> (ObjectId, Vec<ChunkRef>) {
        store(&self.open(), kind, chunks)
    }
}

/// Stores chunks, each the seed and the length of bytes that do not compress.
pub(crate) fn store(repository: &Repository, kind: ChunkKind, chunks: &[(u64, usize)]) -> (ObjectId, Vec<ChunkRef>) {
    let session = repository.begin(&SessionOptions::default()).expect("a session");
    let mut writer = session.frame_writer().expect("a writer");
    let put = |(seed, len): &(u64, usize)| writer.put(kind, &Random::new(*seed).bytes(*len)).expect("memory").chunk;
    let chunks = chunks.iter().map(put).collect();
    writer.flush().expect("memory");
    drop(writer);
    let durable = session.seal().expect("memory");
    (*durable.written().first().expect("something new"), chunks)
}

/// A snapshot of nothing.
pub(crate) fn draft() -> SnapshotDraft {
    SnapshotDraft {
        time: NOW,
        host: Vec::new(),
        user: String::new(),
        paths: vec![b"/".to_vec()],
        tags: Vec::new(),
        root: Content::empty(),
        summary: Summary::default(),
        program: "test".to_owned(),
    }
}

/// Publishes a snapshot of nothing.
pub(crate) fn publish(repository: &Repository) -> ObjectId {
    let session = repository.begin(&SessionOptions::default()).expect("a session");
    session.seal().expect("memory").publish(draft()).expect("memory")
}

/// A writer of this name.
pub(crate) fn note(program: &str) -> WriterNote {
    WriterNote { time: NOW, program: program.to_owned(), ..WriterNote::default() }
}

/// Forwards; `before_reading` hears the name of every object that is about to be read.
pub(crate) struct Watched<F> {
    pub(crate) inner: Arc<MemoryStorage>,
    pub(crate) cheap_listing: bool,
    pub(crate) before_reading: F,
}

#[deny(clippy::missing_trait_methods)]
impl<F: Fn(&ObjectName) + Send + Sync> Storage for Watched<F> {
    forward!(|self| self.inner =>
        put, replace_damaged, adopt, sync, len, list, delete, release_reserve, keep_reserve, location
    );

    fn get(&self, name: &ObjectName, len_bytes_max: u64) -> Result<Vec<u8>, StorageError> {
        (self.before_reading)(name);
        self.inner.get(name, len_bytes_max)
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        (self.before_reading)(name);
        self.inner.get_range(name, range)
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.cheap_listing = self.cheap_listing;
        capabilities
    }
}

/// A storage that is slow to list.
pub(crate) fn slow(storage: &Arc<MemoryStorage>) -> impl Storage + use<> {
    Watched { inner: storage.clone(), cheap_listing: false, before_reading: |_: &ObjectName| {} }
}

/// A storage of which somebody deletes each object of this kind, with its copy, at the moment in which it is first
/// read.
pub(crate) fn vanishing(storage: &Arc<MemoryStorage>, kind: ObjectKind) -> impl Storage + use<> {
    let others = storage.clone();
    let before_reading = move |name: &ObjectName| {
        if name.kind == kind {
            delete_both(&*others, name).expect("memory");
        }
    };
    Watched { inner: storage.clone(), cheap_listing: true, before_reading }
}

/// Puts bytes that are no object of any kind in the place of an object and of its copy.
pub(crate) fn spoil(storage: &MemoryStorage, name: &ObjectName) {
    for name in names_of(name) {
        storage.delete(&name).expect("memory");
        storage.put(&name, b"damaged").expect("memory");
    }
}
