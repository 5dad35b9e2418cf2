//! Which chunks go where: collected over a window of files, done in the order of the packs.

use super::files::FileWriter;
use super::run::Run;
use super::walk::HANDLES_MAX;
use crate::content::ChunkIter;
use crate::platform::TargetFolder;
use crate::{Error, lock};
use rayon::prelude::*;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vellum_format::content::{ChunkKind, ChunkRef};
use vellum_format::tree::{self, EntryName, LinkGroup, Metadata, Node};
use vellum_repository::{FrameCache, FrameReader, Place, RepositoryError};

/// A window is worked off when it holds this many chunks, bytes, files or folders.
const WINDOW_CHUNKS_MAX: usize = 1 << 16;
const WINDOW_LEN_BYTES_MAX: u64 = 1 << 30;
const WINDOW_FILES_MAX: usize = 1 << 14;
const WINDOW_FOLDERS_MAX: usize = 512;

/// A folder of the target, made when the first thing is put into it, and closed when nothing is open in it any more,
/// so that the number of open handles does not grow with the snapshot.
pub(super) struct RestoredFolder {
    parent: Option<Arc<RestoredFolder>>,
    name: Option<EntryName>,
    metadata: Option<Metadata>,
    /// How many folders are above.
    depth: usize,
    /// Looks for the folder and makes nothing.
    is_dry: bool,
    state: Mutex<FolderState>,
}

enum FolderState {
    Unmade,
    Open(Arc<TargetFolder>),
    Closed,
}

impl RestoredFolder {
    pub(super) fn root(handle: TargetFolder, metadata: Option<Metadata>, is_dry: bool) -> Arc<Self> {
        let state = Mutex::new(FolderState::Open(Arc::new(handle)));
        Arc::new(Self { parent: None, name: None, metadata, depth: 0, is_dry, state })
    }

    /// A folder below another; its metadata is restored only when it is itself wanted.
    pub(super) fn below(parent: &Arc<Self>, entry: &tree::Entry, is_wanted: bool) -> Arc<Self> {
        Arc::new(Self {
            parent: Some(Arc::clone(parent)),
            name: Some(entry.name.clone()),
            metadata: is_wanted.then(|| entry.metadata.clone()),
            depth: parent.depth + 1,
            is_dry: parent.is_dry,
            state: Mutex::new(FolderState::Unmade),
        })
    }

    /// The open folder, made now if it was not, or opened again. A dry one is only looked for.
    pub(super) fn handle(&self) -> io::Result<Arc<TargetFolder>> {
        if let FolderState::Open(handle) = &*self.state() {
            return Ok(Arc::clone(handle));
        }
        let mut closed = vec![self];
        let mut handle = loop {
            let above = closed.last().and_then(|folder| folder.parent.as_deref()).expect("the root is never closed");
            if let FolderState::Open(handle) = &*above.state() {
                break Arc::clone(handle);
            }
            closed.push(above);
        };
        for folder in closed.into_iter().rev() {
            handle = folder.open_in(&handle)?;
        }
        Ok(handle)
    }

    fn open_in(&self, parent: &TargetFolder) -> io::Result<Arc<TargetFolder>> {
        let name = self.name.as_ref().expect("the root is never closed");
        let mut state = self.state();
        let is_unmade = matches!(*state, FolderState::Unmade);
        let opened = match &*state {
            FolderState::Open(handle) => return Ok(Arc::clone(handle)),
            _ if self.is_dry => parent.look_into(name)?,
            FolderState::Closed => parent.open_child(name)?,
            FolderState::Unmade => parent.enter_or_create(name)?,
        };
        let opened = Arc::new(opened);
        if is_unmade || self.depth.is_multiple_of(HANDLES_MAX) {
            *state = FolderState::Open(Arc::clone(&opened));
        }
        Ok(opened)
    }

    fn state(&self) -> MutexGuard<'_, FolderState> {
        lock(&self.state)
    }

    pub(super) fn is_made(&self) -> bool {
        !matches!(*self.state(), FolderState::Unmade)
    }

    /// Whether another file system begins here.
    pub(super) fn is_mount(&self) -> io::Result<bool> {
        match &self.parent {
            None => Ok(false),
            Some(parent) => self.handle()?.is_mounted_in(&*parent.handle()?),
        }
    }

    /// Gives the handle up, unless it is one of those that the others are opened again from.
    pub(super) fn spare_handle(&self) {
        if !self.depth.is_multiple_of(HANDLES_MAX) {
            self.close();
        }
    }

    /// Gives the handle up; it is opened again when it is needed.
    fn close(&self) {
        let mut state = self.state();
        if self.parent.is_some() && matches!(*state, FolderState::Open(_)) {
            *state = FolderState::Closed;
        }
    }

    /// Applies the metadata: nothing will be put into the folder any more.
    fn complete(&self, run: &Run<'_>, path: &[u8]) {
        if let (true, Some(metadata)) = (self.is_made(), &self.metadata) {
            match self.handle() {
                Ok(handle) => run.metadata_problems(path, handle.apply_self(metadata, &run.owners)),
                Err(error) => run.undone(path, "finish the folder", &error),
            }
        }
        self.close();
    }
}

