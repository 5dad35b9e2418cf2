//! Comparing a restored tree with its source, byte by byte, without the engine's help.

use crate::report::Failure;
use std::collections::BTreeSet;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use vellum::{CancelToken, Error};

const BUFFER_LEN_BYTES: usize = 256 << 10;

/// What a comparison has seen so far.
pub(super) struct Comparison {
    /// Files compared.
    pub(super) files: u64,
    /// Bytes compared.
    pub(super) bytes: u64,
    /// What differs, and how.
    pub(super) differences: Vec<(PathBuf, String)>,
    /// Entries that differ because the source was changed after the start.
    pub(super) changed: u64,
    /// Entries that were not looked at with what is below, because one of their paths is longer than the system takes
    /// at once; the engine, which goes step by step, needs no such paths.
    pub(super) too_long: u64,
    begun: (i64, i64),
    cancel: CancelToken,
    told: BTreeSet<PathBuf>,
}

impl Comparison {
    /// Nothing was compared yet. `told` are paths, of the source or restored, whose problems are known already.
    pub(super) fn new(begun: SystemTime, cancel: CancelToken, told: BTreeSet<PathBuf>) -> Self {
        let begun = begun.duration_since(UNIX_EPOCH).unwrap_or_default();
        let begun = (i64::try_from(begun.as_secs()).unwrap_or(i64::MAX), begun.subsec_nanos().into());
        Self { files: 0, bytes: 0, differences: Vec::new(), changed: 0, too_long: 0, begun, cancel, told }
    }

    /// Compares what stands at two paths, and everything below.
    pub(super) fn compare(&mut self, source: &Path, restored: &Path) -> Result<(), Failure> {
        let mut open = vec![(source.to_owned(), restored.to_owned())];
        while let Some((source, restored)) = open.pop() {
            if self.cancel.is_cancelled() {
                return Err(Error::Cancelled.into());
            }
            if self.told.contains(&source) || self.told.contains(&restored) {
                continue;
            }
            let metadata = match source.symlink_metadata() {
                Ok(metadata) => metadata,
                Err(error) if error.kind() == ErrorKind::InvalidFilename => {
                    self.too_long += 1;
                    continue;
                }
                Err(_) => {
                    self.changed += 1;
                    continue;
                }
            };
            if metadata.file_type().is_socket() {
                continue;
            }
            match self.compare_entry(&source, &metadata, &restored) {
                Ok(None) if metadata.is_dir() => self.add_names(&source, &restored, &mut open),
                Ok(None) => {}
                Ok(Some(difference)) => self.differ(source, difference),
                Err(error) if error.kind() == ErrorKind::InvalidFilename => self.too_long += 1,
                Err(error) => self.differ(source, error.to_string()),
            }
        }
        Ok(())
    }

    fn add_names(&mut self, source: &Path, restored: &Path, open: &mut Vec<(PathBuf, PathBuf)>) {
        let mut names = BTreeSet::new();
        for folder in [source, restored] {
            match std::fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
                Ok(entries) => names.extend(entries.into_iter().map(|entry| entry.file_name())),
                Err(error) => self.differ(source.to_owned(), format!("it cannot be listed: {error}")),
            }
        }
        open.extend(names.into_iter().map(|name| (source.join(&name), restored.join(&name))));
    }

    /// Keeps a difference, unless the source has changed since the start.
    fn differ(&mut self, source: PathBuf, how: String) {
        let is_younger = |metadata: Metadata| (metadata.ctime(), metadata.ctime_nsec()) >= self.begun;
        match source.symlink_metadata().map_or(true, is_younger) {
            true => self.changed += 1,
            false => self.differences.push((source, how)),
        }
    }

    fn compare_entry(&mut self, source: &Path, metadata: &Metadata, restored: &Path) -> io::Result<Option<String>> {
        let other = match restored.symlink_metadata() {
            Ok(other) => other,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Some("it is missing".to_owned())),
            Err(error) => return Err(error),
        };
        if metadata.file_type() != other.file_type() {
            return Ok(Some("it is of another kind".to_owned()));
        }
        if metadata.is_symlink() {
            let is_same = source.read_link()? == restored.read_link()?;
            return Ok((!is_same).then(|| "the link points elsewhere".to_owned()));
        }
        if !metadata.is_file() {
            return Ok(None);
        }
        self.files += 1;
        let (len_bytes, difference) = first_difference(File::open(source)?, File::open(restored)?)?;
        self.bytes += len_bytes;
        Ok(difference.map(|at| format!("byte {at} differs")))
    }
}

