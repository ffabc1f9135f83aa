//! Wires the stages together, and defines the order of start and stop.
//!
//! Start: listeners are bound (so that a wrong address is reported first), health answers "starting",
//! the folder is locked, every spool is recovered, every forwarder begins where its checkpoint says,
//! and only then are deliveries accepted. A start does not wait for Kafka. A source whose files cannot be used is set
//! aside, at the start or later, and the others go on (`set_aside.rs`).
//!
//! Stop: readiness fails, deliveries are still accepted for `shutdown.delay`, connections end in order,
//! the spools store the accepted deliveries, the forwarders settle the records on their way for at most
//! `shutdown.flush`, and the rest stays in the spool.

mod adobe;
pub(crate) mod advice;
mod api;
pub mod core_dumps;
mod disk_forecast;
mod drain;
pub(crate) mod examples;
mod front;
mod oauth;
mod open;
pub mod open_files;
mod open_retry;
mod outage;
mod quarantines;
mod readiness;
mod reload;
pub(crate) mod replay;
mod set_aside;
mod sharing;
mod source;
mod status;
pub mod versions;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};

use self::{
    adobe::AdobeParts,
    advice::Advice,
    api::ApiBackend,
    oauth::OAuthParts,
    open::{Opened, open_in_background},
    quarantines::Quarantines,
    reload::{AdminTokens, ClientSecretFile, FieldKey, KafkaSecrets},
    source::RunningSource,
    status::Status,
};
use crate::{
    config::{self, Config},
    deliver::{checkpoint::CheckpointError, deduplicate::NewerIds, route::TemplateError},
    ingest::{
        authenticate::token::Neighbours,
        listen::{
            self,
            reply::{self, Scope},
            report::UNKNOWN,
            tls::{Tls, TlsError},
        },
        receive::Receiver,
    },
    kafka::{Exchange, TopicMaker, Topics},
    observe::{
        admin,
        api::access::Access,
        metrics::Metrics,
        push::{Collector, Push},
        traces::Exporter,
    },
    runtime::{
        fetch::ShownUrl,
        readable,
        reload::{LOOK_INTERVAL, Reload, Reloader},
        shutdown::{Phase, Shutdown},
    },
    spool::{OpenError, SpoolState},
};

pub use self::drain::{DrainEnd, DrainError, Left, drain};

/// Time between two checks for a poisoned spool and for an ended thread.
const WATCH_INTERVAL: Duration = Duration::from_millis(100);

/// Connections that the kernel queues until they are accepted, as far as it is allowed to
/// (`net.core.somaxconn`). Beyond that a sender's first packet is dropped, and comes again a second later: a long
/// queue lets a burst of unauthenticated connections be accepted and closed instead of delaying a sender.
const ACCEPT_BACKLOG: u32 = 4096;

/// The reason why the service could not start. Nothing was accepted.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(
        "{key} = {address}: {source}; choose an address of this machine and a port that is free, or \
         end the process that has it"
    )]
    Bind { key: &'static str, address: SocketAddr, source: std::io::Error },
    #[error(transparent)]
    Spool(#[from] OpenError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Ids(#[from] NewerIds),
    #[error("topics.name: {0}")]
    Template(#[from] TemplateError),
    #[error("catalog.activity_types: {0}")]
    Catalog(String),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot start a thread: {0}")]
    Thread(std::io::Error),
    #[error("cannot set up the client that fetches keys: {0}")]
    Fetch(String),
    #[error("kafka.schema_registry: {0}")]
    Registry(String),
}

/// The reason why a running service ended without being asked to stop. The process must exit non-zero;
/// all acknowledged deliveries are in the spool.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    #[error(
        "spool of source `{source_name}` is poisoned: a write or sync failed; only a restart reads the disk again"
    )]
    Poisoned { source_name: String },
    #[error("source `{source_name}`: {problem}")]
    Forwarding { source_name: String, problem: String },
    #[error("the {what} of source `{source_name}` ended unexpectedly; this is a defect")]
    ThreadEnded { what: &'static str, source_name: String },
}

/// A service that accepts deliveries.
pub struct Running {
    /// The address of the listener for deliveries.
    pub deliveries: SocketAddr,
    /// The address of the listener for health and metrics.
    pub admin: SocketAddr,
    pub metrics: Metrics,
    shutdown: Shutdown,
    status: Arc<Status>,
    sources: Vec<RunningSource>,
    topics: Arc<Topics>,
    /// Where replicas tell each other which events are settled.
    exchange: Option<Exchange>,
    exporter: Option<Exporter>,
    push: Option<Push>,
    listening: JoinHandle<()>,
    administering: JoinHandle<()>,
}

