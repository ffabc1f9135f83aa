//! `kafka`: the cluster, and the properties of librdkafka that may be set.
//!
//! Some properties would break promises of this program; they are refused with the reason. So are
//! mechanisms that this build has no library for: librdkafka would report them only when it connects, or
//! wait for ever.

use std::collections::BTreeMap;

use figment::value::Value;

use super::{
    Config,
    delivery::{self, Delivery},
    effective::HIDDEN,
    leaf::{SIZE, string},
    mistake::{Key, Mistakes},
    reading::{Reading, Section},
    registry::{self, SchemaRegistry},
    secret::{Secret, Unfit, one_line, placeholder},
    security,
    written::{list, quoted, text},
};

/// librdkafka's default of `message.max.bytes`.
const DEFAULT_RECORD_SIZE: u64 = 1_000_000;

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

impl Kafka {
    /// Default of `kafka.queue_size`.
    pub const QUEUE_SIZE: u64 = 64 * 1024 * 1024;
}

/// Checks whether the client library accepts the properties; connects to nothing. The error names the
/// property.
pub type Validate<'a> = &'a dyn Fn(&Kafka) -> Result<(), String>;

const SERVERS_REMEDY: &str =
    "Write host:port, several with commas, as in `kafka-1:9092,kafka-2:9092`.";

pub(super) fn read(
    reading: &mut Reading,
    root: &mut Section,
    validate: Validate,
) -> (Kafka, Option<SchemaRegistry>) {
    let mut section = reading.section(root, "kafka");
    let bootstrap_servers = reading.any(&mut section, "bootstrap_servers", servers);
    let queue_size = reading.leaf(&mut section, "queue_size", &SIZE, Kafka::QUEUE_SIZE);
    let delivery = delivery::read(reading, &mut section);
    let schema_registry = registry::read(reading, &mut section).flatten();
    let mut map = reading.section(&mut section, "properties");
    let key = map.key.clone();
    reading.end(section);

    let names = map.names();
    let mut properties = BTreeMap::new();
    for name in &names {
        let value = reading.any(&mut map, name, |value| property(name, value));
        let value = value.map(reading.with_file(&key.child(name)));
        properties.extend(value.map(|value| (name.clone(), value)));
    }
    // Placeholder, so that mistakes in the properties are reported even if the servers are wrong.
    let bootstrap_servers = bootstrap_servers.unwrap_or_else(|| "localhost:9092".into());
    let written =
        security::Written { names: &names, properties: &properties, servers: &bootstrap_servers };
    let consistent = security::check(&mut reading.mistakes, &key, written);
    let kafka = Kafka {
        bootstrap_servers,
        properties,
        queue_size: queue_size.unwrap_or(Kafka::QUEUE_SIZE),
        delivery,
    };
    ask(reading, &key, &kafka, validate, consistent);
    (kafka, schema_registry)
}

fn servers(value: &Value) -> Result<(String, String), (String, String)> {
    let wrong = |problem: String| (problem, SERVERS_REMEDY.to_owned());
    let servers = list(value).map_err(wrong)?;
    // Shows nothing before the host: there may be a user and a password.
    let shown =
        |bad: &String| format!("`{}`", bad.rsplit_once('@').map_or(&**bad, |(_, host)| host));
    let bad: Vec<_> = servers.iter().filter(|server| !is_server(server)).map(shown).collect();
    if !bad.is_empty() {
        let has_scheme = servers.iter().any(|it| !is_server(it) && it.contains("://"));
        let which = match (bad.len() > 1, has_scheme) {
            (false, false) => "is no host with a port",
            (true, false) => "are no hosts with a port",
            (false, true) => "has a scheme, and must be a host with a port alone",
            (true, true) => "must be hosts with a port alone, without a scheme",
        };
        return Err(wrong(format!("contains {}, which {which}", bad.join(" and "))));
    }
    let servers = servers.join(",");
    let shown = string(&servers);
    Ok((servers, shown))
}

/// Whether `server` is `host:9092` or `[::1]:9092`. The library also accepts `SSL://host`, but uses port 9092 and takes
/// the protocol from security.protocol: the text would mislead.
fn is_server(server: &str) -> bool {
    let Some((host, port)) = server.rsplit_once(':') else { return false };
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let legal_host = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let legal = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
            !host.is_empty() && host.bytes().all(legal)
        }
    };
    legal_host && port.parse::<u16>().is_ok_and(|port| port > 0)
}

