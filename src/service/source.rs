//! One running source: its spool's writer thread, and the thread that forwards behind it.

use std::{
    cell::OnceCell,
    sync::{Arc, OnceLock},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{StartError, front::Front, open_retry::open_with_retries, set_aside};
use crate::{
    config::{Answer, Config, SchemaRegistry, SourceConfig, SubjectBy},
    deliver::{
        checkpoint::{Checkpoint, CheckpointFile},
        dead_letter,
        decode::Catalog,
        deduplicate::{Claims, Deduplicator, Sharing},
        encode::choice::Choices,
        forward::{self, ForwardError, Forwarder, Parts, Schemas, Settings, Start, Transactions},
        in_force::{InForce, InForceFile},
        lead_state,
        quarantine::Quarantine,
        registry::Registry,
        route::Router,
        select::LeftOut,
    },
    ingest::{
        listen::reply::{self, Scope},
        receive::{Said, Store},
    },
    kafka::{Identity, Producer, Topics, Watch, produce::Sink},
    observe::{metrics::Metrics, traces::Traces},
    runtime::shutdown::{Phase, Shutdown},
    spool::{Folder, Spool, SpoolState},
};

/// Parts that all sources share.
pub(super) struct SourceContext<'a> {
    pub config: &'a Config,
    pub folder: &'a Arc<Folder>,
    pub deduplicator: &'a Arc<Deduplicator>,
    /// Where replicas tell each other which events are settled.
    pub sharing: Option<&'a Arc<Sharing>>,
    pub topics: &'a Arc<Topics>,
    /// Present where values have schemas.
    pub registry: Option<&'a Arc<Registry>>,
    pub router: &'a Router,
    pub metrics: &'a Metrics,
    pub traces: &'a Traces,
}

pub(super) struct RunningSource {
    pub spool: Spool,
    pub front: Front,
    metrics: Metrics,
    writer: JoinHandle<()>,
    forwarder: JoinHandle<()>,
    /// The error that stopped the forwarder.
    problem: Arc<OnceLock<ForwardError>>,
    /// Stops the forwarder's thread; separate from the process's shutdown, since the deliveries that the
    /// spool accepted last should be durable first.
    stop: Shutdown,
}

impl RunningSource {
    pub fn open(source: &SourceConfig, around: &SourceContext<'_>) -> Result<Self, StartError> {
        let SourceContext { config, folder, router, metrics, traces, .. } = around;
        announce(source, config, metrics);
        let directory = folder.source_directory(&source.name);
        let checkpoint = CheckpointFile::new(folder.disk().clone(), &directory);
        checkpoint.check_fence()?;
        let saved = checkpoint.load()?;
        let delivered = saved.as_ref().map(Checkpoint::delivered);
        let (writer, spool) = open_with_retries(&source.name, || {
            folder.spool(&source.name, source.size_limit, metrics, delivered)
        })?;
        if let Some(saved) = &saved {
            checkpoint.check(saved, spool.id())?;
        }
        let (writers, end) = (checkpoint.writers(), spool.durable_end());
        match config.kafka.delivery.is_exactly_once() {
            true => writers.begin(saved.as_ref(), end)?,
            false => writers.begin_without_commits(saved.as_ref(), end)?,
        }

        let in_force = InForceFile::new(folder.disk().clone(), &directory);
        let selections =
            in_force.begin(spool.id(), &source.selection, spool.durable_end(), saved.as_ref())?;
        if let Some(from) = selections.changes_at() {
            tracing::info!(
                source = %source.name, from,
                "the selection of the source has changed: undelivered deliveries before this position are \
                 forwarded by the former selection",
            );
        }

        let catalog = catalog(source)?;
        let settings = settings(source, config, selections, &catalog);
        let sink = sink(source, around, &settings, spool.id());
        let claims = claims(source, around, spool.id());
        let parts = Parts {
            spool: spool.clone(),
            sink,
            rules: Arc::new(config.decoding(source, catalog)),
            router: (*router).clone(),
            checkpoint,
            quarantine: Quarantine::new(folder.disk().clone(), &directory),
            claims,
            metrics: (*metrics).clone(),
        };
        let stop = Shutdown::new();
        let problem = Arc::default();
        let schemas = config.schema_registry.as_ref().zip(around.registry);
        let schemas =
            schemas.map(|(config, registry)| schemas_of(config, registry, &settings.choices));
        let running = RunningForwarder {
            settings,
            schemas,
            lead_states: config.topics.lead_state.clone(),
            saved,
            stop: stop.clone(),
            problem,
            traces: (*traces).clone(),
        };
        let problem = running.problem.clone();
        let forwarder = running.spawn(folder, parts, config.shutdown.flush)?;
        let writer = writer.spawn().map_err(StartError::Thread)?;
        let front = Front::new(source);
        let metrics = (*metrics).clone();
        Ok(Self { spool, front, metrics, writer, forwarder, problem, stop })
    }

