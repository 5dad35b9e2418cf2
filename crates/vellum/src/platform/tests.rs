//! The two sides together, on the real file system. As root everything is checked, as another user what he may do.

mod attributes;
mod hostile;
mod shapes;

use super::*;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use vellum_format::snapshot::Timestamp;
use vellum_format::tree::{EntryName, Metadata};

/// A temporary folder with the three places that the tests play in.
struct Places {
    root: tempfile::TempDir,
}

impl Places {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for place in ["source", "target", "outside"] {
            std::fs::create_dir(root.path().join(place)).unwrap();
        }
        Self { root }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    fn source(&self) -> SourceFolder {
        SourceFolder::open_root(&self.path("source")).unwrap()
    }

    /// As if whatever stands there had been found there.
    fn target(&self) -> TargetFolder {
        TargetFolder::find_root(&self.path("target")).unwrap().unwrap()
    }
}

fn name(name: impl AsRef<[u8]>) -> EntryName {
    EntryName::new(name.as_ref().to_vec()).unwrap()
}

fn join(folder: &Path, name: &EntryName) -> PathBuf {
    folder.join(std::ffi::OsStr::from_bytes(name.as_bytes()))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn policy() -> OwnerPolicy {
    OwnerPolicy::of_this_process(false)
}

/// Metadata of an entry of ours.
fn plain(mode: u32) -> Metadata {
    let modified = Timestamp { seconds: 1_700_000_000, nanoseconds: 123_456_789 };
    Metadata { mode, modified, ..vellum_testkit::entries::metadata() }
}

/// Restores a file and expects no problem.
fn restore(folder: &TargetFolder, name: &EntryName, content: &[u8], metadata: &Metadata) {
    let file = folder.create_file(name, content.len() as u64).unwrap();
    file.write_at(0, content).unwrap();
    assert_fine(&file.finish(metadata, &policy()).unwrap());
}

fn assert_fine(problems: &[MetadataProblem]) {
    assert!(problems.is_empty(), "{problems:?}");
}

fn read(folder: &SourceFolder, name: &EntryName) -> Vec<u8> {
    let mut content = Vec::new();
    folder.open_file(name).unwrap().read_to_end(&mut content).unwrap();
    content
}

/// Runs a tool; false, and said so, when it is not installed.
fn run(tool: &str, arguments: &[&std::ffi::OsStr]) -> bool {
    match std::process::Command::new(tool).args(arguments).status() {
        Ok(status) => status.success(),
        Err(error) => {
            println!("SKIPPED: {tool}: {error}");
            false
        }
    }
}
