//! P9: whatever a repository holds, written by somebody with its keys, every command ends within the limits, says what
//! is wrong, and touches nothing but what it is to touch.

mod cases;
mod evil;

use crate::scene::{Ran, Scene};
use cases::{Case, Outcome};
use evil::Evil;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};
use vellum_testkit::trees::{Manifest, TreeOptions, build, differences, manifest};

/// What kills a command, as P9 says: seconds of the processor, whatever else the machine does, and KiB of memory.
const LIMITS: &str = "ulimit -c 0; ulimit -t 10; ulimit -d 262144";

/// Seconds after which a command that waits for something is killed: for a pipe that nobody writes to, for example.
const SECONDS_MAX: &str = "120";

/// After this an immense answer is broken off, by a signal that asks.
const SECONDS_OF_AN_IMMENSE_ANSWER: &str = "1";

/// Commands that change nothing in the repository.
const READERS: [&[&str]; 14] = [
    &["check", "--read-data"],
    &["snapshots"],
    &["ls", "latest", "--recursive"],
    &["restore", "latest", "target", "--verify"],
    &["restore", "latest", "target", "--dry-run"],
    &["check"],
    &["check", "--restore-test", "3"],
    &["stats"],
    &["key", "list"],
    &["cat", "config"],
    &["cat", "snapshot", "latest"],
    &["cat", "tree", "latest"],
    &["forget", "--keep-last", "1", "--dry-run"],
    &["prune", "--dry-run"],
];

/// Commands that write, each on a repository of its own.
#[cfg(feature = "slow")]
const WRITERS: [&[&str]; 7] = [
    &["backup", "source"],
    &["repair", "index"],
    &["repair", "packs"],
    &["repair", "snapshots"],
    &["prune"],
    &["prune", "--grace", "0"],
    &["forget", "--keep-last", "1"],
];

/// An honest repository with one backup, to be copied.
fn honest() -> Scene {
    let scene = Scene::with_repository();
    build(&scene.source(), 1, TreeOptions { file_count: 6, len_bytes_max: 20_000 });
    let source = scene.source().display().to_string();
    // Before what the cases store, whatever the clock says: the newest snapshot is to be theirs.
    scene.run(["backup", "--quiet", &source, "--time", "2026-11-20T00:00:00Z"]).expect_code(0);
    scene
}

/// A copy of a scene, with an outside that nobody may touch.
fn copy(scene: &Scene) -> Scene {
    let copy = Scene::in_memory();
    for name in ["repository", "source", "key"] {
        let status = Command::new("cp").arg("-a").arg(scene.path(name)).arg(copy.folder.path()).status();
        assert!(status.expect("cp can be run").success(), "a copy of {name}");
    }
    let outside = copy.path("outside");
    std::fs::create_dir(&outside).expect("a folder");
    std::fs::write(outside.join("file"), "precious").expect("a file");
    copy
}

/// Everything of a scene that no command may change.
fn untouchable(scene: &Scene) -> (Vec<String>, Manifest, Manifest) {
    let mut names: Vec<String> = std::fs::read_dir(scene.folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| !["target", "cache", "repository"].contains(&name.as_str()))
        .collect();
    names.sort();
    (names, manifest(&scene.path("outside")), manifest(&scene.source()))
}

/// Runs a command within the limits, its answers thrown away.
fn run(scene: &Scene, arguments: &[&str], seconds: &str, signal: &str) -> Ran {
    let mut command = Command::new("sh");
    scene.equip(&mut command);
    let script = format!("{LIMITS}; exec timeout -k 60 -s {signal} {seconds} \"$@\"");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_vellum"), "--threads", "2"]).args(arguments);
    Ran::of(command.stdout(Stdio::null()).stderr(Stdio::piped()))
}

/// What is wrong with how a command ended.
fn wrong(ran: &Ran, outcome: Outcome, arguments: &[&str]) -> Option<String> {
    let is_immense = outcome.is_immense() && !matches!(ran.code, Some(0 | 1 | 3 | 4 | 12));
    let code = match ran.code {
        Some(code @ (0 | 1 | 3 | 4 | 5 | 10 | 12)) => code,
        Some(124 | 130) if is_immense && ["ls", "restore"].contains(&arguments[0]) => return None,
        code => return Some(format!("ended with {code:?}")),
    };
    if ran.stderr.contains("panicked") {
        return Some("panicked".to_owned());
    }
    match code != 0 && !ran.stderr.contains("error: ") && !ran.stderr.contains("warning: ") && code != 4 {
        true => Some(format!("ended with {code} and named nothing")),
        false => None,
    }
}

/// Makes one hostile repository, and runs these commands on it.
fn torment(template: &Scene, case: &Case, commands: &[&[&str]], failures: &mut Vec<String>) {
    let scene = copy(template);
    (case.make)(&mut Evil::of(&scene));
    let before = untouchable(&scene);
    for arguments in commands {
        let stops = case.outcome.is_immense() && ["ls", "restore"].contains(&arguments[0]);
        let (seconds, signal) = if stops { (SECONDS_OF_AN_IMMENSE_ANSWER, "INT") } else { (SECONDS_MAX, "KILL") };
        let ran = run(&scene, arguments, seconds, signal);
        let mut fail = |what: String| {
            let told: String = ran.stderr.chars().take(1500).collect();
            failures.push(format!("{}: {}: {what}\n{told}", case.name, arguments.join(" ")));
        };
        if let Some(what) = wrong(&ran, case.outcome, arguments) {
            fail(what);
        }
        if arguments == &READERS[0] {
            let is_told = ran.code == Some(4);
            match case.outcome {
                Outcome::Told | Outcome::ImmenseTold if !is_told => {
                    fail(format!("ended with {:?} and found nothing", ran.code));
                }
                Outcome::Harmless | Outcome::Immense if ran.code != Some(0) => fail(format!("found {:?}", ran.code)),
                Outcome::Shut if ran.code == Some(0) => fail("opened it".to_owned()),
                _ => {}
            }
        }
        let after = untouchable(&scene);
        let changes = [differences(&before.1, &after.1), differences(&before.2, &after.2)].concat();
        if !changes.is_empty() || before.0 != after.0 {
            fail(format!("touched what it must not: {changes:?} {:?}", after.0));
        }
        remove(&scene.path("target"));
    }
}

/// Removes a restored tree of any depth.
fn remove(path: &Path) {
    let status = Command::new("rm").args([OsStr::new("-rf"), path.as_os_str()]).status();
    assert!(status.expect("rm can be run").success(), "{} is removed", path.display());
}

#[track_caller]
fn assert_none(failures: &[String]) {
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn hostile_repositories_are_read_within_limits_and_told() {
    let template = honest();
    let mut failures = Vec::new();
    for case in cases::all().iter().filter(|case| case.is_quick) {
        torment(&template, case, &READERS[..4], &mut failures);
    }
    assert_none(&failures);
}

#[cfg(feature = "slow")]
#[test]
fn every_command_survives_every_hostile_repository() {
    let template = honest();
    let mut failures = Vec::new();
    for case in &cases::all() {
        torment(&template, case, &READERS, &mut failures);
        for command in WRITERS {
            torment(&template, case, &[command], &mut failures);
        }
    }
    assert_none(&failures);
}
