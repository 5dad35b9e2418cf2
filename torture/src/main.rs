//! Torture of the real binary: everything that can go wrong beneath it, and what must be true afterwards.
//!
//! Each suite runs `vellum` as scripts do, makes something fail, and then wants what `docs/INVARIANTS.md` promises:
//! every acknowledged snapshot comes back exactly, `check --read-data` is clean, and the next backup works.
//! `docs/TESTING.md` has the fault model and the counts. The suites share nothing with the engine but the command
//! line, so that a mistake in one is not a mistake in both.

#![forbid(unsafe_code)]

mod actions;
mod arguments;
mod failure;
mod inject;
mod local_state;
mod moments;
mod mounts;
mod namespace;
mod program;
mod scene;
mod suite;
mod suites;

use arguments::{Arguments, USAGE};
use failure::Failure;
use inject::Injector;
use program::Program;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use suite::{Bench, Tally};
use vellum_faults::Point;

fn main() -> ExitCode {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    if words == ["fault-points"] {
        return list_fault_points();
    }
    let is_inside = namespace::take_mark(&mut words);
    let arguments = match Arguments::parse(&words) {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("{why}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let went_well = match is_inside || !namespace::is_needed(&arguments.suite) {
        true => run(arguments),
        false => Err(namespace::enter(&words)),
    };
    match went_well {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("{}: cannot run: {}", words[0], failure.what);
            ExitCode::FAILURE
        }
    }
}

/// The points between the steps of the code at which the tests of the engine let things happen.
fn list_fault_points() -> ExitCode {
    for point in Point::ALL {
        println!("{:32} {}", point.name(), point.when());
    }
    ExitCode::SUCCESS
}

fn run(arguments: Arguments) -> Result<bool, Failure> {
    let is_stopped = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        // The second one ends it at once; mounts and processes go with the namespace.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&is_stopped))?;
        signal_hook::flag::register(signal, Arc::clone(&is_stopped))?;
    }
    let program = Program::find(&arguments.vellum)?;
    let scratch = tempfile::Builder::new().prefix("vellum-torture-").tempdir_in(&arguments.scratch)?;
    let injector = Injector::compile(scratch.path())?;
    let path = scratch.path().to_owned();
    let bench = Bench { arguments, program, injector, scratch: path, is_stopped, tally: Tally::default() };
    let went_well = suites::run(&bench)?;
    if !went_well {
        // It holds what failed.
        drop(scratch.keep());
    }
    Ok(went_well)
}
