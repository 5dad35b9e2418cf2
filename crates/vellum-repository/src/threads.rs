//! Work that several threads share for a moment.

use crate::RepositoryError;
use vellum_faults::inherit;

/// Runs `work` in this thread and in others beside it, `threads` in all, until each has come back; a thread that cannot
/// be had only makes it slower.
///
/// # Errors
/// That of this thread, or the first of the others.
pub(crate) fn run_on(
    threads: usize,
    work: impl Fn() -> Result<(), RepositoryError> + Sync,
) -> Result<(), RepositoryError> {
    let work = &work;
    std::thread::scope(|scope| {
        let start = |_| {
            let hook = inherit();
            let run = move || {
                hook.install();
                work()
            };
            std::thread::Builder::new().spawn_scoped(scope, run).ok()
        };
        let others: Vec<_> = (1..threads).map_while(start).collect();
        let own = work();
        let join = |handle: std::thread::ScopedJoinHandle<'_, _>| {
            handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        others.into_iter().map(join).fold(own, Result::and)
    })
}
