//! The names of a folder's entries, close together: those of ten million files take some 200 MB instead of 560.

use vellum_format::FormatError;
use vellum_format::tree::EntryName;

/// Bytes before each name that say how long it is.
const LEN_BYTES: usize = 2;

/// Names of entries, given out one after the other.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Each with its length before it.
    bytes: Vec<u8>,
    /// Where each begins, in the order in which they are given out.
    starts: Vec<usize>,
    next: usize,
}

impl Names {
    /// Takes a name from the kernel.
    ///
    /// # Errors
    /// [`FormatError::Inconsistent`] for what no entry can be called.
    pub(super) fn push(&mut self, name: &[u8]) -> Result<(), FormatError> {
        EntryName::check(name)?;
        let len = u16::try_from(name.len()).expect("a name that was checked is shorter");
        self.starts.push(self.bytes.len());
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(name);
        Ok(())
    }

    /// Sorts the names by their bytes. One that was pushed twice comes once.
    pub(super) fn sort(&mut self) {
        let Self { bytes, starts, .. } = self;
        starts.sort_unstable_by(|a, b| name_at(bytes, *a).cmp(name_at(bytes, *b)));
        starts.dedup_by(|a, b| name_at(bytes, *a) == name_at(bytes, *b));
    }

    /// Whether a name is among those that were not given out yet; they must have been sorted.
    pub(super) fn contains(&self, name: &[u8]) -> bool {
        self.starts[self.next..].binary_search_by(|start| name_at(&self.bytes, *start).cmp(name)).is_ok()
    }

    /// The names that were not given out yet.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.starts[self.next..].iter().map(|start| name_at(&self.bytes, *start))
    }
}

fn name_at(bytes: &[u8], start: usize) -> &[u8] {
    let (len, rest) = bytes[start..].split_first_chunk::<LEN_BYTES>().expect("a length stands before each name");
    &rest[..usize::from(u16::from_le_bytes(*len))]
}

impl Iterator for Names {
    type Item = EntryName;

    fn next(&mut self) -> Option<EntryName> {
        let start = *self.starts.get(self.next)?;
        self.next += 1;
        Some(EntryName::new(name_at(&self.bytes, start).to_vec()).expect("it was checked when it was pushed"))
    }
}

impl FromIterator<EntryName> for Names {
    fn from_iter<T: IntoIterator<Item = EntryName>>(entries: T) -> Self {
        let mut names = Self::default();
        for name in entries {
            names.push(name.as_bytes()).expect("the name of an entry is one");
        }
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl<T: AsRef<[EntryName]>> PartialEq<T> for Names {
        fn eq(&self, other: &T) -> bool {
            self.iter().eq(other.as_ref().iter().map(EntryName::as_bytes))
        }
    }

    #[test]
    fn names_come_sorted_and_each_once() {
        let mut names = Names::default();
        let long = [b'b'; 255];
        for name in [&b"b"[..], b"a", &long, b"\xff", b"b", b"ab"] {
            names.push(name).unwrap();
        }
        assert!(names.push(b"a/b").is_err());
        names.sort();
        let sorted = [&b"a"[..], b"ab", b"b", &long, b"\xff"];
        assert_eq!(names.iter().collect::<Vec<_>>(), sorted);
        assert!(sorted.iter().all(|name| names.contains(name)) && !names.contains(b"B") && !names.contains(b""));
        assert_eq!(names.next().unwrap().as_bytes(), b"a");
        assert_eq!(names.iter().collect::<Vec<_>>(), sorted[1..]);
        assert_eq!(names.map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>(), sorted[1..]);
    }
}
