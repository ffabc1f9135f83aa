//! One-time questions to a cluster about itself and its topics: for `check --connect`, and for
//! `topics --create`. They write and make nothing.

mod addresses;
mod fit;
mod may_read;
mod may_write;
mod reach;
pub(super) mod settings;

use std::{collections::HashMap, sync::Arc, time::Duration};

use rdkafka::{
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode as Code},
    metadata::MetadataTopic,
    producer::{BaseProducer, Producer},
};
use uuid::Uuid;

use super::{
    advice::{Advice, read_topics},
    by_name::{self, Patience},
    cluster::Cluster,
    context::{Asking, asking, drain, ready},
    errors, properties,
    topics::{AdminMaker, Made},
    transactions::Identity,
};
use crate::config;

pub(super) use addresses::{NamedBrokers, named_brokers};
pub use fit::{Fit, fit};
pub(super) use reach::warn_of_addresses;

/// Timeout of the listing of all topics.
const LISTING_TIMEOUT: Duration = Duration::from_secs(50);

/// A cluster's answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Absent on clusters older than Kafka 0.10.1.
    pub cluster_id: Option<String>,
    /// `host:port`, in the order of their ids.
    pub brokers: Vec<String>,
    /// In the order of the question. A missing topic here is one that the service is allowed to make, and will make.
    pub topics: Vec<(String, TopicInfo)>,
}

/// A cluster's answer about one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicInfo {
    /// It exists and may be described. `leaderless` counts its partitions without a leader now.
    Exists {
        partitions: usize,
        replicas: usize,
        leaderless: usize,
    },
    Missing,
    /// It may not be seen, written, read or made; the text names the remedy.
    Trouble(String),
}

impl TopicInfo {
    fn of(topic: &MetadataTopic, advice: &Advice) -> Self {
        let name = topic.name();
        let trouble = match topic.error().map(Code::from) {
            None => {
                let partitions = topic.partitions();
                let leaderless = partitions.iter().filter(|partition| partition.leader() < 0);
                return Self::Exists {
                    partitions: partitions.len(),
                    replicas: partitions.first().map_or(0, |first| first.replicas().len()),
                    leaderless: leaderless.count(),
                };
            }
            Some(code) if errors::is_missing_topic(code) => return Self::Missing,
            Some(Code::LeaderNotAvailable) => format!("topic `{name}` has no leader now"),
            Some(Code::TopicAuthorizationFailed) => {
                let run = advice.allow_unseen(name);
                format!("topic `{name}` does not exist or is not visible; run: {run}")
            }
            Some(code) => format!("topic `{name}`: {code}"),
        };
        Self::Trouble(trouble)
    }

    fn exists(&self) -> bool {
        matches!(self, Self::Exists { .. })
    }

    pub fn is_fine(&self) -> bool {
        matches!(self, Self::Exists { leaderless: 0, .. } | Self::Missing)
    }
}

/// No answer; the text has the reason, as far as the library knows it, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InspectError {
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

/// A client that asks one cluster.
pub(super) struct Inspector<'a> {
    kafka: &'a config::Kafka,
    advice: Advice,
    cluster: Arc<Cluster>,
    client: BaseProducer<Asking>,
}

impl<'a> Inspector<'a> {
    /// `topics` are used for advice only.
    pub fn new(
        kafka: &'a config::Kafka,
        topics: Option<&config::Topics>,
    ) -> Result<Self, InspectError> {
        let cluster = Arc::new(Cluster::new(&kafka.bootstrap_servers));
        let client = asking(kafka, properties::client(kafka), &cluster)
            .map_err(|error| InspectError::Config(properties::describe(&error)))?;
        Ok(Self { kafka, advice: Advice::new(kafka, topics), cluster, client })
    }

    /// Asks about `names`. Returns the answers, and the error because of which the others have none.
    fn ask(
        &self,
        names: &[String],
        timeout: Duration,
    ) -> (HashMap<String, TopicInfo>, Option<KafkaError>) {
        let mut patience = Patience::of(timeout);
        let (found, error) = by_name::ask(&self.client, names, &mut patience, |topic| {
            topic.map_or(TopicInfo::Missing, |topic| TopicInfo::of(topic, &self.advice))
        });
        drain(&self.client);
        (found.into_iter().collect(), error)
    }

    /// The topics among `names` that the cluster shows.
    pub fn shown(
        &self,
        names: &[String],
        timeout: Duration,
    ) -> Result<HashMap<String, TopicInfo>, InspectError> {
        let (mut found, error) = self.ask(names, timeout);
        if let Some(error) = error {
            return Err(self.no_answer(timeout, error.to_string()));
        }
        found.retain(|_, topic| *topic != TopicInfo::Missing);
        Ok(found)
    }

    fn no_answer(&self, within: Duration, reason: String) -> InspectError {
        let brokers = self.kafka.bootstrap_servers.clone();
        InspectError::NoAnswer { brokers, seconds: within.as_secs(), reason }
    }
}