/// Starts everything. Topics are created through Kafka's admin API, unless `maker` is given.
pub async fn start(
    config: Config,
    maker: Option<Box<dyn TopicMaker>>,
    shutdown: Shutdown,
) -> Result<Running, StartError> {
    let metrics = Metrics::new();
    let tls = config.listen.tls.as_ref().map(|files| Tls::open(files, &metrics)).transpose()?;
    let (tls, renewal) = tls.unzip();
    metrics.announce_connections(reply::labels(Scope::Connection));
    metrics.announce_outcomes(UNKNOWN, reply::labels(Scope::NoSource));
    metrics.announce_refusals(UNKNOWN, reply::reasons(Scope::NoSource));
    metrics.announce_refusals(UNKNOWN, reply::reasons(Scope::Connection));
    let adobe = AdobeParts::new(&config, &metrics).map_err(StartError::Fetch)?;
    let oauth = OAuthParts::new(&config, &metrics).map_err(StartError::Fetch)?;
    let (deliveries, deliveries_at) = bind("listen.address", config.listen.address).await?;
    let (admin, admin_at) = bind("admin.address", config.admin.address).await?;
    let status = Arc::new(Status::default());
    let access = Arc::new(Access::new(&config.admin, admin_at));
    let router = config.router()?;
    Advice::of(&config).log();
    let administering = tokio::spawn(admin::serve(
        admin,
        status.clone(),
        metrics.clone(),
        access.clone(),
        shutdown.clone(),
    ));
    tracing::info!(listener = "admin", address = %admin_at, "listening");
    readiness::spawn(status.clone(), shutdown.clone());

    let kafka_secrets = KafkaSecrets::new(&config.kafka);
    let exporter = exporter(&config.traces, &metrics);
    let push = push(&config.pushed_metrics, &metrics);
    let traces = exporter.as_ref().map(Exporter::traces).unwrap_or_default();
    let opened = open_in_background(config.clone(), maker, &metrics, &traces).await;
    let opened =
        opened.and_then(|Opened { folder, topics, registry, sources, set_aside, exchange }| {
            adobe.keep_keys_in(folder.disk(), &config.spool.directory);
            let running = sources.iter().map(|source| (&source.front, source.store()));
            let aside = set_aside.iter().map(|source| (&source.front, source.store()));
            let fronts: Vec<_> = running.chain(aside).collect();
            let neighbours = Neighbours::new(fronts.iter().filter_map(|(front, _)| front.tokens()));
            let receivers = fronts
                .iter()
                .map(|(front, store)| front.receiver(&adobe, &oauth, &neighbours, store.clone()));
            let receivers: Vec<_> = receivers.collect();
            let mut reloads: Vec<Box<dyn Reload>> = Vec::new();
            reloads.extend(renewal.map(boxed));
            reloads.extend(fronts.iter().filter_map(|(front, _)| front.token_file()).map(boxed));
            reloads.extend(AdminTokens::new(&config.admin, &access).map(boxed));
            reloads.extend(oauth.files(&config.oauth).map(boxed));
            reloads.extend(receivers.iter().filter_map(ClientSecretFile::new).map(boxed));
            reloads.extend(FieldKey::all(&config.fields).into_iter().map(boxed));
            reloads.extend(kafka_secrets.renewing(&topics).map(boxed));
            let access = registry.as_ref().zip(config.schema_registry.as_ref());
            let access = access.and_then(|(registry, config)| registry.renewing(config));
            reloads.extend(access.map(boxed));
            let reloader = Reloader::new(reloads, &metrics);
            reloader.spawn(LOOK_INTERVAL, shutdown.clone()).map_err(StartError::Thread)?;
            drop(fronts);
            Ok((folder, topics, sources, receivers, exchange))
        });
    let (folder, topics, sources, receivers, exchange) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            shutdown.advance(Phase::Stopped);
            return Err(error);
        }
    };

    let receiver = Receiver::new(receivers, &config.listen, &metrics).traced(traces);
    let receiver = receiver.with_token_endpoint(oauth.token_endpoint());
    let health = status.clone();
    let until = shutdown.clone();
    let receiver = receiver.telling(move || admin::why_not_ready(&*health, &until).is_empty());
    let receiver = Arc::new(receiver);
    let listening = tokio::spawn(listen::serve(
        tls,
        deliveries,
        config.listen.clone(),
        receiver,
        metrics.clone(),
        shutdown.clone(),
    ));
    let names = config.sources.iter().map(|source| source.name.clone());
    let quarantines = Quarantines::new(&folder, names, config.quarantine.keep, &metrics);
    quarantines.spawn(folder.disk().clone(), shutdown.clone());
    let spools: Vec<_> = sources.iter().map(|source| source.spool.clone()).collect();
    let known = ApiBackend::new(&config, router, &metrics, spools.clone(), &status, &shutdown);
    let interval = config.log.outage_interval;
    outage::spawn(interval, &topics, folder.clone(), spools.clone(), shutdown.clone());
    status.ready(folder, spools, known);
    tracing::info!(listener = "deliveries", address = %deliveries_at, "listening");
    Ok(Running {
        deliveries: deliveries_at,
        admin: admin_at,
        metrics,
        shutdown,
        status,
        sources,
        topics,
        exchange,
        exporter,
        push,
        listening,
        administering,
    })
}

