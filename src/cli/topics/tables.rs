//! The catalogue as a table.

use std::fmt::Write as _;

use super::catalogue::{Catalogue, Role, Topic};
use crate::{
    cli::{table::Table, text},
    config::{self, Config},
    event::Stream,
    source::SourceName,
};

pub(super) fn catalogue(config: &Config, catalogue: &Catalogue) -> String {
    let mut table = Table::of_text(&["topic", "what is in it", "from", "key"]);
    for topic in &catalogue.topics {
        table.row([topic.name.clone(), contents(topic), sources(topic), keys(topic)]);
    }
    let named = catalogue.named().count();
    let named = text::counted(named as u64, "topic", "topics");
    let mode = config.topics.mode.as_str();
    let mut shown = format!("{named}, records in {mode} mode\n\n{}", table.render(""));
    // Writing to a String cannot fail.
    let _ = writeln!(shown, "\na topic that is made has {}", settings(&config.topics));
    shown += &exceptions(config, catalogue.topics.iter());
    if !config.topics.create {
        shown.push_str("topics.create is off: create the topics yourself, or with --create\n");
    }
    for note in &catalogue.notes {
        let _ = writeln!(shown, "{note}");
    }
    shown
}

/// Describes the settings of those of `topics` that are made otherwise than the others, a line each.
pub(super) fn exceptions<'a>(config: &Config, topics: impl Iterator<Item = &'a Topic>) -> String {
    let mut shown = String::new();
    for topic in topics {
        let made_with = topic.made_with(&config.topics);
        if *made_with != config.topics {
            let _ = writeln!(shown, "but {} has {}", topic.name, settings(&made_with));
        }
    }
    shown
}

/// Describes settings: `6 partitions, 3 replicas, retention.ms=604800000`.
pub(super) fn settings(topics: &config::Topics) -> String {
    let number = |number: i32, one: &str, many: &str| match u64::try_from(number) {
        Ok(number) => text::counted(number, one, many),
        Err(_) => format!("the cluster's default number of {many}"),
    };
    let mut all = vec![
        number(topics.partitions, "partition", "partitions"),
        number(topics.replication_factor, "replica", "replicas"),
    ];
    all.extend(topics.config.iter().map(|(name, value)| format!("{name}={value}")));
    all.join(", ")
}

/// Describes the keys of a stream's events.
pub(super) fn key(stream: Stream) -> &'static str {
    match stream {
        Stream::LeadActivity => "<munchkinId>:<leadId>",
        Stream::UserAudit => "<munchkinId>:<componentType>:<componentId>",
        Stream::Notification | Stream::Observability | Stream::Other => "<munchkinId>",
    }
}

fn contents(topic: &Topic) -> String {
    match (topic.role, topic.events.as_slice()) {
        (Role::DeadLetters, _) => "events that cannot go to their own topics".into(),
        (Role::LeadStates, _) => "last known state of each lead; compacted".into(),
        (Role::Checkpoints, _) => "how far each spool is delivered".into(),
        (Role::Ids, _) => "which events replicas have settled".into(),
        (Role::Events, [event]) => match event.activity_type_id {
            Some(id) if !event.any_custom && event.name.is_empty() => format!("activity type {id}"),
            Some(id) if !event.any_custom => format!("{} ({id})", event.name),
            _ => event.name.clone(),
        },
        (Role::Events, events) => {
            let mut streams: Vec<_> = events.iter().map(|event| event.stream.as_str()).collect();
            streams.dedup();
            let types = text::counted(events.len() as u64, "type", "types");
            format!("{types} of {}", streams.join(", "))
        }
    }
}

fn sources(topic: &Topic) -> String {
    let mut names: Vec<_> = topic.events.iter().flat_map(|event| &event.sources).collect();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return "all".into();
    }
    names.into_iter().map(SourceName::as_str).collect::<Vec<_>>().join(", ")
}

fn keys(topic: &Topic) -> String {
    let mut keys: Vec<_> = topic.events.iter().map(|event| key(event.stream)).collect();
    keys.sort_unstable();
    keys.dedup();
    match topic.role {
        Role::Events => keys.join(" or "),
        Role::DeadLetters => "its event's".into(),
        Role::LeadStates => key(Stream::LeadActivity).into(),
        Role::Checkpoints | Role::Ids => "the spool's UUID".into(),
    }
}
