//! Progress on a terminal: a thread reads the operation's counters and draws them.

use crate::output::Output;
use crate::units::{count, size};
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// Starts to draw, if the output wants it. `noun` is what is counted, such as `file`.
    pub(crate) fn start(
        output: &Arc<Output>,
        progress: &Arc<Progress>,
        verb: &'static str,
        noun: &'static str,
    ) -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let thread = output.draws_progress().then(|| {
            let bar = ProgressBar::new(0).with_style(style(SPINNER)).with_prefix(verb);
            output.attach_bar(bar.clone());
            let (progress, ends) = (Arc::clone(progress), Arc::clone(&ends));
            std::thread::spawn(move || draw(&bar, &progress, noun, &ends))
        });
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
const BAR: &str = "{prefix} [{bar:24}] {percent:>3}%  {msg}  {bytes_per_sec}  ETA {eta}";

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.progress_chars("=> ")
}

fn draw(bar: &ProgressBar, progress: &Progress, noun: &str, ends: &AtomicBool) {
    let mut has_total = false;
    while !ends.load(Ordering::SeqCst) {
        let read = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
        let (files, bytes) = (read(&progress.files_total), read(&progress.bytes_total));
        let (files_done, bytes_done) = (read(&progress.files_done), read(&progress.bytes_done));
        let is_final = progress.scan_finished.load(Ordering::Relaxed);
        if is_final && !has_total && bytes > 0 {
            bar.set_style(style(BAR));
            has_total = true;
        }
        let so_far = if is_final { "" } else { ", still counting" };
        bar.set_length(bytes);
        bar.set_position(bytes_done.min(bytes));
        bar.set_message(format!(
            "{files_done} of {}, {} of {}{so_far}",
            count(files, noun),
            size(bytes_done),
            size(bytes)
        ));
        bar.tick();
        std::thread::park_timeout(INTERVAL);
    }
}
