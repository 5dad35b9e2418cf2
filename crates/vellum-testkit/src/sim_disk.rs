//! A disk in memory that can lose power.
//!
//! The model is harsher than any file system in use: every file and every name in a folder has its own fate.
//! D1. Content is durable once its file was synced; of later content any 512-byte sectors may arrive, or none,
//!     under any length up to the whole.
//! D2. A name that came or went is durable once its folder was synced; before that the folder may hold, for each
//!     name apart, what was durable or anything that the name stood for since.
//! D3. A sync that failed has lost what it was to make durable: no later sync of it helps, though it says it does.

use crate::{Random, lock};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use vellum_storage::{Disk, DiskEntry, DiskEntryKind, WriterId};

const PAGE_LEN_BYTES: usize = 4096;
const SECTOR_LEN_BYTES: usize = 512;

/// Each unsynced file takes this many states in [`SimDisk::crash_states`].
const ENUMERATED_TEARS: usize = 6;

/// The operations of a disk, for counting and failing them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the trait's methods")]
pub enum DiskOperation {
    MakeFolder,
    CreateNew,
    WriteAll,
    SyncFile,
    Rename,
    SyncFolder,
    ReadRange,
    FileLen,
    ListFolder,
    RemoveFile,
}

impl DiskOperation {
    /// Whether it changes the disk or what is durable; only these are counted by [`SimDisk::change_count`].
    #[must_use]
    pub const fn is_change(self) -> bool {
        !matches!(self, Self::ReadRange | Self::FileLen | Self::ListFolder)
    }

    const fn can_lie(self) -> bool {
        self.is_change() && !matches!(self, Self::MakeFolder | Self::CreateNew)
    }
}

/// Which operations of a disk fail, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskFault {
    /// Only these are counted and fail; with none, all.
    pub operation: Option<DiskOperation>,
    /// The counted operation, from 1, that fails first, counted from when the fault was planned.
    pub first: u64,
    /// How many in a row fail; `u64::MAX` for all.
    pub count: u64,
    /// What happens instead.
    pub effect: DiskFaultEffect,
}

/// What happens instead of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskFaultEffect {
    /// It fails with this error number; a write leaves half of the bytes, a sync loses what it was to save (D3).
    Fail(i32),
    /// It reports success and is not done; folders and files are made and things are read nevertheless.
    Lie,
    /// It takes this long and is then done, without keeping others from the disk meanwhile.
    Delay(Duration),
}

/// A simulated disk; a clone is another handle to the same disk, [`SimDisk::snapshot`] is a copy.
///
/// Deterministic: the same operations and the same seed give the same disk, down to the names of temporary files.
#[derive(Debug, Clone, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Clone)]
struct State {
    nodes: Vec<Node>,
    clock: Duration,
    writer_count: u64,
    change_count: u64,
    crash_at: Option<u64>,
    is_crashed: bool,
    faults: Vec<(DiskFault, u64)>,
    trace: Vec<String>,
    /// The disk at each change since recording began, as if the power went during it.
    cuts: Option<Vec<State>>,
}

#[derive(Debug, Clone)]
enum Node {
    File(FileNode),
    Folder(Arc<FolderNode>),
}

#[derive(Debug, Clone, Default)]
struct FileNode {
    volatile: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    changed: Duration,
    is_sync_lost: bool,
}

