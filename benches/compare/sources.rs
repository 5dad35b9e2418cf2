//! What is backed up: copies of two versions of something, or files made from a seed.

use crate::Failure;
use crate::figures::Extent;
use crate::process::{Desk, quoted};
use crate::trees::extent;
use std::fs;
use std::path::{Path, PathBuf};
use vellum::bench::Sample;

/// Two versions that lie at one path in turn, because programs know a source by its path.
pub(crate) struct Sources {
    folder: PathBuf,
    placed: Option<usize>,
}

const NAMES: [&str; 2] = ["one", "two"];

/// Says that both versions are whole.
const FINISHED: &str = "finished";

impl Sources {
    /// What `make` makes in a folder, or made there before: its path may be kept from one run to the next.
    pub(crate) fn kept_or_new(
        folder: &Path,
        make: impl FnOnce(&Path) -> Result<Self, Failure>,
    ) -> Result<Self, Failure> {
        let finished = folder.join(FINISHED);
        if finished.exists() {
            let mut kept = Self::of_folder(folder)?;
            kept.placed = kept.path().exists().then(|| usize::from(folder.join(NAMES[0]).exists()));
            return Ok(kept);
        }
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        let made = make(folder)?;
        fs::write(finished, "")?;
        Ok(made)
    }

    /// Copies of two folders or files.
    pub(crate) fn copy(folder: &Path, versions: [&Path; 2]) -> Result<Self, Failure> {
        fs::create_dir_all(folder)?;
        let desk = Desk::new(folder, Vec::new());
        for (path, name) in versions.into_iter().zip(NAMES) {
            let copy = folder.join(name);
            let line = match fs::metadata(path).map_err(|error| format!("{}: {error}", path.display()))?.is_dir() {
                true => format!("cp -a -- {} {}", quoted(path), quoted(&copy)),
                false => format!("mkdir {0} && cp -a -- {1} {0}/file", quoted(&copy), quoted(path)),
            };
            desk.run(&line, folder)?;
        }
        Self::of_folder(folder)
    }

    /// So many files of up to 4 KiB, and a version in which one in a hundred is changed, one gone and one new.
    pub(crate) fn tiny(folder: &Path, count: u64) -> Result<Self, Failure> {
        let len = |number: u64| (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52).try_into().unwrap_or_default();
        for (version, name) in NAMES.into_iter().enumerate() {
            let root = folder.join(name);
            write_files(&root, 0..count, 1, &len)?;
            if version == 1 {
                for number in (0..count).step_by(100) {
                    fs::write(path_of(&root, number), format!("changed {number}"))?;
                    fs::remove_file(path_of(&root, (number + 50).min(count - 1)))?;
                }
                write_files(&root, count..count + count / 100, 2, &len)?;
            }
        }
        Self::of_folder(folder)
    }

    /// So many files of 4 KiB, and every second folder of them.
    pub(crate) fn files(folder: &Path, count: u64) -> Result<Self, Failure> {
        for (name, step) in NAMES.into_iter().zip([1, 2]) {
            for start in (0..count).step_by(FOLDER_FILES * step) {
                let end = count.min(start + FOLDER_FILES as u64);
                write_files(&folder.join(name), start..end, start, &|_| 4096)?;
            }
        }
        Self::of_folder(folder)
    }

    /// One file of so many bytes, and its first half.
    pub(crate) fn file(folder: &Path, len_bytes: u64) -> Result<Self, Failure> {
        for (name, len_bytes) in NAMES.into_iter().zip([len_bytes, len_bytes / 2]) {
            fs::create_dir_all(folder.join(name))?;
            let mut file = fs::File::create(folder.join(name).join("file"))?;
            let pieces = (0..len_bytes).step_by(TEXT_LEN);
            for start in pieces {
                let len = usize::try_from(len_bytes - start)?.min(TEXT_LEN);
                std::io::Write::write_all(&mut file, &Sample::Text.bytes(start, len))?;
            }
        }
        Self::of_folder(folder)
    }

