//! The restoring side: folders of the target and every entry but regular files.

use super::folder::{self, OPEN_FOLDER};
use super::found::{Foldings, Found};
use super::inode::Inode;
use super::metadata::{self, MetadataPart, MetadataProblem, OwnerPolicy};
use super::names::Names;
use super::stat::{FileKind, Stat};
use super::target_file::{SuspendedFile, TargetFile};
use rustix::fs::{AtFlags, Mode};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use vellum_format::tree::{EntryName, Metadata};

/// How often a name is tried to be made a folder while somebody else keeps putting other things there.
const ENTER_ATTEMPTS_MAX: u32 = 8;

/// An open folder of the target; copies share the handle.
#[derive(Debug, Clone)]
pub(crate) struct TargetFolder {
    handle: Arc<OwnedFd>,
    device: u64,
    is_mount: bool,
    found: Found,
    foldings: Arc<Foldings>,
    /// What it had before we gave ourselves the right to work in it.
    former_mode: Option<u32>,
}

impl TargetFolder {
    /// Opens the target itself and makes what is missing of its path, which may lead through links.
    pub(crate) fn create_root(path: &Path) -> io::Result<Self> {
        let root = Self::root(folder::open_path(path, true)?)?;
        let found = root.foldings.found_in(root.handle(), root.device)?;
        Ok(Self { found, ..root })
    }

    /// Opens the target itself if it is there, and makes nothing.
    pub(crate) fn find_root(path: &Path) -> io::Result<Option<Self>> {
        match folder::open_path(path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            handle => Ok(Some(Self::root(handle?)?)),
        }
    }

    fn root(handle: OwnedFd) -> io::Result<Self> {
        let device = folder::stat_handle(handle.as_fd())?.device;
        let (handle, found, foldings) = (Arc::new(handle), Found::Anything, Arc::default());
        Ok(Self { handle, device, is_mount: false, found, foldings, former_mode: None })
    }

    fn below(&self, (handle, stat): (OwnedFd, Stat), found: Found) -> Self {
        let Stat { device, .. } = stat;
        let (is_mount, foldings) = (device != self.device, Arc::clone(&self.foldings));
        Self { handle: Arc::new(handle), device, is_mount, found, foldings, former_mode: None }
    }

    /// What was found in this folder, for who opens it again.
    pub(crate) const fn found(&self) -> &Found {
        &self.found
    }

