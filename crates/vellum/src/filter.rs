//! Patterns that choose paths, with restic's meaning: a pattern with a leading `/` is anchored at the root, any other
//! matches at every depth; `**` crosses folders; `!` takes back; whatever is below an excluded folder is excluded.

use globset::{GlobBuilder, GlobMatcher};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// An ordered list of patterns; the last that matches decides.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone)]
struct Rule {
    matcher: GlobMatcher,
    takes_back: bool,
}

/// A pattern that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the pattern {pattern:?} cannot be used: {reason}")]
pub struct FilterError {
    /// The pattern.
    pub pattern: String,
    /// Why.
    pub reason: String,
}

impl Filter {
    /// Adds a pattern.
    ///
    /// # Errors
    /// [`FilterError`] when it does not parse or is empty.
    pub fn add(&mut self, pattern: &str, ignore_case: bool) -> Result<(), FilterError> {
        let unusable = |reason: String| FilterError { pattern: pattern.to_owned(), reason };
        let (takes_back, plain) = match pattern.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        let plain = if plain.len() > 1 { plain.trim_end_matches('/') } else { plain };
        if plain.is_empty() {
            return Err(unusable("it is empty".to_owned()));
        }
        let anchored = if plain.starts_with('/') { plain.to_owned() } else { format!("/**/{plain}") };
        let glob = GlobBuilder::new(&anchored)
            .literal_separator(true)
            .backslash_escape(true)
            .case_insensitive(ignore_case)
            .build()
            .map_err(|error| unusable(error.kind().to_string()))?;
        self.rules.push(Rule { matcher: glob.compile_matcher(), takes_back });
        Ok(())
    }

    /// Whether there is no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Whether the last pattern that matches this absolute path selects it.
    #[must_use]
    pub fn matches(&self, path: &[u8]) -> bool {
        let path = Path::new(OsStr::from_bytes(path));
        self.rules.iter().rev().find(|rule| rule.matcher.is_match(path)).is_some_and(|rule| !rule.takes_back)
    }

    /// Whether the path or a folder above it is selected.
    #[must_use]
    pub fn matches_with_parents(&self, path: &[u8]) -> bool {
        let folder_ends = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        folder_ends.chain([path.len()]).any(|end| self.matches(&path[..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(patterns: &[&str]) -> Filter {
        let mut filter = Filter::default();
        patterns.iter().for_each(|pattern| filter.add(pattern, false).unwrap());
        filter
    }

    #[test]
    fn patterns_mean_what_they_mean_elsewhere() {
        assert!(filter(&["*.o"]).matches(b"/a/b/c.o"));
        assert!(!filter(&["*.o"]).matches(b"/a/b.o/c"));
        assert!(filter(&["b/c"]).matches(b"/a/b/c"));
        assert!(!filter(&["/b/c"]).matches(b"/a/b/c"));
        assert!(filter(&["/a/*/c"]).matches(b"/a/b/c"));
        assert!(!filter(&["/a/*/c"]).matches(b"/a/b/b/c"));
        assert!(filter(&["/a/**/c"]).matches(b"/a/b/b/c"));
        assert!(filter(&["cache/"]).matches(b"/a/cache"));
        assert!(filter(&["*.o"]).matches(b"/a/\xff.o"), "names are bytes");
        assert!(!filter(&["*.o", "!keep.o"]).matches(b"/a/keep.o"), "the last match decides");
        assert!(filter(&["b"]).matches_with_parents(b"/a/b/c"));
    }

    #[test]
    fn bad_patterns_are_named() {
        let mut filter = Filter::default();
        assert_eq!(filter.add("[", false).unwrap_err().pattern, "[");
        assert!(filter.add("", false).is_err());
        assert!(filter.add("!", false).is_err());
    }
}
