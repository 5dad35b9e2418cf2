//! A file system in this process and in memory that is odd as those of sticks and servers are.

use fuser::{
    BackgroundSession, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use vellum_testkit::lock;

/// In what it is odd.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Oddity {
    /// Names that differ in case are the same; an entry keeps the spelling that it was made with.
    pub(crate) folds_case: bool,
    /// A file has another inode number each time after it was closed.
    pub(crate) renumbers: bool,
    /// Nothing but a plain rename.
    pub(crate) knows_no_flags: bool,
    /// Folders cannot be listed.
    pub(crate) listing_fails: bool,
    /// Extended attributes cannot be listed.
    pub(crate) attributes_fail: bool,
}

/// The mounted file system; gone when it is dropped.
pub(crate) struct OddDisk {
    session: Option<BackgroundSession>,
    opened: Arc<AtomicUsize>,
}

impl OddDisk {
    /// None where that cannot be done, and says so.
    pub(crate) fn mount(point: &Path, oddity: Oddity) -> Option<Self> {
        std::fs::create_dir_all(point).expect("a folder");
        let root = Node::new(FileType::Directory, 0o755);
        let opened = Arc::default();
        let nodes = Mutex::new(BTreeMap::from([(ROOT, root)]));
        let disk = Disk { oddity, nodes, opened: Arc::clone(&opened) };
        match fuser::spawn_mount(disk, point, &Config::default()) {
            Ok(session) => Some(Self { session: Some(session), opened }),
            Err(error) => {
                println!("SKIPPED: FUSE cannot be mounted: {error}");
                None
            }
        }
    }

    /// How often a file was opened that was there already.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}

impl Drop for OddDisk {
    fn drop(&mut self) {
        let ended = self.session.take().map(BackgroundSession::umount_and_join);
        assert!(ended.is_none_or(|ended| ended.is_ok()) || std::thread::panicking());
    }
}

const ROOT: u64 = 1;

struct Disk {
    oddity: Oddity,
    nodes: Mutex<BTreeMap<u64, Node>>,
    opened: Arc<AtomicUsize>,
}

struct Node {
    kind: FileType,
    mode: u16,
    owner: (u32, u32),
    modified: SystemTime,
    content: Vec<u8>,
    /// By what counts of a name: its spelling and inode.
    names: BTreeMap<OsString, (OsString, u64)>,
    closed: u64,
}

impl Node {
    fn new(kind: FileType, mode: u32) -> Self {
        let mode = u16::try_from(mode & 0o7777).expect("twelve bits");
        let (content, names) = Default::default();
        Self { kind, mode, owner: (0, 0), modified: SystemTime::UNIX_EPOCH, content, names, closed: 0 }
    }

