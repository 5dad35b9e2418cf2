//! System calls that report success and do nothing. What was acknowledged before the lie stays; of what came after it
//! nothing can be promised but that it is noticed.

use crate::failure::{Failure, Harm};
use crate::inject::Injection;
use crate::local_state::LocalState;
use crate::mounts::Mount;
use crate::program::Ran;
use crate::scene::{End, Places, Promise, Restored, Scene};
use crate::suite::Series;
use std::fs;
use std::path::Path;
use vellum_testkit::lock;
use vellum_testkit::trees::TreeOptions;

const WRITES: &str = "write,pwrite64,writev";
const NAMES: &str = "rename,renameat,renameat2,link,linkat";
const SYNCS: &str = "fsync,fdatasync,syncfs";

/// Repositories on one disk, each of which suffers one lie.
pub(crate) fn run(series: &mut Series<'_>) -> Result<(), Failure> {
    let (image, point) = (series.folder.join("image"), series.folder.join("mount"));
    series.bench.arguments.file_system.format(&image)?;
    let mut mount = Mount::image(&image, &point)?;
    let mut most = [0; 3];
    for case in series.cases.clone() {
        if !series.goes_on() {
            break;
        }
        let work = series.folder.join(format!("case-{case}"));
        fs::create_dir(&work)?;
        let repository = point.join(format!("repository-{case}"));
        let mut scene = Scene::new(series, Places { repository, ..Places::below(&work) })?;
        scene.build(TreeOptions { file_count: 10, len_bytes_max: 70_000 })?;
        scene.verify()?;
        rustix::fs::syncfs(fs::File::open(&point)?).map_err(|errno| Failure::unfit(errno.to_string()))?;
        if most == [0; 3] {
            most = count(series, &mut scene)?;
        }
        scene.mutate(8);
        let (injection, has_power_cut) = lie(series, &scene.places.repository, most);
        let source = scene.source();
        let call = scene.backup().suffering(&series.bench.injector, &injection);
        let ran = scene.run(call)?;
        if has_power_cut {
            series.bench.injector.cut(&point)?;
            mount.unmount()?;
            mount = Mount::image(&image, &point)?;
        }
        series.add("cases");
        series.add(if ran.report.hits.is_empty() { "not hit" } else { "hit" });
        let before = lock(&scene.promises).clone();
        let end = scene.settle(&ran, source)?;
        judge(series, &mut scene, &ran, &end)?;
        lock(&scene.promises).retain(|id, _| before.contains_key(id));
        go_on(series, &mut scene)?;
        drop(scene);
        fs::remove_dir_all(&work)?;
        fs::remove_dir_all(point.join(format!("repository-{case}")))?;
    }
    mount.unmount()
}

/// How many calls of each group a backup makes below the repository.
fn count(series: &Series<'_>, scene: &mut Scene) -> Result<[u64; 3], Failure> {
    let mut counts = [0; 3];
    for (count, calls) in counts.iter_mut().zip([WRITES, NAMES, SYNCS]) {
        scene.mutate(8);
        let injection = Injection { below: Some(scene.places.repository.clone()), ..Injection::count(calls) };
        let source = scene.source();
        let ran = scene.run(scene.backup().suffering(&series.bench.injector, &injection))?;
        scene.settle(&ran, source)?;
        *count = ran.report.total();
    }
    Ok(counts)
}

/// A lie about one of a run's calls below the repository, or about all of them from one on; with or without a power
/// cut afterwards.
fn lie(series: &mut Series<'_>, repository: &Path, most: [u64; 3]) -> (Injection, bool) {
    let (calls, has_power_cut, most) = match series.below(4) {
        0 => (WRITES, false, most[0]),
        1 => (NAMES, false, most[1]),
        2 => (WRITES, true, most[0]),
        _ => (SYNCS, true, most[2]),
    };
    let lasts = if series.random.one_in(3) { "+" } else { "" };
    let when = format!("{}{lasts}", 1 + series.below(most));
    let below = Some(repository.to_owned());
    (Injection { below, calls: calls.to_owned(), when, action: "lie".to_owned() }, has_power_cut)
}

/// What was promised before comes back exactly; of the snapshot that was lied about, nothing wrong, and what is
/// missing of it is found.
fn judge(series: &Series<'_>, scene: &mut Scene, ran: &Ran, end: &End) -> Result<(), Failure> {
    let lied_about = match end {
        End::Acknowledged(id) => lock(&scene.promises).remove(id).map(|promise| (id.clone(), promise)),
        _ => None,
    };
    for (id, promise) in lock(&scene.promises).clone() {
        scene.expect_restored(&id, &promise)?;
    }
    let checked = scene.run(scene.call("check").arg("--read-data"))?;
    checked.expect_clean_end()?;
    let is_whole = match &lied_about {
        Some((id, promise)) => restores(scene, id, promise)?,
        None => true,
    };
    series.add(match (&lied_about, is_whole) {
        (None, _) => "noticed by the backup",
        (_, true) => "harmless",
        _ => "cost the snapshot",
    });
    // Who lost the local state cannot know of the newest snapshot.
    let can_know = series.bench.arguments.local_state == LocalState::Kept;
    match (is_whole, checked.code) {
        (false, Some(0)) if can_know => {
            let told = ran.told();
            Err(checked.failure(Harm::Damaged, &format!("check finds nothing, but the snapshot is not whole\n{told}")))
        }
        (_, Some(0 | 4)) => Ok(()),
        _ => Err(checked.failure(Harm::Damaged, "check ends with 0 or 4")),
    }
}

fn restores(scene: &Scene, id: &str, promise: &Promise) -> Result<bool, Failure> {
    Ok(matches!(scene.try_restore(id, promise)?, Restored::Whole))
}

/// The disk is honest again: a backup that exits 0 is restorable, and a client without local state agrees.
fn go_on(series: &Series<'_>, scene: &mut Scene) -> Result<(), Failure> {
    for round in 0..2 {
        let source = scene.source();
        let ran = scene.run(scene.backup())?;
        match scene.settle(&ran, source)? {
            End::Acknowledged(_) => series.add("went on"),
            _ => series.add("refused to go on"),
        }
        for (id, promise) in lock(&scene.promises).clone() {
            scene.expect_restored(&id, &promise)?;
        }
        if round == 0 {
            fs::remove_dir_all(&scene.places.cache)?;
        }
    }
    Ok(())
}
