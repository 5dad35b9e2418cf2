//! What restores keep, replace, leave out and delete in a target that holds something already.

use crate::support::{backup, create};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};
use vellum::format::tree::EntryName;
use vellum::storage::MemoryStorage;
use vellum::{
    BackupOptions, Context, Event, EventSink, Filter, KeyFile, LocalState, Overwrite, Repository, RestoreOptions,
    RestoreReport, SnapshotRef, backup_stream,
};
use vellum_testkit::trees::{assert_same_tree, differences, manifest};
use vellum_testkit::{Random, lock};

/// One folder in one snapshot, and targets beside it.
struct World {
    scratch: tempfile::TempDir,
    repository: Repository,
}

/// When the files of the source were written.
fn written() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000)
}

fn write(path: &Path, bytes: &[u8], time: SystemTime) {
    fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("a folder");
    fs::write(path, bytes).expect("a file");
    fs::File::options().write(true).open(path).and_then(|file| file.set_modified(time)).expect("a time");
}

impl World {
    fn of(fill: impl FnOnce(&Path)) -> Self {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let source = scratch.path().join("source");
        fs::create_dir(&source).expect("a folder");
        fill(&source);
        let key = KeyFile::generate().expect("randomness");
        let repository = create(Arc::new(MemoryStorage::new()), &key, &LocalState::None);
        assert_eq!(backup(&repository, &source).problems.len(), 0);
        Self { scratch, repository }
    }

    fn source(&self) -> PathBuf {
        self.scratch.path().join("source")
    }

    fn target(&self) -> PathBuf {
        self.scratch.path().join("target")
    }

    /// Restores what lies at `path` of the source directly into the target, all of it.
    fn restore(&self, path: &str, change: impl FnOnce(&mut RestoreOptions)) -> RestoreReport {
        let report = self.try_restore(path, change);
        assert_eq!((report.problem_count, report.metadata_problem_count), (0, 0), "{report:?}");
        report
    }

    /// The same where single entries may fail.
    fn try_restore(&self, path: &str, change: impl FnOnce(&mut RestoreOptions)) -> RestoreReport {
        let mut options = RestoreOptions::default();
        options.subfolder = Some(self.source().join(path).into_os_string().into_encoded_bytes());
        change(&mut options);
        let context = Context::default();
        let report = vellum::restore(&self.repository, &SnapshotRef::Latest(0), &self.target(), &options, &context);
        report.expect("a restore")
    }

    fn pattern(&self, path: &str) -> Filter {
        let mut filter = Filter::default();
        filter.add(&self.source().join(path).display().to_string(), false).expect("a pattern");
        filter
    }
}

fn counts(report: &RestoreReport) -> [u64; 5] {
    [report.files, report.bytes, report.others, report.skipped, report.deleted]
}

#[test]
fn what_is_there_already_is_kept_or_replaced_as_the_policy_says() {
    use Overwrite::{Always, IfChanged, IfNewer, Never};
    let world = World::of(|source| write(&source.join("file"), b"saved", written()));
    let (before, after) = (written() - Duration::from_secs(1), written() + Duration::from_secs(1));
    let found = world.target().join("file");
    // What is found there, and by which policies it stays.
    let cases: [(&[u8], SystemTime, &[Overwrite]); 5] = [
        (b"found", before, &[Never]),
        (b"found", written(), &[Never, IfNewer, IfChanged]),
        (b"found", after, &[Never, IfNewer]),
        (b"longer than that", written(), &[Never, IfNewer]),
        (b"longer than that", before, &[Never]),
    ];
    for (bytes, time, keeping) in cases {
        for policy in [Always, IfChanged, IfNewer, Never] {
            write(&found, bytes, time);
            let report = world.restore("", |options| options.overwrite = policy);
            let stays = keeping.contains(&policy);
            assert_eq!(fs::read(&found).expect("a file"), if stays { bytes } else { b"saved" }, "{policy:?} {time:?}");
            assert_eq!(counts(&report), if stays { [0, 0, 0, 1, 0] } else { [1, 5, 0, 0, 0] }, "{policy:?}");
        }
    }
    // A link is no unchanged file, though it has its length and time.
    fs::remove_file(&found).expect("a file");
    symlink("saved", &found).expect("a link");
    let at = rustix::fs::Timespec { tv_sec: 1_700_000_000, tv_nsec: 0 };
    let times = rustix::fs::Timestamps { last_access: at, last_modification: at };
    rustix::fs::utimensat(rustix::fs::CWD, &found, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).expect("a time");
    world.restore("", |options| options.overwrite = IfChanged);
    assert!(fs::symlink_metadata(&found).expect("an entry").is_file());
}

