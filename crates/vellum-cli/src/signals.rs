//! Ctrl-C and its relatives: the first asks the running operation to stop cleanly, the second ends the process at once.
//! What whoever started the process has had ignored, as `nohup` does, stays ignored.

use crate::exit_code::ExitCode;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use vellum::CancelToken;

/// Signal handlers for one operation. Before [`Signals::begin`] a signal ends the process with the same exit code
/// as an operation that was stopped.
pub(crate) struct Signals {
    cancel: CancelToken,
    ends_process: Arc<AtomicBool>,
}

impl Signals {
    /// Installs the handlers. Not before a password was asked for: at a prompt the system's own way is right.
    pub(crate) fn install() -> io::Result<Self> {
        let cancel = CancelToken::default();
        let ends_process = Arc::new(AtomicBool::new(true));
        let ignored = Ignored::read();
        for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|signal| !ignored.holds(*signal)) {
            // In this order: the first signal must not find what it sets itself.
            register_conditional_shutdown(signal, ExitCode::Interrupted as i32, Arc::clone(&ends_process))?;
            register(signal, Arc::clone(&ends_process))?;
            register(signal, cancel.flag())?;
        }
        Ok(Self { cancel, ends_process })
    }

    /// From now on the first signal only asks; the returned token hears it.
    pub(crate) fn begin(&self) -> CancelToken {
        self.ends_process.store(false, Ordering::SeqCst);
        self.cancel.clone()
    }
}

/// Signals that this process ignores, bit by bit from number 1.
struct Ignored(u64);

impl Ignored {
    /// As the kernel tells it; without `/proc` none is known to be.
    fn read() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self::of(&status)
    }

    fn of(status: &str) -> Self {
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        Self(mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default())
    }

    fn holds(&self, signal: i32) -> bool {
        u32::try_from(signal - 1).is_ok_and(|bit| self.0.checked_shr(bit).is_some_and(|rest| rest & 1 == 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_from_the_kernels_words() {
        let ignored = Ignored::of("Name:\tvellum\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\n");
        assert_eq!([SIGHUP, SIGINT, SIGTERM].map(|signal| ignored.holds(signal)), [true, false, false]);
        for status in ["", "SigIgn:\n", "SigIgn:\tx\n"] {
            assert!(!Ignored::of(status).holds(SIGHUP), "{status:?}");
        }
    }
}
