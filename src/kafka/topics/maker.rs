//! Makes missing topics, through Kafka's admin API or a test's own implementation.

use std::{fmt, io, time::Duration};

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication, TopicResult},
    config::RDKafkaLogLevel,
    error::{KafkaError, RDKafkaErrorCode as Code},
};
use tokio::runtime::Runtime;

use super::made_as::{COMPRESSION, made_as};
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

/// A topic that is to be made.
struct New {
    topic: String,
    made_as: config::Topics,
}

impl New {
    fn for_library(&self) -> NewTopic<'_> {
        let Self { topic, made_as } = self;
        let replicas = TopicReplication::Fixed(made_as.replication_factor);
        let new = NewTopic::new(topic, made_as.partitions, replicas);
        made_as.config.iter().fold(new, |new, (name, value)| new.set(name, value))
    }
}

/// Makes topics through `CreateTopics`.
pub(in crate::kafka) struct AdminMaker {
    native: ClientConfig,
    kafka: config::Kafka,
    topics: config::Topics,
    advice: Advice,
    runtime: Runtime,
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
        self.request_by(&|new| self.create(new, validate_only), topics, &|_, _| true)
    }

    /// Makes `topics` by `create`, with those of their settings that `takes`.
    fn request_by(
        &self,
        create: &dyn Fn(&[New]) -> Result<Vec<TopicResult>, KafkaError>,
        topics: &[String],
        takes: &dyn Fn(&str, &str) -> bool,
    ) -> Vec<(String, Made)> {
        let new: Vec<_> = topics.iter().map(|topic| self.new_topic(topic, takes)).collect();
        match create(&new) {
            Ok(answers) => answers
                .into_iter()
                .map(|answer| match answer {
                    Ok(topic) => (topic, Made::Created),
                    // Some services have a fixed value. The readers of ids have limits of their own.
                    Err((topic, Code::InvalidConfig | Code::PolicyViolation))
                        if self.is_of_ids(&topic) && takes(&topic, COMPRESSION) =>
                    {
                        let ids = std::slice::from_ref(&topic);
                        let takes = |_: &str, setting: &str| setting != COMPRESSION;
                        let made = self.request_by(create, ids, &takes);
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
                let one = |topic| self.request_by(create, topic, takes);
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

    fn new_topic(&self, topic: &str, takes: &dyn Fn(&str, &str) -> bool) -> New {
        let mut made_as = made_as(&self.topics, topic).into_owned();
        made_as.config.retain(|setting, _| takes(topic, setting));
        New { topic: topic.to_owned(), made_as }
    }

    /// Sends the request by a client of its own: topics are made seldom, and an idle client would collect
    /// events for ever.
    fn create(&self, new: &[New], validate_only: bool) -> Result<Vec<TopicResult>, KafkaError> {
        let admin: AdminClient<Quiet> = self.native.create_with_context(Quiet)?;
        if let Err(problem) = Given::to_client_of(&self.kafka).first(admin.inner()) {
            return Err(KafkaError::ClientCreation(problem));
        }
        let new: Vec<_> = new.iter().map(New::for_library).collect();
        let options = AdminOptions::new()
            .request_timeout(Some(REQUEST_TIMEOUT))
            .operation_timeout(Some(OPERATION_TIMEOUT))
            .validate_only(validate_only);
        self.runtime.block_on(admin.create_topics(&new, &options))
    }

    fn is_of_ids(&self, topic: &str) -> bool {
        self.topics.ids.as_deref() == Some(topic)
    }

    fn has_its_own_settings(&self, topic: &str) -> bool {
        self.is_of_ids(topic) || topic == self.topics.checkpoints
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
            // Its settings are those of its purpose, and no key changes them.
            Code::InvalidConfig if self.has_its_own_settings(topic) => Made::Refused(format!(
                "{what}: the cluster does not take the settings that the topic is made with; have it created with \
                     settings that come near to them: {}",
                self.advice.create(topic)
            )),
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    fn maker() -> AdminMaker {
        let kafka = config::Kafka {
            bootstrap_servers: "127.0.0.1:1".into(),
            properties: Default::default(),
            queue_size: 1,
            delivery: Default::default(),
        };
        let topics = config::Topics { ids: Some("ids".into()), ..config::Topics::default() };
        AdminMaker::new(&kafka, &topics).unwrap()
    }

    /// Requests to a cluster: each topic with the names of its settings.
    type Asked = RefCell<Vec<Vec<(String, Vec<String>)>>>;

    fn note(asked: &Asked, new: &[New]) {
        let one = |it: &New| (it.topic.clone(), it.made_as.config.keys().cloned().collect());
        asked.borrow_mut().push(new.iter().map(one).collect());
    }

    #[test]
    fn the_topic_of_ids_is_made_without_compression_type_where_the_cluster_refuses_it() {
        for refusal in [Code::InvalidConfig, Code::PolicyViolation] {
            let asked = Asked::default();
            let create = |new: &[New]| {
                note(&asked, new);
                let answer = |it: &New| match it.made_as.config.contains_key(COMPRESSION) {
                    true => Err((it.topic.clone(), refusal)),
                    false => Ok(it.topic.clone()),
                };
                Ok(new.iter().map(answer).collect())
            };
            let names = ["events".to_owned(), "ids".to_owned()];
            let made = maker().request_by(&create, &names, &|_, _| true);
            let created = |name: &str| (name.to_owned(), Made::Created);
            assert_eq!(made, [created("events"), created("ids")]);
            let asked = asked.into_inner();
            assert_eq!(asked.len(), 2, "{asked:?}");
            let rest = ["cleanup.policy", "retention.ms", "segment.bytes"].map(String::from);
            assert_eq!(asked[1], [("ids".to_owned(), rest.to_vec())]);
        }
    }

    #[test]
    fn a_topic_that_is_refused_for_another_reason_is_asked_for_once_more_at_most() {
        for (topic, requests, advice) in [
            ("ids", 2, "does not take the settings that the topic is made with"),
            ("events", 1, "change topics.config"),
            ("marketo.checkpoints", 1, "does not take the settings"),
        ] {
            let asked = Asked::default();
            let create = |new: &[New]| {
                note(&asked, new);
                Ok(new.iter().map(|it| Err((it.topic.clone(), Code::InvalidConfig))).collect())
            };
            let made = maker().request_by(&create, &[topic.to_owned()], &|_, _| true);
            let [(_, Made::Refused(why))] = &made[..] else { panic!("{made:?}") };
            assert!(why.contains(advice), "{why}");
            assert_eq!(asked.borrow().len(), requests, "{topic}");
        }
    }
}
