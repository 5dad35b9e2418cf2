//! The suites by name.

mod calls;
mod clocks;
mod full_disk;
mod kill;
mod lying_disk;
mod memory;
mod power_cut;
mod processes;
mod source;
mod stopped_writer;

use crate::failure::Failure;
use crate::mounts::Journaled;
use crate::suite::{Bench, Plan, Series, run as run_plan};

/// One series of cases of a suite.
type Run<'a> = dyn Fn(&mut Series<'_>) -> Result<(), Failure> + Sync + 'a;

/// Runs the suite that was asked for and tells whether all went well. The counts are those of a full run.
pub(crate) fn run(bench: &Bench) -> Result<bool, Failure> {
    let file_system = bench.arguments.file_system;
    let suite = bench.arguments.suite.as_str();
    let (count, series_len, run): (u64, u64, &Run<'_>) = match suite {
        "calls" => return calls::run(bench),
        "clocks" => (300, 15, &clocks::run),
        "full-disk" => (1_000, 50, &full_disk::run),
        "kill" => (1_000, 10, &kill::run),
        "lying-disk" => (500, 10, &lying_disk::run),
        "memory" => (500, 10, &memory::run),
        "powercut" if file_system == Journaled::Xfs => (100, 5, &power_cut::run),
        "powercut" => (300, 5, &power_cut::run),
        "processes" => (1, 1, &processes::run),
        "source" => (300, 10, &source::run),
        "stopped-writer" => {
            bench.program.needs(&["forget", "prune"])?;
            (300, 6, &stopped_writer::run)
        }
        other => return Err(Failure::unfit(format!("there is no suite {other}"))),
    };
    let name = match suite {
        "powercut" | "lying-disk" => format!("{suite} {file_system}"),
        _ => suite.to_owned(),
    };
    Ok(run_plan(bench, &Plan { name, count, series_len, run }))
}
