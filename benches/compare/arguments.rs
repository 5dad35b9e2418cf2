//! `--name value` on the command line.

use crate::{Failure, USAGE};
use std::cell::Cell;
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

/// How many runs are measured before the rest is left to the next call.
pub(crate) struct Budget {
    left: Cell<u64>,
    is_over: Cell<bool>,
}

impl Budget {
    pub(crate) fn new(arguments: &mut Arguments) -> Result<Self, Failure> {
        Ok(Self { left: Cell::new(arguments.number("at-most", u64::MAX)?), is_over: Cell::new(false) })
    }

    /// Whether one more run may be measured.
    pub(crate) fn take(&self) -> bool {
        let left = self.left.get();
        self.is_over.set(left == 0);
        self.left.set(left.saturating_sub(1));
        left > 0
    }

    /// Says whether anything is left to measure.
    pub(crate) fn tell(&self) {
        eprintln!("{}", if self.is_over.get() { "there is more to measure: call it again" } else { "all is measured" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, Failure> {
        Arguments::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn a_budget_is_used_up_and_says_so() {
        let budget = Budget::new(&mut parse("--at-most 1").unwrap()).unwrap();
        assert!(budget.take() && !budget.is_over.get());
        assert!(!budget.take() && budget.is_over.get());
        assert!(Budget::new(&mut parse("").unwrap()).unwrap().take());
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
