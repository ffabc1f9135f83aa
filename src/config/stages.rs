//! What the configuration means: one struct a stage, every value already parsed, checked and in
//! its own type. Sizes are bytes.
//!
//! The `Default`s are the documented defaults (`config/default.toml`, held against each other by a
//! test); what has no default (bootstrap servers, sources) has no `Default` either.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use ipnet::IpNet;
use reqwest::Url;

use super::{adobe::AdobeAuth, oauth::OAuthAuth, secret::Secret};
use crate::{
    deliver::{decode::catalog::Override, encode::Mode},
    source::{SourceKind, SourceName},
};

const MIB: u64 = 1024 * 1024;
const GIB: u64 = 1024 * MIB;

/// `listen`: where deliveries arrive, and how much of them at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    pub address: SocketAddr,
    /// Largest body on the wire, in bytes.
    pub body_limit: u64,
    /// Largest body after its content-coding was removed, in bytes; at most `u32::MAX`, the length
    /// field of the spool's frames.
    pub body_limit_inflated: u64,
    /// Bytes of bodies held in memory at once, over all connections.
    pub body_budget: u64,
    /// How long the head of a request may take.
    pub header_timeout: Duration,
    /// How long a request may take in all, the sync of the spool included.
    pub request_timeout: Duration,
    /// Open connections at once.
    pub connections: usize,
    /// Largest head of a request, in bytes; at least 8 KiB.
    pub header_limit: usize,
    /// Whose `x-forwarded-for` is believed; nobody's by default.
    pub trusted_proxies: Vec<IpNet>,
    /// `None` is plain HTTP.
    pub tls: Option<Tls>,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            address: (Ipv4Addr::UNSPECIFIED, 8080).into(),
            body_limit: 16 * MIB,
            body_limit_inflated: 64 * MIB,
            body_budget: 64 * MIB,
            header_timeout: Duration::from_secs(10),
            // Marketo waits 20 s, Adobe 10 s with the connection's set-up included. A sender that
            // has hung up learns nothing from an answer, so ours comes before the shorter of both.
            request_timeout: Duration::from_secs(8),
            connections: 1000,
            header_limit: 32 * 1024,
            trusted_proxies: Vec::new(),
            tls: None,
        }
    }
}

/// `listen.tls`: files in PEM, read again when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The certificate, then those that lead to its authority.
    pub certificate_file: PathBuf,
    pub key_file: PathBuf,
    /// The authorities whose certificates clients may present.
    pub client_ca_file: Option<PathBuf>,
}

/// `admin`: health and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    pub address: SocketAddr,
}

impl Default for Admin {
    fn default() -> Self {
        Self { address: (Ipv4Addr::LOCALHOST, 9090).into() }
    }
}

/// `spool`: the durable buffer between the answer to the sender and Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spool {
    /// Holds one folder a source, the lock file and the quarantine.
    pub directory: PathBuf,
    /// Undelivered bytes of all sources together.
    pub size_limit: u64,
    /// Bytes of the volume that deliveries never take, so that checkpoint and quarantine can always
    /// be written.
    pub reserve: u64,
    /// `keep_delivered.age`: how long delivered segments stay for a replay.
    pub keep_delivered_age: Duration,
    /// `keep_delivered.size`: how many bytes of them stay.
    pub keep_delivered_size: u64,
    /// A segment file is closed once it is this large, in bytes.
    pub segment_size: u64,
    /// `quarantine.keep`: how long items stay in quarantine; `None` for ever.
    pub quarantine_keep: Option<Duration>,
}

impl Spool {
    /// The least that `spool.reserve` may be: room for the checkpoint and for one quarantined body.
    pub fn least_reserve(body_limit_inflated: u64) -> u64 {
        body_limit_inflated.saturating_add(2 * MIB)
    }
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            directory: "/var/lib/millrace".into(),
            size_limit: 10 * GIB,
            reserve: 256 * MIB,
            keep_delivered_age: Duration::from_secs(24 * 60 * 60),
            keep_delivered_size: GIB,
            segment_size: 64 * MIB,
            quarantine_keep: None,
        }
    }
}

/// `kafka`: the cluster, and the client library's own settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// `host:port`, several separated by commas.
    pub bootstrap_servers: String,
    /// Further properties of librdkafka under their own names (`security.protocol`). None of them
    /// breaks a promise, and any of them may be a secret.
    pub properties: BTreeMap<String, Secret>,
    /// Bytes in the queues of all producers together.
    pub queue_size: u64,
    pub delivery: Delivery,
}

/// How often an event may come, and what exactly once needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// `kafka.delivery`
    pub guarantee: Guarantee,
    /// How long one commit of a source comes after the other at least.
    pub commit_interval: Duration,
    /// After this the cluster gives up a transaction; none follows `forward.hold_after`.
    pub transaction_timeout: Option<Duration>,
    /// What a source's `transactional.id` begins with; its spool's UUID follows.
    pub transactional_id_prefix: String,
}

/// What a reader of Kafka may count on, besides that nothing is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Guarantee {
    /// After a crash the last events may come again.
    #[default]
    AtLeastOnce,
    /// Nothing comes twice, for readers of committed records.
    ExactlyOnce,
}

impl Guarantee {
    pub const ALL: [Self; 2] = [Self::AtLeastOnce, Self::ExactlyOnce];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AtLeastOnce => "at-least-once",
            Self::ExactlyOnce => "exactly-once",
        }
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            guarantee: Guarantee::default(),
            commit_interval: Duration::from_millis(500),
            transaction_timeout: None,
            transactional_id_prefix: "millrace-".into(),
        }
    }
}

