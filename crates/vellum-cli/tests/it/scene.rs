//! A scratch folder with a repository, a key file and a way to run `vellum` on them.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use vellum_testkit::trees::{self, TreeOptions};

/// A place for one test; everything in it goes with it.
pub(crate) struct Scene {
    pub(crate) folder: tempfile::TempDir,
}

impl Scene {
    /// A scene with a source but no repository yet.
    pub(crate) fn new() -> Self {
        Self::below(tempfile::tempdir().expect("a scratch folder"))
    }

    /// The same in memory where the system has a folder for that: for tests of hundreds of runs, each of which syncs.
    pub(crate) fn in_memory() -> Self {
        Self::below(tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a scratch folder"))
    }

    fn below(folder: tempfile::TempDir) -> Self {
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).expect("our own folder");
        Self { folder }
    }

    /// A scene with a repository that a key file unlocks without key derivation.
    pub(crate) fn with_repository() -> Self {
        let scene = Self::new();
        let digits: String = blake(&scene.path("key")).chars().take(64).collect();
        std::fs::write(scene.path("key"), format!("vellum-key-1 {digits}\n")).expect("a key file");
        scene.run(["init", "--quiet"]).expect_code(0);
        scene
    }

    /// The same with a source tree of all kinds of entries.
    pub(crate) fn with_source(seed: u64) -> Self {
        let scene = Self::with_repository();
        trees::build(&scene.source(), seed, TreeOptions { file_count: 40, len_bytes_max: 200_000 });
        scene
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn source(&self) -> PathBuf {
        self.path("source")
    }

    /// The command with this scene's repository, key file and local state, and nothing else of the environment.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vellum"));
        self.equip(&mut command);
        command
    }

    /// Gives any command this scene's variables.
    pub(crate) fn equip(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("TZ", "UTC")
            .env("VELLUM_REPOSITORY", self.path("repository"))
            .env("VELLUM_KEY_FILE", self.path("key"))
            .env("VELLUM_CACHE_DIR", self.path("cache"))
            .current_dir(self.folder.path())
            .stdin(std::process::Stdio::null());
    }

    pub(crate) fn run<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Ran {
        Ran::of(self.command().args(arguments))
    }

    pub(crate) fn backup(&self) -> Ran {
        self.run([OsStr::new("backup"), OsStr::new("--quiet"), self.source().as_os_str()])
    }

    /// Restores the source folder of a snapshot directly into a new folder and returns it.
    pub(crate) fn restore(&self, snapshot: &str, name: &str) -> (Ran, PathBuf) {
        let target = self.path(name);
        let from = format!("{snapshot}:{}", self.source().display());
        let ran = self.run([OsStr::new("restore"), OsStr::new("--quiet"), OsStr::new(&from), target.as_os_str()]);
        (ran, target)
    }

    /// Every stored object below a folder of the repository.
    pub(crate) fn objects(&self, kind: &str) -> Vec<PathBuf> {
        files_below(&self.path("repository").join(kind))
    }
}

/// Every file below a folder, in order.
pub(crate) fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect(folder, &mut found);
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { collect(&path, found) } else { found.push(path) }
    }
}

fn blake(path: &Path) -> String {
    let seed = format!("{}{:?}", path.display(), std::time::SystemTime::now());
    vellum::format::ObjectId::of(seed.as_bytes()).to_string()
}

/// What a run of the command said.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn of(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().expect("the command starts");
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Self { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
    }

    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "standard output:\n{}\nstandard error:\n{}", self.stdout, self.stderr);
        self
    }

    /// The JSON objects on standard output.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<serde_json::Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in this line of JSON: {line}"))
        };
        self.stdout.lines().map(parse).collect()
    }

    /// The three lines of an error, which every failure ends with.
    #[track_caller]
    pub(crate) fn error_lines(&self) -> Vec<&str> {
        let lines: Vec<&str> = self.stderr.lines().collect();
        let start = lines.iter().position(|line| line.starts_with("error: "));
        let start = start.unwrap_or_else(|| panic!("no error in:\n{}", self.stderr));
        assert!(lines.len() >= start + 3, "an error has three lines:\n{}", self.stderr);
        lines[start..start + 3].to_vec()
    }
}
