//! Objects as files in a folder.
//!
//! What a crash may leave, whatever was being done:
//! L1. A name under a final path has its whole content, durably: the content is synced before it gets the name.
//! L2. A name never changes its content: names come by a rename that does not replace. Only a damaged object gives
//!     way to the bytes that its name stands for, by a rename that does.
//! L3. What `sync` promised stays: it syncs every folder that got or lost a name, and the folders above new folders.
//! L4. Anything else is junk in `tmp/`, which a later `open` removes.

use crate::{
    Capabilities, Disk, DiskEntry, DiskEntryKind, ObjectSummary, OsDisk, Put, Storage, StorageError, WriterId, lock,
    refuse_other_bytes,
};
use std::collections::BTreeSet;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use vellum_format::{ObjectId, ObjectKind, ObjectName};

const TEMPORARY_FOLDER: &str = "tmp";

/// Space for what has to be written before a full disk can be freed: a megabyte in 16 files.
const RESERVE_FOLDER: &str = "reserve";
const RESERVE_FILES: usize = 16;
const RESERVE_FILE_LEN_BYTES: usize = 64 << 10;

/// Temporary files younger than this may belong to a running process of another machine or container.
const TEMPORARY_AGE_MIN: Duration = Duration::from_secs(24 * 60 * 60);

/// Objects as files below one folder, each at [`ObjectName::path`].
///
/// Files are readable by their owner only. Any number of processes may use one folder at the same time.
#[derive(Debug)]
pub struct LocalStorage<D = OsDisk> {
    disk: D,
    writer: WriterId,
    temporary_count: AtomicU64,
    folders: Mutex<Folders>,
    sync_turn: Mutex<()>,
    poisoned: AtomicBool,
}

#[derive(Debug, Default)]
struct Folders {
    /// Folders with a name that came or went since the last sync.
    unsynced: BTreeSet<String>,
    /// Spread folders that exist and whose own name is durable or is in a folder of `unsynced`.
    ensured: BTreeSet<String>,
}

impl LocalStorage<OsDisk> {
    /// Opens the repository in this folder; a read-only one can be read.
    ///
    /// Removes temporary files that are older than a day and whose process is gone; nothing else, and no error of
    /// that is reported.
    ///
    /// # Errors
    /// [`StorageError::PathMissing`], [`StorageError::NotARepository`], or what the system says.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let path = path.as_ref();
        let disk = OsDisk::open(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => StorageError::PathMissing { path: path.to_owned() },
            io::ErrorKind::NotADirectory => StorageError::NotARepository { path: path.to_owned() },
            _ => StorageError::from_io("open", path.to_owned(), source),
        })?;
        Self::open_on(disk)
    }

    /// Makes the folders of a new repository, durably, in a folder that is empty or absent.
    ///
    /// What a crash leaves half made can be created again.
    ///
    /// # Errors
    /// [`StorageError::RepositoryExists`], [`StorageError::FolderNotEmpty`], or what the system says.
    pub fn create(path: impl AsRef<Path>) -> Result<Self, StorageError> {
        let path = path.as_ref();
        let disk = OsDisk::create(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotADirectory => StorageError::FolderNotEmpty { path: path.to_owned() },
            _ => StorageError::from_io("create", path.to_owned(), source),
        })?;
        Self::create_on(disk)
    }
}

