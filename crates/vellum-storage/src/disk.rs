//! The few operations on files that the local storage is made of, so that a simulated disk can stand in for them.

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

/// More threads than this do not make a disk flush sooner.
const SYNC_THREADS_MAX: usize = 8;

/// One folder on a disk, and the operations on what lies below it.
///
/// Paths are relative to that folder, `/`-separated, without `.` and `..`; the folder itself is the empty path.
/// No operation follows a symbolic link. What is not synced may be lost or torn by a crash, each piece on its own.
pub trait Disk: Send + Sync {
    /// A file being written, closed by dropping it.
    type File;

    /// Makes one folder, which only the owner may enter.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken.
    fn make_folder(&self, folder: &str) -> io::Result<()>;

    /// Creates a file that was not there, which only the owner may read.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken.
    fn create_new(&self, path: &str) -> io::Result<Self::File>;

    /// Appends all bytes to a file.
    ///
    /// # Errors
    /// After an error any part of the bytes may have been written.
    fn write_all(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;

    /// Makes a file's content durable, but not its name.
    ///
    /// # Errors
    /// After an error the content may be lost although a second call would succeed, so there must be none.
    fn sync_file(&self, file: &Self::File) -> io::Result<()>;

    /// Moves a file to a name that was free.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken.
    fn rename_no_replace(&self, from: &str, to: &str) -> io::Result<()>;

    /// Moves a file to a name, in the place of the file that has it: whoever opens the name finds one of the two.
    ///
    /// # Errors
    /// What the system says; the name has its old file then.
    fn rename_replace(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes the names in a folder durable: those that came, and the absence of those that went.
    ///
    /// # Errors
    /// As with [`Disk::sync_file`], a second call proves nothing.
    fn sync_folder(&self, folder: &str) -> io::Result<()>;

    /// Syncs several folders, at once where that helps.
    ///
    /// # Errors
    /// The first error; nothing is known about the other folders.
    fn sync_folders(&self, folders: &[String]) -> io::Result<()> {
        folders.iter().try_for_each(|folder| self.sync_folder(folder))
    }

    /// Reads exactly this range of a regular file, allocating no more than the file has.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before the range does.
    fn read_range(&self, path: &str, range: Range<u64>) -> io::Result<Vec<u8>>;

    /// The length of a regular file.
    ///
    /// # Errors
    /// `InvalidData` when the name is something else than a regular file.
    fn file_len(&self, path: &str) -> io::Result<u64>;

    /// Visits every name in a folder, leaving out `.` and `..`.
    ///
    /// # Errors
    /// A listing that broke off is an error.
    fn list_folder(&self, folder: &str, visit: &mut dyn FnMut(DiskEntry<'_>)) -> io::Result<()>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// `NotFound` when there is none.
    fn remove_file(&self, path: &str) -> io::Result<()>;

    /// Whom temporary files are written by from now on; never the same twice.
    fn new_writer(&self) -> WriterId;

    /// Whether the process that once got this number may still be running.
    fn is_process_alive(&self, process: u32) -> bool;

    /// The folder's path, for messages.
    fn location(&self) -> PathBuf;

    /// Whether space is to be set aside on it, because it can be full.
    fn keeps_reserve(&self) -> bool {
        false
    }
}

/// One name in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskEntry<'a> {
    /// The name.
    pub name: &'a OsStr,
    /// What it names.
    pub kind: DiskEntryKind,
    /// Time since the last change of its content; zero when the clock was set back.
    pub age: Duration,
}

/// What a name in a folder names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskEntryKind {
    /// A regular file.
    File {
        /// Its length.
        len_bytes: u64,
    },
    /// A folder.
    Folder,
    /// A symbolic link, a device and the like.
    Other,
}

/// Who writes a temporary file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterId {
    /// The process.
    pub process: u32,
    /// What tells its storages, and the processes of other machines, apart.
    pub nonce: u64,
}

/// A folder of the operating system.
///
/// The folder is opened once and every path is walked from it without following links, so that nothing inside a
/// repository can lead outside of it.
#[derive(Debug)]
pub struct OsDisk {
    path: PathBuf,
    root: OwnedFd,
}

impl OsDisk {
    /// Opens an existing folder; the path to it may lead over symbolic links.
    ///
    /// # Errors
    /// `NotFound`, `NotADirectory`, and what else the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let root = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
        Ok(Self { path: std::path::absolute(path)?, root })
    }

    /// Opens a folder after making it, and the folders above it, durably where they are missing.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(path: &Path) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let missing: Vec<&Path> = path.ancestors().take_while(|folder| !folder.exists()).collect();
        for folder in missing.into_iter().rev() {
            fs::DirBuilder::new().mode(0o700).create(folder).or_else(accept_existing)?;
            sync_parent(folder)?;
        }
        match sync_parent(&path.canonicalize()?) {
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
            _ => Self::open(&path),
        }
    }

    fn folder(&self, folder: &str) -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let step = |from: BorrowedFd<'_>, name: &str| rustix::fs::openat(from, name, flags, Mode::empty());
        let mut at = step(self.root.as_fd(), ".")?;
        for name in folder.split('/').filter(|name| !name.is_empty()) {
            at = step(at.as_fd(), name)?;
        }
        Ok(at)
    }

    fn parent_and_name<'a>(&self, path: &'a str) -> io::Result<(OwnedFd, &'a str)> {
        let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.folder(folder)?, name))
    }
}

