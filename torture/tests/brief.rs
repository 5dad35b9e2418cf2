//! Every torture suite, in brief: as many cases as the normal tests have time for, on the `vellum` of their profile.
//!
//! What needs nothing but a C compiler and seccomp always runs. What needs root, a file system or a tool runs where it
//! can; elsewhere a line on stderr says that it did not, and with `VELLUM_TORTURE_ALL=1` that is a failure.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const TORTURE: &str = env!("CARGO_BIN_EXE_vellum-torture");

/// Whether a suite may be left out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    Always,
    WherePossible,
}
use Runs::{Always, WherePossible};

macro_rules! suites {
    ($($name:ident: $runs:ident, $words:literal;)*) => {
        $(#[test]
        fn $name() {
            run($runs, $words);
        })*
    };
}

suites! {
    kills: Always, "kill --count 40";
    failing_calls: Always, "calls --count 100";
    processes_side_by_side: Always, "processes --minutes 0.25";
    stopped_writers: Always, "stopped-writer --count 12";
    kills_with_local_state_deleted: Always, "kill --count 10 --local-state deleted";
    kills_with_local_state_rolled_back: Always, "kill --count 10 --local-state rolled-back";
    kills_with_local_state_scrambled: Always, "kill --count 10 --local-state scrambled";
    power_cuts_of_ext4: WherePossible, "powercut --fs ext4 --count 10";
    power_cuts_of_xfs: WherePossible, "powercut --fs xfs --count 5";
    lying_disks: WherePossible, "lying-disk --fs ext4 --count 10";
    full_disks: WherePossible, "full-disk --count 50";
    too_little_memory: WherePossible, "memory --count 20";
    wrong_clocks: WherePossible, "clocks --count 15";
    lying_sources: WherePossible, "source --count 10";
}

fn run(runs: Runs, words: &str) {
    let vellum = vellum();
    let scratch = Path::new("/dev/shm");
    let scratch = if scratch.is_dir() { scratch } else { Path::new(env!("CARGO_TARGET_TMPDIR")) };
    let ran = Command::new(TORTURE)
        .args(words.split(' '))
        .args(["--seed", "1", "--scratch"])
        .arg(scratch)
        .arg("--vellum")
        .arg(vellum)
        .output()
        .expect("the program was built for this test");
    let told = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let must_run = runs == Always || all_must_run();
    match ran.status.success() {
        true => say(told.trim_end().lines().last().unwrap_or_default()),
        false if !must_run && is_unfit(&ran) => say(&format!("not run: {words}: {}", told.trim_end())),
        false => panic!("vellum-torture {words}: {}\n{told}", ran.status),
    }
}

#[expect(clippy::disallowed_methods, reason = "test programs take no arguments of their own")]
fn all_must_run() -> bool {
    std::env::var_os("VELLUM_TORTURE_ALL").is_some_and(|all| all == "1")
}

/// Whether nothing failed but that something is missing here.
fn is_unfit(ran: &Output) -> bool {
    let (stdout, stderr) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    let Some(closing) = stdout.lines().last() else { return stderr.contains(": cannot run: ") };
    let facts = closing.split(';').next().unwrap_or_default();
    let harms = ["lost", "wrong", "damaged", "stuck", "crashed", "silent"];
    harms.iter().all(|harm| facts.contains(&format!(" 0 {harm}"))) && !facts.contains(" 0 unfit")
}

/// Past the harness, which keeps what tests that succeed print to itself.
fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{line}"));
}

/// The binary beside the program. `cargo test --workspace` builds it before any test runs; with fewer packages it is
/// the one of the last build.
fn vellum() -> PathBuf {
    let vellum = Path::new(TORTURE).with_file_name("vellum");
    let how = "`cargo test -p vellum-torture -p vellum-cli` builds it";
    assert!(vellum.is_file(), "{} is not there; {how}", vellum.display());
    vellum
}
