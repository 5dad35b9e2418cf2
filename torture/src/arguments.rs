//! The command line.

use crate::local_state::LocalState;
use crate::mounts::Journaled;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

const SUITES: [&str; 10] = [
    "kill",
    "powercut",
    "calls",
    "lying-disk",
    "full-disk",
    "memory",
    "processes",
    "stopped-writer",
    "clocks",
    "source",
];

pub(crate) const USAGE: &str = "\
Usage: vellum-torture SUITE [OPTIONS]
       vellum-torture fault-points     what tests/it/fault_points.rs goes through

Suites:
  kill            kill -9 at random moments and at random system calls
  powercut        power cuts of a mounted file system (--fs)
  calls           system calls that fail, are interrupted or do half of their work
  lying-disk      system calls that report success and do nothing, also before a power cut
  full-disk       a disk that is full after each number of blocks and inodes
  memory          too little memory
  processes       writers, pruners and a forgetter at the same time (--minutes, --writers, --pruners)
  stopped-writer  writers and pruners that sleep while others prune
  clocks          clocks that are ten years off, or jump
  source          a source file system that lies and fails

Options:
  --vellum PATH       the binary to torture [default: the one beside this program]
  --seed N            what chance decides [default: the time]
  --count N           cases [default: what a full run has]
  --jobs N            cases at the same time [default: one a core]
  --only N            only this series of cases, as a failure names it
  --fault F           only this one, for calls, as a failure names it
  --scratch DIR       where to work; in memory it is ten times as fast [default: /dev/shm]
  --local-state HOW   kept, deleted, rolled-back or scrambled between any two runs [default: kept]
  --fs KIND           ext4 or xfs, for powercut [default: ext4]
  --minutes M         for processes [default: 20]
  --writers N         for processes [default: 6]
  --pruners N         for processes [default: 2]

Suites that mount something, or limit memory, need root. A failure keeps its folder and names it; exit code 1.
";

/// What was asked for.
#[derive(Debug, Clone)]
pub(crate) struct Arguments {
    pub(crate) suite: String,
    /// Options that are neither seed nor series, as they were given.
    pub(crate) others: Vec<String>,
    pub(crate) vellum: PathBuf,
    pub(crate) seed: u64,
    pub(crate) count: Option<u64>,
    pub(crate) jobs: usize,
    pub(crate) only: Option<u64>,
    pub(crate) fault: Option<String>,
    pub(crate) scratch: PathBuf,
    pub(crate) local_state: LocalState,
    pub(crate) file_system: Journaled,
    pub(crate) minutes: f64,
    pub(crate) writers: usize,
    pub(crate) pruners: usize,
}

impl Arguments {
    /// Reads the words after the program's name.
    pub(crate) fn parse(words: &[String]) -> Result<Self, String> {
        let (suite, options) = words.split_first().ok_or("no suite was named")?;
        if !SUITES.contains(&suite.as_str()) {
            return Err(format!("there is no suite {suite}"));
        }
        let beside = std::env::current_exe().map_err(|error| error.to_string())?.with_file_name("vellum");
        let mut arguments = Self {
            suite: suite.clone(),
            others: Vec::new(),
            vellum: beside,
            seed: seed_of_now(),
            count: None,
            jobs: std::thread::available_parallelism().map_or(1, usize::from),
            only: None,
            fault: None,
            scratch: PathBuf::from("/dev/shm"),
            local_state: LocalState::Kept,
            file_system: Journaled::Ext4,
            minutes: 20.0,
            writers: 6,
            pruners: 2,
        };
        for pair in options.chunks(2) {
            let [option, value] = pair else { return Err(format!("{} needs a value", pair[0])) };
            arguments.set(option, value).map_err(|why| format!("{option} {value}: {why}"))?;
            if !matches!(option.as_str(), "--seed" | "--only") {
                arguments.others.extend([option.clone(), value.clone()]);
            }
        }
        Ok(arguments)
    }

    fn set(&mut self, option: &str, value: &str) -> Result<(), String> {
        match option {
            "--vellum" => self.vellum = std::path::absolute(value).map_err(|error| error.to_string())?,
            "--seed" => self.seed = number(value)?,
            "--count" => self.count = Some(number(value)?),
            "--jobs" => self.jobs = number(value)?,
            "--only" => self.only = Some(number(value)?),
            "--fault" => self.fault = Some(value.to_owned()),
            "--scratch" => self.scratch = std::path::absolute(value).map_err(|error| error.to_string())?,
            "--local-state" => self.local_state = value.parse()?,
            "--fs" => self.file_system = value.parse()?,
            "--minutes" => self.minutes = number(value)?,
            "--writers" => self.writers = number(value)?,
            "--pruners" => self.pruners = number(value)?,
            _ => return Err("there is no such option".to_owned()),
        }
        Ok(())
    }
}

fn number<T: std::str::FromStr>(value: &str) -> Result<T, String> {
    value.parse().map_err(|_| "that is no number".to_owned())
}

/// Small, so that people can type it again.
fn seed_of_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_micros().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, String> {
        Arguments::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn options_are_taken_and_others_refused() {
        let arguments = parse(&["powercut", "--fs", "xfs", "--seed", "7", "--local-state", "rolled-back"]).unwrap();
        assert_eq!((arguments.file_system, arguments.seed), (Journaled::Xfs, 7));
        assert_eq!((arguments.local_state, arguments.count), (LocalState::RolledBack, None));
        for wrong in
            [&[][..], &["kill", "--seed"], &["kill", "--seed", "x"], &["kill", "--fs", "fat"], &["kill", "-x", "1"]]
        {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
