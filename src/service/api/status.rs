//! The whole status, for the console's overview and for `millrace top`.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

use super::{ApiBackend, banners, words};
use crate::{
    config::{SourceConfig, WayIn},
    observe::{
        admin::State,
        api::{
            objects::{
                self, Access, Backlog, Held, History, Kafka, Others, Rates, Refused, Topic, Tries,
            },
            rates::{SeriesKind, Totals},
        },
        metrics::{SourceMetrics, recent::Remembered, settled},
    },
    runtime::shutdown::Phase,
    source::SourceKind,
    spool::SpoolState,
};

/// Topics that are listed.
const MAX_TOPICS: usize = 500;

pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn status(known: &ApiBackend, access: Access) -> objects::Status {
    let metrics = &known.metrics;
    metrics.tries.show(metrics);
    // Counts are those of now, and not of the last reading.
    known.rates.catch_up(metrics);
    let asked = known.status.upgrade();
    if let Some(asked) = &asked {
        asked.refresh(metrics);
    }
    let health = asked.map(|asked| asked.health()).unwrap_or_default();
    let stopping = known.shutdown.has_reached(Phase::Draining).then(|| "stopping".to_owned());
    let reasons: Vec<_> = [stopping.clone(), health.poisoned.clone(), health.below_reserve.clone()]
        .into_iter()
        .flatten()
        .collect();
    let state = match (stopping.is_some(), reasons.is_empty()) {
        (true, _) => "stopping",
        (_, true) => "ok",
        _ => "unavailable",
    };
    let sources: Vec<_> = known.config.sources.iter().map(|it| source(known, it)).collect();
    let all = |what: SeriesKind| known.rates.sum(|it, _, _| it == what);
    objects::Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        now: now(),
        started: count(metrics.start_time_seconds.get()) * 1000,
        state: state.to_owned(),
        reasons,
        delivery: if known.config.kafka.delivery.is_exactly_once() {
            "exactly-once"
        } else {
            "at-least-once"
        }
        .to_owned(),
        kafka: kafka(known),
        access,
        banners: banners::banners(known, &health, stopping.is_some()),
        sources,
        others: others(known),
        topics: topics(known),
        dead_letter_topic: known.config.topics.dead_letter.clone(),
        test_topic: known.config.admin.test_topic.clone(),
        rates: rates(
            &all(SeriesKind::Outcome),
            &stored(known, None),
            &all(SeriesKind::Refusal),
            &all(SeriesKind::Event),
            &all(SeriesKind::Dead),
        ),
        history: history(known, None),
    }
}

/// A gauge of things that are counted, which is never below zero.
fn count(gauge: i64) -> u64 {
    u64::try_from(gauge).unwrap_or_default()
}

fn kafka(known: &ApiBackend) -> Kafka {
    let metrics = &known.metrics;
    // A broker has a gauge for each client of the process.
    let mut is_connected: BTreeMap<String, bool> = BTreeMap::new();
    for (broker, gauge) in metrics.labelled_gauges(&metrics.kafka_broker_connected, "broker") {
        *is_connected.entry(broker).or_default() |= gauge > 0.0;
    }
    Kafka {
        connected: is_connected.values().filter(|it| **it).count() as u64,
        brokers: is_connected.len() as u64,
        away: metrics.contact.is_lost(),
        bootstrap_servers: known.config.kafka.bootstrap_servers.clone(),
    }
}

fn of<'a>(
    what: SeriesKind,
    source: Option<&'a str>,
) -> impl Fn(SeriesKind, &str, &str) -> bool + 'a {
    move |it, name, _| it == what && source.is_none_or(|source| source == name)
}

fn stored(known: &ApiBackend, source: Option<&str>) -> Totals {
    known.rates.sum(|it, name, outcome| {
        of(SeriesKind::Outcome, source)(it, name, outcome) && outcome == "stored"
    })
}

fn rates(
    received: &Totals,
    stored: &Totals,
    refused: &Totals,
    delivered: &Totals,
    dead: &Totals,
) -> Rates {
    Rates {
        received: received.per_second,
        stored: stored.per_second,
        refused: refused.per_second,
        delivered: delivered.per_second,
        dead_letters: dead.per_second,
    }
}

