//! Sources and targets that are made of several file systems, or of odd ones.

use crate::support::{OddDisk, Oddity, backup, create, restore};
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use vellum::storage::MemoryStorage;
use vellum::{BackupOptions, Context, KeyFile, LocalState, Overwrite, Repository, RestoreOptions, SnapshotRef};
use vellum_testkit::Random;

fn run<'a>(program: &str, arguments: impl IntoIterator<Item = &'a OsStr>) -> bool {
    Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
}

/// A file system that is mounted; gone when it is dropped.
struct Mounted(PathBuf);

impl Mounted {
    /// None where that cannot be done, and says so.
    fn at(point: &Path, options: &[&str], device: &Path) -> Option<Self> {
        fs::create_dir_all(point).expect("a folder");
        let options = options.iter().map(OsStr::new);
        if run("mount", options.chain([device.as_os_str(), point.as_os_str()])) {
            return Some(Self(point.to_owned()));
        }
        println!("SKIPPED: to mount something needs root");
        None
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        run("umount", [self.0.as_os_str()]);
    }
}

/// A repository with one snapshot of a folder.
fn saved(source: &Path) -> Repository {
    let key = KeyFile::generate().expect("randomness");
    let repository = create(Arc::new(MemoryStorage::new()), &key, &LocalState::None);
    assert_eq!(backup(&repository, source).problems.len(), 0);
    repository
}

/// What was written to a disk that then has no room for it is known to nobody but who syncs that very disk.
#[test]
fn a_late_write_error_of_what_is_mounted_in_the_target_is_told() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let [source, target, small] = ["source", "target", "small"].map(|name| scratch.path().join(name));
    fs::create_dir_all(source.join("folder/home")).expect("folders");
    fs::write(source.join("folder/home/large"), Random::new(1).bytes(24 << 20)).expect("a file");
    fs::write(source.join("beside"), b"fine").expect("a file");
    let repository =
        create(Arc::new(MemoryStorage::new()), &KeyFile::generate().expect("randomness"), &LocalState::None);
    assert_eq!(backup(&repository, &source).problems.len(), 0);

    // The image says that it has 64 MiB, and what it lies in has 8.
    let Some(_small) = Mounted::at(&small, &["-t", "tmpfs", "-o", "size=8m"], Path::new("none")) else { return };
    let image = small.join("image");
    fs::File::create(&image).and_then(|file| file.set_len(64 << 20)).expect("a sparse file");
    if !run("mkfs.ext4", ["-q", "-O", "^has_journal"].map(OsStr::new).into_iter().chain([image.as_os_str()])) {
        return println!("SKIPPED: mkfs.ext4 is not installed");
    }
    let mount = target.join("folder/home");
    let Some(_mounted) = Mounted::at(&mount, &["-o", "loop"], &image) else { return };
    let report = restore(&repository, &SnapshotRef::Latest(0), &source, &target);
    let told: Vec<PathBuf> = report.problems.iter().map(vellum::Problem::path_buf).collect();
    assert_eq!(told, [mount], "{report:?}");
    assert_eq!(report.problems[0].doing, "sync the file system of");
}

/// What was told, by the names of the entries.
fn told(problems: &[vellum::Problem]) -> Vec<String> {
    let name = |problem: &vellum::Problem| problem.path_buf().file_name().map(|name| name.display().to_string());
    let mut told: Vec<String> = problems.iter().filter_map(name).collect();
    told.sort();
    told
}

/// The entries below a folder, with what is in files.
fn found(folder: &Path) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let (path, name) = (entry.path(), entry.file_name().display().to_string());
        match path.is_dir() {
            true => found.extend(self::found(&path).into_iter().map(|(below, len)| (format!("{name}/{below}"), len))),
            false => found.push((name, fs::read(&path).expect("a file").len())),
        }
    }
    found.sort();
    found
}

/// Of entries whose names the target does not tell apart one is there, whole, and each other is told (P10).
#[test]
fn names_that_a_target_takes_for_the_same_are_told_and_never_mixed() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let [source, target] = ["source", "target"].map(|name| scratch.path().join(name));
    for (path, len) in
        [("Dir/x", 10), ("dir/y", 20), ("Short", 30), ("short", 40), ("Long", 100_000), ("long", 100_001)]
    {
        let path = source.join("in").join(path);
        fs::create_dir_all(path.parent().expect("a folder above")).expect("folders");
        fs::write(path, Random::new(len as u64).bytes(len)).expect("a file");
    }
    let repository = saved(&source);
    for knows_no_flags in [false, true] {
        let oddity = Oddity { folds_case: true, knows_no_flags, ..Oddity::default() };
        let Some(_disk) = OddDisk::mount(&target, oddity) else { return };
        // Into a folder that it makes; over what it has put there; and over what was found in a third way of writing.
        for (below, expected) in [("new", (3, 3)), ("new", (3, 3)), ("other", (5, 2))] {
            let target = target.join(below);
            if below == "other" {
                fs::create_dir_all(target.join("in/DIR")).expect("a folder");
                fs::write(target.join("in/SHORT"), b"found").expect("a file");
            }
            for (overwrite, delete) in [
                (Overwrite::Always, false),
                (Overwrite::Always, true),
                (Overwrite::IfChanged, true),
                (Overwrite::Never, true),
            ] {
                let mut options = RestoreOptions::default();
                options.subfolder = Some(source.as_os_str().as_encoded_bytes().to_vec());
                (options.overwrite, options.delete) = (overwrite, delete);
                let report =
                    vellum::restore(&repository, &SnapshotRef::Latest(0), &target, &options, &Context::default());
                let (told, found) = (told(&report.expect("a restore").problems), found(&target.join("in")));
                let case = format!("{below} {overwrite:?} {delete} {knows_no_flags}: {told:?} {found:?}");
                assert_eq!((told.len(), found.len()), expected, "{case}");
                assert_silent_ones_are_whole(&source.join("in"), &told, &found, &case);
            }
        }
    }
}