#[test]
fn what_a_killed_restore_created_and_did_not_write_is_kept_by_no_policy() {
    let world = World::of(|source| {
        write(&source.join("file"), b"saved", written());
        write(&source.join("empty"), b"", written());
    });
    let after = written() + Duration::from_secs(1);
    let mode = |name: &str, mode: u32| {
        fs::set_permissions(world.target().join(name), fs::Permissions::from_mode(mode)).expect("our own file");
    };
    for policy in [Overwrite::Never, Overwrite::IfNewer] {
        for (bytes, bits, stays) in [(&b""[..], 0o600, false), (b"", 0o644, true), (b"x", 0o600, true)] {
            write(&world.target().join("file"), bytes, after);
            write(&world.target().join("empty"), b"", after);
            ["file", "empty"].iter().for_each(|name| mode(name, bits));
            let report = world.restore("", |options| options.overwrite = policy);
            assert_eq!(fs::read(world.target().join("file")).expect("a file"), if stays { bytes } else { b"saved" });
            assert_eq!(counts(&report), if stays { [0, 0, 0, 2, 0] } else { [1, 5, 0, 1, 0] }, "{policy:?} {bits:o}");
        }
    }
}

#[test]
fn what_the_snapshot_does_not_have_is_deleted_only_where_all_of_a_folder_is_restored() {
    let world = World::of(|source| {
        for path in ["one/kept", "one/two/kept", "other/kept"] {
            write(&source.join(path), b"saved", written());
        }
    });
    let clutter = ["one/new", "one/two/new", "one/left-out/new", "other/new", "new/new"];
    let soil = || {
        drop(fs::remove_dir_all(world.target()));
        clutter.iter().for_each(|path| write(&world.target().join(path), b"found", written()));
    };
    let left = || clutter.into_iter().filter(|path| world.target().join(path).exists()).collect::<Vec<_>>();

    soil();
    let report = world.restore("", |_| ());
    assert_eq!((report.deleted, left()), (0, clutter.to_vec()), "nobody asked for it");

    // One file: its folder holds other things that nobody has restored.
    soil();
    let report = world.restore("one/kept", |options| options.delete = true);
    assert_eq!((report.deleted, left()), (0, clutter.to_vec()));

    soil();
    let report = world.restore("", |options| {
        options.delete = true;
        options.include = world.pattern("one");
        options.exclude = world.pattern("one/left-out");
    });
    assert_eq!((report.deleted, left()), (2, vec!["one/left-out/new", "other/new", "new/new"]));
    assert!(!world.target().join("other/kept").exists() && world.target().join("one/two/kept").exists());

    fs::remove_dir_all(world.target()).expect("a target");
    world.restore("", |options| {
        options.delete = true;
        options.include = world.pattern("one/kept");
    });
    assert!(world.target().join("one/kept").exists());
    assert!(!world.target().join("other").exists(), "a folder of which nothing is wanted is not made");

    soil();
    let report = world.restore("", |options| options.delete = true);
    assert_eq!((report.deleted, left()), (5, Vec::new()), "a folder goes with what is in it: {report:?}");
    assert_same_tree(&world.source(), &world.target());
}

