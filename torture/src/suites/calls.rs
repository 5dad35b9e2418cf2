//! Every system call of every verb fails once, and from some call on for good.

use crate::actions::{Action, Prepared};
use crate::failure::{Failure, Harm};
use crate::inject::{Injection, Report};
use crate::program::Program;
use crate::scene::{End, Places, Scene};
use crate::suite::{Bench, Plan, Series, run as run_plan};
use std::collections::BTreeMap;
use std::ops::Range;
use vellum_testkit::trees::TreeOptions;
use vellum_testkit::{Random, lock};

const SERIES_LEN: u64 = 10;

const EINTR: &str = "error:4";
const EIO: &str = "error:5";
const EAGAIN: &str = "error:11";
const ENOMEM: &str = "error:12";
const EACCES: &str = "error:13";
const EMFILE: &str = "error:24";
const ENOSPC: &str = "error:28";
const LATE_EIO: &str = "late:5";
const SHORT: &str = "short";

/// What each call can suffer. Sticky ones are of the same list.
const EFFECTS: [(&[&str], &[&str]); 15] = [
    (&["open", "openat"], &[EIO, EMFILE, EACCES, EINTR, ENOSPC, ENOMEM]),
    (&["read", "pread64"], &[EIO, EINTR, SHORT]),
    (&["write", "pwrite64"], &[EIO, ENOSPC, EINTR, SHORT, LATE_EIO]),
    (&["writev", "readv", "copy_file_range"], &[EIO, EINTR]),
    (&["fsync", "fdatasync", "syncfs"], &[EIO, ENOSPC, EINTR]),
    (&["ftruncate", "fallocate"], &[EIO, ENOSPC, EINTR, LATE_EIO]),
    (&["rename", "renameat", "renameat2", "link", "linkat"], &[EIO, ENOSPC, EACCES, LATE_EIO]),
    (&["unlink", "unlinkat", "rmdir"], &[EIO, EACCES, LATE_EIO]),
    (&["mkdir", "mkdirat", "symlinkat", "mknodat"], &[EIO, ENOSPC, EACCES]),
    (&["getdents64", "readlink", "readlinkat", "fgetxattr", "flistxattr", "lgetxattr", "llistxattr"], &[EIO, ENOMEM]),
    (&["newfstatat", "statx", "fstat", "stat", "lstat"], &[EIO, EACCES, ENOMEM]),
    (&["fchmod", "fchown", "fchmodat", "fchownat", "utimensat", "fsetxattr", "lsetxattr", "chmod"], &[EIO, ENOSPC]),
    (&["flock", "fcntl", "lseek", "fadvise64", "close"], &[EIO, EINTR]),
    (&["clone3"], &[EAGAIN]),
    (&["getrandom"], &[EINTR]),
];

/// One fault.
#[derive(Debug, Clone)]
struct Case {
    action: Action,
    call: &'static str,
    when: String,
    effect: &'static str,
}

impl Case {
    /// As a failure names it.
    fn told(&self) -> String {
        format!("{},{},{},{}", self.action.name(), self.call, self.when, self.effect)
    }

    /// What [`Case::told`] gave.
    fn parse(text: &str, program: &Program) -> Option<Self> {
        let [action, call, when, effect] = text.split(',').collect::<Vec<_>>()[..] else { return None };
        let (calls, effects) = EFFECTS.iter().find(|(calls, _)| calls.contains(&call))?;
        Some(Self {
            action: Action::each(program).into_iter().find(|known| known.name() == action)?,
            call: calls.iter().find(|known| **known == call)?,
            when: when.to_owned(),
            effect: effects.iter().find(|known| **known == effect)?,
        })
    }
}

/// Lists all faults there are, and lets as many of them happen as are wanted.
pub(crate) fn run(bench: &Bench) -> Result<bool, Failure> {
    let cases = match &bench.arguments.fault {
        Some(fault) => {
            vec![Case::parse(fault, &bench.program).ok_or_else(|| Failure::unfit("there is no such fault"))?]
        }
        None => match count_calls(bench) {
            Some(counts) => cases(&counts, &mut Random::new(bench.arguments.seed)),
            None => return Ok(false),
        },
    };
    let count = bench.arguments.count.unwrap_or(3_000).min(cases.len() as u64);
    println!("calls: {count} of {} possible faults", cases.len());
    let run = |series: &mut Series<'_>| inject(series, &cases);
    let plan = Plan { name: "calls".to_owned(), count, series_len: SERIES_LEN, run: &run };
    Ok(run_plan(bench, &plan))
}

/// Runs every action once without a fault and prints what it called.
fn count_calls(bench: &Bench) -> Option<Counts> {
    let counted = Counted::default();
    let plan = Plan { name: "calls counted".to_owned(), count: 1, series_len: 1, run: &|series| counted.count(series) };
    let has_counted = run_plan(&bench.alone(), &plan);
    let counts = counted.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    tell(&counts);
    has_counted.then_some(counts)
}

