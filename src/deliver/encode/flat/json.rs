//! A flat event as JSON: its listed fields in the order of the columns, then the others in the sender's order.

use smallvec::SmallVec;

use super::{Column, Flat, Text, Value};

/// Appends the object to `out`.
pub fn write(flat: &Flat<'_>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    for (column, value) in flat.listed() {
        if let Some(value) = value {
            write_value(value, object.column(column));
        }
    }
    for (name, value) in flat.others() {
        object.member(name, value);
    }
    object.end();
}

/// Places of columns whose values their format cannot hold.
pub type Misfits = SmallVec<[usize; 4]>;

/// Appends the object of the fields that are no columns, and of the `misfits` among the columns: the content of
/// [`super::OTHERS`] in a format with a schema. Writes nothing, and is `false`, where there are none.
pub fn others(flat: &Flat<'_>, misfits: &Misfits, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    let mut object = Object::begin(out);
    for place in misfits {
        if let Some((column, Some(value))) = flat.listed().nth(*place) {
            write_value(value, object.column(column));
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

    /// Writes the name of a column, which is prepared.
    pub(super) fn column(&mut self, column: &Column) -> &mut Vec<u8> {
        if !self.is_empty {
            self.out.push(b',');
        }
        self.is_empty = false;
        self.out.extend_from_slice(column.member.as_bytes());
        self.out
    }

    pub(super) fn member(&mut self, name: &str, value: &Value<'_>) {
        write_value(value, self.name(name));
    }

    /// Ends the object; whether it has any member.
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
    // The loop has no early exit, so that the compiler can check many bytes at once.
    let has_escapes = text
        .bytes()
        .fold(false, |found, byte| found | (byte < b' ') | (byte == b'"') | (byte == b'\\'));
    if !has_escapes {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    serde_json::to_writer(out, text).expect("text can be written into memory");
}
