//! The binary under torture: what it can do, and runs of it.

use crate::failure::{Failure, Harm};
use crate::inject::{Injection, Injector, Report};
use rustix::process::{Pid, Signal};
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A run that takes longer hangs. No run takes a hundredth of it on a machine that does nothing else.
const HANGS_AFTER: Duration = Duration::from_secs(300);

/// Verbs that not every version has.
const VERBS: [&str; 4] = ["forget", "prune", "repair", "key"];

/// The binary.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    verbs: BTreeSet<&'static str>,
}

impl Program {
    /// Finds out what it can do.
    pub(crate) fn find(path: &Path) -> Result<Self, Failure> {
        let helps = |words: &[&str]| Command::new(path).args(words).stdin(Stdio::null()).output();
        let helped = helps(&["help"]).map_err(|error| Failure::unfit(format!("{}: {error}", path.display())))?;
        if !helped.status.success() {
            return Err(Failure::unfit(format!("{} is no vellum", path.display())));
        }
        let mut verbs = BTreeSet::new();
        for verb in VERBS {
            if helps(&["help", verb])?.status.success() {
                verbs.insert(verb);
            }
        }
        Ok(Self { path: path.to_owned(), verbs })
    }

    /// Whether it has a verb of [`VERBS`].
    pub(crate) fn has(&self, verb: &str) -> bool {
        self.verbs.contains(verb)
    }

    /// Refuses to go on without these verbs.
    pub(crate) fn needs(&self, verbs: &[&str]) -> Result<(), Failure> {
        match verbs.iter().find(|verb| !self.has(verb)) {
            Some(verb) => Err(Failure::unfit(format!("this vellum has no verb `{verb}`, which this suite is about"))),
            None => Ok(()),
        }
    }
}

/// A run that is about to be started.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    words: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    folder: PathBuf,
    number: u64,
    report: Option<PathBuf>,
}

impl Call {
    /// A run with nothing but these variables in its environment; what it prints goes through files in `folder`.
    pub(crate) fn new(program: &Program, variables: Vec<(&'static str, OsString)>, folder: &Path) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { words: vec![program.path.clone().into()], variables, folder: folder.to_owned(), number, report: None }
    }

    /// One more argument.
    pub(crate) fn arg(mut self, word: impl AsRef<OsStr>) -> Self {
        self.words.push(word.as_ref().to_owned());
        self
    }

    /// Further arguments.
    pub(crate) fn args<S: AsRef<OsStr>>(self, words: impl IntoIterator<Item = S>) -> Self {
        words.into_iter().fold(self, Self::arg)
    }

    /// Another value for a variable.
    pub(crate) fn variable(mut self, name: &'static str, value: impl AsRef<OsStr>) -> Self {
        self.variables.retain(|(known, _)| *known != name);
        self.variables.push((name, value.as_ref().to_owned()));
        self
    }

    /// Started by another program, whose words come first.
    pub(crate) fn through<S: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        let own = std::mem::take(&mut self.words);
        self.words = words.into_iter().map(|word| word.as_ref().to_owned()).chain(own).collect();
        self
    }

    /// With faults.
    pub(crate) fn suffering(mut self, injector: &Injector, injection: &Injection) -> Self {
        let report = self.file("report");
        self.report = Some(report.clone());
        self.through(injector.prefix(injection, &report))
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("run-{}.{kind}", self.number))
    }

    /// Starts it.
    pub(crate) fn start(self) -> Result<Running, Failure> {
        let (stdout, stderr) = (File::create(self.file("out"))?, File::create(self.file("err"))?);
        let child = Command::new(&self.words[0])
            .args(&self.words[1..])
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(stderr)
            // Ctrl-C is for the suite, which ends after the case.
            .process_group(0)
            .spawn()?;
        Ok(Running { child, call: self, started: Instant::now() })
    }

    /// Starts it and waits for its end.
    pub(crate) fn run(self) -> Result<Ran, Failure> {
        self.start()?.wait()
    }
}

/// A run that was started.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    call: Call,
    started: Instant,
}

impl Running {
    /// The id of the process, which is that of the program if nothing else starts it.
    pub(crate) fn id(&self) -> i32 {
        i32::try_from(self.child.id()).expect("process ids are small")
    }

    /// Sends a signal; to who ended meanwhile, nothing.
    pub(crate) fn signal(&self, signal: Signal) {
        let process = Pid::from_raw(self.id()).expect("a child has a process id");
        // Who ended meanwhile does not mind.
        rustix::process::kill_process(process, signal).ok();
    }

