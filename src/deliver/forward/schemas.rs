//! The schemas of the events that one forwarder sends: which one is an event's, and whether it has an id.
//!
//! An event whose schema has none is not ready to be sent, and neither is what comes behind it on its topic: the topic is
//! held, as one that does not exist is (`dispatch.rs`), and comes back in order. Nothing here waits.

use std::{collections::HashMap, sync::Arc};

use smol_str::SmolStr;

use crate::{
    deliver::{
        encode::{
            With,
            design::{Design, Designs},
        },
        schema::{Answer, IdPlace, SchemaIds, SchemaState, Wanted},
    },
    event::{Event, Stream},
    kafka::produce::TopicState,
};

/// What the values of a forwarder's records are, and where their schemas get their ids.
pub struct Schemas {
    ids: Arc<dyn SchemaIds>,
    designs: Arc<Designs>,
    place: IdPlace,
    /// Whether a subject is named after its topic; else it is after its schema.
    is_by_topic: bool,
    /// Bounded: topics are by `topics.limit`, and so are the types of each by the designs.
    topics: HashMap<SmolStr, OfTopic>,
}

/// The schemas of one topic, of each stream by the event type.
type OfTopic = [HashMap<SmolStr, Entry>; Stream::ALL.len()];

struct Entry {
    design: Arc<Design>,
    answer: Answer,
}

impl Schemas {
    pub fn new(
        ids: Arc<dyn SchemaIds>,
        designs: Arc<Designs>,
        place: IdPlace,
        is_by_topic: bool,
    ) -> Self {
        Self { ids, designs, place, is_by_topic, topics: HashMap::new() }
    }

    /// The event's schema, if it has an id.
    pub(super) fn find(&self, topic: &str, event: &Event<'_>) -> Option<With<'_>> {
        let entry = self.entry(topic, event)?;
        let id = entry.answer.id()?.spell(self.place);
        Some(With { design: &entry.design, id, place: self.place })
    }

    /// Whether the event's schema has an id; begins to ask for it.
    pub(super) fn state(&mut self, topic: &str, event: &Event<'_>) -> TopicState {
        let state = match self.entry(topic, event) {
            Some(entry) => entry.answer.state(),
            None => self.enter(topic, event),
        };
        match state {
            SchemaState::Known(_) => TopicState::Ready,
            SchemaState::Pending => TopicState::Pending,
            SchemaState::Unavailable(why) => TopicState::Unavailable(why.to_string()),
        }
    }

    fn entry(&self, topic: &str, event: &Event<'_>) -> Option<&Entry> {
        self.topics.get(topic)?[event.stream as usize].get(self.designs.type_of(event))
    }

    fn enter(&mut self, topic: &str, event: &Event<'_>) -> SchemaState {
        let design = self.designs.of(event);
        let subject = match self.is_by_topic {
            true => format!("{topic}-value").into(),
            false => design.name.clone(),
        };
        let text = design.text.clone();
        let answer = self.ids.want(Wanted { subject, format: self.designs.format(), text });
        let state = answer.state();
        let of_topic = self.topics.entry(topic.into()).or_default();
        let event_type = SmolStr::from(self.designs.type_of(event));
        of_topic[event.stream as usize].insert(event_type, Entry { design, answer });
        state
    }
}
