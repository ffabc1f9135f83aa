//! `millrace drain`: empties the spool without accepting new deliveries.

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;

use super::{ConfigFile, Context, Exit, print, progress::Bar, spool, text, with_causes};
use crate::{
    config::Config,
    service::{DrainEnd, DrainError, Left, ServiceError, StartError},
    spool::{
        OpenError,
        disk::{Disk, RealDisk},
        viewer,
    },
};

/// Forward all stored deliveries to Kafka, and accept no new ones
///
/// Opens no ports: no deliveries, no health, no metrics. Waits for held topics. Needs exclusive use of
/// the folder: stop the service first.
///
/// Exit codes: 0 nothing is left; 1 something is left, and is reported (the deadline has passed, SIGTERM, a
/// source that is not configured, or a failure that another start may repair); 2 the command line or the
/// configuration is wrong; 3 another process holds the folder, try again when it has ended; 4 the drain
/// cannot start, or a source cannot be forwarded, until an operator has done what the error says.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,

    /// Give up after this time (`90s`, `1h 30m`). Default: wait for Kafka without a limit
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,
}

/// Exit code: deliveries are left.
const EXIT_LEFT: u8 = 1;
/// Exit code: another process holds the folder.
const EXIT_HELD: u8 = 3;
/// Exit code: an operator is needed.
const EXIT_NEEDS_OPERATOR: u8 = 4;

/// Time between two log lines about the progress, where there is no terminal for a bar.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

pub(super) fn run(options: Options, context: &mut Context<'_>) -> Exit {
    let config = context.load(&options.file)?;
    let mut progress = Progress::new();
    context.start_log(&config.log, Some(&progress.bar))?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let ended =
        (context.program.drain)(config.clone(), options.deadline, &mut |left| progress.show(left));
    progress.bar.clear();
    let end = ended.map_err(|error| context.end("drain", describe(&error), code(&error)))?;
    let left = report(&disk, &config, context.errors);
    let why = match end {
        DrainEnd::Empty if left => {
            "the deliveries named above cannot be forwarded with this configuration"
        }
        DrainEnd::Empty => {
            print(context.errors, "drained: nothing is left to forward\n");
            return Ok(0);
        }
        DrainEnd::Deadline => "the deadline has passed",
        DrainEnd::Stopped => "stopped by a signal",
    };
    print(context.errors, format_args!("not drained: {why}; what is left stays in the spool\n"));
    Ok(EXIT_LEFT)
}

/// Returns the exit code, which tells a script or a Kubernetes Job to try again later or to leave it to an operator.
fn code(error: &DrainError) -> u8 {
    match error {
        DrainError::Start(StartError::Spool(OpenError::Locked { .. })) => EXIT_HELD,
        DrainError::Runtime(_)
        | DrainError::Start(_)
        | DrainError::Service(ServiceError::Forwarding { .. }) => EXIT_NEEDS_OPERATOR,
        DrainError::Service(ServiceError::Poisoned { .. } | ServiceError::ThreadEnded { .. }) => {
            EXIT_LEFT
        }
    }
}

fn describe(error: &DrainError) -> String {
    match error {
        DrainError::Start(StartError::Spool(OpenError::Locked { directory })) => format!(
            "{} is held by another process: stop it (`millrace serve` of this folder, or \
             another `millrace drain`; SIGTERM is enough), wait for its end, and drain again",
            directory.display()
        ),
        error => with_causes(error),
    }
}

/// Reports what is still in the folder: backlog, also of sources that are not configured (any more),
/// and quarantine. Returns whether there is backlog.
fn report(disk: &Arc<dyn Disk>, config: &Config, errors: &mut dyn Write) -> bool {
    let directory = &config.spool.directory;
    let sources = viewer::sources(&**disk, directory).unwrap_or_default();
    let mut left = false;
    for source in &sources {
        let survey = spool::survey(disk, directory, source);
        for problem in &survey.problems {
            print(errors, format_args!("{source}: {problem}\n"));
        }
        if !survey.is_empty() {
            left = true;
            let backlog = survey.undelivered;
            let deliveries = text::counted(backlog.deliveries, "delivery", "deliveries");
            let bytes = text::bytes(backlog.bytes);
            print(errors, format_args!("{source}: {deliveries} left ({bytes})\n"));
            for held in &survey.held {
                let topic = &held.topic;
                let position = held.position;
                print(errors, format_args!("{source}: topic {topic} is held at {position}\n"));
            }
            if !config.sources.iter().any(|configured| configured.name == *source) {
                print(
                    errors,
                    format_args!(
                        "{source}: it is not configured, so nothing of it is forwarded: add \
                         `sources.{source}` and drain again\n"
                    ),
                );
            }
        }
        if survey.quarantine.items > 0 {
            let items = text::counted(survey.quarantine.items, "item", "items");
            let folder = directory.join(source.as_str()).join("quarantine");
            print(
                errors,
                format_args!(
                    "{source}: {items} in quarantine ({}) stay on this disk alone: keep {}\n",
                    text::bytes(survey.quarantine.bytes),
                    folder.display()
                ),
            );
        }
    }
    left
}

/// Shows a bar on a terminal, otherwise a log line at intervals.
struct Progress {
    bar: Bar,
    /// The most bytes that were ever left, which is the length of the bar.
    most: u64,
    logged: Instant,
}

impl Progress {
    fn new() -> Self {
        Self { bar: Bar::new(), most: 0, logged: Instant::now() }
    }

    fn show(&mut self, left: &[Left]) {
        let (bytes, deliveries) = left.iter().fold((0, 0), |(bytes, deliveries), left| {
            (bytes + left.backlog.bytes, deliveries + left.backlog.deliveries)
        });
        let held: i64 = left.iter().map(|left| left.held_topics).sum();
        self.most = self.most.max(bytes);
        if self.bar.is_live() {
            self.bar.show(self.most - bytes, self.most, || {
                let deliveries = text::counted(deliveries, "delivery", "deliveries");
                let held = match held {
                    0 => String::new(),
                    n => format!("; {} held", text::counted(n.unsigned_abs(), "topic", "topics")),
                };
                format!("{deliveries} left ({}){held}", text::bytes(bytes))
            });
        } else if self.logged.elapsed() >= LOG_INTERVAL {
            self.logged = Instant::now();
            tracing::info!(deliveries, bytes, held_topics = held, "draining; remaining");
        }
    }
}
