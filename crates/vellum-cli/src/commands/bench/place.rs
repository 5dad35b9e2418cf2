//! Where a bench writes.

use crate::exit_code::ExitCode;
use crate::paths::absolute;
use crate::report::Failure;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use vellum::storage::{Location, Storage};

/// A temporary storage on the disk where a repository lies or may lie one day. It is removed when this is dropped.
pub(super) struct Place {
    storage: Box<dyn Storage>,
    folder: TempDir,
    parent: PathBuf,
}

impl Place {
    /// Makes it in the folder of a location, or in the nearest folder above that exists.
    pub(super) fn create(location: &Location) -> Result<Self, Failure> {
        let path = match location {
            Location::Local(path) => absolute(path).map_err(|error| Failure::file("find", path, &error))?,
            _ => return Err(Failure::comes_later("measuring this kind of storage", "name a folder with -r")),
        };
        let parent = nearest_folder(&path)?;
        let folder = tempfile::Builder::new().prefix("vellum-bench-").tempdir_in(&parent);
        let folder = folder.map_err(|error| Failure::file("make a folder in", &parent, &error))?;
        let storage = Location::Local(folder.path().join("storage")).create()?;
        Ok(Self { storage, folder, parent })
    }

    /// What to write to.
    pub(super) fn storage(&self) -> &dyn Storage {
        &*self.storage
    }

    /// The folder that it was made in.
    pub(super) fn parent(&self) -> &Path {
        &self.parent
    }

    /// Removes everything and tells if something stays.
    pub(super) fn remove(self) -> Result<(), Failure> {
        let path = self.folder.path().to_owned();
        self.folder.close().map_err(|error| {
            Failure::new(
                ExitCode::Failed,
                "temporary_folder",
                format!("cannot remove {}: {error}", crate::paths::printable_path(&path)),
                "everything was measured, but what was written for it is still there",
                "remove that folder by hand",
            )
        })
    }
}

fn nearest_folder(path: &Path) -> Result<PathBuf, Failure> {
    for folder in path.ancestors() {
        match std::fs::metadata(folder) {
            Ok(metadata) if metadata.is_dir() => return Ok(folder.to_owned()),
            Ok(_) => return Err(Failure::file("use", folder, &std::io::ErrorKind::NotADirectory.into())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(Failure::file("find", folder, &error)),
        }
    }
    Err(Failure::file("find", path, &std::io::ErrorKind::NotFound.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_already_is_taken_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::create(&Location::Local(folder.path().join("not/there"))).unwrap();
        assert_eq!(place.parent(), folder.path());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        place.remove().unwrap();
        drop(Place::create(&Location::Local(folder.path().to_owned())).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left, and nothing was made");
        std::fs::write(folder.path().join("file"), "x").unwrap();
        let refused = Place::create(&Location::Local(folder.path().join("file/below")));
        assert_eq!(refused.err().expect("a file is no folder").exit_code, ExitCode::Usage);
    }
}