#[derive(Debug, Clone, Default)]
struct FolderNode {
    volatile: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    /// What each name stood for since the last sync, in order.
    pending: BTreeMap<String, Vec<Option<usize>>>,
    /// As `pending`, but no sync makes it durable any more. // D3
    lost: BTreeMap<String, Vec<Option<usize>>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            nodes: vec![Node::Folder(Arc::default())],
            clock: Duration::ZERO,
            writer_count: 0,
            change_count: 0,
            crash_at: None,
            is_crashed: false,
            faults: Vec::new(),
            trace: Vec::new(),
            cuts: None,
        }
    }
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An independent copy of everything, durable or not; cheap, because contents are shared until changed.
    #[must_use]
    pub fn snapshot(&self) -> Self {
        Self { state: Arc::new(Mutex::new(lock(&self.state).clone())) }
    }

    /// A new disk in the state that a power cut at this moment may leave; another seed may give another state.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        lock(&self.state).crash(&mut Fate::Random(Random::new(seed)))
    }

    /// All states that a power cut at this moment may leave: exact for names, six representative tears for contents.
    #[must_use]
    pub fn crash_states(&self) -> CrashStates {
        CrashStates { state: lock(&self.state).clone(), next: Some(Odometer::default()) }
    }

    /// Cuts the power during the n-th change from now, counted from 1: it and everything after it fails.
    ///
    /// What that change did may have arrived or not, as [`SimDisk::crash`] then decides.
    pub fn crash_at(&self, nth_change: u64) {
        let mut state = lock(&self.state);
        state.crash_at = Some(state.change_count + nth_change);
    }

    /// Cuts the power now: everything after it fails.
    pub fn cut_power(&self) {
        lock(&self.state).is_crashed = true;
    }

    /// From now on keeps the disk of every change, as [`SimDisk::crash_at`] leaves it there: one run gives them all.
    pub fn record_cuts(&self) {
        lock(&self.state).cuts = Some(Vec::new());
    }

    /// What was recorded, in order, with the disk as it is now as the last.
    #[must_use]
    pub fn take_cuts(&self) -> Vec<Self> {
        let mut state = lock(&self.state);
        let mut cuts = state.cuts.take().unwrap_or_default();
        cuts.push(state.clone());
        cuts.into_iter().map(|state| Self { state: Arc::new(Mutex::new(state)) }).collect()
    }

    /// A hash of every name and content. Of files in folders with the name `junk` only the names count: what is in them
    /// nobody reads.
    #[must_use]
    pub fn print(&self, junk: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        lock(&self.state).print(0, junk, &mut hasher);
        hasher.finalize().into()
    }

    /// Whether the power was cut.
    #[must_use]
    pub fn is_crashed(&self) -> bool {
        lock(&self.state).is_crashed
    }

    /// How many operations changed this disk or made something durable, failed ones included.
    #[must_use]
    pub fn change_count(&self) -> u64 {
        lock(&self.state).change_count
    }

    /// Plans a fault; of several that meet in one operation the earliest planned decides.
    pub fn plan(&self, fault: DiskFault) {
        lock(&self.state).faults.push((fault, 0));
    }

    /// Drops all faults.
    pub fn heal(&self) {
        lock(&self.state).faults.clear();
    }

    /// Moves the disk's clock, which otherwise stands still.
    pub fn advance_clock(&self, by: Duration) {
        lock(&self.state).clock += by;
    }

    /// Every change in order, for comparing two runs of one seed.
    #[must_use]
    pub fn trace(&self) -> Vec<String> {
        lock(&self.state).trace.clone()
    }

    fn apply<T: Default>(
        &self,
        operation: DiskOperation,
        what: &str,
        change: impl Fn(&mut State, Manner) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = lock(&self.state);
        if operation.is_change() && !state.is_crashed && state.cuts.is_some() {
            let mut cut = State { nodes: state.nodes.clone(), clock: state.clock, ..State::default() };
            cut.writer_count = state.writer_count;
            drop(change(&mut cut, Manner::Crashing));
            state.cuts.get_or_insert_default().push(cut);
        }
        let verdict = state.begin(operation, what)?;
        if let Verdict::Delay(time) = verdict {
            drop(state);
            std::thread::sleep(time);
            state = lock(&self.state);
        }
        match verdict {
            Verdict::Proceed | Verdict::Delay(_) => change(&mut state, Manner::Whole),
            Verdict::Lie => Ok(T::default()),
            Verdict::Fail(errno) => {
                drop(change(&mut state, Manner::Failing));
                Err(io::Error::from_raw_os_error(errno))
            }
            Verdict::Crash => {
                drop(change(&mut state, Manner::Crashing));
                Err(injected_crash())
            }
        }
    }
}

enum Verdict {
    Proceed,
    Lie,
    Fail(i32),
    Delay(Duration),
    Crash,
}