    fn of_folder(folder: &Path) -> Result<Self, Failure> {
        // Whoever comes first would pay for reading it from the disk.
        Desk::new(folder, Vec::new()).run("find . -type f -exec cat {} + >/dev/null", folder)?;
        Ok(Self { folder: folder.to_owned(), placed: None })
    }

    /// Where the versions lie in turn.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join("source")
    }

    /// How much each version is.
    pub(crate) fn extents(&mut self) -> Result<[Extent; 2], Failure> {
        self.take_back()?;
        Ok([extent(&self.folder.join(NAMES[0]))?, extent(&self.folder.join(NAMES[1]))?])
    }

    /// Puts a version there.
    pub(crate) fn place(&mut self, version: usize) -> Result<(), Failure> {
        self.take_back()?;
        fs::rename(self.folder.join(NAMES[version]), self.path())?;
        self.placed = Some(version);
        Ok(())
    }

    fn take_back(&mut self) -> Result<(), Failure> {
        if let Some(version) = self.placed.take() {
            fs::rename(self.path(), self.folder.join(NAMES[version]))?;
        }
        Ok(())
    }
}

const FOLDER_FILES: usize = 100;
const TEXT_LEN: usize = 1 << 20;

fn path_of(root: &Path, number: u64) -> PathBuf {
    root.join(format!("folder-{}", number / FOLDER_FILES as u64)).join(format!("file-{number}"))
}

/// Files of different text, each a piece of a longer one.
fn write_files(
    root: &Path,
    numbers: std::ops::Range<u64>,
    seed: u64,
    len: &dyn Fn(u64) -> usize,
) -> Result<(), Failure> {
    let (mut text, mut at) = (Vec::new(), 0);
    for number in numbers {
        let path = path_of(root, number);
        if at + len(number) > text.len() {
            (text, at) = (Sample::Text.bytes(seed ^ (number << 20), TEXT_LEN), 0);
        }
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::write(path, &text[at..at + len(number)])?;
        at += len(number);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trees::differences;

    #[test]
    fn versions_lie_at_one_path_in_turn() {
        let folder = tempfile::tempdir().unwrap();
        let mut tiny = Sources::tiny(&folder.path().join("tiny"), 200).unwrap();
        let [one, two] = tiny.extents().unwrap();
        assert_eq!((one.files, two.files), (200, 200), "two are gone and two are new");
        tiny.place(1).unwrap();
        assert_eq!(extent(&tiny.path()).unwrap(), two);
        tiny.place(0).unwrap();
        assert_eq!(extent(&tiny.path()).unwrap(), one);
        let given = [tiny.path(), tiny.folder.join("two")];
        let copied = Sources::copy(&folder.path().join("copy"), [&given[0], &given[1]]).unwrap();
        assert_eq!(differences(&given[0], &copied.folder.join("one")).unwrap(), Default::default());
    }

    #[test]
    fn what_was_made_is_kept_and_what_was_left_half_made_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tiny");
        fs::create_dir_all(path.join("one/half")).unwrap();
        let make = |folder: &Path| Sources::tiny(folder, 100);
        let mut made = Sources::kept_or_new(&path, make).unwrap();
        let extents = made.extents().unwrap();
        for version in [0, 1] {
            made.place(version).unwrap();
            made = Sources::kept_or_new(&path, |_| panic!("it is there")).unwrap();
            assert_eq!(made.placed, Some(version));
        }
        assert_eq!(made.extents().unwrap(), extents);
        assert_eq!(extents[0].files, 100);
    }

    #[test]
    fn growing_sources_are_as_large_as_they_say_and_their_next_version_is_half() {
        let folder = tempfile::tempdir().unwrap();
        let [all, half] = Sources::files(&folder.path().join("files"), 400).unwrap().extents().unwrap();
        assert_eq!((all, half.files), (Extent { files: 400, bytes: 400 * 4096 }, 200));
        let [all, half] = Sources::file(&folder.path().join("file"), 3 << 19).unwrap().extents().unwrap();
        assert_eq!((all.bytes, half.bytes), (3 << 19, 3 << 18));
    }
}
