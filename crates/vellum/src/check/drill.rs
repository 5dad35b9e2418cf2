//! The restore test: files come back into a scratch folder by the code that restores, one at a time, and what lies
//! there then is compared with the snapshot, and with the source where that has not changed.

use crate::content::DistinctChunks;
use crate::platform::{OwnerPolicy, SourceFolder};
use crate::restore::{difference, open_file, restore_snapshot};
use crate::{Context, Error, RestoreOptions, RestoreReport};
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use vellum_format::tree::{Entry, Node};
use vellum_repository::{FrameCache, Repository, RepositoryError, Snapshot};

/// Longer files are read and compared, but not written: a scratch folder may lie in memory.
const WRITTEN_LEN_BYTES_MAX: u64 = 256 << 20;

/// What to try, and where.
#[derive(Debug, Clone)]
pub struct RestoreTest {
    /// How many files, chosen at random among those of all snapshots.
    pub files: usize,
    /// An existing folder that nobody else can enter. What is restored there is removed again, file by file; a kill
    /// leaves up to one file of at most 256 MiB.
    pub scratch: PathBuf,
    /// This host's name: files of its snapshots are compared with those on its disks too, if it is given.
    pub host: Option<Vec<u8>>,
}

/// What trying files showed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RestoreTestReport {
    /// Files that were restored and compared with their snapshot.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Files that were only read, because they are too long for a scratch folder.
    pub read_only: u64,
    /// Files that were compared with their source too, which had not changed.
    pub with_source: u64,
    /// Why files could not be written into the scratch folder. These were not tested.
    pub not_written: Vec<String>,
}

/// What became of one file.
#[derive(Debug)]
pub(super) enum Tried {
    /// It was restored, or is too long and was read; then what is wrong with it.
    Done(Vec<Wrong>),
    /// The scratch folder did not take it.
    NotWritten(String),
}

/// What is wrong with a file.
#[derive(Debug)]
pub(super) enum Wrong {
    /// It cannot be read.
    Unreadable(RepositoryError),
    /// What was restored, or the source, is something else.
    Differs(String),
}

/// How a snapshot is restored.
pub(super) type Restore<'a> = dyn Fn(&Snapshot, &Path, &RestoreOptions, &Context) -> Result<RestoreReport, Error> + 'a;

/// Tries files one after the other.
pub(super) struct Drill<'a> {
    repository: &'a Repository,
    context: Context,
    options: &'a RestoreTest,
    restore: Box<Restore<'a>>,
    cache: FrameCache,
    pub(super) report: RestoreTestReport,
}

impl<'a> Drill<'a> {
    pub(super) fn new(repository: &'a Repository, context: &Context, options: &'a RestoreTest) -> Self {
        let restore = |snapshot: &Snapshot, target: &Path, options: &RestoreOptions, context: &Context| {
            restore_snapshot(repository, snapshot, target, options, context)
        };
        Self {
            repository,
            // Its own progress, and no events: what goes wrong here is told as findings.
            context: Context { cancel: context.cancel.clone(), threads: context.threads, ..Context::default() },
            options,
            restore: Box::new(restore),
            cache: FrameCache::strict(16),
            report: RestoreTestReport::default(),
        }
    }

    /// Tries the file at a path, without a slash before it, of a snapshot.
    pub(super) fn try_file(&mut self, snapshot: &Snapshot, path: &[u8], entry: &Entry) -> Result<Tried, Error> {
        let Node::File { len_bytes, .. } = entry.node else { return Ok(Tried::Done(Vec::new())) };
        let mut wrong = Vec::new();
        if len_bytes > WRITTEN_LEN_BYTES_MAX {
            self.report.read_only += 1;
            wrong.extend(self.unreadable(entry)?);
        } else {
            let folder = self.options.scratch.join("restore-test");
            let tried = self.restore_and_compare(snapshot, path, entry, &folder);
            let removed = fs::remove_dir_all(&folder);
            let tried = tried?;
            match (tried, removed) {
                (Tried::Done(found), Ok(())) => wrong.extend(found),
                (Tried::Done(found), Err(error)) if error.kind() == io::ErrorKind::NotFound => wrong.extend(found),
                (Tried::Done(_), Err(error)) => return Ok(Tried::NotWritten(error.to_string())),
                (not_written, _) => return Ok(not_written),
            }
            self.report.files += 1;
            self.report.bytes += len_bytes;
        }
        if wrong.is_empty() {
            wrong.extend(self.compare_source(snapshot, path, entry).map(Wrong::Differs));
        }
        Ok(Tried::Done(wrong))
    }

