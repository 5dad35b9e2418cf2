//! Folders of the target, open while something is put into them.

use super::run::Run;
use super::walk::HANDLES_MAX;
use crate::lock;
use crate::platform::{Found, TargetFolder};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use vellum_format::tree::{self, EntryName, Metadata};

/// A folder of the target, made when the first thing is put into it, and closed when nothing is open in it any more,
/// so that the number of open handles does not grow with the snapshot.
pub(super) struct RestoredFolder {
    /// What it lies in and its name there.
    above: Option<(Arc<RestoredFolder>, EntryName)>,
    /// Of the one that lies in no other: its path in the snapshot.
    start: Vec<u8>,
    /// Until it is complete: other names are linked to what is in it to the end.
    metadata: Mutex<Option<Metadata>>,
    /// Had where we gave ourselves the right to work in it.
    former_mode: Mutex<Option<u32>>,
    /// How many folders are above.
    depth: usize,
    /// Looks for the folder and makes nothing.
    is_dry: bool,
    state: Mutex<FolderState>,
}

enum FolderState {
    Unmade,
    Open(Arc<TargetFolder>),
    Closed(Found),
    /// It has its metadata, and who goes through it changes nothing of that.
    Complete,
}

impl RestoredFolder {
    /// The target itself, where this path of the snapshot comes back.
    pub(super) fn root(handle: TargetFolder, start: Vec<u8>, metadata: Option<Metadata>, is_dry: bool) -> Arc<Self> {
        let state = Mutex::new(FolderState::Open(Arc::new(handle)));
        Arc::new(Self {
            above: None,
            start,
            metadata: Mutex::new(metadata),
            former_mode: Mutex::default(),
            depth: 0,
            is_dry,
            state,
        })
    }

    /// A folder below another; its metadata is restored only when it is itself wanted.
    pub(super) fn below(parent: &Arc<Self>, entry: &tree::Entry, is_wanted: bool) -> Arc<Self> {
        Arc::new(Self {
            above: Some((Arc::clone(parent), entry.name.clone())),
            start: Vec::new(),
            metadata: Mutex::new(is_wanted.then(|| entry.metadata.clone())),
            former_mode: Mutex::default(),
            depth: parent.depth + 1,
            is_dry: parent.is_dry,
            state: Mutex::new(FolderState::Unmade),
        })
    }

    /// Its path in the snapshot, put together when it is told: thousands of files and folders that each kept theirs
    /// would fill gigabytes (P9).
    pub(super) fn path(&self) -> Vec<u8> {
        let mut names = Vec::new();
        let mut folder = self;
        while let Some((above, name)) = &folder.above {
            names.push(name.as_bytes());
            folder = above;
        }
        let mut path = folder.start.clone();
        path.reserve_exact(names.iter().map(|name| 1 + name.len()).sum());
        for name in names.into_iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        path
    }

    /// That of what has this name in it.
    pub(super) fn path_of(&self, name: &EntryName) -> Vec<u8> {
        let mut path = self.path();
        path.push(b'/');
        path.extend_from_slice(name.as_bytes());
        path
    }

