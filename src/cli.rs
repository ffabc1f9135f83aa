//! The command line: what was typed, which command it is, and the exit code.
//!
//! Exit codes: 0 all is well; 1 `check` or a tool found something, the service could not go on,
//! `drain` left something, or `simulate` found a reason for a sender to complain; 2 the command line
//! or, for all but `check`, the configuration is wrong (of `config` and `man`, what was asked for is not there).

pub mod journal;

mod backfill;
mod check;
mod completions;
mod demo;
mod drain;
mod logging;
mod man;
mod program;
mod progress;
mod recipients;
mod reference;
mod replay;
mod serve;
mod simulate;
mod spool;
mod table;
mod text;
mod topics;

use std::{
    ffi::OsString,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::{
    config::{Config, Kafka},
    service::{DrainEnd, Left},
};

/// From Marketo Data Streams and Adobe I/O Events to Kafka, and nothing is lost on the way.
///
/// Deliveries are answered once they are on the disk, and reach Kafka whenever it is there.
#[derive(Parser)]
#[command(name = "millrace", version)]
#[command(after_help = "\
Configuration is a TOML file, or the environment, or both; the environment goes over the file.
`millrace config` prints every key with its default.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Backfill(backfill::Options),
    Demo(demo::Options),
    Replay(replay::Options),
    Serve(serve::Options),
    Check(check::Options),
    Completions(completions::Options),
    Config(reference::Options),
    Drain(drain::Options),
    Man(man::Options),
    Simulate(Box<simulate::Options>),
    Spool(spool::Options),
    Topics(topics::Options),
}

/// Where the configuration is.
#[derive(Args)]
struct ConfigFile {
    /// The configuration file, in TOML. Without it, the one that MILLRACE_CONFIG names, or none:
    /// the environment alone is enough
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// What the commands need of the rest of the program. Arguments, so that tests can stand in.
pub struct Program<'a> {
    /// Whether the Kafka client takes the properties; connects to nothing.
    pub validate: &'a dyn Fn(&Kafka) -> Result<(), String>,
    /// Asks Kafka whether it is there and whether the topics may be written. Both texts are for
    /// people and may have several lines; `Err` when something is in the way.
    pub probe: &'a dyn Fn(&Config) -> Result<String, String>,
    /// Runs the service until it is told to stop.
    pub serve: &'a dyn Fn(Config) -> Result<(), String>,
    /// Forwards what is stored until nothing is left, the time is over or it is told to stop.
    pub drain: &'a Drain,
}

/// See [`service::drain`](crate::service::drain).
pub type Drain =
    dyn Fn(Config, Option<Duration>, &mut dyn FnMut(&[Left])) -> Result<DrainEnd, String>;

/// The process's own arguments, environment and outputs.
pub fn main() -> ExitCode {
    let (out, errors) = (&mut io::stdout(), &mut io::stderr());
    let program = &program::PRODUCTION;
    crate::service::core_dumps::switch_off();
    ExitCode::from(run(std::env::args_os(), std::env::vars_os(), program, out, errors))
}

/// Runs one command; returns the exit code.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    program: &Program<'_>,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> u8 {
    match Cli::try_parse_from(arguments) {
        Ok(Cli { command: Command::Demo(options) }) => demo::run(&options, errors),
        Ok(Cli { command: Command::Serve(options) }) => {
            serve::run(options, environment, program, errors)
        }
        Ok(Cli { command: Command::Check(options) }) => {
            check::run(options, environment, program, out, errors)
        }
        Ok(Cli { command: Command::Drain(options) }) => {
            drain::run(options, environment, program, errors)
        }
        Ok(Cli { command: Command::Simulate(options) }) => {
            simulate::run(&options, environment, out, errors)
        }
        Ok(Cli { command: Command::Replay(options) }) => {
            replay::run(options, environment, program, out, errors)
        }
        Ok(Cli { command: Command::Backfill(options) }) => {
            backfill::run(options, environment, errors)
        }
        Ok(Cli { command: Command::Spool(options) }) => {
            spool::run(options, environment, out, errors)
        }
        Ok(Cli { command: Command::Topics(options) }) => {
            topics::run(&options, environment, program, out, errors)
        }
        Ok(Cli { command: Command::Completions(options) }) => {
            completions::run(&options, Cli::command(), out)
        }
        Ok(Cli { command: Command::Man(options) }) => {
            man::run(&options, Cli::command(), out, errors)
        }
        Ok(Cli { command: Command::Config(options) }) => reference::run(&options, out, errors),
        // Help and version are "errors" too; where they belong, and their code, clap knows.
        Err(error) => {
            if error.use_stderr() {
                print(errors, error.render());
            } else {
                print(out, error.render());
            }
            u8::try_from(error.exit_code()).unwrap_or(2)
        }
    }
}

/// An error with its causes, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Whoever closed the pipe does not want to read it.
fn print(to: &mut dyn Write, text: impl std::fmt::Display) {
    let _ = write!(to, "{text}").and_then(|()| to.flush());
}
