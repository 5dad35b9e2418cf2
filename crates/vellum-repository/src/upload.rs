//! Storing finished packs on threads of its own, so that no worker waits for a disk.

use crate::fault::reach;
use crate::pack_writer::{CatalogMark, FinishedPack};
use crate::parity::is_unharmed;
use crate::{RepositoryError, lock};
use crossbeam_channel::{Receiver, Sender, bounded};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use vellum_faults::{Point, inheriting};
use vellum_format::catalog::CatalogedPack;
use vellum_storage::{Put, Storage};

/// Finished packs that may wait for an upload thread. Memory: (threads + waiting) times the pack length.
const WAITING_MAX: usize = 1;

/// Buffers that are kept for further packs.
const SPARE_MAX: usize = 2;

/// A bounded queue in front of the storage.
pub(crate) struct Uploader {
    sender: Option<Sender<FinishedPack>>,
    threads: Vec<JoinHandle<()>>,
    shared: Arc<Shared>,
}

/// A pack that the storage has accepted.
pub(crate) struct StoredPack {
    pub(crate) pack: CatalogedPack,
    pub(crate) mark: CatalogMark,
}

impl StoredPack {
    /// One that somebody else has stored, whose directory was just read.
    pub(crate) fn recovered(pack: CatalogedPack) -> Self {
        Self { mark: CatalogMark::of(&pack), pack }
    }
}

struct Shared {
    storage: Arc<dyn Storage>,
    stored: Mutex<Vec<StoredPack>>,
    failure: Mutex<Option<RepositoryError>>,
    bytes: AtomicU64,
    /// Buffers of packs that are stored: fresh memory for each would cost a quarter of what storing it costs.
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Uploader {
    /// With as many threads as there are, but for the first, which it takes.
    pub(crate) fn start(storage: Arc<dyn Storage>, threads: usize) -> Result<Self, RepositoryError> {
        let (sender, receiver) = bounded(WAITING_MAX);
        let shared = Arc::new(Shared {
            storage,
            stored: Mutex::default(),
            failure: Mutex::default(),
            bytes: AtomicU64::new(0),
            spare: Mutex::default(),
        });
        let spawn = || {
            let (receiver, shared) = (receiver.clone(), Arc::clone(&shared));
            std::thread::Builder::new().spawn(inheriting(move || shared.run(&receiver)))
        };
        let first = spawn().map_err(RepositoryError::NoThread)?;
        let threads = std::iter::once(first).chain((1..threads).map_while(|_| spawn().ok())).collect();
        Ok(Self { sender: Some(sender), threads, shared })
    }

    /// Hands a pack over; waits while the queue is full.
    pub(crate) fn submit(&self, pack: FinishedPack) -> Result<(), RepositoryError> {
        self.take_failure()?;
        let sender = self.sender.as_ref().ok_or(RepositoryError::SessionPoisoned)?;
        match sender.send(pack) {
            Ok(()) => Ok(()),
            // The threads have ended: tell why, if nobody has heard it yet.
            Err(_) => self.take_failure().and(Err(RepositoryError::SessionPoisoned)),
        }
    }

    /// Waits for every pack.
    pub(crate) fn finish(&mut self) -> Result<(), RepositoryError> {
        self.sender = None;
        let joined = self.threads.drain(..).all(|thread| thread.join().is_ok());
        self.take_failure()?;
        if joined { Ok(()) } else { Err(RepositoryError::SessionPoisoned) }
    }

    /// A buffer for the next pack, whose contents do not matter.
    pub(crate) fn buffer(&self) -> Vec<u8> {
        lock(&self.shared.spare).pop().unwrap_or_default()
    }

    /// Packs that the storage has accepted and no catalog lists yet.
    pub(crate) fn stored(&self) -> MutexGuard<'_, Vec<StoredPack>> {
        lock(&self.shared.stored)
    }

    /// Bytes that the storage has accepted.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    fn take_failure(&self) -> Result<(), RepositoryError> {
        lock(&self.shared.failure).take().map_or(Ok(()), Err)
    }
}

impl Drop for Uploader {
    fn drop(&mut self) {
        self.sender = None;
        for thread in self.threads.drain(..) {
            // A panic of the thread was its own report; there is nobody left to tell here.
            drop(thread.join());
        }
    }
}

impl Shared {
    fn run(&self, packs: &Receiver<FinishedPack>) {
        while let Ok(pack) = packs.recv() {
            if let Err(error) = self.store(pack) {
                lock(&self.failure).get_or_insert(error);
                return;
            }
        }
    }

    fn store(&self, pack: FinishedPack) -> Result<(), RepositoryError> {
        let FinishedPack { name, bytes, directory, mark } = pack;
        reach(Point::PackBeforePut)?;
        // I2: it may have waited for long since it was opened again.
        if !is_unharmed(&bytes, &name.id) {
            let reason = "it changed since its parity or name was computed".to_owned();
            return Err(RepositoryError::WriteVerification { reason });
        }
        match self.storage.put(&name, &bytes)? {
            Put::Stored => {}
            // I3: pack names never repeat, every pack holds fresh random bytes.
            Put::AlreadyThere => {
                let reason = "a pack of this name exists already".to_owned();
                return Err(RepositoryError::Damaged { object: name, reason });
            }
        }
        reach(Point::PackAfterPut)?;
        let len_bytes = bytes.len() as u64;
        self.bytes.fetch_add(len_bytes, Ordering::Relaxed);
        lock(&self.stored).push(StoredPack { pack: CatalogedPack { pack: name.id, len_bytes, directory }, mark });
        let mut spare = lock(&self.spare);
        if spare.len() < SPARE_MAX {
            spare.push(bytes);
        }
        Ok(())
    }
}
