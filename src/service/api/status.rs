//! Everything at a glance: what the console's overview and `millrace top` show.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value, json};

use super::{Known, banners, words};
use crate::{
    config::{SourceConfig, WayIn},
    observe::{
        admin::State,
        api::rates::{SeriesKind, Totals},
    },
    runtime::shutdown::Phase,
    source::SourceKind,
    spool::SpoolState,
};

/// Topics that are shown.
const TOPICS: usize = 500;

pub(super) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn status(known: &Known, access: Value) -> Value {
    let metrics = &known.metrics;
    metrics.tries.show(metrics);
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
    let brokers = metrics.labelled_gauges(&metrics.kafka_broker_connected, "broker");
    let mut by_name: BTreeMap<String, bool> = BTreeMap::new();
    for (broker, connected) in brokers {
        *by_name.entry(broker).or_default() |= connected > 0.0;
    }
    let connected = by_name.values().filter(|it| **it).count();
    let is_away = metrics.contact.is_lost();
    let sources: Vec<_> = known.config.sources.iter().map(|it| source(known, it)).collect();
    let all = |what: SeriesKind| known.rates.sum(|it, _, _| it == what);
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "instance": rustix::system::uname().nodename().to_string_lossy(),
        "now": now(),
        "started": u64::try_from(metrics.start_time_seconds.get()).unwrap_or_default() * 1000,
        "state": state,
        "reasons": reasons,
        "delivery": if known.config.kafka.delivery.is_exactly_once() { "exactly-once" } else { "at-least-once" },
        "kafka": {
            "connected": connected,
            "brokers": by_name.len(),
            "away": is_away,
            "bootstrap_servers": known.config.kafka.bootstrap_servers,
        },
        "access": access,
        "banners": banners::banners(known, &health, stopping.is_some()),
        "sources": sources,
        "others": others(known),
        "topics": topics(known),
        "dead_letter_topic": known.config.topics.dead_letter,
        "test_topic": known.config.admin.test_topic,
        "rates": rates(&all(SeriesKind::Outcome), &stored(known, None), &all(SeriesKind::Refusal), &all(SeriesKind::Event), &all(SeriesKind::Dead)),
        "history": history(known, None),
    })
}

fn of<'a>(
    what: SeriesKind,
    source: Option<&'a str>,
) -> impl Fn(SeriesKind, &str, &str) -> bool + 'a {
    move |it, name, _| it == what && source.is_none_or(|source| source == name)
}

fn stored(known: &Known, source: Option<&str>) -> Totals {
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
) -> Value {
    json!({
        "received": received.per_second,
        "stored": stored.per_second,
        "refused": refused.per_second,
        "delivered": delivered.per_second,
        "dead_letters": dead.per_second,
    })
}

fn history(known: &Known, source: Option<&str>) -> Value {
    let minutes = |what| known.rates.sum(of(what, source)).minutes;
    json!({
        "end": now(),
        "step_seconds": 60,
        "received": minutes(SeriesKind::Outcome),
        "stored": stored(known, source).minutes,
        "refused": minutes(SeriesKind::Refusal),
        "delivered": minutes(SeriesKind::Event),
        "dead_letters": minutes(SeriesKind::Dead),
        "repeats": minutes(SeriesKind::Repeat),
        "backlog_bytes": known.rates.values(|it, name| of(SeriesKind::Backlog, source)(it, name, "")),
    })
}

fn source(known: &Known, source: &SourceConfig) -> Value {
    let name = source.name.as_str();
    let metrics = known.metrics.source(name);
    let last = known.metrics.recent.last(name);
    let spool = known.spool(&source.name);
    let backlog = spool.map(|spool| spool.undelivered());
    let state = match (spool.map(|it| it.state()), metrics.source_set_aside.get()) {
        (_, 1) | (None, _) => "set-aside",
        (Some(SpoolState::Poisoned), _) => "poisoned",
        (Some(SpoolState::Closed), _) => "closed",
        _ if metrics.spool_seconds_until_full.get() == 0.0 => "full",
        _ => "ok",
    };
    let (outcomes, answers) =
        (last_day(known, SeriesKind::Outcome, name), last_day(known, SeriesKind::Answer, name));
    let tries = |result| known.metrics.sender_tries.with_label_values(&[name, result]).get();
    let then = match source.kind {
        SourceKind::MarketoLeadActivity => "Marketo pauses the subscription",
        SourceKind::AdobeIo => "Adobe I/O disables the registration",
    };
    let until_full = metrics.spool_seconds_until_full.get();
    let all = |what| known.rates.sum(of(what, Some(name)));
    let none = |at: u64| (at > 0).then_some(at);
    let oldest = backlog.and_then(|it| it.oldest).filter(|at| *at > 0);
    let dead = known.rates.sum(of(SeriesKind::Dead, Some(name)));
    json!({
        "name": name,
        "kind": source.kind.as_str(),
        "path": format!("/v1/{name}"),
        "state": state,
        "ways_in": source.ways_in().iter().map(way_in).collect::<Vec<_>>(),
        "last_request": none(last.request),
        "last_stored": none(last.stored),
        "outcomes_24h": outcomes,
        "answers_24h": answers,
        "tries": {
            "accepted": tries("accepted"),
            "failed": tries("failed"),
            "failed_in_a_row": known.metrics.sender_failed_in_a_row.with_label_values(&[name]).get(),
            "failures_left": known.metrics.sender_failures_left.with_label_values(&[name]).get(),
            "then": then,
        },
        "backlog": {
            "deliveries": backlog.map_or(0, |it| it.deliveries),
            "bytes": backlog.map_or(0, |it| it.bytes),
            "oldest": oldest,
            "limit_bytes": metrics.spool_limit_bytes.get(),
            "seconds_until_full": until_full.is_finite().then_some(until_full),
        },
        "held_topics": held(known, name),
        "refused": refused(known, name),
        "refused_last_minute": all(SeriesKind::Refusal).last_minute as u64,
        "in_flight": metrics.in_flight.get(),
        "dead_letters": dead.total as u64,
        "dead_letters_waiting": metrics.dead_letters_waiting.get(),
        "quarantine_items": metrics.quarantine_items.get(),
        "rates": rates(&all(SeriesKind::Outcome), &stored(known, Some(name)), &all(SeriesKind::Refusal), &all(SeriesKind::Event), &dead),
        "history": history(known, Some(name)),
    })
}

