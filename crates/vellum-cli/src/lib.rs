//! The command `vellum`: text and terminals around the engine.
//!
//! This crate hides one decision: how people and programs talk to Vellum. It is the only one that reads the
//! environment, the terminal, the clock, the host's name and signals, and it holds no rule that somebody who embeds
//! the engine would need. Four steps: parse (`args`), resolve (`settings`), call (`commands`), render (`render`).
//!
//! It is a library only so that what stands in front of a command can be tested by itself: see [`look_over`].

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

use args::{Cli, GlobalArgs, Verb};
use clap::Parser as _;
use clap::error::ErrorKind;
use exit_code::ExitCode;
use invocation::Invocation;
use output::Output;
use paths::printable;
use report::Failure;
use settings::{Settings, Variables};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

/// Runs the command with the arguments and variables of this process.
pub fn main() -> std::process::ExitCode {
    limits::raise_open_files();
    let variables = Variables::read();
    let line: Vec<OsString> = std::env::args_os().collect();
    match Cli::try_parse_from(&line) {
        Ok(cli) => run(&cli, &variables).into(),
        Err(error) => unparsed(&error, &line, &variables).into(),
    }
}

/// Why a command line is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What the process would exit with.
    pub exit_code: u8,
    /// What is wrong, in one line that names what it is about.
    pub message: String,
}

/// Parses a command line, without the program's name, and puts it together with these variables of the environment, as
/// a run does before anything is opened, asked or done. `None` for help and the version.
///
/// # Errors
/// [`Refusal`] for what no run could be made of.
pub fn look_over(
    arguments: impl IntoIterator<Item = OsString>,
    variable: impl Fn(&str) -> Option<OsString>,
) -> Result<Option<Verdict>, Refusal> {
    let variables = Variables::from(variable);
    let line: Vec<OsString> = std::iter::once(OsString::from("vellum")).chain(arguments).collect();
    let cli = match Cli::try_parse_from(&line) {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => return Err(unparsed_failure(&error, &line).into()),
        Err(_) => return Ok(None),
    };
    let settings = Settings::resolve(&cli.global, &cli.verb, &variables)?;
    commands::look_over(&cli.verb)?;
    let removes_by_rules = match &cli.verb {
        Verb::Forget(args) => args.snapshots.is_empty(),
        _ => false,
    };
    let keeps_something = match &cli.verb {
        Verb::Forget(args) => !rules::policy(&args.keep).is_empty(),
        _ => true,
    };
    Ok(Some(Verdict { threads: settings.threads, removes_by_rules, keeps_something }))
}

/// What a command line asks for, as far as tests look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// Worker threads, if a number was given.
    pub threads: Option<usize>,
    /// Whether snapshots are removed that no rule keeps.
    pub removes_by_rules: bool,
    /// Whether the rules can keep anything.
    pub keeps_something: bool,
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self { exit_code: failure.exit_code as u8, message: failure.message }
    }
}

fn run(cli: &Cli, variables: &Variables) -> ExitCode {
    let output = Arc::new(Output::new(&cli.global, variables));
    let result = Settings::resolve(&cli.global, &cli.verb, variables).and_then(|settings| {
        let invocation = Invocation::new(settings, Arc::clone(&output));
        let done = commands::run(&invocation, &cli.verb);
        invocation.warn_of_local_state();
        let exit_code = done?;
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
fn unparsed(error: &clap::Error, line: &[OsString], variables: &Variables) -> ExitCode {
    let is_error = error.use_stderr();
    let asks_for_json = line.iter().take_while(|argument| *argument != "--").any(|argument| argument == "--json");
    let json = asks_for_json || variables.wants_json();
    if is_error && (json || error.kind() == ErrorKind::InvalidUtf8) {
        let output = Output::new(&GlobalArgs { json, ..GlobalArgs::default() }, variables);
        output.failure(&unparsed_failure(error, line));
        drop(output.finish());
    } else {
        // Nobody is left to tell when the terminal is gone.
        drop(error.print());
    }
    if is_error { ExitCode::Usage } else { ExitCode::Complete }
}

/// The first paragraph of what the parser says, as one line.
fn unparsed_failure(error: &clap::Error, line: &[OsString]) -> Failure {
    let text = match error.kind() {
        // It says what Vellum is, not what is wrong.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => "`vellum` needs a command".to_owned(),
        // It does not say which one.
        ErrorKind::InvalidUtf8 => {
            let odd = line.iter().filter(|argument| argument.to_str().is_none());
            let odd: Vec<String> = odd.map(|argument| format!("'{}'", printable(argument.as_bytes()))).collect();
            format!("an argument that has to be text is not valid UTF-8: {}", odd.join(" or "))
        }
        _ => error.to_string(),
    };
    let lines: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
    let message = lines.join(" ");
    Failure::usage(
        message.strip_prefix("error: ").unwrap_or(&message),
        "the command line cannot be understood; nothing was done",
        "see `vellum --help`, or `vellum VERB --help`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt as _;

    #[test]
    fn a_line_without_a_command_is_refused_for_that() {
        let refused = look_over([], |_| None).expect_err("there is nothing to do");
        assert_eq!((refused.exit_code, &*refused.message), (2, "`vellum` needs a command"));
    }

    #[test]
    fn an_argument_that_is_no_text_is_named() {
        let line = [&b"key"[..], b"add", b"--label", b"caf\xe9"].map(|one| OsString::from_vec(one.to_vec()));
        let refused = look_over(line, |_| None).expect_err("a label is text");
        let expected = r"an argument that has to be text is not valid UTF-8: 'caf\xe9'";
        assert_eq!((refused.exit_code, &*refused.message), (2, expected));
    }
}
