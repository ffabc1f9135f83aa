//! The catalogue as an AsyncAPI 3.0 document: a channel for each topic, a message for each type of
//! event, and the operation by which this service sends it.

use serde_json::{Map, Value, json};

use super::{
    catalogue::{self, Catalogue, Event, Role, Topic, Written, has_schema},
    json::{headers, value},
    schemas,
    tables::key,
    value_schemas,
};
use crate::{
    config::{self, Config},
    deliver::{encode::Mode, schema::IdPlace},
    event::Stream,
};

/// The version of AsyncAPI's bindings for Kafka.
const BINDING_VERSION: &str = "0.5.0";

/// JSON types of a key: null without a munchkin id.
const KEY_TYPES: [&str; 2] = ["string", "null"];

pub(super) fn document(config: &Config, catalogue: &Catalogue) -> Value {
    let mut parts = Parts::default();
    for topic in catalogue.topics.iter().filter(|topic| !is_internal(topic)) {
        parts.add(config, topic);
    }
    let description = [
        "Topics that millrace writes: one record an event, by the CloudEvents Kafka protocol binding. \
         At least once; in order within a topic and key. Types that are not listed have topics by the \
         same rule.",
    ];
    let description: Vec<_> =
        description.into_iter().chain(catalogue.notes.iter().map(String::as_str)).collect();
    let Parts { channels, operations, messages } = parts;
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Marketo events",
            "version": env!("CARGO_PKG_VERSION"),
            "description": description.join("\n\n"),
        },
        "defaultContentType": "application/json",
        "servers": servers(&config.kafka),
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages, "schemas": schemas::data_schemas(&config.fields.rules)},
    })
}

fn servers(kafka: &config::Kafka) -> Value {
    let protocol = if crate::kafka::is_secured(kafka) { "kafka-secure" } else { "kafka" };
    let hosts = kafka.bootstrap_servers.split(',').map(str::trim).zip(1..);
    let server = |(host, number): (&str, u32)| {
        (format!("broker-{number}"), json!({ "host": host, "protocol": protocol }))
    };
    hosts.map(server).collect::<Map<_, _>>().into()
}

/// Whether no consumer has any business with it.
fn is_internal(topic: &Topic) -> bool {
    matches!(topic.role, Role::Checkpoints | Role::Ids)
}

#[derive(Default)]
struct Parts {
    channels: Map<String, Value>,
    operations: Map<String, Value>,
    messages: Map<String, Value>,
}

impl Parts {
    fn add(&mut self, config: &Config, topic: &Topic) {
        let channel = identifier(&topic.name);
        let mut messages: Vec<_> = topic
            .events
            .iter()
            .map(|event| (of_event(&channel, event), message(config, topic, event)))
            .collect();
        if topic.role == Role::DeadLetters {
            let record = catalogue::dead_letter(config);
            messages.push((format!("{channel}.deadLetter"), dead_letter(&record)));
        }
        if topic.role == Role::LeadStates {
            let records = catalogue::lead_states(config);
            messages.push((format!("{channel}.leadState"), lead_state(&records)));
        }
        let names: Vec<_> = messages.iter().map(|(name, _)| name.clone()).collect();
        self.messages.extend(messages);
        let refer = |place: &str, name: &String| json!({ "$ref": format!("{place}/{name}") });
        let held = names.iter().map(|name| (name.clone(), refer("#/components/messages", name)));
        let own = format!("#/channels/{channel}");
        let sent: Vec<_> =
            names.iter().map(|name| refer(&format!("{own}/messages"), name)).collect();
        self.operations.insert(
            format!("send.{channel}"),
            json!({"action": "send", "channel": {"$ref": own}, "messages": sent}),
        );
        let mut shown = json!({
            "address": topic.name,
            "messages": held.collect::<Map<_, _>>(),
            "bindings": {"kafka": binding(&topic.made_with(&config.topics), topic)},
        });
        if topic.is_open() {
            let what = |placeholder: &str| match placeholder {
                "{munchkinId}" => "The Marketo instance",
                _ => "A custom activity",
            };
            let parameter = |placeholder: &'static str| {
                let name = placeholder.trim_matches(['{', '}']).to_owned();
                (name, json!({ "description": what(placeholder) }))
            };
            shown["parameters"] = topic.placeholders().map(parameter).collect::<Map<_, _>>().into();
        }
        self.channels.insert(channel, shown);
    }
}