#[test]
fn what_is_restored_in_parts_is_not_deleted_with_what_the_snapshot_does_not_have() {
    // Longer than all that is written together, so that its folder is left before it is whole.
    const LEN_BYTES: u64 = (1 << 30) + 1;
    let world = World::of(|source| {
        let file = fs::File::create(source.join("long")).expect("a file");
        file.set_len(LEN_BYTES).expect("a hole");
    });
    write(&world.target().join("new"), b"found", written());
    let report = world.restore("", |options| options.delete = true);
    assert_eq!((report.files, report.deleted), (1, 1));
    let names = fs::read_dir(world.target()).expect("a folder").map(|entry| entry.expect("an entry").file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["long"]);
    assert_eq!(fs::metadata(world.target().join("long")).expect("a file").len(), LEN_BYTES);
}

#[test]
fn the_repository_stays_as_it_is_where_it_lies_below_the_target() {
    let world = World::of(|source| {
        for path in ["disk/repository/config", "disk/other", "file"] {
            write(&source.join(path), b"saved", written());
        }
    });
    for below in ["disk/repository", "file/repository", "new/disk/repository"] {
        drop(fs::remove_dir_all(world.target()));
        let (own, gone) = (world.target().join(below), world.target().join("disk/gone"));
        write(&own.join("config"), b"own", written());
        write(&gone, b"found", written());
        let report = world.try_restore("", |options| {
            options.repository_folder = Some(own.clone());
            options.delete = true;
        });
        let told: Vec<_> = report.problems.iter().map(|problem| OsStr::from_bytes(&problem.path).into()).collect();
        let in_its_way = match below {
            "disk/repository" => vec![own.clone()],
            "file/repository" => vec![world.target().join("file")],
            _ => Vec::<PathBuf>::new(),
        };
        assert_eq!((told, report.deleted), (in_its_way, 1), "{below}");
        assert_eq!(fs::read(own.join("config")).expect("the repository's file"), b"own", "{below}");
        assert!(!gone.exists() && world.target().join("disk/other").exists(), "{below}");
    }
}

#[test]
fn what_is_not_wanted_is_not_told_to_lie_where_the_repository_does() {
    let world = World::of(|source| {
        for path in ["disk/repository/config", "disk/repository/packs/one", "disk/other"] {
            write(&source.join(path), b"saved", written());
        }
    });
    let own = world.target().join("disk/repository");
    write(&own.join("config"), b"own", written());
    for (wanted, is_in_it) in [("disk/other", false), ("disk/repository/config", true), ("disk/repository/packs", true)]
    {
        let report = world.try_restore("", |options| {
            options.repository_folder = Some(own.clone());
            options.include = world.pattern(wanted);
        });
        let told: Vec<_> = report.problems.iter().map(|problem| problem.path_buf()).collect();
        assert_eq!(told, Vec::from_iter(is_in_it.then(|| world.target().join(wanted))), "{wanted}");
        assert_eq!(fs::read(own.join("config")).expect("the repository's file"), b"own", "{wanted}");
        assert!(!own.join("packs").exists(), "{wanted}");
    }
    assert!(world.target().join("disk/other").exists());
}

