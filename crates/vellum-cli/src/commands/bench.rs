//! `vellum bench`: what this machine can do, and what a first backup can at most reach here.

mod place;

use crate::args::{BenchArgs, PartChoice};
use crate::exit_code::ExitCode;
use crate::invocation::{Invocation, install_signals};
use crate::render::bench as table;
use crate::render::json::{BenchLine, Line, StageLine};
use crate::report::Failure;
use place::Place;
use vellum::bench::{BenchOptions, Figure, Stage};

/// Measures what was asked for, in memory and where a repository is or may be.
pub(super) fn run(invocation: &Invocation, args: &BenchArgs) -> Result<ExitCode, Failure> {
    let wants_storage = args.parts.is_empty() || args.parts.contains(&PartChoice::Storage);
    let location = invocation.settings.optional_location()?;
    if location.is_none() && args.parts.contains(&PartChoice::Storage) {
        return Err(Failure::usage(
            "no folder was named to write to",
            "how fast a storage is can only be measured by writing to it; nothing was done",
            "name a folder there with -r PATH; it need not be a repository",
        ));
    }
    let signals = install_signals()?;
    let context = invocation.context(&signals);
    let place = location.filter(|_| wants_storage).map(|location| Place::create(&location)).transpose()?;
    let mut options = BenchOptions::default();
    options.parts = args.parts.iter().map(|part| part.part()).collect();
    options.quick = args.quick;
    options.storage = place.as_ref().map(Place::storage);
    let output = &invocation.output;
    output.note("measuring; this takes some seconds, and other programs that run meanwhile lower the figures");
    let folder = place.as_ref().map(|place| place.parent().to_owned());
    let told_folder = |figure: &Figure| folder.as_deref().filter(|_| figure.stage == Stage::Storage);
    let measured = vellum::bench::bench(&options, &context, &mut |figure| {
        if output.is_json {
            output.json_event(&Line::Stage(StageLine::new(figure, told_folder(figure))));
        }
    });
    let removed = place.map_or(Ok(()), Place::remove);
    let report = measured?;
    removed?;
    match output.is_json {
        true => output.json(&Line::Bench(BenchLine::new(&report))),
        false => output.result(&table::table(&report, folder.as_deref())),
    }
    Ok(ExitCode::Complete)
}
