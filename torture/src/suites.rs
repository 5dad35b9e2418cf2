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
use crate::suite::{Bench, Plan, run as run_plan};

/// Runs the suite that was asked for and tells whether all went well.
pub(crate) fn run(bench: &Bench) -> Result<bool, Failure> {
    let plan = |name: &str, count, series_len, run| Plan { name: name.to_owned(), count, series_len, run };
    Ok(match bench.arguments.suite.as_str() {
        "clocks" => run_plan(bench, &plan("clocks", 300, 15, &clocks::run)),
        "full-disk" => run_plan(bench, &plan("full-disk", 2_000, 50, &full_disk::run)),
        "lying-disk" => run_plan(bench, &plan("lying-disk", 500, 10, &lying_disk::run)),
        "memory" => run_plan(bench, &plan("memory", 500, 10, &memory::run)),
        "kill" => run_plan(bench, &plan("kill", 1_000, 10, &kill::run)),
        "calls" => calls::run(bench)?,
        "processes" => run_plan(bench, &plan("processes", 1, 1, &processes::run)),
        "source" => run_plan(bench, &plan("source", 300, 10, &source::run)),
        "stopped-writer" => {
            bench.program.needs(&["forget", "prune"])?;
            run_plan(bench, &plan("stopped-writer", 300, 6, &stopped_writer::run))
        }
        "powercut" => power_cut(bench),
        other => return Err(Failure::unfit(format!("there is no suite {other}"))),
    })
}

fn power_cut(bench: &Bench) -> bool {
    let file_system = bench.arguments.file_system;
    let count = match file_system {
        Journaled::Ext4 => 300,
        Journaled::Xfs => 100,
    };
    run_plan(bench, &Plan { name: format!("powercut {file_system}"), count, series_len: 5, run: &power_cut::run })
}
