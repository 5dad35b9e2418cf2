//! Verbs, exit codes and output as the contract of the command line says.

use crate::scene::{Ran, Scene};
use std::ffi::OsStr;
use std::path::Path;
use vellum_testkit::trees::{self, assert_same_tree};

#[test]
fn a_day_with_vellum() {
    let scene = Scene::with_source(1);
    let first = scene.run(["--json", "backup", "source"]).expect_code(0);
    let summary = first.json().pop().expect("a summary");
    assert_eq!((&summary["type"], &summary["errors"]), (&"summary".into(), &0.into()));
    assert!(summary["files_new"].as_u64() > Some(30), "{summary}");

    trees::mutate(&scene.source(), 5, 10);
    scene.backup().expect_code(0);
    let snapshots = scene.run(["snapshots", "--json"]).expect_code(0).json();
    assert_eq!(snapshots.len(), 2);
    assert_eq!(snapshots[0]["id"], summary["snapshot_id"]);
    assert_eq!(snapshots[1]["paths"][0].as_str().map(Path::new), Some(scene.source().as_path()));

    let (restored, target) = scene.restore("latest", "target");
    restored.expect_code(0);
    assert_same_tree(&scene.source(), &target);

    let everything = scene.path("everything");
    scene.run([OsStr::new("restore"), OsStr::new("latest"), everything.as_os_str()]).expect_code(0);
    let below = everything.join(scene.source().strip_prefix("/").expect("an absolute path"));
    assert_same_tree(&scene.source(), &below);

    let id = snapshots[0]["short_id"].as_str().expect("a short id").to_owned();
    let listed = scene.run(["ls", &format!("{id}:{}", scene.source().display()), "--recursive", "--json"]);
    assert!(listed.expect_code(0).json().len() > 30);
    assert_eq!(scene.run(["stats", "--json"]).expect_code(0).json().len(), 1);
    for (verb, folder) in [("catalog", "catalogs"), ("pack", "packs")] {
        let object = scene.objects(folder).remove(0);
        let id = object.file_name().expect("a name").to_string_lossy().into_owned();
        let shown = scene.run(["cat", verb, &id, "--json"]).expect_code(0).json();
        assert_eq!(shown[0]["id"].as_str(), Some(id.as_str()));
        scene.run(["cat", verb, "0000000000000000"]).expect_code(2);
    }
    scene.run(["check", "--read-data"]).expect_code(0);
    scene.run(["check", "--sample", "1/2", "--restore-test", "3"]).expect_code(0);
}

#[test]
fn references_name_the_snapshot_that_people_mean() {
    let scene = Scene::with_repository();
    for (content, time) in
        [("one", "2026-01-01 10:00:00"), ("two", "2026-02-01 10:00:00"), ("three", "2026-03-01 10:00:00")]
    {
        std::fs::create_dir_all(scene.source()).expect("a source");
        std::fs::write(scene.source().join("file"), content).expect("a file");
        scene.run(["backup", "--quiet", "--time", time, "source"]).expect_code(0);
    }
    let content = |reference: &str| {
        let (ran, target) = scene.restore(reference, &format!("target-{reference}"));
        ran.expect_code(0);
        std::fs::read_to_string(target.join("file")).expect("the restored file")
    };
    assert_eq!((content("latest").as_str(), content("latest~1").as_str()), ("three", "two"));
    assert_eq!((content("2026-02-15").as_str(), content("latest~2").as_str()), ("two", "one"));
    assert_eq!(scene.restore("latest~3", "none").0.code, Some(1));
    assert_eq!(scene.restore("ffffffff", "none").0.code, Some(1));
}

#[test]
fn wrong_input_has_its_own_exit_code_and_three_lines() {
    let scene = Scene::with_source(2);
    let missing = scene.run(["backup", "--quiet", "not-there"]).expect_code(1);
    assert!(missing.error_lines()[0].contains("not-there"));
    assert_eq!(scene.run(["snapshots", "--json"]).json().len(), 0, "nothing was published");

    let elsewhere = scene.run(["-r", "nowhere", "snapshots"]).expect_code(10);
    assert!(elsewhere.error_lines()[0].contains("nowhere"));
    let json = scene.run(["-r", "nowhere", "snapshots", "--json"]).expect_code(10).json();
    assert_eq!((json[0]["type"].as_str(), json[0]["exit_code"].as_u64()), (Some("error"), Some(10)));

    std::fs::write(scene.path("other"), format!("vellum-key-1 {}\n", "0".repeat(64))).expect("a key file");
    scene.run(["--key-file", "other", "snapshots"]).expect_code(12);
    scene.run(["restore", "latest"]).expect_code(2);
    scene.run(["frobnicate"]).expect_code(2);
    scene.run(["backup", "--exclude", "[", "source"]).expect_code(2);
    scene.run(["-r", "s3://bucket/x", "snapshots"]).expect_code(2);
    assert_eq!(scene.run(["init"]).code, Some(1), "a repository is never made over another");
}

/// What was done is told on standard error when standard output takes nothing.
#[test]
fn a_result_that_cannot_be_written_is_not_lost() {
    let scene = Scene::with_source(5);
    let into_full = |arguments: &[&str]| {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device of Linux");
        Ran::of(scene.command().args(arguments).stdout(full)).expect_code(1)
    };
    for (number, flags) in [&["backup", "source"][..], &["backup", "--json", "source"]].into_iter().enumerate() {
        let told = into_full(flags);
        let snapshots = scene.run(["snapshots", "--json"]).expect_code(0).json();
        let id = snapshots[number]["id"].as_str().expect("an id");
        assert!(told.error_lines()[1].contains(id), "{}", told.stderr);
    }
    std::fs::remove_dir_all(scene.path("repository")).expect("our own folder");
    let told = into_full(&["init"]);
    assert!(told.error_lines()[2].contains("`vellum recovery show --new`"), "{}", told.stderr);
    scene.run(["recovery", "show", "--new"]).expect_code(0);
}

