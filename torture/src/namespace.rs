//! Mounts and processes of our own: when this program ends, however it ends, the kernel takes them all away.

use crate::failure::Failure;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The first word of the run inside.
const MARK: &str = "--inside-namespace";

/// Words of `unshare`.
const FLAGS: [&str; 8] =
    ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "--"];

/// Whether this is the run inside.
pub(crate) fn take_mark(words: &mut Vec<String>) -> bool {
    let is_inside = words.first().is_some_and(|word| word == MARK);
    if is_inside {
        words.remove(0);
    }
    is_inside
}

/// Suites that mount nothing run without where it cannot be had, as without root or in some containers: then a run that
/// is stopped leaves its processes to end by themselves.
pub(crate) fn is_needed(suite: &str) -> bool {
    let mounts_nothing = ["calls", "clocks", "kill", "processes", "stopped-writer"].contains(&suite);
    let is_possible = || Command::new("unshare").args(FLAGS).arg("true").output().is_ok_and(|ran| ran.status.success());
    !mounts_nothing || is_possible()
}

/// Becomes a run of this program inside; returns only when that is impossible.
pub(crate) fn enter(words: &[String]) -> Failure {
    if !rustix::process::geteuid().is_root() {
        return Failure::unfit("it mounts file systems and limits processes, and needs root");
    }
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(error) => return error.into(),
    };
    let error = Command::new("unshare").args(FLAGS).arg(own).arg(MARK).args(words).exec();
    Failure::unfit(format!("`unshare` of util-linux is needed: {error}"))
}
