//! Where a run tells what it did: results on standard output, everything else on standard error.

use crate::args::GlobalArgs;
use crate::paths::printable;
use crate::render::json::Line;
use crate::report::Failure;
use crate::settings::Variables;
use indicatif::ProgressBar;
use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Standard output and standard error, shared by the threads of a run.
///
/// When the reader of standard output hangs up, the rest is swallowed: what was done is done.
pub(crate) struct Output {
    /// One JSON object a line instead of text.
    pub(crate) is_json: bool,
    /// Only errors and warnings.
    pub(crate) is_quiet: bool,
    /// How much more to tell.
    pub(crate) verbosity: u8,
    has_colour: bool,
    stdout: Mutex<Stream>,
    bar: Mutex<Option<ProgressBar>>,
}

struct Stream {
    stdout: BufWriter<Stdout>,
    failure: Option<io::Error>,
}

impl Output {
    /// As flags, variables and terminals want it.
    pub(crate) fn new(global: &GlobalArgs, variables: &Variables) -> Self {
        Self {
            is_json: global.json || variables.wants_json(),
            is_quiet: global.quiet,
            verbosity: global.verbose,
            has_colour: io::stderr().is_terminal() && !variables.forbids_colour(),
            stdout: Mutex::new(Stream { stdout: BufWriter::new(io::stdout()), failure: None }),
            bar: Mutex::default(),
        }
    }

    /// Whether progress is to be drawn.
    pub(crate) fn draws_progress(&self) -> bool {
        !self.is_json && !self.is_quiet && io::stderr().is_terminal()
    }

    /// A result for people, line end included or not.
    pub(crate) fn result(&self, text: &str) {
        self.write(text.as_bytes(), !text.ends_with('\n'), false);
    }

    /// What a run that succeeded says for people, unless it shall be quiet.
    pub(crate) fn summary(&self, text: &str) {
        if !self.is_quiet {
            self.result(text);
        }
    }

    /// A result for programs.
    pub(crate) fn json(&self, line: &Line<'_>) {
        self.write(&line.encode(), true, false);
    }

    /// Something that programs may want to hear of at once.
    pub(crate) fn json_event(&self, line: &Line<'_>) {
        self.write(&line.encode(), true, true);
    }

    /// A warning: something is not as it should be, and the run goes on.
    pub(crate) fn warn(&self, message: &str) {
        match self.is_json {
            true => self.json_event(&Line::Warning { message }),
            false => self.tell(&format!("{} {message}", self.coloured("warning:", "33;1"))),
        }
    }

    /// A warning with what it means and what to try.
    pub(crate) fn warn_in_full(&self, message: &str, meaning: &str, hint: &str) {
        match self.is_json {
            true => self.json_event(&Line::FullWarning { message, meaning, hint }),
            false => self.warn(&format!("{message}\n  means: {meaning}\n  try:   {hint}")),
        }
    }

    /// A remark on standard error, unless the run shall be quiet.
    pub(crate) fn note(&self, text: &str) {
        if !self.is_quiet && !self.is_json {
            self.tell(text);
        }
    }

    /// Three lines, or one object, about why the run failed; lines if the object would go where nothing can be written.
    pub(crate) fn failure(&self, failure: &Failure) {
        if self.is_json && !failure.is_about_output() {
            return self.json_event(&Line::error(failure));
        }
        let Failure { message, meaning, hint, .. } = failure;
        let message = printable(message.as_bytes());
        self.tell(&format!("{} {message}\n  means: {meaning}\n  try:   {hint}", self.coloured("error:", "31;1")));
    }

    /// Writes out what is buffered.
    ///
    /// # Errors
    /// The first error of standard output, but for a reader that has hung up.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let mut stream = self.stream();
        let flushed = stream.stdout.flush();
        let failure = stream.failure.take().or(flushed.err());
        match failure {
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::output(&error)),
            _ => Ok(()),
        }
    }

    /// Whether nobody reads standard output any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.stream().failure.is_some()
    }

    /// Draws `bar` from now on, below everything that is told.
    pub(crate) fn attach_bar(&self, bar: ProgressBar) {
        *self.bar() = Some(bar);
    }

    /// Draws no progress any more.
    pub(crate) fn detach_bar(&self) {
        if let Some(bar) = self.bar().take() {
            bar.finish_and_clear();
        }
    }

    fn tell(&self, text: &str) {
        let mut stream = self.stream();
        if stream.failure.is_none() {
            // What was said before must stand before.
            stream.failure = stream.stdout.flush().err();
        }
        drop(stream);
        // There is nobody left to tell when standard error fails.
        self.around_bar(|| drop(writeln!(io::stderr(), "{text}")));
    }

    fn around_bar(&self, write: impl FnOnce()) {
        match &*self.bar() {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn write(&self, bytes: &[u8], ends_line: bool, flushes: bool) {
        self.around_bar(|| {
            let mut stream = self.stream();
            if stream.failure.is_some() {
                return;
            }
            let stdout = &mut stream.stdout;
            let end: &[u8] = if ends_line { b"\n" } else { b"" };
            let written = stdout.write_all(bytes).and_then(|()| stdout.write_all(end));
            let written = written.and_then(|()| if flushes { stdout.flush() } else { Ok(()) });
            stream.failure = written.err();
        });
    }

    fn coloured(&self, text: &str, code: &str) -> String {
        match self.has_colour {
            true => format!("\x1b[{code}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.stdout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bar(&self) -> MutexGuard<'_, Option<ProgressBar>> {
        self.bar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
