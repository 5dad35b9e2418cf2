//! Source trees with everything that a file system can hold: built, changed, described and compared.
//!
//! These are for tests, so every failure panics with the path. What the file system refuses (a name that is not
//! UTF-8, an extended attribute) is left out, so describe what was built instead of assuming it.

mod manifest;

pub use manifest::{Manifest, assert_same_tree, differences, manifest};

use crate::Random;
use manifest::{must, walk};
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use std::ffi::OsStr;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// How large a tree is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TreeOptions {
    /// Ordinary files; each of the awkward names and kinds comes once on top.
    pub file_count: usize,
    /// No file is longer.
    pub len_bytes_max: usize,
}

impl Default for TreeOptions {
    fn default() -> Self {
        Self { file_count: 60, len_bytes_max: 4 << 20 }
    }
}

/// Lengths around those at which chunks, pages and buffers end.
const LENS_BYTES: [usize; 20] = [
    0, 1, 2, 100, 511, 4095, 4096, 4097, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 262_143, 262_144, 262_145,
    1_048_577, 2_500_000, 3_333_333,
];

const AWKWARD_NAMES: [&[u8]; 18] = [
    b"with space",
    b" leading and trailing ",
    b"line\nbreak",
    b"tab\tand\rreturn",
    b"not utf-8 \xff\xfe",
    b"lone surrogate \xed\xa0\x80",
    b"\x01\x1b[31mescape",
    b"-rf",
    b"--",
    b"*?[x]{a,b}",
    b"back\\slash",
    b"quote'\"`$(true)",
    b"a:b|c<d>e",
    b".hidden",
    b"...",
    "composed \u{e9}".as_bytes(),
    "decomposed e\u{301}".as_bytes(),
    b"con.txt",
];

const FOLDERS: [&str; 9] = [
    "docs",
    "docs/empty",
    "docs/with space",
    "src",
    "src/deep",
    "src/deep/er",
    "src/deep/er/and/deeper",
    "shared",
    "tmp",
];

/// Seconds and nanoseconds: before 1970, at its start, ordinary, after 2038, and far away.
const TIMES: [(i64, i64); 6] = [
    (-1_000_000_000, 5),
    (-1, 999_999_999),
    (0, 0),
    (1_234_567_890, 123_456_789),
    (2_147_483_648, 1),
    (4_000_000_000, 999_999_999),
];

const FILE_MODES: [u32; 7] = [0o644, 0o600, 0o755, 0o444, 0o664, 0o4755, 0o2755];

/// Builds a tree in a folder, which is made if it is absent; the same seed gives the same tree.
///
/// # Panics
/// When the file system refuses something that every one must take.
pub fn build(root: &Path, seed: u64, options: TreeOptions) {
    let mut random = Random::new(seed);
    for folder in FOLDERS {
        must("make", root, fs::create_dir_all(root.join(folder)));
    }
    let mut files = Vec::new();
    for number in 0..options.file_count {
        let path = root.join(random.pick(&FOLDERS[2..])).join(format!("file-{number}"));
        let content = content(&mut random, options.len_bytes_max);
        must("write", &path, fs::write(&path, content));
        files.push(path);
    }
    files.extend(awkward_files(root, &mut random));
    files.extend(sparse_files(root, options.len_bytes_max));
    links_and_fifo(root, &files);
    attributes(root, &files);
    modes_and_times(root, &mut random);
}

fn awkward_files(root: &Path, random: &mut Random) -> Vec<PathBuf> {
    let long = [b'n'; 255];
    let mut made = Vec::new();
    for name in AWKWARD_NAMES.into_iter().chain([&long[..]]) {
        let path = root.join(OsStr::from_bytes(name));
        match fs::write(&path, random.bytes(name.len())) {
            Ok(()) => made.push(path),
            Err(error) if std::str::from_utf8(name).is_err() => drop(error),
            Err(error) => panic!("write {}: {error}", path.display()),
        }
        let folder = root.join("shared").join(OsStr::from_bytes(name));
        drop(fs::create_dir(folder));
    }
    made
}

/// A hole before, between and after data, and nothing but a hole.
fn sparse_files(root: &Path, len_bytes_max: usize) -> Vec<PathBuf> {
    let len_bytes = len_bytes_max.min(1 << 20) as u64;
    let data_at: [&[u64]; 4] = [&[len_bytes - 1], &[0, len_bytes / 2, len_bytes - 1], &[0], &[]];
    let make = |(number, offsets): (usize, &[u64])| {
        let path = root.join(format!("src/sparse-{number}"));
        let file = must("create", &path, File::create(&path));
        offsets.iter().for_each(|offset| must("write", &path, file.write_all_at(b"x", *offset)));
        must("lengthen", &path, file.set_len(len_bytes));
        path
    };
    data_at.into_iter().enumerate().map(make).collect()
}

