//! Makes missing topics, through Kafka's admin API or a test's own implementation.

use std::{collections::BTreeMap, fmt, io, time::Duration};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication, TopicResult},
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode as Code},
};
use tokio::runtime::Runtime;

use crate::{
    config,
    kafka::{advice::Advice, collision, errors, login::Given, properties, quiet::Quiet},
};

/// Makes topics. Called on the directory's thread, and may block it.
pub trait TopicMaker: Send {
    /// Makes `topics`, all in one request where that is possible; one answer for each.
    fn make(&mut self, topics: &[String]) -> Vec<(String, Made)>;

    /// Takes over replaced secrets.
    fn renew(&mut self, _kafka: &config::Kafka) {}
}

/// Result of making a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    Created,
    /// Another process was faster, or it cannot be seen for want of a permission.
    Exists,
    /// The cluster is in trouble: tried again soon, and no operator has to act.
    NotYet(String),
    /// The request itself got no answer. Also tried again soon, by callers that have the time.
    NoAnswer(String),
    /// Tried again with backoff; the text names the remedy.
    Refused(String),
}

/// Makes topics through `CreateTopics`.
pub(in crate::kafka) struct AdminMaker {
    native: ClientConfig,
    kafka: config::Kafka,
    topics: config::Topics,
    advice: Advice,
    runtime: Runtime,
}

/// Settings of the topic of checkpoints: the last one of each spool is enough, and a start reads the part
/// that is not compacted yet.
pub(in crate::kafka) const CHECKPOINTS: [(&str, &str); 3] = [
    ("cleanup.policy", "compact"),
    ("segment.bytes", "16777216"),
    ("min.cleanable.dirty.ratio", "0.1"),
];

const COMPRESSION: &str = "compression.type";

/// Settings of the topic of ids: it is kept by time alone, for as long as repeats are recognised.
pub fn of_ids(topics: &config::Topics) -> config::Topics {
    let kept = topics.ids_kept.max(SHORTEST_KEPT).as_millis();
    let settings = [
        ("cleanup.policy", "delete".to_owned()),
        ("retention.ms", kept.to_string()),
        ("segment.bytes", "67108864".into()),
        // So that the broker refuses a record that is huge once it is decompressed: readers have no limit for gzip.
        (COMPRESSION, "uncompressed".into()),
    ];
    let settings = settings.map(|(name, value)| (name.to_owned(), value));
    config::Topics { partitions: 1, config: settings.into(), ..topics.clone() }
}

/// Shortest retention of the topic of ids: a reader may be behind.
const SHORTEST_KEPT: Duration = Duration::from_secs(3600);

/// Settings of the topic of checkpoints, in place of those of `topics`.
pub fn of_checkpoints(topics: &config::Topics) -> config::Topics {
    let settings = CHECKPOINTS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    config::Topics { partitions: 1, config: settings.into(), ..topics.clone() }
}

/// Settings of the topic of lead states: the last state of each lead is enough.
pub fn of_lead_states(topics: &config::Topics) -> config::Topics {
    let mut of_states = topics.clone();
    of_states.config.insert("cleanup.policy".into(), "compact".into());
    of_states
}

/// Timeout of the whole request, the search for the controller included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(8);
/// Time that the controller has until the topics exist.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(5);

impl AdminMaker {
    pub(in crate::kafka) fn new(
        kafka: &config::Kafka,
        topics: &config::Topics,
    ) -> io::Result<Self> {
        Ok(Self {
            native: native(kafka),
            kafka: kafka.clone(),
            topics: topics.clone(),
            advice: Advice::new(kafka, Some(topics)),
            // The library's futures wake themselves: neither timers nor sockets are needed.
            runtime: tokio::runtime::Builder::new_current_thread().build()?,
        })
    }

    /// Asks whether `topics` could be made, and makes none.
    pub(in crate::kafka) fn validate(&self, topics: &[String]) -> Vec<(String, Made)> {
        self.request(topics, true)
    }

    fn request(&self, topics: &[String], validate_only: bool) -> Vec<(String, Made)> {
        self.request_with(&of_ids(&self.topics).config, topics, validate_only)
    }

    /// Makes `topics`, with these settings for the topic of ids.
    fn request_with(
        &self,
        ids: &BTreeMap<String, String>,
        topics: &[String],
        validate_only: bool,
    ) -> Vec<(String, Made)> {
        match self.create(ids, topics, validate_only) {
            Ok(answers) => answers
                .into_iter()
                .map(|answer| match answer {
                    Ok(topic) => (topic, Made::Created),
                    // Some services have a fixed value. The readers of ids have limits of their own.
                    Err((topic, Code::InvalidConfig | Code::PolicyViolation))
                        if self.is_of_ids(&topic) && ids.contains_key(COMPRESSION) =>
                    {
                        let mut ids = ids.clone();
                        ids.remove(COMPRESSION);
                        let made =
                            self.request_with(&ids, std::slice::from_ref(&topic), validate_only);
                        let none = || (topic, Made::NotYet("the cluster gave no answer".into()));
                        made.into_iter().next().unwrap_or_else(none)
                    }
                    Err((topic, code)) => {
                        let made = self.made(&topic, code);
                        (topic, made)
                    }
                })
                .collect(),
            // One name or setting that cannot be encoded must not stop the others.
            Err(KafkaError::AdminOpCreation(_) | KafkaError::Nul(_)) if topics.len() > 1 => {
                let one = |topic| self.request_with(ids, topic, validate_only);
                topics.chunks(1).flat_map(one).collect()
            }
            Err(error) => {
                let made = |topic: &String| match &error {
                    KafkaError::AdminOp(code) => self.made(topic, *code),
                    KafkaError::AdminOpCreation(_) | KafkaError::Nul(_) => {
                        Made::Refused(format!("cannot create topic `{topic}`: {error}"))
                    }
                    other => Made::NoAnswer(format!(
                        "cannot create topic `{topic}`: {}",
                        properties::describe(other)
                    )),
                };
                topics.iter().map(|topic| (topic.clone(), made(topic))).collect()
            }
        }
    }

