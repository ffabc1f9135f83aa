//! `millrace drain`: empties the spool without taking anything new.

use std::{
    io::Write,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;

use super::{ConfigFile, Context, Exit, print, progress::Bar, spool, text};
use crate::{
    config::Config,
    service::{DrainEnd, Left},
    spool::{
        disk::{Disk, RealDisk},
        viewer,
    },
};

/// Bring everything that is stored to Kafka, and take nothing new
///
/// Nothing listens meanwhile: no deliveries, no health, no metrics. Held topics are waited for. The
/// exit code is 0 only when nothing is left; otherwise (the deadline, SIGTERM) what is left is named,
/// stays in the spool, and the exit code is 1. Needs the folder for itself: stop the service first.
#[derive(Args)]
pub(super) struct Options {
    #[command(flatten)]
    file: ConfigFile,

    /// Give up after this long (`90s`, `1h 30m`); without it, go on however long Kafka is away
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    deadline: Option<Duration>,
}

/// Where nobody sees a bar, how often a line of the log says how far it is.
const LINE: Duration = Duration::from_secs(10);

pub(super) fn run(options: Options, context: &mut Context<'_>) -> Exit {
    let config = context.load(&options.file)?;
    let mut progress = Progress::new();
    context.start_log(&config.log, Some(&progress.bar))?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let ended =
        (context.program.drain)(config.clone(), options.deadline, &mut |left| progress.show(left));
    progress.bar.clear();
    let end = ended.map_err(|problem| context.end("drain", problem, 1))?;
    let left = report(&disk, &config, context.errors);
    let why = match end {
        DrainEnd::Empty if left => "what is named above can't be forwarded with this configuration",
        DrainEnd::Empty => {
            print(context.errors, "drained: nothing is left to forward\n");
            return Ok(0);
        }
        DrainEnd::Deadline => "the deadline has passed",
        DrainEnd::Stopped => "stopped by a signal",
    };
    print(context.errors, format_args!("not drained: {why}; what is left stays in the spool\n"));
    Ok(1)
}

/// Names what is in the folder still: backlog, also of sources that are not configured (any more),
/// and quarantine. Whether there is backlog.
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
                let (topic, position) = (&held.topic, held.position);
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

/// A bar on a terminal, else a line of the log now and then.
struct Progress {
    bar: Bar,
    /// Most bytes that were ever left: where the bar begins.
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
        } else if self.logged.elapsed() >= LINE {
            self.logged = Instant::now();
            tracing::info!(deliveries, bytes, held_topics = held, "draining; left");
        }
    }
}
