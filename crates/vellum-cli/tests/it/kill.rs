//! `kill -9` at random moments: what was acknowledged is there, the next backup works, check is clean.

use crate::scene::Scene;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};
use vellum_testkit::Random;
use vellum_testkit::trees::{self, Manifest, TreeOptions, differences, manifest};

/// Kills `rounds` backups, each at a moment of its own, and looks at everything after each.
fn kill_backups(rounds: u64, seed: u64) {
    let scene = Scene::with_repository();
    trees::build(&scene.source(), seed, TreeOptions { file_count: 60, len_bytes_max: 300_000 });
    let mut random = Random::new(seed);
    let started = Instant::now();
    scene.backup().expect_code(0);
    let whole_run = started.elapsed();
    let mut acknowledged: Vec<(String, Manifest)> = vec![(newest(&scene), manifest(&scene.source()))];
    let mut killed = 0;
    for round in 0..rounds {
        trees::mutate(&scene.source(), seed.wrapping_mul(1000) + round, 15);
        let mut child = scene.command().args(["backup", "--quiet"]).arg(scene.source()).spawn().expect("a backup");
        let moments = u32::try_from(random.below(1000)).expect("below 1000");
        std::thread::sleep(whole_run * moments / 700);
        child.kill().expect("a child of ours");
        let status = child.wait().expect("it ended");
        match status.code() {
            Some(0) => acknowledged.push((newest(&scene), manifest(&scene.source()))),
            Some(code) => panic!("seed {seed}, round {round}: the backup failed with {code} before it was killed"),
            None => killed += 1,
        }
        scene.run(["check", "--read-data"]).expect_code(0);
        let (snapshot, expected) = random.pick(&acknowledged);
        assert_restores(&scene, snapshot, expected, &format!("seed {seed}, round {round}"));
    }
    assert!(killed > 0, "no backup was hit: the moments are badly chosen");
    scene.backup().expect_code(0);
    let last = (newest(&scene), manifest(&scene.source()));
    for (snapshot, expected) in acknowledged.iter().chain([&last]) {
        assert_restores(&scene, snapshot, expected, &format!("seed {seed}, at the end"));
    }
}

fn newest(scene: &Scene) -> String {
    let snapshots = scene.run(["snapshots", "--json"]).expect_code(0).json();
    snapshots.last().expect("an acknowledged snapshot")["id"].as_str().expect("an id").to_owned()
}

fn assert_restores(scene: &Scene, snapshot: &str, expected: &Manifest, when: &str) {
    let (restored, target) = scene.restore(snapshot, "target");
    restored.expect_code(0);
    let found = differences(expected, &manifest(&target));
    assert!(found.is_empty(), "{when}: snapshot {snapshot} differs: {found:?}");
    std::fs::remove_dir_all(target).expect("our own folder");
}

#[test]
fn killed_backups_lose_nothing_that_was_acknowledged() {
    kill_backups(12, 1);
}

#[cfg(feature = "slow")]
#[test]
fn two_hundred_killed_backups_lose_nothing_that_was_acknowledged() {
    kill_backups(200, 2);
}

/// A repository, and a source of one file that does not compress.
fn with_large_file(len_bytes: usize) -> Scene {
    let scene = Scene::with_repository();
    std::fs::create_dir(scene.source()).expect("a source");
    std::fs::write(scene.source().join("large"), Random::new(5).bytes(len_bytes)).expect("a file");
    scene
}

/// Sends a signal to a process that was not waited for, whether it has ended or not.
fn send(signal: &str, process: &Child) {
    let sent = std::process::Command::new("kill").args([signal, &process.id().to_string()]).status();
    assert!(sent.expect("kill").success());
}

/// As Ctrl-C does, but by a signal that is not ignored in what a shell started in the background.
fn interrupt(process: &Child) {
    send("-TERM", process);
}

/// Whether a restore writes, or wrote when it was killed, a file in this folder that is not whole.
fn is_written_to(folder: &Path) -> bool {
    let mut names = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|one| one.file_name());
    names.any(|name| name.as_encoded_bytes().starts_with(b".vellum-"))
}

