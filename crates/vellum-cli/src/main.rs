//! The command `vellum`: text and terminals around the engine.
//!
//! This crate hides one decision: how people and programs talk to Vellum. It is the only one that reads the
//! environment, the terminal, the clock, the host's name and signals, and it holds no rule that somebody who embeds
//! the engine would need. Four steps: parse (`args`), resolve (`settings`), call (`commands`), render (`render`).

#![forbid(unsafe_code)]

mod args;
mod commands;
mod exit_code;
mod history;
mod invocation;
mod limits;
mod output;
mod passphrase;
mod paths;
mod reference;
mod render;
mod report;
mod rules;
mod selection;
mod settings;
mod signals;
mod time;
mod units;

use args::{Cli, GlobalArgs};
use clap::Parser as _;
use exit_code::ExitCode;
use invocation::Invocation;
use output::Output;
use report::Failure;
use settings::{Settings, Variables};
use std::sync::Arc;

fn main() -> std::process::ExitCode {
    limits::raise_open_files();
    let variables = Variables::read();
    match Cli::try_parse() {
        Ok(cli) => run(&cli, &variables).into(),
        Err(error) => unparsed(&error, &variables).into(),
    }
}

fn run(cli: &Cli, variables: &Variables) -> ExitCode {
    let output = Arc::new(Output::new(&cli.global, variables));
    let result = Settings::resolve(&cli.global, &cli.verb, variables).and_then(|settings| {
        let invocation = Invocation { settings, output: Arc::clone(&output) };
        let exit_code = commands::run(&invocation, &cli.verb)?;
        output.finish()?;
        Ok(exit_code)
    });
    result.unwrap_or_else(|failure| {
        output.failure(&failure);
        // A second failure of standard output has nobody left to tell.
        drop(output.finish());
        failure.exit_code
    })
}

/// Help, the version, or what is wrong with the command line.
fn unparsed(error: &clap::Error, variables: &Variables) -> ExitCode {
    let is_error = error.use_stderr();
    let asks_for_json =
        std::env::args_os().take_while(|argument| argument != "--").any(|argument| argument == "--json");
    if is_error && (asks_for_json || variables.wants_json()) {
        let output = Output::new(&GlobalArgs { json: true, ..GlobalArgs::default() }, variables);
        output.failure(&unparsed_failure(&error.to_string()));
        drop(output.finish());
    } else {
        // Nobody is left to tell when the terminal is gone.
        drop(error.print());
    }
    if is_error { ExitCode::Usage } else { ExitCode::Complete }
}

/// The first paragraph of what the parser says, as one line.
fn unparsed_failure(text: &str) -> Failure {
    let lines: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let message = lines.join(" ");
    Failure::usage(
        message.strip_prefix("error: ").unwrap_or(&message),
        "the command line cannot be understood; nothing was done",
        "see `vellum --help`, or `vellum VERB --help`",
    )
}