    fn restore_and_compare(
        &self,
        snapshot: &Snapshot,
        path: &[u8],
        entry: &Entry,
        folder: &Path,
    ) -> Result<Tried, Error> {
        let subfolder = Some([b"/", path].concat());
        let options = RestoreOptions { subfolder, numeric_owner: true, ..RestoreOptions::default() };
        let report = match (self.restore)(snapshot, folder, &options, &self.context) {
            Ok(report) => report,
            Err(Error::Target { source, .. } | Error::TargetFailed { source, .. }) => {
                return Ok(Tried::NotWritten(source.to_string()));
            }
            Err(Error::Repository(error)) => return Ok(Tried::Done(vec![Wrong::Unreadable(error)])),
            Err(error) => return Err(error),
        };
        if let Some(problem) = report.problems.first() {
            let unreadable = self.unreadable(entry)?;
            return Ok(match problem.doing {
                _ if unreadable.is_some() => Tried::Done(unreadable.into_iter().collect()),
                "read" => Tried::Done(vec![Wrong::Differs(format!("restored for a test: {}", problem.reason))]),
                doing => Tried::NotWritten(format!("{doing}: {}", problem.reason)),
            });
        }
        let Node::File { content, len_bytes, .. } = &entry.node else { return Ok(Tried::Done(Vec::new())) };
        let name = entry.name.as_bytes();
        let root = match SourceFolder::open_root(folder) {
            Ok(root) => root,
            Err(error) => return Ok(Tried::NotWritten(error.to_string())),
        };
        // What this system did not take was told by restore, and is no difference.
        let metadata = match report.metadata_problems[..] {
            [] => metadata_difference(&root, entry),
            _ => None,
        };
        // Somebody else's file may be one that not even its owner may read.
        fs::set_permissions(folder.join(OsStr::from_bytes(name)), Permissions::from_mode(0o600)).ok();
        let content = difference(self.repository, &self.cache, &root, name, content, *len_bytes);
        let told = |what: String| Wrong::Differs(format!("restored for a test, {what}"));
        Ok(Tried::Done(content.into_iter().chain(metadata).map(told).collect()))
    }

    /// What keeps a file from being read. What it repeats is read once, since it may claim any length.
    fn unreadable(&self, entry: &Entry) -> Result<Option<Wrong>, Error> {
        let Node::File { content, len_bytes, .. } = &entry.node else { return Ok(None) };
        let repository = self.repository;
        let read = DistinctChunks::visit(repository, &self.cache, content, &mut |kind, chunk| {
            // What is left of a file is passed over when nobody waits for the answer any more.
            match self.context.cancel.is_cancelled() {
                true => Ok(()),
                false => repository.read_chunk(&self.cache, kind, chunk).map(drop),
            }
        });
        self.context.check_cancelled()?;
        match read {
            Ok(sum) if sum == *len_bytes => Ok(None),
            Ok(_) => Ok(Some(Wrong::Unreadable(RepositoryError::TreeDamaged {
                reason: "a file's chunks do not add up to its length".to_owned(),
            }))),
            Err(error) => Ok(Some(Wrong::Unreadable(error))),
        }
    }

    /// Compares with the file that was saved, where it is still there and, by its length and times, as it was: it was
    /// not even touched since the backup began.
    fn compare_source(&mut self, snapshot: &Snapshot, path: &[u8], entry: &Entry) -> Option<String> {
        if self.options.host.as_deref() != Some(&snapshot.manifest.host.0) {
            return None;
        }
        let Node::File { content, len_bytes, .. } = &entry.node else { return None };
        let root = SourceFolder::pass(Path::new("/")).ok()?;
        let before = *open_file(&root, path).ok()?.opened();
        let is_as_saved = before.len_bytes == *len_bytes
            && before.modified == entry.metadata.modified
            && before.changed < snapshot.manifest.time;
        if !is_as_saved {
            return None;
        }
        let differs = difference(self.repository, &self.cache, &root, path, content, *len_bytes);
        let after = open_file(&root, path).ok()?.opened().identity();
        if after != before.identity() {
            return None;
        }
        self.report.with_source += 1;
        differs.map(|what| {
            format!(
                "compared with the file on this machine, {what}, although its times say that it was not changed since \
                 the backup: its disk may have lost it, it was changed while the clock was wrong, or it was saved wrongly"
            )
        })
    }
}

