//! Power cuts of a mounted file system: what was not synced is gone.
//!
//! Half of the cuts come at a system call that changes something, half at a moment; after half of them the program
//! may try to go on. A run that ends before its cut is cut right afterwards: what it acknowledged is durable then.

use crate::actions::{Action, Prepared};
use crate::failure::{Failure, Harm};
use crate::inject::{CHANGING, Injection};
use crate::moments::Moments;
use crate::mounts::Mount;
use crate::program::{Call, Ran};
use crate::scene::{End, Places, Scene};
use crate::suite::Series;
use rustix::process::Signal;
use std::fs;
use std::path::Path;
use vellum_testkit::trees::TreeOptions;

/// One series: a repository whose disk loses power again and again.
pub(crate) fn run(series: &mut Series<'_>) -> Result<(), Failure> {
    let image = series.folder.join("image");
    let point = series.folder.join("mount");
    series.bench.arguments.file_system.format(&image)?;
    let mut mount = Mount::image(&image, &point)?;
    let mut scene = Scene::new(series, places(series, &point)?)?;
    scene.build(TreeOptions { file_count: 20, len_bytes_max: 100_000 })?;
    scene.verify()?;
    sync(&point)?;
    let actions = Action::weighted(&scene.program);
    let mut moments = Moments::default();
    for _ in series.cases.clone() {
        if !series.goes_on() {
            break;
        }
        scene.mutate(12);
        // A file that was overwritten in place and not synced may keep its new times and lose its new content.
        // No program can tell that from a file that did not change.
        sync(&point)?;
        let action = *series.random.pick(&actions);
        let mut prepared = Prepared::new(&mut scene, action)?;
        let call = prepared.call();
        scene.disturb()?;
        let ran = cut(series, &mut moments, action, call, &point)?;
        scene.note(&ran.told())?;
        mount.unmount()?;
        mount = Mount::image(&image, &point)?;
        let end = prepared.settle(&mut scene, &ran)?;
        series.add("cases");
        series.add(match &end {
            End::Acknowledged(_) => "done before",
            End::Killed => "cut and killed",
            End::Refused => "cut and refused",
        });
        series.add(format!("of {}", action.name()));
        scene.verify()?;
    }
    drop(scene);
    mount.unmount()
}

/// The repository is always on the disk that is cut; the rest in every second series.
fn places(series: &Series<'_>, point: &Path) -> Result<Places, Failure> {
    let mut places = Places::below(&series.folder);
    match series.number % 2 {
        0 => places = Places { work: series.folder.clone(), ..Places::below(point) },
        _ => places.repository = point.join("repository"),
    }
    Ok(places)
}

/// Makes everything so far durable.
fn sync(point: &Path) -> Result<(), Failure> {
    rustix::fs::syncfs(fs::File::open(point)?).map_err(|errno| Failure::unfit(errno.to_string()))
}

/// Runs it and takes the power away, at the latest when it has ended.
fn cut(
    series: &mut Series<'_>,
    moments: &mut Moments,
    action: Action,
    call: Call,
    point: &Path,
) -> Result<Ran, Failure> {
    let goes_on = series.random.one_in(2);
    if series.random.one_in(2) {
        let what = if goes_on { "fade" } else { "cut" };
        let what = format!("{what}:{}", point.display());
        let injection = Injection::at(CHANGING, moments.call(series, action), what);
        let ran = call.suffering(&series.bench.injector, &injection).run()?;
        if ran.report.hits.is_empty() {
            moments.learn(action, &ran);
            series.bench.injector.cut(point)?;
        }
        return expect_no_refusal_before(ran, |ran| !ran.report.hits.is_empty());
    }
    let moment = moments.time(series, action);
    let mut running = call.start()?;
    std::thread::sleep(moment);
    let is_over = running.has_ended()?;
    series.bench.injector.cut(point)?;
    if !goes_on {
        running.signal(Signal::KILL);
    }
    let ran = running.wait()?;
    moments.learn(action, &ran);
    expect_no_refusal_before(ran, |_| !is_over)
}

/// A run that fails while there is power is a failure of its own.
fn expect_no_refusal_before(ran: Ran, was_cut: impl Fn(&Ran) -> bool) -> Result<Ran, Failure> {
    match ran.code {
        Some(code) if code != 0 && !was_cut(&ran) => Err(ran.failure(Harm::Stuck, "it failed before the cut")),
        _ => Ok(ran),
    }
}
