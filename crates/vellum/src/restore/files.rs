//! Files that are being restored: opened by their first chunk, completed by their last, from any thread.

use super::folder::RestoredFolder;
use super::links::LinkedInode;
use super::run::Run;
use crate::lock;
use crate::platform::{SuspendedFile, TargetFile};
use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use vellum_format::content::Content;
use vellum_format::tree::{Entry, Node};

/// From this length on a file is refused when there is no room for it.
const LONG_LEN_BYTES: u64 = 1 << 30;

/// A longer file is created under a temporary name though it is written at once: a kill may cut even one write, and
/// the rename costs little beside what it writes.
const AT_ONCE_LEN_BYTES_MAX: u64 = 64 << 10;

/// Files in parts that are open at once, each with its folder. The parts of a file may lie far apart in the packs, and
/// those of thousands of files between them: when each stayed open until it is whole, a window of them would need more
/// handles than a system allows.
const OPEN_MAX: usize = 64;

/// One file on its way back.
pub(super) struct FileWriter {
    folder: Arc<RestoredFolder>,
    entry: Entry,
    /// Where it has other names.
    inode: Option<Arc<LinkedInode>>,
    is_sparse: bool,
    target: Mutex<Target>,
    written: AtomicU64,
    failed: AtomicBool,
}

#[derive(Default)]
enum Target {
    #[default]
    Unmade,
    Open(Arc<TargetFile>),
    Suspended(SuspendedFile),
}

/// The files in parts that are open, and some that are finished already, in the order in which they were opened.
#[derive(Default)]
pub(super) struct OpenFiles(Mutex<VecDeque<Weak<FileWriter>>>);

impl OpenFiles {
    /// Takes note of a file, and closes those that were opened first when there are too many.
    fn add(&self, file: &Arc<FileWriter>) {
        lock(&self.0).push_back(Arc::downgrade(file));
        let mut busy = Vec::new();
        while let Some(first) = self.take_first_of_too_many() {
            // Not under the lock of the queue: others wait for that while they hold a file's.
            if first.upgrade().is_some_and(|file| !file.suspend()) {
                busy.push(first);
            }
        }
        lock(&self.0).extend(busy);
    }

    fn take_first_of_too_many(&self) -> Option<Weak<FileWriter>> {
        let mut open = lock(&self.0);
        if open.len() > OPEN_MAX { open.pop_front() } else { None }
    }
}

impl FileWriter {
    /// With `makes_holes` zeros become holes also where the file had none.
    pub(super) fn new(
        folder: Arc<RestoredFolder>,
        entry: Entry,
        inode: Option<Arc<LinkedInode>>,
        makes_holes: bool,
    ) -> Self {
        let is_sparse = makes_holes || matches!(entry.node, Node::File { sparse: true, .. });
        let (target, written, failed) = (Mutex::default(), AtomicU64::new(0), AtomicBool::new(false));
        Self { folder, entry, inode, is_sparse, target, written, failed }
    }

    fn path(&self) -> Vec<u8> {
        self.folder.path_of(&self.entry.name)
    }

    pub(super) fn entry(&self) -> &Entry {
        &self.entry
    }

    /// What its chunks are; `None` when it is complete without any, or given up because there is no room for it.
    pub(super) fn begin(self: &Arc<Self>, run: &Run<'_>) -> Option<(Content, u64)> {
        let Node::File { len_bytes, content, .. } = &self.entry.node else { return None };
        run.context.progress.add_total(1, *len_bytes);
        if *len_bytes == 0 && content.chunks.is_empty() {
            self.complete_empty(run);
            return None;
        }
        match self.expect_room(run) {
            Ok(()) => Some((content.clone(), *len_bytes)),
            Err(error) => {
                self.fail(run, "write", &error);
                None
            }
        }
    }

    pub(super) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Tells once, and removes what was written.
    pub(super) fn fail(&self, run: &Run<'_>, doing: &'static str, reason: &impl ToString) {
        if self.give_up() {
            run.undone(&self.path(), doing, reason);
        }
    }

    /// The same where the snapshot is the cause.
    pub(super) fn fail_reading(&self, run: &Run<'_>, reason: &impl ToString) {
        if self.give_up() {
            run.unreadable(&self.path(), "read", reason);
        }
    }

    /// False when that was done before.
    fn give_up(&self) -> bool {
        let is_first = !self.failed.swap(true, Ordering::SeqCst);
        self.remove();
        is_first
    }

    /// Removes what is there of the file.
    fn remove(&self) {
        let mut target = lock(&self.target);
        if let Target::Suspended(suspended) = std::mem::take(&mut *target) {
            // There is nobody to tell; a leftover is private.
            drop(self.folder.handle().and_then(|folder| folder.remove_suspended(&suspended)));
        }
    }

