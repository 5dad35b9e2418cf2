//! File systems of our own. This process has its mounts for itself, so they are gone when it is, however it ends.

use crate::failure::Failure;
use std::ffi::OsStr;
use std::fmt::{self, Display};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// A file system with a journal, which can lose power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Journaled {
    /// The fourth extended file system.
    Ext4,
    /// XFS.
    Xfs,
}

impl std::str::FromStr for Journaled {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Ext4, Self::Xfs];
        all.into_iter().find(|one| one.to_string() == text).ok_or_else(|| "it is ext4 or xfs".to_owned())
    }
}

impl Display for Journaled {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
        })
    }
}

impl Journaled {
    /// XFS is never smaller than 300 MiB; the image has holes.
    const fn len_bytes(self) -> u64 {
        match self {
            Self::Ext4 => 256 << 20,
            Self::Xfs => 320 << 20,
        }
    }

    /// Makes a file system in a file that is not there yet.
    pub(crate) fn format(self, image: &Path) -> Result<(), Failure> {
        File::create_new(image)?.set_len(self.len_bytes())?;
        command(&format!("mkfs.{self}"), [OsStr::new("-q"), image.as_os_str()])
    }
}

/// Something mounted, until it is dropped.
#[derive(Debug)]
pub(crate) struct Mount {
    pub(crate) point: PathBuf,
    is_mounted: bool,
}

impl Mount {
    /// An image at a folder, which is made if it is not there.
    pub(crate) fn image(image: &Path, point: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(point)?;
        command("mount", [OsStr::new("-o"), OsStr::new("loop"), image.as_os_str(), point.as_os_str()])?;
        Ok(Self { point: point.to_owned(), is_mounted: true })
    }

    /// A file system in memory at a folder, which is made if it is not there.
    pub(crate) fn memory(point: &Path, options: &str) -> Result<Self, Failure> {
        fs::create_dir_all(point)?;
        let words = ["-t", "tmpfs", "-o", options, "tmpfs"];
        command("mount", words.map(OsStr::new).into_iter().chain([point.as_os_str()]))?;
        Ok(Self { point: point.to_owned(), is_mounted: true })
    }

    /// Mounts it again with other options.
    pub(crate) fn change(&self, options: &str) -> Result<(), Failure> {
        let options = format!("remount,{options}");
        command("mount", [OsStr::new("-o"), OsStr::new(&options), self.point.as_os_str()])
    }

    /// Takes it away. What died a moment ago may still hold it.
    pub(crate) fn unmount(mut self) -> Result<(), Failure> {
        let mut tries = 0;
        loop {
            match command("umount", [&self.point]) {
                Err(failure) if tries == 100 => return Err(failure),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
                Ok(()) => break,
            }
            tries += 1;
        }
        self.is_mounted = false;
        Ok(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.is_mounted {
            drop(command("umount", [OsStr::new("-l"), self.point.as_os_str()]));
        }
    }
}

fn command<S: AsRef<OsStr>>(program: &str, words: impl IntoIterator<Item = S>) -> Result<(), Failure> {
    let done = Command::new(program).args(words).output();
    let done = done.map_err(|error| Failure::unfit(format!("`{program}` is needed: {error}")))?;
    match done.status.success() {
        true => Ok(()),
        false => Err(Failure::unfit(format!("{program}: {}", String::from_utf8_lossy(&done.stderr)))),
    }
}
