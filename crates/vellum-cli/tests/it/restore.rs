//! What `vellum restore` says of what it deletes and of what it cannot do.

use crate::scene::{Ran, Scene};
use crate::source::as_somebody;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::process::Command;
use vellum_testkit::Random;
use vellum_testkit::trees::{assert_same_tree, differences, manifest};

/// A scene with a snapshot of two files, and how to name it on the command line.
fn saved() -> (Scene, String) {
    let scene = Scene::with_repository();
    fs::create_dir_all(scene.source().join("folder")).expect("folders");
    fs::write(scene.source().join("folder/one"), b"one").expect("a file");
    fs::write(scene.source().join("two"), b"two").expect("a file");
    scene.backup().expect_code(0);
    let from = format!("latest:{}", scene.source().display());
    (scene, from)
}

#[test]
fn what_is_deleted_is_listed_and_a_dry_run_lists_the_same() {
    let (scene, from) = saved();
    fs::create_dir_all(scene.path("target/folder")).expect("folders");
    fs::write(scene.path("target/folder/odd\u{1b}[2Jname"), b"found").expect("a file");
    let arguments = ["restore", &from, "target", "--delete"];
    let run = |extra: &[&str]| scene.run([&arguments[..], extra].concat()).expect_code(0);

    let told = run(&["--dry-run"]);
    assert!(told.stdout.contains("would remove 1 entry"), "{}", told.stdout);
    assert!(!told.stderr.contains("name"), "only with -v: {}", told.stderr);
    let told = run(&["--dry-run", "-v"]);
    let line = format!("would remove {}/folder/odd\\x1b[2Jname", scene.path("target").display());
    assert!(told.stderr.contains(&line), "{}", told.stderr);
    let told = run(&["--dry-run", "-v", "--json"]).json();
    let [deleted, summary] = &told[..] else { panic!("two lines: {told:?}") };
    assert_eq!((&deleted["type"], &summary["deleted"]), (&"deleted".into(), &1.into()));
    assert!(deleted["path"].as_str().is_some_and(|path| path.ends_with("name")), "{deleted}");

    let done = run(&["-v"]);
    assert!(done.stderr.contains(&line["would remove ".len()..]) && !done.stderr.contains("would"), "{}", done.stderr);
    assert!(done.stdout.contains("removed 1 entry"), "{}", done.stdout);
    assert_eq!(run(&["-v", "--json"]).json().len(), 1, "there is nothing left to delete");
}

#[test]
fn what_the_backup_left_out_is_named_by_a_dry_run_and_kept_by_the_same_patterns() {
    let scene = Scene::with_repository();
    for folder in ["work", "cache/below"] {
        fs::create_dir_all(scene.source().join(folder)).expect("folders");
    }
    for (path, len) in [("work/kept", 9), ("work/a.tmp", 9), ("long", 2000), ("cache/below/one", 9), ("cache/mark", 0)]
    {
        fs::write(scene.source().join(path), vec![7; len]).expect("a file");
    }
    let socket = UnixListener::bind(scene.source().join("socket")).expect("a socket");
    let from = format!("latest:{}", scene.source().display());
    let source = scene.source().display().to_string();
    let left_out = ["--exclude", "*.tmp", "--exclude-larger-than", "1000", "--exclude-if-present", "mark"];
    scene.run([&["backup", &source], &left_out[..]].concat()).expect_code(0);
    let before = manifest(&scene.source());

    // In place.
    let restore =
        |extra: &[&str]| scene.run([&["restore", &from, &source, "--delete", "-v"], extra].concat()).expect_code(0);
    let named = |ran: &Ran, with: &str| -> Vec<String> {
        let lines = ran.stderr.lines().filter_map(|line| line.strip_prefix(with)?.strip_prefix(&source));
        lines.map(str::to_owned).collect()
    };
    let told = restore(&["--dry-run"]);
    let gone = ["/cache/below", "/work/a.tmp", "/long", "/socket"];
    assert_eq!(named(&told, "would remove "), gone);
    let keeping = ["*.tmp", "long", "cache", "socket"].map(|pattern| ["--exclude", pattern]).concat();
    let told = restore(&[&["--dry-run"], &keeping[..]].concat());
    assert_eq!(named(&told, "would remove "), [""; 0]);
    restore(&keeping);
    assert_eq!(differences(&before, &manifest(&scene.source())), [""; 0]);

    assert_eq!(named(&restore(&[]), "removed "), gone);
    assert!(!scene.source().join("long").exists() && scene.source().join("work/kept").exists());
    drop(socket);
}

#[test]
fn what_the_target_does_not_take_is_told_as_that_and_once() {
    let (scene, from) = saved();
    fs::create_dir_all(scene.path("target/two/in the way")).expect("folders");
    let failed = scene.run(["restore", &from, "target", "--verify"]).expect_code(4);
    let place = scene.path("target/two").display().to_string();
    assert!(failed.stderr.contains(&format!("{place}: Directory not empty")), "{}", failed.stderr);
    assert!(!failed.stderr.contains(&scene.source().display().to_string()), "{}", failed.stderr);
    let [happened, means, hint] = failed.error_lines()[..] else { panic!("three lines") };
    assert!(happened.contains("1 entry could not"), "{happened}");
    assert!(means.contains("everything else was restored"), "{means}");
    assert!(hint.contains("clear the way") && !hint.contains("--read-data"), "{hint}");
}

