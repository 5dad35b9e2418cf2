//! What a tree is, as text that can be compared.

use rustix::fs::FileType;
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt::{Display, Write};
use std::fs::{self, File, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Each entry below a folder, described completely, by its path's bytes.
pub type Manifest = BTreeMap<Vec<u8>, String>;

/// Linux gives no more names, and no longer value, than this.
const XATTR_LEN_BYTES_MAX: usize = 65_536;

const DIFFERENCES_SHOWN_MAX: usize = 20;

/// Describes everything below a folder: type, mode, owner, group, time of change, extended attributes; length and
/// BLAKE3 of a file, target of a link, numbers of a device; for a file with several names in the tree, the first.
///
/// The folder itself, access times and where the holes are is left out.
///
/// # Panics
/// When something cannot be read.
#[must_use]
pub fn manifest(root: &Path) -> Manifest {
    let entries = walk(root);
    let mut names: BTreeMap<(u64, u64), Vec<&Vec<u8>>> = BTreeMap::new();
    for (path, metadata) in entries.iter().filter(|(_, metadata)| !metadata.is_dir()) {
        names.entry((metadata.dev(), metadata.ino())).or_default().push(path);
    }
    let describe = |(path, metadata): (&Vec<u8>, &Metadata)| {
        let mut text = describe(&root.join(OsStr::from_bytes(path)), metadata);
        if let Some([first, _, ..]) = names.get(&(metadata.dev(), metadata.ino())).map(|names| &names[..]) {
            append(&mut text, format_args!(" group={}", first.escape_ascii()));
        }
        (path.clone(), text)
    };
    entries.iter().map(describe).collect()
}

/// One line for each path that is not described alike, in order.
#[must_use]
pub fn differences(expected: &Manifest, found: &Manifest) -> Vec<String> {
    let missing = expected.iter().filter(|(path, _)| !found.contains_key(*path));
    let missing = missing.map(|(path, text)| (path, format!("missing: {text}")));
    let others = found.iter().filter_map(|(path, text)| match expected.get(path) {
        None => Some((path, format!("unexpected: {text}"))),
        Some(wanted) if wanted != text => Some((path, format!("expected: {wanted}\n    found: {text}"))),
        Some(_) => None,
    });
    let lines: BTreeMap<_, _> = missing.chain(others).collect();
    lines.into_iter().map(|(path, line)| format!("{}: {line}", path.escape_ascii())).collect()
}

/// Compares two trees.
///
/// # Panics
/// With the first differences when there are any.
#[track_caller]
pub fn assert_same_tree(expected: &Path, found: &Path) {
    let lines = differences(&manifest(expected), &manifest(found));
    let shown = &lines[..lines.len().min(DIFFERENCES_SHOWN_MAX)];
    assert!(
        lines.is_empty(),
        "{} and {} differ in {} places:\n{}",
        expected.display(),
        found.display(),
        lines.len(),
        shown.join("\n")
    );
}

/// Everything below a folder by its path's bytes, not following links.
pub(super) fn walk(root: &Path) -> BTreeMap<Vec<u8>, Metadata> {
    let mut entries = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in must("list", &folder, fs::read_dir(&folder)) {
            let path = must("list", &folder, entry).path();
            let metadata = must("look at", &path, fs::symlink_metadata(&path));
            let relative = path.strip_prefix(root).expect("a listing is below its folder");
            entries.insert(relative.as_os_str().as_bytes().to_vec(), metadata.clone());
            if metadata.is_dir() {
                folders.push(path);
            }
        }
    }
    entries
}

#[track_caller]
pub(super) fn must<T, E: Display>(what: &str, path: &Path, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{what} {}: {error}", path.display()))
}

fn describe(path: &Path, metadata: &Metadata) -> String {
    let kind = match FileType::from_raw_mode(metadata.mode()) {
        FileType::RegularFile => "file",
        FileType::Directory => "folder",
        FileType::Symlink => "symlink",
        FileType::Fifo => "fifo",
        FileType::Socket => "socket",
        FileType::CharacterDevice => "char-device",
        FileType::BlockDevice => "block-device",
        FileType::Unknown => "unknown",
    };
    let (mode, uid, gid) = (metadata.mode() & 0o7777, metadata.uid(), metadata.gid());
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    let mut text = format!("{kind} mode={mode:04o} uid={uid} gid={gid} mtime={seconds}+{nanoseconds:09}ns");
    match kind {
        "file" => {
            let mut hasher = blake3::Hasher::new();
            let file = must("open", path, File::open(path));
            must("read", path, hasher.update_reader(file));
            append(&mut text, format_args!(" size={} blake3={}", metadata.size(), hasher.finalize()));
        }
        "symlink" => {
            let target = must("read", path, fs::read_link(path));
            append(&mut text, format_args!(" target={}", target.as_os_str().as_bytes().escape_ascii()));
        }
        "char-device" | "block-device" => append(&mut text, format_args!(" rdev={}", metadata.rdev())),
        _ => {}
    }
    for (name, value) in xattrs(path) {
        append(&mut text, format_args!(" xattr:{}={}", name.escape_ascii(), value.escape_ascii()));
    }
    text
}

fn xattrs(path: &Path) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut names = vec![0; XATTR_LEN_BYTES_MAX];
    let len_bytes = match rustix::fs::llistxattr(path, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        listed => must("list the attributes of", path, listed),
    };
    let value = |name: &[u8]| {
        let mut value = vec![0; XATTR_LEN_BYTES_MAX];
        let read = rustix::fs::lgetxattr(path, OsStr::from_bytes(name), &mut value[..]);
        value.truncate(must("read an attribute of", path, read));
        value
    };
    let names = names[..len_bytes].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    names.map(|name| (name.to_vec(), value(name))).collect()
}

fn append(text: &mut String, what: std::fmt::Arguments<'_>) {
    text.write_fmt(what).expect("writing to a string does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_difference_is_named() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [expected, found] = folders.each_ref().map(tempfile::TempDir::path);
        fs::write(expected.join("gone"), b"").unwrap();
        fs::write(expected.join("same"), b"a").unwrap();
        fs::write(found.join("same"), b"b").unwrap();
        fs::write(found.join("more"), b"").unwrap();
        let lines = differences(&manifest(expected), &manifest(found));
        let starts = ["gone: missing: file", "more: unexpected: file", "same: expected: file"];
        assert_eq!(lines.len(), starts.len());
        assert!(lines.iter().zip(starts).all(|(line, start)| line.starts_with(start)), "{lines:?}");
        std::panic::catch_unwind(|| assert_same_tree(expected, found)).unwrap_err();
        assert_same_tree(expected, expected);
    }

    #[test]
    fn hard_links_are_told_from_copies() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("b"), b"x").unwrap();
        fs::hard_link(folder.path().join("b"), folder.path().join("a")).unwrap();
        fs::write(folder.path().join("c"), b"x").unwrap();
        let manifest = manifest(folder.path());
        assert!(manifest[&b"a"[..]].ends_with(" group=a") && manifest[&b"b"[..]].ends_with(" group=a"));
        assert!(!manifest[&b"c"[..]].contains("group"));
    }
}
