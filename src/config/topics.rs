//! `topics`: names, settings and contents of the topics.

use std::{collections::BTreeMap, time::Duration};

use figment::value::Value;

use super::{
    Config,
    leaf::{COUNT, FLAG, Kind, PARTITIONS, REPLICAS, string},
    mistake::{Key, Mistakes},
    reading::{Reading, Section},
    values,
    written::{list, text},
};
use crate::deliver::{
    dead_letter::Convention,
    deduplicate::Settings,
    encode::{
        Mode,
        choice::{Choice, PartialChoice, Pattern},
    },
    route::{Router, TemplateError, is_topic_name},
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// Template with the placeholders `{stream}`, `{type}`, `{source}`, `{munchkin_id}` and
    /// `{activity_type_id}`.
    pub name: String,
    /// The way in which records carry events.
    pub mode: Mode,
    /// The form of records.
    pub choice: Choice,
    /// The form of records for topics of a pattern.
    pub values: BTreeMap<Pattern, PartialChoice>,
    /// Whether missing topics are created.
    pub create: bool,
    /// Partitions of a created topic; -1 is the cluster's own default.
    pub partitions: i32,
    /// Replicas of a created topic, at most `i16::MAX`; -1 is the cluster's own default.
    pub replication_factor: i32,
    /// Settings of a created topic under Kafka's own names (`retention.ms`).
    pub config: BTreeMap<String, String>,
    /// Most topics that events may go to; beyond that they become dead letters.
    pub limit: usize,
    /// The topic for events that cannot become records of their own topic.
    pub dead_letter: String,
    /// Conventions whose header names dead letters have in addition to ours.
    pub dead_letter_headers: Vec<Convention>,
    /// The topic of checkpoints, for exactly-once delivery.
    pub checkpoints: String,
    /// The topic of lead states, if there is to be one.
    pub lead_state: Option<String>,
    /// The topic by which replicas tell each other which events are settled, if they do.
    pub ids: Option<String>,
    /// How long it keeps its records where it is created: as long as repeats are recognised.
    pub ids_kept: Duration,
}

impl Default for Topics {
    fn default() -> Self {
        Self {
            name: "marketo.{stream}.{type}".into(),
            mode: Mode::default(),
            choice: Choice::default(),
            values: BTreeMap::new(),
            create: true,
            partitions: -1,
            replication_factor: -1,
            config: BTreeMap::new(),
            limit: 500,
            dead_letter: "marketo.dead-letter".into(),
            dead_letter_headers: Vec::new(),
            checkpoints: "marketo.checkpoints".into(),
            lead_state: None,
            ids: None,
            ids_kept: Settings::default().window,
        }
    }
}

pub(super) const TOPIC: Kind<String> = Kind {
    parse: |text| match text {
        _ if !is_topic_name(text) => Err("which is no name of a topic".into()),
        _ if is_internal(text) => Err(INTERNAL.into()),
        // Kafka takes such a name, and `ids = false` does not mean one.
        "true" | "false" => Err("which is no name of a topic, but a boolean".into()),
        _ if text.parse::<i128>().is_ok() => {
            Err("which is no name of a topic, but a number".into())
        }
        _ => Ok(text.into()),
    },
    expected: "Write 1 to 249 letters, digits, `.`, `_` and `-`, not beginning with `__`, and not `.` or `..` alone.",
    show: |text| string(text),
};

/// A topic that there is only where its key is set.
const OPTIONAL_TOPIC: Kind<String> = Kind {
    expected: "Write 1 to 249 letters, digits, `.`, `_` and `-`, not beginning with `__`, and not `.` or `..` alone; or \
               take the key out, to have no such topic.",
    ..TOPIC
};

const INTERNAL: &str = "which begins with `__`, as the internal topics of Kafka do";

/// Whether the name is one that Kafka and its tools have for themselves, as `__consumer_offsets`.
fn is_internal(name: &str) -> bool {
    name.starts_with("__")
}

