//! What a run goes by, when it is wrong: it is refused, named, and nothing is done.

use crate::scene::{Ran, Scene};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

/// Refused as usage, with this in what is said, and without any change to the repository.
#[track_caller]
fn refused(scene: &Scene, ran: &Ran, names: &str) {
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains(names), "{} does not name {names}", ran.stderr);
    assert_eq!(scene.run(["snapshots", "--json"]).json().len(), 1, "nothing was done");
}

fn scene() -> Scene {
    let scene = Scene::with_repository();
    std::fs::create_dir_all(scene.source()).expect("a folder");
    std::fs::write(scene.source().join("file"), "content").expect("a file");
    scene.backup().expect_code(0);
    scene
}

#[test]
fn passwords_that_are_empty_or_not_there_are_refused() {
    let scene = scene();
    for (name, content) in [("empty", ""), ("empty-line", "\nsecond line"), ("returns", "\r\n")] {
        std::fs::write(scene.path(name), content).expect("a file");
        let mut command = scene.command();
        command.env_remove("VELLUM_KEY_FILE").args(["--password-file", name, "backup", "source"]);
        refused(&scene, &Ran::of(&mut command), name);
    }
    let without_key = |variable: &str, value: &str| {
        let mut command = scene.command();
        Ran::of(command.env_remove("VELLUM_KEY_FILE").env(variable, value).args(["backup", "source"]))
    };
    refused(&scene, &without_key("VELLUM_PASSWORD", ""), "VELLUM_PASSWORD");
    refused(&scene, &without_key("VELLUM_PASSWORD_FILE", "not-there"), "not-there");
    refused(&scene, &without_key("VELLUM_PASSWORD_FILE", "source"), "source");
    refused(&scene, &without_key("VELLUM_PASSWORD_COMMAND", "true"), "password command");
}

#[test]
fn files_of_patterns_and_paths_that_cannot_be_read_are_refused() {
    let scene = scene();
    std::fs::write(scene.path("bytes"), b"*.o\n\xff\n").expect("a file");
    std::fs::write(scene.path("brackets"), "[\n").expect("a file");
    for (flag, file, names) in [
        ("--exclude-file", "not-there", "not-there"),
        ("--exclude-file", "source", "source"),
        ("--exclude-file", "bytes", "bytes"),
        ("--exclude-file", "brackets", "["),
        ("--files-from", "not-there", "not-there"),
        ("--files-from", "source", "source"),
    ] {
        refused(&scene, &scene.run(["backup", flag, file, "source"]), names);
    }
}

#[test]
fn contradictions_and_nonsense_are_refused_and_named() {
    let scene = scene();
    for (line, names) in [
        ("backup --stdin source", "--stdin"),
        ("backup --from-command", "PATH"),
        ("backup --from-command --stdin -- true", "--stdin"),
        ("backup --exclude-larger-than lots source", "lots"),
        ("backup --exclude-larger-than 99999999999999999999G source", "--exclude-larger-than"),
        ("backup --time yesterday source", "yesterday"),
        ("backup --class source=shared:us source", "shared:us"),
        ("backup --class source source", "--class"),
        ("backup --threads 0 source", "--threads"),
        ("backup", "path"),
        ("snapshots --quiet --verbose", "--quiet"),
        ("snapshots --password-file a --password-command b", "--password-file"),
        ("snapshots --password-file a --key-file key", "--key-file"),
        ("snapshots -P work", "profile"),
        ("snapshots -r ftp://host/x", "ftp"),
        ("check --sample 5/4", "5/4"),
        ("check --sample 101", "101"),
        ("check --read-data --sample 5", "--sample"),
        ("restore latest target --overwrite sometimes", "sometimes"),
        ("restore latest target --include [", "["),
        ("forget", "rule"),
        ("forget --keep-last 0 --allow-empty", "rule"),
        ("forget --keep-last 0 --keep-within 0 --prune", "rule"),
        ("forget --keep-last many", "many"),
        ("forget latest --keep-last 1", "named"),
        ("forget --keep-last 1 --timezone Nowhere/Else", "Nowhere"),
        ("forget --keep-last 1 --grace 0", "--prune"),
        ("init --level 23", "23"),
    ] {
        refused(&scene, &scene.run(line.split(' ')), names);
    }
}