    pub(super) fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// Opens a folder in this one, makes it if nothing is there, and replaces by it what is no real folder.
    ///
    /// Until [`TargetFolder::apply_self`] a new one is ours alone, and an existing one of ours may have got the right
    /// to work in it, as [`TargetFolder::former_mode`] tells.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] when what is there was put there by this run, under another name that the file
    /// system takes for the same; so it is with all that makes an entry.
    pub(crate) fn enter_or_create(&self, name: &EntryName) -> io::Result<Self> {
        for _ in 0..ENTER_ATTEMPTS_MAX {
            let is_new = match rustix::fs::mkdirat(self.handle(), name.as_bytes(), Mode::RWXU) {
                Ok(()) => true,
                Err(Errno::EXIST) => false,
                Err(error) => return Err(error.into()),
            };
            if !is_new {
                self.expect_found(name)?;
            }
            match folder::open_to_change(self.handle(), name, open_real) {
                Ok((handle, stat, former_mode)) => {
                    let found = match is_new {
                        true => Found::Nothing,
                        false => self.foldings.found_in(handle.as_fd(), stat.device)?,
                    };
                    return Ok(Self { former_mode, ..self.below((handle, stat), found) });
                }
                Err(Errno::NOTDIR | Errno::LOOP) => self.unlink(name)?,
                Err(Errno::NOENT) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(io::Error::new(io::ErrorKind::ResourceBusy, "somebody else keeps replacing this folder"))
    }

    /// Opens a folder in this one again, and nothing but a real folder.
    pub(crate) fn open_child(&self, name: &EntryName, found: Found) -> io::Result<Self> {
        let (handle, stat, former_mode) = folder::open_to_change(self.handle(), name, open_real)?;
        Ok(Self { former_mode, ..self.below((handle, stat), found) })
    }

    /// Opens one to look into it, and takes no right that we lack.
    pub(crate) fn look_into(&self, name: &EntryName) -> io::Result<Self> {
        let handle = open_real(self.handle(), name.as_bytes())?;
        let stat = folder::stat_handle(handle.as_fd())?;
        Ok(self.below((handle, stat), Found::Anything))
    }

    /// The same for a handle to reach what is in it: it needs the right to search the folder, and takes none either.
    pub(crate) fn pass_child(&self, name: &EntryName) -> io::Result<Self> {
        let handle = folder::open(self.handle(), name.as_bytes(), folder::STEP)?;
        let stat = folder::stat_handle(handle.as_fd())?;
        Ok(self.below((handle, stat), Found::Anything))
    }

    /// Whether this folder lies in another file system than the one that it was opened in; the root of a target never
    /// does.
    pub(crate) const fn is_mount(&self) -> bool {
        self.is_mount
    }

    /// Bytes that can still be written here, as far as the file system can tell: those that compress cannot.
    pub(crate) fn free_bytes(&self) -> io::Result<Option<u64>> {
        #[cfg(target_os = "linux")]
        {
            const BTRFS: u64 = 0x9123_683e;
            const ZFS: u64 = 0x2fc1_2fc1;
            const BCACHEFS: u64 = 0xca45_1a4e;
            let kind = u64::try_from(rustix::fs::fstatfs(self.handle())?.f_type).unwrap_or(0);
            if [BTRFS, ZFS, BCACHEFS].contains(&kind) {
                return Ok(None);
            }
        }
        let space = rustix::fs::fstatvfs(self.handle())?;
        Ok(Some(space.f_bavail.saturating_mul(space.f_frsize)))
    }

    /// The names of all entries, sorted by their bytes.
    pub(crate) fn names(&self) -> io::Result<Names> {
        // A handle of its own, because copies of this folder share the position in it.
        let handle = folder::open(self.handle(), b".", OPEN_FOLDER)?;
        folder::read_names(handle.as_fd())
    }

    /// The names of all entries that stood here before this run, but for those that are kept. An entry that the file
    /// system lists otherwise than it is called stays as well when its name is kept.
    pub(crate) fn names_but(&self, kept: &BTreeSet<EntryName>) -> io::Result<Names> {
        let names = self.names()?;
        let is_kept_otherwise = match self.found {
            Found::Anything => BTreeSet::new(),
            Found::Nothing | Found::Only(_) => {
                let unlisted = kept.iter().filter(|name| !names.contains(name.as_bytes()));
                unlisted.filter_map(|name| self.inode_at(name)).collect()
            }
        };
        let is_other = |name: &EntryName| {
            let is_spared = || self.inode_at(name).is_some_and(|inode| is_kept_otherwise.contains(&inode));
            !kept.contains(name) && self.found.is_at(name) && (is_kept_otherwise.is_empty() || !is_spared())
        };
        Ok(names.filter(is_other).collect())
    }

    fn inode_at(&self, name: &EntryName) -> Option<(u64, u64)> {
        let stat = folder::stat_name(self.handle(), name).ok()?;
        Some((stat.device, stat.inode))
    }

    /// What stood at a name before this run, if anything; a link is not followed.
    pub(crate) fn existing(&self, name: &EntryName) -> io::Result<Option<Stat>> {
        match folder::stat_name(self.handle(), name) {
            Ok(_) if !self.found.is_at(name) => Ok(None),
            Err(Errno::NOENT) => Ok(None),
            stat => Ok(Some(stat?)),
        }
    }

    /// Starts a regular file of this length that is written at once, as [`TargetFile`] says.
    ///
    /// # Errors
    /// [`io::ErrorKind::DirectoryNotEmpty`] when a folder with entries is in the way; an empty one is replaced.
    pub(crate) fn create_file(&self, name: &EntryName, len_bytes: u64) -> io::Result<TargetFile> {
        TargetFile::create(self, name, len_bytes)
    }

    /// The same for one that is written in parts. What is in the way is seen when it is finished.
    pub(crate) fn create_file_in_parts(&self, name: &EntryName, len_bytes: u64) -> io::Result<TargetFile> {
        TargetFile::create_in_parts(self, name, len_bytes)
    }

    /// Opens a file again that was suspended.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] when somebody has removed or replaced it meanwhile.
    pub(crate) fn resume_file(
        &self,
        name: &EntryName,
        suspended: &SuspendedFile,
        len_bytes: u64,
    ) -> io::Result<TargetFile> {
        TargetFile::resume(self, name, suspended, len_bytes)
    }

    /// Removes a file that was suspended.
    pub(crate) fn remove_suspended(&self, suspended: &SuspendedFile) -> io::Result<()> {
        suspended.remove(self)
    }

    /// Makes a symbolic link in place of what is there.
    ///
    /// # Errors
    /// As [`TargetFolder::create_file`].
    pub(crate) fn symlink(&self, name: &EntryName, target: &[u8]) -> io::Result<()> {
        self.replace(name, |name| rustix::fs::symlinkat(target, self.handle(), name))
    }

    /// Makes a named pipe in place of what is there.
    ///
    /// # Errors
    /// As [`TargetFolder::create_file`].
    pub(crate) fn fifo(&self, name: &EntryName) -> io::Result<()> {
        self.replace(name, |name| make_node(self.handle(), name, rustix::fs::FileType::Fifo, 0, 0))
    }

    /// Makes a block or character device in place of what is there.
    ///
    /// # Errors
    /// [`io::ErrorKind::PermissionDenied`] for anybody but root; as [`TargetFolder::create_file`].
    pub(crate) fn device(&self, name: &EntryName, kind: FileKind, major: u32, minor: u32) -> io::Result<()> {
        let kind = match kind {
            FileKind::BlockDevice => rustix::fs::FileType::BlockDevice,
            FileKind::CharDevice => rustix::fs::FileType::CharacterDevice,
            _ => return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no device")),
        };
        self.replace(name, |name| make_node(self.handle(), name, kind, major, minor))
    }

    /// Gives the inode of an entry of the target another name, in place of what is there.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] without that entry, [`io::ErrorKind::CrossesDevices`] and
    /// [`io::ErrorKind::TooManyLinks`] where the file system cannot; as [`TargetFolder::create_file`].
    pub(crate) fn hard_link(&self, name: &EntryName, from: (&Self, &EntryName)) -> io::Result<()> {
        let (folder, original) = from;
        // Renaming one name of an inode over another does nothing, so this case must not get that far.
        if let Ok(existing) = folder::stat_name(self.handle(), name)
            && existing.is_same_inode(&folder::stat_name(folder.handle(), original)?)
        {
            return self.expect_found(name);
        }
        self.replace(name, |name| {
            rustix::fs::linkat(folder.handle(), original.as_bytes(), self.handle(), name, AtFlags::empty())
        })
    }

    /// Makes an entry under its name, or under a temporary one that then replaces what has the name.
    fn replace(&self, name: &EntryName, make: impl Fn(&[u8]) -> rustix::io::Result<()>) -> io::Result<()> {
        match make(name.as_bytes()) {
            Err(Errno::EXIST) => {}
            result => return Ok(result?),
        }
        self.expect_found(name)?;
        remove_empty_folder(self.handle(), name)?;
        let temporary = temporary_name();
        make(temporary.as_bytes())?;
        let renamed = rustix::fs::renameat(self.handle(), temporary.as_bytes(), self.handle(), name.as_bytes());
        if renamed.is_err() {
            self.unlink(&temporary)?;
        }
        Ok(renamed?)
    }

    /// What stands at a name may give way if this run has not put it there, under another name.
    pub(super) fn expect_found(&self, name: &EntryName) -> io::Result<()> {
        match self.found.is_at(name) {
            true => Ok(()),
            false => Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "this file system takes its name for that of another entry, which is there already",
            )),
        }
    }