/// Starts the export of spans; a failure is only logged.
fn exporter(traces: &config::Traces, metrics: &Metrics) -> Option<Exporter> {
    let problem = match traces {
        config::Traces::Off => return None,
        config::Traces::Unusable(problem) => problem.clone(),
        config::Traces::To(endpoint) => match Exporter::start(endpoint, metrics) {
            Ok(exporter) => {
                tracing::info!(collector = %ShownUrl::of(endpoint), "tracing enabled; exporting spans");
                return Some(exporter);
            }
            Err(error) => error.to_string(),
        },
    };
    tracing::warn!(problem, "tracing disabled");
    None
}

/// Starts pushing metrics; a failure is only logged.
fn push(pushed: &config::PushedMetrics, metrics: &Metrics) -> Option<Push> {
    let problem = match pushed {
        config::PushedMetrics::Off => return None,
        config::PushedMetrics::Unusable(problem) => problem.clone(),
        config::PushedMetrics::To(collector) => {
            let config::MetricsCollector { url, headers, interval, timeout } =
                (**collector).clone();
            let place = ShownUrl::of(&url);
            match Push::start(Collector { url, headers, interval, timeout }, metrics.clone()) {
                Ok(push) => {
                    let seconds = interval.as_secs_f64();
                    let every = readable::length(interval);
                    tracing::info!(collector = %place, interval_seconds = seconds, "metrics are pushed by OTLP, every {every}");
                    return Some(push);
                }
                Err(problem) => problem,
            }
        }
    };
    tracing::warn!(problem, "metrics are not pushed; they can be read at /metrics");
    None
}

fn boxed<R: Reload + 'static>(reload: R) -> Box<dyn Reload> {
    Box::new(reload)
}

async fn bind(
    key: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = async {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(ACCEPT_BACKLOG)?;
        let address = listener.local_addr()?;
        Ok((listener, address))
    };
    bound.await.map_err(|source| StartError::Bind { key, address, source })
}

impl Running {
    /// Returns undelivered bytes and deliveries of all sources.
    pub fn backlog(&self) -> (u64, u64) {
        self.sources
            .iter()
            .map(|source| source.spool.undelivered())
            .fold((0, 0), |(bytes, deliveries), backlog| {
                (bytes + backlog.bytes, deliveries + backlog.deliveries)
            })
    }

    /// Waits until the service has stopped: cleanly after [`Phase::Closing`] was reached, or
    /// because of a failure, which begins the shutdown by itself.
    pub async fn finished(self) -> Result<(), ServiceError> {
        let broken = tokio::select! {
            () = self.shutdown.reached(Phase::Closing) => None,
            broken = self.something_breaks() => Some(broken),
        };
        if let Some(error) = &broken {
            tracing::error!(%error, "stopping immediately");
            self.shutdown.advance(Phase::Closing);
        }

        // The listener ends with its last connection; all deliveries that it accepted are in the spool then.
        let _ = self.listening.await;
        stop(self.sources).await;
        // After the sources: the ids that they have settled last are told.
        drop(self.exchange);
        drop(self.topics);
        if let Some(exporter) = self.exporter {
            exporter.stop().await;
        }
        if let Some(push) = self.push {
            push.stop().await;
        }
        self.shutdown.advance(Phase::Stopped);
        let _ = self.administering.await;
        tracing::info!("service stopped");
        match broken {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    async fn something_breaks(&self) -> ServiceError {
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            if let Some(error) = broken(&self.sources) {
                if let ServiceError::Poisoned { source_name } = &error {
                    self.status.poisoned(source_name);
                }
                return error;
            }
        }
    }
}

/// Returns the error that ends the process, if there is one. A source whose forwarder has failed is
/// set aside as long as another one goes on.
fn broken(sources: &[RunningSource]) -> Option<ServiceError> {
    let named = |source: &RunningSource| source.spool.source().to_string();
    if let Some(source) = sources.iter().find(|it| it.spool.state() == SpoolState::Poisoned) {
        return Some(ServiceError::Poisoned { source_name: named(source) });
    }
    let stuck = sources.iter().filter_map(|source| Some((source, source.problem()?)));
    let stuck: Vec<_> = stuck.collect();
    if let Some((source, problem)) = stuck.first()
        && stuck.len() == sources.len()
    {
        let source_name = named(source);
        let problem = problem.clone();
        return Some(ServiceError::Forwarding { source_name, problem });
    }
    stuck.iter().for_each(|(source, problem)| source.set_aside(problem));
    let going_on = sources.iter().filter(|source| source.problem().is_none());
    let mut ended = going_on.filter_map(|source| Some((source, source.ended_thread()?)));
    let (source, what) = ended.next()?;
    Some(ServiceError::ThreadEnded { what, source_name: named(source) })
}

/// Stops all sources at once: one that waits for Kafka must not use up the others' time.
async fn stop(sources: Vec<RunningSource>) {
    let stopping: Vec<_> = sources
        .into_iter()
        .map(|source| tokio::task::spawn_blocking(move || source.stop()))
        .collect();
    for stopped in stopping {
        let _ = stopped.await;
    }
}
