//! The envelope of Kafka Connect's JSON converter (`value.converter.schemas.enable`, its default): a schema and a
//! payload.
//!
//! All records of a topic have one schema, their shape's, and a last field `others` for fields that the shape does not
//! list. A sink that may change its table (`auto.evolve`, `schema.evolution=basic`) adds a column when a type in
//! `catalog.types_file` has a new attribute. Dates and times are Connect's `Timestamp` and `Date`, of which sinks make
//! typed columns. A time with a finer fraction than these is text in `others`, as is text that is no Unicode.

use bumpalo::Bump;
use serde_json::{Value as Json, json};

use super::{Column, Flat, Kind, OTHERS, Value, json};

const TIMESTAMP: &str = "org.apache.kafka.connect.data.Timestamp";
const DATE: &str = "org.apache.kafka.connect.data.Date";

/// The schema of `columns`, and of the others.
pub(super) fn schema(columns: &[Column]) -> Json {
    let field = |name: &str, kind, is_required: bool| {
        let mut field = match kind {
            Kind::Text => json!({ "type": "string" }),
            Kind::Integer => json!({ "type": "int64" }),
            Kind::Number => json!({ "type": "double" }),
            Kind::Boolean => json!({ "type": "boolean" }),
            Kind::DateTime => json!({ "type": "int64", "name": TIMESTAMP, "version": 1 }),
            Kind::Date => json!({ "type": "int32", "name": DATE, "version": 1 }),
        };
        field["optional"] = (!is_required).into();
        field["field"] = name.into();
        field
    };
    let mut fields: Vec<_> =
        columns.iter().map(|it| field(&it.name, it.kind, it.is_required)).collect();
    fields.push(field(OTHERS, Kind::Text, false));
    json!({ "type": "struct", "fields": fields, "optional": false })
}

/// The exact value of a column in a schema.
#[derive(Clone, Copy)]
pub(super) enum Held<'v> {
    Null,
    /// A date and time or a day, as a number.
    Moment(i64),
    Text(&'v str),
    /// The value itself.
    Same,
}

/// `None` if the column cannot hold the value exactly.
pub(super) fn held<'v>(column: &Column, value: Value<'v>, memory: &'v Bump) -> Option<Held<'v>> {
    match (column.kind, value) {
        (_, Value::Null) => Some(Held::Null),
        (Kind::DateTime, value) => value.unix_millis().map(Held::Moment),
        (Kind::Date, value) => value.unix_days().map(|days| Held::Moment(days.into())),
        (_, Value::Text(text)) => text.plain(memory).map(Held::Text),
        _ => Some(Held::Same),
    }
}

/// Appends the record's value to `out`; `scratch` is for the others.
pub fn write(flat: &Flat<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"schema\":");
    out.extend_from_slice(flat.shape().connect_schema().as_bytes());
    out.extend_from_slice(b",\"payload\":");
    let mut object = json::Object::begin(out);
    let mut misfits = json::Misfits::new();
    for (place, (column, value)) in flat.listed().enumerate() {
        let Some(value) = value else { continue };
        match held(column, value, flat.memory()) {
            None => misfits.push(place),
            Some(Held::Moment(number)) => json::integer(number, object.before_value(column)),
            Some(_) => object.column(column, value),
        }
    }
    scratch.clear();
    if json::others(flat, &misfits, scratch) {
        let text = std::str::from_utf8(scratch).expect("JSON is made of text");
        json::string(text, object.name(OTHERS));
    }
    object.end();
    out.push(b'}');
}