fn links_and_fifo(root: &Path, files: &[PathBuf]) {
    let targets: [(&str, &[u8]); 7] = [
        ("to-file", b"file-0"),
        ("to-folder", b"../docs"),
        ("dangling", b"nowhere/at all"),
        ("absolute", b"/etc/hostname"),
        ("to-itself", b"to-itself"),
        ("not-utf-8", b"\xff\xfe"),
        ("long", &[b'l'; 1_000]),
    ];
    for (name, target) in targets {
        let path = root.join("shared").join(name);
        must("link", &path, symlink(OsStr::from_bytes(target), &path));
    }
    for (number, original) in files.iter().take(3).enumerate() {
        for folder in ["shared", "src/deep", "docs"].iter().take(number + 1) {
            let path = root.join(folder).join(format!("hard-{number}"));
            must("link", &path, fs::hard_link(original, &path));
        }
    }
    let path = root.join("tmp/fifo");
    must("make", &path, rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o640), 0));
}

fn attributes(root: &Path, files: &[PathBuf]) {
    let folder = root.join("docs");
    let values: [(&str, &[u8]); 3] = [("user.empty", b""), ("user.text", b"value"), ("user.binary", &[0, 255, 10, 7])];
    for path in files.iter().take(5).chain([&folder]) {
        for (name, value) in values {
            match rustix::fs::lsetxattr(path, name, value, XattrFlags::empty()) {
                Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {}
                Err(errno) => panic!("set {name} of {}: {errno}", path.display()),
            }
        }
    }
}

/// Last, because everything before changes them.
fn modes_and_times(root: &Path, random: &mut Random) {
    for (path, metadata) in walk(root) {
        let path = root.join(OsStr::from_bytes(&path));
        if metadata.is_file() {
            set_mode(&path, *random.pick(&FILE_MODES));
        }
        let (seconds, nanoseconds) = match random.one_in(3) {
            true => *random.pick(&TIMES),
            false => (1_000_000_000 + i64::from(random.next().to_le_bytes()[0]) * 2_000_000, 123_456_789),
        };
        set_mtime(&path, seconds, nanoseconds);
    }
    for (folder, mode) in [("tmp", 0o1777), ("shared", 0o2775), ("docs/empty", 0o700)] {
        set_mode(&root.join(folder), mode);
    }
}

/// Makes this many changes, one after another: edits, also some that keep length and time, appends, truncations,
/// renames, deletions, new files, modes, times, and a file that becomes a folder or a link.
///
/// The same seed does the same to the same tree. A change that permissions forbid is left out.
///
/// # Panics
/// When the file system fails.
pub fn mutate(root: &Path, seed: u64, change_count: usize) {
    let mut random = Random::new(seed);
    for number in 0..change_count {
        match mutate_once(root, &mut random, number) {
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
                panic!("change {number} of seed {seed}: {error}")
            }
            _ => {}
        }
    }
}

fn mutate_once(root: &Path, random: &mut Random, number: usize) -> io::Result<()> {
    let entries: Vec<(PathBuf, Metadata)> =
        walk(root).into_iter().map(|(path, metadata)| (root.join(OsStr::from_bytes(&path)), metadata)).collect();
    let files: Vec<_> = entries.iter().filter(|(_, metadata)| metadata.is_file()).collect();
    let folders: Vec<&Path> =
        entries.iter().filter(|(_, metadata)| metadata.is_dir()).map(|(path, _)| &**path).chain([root]).collect();
    let new = random.pick(&folders).join(format!("new-{number}-{:08x}", random.below(1 << 32)));
    if files.is_empty() || random.one_in(8) {
        return fs::write(new, content(random, 300_000));
    }
    if folders.len() > 1 && random.one_in(20) {
        let folder = folders[random.below(folders.len() - 1)];
        // A tree is changed many times over, so the new name must not be one that an earlier change gave.
        let renamed = folder.with_file_name(format!("renamed-{number}-{:08x}", random.below(1 << 32)));
        return if random.one_in(2) { fs::remove_dir_all(folder) } else { fs::rename(folder, renamed) };
    }
    let (path, metadata) = random.pick(&files);
    match random.below(10) {
        0 => overwrite(path, metadata, random),
        1 => {
            overwrite(path, metadata, random)?;
            set_mtime(path, metadata.mtime(), metadata.mtime_nsec());
            Ok(())
        }
        2 => {
            let len_bytes = 1 + random.below(100_000);
            OpenOptions::new().append(true).open(path)?.write_all_at(&random.bytes(len_bytes), metadata.len())
        }
        3 => OpenOptions::new().write(true).open(path)?.set_len(metadata.len() / 2),
        4 => fs::rename(path, new),
        5 => fs::remove_file(path),
        6 => {
            set_mode(path, *random.pick(&FILE_MODES));
            Ok(())
        }
        7 => {
            let (seconds, nanoseconds) = *random.pick(&TIMES);
            set_mtime(path, seconds, nanoseconds);
            Ok(())
        }
        8 => {
            fs::remove_file(path)?;
            fs::create_dir(path)?;
            fs::write(path.join("inside"), b"a folder now")
        }
        _ => {
            fs::remove_file(path)?;
            symlink("a link now", path)
        }
    }
}

