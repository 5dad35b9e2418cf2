//! `kill -9` at any moment, by time or at a system call that changes something; and requests to end.

use crate::actions::{Action, Prepared};
use crate::failure::{Failure, Harm};
use crate::inject::{CHANGING, Injection};
use crate::moments::Moments;
use crate::program::{Call, Ran};
use crate::scene::{End, Places, Scene};
use crate::suite::Series;
use rustix::process::Signal;
use std::fs;
use vellum_testkit::trees::TreeOptions;

/// One series: a repository whose clients are killed again and again.
pub(crate) fn run(series: &mut Series<'_>) -> Result<(), Failure> {
    let mut scene = Scene::new(series, Places::below(&series.folder))?;
    scene.build(TreeOptions { file_count: 20, len_bytes_max: 100_000 })?;
    scene.verify()?;
    let actions = Action::weighted(&scene.program);
    let mut moments = Moments::default();
    for _ in series.cases.clone() {
        if !series.goes_on() {
            break;
        }
        scene.mutate(12);
        if has_packs(series) {
            // More than one pack, and nothing of it known.
            let name = format!("large-{:08x}", series.below(1 << 32));
            fs::write(scene.places.source.join(name), series.random.bytes(40 << 20))?;
        }
        let action = *series.random.pick(&actions);
        let mut prepared = Prepared::new(&mut scene, action)?;
        let (call, how) = (prepared.call(), series.below(10));
        scene.disturb()?;
        let ran = match how {
            0 => end_at_time(series, &mut moments, (action, call), Signal::INT)?,
            1 => end_at_time(series, &mut moments, (action, call), Signal::TERM)?,
            2..6 => end_at_time(series, &mut moments, (action, call), Signal::KILL)?,
            _ => kill_at_call(series, &mut moments, action, call)?,
        };
        let was_asked = how < 2;
        scene.note(&ran.told())?;
        let end = prepared.settle(&mut scene, &ran)?;
        series.add("cases");
        series.add(match &end {
            End::Killed => "killed",
            End::Acknowledged(_) => "done before",
            End::Refused => "interrupted",
        });
        series.add(format!("of {}", action.name()));
        // Asked before it listens, it is killed; asked later, it says that it was interrupted.
        if end == End::Refused && !(was_asked && ran.code == Some(130)) {
            return Err(ran.failure(Harm::Stuck, "it failed before it was killed"));
        }
        scene.verify()?;
    }
    Ok(())
}

/// Whether a series is one of those whose backups fill packs.
const fn has_packs(series: &Series<'_>) -> bool {
    series.number % 25 == 24
}

fn kill_at_call(series: &mut Series<'_>, moments: &mut Moments, action: Action, call: Call) -> Result<Ran, Failure> {
    let injection = Injection::at(CHANGING, moments.call(series, action), "kill");
    let ran = call.suffering(&series.bench.injector, &injection).run()?;
    moments.learn(action, &ran);
    Ok(ran)
}

fn end_at_time(
    series: &mut Series<'_>,
    moments: &mut Moments,
    (action, call): (Action, Call),
    signal: Signal,
) -> Result<Ran, Failure> {
    let moment = moments.time(series, action);
    let running = call.start()?;
    std::thread::sleep(moment);
    running.signal(signal);
    let ran = running.wait()?;
    if ran.code != Some(130) {
        moments.learn(action, &ran);
    }
    Ok(ran)
}