#[test]
fn what_was_not_backed_up_is_not_deleted_beside_what_was() {
    let world = World::of(|source| {
        for path in ["home/me/kept", "home/me/inner/kept", "srv/data/kept"] {
            write(&source.join(path), b"saved", written());
        }
    });
    let roots = ["home/me", "home/me/inner", "srv/data"].map(|path| world.source().join(path));
    let saved = vellum::backup(&world.repository, &BackupOptions::new(roots), &Context::default()).expect("a backup");
    let snapshot = SnapshotRef::Id(saved.snapshot.expect("a snapshot").to_string());
    let clutter = ["other", "home/other/new", "home/me/new", "home/me/inner/new", "srv/other", "srv/data/new"];
    let restored = |subfolder: Option<PathBuf>| {
        drop(fs::remove_dir_all(world.target()));
        // A whole snapshot comes back below its full paths.
        let place = match subfolder {
            None => world.target().join(world.source().strip_prefix("/").expect("an absolute path")),
            Some(_) => world.target(),
        };
        let at = |path: &str| match subfolder.as_ref().map(|folder| folder.strip_prefix(world.source())) {
            Some(Ok(folder)) => Path::new(path).strip_prefix(folder).ok().map(|path| place.join(path)),
            _ => Some(place.join(path)),
        };
        clutter.iter().filter_map(|path| at(path)).for_each(|path| write(&path, b"found", written()));
        let mut options = RestoreOptions::default();
        options.delete = true;
        options.subfolder = subfolder.as_ref().map(|path| path.as_os_str().as_encoded_bytes().to_vec());
        let report = vellum::restore(&world.repository, &snapshot, &world.target(), &options, &Context::default());
        let report = report.expect("a restore");
        assert_eq!(report.problem_count, 0, "{report:?}");
        let left = clutter.into_iter().filter(|path| at(path).is_some_and(|path| path.exists()));
        (report.deleted, left.collect::<Vec<_>>())
    };
    let beside = vec!["other", "home/other/new", "srv/other"];
    assert_eq!(restored(None), (3, beside.clone()));
    assert_eq!(restored(Some(world.source())), (3, beside));
    assert_eq!(restored(Some(world.source().join("home"))), (2, vec!["home/other/new"]));
    assert_eq!(restored(Some(world.source().join("home/me"))), (2, vec![]));
    assert_eq!(restored(Some(world.source().join("home/me/inner"))), (1, vec![]));
}

/// Asks to stop at the first problem.
struct Stop(vellum::CancelToken);

impl EventSink for Stop {
    fn event(&self, event: &Event<'_>) {
        if let Event::Problem(_) = event {
            self.0.cancel();
        }
    }
}

#[test]
fn a_restore_can_be_stopped_between_two_links() {
    let world = World::of(|source| {
        write(&source.join("file"), b"saved", written());
        for number in 0..9 {
            fs::hard_link(source.join("file"), source.join(format!("link {number}"))).expect("a link");
        }
    });
    let link = |number: u32| world.target().join(format!("link {number}"));
    write(&link(4).join("in the way"), b"found", written());
    let mut options = RestoreOptions::default();
    options.subfolder = Some(world.source().into_os_string().into_encoded_bytes());
    let cancel = vellum::CancelToken::default();
    let context = Context { events: Some(Arc::new(Stop(cancel.clone()))), cancel, ..Context::default() };
    let done = vellum::restore(&world.repository, &SnapshotRef::Latest(0), &world.target(), &options, &context);
    assert!(matches!(done, Err(vellum::Error::Cancelled)), "{done:?}");
    assert!(link(3).exists() && !link(5).exists());
}

/// Makes a folder a file system of its own; false for who may not do that.
fn mount(at: &Path) -> bool {
    fs::create_dir_all(at).expect("folders");
    let mount = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(at).status();
    mount.is_ok_and(|status| status.success())
}

fn unmount(at: &Path) -> bool {
    Command::new("umount").arg(at).status().is_ok_and(|status| status.success())
}

#[test]
fn a_name_that_the_target_cannot_link_becomes_a_file_of_its_own_and_that_is_told() {
    let world = World::of(|source| {
        write(&source.join("a"), b"saved", written());
        fs::create_dir(source.join("other")).expect("a folder");
        ["b", "other/c", "other/d"]
            .iter()
            .for_each(|name| fs::hard_link(source.join("a"), source.join(name)).expect("a link"));
    });
    let other = world.target().join("other");
    if !mount(&other) {
        return println!("SKIPPED: to mount something needs root");
    }
    let report = world.try_restore("", |_| ());
    let names = ["a", "b", "other/c", "other/d"].map(|name| world.target().join(name));
    let found = names.each_ref().map(|name| fs::read(name).ok());
    let inode = |name: &PathBuf| fs::metadata(name).map_or(0, |file| file.ino());
    let inodes = names.each_ref().map(inode);
    let again = world.try_restore("", |options| options.overwrite = Overwrite::IfChanged);
    let later = names.each_ref().map(inode);
    assert!(unmount(&other));
    assert_eq!((again.files, again.skipped, later), (0, 3, inodes), "what is unchanged stays: {again:?}");
    assert_eq!(found, [b"saved"; 4].map(|bytes| Some(bytes.to_vec())));
    assert!(inodes[0] == inodes[1] && inodes[2] == inodes[3]);
    let told: Vec<_> = report.metadata_problems.iter().map(|problem| problem.path_buf()).collect();
    assert_eq!((report.problem_count, told), (0, vec![names[2].clone()]), "{report:?}");
    assert_eq!(counts(&report), [2, 10, 3, 0, 0]);
}

