//! Work that several threads share.

use vellum_faults::inherit;

/// Runs `work` in this thread and in others beside it, `workers` in all, until each has come back. A thread that
/// cannot be had only makes it slower.
pub(crate) fn run_on(workers: usize, work: impl Fn() + Sync) {
    let work = &work;
    std::thread::scope(|scope| {
        let start = |_| {
            let hook = inherit();
            let run = move || {
                hook.install();
                work();
            };
            std::thread::Builder::new().spawn_scoped(scope, run).ok()
        };
        (1..workers).map_while(start).for_each(drop);
        work();
    });
}
