//! Work that several threads share for a moment.

use vellum_faults::inheriting;

/// Runs `work` in this thread and in others beside it, `threads` in all, until each has come back, and gives what they
/// return, this thread's first. A thread that cannot be had only makes it slower; a panic goes on here.
pub fn run_on<T: Send>(threads: usize, work: impl Fn() -> T + Sync) -> Vec<T> {
    let work = &work;
    std::thread::scope(|scope| {
        let start = |_| std::thread::Builder::new().spawn_scoped(scope, inheriting(work)).ok();
        let others: Vec<_> = (1..threads).map_while(start).collect();
        let own = work();
        let join = |handle: std::thread::ScopedJoinHandle<'_, T>| {
            handle.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        std::iter::once(own).chain(others.into_iter().map(join)).collect()
    })
}