#[test]
fn what_is_mounted_where_the_snapshot_has_an_empty_folder_keeps_what_it_has() {
    let world = World::of(|source| {
        fs::create_dir_all(source.join("folder/empty")).expect("folders");
        write(&source.join("folder/full/kept"), b"saved", written());
    });
    let mounts = ["folder/empty", "folder/full"].map(|path| world.target().join(path));
    let mounted = mounts.iter().filter(|at| {
        let is_mounted = mount(at);
        write(&at.join("found"), b"found", written());
        is_mounted
    });
    let mounted = mounted.count();
    let report = world.try_restore("", |options| options.delete = true);
    let left = mounts.each_ref().map(|at| at.join("found").exists());
    let unmounted = mounts.iter().filter(|at| unmount(at)).count();
    assert_eq!(mounted, unmounted);
    if mounted < mounts.len() {
        return println!("SKIPPED: to mount something needs root");
    }
    assert_eq!((report.problem_count, report.deleted, left), (0, 1, [true, false]), "{report:?}");
}

#[test]
fn a_stream_comes_back_beside_what_is_there() {
    let world = World::of(|_| ());
    let name = EntryName::new(b"dump".to_vec()).expect("a name");
    let options = BackupOptions::new([]);
    let saved = backup_stream(&world.repository, &name, &b"saved"[..], &options, &Context::default());
    let snapshot = SnapshotRef::Id(saved.expect("a backup").snapshot.expect("a snapshot").to_string());
    write(&world.target().join("other"), b"found", written());
    let mut options = RestoreOptions::default();
    options.delete = true;
    let report = vellum::restore(&world.repository, &snapshot, &world.target(), &options, &Context::default());
    assert_eq!(counts(&report.expect("a restore")), [1, 5, 0, 0, 0]);
    assert!(world.target().join("other").exists() && world.target().join("dump").exists());
}

#[test]
fn a_dry_run_counts_what_a_restore_does_and_writes_nothing() {
    let world = World::of(|source| {
        write(&source.join("folder/long"), &[7; 50_000], written());
        write(&source.join("empty"), b"", written());
        symlink("empty", source.join("link")).expect("a link");
        fs::hard_link(source.join("folder/long"), source.join("long")).expect("a link");
    });
    let told = world.restore("", |options| options.dry_run = true);
    assert!(!world.target().exists());
    let done = world.restore("", |_| ());
    assert_eq!(counts(&told), counts(&done));
    assert_eq!(counts(&done), [2, 50_000, 3, 0, 0]);
}

