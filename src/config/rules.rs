//! Bad combinations: values that are fine alone and break a promise together. They are refused and
//! never quietly repaired.

use super::{
    Config,
    mistake::{Key, Mistakes},
    stages::{Delivery, Forward, Kafka, Listen, SourceConfig, Spool},
    tls,
};

/// librdkafka's own `message.max.bytes`.
const RECORD: u64 = 1_000_000;

const HEADER_LIMITS: std::ops::RangeInclusive<usize> = 8 * 1024..=1024 * 1024;

const SEGMENT_SIZES: std::ops::RangeInclusive<u64> = 4 * 1024..=4 * 1024 * 1024 * 1024;

pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    let Config { listen, admin, spool, kafka, topics, forward, sources, .. } = config;
    tls::rules(listen, sources, mistakes);
    let mut wrong = |key: &str, problem: &str, remedy: &str| {
        mistakes.at(&Key::new(key), problem, remedy);
    };
    bodies(listen, &mut wrong);
    let (a, b) = (listen.address, admin.address);
    let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
    if a.port() == b.port() && a.port() != 0 && same_ip {
        wrong("admin.address", "has the port of listen.address", "Choose another port.");
    }
    if !SEGMENT_SIZES.contains(&spool.segment_size) {
        wrong("spool.segment_size", "is below 4 KiB or above 4 GiB", "64MiB is a good size.");
    }
    bodies_in_spool(config, &mut wrong);
    if topics.name == topics.dead_letter {
        let problem = "is the topic of all events too (topics.name)";
        wrong("topics.dead_letter", problem, "Choose a topic of its own.");
    }
    if topics.checkpoints == topics.dead_letter || topics.checkpoints == topics.name {
        let problem =
            "is the topic of something else too, and nothing but checkpoints may be there";
        wrong("topics.checkpoints", problem, "Choose a topic of its own.");
    }
    if kafka.delivery.is_exactly_once() {
        transactions(kafka, forward, &mut wrong);
    }
    for source in sources {
        limits(source, listen, spool, &mut wrong);
    }
    let record = kafka.properties.get("message.max.bytes");
    let record = record.and_then(|text| text.expose().parse().ok()).unwrap_or(RECORD);
    if kafka.queue_size / (sources.len() as u64).max(1) < 2 * record {
        let problem = "leaves a source less than two records of the largest size \
                       (message.max.bytes), which it could then never send";
        wrong("kafka.queue_size", problem, "Raise it; the sources share it evenly.");
    }
}

fn bodies_in_spool(config: &Config, wrong: &mut impl FnMut(&str, &str, &str)) {
    let Config { listen, spool, sources, .. } = config;
    if listen.body_limit_inflated >= spool.size_limit {
        let problem = "is not below spool.size_limit, so one body could fill the spool for ever";
        wrong("listen.body_limit_inflated", problem, "Lower it, or raise spool.size_limit.");
    } else if sources.len() > 1 && listen.body_limit_inflated >= spool.size_limit / 2 {
        let problem = "is not below half of spool.size_limit, which is the least that one of several sources may take";
        wrong("listen.body_limit_inflated", problem, "Lower it, or raise spool.size_limit.");
    }
    if spool.reserve < Spool::least_reserve(listen.body_limit_inflated) {
        let problem = "can't hold the checkpoint and one body of listen.body_limit_inflated in quarantine: on a \
                       full volume nothing would be delivered";
        let remedy = "Raise it to listen.body_limit_inflated and 2MiB more, or lower that.";
        wrong("spool.reserve", problem, remedy);
    }
}

fn transactions(kafka: &Kafka, forward: &Forward, wrong: &mut impl FnMut(&str, &str, &str)) {
    let timeout = kafka.delivery.transaction_timeout(forward);
    match kafka.delivery.transaction_timeout {
        None if timeout > *Delivery::TRANSACTIONS.end() => {
            let problem = "needs transactions of twice its time for exactly-once delivery, and brokers \
                           take no longer ones than 15 minutes (transaction.max.timeout.ms)";
            wrong("forward.hold_after", problem, "Lower it to 7m 30s or less.");
        }
        Some(written) if written <= forward.hold_after => {
            let problem = "is no longer than forward.hold_after, so a topic without progress would end \
                           each transaction before it is held";
            wrong("kafka.transaction_timeout", problem, "Raise it, or lower forward.hold_after.");
        }
        Some(written) if !Delivery::TRANSACTIONS.contains(&written) => {
            let problem = "is no time that brokers take: 1 second to 15 minutes \
                           (transaction.max.timeout.ms)";
            wrong("kafka.transaction_timeout", problem, "1m is a good start.");
        }
        Some(_) | None => {}
    }
    if kafka.delivery.commit_interval > timeout / 4 {
        let problem = "is above a quarter of the time that a transaction may last \
                       (kafka.transaction_timeout), so transactions would time out before they are \
                       committed";
        wrong("kafka.commit_interval", problem, "Lower it; 500ms is a good start.");
    }
}

fn bodies(listen: &Listen, wrong: &mut impl FnMut(&str, &str, &str)) {
    let Listen { body_limit, body_limit_inflated, body_budget, header_limit, .. } = listen;
    if body_limit > body_budget {
        let problem = "is above listen.body_budget, so a body of that size could never be taken";
        wrong("listen.body_limit", problem, "Lower it, or raise listen.body_budget.");
    }
    if body_limit > body_limit_inflated {
        let problem = "is below listen.body_limit, and a body that is not compressed needs as much";
        wrong("listen.body_limit_inflated", problem, "Raise it, or lower listen.body_limit.");
    }
    if body_limit_inflated > body_budget {
        let problem = "is above listen.body_budget, so a body of that size could never be taken";
        wrong("listen.body_limit_inflated", problem, "Lower it, or raise listen.body_budget.");
    }
    if *body_limit_inflated > u64::from(u32::MAX) {
        let problem = "is above 4294967295 bytes, the most that the spool's frames can hold";
        wrong("listen.body_limit_inflated", problem, "Lower it.");
    }
    if !HEADER_LIMITS.contains(header_limit) {
        let remedy = "Choose from 8KiB to 1MiB.";
        wrong("listen.header_limit", "is below 8 KiB or above 1 MiB", remedy);
    }
}

fn limits(
    source: &SourceConfig,
    listen: &Listen,
    spool: &Spool,
    wrong: &mut impl FnMut(&str, &str, &str),
) {
    let Some(limit) = source.size_limit else { return };
    let key = format!("sources.{}.size_limit", source.name);
    if limit > spool.size_limit {
        let problem = "is above spool.size_limit, the limit of all sources together";
        wrong(&key, problem, "Lower it, or raise spool.size_limit.");
    }
    if limit <= listen.body_limit_inflated {
        let problem = "is not above listen.body_limit_inflated, so one body could fill it for ever";
        wrong(&key, problem, "Raise it, or lower listen.body_limit_inflated.");
    }
}