fn assert_silent_ones_are_whole(source: &Path, told: &[String], found: &[(String, usize)], case: &str) {
    for pair in [["Dir/x", "dir/y"], ["Short", "short"], ["Long", "long"]] {
        let is_whole = |path: &&str| {
            let len = fs::metadata(source.join(path)).expect("a file").len();
            found.contains(&((*path).to_owned(), usize::try_from(len).expect("a short file")))
        };
        let is_told = |path: &&str| told.iter().any(|name| *name == path.split('/').next().unwrap_or(path));
        let whole: Vec<_> = pair.into_iter().filter(is_whole).collect();
        let silent: Vec<_> = pair.into_iter().filter(|path| !is_told(path)).collect();
        assert_eq!(whole, silent, "{case}");
    }
}

/// A file system that does not give attributes, or not that one, still gives the files.
#[test]
fn what_has_attributes_that_cannot_be_read_is_saved_without_them_and_told_each_time() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let [source, target, state] = ["source", "target", "state"].map(|name| scratch.path().join(name));
    let Some(_disk) = OddDisk::mount(&source, Oddity { attributes_fail: true, ..Oddity::default() }) else { return };
    fs::create_dir(source.join("folder")).expect("a folder");
    fs::write(source.join("folder/file"), b"saved").expect("a file");
    let old = fs::File::options().write(true).open(source.join("folder/file")).expect("the file");
    old.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1)).expect("a time");
    drop(old);
    let key = KeyFile::generate().expect("randomness");
    let repository = create(Arc::new(MemoryStorage::new()), &key, &LocalState::At(state));
    for _ in 0..2 {
        let report = backup(&repository, &source);
        let told: Vec<_> = report.problems.iter().map(|problem| (problem.path_buf(), problem.doing)).collect();
        let expected = ["", "folder", "folder/file"].map(|path| match path {
            "" => source.clone(),
            path => source.join(path),
        });
        assert_eq!(told, expected.map(|path| (path, "save all extended attributes of")), "{report:?}");
    }
    assert_eq!(restore(&repository, &SnapshotRef::Latest(0), &source, &target).problem_count, 0);
    assert_eq!(fs::read(target.join("folder/file")).expect("it was saved"), b"saved");
}

/// It is there, and can be looked at from outside.
#[test]
fn a_named_folder_that_cannot_be_listed_does_not_keep_the_others_from_being_saved() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let [source, broken, target] = ["source", "broken", "target"].map(|name| scratch.path().join(name));
    let Some(_disk) = OddDisk::mount(&broken, Oddity { listing_fails: true, ..Oddity::default() }) else { return };
    fs::create_dir(&source).expect("a folder");
    fs::write(source.join("file"), b"saved").expect("a file");
    let key = KeyFile::generate().expect("randomness");
    let repository = create(Arc::new(MemoryStorage::new()), &key, &LocalState::None);
    let backup = |paths: &[&Path], dry_run: bool| {
        let mut options = BackupOptions::new(paths.iter().map(|path| path.to_path_buf()));
        options.dry_run = dry_run;
        vellum::backup(&repository, &options, &Context::default())
    };
    for dry_run in [true, false] {
        let alone = backup(&[&broken], dry_run);
        assert!(matches!(&alone, Err(vellum::Error::SourceMissing { path, .. }) if *path == broken), "{alone:?}");
        let report = backup(&[&broken, &source], dry_run).expect("the other is saved");
        assert_eq!((told(&report.problems), report.summary.errors), (vec!["broken".to_owned()], 1));
    }
    let snapshots = repository.snapshots().expect("a list").snapshots;
    let paths: Vec<_> = snapshots.iter().flat_map(|snapshot| &snapshot.manifest.paths).collect();
    assert_eq!((snapshots.len(), paths.len()), (1, 1));
    assert_eq!(paths[0].0, source.as_os_str().as_encoded_bytes());
    assert_eq!(restore(&repository, &SnapshotRef::Latest(0), &source, &target).problem_count, 0);
    assert_eq!(fs::read(target.join("file")).expect("it was saved"), b"saved");
}

/// As FAT and some servers do: a file that was closed while others were written may have another number afterwards.
#[test]
fn a_file_that_is_opened_again_is_known_where_numbers_of_files_do_not_last() {
    let scratch = tempfile::tempdir().expect("a scratch folder");
    let [source, target] = ["source", "target"].map(|name| scratch.path().join(name));
    fs::create_dir(&source).expect("a folder");
    let key = KeyFile::generate().expect("randomness");
    let repository = create(Arc::new(MemoryStorage::new()), &key, &LocalState::None);
    // What is appended later lies in other packs, so every file is begun before the first is whole.
    for round in 0..2 {
        for number in 0..100 {
            let mut file =
                fs::File::options().create(true).append(true).open(source.join(number.to_string())).expect("a file");
            file.write_all(&Random::new(2 * number + round).bytes(60_000)).expect("an append");
        }
        assert_eq!(backup(&repository, &source).problems.len(), 0);
    }
    let oddity = Oddity { renumbers: true, ..Oddity::default() };
    let Some(disk) = OddDisk::mount(&target, oddity) else { return };
    let report = restore(&repository, &SnapshotRef::Latest(0), &source, &target);
    assert_eq!(told(&report.problems), [""; 0]);
    assert!(disk.opened() > 0, "some were closed before they were whole");
    assert_eq!(found(&target), found(&source));
}