/// Asks for the cluster and for `names`, giving it at most `timeout` to answer at all.
pub fn inspect(
    kafka: &config::Kafka,
    topics: &config::Topics,
    names: &[String],
    timeout: Duration,
) -> Result<Report, InspectError> {
    let inspector = Inspector::new(kafka, Some(topics))?;
    let advice = &inspector.advice;
    let brokers = inspector.reach(&topics.dead_letter, timeout)?;
    let mut report = Report {
        cluster_id: inspector.client.client().fetch_cluster_id(Duration::from_secs(1)),
        brokers: brokers.iter().map(ToString::to_string).collect(),
        topics: Vec::new(),
    };
    let (mut found, error) = inspector.ask(names, timeout);
    let mut missing = Vec::new();
    for name in names {
        let topic = match found.remove(name) {
            Some(TopicInfo::Missing) if !topics.create => {
                let run = advice.create(name);
                let problem = "does not exist, and topics.create is off";
                TopicInfo::Trouble(format!("topic `{name}` {problem}; run: {run}"))
            }
            Some(TopicInfo::Missing) => {
                missing.push(name.clone());
                TopicInfo::Missing
            }
            Some(topic) => topic,
            None => {
                let why = error.as_ref().map(ToString::to_string).unwrap_or_default();
                TopicInfo::Trouble(format!("topic `{name}`: {why}"))
            }
        };
        report.topics.push((name.clone(), topic));
    }
    if !missing.is_empty() {
        try_to_make(kafka, topics, &missing, &mut report)?;
    }
    let there = report.topics.iter().filter(|(_, it)| it.exists());
    let there: Vec<_> = there.map(|(name, _)| name.clone()).collect();
    for name in may_write::denied(kafka, &there, timeout) {
        let run = advice.allow_write(&name);
        report.trouble(&name, format!("no permission to write to topic `{name}`; run: {run}"));
    }
    for name in read_topics(kafka, topics) {
        let is_there = |(topic, info): &(String, TopicInfo)| *topic == name && info.exists();
        if report.topics.iter().any(is_there) && may_read::is_denied(kafka, &name, timeout) {
            let run = advice.allow_write(&name);
            report.trouble(&name, format!("no permission to read topic `{name}`; run: {run}"));
        }
    }
    Ok(report)
}

impl Report {
    fn trouble(&mut self, name: &str, text: String) {
        if let Some((_, topic)) = self.topics.iter_mut().find(|(topic, _)| topic == name) {
            *topic = TopicInfo::Trouble(text);
        }
    }
}

/// Asks whether the missing topics could be made, without making them.
fn try_to_make(
    kafka: &config::Kafka,
    topics: &config::Topics,
    missing: &[String],
    report: &mut Report,
) -> Result<(), InspectError> {
    let maker = AdminMaker::new(kafka, topics).map_err(|error| {
        InspectError::Config(format!("cannot start the thread of the admin client: {error}"))
    })?;
    for (name, made) in maker.validate(missing) {
        let text = match made {
            Made::Created | Made::Exists => continue,
            Made::NotYet(text) | Made::NoAnswer(text) | Made::Refused(text) => text,
        };
        report.trouble(&name, text);
    }
    Ok(())
}

/// The topics that exist and whose names begin with `prefix`; none for an empty prefix.
pub fn existing_topics(
    kafka: &config::Kafka,
    topics: &config::Topics,
    prefix: &str,
    timeout: Duration,
) -> Result<Vec<String>, InspectError> {
    let inspector = Inspector::new(kafka, Some(topics))?;
    inspector.reach(&topics.dead_letter, timeout)?;
    if prefix.is_empty() {
        return Ok(Vec::new());
    }
    let metadata =
        inspector.client.client().fetch_metadata(None, LISTING_TIMEOUT).map_err(|error| {
            inspector.no_answer(
                LISTING_TIMEOUT,
                format!("the cluster's topics could not be listed: {error}"),
            )
        })?;
    let names = metadata.topics().iter().map(|topic| topic.name().to_owned());
    Ok(names.filter(|name| name.starts_with(prefix)).collect())
}

/// Whether this service may have transactional ids, for exactly-once delivery: tries an unused id of the form that
/// spools have. It is another one each time, so that a right to this very id proves nothing. An error names the command
/// to run.
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
    native.set_log_level(RDKafkaLogLevel::Emerg);
    let client = ready(kafka, &native, &cluster).map_err(|error| properties::describe(&error))?;
    client.init_transactions(timeout).map_err(|error| {
        let prefix = &kafka.delivery.transactional_id_prefix;
        let trouble = format!("cannot use transactional ids with the prefix `{prefix}`: {error}");
        if error.rdkafka_error_code() == Some(Code::TransactionalIdAuthorizationFailed) {
            let run = Advice::new(kafka, Some(topics)).allow_transactions();
            return format!("{trouble}; run: {run}");
        }
        trouble
    })
}