impl<D: Disk> LocalStorage<D> {
    /// [`LocalStorage::open`] on any disk.
    ///
    /// # Errors
    /// As there.
    pub fn open_on(disk: D) -> Result<Self, StorageError> {
        let storage = Self::new(disk);
        match storage.disk.list_folder(ObjectKind::Config.folder(), &mut |_| ()) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Err(StorageError::NotARepository { path: storage.disk.location() });
            }
            Err(error) => return Err(storage.failed("list", ObjectKind::Config.folder(), error)),
        }
        storage.remove_stale_temporaries();
        Ok(storage)
    }

    /// [`LocalStorage::create`] on any disk.
    ///
    /// # Errors
    /// As there.
    pub fn create_on(disk: D) -> Result<Self, StorageError> {
        let storage = Self::new(disk);
        storage.refuse_unless_fresh()?;
        storage.make_folders(layout().into_iter().filter(|folder| *folder != ObjectKind::Config.folder()))?;
        storage.keep_reserve();
        // Last, because its presence is what makes a folder a repository.
        storage.make_folders([ObjectKind::Config.folder()])?;
        Ok(storage)
    }

    /// The disk beneath.
    pub const fn disk(&self) -> &D {
        &self.disk
    }

    fn new(disk: D) -> Self {
        Self {
            writer: disk.new_writer(),
            disk,
            temporary_count: AtomicU64::new(0),
            folders: Mutex::default(),
            sync_turn: Mutex::default(),
            poisoned: AtomicBool::new(false),
        }
    }

    fn refuse_unless_fresh(&self) -> Result<(), StorageError> {
        let layout = layout();
        for folder in [""].iter().chain(&layout) {
            let mut is_fresh = true;
            let listed = self.disk.list_folder(folder, &mut |entry| {
                is_fresh &= match entry.name.to_str() {
                    Some("lost+found") => folder.is_empty(),
                    Some(name) if *folder == TEMPORARY_FOLDER => writer_process(name).is_some(),
                    Some(name) if *folder == RESERVE_FOLDER => reserve_paths().any(|path| path == join(folder, name)),
                    // Keys without a config are left by an `init` that was interrupted.
                    Some(name) if is_key_object(&join(folder, name)) => true,
                    Some(name) => layout.contains(&join(folder, name).as_str()),
                    None => false,
                };
            });
            match listed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(self.failed("list", folder, error));
                }
                _ if is_fresh => {}
                _ if *folder == ObjectKind::Config.folder() => {
                    return Err(StorageError::RepositoryExists { path: self.disk.location() });
                }
                _ => return Err(StorageError::FolderNotEmpty { path: self.disk.location() }),
            }
        }
        Ok(())
    }

    fn make_folders<'a>(&self, folders: impl IntoIterator<Item = &'a str>) -> Result<(), StorageError> {
        let mut parents = BTreeSet::new();
        for folder in folders {
            self.make_folder(folder)?;
            parents.insert(parent(folder).to_owned());
        }
        let parents: Vec<String> = parents.into_iter().collect();
        self.disk.sync_folders(&parents).map_err(|error| self.failed("sync", "", error))
    }

    fn make_folder(&self, folder: &str) -> Result<(), StorageError> {
        match self.disk.make_folder(folder) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(self.failed("make", folder, error)),
            _ => Ok(()),
        }
    }

    fn remove_stale_temporaries(&self) {
        let mut stale = Vec::new();
        let listed = self.disk.list_folder(TEMPORARY_FOLDER, &mut |entry| stale.extend(self.stale_temporary(entry)));
        if listed.is_ok() {
            for path in stale {
                drop(self.disk.remove_file(&path));
            }
        }
    }

    fn stale_temporary(&self, entry: DiskEntry<'_>) -> Option<String> {
        let name = entry.name.to_str()?;
        let process = writer_process(name)?;
        let is_old_file = matches!(entry.kind, DiskEntryKind::File { .. }) && entry.age > TEMPORARY_AGE_MIN;
        (is_old_file && !self.disk.is_process_alive(process)).then(|| join(TEMPORARY_FOLDER, name))
    }

    fn store(&self, name: &ObjectName, path: &str, bytes: &[u8]) -> Result<Put, StorageError> {
        self.ensure_folders(name)?;
        let temporary = self.write_temporary(bytes)?;
        let renamed = self.disk.rename_no_replace(&temporary, path);
        if renamed.is_err() {
            drop(self.disk.remove_file(&temporary));
        }
        match renamed {
            Ok(()) => Ok(Put::Stored),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Put::already_there(name, self.len(name)?, bytes)
            }
            Err(error) => Err(self.failed("name", path, error)),
        }
    }

    /// Whole and durable, but without a durable name.
    fn write_temporary(&self, bytes: &[u8]) -> Result<String, StorageError> {
        let count = self.temporary_count.fetch_add(1, Ordering::Relaxed);
        let path = join(TEMPORARY_FOLDER, &temporary_name(self.writer, count));
        let mut file = self.disk.create_new(&path).map_err(|error| self.failed("create", &path, error))?;
        let written = self.disk.write_all(&mut file, bytes).and_then(|()| self.disk.sync_file(&file));
        drop(file);
        match written {
            Ok(()) => Ok(path),
            Err(error) => {
                drop(self.disk.remove_file(&path));
                Err(self.failed("write", &path, error))
            }
        }
    }

    /// Makes the folder for temporary files and the object's own, if it is one of those made on demand.
    ///
    /// The folder of a kind is not made: that it is missing must not look like a kind without objects.
    fn ensure_folders(&self, name: &ObjectName) -> Result<(), StorageError> {
        let folder = name.folder();
        if lock(&self.folders).ensured.contains(&*folder) {
            return Ok(());
        }
        self.make_folder(TEMPORARY_FOLDER)?;
        let mut above = None;
        if name.kind.is_spread() {
            self.make_folder(&folder)?;
            above = Some(name.kind.folder().to_owned());
        }
        let mut folders = lock(&self.folders);
        folders.unsynced.extend(above);
        folders.ensured.insert(folder.into_owned());
        Ok(())
    }

    fn list_objects(
        &self,
        kind: ObjectKind,
        folder: &str,
        visit: &mut dyn FnMut(ObjectSummary),
    ) -> Result<(), StorageError> {
        let listed = self.disk.list_folder(folder, &mut |entry| {
            let name = entry.name.to_str().and_then(ObjectId::from_hex).map(|id| ObjectName::new(kind, id));
            if let (Some(name), DiskEntryKind::File { len_bytes }) = (name, entry.kind)
                && name.folder() == folder
            {
                visit(ObjectSummary { name, len_bytes });
            }
        });
        listed.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StorageError::FolderMissing { path: self.full_path(folder) },
            _ => self.failed("list", folder, error),
        })
    }

    fn refuse_when_poisoned(&self) -> Result<(), StorageError> {
        match self.poisoned.load(Ordering::SeqCst) {
            true => Err(StorageError::Poisoned { location: self.location() }),
            false => Ok(()),
        }
    }

    fn read_failed(&self, name: &ObjectName, error: io::Error) -> StorageError {
        match error.kind() {
            io::ErrorKind::NotFound => StorageError::NotFound { name: *name },
            _ => self.failed("read", &name.path(), error),
        }
    }

    fn failed(&self, operation: &'static str, path: &str, error: io::Error) -> StorageError {
        StorageError::from_io(operation, self.full_path(path), error)
    }

    fn full_path(&self, path: &str) -> PathBuf {
        match path {
            "" => self.disk.location(),
            path => self.disk.location().join(path),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl<D: Disk> Storage for LocalStorage<D> {
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<Put, StorageError> {
        self.refuse_when_poisoned()?;
        let path = name.path();
        let put = match self.disk.file_len(&path) {
            Ok(len_bytes_there) => Put::already_there(name, len_bytes_there, bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => match self.store(name, &path, bytes) {
                Err(error) if !matches!(error, StorageError::NameTaken { .. }) => {
                    lock(&self.folders).ensured.remove(&*name.folder());
                    self.store(name, &path, bytes)?
                }
                done => done?,
            },
            Err(error) => return Err(self.read_failed(name, error)),
        };
        // Also when another process put it: that one may not have synced the names yet. // L3
        self.ensure_folders(name)?;
        lock(&self.folders).unsynced.insert(name.folder().into_owned());
        Ok(put)
    }

    fn replace_damaged(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StorageError> {
        self.refuse_when_poisoned()?;
        refuse_other_bytes(name, bytes)?; // L2
        self.ensure_folders(name)?;
        let temporary = self.write_temporary(bytes)?;
        if let Err(error) = self.disk.rename_replace(&temporary, &name.path()) {
            drop(self.disk.remove_file(&temporary));
            return Err(self.failed("name", &name.path(), error));
        }
        lock(&self.folders).unsynced.insert(name.folder().into_owned());
        Ok(())
    }

    fn adopt(&self, name: &ObjectName) {
        let mut folders = lock(&self.folders);
        folders.unsynced.insert(name.folder().into_owned());
        if name.kind.is_spread() {
            folders.unsynced.insert(name.kind.folder().to_owned());
        }
    }

    fn sync(&self) -> Result<(), StorageError> {
        // Whoever comes while another syncs waits, because the other may be syncing what this one must promise.
        let _turn = lock(&self.sync_turn);
        self.refuse_when_poisoned()?;
        let unsynced: Vec<String> = std::mem::take(&mut lock(&self.folders).unsynced).into_iter().collect();
        self.disk.sync_folders(&unsynced).map_err(|error| {
            self.poisoned.store(true, Ordering::SeqCst);
            self.failed("sync", "", error)
        })
    }

    fn get(&self, name: &ObjectName, len_bytes_max: u64) -> Result<Vec<u8>, StorageError> {
        match self.len(name)? {
            len_bytes if len_bytes > len_bytes_max => {
                Err(StorageError::TooLarge { name: *name, len_bytes, len_bytes_max })
            }
            len_bytes => self.get_range(name, 0..len_bytes),
        }
    }

    fn get_range(&self, name: &ObjectName, range: Range<u64>) -> Result<Vec<u8>, StorageError> {
        match self.disk.read_range(&name.path(), range.clone()) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(StorageError::ShortRead { name: *name, wanted: range, len_bytes: self.len(name)? })
            }
            read => read.map_err(|error| self.read_failed(name, error)),
        }
    }

    fn len(&self, name: &ObjectName) -> Result<u64, StorageError> {
        self.disk.file_len(&name.path()).map_err(|error| self.read_failed(name, error))
    }

    fn list(&self, kind: ObjectKind, visit: &mut dyn FnMut(ObjectSummary)) -> Result<(), StorageError> {
        if !kind.is_spread() {
            return self.list_objects(kind, kind.folder(), visit);
        }
        let mut folders = Vec::new();
        let listed = self.disk.list_folder(kind.folder(), &mut |entry| {
            if let (DiskEntryKind::Folder, Some(name)) = (entry.kind, entry.name.to_str()) {
                folders.push(join(kind.folder(), name));
            }
        });
        listed.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => StorageError::FolderMissing { path: self.full_path(kind.folder()) },
            _ => self.failed("list", kind.folder(), error),
        })?;
        folders.iter().try_for_each(|folder| self.list_objects(kind, folder, visit))
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StorageError> {
        self.refuse_when_poisoned()?;
        let path = name.path();
        match self.disk.remove_file(&path) {
            Ok(()) => {
                lock(&self.folders).unsynced.insert(name.folder().into_owned());
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(self.failed("delete", &path, error)),
        }
    }

    fn release_reserve(&self) -> Result<bool, StorageError> {
        self.refuse_when_poisoned()?;
        let mut released = false;
        for path in reserve_paths() {
            match self.disk.remove_file(&path) {
                Ok(()) => released = true,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(self.failed("delete", &path, error)),
            }
        }
        Ok(released)
    }

    /// Many files rather than one, because a disk can also run out of names. What is in them does not compress.
    fn keep_reserve(&self) {
        if !self.disk.keeps_reserve() {
            return;
        }
        if self.disk.make_folder(RESERVE_FOLDER).is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists) {
            return;
        }
        for (seed, path) in reserve_paths().enumerate() {
            if self.disk.file_len(&path).is_ok() {
                continue;
            }
            let bytes = incompressible(seed as u64 + 1, RESERVE_FILE_LEN_BYTES);
            let written = self.disk.create_new(&path).and_then(|mut file| self.disk.write_all(&mut file, &bytes));
            if written.is_err() {
                drop(self.disk.remove_file(&path));
                return;
            }
        }
    }

    fn location(&self) -> String {
        self.disk.location().display().to_string()
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { cheap_listing: true, puts_end_with_process: true }
    }
}

/// Every folder of a new repository, each after the one it lies in.
fn layout() -> Vec<&'static str> {
    let kinds = ObjectKind::ALL.map(ObjectKind::folder);
    let above: BTreeSet<_> = kinds.into_iter().map(parent).filter(|folder| !folder.is_empty()).collect();
    above.into_iter().chain(kinds).chain([TEMPORARY_FOLDER, RESERVE_FOLDER]).collect()
}

