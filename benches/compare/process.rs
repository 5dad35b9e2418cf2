//! Running one command and what it took.

use crate::Failure;
use crate::figures::Cost;
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use wait4::Wait4 as _;

/// Where commands run and what they find in their environment.
pub(crate) struct Desk {
    folder: PathBuf,
    variables: Vec<(&'static str, OsString)>,
}

impl Desk {
    pub(crate) fn new(folder: &Path, variables: Vec<(&'static str, OsString)>) -> Self {
        Self { folder: folder.to_owned(), variables }
    }

    /// Runs a line of shell words in a folder until the file system has everything on its disk.
    ///
    /// The memory is that of the largest process, and never less than this program's own few megabytes, because a
    /// process begins as a copy of who started it.
    pub(crate) fn run(&self, line: &str, current: &Path) -> Result<Cost, Failure> {
        let log = self.folder.join("log");
        let disk = File::open(&self.folder)?;
        // What others left unwritten is not part of it.
        rustix::fs::syncfs(&disk)?;
        let begun = Instant::now();
        let mut command = Command::new("sh");
        command.args(["-e", "-c", line]).current_dir(current).stdin(Stdio::null());
        command.stdout(File::create(self.folder.join("output"))?).stderr(File::create(&log)?);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let used = command.spawn().map_err(|error| format!("sh: {error}"))?.wait4()?;
        rustix::fs::syncfs(&disk)?;
        let wall = begun.elapsed().as_secs_f64();
        if !used.status.success() {
            let told = String::from_utf8_lossy(&std::fs::read(&log)?).into_owned();
            return Err(format!("{line}\nends with {}:\n{told}", used.status).into());
        }
        let cpu = (used.rusage.utime + used.rusage.stime).as_secs_f64();
        Ok(Cost { wall, cpu, peak_bytes: used.rusage.maxrss })
    }
}

/// A path as one word of a shell's line.
pub(crate) fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

/// The first line that a program prints about itself, if it is there.
pub(crate) fn first_line(program: &str, option: &str) -> Option<String> {
    let output = Command::new(program).arg(option).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim_matches(['*', ' ']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_costs_something_and_a_failed_one_says_why() {
        let folder = tempfile::tempdir().unwrap();
        let desk = Desk::new(folder.path(), vec![("WORD", "hello".into())]);
        let cost = desk.run("test \"$WORD\" = hello && echo >file", folder.path()).unwrap();
        assert!(cost.peak_bytes > 0 && folder.path().join("file").exists());
        let failed = desk.run("echo because >&2; exit 3", folder.path()).unwrap_err().to_string();
        assert!(failed.contains("because") && failed.contains('3'), "{failed}");
        assert_eq!(quoted(Path::new("/a'b c")), r"'/a'\''b c'");
    }
}
