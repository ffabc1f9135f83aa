//! A flat event as JSON: its listed fields in the order of the columns, then the others in the sender's order.

use smallvec::SmallVec;

use super::{Column, Flat, Text, Value, label::Before};
use crate::deliver::decode::first_special;

/// Appends the object to `out`.
pub fn write(flat: &Flat<'_>, out: &mut Vec<u8>) {
    let mut object = Object::begin(out);
    for (column, value) in flat.listed() {
        if let Some(value) = value {
            object.column(column, value);
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
            object.column(column, value);
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
    before: Before,
}

impl<'o> Object<'o> {
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Self {
        out.push(b'{');
        Self { out, before: Before::First }
    }

    /// A member that is a column.
    pub(super) fn column(&mut self, column: &Column, value: Value<'_>) {
        let text = match value {
            Value::Text(Text::Escaped(inner) | Text::Exact(inner)) => inner,
            Value::Text(Text::Plain(text)) if !has_escapes(text.as_bytes()) => text,
            _ => return write_value(value, self.before_value(column)),
        };
        column.label.write(self.before, true, self.out);
        self.before = Before::Text;
        self.out.extend_from_slice(text.as_bytes());
    }

    /// The name of a column, to be followed by a value.
    pub(super) fn before_value(&mut self, column: &Column) -> &mut Vec<u8> {
        column.label.write(self.before, false, self.out);
        self.before = Before::Value;
        self.out
    }

    /// Any name, to be followed by a value.
    pub(super) fn name(&mut self, name: &str) -> &mut Vec<u8> {
        let between: &[u8] = match self.before {
            Before::Text => b"\",\"",
            Before::Value => b",\"",
            Before::First => b"\"",
        };
        self.before = Before::Value;
        self.out.extend_from_slice(between);
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    pub(super) fn member(&mut self, name: &str, value: Value<'_>) {
        write_value(value, self.name(name));
    }

    /// Ends the object; whether it has any member.
    pub(super) fn end(self) -> bool {
        if self.before == Before::Text {
            self.out.push(b'"');
        }
        self.out.push(b'}');
        self.before != Before::First
    }
}

/// Writes one value.
fn write_value(value: Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Boolean(true) => out.extend_from_slice(b"true"),
        Value::Boolean(false) => out.extend_from_slice(b"false"),
        Value::Number(digits) => out.extend_from_slice(digits.as_bytes()),
        Value::Id(id) => integer(id, out),
        Value::Text(Text::Escaped(inner) | Text::Exact(inner)) => quoted(inner, out),
        Value::Text(Text::Plain(text)) => string(text, out),
        Value::Json(text) => string(text, out),
    }
}

pub(super) fn integer(value: i64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    if !has_escapes(text.as_bytes()) {
        return quoted(text, out);
    }
    serde_json::to_writer(out, text).expect("text can be written into memory");
}

/// Writes what stands between quotes as it is.
fn quoted(text: &str, out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Whether JSON escapes something of `text`: a quote, a backslash or a control character.
fn has_escapes(text: &[u8]) -> bool {
    let one = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
    let Some(last) = text.last_chunk::<8>() else { return text.iter().any(one) };
    // Eight bytes at a time; of the last eight some are looked at twice.
    let (eights, _) = text.as_chunks::<8>();
    eights.iter().chain([last]).any(|eight| first_special(u64::from_le_bytes(*eight)).is_some())
}
