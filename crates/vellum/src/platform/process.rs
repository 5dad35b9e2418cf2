//! Which process this is, and whether another one still runs.

use rustix::process::{Pid, test_kill_process};
use vellum_format::Bytes;
use vellum_format::deletion::ProcessMark;
use vellum_repository::ProcessFate;

/// This process; nothing where the system does not say enough.
pub(crate) fn current() -> Option<ProcessMark> {
    let process = std::process::id();
    let machine = std::fs::read("/etc/machine-id").unwrap_or_default();
    Some(ProcessMark {
        machine: Bytes(machine.trim_ascii().to_vec()),
        boot: Bytes(boot()?),
        process,
        started: stat(process)?.1,
    })
}

/// What became of a process, as far as this one can tell.
pub(crate) fn fate(mark: &ProcessMark) -> ProcessFate {
    match current() {
        Some(own) if own.boot == mark.boot => match has_ended(mark) {
            true => ProcessFate::Ended,
            false => ProcessFate::Unknown,
        },
        Some(own) if own.machine == mark.machine && !own.machine.0.is_empty() && !same_start(&own, mark) => {
            ProcessFate::Rebooted
        }
        _ => ProcessFate::Unknown,
    }
}

/// Whether two marks of one machine are of the same start, in whichever process namespace.
fn same_start(own: &ProcessMark, mark: &ProcessMark) -> bool {
    let start = |mark: &ProcessMark| mark.boot.0.split(|byte| *byte == b' ').next().map(<[u8]>::to_vec);
    start(own) == start(mark)
}

fn has_ended(mark: &ProcessMark) -> bool {
    let Some(pid) = i32::try_from(mark.process).ok().and_then(Pid::from_raw) else { return false };
    // A process of somebody else may be hidden below /proc, but never from a signal.
    match test_kill_process(pid) {
        Err(rustix::io::Errno::SRCH) => true,
        _ => stat(mark.process).is_some_and(|(state, started)| started != mark.started || matches!(state, b'Z' | b'X')),
    }
}

/// The id of this start of the machine, and of the namespace that process numbers are counted in.
fn boot() -> Option<Vec<u8>> {
    let boot = std::fs::read("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    Some([boot.trim_ascii(), b" ", namespace.as_os_str().as_encoded_bytes()].concat())
}

/// A process's state, and when it was started in ticks since the machine was: the fields 3 and 22 of its `stat`.
fn stat(process: u32) -> Option<(u8, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_runs_is_not_gone_and_one_that_ended_is() {
        let own = current().expect("this system tells");
        assert_eq!(fate(&own), ProcessFate::Unknown);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let process = child.id();
        let mark = ProcessMark { process, started: stat(process).unwrap().1, ..own.clone() };
        while fate(&mark) != ProcessFate::Ended {
            std::thread::yield_now(); // it ends at once, and is a zombie until somebody waits for it
        }
        child.wait().unwrap();
        assert_eq!(fate(&mark), ProcessFate::Ended);
        let another_start = ProcessMark { started: own.started + 1, ..own };
        assert_eq!(fate(&another_start), ProcessFate::Ended, "its number was used again");
    }

    #[test]
    fn only_the_same_machine_tells_anything() {
        let own = current().expect("this system tells");
        let elsewhere =
            ProcessMark { machine: Bytes(b"other".to_vec()), boot: Bytes(b"b pid".to_vec()), ..own.clone() };
        assert_eq!(fate(&elsewhere), ProcessFate::Unknown);
        let start = own.boot.0.split(|byte| *byte == b' ').next().unwrap().to_vec();
        let container = ProcessMark { boot: Bytes([&start[..], b" pid:[1]"].concat()), ..own.clone() };
        assert_eq!(fate(&container), ProcessFate::Unknown, "numbers of another namespace mean nothing here");
        let before = ProcessMark { boot: Bytes(b"another-start pid:[1]".to_vec()), ..own.clone() };
        let expected = if own.machine.0.is_empty() { ProcessFate::Unknown } else { ProcessFate::Rebooted };
        assert_eq!(fate(&before), expected);
    }
}
