//! The schema of one type of event, in the two languages, and the value of an event by it.
//!
//! A schema is made of what the catalogue says of a type, and never of what an event happens to have: each instance of
//! this program registers the same one, and a subject has as many versions as the catalogue had changes. So:
//!
//! - Every field but `id`, `source` and `type` may be null or absent, and is null by default: a field that the catalogue
//!   gains is a compatible change, backward and forward.
//! - What an event has beside the schema, and a value that is not of its field's kind, is kept. In Avro it stands in the
//!   last field, [`MORE`], as the text of one JSON object; in JSON it stands under its own name, which the schema allows.
//! - In Avro a date and time is `timestamp-millis` and a day is `date`. A time that is finer than milliseconds is not of
//!   its field's kind, and stands in [`MORE`] whole: nothing is rounded.
//! - A number (`double` in Avro) is the nearest that a double can hold, as it is for nearly every reader of JSON.

use std::{collections::HashMap, sync::Arc};

use serde_json::{Value as Json, json};
use smallvec::{SmallVec, smallvec};

use super::{
    avro::Writer,
    fields::Fields,
    flat::value::{Kind, Text, Value},
};
use crate::{deliver::schema::Format, event::Event};

/// The field of Avro's schemas with what has no field of its own. No name of the sender's becomes this one.
pub const MORE: &str = "_more";

/// One field of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    pub kind: Kind,
    /// Every event has it.
    pub is_required: bool,
}

/// The schema of one type of event.
#[derive(Debug)]
pub struct Design {
    /// Its full name: `marketo.lead_activity.click_link`.
    pub name: Arc<str>,
    pub text: Arc<str>,
    format: Format,
    columns: Vec<Column>,
    places: HashMap<String, usize>,
}

