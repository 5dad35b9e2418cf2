//! History as the user meets it: what is missing is told, a noted code proves how far it reaches, and a machine
//! that has seen nothing says so.

use crate::scene::{Ran, Scene};
use std::ffi::OsStr;
use std::path::Path;

fn copy(from: &Path, to: &Path) {
    let status = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp can be run");
    assert!(status.success());
}

fn scene_with_a_file() -> Scene {
    let scene = Scene::with_repository();
    std::fs::create_dir(scene.source()).expect("a source");
    std::fs::write(scene.source().join("file"), "content").expect("a file");
    scene
}

/// Backs up and returns the head code.
fn back_up(scene: &Scene) -> String {
    let summary = scene.run(["--json", "backup", "source"]).expect_code(0).json().pop().expect("a summary");
    summary["head_code"].as_str().expect("a head code").to_owned()
}

/// Puts an older copy of the repository in the place of the newest, which it returns the code of.
fn roll_back(scene: &Scene) -> String {
    copy(&scene.path("repository"), &scene.path("older"));
    let newest = back_up(scene);
    std::fs::rename(scene.path("repository"), scene.path("newer")).expect("our own folder");
    std::fs::rename(scene.path("older"), scene.path("repository")).expect("our own folder");
    newest
}

fn warnings(ran: &Ran) -> Vec<&str> {
    ran.stderr.lines().filter(|line| line.starts_with("warning: ")).collect()
}

#[test]
fn a_repository_that_went_back_in_time_is_told_by_every_verb_until_it_is_accepted() {
    let scene = scene_with_a_file();
    back_up(&scene);
    roll_back(&scene);
    let target = scene.path("target");
    let restore = [OsStr::new("restore"), OsStr::new("latest"), target.as_os_str()];
    for ran in [scene.backup(), scene.run(["snapshots", "--quiet"]), scene.run(restore)] {
        let ran = ran.expect_code(0);
        let told = warnings(&ran);
        assert!(told.len() == 1 && told[0].contains("this machine has seen it"), "{}", ran.stderr);
        let lines: Vec<&str> = ran.stderr.lines().skip_while(|line| !line.starts_with("warning: ")).collect();
        assert!(lines[1].starts_with("  means: ") && lines[2].starts_with("  try: "), "{}", ran.stderr);
        assert!(lines[2].contains("--accept-history"), "{}", ran.stderr);
    }
    let line = &scene.run(["snapshots", "--json"]).expect_code(0).json()[0];
    assert_eq!(line["type"], "warning");
    assert!(line["meaning"].is_string() && line["hint"].is_string(), "{line}");
    let checked = scene.run(["check", "--json"]).expect_code(4).json();
    let finding = checked.iter().find(|line| line["type"] == "finding").expect("a finding");
    assert!(finding["reason"].as_str().is_some_and(|reason| reason.contains("this machine has seen it")));

    let accepted = scene.run(["check", "--accept-history"]).expect_code(0);
    assert!(accepted.stdout.contains("accepted: snapshots/"), "{}", accepted.stdout);
    scene.run(["check"]).expect_code(0);
    assert_eq!(warnings(&scene.backup().expect_code(0)), [""; 0]);
    let again = scene.run(["check", "--accept-history"]).expect_code(0);
    assert!(again.stdout.contains("nothing to accept"), "{}", again.stdout);
    scene.run(["check", "--accept-history", "--no-cache"]).expect_code(2);
}

