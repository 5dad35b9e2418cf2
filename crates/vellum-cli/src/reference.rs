//! Snapshots as people name them: `latest`, `latest~2`, an id or its start, a date; with `:PATH` behind it or not.

use crate::time::{parse_time, parse_time_until};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use vellum::SnapshotRef;

/// A snapshot, with the text that named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SnapshotReference {
    /// What was typed.
    pub(crate) text: String,
    /// What it means.
    pub(crate) snapshot: SnapshotRef,
}

impl SnapshotReference {
    /// Parses a reference.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let snapshot = if text == "latest" {
            SnapshotRef::Latest(0)
        } else if let Some(back) = text.strip_prefix("latest~") {
            SnapshotRef::Latest(back.parse().map_err(|_| "a number must follow `latest~`".to_owned())?)
        } else if is_id(text) {
            SnapshotRef::Id(text.to_ascii_lowercase())
        } else if let Ok(time) = parse_time_until(text) {
            SnapshotRef::At(time)
        } else {
            return Err("it must be `latest`, `latest~2`, an id in hex, or a date such as 2026-11-21".to_owned());
        };
        Ok(Self { text: text.to_owned(), snapshot })
    }

    /// Parses the name of a snapshot that shall go: a time means only what is dated exactly so, since the snapshot
    /// before it would be the wrong one to lose.
    pub(crate) fn parse_exact(text: &str) -> Result<Self, String> {
        let mut reference = Self::parse(text)?;
        if let SnapshotRef::At(last) = reference.snapshot {
            reference.snapshot = SnapshotRef::During(parse_time(text)?, last);
        }
        Ok(reference)
    }
}

fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A snapshot, or a path in one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SnapshotPath {
    /// The snapshot.
    pub(crate) snapshot: SnapshotReference,
    /// Absolute, if there is one.
    pub(crate) path: Option<Vec<u8>>,
}

impl SnapshotPath {
    /// Parses `SNAPSHOT` or `SNAPSHOT:PATH`. Dates hold colons too, so the path begins at the first `:/`, or else at
    /// the last colon that leaves a reference before it.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let reference = |bytes: &[u8]| match std::str::from_utf8(bytes) {
            Ok(text) => SnapshotReference::parse(text),
            Err(_) => Err("the snapshot's name is no text".to_owned()),
        };
        if let Some(at) = bytes.windows(2).position(|pair| pair == b":/") {
            let snapshot = reference(&bytes[..at])?;
            return Ok(Self { snapshot, path: Some(clean(&bytes[at + 1..])) });
        }
        if let Ok(snapshot) = reference(bytes) {
            return Ok(Self { snapshot, path: None });
        }
        let colons = bytes.iter().enumerate().rev().filter(|(_, byte)| **byte == b':').map(|(at, _)| at);
        for at in colons {
            if let Ok(snapshot) = reference(&bytes[..at]) {
                return Ok(Self { snapshot, path: Some(clean(&bytes[at + 1..])) });
            }
        }
        let end = bytes.iter().position(|byte| *byte == b':').unwrap_or(bytes.len());
        Err(reference(&bytes[..end]).err().unwrap_or_else(|| "it names no snapshot".to_owned()))
    }

    /// The path, `/` when none was given.
    pub(crate) fn path_or_root(&self) -> &[u8] {
        self.path.as_deref().unwrap_or(b"/")
    }
}

/// One leading slash, no empty or `.` components.
fn clean(path: &[u8]) -> Vec<u8> {
    let parts: Vec<&[u8]> = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".").collect();
    [b"/", &parts.join(&b'/')[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_parse() {
        let parse = |text: &str| SnapshotReference::parse(text).map(|reference| reference.snapshot);
        assert_eq!(parse("latest"), Ok(SnapshotRef::Latest(0)));
        assert_eq!(parse("latest~2"), Ok(SnapshotRef::Latest(2)));
        assert_eq!(parse("AB12"), Ok(SnapshotRef::Id("ab12".to_owned())));
        assert_eq!(parse("20261121"), Ok(SnapshotRef::Id("20261121".to_owned())));
        assert!(matches!(parse("2026-11-21"), Ok(SnapshotRef::At(_))));
        assert!(matches!(parse("2026-11-21 10:00"), Ok(SnapshotRef::At(_))));
        for text in ["", "latest~", "latest~x", "newest", "xyz", &"a".repeat(65)] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn paths_split_off() {
        for (text, reference, path) in [
            ("latest", "latest", None),
            ("latest:/etc", "latest", Some("/etc")),
            ("latest:etc//x/./", "latest", Some("/etc/x")),
            ("latest:/a:b/c:/d", "latest", Some("/a:b/c:/d")),
            ("latest:a:b", "latest", Some("/a:b")),
            ("latest:", "latest", Some("/")),
            ("latest:/", "latest", Some("/")),
            ("ab12:/", "ab12", Some("/")),
            ("2026-11-21 10:00", "2026-11-21 10:00", None),
            ("2026-11-21 10:00:05:/x", "2026-11-21 10:00:05", Some("/x")),
            ("2026-11-21 10:00:x", "2026-11-21 10:00", Some("/x")),
        ] {
            let parsed = SnapshotPath::parse(OsStr::new(text)).unwrap();
            assert_eq!(parsed.snapshot.text, reference, "{text}");
            assert_eq!(parsed.path.as_deref(), path.map(str::as_bytes), "{text}");
        }
        for text in ["nonsense:/etc", "nonsense", ":/x", "nonsense:x"] {
            assert!(SnapshotPath::parse(OsStr::new(text)).is_err(), "{text}");
        }
        let bytes = OsStr::from_bytes(b"latest:/\xff");
        assert_eq!(SnapshotPath::parse(bytes).unwrap().path.as_deref(), Some(&b"/\xff"[..]));
    }
}
