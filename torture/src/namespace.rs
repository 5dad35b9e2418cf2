//! Mounts and processes of our own: when this program ends, however it ends, the kernel takes them all away.

use crate::failure::Failure;
use std::process::Command;

/// The first word of the run inside.
const MARK: &str = "--inside-namespace";

/// Whether this is the run inside.
pub(crate) fn take_mark(words: &mut Vec<String>) -> bool {
    let is_inside = words.first().is_some_and(|word| word == MARK);
    if is_inside {
        words.remove(0);
    }
    is_inside
}

/// Runs this program again, inside, and tells whether all went well there.
pub(crate) fn enter(words: &[String]) -> Result<bool, Failure> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::unfit("it mounts file systems and limits processes, and needs root"));
    }
    let flags = ["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc", "--"];
    let status = Command::new("unshare").args(flags).arg(std::env::current_exe()?).arg(MARK).args(words).status();
    let status = status.map_err(|error| Failure::unfit(format!("`unshare` of util-linux is needed: {error}")))?;
    Ok(status.success())
}
