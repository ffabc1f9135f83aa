//! The schemas of flat values, as JSON Schema and as Avro.

use serde_json::{Value as Json, json};

use super::{Column, Kind, OTHERS, Shape};

/// The schema of a topic's flat values as JSON Schema. Members beyond it are valid: senders add them.
pub fn json_schema(shape: &Shape, title: &str) -> Json {
    let mut required = Vec::new();
    let properties = shape.columns().iter().map(|column| {
        if column.is_required {
            required.push(column.name.as_str());
        }
        (column.name.to_string(), property(column))
    });
    let properties: serde_json::Map<_, _> = properties.collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": {"type": ["string", "number", "boolean", "null"]},
    })
}

/// The schema of values in [`super::connect`]'s envelope, whose inner schema is fixed.
pub fn json_schema_of_connect(shape: &Shape, title: &str) -> Json {
    let schema: Json = serde_json::from_str(shape.connect_schema()).unwrap_or_default();
    let property = |column: &Column| {
        let mut property = property(column);
        if let Kind::DateTime | Kind::Date = column.kind {
            property = json!({ "type": ["integer", "null"] });
        }
        (column.name.to_string(), property)
    };
    let mut properties: serde_json::Map<_, _> = shape.columns().iter().map(property).collect();
    properties.insert(OTHERS.into(), json!({ "type": ["string", "null"] }));
    let required = shape.columns().iter().filter(|column| column.is_required);
    let required: Vec<_> = required.map(|column| column.name.as_str()).collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "properties": {
            "schema": {"const": schema},
            "payload": {
                "type": "object",
                "properties": properties,
                "required": required,
                "additionalProperties": false,
            },
        },
        "required": ["schema", "payload"],
        "additionalProperties": false,
    })
}

fn property(column: &Column) -> Json {
    let (name, format) = match column.kind {
        Kind::Text => ("string", None),
        Kind::Integer => ("integer", None),
        Kind::Number => ("number", None),
        Kind::Boolean => ("boolean", None),
        Kind::DateTime => ("string", Some("date-time")),
        Kind::Date => ("string", Some("date")),
    };
    let mut property = match column.is_required {
        true => json!({ "type": name }),
        false => json!({ "type": [name, "null"] }),
    };
    if let Some(format) = format {
        property["format"] = format.into();
    }
    property
}

/// The schema of a topic's flat values as an Avro record of the name `full_name`, with [`OTHERS`] as its last field.
pub fn avro(shape: &Shape, full_name: &str) -> Json {
    let field = |name: &str, kind, is_required| {
        let kind = match kind {
            Kind::Text => json!("string"),
            Kind::Integer => json!("long"),
            Kind::Number => json!("double"),
            Kind::Boolean => json!("boolean"),
            Kind::DateTime => json!({ "type": "long", "logicalType": "timestamp-millis" }),
            Kind::Date => json!({ "type": "int", "logicalType": "date" }),
        };
        match is_required {
            true => json!({ "name": name, "type": kind }),
            false => json!({ "name": name, "type": ["null", kind], "default": null }),
        }
    };
    let columns = shape.columns().iter();
    let mut fields: Vec<_> =
        columns.map(|column| field(&column.name, column.kind, column.is_required)).collect();
    fields.push(field(OTHERS, Kind::Text, false));
    let (namespace, name) = full_name.rsplit_once('.').unwrap_or(("", full_name));
    json!({ "type": "record", "namespace": namespace, "name": name, "fields": fields })
}

/// The full name of a topic's record in Avro: each part of the topic's name made legal in Avro.
pub fn avro_name(topic: &str) -> String {
    let part = |part: &str| {
        let legal = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
        let made: String = part.chars().map(legal).collect();
        match made.as_bytes().first() {
            None | Some(b'0'..=b'9') => format!("_{made}"),
            Some(_) => made,
        }
    };
    topic.split('.').map(part).collect::<Vec<_>>().join(".")
}