#[test]
fn a_dry_run_foresees_what_is_kept_and_deleted_and_changes_nothing() {
    let world = World::of(|source| {
        for path in ["one/kept", "one/two/kept", "new/kept", "file/kept"] {
            write(&source.join(path), b"saved", written());
        }
    });
    for path in ["gone", "one/gone", "one/kept", "one/two/gone/with/it", "file", "left-out/gone"] {
        write(&world.target().join(path), b"found", written());
    }
    let deleted: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
    let run = |dry_run: bool| {
        let mut options = RestoreOptions::default();
        options.subfolder = Some(world.source().into_os_string().into_encoded_bytes());
        (options.delete, options.dry_run, options.overwrite) = (true, dry_run, Overwrite::IfNewer);
        options.exclude = world.pattern("left-out");
        let context = Context { events: Some(Arc::new(Deletions(Arc::clone(&deleted)))), ..Context::default() };
        let report = vellum::restore(&world.repository, &SnapshotRef::Latest(0), &world.target(), &options, &context);
        let report = report.expect("a restore");
        assert_eq!(report.problem_count, 0, "{report:?}");
        (counts(&report), std::mem::take(&mut *lock(&deleted)))
    };
    let before = manifest(&world.target());
    let told = run(true);
    assert_eq!(differences(&before, &manifest(&world.target())), Vec::<String>::new());
    assert_eq!(told.0, [3, 15, 4, 1, 3]);
    let path = |name: &str| world.target().join(name).into_os_string().into_encoded_bytes();
    assert_eq!(told.1, [path("one/two/gone"), path("one/gone"), path("gone")]);
    assert_eq!(run(false), told);
    assert!(!world.target().join("gone").exists() && world.target().join("left-out/gone").exists());
}

/// Hears of what is deleted.
struct Deletions(Arc<Mutex<Vec<Vec<u8>>>>);

impl EventSink for Deletions {
    fn event(&self, event: &Event<'_>) {
        if let Event::Deleted { path } = event {
            lock(&self.0).push(path.to_vec());
        }
    }
}

#[test]
fn deep_folders_come_back_with_what_is_in_them_before_and_after() {
    let world = World::of(|source| {
        let mut folder = source.to_owned();
        for _ in 0..150 {
            write(&folder.join("a"), b"before the folder", written());
            write(&folder.join("z"), b"after it", written());
            folder.push("m");
        }
        fs::create_dir(folder).expect("a folder");
    });
    world.restore("", |_| ());
    assert_same_tree(&world.source(), &world.target());
}

#[test]
fn zeros_become_holes_in_files_that_had_holes_or_where_that_is_wanted() {
    const LEN_BYTES: usize = 1 << 20;
    let world = World::of(|source| {
        write(&source.join("zeros"), &[0; LEN_BYTES], written());
        let file = fs::File::create(source.join("hole")).expect("a file");
        file.set_len(LEN_BYTES as u64).expect("a hole");
    });
    let stored = |name: &str| fs::metadata(world.target().join(name)).expect("a file").blocks() * 512;
    world.restore("", |_| ());
    assert!(stored("zeros") >= LEN_BYTES as u64 && stored("hole") < LEN_BYTES as u64 / 2);
    assert_same_tree(&world.source(), &world.target());
    world.restore("", |options| options.sparse = true);
    assert!(stored("zeros") < LEN_BYTES as u64 / 2 && stored("hole") < LEN_BYTES as u64 / 2);
    assert_same_tree(&world.source(), &world.target());
}

#[test]
fn what_one_name_cannot_be_restored_under_comes_back_under_the_others() {
    let world = World::of(|source| {
        write(&source.join("a/file"), &[7; 50_000], written());
        write(&source.join("a/empty"), b"", written());
        symlink("file", source.join("a/link")).expect("a link");
        for name in ["file", "empty", "link"] {
            for folder in ["b", "c"] {
                fs::create_dir_all(source.join(folder)).expect("a folder");
                fs::hard_link(source.join("a").join(name), source.join(folder).join(name)).expect("a link");
            }
        }
    });
    for name in ["file", "empty", "link"] {
        write(&world.target().join("a").join(name).join("found"), b"found", written());
    }
    let report = world.try_restore("", |_| ());
    let told: Vec<_> = report.problems.iter().map(|problem| OsStr::from_bytes(&problem.path).into()).collect();
    let in_the_way = ["empty", "file", "link"].map(|name| world.target().join("a").join(name));
    let mut told: Vec<PathBuf> = told;
    told.sort();
    assert_eq!(told, in_the_way);
    // Two files and a symbolic link, another name of each, and three folders.
    assert_eq!(counts(&report), [2, 50_000, 7, 0, 0]);
    for name in ["file", "empty", "link"] {
        let inode =
            |folder: &str| fs::symlink_metadata(world.target().join(folder).join(name)).expect("an entry").ino();
        assert_eq!(inode("b"), inode("c"), "{name}: they are linked to each other");
    }
    assert_eq!(fs::read(world.target().join("c/file")).expect("a file"), [7; 50_000]);
    assert_eq!(fs::read_link(world.target().join("c/link")).expect("a link"), Path::new("file"));
}

