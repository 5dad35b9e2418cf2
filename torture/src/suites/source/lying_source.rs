//! A read-only file system in this process, whose files fail and lie.

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen,
    ReplyXattr, Request,
};
use std::ffi::OsStr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::failure::Failure;
use vellum_testkit::lock;

/// The top folder has inode 1, the folder in it 2, files those from 10 on.
const FOLDER: u64 = 2;
const FIRST_FILE: u64 = 10;

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lie {
    /// Nothing.
    None,
    /// Reading fails from the middle on.
    ReadFails,
    /// Opening fails.
    OpenFails,
    /// It is listed, and then cannot be looked at.
    LookFails,
    /// It is listed, and then it is not there.
    IsGone,
    /// It is listed twice.
    IsTwice,
    /// It says that it is all hole, and holds data.
    IsNoHole,
    /// It is half as long as it says.
    IsShorter,
    /// It is twice as long as it says.
    IsLonger,
    /// It says that it is empty, as files of `/proc` do.
    SaysEmpty,
    /// Every read finds another content, and times and length stay.
    ChangesQuietly,
    /// Every read finds another content and a new time.
    Changes,
    /// It claims to be another name of the file before it.
    IsAnother,
    /// Its extended attributes cannot be listed.
    AttributesFail,
}

impl Lie {
    pub(super) const ALL: [Self; 14] = [
        Self::None,
        Self::ReadFails,
        Self::OpenFails,
        Self::LookFails,
        Self::IsGone,
        Self::IsTwice,
        Self::IsNoHole,
        Self::IsShorter,
        Self::IsLonger,
        Self::SaysEmpty,
        Self::ChangesQuietly,
        Self::Changes,
        Self::IsAnother,
        Self::AttributesFail,
    ];
}

/// One file.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) name: String,
    /// In the folder, not at the top.
    pub(super) is_below: bool,
    pub(super) content: Vec<u8>,
    pub(super) changed: SystemTime,
    pub(super) lie: Lie,
    /// How often it was read.
    pub(super) reads: u64,
}

impl Node {
    /// What the n-th read finds.
    pub(super) fn content_at(&self, read: u64) -> Vec<u8> {
        let mut content = self.content.clone();
        if matches!(self.lie, Lie::Changes | Lie::ChangesQuietly) {
            content.iter_mut().for_each(|byte| *byte = byte.wrapping_add(read.to_le_bytes()[0]));
        }
        content
    }

    fn told_len_bytes(&self) -> u64 {
        let len_bytes = self.content.len() as u64;
        match self.lie {
            Lie::IsShorter => len_bytes * 2,
            Lie::IsLonger => len_bytes / 2,
            Lie::SaysEmpty => 0,
            _ => len_bytes,
        }
    }
}

/// What the file system holds.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) nodes: Vec<Node>,
    /// Times are told in whole multiples of this.
    pub(super) tick: Duration,
    /// Listing the folder fails after its first entries.
    pub(super) listing_fails: bool,
}

/// The mounted file system; gone when it is dropped.
pub(super) struct LyingSource {
    pub(super) state: Arc<Mutex<State>>,
    session: BackgroundSession,
}

impl LyingSource {
    /// Mounts it at a folder.
    pub(super) fn mount(point: &Path, state: State) -> Result<Self, Failure> {
        std::fs::create_dir_all(point)?;
        let state = Arc::new(Mutex::new(state));
        let file_system = Files { state: Arc::clone(&state) };
        let session = fuser::spawn_mount(file_system, point, &Config::default());
        let session = session.map_err(|error| Failure::unfit(format!("FUSE cannot be mounted: {error}")))?;
        Ok(Self { state, session })
    }

    /// Takes it away.
    pub(super) fn unmount(self) -> Result<(), Failure> {
        Ok(self.session.umount_and_join()?)
    }
}

struct Files {
    state: Arc<Mutex<State>>,
}

impl State {
    fn node(&mut self, inode: INodeNo) -> Option<&mut Node> {
        let at = u64::from(inode).checked_sub(FIRST_FILE)?;
        self.nodes.get_mut(usize::try_from(at).ok()?)
    }

    fn folder(&self) -> FileAttr {
        let time = self.told(UNIX_EPOCH + Duration::from_secs(1_500_000_000));
        FileAttr {
            ino: INodeNo::ROOT,
            size: 4096,
            blocks: 8,
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind: FileType::Directory,
            perm: 0o755,
            nlink: 2,
            uid: 0,
            gid: 0,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }

    /// A time as this file system tells it.
    fn told(&self, time: SystemTime) -> SystemTime {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let tick = self.tick.as_nanos().max(1);
        let nanoseconds = since.as_nanos() / tick * tick;
        UNIX_EPOCH + Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or_default())
    }

