//! Faults at the n-th system call: the Rust side of `inject.c`, which says how it works.

use crate::failure::Failure;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The calls that change a file system.
pub(crate) const CHANGING: &str = "open,openat,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,\
    rmdir,write,pwrite64,writev,fsync,fdatasync,syncfs,ftruncate,fallocate,copy_file_range";

/// What one run is to suffer.
#[derive(Debug, Clone)]
pub(crate) struct Injection {
    /// Only calls on paths below this.
    pub(crate) below: Option<PathBuf>,
    /// Names of system calls, separated by commas.
    pub(crate) calls: String,
    /// As in `inject.c`: `0`, `7` or `7+`.
    pub(crate) when: String,
    /// As in `inject.c`.
    pub(crate) action: String,
}

impl Injection {
    /// Counts and does nothing else.
    pub(crate) fn count(calls: &str) -> Self {
        Self { below: None, calls: calls.to_owned(), when: "0".to_owned(), action: "kill".to_owned() }
    }

    /// Does this at the n-th of the calls.
    pub(crate) fn at(calls: &str, n: u64, action: impl Into<String>) -> Self {
        Self { below: None, calls: calls.to_owned(), when: n.to_string(), action: action.into() }
    }
}

/// The compiled `inject.c`.
#[derive(Debug, Clone)]
pub(crate) struct Injector {
    binary: PathBuf,
}

impl Injector {
    /// Compiles it into a folder and tries it.
    pub(crate) fn compile(folder: &Path) -> Result<Self, Failure> {
        let (source, binary) = (folder.join("inject.c"), folder.join("inject"));
        fs::write(&source, include_str!("inject.c"))?;
        let compiled = Command::new("cc").arg("-O2").arg("-o").args([&binary, &source]).output();
        let compiled = compiled.map_err(|error| Failure::unfit(format!("a C compiler `cc` is needed: {error}")))?;
        if !compiled.status.success() {
            let said = String::from_utf8_lossy(&compiled.stderr);
            return Err(Failure::unfit(format!("inject.c cannot be compiled: {said}")));
        }
        let injector = Self { binary };
        injector.prove(folder)?;
        Ok(injector)
    }

    /// A failing `open` of a program that does little else, because kernels may be built without what this needs.
    fn prove(&self, folder: &Path) -> Result<(), Failure> {
        let report = folder.join("proof");
        let injection = Injection { below: Some(folder.to_owned()), ..Injection::at("open,openat", 1, "error:5") };
        let mut words = self.prefix(&injection, &report);
        words.extend(["cat".into(), self.binary.clone().into_os_string()]);
        let ran = Command::new(&words[0]).args(&words[1..]).env("LC_ALL", "C").output()?;
        let said = String::from_utf8_lossy(&ran.stderr);
        if Report::read(&report).hits.len() == 1 && said.contains("Input/output error") {
            return Ok(());
        }
        Err(Failure::unfit(format!("system calls cannot be tampered with here (seccomp user notification): {said}")))
    }

    /// The words before a program's own.
    pub(crate) fn prefix(&self, injection: &Injection, report: &Path) -> Vec<OsString> {
        let below = injection.below.clone().map_or_else(|| "-".into(), PathBuf::into_os_string);
        let (calls, when) = (injection.calls.clone(), injection.when.clone());
        let words = [self.binary.clone().into(), "run".into(), report.as_os_str().to_owned(), below];
        words.into_iter().chain([calls, when, injection.action.clone(), "--".to_owned()].map(OsString::from)).collect()
    }

    /// Takes the power from a mounted ext4 or XFS: what was not synced is lost, and nothing works any more.
    pub(crate) fn cut(&self, mount: &Path) -> Result<(), Failure> {
        let done = Command::new(&self.binary).arg("cut").arg(mount).output()?;
        match done.status.success() {
            true => Ok(()),
            false => Err(Failure::unfit(format!("no power cut: {}", String::from_utf8_lossy(&done.stderr)))),
        }
    }
}

/// What `inject.c` saw.
#[derive(Debug, Clone, Default)]
pub(crate) struct Report {
    /// How often each call was made.
    pub(crate) counts: BTreeMap<String, u64>,
    /// The program's process, once it was tampered with.
    pub(crate) process: Option<i32>,
    /// The calls that were tampered with: name and path.
    pub(crate) hits: Vec<(String, String)>,
}

impl Report {
    /// Reads a report, as far as it is written already.
    pub(crate) fn read(path: &Path) -> Self {
        let mut report = Self::default();
        let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
        for line in text.lines() {
            match line.splitn(4, ' ').collect::<Vec<_>>()[..] {
                ["count", call, n] => drop(report.counts.insert(call.to_owned(), n.parse().unwrap_or_default())),
                ["child", process] => report.process = process.parse().ok(),
                ["hit", call, _, path] => report.hits.push((call.to_owned(), path.to_owned())),
                _ => {}
            }
        }
        report
    }

    /// All calls together.
    pub(crate) fn total(&self) -> u64 {
        self.counts.values().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_fails_as_it_was_told_to_and_the_others_do_not() {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let injector = Injector::compile(folder.path()).expect("a compiler and seccomp");
        let (file, report) = (folder.path().join("file"), folder.path().join("report"));
        let append = "echo a >> \"$1\"; echo b >> \"$1\"; echo c >> \"$1\"";
        let injection = Injection { below: Some(file.clone()), ..Injection::at("write", 2, "error:28") };
        let mut words = injector.prefix(&injection, &report);
        words.extend(["sh", "-c", append, "sh"].map(OsString::from));
        let ran = Command::new(&words[0]).args(&words[1..]).arg(&file).output().expect("a shell");
        assert_eq!(fs::read_to_string(&file).expect("the file"), "a\nc\n", "{ran:?}");
        let report = Report::read(&report);
        assert_eq!((report.counts["write"], report.hits.len(), report.total()), (3, 1, 3));
        assert_eq!(report.hits[0], ("write".to_owned(), file.display().to_string()));
    }
}
