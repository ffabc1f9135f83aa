//! Properties of librdkafka: the user's own, within the promises of this service.
//!
//! Three layers. *Defaults* give way to the user's values, *promises* do not (`acks`, idempotence,
//! no time-out that drops a record), and a few may only be made stricter (`reconnect.backoff.max.ms`
//! so that delivery comes back within a second or so, `max.in.flight`). Names have aliases, so all
//! are brought to one spelling first: librdkafka would otherwise take whichever came last.
//!
//! Compression is off unless the user sets `compression.type`: on two cores it costs throughput
//! (lz4 a fifth, zstd a third), and only the user can weigh that against network and brokers.

use std::{collections::BTreeMap, time::Duration};

use rdkafka::{
    ClientConfig,
    config::RDKafkaLogLevel,
    error::KafkaError,
    producer::{BaseProducer, DefaultProducerContext},
};

use super::transactions::Identity;
use crate::config::{self, Secret};

/// Values where the user sets none.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "millrace"),
    ("reconnect.backoff.ms", "100"),
    ("socket.keepalive.enable", "true"),
    // A connection attempt that a dead network swallowed is repeated by us sooner than by the kernel.
    ("socket.connection.setup.timeout.ms", "10000"),
    // Time for which a topic that the directory saw may be unknown to the broker that is asked next.
    ("topic.metadata.propagation.max.ms", "5000"),
];

/// Values for producers, where the user sets none.
const PRODUCER_DEFAULTS: &[(&str, &str)] = &[
    ("linger.ms", "5"),
    ("batch.size", "1000000"),
    ("compression.codec", "none"),
    // Interval at which metrics learn of the client's queue and brokers, and the forwarder that a broker throttles
    // the client: before it gives up on an answer.
    ("statistics.interval.ms", "5000"),
];

/// Fixed values for producers.
const PRODUCER_PROMISES: &[(&str, &str)] = &[
    ("acks", "all"),
    ("enable.idempotence", "true"),
    // Zero means for ever: librdkafka never gives up on a record by itself.
    ("message.timeout.ms", "0"),
    ("message.send.max.retries", "2147483647"),
    // The Java clients' default, so that topics can be joined.
    ("partitioner", "murmur2_random"),
    ("delivery.report.only.error", "false"),
    ("queue.buffering.max.messages", "10000000"),
];

/// Properties of producers that keep the library's default, whatever the user sets.
const PRODUCER_REMOVED: &[&str] = &[
    // One refused record must not make the whole producer fatal.
    "enable.gapless.guarantee",
];

/// Upper limits, in the property's own unit.
const CEILINGS: &[(&str, u64)] = &[("reconnect.backoff.max.ms", 1000)];
/// Upper limits for producers: with idempotence the library refuses more.
const PRODUCER_CEILINGS: &[(&str, u64)] = &[("max.in.flight.requests.per.connection", 5)];

/// librdkafka's aliases, each with the name that this module uses.
const ALIASES: &[(&str, &str)] = &[
    ("metadata.broker.list", "bootstrap.servers"),
    ("max.in.flight", "max.in.flight.requests.per.connection"),
    ("sasl.mechanism", "sasl.mechanisms"),
    ("queue.buffering.max.ms", "linger.ms"),
    ("retries", "message.send.max.retries"),
    ("compression.type", "compression.codec"),
    ("request.required.acks", "acks"),
    ("delivery.timeout.ms", "message.timeout.ms"),
];

/// librdkafka's own default for `message.max.bytes`.
const MESSAGE_MAX_BYTES: usize = 1_000_000;

/// Configuration of a client that only asks: topics, metadata, admin.
pub(super) fn client(kafka: &config::Kafka) -> ClientConfig {
    layered(kafka, DEFAULTS.iter(), CEILINGS.iter(), [("allow.auto.create.topics", "false".into())])
}

