//! Runs the cases of a suite, in series that share a repository, and says what came of it.

use crate::arguments::Arguments;
use crate::failure::{Failure, Harm};
use crate::inject::Injector;
use crate::program::Program;
use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use vellum_testkit::{Random, lock};

/// After so many failures, further ones tell nothing new.
const FAILURES_MAX: usize = 5;

/// What all suites work with.
pub(crate) struct Bench {
    pub(crate) arguments: Arguments,
    pub(crate) program: Program,
    pub(crate) injector: Injector,
    /// A folder of this run alone.
    pub(crate) scratch: PathBuf,
    /// Set when somebody wants it to end.
    pub(crate) is_stopped: Arc<AtomicBool>,
    pub(crate) tally: Tally,
}

impl Bench {
    /// The same for one series that comes before all others.
    pub(crate) fn alone(&self) -> Self {
        Self {
            arguments: Arguments { count: Some(1), only: None, ..self.arguments.clone() },
            program: self.program.clone(),
            injector: self.injector.clone(),
            scratch: self.scratch.clone(),
            is_stopped: Arc::clone(&self.is_stopped),
            tally: Tally::default(),
        }
    }
}

/// What was counted, by name, and what went wrong.
#[derive(Default)]
pub(crate) struct Tally {
    facts: Mutex<BTreeMap<String, u64>>,
    failures: Mutex<Vec<(Harm, String)>>,
}

impl Tally {
    /// One more of these.
    pub(crate) fn add(&self, fact: impl Into<String>) {
        *lock(&self.facts).entry(fact.into()).or_default() += 1;
    }

    fn fail(&self, failure: &Failure, told: String) {
        eprintln!("{told}\n");
        lock(&self.failures).push((failure.harm, told));
    }
}

/// Cases that follow each other on one repository, so that none starts clean but the first.
pub(crate) struct Series<'a> {
    pub(crate) bench: &'a Bench,
    pub(crate) number: u64,
    pub(crate) random: Random,
    /// The cases of this series, of all of the suite.
    pub(crate) cases: std::ops::Range<u64>,
    /// A folder of this series alone; it stays when the series fails.
    pub(crate) folder: PathBuf,
}

impl Series<'_> {
    /// One more of these.
    pub(crate) fn add(&self, fact: impl Into<String>) {
        self.bench.tally.add(fact);
    }

    /// Counts a case that was done, unless somebody wants the suite to end.
    pub(crate) fn goes_on(&self) -> bool {
        !self.bench.is_stopped.load(Ordering::Relaxed)
    }

    /// A number below this one.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.random.below(usize::try_from(bound).expect("bounds are small")) as u64
    }
}

/// A suite as it will be run.
pub(crate) struct Plan<'a> {
    pub(crate) name: String,
    /// Cases in a full run.
    pub(crate) count: u64,
    pub(crate) series_len: u64,
    pub(crate) run: &'a (dyn Fn(&mut Series<'_>) -> Result<(), Failure> + Sync),
}

/// Runs a suite, prints its closing line and tells whether all went well.
pub(crate) fn run(bench: &Bench, plan: &Plan<'_>) -> bool {
    let started = Instant::now();
    let count = bench.arguments.count.unwrap_or(plan.count);
    let series_count = count.div_ceil(plan.series_len);
    let next = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..bench.arguments.jobs {
            scope.spawn(|| {
                while let Some(number) = take(&next, series_count, bench) {
                    let start = number * plan.series_len;
                    run_series(bench, plan, number, start..count.min(start + plan.series_len));
                }
            });
        }
    });
    let ended = if bench.is_stopped.load(Ordering::Relaxed) { ", stopped before the end" } else { "" };
    println!("{}{ended} in {:.0} s", closing_line(bench, &plan.name), started.elapsed().as_secs_f64());
    ended.is_empty() && lock(&bench.tally.failures).is_empty()
}

fn take(next: &AtomicU64, series_count: u64, bench: &Bench) -> Option<u64> {
    let failures = lock(&bench.tally.failures);
    // A suite that cannot do its work here cannot do more of it.
    let is_unfit = failures.iter().any(|(harm, _)| *harm == Harm::Unfit);
    if bench.is_stopped.load(Ordering::Relaxed) || is_unfit || failures.len() >= FAILURES_MAX {
        return None;
    }
    let number = next.fetch_add(1, Ordering::Relaxed);
    (number < series_count).then_some(number)
}

fn run_series(bench: &Bench, plan: &Plan<'_>, number: u64, cases: std::ops::Range<u64>) {
    if bench.arguments.only.is_some_and(|only| only != number) {
        return;
    }
    let seed = bench.arguments.seed;
    let folder = bench.scratch.join(format!("{}-{seed}-{number}", plan.name.replace(' ', "-")));
    let random = Random::new(Random::new(seed ^ (number << 32)).next());
    let mut series = Series { bench, number, random, cases, folder: folder.clone() };
    let done = fs::create_dir(&folder).map_err(Failure::from).and_then(|()| {
        catch_unwind(AssertUnwindSafe(|| (plan.run)(&mut series)))
            .unwrap_or_else(|panic| Err(Failure::unfit(message(&*panic))))
    });
    let removed = done.and_then(|()| Ok(fs::remove_dir_all(&folder)?));
    if let Err(failure) = removed {
        let Arguments { suite, others, .. } = &bench.arguments;
        let again: Vec<&str> = others.iter().map(String::as_str).collect();
        let told = format!(
            "{} {failure}\nrepeat with: vellum-torture {suite} {} --seed {seed} --only {number}\nkept: {}",
            plan.name,
            again.join(" "),
            folder.display()
        );
        drop(fs::write(folder.join("failure"), &told));
        bench.tally.fail(&failure, told);
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_else(|| "panic".to_owned())
}

/// `NAME: N cases, seed S, 0 lost, …; what else was counted`.
fn closing_line(bench: &Bench, name: &str) -> String {
    let (facts, failures) = (lock(&bench.tally.facts), lock(&bench.tally.failures));
    let harms = Harm::ALL.map(|harm| format!("{} {harm}", failures.iter().filter(|(found, _)| *found == harm).count()));
    let others = facts.iter().filter(|(fact, _)| *fact != "cases");
    let others: Vec<String> = others.map(|(fact, count)| format!("{count} {fact}")).collect();
    let cases = facts.get("cases").copied().unwrap_or_default();
    let (seed, state) = (bench.arguments.seed, bench.arguments.local_state);
    format!("{name}: {cases} cases, seed {seed}, local state {state}, {}; {}", harms.join(", "), others.join(", "))
}