/// How far an operation gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Whole,
    /// It returns an error.
    Failing,
    /// The power goes while it is being done, so it may be done.
    Crashing,
}

fn injected_crash() -> io::Error {
    io::Error::other("injected crash")
}

impl State {
    fn begin(&mut self, operation: DiskOperation, what: &str) -> io::Result<Verdict> {
        if self.is_crashed {
            return Err(injected_crash());
        }
        if operation.is_change() {
            self.change_count += 1;
            self.trace.push(format!("{operation:?} {what}"));
            if Some(self.change_count) == self.crash_at {
                self.is_crashed = true;
                return Ok(Verdict::Crash);
            }
        }
        let mut hit = None;
        for (fault, seen_count) in &mut self.faults {
            if fault.operation.is_none_or(|only| only == operation) {
                *seen_count += 1;
                if *seen_count >= fault.first && *seen_count - fault.first < fault.count {
                    hit = hit.or(Some(fault.effect));
                }
            }
        }
        Ok(match hit {
            None => Verdict::Proceed,
            Some(DiskFaultEffect::Lie) if operation.can_lie() => Verdict::Lie,
            Some(DiskFaultEffect::Lie) => Verdict::Proceed,
            Some(DiskFaultEffect::Fail(errno)) => Verdict::Fail(errno),
            Some(DiskFaultEffect::Delay(time)) => Verdict::Delay(time),
        })
    }

    fn find(&self, path: &str) -> io::Result<usize> {
        path.split('/').filter(|name| !name.is_empty()).try_fold(0, |at, name| match &self.nodes[at] {
            Node::Folder(folder) => folder.volatile.get(name).copied().ok_or_else(|| Errno::NOENT.into()),
            Node::File(_) => Err(Errno::NOTDIR.into()),
        })
    }

    fn folder(&self, path: &str) -> io::Result<usize> {
        let at = self.find(path)?;
        match &self.nodes[at] {
            Node::Folder(_) => Ok(at),
            Node::File(_) => Err(Errno::NOTDIR.into()),
        }
    }

    fn file(&self, path: &str) -> io::Result<&FileNode> {
        match &self.nodes[self.find(path)?] {
            Node::File(file) => Ok(file),
            Node::Folder(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file")),
        }
    }

    /// A free name, as its folder and itself.
    fn free_name<'a>(&self, path: &'a str) -> io::Result<(usize, &'a str)> {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        match self.find(path) {
            Ok(_) => Err(Errno::EXIST.into()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((self.folder(parent)?, name)),
            Err(error) => Err(error),
        }
    }

    fn add(&mut self, path: &str, node: Node) -> io::Result<usize> {
        let (parent, name) = self.free_name(path)?;
        self.nodes.push(node);
        let at = self.nodes.len() - 1;
        self.folder_mut(parent).set(name, Some(at));
        Ok(at)
    }

    fn folder_mut(&mut self, at: usize) -> &mut FolderNode {
        match &mut self.nodes[at] {
            Node::Folder(folder) => Arc::make_mut(folder),
            Node::File(_) => panic!("the caller looked for a folder"),
        }
    }

    fn file_mut(&mut self, at: usize) -> &mut FileNode {
        match &mut self.nodes[at] {
            Node::File(file) => file,
            Node::Folder(_) => panic!("handles are to files only"),
        }
    }

    fn crash(&self, fate: &mut Fate) -> SimDisk {
        let nodes = self.nodes.iter().map(|node| node.crash(fate)).collect();
        let survived = Self { nodes, clock: self.clock, writer_count: self.writer_count, ..Self::default() };
        SimDisk { state: Arc::new(Mutex::new(survived)) }
    }
}