/// Reads two streams side by side: how much of them is equal, and where they part, if they do.
fn first_difference(mut one: impl Read, mut other: impl Read) -> io::Result<(u64, Option<u64>)> {
    let mut buffers = [vec![0; BUFFER_LEN_BYTES], vec![0; BUFFER_LEN_BYTES]];
    let mut at = 0;
    loop {
        let [first, second] = &mut buffers;
        let lens = (fill(&mut one, first)?, fill(&mut other, second)?);
        let (first, second) = (&first[..lens.0], &second[..lens.1]);
        if first != second {
            let equal = first.iter().zip(second).take_while(|(a, b)| a == b).count() as u64;
            return Ok((at + equal, Some(at + equal)));
        }
        if first.is_empty() {
            return Ok((at, None));
        }
        at += first.len() as u64;
    }
}

fn fill(stream: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut len = 0;
    while len < buffer.len() {
        match stream.read(&mut buffer[len..]) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn streams_part_where_they_differ() {
        let long = vec![7; BUFFER_LEN_BYTES + 5];
        let mut other = long.clone();
        assert_eq!(first_difference(&long[..], &other[..]).unwrap(), (long.len() as u64, None));
        other[BUFFER_LEN_BYTES + 3] = 8;
        let at = BUFFER_LEN_BYTES as u64 + 3;
        assert_eq!(first_difference(&long[..], &other[..]).unwrap(), (at, Some(at)));
        assert_eq!(first_difference(&b"ab"[..], &b"abc"[..]).unwrap(), (2, Some(2)));
        assert_eq!(first_difference(&b""[..], &b""[..]).unwrap(), (0, None));
    }

    #[test]
    fn trees_are_compared_both_ways() {
        let folder = tempfile::tempdir().unwrap();
        let (source, restored) = (folder.path().join("source"), folder.path().join("restored"));
        for root in [&source, &restored] {
            std::fs::create_dir_all(root.join("a")).unwrap();
            std::fs::write(root.join("a/same"), "same").unwrap();
            std::os::unix::fs::symlink("same", root.join("a/link")).unwrap();
        }
        let later = SystemTime::now() + Duration::from_secs(60);
        let compared = |begun| {
            let mut comparison = Comparison::new(begun, CancelToken::default(), BTreeSet::new());
            comparison.compare(&source, &restored).unwrap();
            comparison
        };
        let same = compared(later);
        assert_eq!((same.files, same.bytes, same.differences.len(), same.changed), (1, 4, 0, 0));
        std::fs::write(restored.join("a/same"), "sama").unwrap();
        std::fs::write(source.join("a/new"), "new").unwrap();
        let different = compared(later);
        assert_eq!((different.differences.len(), different.changed), (2, 0));
        let changed = compared(SystemTime::UNIX_EPOCH);
        assert_eq!((changed.differences.len(), changed.changed), (0, 2), "the source is younger than the start");
    }

    /// As where the temporary folder has a longer path than the source.
    #[test]
    fn what_only_a_shorter_path_leads_to_is_not_taken_for_different() {
        let folder = tempfile::tempdir().unwrap();
        let source = folder.path().join("source");
        std::fs::create_dir_all(source.join("a/b")).unwrap();
        let mut restored = folder.path().join("restored");
        while restored.as_os_str().len() < 4000 {
            restored.push("d".repeat(60));
        }
        // The last of them, for which `a` leaves no room.
        restored.push("d".repeat(4094 - restored.as_os_str().len() - 1));
        std::fs::create_dir_all(&restored).unwrap();
        let later = SystemTime::now() + Duration::from_secs(60);
        let mut comparison = Comparison::new(later, CancelToken::default(), BTreeSet::new());
        comparison.compare(&source, &restored).unwrap();
        assert_eq!((comparison.too_long, comparison.differences, comparison.changed), (1, vec![], 0));
    }
}