#[test]
fn variables_that_hold_nonsense_are_refused_and_named() {
    let scene = scene();
    let with = |variable: &str, value: &[u8], verb: &str| {
        let mut command = scene.command();
        Ran::of(command.env(variable, OsStr::from_bytes(value)).arg(verb))
    };
    for value in [&b"\xff"[..], b"many", b"0", b"-1"] {
        refused(&scene, &with("VELLUM_THREADS", value, "snapshots"), "VELLUM_THREADS");
    }
    refused(&scene, &with("VELLUM_PROFILE", b"\xff", "snapshots"), "profile");
    refused(&scene, &with("VELLUM_KEY_FILE", b"not-there\xff", "snapshots"), "not-there");
    let elsewhere = with("VELLUM_REPOSITORY", b"no\xffwhere", "snapshots").expect_code(10);
    assert!(elsewhere.error_lines()[0].contains("where"), "{}", elsewhere.stderr);
    for variable in ["USER", "HOME", "XDG_CACHE_HOME", "VELLUM_JSON", "NO_COLOR", "TZ"] {
        with(variable, b"\xff\xfe", "snapshots").expect_code(0);
    }
}

/// A source inside of the repository would be saved with every backup of itself.
#[test]
fn repository_and_source_lie_apart() {
    let scene = scene();
    for source in ["repository", "repository/packs", "repository/../repository"] {
        let ran = scene.run(["backup", source]);
        assert_eq!(ran.code, Some(1), "{source}: {}", ran.stderr);
        assert!(ran.error_lines()[0].contains("repository"), "{}", ran.stderr);
    }
    assert_eq!(scene.run(["snapshots", "--json"]).json().len(), 1, "nothing was saved");
}

/// A path through a link, a relative one and an absolute one are one repository: what one run knows the next uses, and
/// none of them is overlooked as part of a source, or around a target.
#[test]
fn spellings_of_a_repository_are_one() {
    let scene = scene();
    symlink(scene.path("repository"), scene.path("link")).expect("a link");
    let absolute = scene.path("repository");
    let spellings = ["link", "./repository", "source/../repository/", absolute.to_str().expect("a plain path")];
    for (number, spelling) in spellings.into_iter().enumerate() {
        let ran = scene.run(["-r", spelling, "--json", "backup", "source"]).expect_code(0);
        assert_eq!(ran.json().pop().expect("a summary")["data_added"], 0, "{spelling}");
        assert_eq!(std::fs::read_dir(scene.path("cache")).expect("local state").count(), 1, "{spelling}");
        assert_eq!(scene.run(["-r", spelling, "snapshots", "--json"]).json().len(), number + 2);
        assert_eq!(scene.run(["-r", spelling, "init"]).code, Some(1), "a repository is never made over another");
        let around =
            scene.run([OsStr::new("-r"), OsStr::new(spelling), OsStr::new("backup"), scene.folder.path().as_os_str()]);
        assert_eq!(around.code, Some(1), "{spelling}: {}", around.stderr);
        for target in ["repository", "link", "link/packs/new"] {
            let ran = scene.run(["-r", spelling, "restore", "latest", target]);
            assert_eq!(ran.code, Some(1), "{spelling} to {target}: {}", ran.stderr);
        }
        scene.run(["-r", spelling, "restore", "--quiet", "latest", "."]).expect_code(0);
    }
    scene.run(["check", "--read-data"]).expect_code(0);
}

/// A cache is a convenience: where it cannot be, the run goes on and says so once.
#[test]
fn a_cache_that_cannot_be_kept_costs_a_warning() {
    let scene = Scene::with_source(61);
    scene.backup().expect_code(0);
    let in_the_way = scene.path("in-the-way");
    std::fs::write(&in_the_way, b"").expect("a file");
    let warned = |cache: Option<&std::path::Path>, arguments: &[&str]| {
        let mut command = scene.command();
        match cache {
            Some(cache) => command.env("VELLUM_CACHE_DIR", cache),
            None => command.env_remove("VELLUM_CACHE_DIR"),
        };
        command.args(arguments);
        Ran::of(&mut command).expect_code(0).stderr.matches("this run keeps no cache").count()
    };
    for cache in [None, Some(&*in_the_way), Some(&*in_the_way.join("below"))] {
        for verb in [&["backup", "source"][..], &["restore", "latest", "target"], &["check"], &["snapshots"]] {
            assert_eq!(warned(cache, verb), 1, "{cache:?} {verb:?}");
        }
        assert_eq!(warned(cache, &["snapshots", "--no-cache"]), 0);
    }
    assert_eq!(warned(Some(&scene.path("cache")), &["check"]), 0);
}
