//! Damage as the user meets it: named, exit 4, and only what needed the damaged bytes is lost.

use crate::scene::Scene;
use std::path::Path;

fn flip(path: &Path, at: usize) {
    use std::os::unix::fs::FileExt as _;
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).expect("our own object");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).expect("a byte");
    file.write_all_at(&[byte[0] ^ 1], at as u64).expect("a byte");
}

#[test]
fn a_damaged_pack_is_named_and_costs_only_the_files_in_it() {
    let scene = Scene::with_repository();
    std::fs::create_dir(scene.source()).expect("a source");
    std::fs::write(scene.source().join("first"), vec![1; 100_000]).expect("a file");
    scene.backup().expect_code(0);
    let before = scene.objects("packs");
    std::fs::write(scene.source().join("second"), vec![2; 100_000]).expect("a file");
    scene.backup().expect_code(0);
    let data: Vec<_> = scene.objects("packs").into_iter().filter(|pack| !before.contains(pack)).collect();
    data.iter().for_each(|pack| ruin(pack));
    let checked = scene.run(["check", "--read-data"]).expect_code(4);
    let name = data[0].file_name().expect("a name").to_string_lossy().into_owned();
    let said = [checked.stdout, checked.stderr].concat();
    assert!(said.contains(&name[..8]), "the pack is named:\n{said}");
    let (restored, target) = scene.restore("latest~1", "old");
    restored.expect_code(0);
    assert_eq!(std::fs::read(target.join("first")).expect("the file"), vec![1; 100_000]);
    let (restored, _) = scene.restore("latest", "new");
    let restored = restored.expect_code(4);
    assert!(!restored.stderr.is_empty());
}

/// More than parity makes good, and something in each frame.
fn ruin(path: &Path) {
    let bytes = std::fs::read(path).expect("our own object");
    std::fs::write(path, bytes.iter().map(|byte| byte ^ 1).collect::<Vec<_>>()).expect("our own object");
}

#[test]
fn parity_heals_on_read_and_repair_stores_packs_anew() {
    let scene = Scene::with_source(23);
    scene.backup().expect_code(0);
    let contents = || -> Vec<Vec<u8>> {
        scene.objects("packs").iter().map(|pack| std::fs::read(pack).expect("our own pack")).collect()
    };
    let before = contents();
    scene.objects("packs").iter().for_each(|pack| flip(pack, 200));
    let checked = scene.run(["check", "--read-data"]).expect_code(4);
    let said = [checked.stdout, checked.stderr].concat();
    assert!(said.contains("vellum repair packs"), "what to do is said:\n{said}");
    assert!(!said.contains("it costs"), "it costs nothing:\n{said}");
    let (restored, target) = scene.restore("latest", "target");
    let restored = restored.expect_code(0);
    vellum_testkit::trees::assert_same_tree(&scene.source(), &target);
    assert!(restored.stderr.contains("vellum repair packs"), "healing is told:\n{}", restored.stderr);
    let repaired = scene.run(["repair", "packs"]).expect_code(0);
    assert_eq!(repaired.stdout.matches("stored anew: packs/").count(), before.len(), "{}", repaired.stdout);
    assert!(contents() == before, "bit for bit");
    scene.run(["check", "--read-data"]).expect_code(0);
    for what in ["index", "packs", "snapshots"] {
        let ran = scene.run(["repair", what]).expect_code(0);
        assert!(ran.stdout.contains("nothing to repair"), "{}", ran.stdout);
    }
}

#[test]
fn repair_names_what_is_lost_and_saves_the_rest() {
    let scene = Scene::with_repository();
    std::fs::create_dir(scene.source()).expect("a source");
    std::fs::write(scene.source().join("first"), vec![1; 100_000]).expect("a file");
    scene.backup().expect_code(0);
    let before = scene.objects("packs");
    // What does not compress makes the pack of data the longer one.
    std::fs::write(scene.source().join("second"), vellum_testkit::Random::new(5).bytes(100_000)).expect("a file");
    scene.backup().expect_code(0);
    let new = scene.objects("packs").into_iter().filter(|pack| !before.contains(pack));
    // Of data and trees, the trees are read for the listing.
    let listed = scene.run(["--json", "ls", "--recursive", "latest"]).expect_code(0);
    assert!(listed.stdout.contains("second"));
    let data = new.max_by_key(|pack| std::fs::metadata(pack).expect("our own pack").len()).expect("a pack");
    ruin(&data);
    scene.run(["ls", "latest"]).expect_code(0);
    let ran = scene.run(["--json", "repair", "snapshots"]).expect_code(4);
    let lines = ran.json();
    let of_type = |kind: &str| lines.iter().filter(|line| line["type"] == kind).collect::<Vec<_>>();
    let paths: Vec<_> = of_type("finding").iter().filter_map(|line| line["path"].as_str()).map(str::to_owned).collect();
    assert_eq!(paths, [scene.source().join("second").display().to_string()]);
    assert_eq!(of_type("repaired_snapshot").len(), 1);
    let (restored, target) = scene.restore("latest", "target");
    restored.expect_code(0);
    assert_eq!(std::fs::read(target.join("first")).expect("the file"), vec![1; 100_000]);
    assert!(!target.join("second").exists());
}