/// One chunk of one file.
struct PlannedChunk {
    place: Place,
    chunk: ChunkRef,
    file: u32,
    offset: u64,
}

/// A name in a folder of the target.
type RestoredName = (Arc<RestoredFolder>, EntryName);

/// A name that becomes another link of a restored inode.
struct DeferredLink {
    folder: Arc<RestoredFolder>,
    name: EntryName,
    path: Vec<u8>,
    first: RestoredName,
}

/// Collects work and does it window by window.
pub(super) struct Planner<'a> {
    run: &'a Run<'a>,
    pool: rayon::ThreadPool,
    chunks: Vec<PlannedChunk>,
    files: Vec<Arc<FileWriter>>,
    len_bytes: u64,
    left_folders: Vec<(Arc<RestoredFolder>, Vec<u8>)>,
    /// Where the first name of an inode is restored; a dry run restores it nowhere.
    firsts: HashMap<(LinkGroup, Node), Option<RestoredName>>,
    links: Vec<DeferredLink>,
}

impl<'a> Planner<'a> {
    pub(super) fn new(run: &'a Run<'a>) -> Result<Self, Error> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(run.context.worker_count())
            .build()
            .map_err(|error| RepositoryError::NoThread(io::Error::other(error)))?;
        Ok(Self {
            run,
            pool,
            chunks: Vec::new(),
            files: Vec::new(),
            len_bytes: 0,
            left_folders: Vec::new(),
            firsts: HashMap::new(),
            links: Vec::new(),
        })
    }

    /// Whether the entry is a further name of an inode whose first name is restored; links are made at the end.
    ///
    /// Only of one that holds the same: some file systems number different files alike, and a file may change between
    /// the readings of its names. Two files are better than wrong bytes (P3).
    pub(super) fn defer_link(
        &mut self,
        entry: &tree::Entry,
        folder: Option<&Arc<RestoredFolder>>,
        path: &[u8],
    ) -> bool {
        let Some(group) = entry.metadata.link_group else { return false };
        let own = folder.map(|folder| (Arc::clone(folder), entry.name.clone()));
        let first = match self.firsts.entry((group, entry.node.clone())) {
            Entry::Vacant(first) => {
                first.insert(own);
                return false;
            }
            Entry::Occupied(first) => first.get().clone(),
        };
        if let (Some((folder, name)), Some(first)) = (own, first) {
            self.links.push(DeferredLink { folder, name, path: path.to_vec(), first });
        }
        true
    }

    /// Plans a file; it is complete at the latest when [`Planner::finish`] returns.
    pub(super) fn add_file(&mut self, file: FileWriter, cache: &FrameCache) -> Result<(), Error> {
        let Node::File { len_bytes, content, .. } = file.node().clone() else { return Ok(()) };
        self.run.context.progress.add_total(1, len_bytes);
        let file = Arc::new(file);
        if len_bytes == 0 && content.chunks.is_empty() {
            file.complete_empty(self.run);
            return Ok(());
        }
        if let Err(error) = file.expect_room() {
            file.fail(self.run, "write", &error);
            return Ok(());
        }
        let mut number = self.add_to_window(&file);
        let mut offset = 0u64;
        for chunk in ChunkIter::new(self.run.repository, cache, &content) {
            let planned = chunk.and_then(|chunk| {
                let missing = || RepositoryError::ChunkMissing { id: self.run.repository.chunk_id(&chunk) };
                Ok((chunk, self.locate(&chunk)?.ok_or_else(missing)?))
            });
            let (chunk, place) = match planned {
                Ok(planned) => planned,
                Err(error) => {
                    file.fail_reading(self.run, &error);
                    break;
                }
            };
            // What follows may be without end.
            if offset.saturating_add(chunk.len_bytes.into()) > len_bytes {
                file.fail_reading(self.run, &"its chunks are longer than it");
                break;
            }
            self.chunks.push(PlannedChunk { place, chunk, file: number, offset });
            offset += u64::from(chunk.len_bytes);
            self.len_bytes += u64::from(chunk.len_bytes);
            if self.chunks.len() >= WINDOW_CHUNKS_MAX || self.len_bytes >= WINDOW_LEN_BYTES_MAX {
                self.work_off()?;
                if file.has_failed() {
                    break;
                }
                number = self.add_to_window(&file);
            }
        }
        if offset != len_bytes && !file.has_failed() {
            file.fail_reading(self.run, &"its chunks do not add up to its length");
        }
        if self.files.len() >= WINDOW_FILES_MAX { self.work_off() } else { Ok(()) }
    }

    fn add_to_window(&mut self, file: &Arc<FileWriter>) -> u32 {
        self.files.push(Arc::clone(file));
        u32::try_from(self.files.len() - 1).expect("a window has at most WINDOW_FILES_MAX files")
    }

    fn locate(&self, chunk: &ChunkRef) -> Result<Option<Place>, RepositoryError> {
        let seen = self.run.repository.mend_count();
        if let Some(place) = self.run.repository.locate(chunk) {
            return Ok(Some(place));
        }
        if self.run.repository.recover(seen)?
            && let Some(place) = self.run.repository.locate(chunk)
        {
            return Ok(Some(place));
        }
        // In a pack that has lost its length: what is left of it may be enough.
        Ok(self.run.repository.places_anywhere(chunk).first().copied())
    }

    /// A folder gets its metadata when everything planned so far, and so everything in it, is done.
    pub(super) fn leave_folder(&mut self, folder: Arc<RestoredFolder>, path: &[u8]) -> Result<(), Error> {
        self.left_folders.push((folder, path.to_vec()));
        if self.left_folders.len() >= WINDOW_FOLDERS_MAX { self.work_off() } else { Ok(()) }
    }

    /// Does everything that is left.
    pub(super) fn finish(&mut self) -> Result<(), Error> {
        self.work_off()
    }

    fn work_off(&mut self) -> Result<(), Error> {
        let mut chunks = std::mem::take(&mut self.chunks);
        let files = std::mem::take(&mut self.files);
        self.len_bytes = 0;
        chunks.sort_unstable_by_key(|planned| (planned.place.frame, planned.file, planned.offset));
        let frames: Vec<&[PlannedChunk]> = chunks.chunk_by(|a, b| a.place.frame == b.place.frame).collect();
        let run = self.run;
        let failure = Mutex::new(None);
        self.pool.install(|| {
            frames.par_iter().with_max_len(4).for_each_init(FrameReader::new, |reader, planned| {
                if let Err(error) =
                    run.context.check_cancelled().and_then(|()| restore_frame(run, reader, planned, &files))
                {
                    lock(&failure).get_or_insert(error);
                }
            });
        });
        if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            return Err(error);
        }
        // What was left unfinished goes with these. Links after the files that they name, folders after both: each
        // changes the times of its folder.
        drop(files);
        for link in std::mem::take(&mut self.links) {
            self.make_link(&link);
        }
        for (folder, path) in std::mem::take(&mut self.left_folders) {
            folder.complete(self.run, &path);
        }
        Ok(())
    }

    fn make_link(&self, link: &DeferredLink) {
        let (first_folder, first_name) = &link.first;
        let linked =
            first_folder.handle().and_then(|from| link.folder.handle()?.hard_link(&link.name, (&from, first_name)));
        if let Err(error) = linked {
            self.run.undone(&link.path, "link", &error);
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use vellum_format::content::Content;
    use vellum_testkit::entries::metadata;

    fn is_open(folder: &RestoredFolder) -> bool {
        matches!(*folder.state(), FolderState::Open(_))
    }

    #[test]
    fn of_deep_folders_every_64th_stays_open_and_all_can_be_opened_again() {
        let scratch = tempfile::tempdir().unwrap();
        let root = RestoredFolder::root(TargetFolder::create_root(scratch.path()).unwrap(), None, false);
        let entry = tree::Entry {
            name: EntryName::new(b"folder".to_vec()).unwrap(),
            node: Node::Folder { content: Content::empty() },
            metadata: metadata(),
        };
        let mut folders = vec![root];
        for _ in 0..2 * HANDLES_MAX + 1 {
            let folder = RestoredFolder::below(&folders[folders.len() - 1], &entry, true);
            assert!(!folder.is_made());
            folder.spare_handle();
            assert!(!folder.is_made(), "giving up what is not there makes nothing");
            folder.handle().unwrap();
            folders.push(folder);
        }
        folders.iter().for_each(|folder| folder.spare_handle());
        let open = |folders: &[Arc<RestoredFolder>]| -> Vec<usize> {
            folders.iter().enumerate().filter(|(_, folder)| is_open(folder)).map(|(depth, _)| depth).collect()
        };
        assert_eq!(open(&folders), [0, HANDLES_MAX, 2 * HANDLES_MAX]);
        folders.iter().rev().for_each(|folder| folder.close());
        assert_eq!(open(&folders), [0], "the others are found from the root");
        folders.last().unwrap().handle().unwrap();
        assert_eq!(open(&folders), [0, HANDLES_MAX, 2 * HANDLES_MAX]);
    }
}
