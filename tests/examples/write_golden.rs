//! Writes the golden repositories and the frozen encodings of the current format version that are not there yet;
//! `just golden` runs it, as root, so that every kind of entry can be made. What is there is never overwritten.

#[path = "../it/golden/describe.rs"]
mod describe;
#[path = "../it/golden/encodings.rs"]
mod encodings;

use describe::describe;
use rustix::fs::{AtFlags, CWD, FileType, Mode, Timespec, Timestamps, XattrFlags};
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use vellum::format::snapshot::Timestamp;
use vellum::storage::LocalStorage;
use vellum::{
    Argon2idParameters, BackupOptions, Context, CreateOptions, Credential, KeyFile, LocalState, NewSlot, RecoveryKey,
    Repository, RestoreOptions, SnapshotRef,
};

const VERSION: &str = "v1";

/// 2026-11-21T00:00:00Z.
const NOW: Timestamp = Timestamp { seconds: 1_795_219_200, nanoseconds: 0 };

const PASSWORD: &str = "correct horse battery staple ü";

/// The cheapest that is followed.
const ARGON2ID: Argon2idParameters = Argon2idParameters { memory_kib: 64 << 10, passes: 3, lanes: 4 };

/// Puts into a case what it is about.
type Fill = fn(&mut Case);

/// A golden repository in the making.
struct Case {
    folder: PathBuf,
    source: PathBuf,
    recovery_key: RecoveryKey,
    repository: Repository,
}

fn main() -> ExitCode {
    let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/formats").join(VERSION);
    must("make", &formats, fs::create_dir_all(&formats));
    let cases: [(&str, CreateOptions, Fill); 5] = [
        ("basic", CreateOptions::new(NOW), basic),
        ("deep-lists", deep_lists_options(), deep_lists),
        ("gear", gear_options(), gear),
        ("key-slots", CreateOptions::new(NOW), key_slots),
        ("metadata", CreateOptions::new(NOW), metadata),
    ];
    for (name, options, fill) in cases {
        match formats.join(name) {
            folder if folder.exists() => println!("kept    {VERSION}/{name}"),
            folder => {
                write_case(name, folder, &options, fill);
                println!("written {VERSION}/{name}");
            }
        }
    }
    write_encodings(&formats.join("encodings.txt"))
}

fn write_encodings(path: &Path) -> ExitCode {
    let text = encodings::text();
    match fs::read_to_string(path) {
        Err(_) => {
            must("write", path, fs::write(path, text));
            println!("written {VERSION}/encodings.txt");
            ExitCode::SUCCESS
        }
        Ok(frozen) if frozen == text => {
            println!("kept    {VERSION}/encodings.txt");
            ExitCode::SUCCESS
        }
        Ok(frozen) => {
            println!("CHANGED {VERSION}/encodings.txt is kept, but the code now writes:");
            text.lines().filter(|line| !frozen.lines().any(|old| old == *line)).for_each(|line| println!("{line}"));
            println!("A released format is never changed: see fixtures/README.md.");
            ExitCode::FAILURE
        }
    }
}

fn write_case(name: &str, folder: PathBuf, options: &CreateOptions, fill: Fill) {
    // Not a random name, because it stands in the snapshot.
    let scratch = std::env::temp_dir().join("vellum-golden");
    must("make", &scratch, fs::create_dir(&scratch));
    let source = scratch.join(name);
    must("make", &source, fs::create_dir(&source));
    must("make", &folder, fs::create_dir(&folder));
    let key = KeyFile::generate().expect("randomness");
    must("write", &folder, fs::write(folder.join("key-file"), &*key.encode()));
    let storage = Arc::new(LocalStorage::create(folder.join("repository")).expect("a new storage"));
    let slot = NewSlot { credential: Credential::KeyFile(&key), label: "golden key file", argon2id: None, now: NOW };
    let state = LocalState::At(scratch.join("state"));
    let created = Repository::create(storage, options, &[slot], &state).expect("a new repository");
    let (repository, recovery_key) = (created.repository, created.recovery_key);
    let mut case = Case { folder, source, recovery_key, repository };
    fill(&mut case);
    assert_restores(&case, &scratch.join("target"));
    must("write", &case.folder, fs::write(case.folder.join("manifest.txt"), describe(&case.repository)));
    must("remove", &scratch, fs::remove_dir(case.folder.join("repository/tmp")));
    must("remove", &scratch, fs::remove_dir_all(case.folder.join("repository/reserve")));
    must("remove", &scratch, fs::remove_dir_all(&scratch));
}

