//! The catalogue as JSON.

use serde_json::{Map, Value, json};

use super::{
    catalogue::{self, Catalogue, Event, Role, Topic, Written},
    tables::key,
};
use crate::{
    config::{self, Config},
    event::LEAD_STATE_SOURCE,
    source::SourceName,
};

pub(super) fn document(config: &Config, catalogue: &Catalogue) -> Value {
    let topics = catalogue.topics.iter().map(|topic| of(config, topic)).collect::<Vec<_>>();
    json!({
        "mode": config.topics.mode.as_str(),
        "when_made": made_with(&config.topics),
        "topics": topics,
        "notes": catalogue.notes,
    })
}

fn made_with(topics: &config::Topics) -> Value {
    json!({
        "partitions": topics.partitions,
        "replication_factor": topics.replication_factor,
        "config": topics.config,
    })
}

fn of(config: &Config, topic: &Topic) -> Value {
    let mut shown = json!({
        "name": topic.name,
        "placeholders": topic.placeholders().collect::<Vec<_>>(),
        "holds": match topic.role {
            Role::Events => "events",
            Role::DeadLetters => "dead-letters",
            Role::LeadStates => "lead-states",
            Role::Checkpoints => "checkpoints",
            Role::Ids => "ids",
        },
        "events": topic.events.iter().map(event).collect::<Vec<_>>(),
    });
    let made = topic.made_with(&config.topics);
    if *made != config.topics {
        shown["when_made"] = made_with(&made);
    }
    if topic.role == Role::DeadLetters {
        shown["record"] = record(&catalogue::dead_letter(config));
    }
    if topic.role == Role::LeadStates {
        let records = catalogue::lead_states(config);
        shown["records"] = records.iter().map(record).collect::<Vec<_>>().into();
    }
    shown
}

fn event(event: &Event) -> Value {
    json!({
        "stream": event.stream.as_str(),
        "name": event.name,
        "event_type": event.event_type,
        "ce_type": event.ce_type,
        "activity_type_id": event.activity_type_id.filter(|_| !event.any_custom),
        "sources": event.sources.iter().map(SourceName::as_str).collect::<Vec<_>>(),
        "key": key(event.stream),
        "record": record(&event.record),
    })
}

/// Renders a record; a value that is JSON is embedded, any other is text.
fn record(record: &Written) -> Value {
    json!({ "key": record.key, "headers": headers(record), "value": value(record) })
}

pub(super) fn headers(record: &Written) -> Map<String, Value> {
    let headers = record.headers.iter();
    headers.map(|(name, value)| (name.clone(), value.as_str().into())).collect()
}

pub(super) fn value(record: &Written) -> Value {
    // Only a tombstone has no value.
    if record.value.is_empty() && record.headers.iter().any(|(name, it)| is_state(name, it)) {
        return Value::Null;
    }
    serde_json::from_str(&record.value).unwrap_or_else(|_| record.value.as_str().into())
}

fn is_state(name: &str, value: &str) -> bool {
    name == "ce_source" && value == LEAD_STATE_SOURCE
}
