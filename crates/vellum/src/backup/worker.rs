//! Reading files: each worker takes whole files from open to stored, through one frame writer of its own.

use super::file_cache::CacheRecord;
use super::folder::Finished;
use super::pieces::{Pieces, Taker, WriteError as ReadError};
use super::{Run, SharedFolder};
use crate::content::ContentBuilder;
use crate::platform::{OwnerNames, SourceFile, SourceFolder, Stat, metadata_of};
use crate::{Error, Event, FileChange};
use crossbeam_channel::Receiver;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;
use vellum_chunker::ChunkStream;
use vellum_format::content::{ChunkKind, Content};
use vellum_format::tree::{Entry, EntryName, Node};
use vellum_repository::{FrameWriter, Session};

/// Files that one worker takes at a time, so that small ones cost no queue operation each.
pub(super) type Batch = Vec<FileJob>;

/// A file longer than this is not read again because it changed meanwhile: it would hardly hold still.
const RETRY_LEN_BYTES_MAX: u64 = 64 << 20;

/// A file that has to be read.
pub(super) struct FileJob {
    pub(super) folder: Arc<SourceFolder>,
    pub(super) builder: SharedFolder,
    pub(super) slot: usize,
    pub(super) name: EntryName,
    pub(super) stat: Stat,
    pub(super) change: FileChange,
    pub(super) names: Arc<OwnerNames>,
}

impl FileJob {
    /// Put together when it is needed, as [`FolderBuilder::path`](super::FolderBuilder::path): hundreds of files wait.
    fn path(&self) -> Vec<u8> {
        [&self.builder.path(), &b"/"[..], self.name.as_bytes()].concat()
    }
}

/// A longer file is read by one worker and stored by all.
const SHARED_LEN_BYTES_MIN: u64 = 4 << 20;

/// Takes batches until there are none or the run failed, and pieces of what other workers read.
pub(super) fn work(run: &Run<'_>, session: &Session<'_>, queue: &Receiver<Batch>, pieces: Pieces) {
    let _ends_the_run = PanicEndsRun(run);
    if let Err(error) = try_work(run, session, queue, pieces) {
        run.fail(error);
        // The walker must not wait for a queue that nobody empties.
        while queue.recv().is_ok() {}
    }
}

/// Whoever walks or works beside a worker that panics stops.
struct PanicEndsRun<'a>(&'a Run<'a>);

impl Drop for PanicEndsRun<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(Error::WorkerPanicked);
        }
    }
}

fn try_work(run: &Run<'_>, session: &Session<'_>, queue: &Receiver<Batch>, pieces: Pieces) -> Result<(), Error> {
    let taker = pieces.taker();
    let mut reader = FileReader { run, writer: session.frame_writer()?, buffer: Vec::new(), pieces };
    let result = reader.take_all(queue, &taker);
    let FileReader { mut writer, pieces, .. } = reader;
    // Others may still read: they end when nobody can hand anything out.
    drop(pieces);
    let result = result.and_then(|()| taker.take_all(&mut writer, run.context));
    // Also when cancelled: what was put must reach a frame, so that the session may keep what is complete.
    let flushed = writer.flush();
    result?;
    Ok(flushed?)
}

struct FileReader<'a, 's> {
    run: &'a Run<'a>,
    writer: FrameWriter<'s>,
    buffer: Vec<u8>,
    pieces: Pieces,
}

impl FileReader<'_, '_> {
    fn take_all(&mut self, queue: &Receiver<Batch>, taker: &Taker) -> Result<(), Error> {
        loop {
            crossbeam_channel::select! {
                recv(queue) -> batch => match batch {
                    Ok(batch) => self.take_batch(&batch)?,
                    Err(_) => return Ok(()),
                },
                recv(taker.receiver) -> piece => if let Ok(piece) = piece {
                    taker.take(piece, &mut self.writer, self.run.context)?;
                },
            }
        }
    }