    fn attributes(&self, inode: u64) -> FileAttr {
        let time = self.modified;
        FileAttr {
            ino: INodeNo(inode),
            size: self.content.len() as u64,
            blocks: (self.content.len() as u64).div_ceil(512),
            atime: time,
            mtime: time,
            ctime: time,
            crtime: time,
            kind: self.kind,
            perm: self.mode,
            nlink: 1,
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

type Nodes = BTreeMap<u64, Node>;

impl Disk {
    fn key(&self, name: &OsStr) -> OsString {
        if self.oddity.folds_case { name.to_ascii_lowercase() } else { name.to_owned() }
    }

    fn find(&self, nodes: &Nodes, parent: INodeNo, name: &OsStr) -> Option<u64> {
        Some(nodes.get(&parent.0)?.names.get(&self.key(name))?.1)
    }

    fn make(&self, parent: INodeNo, name: &OsStr, node: Node) -> Result<FileAttr, Errno> {
        let mut nodes = lock(&self.nodes);
        if self.find(&nodes, parent, name).is_some() {
            return Err(Errno::EEXIST);
        }
        let inode = nodes.keys().next_back().map_or(ROOT, |last| last + 1);
        let attributes = node.attributes(inode);
        nodes.insert(inode, node);
        let above = nodes.get_mut(&parent.0).ok_or(Errno::ENOENT)?;
        above.names.insert(self.key(name), (name.to_owned(), inode));
        Ok(attributes)
    }

    fn remove(&self, parent: INodeNo, name: &OsStr) -> Result<(), Errno> {
        let mut nodes = lock(&self.nodes);
        let inode = self.find(&nodes, parent, name).ok_or(Errno::ENOENT)?;
        if !nodes[&inode].names.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        let above = nodes.get_mut(&parent.0).ok_or(Errno::ENOENT)?;
        above.names.remove(&self.key(name));
        Ok(())
    }

    fn rename(&self, (parent, name): (INodeNo, &OsStr), (to_parent, to): (INodeNo, &OsStr)) -> Result<(), Errno> {
        let mut nodes = lock(&self.nodes);
        let above = nodes.get_mut(&parent.0).ok_or(Errno::ENOENT)?;
        let (_, inode) = above.names.remove(&self.key(name)).ok_or(Errno::ENOENT)?;
        let target = nodes.get_mut(&to_parent.0).ok_or(Errno::ENOENT)?;
        target.names.insert(self.key(to), (to.to_owned(), inode));
        Ok(())
    }

    /// The number that is told of an inode, where it is told: the kernel itself goes by that of a lookup.
    fn told(&self, inode: u64, node: &Node) -> FileAttr {
        let shift = if self.oddity.renumbers { node.closed * 1_000_000 } else { 0 };
        FileAttr { ino: INodeNo(inode + shift), ..node.attributes(inode) }
    }
}

fn answer(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(error) => reply.error(error),
    }
}

impl Filesystem for Disk {
    fn lookup(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let nodes = lock(&self.nodes);
        match self.find(&nodes, parent, name) {
            Some(inode) => reply.entry(&Duration::ZERO, &nodes[&inode].attributes(inode), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _request: &Request, inode: INodeNo, _handle: Option<FileHandle>, reply: ReplyAttr) {
        match lock(&self.nodes).get(&inode.0) {
            Some(node) => reply.attr(&Duration::ZERO, &self.told(inode.0, node)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _request: &Request,
        inode: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        _accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _changed: Option<SystemTime>,
        _handle: Option<FileHandle>,
        _created: Option<SystemTime>,
        _flags_changed: Option<SystemTime>,
        _saved: Option<SystemTime>,
        _flags: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut nodes = lock(&self.nodes);
        let Some(node) = nodes.get_mut(&inode.0) else { return reply.error(Errno::ENOENT) };
        if let Some(mode) = mode {
            node.mode = Node::new(node.kind, mode).mode;
        }
        node.owner = (uid.unwrap_or(node.owner.0), gid.unwrap_or(node.owner.1));
        if let Some(size) = size {
            node.content.resize(usize::try_from(size).expect("a small file"), 0);
        }
        match modified {
            Some(TimeOrNow::SpecificTime(time)) => node.modified = time,
            Some(TimeOrNow::Now) => node.modified = SystemTime::now(),
            None => {}
        }
        reply.attr(&Duration::ZERO, &self.told(inode.0, node));
    }

    fn mkdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, reply: ReplyEntry) {
        match self.make(parent, name, Node::new(FileType::Directory, mode)) {
            Ok(attributes) => reply.entry(&Duration::ZERO, &attributes, Generation(0)),
            Err(error) => reply.error(error),
        }
    }

    fn create(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        let direct = FopenFlags::FOPEN_DIRECT_IO;
        match self.make(parent, name, Node::new(FileType::RegularFile, mode)) {
            Ok(attributes) => reply.created(&Duration::ZERO, &attributes, Generation(0), FileHandle(0), direct),
            Err(error) => reply.error(error),
        }
    }

    fn open(&self, _request: &Request, _inode: INodeNo, _flags: OpenFlags, reply: ReplyOpen) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
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
        let nodes = lock(&self.nodes);
        let content = nodes.get(&inode.0).map_or(&[][..], |node| &node.content);
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        reply.data(&content[start..content.len().min(start + size as usize)]);
    }

    fn write(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        offset: u64,
        bytes: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut nodes = lock(&self.nodes);
        let Some(node) = nodes.get_mut(&inode.0) else { return reply.error(Errno::ENOENT) };
        let start = usize::try_from(offset).expect("a small file");
        node.content.resize(node.content.len().max(start + bytes.len()), 0);
        node.content[start..start + bytes.len()].copy_from_slice(bytes);
        reply.written(u32::try_from(bytes.len()).expect("what the kernel hands over at once"));
    }

    fn release(
        &self,
        _request: &Request,
        inode: INodeNo,
        _handle: FileHandle,
        _flags: OpenFlags,
        _owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        if let Some(node) = lock(&self.nodes).get_mut(&inode.0) {
            node.closed += 1;
        }
        reply.ok();
    }

    fn flush(&self, _request: &Request, inode: INodeNo, _handle: FileHandle, _owner: LockOwner, reply: ReplyEmpty) {
        // When a file is closed the kernel waits for this, and not for the release.
        if let Some(node) = lock(&self.nodes).get_mut(&inode.0) {
            node.closed += 1;
        }
        reply.ok();
    }

    fn unlink(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.remove(parent, name), reply);
    }

    fn rmdir(&self, _request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        answer(self.remove(parent, name), reply);
    }

    fn rename(
        &self,
        _request: &Request,
        parent: INodeNo,
        name: &OsStr,
        to_parent: INodeNo,
        to: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() && self.oddity.knows_no_flags {
            return reply.error(Errno::EINVAL);
        }
        if !flags.is_empty() && self.find(&lock(&self.nodes), to_parent, to).is_some() {
            return reply.error(Errno::EEXIST);
        }
        answer(Self::rename(self, (parent, name), (to_parent, to)), reply);
    }

    fn readdir(&self, _request: &Request, inode: INodeNo, _handle: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        if self.oddity.listing_fails {
            return reply.error(Errno::EIO);
        }
        let nodes = lock(&self.nodes);
        let Some(node) = nodes.get(&inode.0) else { return reply.error(Errno::ENOENT) };
        let dots = [(OsString::from("."), inode.0), (OsString::from(".."), ROOT)];
        let entries = dots.into_iter().chain(node.names.values().cloned());
        for (at, (name, entry)) in entries.enumerate().skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            if reply.add(INodeNo(entry), at as u64 + 1, nodes[&entry].kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn listxattr(&self, _request: &Request, _inode: INodeNo, size: u32, reply: fuser::ReplyXattr) {
        match (self.oddity.attributes_fail, size) {
            (true, _) => reply.error(Errno::EIO),
            (false, 0) => reply.size(0),
            (false, _) => reply.data(&[]),
        }
    }
}