/// The first part of a restored file's metadata that is not the snapshot's, as far as this process may set it.
fn metadata_difference(folder: &SourceFolder, entry: &Entry) -> Option<String> {
    let stat = match folder.stat(&entry.name) {
        Ok(stat) => stat,
        Err(error) => return Some(format!("its metadata cannot be read: {error}")),
    };
    let wanted = &entry.metadata;
    let read = folder.xattrs(&entry.name, stat.kind);
    let xattrs = match &read.unread {
        None => &read.xattrs,
        // Of a file that this process gave a mode by which it may not read them.
        Some(unread) if unread.source.kind() == io::ErrorKind::PermissionDenied => &wanted.xattrs,
        Some(unread) => return Some(format!("its attributes cannot be read: {unread}")),
    };
    let owners = OwnerPolicy::of_this_process(true).restores();
    // Some file systems count in steps of two seconds.
    let coarse = stat.modified.nanoseconds == 0 && stat.modified.seconds.abs_diff(wanted.modified.seconds) < 2;
    let lost = wanted.xattrs.iter().find(|wanted| !xattrs.contains(wanted));
    match () {
        () if stat.mode != wanted.mode => Some(format!("its mode is {:04o} instead of {:04o}", stat.mode, wanted.mode)),
        () if owners && (stat.uid, stat.gid) != (wanted.uid, wanted.gid) => {
            Some(format!("its owner is {}:{} instead of {}:{}", stat.uid, stat.gid, wanted.uid, wanted.gid))
        }
        () if stat.modified != wanted.modified && !coarse => Some("its time is not that of the snapshot".to_owned()),
        () => lost.map(|(name, _)| format!("its attribute {} is not that of the snapshot", name.escape_ascii())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree_reader::{TreeWalk, root_content};
    use crate::{BackupOptions, CreateOptions, Credential, KeyFile, LocalState, NewSlot};
    use std::fs::File;
    use std::sync::Arc;
    use std::time::{Duration, SystemTime};
    use vellum_format::snapshot::Timestamp;
    use vellum_repository::storage::MemoryStorage;

    const NOW: Timestamp = Timestamp { seconds: 4_000_000_000, nanoseconds: 0 };

    /// A repository with a snapshot of one file of several chunks.
    struct Scene {
        folder: tempfile::TempDir,
        repository: Repository,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (source, key) = (folder.path().join("source"), KeyFile::generate().unwrap());
            fs::create_dir(&source).unwrap();
            fs::create_dir(folder.path().join("scratch")).unwrap();
            let bytes: Vec<u8> = (0..400_000u32).flat_map(|number| (number * 7919).to_le_bytes()).collect();
            fs::write(source.join("file"), bytes).unwrap();
            fs::set_permissions(source.join("file"), Permissions::from_mode(0o640)).unwrap();
            let slot = NewSlot { credential: Credential::KeyFile(&key), label: "test", argon2id: None, now: NOW };
            let storage = Arc::new(MemoryStorage::new());
            let created = Repository::create(storage, &CreateOptions::new(NOW), &[slot], &LocalState::None).unwrap();
            let mut options = BackupOptions::new([source]);
            (options.time, options.host) = (NOW, b"here".to_vec());
            crate::backup(&created.repository, &options, &Context::default()).unwrap();
            Self { folder, repository: created.repository }
        }

        fn source(&self) -> PathBuf {
            self.folder.path().join("source/file")
        }

        /// What is wrong when the restored file is changed before it is compared.
        fn try_with(&self, host: &[u8], change: impl Fn(&Path)) -> (Vec<String>, RestoreTestReport) {
            let scratch = self.folder.path().join("scratch");
            let options = RestoreTest { files: 1, scratch: scratch.clone(), host: Some(host.to_vec()) };
            let snapshot = &self.repository.snapshots().unwrap().snapshots[0];
            let root = root_content(snapshot).unwrap();
            let steps =
                TreeWalk::new(&self.repository, &FrameCache::new(1), &root).map(Result::unwrap).collect::<Vec<_>>();
            let file = steps.into_iter().find(|step| matches!(step.entry.node, Node::File { .. })).unwrap();
            let mut drill = Drill::new(&self.repository, &Context::default(), &options);
            let honest = drill.restore;
            drill.restore = Box::new(move |snapshot, target, options, context| {
                let report = honest(snapshot, target, options, context)?;
                change(&target.join("file"));
                Ok(report)
            });
            let tried = drill.try_file(snapshot, &file.path, &file.entry).unwrap();
            assert_eq!(fs::read_dir(scratch).unwrap().count(), 0, "nothing stays behind");
            let Tried::Done(wrong) = tried else { panic!("{tried:?}") };
            let told = |wrong| match wrong {
                Wrong::Unreadable(error) => error.to_string(),
                Wrong::Differs(what) => what,
            };
            (wrong.into_iter().map(told).collect(), drill.report)
        }
    }

    /// What is done to a restored file.
    type Harm<'a> = &'a dyn Fn(&Path);

    fn overwrite(path: &Path, at: u64) {
        use std::os::unix::fs::FileExt as _;
        let file = File::options().read(true).write(true).open(path).unwrap();
        let times = fs::FileTimes::new().set_modified(file.metadata().unwrap().modified().unwrap());
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        file.set_times(times).unwrap();
    }

    #[test]
    fn a_restore_that_does_as_it_should_is_told_to_do_so() {
        let scene = Scene::new();
        let (wrong, report) = scene.try_with(b"here", |_| ());
        assert_eq!(wrong, Vec::<String>::new());
        assert_eq!((report.files, report.bytes, report.with_source), (1, 1_600_000, 1));
        let (wrong, report) = scene.try_with(b"elsewhere", |_| ());
        assert_eq!((wrong.len(), report.files, report.with_source), (0, 1, 0), "another host's file is another file");
    }

    #[test]
    fn a_restore_that_writes_anything_else_is_found() {
        let scene = Scene::new();
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let harms: [(&str, Harm<'_>); 8] = [
            ("bytes from 0 ", &|path| overwrite(path, 0)),
            ("differ", &|path| overwrite(path, 1_599_999)),
            ("length", &|path| File::options().write(true).open(path).unwrap().set_len(1_599_999).unwrap()),
            ("length", &|path| File::options().write(true).open(path).unwrap().set_len(1_600_001).unwrap()),
            ("No such file", &|path| fs::remove_file(path).unwrap()),
            ("mode is 0644 instead of 0640", &|path| fs::set_permissions(path, Permissions::from_mode(0o644)).unwrap()),
            ("time", &|path| File::options().write(true).open(path).unwrap().set_modified(old).unwrap()),
            ("regular file", &|path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }),
        ];
        for (word, harm) in harms {
            let (wrong, _) = scene.try_with(b"here", harm);
            assert!(wrong.iter().any(|what| what.contains(word)), "{word}: {wrong:?}");
        }
    }

    #[test]
    fn a_source_that_differs_behind_its_times_is_told_and_one_that_changed_is_not() {
        let scene = Scene::new();
        overwrite(&scene.source(), 5);
        let (wrong, report) = scene.try_with(b"here", |_| ());
        assert!(matches!(&wrong[..], [what] if what.contains("its disk may have lost it")), "{wrong:?}");
        assert_eq!((report.files, report.with_source), (1, 1));
        File::options().append(true).open(scene.source()).unwrap().set_modified(SystemTime::now()).unwrap();
        let (wrong, report) = scene.try_with(b"here", |_| ());
        assert_eq!((wrong.len(), report.with_source), (0, 0), "a file that changed since says nothing");
        fs::remove_file(scene.source()).unwrap();
        assert_eq!(scene.try_with(b"here", |_| ()).1.with_source, 0);
    }
}
