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

/// JSON Schemas of the values that records have by this configuration.
pub(super) fn json_schemas(config: &Config, catalogue: &Catalogue) -> Value {
    let topics = catalogue.topics.iter().filter(|topic| topic.role == Role::Events);
    topics
        .map(|topic| (topic.name.clone(), json_schema(config, topic)))
        .collect::<Map<_, _>>()
        .into()
}

/// The same of one topic.
pub(super) fn json_schema(config: &Config, topic: &Topic) -> Value {
    let fields = &config.fields.rules;
    let Some(shape) = &topic.shape else {
        let mut all: Vec<_> = topic
            .events
            .iter()
            .map(|event| schemas::whole(config.topics.mode, event, fields))
            .collect();
        all.dedup();
        let mut schema = match all.pop() {
            Some(one) if all.is_empty() => one,
            last => json!({ "anyOf": all.into_iter().chain(last).collect::<Vec<_>>() }),
        };
        schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
        schema["title"] = topic.name.as_str().into();
        return schema;
    };
    match topic.choice.envelope {
        Surrounding::None => schema::json_schema(shape, &topic.name),
        Surrounding::Connect => schema::json_schema_of_connect(shape, &topic.name),
    }
}

/// Avro's schemas of the topics whose values are flat; the others have none.
pub(super) fn avro(catalogue: &Catalogue) -> Value {
    let of = |topic: &Topic| {
        let shape = topic.shape.as_ref()?;
        Some((topic.name.clone(), schema::avro(shape, &schema::avro_name(&topic.name))))
    };
    catalogue.topics.iter().filter_map(of).collect::<Map<_, _>>().into()
}

/// How many topics have no schema in Avro.
pub(super) fn without_avro(catalogue: &Catalogue) -> usize {
    let is_without = |topic: &&Topic| topic.role == Role::Events && topic.shape.is_none();
    catalogue.topics.iter().filter(is_without).count()
}
