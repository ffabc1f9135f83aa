//! The catalogue: topics, and the events in each.

use std::{borrow::Cow, collections::BTreeMap};

use uuid::Uuid;

use super::known::{self, Example, Ids, SOME_CUSTOM_ID, SOME_MUNCHKIN_ID};
use crate::{
    config::{self, Config, Guarantee, SourceConfig},
    deliver::{
        dead_letter::DeadLetter,
        decode::{
            Catalog, Rules,
            fields::{Came, screen},
        },
        encode::{
            Encoder, Mode, With,
            choice::{Choice, Choices, Surrounding, ValueForm},
            flat::Shape,
        },
        lead_state,
        route::Router,
        schema::{Format, IdPlace, SchemaId},
    },
    event::Stream,
    kafka,
    record::Record,
    source::{Origin, SourceKind, SourceName},
    spool::position::Position,
};

/// All topics, in the order of their names; the service's own come last.
pub(super) struct Catalogue {
    pub topics: Vec<Topic>,
    /// Facts without which the catalogue would mislead.
    pub notes: Vec<String>,
}

pub(super) struct Topic {
    /// Contains `{activityTypeId}` or `{munchkinId}` where the topic is [open](Topic::is_open).
    pub name: String,
    pub role: Role,
    /// In the order in which they are known; a dead-letter topic has none.
    pub events: Vec<Event>,
    /// The form of its records.
    pub choice: Choice,
    /// The columns of its values, where they are flat.
    pub shape: Option<Shape>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    Events,
    DeadLetters,
    /// The last known state of each lead.
    LeadStates,
    /// Internal to exactly-once delivery; not for consumers.
    Checkpoints,
    /// Ids that replicas tell each other; no consumer reads them.
    Ids,
}

/// One type of event in a topic.
pub(super) struct Event {
    pub stream: Stream,
    /// The name that Marketo's documentation uses.
    pub name: String,
    pub event_type: String,
    pub ce_type: String,
    pub ce_source: String,
    pub activity_type_id: Option<i64>,
    /// Whether it stands for every custom activity.
    pub any_custom: bool,
    /// Sources that send it.
    pub sources: Vec<SourceName>,
    /// A record from the source whose record has the most headers, which is Adobe I/O's.
    pub record: Written,
}

/// A record as text.
#[derive(Clone, Debug, Default)]
pub(super) struct Written {
    /// `None` for an event without a munchkin id.
    pub key: Option<String>,
    pub headers: Vec<(String, String)>,
    pub value: String,
}

const CUSTOM: &str = "{activityTypeId}";
const MUNCHKIN: &str = "{munchkinId}";

impl Topic {
    /// Returns the settings with which the topic is created.
    pub fn made_with<'a>(&self, topics: &'a config::Topics) -> Cow<'a, config::Topics> {
        kafka::made_as(topics, &self.name)
    }

    /// Whether the name stands for many names, because an id in it was not given.
    pub fn is_open(&self) -> bool {
        self.placeholders().next().is_some()
    }

    pub fn placeholders(&self) -> impl Iterator<Item = &'static str> + use<'_> {
        [CUSTOM, MUNCHKIN].into_iter().filter(|placeholder| self.name.contains(placeholder))
    }
}

impl Catalogue {
    pub fn new(config: &Config, ids: &Ids<'_>) -> Result<Self, String> {
        let mut filler = Filler {
            router: config.router().map_err(|error| error.to_string())?,
            mode: config.topics.mode,
            any_instance: ids.munchkin_ids.is_empty(),
            with: config.schema_registry.as_ref().map(with_some_id),
            topics: BTreeMap::new(),
        };
        for source in &config.sources {
            let catalog = Catalog::with_overrides(source.activity_types.clone());
            let catalog = catalog.map_err(|_| "catalog.activity_types is wrong")?;
            let choices = config.choices(source, &catalog);
            let rules = config.decoding(source, catalog);
            for example in known::examples(source, ids) {
                filler.add(source, &rules, &choices, &example)?;
            }
        }
        let mut topics: Vec<_> = filler.topics.into_values().collect();
        let notes = notes(config, &topics);
        topics.extend(own_topics(config));
        Ok(Self { topics, notes })
    }

    pub fn depends_on_munchkin_id(&self) -> bool {
        self.topics.iter().any(|topic| topic.name.contains(MUNCHKIN))
    }

    /// Returns the topics whose names are complete.
    pub fn named(&self) -> impl Iterator<Item = &Topic> {
        self.topics.iter().filter(|topic| !topic.is_open())
    }
}

