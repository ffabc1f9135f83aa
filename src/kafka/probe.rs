//! Asks a cluster once, for `check --connect`: whether it is there and whether topics can be written.
//! Nothing is written or made by it.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use rdkafka::{
    config::RDKafkaLogLevel,
    error::RDKafkaErrorCode as Code,
    metadata::{MetadataBroker, MetadataTopic},
    producer::{BaseProducer, Producer},
};

use uuid::Uuid;

use crate::config;

use super::{
    addresses::{self, Named, Question},
    advice::Advice,
    by_name::{self, Patience},
    cause,
    cluster::Cluster,
    context::{Asking, asking, drain},
    ensure::{self, Shown},
    errors, properties, read_check,
    topics::{AdminMaker, Made},
    transactions::Identity,
    write_check,
};

/// How long one try for the first answer may take, and the listing of all topics.
const EACH_QUESTION: Duration = Duration::from_secs(3);
const LISTING: Duration = Duration::from_secs(50);
/// For the first answer of a cluster that is in trouble.
const ADDRESSES: Duration = Duration::from_secs(10);

/// What a cluster said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Absent on clusters older than Kafka 0.10.1.
    pub cluster_id: Option<String>,
    /// `host:port`, in the order of their ids.
    pub brokers: Vec<String>,
    /// In the order of the question.
    pub topics: Vec<(String, TopicReport)>,
}

/// What a cluster said about one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicReport {
    /// It exists and may be described. `leaderless` of its partitions have no leader now.
    Exists { partitions: usize, leaderless: usize },
    /// It does not exist, and the service may and will make it.
    WillBeMade,
    /// It does not exist and the service won't or can't make it, or it may not be seen: what to do.
    Trouble(String),
}

impl TopicReport {
    fn exists(&self) -> bool {
        matches!(self, Self::Exists { .. })
    }

    pub fn is_fine(&self) -> bool {
        matches!(self, Self::Exists { leaderless: 0, .. } | Self::WillBeMade)
    }
}

/// No answer; the text says why, as far as the library knows, and what to look at.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    #[error("{0}")]
    Config(String),
    #[error("no answer from {brokers} within {seconds} s: {reason}")]
    NoAnswer { brokers: String, seconds: u64, reason: String },
    #[error(
        "the cluster answers at {brokers}, and names addresses where no broker of it answers from here: \
         {addresses}; events go to these addresses: correct advertised.listeners of the brokers, the names' \
         resolution, or what is in between (a firewall, a proxy, a port with TLS where plain text is \
         expected, or the reverse)"
    )]
    Unreachable { brokers: String, addresses: String },
}

/// Asks for the cluster and for `names`, giving it at most `timeout` to answer at all.
pub fn probe(
    kafka: &config::Kafka,
    topics: &config::Topics,
    names: &[String],
    timeout: Duration,
) -> Result<Report, ProbeError> {
    let cluster = Arc::new(Cluster::new(&kafka.bootstrap_servers));
    let client = asking(properties::client(kafka), &cluster)
        .map_err(|error| ProbeError::Config(properties::describe(&error)))?;
    let advice = Advice::new(kafka, Some(topics));

    let brokers = reachable(&client, &cluster, kafka, &topics.dead_letter, timeout)?;
    let mut report = Report {
        cluster_id: client.client().fetch_cluster_id(Duration::from_secs(1)),
        brokers: brokers.iter().map(ToString::to_string).collect(),
        topics: Vec::new(),
    };
    let mut missing = Vec::new();
    let mut patience = Patience::of(timeout);
    let (found, error) = by_name::ask(&client, names, &mut patience, |topic| {
        topic.map_or(Found::Missing, |topic| found(topic, &advice))
    });
    let mut found: HashMap<String, Found> = found.into_iter().collect();
    for name in names {
        let found = found.remove(name).unwrap_or_else(|| {
            let why = error.as_ref().map(ToString::to_string).unwrap_or_default();
            Found::As(TopicReport::Trouble(format!("topic `{name}`: {why}")))
        });
        let topic = match found {
            Found::As(report) => report,
            Found::Missing if topics.create => {
                missing.push(name.clone());
                TopicReport::WillBeMade
            }
            Found::Missing => TopicReport::Trouble(format!(
                "topic `{name}` does not exist, and topics.create is off; run: {}",
                advice.create(name)
            )),
        };
        report.topics.push((name.clone(), topic));
    }
    if !missing.is_empty() {
        try_to_make(kafka, topics, &missing, &mut report)?;
    }
    drain(&client);
    let there: Vec<_> =
        report.topics.iter().filter(|(_, it)| it.exists()).map(|(name, _)| name.clone()).collect();
    for name in write_check::denied(kafka, &there, timeout) {
        let run = advice.allow_write(&name);
        let trouble = format!("topic `{name}` may not be written; run: {run}");
        if let Some((_, topic)) = report.topics.iter_mut().find(|(topic, _)| *topic == name) {
            *topic = TopicReport::Trouble(trouble);
        }
    }
    let checkpoints = report.topics.iter_mut().find(|(name, topic)| {
        kafka.delivery.is_exactly_once() && *name == topics.checkpoints && topic.exists()
    });
    if let Some((name, topic)) = checkpoints
        && read_check::is_denied(kafka, name, timeout)
    {
        let run = advice.allow_write(name);
        *topic = TopicReport::Trouble(format!("topic `{name}` may not be read; run: {run}"));
    }
    Ok(report)
}