impl Design {
    /// `space` and `name` are made of what an Avro name may have.
    pub fn new(space: &str, name: &str, columns: Vec<Column>, format: Format) -> Self {
        let text = match format {
            Format::Avro => avro(space, name, &columns),
            Format::JsonSchema => json_schema(space, name, &columns),
        };
        let places = columns.iter().enumerate().map(|(at, it)| (it.name.clone(), at)).collect();
        Self {
            name: format!("{space}.{name}").into(),
            text: text.to_string().into(),
            format,
            columns,
            places,
        }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Appends the value of an event to `out`. `data` is what stands in it in binary mode.
    pub(super) fn write(&self, id: &str, event: &Event<'_>, data: &[u8], out: &mut Vec<u8>) {
        let kind_of = |name: &str| self.places.get(name).map(|at| self.columns[*at].kind);
        let fields = Fields::of(id, event, data, kind_of);
        match self.format {
            Format::JsonSchema => fields.write_json(out),
            Format::Avro => self.write_avro(fields.iter(), out),
        }
    }

    /// Appends the Avro of an event with these fields to `out`.
    pub(super) fn write_avro<'a, 'v: 'a>(
        &self,
        fields: impl Iterator<Item = (&'a str, &'a Value<'v>)>,
        out: &mut Vec<u8>,
    ) {
        let mut values: SmallVec<[Option<&Value<'_>>; 48]> = smallvec![None; self.columns.len()];
        let mut more = More::default();
        let mut next = 0;
        for (name, value) in fields {
            match self.place(name, &mut next) {
                Some(at) if values[at].is_none() && fits(&self.columns[at], value) => {
                    values[at] = Some(value);
                }
                _ => more.add(name, value),
            }
        }
        let mut writer = Writer(out);
        for (column, value) in self.columns.iter().zip(values) {
            match value.filter(|value| **value != Value::Null) {
                None if column.is_required => writer.string(""),
                None => writer.null(),
                Some(value) => {
                    if !column.is_required {
                        writer.not_null();
                    }
                    write(&mut writer, column.kind, value);
                }
            }
        }
        match more.end() {
            None => writer.null(),
            Some(json) => {
                writer.not_null();
                writer.string(&json);
            }
        }
    }

    /// Where a field's column is: mostly behind the one before.
    fn place(&self, name: &str, next: &mut usize) -> Option<usize> {
        let at = match self.columns.get(*next) {
            Some(column) if column.name == name => *next,
            _ => *self.places.get(name)?,
        };
        *next = at + 1;
        Some(at)
    }
}

/// Whether a column can have this value without any loss but a double's.
fn fits(column: &Column, value: &Value<'_>) -> bool {
    match (column.kind, value) {
        (_, Value::Null) => !column.is_required,
        (Kind::Text, Value::Text(text)) => text.plain().is_some(),
        (Kind::Text, Value::Json(_) | Value::Number(_)) | (Kind::Boolean, Value::Boolean(_)) => true,
        (Kind::Integer, Value::Number(digits)) => digits.parse::<i64>().is_ok(),
        (Kind::Number, Value::Number(digits)) => digits.parse::<f64>().is_ok_and(f64::is_finite),
        (Kind::DateTime, value) => value.unix_millis().is_some(),
        (Kind::Date, value) => value.unix_days().is_some(),
        _ => false,
    }
}

/// Writes a value that [`fits`].
fn write(writer: &mut Writer<'_>, kind: Kind, value: &Value<'_>) {
    match (kind, value) {
        (Kind::Integer, Value::Number(digits)) => writer.long(digits.parse().unwrap_or_default()),
        (Kind::Number, Value::Number(digits)) => writer.double(digits.parse().unwrap_or_default()),
        (_, Value::Boolean(value)) => writer.boolean(*value),
        (Kind::DateTime, value) => writer.long(value.unix_millis().unwrap_or_default()),
        (Kind::Date, value) => writer.long(value.unix_days().unwrap_or_default().into()),
        (_, Value::Text(text)) => writer.string(&text.plain().unwrap_or_default()),
        (_, Value::Json(text) | Value::Number(text)) => writer.string(text),
        (_, Value::Null) => writer.string(""),
    }
}

/// The text of the last field.
#[derive(Default)]
struct More(String);

impl More {
    fn add(&mut self, name: &str, value: &Value<'_>) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        // Names of fields need no escape.
        self.0.extend(["\"", name, "\":"]);
        match value {
            Value::Null => self.0.push_str("null"),
            Value::Boolean(value) => self.0.push_str(if *value { "true" } else { "false" }),
            Value::Number(text) | Value::Json(text) => self.0.push_str(text),
            Value::Text(Text::Spelled(inner)) => self.0.extend(["\"", inner, "\""]),
            Value::Text(Text::Plain(text)) => self.0.push_str(&Json::from(&**text).to_string()),
        }
    }

    fn end(mut self) -> Option<String> {
        if self.0.is_empty() {
            return None;
        }
        self.0.push('}');
        Some(self.0)
    }
}

fn avro(space: &str, name: &str, columns: &[Column]) -> Json {
    let mut fields: Vec<_> = columns.iter().map(avro_field).collect();
    let doc = "What has no field of its own: the text of a JSON object.";
    fields.push(json!({"name": MORE, "type": ["null", "string"], "default": null, "doc": doc}));
    json!({"type": "record", "name": name, "namespace": space, "fields": fields})
}

fn avro_field(column: &Column) -> Json {
    let of_kind = match column.kind {
        Kind::Text => json!("string"),
        Kind::Integer => json!("long"),
        Kind::Number => json!("double"),
        Kind::Boolean => json!("boolean"),
        Kind::DateTime => json!({"type": "long", "logicalType": "timestamp-millis"}),
        Kind::Date => json!({"type": "int", "logicalType": "date"}),
    };
    match column.is_required {
        true => json!({"name": column.name, "type": of_kind}),
        false => json!({"name": column.name, "type": ["null", of_kind], "default": null}),
    }
}

fn json_schema(space: &str, name: &str, columns: &[Column]) -> Json {
    let properties: serde_json::Map<_, _> = columns
        .iter()
        .map(|column| {
            let (of_kind, format) = match column.kind {
                Kind::Text => ("string", None),
                Kind::Integer => ("integer", None),
                Kind::Number => ("number", None),
                Kind::Boolean => ("boolean", None),
                Kind::DateTime => ("string", Some("date-time")),
                Kind::Date => ("string", Some("date")),
            };
            let mut property = serde_json::Map::new();
            let kinds = match column.is_required {
                true => json!(of_kind),
                false => json!([of_kind, "null"]),
            };
            property.insert("type".into(), kinds);
            property.extend(format.map(|format| ("format".into(), json!(format))));
            (column.name.clone(), Json::Object(property))
        })
        .collect();
    let required = columns.iter().filter(|column| column.is_required);
    let required: Vec<_> = required.map(|column| &column.name).collect();
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": format!("{space}.{name}"),
        "type": "object",
        "properties": properties,
        "required": required,
    })
}

/// The schemas of all types of event, made as they are wanted.
pub struct Designs {
    format: Format,
}

impl Designs {
    pub fn new(format: Format) -> Self {
        Self { format }
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Which schema of its stream is an event's: of the type, where the catalogue has it.
    pub fn type_of<'e>(&self, event: &'e Event<'_>) -> &'e str {
        &event.event_type
    }

    pub fn of(&self, event: &Event<'_>) -> Arc<Design> {
        let column = |name: &str, kind, is_required| Column { name: name.into(), kind, is_required };
        let columns = vec![
            column("id", Kind::Text, true),
            column("source", Kind::Text, true),
            column("type", Kind::Text, true),
            column("time", Kind::DateTime, false),
            column("munchkin_id", Kind::Text, false),
            column("lead_id", Kind::Integer, false),
            column("activity_type_id", Kind::Integer, false),
            column("activity_type", Kind::Text, false),
        ];
        let space = format!("marketo.{}", event.stream.as_str().replace('-', "_"));
        Arc::new(Design::new(&space, &event.event_type.replace('-', "_"), columns, self.format))
    }
}