#[test]
fn a_lost_pack_is_stored_again_by_the_next_backup() {
    let scene = Scene::with_source(21);
    scene.backup().expect_code(0);
    for pack in scene.objects("packs") {
        std::fs::remove_file(pack).expect("our own pack");
    }
    scene.run(["check"]).expect_code(4);
    scene.backup().expect_code(0);
    let (restored, target) = scene.restore("latest", "target");
    restored.expect_code(0);
    vellum_testkit::trees::assert_same_tree(&scene.source(), &target);
}

#[test]
fn config_and_keys_survive_the_loss_of_one_copy() {
    let scene = Scene::with_source(22);
    scene.backup().expect_code(0);
    for kind in ["config", "keys"] {
        let lost = &scene.objects(kind)[0];
        std::fs::remove_file(lost).expect("our own object");
        scene.run(["check"]).expect_code(4);
        scene.backup().expect_code(0);
        scene.run(["check", "--read-data"]).expect_code(0);
    }
    flip(&scene.objects("mirror/config")[0], 30);
    scene.run(["check"]).expect_code(4);
    scene.run(["snapshots"]).expect_code(0);
}

/// As when the disk has no room for the second of its two files.
#[test]
fn a_snapshot_that_is_stored_once_is_called_one_and_what_mends_it_is_said() {
    let scene = Scene::with_source(24);
    scene.backup().expect_code(0);
    std::fs::remove_dir_all(scene.path("cache")).expect("our own folder");
    std::fs::remove_file(scene.objects("snapshots").remove(0)).expect("our own object");
    let told = scene.run(["check"]).expect_code(0).stdout;
    assert!(told.contains("1 snapshot of interrupted or running backups, whole but stored once"), "{told}");
    assert!(told.contains("`vellum repair index`") && !told.contains("small object"), "{told}");
    scene.run(["repair", "index"]).expect_code(0);
    assert_eq!(scene.objects("snapshots").len(), 1);
    assert!(!scene.run(["check"]).expect_code(0).stdout.contains("stored once"));
}

#[test]
fn check_names_the_repair_that_mends_what_it_finds() {
    let scene = Scene::with_source(25);
    scene.backup().expect_code(0);
    scene.backup().expect_code(0);
    for kind in ["config", "keys", "catalogs", "snapshots"] {
        flip(&scene.objects(kind)[0], 100);
        let told = scene.run(["check"]).expect_code(4).stdout;
        let mends = "1 damaged or missing object can be stored anew from another copy: run `vellum repair index`";
        assert!(told.contains(mends), "{kind}: {told}");
        let told = scene.run(["repair", "index"]).expect_code(0).stdout;
        assert!(told.contains("all of it is repaired"), "{kind}: {told}");
        scene.run(["check"]).expect_code(0);
    }
    // Without any copy of the catalogs, the packs still say what they hold.
    for catalog in ["catalogs", "mirror/catalogs"].into_iter().flat_map(|folder| scene.objects(folder)) {
        std::fs::remove_file(catalog).expect("our own object");
    }
    let told = scene.run(["check"]).expect_code(4).stdout;
    assert!(told.contains("in no catalog, and what is missing may be there: run `vellum repair index`"), "{told}");
    scene.run(["repair", "index"]).expect_code(0);
    let told = scene.run(["check"]).expect_code(0).stdout;
    assert!(!told.contains("vellum repair"), "{told}");
    // No copy is left of one snapshot.
    let name = scene.objects("snapshots").remove(0).file_name().expect("a name").to_owned();
    ["snapshots", "mirror/snapshots"].iter().for_each(|folder| {
        flip(&scene.path("repository").join(folder).join(&name), 100);
    });
    let told = scene.run(["repair", "index"]).expect_code(4).stdout;
    assert!(told.contains("damage that stays: 2 findings") && told.contains("`vellum forget ID`"), "{told}");
    scene.run(["forget".as_ref(), name.as_os_str()]).expect_code(4);
    scene.run(["check"]).expect_code(0);
}

/// As `rsync -m`, git and stores of objects copy a repository.
#[test]
fn a_copy_without_its_empty_folders_says_how_to_make_them() {
    let scene = Scene::with_repository();
    std::fs::create_dir(scene.source()).expect("a source");
    std::fs::write(scene.source().join("file"), "kept").expect("a file");
    scene.backup().expect_code(0);
    let fences = scene.path("repository").join("fences");
    std::fs::remove_dir(&fences).expect("it is empty");
    let refused = scene.backup().expect_code(4);
    assert!(refused.stderr.contains("fences") && refused.stderr.contains("`mkdir`"), "{}", refused.stderr);
    std::fs::create_dir(&fences).expect("our own folder");
    scene.backup().expect_code(0);
}
