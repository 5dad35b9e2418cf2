//! Files, links and folders that are written together, in the order of the packs.

use super::delete::delete_others;
use super::files::FileWriter;
use super::folder::RestoredFolder;
use super::links::DeferredLink;
use super::run::Run;
use crate::{Error, lock};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use vellum_format::content::{ChunkKind, ChunkRef};
use vellum_format::tree::EntryName;
use vellum_repository::{FrameCache, FrameReader, Place, RepositoryError};

/// A window is full when it holds this many chunks, bytes, files, folders or names that folders keep. Two of them are
/// in memory, and each of their folders is open.
const CHUNKS_MAX: usize = 1 << 16;
const LEN_BYTES_MAX: u64 = 1 << 30;
const FILES_MAX: usize = 1 << 14;
const FOLDERS_MAX: usize = 256;
const NAMES_MAX: usize = 1 << 16;

/// What is done together.
#[derive(Default)]
pub(super) struct Window {
    chunks: Vec<PlannedChunk>,
    files: Vec<Arc<FileWriter>>,
    len_bytes: u64,
    links: Vec<DeferredLink>,
    folders: Vec<LeftFolder>,
    name_count: usize,
}

/// One chunk of one file.
struct PlannedChunk {
    place: Place,
    chunk: ChunkRef,
    file: u32,
    offset: u64,
}

/// A folder into which nothing more is planned.
pub(super) struct LeftFolder {
    pub(super) folder: Arc<RestoredFolder>,
    pub(super) path: Vec<u8>,
    /// What stays in it, when all else is to be deleted.
    pub(super) kept: Option<BTreeSet<EntryName>>,
}

impl Window {
    /// The file's number here, for its chunks.
    pub(super) fn add_file(&mut self, file: &Arc<FileWriter>) -> u32 {
        self.files.push(Arc::clone(file));
        u32::try_from(self.files.len() - 1).expect("a window has at most FILES_MAX files")
    }

    pub(super) fn add_chunk(&mut self, file: u32, offset: u64, chunk: ChunkRef, place: Place) {
        self.chunks.push(PlannedChunk { place, chunk, file, offset });
        self.len_bytes += u64::from(chunk.len_bytes);
    }

    pub(super) fn add_link(&mut self, link: DeferredLink) {
        self.links.push(link);
    }

    pub(super) fn add_folder(&mut self, folder: LeftFolder) {
        self.name_count += folder.kept.as_ref().map_or(0, BTreeSet::len);
        self.folders.push(folder);
    }

    pub(super) fn is_full(&self) -> bool {
        self.has_full_chunks()
            || self.files.len() >= FILES_MAX
            || self.folders.len() >= FOLDERS_MAX
            || self.name_count >= NAMES_MAX
    }

    /// Whether another chunk, also of the file that was added last, belongs into the next window.
    pub(super) fn has_full_chunks(&self) -> bool {
        self.chunks.len() >= CHUNKS_MAX || self.len_bytes >= LEN_BYTES_MAX
    }
}

/// Writes windows, one after the other, each on all cores.
pub(super) struct Writer<'a> {
    run: &'a Run<'a>,
    pool: rayon::ThreadPool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(run: &'a Run<'a>) -> Result<Self, Error> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(run.context.worker_count())
            .build()
            .map_err(|error| RepositoryError::NoThread(io::Error::other(error)))?;
        Ok(Self { run, pool })
    }

    pub(super) fn write(&self, window: Window) -> Result<(), Error> {
        let Window { chunks, files, links, folders, .. } = window;
        self.write_files(chunks, &files)?;
        // What was left unfinished goes with these. Links after the files that they name, folders after both: each
        // changes the times of its folder.
        drop(files);
        for link in links {
            link.make(self.run)?;
        }
        for LeftFolder { folder, path, kept } in folders {
            // Not before: a file in parts has a name of its own until it is whole, which the snapshot does not have.
            if let Some(kept) = kept {
                delete_others(self.run, &folder, &kept, &path);
            }
            folder.complete(self.run, &path);
        }
        Ok(())
    }

    fn write_files(&self, mut chunks: Vec<PlannedChunk>, files: &[Arc<FileWriter>]) -> Result<(), Error> {
        chunks.sort_unstable_by_key(|planned| (planned.place.frame, planned.file, planned.offset));
        let frames: Vec<&[PlannedChunk]> = chunks.chunk_by(|a, b| a.place.frame == b.place.frame).collect();
        let run = self.run;
        let failure = Mutex::new(None);
        self.pool.install(|| {
            frames.par_iter().with_max_len(4).for_each_init(FrameReader::new, |reader, planned| {
                if let Err(error) =
                    run.context.check_cancelled().and_then(|()| restore_frame(run, reader, planned, files))
                {
                    lock(&failure).get_or_insert(error);
                }
            });
        });
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

/// Opens one frame and puts each of its planned chunks where it belongs.
fn restore_frame(
    run: &Run<'_>,
    reader: &mut FrameReader,
    planned: &[PlannedChunk],
    files: &[Arc<FileWriter>],
) -> Result<(), Error> {
    let frame = match run.repository.open_frame(reader, planned[0].place.frame) {
        Ok(frame) => Some(frame),
        Err(RepositoryError::Damaged { .. } | RepositoryError::FrameForgotten) => None,
        Err(error) => return Err(error.into()),
    };
    // One frame: what was healed for the first chunk serves its neighbours.
    let cache = FrameCache::new(1);
    for one in planned {
        let file = &files[one.file as usize];
        if file.has_failed() {
            continue;
        }
        let bytes =
            frame.as_ref().and_then(|frame| run.repository.chunk_in(frame, &one.place, ChunkKind::Data, &one.chunk));
        match bytes {
            Some(bytes) => file.write(run, one.offset, bytes),
            // A bad copy: any other copy will do, and if there is none, only this file is lost.
            None => match run.repository.read_chunk(&cache, ChunkKind::Data, &one.chunk) {
                Ok(bytes) => file.write(run, one.offset, &bytes),
                Err(error @ RepositoryError::Storage(_)) => return Err(error.into()),
                Err(error) => file.fail_reading(run, &error),
            },
        }
    }
    Ok(())
}
