//! The sink: the forwarder's view of Kafka, without the name of any client library.
//!
//! A sink takes records and, later, returns the outcome of each. It retries by itself for as long as
//! the cluster is in trouble; a [`Failure`] that it reports is about one record or one topic, and
//! says whether it may pass. The production sink is librdkafka (`kafka/`), the simulation's is a
//! seeded model of a cluster.

use std::time::Duration;

use crate::record::Record;

/// Names one record handed to a sink; chosen by the caller, given back with its [`Outcome`].
pub type Token = usize;

/// Final result of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged by all in-sync replicas.
    Delivered,
    Failed(Failure),
}

/// The reason why a record was not delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Taken back by [`Sink::purge`] or [`Sink::renew`] before it was acknowledged.
    #[error("removed from the producer queue before it was acknowledged")]
    Purged,
    /// A failure of the topic or the cluster that may pass: hold the topic and try again.
    #[error("{0}")]
    Passing(String),
    /// The record (or another one of its batch) is refused for good: too large, invalid, against a
    /// policy. Sent alone it shows which.
    #[error("{0}")]
    Refused(String),
    /// The producer as a whole cannot go on: [`Sink::renew`] it.
    #[error("{0}")]
    Fatal(String),
}

/// The reason why a record was not even queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The sink's queue is full: poll, then try again.
    #[error("the producer queue is full")]
    QueueFull,
    #[error(transparent)]
    Failed(Failure),
}

/// Whether a topic can be written, as far as is known now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicState {
    Ready,
    /// Being looked up or created, outside the caller's thread; ask again.
    Pending,
    /// It does not exist and could not be made; tried again by itself, with backoff. The text names
    /// the topic and the command to run.
    Unavailable(String),
    /// One more topic would pass the configured limit.
    OverLimit,
}

/// Progress of a transaction's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Under way: call again with the same record.
    Pending,
    Done,
    /// It did not happen, or that is not known: [`Sink::renew`] and [`Sink::committed`] find out.
    Failed(Failure),
}

/// A destination of records. One forwarder owns one sink and calls it from one thread.
///
/// A sink may be transactional: then all records since the last [`Sink::commit`] become visible
/// together or not at all, and a renewal takes all of them back. After any failure in a transaction
/// only a renewal helps.
pub trait Sink {
    /// Queues a copy of `record`. Records of one topic and key are delivered in the order of the
    /// calls. Every queued record gets exactly one outcome.
    fn send(&mut self, record: &Record<'_>, token: Token) -> Result<(), SendError>;

    /// Appends the outcomes that have come in, waiting at most `timeout` for the first.
    fn poll(&mut self, timeout: Duration, outcomes: &mut Vec<(Token, Outcome)>);

    /// The partition and offset of a record that the last poll has called delivered, if the sink knows.
    fn place(&self, _token: Token) -> Option<(i32, i64)> {
        None
    }

    /// Takes back unsent records; each has the outcome [`Failure::Purged`].
    /// After a purge the sink accepts nothing until it is renewed.
    fn purge(&mut self);

    /// Forgets all outstanding records and starts with a new identity (idempotent sequence, epoch).
    /// Blocks while it must retry, until it succeeds or `give_up` returns `true`.
    fn renew(&mut self, give_up: &dyn Fn() -> bool) -> Result<(), Failure>;

    /// Drops the sink's view of the cluster, which may be outdated: the next renewal begins with only the configured
    /// addresses.
    fn refresh(&mut self) {}

    /// Whether it must be renewed although nothing failed: its credentials were replaced, and the old
    /// ones may be revoked at any moment.
    fn wants_renewal(&self) -> bool {
        false
    }

    /// Ends the transaction with `checkpoint` as its last record, once every record has its
    /// outcome. Waits at most `patience`. No record is sent while it is pending.
    fn commit(&mut self, checkpoint: &Record<'_>, patience: Duration) -> Commit;

    /// The last committed checkpoint, of any process, if a renewal had to look it up. Given once.
    fn committed(&mut self) -> Option<Vec<u8>>;

    /// Whether `topic` can be written; starts looking it up or creating it where needed. Does not
    /// block.
    fn topic(&mut self, topic: &str) -> TopicState;

    /// Time without any answer of the cluster; `None` if it never answered. Distinguishes a topic
    /// in trouble from a cluster that is away.
    fn cluster_silence(&self) -> Option<Duration>;

    /// Whether a broker has this client wait now, because of a quota: missing acknowledgements say nothing of any topic
    /// then.
    fn is_throttled(&self) -> bool {
        false
    }

    /// Largest record (key, value, headers) that the client library itself would take, in bytes.
    fn record_limit(&self) -> usize;
}