/// Waits until a restore does so; false when it has ended before.
fn await_writing(restore: &mut Child, folder: &Path) -> bool {
    while !is_written_to(folder) {
        if restore.try_wait().expect("a child of ours").is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

#[test]
fn a_restore_that_was_killed_is_completed_by_the_next_that_keeps_what_is_there() {
    let scene = with_large_file(60_000_000);
    scene.backup().expect_code(0);
    let started = Instant::now();
    scene.restore("latest", "whole").0.expect_code(0);
    let whole_run = started.elapsed();
    let expected = manifest(&scene.source());
    let from = format!("latest:{}", scene.source().display());
    let mut cut = 0;
    for round in 0..12u32 {
        let mut child = scene.command().args(["restore", "--quiet", &from, "target"]).spawn().expect("a restore");
        await_writing(&mut child, &scene.path("target"));
        std::thread::sleep(whole_run * round / 24);
        child.kill().expect("a child of ours");
        child.wait().expect("it ended");
        cut += usize::from(is_written_to(&scene.path("target")));
        let policy = if round % 2 == 0 { "never" } else { "if-newer" };
        let again = ["restore", "--quiet", &from, "target", "--overwrite", policy, "--delete"];
        scene.run(again).expect_code(0);
        let found = differences(&expected, &manifest(&scene.path("target")));
        assert!(found.is_empty(), "round {round}: {found:?}");
        std::fs::remove_dir_all(scene.path("target")).expect("our own folder");
    }
    assert!(cut > 0, "no restore was hit while it wrote");
}

#[test]
fn an_interrupted_backup_stops_cleanly_and_keeps_its_work() {
    let scene = with_large_file(60_000_000);
    let mut child = scene.command().args(["backup", "--quiet"]).arg(scene.source()).spawn().expect("a backup");
    std::thread::sleep(Duration::from_millis(60));
    interrupt(&child);
    let code = child.wait().expect("it ended").code();
    assert!(matches!(code, Some(130 | 0)), "{code:?}");
    scene.run(["check", "--read-data"]).expect_code(0);
    assert_eq!(scene.run(["snapshots", "--json"]).json().len(), usize::from(code == Some(0)));
    scene.backup().expect_code(0);
}

#[test]
fn an_interrupted_restore_does_not_speak_of_backups() {
    let scene = with_large_file(100_000_000);
    scene.backup().expect_code(0);
    let from = format!("latest:{}", scene.source().display());
    let interrupted = (0..10).find_map(|_| {
        let mut command = scene.command();
        command.args(["restore", "--quiet", &from, "target"]).stderr(std::process::Stdio::piped());
        let mut child = command.spawn().expect("a restore");
        if await_writing(&mut child, &scene.path("target")) {
            interrupt(&child);
        }
        let ended = child.wait_with_output().expect("it ended");
        if ended.status.code() == Some(130) {
            return Some(String::from_utf8_lossy(&ended.stderr).into_owned());
        }
        // It was whole already: the next must not find it there, or it has nothing to write.
        std::fs::remove_dir_all(scene.path("target")).expect("our own folder");
        None
    });
    let said = interrupted.expect("a signal that came before the file was whole");
    assert!(said.contains("restored until then") && !said.contains("no snapshot was made"), "{said}");
    assert!(!is_written_to(&scene.path("target")), "nothing is left of what was not whole");
}

#[test]
fn signals_that_were_ignored_when_a_backup_began_stay_ignored() {
    let scene = Scene::with_repository();
    // As `nohup` does, and a shell to what it starts in the background.
    let mut command = std::process::Command::new("/bin/sh");
    scene.equip(&mut command);
    let shell = r#"trap "" HUP INT; exec "$0" backup --quiet --stdin"#;
    command.args(["-c", shell, env!("CARGO_BIN_EXE_vellum")]).stdin(std::process::Stdio::piped());
    let mut child = command.spawn().expect("a backup");
    while scene.objects("intents").is_empty() {
        assert_eq!(child.try_wait().expect("a child of ours"), None, "it waits for its input");
        std::thread::sleep(Duration::from_millis(5));
    }
    for signal in ["-HUP", "-INT", "-HUP", "-INT"] {
        send(signal, &child);
    }
    drop(child.stdin.take());
    assert_eq!(child.wait().expect("it ended").code(), Some(0));
    assert_eq!(scene.run(["snapshots", "--json"]).expect_code(0).json().len(), 1);
}
