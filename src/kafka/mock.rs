//! librdkafka's in-process cluster: for the demo and for fast tests.
//!
//! It speaks the real protocol on a local port and keeps everything in memory. It has no admin API,
//! does not filter aborted transactions, and looks at the sequence numbers of transactional
//! producers only: where a real broker would refuse the requests behind one that failed, it takes
//! them, and a request whose answer was lost it takes twice. [`MockCluster::properties`] keeps
//! clients from that.
//!
//! It lives on a thread of its own, which makes its handle
//! free to be cloned and sent; it ends with the last handle.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc,
        mpsc::{self, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use rdkafka::{
    error::{KafkaError, RDKafkaErrorCode},
    mocking::MockCluster as Native,
    producer::DefaultProducerContext,
    types::{RDKafkaApiKey, RDKafkaRespErr},
};

use crate::config::Secret;

use super::{
    properties,
    topics::{Made, TopicMaker},
};

type Command = Box<dyn FnOnce(&Native<'static, DefaultProducerContext>) + Send>;

/// A handle to a running cluster.
#[derive(Clone)]
pub struct MockCluster {
    inner: Arc<Inner>,
}

struct Inner {
    /// `None` only while it is dropped.
    commands: Option<Sender<Command>>,
    thread: Option<JoinHandle<()>>,
    bootstrap: String,
}

/// The cluster refused a command, or could not be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MockError {
    #[error("the topic exists")]
    TopicExists,
    #[error("in-memory cluster: {0}")]
    Failed(String),
}

/// A broker's fault in place of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The broker closes the connection.
    Disconnect,
    NotEnoughReplicas,
    NotEnoughReplicasAfterAppend,
    NotLeader,
    LeaderNotAvailable,
    RequestTimedOut,
    StorageError,
    UnknownTopic,
    TopicAuthorizationFailed,
    MessageTooLarge,
    InvalidRecord,
    PolicyViolation,
    OutOfOrderSequence,
}

/// Longest time that answers are on their way.
const LAST_ANSWERS: Duration = Duration::from_millis(50);