/// Returns the topics that the service has beside those for events.
fn own_topics(config: &Config) -> Vec<Topic> {
    let own = |name: &String, role| Topic {
        name: name.clone(),
        role,
        events: Vec::new(),
        choice: Choice::default(),
        shape: None,
    };
    let mut topics = vec![own(&config.topics.dead_letter, Role::DeadLetters)];
    topics.extend(config.topics.lead_state.as_ref().map(|name| own(name, Role::LeadStates)));
    if config.kafka.delivery.guarantee == Guarantee::ExactlyOnce {
        topics.push(own(&config.topics.checkpoints, Role::Checkpoints));
    }
    topics.extend(config.topics.ids.as_ref().map(|name| own(name, Role::Ids)));
    topics
}

/// Whether values have a schema in the registry.
pub(super) fn has_schema(choice: Choice) -> bool {
    choice.value == ValueForm::Flat && choice.envelope == Surrounding::None
}

/// Returns format and place of a schema id, with a sample in place of the id that the registry assigns.
fn with_some_id(registry: &config::SchemaRegistry) -> With {
    let id = SchemaId { number: 1, guid: None }.spell(registry.id);
    With { format: registry.format, id, place: registry.id }
}

fn notes(config: &Config, topics: &[Topic]) -> Vec<String> {
    let mut notes = Vec::new();
    if topics.iter().any(|topic| topic.name.contains(CUSTOM)) {
        notes.push(format!(
            "each custom activity has a topic of its own ({CUSTOM}): name yours with --activity-type"
        ));
    }
    if topics.iter().any(|topic| topic.name.contains(MUNCHKIN)) {
        let what = "each Marketo instance has topics of its own";
        notes.push(format!("{what} ({MUNCHKIN}): name yours with --munchkin-id"));
    }
    let is_written_by_schema = |topic: &Topic| has_schema(topic.choice);
    if let Some(registry) = &config.schema_registry
        && topics.iter().any(is_written_by_schema)
    {
        let place = match registry.id {
            IdPlace::Value => "in front of the value",
            IdPlace::Header => "in a header",
        };
        notes.push(format!(
            "flat values are {} with the id that the schema registry gives {place}; examples have the value as a \
             deserializer gives it",
            match registry.format {
                Format::Avro => "Avro",
                Format::JsonSchema => "JSON",
            }
        ));
    }
    let selects = |source: &&SourceConfig| !source.selection.is_all();
    for source in config.sources.iter().filter(selects) {
        let name = &source.name;
        notes.push(format!(
            "what source {name} leaves out is not listed (munchkin_ids, include and exclude below sources.{name})"
        ));
    }
    let count = topics.iter().filter(|topic| !topic.is_open()).count();
    let limit = config.topics.limit;
    if count > limit {
        notes.push(format!(
            "these are {count} topics and topics.limit is {limit}: events of the last ones \
             would be dead letters"
        ));
    }
    notes
}

struct Filler {
    router: Router,
    mode: Mode,
    /// Whether no Marketo instance was given.
    any_instance: bool,
    /// Format and sample id of values with a schema.
    with: Option<With>,
    topics: BTreeMap<String, Topic>,
}

impl Filler {
    /// Adds the event of `example` to its topic, as the service would.
    fn add(
        &mut self,
        SourceConfig { kind, name: source, selection, .. }: &SourceConfig,
        rules: &Rules,
        choices: &Choices,
        example: &Example,
    ) -> Result<(), String> {
        let wrong =
            |what: &dyn std::fmt::Display| format!("the example of {}: {what}", example.name);
        let mut events = Vec::new();
        let body = example.body.as_bytes();
        let screened = screen(*kind, rules, body, &[], Came::FromSender);
        screened.decode(*kind, rules, &[], &mut events).map_err(|error| wrong(&error))?;
        for event in events {
            let event = event.map_err(|refused| wrong(&refused.error))?;
            if selection.leaves_out(&event).is_some() {
                continue;
            }
            let mut buffer = String::new();
            let topic = self.router.topic(source, &event, &mut buffer);
            let choice = choices.of(topic);
            let shapes = choices.shapes().filter(|_| choice.value == ValueForm::Flat);
            let shape = shapes.map(|shapes| shapes.of(&event).clone());
            let mut encoder = Encoder::of(self.mode, choices.clone());
            let mut written = |with: Option<&With>| {
                let position = Position::start_of(1);
                let encoded = encoder.encode_with(with, topic, Uuid::nil(), position, &event);
                Written::from(&encoded.record())
            };
            // The value is what a reader's deserializer gives, which is the flat JSON in every format.
            let plain = written(None);
            let with = self.with.filter(|_| has_schema(choice));
            let record = match with {
                Some(with) => Written { value: plain.value, ..written(Some(&with)) },
                None => plain,
            };
            let names_none = selection.munchkin_ids.is_empty();
            let name = self.named(topic, example, names_none);
            let found = Event {
                stream: event.stream,
                name: example.name.clone(),
                event_type: event.event_type.to_string(),
                ce_type: event.attributes.r#type.to_string(),
                ce_source: event.attributes.source.to_string(),
                activity_type_id: event.activity_type_id,
                any_custom: example.any_custom,
                sources: vec![source.clone()],
                record,
            };
            let new = || Topic {
                name: name.clone(),
                role: Role::Events,
                events: Vec::new(),
                choice,
                shape,
            };
            self.topics.entry(name.clone()).or_insert_with(new).hold(found);
        }
        Ok(())
    }

