//! `millrace serve`: runs the service.

mod sources;

use clap::Args;

use super::{ConfigFile, Context, Exit};
use crate::{config, service::open_files};

/// Run the service: receive deliveries, store them, and forward them to Kafka
///
/// Shuts down gracefully on SIGTERM. If the configuration is wrong, lists all mistakes, in the log's
/// format, and exits with code 2.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,
}

pub(super) fn run(options: Options, context: &mut Context<'_>) -> Exit {
    let mut config = context.load_and_log(&options.file)?;
    context.start_log(&config.log, None)?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting");
    // Only a warning: a full disk is answered as a full spool is, but before the configured limit.
    if let Err(mistake) = config::fits(&config.spool, config::size_of_volume) {
        tracing::warn!(remedy = mistake.remedy, "{} {}", mistake.place, mistake.problem);
    }
    if let Err(too_few) = open_files::raise(&mut config) {
        tracing::warn!("{too_few}");
    }
    sources::report(&config);
    match (context.program.serve)(config) {
        Ok(()) => Ok(0),
        Err(problem) => {
            tracing::error!("service failed: {problem}");
            Ok(1)
        }
    }
}