    fn unlink(&self, name: &EntryName) -> io::Result<()> {
        match rustix::fs::unlinkat(self.handle(), name.as_bytes(), AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            result => Ok(result?),
        }
    }

    /// Removes an entry, of a folder also everything below; one that is not there is removed already.
    ///
    /// Links are removed, not followed; what is mounted below is not entered.
    ///
    /// # Errors
    /// The first one; what was removed until then stays removed.
    pub(crate) fn remove(&self, name: &EntryName) -> io::Result<()> {
        super::remove::remove(self.handle(), name)
    }

    /// Applies metadata to an entry of this kind that is not held open: a link, a pipe, a device.
    pub(crate) fn apply(
        &self,
        name: &EntryName,
        kind: FileKind,
        metadata: &Metadata,
        policy: &OwnerPolicy,
    ) -> Vec<MetadataProblem> {
        match Inode::named(self.handle(), name) {
            Ok(inode) => metadata::apply(&inode, kind, metadata, policy),
            Err(error) => metadata::everything(error),
        }
    }

    /// Applies the folder's own metadata, when nothing in it will be made or removed any more.
    pub(crate) fn apply_self(&self, metadata: &Metadata, policy: &OwnerPolicy) -> Vec<MetadataProblem> {
        metadata::apply(&Inode::Open(self.handle()), FileKind::Folder, metadata, policy)
    }

