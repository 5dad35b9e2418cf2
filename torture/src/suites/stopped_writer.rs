//! Clients that sleep at any moment while others forget, prune and write, and then go on as if nothing had been; and
//! an `init` that sleeps while another one makes a repository in the same place.

use crate::actions::{Action, Prepared, another};
use crate::failure::{Failure, Harm};
use crate::inject::{CHANGING, Injection};
use crate::moments::Moments;
use crate::program::{Call, Ran, Running};
use crate::scene::{End, Places, Scene};
use crate::suite::Series;
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::sync::Arc;
use std::time::Duration;
use vellum_testkit::trees::TreeOptions;

/// Two clients of one repository; one of them sleeps.
pub(crate) fn run(series: &mut Series<'_>) -> Result<(), Failure> {
    let mut scene = Scene::new(series, Places::below(&series.folder))?;
    scene.build(TreeOptions { file_count: 15, len_bytes_max: 70_000 })?;
    let mut other = beside(&scene, series)?;
    let mut moments = Moments::default();
    for _ in series.cases.clone() {
        if !series.goes_on() {
            break;
        }
        // Data that only old snapshots need, and which the sleeper meets again.
        scene.verify()?;
        scene.mutate(10);
        let action = match series.below(8) {
            0 => Action::Init,
            1 | 2 => Action::Prune,
            _ => Action::Backup,
        };
        let mut prepared = Prepared::new(&mut scene, action)?;
        scene.disturb()?;
        let ran = sleep_through(series, &mut scene, &mut other, (action, prepared.call()), &mut moments)?;
        scene.note(&ran.told())?;
        let end = prepared.settle(&mut scene, &ran)?;
        series.add("cases");
        series.add(match (ran.report.hits.is_empty(), &end) {
            (true, _) => "done before",
            (_, End::Acknowledged(_)) => "slept and done",
            _ => "slept and refused",
        });
        scene.verify()?;
        other.run(other.call("prune").args(["--grace", "0", "--max-unused", "0"]))?.expect_code(0, Harm::Stuck)?;
        scene.check()?;
        scene.verify_promises()?;
    }
    Ok(())
}

/// Another client with the same source, so that what it stores is what the sleeper relies on.
fn beside(scene: &Scene, series: &mut Series<'_>) -> Result<Scene, Failure> {
    let folder = series.folder.join("other");
    fs::create_dir(&folder)?;
    let places = Places { cache: folder.join("cache"), work: folder, ..scene.places.clone() };
    let mut other = scene.at(places, series.random.next());
    other.promises = Arc::clone(&scene.promises);
    Ok(other)
}

/// Runs one client until a call of it; then everything old is forgotten and pruned; then it goes on to its end.
fn sleep_through(
    series: &mut Series<'_>,
    scene: &mut Scene,
    other: &mut Scene,
    (action, call): (Action, Call),
    moments: &mut Moments,
) -> Result<Ran, Failure> {
    let injection = Injection::at(CHANGING, moments.call(series, action), "stop");
    let mut running = call.suffering(&series.bench.injector, &injection).start()?;
    if falls_asleep(&mut running)? {
        scene.note("it sleeps")?;
        other.disturb()?;
        match action {
            Action::Init => rival_init(other)?,
            _ => act_meanwhile(series, other)?,
        }
        let process = running.report().process.and_then(Pid::from_raw);
        let process = process.ok_or_else(|| Failure::unfit("no process id in the report"))?;
        kill_process(process, Signal::CONT).map_err(|errno| Failure::unfit(errno.to_string()))?;
    }
    let ran = running.wait()?;
    moments.learn(action, &ran);
    if ran.code == Some(0) && action == Action::Init {
        expect_no_rival(scene, other, &ran)?;
    }
    Ok(ran)
}

/// Whether it was stopped, and not over before.
fn falls_asleep(running: &mut Running) -> Result<bool, Failure> {
    loop {
        if !running.report().hits.is_empty() {
            return Ok(!running.has_ended()?);
        }
        if running.has_ended()? {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

/// Forgets everything, or all but some; prunes, perhaps twice; perhaps a backup stores the same data again between.
fn act_meanwhile(series: &mut Series<'_>, other: &mut Scene) -> Result<(), Failure> {
    let mut ids = other.promised();
    if series.random.one_in(3) {
        ids.truncate(ids.len() / 2);
    }
    other.release(&ids);
    if !ids.is_empty() {
        other.run(other.call("forget").args(&ids))?.expect_code(0, Harm::Stuck)?;
    }
    for _ in 0..=series.below(2) {
        other.run(other.call("prune").args(["--grace", "0", "--max-unused", "0"]))?.expect_code(0, Harm::Stuck)?;
        if series.random.one_in(3) {
            let source = other.source();
            let ran = other.run(other.backup())?;
            ran.expect_code(0, Harm::Stuck)?;
            other.settle(&ran, source)?;
        }
    }
    Ok(())
}

/// Another client makes a repository in the place where one sleeps that began with it.
fn rival_init(other: &Scene) -> Result<(), Failure> {
    let ran = other.run(other.call("init").variable("VELLUM_REPOSITORY", another(other)))?;
    ran.expect_clean_end()?;
    let won = ran.lines_of("initialized").pop().and_then(|line| line["id"].as_str().map(str::to_owned));
    Ok(fs::write(other.places.work.join("won"), won.unwrap_or_default())?)
}

/// Of two who were told that they made a repository, one has lost it.
fn expect_no_rival(scene: &Scene, other: &Scene, ran: &Ran) -> Result<(), Failure> {
    let won = other.places.work.join("won");
    let rival = fs::read_to_string(&won).unwrap_or_default();
    drop(fs::remove_file(won));
    let own = ran.lines_of("initialized").pop().and_then(|line| line["id"].as_str().map(str::to_owned));
    match rival.is_empty() || Some(rival) == own {
        true => Ok(()),
        false => Err(ran.failure(Harm::Lost, &format!("{} was made twice", another(scene).display()))),
    }
}