    /// Closes the file; false when somebody is writing to it.
    fn suspend(&self) -> bool {
        let mut target = lock(&self.target);
        let (state, is_closed) = match std::mem::take(&mut *target) {
            Target::Open(open) => match Arc::try_unwrap(open).map(TargetFile::suspend) {
                Ok(Ok(suspended)) => (Target::Suspended(suspended), true),
                Ok(Err(open)) => (Target::Open(Arc::new(open)), false),
                Err(shared) => (Target::Open(shared), false),
            },
            closed => (closed, true),
        };
        *target = state;
        is_closed
    }

    /// Refuses a long file for which there is no room, before anything of it is written: it may be made of one chunk,
    /// repeated until the disk is full.
    fn expect_room(self: &Arc<Self>, run: &Run<'_>) -> io::Result<()> {
        let len_bytes = self.len_bytes();
        if len_bytes < LONG_LEN_BYTES {
            return Ok(());
        }
        if self.is_sparse {
            // What is a hole takes no room, so only the file system knows: it refuses what is too long for it.
            return self.open(&run.open_files)?.reserve_len();
        }
        has_room(self.folder.handle()?.free_bytes()?, len_bytes)
    }

    /// Whether one short write makes it whole.
    fn is_written_at_once(&self) -> bool {
        match &self.entry.node {
            Node::File { len_bytes, content, .. } => {
                let is_one_chunk = content.depth == 0 && content.chunks.len() <= 1;
                *len_bytes == 0 || (is_one_chunk && *len_bytes <= AT_ONCE_LEN_BYTES_MAX && !self.is_sparse)
            }
            _ => true,
        }
    }

    fn complete_empty(self: &Arc<Self>, run: &Run<'_>) {
        match self.open(&run.open_files).map(drop) {
            Ok(()) => self.complete(run),
            Err(error) => self.fail(run, "create", &error),
        }
    }

