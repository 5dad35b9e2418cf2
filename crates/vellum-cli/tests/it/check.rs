//! `vellum check` in levels: what it remembers, what it says of parity, and the restore test.

use crate::scene::Scene;
use serde_json::Value;

/// The last line of a check.
fn summary(scene: &Scene, arguments: &[&str], code: i32) -> Value {
    let ran = scene.run(["check", "--json"].iter().chain(arguments));
    ran.expect_code(code).json().pop().expect("a summary")
}

#[test]
fn samples_add_up_and_everybody_is_told_since_when_all_is_verified() {
    let scene = Scene::with_source(51);
    scene.backup().expect_code(0);
    let before = summary(&scene, &[], 0);
    assert_eq!(before["coverage"]["packs_never_verified"], before["packs"]);
    assert_eq!((&before["recorded"], &before["coverage"]["fully_verified"]), (&false.into(), &Value::Null));
    assert!(scene.run(["check"]).expect_code(0).stdout.contains("never verified"));
    for _ in 0..20 {
        assert_eq!(summary(&scene, &["--sample", "5%"], 0)["recorded"], true);
        assert_eq!(scene.objects("verified").len(), 1);
    }
    let plain = scene.run(["check"]).expect_code(0);
    assert!(plain.stdout.contains("last fully verified on "), "{}", plain.stdout);
    let stats = scene.run(["stats", "--json"]).expect_code(0).json().pop().expect("a line");
    assert_eq!(stats["coverage"]["packs_never_verified"], 0);
    assert!(stats["coverage"]["fully_verified"].is_string());
    assert!(scene.run(["stats", "--no-cache"]).expect_code(0).stdout.contains("last fully verified on "));
    // As much as one wants to read.
    assert_eq!(summary(&scene, &["--sample", "1K"], 0)["packs_read"], 1);
    assert_eq!(summary(&scene, &["--sample", "1T"], 0)["packs_read"], before["packs"]);
}

#[test]
fn a_repository_that_takes_no_record_is_checked_all_the_same() {
    let scene = Scene::with_source(52);
    scene.backup().expect_code(0);
    std::fs::remove_dir_all(scene.path("repository").join("tmp")).expect("our own folder");
    std::fs::write(scene.path("repository").join("tmp"), b"in the way").expect("our own file");
    let checked = scene.run(["check", "--read-data"]).expect_code(0);
    assert!(checked.stderr.contains("could not be recorded"), "{}", checked.stderr);
    assert!(checked.stdout.contains("no damage was found"), "{}", checked.stdout);
    assert_eq!(scene.objects("verified").len(), 0);
}

#[test]
fn what_parity_heals_is_told() {
    let scene = Scene::with_source(53);
    scene.backup().expect_code(0);
    let told = scene.run(["check"]).expect_code(0).stdout;
    assert!(told.contains("parity heals any 4 damaged shards of a pack, or a burst of up to "), "{told}");
    let parity = &summary(&scene, &[], 0)["parity"];
    assert_eq!((&parity["packs_without"], &parity["shards"]), (&0.into(), &4.into()));
    assert!(parity["burst_bytes_smallest"].as_u64().is_some_and(|bytes| bytes > 8192), "{parity}");
    let scene = Scene::new();
    std::fs::write(scene.path("key"), format!("vellum-key-1 {}\n", "5a".repeat(32))).expect("a key file");
    scene.run(["init", "--quiet", "--parity", "off"]).expect_code(0);
    std::fs::create_dir(scene.source()).expect("a source");
    std::fs::write(scene.source().join("file"), vec![1; 100_000]).expect("a file");
    scene.backup().expect_code(0);
    let told = scene.run(["check"]).expect_code(0).stdout;
    assert!(told.contains("2 packs without parity") && !told.contains("parity heals"), "{told}");
    assert_eq!(summary(&scene, &[], 0)["parity"]["burst_bytes_largest"], Value::Null);
}

#[test]
fn a_restore_test_restores_and_compares_also_with_the_source() {
    let scene = Scene::with_source(54);
    scene.backup().expect_code(0);
    let temporary = scene.path("temporary");
    std::fs::create_dir(&temporary).expect("a folder");
    let run = |arguments: &[&str]| {
        let mut command = scene.command();
        command.env("TMPDIR", &temporary).args(arguments);
        crate::scene::Ran::of(&mut command)
    };
    let tested = run(&["check", "--json", "--restore-test", "7"]).expect_code(0).json().pop().expect("a summary");
    assert_eq!((&tested["files_tested"], &tested["files_compared_with_source"]), (&7.into(), &7.into()), "{tested}");
    assert!(tested["coverage"]["restore_tested"].is_string());
    assert_eq!(std::fs::read_dir(&temporary).expect("a folder").count(), 0, "nothing stays behind");
    assert!(scene.run(["check"]).expect_code(0).stdout.contains("last restore test on "));
    // Where nothing can be written, nothing was tested, and nobody says otherwise.
    std::fs::remove_dir(&temporary).expect("our own folder");
    let refused = run(&["check", "--restore-test", "7"]).expect_code(1);
    assert!(refused.stderr.contains("TMPDIR"), "{}", refused.stderr);
}

/// What watches a repository by the exit code does not turn green by looking less closely.
#[test]
fn known_damage_is_told_until_it_is_repaired() {
    let scene = Scene::with_source(56);
    scene.backup().expect_code(0);
    let pack = scene.objects("packs").remove(0);
    let mut bytes = std::fs::read(&pack).expect("our own pack");
    bytes[300] ^= 1;
    std::fs::write(&pack, bytes).expect("our own pack");
    summary(&scene, &["--read-data"], 4);
    for arguments in [&[][..], &["--sample", "1%"], &[]] {
        let told = scene.run(["check"].iter().chain(arguments)).expect_code(4).stdout;
        assert!(told.contains("damage was found") && told.contains("vellum repair packs"), "{told}");
    }
    assert!(scene.run(["stats"]).expect_code(0).stdout.contains("damaged when last read"));
    scene.run(["repair", "packs"]).expect_code(0);
    for verb in ["stats", "check"] {
        let told = scene.run([verb]).expect_code(0).stdout;
        assert!(!told.contains("damaged when"), "{told}");
    }
}

#[test]
fn a_restore_test_finds_what_cannot_be_restored() {
    let scene = Scene::with_source(55);
    scene.backup().expect_code(0);
    let largest =
        scene.objects("packs").into_iter().max_by_key(|pack| std::fs::metadata(pack).map_or(0, |it| it.len()));
    let pack = largest.expect("a pack");
    let bytes = std::fs::read(&pack).expect("our own pack");
    let spoiled: Vec<u8> = bytes.iter().enumerate().map(|(at, byte)| byte ^ u8::from(at % 512 == 300)).collect();
    std::fs::write(&pack, spoiled).expect("our own pack");
    let found = scene.run(["check", "--json", "--restore-test", "1000"]).expect_code(4).json();
    let costs = |line: &&Value| line["type"] == "finding" && line["path"].is_string();
    assert!(found.iter().filter(costs).count() > 5, "{found:?}");
    assert_eq!(found.last().expect("a summary")["files_not_tested"], 0);
}
