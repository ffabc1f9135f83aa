//! The context of a command: the rest of the program, the environment and the two outputs; and the first steps that
//! most commands share.

use std::{ffi::OsString, fmt::Display, io::Write, path::PathBuf};

use clap::Args;

use super::{Program, colours::Colours, logging, print, progress::Bar};
use crate::config::{self, Config, Loaded, Log, Mistakes, OfMachine, Questions};

/// The option that names the configuration file.
#[derive(Args)]
pub(super) struct ConfigFile {
    /// The configuration file, in TOML. Default: the file that MILLRACE_CONFIG names; else the
    /// environment alone
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

pub(super) struct Context<'a> {
    pub program: &'a Program<'a>,
    pub environment: Vec<(OsString, OsString)>,
    pub out: &'a mut dyn Write,
    pub errors: &'a mut dyn Write,
    pub colours: Colours,
}

/// The exit code of a command; `Err` for one that ended early.
pub(super) type Exit = Result<u8, u8>;

impl Context<'_> {
    /// Reads the configuration and has the Kafka client check its properties. Mistakes are printed, and end
    /// the command with 2.
    pub fn load(&mut self, file: &ConfigFile) -> Result<Config, u8> {
        self.load_with(file, &Questions { kafka: self.program.validate, volume: None })
    }

    /// As [`Context::load`], for a command whose standard error is a log: mistakes are lines of it
    /// where the log is JSON.
    pub fn load_and_log(&mut self, file: &ConfigFile) -> Result<Config, u8> {
        let questions = Questions { kafka: self.program.validate, volume: None };
        let loaded = self.read(file, &questions, &|_| Vec::new());
        loaded.map(|loaded| loaded.config).map_err(|mistakes| {
            match logging::as_lines(&mistakes) {
                Some(lines) => print(self.errors, lines),
                None => print(self.errors, mistakes),
            }
            2
        })
    }

    /// As [`Context::load`], with these questions.
    pub fn load_with(
        &mut self,
        file: &ConfigFile,
        questions: &Questions<'_>,
    ) -> Result<Config, u8> {
        let loaded = self.read(file, questions, &|_| Vec::new());
        loaded.map(|loaded| loaded.config).map_err(|mistakes| {
            print(self.errors, mistakes);
            2
        })
    }

    /// As [`Context::load`], for a caller that shows mistakes in its own way.
    pub fn read(
        &self,
        file: &ConfigFile,
        questions: &Questions<'_>,
        machine: OfMachine<'_>,
    ) -> Result<Loaded, Mistakes> {
        let environment = self.environment.iter().cloned();
        config::load_on(file.config.as_deref(), environment, questions, machine)
    }

    /// Starts the log on standard error, above `bar` where there is one.
    pub fn start_log(&mut self, log: &Log, bar: Option<&Bar>) -> Result<(), u8> {
        let started = match bar {
            Some(bar) => logging::init_beside(log, bar.beside()),
            None => logging::init(log),
        };
        started.map_err(|problem| {
            print(self.errors, format_args!("the log could not be started: {problem}\n"));
            1
        })
    }

    /// Says why `command` ends with `code`.
    pub fn end(&mut self, command: &str, problem: impl Display, code: u8) -> u8 {
        print(self.errors, format_args!("{command}: {problem}\n"));
        code
    }
}
