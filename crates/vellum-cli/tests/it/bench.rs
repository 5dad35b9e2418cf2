//! `vellum bench`: it measures what it is asked for, leaves nothing, and says what it cannot do. No figure is judged.

use crate::scene::{Ran, Scene};
use std::collections::BTreeSet;

/// Of an environment that names no repository.
fn bench(scene: &Scene, arguments: &[&str]) -> Ran {
    let mut command = scene.command();
    command.env_remove("VELLUM_REPOSITORY").env_remove("VELLUM_KEY_FILE").arg("bench").args(arguments);
    Ran::of(&mut command)
}

#[test]
fn json_has_every_stage_and_ends_with_what_follows() {
    let scene = Scene::new();
    let folder = scene.path("");
    let lines = bench(&scene, &["--quick", "--json", "-r", "not/there/yet"]).expect_code(0).json();
    let (summary, stages) = lines.split_last().expect("a summary");
    let names: BTreeSet<&str> = stages.iter().filter_map(|line| line["stage"].as_str()).collect();
    let expected = [
        "memory",
        "chunker phte128",
        "chunker window",
        "chunker gear",
        "hash",
        "compress 1",
        "compress 3",
        "compress 6",
        "seal",
        "parity",
        "backup text",
        "backup random",
        "storage",
    ];
    assert_eq!(names, BTreeSet::from(expected));
    assert_eq!(stages.len(), expected.len());
    for line in stages {
        let is_there = |field: &str| line[field].as_f64().is_some_and(|number| number > 0.0);
        assert_eq!(line["type"], "stage");
        assert!(["bytes", "threads", "seconds", "bytes_per_second"].into_iter().all(is_there), "{line}");
    }
    let storage = stages.last().expect("a stage");
    assert_eq!(storage["path"].as_str().map(std::path::Path::new), folder.ancestors().next());
    assert_eq!((&summary["type"], &summary["stages"]), (&"summary".into(), &13.into()));
    assert!(expected.contains(&summary["slowest"].as_str().expect("a stage")), "{summary}");
    assert!(summary["first_backup_bytes_per_second"].is_f64(), "{summary}");
    assert_eq!(std::fs::read_dir(&folder).expect("the folder").count(), 0, "what it wrote is gone");
}

#[test]
fn a_repository_stays_as_it_is() {
    let scene = Scene::with_repository();
    let before = crate::scene::files_below(&scene.path("repository"));
    scene.run(["bench", "--quick", "storage"]).expect_code(0);
    assert_eq!(crate::scene::files_below(&scene.path("repository")), before);
    scene.run(["check"]).expect_code(0);
}

#[test]
fn people_get_a_table_and_a_sentence() {
    let scene = Scene::new();
    let all = bench(&scene, &["--quick", "--threads", "1"]).expect_code(0);
    let lines: Vec<&str> = all.stdout.lines().collect();
    assert!(lines[0].starts_with("stage ") && lines[1].starts_with("memory "), "{}", all.stdout);
    assert!(!all.stdout.contains("\nstorage"), "nothing was named to write to: {}", all.stdout);
    let last = lines.last().expect("a sentence");
    assert!(last.contains("with 1 thread a first backup can reach at most"), "{last}");
    let seal = bench(&scene, &["seal", "--quick"]).expect_code(0);
    assert_eq!(seal.stdout.lines().count(), 2, "{}", seal.stdout);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let scene = Scene::new();
    std::fs::write(scene.path("file"), "x").expect("a file");
    let alone = bench(&scene, &["storage", "--quick"]).expect_code(2);
    assert!(alone.error_lines()[2].contains("-r"), "{}", alone.stderr);
    bench(&scene, &["storage", "--quick", "-r", "file"]).expect_code(2);
    bench(&scene, &["storage", "--quick", "-r", "s3://bucket"]).expect_code(2);
    bench(&scene, &["everything"]).expect_code(2);
    bench(&scene, &["--level", "3"]).expect_code(2);
}
