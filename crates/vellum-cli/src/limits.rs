//! What the process may use of the system.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Allows as many open files as the system lets this process have: wide trees and many workers need them.
pub(crate) fn raise_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // The limit as it was is enough for most.
    let _ = setrlimit(Resource::Nofile, limit);
}
