//! Files that are being restored: opened by their first chunk, completed by their last, from any thread.

use super::Run;
use super::plan::RestoredFolder;
use crate::lock;
use crate::platform::TargetFile;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use vellum_format::tree::{Entry, Node};

/// From this length on a file is refused when there is no room for it.
const LONG_LEN_BYTES: u64 = 1 << 30;

/// One file on its way back.
pub(super) struct FileWriter {
    folder: Arc<RestoredFolder>,
    entry: Entry,
    path: Vec<u8>,
    target: Mutex<Option<Arc<TargetFile>>>,
    written: AtomicU64,
    failed: AtomicBool,
}

impl FileWriter {
    pub(super) fn new(folder: Arc<RestoredFolder>, entry: Entry, path: Vec<u8>) -> Self {
        let (target, written, failed) = (Mutex::default(), AtomicU64::new(0), AtomicBool::new(false));
        Self { folder, entry, path, target, written, failed }
    }

    pub(super) fn node(&self) -> &Node {
        &self.entry.node
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Tells once, and removes what was written.
    pub(super) fn fail(&self, run: &Run<'_>, doing: &'static str, reason: &impl ToString) {
        if self.give_up() {
            run.problem(&self.path, doing, reason);
        }
    }

    /// False when that was done before.
    fn give_up(&self) -> bool {
        let is_first = !self.failed.swap(true, Ordering::SeqCst);
        *lock(&self.target) = None;
        is_first
    }

    /// Refuses a long file for which there is no room, before anything of it is written: it may be made of one chunk,
    /// repeated until the disk is full.
    pub(super) fn expect_room(&self, run: &Run<'_>) -> io::Result<()> {
        let len_bytes = self.len_bytes();
        if len_bytes < LONG_LEN_BYTES {
            return Ok(());
        }
        if self.is_sparse(run) {
            // What is a hole takes no room, so only the file system knows: it refuses what is too long for it.
            return self.open()?.reserve_len();
        }
        has_room(self.folder.handle()?.free_bytes()?, len_bytes)
    }

    fn is_sparse(&self, run: &Run<'_>) -> bool {
        run.options.sparse || matches!(self.entry.node, Node::File { sparse: true, .. })
    }

    pub(super) fn complete_empty(&self, run: &Run<'_>) {
        match self.open().map(drop) {
            Ok(()) => self.complete(run),
            Err(error) => self.fail(run, "create", &error),
        }
    }

    /// Writes a chunk; the one that completes the file applies its metadata.
    pub(super) fn write(&self, run: &Run<'_>, offset: u64, bytes: &[u8]) {
        let written = self.open().and_then(|target| match self.is_sparse(run) {
            true => target.write_at_sparse(offset, bytes),
            false => target.write_at(offset, bytes),
        });
        if let Err(error) = written {
            return self.fail(run, "write", &error);
        }
        let len = bytes.len() as u64;
        run.context.progress.add_done(0, len);
        let total = self.written.fetch_add(len, Ordering::AcqRel) + len;
        if total == self.len_bytes() && !self.has_failed() {
            self.complete(run);
        }
    }

    fn complete(&self, run: &Run<'_>) {
        let target = lock(&self.target).take();
        let Some(target) = target.and_then(Arc::into_inner) else {
            return self.fail(run, "write", &"it was completed twice");
        };
        match target.finish(&self.entry.metadata, &run.owners) {
            Ok(problems) => {
                run.metadata_problems(&self.path, problems);
                run.files.fetch_add(1, Ordering::Relaxed);
                run.bytes.fetch_add(self.len_bytes(), Ordering::Relaxed);
                run.context.progress.add_done(1, 0);
            }
            Err(error) => self.fail(run, "write", &error),
        }
    }

    fn open(&self) -> io::Result<Arc<TargetFile>> {
        let mut target = lock(&self.target);
        if let Some(open) = &*target {
            return Ok(Arc::clone(open));
        }
        // Another thread may have given it up since this one looked: it is not begun anew.
        if self.has_failed() {
            return Err(io::Error::other("it was given up"));
        }
        let created = Arc::new(self.folder.handle()?.create_file(&self.entry.name, self.len_bytes())?);
        *target = Some(Arc::clone(&created));
        Ok(created)
    }

    fn len_bytes(&self) -> u64 {
        match self.entry.node {
            Node::File { len_bytes, .. } => len_bytes,
            _ => 0,
        }
    }
}

/// Where nobody knows how much is free, it is tried.
fn has_room(free_bytes: Option<u64>, len_bytes: u64) -> io::Result<()> {
    match free_bytes {
        Some(free) if free < len_bytes => {
            Err(io::Error::new(io::ErrorKind::StorageFull, format!("it has {len_bytes} bytes, and {free} are free")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::TargetFolder;
    use vellum_format::content::Content;
    use vellum_format::tree::EntryName;

    #[test]
    fn a_file_that_was_given_up_is_not_begun_anew_by_a_thread_that_does_not_know_yet() {
        let scratch = tempfile::tempdir().unwrap();
        let root = RestoredFolder::root(TargetFolder::create_root(scratch.path()).unwrap(), None, false);
        let node = Node::File { len_bytes: 2, content: Content::empty(), sparse: false };
        let name = EntryName::new(b"file".to_vec()).unwrap();
        let entry = Entry { name, node, metadata: vellum_testkit::entries::metadata() };
        let file = FileWriter::new(root, entry, b"/file".to_vec());
        drop(file.open().unwrap());
        assert!(scratch.path().join("file").exists());
        assert!(file.give_up() && !file.give_up());
        assert!(file.open().is_err() && !scratch.path().join("file").exists());
    }

    #[test]
    fn a_file_has_room_when_as_much_is_free() {
        assert!(has_room(None, u64::MAX).is_ok() && has_room(Some(7), 7).is_ok() && has_room(Some(8), 7).is_ok());
        assert_eq!(has_room(Some(6), 7).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
