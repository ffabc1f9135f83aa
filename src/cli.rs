//! The command line: what was typed, which command it is, and the exit code.
//!
//! Exit codes: 0 all is well; 1 `check` or a tool found something, the service could not go on,
//! `drain` left something, or `simulate` found a reason for a sender to complain; 2 the command line
//! is wrong, the configuration is (for all commands but `check`), or `config` or `man` was asked for something
//! that does not exist; from `drain`: 3 another process holds the folder, and 4 an operator is needed.

pub mod journal;

mod admin;
mod backfill;
mod check;
mod colours;
mod completions;
mod context;
mod dead_letters;
mod demo;
mod drain;
mod logging;
mod man;
mod output;
mod program;
mod progress;
mod reference;
mod replay;
mod send;
mod serve;
mod simulate;
mod spool;
mod table;
mod tap;
mod terminal;
mod text;
mod top;
mod topics;
mod version;
mod when;
mod width;

use std::{
    ffi::OsString,
    io::{self, Write},
    process::ExitCode,
    time::Duration,
};

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};

use self::{
    colours::Colours,
    context::{ConfigFile, Context, Exit},
    output::Output,
};
use crate::{
    config::{Config, Kafka},
    service::{DrainEnd, DrainError, Left},
};

/// Delivers Marketo Data Streams and Adobe I/O Events to Kafka without losing an event.
///
/// Each delivery is stored on disk before it is answered, and forwarded when Kafka is available.
#[derive(Parser)]
#[command(name = "millrace", version, styles = colours::HELP_STYLES)]
#[command(after_help = "\
Configuration is a TOML file, or the environment, or both; the environment overrides the file.
`millrace config` prints every key with its default.")]
struct Cli {
    /// With --version: also the commit, and what the program is built of
    #[arg(short = 'v', long)]
    verbose: bool,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Backfill(backfill::Options),
    Demo(demo::Options),
    Replay(replay::Options),
    Send(send::Options),
    Serve(serve::Options),
    Check(check::Options),
    Completions(completions::Options),
    Config(reference::Options),
    DeadLetters(dead_letters::Options),
    Drain(drain::Options),
    Man(man::Options),
    Simulate(Box<simulate::Options>),
    Spool(spool::Options),
    Tap(tap::Options),
    Top(top::Options),
    Topics(topics::Options),
}

/// The parts of the program that the commands call. They are arguments, so that tests can replace them.
pub struct Program<'a> {
    /// Checks whether the Kafka client accepts the properties; connects to nothing.
    pub validate: &'a dyn Fn(&Kafka) -> Result<(), String>,
    /// Asks Kafka whether it is there and whether the topics may be written. Both texts are for
    /// operators and may have several lines; `Err` reports an obstacle.
    pub probe: &'a dyn Fn(&Config) -> Result<String, String>,
    /// Runs the service until it is asked to stop.
    pub serve: &'a dyn Fn(Config) -> Result<(), String>,
    /// Forwards the stored deliveries until nothing is left, the time is over or it is asked to stop.
    pub drain: &'a Drain,
}

/// See [`service::drain`](crate::service::drain).
pub type Drain =
    dyn Fn(Config, Option<Duration>, &mut dyn FnMut(&[Left])) -> Result<DrainEnd, DrainError>;

/// Runs the command line of this process, with its environment and outputs.
pub fn main() -> ExitCode {
    let out = &mut io::stdout();
    let errors = &mut io::stderr();
    let program = &program::PRODUCTION;
    crate::service::core_dumps::switch_off();
    let colours = Colours::of_process();
    let arguments = std::env::args_os();
    let environment = std::env::vars_os();
    ExitCode::from(run_in(arguments, environment, program, out, errors, colours))
}

/// Runs one command without colours; returns the exit code.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    program: &Program<'_>,
    out: &mut dyn Write,
    errors: &mut dyn Write,
) -> u8 {
    run_in(arguments, environment, program, out, errors, Colours::default())
}

fn run_in(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    program: &Program<'_>,
    out: &mut dyn Write,
    errors: &mut dyn Write,
    colours: Colours,
) -> u8 {
    let mut output = Output::new(out);
    let environment = environment.into_iter().collect();
    let context = Context { program, environment, out: &mut output, errors, colours };
    let code = command(arguments, context);
    match output.failure() {
        Some(error) => {
            print(errors, format_args!("millrace: the output is not complete: {error}\n"));
            code.max(1)
        }
        None => code,
    }
}

fn command(arguments: impl IntoIterator<Item = OsString>, mut context: Context<'_>) -> u8 {
    let context = &mut context;
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let command = match Cli::try_parse_from(&arguments) {
        Ok(Cli { verbose: true, .. }) => {
            print(
                context.errors,
                "--verbose goes with --version alone; `log.filter` sets what is logged\n",
            );
            return 2;
        }
        Ok(Cli { command, .. }) => command,
        // Help and version are "errors" too; clap knows their stream and their exit code.
        Err(error) => {
            let is_version = error.kind() == ErrorKind::DisplayVersion;
            if is_version && version::is_verbose(&arguments) {
                print(context.out, version::verbose());
                return 0;
            }
            let (to, colours) = match error.use_stderr() {
                true => (&mut *context.errors, context.colours.errors),
                false => (&mut *context.out, context.colours.out),
            };
            let text = error.render();
            if colours {
                print(to, text.ansi())
            } else {
                print(to, text)
            }
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    let ended = match command {
        Command::Backfill(options) => backfill::run(options, context),
        Command::Check(options) => check::run(options, context),
        Command::Completions(options) => {
            Ok(completions::run(&options, Cli::command(), context.out))
        }
        Command::Config(options) => Ok(reference::run(&options, context.out, context.errors)),
        Command::DeadLetters(options) => dead_letters::run(options, context),
        Command::Demo(options) => demo::run(&options, context),
        Command::Drain(options) => drain::run(options, context),
        Command::Man(options) => {
            Ok(man::run(&options, Cli::command(), context.out, context.errors))
        }
        Command::Replay(options) => replay::run(options, context),
        Command::Send(options) => send::run(&options, context),
        Command::Serve(options) => serve::run(options, context),
        Command::Simulate(options) => simulate::run(&options, context),
        Command::Spool(options) => spool::run(options, context),
        Command::Tap(options) => tap::run(&options, context),
        Command::Top(options) => top::run(&options, context),
        Command::Topics(options) => topics::run(&options, context),
    };
    ended.unwrap_or_else(|code| code)
}

/// An error with its causes, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Ignores errors: a reader that closed the pipe does not want the rest.
fn print(to: &mut dyn Write, text: impl std::fmt::Display) {
    let _ = write!(to, "{text}").and_then(|()| to.flush());
}