const TEMPLATE: Kind<String> = Kind {
    parse: |text| match Router::new(text) {
        Ok(_) if is_internal(text) => Err(INTERNAL.into()),
        Ok(_) => Ok(text.into()),
        Err(error) => Err(format!("which is not a valid topic name template: {error}").into()),
    },
    expected: "Write letters, digits, `.`, `_`, `-`, and the placeholders {stream}, {type}, \
               {source}, {munchkin_id} and {activity_type_id}.",
    show: |text| string(text),
};

pub(super) fn read(reading: &mut Reading, root: &mut Section) -> Topics {
    let mut topics = Topics::default();
    let mut section = reading.section(root, "topics");
    let s = &mut section;
    reading.set(s, "name", &TEMPLATE, &mut topics.name);
    reading.set_choice(s, "mode", &Mode::ALL, Mode::as_str, &mut topics.mode);
    values::read(reading, s, &mut topics.choice);
    topics.values = values::read_patterns(reading, s);
    reading.set(s, "create", &FLAG, &mut topics.create);
    reading.set(s, "partitions", &PARTITIONS, &mut topics.partitions);
    reading.set(s, "replication_factor", &REPLICAS, &mut topics.replication_factor);
    reading.set(s, "limit", &COUNT, &mut topics.limit);
    reading.set(s, "dead_letter", &TOPIC, &mut topics.dead_letter);
    conventions(reading, s, &mut topics.dead_letter_headers);
    reading.set(s, "checkpoints", &TOPIC, &mut topics.checkpoints);
    topics.lead_state = reading.optional(s, "lead_state", &OPTIONAL_TOPIC).flatten();
    topics.ids = reading.optional(s, "ids", &OPTIONAL_TOPIC).flatten();
    let mut map = reading.section(s, "config");
    reading.end(section);
    for name in map.names() {
        let value = reading.any(&mut map, &name, |value| match text(value) {
            Ok(text) => Ok((text.clone().into_owned(), string(&text))),
            Err(what) => Err((format!("is {what}"), "Write it as text, in quotes.".into())),
        });
        topics.config.extend(value.map(|value| (name, value)));
    }
    topics
}

fn conventions(reading: &mut Reading, section: &mut Section, target: &mut Vec<Convention>) {
    let show = |all: &Vec<Convention>| {
        let names: Vec<_> = all.iter().map(|convention| string(convention.as_str())).collect();
        format!("[{}]", names.join(", "))
    };
    let read = |value: &Value| {
        let remedy = "Write a list with `spring`, `connect`, both, or nothing in it.";
        let wrong = |problem: String| (problem, remedy.to_owned());
        let mut found = Vec::new();
        for name in list(value).map_err(wrong)?.iter().filter(|name| !name.is_empty()) {
            let same = |it: &Convention| it.as_str().eq_ignore_ascii_case(name);
            let convention = Convention::ALL.into_iter().find(same);
            let convention =
                convention.ok_or_else(|| wrong(format!("has `{name}`, which is none of them")))?;
            if !found.contains(&convention) {
                found.push(convention);
            }
        }
        Ok(found)
    };
    let name = "dead_letter_headers";
    if let Some(conventions) = reading.any_or(section, name, target.clone(), read, show) {
        *target = conventions;
    }
}

impl Config {
    /// Returns a router that names the topics of events by `topics.name`, and never one of the program's own: a type
    /// named by a sender could otherwise lead to the checkpoints, or to the ids that other replicas believe.
    pub fn router(&self) -> Result<Router, TemplateError> {
        let own = self.own_topics().map(|own| own.topic);
        Router::new(&self.topics.name).map(|router| router.apart_from(own))
    }
}

pub(super) fn check(config: &Config, mistakes: &mut Mistakes) {
    if config.topics.ids.is_some() && config.deduplicate.is_off() {
        let problem =
            "is set, and without deduplication there are no ids (deduplicate.window is 0)";
        let remedy = "Take it out, or set deduplicate.window.";
        mistakes.at(&Key::new("topics.ids"), problem, remedy);
    }
}