impl State {
    /// Every name below a folder with what is in it, into `hasher`; contents below a folder `junk` count for nothing.
    fn print(&self, folder: usize, junk: &str, hasher: &mut blake3::Hasher) {
        let Node::Folder(folder) = &self.nodes[folder] else { return };
        for (name, at) in &folder.volatile {
            hasher.update(&(name.len() as u64).to_le_bytes()).update(name.as_bytes());
            match &self.nodes[*at] {
                Node::Folder(below) if name == junk => {
                    for name in below.volatile.keys() {
                        hasher.update(name.as_bytes()).update(b"/");
                    }
                }
                Node::Folder(_) => self.print(*at, junk, hasher),
                Node::File(file) => {
                    hasher.update(&(file.volatile.len() as u64).to_le_bytes());
                    hasher.update(&file.volatile);
                }
            }
        }
        hasher.update(&u64::MAX.to_le_bytes());
    }
}

impl Node {
    fn crash(&self, fate: &mut Fate) -> Self {
        match self {
            Self::File(file) => {
                let content = match Arc::ptr_eq(&file.volatile, &file.durable) {
                    true => Arc::clone(&file.durable),
                    false => Arc::new(fate.tear(&file.durable, &file.volatile)),
                };
                let (volatile, durable) = (Arc::clone(&content), content);
                Self::File(FileNode { volatile, durable, changed: file.changed, is_sync_lost: false })
            }
            Self::Folder(folder) if folder.pending.is_empty() && folder.lost.is_empty() => {
                Self::Folder(Arc::clone(folder))
            }
            Self::Folder(folder) => Self::Folder(Arc::new(folder.crash(fate))),
        }
    }
}

impl FolderNode {
    fn set(&mut self, name: &str, node: Option<usize>) {
        match node {
            Some(node) => self.volatile.insert(name.to_owned(), node),
            None => self.volatile.remove(name),
        };
        self.pending.entry(name.to_owned()).or_default().push(node);
    }

    fn sync(&mut self) {
        for (name, states) in std::mem::take(&mut self.pending) {
            match states.last().copied().flatten() {
                Some(node) => self.durable.insert(name, node),
                None => self.durable.remove(&name),
            };
        }
    }

    fn lose_sync(&mut self) {
        for (name, states) in std::mem::take(&mut self.pending) {
            self.lost.entry(name).or_default().extend(states);
        }
    }

    fn crash(&self, fate: &mut Fate) -> Self {
        let mut survived = self.durable.clone();
        let mut undecided = self.lost.clone();
        for (name, states) in &self.pending {
            undecided.entry(name.clone()).or_default().extend(states);
        }
        for (name, mut states) in undecided {
            states.push(self.durable.get(&name).copied());
            states.sort_unstable();
            states.dedup();
            match states[fate.choose(states.len())] {
                Some(node) => survived.insert(name, node),
                None => survived.remove(&name),
            };
        }
        Self { volatile: survived.clone(), durable: survived, ..Self::default() }
    }
}

/// Who decides what a power cut leaves.
enum Fate {
    Random(Random),
    Each(Odometer),
}

impl Fate {
    fn choose(&mut self, options: usize) -> usize {
        match self {
            Self::Random(random) => random.below(options),
            Self::Each(odometer) => odometer.choose(options),
        }
    }

    /// What is left of new content that was not synced over what was durable. // D1
    fn tear(&mut self, durable: &[u8], new: &[u8]) -> Vec<u8> {
        let half = new.len() / 2 / SECTOR_LEN_BYTES * SECTOR_LEN_BYTES;
        match self {
            Self::Random(random) => match random.below(6) {
                0 => durable.to_vec(),
                1 => new.to_vec(),
                2 => new[..random.below(new.len() + 1)].to_vec(),
                3 => torn(durable, new, new.len(), |_| 0),
                _ => {
                    let len_bytes = if random.one_in(4) { random.below(new.len() + 1) } else { new.len() };
                    torn(durable, new, len_bytes, |_| torn_page(random))
                }
            },
            Self::Each(odometer) => match odometer.choose(ENUMERATED_TEARS) {
                0 => durable.to_vec(),
                1 => new.to_vec(),
                2 => new[..half].to_vec(),
                3 => torn(durable, new, new.len(), |_| 0),
                4 => torn(durable, new, new.len(), |page| if page % 2 == 0 { 0 } else { u8::MAX }),
                _ => torn(durable, new, new.len(), |_| 0b0000_1111),
            },
        }
    }
}

