//! Paths as typed and as shown.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

/// A path made absolute by its text alone: `.` and `..` are resolved against the current folder, links are not.
pub(crate) fn absolute(path: &Path) -> io::Result<PathBuf> {
    let base = if path.is_absolute() { PathBuf::new() } else { std::env::current_dir()? };
    Ok(normalized(&base.join(path)))
}

/// As [`absolute`], as bytes.
pub(crate) fn absolute_bytes(path: &Path) -> io::Result<Vec<u8>> {
    absolute(path).map(|path| path.as_os_str().as_bytes().to_vec())
}

fn normalized(path: &Path) -> PathBuf {
    let mut result = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => result.push(name),
            Component::ParentDir => {
                result.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    result
}

/// A path from bytes.
pub(crate) fn from_bytes(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

/// A name or path for people: text as it is, anything that a terminal would obey or not show as `\xNN`.
pub(crate) fn printable(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => Cow::Borrowed(text),
        _ => Cow::Owned(escaped(bytes, char::is_control)),
    }
}

/// A name or path for programs: text as it is, bytes that are none as `\xNN`.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(escaped(bytes, |_| false)),
    }
}

fn escaped(bytes: &[u8], is_hidden: fn(char) -> bool) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match is_hidden(character) {
                true => character.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push_hex(&mut text, byte)),
                false => text.push(character),
            }
        }
        chunk.invalid().iter().for_each(|byte| push_hex(&mut text, *byte));
    }
    fn push_hex(text: &mut String, byte: u8) {
        write!(text, "\\x{byte:02x}").expect("writing to a string does not fail");
    }
    text
}

/// As [`printable`], of a path.
pub(crate) fn printable_path(path: &Path) -> Cow<'_, str> {
    printable(path.as_os_str().as_bytes())
}

/// Bytes in lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_absolute_by_their_text() {
        for (path, expected) in
            [("/a/b", "/a/b"), ("/a/./b/../c/", "/a/c"), ("/..", "/"), ("/a/../../b", "/b"), ("//a", "/a")]
        {
            assert_eq!(absolute(Path::new(path)).unwrap(), PathBuf::from(expected), "{path}");
        }
        let here = std::env::current_dir().unwrap();
        assert_eq!(absolute(Path::new(".")).unwrap(), here);
        assert_eq!(absolute(Path::new("../x")).unwrap(), here.parent().unwrap().join("x"));
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(printable("/ä/b c".as_bytes()), "/ä/b c");
        assert_eq!(printable(b"a\xffb"), "a\\xffb");
        assert_eq!(printable(b"a\x1b[2Jb\n"), "a\\x1b[2Jb\\x0a");
        assert_eq!(text(b"a\nb"), "a\nb");
        assert_eq!(text(b"a\n\xff"), "a\n\\xff");
    }
}