/// The manifest is taken from the repository, so the repository is compared with the source first.
fn assert_restores(case: &Case, target: &Path) {
    let mut options = RestoreOptions::default();
    options.subfolder = Some(case.source.as_os_str().as_bytes().to_vec());
    let context = Context::default();
    let report = vellum::restore(&case.repository, &SnapshotRef::Latest(0), target, &options, &context);
    let problems = report.expect("a restore").problems;
    assert!(problems.is_empty(), "{problems:?}");
    vellum_testkit::trees::assert_same_tree(&case.source, target);
}

impl Case {
    fn backup(&self, seconds_later: i64, tags: &[&str]) {
        let mut options = BackupOptions::new([self.source.clone()]);
        options.time = Timestamp { seconds: NOW.seconds + seconds_later, nanoseconds: 5 };
        options.host = b"golden".to_vec();
        options.user = "user".to_owned();
        options.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let report = vellum::backup(&self.repository, &options, &Context::default()).expect("a backup");
        assert!(report.problems.is_empty(), "{:?}", report.problems);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.source.join(name)
    }

    fn write(&self, name: &str, content: &[u8]) {
        let path = self.path(name);
        must("write", &path, fs::write(&path, content));
    }

    fn folder(&self, name: &str) {
        let path = self.path(name);
        must("make", &path, fs::create_dir(&path));
    }

    fn node(&self, name: &str, kind: FileType, device: u64) {
        let path = self.path(name);
        must("make", &path, rustix::fs::mknodat(CWD, &path, kind, Mode::from_raw_mode(0o640), device));
    }
}

/// Every kind of entry, several chunks in one file, and two snapshots that share most of it.
fn basic(case: &mut Case) {
    case.folder("empty folder");
    case.folder("folder");
    case.write("empty", b"");
    case.write("small", b"small\n");
    case.write("folder/large", &lines("large", 20_000));
    case.write("folder/program", b"#!/bin/sh\n");
    let program = case.path("folder/program");
    must("set", &program, fs::set_permissions(&program, fs::Permissions::from_mode(0o755)));
    let (link, hard_link) = (case.path("folder/link"), case.path("folder/same as small"));
    must("link", &link, symlink("../small", &link));
    must("link", &hard_link, fs::hard_link(case.path("small"), &hard_link));
    case.node("fifo", FileType::Fifo, 0);
    case.backup(0, &[]);
    let more = [lines("large", 20_000), lines("appended", 10)].concat();
    case.write("folder/large", &more);
    case.write("second only", b"new\n");
    must("remove", &case.source, fs::remove_file(case.path("empty")));
    case.backup(3600, &["second", "zwei ü"]);
}

fn gear_options() -> CreateOptions {
    let mut options = CreateOptions::new(NOW);
    options.chunker.algorithm = "gear".to_owned();
    options.chunker.min_len_bytes = 1 << 10;
    options.chunker.avg_len_bytes = 4 << 10;
    options.chunker.max_len_bytes = 16 << 10;
    options.compression_level = 19;
    options.pack_len_bytes = 1 << 20;
    options.frame_len_bytes = 16 << 10;
    options
}

fn gear(case: &mut Case) {
    case.write("lines", &lines("gear", 10_000));
    case.write("zeros", &[0; 100_000]);
    case.backup(0, &[]);
}

fn deep_lists_options() -> CreateOptions {
    let mut options = CreateOptions::new(NOW);
    options.chunker.min_len_bytes = 256;
    options.chunker.avg_len_bytes = 4 << 10;
    options.chunker.max_len_bytes = 8 << 10;
    options.pack_len_bytes = 1 << 20;
    options.frame_len_bytes = 64 << 10;
    options
}

/// Files whose references fill one and two levels of lists, and a folder whose entry list needs several chunks.
fn deep_lists(case: &mut Case) {
    case.write("one level", &lines("one level", 2_000).repeat(50));
    case.write("two levels", &many_chunks(&case.repository).repeat(80_000));
    case.folder("wide");
    (0..150).for_each(|number| case.write(&format!("wide/{number:03}"), b""));
    case.backup(0, &[]);
}

/// A text that, repeated, is cut once in every repetition, so that few bytes make many references.
fn many_chunks(repository: &Repository) -> Vec<u8> {
    const LEN_BYTES: usize = 512;
    let candidate = |number| format!("{number:0LEN_BYTES$}").into_bytes();
    let is_cut_early = |text: &Vec<u8>| repository.chunker().cut(&text.repeat(40)) < 2 * LEN_BYTES;
    (0..).map(candidate).find(is_cut_early).expect("one in some dozens of texts is cut early")
}

