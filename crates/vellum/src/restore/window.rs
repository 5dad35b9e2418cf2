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
use vellum_format::tree::{Entry, EntryName, Node};
use vellum_repository::{FrameCache, FrameReader, Place, RepositoryError};

/// A window is full when it holds this many chunks, bytes, files and links, folders or names that folders keep, or
/// entries of this length. Two of them are in memory, and each of their folders is open.
const CHUNKS_MAX: usize = 1 << 16;
const LEN_BYTES_MAX: u64 = 1 << 30;
const FILES_MAX: usize = 1 << 14;
const ENTRIES_LEN_BYTES_MAX: usize = 32 << 20;
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
    entries_len_bytes: usize,
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
    /// What stays in it, when all else is to be deleted.
    pub(super) kept: Option<BTreeSet<EntryName>>,
}

impl Window {
    /// The file's number here, for its chunks.
    pub(super) fn add_file(&mut self, file: &Arc<FileWriter>) -> u32 {
        self.entries_len_bytes += entry_len_bytes(file.entry());
        self.files.push(Arc::clone(file));
        u32::try_from(self.files.len() - 1).expect("a window has at most FILES_MAX files")
    }

    pub(super) fn add_chunk(&mut self, file: u32, offset: u64, chunk: ChunkRef, place: Place) {
        self.chunks.push(PlannedChunk { place, chunk, file, offset });
        self.len_bytes += u64::from(chunk.len_bytes);
    }

    pub(super) fn add_link(&mut self, link: DeferredLink) {
        self.entries_len_bytes += entry_len_bytes(&link.entry);
        self.links.push(link);
    }

    pub(super) fn add_folder(&mut self, folder: LeftFolder) {
        self.name_count += folder.kept.as_ref().map_or(0, BTreeSet::len);
        self.folders.push(folder);
    }

    pub(super) fn is_full(&self) -> bool {
        self.has_full_chunks()
            || self.files.len() + self.links.len() >= FILES_MAX
            || self.entries_len_bytes >= ENTRIES_LEN_BYTES_MAX
            || self.folders.len() >= FOLDERS_MAX
            || self.name_count >= NAMES_MAX
    }

    /// Whether another chunk, also of the file that was added last, belongs into the next window.
    pub(super) fn has_full_chunks(&self) -> bool {
        self.chunks.len() >= CHUNKS_MAX || self.len_bytes >= LEN_BYTES_MAX
    }
}

/// What may be long of an entry.
fn entry_len_bytes(entry: &Entry) -> usize {
    let attributes = entry.metadata.xattrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>();
    let node = match &entry.node {
        Node::File { content, .. } => content.chunks.len() * ChunkRef::ENCODED_LEN,
        Node::Symlink { target } => target.len(),
        _ => 0,
    };
    attributes + node
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
            self.run.context.check_cancelled()?;
            link.make(self.run)?;
        }
        for LeftFolder { folder, kept } in folders {
            // Not before: a file in parts has a name of its own until it is whole, which the snapshot does not have.
            if let Some(kept) = kept {
                delete_others(self.run, &folder, &kept);
            }
            folder.complete(self.run);
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
    // What cannot be read is looked for elsewhere also when nobody waits for it any more: the next backup must not
    // count on what is lost (I20).
    let mut is_settled = frame.is_some();
    for one in planned {
        let file = &files[one.file as usize];
        if file.has_failed() && is_settled {
            continue;
        }
        let bytes =
            frame.as_ref().and_then(|frame| run.repository.chunk_in(frame, &one.place, ChunkKind::Data, &one.chunk));
        if let Some(bytes) = bytes {
            file.write(run, one.offset, bytes);
            continue;
        }
        is_settled = true;
        // A bad copy: any other copy will do, and if there is none, only this file is lost.
        match run.repository.read_chunk(&cache, ChunkKind::Data, &one.chunk) {
            Ok(_) if file.has_failed() => {}
            Ok(bytes) => file.write(run, one.offset, &bytes),
            Err(error @ RepositoryError::Storage(_)) => return Err(error.into()),
            Err(error) => file.fail_reading(run, &error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::TargetFolder;
    use vellum_format::Digest;
    use vellum_format::content::Content;
    use vellum_format::tree::Metadata;
    use vellum_testkit::entries::metadata;

    #[test]
    fn a_window_is_full_by_links_and_by_the_lengths_of_their_entries() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = RestoredFolder::root(TargetFolder::create_root(scratch.path()).unwrap(), Vec::new(), None, false);
        // How many links of files with so many references and so long an attribute fill a window.
        let count = |references: usize, len_bytes: usize| {
            let chunk = ChunkRef { digest: Digest::from_bytes([1; 32]), len_bytes: 1 };
            let content = Content { depth: 0, chunks: vec![chunk; references] };
            let xattrs = vec![(b"user.a".to_vec(), vec![0; len_bytes])];
            let node = Node::File { len_bytes: 1, content, sparse: false };
            let name = EntryName::new(b"file".to_vec()).unwrap();
            let entry = Entry { name, node, metadata: Metadata { xattrs, ..metadata() } };
            let mut window = Window::default();
            let link = || DeferredLink {
                folder: Arc::clone(&folder),
                entry: entry.clone(),
                inode: Arc::default(),
                is_unchanged: false,
            };
            (1..).find(|_| {
                window.add_link(link());
                window.is_full()
            })
        };
        assert_eq!(count(1, 0), Some(FILES_MAX));
        assert_eq!(count(0, 16 << 20), Some(2));
        assert_eq!(count(256, 0), Some(ENTRIES_LEN_BYTES_MAX.div_ceil(256 * ChunkRef::ENCODED_LEN + 6)));
    }
}
