//! Kafka: the only place that names rdkafka, the Rust face of librdkafka.
//!
//! - [`Producer`] is the production [`Sink`](crate::kafka::produce::Sink): idempotent, `acks=all`, and it
//!   never gives up on a record by itself. A source has one. With an [`Identity`] it is transactional.
//! - [`Topics`] knows which topics exist and makes the missing ones, on a thread of its own. A process has
//!   one, shared by all producers. It also finds out whether the cluster is away.
//! - [`inspect`](inspect()) asks a cluster once, for `check --connect`; [`ensure_topics`] makes missing
//!   topics, for `topics --create`.
//! - [`Exchange`] writes and reads the topic by which replicas tell each other something.
//! - [`Reader`] reads topics from their beginning: the demo counts arrived events by it.
//! - [`MockCluster`] is librdkafka's in-process cluster, for the demo and for fast tests.

pub mod produce;

mod access;
mod advice;
mod by_name;
mod cause;
mod cluster;
mod collision;
mod committed;
mod context;
mod ensure;
mod errors;
mod exchange;
mod inspect;
mod login;
mod mock;
mod partition;
mod partition_queue;
mod pause;
mod pending;
mod producer;
mod properties;
mod quiet;
mod reader;
mod topics;
mod transactions;
mod unreadable;
mod watch;

pub use ensure::{Difference, Ensured, ensure_topics};
pub use exchange::{Exchange, Letter, Mailbox, Terms};
pub use inspect::{
    Fit, InspectError, Report, TopicInfo, existing_topics, fit, inspect, may_have_transactions,
};
pub use mock::{Fault, MockCluster, MockError};
pub use producer::Producer;
pub use properties::{is_secured, validate as validate_properties};
pub use reader::{ReadError, ReadRecord, Reader, Select};
pub use topics::{Made, TopicMaker, Topics, made_as};
pub use transactions::Identity;
pub use unreadable::Passed;
pub use watch::Watch;

/// The version of librdkafka in this program.
pub fn library_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}
