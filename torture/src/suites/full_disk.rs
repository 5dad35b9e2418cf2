//! A disk that is full after each number of blocks, or inodes.

use crate::failure::{Failure, Harm};
use crate::local_state::copy_folder;
use crate::mounts::Mount;
use crate::program::Ran;
use crate::scene::{Places, Scene};
use crate::suite::Series;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use vellum_testkit::lock;
use vellum_testkit::trees::TreeOptions;

const BLOCK_LEN_BYTES: u64 = 4096;

/// What a series lets run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scarce {
    Blocks,
    Inodes,
}

/// One repository, which is copied to a disk of each size.
pub(crate) fn run(series: &mut Series<'_>) -> Result<(), Failure> {
    let template = series.folder.join("template");
    fs::create_dir(&template)?;
    let mut scene = Scene::new(series, Places { work: series.folder.clone(), ..Places::below(&template) })?;
    scene.places.source = series.folder.join("source");
    scene.build(TreeOptions { file_count: 8, len_bytes_max: 60_000 })?;
    scene.verify()?;
    scene.mutate(20);
    let scarce = if series.number % 4 == 3 { Scarce::Inodes } else { Scarce::Blocks };
    let has_cache_there = series.number % 2 == 1;
    let needed = needed(series, &scene, &template, scarce, has_cache_there)?;
    let count = series.cases.end - series.cases.start;
    for case in series.cases.clone() {
        if !series.goes_on() {
            break;
        }
        // Every series begins at another step, so that together they take each.
        let step = ((case - series.cases.start) * needed / count + series.number) % needed;
        one(series, &scene, &template, (scarce, step), has_cache_there)?;
        series.add("cases");
    }
    Ok(())
}

/// A copy of the template on a file system of its own.
fn copy(
    series: &mut Series<'_>,
    scene: &Scene,
    template: &Path,
    has_cache_there: bool,
) -> Result<(Mount, Scene), Failure> {
    let point = series.folder.join("mount");
    let mount = Mount::memory(&point, "size=64m,nr_inodes=10000")?;
    copy_folder(&template.join("repository"), &point.join("repository"))?;
    let cache = if has_cache_there { point.join("cache") } else { series.folder.join("cache") };
    if cache.exists() {
        fs::remove_dir_all(&cache)?;
    }
    copy_folder(&template.join("cache"), &cache)?;
    // An earlier copy's local state knows snapshots that this one never had.
    let history = series.folder.join("cache-history");
    if history.exists() {
        fs::remove_dir_all(&history)?;
    }
    let places = Places { repository: point.join("repository"), cache, ..scene.places.clone() };
    let copied = scene.at(places, series.random.next());
    lock(&copied.promises).clone_from(&lock(&scene.promises));
    Ok((mount, copied))
}

/// How much a backup takes of what is scarce, and a little more.
fn needed(
    series: &mut Series<'_>,
    scene: &Scene,
    template: &Path,
    scarce: Scarce,
    has_cache_there: bool,
) -> Result<u64, Failure> {
    let (mount, copied) = copy(series, scene, template, has_cache_there)?;
    let before = used(&mount, scarce)?;
    copied.run(copied.backup())?.expect_code(0, Harm::Stuck)?;
    let needed = used(&mount, scarce)? - before;
    mount.unmount()?;
    // What is renamed or removed at the end takes more for a moment.
    Ok(needed + needed / 4 + 4)
}

/// Blocks or inodes in use.
fn used(mount: &Mount, scarce: Scarce) -> Result<u64, Failure> {
    let stat = rustix::fs::statvfs(&mount.point).map_err(|errno| Failure::unfit(errno.to_string()))?;
    Ok(match scarce {
        Scarce::Blocks => (stat.f_blocks - stat.f_bfree) * stat.f_frsize / BLOCK_LEN_BYTES,
        Scarce::Inodes => stat.f_files - stat.f_ffree,
    })
}

/// A backup on a disk with room for so many steps; what is on the disk when something fails is kept beside it.
fn one(
    series: &mut Series<'_>,
    scene: &Scene,
    template: &Path,
    scarce: (Scarce, u64),
    has_cache_there: bool,
) -> Result<(), Failure> {
    let (mount, mut copied) = copy(series, scene, template, has_cache_there)?;
    let done = fill(series, &mut copied, &mount, scarce);
    if done.is_err() {
        copy_folder(&mount.point, &series.folder.join("disk"))?;
    }
    drop(copied);
    mount.unmount()?;
    done
}

