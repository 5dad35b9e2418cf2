//! Sources that do not hold still or cannot be read: told, exit 3, the rest saved.

use crate::scene::{Ran, Scene};
use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

/// The command as a user who is not root: root ignores permissions.
pub(crate) fn as_somebody(scene: &Scene) -> Command {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
    if !is_root {
        return scene.command();
    }
    let mut command = Command::new("setpriv");
    scene.equip(&mut command);
    // The binary may lie where nobody else may go, so it is copied to the scene.
    let binary = scene.path("vellum");
    std::fs::copy(env!("CARGO_BIN_EXE_vellum"), &binary).expect("a copy of the binary");
    std::fs::set_permissions(&binary, Permissions::from_mode(0o755)).expect("our own file");
    for open in ["repository", "cache", "source", "key"] {
        let all = Command::new("chown").args(["-R", "65534:65534"]).arg(scene.path(open)).status();
        assert!(all.is_ok_and(|status| status.success()), "{open} is handed over");
    }
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary);
    command
}

#[test]
fn an_unreadable_file_is_named_and_the_rest_is_saved() {
    let scene = Scene::with_repository();
    std::fs::create_dir_all(scene.source().join("closed")).expect("folders");
    std::fs::create_dir_all(scene.path("cache")).expect("folders");
    std::fs::write(scene.source().join("readable"), b"fine").expect("a file");
    std::fs::write(scene.source().join("secret"), b"hidden").expect("a file");
    let mut command = as_somebody(&scene);
    for closed in ["secret", "closed"] {
        std::fs::set_permissions(scene.source().join(closed), Permissions::from_mode(0o000)).expect("our own file");
    }
    let backed_up = Ran::of(command.args(["--json", "backup"]).arg(scene.source())).expect_code(3);
    assert!(backed_up.stderr.contains("secret") || backed_up.stdout.contains("secret"), "{}", backed_up.stderr);
    let summary = backed_up.json().into_iter().find(|line| line["type"] == "summary").expect("a summary");
    assert_eq!(summary["errors"].as_u64(), Some(2), "{summary}");
    let (restored, target) = scene.restore("latest", "target");
    restored.expect_code(0);
    assert_eq!(std::fs::read(target.join("readable")).expect("the rest"), b"fine");
    assert!(!target.join("secret").exists());

    // What is missing from the snapshot may be in the target only because nobody could read it.
    std::fs::write(target.join("secret"), b"hidden").expect("a file");
    let from = format!("latest:{}", scene.source().display());
    for extra in [&["--delete"][..], &["--delete", "--dry-run"]] {
        let refused = scene.run([&["restore", &from, "target"], extra].concat()).expect_code(1);
        let said = refused.error_lines().join("\n");
        assert!(said.contains("2 errors") && said.contains("without --delete"), "{said}");
    }
    assert_eq!(std::fs::read(target.join("secret")).expect("it stays"), b"hidden");
    std::fs::remove_dir_all(&target).expect("our own folder");
    scene.run(["restore", &from, "target", "--delete"]).expect_code(1);
    assert!(!target.exists(), "it is refused before anything is made");
}

/// As `/home` is on many machines: everybody may go through, and only its owner may list it.
#[test]
fn folders_above_a_source_need_only_be_passed() {
    let scene = Scene::with_repository();
    let above = scene.source().join("above");
    let source = above.join("source");
    std::fs::create_dir_all(&source).expect("folders");
    std::fs::create_dir_all(scene.path("cache")).expect("folders");
    std::fs::write(source.join("file"), b"fine").expect("a file");
    let mut command = as_somebody(&scene);
    std::fs::set_permissions(&above, Permissions::from_mode(0o311)).expect("our own file");
    Ran::of(command.arg("backup").arg(&source)).expect_code(0);
    std::fs::set_permissions(&above, Permissions::from_mode(0o755)).expect("our own file");
    let (restored, target) = scene.restore("latest", "target");
    restored.expect_code(0);
    assert_eq!(std::fs::read(target.join("above/source/file")).expect("it was saved"), b"fine");
}