/// Configuration of a producer whose queue holds at most `queue_size` bytes.
pub(super) fn producer(kafka: &config::Kafka, queue_size: u64) -> ClientConfig {
    // Never so small that the largest record would not fit.
    let queue_size = queue_size.max(2 * message_max_bytes(kafka) as u64);
    let promises = PRODUCER_PROMISES.iter().map(|(name, value)| (*name, String::from(*value)));
    let mut config = layered(
        kafka,
        DEFAULTS.iter().chain(PRODUCER_DEFAULTS),
        CEILINGS.iter().chain(PRODUCER_CEILINGS),
        promises.chain([
            ("allow.auto.create.topics", "false".into()),
            ("queue.buffering.max.kbytes", (queue_size.div_ceil(1024).min(2_097_151)).to_string()),
        ]),
    );
    for name in PRODUCER_REMOVED {
        config.remove(name);
    }
    config
}

/// Configuration of a transactional producer; librdkafka gives up a record with its transaction.
pub(super) fn transactional(
    kafka: &config::Kafka,
    queue_size: u64,
    identity: &Identity,
) -> ClientConfig {
    let mut config = producer(kafka, queue_size);
    config
        .set("transactional.id", &identity.id)
        .set("transaction.timeout.ms", identity.timeout.as_millis().to_string());
    config.remove("message.timeout.ms");
    config
}

/// Configuration of a consumer that reads chosen partitions from their beginning and commits nothing.
pub(super) fn reader(kafka: &config::Kafka) -> ClientConfig {
    layered(
        kafka,
        DEFAULTS.iter(),
        CEILINGS.iter(),
        [
            // librdkafka assigns nothing without the name of a group, which is never joined.
            ("group.id", "millrace-reader".into()),
            ("enable.auto.commit", "false".into()),
            ("enable.auto.offset.store", "false".into()),
            ("auto.offset.reset", "earliest".into()),
            ("allow.auto.create.topics", "false".into()),
            ("fetch.wait.max.ms", "10".into()),
        ],
    )
}

/// The `message.max.bytes` in effect, in bytes.
pub(super) fn message_max_bytes(kafka: &config::Kafka) -> usize {
    let user = kafka.properties.get("message.max.bytes");
    user.and_then(|value| value.expose().parse().ok()).unwrap_or(MESSAGE_MAX_BYTES)
}