/// As of a variable that is not set: an empty path would be the current folder.
#[test]
fn an_empty_argument_is_no_path_and_no_host() {
    let scene = Scene::with_source(4);
    let empty: [&[&str]; 4] =
        [&["backup", ""], &["backup", "source", ""], &["backup", "-H", "", "source"], &["try", ""]];
    for arguments in empty {
        let refused = scene.run(arguments).expect_code(2);
        assert!(refused.error_lines()[0].contains("is empty"), "{}", refused.stderr);
    }
    assert_eq!(scene.run(["snapshots", "--json"]).expect_code(0).json().len(), 0);
    scene.run(["backup", "--quiet", "--stdin-filename", "a", "--from-command", "--", "echo", ""]).expect_code(0);
}

#[test]
fn a_repository_inside_the_source_or_the_target_is_refused() {
    let scene = Scene::with_source(3);
    scene.backup().expect_code(0);
    let around = scene.run([OsStr::new("backup"), scene.folder.path().as_os_str()]).expect_code(1);
    assert!(around.error_lines()[0].contains("repository"));
    scene
        .run([
            OsStr::new("backup"),
            OsStr::new("--quiet"),
            OsStr::new("--exclude"),
            OsStr::new("repository"),
            scene.folder.path().as_os_str(),
        ])
        .expect_code(0);
    for target in ["repository/inside", "repository"] {
        let refused = scene.run(["restore", "latest", target]).expect_code(1);
        assert!(refused.error_lines()[0].contains("repository"), "{}", refused.stderr);
    }
    // Around it is no refusal: who restores a whole machine has the repository somewhere below.
    let from = format!("latest:{}", scene.folder.path().display());
    std::fs::remove_dir_all(scene.source()).expect("a source");
    scene.run(["restore", "--quiet", "--delete", &from, "."]).expect_code(0);
    assert!(scene.source().exists());
    scene.run(["check", "--read-data"]).expect_code(0);
}

#[test]
fn excludes_leave_out_what_they_name() {
    let scene = Scene::with_repository();
    for file in ["keep/a.txt", "keep/b.o", "cache/CACHEDIR.TAG", "cache/junk", "marked/.nobackup", "marked/junk", "big"]
    {
        let path = scene.source().join(file);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        let tag = b"Signature: 8a477f597d28d172789f06886806bc55\n";
        std::fs::write(path, if file.ends_with("TAG") { &tag[..] } else { b"x" }).expect("a file");
    }
    std::fs::write(scene.source().join("big"), vec![7; 5000]).expect("a file");
    std::fs::write(scene.path("patterns"), "# a comment\n\n*.o\n").expect("a pattern file");
    scene
        .run([
            "backup",
            "--quiet",
            "--exclude-file",
            "patterns",
            "--exclude-caches",
            "--exclude-if-present",
            ".nobackup",
            "--exclude-larger-than",
            "4K",
            "source",
        ])
        .expect_code(0);
    let (restored, target) = scene.restore("latest", "target");
    restored.expect_code(0);
    let left: Vec<Vec<u8>> = trees::manifest(&target).into_keys().filter(|path| !path.is_empty()).collect();
    let expected = ["cache", "cache/CACHEDIR.TAG", "keep", "keep/a.txt", "marked", "marked/.nobackup"];
    let names: Vec<String> = left.iter().map(|path| String::from_utf8_lossy(path).into_owned()).collect();
    assert_eq!(names, expected);
    scene.run(["backup", "--exclude-file", "not-there", "source"]).expect_code(2);
}

#[test]
fn streams_and_commands_are_backed_up_only_when_they_succeed() {
    let scene = Scene::with_repository();
    scene
        .run(["backup", "--quiet", "--stdin-filename", "words", "--from-command", "--", "sh", "-c", "echo hello"])
        .expect_code(0);
    let target = scene.path("target");
    scene.run([OsStr::new("restore"), OsStr::new("latest"), target.as_os_str()]).expect_code(0);
    assert_eq!(std::fs::read(target.join("words")).expect("the stream"), b"hello\n");
    scene
        .run(["backup", "--stdin-filename", "words", "--from-command", "--", "sh", "-c", "echo half; exit 3"])
        .expect_code(1);
    assert_eq!(scene.run(["snapshots", "--json"]).json().len(), 1, "a failed command publishes nothing");
}

#[test]
fn try_shows_a_whole_round_and_leaves_nothing() {
    let scene = Scene::new();
    let temporary = scene.path("temporary");
    std::fs::create_dir(&temporary).expect("a folder");
    trees::build(&scene.source(), 9, trees::TreeOptions { file_count: 20, len_bytes_max: 50_000 });
    let mut command = scene.command();
    command.env_remove("VELLUM_REPOSITORY").env_remove("VELLUM_KEY_FILE").env("TMPDIR", &temporary);
    let tried = Ran::of(command.args(["try", "source"])).expect_code(0);
    assert!(tried.stdout.contains("every byte"), "{}", tried.stdout);
    assert_eq!(std::fs::read_dir(&temporary).expect("the folder").count(), 0, "what it made is gone");
}