#[test]
fn a_file_that_grows_while_it_is_read_is_told_or_whole() {
    let scene = Scene::with_repository();
    std::fs::create_dir(scene.source()).expect("a source");
    let log = scene.source().join("log");
    std::fs::write(&log, vec![b'x'; 30_000_000]).expect("a file");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let backed_up = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = std::fs::OpenOptions::new().append(true).open(&log).expect("the log");
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                std::io::Write::write_all(&mut file, b"one more line\n").expect("an append");
            }
        });
        let ran = scene.backup();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        ran
    });
    let backed_up = backed_up.expect_code(3);
    assert!(backed_up.stderr.contains("log") && backed_up.stderr.contains("changed"), "{}", backed_up.stderr);
    let (restored, target) = scene.restore("latest", "target");
    restored.expect_code(0);
    let saved = std::fs::read(target.join("log")).expect("what was read");
    let source = std::fs::read(&log).expect("the log");
    assert!(saved.len() >= 30_000_000 && source.starts_with(&saved), "what is saved is a state that there was");
}

#[test]
fn odd_sources_are_saved_or_told() {
    let scene = Scene::with_repository();
    std::fs::create_dir(scene.source()).expect("a source");
    scene.backup().expect_code(0);
    let socket = std::os::unix::net::UnixListener::bind(scene.source().join("socket")).expect("a socket");
    std::os::unix::fs::symlink("source", scene.path("link")).expect("a link");
    let with_socket = scene.run(["backup", "-v", "source", "link"]).expect_code(0);
    assert!(with_socket.stderr.contains("socket"), "a socket is left out with a word:\n{}", with_socket.stderr);
    drop(socket);
    let target = scene.path("target");
    scene.run([OsStr::new("restore"), OsStr::new("latest"), target.as_os_str()]).expect_code(0);
    let below = target.join(scene.folder.path().strip_prefix("/").expect("an absolute path"));
    assert_eq!(std::fs::read_link(below.join("link")).expect("the link itself").to_str(), Some("source"));
    assert_eq!(std::fs::read_dir(below.join("source")).expect("the folder").count(), 0);
}

#[test]
fn a_full_disk_fails_the_backup_and_harms_nothing() {
    let scene = Scene::with_source(11);
    scene.backup().expect_code(0);
    std::fs::write(scene.source().join("large"), random(400_000)).expect("a file");
    for blocks in [1, 20, 200, 600] {
        let mut command = Command::new("sh");
        scene.equip(&mut command);
        // A file size limit stands for a full disk: the write fails in the middle of an object.
        let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        let full = Ran::of(command.args(["-c", &script, env!("CARGO_BIN_EXE_vellum"), "backup"]).arg(scene.source()));
        let full = full.expect_code(1);
        assert!(full.error_lines()[0].contains("space"), "{}", full.stderr);
        scene.run(["check", "--read-data"]).expect_code(0);
    }
    scene.backup().expect_code(0);
    let (restored, target) = scene.restore("latest", "target");
    restored.expect_code(0);
    vellum_testkit::trees::assert_same_tree(&scene.source(), &target);
}

fn random(len: usize) -> Vec<u8> {
    vellum_testkit::Random::new(4).bytes(len)
}