/// Returns the `linger.ms` that a producer has.
pub(super) fn linger(kafka: &config::Kafka) -> Duration {
    let config = producer(kafka, 0);
    let milliseconds = config.get("linger.ms").and_then(|value| value.parse::<f64>().ok());
    let seconds = milliseconds.unwrap_or_default() / 1000.0;
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

/// The user name that the brokers see, where the properties have one.
pub(super) fn principal(kafka: &config::Kafka) -> Option<&str> {
    kafka.properties.get("sasl.username").map(Secret::expose)
}

/// Whether Kafka's own tools need a `--command-config` for this cluster.
pub fn is_secured(kafka: &config::Kafka) -> bool {
    let protocol = kafka.properties.get("security.protocol").map(Secret::expose);
    !protocol.unwrap_or("plaintext").eq_ignore_ascii_case("plaintext")
}

pub(super) fn is_encrypted(kafka: &config::Kafka) -> bool {
    let protocol = kafka.properties.get("security.protocol").map(Secret::expose);
    protocol.is_some_and(|protocol| protocol.to_ascii_uppercase().ends_with("SSL"))
}

/// Checks names and values with the library, without connecting anywhere: first each property by
/// itself (all mistakes, one a line), then their combination in a client that knows no broker
/// (missing files, mechanisms that this build lacks). Values never show in the error.
pub fn validate(properties: &BTreeMap<String, Secret>) -> Result<(), String> {
    let mut mistakes = Vec::new();
    for (name, value) in properties.iter().filter(|(name, _)| !config::is_of_login(name)) {
        if let Err(error) = empty().set(name, value.expose()).create_native_config() {
            mistakes.push(describe(&error));
        }
    }
    if !mistakes.is_empty() {
        return Err(mistakes.join("\n"));
    }
    let kafka = config::Kafka {
        bootstrap_servers: String::new(),
        properties: properties.clone(),
        queue_size: config::Kafka::QUEUE_SIZE,
        delivery: Default::default(),
    };
    let mut config = producer(&kafka, kafka.queue_size);
    config.remove("bootstrap.servers").set_log_level(RDKafkaLogLevel::Emerg);
    match config.create_with_context::<_, BaseProducer>(DefaultProducerContext) {
        Ok(_) => Ok(()),
        Err(error) => Err(describe(&error)),
    }
}

/// The reason why a client could not be made, without any property's value (it may be a secret).
pub(super) fn describe(error: &KafkaError) -> String {
    match error {
        KafkaError::ClientConfig(_, text, name, value) => {
            let shown = value.is_empty() || config::is_a_choice(name);
            let text = if shown { text.clone() } else { text.replace(value, "***") };
            format!("kafka.properties.\"{name}\": {}", text.trim())
        }
        KafkaError::ClientCreation(text) => text.clone(),
        other => other.to_string(),
    }
}

fn layered<'a>(
    kafka: &'a config::Kafka,
    defaults: impl Iterator<Item = &'a (&'a str, &'a str)>,
    ceilings: impl Iterator<Item = &'a (&'a str, u64)>,
    promises: impl IntoIterator<Item = (&'a str, String)>,
) -> ClientConfig {
    let mut properties: BTreeMap<&str, String> =
        defaults.map(|(name, value)| (*name, String::from(*value))).collect();
    for (name, value) in kafka.properties.iter().filter(|(name, _)| !config::is_of_login(name)) {
        properties.insert(canonical(name), value.expose().into());
    }
    // AWS's own name for it. The tokens come from `login`, of either provider.
    if properties.get("sasl.mechanisms").is_some_and(|mechanism| mechanism == config::MSK_IAM) {
        properties.insert("sasl.mechanisms", "OAUTHBEARER".into());
    }
    for (name, ceiling) in ceilings {
        let user = properties.get(name).and_then(|value| value.parse::<u64>().ok());
        properties.insert(name, user.unwrap_or(*ceiling).min(*ceiling).to_string());
    }
    // A longest pause below the first one would be refused as a combination.
    if let Some(longest) = properties.get("reconnect.backoff.max.ms").cloned() {
        let first = properties.get("reconnect.backoff.ms").and_then(|v| v.parse::<u64>().ok());
        if first > longest.parse().ok() {
            properties.insert("reconnect.backoff.ms", longest);
        }
    }
    properties.extend(promises);
    properties.insert("bootstrap.servers", kafka.bootstrap_servers.clone());

    // The level of the `log` crate, which the library would use, means nothing in this program.
    let level = if properties.contains_key("debug") {
        RDKafkaLogLevel::Debug
    } else {
        RDKafkaLogLevel::Info
    };
    let mut config = empty();
    config.set_log_level(level);
    for (name, value) in properties {
        config.set(name, value);
    }
    config
}

/// The configuration that every client starts from.
fn empty() -> ClientConfig {
    keep_openssl();
    ClientConfig::new()
}

/// Lets OpenSSL keep its tables until the process is gone. It would give them back at `exit`, when a client
/// whose listing was given up may be about to authenticate on a thread of librdkafka: a segmentation fault.
/// The first initialization of a process decides, so this comes before librdkafka's own.
pub(super) fn keep_openssl() {
    openssl_sys::init();
}

