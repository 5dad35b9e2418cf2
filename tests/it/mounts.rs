//! Restores into targets that are made of several file systems, or of odd ones.

use crate::support::{backup, create, restore};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use vellum::storage::MemoryStorage;
use vellum::{KeyFile, LocalState, SnapshotRef};
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