/// A password, a recovery key, and a slot that was removed again: the fourth generation of keys.
fn key_slots(case: &mut Case) {
    case.write("file", b"opened with a password, a key file or a recovery key\n");
    case.backup(0, &[]);
    let password = Credential::Password(PASSWORD.as_bytes());
    let slot = NewSlot { credential: password, label: "golden password", argon2id: Some(ARGON2ID), now: NOW };
    case.repository.add_slot(&slot).expect("a new slot");
    let spare = KeyFile::generate().expect("randomness");
    let slot = NewSlot { credential: Credential::KeyFile(&spare), label: "removed", argon2id: None, now: NOW };
    let spare = case.repository.add_slot(&slot).expect("a new slot");
    case.repository.remove_slot(&spare).expect("one slot less");
    let secrets = [("password", PASSWORD), ("recovery-key", &case.recovery_key.format())];
    for (name, secret) in secrets {
        let path = case.folder.join(name);
        must("write", &path, fs::write(&path, format!("{secret}\n")));
    }
}

/// What a file system can say of an entry beside its content.
fn metadata(case: &mut Case) {
    for mode in [0o000, 0o400, 0o644, 0o755, 0o1644, 0o2755, 0o4755, 0o7777] {
        let name = format!("mode-{mode:04o}");
        case.write(&name, name.as_bytes());
        let path = case.path(&name);
        must("set", &path, fs::set_permissions(&path, fs::Permissions::from_mode(mode)));
    }
    case.write("owner", b"");
    let owner = case.path("owner");
    must("give", &owner, std::os::unix::fs::chown(&owner, Some(12_345), Some(54_321)));
    case.write("attributes", b"");
    case.folder("folder");
    for name in ["attributes", "folder"] {
        let path = case.path(name);
        for (name, value) in [("user.empty", &b""[..]), ("user.binary", b"\0\xff\n"), ("user.text", b"text")] {
            must("set", &path, rustix::fs::lsetxattr(&path, name, value, XattrFlags::empty()));
        }
    }
    for (name, target) in [("link", &b"attributes"[..]), ("dangling", b"nowhere/at all"), ("not UTF-8", b"\xff\xfe")] {
        let path = case.path(name);
        must("link", &path, symlink(OsStr::from_bytes(target), &path));
    }
    for name in [&b"name \xff\xfe"[..], b"line\nbreak", b"-rf", "e\u{301}".as_bytes(), &[b'n'; 255]] {
        let path = case.source.join(OsStr::from_bytes(name));
        must("write", &path, fs::write(&path, name));
    }
    for name in ["linked once more", "folder/linked again"] {
        must("link", &owner, fs::hard_link(&owner, case.path(name)));
    }
    case.node("fifo", FileType::Fifo, 0);
    case.node("null", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
    case.node("disk", FileType::BlockDevice, rustix::fs::makedev(8, 1));
    let sparse = case.path("sparse");
    let file = must("create", &sparse, File::create(&sparse));
    must("lengthen", &sparse, file.set_len(1 << 20));
    must("write", &sparse, file.write_all_at(b"data between holes", 500_000));
    let times = [
        ("time-1938", -1_000_000_000, 1),
        ("time-1969", -1, 999_999_999),
        ("time-1970", 0, 0),
        ("time-2038", 2_147_483_648, 1),
        ("time-2242", 8_589_934_592, 123_456_789),
    ];
    for (name, seconds, nanoseconds) in times {
        case.write(name, b"");
        set_modified(&case.path(name), seconds, nanoseconds);
    }
    set_modified(&case.path("link"), -5, 6);
    set_modified(&case.path("folder"), 7, 8);
    case.backup(0, &["metadata"]);
}

fn set_modified(path: &Path, tv_sec: i64, tv_nsec: i64) {
    let time = Timespec { tv_sec, tv_nsec };
    let times = Timestamps { last_access: time, last_modification: time };
    must("set", path, rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW));
}

/// Text that compresses well, no two lines alike.
fn lines(name: &str, count: usize) -> Vec<u8> {
    let mut text = String::new();
    (0..count).for_each(|number| writeln!(text, "{name}: line {number}").expect("a string takes every write"));
    text.into_bytes()
}

#[track_caller]
fn must<T, E: std::fmt::Display>(what: &str, path: &Path, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{what} {}: {error}", path.display()))
}
