//! `millrace serve`: the service.

use std::{ffi::OsString, io::Write};

use clap::Args;

use super::{ConfigFile, Program, logging, print};
use crate::{
    config::{self, Questions},
    service::open_files,
};

/// Run the service: take deliveries, keep them, and bring them to Kafka
///
/// Stops in order on SIGTERM. A mistake in the configuration ends it at once (exit code 2), with
/// all mistakes listed.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn run(
    options: Options,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    program: &Program<'_>,
    errors: &mut dyn Write,
) -> u8 {
    let questions = Questions { kafka: program.validate, volume: None };
    let mut config =
        match config::load_with(options.file.config.as_deref(), environment, &questions) {
            Ok(loaded) => loaded.config,
            Err(mistakes) => {
                print(errors, mistakes);
                return 2;
            }
        };
    if let Err(problem) = logging::init(&config.log) {
        print(errors, format_args!("the log could not be started: {problem}\n"));
        return 1;
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting");
    // A full disk is answered as a full spool is, so nothing breaks; but it will surprise someone.
    if let Err(mistake) = config::fits(&config.spool, config::size_of_volume) {
        tracing::warn!(remedy = mistake.remedy, "{} {}", mistake.place, mistake.problem);
    }
    if let Err(too_few) = open_files::raise(&mut config) {
        tracing::warn!("{too_few}");
    }
    match (program.serve)(config) {
        Ok(()) => 0,
        Err(problem) => {
            tracing::error!("the service ended: {problem}");
            1
        }
    }
}