fn reserve_paths() -> impl Iterator<Item = String> {
    (0..RESERVE_FILES).map(|number| format!("{RESERVE_FOLDER}/{number:02}"))
}

/// Bytes that no file system makes smaller (xorshift, Marsaglia 2003).
fn incompressible(seed: u64, len_bytes: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(len_bytes).collect()
}

fn is_key_object(path: &str) -> bool {
    ObjectName::from_path(path).is_ok_and(|name| matches!(name.kind, ObjectKind::Key | ObjectKind::KeyMirror))
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn join(folder: &str, name: &str) -> String {
    match folder {
        "" => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}

fn temporary_name(writer: WriterId, count: u64) -> String {
    format!("{}-{:016x}-{count}", writer.process, writer.nonce)
}

/// The process of exactly those names that [`temporary_name`] gives.
fn writer_process(name: &str) -> Option<u32> {
    let mut parts = name.splitn(3, '-');
    let (process, nonce, count) = (parts.next()?, parts.next()?, parts.next()?);
    let process = process.parse().ok()?;
    let writer = WriterId { process, nonce: u64::from_str_radix(nonce, 16).ok()? };
    (temporary_name(writer, count.parse().ok()?) == name).then_some(process)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn pack(bytes: &[u8]) -> ObjectName {
        ObjectName::of(ObjectKind::Pack, bytes)
    }

    fn created() -> (tempfile::TempDir, LocalStorage) {
        let folder = tempfile::tempdir().unwrap();
        let storage = LocalStorage::create(folder.path()).unwrap();
        (folder, storage)
    }

    #[test]
    fn keeps_the_contract() {
        let folder = tempfile::tempdir().unwrap();
        let count = AtomicU64::new(0);
        crate::conformance::run(&|| {
            let path = folder.path().join(count.fetch_add(1, Ordering::Relaxed).to_string());
            Box::new(LocalStorage::create(path).unwrap())
        });
    }

    #[test]
    fn objects_lie_where_their_names_say_for_the_owner_only() {
        let (folder, storage) = created();
        let name = pack(b"bytes");
        storage.put(&name, b"bytes").unwrap();
        let path = folder.path().join(name.path());
        assert_eq!(fs::read(&path).unwrap(), b"bytes");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_dir(folder.path().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn open_tells_missing_from_foreign() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), b"").unwrap();
        let open = |path: &str| LocalStorage::open(folder.path().join(path));
        assert!(matches!(open("absent"), Err(StorageError::PathMissing { .. })));
        assert!(matches!(open(""), Err(StorageError::NotARepository { .. })));
        assert!(matches!(open("file"), Err(StorageError::NotARepository { .. })));
        LocalStorage::create(folder.path().join("a/b")).unwrap();
        symlink(folder.path().join("a/b"), folder.path().join("link")).unwrap();
        open("a/b").unwrap();
        open("link").unwrap();
    }

    #[test]
    fn create_refuses_what_is_not_empty() {
        let (folder, storage) = created();
        LocalStorage::create(folder.path()).expect("what holds only empty folders of ours is fresh");
        let config = ObjectName::of(ObjectKind::Config, b"config");
        storage.put(&config, b"config").unwrap();
        assert!(matches!(LocalStorage::create(folder.path()), Err(StorageError::RepositoryExists { .. })));

        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("lost+found")).unwrap();
        LocalStorage::create(folder.path()).expect("a new file system is empty");
        fs::write(folder.path().join("letter.txt"), b"").unwrap();
        assert!(matches!(LocalStorage::create(folder.path()), Err(StorageError::FolderNotEmpty { .. })));
        let file = folder.path().join("letter.txt");
        assert!(matches!(LocalStorage::create(file), Err(StorageError::FolderNotEmpty { .. })));
    }

    #[test]
    fn the_reserve_is_there_until_it_is_released_and_can_be_set_aside_again() {
        let (folder, storage) = created();
        let len = || -> u64 {
            let files = fs::read_dir(folder.path().join("reserve")).unwrap();
            files.map(|file| file.unwrap().metadata().unwrap().len()).sum()
        };
        assert_eq!(len(), 1 << 20);
        assert!(storage.release_reserve().unwrap());
        assert_eq!(len(), 0);
        assert!(!storage.release_reserve().unwrap(), "there is nothing left to release");
        storage.keep_reserve();
        assert_eq!(len(), 1 << 20);
        fs::remove_dir_all(folder.path().join("reserve")).unwrap();
        assert!(!storage.release_reserve().unwrap());
        storage.keep_reserve();
        assert_eq!(len(), 1 << 20);
        LocalStorage::create(folder.path()).expect("what holds only the reserve is fresh");
    }

    #[test]
    fn listings_pass_over_what_is_no_object() {
        let (folder, storage) = created();
        let name = pack(b"bytes");
        storage.put(&name, b"bytes").unwrap();
        let path = folder.path().join(name.path());
        let elsewhere = folder.path().join("packs/zz");
        fs::create_dir(&elsewhere).unwrap();
        fs::copy(&path, elsewhere.join(path.file_name().unwrap())).unwrap();
        fs::copy(&path, folder.path().join("packs").join(path.file_name().unwrap())).unwrap();
        fs::copy(&path, path.with_extension("tmp")).unwrap();
        symlink(&path, path.with_file_name(pack(b"link").id.to_string())).unwrap();
        let mut seen = Vec::new();
        storage.list(ObjectKind::Pack, &mut |object| seen.push(object)).unwrap();
        assert_eq!(seen, [ObjectSummary { name, len_bytes: 5 }]);
    }

    #[test]
    fn a_missing_folder_is_not_an_empty_one() {
        let (folder, storage) = created();
        for (kind, path) in [(ObjectKind::Snapshot, "snapshots"), (ObjectKind::Pack, "packs")] {
            fs::remove_dir(folder.path().join(path)).unwrap();
            let listed = storage.list(kind, &mut |_| ());
            assert!(matches!(listed, Err(StorageError::FolderMissing { .. })), "{listed:?}");
            let name = ObjectName::of(kind, b"bytes");
            storage.put(&name, b"bytes").unwrap_err();
        }
    }

    #[test]
    fn folders_that_went_away_are_made_again() {
        let (folder, storage) = created();
        let name = pack(b"bytes");
        storage.put(&name, b"bytes").unwrap();
        storage.delete(&name).unwrap();
        storage.sync().unwrap();
        fs::remove_dir(folder.path().join(parent(&name.path()))).unwrap();
        fs::remove_dir(folder.path().join("tmp")).unwrap();
        assert_eq!(storage.put(&name, b"bytes").unwrap(), Put::Stored);
        storage.sync().unwrap();
    }

    #[test]
    fn a_failed_sync_stops_writing_but_not_reading() {
        let (folder, storage) = created();
        let (first, second) = (pack(b"first"), ObjectName::of(ObjectKind::Key, b"second"));
        storage.put(&second, b"second").unwrap();
        storage.put(&first, b"first").unwrap();
        fs::remove_dir_all(folder.path().join("packs")).unwrap();
        assert!(matches!(storage.sync(), Err(StorageError::Io { .. })));
        fs::create_dir(folder.path().join("packs")).unwrap();
        assert!(matches!(storage.sync(), Err(StorageError::Poisoned { .. })));
        assert!(matches!(storage.put(&first, b"first"), Err(StorageError::Poisoned { .. })));
        assert!(matches!(storage.delete(&first), Err(StorageError::Poisoned { .. })));
        assert_eq!(storage.get(&second, 100).unwrap(), b"second");
        LocalStorage::open(folder.path()).unwrap().put(&first, b"first").unwrap();
    }

    #[test]
    fn open_removes_old_temporary_files_of_ended_processes_only() {
        let (folder, _storage) = created();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let name_of = |process| temporary_name(WriterId { process, nonce: 7 }, 0);
        let (dead, alive) = (name_of(child.id()), name_of(std::process::id()));
        let young = temporary_name(WriterId { process: child.id(), nonce: 8 }, 0);
        let foreign = format!("{dead}.bak");
        let path = |name: &str| folder.path().join("tmp").join(name);
        for name in [&dead, &alive, &young, &foreign] {
            fs::write(path(name), b"junk").unwrap();
        }
        let long_ago = Timespec { tv_sec: 1_000_000_000, tv_nsec: 0 };
        let times = Timestamps { last_access: long_ago, last_modification: long_ago };
        for name in [&dead, &alive, &foreign] {
            rustix::fs::utimensat(CWD, path(name), &times, AtFlags::empty()).unwrap();
        }
        LocalStorage::open(folder.path()).unwrap();
        assert!(!path(&dead).exists());
        assert!([&alive, &young, &foreign].into_iter().all(|name| path(name).exists()));
    }

    #[test]
    fn only_own_temporary_names_are_recognised() {
        let name = temporary_name(WriterId { process: 42, nonce: 0xabc }, 3);
        assert_eq!(name, "42-0000000000000abc-3");
        assert_eq!(writer_process(&name), Some(42));
        for foreign in ["", "42", "42-abc-3", "042-0000000000000abc-3", "42-0000000000000abc-+3", "notes-a-b"] {
            assert_eq!(writer_process(foreign), None, "{foreign}");
        }
    }
}