fn history(known: &ApiBackend, source: Option<&str>) -> History {
    let minutes = |what| known.rates.sum(of(what, source)).minutes;
    History {
        end: now(),
        step_seconds: 60,
        received: minutes(SeriesKind::Outcome),
        stored: stored(known, source).minutes,
        refused: minutes(SeriesKind::Refusal),
        delivered: minutes(SeriesKind::Event),
        dead_letters: minutes(SeriesKind::Dead),
        repeats: minutes(SeriesKind::Repeat),
        backlog_bytes: known.rates.values(|it, name| of(SeriesKind::Backlog, source)(it, name, "")),
    }
}

fn source(known: &ApiBackend, source: &SourceConfig) -> objects::Source {
    let name = source.name.as_str();
    let metrics = known.metrics.source(name);
    let last = known.metrics.recent.last(name);
    let spool = known.spool(&source.name);
    let backlog = spool.map(|spool| spool.undelivered());
    let state = state(spool.map(|it| it.state()), &metrics);
    let until_full = metrics.spool_seconds_until_full.get();
    let all = |what| known.rates.sum(of(what, Some(name)));
    let none = |at: u64| (at > 0).then_some(at);
    let oldest = backlog.and_then(|it| it.oldest).filter(|at| *at > 0);
    let dead = known.rates.sum(of(SeriesKind::Dead, Some(name)));
    objects::Source {
        name: name.to_owned(),
        kind: source.kind.as_str().to_owned(),
        path: format!("/v1/{name}"),
        state: state.to_owned(),
        ways_in: source.ways_in().into_iter().map(way_in).collect(),
        last_request: none(last.request),
        last_stored: none(last.stored),
        outcomes_24h: last_day(known, SeriesKind::Outcome, name),
        answers_24h: last_day(known, SeriesKind::Answer, name),
        tries: tries(known, source),
        backlog: Backlog {
            deliveries: backlog.map_or(0, |it| it.deliveries),
            bytes: backlog.map_or(0, |it| it.bytes),
            oldest,
            limit_bytes: metrics.spool_limit_bytes.get(),
            seconds_until_full: until_full.is_finite().then_some(until_full),
        },
        held_topics: held(known, name),
        refused: refused(known, name),
        refused_last_minute: all(SeriesKind::Refusal).last_minute as u64,
        in_flight: count(metrics.in_flight.get()),
        dead_letters: dead.total as u64,
        dead_letters_waiting: count(metrics.dead_letters_waiting.get()),
        quarantine_items: count(metrics.quarantine_items.get()),
        rates: rates(
            &all(SeriesKind::Outcome),
            &stored(known, Some(name)),
            &all(SeriesKind::Refusal),
            &all(SeriesKind::Event),
            &dead,
        ),
        history: history(known, Some(name)),
    }
}

/// The most urgent trouble of a source. `held` is there whenever the alerts MillraceTopicHeld and
/// MillraceDeadLettersWait count the time until they fire.
fn state(spool: Option<SpoolState>, metrics: &SourceMetrics) -> &'static str {
    match (spool, metrics.source_set_aside.get()) {
        (_, 1) | (None, _) => "set-aside",
        (Some(SpoolState::Poisoned), _) => "poisoned",
        (Some(SpoolState::Closed), _) => "closed",
        _ if metrics.spool_seconds_until_full.get() == 0.0 => "full",
        _ if metrics.held_topics.get() > 0 || metrics.dead_letters_waiting.get() > 0 => "held",
        _ => "ok",
    }
}

fn tries(known: &ApiBackend, source: &SourceConfig) -> Tries {
    let metrics = &known.metrics;
    let name = source.name.as_str();
    let tries = |result| count(metrics.sender_tries.with_label_values(&[name, result]).get());
    let then = match source.kind {
        SourceKind::MarketoLeadActivity => "Marketo pauses the subscription",
        SourceKind::AdobeIo => "Adobe I/O disables the registration",
    };
    Tries {
        accepted: tries("accepted"),
        failed: tries("failed"),
        failed_in_a_row: count(metrics.sender_failed_in_a_row.with_label_values(&[name]).get()),
        failures_left: Some(count(metrics.sender_failures_left.with_label_values(&[name]).get())),
        then: then.to_owned(),
    }
}

/// Counts of a source in the last 24 hours, by their further label.
fn last_day(known: &ApiBackend, what: SeriesKind, name: &str) -> BTreeMap<String, u64> {
    let labels = known.rates.labels(what, name).into_iter();
    let counts = labels.map(|label| {
        let late = known.rates.sum(|it, a, b| it == what && a == name && b == label);
        (label, late.last_day as u64)
    });
    counts.filter(|(_, count)| *count != 0).collect()
}

