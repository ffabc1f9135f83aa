//! Schemas of the topics that one forwarder writes: the schema of each topic, and whether it has an id.
//!
//! A topic whose schema has no id is not ready to be written, and is held like one that does not exist (`dispatch.rs`):
//! it comes back in order once the id is there, and the others go on. Nothing here waits.

use std::{collections::HashMap, sync::Arc};

use crate::{
    deliver::{
        encode::{
            With,
            choice::{Choices, Surrounding, ValueForm},
            flat::schema,
        },
        schema::{Answer, Format, IdPlace, NO_SCHEMA, SchemaIds, SchemaState, Wanted},
    },
    event::Event,
    kafka::produce::TopicState,
};

/// The source of the schema ids of flat values, and their place in records.
pub struct Schemas {
    ids: Arc<dyn SchemaIds>,
    choices: Choices,
    format: Format,
    place: IdPlace,
    /// Whether a subject is named after its topic, or after its schema.
    is_by_topic: bool,
    /// By written topic; `None` where it has no schema. Bounded by `topics.limit`.
    topics: HashMap<String, Option<Answer>>,
}

/// A topic's need of a schema for its next record.
pub(super) enum Need {
    None,
    /// Not known, or without an id yet.
    Open,
    Met(With),
}

impl Schemas {
    /// `choices` says which topics have flat values; the others have no schema.
    pub fn new(
        ids: Arc<dyn SchemaIds>,
        choices: Choices,
        (format, place): (Format, IdPlace),
        is_by_topic: bool,
    ) -> Self {
        Self { ids, choices, format, place, is_by_topic, topics: HashMap::new() }
    }

    pub(super) fn need(&self, topic: &str) -> Need {
        match self.topics.get(topic) {
            None => Need::Open,
            Some(None) => Need::None,
            Some(Some(answer)) => match answer.id() {
                None => Need::Open,
                Some(id) => {
                    let format = self.format;
                    let place = self.place;
                    Need::Met(With { format, id: id.spell(place), place })
                }
            },
        }
    }

    /// Whether the schema of the event's topic has its id; begins to ask for it.
    pub(super) fn state(&mut self, topic: &str, event: &Event<'_>) -> TopicState {
        if !self.topics.contains_key(topic) {
            let answer = self.want(topic, event);
            self.topics.insert(topic.to_owned(), answer);
        }
        let Some(Some(answer)) = self.topics.get(topic) else { return TopicState::Ready };
        match answer.state() {
            SchemaState::Known(_) => TopicState::Ready,
            SchemaState::Pending => TopicState::Pending,
            SchemaState::Unavailable(why) => TopicState::Unavailable(format!("{NO_SCHEMA}{why}")),
        }
    }

    fn want(&self, topic: &str, event: &Event<'_>) -> Option<Answer> {
        // A lead state has one form, whatever is chosen for its topic.
        if event.lead_state.is_some() {
            return None;
        }
        let choice = self.choices.of(topic);
        // A value with an envelope contains its schema.
        if choice.value != ValueForm::Flat || choice.envelope != Surrounding::None {
            return None;
        }
        // All events of a topic have one shape.
        let shape = self.choices.shapes()?.of(event);
        let record = schema::avro_name(topic);
        let text = match self.format {
            Format::JsonSchema => schema::json_schema(shape, topic),
            Format::Avro => schema::avro(shape, &record),
        };
        let subject = if self.is_by_topic { format!("{topic}-value") } else { record };
        let text = text.to_string().into();
        Some(self.ids.want(Wanted { subject: subject.into(), format: self.format, text }))
    }
}
