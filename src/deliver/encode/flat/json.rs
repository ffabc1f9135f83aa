//! A flat event as JSON: its listed fields in the order of the columns, then the others in the sender's.

use super::{Flat, Text, Value};

/// Writes the object behind what is in `out`.
pub fn write(flat: &Flat<'_>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    for (column, value) in flat.listed() {
        if let Some(value) = value {
            object.member(&column.name, value);
        }
    }
    for (name, value) in flat.others() {
        object.member(name, value);
    }
    object.end();
}

/// Writes the object of the fields that are no columns, and of those columns that `fits` is false for: what a format
/// with a schema has in [`super::OTHERS`]. Writes nothing, and is `false`, where there are none.
pub fn others(
    flat: &Flat<'_>,
    mut fits: impl FnMut(&super::Column, &Value<'_>) -> bool,
    out: &mut Vec<u8>,
) -> bool {
    let start = out.len();
    let mut object = Object::begin(out);
    for (column, value) in flat.listed() {
        if let Some(value) = value.filter(|value| !fits(column, value)) {
            object.member(&column.name, value);
        }
    }
    for (name, value) in flat.others() {
        object.member(name, value);
    }
    let is_any = object.end();
    if !is_any {
        out.truncate(start);
    }
    is_any
}

/// An object that is being written. Names need no escapes.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Object<'o> {
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, is_empty: true }
    }

    pub(super) fn name(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.extend_from_slice(if self.is_empty { b"\"" } else { b",\"" });
        self.is_empty = false;
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(super) fn member(&mut self, name: &str, value: &Value<'_>) {
        write_value(value, self.name(name));
    }

    /// Whether there is anything in it.
    pub(super) fn end(self) -> bool {
        self.out.push(b'}');
        !self.is_empty
    }
}

/// Writes one value.
pub fn write_value(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(true) => out.extend_from_slice(b"true"),
        Value::Boolean(false) => out.extend_from_slice(b"false"),
        Value::Number(digits) => out.extend_from_slice(digits.as_bytes()),
        Value::Id(id) => out.extend_from_slice(id.to_string().as_bytes()),
        Value::Text(Text::Spelled(inner)) => {
            out.push(b'"');
            out.extend_from_slice(inner.as_bytes());
            out.push(b'"');
        }
        Value::Text(Text::Plain(text)) => string(text, out),
        Value::Json(text) => string(text, out),
    }
}

pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("text can be written into memory");
}
