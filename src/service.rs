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
mod collectors;
pub mod core_dumps;
mod disk_forecast;
mod drain;
mod entrance;
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
mod running;
mod set_aside;
mod sharing;
mod source;
mod status;
pub mod versions;

use std::{net::SocketAddr, sync::Arc};

use tokio::{
    net::{TcpListener, TcpSocket},
    task::JoinHandle,
};

use self::{
    advice::Advice,
    api::ApiBackend,
    entrance::Entrance,
    open::{Opened, open_in_background},
    quarantines::Quarantines,
    source::RunningSource,
    status::Status,
};
use crate::{
    config::Config,
    deliver::{checkpoint::CheckpointError, deduplicate::NewerIds, route::TemplateError},
    ingest::listen::{
        self,
        reply::{self, Scope},
        report::UNKNOWN,
        tls::{Tls, TlsError},
    },
    kafka::{Exchange, TopicMaker, Topics},
    observe::{admin, api::access::Access, metrics::Metrics, push::Push, traces::Exporter},
    runtime::shutdown::{Phase, Shutdown},
    spool::OpenError,
};

pub use self::drain::{DrainEnd, DrainError, Left, drain};

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
    announce(&metrics);
    let entrance = Entrance::new(&config, renewal, &metrics)?;
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

    let exporter = collectors::exporter(&config.traces, &metrics);
    let push = collectors::push(&config.pushed_metrics, &metrics);
    let traces = exporter.as_ref().map(Exporter::traces).unwrap_or_default();
    let opened = open_in_background(config.clone(), maker, &metrics, &traces).await;
    let opened = opened.and_then(|opened| {
        let receiver = entrance.open(&config, &opened, &access, &metrics, &shutdown)?;
        Ok((opened, receiver))
    });
    let (opened, receiver) = opened.inspect_err(|_| shutdown.advance(Phase::Stopped))?;
    let Opened { folder, topics, sources, exchange, .. } = opened;

    let (health, until) = (status.clone(), shutdown.clone());
    let receiver = receiver.traced(traces);
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

/// Begins the counters at zero for what belongs to no source: an alert on one that is not there never fires.
fn announce(metrics: &Metrics) {
    metrics.announce_connections(reply::labels(Scope::Connection));
    metrics.announce_outcomes(UNKNOWN, reply::labels(Scope::NoSource));
    metrics.announce_refusals(UNKNOWN, reply::reasons(Scope::NoSource));
    metrics.announce_refusals(UNKNOWN, reply::reasons(Scope::Connection));
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
