//! `--name value` on the command line.

use crate::{Failure, USAGE};
use std::path::PathBuf;

/// What was given and not taken yet.
pub(crate) struct Arguments(Vec<(String, String)>);

impl Arguments {
    pub(crate) fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut pairs = Vec::new();
        while let Some(word) = words.next() {
            let name = word.strip_prefix("--").ok_or(USAGE)?;
            pairs.push((name.to_owned(), words.next().ok_or_else(|| format!("--{name} needs a value\n{USAGE}"))?));
        }
        Ok(Self(pairs))
    }

    /// Each value of an option that may be given several times.
    pub(crate) fn all(&mut self, name: &str) -> Vec<String> {
        let (taken, rest) = std::mem::take(&mut self.0).into_iter().partition(|(given, _)| given == name);
        self.0 = rest;
        let taken: Vec<(String, String)> = taken;
        taken.into_iter().map(|(_, value)| value).collect()
    }

    pub(crate) fn one(&mut self, name: &str) -> Option<String> {
        self.all(name).pop()
    }

    pub(crate) fn path(&mut self, name: &str) -> Result<PathBuf, Failure> {
        let value = self.one(name).ok_or_else(|| format!("--{name} is missing\n{USAGE}"))?;
        Ok(std::path::absolute(value)?)
    }

    pub(crate) fn number(&mut self, name: &str, default: u64) -> Result<u64, Failure> {
        let Some(value) = self.one(name) else { return Ok(default) };
        Ok(value.parse().map_err(|error| format!("--{name} {value}: {error}"))?)
    }

    /// Refuses what nobody took.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => Err(format!("--{name} is not known here\n{USAGE}").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, Failure> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_have_values_and_unknown_ones_are_refused() {
        let mut arguments = parse("--set a=1,2 --rounds 3 --set b=3,4 --other x").unwrap();
        assert_eq!(arguments.all("set"), ["a=1,2", "b=3,4"]);
        assert_eq!(arguments.number("rounds", 1).unwrap(), 3);
        assert_eq!(arguments.number("bytes", 7).unwrap(), 7);
        assert!(arguments.path("work").is_err() && arguments.finish().is_err());
        assert!(parse("--rounds").is_err() && parse("rounds 3").is_err());
        assert!(parse("--rounds many").unwrap().number("rounds", 1).is_err());
    }
}