    /// Returns the topic's name, with placeholders for ids that were not given.
    fn named(&self, topic: &str, example: &Example, any_instance: bool) -> String {
        let mut name = topic.to_owned();
        if example.any_custom {
            name = name.replace(&SOME_CUSTOM_ID.to_string(), CUSTOM);
        }
        if self.any_instance && any_instance {
            name = name.replace(SOME_MUNCHKIN_ID, MUNCHKIN);
        }
        name
    }
}

impl Topic {
    /// Adds an event; a type that comes from several sources is listed once.
    fn hold(&mut self, event: Event) {
        let same = |known: &&mut Event| {
            (&known.ce_type, known.activity_type_id) == (&event.ce_type, event.activity_type_id)
        };
        match self.events.iter_mut().find(same) {
            Some(known) => {
                if !known.sources.contains(&event.sources[0]) {
                    known.sources.extend(event.sources);
                }
                if event.record.headers.len() > known.record.headers.len() {
                    known.record = event.record;
                }
            }
            None => self.events.push(event),
        }
    }
}

impl From<&Record<'_>> for Written {
    fn from(record: &Record<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = record.headers.iter();
        Self {
            key: record.key.map(text),
            headers: headers.map(|(name, value)| ((*name).to_owned(), text(value))).collect(),
            value: record.value.map(text).unwrap_or_default(),
        }
    }
}

/// Returns a sample of a dead letter.
pub(super) fn dead_letter(config: &Config) -> Written {
    let Some(source) = config.sources.first() else { return Written::default() };
    let letter = DeadLetter {
        reason: "not-an-object",
        error: "activity 0: expected an object",
        source: &source.name,
        origin: Origin::Sender,
        position: Position { sequence: 42, index: 0 },
        original_topic: None,
        key: Some(SOME_MUNCHKIN_ID.as_bytes()),
        original: b"\"not an activity\"",
    };
    let alike: Vec<_> = letter.by_convention(&config.topics.dead_letter_headers).collect();
    letter.with_record(&config.topics.dead_letter, &alike, None, |record| Written::from(record))
}

/// Returns samples of lead states: a record with a value of each kind, and a tombstone.
pub(super) fn lead_states(config: &Config) -> Vec<Written> {
    const ACTIVITIES: &str = r#"{"munchkinId":"999-XYZ-000","activities":[
        {"marketoGUID":"0b5e0001","leadId":4711,"activityDate":"2026-03-02T09:59:56Z","activityTypeId":12},
        {"marketoGUID":"0b5e0002","leadId":4711,"activityDate":"2026-03-02T09:59:58Z","activityTypeId":13,
         "primaryAttributeValue":"Lead Status","attributes":[{"name":"New Value","value":"MQL"}]},
        {"marketoGUID":"0b5e0003","leadId":4711,"activityDate":"2026-03-02T10:00:00Z","activityTypeId":32,
         "attributes":[{"name":"Merge IDs","value":"[4712]"}]}]}"#;
    let Some(topic) = &config.topics.lead_state else { return Vec::new() };
    let rules = Rules::default();
    let mut items = Vec::new();
    let body = ACTIVITIES.as_bytes();
    let decoded = crate::deliver::decode::decode(
        SourceKind::MarketoLeadActivity,
        &rules,
        body,
        &[],
        &mut items,
    );
    debug_assert!(decoded.is_ok(), "{decoded:?}");
    lead_state::append(&mut items, &mut Vec::new(), |_| true);
    let mut encoder = Encoder::new(config.topics.mode);
    let states = items.iter().flatten().filter(|event| event.lead_state.is_some());
    states
        .map(|event| {
            let position = Position { sequence: 42, index: event.index };
            Written::from(&encoder.encode(topic, Uuid::nil(), position, event).record())
        })
        .collect()
}
