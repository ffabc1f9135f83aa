//! The commands' program in production: the real Kafka client and the real service.

use std::{fmt::Write, time::Duration};

use super::Program;
use crate::{
    config::{Config, Kafka},
    deliver::{registry, route::Router},
    kafka::{self, Fit, TopicInfo},
    runtime::{
        readable,
        shutdown::{Phase, Shutdown, Signals},
    },
    service::{self, DrainEnd, DrainError, Left},
};

/// How long `check --connect` waits for the cluster's first answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) const PRODUCTION: Program<'static> =
    Program { validate: &validate, probe: &probe, serve: &serve, drain: &drain };

fn validate(kafka: &Kafka) -> Result<(), String> {
    kafka::validate_properties(&kafka.properties)
}

/// Asks Kafka and the schema registry. A failure of one does not hide the answer of the other.
fn probe(config: &Config) -> Result<String, String> {
    let kafka = probe_kafka(config);
    let Some(registry) = config.schema_registry.as_ref().map(registry::reach) else {
        return kafka;
    };
    let is_fine = kafka.is_ok() && registry.is_ok();
    let (Ok(kafka) | Err(kafka), Ok(registry) | Err(registry)) = (kafka, registry);
    let text = format!("{}\n{registry}\n", kafka.trim_end());
    if is_fine { Ok(text) } else { Err(text) }
}

fn probe_kafka(config: &Config) -> Result<String, String> {
    // The topics that exist; the dead-letter topic stands for those that will be created.
    let prefix = Router::new(&config.topics.name).map_err(|error| error.to_string())?;
    let mut names = kafka::existing_topics(
        &config.kafka,
        &config.topics,
        prefix.literal_prefix(),
        PROBE_TIMEOUT,
    )
    .map_err(|error| error.to_string())?;
    if !names.contains(&config.topics.dead_letter) {
        names.push(config.topics.dead_letter.clone());
    }
    let exactly_once = config.kafka.delivery.is_exactly_once();
    let checkpoints = exactly_once.then_some(&config.topics.checkpoints);
    let ids = config.topics.ids.as_ref();
    for own in checkpoints.into_iter().chain(&config.topics.lead_state).chain(ids) {
        if !names.contains(own) {
            names.push(own.clone());
        }
    }
    let report = kafka::inspect(&config.kafka, &config.topics, &names, PROBE_TIMEOUT)
        .map_err(|error| error.to_string())?;

    let mut text = String::new();
    let cluster = report.cluster_id.as_deref().unwrap_or("of unknown id");
    // Writing to a String cannot fail.
    let _ = writeln!(text, "Kafka cluster {cluster}, brokers {}", report.brokers.join(", "));
    for (topic, found) in &report.topics {
        let _ = match found {
            TopicInfo::Exists { partitions, leaderless: 0, .. } => {
                let partitions = readable::counted(*partitions as u64, "partition", "partitions");
                writeln!(text, "topic {topic} has {partitions}")
            }
            TopicInfo::Exists { partitions, leaderless, .. } => {
                writeln!(
                    text,
                    "topic {topic}: {leaderless} of {partitions} partitions have no leader"
                )
            }
            TopicInfo::Missing if checkpoints == Some(topic) || ids == Some(topic) => {
                let read = "the permission to read it can be checked once it exists";
                writeln!(text, "topic {topic} will be created when needed; {read}")
            }
            TopicInfo::Missing => writeln!(text, "topic {topic} will be created when needed"),
            TopicInfo::Trouble(trouble) => writeln!(text, "{trouble}"),
        };
    }
    text += &fits(config, &report);
    let mut fine = report.topics.iter().all(|(_, topic)| topic.is_fine());
    if exactly_once {
        let allowed = kafka::may_have_transactions(&config.kafka, &config.topics, PROBE_TIMEOUT);
        fine &= allowed.is_ok();
        let trouble = allowed.err().unwrap_or_else(|| "transactions are allowed".into());
        let _ = writeln!(text, "{trouble}");
    }
    if fine { Ok(text) } else { Err(text) }
}

/// Says of each existing topic of the program's own whether its settings serve its purpose.
fn fits(config: &Config, report: &kafka::Report) -> String {
    let exists = |(_, found): &&(String, TopicInfo)| matches!(found, TopicInfo::Exists { .. });
    // Without exactly-once delivery the topic of checkpoints is of no use.
    let is_used = |topic: &&String| {
        config.kafka.delivery.is_exactly_once() || **topic != config.topics.checkpoints
    };
    let there: Vec<_> = report.topics.iter().filter(exists).map(|(topic, _)| topic).collect();
    let there: Vec<_> = there.into_iter().filter(is_used).cloned().collect();
    let mut text = String::new();
    // Writing to a String cannot fail.
    for (topic, fit) in kafka::fit(&config.kafka, &config.topics, &there, PROBE_TIMEOUT) {
        let _ = match fit {
            Fit::Good => writeln!(text, "topic {topic} has the settings that its purpose needs"),
            Fit::Bad(all) => all.iter().try_for_each(|one| writeln!(text, "warning: {one}")),
            Fit::Unknown(why) => {
                writeln!(text, "topic {topic}: its settings cannot be checked: {why}")
            }
        };
    }
    text
}

fn serve(config: Config) -> Result<(), String> {
    runtime()?.block_on(async {
        let shutdown = Shutdown::new();
        let signals = signals()?;
        let delay = config.shutdown.delay;
        let service = service::start(config, None, shutdown.clone())
            .await
            .map_err(|error| error.to_string())?;
        tokio::spawn(async move { shutdown.on_signals(signals, delay).await });
        service.finished().await.map_err(|error| error.to_string())
    })
}

fn drain(
    config: Config,
    deadline: Option<Duration>,
    progress: &mut dyn FnMut(&[Left]),
) -> Result<DrainEnd, DrainError> {
    runtime().map_err(DrainError::Runtime)?.block_on(async {
        let shutdown = Shutdown::new();
        let mut signals = signals().map_err(DrainError::Runtime)?;
        let stop = shutdown.clone();
        tokio::spawn(async move {
            let name = signals.next().await;
            tracing::info!(signal = name, "stopping");
            stop.advance(Phase::Closing);
        });
        service::drain(config, None, shutdown, deadline, progress).await
    })
}

pub(super) fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))
}

fn signals() -> Result<Signals, String> {
    Signals::install().map_err(|error| format!("signal handlers: {error}"))
}
