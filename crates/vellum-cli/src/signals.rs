//! Ctrl-C and its relatives: the first asks the running operation to stop cleanly, the second ends the process at once.

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
        for signal in [SIGINT, SIGTERM, SIGHUP] {
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
