//! What the commands do in production: the real Kafka client and the real service.

use std::{fmt::Write, time::Duration};

use super::Program;
use crate::{
    config::{Config, Kafka},
    kafka::{self, TopicReport},
    service,
    shutdown::{Shutdown, Signals},
};

/// How long `check --connect` waits for the cluster's first answer.
const PROBE: Duration = Duration::from_secs(10);

pub(super) const PRODUCTION: Program<'static> =
    Program { validate: &validate, probe: &probe, serve: &serve };

fn validate(kafka: &Kafka) -> Result<(), String> {
    kafka::validate_properties(&kafka.properties)
}

fn probe(config: &Config) -> Result<String, String> {
    let names = [config.topics.dead_letter.clone()];
    let report = kafka::probe(&config.kafka, &config.topics, &names, PROBE)
        .map_err(|error| error.to_string())?;

    let mut text = String::new();
    let cluster = report.cluster_id.as_deref().unwrap_or("of unknown id");
    // Writing to a String can't fail.
    let _ = writeln!(text, "Kafka cluster {cluster}, brokers {}", report.brokers.join(", "));
    for (topic, found) in &report.topics {
        let _ = match found {
            TopicReport::Exists { partitions, leaderless: 0 } => {
                writeln!(text, "topic {topic} has {partitions} partitions")
            }
            TopicReport::Exists { partitions, leaderless } => {
                writeln!(
                    text,
                    "topic {topic}: {leaderless} of {partitions} partitions have no leader"
                )
            }
            TopicReport::WillBeMade => writeln!(text, "topic {topic} will be created when needed"),
            TopicReport::Trouble(trouble) => writeln!(text, "{trouble}"),
        };
    }
    if report.topics.iter().all(|(_, topic)| topic.is_fine()) { Ok(text) } else { Err(text) }
}

fn serve(config: Config) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("starting the runtime: {error}"))?;
    runtime.block_on(async {
        let shutdown = Shutdown::new();
        let signals = Signals::install().map_err(|error| format!("signal handlers: {error}"))?;
        let delay = config.shutdown.delay;
        let service = service::start(config, None, shutdown.clone())
            .await
            .map_err(|error| error.to_string())?;
        tokio::spawn(async move { shutdown.on_signals(signals, delay).await });
        service.finished().await.map_err(|error| error.to_string())
    })
}