    /// Sends the request by a client of its own: topics are made seldom, and an idle client would collect
    /// events for ever.
    fn create(
        &self,
        ids: &BTreeMap<String, String>,
        topics: &[String],
        validate_only: bool,
    ) -> Result<Vec<TopicResult>, KafkaError> {
        let admin: AdminClient<Quiet> = self.native.create_with_context(Quiet)?;
        if let Err(problem) = Given::to_client_of(&self.kafka).first(admin.inner()) {
            return Err(KafkaError::ClientCreation(problem));
        }
        let settings = &self.topics.config;
        let lead_states = of_lead_states(&self.topics).config;
        let new = |topic| {
            let replicas = TopicReplication::Fixed(self.topics.replication_factor);
            if topic == self.topics.checkpoints {
                let new = NewTopic::new(topic, 1, replicas);
                return CHECKPOINTS.iter().fold(new, |new, (name, value)| new.set(name, value));
            }
            if self.topics.ids.as_deref() == Some(topic) {
                let new = NewTopic::new(topic, 1, replicas);
                return ids.iter().fold(new, |new, (name, value)| new.set(name, value));
            }
            let new = NewTopic::new(topic, self.topics.partitions, replicas);
            if self.topics.lead_state.as_deref() == Some(topic) {
                return lead_states.iter().fold(new, |new, (name, value)| new.set(name, value));
            }
            settings.iter().fold(new, |new, (name, value)| new.set(name, value))
        };
        let new: Vec<_> = topics.iter().map(|topic| new(topic.as_str())).collect();
        let options = AdminOptions::new()
            .request_timeout(Some(REQUEST_TIMEOUT))
            .operation_timeout(Some(OPERATION_TIMEOUT))
            .validate_only(validate_only);
        self.runtime.block_on(admin.create_topics(&new, &options))
    }

    fn is_of_ids(&self, topic: &str) -> bool {
        self.topics.ids.as_deref() == Some(topic)
    }

    fn made(&self, topic: &str, code: Code) -> Made {
        let what = format!("cannot create topic `{topic}`: {code}");
        match code {
            Code::NoError => Made::Created,
            Code::TopicAlreadyExists => Made::Exists,
            Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
                Made::Refused(format!(
                    "{what}; run: {} (or have the topic created: {})",
                    self.advice.allow_create(topic),
                    self.advice.create(topic)
                ))
            }
            Code::InvalidReplicationFactor => Made::Refused(format!(
                "{what}; the cluster has fewer brokers at the moment: bring them back, or \
                     change topics.replication_factor"
            )),
            Code::InvalidPartitions => Made::Refused(format!("{what}; change topics.partitions")),
            Code::InvalidConfig => Made::Refused(format!("{what}; change topics.config")),
            Code::PolicyViolation => Made::Refused(format!(
                "{what}; change topics.partitions, topics.replication_factor or topics.config to \
                 what the cluster's policy allows"
            )),
            Code::InvalidTopic => {
                Made::Refused(collision::describe(&self.kafka, &self.native, topic))
            }
            Code::UnsupportedVersion | Code::UnsupportedFeature => {
                Made::Refused(format!("{what}; run: {}", self.advice.create(topic)))
            }
            // Answers of a cluster with other worries, and silence.
            Code::RequestTimedOut
            | Code::NotController
            | Code::ThrottlingQuotaExceeded
            | Code::NetworkException
            | Code::CoordinatorNotAvailable
            | Code::BrokerNotAvailable
            | Code::LeaderNotAvailable => Made::NotYet(what),
            code if !errors::is_brokers_word(code) => Made::NoAnswer(format!(
                "{what}: the cluster answers, and its controller does not within {} s; look at the \
                 controller, or run: {}",
                REQUEST_TIMEOUT.as_secs(),
                self.advice.create(topic)
            )),
            _ => Made::Refused(format!("{what}; run: {}", self.advice.create(topic))),
        }
    }
}

impl TopicMaker for AdminMaker {
    fn make(&mut self, topics: &[String]) -> Vec<(String, Made)> {
        self.request(topics, false)
    }

    fn renew(&mut self, kafka: &config::Kafka) {
        self.native = native(kafka);
        self.kafka = kafka.clone();
    }
}

fn native(kafka: &config::Kafka) -> ClientConfig {
    let mut native = properties::client(kafka);
    // The admin client has a queue of log lines that cannot be emptied.
    native.set_log_level(RDKafkaLogLevel::Emerg);
    native
}

impl fmt::Debug for AdminMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AdminMaker").field("topics", &self.topics).finish_non_exhaustive()
    }
}