/// Returns the counts of a source within the last 24 hours, by the further label.
fn last_day(known: &Known, what: SeriesKind, name: &str) -> Map<String, Value> {
    let labels = known.rates.labels(what, name).into_iter();
    let counts = labels.map(|label| {
        let late = known.rates.sum(|it, a, b| it == what && a == name && b == label);
        (label, json!(late.last_day as u64))
    });
    counts.filter(|(_, count)| *count != 0).collect()
}

fn held(known: &Known, name: &str) -> Vec<Value> {
    if known.metrics.held_topics.with_label_values(&[name]).get() == 0 {
        return Vec::new();
    }
    let held = known.metrics.settled.of(name).held_topics();
    let one = |(topic, held): (String, crate::observe::metrics::settled::Held)| json!({ "topic": topic, "source": name, "since": held.since, "why": held.why });
    held.into_iter().map(one).collect()
}

fn refused(known: &Known, name: &str) -> Vec<Value> {
    let reasons = known.rates.labels(SeriesKind::Refusal, name);
    let mut all: Vec<_> = reasons
        .into_iter()
        .filter_map(|reason| {
            let late =
                known.rates.sum(|it, a, b| it == SeriesKind::Refusal && a == name && b == reason);
            let last_hour: f64 = late.minutes.iter().sum();
            let is = |it: &crate::observe::metrics::recent::Remembered| {
                it.source == name && it.reason == Some(&reason)
            };
            let last = known.metrics.recent.before(u64::MAX, 1, &is);
            let (text, key, outcome) = words::meaning(&reason, name);
            // The key that is in use, as the last request of this reason found it.
            let in_use = last.first().filter(|it| !it.key.is_empty());
            let key = in_use.map(|it| it.key.replace("<name>", name)).or(key);
            (late.last_day > 0.0).then(|| {
                let json = json!({
                    "reason": reason,
                    "outcome": outcome,
                    "last_minute": late.last_minute as u64,
                    "last_hour": last_hour as u64,
                    "total": late.total as u64,
                    "last": last.first().map_or(0, |it| it.at),
                    "text": text,
                    "key": key,
                });
                (late.last_minute, json)
            })
        })
        .collect();
    all.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    all.into_iter().map(|(_, json)| json).collect()
}

fn others(known: &Known) -> Value {
    let name = crate::ingest::listen::report::UNKNOWN;
    let all = known.rates.sum(of(SeriesKind::Refusal, Some(name)));
    json!({ "refused": refused(known, name), "refused_last_minute": all.last_minute as u64 })
}

fn topics(known: &Known) -> Vec<Value> {
    let mut sources: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (source, topic) in known.rates.pairs(SeriesKind::Event) {
        sources.entry(topic).or_default().insert(source);
    }
    let mut held_topics: BTreeMap<String, Value> = BTreeMap::new();
    for source in &known.config.sources {
        for held in held(known, source.name.as_str()) {
            let topic = held["topic"].as_str().unwrap_or_default().to_owned();
            sources.entry(topic.clone()).or_default().insert(source.name.to_string());
            held_topics.insert(topic, held);
        }
    }
    let mut all: Vec<_> = sources
        .into_iter()
        .map(|(topic, sources)| {
            let late = known.rates.sum(|it, _, name| it == SeriesKind::Event && name == topic);
            let held = held_topics.remove(&topic);
            let order = (held.is_none(), -late.per_second);
            let json = json!({
                "topic": topic,
                "sources": sources,
                "delivered": late.total as u64,
                "per_second": late.per_second,
                "history": late.minutes,
                "held": held,
            });
            (order, json)
        })
        .collect();
    all.sort_by(|((a, x), _), ((b, y), _)| a.cmp(b).then(x.total_cmp(y)));
    all.truncate(TOPICS);
    all.into_iter().map(|(_, json)| json).collect()
}

fn way_in(WayIn { way, text, key }: &WayIn) -> Value {
    json!({ "way": way, "text": text, "key": key })
}