fn overwrite(path: &Path, metadata: &Metadata, random: &mut Random) -> io::Result<()> {
    let len_bytes = usize::try_from(metadata.len()).expect("test files are small");
    if len_bytes == 0 {
        return Ok(());
    }
    let offset = random.below(len_bytes);
    let piece_len_bytes = (len_bytes - offset).min(1 + random.below(50_000));
    OpenOptions::new().write(true).open(path)?.write_all_at(&random.bytes(piece_len_bytes), offset as u64)
}

/// Random, textual, constant or repeating, so that compression and deduplication have something to find.
fn content(random: &mut Random, len_bytes_max: usize) -> Vec<u8> {
    let len_bytes = match random.one_in(2) {
        true => *random.pick(&LENS_BYTES),
        false => random.below(30_000),
    };
    let len_bytes = len_bytes.min(len_bytes_max);
    match random.below(5) {
        0 | 1 => random.bytes(len_bytes),
        2 => text(random, len_bytes),
        3 => vec![*random.pick(&[0, b'a', 0xff]); len_bytes],
        _ => Random::new(7).bytes(100_000).into_iter().cycle().skip(random.below(2) * 999).take(len_bytes).collect(),
    }
}

fn text(random: &mut Random, len_bytes: usize) -> Vec<u8> {
    const WORDS: [&str; 10] =
        ["fn ", "let ", "the ", "chunk ", "= ", "return ", "snapshot\n", "    ", "of ", "// a note\n"];
    let mut text = Vec::with_capacity(len_bytes + 16);
    while text.len() < len_bytes {
        text.extend_from_slice(random.pick(&WORDS).as_bytes());
    }
    text.truncate(len_bytes);
    text
}

fn set_mode(path: &Path, mode: u32) {
    must("set the mode of", path, fs::set_permissions(path, fs::Permissions::from_mode(mode)));
}

fn set_mtime(path: &Path, seconds: i64, nanoseconds: i64) {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds };
    let times = Timestamps { last_access: time, last_modification: time };
    must("set the time of", path, rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn built(seed: u64) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        build(folder.path(), seed, TreeOptions::default());
        folder
    }

    #[test]
    fn one_seed_is_one_tree_and_another_is_another() {
        let (first, second, other) = (built(1), built(1), built(2));
        assert_same_tree(first.path(), second.path());
        assert!(!differences(&manifest(first.path()), &manifest(other.path())).is_empty());
    }

    #[test]
    fn a_tree_holds_every_kind() {
        let tree = built(3);
        let manifest = manifest(tree.path());
        let all = manifest.values().cloned().collect::<Vec<_>>().join("\n");
        let wanted = [
            "folder ",
            "file ",
            "symlink ",
            "fifo ",
            "mode=4755",
            "mode=1777",
            "target=",
            "group=",
            "mtime=-",
            "size=0 ",
        ];
        for wanted in wanted {
            assert!(all.contains(wanted), "{wanted}");
        }
        assert!(manifest.keys().any(|path| path.contains(&b'\n')));
        assert!(manifest.keys().any(|path| path.len() == 255));
        assert!(manifest.len() > 100, "{}", manifest.len());
    }

    #[test]
    fn holes_are_holes() {
        let tree = built(3);
        let metadata = fs::metadata(tree.path().join("src/sparse-3")).unwrap();
        assert_eq!((metadata.len(), metadata.blocks()), (1 << 20, 0));
    }

    #[test]
    fn mutations_change_the_same_tree_in_the_same_way() {
        let (first, second) = (built(1), built(1));
        let before = manifest(first.path());
        mutate(first.path(), 9, 60);
        mutate(second.path(), 9, 60);
        let after = manifest(first.path());
        assert!(differences(&before, &after).len() > 20);
        let paths = |manifest: &Manifest| manifest.keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(paths(&after), paths(&manifest(second.path())));
    }

    #[test]
    fn many_mutations_end() {
        let tree = tempfile::tempdir().unwrap();
        build(tree.path(), 1, TreeOptions { file_count: 5, len_bytes_max: 100 });
        (0..10).for_each(|seed| mutate(tree.path(), seed, 40));
    }
}