    /// The open folder, made now if it was not, or opened again. A dry one is only looked for, and one that is complete
    /// is only good for reaching what is in it.
    pub(super) fn handle(&self) -> io::Result<Arc<TargetFolder>> {
        if let FolderState::Open(handle) = &*self.state() {
            return Ok(Arc::clone(handle));
        }
        let mut closed = vec![self];
        let mut handle = loop {
            let (above, _) = closed.last().and_then(|folder| folder.above.as_ref()).expect("the root is never closed");
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
        let (_, name) = self.above.as_ref().expect("the root is never closed");
        let mut state = self.state();
        let is_unmade = matches!(*state, FolderState::Unmade);
        let opened = match &*state {
            FolderState::Open(handle) => return Ok(Arc::clone(handle)),
            _ if self.is_dry => parent.look_into(name)?,
            // To be opened for changes, it may have to get a mode that nobody would take from it again.
            FolderState::Complete => return Ok(Arc::new(parent.pass_child(name)?)),
            FolderState::Closed(found) => parent.open_child(name, found.clone())?,
            FolderState::Unmade => parent.enter_or_create(name)?,
        };
        if let Some(mode) = opened.former_mode() {
            lock(&self.former_mode).get_or_insert(mode);
        }
        let opened = Arc::new(opened);
        if is_unmade || opened.is_mount() || self.depth.is_multiple_of(HANDLES_MAX) {
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
        Ok(self.handle()?.is_mount())
    }

    /// Gives the handle up, unless it is one of those that the others are opened again from, or to be synced by.
    pub(super) fn spare_handle(&self) {
        if !self.depth.is_multiple_of(HANDLES_MAX) && self.open_mount().is_none() {
            self.close();
        }
    }

    /// The open folder, if another file system begins here.
    fn open_mount(&self) -> Option<Arc<TargetFolder>> {
        match &*self.state() {
            FolderState::Open(handle) if handle.is_mount() => Some(Arc::clone(handle)),
            _ => None,
        }
    }

    /// Gives the handle up; it is opened again when it is needed.
    fn close(&self) {
        let mut state = self.state();
        if let (Some(_), FolderState::Open(handle)) = (&self.above, &*state) {
            *state = FolderState::Closed(handle.found().clone());
        }
    }

    /// Applies the metadata, or gives back the mode of a folder that is not wanted itself: nothing will be put into it
    /// any more. A file system that begins here is synced, by the handle that it was entered with: the root's sync does
    /// not reach it.
    pub(super) fn complete(&self, run: &Run<'_>) {
        let metadata = lock(&self.metadata).take();
        if !self.is_made() {
            return;
        }
        let (handle, mount) = (self.handle(), self.open_mount());
        if self.above.is_some() {
            // Before the metadata is applied: another thread may be about to open it again.
            *self.state() = FolderState::Complete;
        }
        let former_mode = *lock(&self.former_mode);
        match (metadata, former_mode, handle) {
            (None, None, _) => {}
            (_, _, Err(error)) => run.undone(&self.path(), "finish the folder", &error),
            (Some(metadata), _, Ok(handle)) => {
                run.metadata_problems(|| self.path(), handle.apply_self(&metadata, &run.owners));
            }
            (None, Some(mode), Ok(handle)) => run.metadata_problems(|| self.path(), handle.give_back_mode(mode)),
        }
        if let Some(Err(error)) = mount.map(|mount| mount.sync_file_system()) {
            run.undone(&self.path(), "sync the file system of", &error);
        }
    }
}

/// Folder by folder: each would drop the one above within its own drop, which takes more stack than there may be.
impl Drop for RestoredFolder {
    fn drop(&mut self) {
        let mut above = self.above.take();
        while let Some((folder, _)) = above {
            above = Arc::into_inner(folder).and_then(|mut folder| folder.above.take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vellum_format::content::Content;
    use vellum_format::limits::TREE_DEPTH_MAX;
    use vellum_format::tree::Node;
    use vellum_testkit::entries::metadata;

    fn is_open(folder: &RestoredFolder) -> bool {
        matches!(*folder.state(), FolderState::Open(_))
    }

    fn entry() -> tree::Entry {
        let name = EntryName::new(b"folder".to_vec()).unwrap();
        tree::Entry { name, node: Node::Folder { content: Content::empty() }, metadata: metadata() }
    }

    #[test]
    fn of_deep_folders_every_64th_stays_open_and_all_can_be_opened_again() {
        let scratch = tempfile::tempdir().unwrap();
        let root =
            RestoredFolder::root(TargetFolder::create_root(scratch.path()).unwrap(), b"/start".to_vec(), None, false);
        let mut folders = vec![root];
        for _ in 0..2 * HANDLES_MAX + 1 {
            let folder = RestoredFolder::below(&folders[folders.len() - 1], &entry(), true);
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
        assert_eq!((folders[0].path(), folders[2].path()), (b"/start".to_vec(), b"/start/folder/folder".to_vec()));
        assert_eq!(folders[1].path_of(&entry().name), folders[2].path());
        folders.iter().rev().for_each(|folder| folder.close());
        assert_eq!(open(&folders), [0], "the others are found from the root");
        folders.last().unwrap().handle().unwrap();
        assert_eq!(open(&folders), [0, HANDLES_MAX, 2 * HANDLES_MAX]);
    }

    #[test]
    fn of_deep_folders_that_are_complete_none_opens_or_stays_open() {
        let scratch = tempfile::tempdir().unwrap();
        let root =
            RestoredFolder::root(TargetFolder::create_root(scratch.path()).unwrap(), b"/start".to_vec(), None, false);
        let mut folders = vec![root];
        for _ in 0..2 * HANDLES_MAX + 1 {
            let folder = RestoredFolder::below(&folders[folders.len() - 1], &entry(), true);
            folder.handle().unwrap();
            folders.push(folder);
        }
        folders.iter().skip(1).for_each(|folder| *folder.state() = FolderState::Complete);
        let deepest = folders.last().unwrap();
        assert!(deepest.handle().unwrap().existing(&entry().name).unwrap().is_none());
        assert_eq!(folders.iter().filter(|folder| is_open(folder)).count(), 1, "the root");
    }

    #[test]
    fn folders_in_each_other_go_on_any_stack() {
        let scratch = tempfile::tempdir().unwrap();
        let root =
            RestoredFolder::root(TargetFolder::create_root(scratch.path()).unwrap(), b"/start".to_vec(), None, false);
        let deepest = (0..TREE_DEPTH_MAX).fold(root, |above, _| RestoredFolder::below(&above, &entry(), true));
        let small = std::thread::Builder::new().stack_size(128 << 10).spawn(move || drop(deepest));
        small.unwrap().join().unwrap();
    }
}