    /// What `inject.c` has seen so far.
    pub(crate) fn report(&self) -> Report {
        self.call.report.as_deref().map(Report::read).unwrap_or_default()
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> Result<bool, Failure> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// Waits for its end. One that does not end is killed and a failure.
    pub(crate) fn wait(mut self) -> Result<Ran, Failure> {
        let mut pause = Duration::from_micros(200);
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if self.started.elapsed() > HANGS_AFTER {
                self.child.kill()?;
                let words = words(&self.call);
                return Err(Failure::new(Harm::Crashed, format!("no end after {HANGS_AFTER:?}: {words}")));
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        };
        let text = |kind: &str| -> Result<String, Failure> {
            let path = self.call.file(kind);
            let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
            fs::remove_file(path)?;
            Ok(text)
        };
        let (stdout, stderr, report) = (text("out")?, text("err")?, self.report());
        if let Some(report) = &self.call.report {
            fs::remove_file(report)?;
        }
        let (code, signal) = (status.code(), status.signal());
        let took = self.started.elapsed();
        Ok(Ran { words: words(&self.call), code, signal, stdout, stderr, report, took })
    }
}

impl Drop for Running {
    /// Nothing is left behind by a series that failed.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

fn words(call: &Call) -> String {
    let words: Vec<_> = call.words.iter().map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// A run that has ended.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    pub(crate) words: String,
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) report: Report,
    pub(crate) took: Duration,
}

impl Ran {
    /// The JSON objects that it printed. A last line that was cut short is none.
    pub(crate) fn lines(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// The lines of one type.
    pub(crate) fn lines_of(&self, kind: &str) -> Vec<serde_json::Value> {
        self.lines().into_iter().filter(|line| line["type"] == kind).collect()
    }

    /// Refuses panics, crashes and failures that name nothing. To end when a signal asks for it is no crash.
    pub(crate) fn expect_clean_end(&self) -> Result<(), Failure> {
        let ends = [Signal::KILL, Signal::INT, Signal::TERM].map(Signal::as_raw);
        let is_crash = self.signal.is_some_and(|signal| !ends.contains(&signal));
        if is_crash || self.stderr.contains("panicked at") || matches!(self.code, Some(97..=101)) {
            return Err(self.failure(Harm::Crashed, "it crashed"));
        }
        // Who was asked to end may do so without a word.
        let has_failed = self.code.is_some_and(|code| code != 0 && code != 130);
        // Who takes standard output away need not be told on it.
        let is_deaf = self.report.hits.iter().any(|(_, path)| path.ends_with(".out"));
        if has_failed && !is_deaf && !self.names_something() {
            return Err(self.failure(Harm::Silent, "it failed and names nothing"));
        }
        Ok(())
    }

    fn names_something(&self) -> bool {
        let named = |line: &serde_json::Value| match line["type"].as_str() {
            Some("error" | "warning") => line["message"].as_str().is_some_and(|message| message.len() > 5),
            Some("problem" | "finding") => line["reason"].is_string(),
            _ => false,
        };
        self.stderr.contains("error: ") || self.lines().iter().any(named)
    }

    /// Refuses every other exit code.
    pub(crate) fn expect_code(&self, code: i32, harm: Harm) -> Result<&Self, Failure> {
        self.expect_clean_end()?;
        match self.code {
            Some(found) if found == code => Ok(self),
            _ => Err(self.failure(harm, &format!("exit code {code} was expected"))),
        }
    }

    /// A failure with everything that this run said.
    pub(crate) fn failure(&self, harm: Harm, why: &str) -> Failure {
        Failure::new(harm, format!("{why}\n{}", self.told()))
    }

    /// Everything about it, in some lines.
    pub(crate) fn told(&self) -> String {
        let hits: Vec<String> = self.report.hits.iter().take(3).map(|(call, path)| format!("{call} {path}")).collect();
        let ended = match (self.code, self.signal) {
            (Some(code), _) => format!("exit {code}"),
            (_, signal) => format!("signal {}", signal.unwrap_or_default()),
        };
        let mut told = format!("$ {}\n  {ended} after {:?}", self.words, self.took);
        if !hits.is_empty() {
            told = format!("{told}\n  tampered with: {}", hits.join("; "));
        }
        for text in [&self.stdout, &self.stderr] {
            text.lines().take(30).for_each(|line| told = format!("{told}\n  {line}"));
        }
        told
    }
}