/// Which sectors of a page arrived, one bit each: a third of the pages is torn.
fn torn_page(random: &mut Random) -> u8 {
    match random.below(3) {
        0 => 0,
        1 => u8::MAX,
        _ => random.next().to_le_bytes()[0],
    }
}

/// A file of this length with those sectors of the new content that arrived; the others as they were, or zeros.
fn torn(durable: &[u8], new: &[u8], len_bytes: usize, mut arrived: impl FnMut(usize) -> u8) -> Vec<u8> {
    let mut left = durable.to_vec();
    left.resize(len_bytes, 0);
    for (page_index, page) in left.chunks_mut(PAGE_LEN_BYTES).enumerate() {
        let arrived = arrived(page_index);
        for (sector_index, sector) in page.chunks_mut(SECTOR_LEN_BYTES).enumerate() {
            if arrived >> sector_index & 1 == 1 {
                let start = page_index * PAGE_LEN_BYTES + sector_index * SECTOR_LEN_BYTES;
                sector.copy_from_slice(&new[start..start + sector.len()]);
            }
        }
    }
    left
}

/// Walks all paths of a tree of choices, each path once.
#[derive(Debug, Clone, Default)]
struct Odometer {
    /// The choices of this path: which, of how many.
    path: Vec<(usize, usize)>,
    made_count: usize,
}

impl Odometer {
    fn choose(&mut self, options: usize) -> usize {
        if self.made_count == self.path.len() {
            self.path.push((0, options));
        }
        self.made_count += 1;
        self.path[self.made_count - 1].0
    }

    fn next_path(mut self) -> Option<Self> {
        while let Some((choice, options)) = self.path.pop() {
            if choice + 1 < options {
                self.path.push((choice + 1, options));
                return Some(Self { path: self.path, made_count: 0 });
            }
        }
        None
    }
}

/// Iterator over the states that a power cut may leave; see [`SimDisk::crash_states`].
#[derive(Debug)]
pub struct CrashStates {
    state: State,
    next: Option<Odometer>,
}

impl Iterator for CrashStates {
    type Item = SimDisk;

    fn next(&mut self) -> Option<SimDisk> {
        let mut fate = Fate::Each(self.next.take()?);
        let disk = self.state.crash(&mut fate);
        if let Fate::Each(odometer) = fate {
            self.next = odometer.next_path();
        }
        Some(disk)
    }
}

impl Disk for SimDisk {
    type File = usize;

    fn make_folder(&self, folder: &str) -> io::Result<()> {
        self.apply(DiskOperation::MakeFolder, folder, |state, manner| match manner {
            Manner::Failing => Ok(()),
            Manner::Whole | Manner::Crashing => state.add(folder, Node::Folder(Arc::default())).map(drop),
        })
    }

    fn create_new(&self, path: &str) -> io::Result<usize> {
        self.apply(DiskOperation::CreateNew, path, |state, manner| match manner {
            Manner::Failing => Ok(0),
            Manner::Whole | Manner::Crashing => {
                let changed = state.clock;
                state.add(path, Node::File(FileNode { changed, ..FileNode::default() }))
            }
        })
    }

    fn write_all(&self, file: &mut usize, bytes: &[u8]) -> io::Result<()> {
        self.apply(DiskOperation::WriteAll, &format!("{} bytes to file {file}", bytes.len()), |state, manner| {
            let written = if manner == Manner::Failing { &bytes[..bytes.len() / 2] } else { bytes };
            let changed = state.clock;
            let file = state.file_mut(*file);
            file.changed = changed;
            Arc::make_mut(&mut file.volatile).extend_from_slice(written);
            Ok(())
        })
    }

    fn sync_file(&self, file: &usize) -> io::Result<()> {
        self.apply(DiskOperation::SyncFile, &format!("file {file}"), |state, manner| {
            let file = state.file_mut(*file);
            match manner {
                Manner::Failing => file.is_sync_lost = true,
                Manner::Whole if !file.is_sync_lost => file.durable = Arc::clone(&file.volatile),
                Manner::Whole | Manner::Crashing => {}
            }
            Ok(())
        })
    }