/// A disk that is not plugged in does not keep the others from being saved.
#[test]
fn a_source_that_is_not_there_is_told_and_the_others_are_saved() {
    let scene = Scene::with_repository();
    std::fs::create_dir(scene.source()).expect("a source");
    std::fs::write(scene.source().join("file"), b"fine").expect("a file");
    let socket = scene.path("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("a socket");
    let saved = scene.run(["backup", "nothere", "source", "socket"]).expect_code(3);
    for told in ["cannot back up ", "nothere: No such file", "socket: this kind of file", "2 entries"] {
        assert!(saved.stderr.contains(told), "{told}: {}", saved.stderr);
    }
    let snapshots = scene.run(["snapshots", "--json"]).expect_code(0).json();
    assert_eq!(snapshots[0]["paths"].as_array().map(Vec::len), Some(1), "{snapshots:?}");
    assert_eq!(snapshots[0]["paths"][0].as_str(), scene.source().to_str());
    let (restored, target) = scene.restore("latest", "target");
    restored.expect_code(0);
    assert_eq!(std::fs::read(target.join("file")).expect("the rest"), b"fine");
    // The same again is unchanged; with the disk back it is another set of paths.
    scene.run(["backup", "--quiet", "--skip-if-unchanged", "nothere", "source"]).expect_code(3);
    assert_eq!(scene.run(["snapshots", "--json"]).expect_code(0).json().len(), 1);
    scene.run(["backup", "--dry-run", "nothere", "source"]).expect_code(3);
    scene.run(["backup", "--quiet", "source"]).expect_code(0);
    let listed = scene.run(["snapshots"]).expect_code(0).stdout;
    let marked: Vec<bool> = listed.lines().map(|line| line.contains(" incomplete ")).collect();
    assert_eq!(marked[..3], [false, true, false], "{listed}");
    assert!(listed.contains("2 snapshots, 1 incomplete: "), "{listed}");
    scene.run(["forget", "latest~1"]).expect_code(0);
    assert!(!scene.run(["snapshots"]).expect_code(0).stdout.contains("incomplete"));
    let refused = scene.run(["backup", "nothere", "socket"]).expect_code(1);
    assert!(refused.error_lines()[0].contains("nothere"), "{}", refused.stderr);
    assert_eq!(scene.run(["snapshots", "--json"]).expect_code(0).json().len(), 1);
}

/// Somebody else's folder: it can be looked at from outside, and not be entered.
#[test]
fn a_source_that_cannot_be_entered_is_told_and_the_others_are_saved() {
    let scene = Scene::with_repository();
    let [open, closed] = ["open", "closed"].map(|name| scene.source().join(name));
    std::fs::create_dir_all(closed.join("below")).expect("folders");
    std::fs::create_dir_all(scene.path("cache")).expect("folders");
    std::fs::create_dir(&open).expect("a folder");
    std::fs::write(open.join("file"), b"fine").expect("a file");
    let mut commands = [(); 3].map(|()| as_somebody(&scene));
    std::fs::set_permissions(&closed, Permissions::from_mode(0o000)).expect("our own file");
    let saved = Ran::of(commands[0].arg("backup").args([&open, &closed])).expect_code(3);
    assert!(saved.stderr.contains("cannot back up ") && saved.stderr.contains("closed: Perm"), "{}", saved.stderr);
    let refused = Ran::of(commands[1].arg("backup").arg(&closed)).expect_code(1);
    assert!(refused.error_lines()[0].contains("closed: Permission denied"), "{}", refused.stderr);
    let snapshots = Ran::of(commands[2].args(["snapshots", "--json"])).expect_code(0).json();
    assert_eq!(snapshots[0]["paths"].as_array().map(Vec::len), Some(1), "{snapshots:?}");
    assert_eq!(snapshots[0]["paths"][0].as_str(), open.to_str());
    std::fs::set_permissions(&closed, Permissions::from_mode(0o755)).expect("our own file");
    let (restored, target) = scene.restore("latest", "target");
    restored.expect_code(0);
    assert_eq!(std::fs::read(target.join("open/file")).expect("the rest"), b"fine");
}

/// Whoever went deep below the link has given the folders above up, and `..` of where it leads to is not among them.
#[test]
fn a_deep_tree_behind_a_link_does_not_keep_its_neighbours_from_being_saved() {
    let scene = Scene::with_repository();
    let (named, real) = (scene.source().join("named"), scene.path("real"));
    std::fs::create_dir_all(real.join("root").join("d/".repeat(70))).expect("folders");
    std::fs::create_dir_all(named.join("neighbour")).expect("folders");
    std::fs::write(named.join("neighbour/file"), b"fine").expect("a file");
    std::os::unix::fs::symlink(&real, named.join("link")).expect("a link");
    // A walker alone goes all the way itself.
    let roots = [named.join("link/root"), named.join("neighbour")];
    scene.run([OsStr::new("backup"), "--threads=1".as_ref(), roots[0].as_ref(), roots[1].as_ref()]).expect_code(0);
    let (restored, target) = scene.restore("latest", "target");
    restored.expect_code(0);
    assert_eq!(std::fs::read(target.join("named/neighbour/file")).expect("it was saved"), b"fine");
}

/// What waits to be read keeps its folder open.
#[test]
fn a_tree_of_small_folders_needs_no_more_open_files_than_systems_allow() {
    let scene = Scene::with_repository();
    for number in 0..2000 {
        let folder = scene.source().join(format!("{}/{number}", number % 8));
        std::fs::create_dir_all(&folder).expect("folders");
        std::fs::write(folder.join("file"), number.to_string()).expect("a file");
    }
    let mut command = Command::new("sh");
    scene.equip(&mut command);
    let script = "ulimit -n 700; exec \"$0\" backup --threads=8 \"$@\"";
    let saved = Ran::of(command.args(["-c", script, env!("CARGO_BIN_EXE_vellum")]).arg(scene.source()));
    let saved = saved.expect_code(0);
    assert!(saved.stdout.contains("2000 new"), "{}", saved.stdout);
}

/// More than a report names.
#[test]
fn a_trial_takes_no_entry_that_could_not_be_read_for_one_that_came_back_different() {
    let scene = Scene::with_repository();
    for folder in [scene.source(), scene.path("cache"), scene.path("temporary")] {
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::set_permissions(&folder, Permissions::from_mode(0o777)).expect("our own folder");
    }
    let secret = scene.source().join("secret");
    std::fs::write(&secret, b"hidden").expect("a file");
    std::fs::set_permissions(&secret, Permissions::from_mode(0o000)).expect("our own file");
    for number in 0..10_100 {
        std::fs::hard_link(&secret, scene.source().join(number.to_string())).expect("a name");
    }
    let mut command = as_somebody(&scene);
    command.env_remove("VELLUM_REPOSITORY").env_remove("VELLUM_KEY_FILE").env("TMPDIR", scene.path("temporary"));
    // The comparison takes nothing for different that is as young as itself.
    std::thread::sleep(std::time::Duration::from_millis(50));
    let tried = Ran::of(command.arg("try").arg(scene.source())).expect_code(3);
    assert!(!tried.stderr.contains("different"), "{}", tried.stderr);
}

/// Whoever goes down such a path must not keep what is left of it for every step.
#[test]
fn a_long_way_to_a_source_takes_little_memory() {
    let scene = Scene::with_repository();
    let deep = scene.source().join("d/".repeat(1000));
    std::fs::create_dir_all(&deep).expect("folders");
    let mut command = Command::new("sh");
    scene.equip(&mut command);
    let script = "ulimit -d 262144; exec \"$0\" backup --threads=1 \"$@\"";
    let saved = Ran::of(command.args(["-c", script, env!("CARGO_BIN_EXE_vellum")]).arg(&deep));
    saved.expect_code(0);
}

/// Nor must each of the files that wait to be read keep the whole way to it.
#[test]
fn many_files_at_the_end_of_a_long_way_take_little_memory() {
    use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
    let scene = Scene::with_repository();
    std::fs::create_dir(scene.source()).expect("a source");
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let mut deep = openat(CWD, scene.source(), flags, Mode::empty()).expect("the source");
    for _ in 0..900 {
        let name = "d".repeat(255);
        mkdirat(&deep, &*name, Mode::RWXU).expect("a folder");
        deep = openat(&deep, &*name, flags, Mode::empty()).expect("it");
    }
    for number in 0..3000_u32 {
        let flags = OFlags::WRONLY | OFlags::CREATE;
        let file = openat(&deep, number.to_string(), flags, Mode::RUSR).expect("a file");
        let bytes = vellum_testkit::Random::new(number.into()).bytes(16 << 10);
        std::io::Write::write_all(&mut std::fs::File::from(file), &bytes).expect("its content");
    }
    let mut command = Command::new("sh");
    scene.equip(&mut command);
    let script = "ulimit -d 196608; exec \"$0\" backup --threads=1 \"$@\"";
    let saved = Ran::of(command.args(["-c", script, env!("CARGO_BIN_EXE_vellum")]).arg(scene.source()));
    assert!(saved.expect_code(0).stdout.contains("3000 new"));
}