fn canonical(name: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kafka(properties: &[(&str, &str)]) -> config::Kafka {
        config::Kafka {
            bootstrap_servers: "b:9092".into(),
            properties: pairs(properties),
            queue_size: config::Kafka::QUEUE_SIZE,
            delivery: Default::default(),
        }
    }

    fn pairs(properties: &[(&str, &str)]) -> BTreeMap<String, Secret> {
        let secret = |text: &str| Secret::new(text).unwrap();
        properties.iter().map(|(name, value)| ((*name).into(), secret(value))).collect()
    }

    #[test]
    fn promises_stand_above_the_user_whatever_the_alias() {
        let kafka = kafka(&[
            ("request.required.acks", "1"),
            ("delivery.timeout.ms", "1000"),
            ("retries", "0"),
            ("metadata.broker.list", "elsewhere:1"),
            ("enable.idempotence", "false"),
            ("enable.gapless.guarantee", "true"),
        ]);
        let config = producer(&kafka, 1 << 20);
        let native = config.create_native_config().unwrap();
        for (name, value) in [
            ("acks", "-1"),
            ("message.timeout.ms", "0"),
            ("retries", "2147483647"),
            ("bootstrap.servers", "b:9092"),
            ("enable.idempotence", "true"),
            ("enable.gapless.guarantee", "false"),
            ("partitioner", "murmur2_random"),
        ] {
            assert_eq!(native.get(name).unwrap(), value, "{name}");
        }
    }

    #[test]
    fn defaults_give_way_to_the_user() {
        let user = kafka(&[("queue.buffering.max.ms", "50"), ("compression.type", "zstd")]);
        let config = producer(&user, 1 << 20);
        assert_eq!(config.get("linger.ms"), Some("50"));
        assert_eq!(linger(&user), Duration::from_millis(50));
        assert_eq!(config.get("compression.codec"), Some("zstd"));
        assert_eq!(producer(&kafka(&[]), 0).get("compression.codec"), Some("none"));
    }

    #[test]
    fn ceilings_can_only_be_lowered() {
        let lower = kafka(&[("reconnect.backoff.max.ms", "50"), ("max.in.flight", "1")]);
        let config = producer(&lower, 1 << 20);
        assert_eq!(config.get("reconnect.backoff.max.ms"), Some("50"));
        assert_eq!(config.get("reconnect.backoff.ms"), Some("50"));
        assert_eq!(config.get("max.in.flight.requests.per.connection"), Some("1"));
        let higher = kafka(&[("reconnect.backoff.max.ms", "60000"), ("max.in.flight", "100")]);
        let config = producer(&higher, 1 << 20);
        assert_eq!(config.get("reconnect.backoff.max.ms"), Some("1000"));
        assert_eq!(config.get("max.in.flight.requests.per.connection"), Some("5"));
    }

    #[test]
    fn every_layer_is_known_to_the_library() {
        for config in [client(&kafka(&[])), producer(&kafka(&[]), 1), reader(&kafka(&[]))] {
            config.create_native_config().unwrap();
        }
        let identity = Identity {
            id: "millrace-1".into(),
            topic: "t".into(),
            key: "k".into(),
            timeout: Duration::from_secs(60),
        };
        let config = transactional(&kafka(&[]), 1, &identity);
        config.create_with_context::<_, BaseProducer>(DefaultProducerContext).unwrap();
        validate(&BTreeMap::new()).unwrap();
    }

    #[test]
    fn unknown_names_and_bad_values_are_all_found() {
        let properties =
            pairs(&[("no.such.thing", "1"), ("linger.ms", "soon"), ("client.id", "x")]);
        let error = validate(&properties).unwrap_err();
        assert!(error.contains("no.such.thing") && error.contains("linger.ms"), "{error}");
        assert_eq!(error.lines().count(), 2, "{error}");
    }

    #[test]
    fn a_bad_combination_is_found_without_connecting() {
        let properties =
            pairs(&[("security.protocol", "ssl"), ("ssl.ca.location", "/nowhere/ca.pem")]);
        assert!(validate(&properties).unwrap_err().contains("ssl.ca.location"));
    }

    #[test]
    fn mechanisms_that_this_build_lacks_are_refused_by_name() {
        let properties =
            pairs(&[("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "GSSAPI")]);
        assert!(validate(&properties).unwrap_err().contains("GSSAPI"));
    }

    #[test]
    fn no_value_shows_in_an_error() {
        let properties = pairs(&[("sasl.pasword", "hunter2"), ("linger.ms", "hunter2")]);
        let error = validate(&properties).unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