impl Delivery {
    /// librdkafka takes no shorter ones, and brokers no longer ones by default
    /// (`transaction.max.timeout.ms`).
    pub const TRANSACTIONS: std::ops::RangeInclusive<Duration> =
        Duration::from_secs(1)..=Duration::from_secs(15 * 60);

    /// After this the cluster gives up a transaction. Where it is not written it is late enough that a topic
    /// without progress is held before, and a commit has its time.
    pub fn transaction_timeout(&self, forward: &Forward) -> Duration {
        let follows = (2 * forward.hold_after).max(Duration::from_secs(10));
        self.transaction_timeout.unwrap_or(follows)
    }

    pub fn is_exactly_once(&self) -> bool {
        self.guarantee == Guarantee::ExactlyOnce
    }
}

impl Kafka {
    /// `kafka.queue_size` where nothing else is said.
    pub const QUEUE_SIZE: u64 = 64 * MIB;
}

/// `topics`: which topics there are, and how they come to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// Template with the placeholders `{stream}`, `{type}`, `{source}`, `{munchkin_id}` and
    /// `{activity_type_id}`.
    pub name: String,
    /// How records carry events.
    pub mode: Mode,
    /// Whether missing topics are created.
    pub create: bool,
    /// Partitions of a created topic; -1 is the cluster's own default.
    pub partitions: i32,
    /// Replicas of a created topic, at most `i16::MAX`; -1 is the cluster's own default.
    pub replication_factor: i32,
    /// Settings of a created topic under Kafka's own names (`retention.ms`).
    pub config: BTreeMap<String, String>,
    /// How many topics events may go to; beyond that they become dead letters.
    pub limit: usize,
    /// The topic for what cannot become a record of its own topic.
    pub dead_letter: String,
    /// The topic of checkpoints, for exactly-once delivery.
    pub checkpoints: String,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            name: "marketo.{stream}.{type}".into(),
            mode: Mode::default(),
            create: true,
            partitions: -1,
            replication_factor: -1,
            config: BTreeMap::new(),
            limit: 500,
            dead_letter: "marketo.dead-letter".into(),
            checkpoints: "marketo.checkpoints".into(),
        }
    }
}

/// `forward`: how the forwarder deals with topics that cannot make progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// A topic is held when it has made no progress for this long while the cluster answers.
    pub hold_after: Duration,
    /// Topics held at once, a source; beyond that the source waits.
    pub held_topics: usize,
    /// How long refused events wait for a dead-letter topic that can't be written.
    pub quarantine_after: Duration,
}

impl Default for Forward {
    fn default() -> Self {
        Self {
            hold_after: Duration::from_secs(30),
            held_topics: 64,
            quarantine_after: Duration::from_secs(300),
        }
    }
}

/// `sources.<name>`: one sender, at `POST /v1/<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceConfig {
    pub name: SourceName,
    pub kind: SourceKind,
    pub auth: Auth,
    /// For back-fill, of `adobe-io` sources alone.
    pub journal: Option<Journal>,
    /// Undelivered bytes of this source alone, below `spool.size_limit`.
    pub size_limit: Option<u64>,
    /// Names and aliases of activity types by id, over the catalogue's, which takes them. Written
    /// once for all sources, under `catalog`.
    pub activity_types: BTreeMap<i64, Override>,
}

/// `sources.<name>.auth`: how the sender shows who it is. At least one way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    pub tokens: Option<TokenAuth>,
    pub oauth: Option<OAuthAuth>,
    pub certificate: Option<CertificateAuth>,
    /// Signatures, for a source of kind `adobe-io`, and whose events they have to be.
    pub adobe: Option<AdobeAuth>,
}

/// A client certificate of an authority in `listen.tls.client_ca_file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateAuth {
    /// Any of these is accepted; at least one.
    pub names: Vec<String>,
}

/// `sources.<name>.journal`: the registration's journal, and Adobe's OAuth server-to-server
/// credential for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journal {
    pub url: Url,
    /// The IMS organization, `…@AdobeOrg`.
    pub organization_id: String,
    pub client_id: String,
    pub client_secret: Secret,
    pub token_url: Url,
    pub scopes: Vec<String>,
}

/// A token in the head of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenAuth {
    /// Any of these is accepted; at least one. None of them has control characters, or white space
    /// at either end.
    pub tokens: Vec<Secret>,
    pub header_scheme: HeaderScheme,
    /// Name of the query parameter that may carry the token instead of the header.
    pub query_parameter: Option<String>,
}

/// What stands before the token in the `Authorization` header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HeaderScheme {
    /// `Authorization: Bearer <token>`
    #[default]
    Bearer,
    /// `Authorization: Basic <token>`
    Basic,
    /// `Authorization: <token>`
    Bare,
}

impl HeaderScheme {
    pub const ALL: [Self; 3] = [Self::Bearer, Self::Basic, Self::Bare];

    /// The name that configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Basic => "Basic",
            Self::Bare => "bare",
        }
    }
}

/// `shutdown`: how long a clean stop may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How long requests are still taken after readiness went away.
    pub delay: Duration,
    /// How long the producers may go on sending what they hold.
    pub flush: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { delay: Duration::from_secs(5), flush: Duration::from_secs(10) }
    }
}