impl Disk for OsDisk {
    type File = File;

    fn make_folder(&self, folder: &str) -> io::Result<()> {
        let (parent, name) = self.parent_and_name(folder)?;
        Ok(rustix::fs::mkdirat(parent, name, Mode::RWXU)?)
    }

    fn create_new(&self, path: &str) -> io::Result<File> {
        let (parent, name) = self.parent_and_name(path)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    fn write_all(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync_file(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn rename_no_replace(&self, from: &str, to: &str) -> io::Result<()> {
        let (from_parent, from) = self.parent_and_name(from)?;
        let (to_parent, to) = self.parent_and_name(to)?;
        match rustix::fs::renameat_with(&from_parent, from, &to_parent, to, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                link_and_unlink(from_parent.as_fd(), from, to_parent.as_fd(), to)
            }
            done => Ok(done?),
        }
    }

    fn rename_replace(&self, from: &str, to: &str) -> io::Result<()> {
        let (from_parent, from) = self.parent_and_name(from)?;
        let (to_parent, to) = self.parent_and_name(to)?;
        Ok(rustix::fs::renameat(from_parent, from, to_parent, to)?)
    }

    fn sync_folder(&self, folder: &str) -> io::Result<()> {
        sync_folder_fd(self.folder(folder)?)
    }

    fn sync_folders(&self, folders: &[String]) -> io::Result<()> {
        let some = |folders: &[String]| folders.iter().try_for_each(|folder| self.sync_folder(folder));
        let mut shares = folders.chunks(folders.len().div_ceil(SYNC_THREADS_MAX).max(1));
        let own_share = shares.next().unwrap_or_default();
        thread::scope(|scope| {
            let mut outcome = Ok(());
            let mut helpers = Vec::new();
            for share in shares {
                match thread::Builder::new().spawn_scoped(scope, move || some(share)) {
                    Ok(helper) => helpers.push(helper),
                    Err(_no_thread) => outcome = outcome.and(some(share)),
                }
            }
            outcome = outcome.and(some(own_share));
            helpers.into_iter().fold(outcome, |outcome, helper| {
                outcome.and(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            })
        })
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> io::Result<Vec<u8>> {
        let (parent, name) = self.parent_and_name(path)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(parent, name, flags, Mode::empty())?;
        if regular_file_len(&rustix::fs::fstat(&file)?)? < range.end {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let len_bytes = range.end.checked_sub(range.start).ok_or(io::ErrorKind::UnexpectedEof)?;
        let mut bytes = vec![0; usize::try_from(len_bytes).map_err(|_| io::ErrorKind::OutOfMemory)?];
        File::from(file).read_exact_at(&mut bytes, range.start)?;
        Ok(bytes)
    }

    fn file_len(&self, path: &str) -> io::Result<u64> {
        let (parent, name) = self.parent_and_name(path)?;
        regular_file_len(&rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?)
    }

    fn list_folder(&self, folder: &str, visit: &mut dyn FnMut(DiskEntry<'_>)) -> io::Result<()> {
        let folder = self.folder(folder)?;
        let now = SystemTime::now();
        for entry in Dir::read_from(&folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            match rustix::fs::statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => visit(DiskEntry {
                    name: OsStr::from_bytes(name.to_bytes()),
                    kind: entry_kind(&stat),
                    age: age(&stat, now),
                }),
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        let (parent, name) = self.parent_and_name(path)?;
        Ok(rustix::fs::unlinkat(parent, name, AtFlags::empty())?)
    }

    fn new_writer(&self) -> WriterId {
        use std::hash::{BuildHasher, RandomState};
        WriterId { process: std::process::id(), nonce: RandomState::new().hash_one(SystemTime::now()) }
    }

    fn is_process_alive(&self, process: u32) -> bool {
        let pid = i32::try_from(process).ok().and_then(rustix::process::Pid::from_raw);
        pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(Errno::SRCH))
    }

    fn location(&self) -> PathBuf {
        self.path.clone()
    }

    fn keeps_reserve(&self) -> bool {
        true
    }
}

/// For file systems without a rename that refuses to replace; a crash between the two leaves a second, temporary name.
fn link_and_unlink(from_parent: BorrowedFd<'_>, from: &str, to_parent: BorrowedFd<'_>, to: &str) -> io::Result<()> {
    rustix::fs::linkat(from_parent, from, to_parent, to, AtFlags::empty())?;
    Ok(rustix::fs::unlinkat(from_parent, from, AtFlags::empty())?)
}

/// File systems that cannot sync a folder at all, which some network ones answer with `EINVAL`, write names at once.
fn sync_folder_fd(folder: OwnedFd) -> io::Result<()> {
    match File::from(folder).sync_all() {
        Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(()),
        Err(error) if error.raw_os_error() == Some(Errno::OPNOTSUPP.raw_os_error()) => Ok(()),
        done => done,
    }
}

fn sync_parent(folder: &Path) -> io::Result<()> {
    match folder.parent() {
        Some(parent) => sync_folder_fd(File::open(parent)?.into()),
        None => Ok(()),
    }
}

fn accept_existing(error: io::Error) -> io::Result<()> {
    match error.kind() {
        io::ErrorKind::AlreadyExists => Ok(()),
        _ => Err(error),
    }
}

fn regular_file_len(stat: &Stat) -> io::Result<u64> {
    match entry_kind(stat) {
        DiskEntryKind::File { len_bytes } => Ok(len_bytes),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "not a regular file")),
    }
}

fn entry_kind(stat: &Stat) -> DiskEntryKind {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => DiskEntryKind::File { len_bytes: u64::try_from(stat.st_size).unwrap_or_default() },
        FileType::Directory => DiskEntryKind::Folder,
        _ => DiskEntryKind::Other,
    }
}

fn age(stat: &Stat, now: SystemTime) -> Duration {
    let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(stat.st_mtime).unwrap_or_default());
    now.duration_since(changed).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn disk() -> (tempfile::TempDir, OsDisk) {
        let folder = tempfile::tempdir().unwrap();
        let disk = OsDisk::open(folder.path()).unwrap();
        (folder, disk)
    }

    fn write(disk: &OsDisk, path: &str, bytes: &[u8]) {
        let mut file = disk.create_new(path).unwrap();
        disk.write_all(&mut file, bytes).unwrap();
        disk.sync_file(&file).unwrap();
    }

    #[test]
    fn a_rename_never_replaces_with_and_without_the_system_call() {
        let (_guard, disk) = disk();
        write(&disk, "a", b"a");
        write(&disk, "b", b"b");
        assert_eq!(disk.rename_no_replace("a", "b").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let root = disk.root.as_fd();
        assert_eq!(link_and_unlink(root, "a", root, "b").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        link_and_unlink(root, "a", root, "c").unwrap();
        disk.rename_no_replace("c", "d").unwrap();
        assert_eq!(disk.read_range("d", 0..1).unwrap(), b"a");
        assert_eq!(disk.file_len("a").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_replacing_rename_leaves_one_file() {
        let (_guard, disk) = disk();
        write(&disk, "a", b"new");
        write(&disk, "b", b"older");
        disk.rename_replace("a", "b").unwrap();
        assert_eq!(disk.read_range("b", 0..3).unwrap(), b"new");
        assert_eq!((disk.file_len("b").unwrap(), disk.file_len("a").is_err()), (3, true));
        assert_eq!(disk.rename_replace("a", "b").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(disk.file_len("b").unwrap(), 3);
    }

    #[test]
    fn links_inside_the_folder_are_not_followed() {
        let (guard, disk) = disk();
        let outside = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), b"secret").unwrap();
        symlink(outside.path(), guard.path().join("folder")).unwrap();
        symlink(outside.path().join("secret"), guard.path().join("file")).unwrap();
        assert!(disk.read_range("folder/secret", 0..6).is_err());
        assert!(disk.read_range("file", 0..6).is_err());
        assert_eq!(disk.file_len("file").unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(disk.create_new("folder/new").is_err());
        assert!(disk.list_folder("folder", &mut |_| ()).is_err());
        assert!(disk.sync_folder("folder").is_err());
    }

    #[test]
    fn a_fifo_under_an_objects_name_does_not_block() {
        let (_guard, disk) = disk();
        rustix::fs::mknodat(&disk.root, "fifo", FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert_eq!(disk.read_range("fifo", 0..1).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn many_folders_are_synced_and_a_missing_one_is_reported() {
        let (_guard, disk) = disk();
        let folders: Vec<String> = (0..20).map(|number| number.to_string()).collect();
        folders.iter().for_each(|folder| disk.make_folder(folder).unwrap());
        disk.sync_folders(&[]).unwrap();
        disk.sync_folders(&folders).unwrap();
        for missing in ["0", "19"] {
            fs::remove_dir(disk.path.join(missing)).unwrap();
            assert_eq!(disk.sync_folders(&folders).unwrap_err().kind(), io::ErrorKind::NotFound);
            disk.make_folder(missing).unwrap();
        }
    }

    #[test]
    fn own_process_is_alive_and_an_ended_one_is_not() {
        let (_guard, disk) = disk();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(disk.is_process_alive(std::process::id()));
        assert!(disk.is_process_alive(1));
        assert!(!disk.is_process_alive(child.id()));
        assert!(!disk.is_process_alive(0));
    }

    #[test]
    fn create_makes_the_folders_above() {
        let guard = tempfile::tempdir().unwrap();
        let path = guard.path().join("a/b/c");
        let disk = OsDisk::create(&path).unwrap();
        assert_eq!(disk.location(), path);
        OsDisk::create(&path).unwrap();
    }
}