    pub fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.spool.clone())
    }

    /// Returns the name of a thread that has ended without being asked to.
    pub fn ended_thread(&self) -> Option<&'static str> {
        match (self.writer.is_finished(), self.forwarder.is_finished()) {
            (true, _) => Some("spool's writer"),
            (_, true) => Some("forwarder"),
            (false, false) => None,
        }
    }

    /// Returns the error that stopped its forwarder, if an operator has to act on it.
    pub fn problem(&self) -> Option<String> {
        self.problem.get().map(ToString::to_string)
    }

    /// Accepts no more deliveries, since none of them would be delivered. Only the first call has an effect.
    pub fn set_aside(&self, why: &str) {
        if self.spool.state() != SpoolState::Closed {
            set_aside::report(self.spool.source(), &why, &self.metrics);
            self.spool.set_aside();
        }
    }

    /// Stops accepting, stores the accepted deliveries, settles the records on their way.
    pub fn stop(self) {
        let name = self.spool.source().clone();
        self.spool.close();
        if self.writer.join().is_err() {
            tracing::error!(source = %name, "spool writer panicked");
        }
        self.stop.advance(Phase::Closing);
        if self.forwarder.join().is_err() {
            tracing::error!(source = %name, "forwarder panicked");
        }
        let left = self.spool.undelivered();
        tracing::info!(
            source = %name,
            undelivered_deliveries = left.deliveries,
            undelivered_bytes = left.bytes,
            "source stopped; undelivered events stay in the spool",
        );
    }
}

/// Begins the source's counters at zero: an alert on one that is not there never fires.
fn announce(source: &SourceConfig, config: &Config, metrics: &Metrics) {
    let name = source.name.as_str();
    metrics.announce(name, source.kind.as_str());
    // A request may use a method that no sender uses.
    let odd = reply::Outcome::MethodNotAllowed.row().label;
    metrics.announce_outcomes(name, reply::labels(Scope::Source).chain([odd]));
    metrics.announce_refusals(name, reply::reasons(Scope::Source).chain([odd]));
    metrics.announce_dead_letters(name, dead_letter::REASONS);
    metrics.announce_left_out(name, LeftOut::ALL.map(LeftOut::as_str));
    if source.answer != Answer::Stored {
        metrics.announce_answers(name, Said::ALL.map(Said::as_str));
    }
    if config.topics.lead_state.is_some() {
        metrics.announce_missing_lead_states(name, lead_state::REASONS);
    }
}

/// The source's share of the records that may be under way, in bytes.
fn queue(config: &Config) -> u64 {
    config.kafka.queue_size / config.sources.len().max(1) as u64
}

fn settings(
    source: &SourceConfig,
    config: &Config,
    selections: InForce,
    catalog: &Catalog,
) -> Settings {
    Settings {
        kind: source.kind,
        mode: config.topics.mode,
        choices: config.choices(source, catalog),
        selections,
        dead_letter_topic: config.topics.dead_letter.clone(),
        dead_letter_headers: config.topics.dead_letter_headers.clone(),
        hold_after: config.forward.hold_after,
        held_topics: config.forward.held_topics,
        quarantine_after: config.forward.quarantine_after,
        window_bytes: usize::try_from(queue(config)).unwrap_or(usize::MAX),
        transactions: config.kafka.delivery.is_exactly_once().then(|| Transactions {
            topic: config.topics.checkpoints.clone(),
            interval: config.kafka.delivery.commit_interval,
        }),
    }
}

