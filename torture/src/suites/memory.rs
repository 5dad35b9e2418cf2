//! Too little memory: a control group that kills, an address space that ends, and memory that the kernel refuses.

use crate::actions::{Action, Prepared};
use crate::failure::Failure;
use crate::inject::Injection;
use crate::mounts::Mount;
use crate::program::{Call, Ran};
use crate::scene::{End, Places, Scene};
use crate::suite::Series;
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use vellum_testkit::trees::TreeOptions;

/// Clients that run out of memory, on a disk, because files in memory would count.
pub(crate) fn run(series: &mut Series<'_>) -> Result<(), Failure> {
    let (image, point) = (series.folder.join("image"), series.folder.join("mount"));
    series.bench.arguments.file_system.format(&image)?;
    let mount = Mount::image(&image, &point)?;
    let group = Group::new(&format!("vellum-torture-{}-{}", series.bench.arguments.seed, series.number));
    let mut scene = Scene::new(series, Places { work: series.folder.clone(), ..Places::below(&point) })?;
    scene.build(TreeOptions { file_count: 20, len_bytes_max: 200_000 })?;
    scene.verify()?;
    let mut actions = Action::weighted(&scene.program);
    actions.extend([Action::Check, Action::Restore, Action::Restore, Action::FullBackup, Action::List]);
    for _ in series.cases.clone() {
        if !series.goes_on() {
            break;
        }
        scene.mutate(8);
        let action = *series.random.pick(&actions);
        let mut prepared = Prepared::new(&mut scene, action)?;
        scene.disturb()?;
        let (call, how) = limited(series, prepared.call(), group.as_ref())?;
        let ran = tamed(scene.run(call)?);
        let end = prepared.settle(&mut scene, &ran)?;
        series.add("cases");
        series.add(format!("{how} {}", ended(&ran, &end)));
        scene.verify()?;
    }
    drop(scene);
    mount.unmount()
}

/// With one of three limits.
fn limited(series: &mut Series<'_>, call: Call, group: Option<&Group>) -> Result<(Call, &'static str), Failure> {
    match (series.below(3), group) {
        (0, Some(group)) => {
            group.limit((1 << 20) + series.below(16 << 20))?;
            let enter = format!("echo 0 > {}/cgroup.procs && exec \"$@\"", group.folder.display());
            Ok((call.through(["sh", "-c", &enter, "sh"]), "group"))
        }
        (1, _) | (0, None) => {
            let len_bytes = (16 << 20) + series.below(80 << 20);
            Ok((call.through(["prlimit", &format!("--as={len_bytes}"), "--"]), "address space"))
        }
        _ => {
            let lasts = if series.random.one_in(2) { "+" } else { "" };
            let when = format!("{}{lasts}", 1 + series.below(24));
            let injection = Injection { when, ..Injection::at("mmap,clone3", 1, "error:12") };
            Ok((call.suffering(&series.bench.injector, &injection), "refused"))
        }
    }
}

/// Rust's way to end without memory, also for a new thread, is to say so and abort, which is as good as being killed.
fn tamed(mut ran: Ran) -> Ran {
    let last_words = ["memory allocation of", "failed to allocate an alternative stack"];
    let has_aborted = ran.signal == Some(Signal::ABORT.as_raw());
    if has_aborted && last_words.iter().any(|words| ran.stderr.contains(words)) {
        ran.signal = Some(Signal::KILL.as_raw());
        ran.stderr.clear();
    }
    // The dynamic loader ends with 127 when it cannot map a library.
    if ran.code == Some(127) && ran.stderr.contains("error while loading shared libraries") {
        ran.stderr.insert_str(0, "error: ");
    }
    ran
}

fn ended(ran: &Ran, end: &End) -> &'static str {
    match (end, ran.code) {
        (End::Acknowledged(_), _) => "borne",
        (_, None) => "killed",
        _ => "failed",
    }
}

/// A control group of the first or the second kind, gone when it is dropped.
struct Group {
    folder: PathBuf,
    limit_file: &'static str,
}

impl Group {
    /// None where control groups for memory cannot be made.
    fn new(name: &str) -> Option<Self> {
        let kinds = [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];
        kinds.into_iter().find_map(|(parent, limit_file)| {
            let folder = Path::new(parent).join(name);
            if limit_file == "memory.max" {
                drop(fs::write("/sys/fs/cgroup/cgroup.subtree_control", "+memory"));
            }
            drop(fs::create_dir(&folder));
            let group = Self { folder, limit_file };
            group.limit(1 << 30).ok().map(|()| group)
        })
    }

    fn limit(&self, len_bytes: u64) -> Result<(), Failure> {
        Ok(fs::write(self.folder.join(self.limit_file), len_bytes.to_string())?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(fs::remove_dir(&self.folder));
    }
}
