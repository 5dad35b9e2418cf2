//! Passwords, key files and the recovery key.

use crate::scene::{Ran, Scene};
use std::io::Write as _;
use std::process::{Command, Stdio};

/// The command with a password instead of the key file.
fn with_password(scene: &Scene, password: &str) -> Command {
    let mut command = scene.command();
    command.env_remove("VELLUM_KEY_FILE").env("VELLUM_PASSWORD", password);
    command
}

fn recovery_key(printed: &str) -> String {
    let is_group = |word: &str| word.len() == 34 && word.split('-').filter(|group| group.len() == 4).count() == 7;
    printed.split_whitespace().find(|word| is_group(word)).expect("seven groups of four").to_owned()
}

fn check_recovery(scene: &Scene, typed: &str) -> Ran {
    let mut command = scene.command();
    command.env_remove("VELLUM_KEY_FILE").args(["recovery", "check"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    child.stdin.take().expect("a pipe").write_all(format!("{typed}\n").as_bytes()).expect("the pipe takes it");
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn every_way_in_opens_until_it_is_removed() {
    let scene = Scene::new();
    let made = Ran::of(with_password(&scene, "first").arg("init")).expect_code(0);
    let recovery = recovery_key(&made.stdout);
    Ran::of(with_password(&scene, "wrong").arg("snapshots")).expect_code(12);
    Ran::of(with_password(&scene, "first").arg("snapshots")).expect_code(0);
    Ran::of(with_password(&scene, &recovery).arg("snapshots")).expect_code(0);

    Ran::of(with_password(&scene, "first").args(["key", "add", "--key-file"]).arg(scene.path("key"))).expect_code(0);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(scene.path("key")).expect("the key file").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
    scene.run(["snapshots"]).expect_code(0);
    let again = Ran::of(with_password(&scene, "first").args(["key", "add", "--key-file"]).arg(scene.path("key")));
    assert_ne!(again.code, Some(0), "an existing file is never replaced");
    scene.run(["snapshots"]).expect_code(0);

    std::fs::write(scene.path("new-password"), "second\n").expect("a password file");
    let passwd = ["key", "passwd", "--new-password-file"];
    Ran::of(with_password(&scene, "first").args(passwd).arg(scene.path("new-password"))).expect_code(0);
    Ran::of(with_password(&scene, "first").arg("snapshots")).expect_code(12);
    Ran::of(with_password(&scene, "second").arg("snapshots")).expect_code(0);

    let slots = scene.run(["key", "list", "--json"]).expect_code(0).json();
    assert_eq!(slots.len(), 3, "{slots:?}");
    let password = slots.iter().find(|slot| slot["kind"] == "password").expect("the password slot");
    scene.run(["key", "remove", password["id"].as_str().expect("an id")]).expect_code(0);
    let removed = Ran::of(with_password(&scene, "second").arg("snapshots"));
    assert_eq!(removed.code, Some(12), "{}", removed.stderr);
    scene.run(["snapshots"]).expect_code(0);
}

#[test]
fn the_recovery_key_is_checked_symbol_by_symbol() {
    let scene = Scene::new();
    std::fs::write(scene.path("key"), format!("vellum-key-1 {}\n", "5".repeat(64))).expect("a key file");
    let key = recovery_key(&scene.run(["init"]).expect_code(0).stdout);
    check_recovery(&scene, &key).expect_code(0);
    check_recovery(&scene, &key.to_lowercase().replace('-', " ")).expect_code(0);
    let mut wrong: Vec<char> = key.chars().collect();
    wrong[0] = if wrong[0] == '7' { '8' } else { '7' };
    let typed: String = wrong.into_iter().collect();
    check_recovery(&scene, &typed).expect_code(12);
    check_recovery(&scene, &key[..30]).expect_code(12);

    let renewed = scene.run(["recovery", "show", "--new"]).expect_code(0);
    let new = recovery_key(&renewed.stdout);
    assert_ne!(new, key);
    check_recovery(&scene, &key).expect_code(12);
    check_recovery(&scene, &new).expect_code(0);
}

/// Every key manifest and copy by its path.
fn key_objects(scene: &Scene) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let paths = ["keys", "mirror/keys"].into_iter().flat_map(|kind| scene.objects(kind));
    paths.map(|path| (path.clone(), std::fs::read(path).expect("our own object"))).collect()
}

#[test]
fn a_change_of_keys_that_was_interrupted_is_no_damage() {
    let scene = Scene::with_source(31);
    let before = key_objects(&scene);
    scene.run(["key", "add", "--key-file", "other"]).expect_code(0);
    let after = key_objects(&scene);
    let put = |objects: &[(&std::path::PathBuf, &Vec<u8>)]| {
        key_objects(&scene).into_keys().for_each(|path| std::fs::remove_file(path).expect("our own object"));
        objects.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).expect("our own folder"));
    };
    let (before, after): (Vec<_>, Vec<_>) = (before.iter().collect(), after.iter().collect());
    assert_eq!((before.len(), after.len()), (2, 2));
    for left in
        [[&before[..], &after[..1]], [&before[..], &after[1..]], [&before[..1], &after[..]], [&before[1..], &after[..]]]
    {
        put(&left.concat());
        scene.run(["check"]).expect_code(0);
        scene.backup().expect_code(0);
        scene.run(["check", "--read-data"]).expect_code(0);
    }
    put(&after[..1]);
    scene.run(["check"]).expect_code(4);
}