    fn rename_no_replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.apply(DiskOperation::Rename, &format!("{from} {to}"), |state, manner| {
            if manner == Manner::Failing {
                return Ok(());
            }
            let node = state.find(from)?;
            let (to_parent, to_name) = state.free_name(to)?;
            let (from_parent, from_name) = from.rsplit_once('/').unwrap_or(("", from));
            let from_parent = state.folder(from_parent)?;
            state.folder_mut(to_parent).set(to_name, Some(node));
            state.folder_mut(from_parent).set(from_name, None);
            Ok(())
        })
    }

    fn rename_replace(&self, from: &str, to: &str) -> io::Result<()> {
        self.apply(DiskOperation::Rename, &format!("{from} {to}"), |state, manner| {
            if manner == Manner::Failing {
                return Ok(());
            }
            let node = state.find(from)?;
            let (to_parent, to_name) = to.rsplit_once('/').unwrap_or(("", to));
            let to_parent = state.folder(to_parent)?;
            let (from_parent, from_name) = from.rsplit_once('/').unwrap_or(("", from));
            let from_parent = state.folder(from_parent)?;
            state.folder_mut(to_parent).set(to_name, Some(node));
            state.folder_mut(from_parent).set(from_name, None);
            Ok(())
        })
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        self.apply(DiskOperation::SyncFolder, folder, |state, manner| {
            let at = state.folder(folder)?;
            match manner {
                Manner::Whole => state.folder_mut(at).sync(),
                Manner::Failing => state.folder_mut(at).lose_sync(),
                Manner::Crashing => {}
            }
            Ok(())
        })
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.apply(DiskOperation::ReadRange, path, |state, _| {
            let content = &state.file(path)?.volatile;
            let inside = match (usize::try_from(range.start), usize::try_from(range.end)) {
                (Ok(start), Ok(end)) => content.get(start..end),
                _ => None,
            };
            Ok(inside.ok_or(io::ErrorKind::UnexpectedEof)?.to_vec())
        })
    }

    fn file_len(&self, path: &str) -> io::Result<u64> {
        self.apply(DiskOperation::FileLen, path, |state, _| Ok(state.file(path)?.volatile.len() as u64))
    }

    fn list_folder(&self, folder: &str, visit: &mut dyn FnMut(DiskEntry<'_>)) -> io::Result<()> {
        let listed = self.apply(DiskOperation::ListFolder, folder, |state, _| {
            let at = state.folder(folder)?;
            let Node::Folder(folder) = &state.nodes[at] else { return Err(Errno::NOTDIR.into()) };
            let describe = |(name, at): (&String, &usize)| match &state.nodes[*at] {
                Node::Folder(_) => (name.clone(), DiskEntryKind::Folder, Duration::ZERO),
                Node::File(file) => {
                    let len_bytes = file.volatile.len() as u64;
                    (name.clone(), DiskEntryKind::File { len_bytes }, state.clock.saturating_sub(file.changed))
                }
            };
            Ok(folder.volatile.iter().map(describe).collect::<Vec<_>>())
        })?;
        for (name, kind, age) in &listed {
            visit(DiskEntry { name: OsStr::new(name), kind: *kind, age: *age });
        }
        Ok(())
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        self.apply(DiskOperation::RemoveFile, path, |state, manner| {
            if manner == Manner::Failing {
                return Ok(());
            }
            state.file(path)?;
            let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
            let parent = state.folder(parent)?;
            state.folder_mut(parent).set(name, None);
            Ok(())
        })
    }

    fn new_writer(&self) -> WriterId {
        let mut state = lock(&self.state);
        state.writer_count += 1;
        WriterId { process: 1, nonce: state.writer_count }
    }

    /// Every process that wrote has ended.
    fn is_process_alive(&self, _process: u32) -> bool {
        false
    }

    fn location(&self) -> PathBuf {
        PathBuf::from("simulated")
    }
}

#[cfg(test)]
mod tests;
