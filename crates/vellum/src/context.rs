//! What a caller gives to a long operation and learns from it while it runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Cancellation, progress, events and the number of worker threads.
#[derive(Clone, Default)]
pub struct Context {
    /// Asks the operation to stop at the next chunk.
    pub cancel: CancelToken,
    /// Counters that a display may read at any time.
    pub progress: Arc<Progress>,
    /// Told of single things as they happen; `None` hears nothing.
    pub events: Option<Arc<dyn EventSink>>,
    /// Worker threads; `None` is one per core, 1 is truly one worker.
    pub threads: Option<usize>,
}

impl Context {
    pub(crate) fn worker_count(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        self.threads.unwrap_or_else(cores).clamp(1, 256)
    }

    pub(crate) fn tell(&self, event: &Event<'_>) {
        if let Some(sink) = &self.events {
            sink.event(event);
        }
    }

    pub(crate) fn check_cancelled(&self) -> Result<(), crate::Error> {
        if self.cancel.is_cancelled() { Err(crate::Error::Cancelled) } else { Ok(()) }
    }
}

/// A flag that stops an operation; clones share it.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(Arc<AtomicBool>);

impl CancelToken {
    /// Asks whoever watches this token to stop. Safe to call from any thread.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// Whether somebody asked.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// The flag itself, for a signal handler that can only set one.
    #[must_use]
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }
}

/// How far an operation is. Totals grow while the source is still being scanned.
#[derive(Debug, Default)]
pub struct Progress {
    /// Files (or packs, when checking) found so far.
    pub files_total: AtomicU64,
    /// Bytes in them.
    pub bytes_total: AtomicU64,
    /// Files done.
    pub files_done: AtomicU64,
    /// Bytes done.
    pub bytes_done: AtomicU64,
    /// Whether the totals are final.
    pub scan_finished: AtomicBool,
}

impl Progress {
    pub(crate) fn add_total(&self, files: u64, bytes: u64) {
        self.files_total.fetch_add(files, Ordering::Relaxed);
        self.bytes_total.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_done(&self, files: u64, bytes: u64) {
        self.files_done.fetch_add(files, Ordering::Relaxed);
        self.bytes_done.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Hears of single things. Called from worker threads; it should return quickly.
pub trait EventSink: Send + Sync {
    /// One thing happened.
    fn event(&self, event: &Event<'_>);
}

/// A thing that happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Something could not be read or written as it should; the operation goes on.
    Problem(&'a Problem),
    /// Something the user may want to know; nothing is lost.
    Notice {
        /// What it is about.
        path: &'a [u8],
        /// What it is.
        text: &'a str,
    },
    /// A restore deleted an entry that the snapshot does not have, a folder with all in it; a dry run would.
    Deleted {
        /// Its path, in the target.
        path: &'a [u8],
    },
    /// A file was taken into the backup.
    File {
        /// Its path.
        path: &'a [u8],
        /// How it compares with the previous backup.
        change: FileChange,
        /// Its length.
        len_bytes: u64,
    },
}

/// How a file compares with the previous backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileChange {
    /// It was not there.
    New,
    /// It was different.
    Changed,
    /// It was taken over without reading.
    Unchanged,
}

/// A source or target entry with which something went wrong.
#[derive(Debug)]
pub struct Problem {
    /// The entry, as bytes.
    pub path: Vec<u8>,
    /// What was being done, such as `read`.
    pub doing: &'static str,
    /// What went wrong.
    pub reason: String,
}

impl Problem {
    pub(crate) fn new(path: Vec<u8>, doing: &'static str, reason: &impl ToString) -> Self {
        Self { path, doing, reason: reason.to_string() }
    }

    /// The path for people and for systems whose paths are text.
    #[must_use]
    pub fn path_buf(&self) -> PathBuf {
        use std::os::unix::ffi::OsStringExt as _;
        PathBuf::from(std::ffi::OsString::from_vec(self.path.clone()))
    }
}
