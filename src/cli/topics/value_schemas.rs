//! The schema of each topic's values, as JSON Schema and as Avro: one JSON object with a member for each topic.

use serde_json::{Map, Value, json};

use super::{
    catalogue::{Catalogue, Role, Topic},
    schemas,
};
use crate::{
    config::Config,
    deliver::encode::{choice::Surrounding, flat::schema},
};

/// Returns the JSON Schemas of the values of all topics.
pub(super) fn json_schemas(config: &Config, catalogue: &Catalogue) -> Value {
    let is_listed = |topic: &&Topic| matches!(topic.role, Role::Events | Role::LeadStates);
    let topics = catalogue.topics.iter().filter(is_listed);
    topics
        .map(|topic| (topic.name.clone(), json_schema(config, topic)))
        .collect::<Map<_, _>>()
        .into()
}

/// Returns the JSON Schema of one topic's values.
pub(super) fn json_schema(config: &Config, topic: &Topic) -> Value {
    if topic.role == Role::LeadStates {
        return titled(schemas::lead_state(), topic);
    }
    let fields = &config.fields.rules;
    let Some(shape) = &topic.shape else {
        let mut all: Vec<_> = topic
            .events
            .iter()
            .map(|event| schemas::whole(config.topics.mode, event, fields))
            .collect();
        all.dedup();
        let schema = match all.pop() {
            Some(one) if all.is_empty() => one,
            last => json!({ "anyOf": all.into_iter().chain(last).collect::<Vec<_>>() }),
        };
        return titled(schema, topic);
    };
    match topic.choice.envelope {
        Surrounding::None => schema::json_schema(shape, &topic.name),
        Surrounding::Connect => schema::json_schema_of_connect(shape, &topic.name),
    }
}

fn titled(mut schema: Value, topic: &Topic) -> Value {
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = topic.name.as_str().into();
    schema
}

/// Returns the Avro schemas of the topics whose values are flat; the others have none.
pub(super) fn avro(catalogue: &Catalogue) -> Value {
    let of = |topic: &Topic| {
        let shape = topic.shape.as_ref()?;
        Some((topic.name.clone(), schema::avro(shape, &schema::avro_name(&topic.name))))
    };
    catalogue.topics.iter().filter_map(of).collect::<Map<_, _>>().into()
}

/// Counts the topics that have no schema in Avro.
pub(super) fn without_avro(catalogue: &Catalogue) -> usize {
    let is_without = |topic: &&Topic| topic.role == Role::Events && topic.shape.is_none();
    catalogue.topics.iter().filter(is_without).count()
}