pub(super) fn property(name: &str, value: &Value) -> Result<(Secret, String), (String, String)> {
    if let Some((reason, remedy)) = refused(name) {
        return Err((format!("is refused: {reason}"), remedy.into()));
    }
    let hidden = is_sensitive(name);
    // `sasl.password = 123` in the file may be a lost `0123`.
    let written = if hidden { quoted(value) } else { text(value) };
    let written = written
        .map_err(|what| (format!("is {what}"), "Write it as text, in quotes.".to_owned()))?;
    let unfit = |(problem, remedy): Unfit| (problem.to_owned(), remedy.to_owned());
    placeholder(&written).map_err(unfit)?;
    if hidden {
        one_line(&written).map_err(unfit)?;
    }
    let secret = Secret::new(&written)
        .ok_or_else(|| ("is empty".to_owned(), "Give it a value, or take it away.".to_owned()))?;
    // A URL may carry a password before its host.
    let hidden = hidden || (written.contains("://") && written.contains('@'));
    let shown = if hidden { HIDDEN.into() } else { string(secret.expose()) };
    Ok((secret, shown))
}

/// Whether the values of a property are a few well-known words, so that a wrong one may be shown
/// too.
pub fn is_a_choice(name: &str) -> bool {
    let choices = [
        "broker.address.family",
        "client.dns.lookup",
        "compression.codec",
        "compression.type",
        "security.protocol",
        "ssl.endpoint.identification.algorithm",
    ];
    choices.contains(&name)
}

/// Whether a property's value is a secret, judging by its name.
pub(super) fn is_sensitive(name: &str) -> bool {
    ["password", "passphrase", "secret", "key", "jaas", "token", "pem", "credential", "oauthbearer"]
        .iter()
        .any(|word| name.contains(word))
        && !NOT_SECRET.contains(&name)
}

/// Properties that are no secrets despite their names.
const NOT_SECRET: [&str; 8] = [
    "enable.sasl.oauthbearer.unsecure.jwt",
    "sasl.oauthbearer.audience",
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.grant.type",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
];

const TAKE_AWAY: &str = "Take it away.";

/// Returns why a property cannot be set, and the remedy.
fn refused(name: &str) -> Option<(&'static str, &'static str)> {
    let reason = match name {
        "" => ("a property has a name", TAKE_AWAY),
        "bootstrap.servers" | "metadata.broker.list" => {
            ("the brokers have a key of their own", "Use kafka.bootstrap_servers.")
        }
        "acks" | "request.required.acks" => (
            "an event counts as delivered only when all in-sync replicas have it (acks=all)",
            TAKE_AWAY,
        ),
        "enable.idempotence" | "enable.gapless.guarantee" => (
            "the producer is always idempotent: without that, retries repeat and reorder events",
            TAKE_AWAY,
        ),
        "message.timeout.ms" | "delivery.timeout.ms" => (
            "events are sent for as long as it takes; a time-out would drop them in an outage",
            TAKE_AWAY,
        ),
        "retries" | "message.send.max.retries" => {
            ("events are retried without limit; a limit would drop them in an outage", TAKE_AWAY)
        }
        "max.in.flight" | "max.in.flight.requests.per.connection" => {
            ("the order of events rests on the idempotent producer's own limit", TAKE_AWAY)
        }
        "queuing.strategy" => ("events leave in the order in which they came", TAKE_AWAY),
        "allow.auto.create.topics" => (
            "topics are made through the admin API, with the partitions and settings asked for",
            "Use topics.create.",
        ),
        "transactional.id" => (
            "the identity of a producer is its spool's",
            "Use kafka.transactional_id_prefix for what it begins with.",
        ),
        "transaction.timeout.ms" => ("it is a key of its own", "Use kafka.transaction_timeout."),
        "queue.buffering.max.kbytes" | "queue.buffering.max.messages" => {
            ("the queues of all sources share one limit", "Use kafka.queue_size.")
        }
        "queue.buffering.max.ms" => ("it is another name of linger.ms", "Use linger.ms."),
        "partitioner" => (
            "a key must always meet the same partition, and the same one as Java's clients choose \
             (murmur2_random)",
            TAKE_AWAY,
        ),
        "delivery.report.only.error" => {
            ("without reports of success nothing would ever count as delivered", TAKE_AWAY)
        }
        "plugin.library.paths" => ("this program loads no foreign code", TAKE_AWAY),
        "enabled.events"
        | "interceptors"
        | "opaque"
        | "msg.order.cmp"
        | "default.topic.conf"
        | "ssl.key"
        | "ssl.certificate"
        | "ssl.ca"
        | "ssl.engine.callback.data" => (
            "it belongs to the program and cannot be set as text",
            "Take it away; certificates go to ssl.ca.location, ssl.certificate.location and \
             ssl.key.location.",
        ),
        "builtin.features" => ("it says what the library was built with", TAKE_AWAY),
        _ if name.ends_with(".cb") => ("callbacks belong to the program", TAKE_AWAY),
        _ if name.starts_with("test.mock.") => {
            ("events would go to a cluster in memory only", TAKE_AWAY)
        }
        _ if CONSUMER_PROPERTIES.contains(&name) => {
            ("it is a consumer's property, and this is a producer", TAKE_AWAY)
        }
        _ => return None,
    };
    Some(reason)
}

