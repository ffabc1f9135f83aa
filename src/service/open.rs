//! The part of a start that blocks: the folder, the spools, and the threads of each source.

use std::sync::Arc;

use super::{
    StartError,
    set_aside::SetAside,
    sharing,
    source::{RunningSource, SourceContext},
    status, versions,
};
use crate::{
    config::Config,
    deliver::{deduplicate::Deduplicator, registry::Registry},
    kafka::{Exchange, TopicMaker, Topics},
    observe::{metrics::Metrics, traces::Traces},
    spool::{Folder, disk::RealDisk},
};

/// The parts that a start has opened.
pub(super) struct Opened {
    pub folder: Arc<Folder>,
    pub topics: Arc<Topics>,
    pub registry: Option<Arc<Registry>>,
    pub sources: Vec<RunningSource>,
    /// Sources that could not be opened; if none could, that is an error.
    pub set_aside: Vec<SetAside>,
    /// Where replicas tell each other which events are settled.
    pub exchange: Option<Exchange>,
}

/// Opens disk and threads in the background, while the runtime goes on with other tasks.
pub(super) async fn open_in_background(
    config: Config,
    maker: Option<Box<dyn TopicMaker>>,
    metrics: &Metrics,
    traces: &Traces,
) -> Result<Opened, StartError> {
    let metrics = metrics.clone();
    let traces = traces.clone();
    let opened = tokio::task::spawn_blocking(move || open(&config, maker, &metrics, &traces));
    opened.await.map_err(|panic| StartError::Thread(std::io::Error::other(panic)))?
}

/// Runs the blocking part of a start: disk and threads.
pub(super) fn open(
    config: &Config,
    maker: Option<Box<dyn TopicMaker>>,
    metrics: &Metrics,
    traces: &Traces,
) -> Result<Opened, StartError> {
    status::limits(config, metrics);
    let router = config.router()?;
    let folder = Folder::open(Arc::new(RealDisk), &config.spool)?;
    versions::check(folder.disk(), &config.spool.directory)?;
    let prefix = router.literal_prefix();
    let topics = match maker {
        Some(maker) => Topics::start_with(&config.kafka, &config.topics, prefix, maker),
        None => Topics::start(&config.kafka, &config.topics, prefix),
    };
    let topics = topics.map_err(StartError::Thread)?;
    topics.divide_among(config.sources.len());
    let names: Vec<_> = config.sources.iter().map(|source| source.name.clone()).collect();
    let disk = folder.disk().clone();
    let directory = &config.spool.directory;
    let deduplicator = Deduplicator::open(disk, directory, config.deduplicate, &names, metrics);
    let sharing = sharing::of(config, &deduplicator, metrics);
    let registry = config
        .schema_registry
        .as_ref()
        .map(|registry| Registry::start(registry, folder.disk().clone(), directory, metrics));
    let registry = registry.transpose().map_err(StartError::Registry)?;
    let parts = SourceContext {
        config,
        folder: &folder,
        deduplicator: &deduplicator,
        sharing: sharing.as_ref(),
        topics: &topics,
        registry: registry.as_ref(),
        router: &router,
        metrics,
        traces,
    };
    let mut sources = Vec::new();
    let mut failed = Vec::new();
    for source in &config.sources {
        match RunningSource::open(source, &parts) {
            Ok(opened) => sources.push(opened),
            Err(error) if error.is_of_one_source() => failed.push((source, error)),
            Err(error) => return Err(error),
        }
    }
    if sources.is_empty() && !failed.is_empty() {
        return Err(failed.swap_remove(0).1);
    }
    let aside = failed.iter().map(|(source, error)| SetAside::new(source, error, metrics));
    let set_aside = aside.collect();
    let exchange = sharing.map(|sharing| sharing::start(sharing, config, &topics, metrics));
    let exchange = exchange.transpose().map_err(StartError::Thread)?;
    Ok(Opened { folder, topics, registry, sources, set_aside, exchange })
}