#[test]
fn names_of_one_file_are_linked_again_to_what_is_unchanged_and_to_nothing_else_that_is_kept() {
    use Overwrite::{Always, IfChanged, IfNewer, Never};
    let world = World::of(|source| {
        write(&source.join("a"), b"saved", written());
        ["b", "c"].iter().for_each(|name| fs::hard_link(source.join("a"), source.join(name)).expect("a link"));
    });
    let at = |name: &str| world.target().join(name);
    let inodes = |names: &[&str]| -> Vec<u64> {
        names.iter().map(|name| fs::metadata(at(name)).expect("a file").ino()).collect()
    };
    // Which names stand there, the first two as files of their own or linked: a restore links only after it has written.
    let cases: [(&[&str], bool); 6] = [
        (&["a"], false),
        (&["b"], false),
        (&["a", "b"], false),
        (&["a", "c"], true),
        (&["a", "b", "c"], false),
        (&["a", "b", "c"], true),
    ];
    for (found, is_linked) in cases {
        for policy in [Always, IfChanged, IfNewer, Never] {
            drop(fs::remove_dir_all(world.target()));
            found.iter().for_each(|name| write(&at(name), b"saved", written()));
            for name in found[1..].iter().filter(|_| is_linked) {
                fs::remove_file(at(name)).and_then(|()| fs::hard_link(at(found[0]), at(name))).expect("a link");
            }
            let before = inodes(found);
            let foreseen = world.restore("", |options| (options.overwrite, options.dry_run) = (policy, true));
            let done = world.restore("", |options| options.overwrite = policy);
            let case = format!("{found:?} {is_linked} {policy:?}");
            assert_eq!(counts(&foreseen), counts(&done), "{case}");
            let count = BTreeSet::from_iter(inodes(&["a", "b", "c"])).len();
            let kept = match policy {
                Always => 0,
                IfChanged if is_linked => found.len(),
                // The first name's file, to which the others are linked.
                IfChanged => usize::from(found[0] == "a"),
                IfNewer | Never => found.len(),
            };
            assert_eq!(done.skipped, kept as u64, "{case}");
            if let Always | IfChanged = policy {
                assert_eq!(count, 1, "{case}");
                assert_eq!(world.restore("", |options| options.overwrite = IfChanged).skipped, 3, "{case}");
            } else {
                assert_eq!(inodes(found), before, "{case}: what is kept stays as it is");
                let others = usize::from(found.len() < 3);
                assert_eq!(count, BTreeSet::from_iter(before).len() + others, "{case}: and the others are one");
            }
        }
    }
}

#[test]
fn a_comparison_tells_where_a_file_differs() {
    let world = World::of(|source| write(&source.join("file"), &Random::new(4).bytes(50_000), written()));
    let mut other = Random::new(4).bytes(50_000);
    other[49_999] ^= 1;
    write(&world.target().join("file"), &other, written());
    let report = world.try_restore("", |options| (options.verify, options.overwrite) = (true, Overwrite::Never));
    let [problem] = &report.problems[..] else { panic!("one file differs: {:?}", report.problems) };
    let place = problem.reason.strip_prefix("its bytes from ").and_then(|rest| rest.strip_suffix(" to 50000 differ"));
    let from: usize = place.and_then(|from| from.parse().ok()).expect("a place that ends with the file");
    assert!((50_000 - 16_384..49_999).contains(&from), "the chunk that differs begins at {from}");
}