    /// What is told of an inode. Of one that claims to be another it is told only here, because the kernel goes by
    /// the number of a lookup.
    fn attributes(&self, inode: u64) -> Option<FileAttr> {
        if inode == 1 || inode == FOLDER {
            return Some(FileAttr { ino: INodeNo(inode), ..self.folder() });
        }
        let at = usize::try_from(inode.checked_sub(FIRST_FILE)?).ok()?;
        let node = self.nodes.get(at)?;
        let time = self.told(node.changed);
        let is_one_of_two =
            node.lie == Lie::IsAnother || self.nodes.get(at + 1).is_some_and(|next| next.lie == Lie::IsAnother);
        let size = node.told_len_bytes();
        // Fewer blocks than bytes make it look sparse.
        let blocks = if node.lie == Lie::IsNoHole { 0 } else { size.div_ceil(512) };
        Some(FileAttr {
            ino: INodeNo(if node.lie == Lie::IsAnother { inode - 1 } else { inode }),
            size,
            blocks,
            mtime: time,
            ctime: time,
            kind: FileType::RegularFile,
            perm: 0o644,
            nlink: if is_one_of_two { 2 } else { 1 },
            ..self.folder()
        })
    }
}

impl Filesystem for Files {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let state = lock(&self.state);
        let is_below = u64::from(parent) == FOLDER;
        let found = state.nodes.iter().position(|node| node.is_below == is_below && name == OsStr::new(&node.name));
        let inode = match found {
            None if !is_below && name == OsStr::new("folder") => FOLDER,
            Some(at) if state.nodes[at].lie == Lie::LookFails => return reply.error(Errno::EIO),
            Some(at) if state.nodes[at].lie != Lie::IsGone => FIRST_FILE + at as u64,
            _ => return reply.error(Errno::ENOENT),
        };
        match state.attributes(inode) {
            Some(told) => reply.entry(&Duration::ZERO, &FileAttr { ino: INodeNo(inode), ..told }, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _request: &Request, inode: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match lock(&self.state).attributes(u64::from(inode)) {
            Some(told) => reply.attr(&Duration::ZERO, &told),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn open(&self, _request: &Request, inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        let mut state = lock(&self.state);
        match state.node(inode) {
            Some(node) if node.lie != Lie::OpenFails => reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO),
            _ => reply.error(Errno::EIO),
        }
    }

    fn read(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let mut state = lock(&self.state);
        let Some(node) = state.node(inode) else { return reply.error(Errno::EIO) };
        let offset = usize::try_from(offset).unwrap_or(usize::MAX).min(node.content.len());
        if node.lie == Lie::ReadFails && offset + size as usize > node.content.len() / 2 {
            return reply.error(Errno::EIO);
        }
        node.reads += 1;
        if node.lie == Lie::Changes {
            node.changed = SystemTime::now();
        }
        let content = node.content_at(node.reads);
        reply.data(&content[offset..content.len().min(offset + size as usize)]);
    }

    /// A lie about holes: there is no data from here on, or the hole begins here.
    fn lseek(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        const SEEK_DATA: i32 = 3;
        let mut state = lock(&self.state);
        let Some(node) = state.node(inode) else { return reply.error(Errno::EIO) };
        match (node.lie == Lie::IsNoHole, whence) {
            (true, SEEK_DATA) => reply.error(Errno::ENXIO),
            (true, _) | (false, SEEK_DATA) => reply.offset(offset),
            (false, _) => reply.offset(i64::try_from(node.content.len()).unwrap_or(i64::MAX)),
        }
    }

    fn readdir(&self, _request: &Request, inode: INodeNo, _handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let state = lock(&self.state);
        let is_below = u64::from(inode) == FOLDER;
        let mut entries =
            vec![(inode, FileType::Directory, ".".to_owned()), (INodeNo::ROOT, FileType::Directory, "..".to_owned())];
        if !is_below {
            entries.push((INodeNo(FOLDER), FileType::Directory, "folder".to_owned()));
        }
        for (at, node) in state.nodes.iter().enumerate().filter(|(_, node)| node.is_below == is_below) {
            let entry = (INodeNo(FIRST_FILE + at as u64), FileType::RegularFile, node.name.clone());
            entries.extend(std::iter::repeat_n(entry, if node.lie == Lie::IsTwice { 2 } else { 1 }));
        }
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        if is_below && state.listing_fails && start > 0 {
            return reply.error(Errno::EIO);
        }
        let end = if is_below && state.listing_fails { 3 } else { entries.len() };
        for (at, (inode, kind, name)) in entries.into_iter().enumerate().take(end).skip(start) {
            if reply.add(inode, at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn listxattr(&self, _request: &Request, inode: INodeNo, size: u32, reply: ReplyXattr) {
        let mut state = lock(&self.state);
        match (state.node(inode).map(|node| node.lie), size) {
            (Some(Lie::AttributesFail), _) => reply.error(Errno::EIO),
            (_, 0) => reply.size(0),
            _ => reply.data(&[]),
        }
    }

    fn getxattr(&self, _request: &Request, _inode: INodeNo, _name: &OsStr, _size: u32, reply: ReplyXattr) {
        reply.error(Errno::NO_XATTR);
    }

    fn flush(&self, _request: &Request, _inode: INodeNo, _handle: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }
}
