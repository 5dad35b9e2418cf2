//! `vellum completions`

use crate::args::{Cli, CompletionsArgs};
use crate::exit_code::ExitCode;
use crate::invocation::Invocation;
use clap::CommandFactory as _;

/// Prints the script for a shell.
pub(super) fn run(invocation: &Invocation, args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "vellum", &mut script);
    invocation.output.result(&String::from_utf8_lossy(&script));
    ExitCode::Complete
}