    /// The mode that the folder had, if opening it added to that.
    pub(crate) fn former_mode(&self) -> Option<u32> {
        self.former_mode
    }

    /// Gives the folder back the mode that it had.
    pub(crate) fn give_back_mode(&self, mode: u32) -> Vec<MetadataProblem> {
        let problem = Inode::Open(self.handle()).set_mode(mode).err();
        problem.map(|source| MetadataProblem { part: MetadataPart::Mode, source }).into_iter().collect()
    }

    /// Waits until everything written to this folder's file system is on its disk.
    ///
    /// # Errors
    /// Also for a write that failed after the kernel had taken it, which nothing else reports; one that happened before
    /// this folder was opened may have been told to somebody else.
    pub(crate) fn sync_file_system(&self) -> io::Result<()> {
        #[cfg(target_os = "linux")]
        rustix::fs::syncfs(self.handle())?;
        #[cfg(not(target_os = "linux"))]
        rustix::fs::sync();
        Ok(())
    }
}

fn open_real(folder: BorrowedFd<'_>, name: &[u8]) -> rustix::io::Result<OwnedFd> {
    folder::open(folder, name, OPEN_FOLDER)
}

/// An empty folder gives way to another entry, one with entries does not.
pub(super) fn remove_empty_folder(folder: BorrowedFd<'_>, name: &EntryName) -> io::Result<()> {
    match folder::stat_name(folder, name) {
        Ok(stat) if stat.kind == FileKind::Folder => {
            Ok(rustix::fs::unlinkat(folder, name.as_bytes(), AtFlags::REMOVEDIR)?)
        }
        Err(error) if error != Errno::NOENT => Err(error.into()),
        _ => Ok(()),
    }
}

/// A name that no other call, process or machine gets: a random start for each process, then counted.
pub(super) fn temporary_name() -> EntryName {
    use std::hash::{BuildHasher, Hasher};
    static NEXT: LazyLock<AtomicU64> =
        LazyLock::new(|| AtomicU64::new(std::hash::RandomState::new().build_hasher().finish()));
    let name = format!(".vellum-{:016x}", NEXT.fetch_add(1, Ordering::Relaxed));
    EntryName::new(name.into_bytes()).expect("letters, digits and a hyphen make a plain name")
}

#[cfg(not(target_vendor = "apple"))]
fn make_node(
    folder: BorrowedFd<'_>,
    name: &[u8],
    kind: rustix::fs::FileType,
    major: u32,
    minor: u32,
) -> rustix::io::Result<()> {
    let mode = Mode::RUSR | Mode::WUSR;
    rustix::fs::mknodat(folder, name, kind, mode, rustix::fs::makedev(major, minor))
}

#[cfg(target_vendor = "apple")]
fn make_node(
    _folder: BorrowedFd<'_>,
    _name: &[u8],
    _kind: rustix::fs::FileType,
    _major: u32,
    _minor: u32,
) -> rustix::io::Result<()> {
    Err(Errno::OPNOTSUPP)
}
