//! Bad combinations: values that are fine alone and break a promise together. They are refused and
//! never quietly repaired.

use super::{
    mistake::{Key, Mistakes},
    stages::{Admin, Delivery, Forward, Kafka, Listen, SourceConfig, Spool, Topics},
    tls,
};

/// librdkafka's own `message.max.bytes`.
const RECORD: u64 = 1_000_000;

const HEADER_LIMITS: std::ops::RangeInclusive<usize> = 8 * 1024..=1024 * 1024;

const SEGMENT_SIZES: std::ops::RangeInclusive<u64> = 4 * 1024..=4 * 1024 * 1024 * 1024;

/// The sections that had no mistakes of their own.
pub(super) struct Known<'a> {
    pub listen: Option<&'a Listen>,
    pub admin: Option<&'a Admin>,
    pub spool: Option<&'a Spool>,
    pub kafka: Option<&'a Kafka>,
    pub topics: Option<&'a Topics>,
    pub forward: Option<&'a Forward>,
    pub sources: Option<&'a [SourceConfig]>,
}

pub(super) fn check(known: Known<'_>, mistakes: &mut Mistakes) {
    if let (Some(listen), Some(sources)) = (known.listen, known.sources) {
        tls::rules(listen, sources, mistakes);
    }
    let mut wrong = |key: &str, problem: &str, remedy: &str| {
        mistakes.at(&Key::new(key), problem, remedy);
    };
    if let Some(listen) = known.listen {
        bodies(listen, &mut wrong);
    }
    if let (Some(listen), Some(admin)) = (known.listen, known.admin) {
        let (a, b) = (listen.address, admin.address);
        let same_ip = a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified();
        if a.port() == b.port() && a.port() != 0 && same_ip {
            wrong("admin.address", "has the port of listen.address", "Choose another port.");
        }
    }
    if let Some(spool) = known.spool
        && !SEGMENT_SIZES.contains(&spool.segment_size)
    {
        wrong("spool.segment_size", "is below 4 KiB or above 4 GiB", "64MiB is a good size.");
    }
    if let (Some(listen), Some(spool)) = (known.listen, known.spool)
        && listen.body_limit_inflated >= spool.size_limit
    {
        let problem = "is not below spool.size_limit, so one body could fill the spool for ever";
        wrong("listen.body_limit_inflated", problem, "Lower it, or raise spool.size_limit.");
    } else if let (Some(listen), Some(spool), Some([_, _, ..])) =
        (known.listen, known.spool, known.sources)
        && listen.body_limit_inflated >= spool.size_limit / 2
    {
        let problem = "is not below half of spool.size_limit, which is the least that one of several sources may take";
        wrong("listen.body_limit_inflated", problem, "Lower it, or raise spool.size_limit.");
    }
    if let (Some(listen), Some(spool)) = (known.listen, known.spool)
        && spool.reserve < Spool::least_reserve(listen.body_limit_inflated)
    {
        let problem = "can't hold the checkpoint and one body of listen.body_limit_inflated in quarantine: on a \
                       full volume nothing would be delivered";
        let remedy = "Raise it to listen.body_limit_inflated and 2MiB more, or lower that.";
        wrong("spool.reserve", problem, remedy);
    }
    if let Some(topics) = known.topics
        && topics.name == topics.dead_letter
    {
        let problem = "is the topic of all events too";
        wrong("topics.dead_letter", problem, "Choose a topic of its own.");
    }
    if let Some(topics) = known.topics
        && (topics.checkpoints == topics.dead_letter || topics.checkpoints == topics.name)
    {
        let problem =
            "is the topic of something else too, and nothing but checkpoints may be there";
        wrong("topics.checkpoints", problem, "Choose a topic of its own.");
    }
    if let (Some(kafka), Some(forward)) = (known.kafka, known.forward)
        && kafka.delivery.is_exactly_once()
    {
        transactions(kafka, forward, &mut wrong);
    }
    if let Some(sources) = known.sources {
        for source in sources {
            limits(source, known.listen, known.spool, &mut wrong);
        }
    }
    if let (Some(kafka), Some(sources)) = (known.kafka, known.sources) {
        let record = kafka.properties.get("message.max.bytes");
        let record = record.and_then(|text| text.expose().parse().ok()).unwrap_or(RECORD);
        if kafka.queue_size / (sources.len() as u64).max(1) < 2 * record {
            let problem = "leaves a source less than two records of the largest size \
                           (message.max.bytes), which it could then never send";
            wrong("kafka.queue_size", problem, "Raise it; the sources share it evenly.");
        }
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
    listen: Option<&Listen>,
    spool: Option<&Spool>,
    wrong: &mut impl FnMut(&str, &str, &str),
) {
    let Some(limit) = source.size_limit else { return };
    let key = format!("sources.{}.size_limit", source.name);
    if spool.is_some_and(|spool| limit > spool.size_limit) {
        let problem = "is above spool.size_limit, the limit of all sources together";
        wrong(&key, problem, "Lower it, or raise spool.size_limit.");
    }
    if listen.is_some_and(|listen| limit <= listen.body_limit_inflated) {
        let problem = "is not above listen.body_limit_inflated, so one body could fill it for ever";
        wrong(&key, problem, "Raise it, or lower listen.body_limit_inflated.");
    }
}