    /// Writes a chunk; the one that completes the file applies its metadata.
    pub(super) fn write(self: &Arc<Self>, run: &Run<'_>, offset: u64, bytes: &[u8]) {
        let written = self.open(&run.open_files).and_then(|target| match self.is_sparse {
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
        let finished = self.take().and_then(|target| target.finish(&self.entry.metadata, &run.owners));
        match finished {
            Ok(problems) => {
                if let Some(inode) = &self.inode {
                    inode.stands_at(&self.folder, &self.entry.name);
                }
                run.metadata_problems(|| self.path(), problems);
                run.files.fetch_add(1, Ordering::Relaxed);
                run.bytes.fetch_add(self.len_bytes(), Ordering::Relaxed);
                run.context.progress.add_done(1, 0);
            }
            Err(error) => self.fail(run, "write", &error),
        }
    }

    /// The file, of which everything is written.
    fn take(&self) -> io::Result<TargetFile> {
        let mut target = lock(&self.target);
        if let Target::Suspended(_) = &*target {
            self.open_again(&mut target)?;
        }
        let Target::Open(open) = std::mem::take(&mut *target) else {
            return Err(io::Error::other("it was completed twice"));
        };
        Arc::into_inner(open).ok_or_else(|| io::Error::other("it was completed while it was written"))
    }

    fn open(self: &Arc<Self>, others: &OpenFiles) -> io::Result<Arc<TargetFile>> {
        let mut target = lock(&self.target);
        let is_open = matches!(*target, Target::Open(_));
        // Another thread may have given it up since this one looked: it is not begun anew.
        if !is_open && self.has_failed() {
            return Err(io::Error::other("it was given up"));
        }
        let opened = self.open_again(&mut target)?;
        drop(target);
        if !is_open && !self.is_written_at_once() {
            others.add(self);
        }
        Ok(opened)
    }

    /// The open file; created or opened again if it is not.
    fn open_again(&self, target: &mut Target) -> io::Result<Arc<TargetFile>> {
        let (name, len_bytes) = (&self.entry.name, self.len_bytes());
        let opened = match target {
            Target::Open(open) => return Ok(Arc::clone(open)),
            Target::Suspended(suspended) => self.folder.handle()?.resume_file(name, suspended, len_bytes)?,
            Target::Unmade if self.is_written_at_once() => self.folder.handle()?.create_file(name, len_bytes)?,
            Target::Unmade => self.folder.handle()?.create_file_in_parts(name, len_bytes)?,
        };
        let opened = Arc::new(opened);
        *target = Target::Open(Arc::clone(&opened));
        Ok(opened)
    }

    fn len_bytes(&self) -> u64 {
        match self.entry.node {
            Node::File { len_bytes, .. } => len_bytes,
            _ => 0,
        }
    }
}

impl Drop for FileWriter {
    fn drop(&mut self) {
        self.remove();
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
    use vellum_format::Digest;
    use vellum_format::content::ChunkRef;
    use vellum_format::tree::EntryName;

    #[test]
    fn a_file_that_was_given_up_is_not_begun_anew_by_a_thread_that_does_not_know_yet() {
        let scratch = tempfile::tempdir().unwrap();
        let root = RestoredFolder::root(TargetFolder::create_root(scratch.path()).unwrap(), Vec::new(), None, false);
        let node = Node::File { len_bytes: 2, content: Content::empty(), sparse: false };
        let name = EntryName::new(b"file".to_vec()).unwrap();
        let entry = Entry { name, node, metadata: vellum_testkit::entries::metadata() };
        let file = Arc::new(FileWriter::new(root, entry, None, false));
        let others = OpenFiles::default();
        drop(file.open(&others).unwrap());
        assert!(scratch.path().join("file").exists());
        assert!(file.give_up() && !file.give_up());
        assert!(file.open(&others).is_err() && !scratch.path().join("file").exists());
    }

    #[test]
    fn a_file_that_takes_more_than_one_short_write_has_its_name_only_when_it_is_whole() {
        let scratch = tempfile::tempdir().unwrap();
        let root = RestoredFolder::root(TargetFolder::create_root(scratch.path()).unwrap(), Vec::new(), None, false);
        let file = |len_bytes: u64, chunk_count: usize, depth: u8, sparse: bool| {
            let len = u32::try_from(len_bytes / (chunk_count as u64).max(1)).unwrap();
            let chunks = vec![ChunkRef { digest: Digest::from_bytes([1; 32]), len_bytes: len }; chunk_count];
            let node = Node::File { len_bytes, content: Content { depth, chunks }, sparse };
            let name = EntryName::new(b"file".to_vec()).unwrap();
            let entry = Entry { name, node, metadata: vellum_testkit::entries::metadata() };
            Arc::new(FileWriter::new(Arc::clone(&root), entry, None, false))
        };
        let is_named = |file: Arc<FileWriter>| {
            let open = file.open(&OpenFiles::default()).unwrap();
            let is_named = scratch.path().join("file").exists();
            assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 1);
            drop(open);
            drop(file);
            assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
            is_named
        };
        let longest = AT_ONCE_LEN_BYTES_MAX;
        assert!(is_named(file(0, 0, 0, false)) && is_named(file(longest, 1, 0, false)));
        assert!(!is_named(file(longest + 1, 1, 0, false)) && !is_named(file(2, 2, 0, false)));
        assert!(!is_named(file(2, 1, 1, false)) && !is_named(file(2, 1, 0, true)));
    }

    #[test]
    fn what_is_closed_while_others_are_written_is_finished_or_removed_as_if_it_had_stayed_open() {
        let scratch = tempfile::tempdir().unwrap();
        let root = RestoredFolder::root(TargetFolder::create_root(scratch.path()).unwrap(), Vec::new(), None, false);
        let others = OpenFiles::default();
        let files: Vec<_> = (0..3 * OPEN_MAX)
            .map(|number| {
                let chunk = ChunkRef { digest: Digest::from_bytes([1; 32]), len_bytes: 2 };
                let node =
                    Node::File { len_bytes: 4, content: Content { depth: 0, chunks: vec![chunk; 2] }, sparse: false };
                let name = EntryName::new(number.to_string().into_bytes()).unwrap();
                let entry = Entry { name, node, metadata: vellum_testkit::entries::metadata() };
                Arc::new(FileWriter::new(Arc::clone(&root), entry, None, false))
            })
            .collect();
        let open = || files.iter().filter(|file| matches!(*lock(&file.target), Target::Open(_))).count();
        let policy = crate::platform::OwnerPolicy::of_this_process(false);
        for offset in [0, 2] {
            for file in &files {
                file.open(&others).unwrap().write_at(offset, b"ab").unwrap();
                assert!(open() <= OPEN_MAX);
            }
        }
        assert_eq!(open(), OPEN_MAX);
        let (finished, left) = files.split_at(2 * OPEN_MAX);
        for (number, file) in finished.iter().enumerate() {
            drop(file.take().unwrap().finish(&file.entry.metadata, &policy).unwrap());
            assert_eq!(std::fs::read(scratch.path().join(number.to_string())).unwrap(), b"abab");
        }
        assert!(left[0].give_up());
        drop(files);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 2 * OPEN_MAX);
    }

    #[test]
    fn a_file_has_room_when_as_much_is_free() {
        assert!(has_room(None, u64::MAX).is_ok() && has_room(Some(7), 7).is_ok() && has_room(Some(8), 7).is_ok());
        assert_eq!(has_room(Some(6), 7).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
