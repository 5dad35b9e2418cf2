//! What tests do at points, for each thread apart.

use crate::Point;
use std::cell::RefCell;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

/// What happens at a point; an error is returned there.
type Hook = Arc<Mutex<dyn FnMut(Point) -> io::Result<()> + Send>>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Tells that a point was reached; the error that the hook of this thread wants there.
///
/// While the hook runs this thread has none: it may run the same code for somebody else.
///
/// # Errors
/// What the hook returns.
pub fn reach(point: Point) -> io::Result<()> {
    let Some(hook) = HOOK.take() else { return Ok(()) };
    let done = hook.lock().unwrap_or_else(PoisonError::into_inner)(point);
    HOOK.set(Some(hook));
    done
}

/// Runs `work` with a hook in this thread, which takes the place of any other until then.
pub fn with_hook<T>(hook: impl FnMut(Point) -> io::Result<()> + Send + 'static, work: impl FnOnce() -> T) -> T {
    let before = Restored(HOOK.replace(Some(Arc::new(Mutex::new(hook)))));
    let done = work();
    drop(before);
    done
}

/// Puts a hook back, also when the work panics.
struct Restored(Option<Hook>);

impl Drop for Restored {
    fn drop(&mut self) {
        HOOK.set(self.0.take());
    }
}

/// The same work for another thread, with the hook of this one.
pub fn inheriting<T, F: FnOnce() -> T>(work: F) -> impl FnOnce() -> T {
    let hook = HOOK.with_borrow(Clone::clone);
    move || {
        HOOK.set(hook);
        work()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn a_hook_is_of_its_thread_and_of_those_that_inherit_it() {
        let count = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&count);
        let hook = move |point: Point| {
            counter.fetch_add(1, Ordering::Relaxed);
            reach(point).expect("while a hook runs there is none");
            Err(io::Error::other(point.name()))
        };
        with_hook(hook, || {
            let is_stopped = || reach(Point::ALL[0]).is_err();
            assert!(is_stopped());
            assert!(!std::thread::spawn(is_stopped).join().unwrap());
            assert!(std::thread::spawn(inheriting(is_stopped)).join().unwrap());
        });
        assert!(reach(Point::ALL[0]).is_ok());
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}