    fn take_batch(&mut self, batch: &Batch) -> Result<(), Error> {
        for job in batch {
            self.run.context.check_cancelled()?;
            if self.run.has_failed() {
                return Ok(());
            }
            self.take(job)?;
        }
        // The next batch may be from anywhere in the source.
        Ok(self.writer.part()?)
    }

    fn take(&mut self, job: &FileJob) -> Result<(), Error> {
        let finished = match self.read_file(job) {
            Ok(finished) => Some(finished),
            Err(ReadError::Run(error)) => return Err(error),
            Err(ReadError::Source(error)) => {
                let doing = if error.kind() == io::ErrorKind::NotFound { "read (it vanished)" } else { "read" };
                self.run.problem(&job.path(), doing, &error);
                None
            }
        };
        let finished = finished.map(|(finished, len_bytes)| {
            self.count(job, len_bytes);
            finished
        });
        self.run.context.progress.add_done(1, 0);
        Ok(job.builder.fill(job.slot, finished, self.run, &mut self.writer)?)
    }

    fn count(&self, job: &FileJob, len_bytes: u64) {
        let counts = &self.run.counts;
        counts.files.fetch_add(1, Ordering::Relaxed);
        counts.bytes.fetch_add(len_bytes, Ordering::Relaxed);
        let kind = if job.change == FileChange::New { &counts.files_new } else { &counts.files_changed };
        kind.fetch_add(1, Ordering::Relaxed);
        if self.run.context.events.is_some() {
            self.run.context.tell(&Event::File { path: &job.path(), change: job.change, len_bytes });
        }
    }

    /// Reads a file and tells its length; one that changes while it is read is read once more, then taken as it is and
    /// told.
    fn read_file(&mut self, job: &FileJob) -> Result<(Finished, u64), ReadError> {
        let mut attempts_left = if job.stat.len_bytes <= RETRY_LEN_BYTES_MAX { 1 } else { 0 };
        loop {
            let mut file = job.folder.open_file(&job.name).map_err(ReadError::Source)?;
            let before = *file.opened();
            let xattrs = file.xattrs();
            let (content, len_bytes) = self.read_content(&mut file)?;
            let looked_at = SystemTime::now();
            let after = file.stat().map_err(ReadError::Source)?;
            let held_still = before.identity() == after.identity() && len_bytes == after.len_bytes;
            if !held_still && attempts_left > 0 {
                attempts_left -= 1;
                continue;
            }
            if !held_still {
                self.run.problem(&job.path(), "read", &"it changed while it was read; what was read is saved");
            }
            let (xattrs, has_all) = self.run.readable(xattrs, || job.path());
            let node = Node::File { len_bytes, content, sparse: after.is_sparse() };
            let entry = Entry { name: job.name.clone(), node, metadata: metadata_of(&after, xattrs, &job.names) };
            let record = if held_still && has_all { CacheRecord::settled(&after, looked_at) } else { None };
            return Ok((Finished::made(entry, record, || job.path(), self.run), len_bytes));
        }
    }

    fn read_content(&mut self, file: &mut SourceFile) -> Result<(Content, u64), ReadError> {
        let chunker = self.run.repository.chunker();
        if file.opened().len_bytes >= SHARED_LEN_BYTES_MIN && self.run.context.worker_count() > 1 {
            return self.pieces.write(file, chunker, &mut self.writer, self.run.context);
        }
        let mut builder = ContentBuilder::new(chunker.clone());
        let mut stream = ChunkStream::with_buffer(chunker, file, std::mem::take(&mut self.buffer));
        let mut len_bytes = 0;
        while let Some(chunk) = stream.next_chunk().map_err(ReadError::Source)? {
            self.run.context.check_cancelled()?;
            len_bytes += chunk.len() as u64;
            let put = self.writer.put(ChunkKind::Data, chunk)?;
            builder.push(&put.chunk, &mut self.writer)?;
            self.run.context.progress.add_done(0, chunk.len() as u64);
        }
        self.buffer = stream.into_buffer();
        Ok((builder.finish(&mut self.writer)?, len_bytes))
    }
}