/// Whether this service may have transactional ids, for exactly-once delivery: takes one that nothing
/// uses, of the form that spools have. It is another one each time, so that the right to this one alone
/// says nothing. An error says what to run.
pub fn may_have_transactions(
    kafka: &config::Kafka,
    topics: &config::Topics,
    timeout: Duration,
) -> Result<(), String> {
    let identity = Identity {
        id: format!("{}{}", kafka.delivery.transactional_id_prefix, Uuid::new_v4()),
        topic: topics.checkpoints.clone(),
        key: String::new(),
        timeout: Duration::from_secs(10),
    };
    let cluster = Arc::new(Cluster::new(&kafka.bootstrap_servers));
    let mut native = properties::transactional(kafka, 1 << 20, &identity);
    let client: BaseProducer<Asking> = native
        .set_log_level(RDKafkaLogLevel::Emerg)
        .create_with_context(Asking::new(cluster))
        .map_err(|error| properties::describe(&error))?;
    client.init_transactions(timeout).map_err(|error| {
        let prefix = &kafka.delivery.transactional_id_prefix;
        let trouble = format!("no transactions with ids that begin with `{prefix}`: {error}");
        if error.rdkafka_error_code() == Some(Code::TransactionalIdAuthorizationFailed) {
            let run = Advice::new(kafka, Some(topics)).allow_transactions();
            return format!("{trouble}; run: {run}");
        }
        trouble
    })
}

/// The topics that exist and whose names begin with `prefix`; none for an empty prefix.
pub fn existing_topics(
    kafka: &config::Kafka,
    topics: &config::Topics,
    prefix: &str,
    timeout: Duration,
) -> Result<Vec<String>, ProbeError> {
    let cluster = Arc::new(Cluster::new(&kafka.bootstrap_servers));
    let client = asking(properties::client(kafka), &cluster)
        .map_err(|error| ProbeError::Config(properties::describe(&error)))?;
    reachable(&client, &cluster, kafka, &topics.dead_letter, timeout)?;
    if prefix.is_empty() {
        return Ok(Vec::new());
    }
    let metadata = client.client().fetch_metadata(None, LISTING).map_err(|error| {
        let (brokers, seconds) = (kafka.bootstrap_servers.clone(), LISTING.as_secs());
        let reason = format!("its topics could not be listed: {error}");
        ProbeError::NoAnswer { brokers, seconds, reason }
    })?;
    let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
    Ok(names.filter(|name| name.starts_with(prefix)).collect())
}

/// Those of `names` that the cluster shows. The first question of several also looks at its addresses.
pub(super) fn shown(
    kafka: &config::Kafka,
    names: &[String],
    timeout: Duration,
    is_first: bool,
) -> Result<HashMap<String, Shown>, ProbeError> {
    let Some(first) = names.first() else { return Ok(HashMap::new()) };
    let cluster = Arc::new(Cluster::new(&kafka.bootstrap_servers));
    let client = asking(properties::client(kafka), &cluster)
        .map_err(|error| ProbeError::Config(properties::describe(&error)))?;
    match is_first {
        true => reachable(&client, &cluster, kafka, first, timeout)?,
        false => first_answer(&client, &cluster, kafka, first, timeout, &mut || Ok(()))?,
    };
    let shown = |topic: &MetadataTopic| match topic.error().map(Code::from) {
        Some(code) => ensure::trouble(topic.name(), code),
        None => Some(Shown::Topic {
            partitions: topic.partitions().len(),
            replicas: topic.partitions().first().map_or(0, |first| first.replicas().len()),
        }),
    };
    let mut patience = Patience::of(timeout);
    let (found, error) = by_name::ask(&client, names, &mut patience, |topic| shown(topic?));
    drain(&client);
    if let Some(error) = error {
        let (brokers, seconds) = (kafka.bootstrap_servers.clone(), timeout.as_secs());
        return Err(ProbeError::NoAnswer { brokers, seconds, reason: error.to_string() });
    }
    Ok(found.into_iter().filter_map(|(name, shown)| Some((name, shown?))).collect())
}

/// Says so where a cluster that does not answer names addresses where no broker answers: what else is told
/// names `kafka.bootstrap_servers` alone.
pub(super) fn warn_of_addresses(kafka: &config::Kafka, topic: &str) {
    let cluster = Arc::new(Cluster::new(&kafka.bootstrap_servers));
    // What else is wrong with the cluster is told by who waits for it.
    let Ok(client) = asking(properties::client(kafka), &cluster) else { return };
    let found = reachable(&client, &cluster, kafka, topic, ADDRESSES);
    if let Err(error @ ProbeError::Unreachable { .. }) = found {
        tracing::warn!("{error}");
    }
}