/// How often each action makes each call.
type Counts = BTreeMap<Action, BTreeMap<String, u64>>;

#[derive(Default)]
struct Counted(std::sync::Mutex<Counts>);

impl Counted {
    /// Runs every action once without a fault.
    fn count(&self, series: &mut Series<'_>) -> Result<(), Failure> {
        let mut scene = scene(series)?;
        for action in Action::each(&scene.program) {
            scene.mutate(5);
            let report = one(series, &mut scene, action, &Injection::count(&all_calls()), true)?.0;
            lock(&self.0).insert(action, report.counts);
        }
        series.add("cases");
        Ok(())
    }
}

fn all_calls() -> String {
    EFFECTS.iter().flat_map(|(calls, _)| calls.iter().copied()).collect::<Vec<_>>().join(",")
}

fn tell(counts: &Counts) {
    for (action, calls) in counts {
        let calls: Vec<String> = calls.iter().map(|(call, count)| format!("{count} {call}")).collect();
        println!("calls of {}: {}", action.name(), calls.join(", "));
    }
}

/// Every fault there is, in an order in which the first ones have something of everything: one fault of each call of
/// each action with each effect, then a second one of each, and so on. Those that may stay do, once in four.
fn cases(counts: &Counts, random: &mut Random) -> Vec<Case> {
    let mut ranked = Vec::new();
    for (action, calls) in counts {
        for (call, effect) in EFFECTS.iter().flat_map(|(calls, effects)| pairs(calls, effects)) {
            let count = calls.get(call).copied().unwrap_or_default();
            let is_lasting = matches!(effect, EIO | ENOSPC | EMFILE | ENOMEM);
            let mut whens: Vec<String> = (1..=count).map(|n| n.to_string()).collect();
            whens.extend((1..=count).filter(|n| is_lasting && n % 4 == 1).map(|n| format!("{n}+")));
            shuffle(&mut whens, random);
            let cases = whens.into_iter().map(|when| Case { action: *action, call, when, effect });
            ranked.extend(cases.enumerate().map(|(rank, case)| (rank, random.next(), case)));
        }
    }
    ranked.sort_by_key(|(rank, chance, _)| (*rank, *chance));
    ranked.into_iter().map(|(_, _, case)| case).collect()
}

fn pairs<'a>(
    calls: &'a [&'static str],
    effects: &'a [&'static str],
) -> impl Iterator<Item = (&'static str, &'static str)> + 'a {
    calls.iter().flat_map(move |call| effects.iter().map(move |effect| (*call, *effect)))
}

fn shuffle<T>(list: &mut [T], random: &mut Random) {
    for at in (1..list.len()).rev() {
        list.swap(at, random.below(at + 1));
    }
}

fn scene(series: &mut Series<'_>) -> Result<Scene, Failure> {
    let mut scene = Scene::new(series, Places::below(&series.folder))?;
    scene.build(TreeOptions { file_count: 12, len_bytes_max: 70_000 })?;
    scene.verify()?;
    scene.mutate(5);
    scene.verify()?;
    Ok(scene)
}

/// Runs an action with a fault and judges it.
fn one(
    series: &Series<'_>,
    scene: &mut Scene,
    action: Action,
    injection: &Injection,
    must_succeed: bool,
) -> Result<(Report, End), Failure> {
    let mut prepared = Prepared::new(scene, action)?;
    // Reading the source may fail, so what a backup that was not acknowledged holds is not known.
    scene.attempt(None);
    let call = prepared.call().suffering(&series.bench.injector, injection);
    scene.disturb()?;
    let ran = scene.run(call)?;
    if must_succeed {
        ran.expect_code(0, Harm::Stuck)?;
    }
    let end = prepared.settle(scene, &ran)?;
    Ok((ran.report, end))
}

fn inject(series: &mut Series<'_>, cases: &[Case]) -> Result<(), Failure> {
    let mut scene = scene(series)?;
    let Range { start, end } = series.cases;
    for number in start..end {
        if !series.goes_on() {
            break;
        }
        let case = &cases[usize::try_from(number).expect("a place in a list")];
        scene.mutate(5);
        let injection = Injection {
            below: None,
            calls: case.call.to_owned(),
            when: case.when.clone(),
            action: case.effect.to_owned(),
        };
        scene.note(&case.told())?;
        let named = |failure: Failure| Failure::new(failure.harm, format!("--fault {}\n{}", case.told(), failure.what));
        let (report, end) = one(series, &mut scene, case.action, &injection, false).map_err(named)?;
        series.add("cases");
        let is_hit = !report.hits.is_empty();
        series.add(match (is_hit, end) {
            (false, _) => "not hit".to_owned(),
            (true, End::Acknowledged(_)) => "borne".to_owned(),
            (true, _) => "refused".to_owned(),
        });
        if is_hit {
            series.add(format!("{} hit", case.call));
        }
        scene.verify().map_err(named)?;
    }
    Ok(())
}