fn held(known: &ApiBackend, name: &str) -> Vec<Held> {
    if known.metrics.held_topics.with_label_values(&[name]).get() == 0 {
        return Vec::new();
    }
    let held = known.metrics.settled.of(name).held_topics().into_iter();
    let one = |(topic, held): (String, settled::Held)| Held {
        topic,
        source: name.to_owned(),
        since: held.since,
        why: held.why,
    };
    held.map(one).collect()
}

fn refused(known: &ApiBackend, name: &str) -> Vec<Refused> {
    let reasons = known.rates.labels(SeriesKind::Refusal, name);
    let mut all: Vec<_> = reasons
        .into_iter()
        .filter_map(|reason| {
            let late =
                known.rates.sum(|it, a, b| it == SeriesKind::Refusal && a == name && b == reason);
            let last_hour: f64 = late.minutes.iter().sum();
            let is = |it: &Remembered| it.source == name && it.reason == Some(&reason);
            let last = known.metrics.recent.before(u64::MAX, 1, &is);
            let (text, key, outcome) = words::meaning(&reason, name);
            // The key that is in use, as reported with the last request of this reason.
            let in_use = last.first().filter(|it| !it.key.is_empty());
            let key = in_use.map(|it| it.key.replace("<name>", name)).or(key);
            (late.last_day > 0.0).then(|| {
                let refused = Refused {
                    outcome: outcome.to_owned(),
                    last_minute: late.last_minute as u64,
                    last_hour: last_hour as u64,
                    total: late.total as u64,
                    last: last.first().map_or(0, |it| it.at),
                    text: text.to_owned(),
                    key,
                    reason,
                };
                (late.last_minute, refused)
            })
        })
        .collect();
    all.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    all.into_iter().map(|(_, refused)| refused).collect()
}

fn others(known: &ApiBackend) -> Others {
    let name = crate::ingest::listen::report::UNKNOWN;
    let all = known.rates.sum(of(SeriesKind::Refusal, Some(name)));
    Others { refused: refused(known, name), refused_last_minute: all.last_minute as u64 }
}

fn topics(known: &ApiBackend) -> Vec<Topic> {
    let mut sources: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (source, topic) in known.rates.pairs(SeriesKind::Event) {
        sources.entry(topic).or_default().insert(source);
    }
    let mut held_topics: BTreeMap<String, Held> = BTreeMap::new();
    for source in &known.config.sources {
        for held in held(known, source.name.as_str()) {
            let sources = sources.entry(held.topic.clone()).or_default();
            sources.insert(source.name.to_string());
            held_topics.insert(held.topic.clone(), held);
        }
    }
    let mut all: Vec<_> = sources
        .into_iter()
        .map(|(topic, sources)| {
            let late = known.rates.sum(|it, _, name| it == SeriesKind::Event && name == topic);
            let held = held_topics.remove(&topic);
            let order = (held.is_none(), -late.per_second);
            let topic = Topic {
                topic,
                sources: sources.into_iter().collect(),
                delivered: late.total as u64,
                per_second: late.per_second,
                history: late.minutes,
                held,
            };
            (order, topic)
        })
        .collect();
    all.sort_by(|((a, x), _), ((b, y), _)| a.cmp(b).then(x.total_cmp(y)));
    all.truncate(MAX_TOPICS);
    all.into_iter().map(|(_, topic)| topic).collect()
}

fn way_in(WayIn { way, text, key }: WayIn) -> objects::WayIn {
    objects::WayIn { way: way.to_owned(), text, key }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::Metrics;

    #[test]
    fn a_source_with_a_held_topic_or_waiting_dead_letters_is_held_unless_it_is_worse() {
        let all = Metrics::default();
        let metrics = all.source("leads");
        metrics.spool_seconds_until_full.set(f64::INFINITY);
        let open = Some(SpoolState::Open);
        assert_eq!(state(open, &metrics), "ok");
        metrics.held_topics.set(1);
        assert_eq!(state(open, &metrics), "held");
        metrics.held_topics.set(0);
        metrics.dead_letters_waiting.set(3);
        assert_eq!(state(open, &metrics), "held");
        assert_eq!(state(Some(SpoolState::Poisoned), &metrics), "poisoned");
        metrics.spool_seconds_until_full.set(0.0);
        assert_eq!(state(open, &metrics), "full");
        metrics.source_set_aside.set(1);
        assert_eq!(state(None, &metrics), "set-aside");
    }
}
