//! Progress on a terminal: a thread reads the operation's counters and draws them.

use crate::output::Output;
use crate::units::{count, size};
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use vellum::Progress;

const INTERVAL: Duration = Duration::from_millis(100);

/// Draws until it is dropped.
#[must_use = "progress is drawn until this is dropped"]
pub(crate) struct ProgressDisplay {
    output: Arc<Output>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl ProgressDisplay {
    /// Starts to draw, if the output wants it. `noun` is what is counted, such as `file`; `expected` are files and
    /// bytes, where they are known before the operation has counted them.
    pub(crate) fn start(
        output: &Arc<Output>,
        progress: &Arc<Progress>,
        verb: &'static str,
        noun: &'static str,
        expected: Option<(u64, u64)>,
    ) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let draw_in_thread = || {
            let bar = ProgressBar::new(0).with_style(style(SPINNER)).with_prefix(verb);
            let (progress, ends) = (Arc::clone(progress), Arc::clone(&ends));
            let attached = bar.clone();
            let thread = std::thread::Builder::new().spawn(move || draw(&bar, &progress, noun, expected, &ends));
            // Without a thread there is no progress to see, which is all.
            thread.ok().inspect(|_| output.attach_bar(attached))
        };
        let thread = if output.draws_progress() { draw_in_thread() } else { None };
        Self { output: Arc::clone(output), ends, thread }
    }
}

impl Drop for ProgressDisplay {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            drop(thread.join());
            self.output.detach_bar();
        }
    }
}

const SPINNER: &str = "{spinner} {prefix} {elapsed}  {msg}";
const BAR: &str = "{prefix} {percent:>3}% [{wide_bar}] {msg}  {bytes_per_sec}  ETA {eta}";

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

fn draw(bar: &ProgressBar, progress: &Progress, noun: &str, expected: Option<(u64, u64)>, ends: &AtomicBool) {
    let mut has_total = false;
    while !ends.load(Ordering::SeqCst) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (mut files, mut bytes) = (read(&progress.files_total), read(&progress.bytes_total));
        let (files_done, bytes_done) = (read(&progress.files_done), read(&progress.bytes_done));
        let is_counted = progress.scan_finished.load(Ordering::Relaxed);
        if let Some((expected_files, expected_bytes)) = expected.filter(|_| !is_counted) {
            (files, bytes) = (files.max(expected_files), bytes.max(expected_bytes));
        }
        let is_known = is_counted || expected.is_some();
        if is_known && !has_total && bytes > 0 {
            bar.set_style(style(BAR));
            has_total = true;
        }
        let so_far = if is_known { "" } else { ", still counting" };
        bar.set_length(bytes);
        bar.set_position(bytes_done.min(bytes));
        bar.set_message(format!("{files_done}/{}, {}/{}{so_far}", count(files, noun), size(bytes_done), size(bytes)));
        bar.tick();
        std::thread::park_timeout(INTERVAL);
    }
}