#[test]
fn a_restore_of_nothing_does_not_speak_of_the_rest() {
    let (scene, _) = saved();
    scene.objects("packs").iter().for_each(|pack| fs::remove_file(pack).expect("a pack"));
    let failed = scene.run(["restore", "latest", "target", "--verify"]).expect_code(4);
    assert!(failed.stderr.contains("cannot read the folder /: "), "{}", failed.stderr);
    let [happened, means, hint] = failed.error_lines()[..] else { panic!("three lines") };
    assert!(happened.contains("1 entry could not"), "{happened}");
    assert!(means.contains("nothing was restored") && !means.contains("everything else"), "{means}");
    assert!(hint.contains("--read-data") && !hint.contains("clear the way"), "{hint}");
}

/// What was appended lies in other packs than what it was appended to, for all files of a window.
#[test]
fn files_in_parts_that_lie_far_apart_need_no_more_open_files_than_systems_allow() {
    const FILES: usize = 300;
    let scene = Scene::with_repository();
    fs::create_dir(scene.source()).expect("a source");
    let mut random = Random::new(9);
    for round in 1..=2 {
        for number in 0..FILES {
            let path = scene.source().join(number.to_string());
            let mut file = fs::File::options().create(true).append(true).open(path).expect("a file");
            file.write_all(&random.bytes(150_000)).expect("it grows");
        }
        scene.backup().expect_code(0);
        assert_eq!(scene.run(["snapshots", "--json"]).json().len(), round);
    }
    let mut command = Command::new("sh");
    scene.equip(&mut command);
    let from = format!("latest:{}", scene.source().display());
    let script = "ulimit -n 250; exec \"$0\" restore \"$@\"";
    Ran::of(command.args(["-c", script, env!("CARGO_BIN_EXE_vellum"), &from, "target"])).expect_code(0);
    assert_same_tree(&scene.source(), &scene.path("target"));
}

/// More folders than are written together lie between the names, so the first one's are complete when the other is made.
#[test]
fn a_folder_without_the_right_to_write_keeps_its_mode_when_something_is_linked_from_it_later() {
    let scene = Scene::with_repository();
    for folder in (0..300).map(|number| format!("m{number}")).chain(["a/inner".to_owned(), "z".to_owned()]) {
        fs::create_dir_all(scene.source().join(folder)).expect("folders");
    }
    fs::write(scene.source().join("a/inner/file"), b"saved").expect("a file");
    fs::hard_link(scene.source().join("a/inner/file"), scene.source().join("z/file")).expect("a link");
    let closed = ["source/a/inner", "source/a", "target/a/inner", "target/a"].map(|folder| scene.path(folder));
    let set = |folder, mode| fs::set_permissions(folder, Permissions::from_mode(mode)).expect("our own folder");
    let mut backup = as_somebody(&scene);
    closed[..2].iter().for_each(|folder| set(folder, 0o555));
    Ran::of(backup.args(["backup", "--quiet"]).arg(scene.source())).expect_code(0);
    let from = format!("latest:{}", scene.source().display());
    Ran::of(as_somebody(&scene).args(["restore", "--quiet", &from, "target"])).expect_code(0);
    assert_same_tree(&scene.source(), &scene.path("target"));
    // Else nobody but root could remove them.
    closed.iter().for_each(|folder| set(folder, 0o755));
}

#[test]
fn a_folder_that_only_leads_to_what_is_restored_keeps_its_mode() {
    let scene = Scene::with_repository();
    fs::create_dir_all(scene.source().join("way/closed/inner")).expect("folders");
    fs::write(scene.source().join("way/closed/inner/file"), b"saved").expect("a file");
    let from = format!("latest:{}", scene.source().display());
    Ran::of(as_somebody(&scene).args(["backup", "--quiet"]).arg(scene.source())).expect_code(0);
    let mut restore = as_somebody(&scene);
    Ran::of(as_somebody(&scene).args(["restore", "--quiet", &from, "target"])).expect_code(0);
    let modes = [("target/way/closed", 0o000), ("target/way", 0o555)].map(|(folder, mode)| (scene.path(folder), mode));
    let set = |folder, mode| fs::set_permissions(folder, Permissions::from_mode(mode)).expect("our own folder");
    fs::remove_file(scene.path("target/way/closed/inner/file")).expect("our own file");
    modes.iter().for_each(|(folder, mode)| set(folder, *mode));
    Ran::of(restore.args(["restore", "--quiet", &from, "target", "--include", "inner"])).expect_code(0);
    for (folder, mode) in modes.iter().rev() {
        assert_eq!(fs::metadata(folder).expect("a folder").permissions().mode() & 0o7777, *mode, "{folder:?}");
        // Else nobody but root could look further, and remove them.
        set(folder, 0o755);
    }
    assert_eq!(fs::read(scene.path("target/way/closed/inner/file")).expect("a file"), b"saved");
}