#[test]
fn a_head_code_refuses_an_older_state_and_takes_a_newer() {
    let scene = scene_with_a_file();
    let first = back_up(&scene);
    let newest = roll_back(&scene);
    assert_ne!(first, newest);
    let target = scene.path("target");
    let restore = |code: &str| {
        drop(std::fs::remove_dir_all(&target));
        scene.run([
            OsStr::new("restore"),
            OsStr::new("latest"),
            target.as_os_str(),
            OsStr::new("--head"),
            OsStr::new(code),
        ])
    };
    scene.run(["check", "--accept-history"]).expect_code(0);
    restore(&first).expect_code(0);
    let refused = restore(&newest).expect_code(4);
    assert!(refused.error_lines()[0].contains(&newest), "{}", refused.stderr);
    assert!(!target.exists(), "nothing was restored");
    let checked = scene.run(["check", "--json", "--head", &newest]).expect_code(4).json();
    assert_eq!((&checked[0]["type"], &checked[0]["code"]), (&"error".into(), &"head_unknown".into()));

    std::fs::remove_dir_all(scene.path("repository")).expect("our own folder");
    std::fs::rename(scene.path("newer"), scene.path("repository")).expect("our own folder");
    for code in [&newest, &first, &newest.to_lowercase().replace('-', " ")] {
        restore(code).expect_code(0);
        scene.run(["check", "--head", code]).expect_code(0);
    }
    scene.run(["check", "--head", "0000-0000-000"]).expect_code(2);
    let summary = scene.run(["check", "--json"]).expect_code(0).json().pop().expect("a summary");
    assert_eq!(summary["head_code"].as_str(), Some(newest.as_str()));
    assert!(scene.run(["snapshots"]).expect_code(0).stdout.contains(&newest));
    let said = scene.run(["backup", "source"]).expect_code(0).stdout;
    assert!(said.lines().any(|line| line.starts_with("head ")), "{said}");
}

#[test]
fn a_machine_that_has_seen_nothing_says_what_it_cannot_prove() {
    let scene = scene_with_a_file();
    scene.run(["check"]).expect_code(0);
    let code = back_up(&scene);
    let says_so = |ran: Ran| ran.expect_code(0).stderr.contains("cannot prove");
    assert!(!says_so(scene.run(["check"])), "who has written has seen it");
    let fresh = |number: u32, arguments: &[&str]| {
        let cache = scene.path(&format!("cache-{number}"));
        Ran::of(scene.command().args(arguments).env("VELLUM_CACHE_DIR", cache))
    };
    assert!(says_so(fresh(1, &["check"])));
    assert!(!says_so(fresh(1, &["check"])), "the next time it has");
    assert!(says_so(fresh(2, &["restore", "latest", "target"])));
    assert!(!says_so(fresh(3, &["restore", "latest", "target", "--quiet"])));
    assert!(!says_so(fresh(4, &["restore", "latest", "target", "--head", &code])));
    assert!(says_so(scene.run(["check", "--no-cache"])));
}

/// P13: what a device is does not hang on local state.
#[test]
fn a_wiped_cache_makes_no_new_device() {
    let scene = scene_with_a_file();
    let device = || {
        let shown = scene.run(["cat", "snapshot", "latest", "--json"]).expect_code(0).json().remove(0);
        shown["device"].as_str().expect("a device").to_owned()
    };
    back_up(&scene);
    let first = device();
    std::fs::remove_dir_all(scene.path("cache")).expect("our own folder");
    scene.run(["check"]).expect_code(0);
    back_up(&scene);
    assert_eq!(device(), first);
    scene.run(["backup", "--quiet", "--no-cache", "source"]).expect_code(0);
    assert_eq!(device(), first);
    assert_eq!(warnings(&scene.backup()), [""; 0]);
}

/// I15: backups at once on one machine are one device, and neither loss nor fork.
#[test]
fn backups_at_once_are_nothing_to_tell() {
    let scene = scene_with_a_file();
    for round in 0..3 {
        let start = |number: u32| {
            let mut command = scene.command();
            command
                .args(["backup", "--quiet", "source"])
                .env("VELLUM_CACHE_DIR", scene.path(&format!("cache-{number}")));
            command.stderr(std::process::Stdio::piped()).spawn().expect("a backup")
        };
        for child in (0..4).map(start).collect::<Vec<_>>() {
            let output = child.wait_with_output().expect("it ended");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success() && said.is_empty(), "round {round}: {said}");
        }
        scene.run(["check"]).expect_code(0);
    }
    assert_eq!(scene.run(["snapshots", "--json"]).expect_code(0).json().len(), 12);
}
