//! What happens to the local state between two runs. It may never matter (P13).

use crate::failure::Failure;
use std::fmt::{self, Display};
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use vellum_testkit::Random;

/// What happens to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LocalState {
    /// Nothing.
    Kept,
    /// It is gone.
    Deleted,
    /// It is what it was before an earlier run.
    RolledBack,
    /// Some of its files have other bytes, another length, another file's content, or are gone.
    Scrambled,
}

impl std::str::FromStr for LocalState {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let all = [Self::Kept, Self::Deleted, Self::RolledBack, Self::Scrambled];
        all.into_iter().find(|one| one.to_string() == text).ok_or_else(|| "there is no such state".to_owned())
    }
}

impl Display for LocalState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Kept => "kept",
            Self::Deleted => "deleted",
            Self::RolledBack => "rolled-back",
            Self::Scrambled => "scrambled",
        })
    }
}

impl LocalState {
    /// Does it to the local state at `cache`; `history` is a folder for earlier ones.
    pub(crate) fn disturb(self, cache: &Path, history: &Path, random: &mut Random) -> Result<(), Failure> {
        if self == Self::Kept || !cache.exists() {
            return Ok(());
        }
        match self {
            Self::Kept => {}
            Self::Deleted => fs::remove_dir_all(cache)?,
            Self::RolledBack => roll_back(cache, history, random)?,
            Self::Scrambled => scramble(cache, random)?,
        }
        Ok(())
    }
}

/// Copies a folder with everything that is in it; the copy is not there yet.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<(), Failure> {
    let done = Command::new("cp").arg("-a").args([from, to]).output()?;
    match done.status.success() {
        true => Ok(()),
        false => Err(Failure::unfit(format!("cp: {}", String::from_utf8_lossy(&done.stderr)))),
    }
}

/// One of up to four earlier ones, the present one kept in its place.
fn roll_back(cache: &Path, history: &Path, random: &mut Random) -> Result<(), Failure> {
    fs::create_dir_all(history)?;
    let earlier = history.join(random.below(4).to_string());
    let aside = history.join("aside");
    copy_folder(cache, &aside)?;
    if earlier.exists() {
        fs::remove_dir_all(cache)?;
        copy_folder(&earlier, cache)?;
        fs::remove_dir_all(&earlier)?;
    }
    Ok(fs::rename(aside, earlier)?)
}

fn scramble(cache: &Path, random: &mut Random) -> Result<(), Failure> {
    let mut files = Vec::new();
    collect(cache, &mut files)?;
    files.sort();
    if files.is_empty() {
        return Ok(());
    }
    for _ in 0..=random.below(3) {
        let file = random.pick(&files).clone();
        // An earlier round may have removed it.
        let Ok(metadata) = fs::metadata(&file) else { continue };
        let len_bytes = usize::try_from(metadata.len()).expect("caches are small");
        match random.below(6) {
            0 => fs::remove_file(&file)?,
            1 => fs::OpenOptions::new().write(true).open(&file)?.set_len(random.below(len_bytes + 1) as u64)?,
            2 => fs::write(&file, random.bytes(len_bytes))?,
            3 => drop(fs::copy(random.pick(&files), &file)),
            _ => flip(&file, len_bytes, random)?,
        }
    }
    Ok(())
}

fn flip(file: &Path, len_bytes: usize, random: &mut Random) -> Result<(), Failure> {
    let file = fs::OpenOptions::new().read(true).write(true).open(file)?;
    for _ in 0..=random.below(8).min(len_bytes) {
        let at = random.below(len_bytes.max(1)) as u64;
        let mut byte = [0];
        if file.read_at(&mut byte, at)? == 1 {
            file.write_all_at(&[byte[0] ^ (1 << random.below(8))], at)?;
        }
    }
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