enum Found {
    As(TopicReport),
    Missing,
}

/// Waits for the cluster, and looks whether a broker answers at each address that it names; returns these.
/// Asks about `topic`, since a listing of all topics may take long.
fn reachable(
    client: &BaseProducer<Asking>,
    cluster: &Cluster,
    kafka: &config::Kafka,
    topic: &str,
    timeout: Duration,
) -> Result<Vec<Named>, ProbeError> {
    let look = |brokers: &[Named], after: Duration| {
        let question = Question {
            kafka: kafka.clone(),
            topic: topic.to_owned(),
            within: Question::patience(after, timeout),
            cluster_id: client.client().fetch_cluster_id(Duration::from_secs(1)),
        };
        let unreachable = addresses::unreachable(&question, brokers);
        if unreachable.is_empty() {
            return Ok(());
        }
        let (brokers, addresses) = (kafka.bootstrap_servers.clone(), unreachable.join(", "));
        Err(ProbeError::Unreachable { brokers, addresses })
    };
    let asked = Instant::now();
    let mut is_looked_at = false;
    let brokers = first_answer(client, cluster, kafka, topic, timeout, &mut || {
        // Of a cluster that names brokers where none answers there is no second answer.
        match cluster.named() {
            Some(told) if !is_looked_at => {
                is_looked_at = true;
                look(&told.brokers, told.after)
            }
            _ => Ok(()),
        }
    })?;
    if !is_looked_at {
        look(&brokers, asked.elapsed())?;
    }
    Ok(brokers)
}

/// Waits for the cluster; returns the brokers that it names, in the order of their ids. After each try in
/// vain, `unanswered` may end it.
fn first_answer(
    client: &BaseProducer<Asking>,
    cluster: &Cluster,
    kafka: &config::Kafka,
    topic: &str,
    timeout: Duration,
    unanswered: &mut dyn FnMut() -> Result<(), ProbeError>,
) -> Result<Vec<Named>, ProbeError> {
    let end = Instant::now() + timeout;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        // An answer may take long on a slow line; a failure is known sooner by what it leaves behind.
        let answer = client.client().fetch_metadata(Some(topic), left.min(EACH_QUESTION));
        drain(client); // The reason for a failure comes as an event.
        let error = match answer {
            Ok(metadata) => {
                let named = |broker: &MetadataBroker| Named {
                    id: broker.id(),
                    host: broker.host().to_owned(),
                    port: u16::try_from(broker.port()).unwrap_or(0),
                };
                let mut brokers: Vec<_> = metadata.brokers().iter().map(named).collect();
                brokers.sort_by_key(|broker| broker.id);
                return Ok(brokers);
            }
            Err(error) => error,
        };
        unanswered()?;
        if left.is_zero() {
            let reason = cluster.last_complaint().unwrap_or_else(|| error.to_string());
            return Err(ProbeError::NoAnswer {
                brokers: kafka.bootstrap_servers.clone(),
                seconds: timeout.as_secs(),
                reason: cause::with(kafka, reason),
            });
        }
    }
}

fn found(topic: &MetadataTopic, advice: &Advice) -> Found {
    let name = topic.name();
    match topic.error().map(Code::from) {
        None => {
            let partitions = topic.partitions();
            let leaderless = partitions.iter().filter(|partition| partition.leader() < 0).count();
            Found::As(TopicReport::Exists { partitions: partitions.len(), leaderless })
        }
        Some(code) if errors::is_missing_topic(code) => Found::Missing,
        Some(Code::LeaderNotAvailable) => {
            Found::As(TopicReport::Trouble(format!("topic `{name}` has no leader now")))
        }
        Some(Code::TopicAuthorizationFailed) => Found::As(TopicReport::Trouble(format!(
            "topic `{name}` may not be seen, if it exists; run: {}",
            advice.allow_unseen(name)
        ))),
        Some(code) => Found::As(TopicReport::Trouble(format!("topic `{name}`: {code}"))),
    }
}

/// Asks for the missing topics to be made, without making them.
fn try_to_make(
    kafka: &config::Kafka,
    topics: &config::Topics,
    missing: &[String],
    report: &mut Report,
) -> Result<(), ProbeError> {
    let maker = AdminMaker::new(kafka, topics)
        .map_err(|error| ProbeError::Config(format!("no thread for the admin client: {error}")))?;
    for (name, made) in maker.validate(missing) {
        let text = match made {
            Made::Created | Made::Exists => continue,
            Made::NotYet(text) | Made::Refused(text) => text,
        };
        if let Some((_, topic)) = report.topics.iter_mut().find(|(topic, _)| *topic == name) {
            *topic = TopicReport::Trouble(text);
        }
    }
    Ok(())
}
