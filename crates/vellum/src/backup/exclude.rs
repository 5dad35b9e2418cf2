//! What a backup leaves out.

use crate::filter::Filter;
use crate::platform::{FileKind, Names, SourceFolder, Stat};
use std::io::Read as _;
use vellum_format::tree::EntryName;

/// Files that mark a folder as a cache start like this (bford.info/cachedir).
const CACHE_TAG: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// What a backup leaves out.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Excludes {
    /// Paths that match.
    pub patterns: Filter,
    /// The content of folders that hold an entry of one of these names; the entry itself stays.
    pub if_present: Vec<Vec<u8>>,
    /// The content of folders with a valid `CACHEDIR.TAG`.
    pub caches: bool,
    /// Files longer than this.
    pub larger_than_bytes: Option<u64>,
    /// Folders on other file systems than their root.
    pub one_file_system: bool,
}

impl Excludes {
    pub(crate) fn excludes(&self, path: &[u8], stat: &Stat) -> bool {
        let too_large = stat.kind == FileKind::File && self.larger_than_bytes.is_some_and(|max| stat.len_bytes > max);
        too_large || self.patterns.matches(path)
    }

    /// The only names of a marked folder that are kept, or `None` when it is not marked.
    pub(crate) fn marker(&self, folder: &SourceFolder, names: &Names) -> Option<EntryName> {
        let find = |is_wanted: &dyn Fn(&[u8]) -> bool| {
            let name = names.iter().find(|name| is_wanted(name))?;
            Some(EntryName::new(name.to_vec()).expect("it is the name of an entry"))
        };
        let marker = find(&|name| self.if_present.iter().any(|marker| marker == name));
        let cache_tag = || find(&|name| self.caches && name == b"CACHEDIR.TAG").filter(|tag| is_cache_tag(folder, tag));
        marker.or_else(cache_tag)
    }
}

fn is_cache_tag(folder: &SourceFolder, name: &EntryName) -> bool {
    let mut start = Vec::new();
    folder
        .open_file(name)
        .and_then(|file| file.take(CACHE_TAG.len() as u64).read_to_end(&mut start))
        .is_ok_and(|_| start == CACHE_TAG)
}