impl MockCluster {
    /// Starts a cluster of `brokers` brokers on free local ports.
    pub fn start(brokers: u16) -> Result<Self, MockError> {
        let (commands, queue) = mpsc::channel::<Command>();
        let (started, wait) = mpsc::channel::<Result<String, MockError>>();
        let run = move || {
            properties::keep_openssl();
            let cluster = match Native::new(i32::from(brokers)) {
                Ok(cluster) => cluster,
                Err(error) => {
                    let _ = started.send(Err(error.into())); // The starter waits for it.
                    return;
                }
            };
            let _ = started.send(Ok(cluster.bootstrap_servers()));
            for command in queue {
                command(&cluster);
            }
        };
        let thread = thread::Builder::new().name("mock-cluster".into()).spawn(run);
        let thread = thread.map_err(|error| MockError::Failed(error.to_string()))?;
        let bootstrap = wait.recv().map_err(|_| MockError::Failed("it did not start".into()))??;
        let inner = Inner { commands: Some(commands), thread: Some(thread), bootstrap };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Its address, for `kafka.bootstrap_servers` and for any other client.
    pub fn bootstrap(&self) -> &str {
        &self.inner.bootstrap
    }

    /// Values of `kafka.properties` for this cluster: one request in flight, so that order
    /// holds although the cluster does not check it.
    pub fn properties(&self) -> BTreeMap<String, Secret> {
        let one = Secret::new("1").expect("it is not empty");
        BTreeMap::from([("max.in.flight.requests.per.connection".into(), one)])
    }

    pub fn create_topic(&self, topic: &str, partitions: u16) -> Result<(), MockError> {
        let topic = topic.to_owned();
        self.with(move |cluster| cluster.create_topic(&topic, i32::from(partitions), 1))
    }

    /// Lets all brokers close their connections and accept none. They take no more records for a moment
    /// before, so that every record that they took has been acknowledged: a real broker would recognise
    /// a repeated request by its sequence number, this one would not.
    pub fn take_away(&self) -> Result<(), MockError> {
        self.fail_produces(&[Fault::NotEnoughReplicas; 1000])?;
        thread::sleep(LAST_ANSWERS);
        self.with(|cluster| cluster.broker_down(-1))
    }

    /// Lets all brokers accept connections again, and clears the faults.
    pub fn bring_back(&self) -> Result<(), MockError> {
        self.clear_produce_faults()?;
        self.with(|cluster| cluster.broker_up(-1))
    }

    /// Takes one broker (from 1) away, with the partitions that it leads.
    pub fn take_away_broker(&self, broker: u16) -> Result<(), MockError> {
        self.with(move |cluster| cluster.broker_down(i32::from(broker)))
    }

    pub fn bring_back_broker(&self, broker: u16) -> Result<(), MockError> {
        self.with(move |cluster| cluster.broker_up(i32::from(broker)))
    }

    /// Sets the duration of every answer from now on.
    pub fn set_round_trip(&self, time: Duration) -> Result<(), MockError> {
        self.with(move |cluster| cluster.broker_round_trip_time(-1, time))
    }

    /// Lets the next produce requests meet these faults, one each, for any topic.
    pub fn fail_produces(&self, faults: &[Fault]) -> Result<(), MockError> {
        let errors: Vec<_> = faults.iter().map(|fault| fault.code()).collect();
        self.with(move |cluster| {
            cluster.request_errors(RDKafkaApiKey::Produce, &errors);
            Ok(())
        })
    }

    /// Takes back the faults that no produce request has met yet.
    pub fn clear_produce_faults(&self) -> Result<(), MockError> {
        self.with(|cluster| {
            cluster.clear_request_errors(RDKafkaApiKey::Produce);
            Ok(())
        })
    }

    /// Lets the next fetch requests meet these faults, one each, of any reader.
    #[cfg(test)]
    pub(super) fn fail_fetches(&self, faults: &[Fault]) -> Result<(), MockError> {
        let errors: Vec<_> = faults.iter().map(|fault| fault.code()).collect();
        self.with(move |cluster| {
            cluster.request_errors(RDKafkaApiKey::Fetch, &errors);
            Ok(())
        })
    }

    #[cfg(test)]
    pub(super) fn clear_fetch_faults(&self) -> Result<(), MockError> {
        self.with(|cluster| {
            cluster.clear_request_errors(RDKafkaApiKey::Fetch);
            Ok(())
        })
    }

    /// Puts a fault into the metadata of `topic`, so that no client can write to it; `None` ends
    /// it. Clients learn of it when they ask for metadata.
    pub fn fail_topic(&self, topic: &str, fault: Option<Fault>) -> Result<(), MockError> {
        let topic = topic.to_owned();
        let error = fault.map_or(RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR, Fault::code);
        self.with(move |cluster| cluster.topic_error(&topic, error))
    }

    /// Takes the leader of a partition away, or gives it one (a broker, from 1).
    pub fn set_leader(
        &self,
        topic: &str,
        partition: u16,
        leader: Option<u16>,
    ) -> Result<(), MockError> {
        let topic = topic.to_owned();
        self.with(move |cluster| {
            cluster.partition_leader(&topic, i32::from(partition), leader.map(i32::from))
        })
    }

    /// For [`Topics::start_with`](super::Topics::start_with): makes topics of `partitions` each.
    pub fn topic_maker(&self, partitions: u16) -> Box<dyn TopicMaker> {
        Box::new(Maker { cluster: self.clone(), partitions })
    }

    fn with(
        &self,
        command: impl FnOnce(&Native<'static, DefaultProducerContext>) -> Result<(), KafkaError>
        + Send
        + 'static,
    ) -> Result<(), MockError> {
        let gone = || MockError::Failed("it is gone".into());
        let (done, result) = mpsc::channel();
        let commands = self.inner.commands.as_ref().ok_or_else(gone)?;
        let command: Command = Box::new(move |cluster| {
            let _ = done.send(command(cluster)); // The caller waits for it.
        });
        commands.send(command).map_err(|_| gone())?;
        Ok(result.recv().map_err(|_| gone())??)
    }
}

impl Fault {
    fn code(self) -> RDKafkaRespErr {
        use RDKafkaRespErr as Code;
        match self {
            Self::Disconnect => Code::RD_KAFKA_RESP_ERR__TRANSPORT,
            Self::NotEnoughReplicas => Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
            Self::NotEnoughReplicasAfterAppend => {
                Code::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND
            }
            Self::NotLeader => Code::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            Self::LeaderNotAvailable => Code::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
            Self::RequestTimedOut => Code::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            Self::StorageError => Code::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
            Self::UnknownTopic => Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
            Self::TopicAuthorizationFailed => Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            Self::MessageTooLarge => Code::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
            Self::InvalidRecord => Code::RD_KAFKA_RESP_ERR_INVALID_RECORD,
            Self::PolicyViolation => Code::RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
            Self::OutOfOrderSequence => Code::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER,
        }
    }
}

struct Maker {
    cluster: MockCluster,
    partitions: u16,
}

impl TopicMaker for Maker {
    fn make(&mut self, topics: &[String]) -> Vec<(String, Made)> {
        let make = |topic: &String| match self.cluster.create_topic(topic, self.partitions) {
            Ok(()) => Made::Created,
            Err(MockError::TopicExists) => Made::Exists,
            Err(error) => Made::NotYet(error.to_string()),
        };
        topics.iter().map(|topic| (topic.clone(), make(topic))).collect()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.commands = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // A panic over there was printed over there.
        }
    }
}

impl From<KafkaError> for MockError {
    fn from(error: KafkaError) -> Self {
        match error {
            KafkaError::MockCluster(RDKafkaErrorCode::TopicAlreadyExists) => Self::TopicExists,
            other => Self::Failed(other.to_string()),
        }
    }
}

impl fmt::Debug for MockCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MockCluster").field(&self.inner.bootstrap).finish()
    }
}