/// A backup on a disk with room for so many steps; then with room again.
fn fill(series: &Series<'_>, copied: &mut Scene, mount: &Mount, (scarce, step): (Scarce, u64)) -> Result<(), Failure> {
    let limit = used(mount, scarce)? + step;
    mount.change(&match scarce {
        Scarce::Blocks => format!("size={}", limit * BLOCK_LEN_BYTES),
        Scarce::Inodes => format!("nr_inodes={limit}"),
    })?;
    copied.note(&format!("{scarce:?}, step {step}"))?;
    copied.disturb()?;
    let source = copied.source();
    copied.attempt(Some(Arc::clone(&source)));
    let ran = copied.run(copied.backup())?;
    expect_named(&ran)?;
    copied.settle(&ran, source)?;
    series.add(if ran.code == Some(0) { "fitted" } else { "full" });
    // What is there can be read, whatever the disk is.
    copied.check()?;
    copied.verify_promises()?;
    if copied.program.has("forget") && copied.program.has("prune") && scarce == Scarce::Blocks {
        make_room(series, copied, mount)?;
    }
    mount.change("size=64m,nr_inodes=10000")?;
    copied.verify()
}

/// A backup succeeds, or exits 1 and says what is used up.
fn expect_named(ran: &Ran) -> Result<(), Failure> {
    ran.expect_clean_end()?;
    let says_so = ran.lines_of("error").iter().any(|line| line["code"] == "no_space");
    match ran.code {
        Some(0) => Ok(()),
        Some(1) if says_so => Ok(()),
        _ => Err(ran.failure(Harm::Silent, "a full disk is exit code 1 and `no_space`")),
    }
}

/// The same repository where there is room.
fn copy_to_room(series: &Series<'_>, scene: &Scene) -> Result<Scene, Failure> {
    let folder = series.folder.join("roomy");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir(&folder)?;
    let places = Places { repository: folder.join("repository"), cache: folder.join("cache"), ..scene.places.clone() };
    copy_folder(&scene.places.repository, &places.repository)?;
    copy_folder(&scene.places.cache, &places.cache)?;
    Ok(scene.at(places, 0))
}

/// Whether forgetting by this rule makes a repository smaller. One that is padded to its last byte stays as it is.
fn frees(scene: &Scene, rule: &[&str]) -> Result<bool, Failure> {
    let before = blocks(&scene.places.repository)?;
    scene.run(scene.call("forget").args(rule))?.expect_code(0, Harm::Stuck)?;
    Ok(blocks(&scene.places.repository)? < before)
}

/// Blocks of all files below a folder.
fn blocks(folder: &Path) -> Result<u64, Failure> {
    let mut sum = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += match metadata.is_dir() {
            true => blocks(&entry.path())?,
            false => metadata.len().div_ceil(BLOCK_LEN_BYTES),
        };
    }
    Ok(sum)
}

/// With not a byte free, forgetting and pruning work and give some back.
fn make_room(series: &Series<'_>, scene: &mut Scene, mount: &Mount) -> Result<(), Failure> {
    let mut filler = File::create(mount.point.join("filler"))?;
    while filler.write_all(&[0; 512]).is_ok() {}
    let full = used(mount, Scarce::Blocks)?;
    let roomy = copy_to_room(series, scene)?;
    let listed = scene.listed()?;
    scene.release(&listed[..listed.len() - 1]);
    let rule = ["--across-devices", "--keep-last", "1", "--prune", "--grace", "0", "--max-unused", "0"];
    let ran = scene.run(scene.call("forget").args(rule))?;
    ran.expect_code(0, Harm::Stuck)?;
    if listed.len() > 1 && used(mount, Scarce::Blocks)? >= full && frees(&roomy, &rule)? {
        return Err(ran.failure(Harm::Stuck, "nothing was freed, and with room it is"));
    }
    series.add("made room");
    scene.check()?;
    scene.verify_promises()?;
    Ok(fs::remove_file(mount.point.join("filler"))?)
}