const CONSUMER_PROPERTIES: [&str; 35] = [
    "auto.commit.enable",
    "auto.commit.interval.ms",
    "auto.offset.reset",
    "check.crcs",
    "consume.callback.max.messages",
    "coordinator.query.interval.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.partition.eof",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.protocol.type",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "isolation.level",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "max.poll.records",
    "offset.store.method",
    "offset.store.path",
    "offset.store.sync.interval.ms",
    "partition.assignment.strategy",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "session.timeout.ms",
    "key.deserializer",
    "value.deserializer",
    "exclude.internal.topics",
];

/// Validates the properties by the client library. It stops at the first that it rejects, so each
/// is then validated alone, to find all of them.
fn ask(reading: &mut Reading, key: &Key, kafka: &Kafka, validate: Validate, consistent: bool) {
    let Err(whole) = validate(kafka) else { return };
    let remedy = "See librdkafka's CONFIGURATION.md for the names and values of properties.";
    let missing = security::unreadable_files(kafka);
    for (name, problem) in &missing {
        let remedy = "Name a file that this process may read.";
        reading.mistakes.at(&key.child(name), problem, remedy);
    }
    let mut found = !missing.is_empty();
    let others = kafka.properties.iter().filter(|(name, _)| !missing.contains_key(*name));
    for (name, value) in others {
        let properties = BTreeMap::from([(name.clone(), value.clone())]);
        let alone = Kafka { properties, ..kafka.clone() };
        // Alone, a property may also fail because another is missing: the error does not name it then.
        if let Err(problem) = validate(&alone)
            && problem.contains(name.as_str())
        {
            found = true;
            let problem =
                format!("is rejected by the Kafka client: {}", hide(&problem, name, kafka));
            reading.mistakes.at(&key.child(name), problem, remedy);
        }
    }
    // An inconsistent set was reported before, with its key.
    if !found && consistent {
        let problem = hide(&whole, "", kafka);
        let named = kafka.properties.keys().filter(|name| whole.contains(name.as_str()));
        let (key, verb) = match named.max_by_key(|name| name.len()) {
            Some(name) => (key.child(name), "is"),
            None => (key.clone(), "are"),
        };
        let problem = format!("{verb} not accepted by the Kafka client: {problem}");
        reading.mistakes.at(&key, problem, remedy);
    }
}

/// Returns the library's error on one line, without the key, which the mistake has already, and without values that
/// the library quotes in some of its errors.
pub(super) fn hide(text: &str, name: &str, kafka: &Kafka) -> String {
    let prefix = format!("kafka.properties.\"{name}\": ");
    let text = text.strip_prefix(&prefix).unwrap_or(text).trim_end_matches('.').replace('\n', "; ");
    let secrets = kafka.properties.iter().filter(|(name, _)| is_sensitive(name));
    secrets.fold(text, |text, (_, secret)| text.replace(secret.expose(), "***"))
}

pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    delivery::check(config, mistakes);
    registry::check(config, mistakes);
    let Config { kafka, sources, .. } = config;
    let record = kafka.properties.get("message.max.bytes");
    let record = record.and_then(|text| text.expose().parse().ok()).unwrap_or(DEFAULT_RECORD_SIZE);
    if kafka.queue_size / (sources.len() as u64).max(1) < 2 * record {
        let problem = "leaves a source less than two records of the largest size \
                       (message.max.bytes), which it could then never send";
        let remedy = "Raise it; the sources share it evenly.";
        mistakes.at(&Key::new("kafka.queue_size"), problem, remedy);
    }
}
