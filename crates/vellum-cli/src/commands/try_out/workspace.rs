//! The temporary folder of a try.

use crate::exit_code::ExitCode;
use crate::report::Failure;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A temporary folder with a repository, local state and a restored tree. It is removed when this is dropped.
pub(super) struct Workspace {
    folder: Option<TempDir>,
    path: PathBuf,
}

impl Workspace {
    /// Makes the folder, for this user only.
    pub(super) fn create() -> Result<Self, Failure> {
        let parent = std::env::temp_dir();
        let folder = tempfile::Builder::new().prefix("vellum-try-").tempdir().map_err(|error| {
            Failure::new(
                ExitCode::Failed,
                "temporary_folder",
                format!("cannot make a folder in {}: {error}", parent.display()),
                "a try needs a temporary folder; nothing was done",
                "set TMPDIR to a folder where you may write",
            )
        })?;
        let path = folder.path().canonicalize().unwrap_or_else(|_| folder.path().to_owned());
        Ok(Self { folder: Some(folder), path })
    }

    /// Where the repository lies.
    pub(super) fn repository(&self) -> PathBuf {
        self.path.join("repository")
    }

    /// Where local state lies.
    pub(super) fn cache(&self) -> PathBuf {
        self.path.join("cache")
    }

    /// Where everything is restored.
    pub(super) fn restored(&self) -> PathBuf {
        self.path.join("restored")
    }

    /// Where an absolute source path is restored.
    pub(super) fn restored_path(&self, source: &Path) -> PathBuf {
        self.restored().join(source.strip_prefix("/").unwrap_or(source))
    }

    /// Tells about the temporary folder where it is the cause.
    pub(super) fn explain(&self, failure: Failure) -> Failure {
        let parent = std::env::temp_dir().display().to_string();
        match failure.code {
            "no_space" => Failure {
                meaning: format!("a try needs up to twice the size of what is tried, and {parent} is full").into(),
                hint: "set TMPDIR to a folder on a bigger disk, or try something smaller".into(),
                ..failure
            },
            "repository_inside_source" => Failure {
                meaning: format!("the repository of a try lies in {parent}, which is part of what you want to try")
                    .into(),
                hint: "set TMPDIR to a folder elsewhere, or try a folder inside it".into(),
                ..failure
            },
            _ => failure,
        }
    }

    /// Removes everything and tells if something stays.
    pub(super) fn remove(mut self) -> Result<(), Failure> {
        self.clear().map_err(|error| {
            Failure::new(
                ExitCode::Failed,
                "temporary_folder",
                format!("cannot remove {}: {error}", self.path.display()),
                "the try is over, but what it made is still there",
                "remove that folder by hand",
            )
        })
    }

    fn clear(&mut self) -> io::Result<()> {
        let Some(folder) = self.folder.take() else { return Ok(()) };
        // Restored folders may be read-only, and then only root could remove what is in them.
        open_up(&self.path);
        folder.close()
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        drop(self.clear());
    }
}

/// The temporary folder did not take everything back.
pub(super) fn restore_incomplete(count: u64) -> Failure {
    Failure::new(
        ExitCode::Failed,
        "restore_incomplete",
        format!("{} could not be restored into the temporary folder", crate::units::count(count, "entry")),
        format!("they are named above; most often {} is full", std::env::temp_dir().display()),
        "set TMPDIR to a folder on a bigger disk, or try something smaller",
    )
}

/// Makes every folder writable as far as possible; links are not followed.
fn open_up(folder: &Path) {
    drop(std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700)));
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_only_folders_go_too() {
        let workspace = Workspace::create().unwrap();
        let path = workspace.path.clone();
        let folder = workspace.restored().join("a/b");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("file"), "x").unwrap();
        for folder in [folder, workspace.restored().join("a")] {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o500)).unwrap();
        }
        workspace.remove().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn dropping_removes_too() {
        let workspace = Workspace::create().unwrap();
        let path = workspace.path.clone();
        drop(workspace);
        assert!(!path.exists());
    }
}
