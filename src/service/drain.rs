//! Drains the spool: runs the forwarders alone. Nothing listens, and no delivery is accepted.

use std::time::{Duration, Instant, SystemTime};

use super::{
    Opened, ServiceError, StartError, open_in_background,
    reload::{KafkaSecrets, boxed},
    running::{WATCH_INTERVAL, broken, stop},
    set_aside::SetAside,
    source::RunningSource,
};
use crate::{
    config::Config,
    kafka::TopicMaker,
    observe::{metrics::Metrics, traces::Traces},
    runtime::{
        reload::{LOOK_INTERVAL, Reloader},
        shutdown::{Phase, Shutdown},
    },
    source::SourceName,
    spool::{Backlog, Spool},
};

/// The end of a drain. Only [`DrainEnd::Empty`] means that nothing is left of the configured sources.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainEnd {
    Empty,
    /// The deadline has passed.
    Deadline,
    /// The shutdown began.
    Stopped,
}

/// Deliveries of one source that are not in Kafka yet.
#[derive(Clone, Debug)]
pub struct Left {
    pub source: SourceName,
    pub backlog: Backlog,
    pub held_topics: i64,
}

/// The reason why a drain could not go on. Undelivered deliveries are in the spool.
#[derive(Debug, thiserror::Error)]
pub enum DrainError {
    /// A failure before anything was opened.
    #[error("{0}")]
    Runtime(String),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// Forwards every configured source until nothing is left, held topics included; or until `deadline`
/// has passed, or `shutdown` reaches [`Phase::Closing`]. Then records on their way are settled, for at
/// most `shutdown.flush`. Holds the folder's lock meanwhile. Topics are created through Kafka's admin
/// API, unless `maker` is given. `progress` gets the remaining deliveries at intervals.
pub async fn drain(
    config: Config,
    maker: Option<Box<dyn TopicMaker>>,
    shutdown: Shutdown,
    deadline: Option<Duration>,
    progress: &mut dyn FnMut(&[Left]),
) -> Result<DrainEnd, DrainError> {
    let began = Instant::now();
    let metrics = Metrics::new();
    let kafka_secrets = KafkaSecrets::new(&config.kafka);
    let registry_config = config.schema_registry.clone();
    let opened = open_in_background(config, maker, &metrics, &Traces::default()).await?;
    let Opened { folder: _folder, topics, registry, sources, set_aside, exchange } = opened;
    let renewing = kafka_secrets.renewing(&topics).map(boxed);
    let access = registry.as_ref().zip(registry_config.as_ref());
    let access = access.and_then(|(registry, config)| registry.renewing(config)).map(boxed);
    let mut reloader = Reloader::new(renewing.into_iter().chain(access).collect(), &metrics);
    let mut looked = Instant::now();
    let spools: Vec<_> = sources.iter().map(|source| source.spool.clone()).collect();
    let ended = loop {
        progress(&left(&spools, &metrics));
        if sources.iter().all(has_nothing_to_do) {
            break Ok(DrainEnd::Empty);
        }
        if let Some(broken) = broken(&sources) {
            break Err(broken);
        }
        if shutdown.has_reached(Phase::Closing) {
            break Ok(DrainEnd::Stopped);
        }
        if deadline.is_some_and(|deadline| began.elapsed() >= deadline) {
            break Ok(DrainEnd::Deadline);
        }
        if looked.elapsed() >= LOOK_INTERVAL {
            looked = Instant::now();
            reloader.look(looked, SystemTime::now());
        }
        tokio::select! {
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
            () = shutdown.reached(Phase::Closing) => {}
        }
    };
    let stuck = stuck(&sources, &set_aside);
    stop(sources).await;
    drop(exchange);
    drop(topics);
    progress(&left(&spools, &metrics));
    let ended = ended?;
    if let Some(stuck) = stuck {
        return Err(stuck.into());
    }
    // The records that `stop` settled may have been the last.
    Ok(if is_empty(&spools) { DrainEnd::Empty } else { ended })
}

fn is_empty(spools: &[Spool]) -> bool {
    spools.iter().all(|spool| spool.undelivered().deliveries == 0)
}

/// Whether the source is empty, or cannot go on.
fn has_nothing_to_do(source: &RunningSource) -> bool {
    source.problem().is_some() || source.spool.undelivered().deliveries == 0
}

/// Returns an error for a source that cannot be drained, while others were.
fn stuck(sources: &[RunningSource], set_aside: &[SetAside]) -> Option<ServiceError> {
    let mut running =
        sources.iter().filter_map(|source| Some((&source.front.name, source.problem()?)));
    let mut aside = set_aside.iter().map(|source| (&source.front.name, source.why.clone()));
    let (name, problem) = running.next().or_else(|| aside.next())?;
    Some(ServiceError::Forwarding { source_name: name.to_string(), problem })
}

fn left(spools: &[Spool], metrics: &Metrics) -> Vec<Left> {
    let left = spools.iter().map(|spool| Left {
        source: spool.source().clone(),
        backlog: spool.undelivered(),
        held_topics: metrics.source(spool.source().as_str()).held_topics.get(),
    });
    left.collect()
}