/// The producer of the source, whose spool is `spool`.
fn sink(
    source: &SourceConfig,
    around: &SourceContext<'_>,
    settings: &Settings,
    spool: Uuid,
) -> Producer {
    let SourceContext { config, topics, metrics, .. } = around;
    let number = config.sources.iter().position(|it| it.name == source.name).unwrap_or(0);
    let sink = Producer::new(&config.kafka, queue(config), Arc::clone(topics))
        .of_source(number)
        .watched(Watch::new(source.name.as_str(), metrics));
    match &settings.transactions {
        None => sink,
        Some(_) => sink.transactional(Identity {
            id: format!("{}{spool}", config.kafka.delivery.transactional_id_prefix),
            topic: config.topics.checkpoints.clone(),
            key: spool.to_string(),
            timeout: config.kafka.delivery.transaction_timeout(&config.forward),
        }),
    }
}

fn claims(source: &SourceConfig, around: &SourceContext<'_>, spool: Uuid) -> Claims {
    let claims = around.deduplicator.claims(&source.name);
    let claims = match source.answer {
        Answer::Stored => claims,
        Answer::Delivered { .. } => claims.watching_owners(),
    };
    match around.sharing {
        Some(sharing) => claims.telling(sharing, spool),
        None => claims,
    }
}

fn schemas_of(config: &SchemaRegistry, registry: &Arc<Registry>, choices: &Choices) -> Schemas {
    let is_by_topic = config.subject == SubjectBy::TopicName;
    Schemas::new(registry.clone(), choices.clone(), (config.format, config.id), is_by_topic)
}

fn catalog(source: &SourceConfig) -> Result<Catalog, StartError> {
    Catalog::with_overrides(source.activity_types.clone()).map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        StartError::Catalog(errors.join("; "))
    })
}

/// The values that the forwarder's thread begins with.
struct RunningForwarder {
    settings: Settings,
    schemas: Option<Schemas>,
    lead_states: Option<String>,
    saved: Option<Checkpoint>,
    stop: Shutdown,
    problem: Arc<OnceLock<ForwardError>>,
    traces: Traces,
}

impl RunningForwarder {
    fn spawn(
        self,
        folder: &Folder,
        parts: Parts<Producer>,
        flush: Duration,
    ) -> Result<JoinHandle<()>, StartError> {
        let name = format!("forward-{}", parts.spool.source());
        let disk = folder.disk().clone();
        // Taken before the thread starts: later deliveries would move the end.
        let end = parts.spool.durable_end();
        let work = move || {
            let problem = self.problem.clone();
            let source = parts.spool.source().clone();
            parts.claims.recall(disk.now());
            if let Err(error) = self.work(parts, end, flush) {
                tracing::error!(%source, %error, "forwarder stopped; this source is no longer delivered");
                // Cannot fail: this thread sets it, once, and ends here.
                let _ = problem.set(error);
            }
        };
        thread::Builder::new().name(name).spawn(work).map_err(StartError::Thread)
    }

    /// Takes over (in exactly-once delivery, once Kafka is there), and forwards until it is stopped.
    fn work(
        self,
        mut parts: Parts<Producer>,
        end: u64,
        flush: Duration,
    ) -> Result<(), ForwardError> {
        let Self { settings, schemas, lead_states, saved, stop, traces, .. } = self;
        let spool = parts.spool.clone();
        let stopping = || stop.has_reached(Phase::Closing);
        // Asked several times a second. Deliveries are accepted meanwhile, and no checkpoint says how far.
        let give_up = || {
            spool.note_end(Instant::now());
            stopping()
        };
        while let Err(error) = parts.sink.renew(&give_up) {
            if stopping() {
                return Ok(());
            }
            tracing::debug!(source = %spool.source(), %error, "Kafka is not ready yet");
        }
        let start = match settings.transactions {
            None => Start::from_file(saved),
            Some(_) => Start::with_topic(saved, &mut parts, end)?,
        };
        let forwarder = Forwarder::new(settings, parts, &start, forward::now()).traced(traces);
        let mut forwarder = match schemas {
            Some(schemas) => forwarder.with_schemas(schemas),
            None => forwarder,
        };
        if let Some(topic) = lead_states {
            forwarder = forwarder.with_lead_states(topic);
        }
        let deadline = OnceCell::new();
        forward::run(&mut forwarder, &spool, &|| {
            stopping().then(|| *deadline.get_or_init(|| Instant::now() + flush))
        })
    }
}
