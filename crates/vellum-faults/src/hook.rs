//! What tests do at points, for each thread apart.

use crate::Point;
use std::cell::RefCell;
use std::fmt;
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

/// The hook of a thread, for one that it starts.
#[derive(Clone)]
pub struct Inherited(Option<Hook>);

impl fmt::Debug for Inherited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Inherited").field(&self.0.is_some()).finish()
    }
}

/// The hook of this thread, for one that it starts.
#[must_use]
pub fn inherit() -> Inherited {
    Inherited(HOOK.with_borrow(Clone::clone))
}

impl Inherited {
    /// Hangs it into this thread.
    pub fn install(self) {
        HOOK.set(self.0);
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
            let reached = |inherited: Option<Inherited>| {
                std::thread::spawn(move || {
                    inherited.into_iter().for_each(Inherited::install);
                    reach(Point::ALL[0]).is_err()
                })
            };
            assert!(reach(Point::ALL[0]).is_err());
            assert!(!reached(None).join().unwrap());
            assert!(reached(Some(inherit())).join().unwrap());
        });
        assert!(reach(Point::ALL[0]).is_ok());
        assert_eq!(count.load(Ordering::Relaxed), 2);
    }
}