/// Removes braces from a topic's name; its other characters (letters, digits, `.`, `_`, `-`) are allowed.
fn identifier(topic: &str) -> String {
    topic.chars().filter(|c| !"{}".contains(*c)).collect()
}

/// Returns a unique name for the message of an event.
fn of_event(channel: &str, event: &Event) -> String {
    let event_type = if event.any_custom { "custom" } else { &event.event_type };
    format!("{channel}.{}.{event_type}", event.stream.as_str())
}

fn message(config: &Config, topic: &Topic, event: &Event) -> Value {
    let mode = config.topics.mode;
    let headers = headers(&event.record);
    let of_record = headers.get("content-type").and_then(Value::as_str);
    let of_record = of_record.filter(|_| topic.shape.is_some());
    let content_type = of_record.unwrap_or(match mode {
        Mode::Binary => "application/json",
        Mode::Structured => "application/cloudevents+json",
    });
    let payload = match &topic.shape {
        Some(_) => value_schemas::json_schema(config, topic),
        None => schemas::payload(mode, event),
    };
    let title = if event.name.is_empty() { &event.event_type } else { &event.name };
    let mut binding = json!({
        "key": {"type": KEY_TYPES, "description": key(event.stream)},
        "bindingVersion": BINDING_VERSION,
    });
    if let Some(registry) = &config.schema_registry
        && has_schema(topic.choice)
    {
        binding["schemaIdLocation"] = match registry.id {
            IdPlace::Value => "payload".into(),
            IdPlace::Header => "header".into(),
        };
        if registry.id == IdPlace::Value {
            binding["schemaIdPayloadEncoding"] = "confluent".into();
        }
    }
    json!({
        "name": event.ce_type,
        "title": title,
        "contentType": content_type,
        "headers": schemas::headers(mode, event),
        "payload": payload,
        "bindings": {"kafka": binding},
        "examples": [{"headers": headers, "payload": value(&event.record)}],
    })
}

fn dead_letter(record: &Written) -> Value {
    let payload = "The event, or the whole body, byte for byte; where that is larger than a record may be, \
     or no rule on fields could be applied, JSON that says where it is";
    json!({
        "name": "dead-letter",
        "title": "Dead letter",
        "contentType": "application/octet-stream",
        "headers": schemas::dead_letter_headers(record),
        "payload": {"description": payload},
        "bindings": {"kafka": {
            "key": {"type": KEY_TYPES, "description": "Its event's, as far as that is known"},
            "bindingVersion": BINDING_VERSION,
        }},
        "examples": [{"headers": headers(record), "payload": record.value}],
    })
}

fn lead_state(records: &[Written]) -> Value {
    let examples: Vec<_> = records
        .iter()
        .map(|record| json!({"headers": headers(record), "payload": value(record)}))
        .collect();
    json!({
        "name": "lead-state",
        "title": "Lead state",
        "contentType": "application/json",
        "headers": schemas::lead_state_headers(),
        "payload": schemas::lead_state(),
        "bindings": {"kafka": {
            "key": {"type": "string", "description": key(Stream::LeadActivity)},
            "bindingVersion": BINDING_VERSION,
        }},
        "examples": examples,
    })
}

/// Returns the settings with which a topic is created, except for those left to the cluster.
fn binding(topics: &config::Topics, topic: &Topic) -> Value {
    let mut binding = json!({ "bindingVersion": BINDING_VERSION });
    if !topic.is_open() {
        binding["topic"] = topic.name.as_str().into();
    }
    for (name, number) in
        [("partitions", topics.partitions), ("replicas", topics.replication_factor)]
    {
        if number > 0 {
            binding[name] = number.into();
        }
    }
    if !topics.config.is_empty() {
        let settings =
            topics.config.iter().map(|(name, value)| (name.clone(), setting(name, value)));
        binding["topicConfiguration"] = settings.collect::<Map<_, _>>().into();
    }
    binding
}

fn setting(name: &str, value: &str) -> Value {
    match value.parse::<i64>() {
        _ if name == "cleanup.policy" => value.split(',').map(str::trim).collect::<Vec<_>>().into(),
        Ok(number) => number.into(),
        Err(_) => value.into(),
    }
}
