//! The fields of an event: of the members that decoding has handed over, or else in one pass over its data.

use std::borrow::Cow;

use bumpalo::Bump;
use smallvec::SmallVec;

use super::{
    Flat, Kind, MAX_FIELDS, OTHERS, Other, Text, Value,
    names::Names,
    shape::{ID, MUNCHKIN_ID, SOURCE, Shape, TIME, TYPE},
    value::Around,
};
use crate::{
    deliver::decode::{
        adobe::TIME_HEADER,
        json::{Cursor, Name},
    },
    event::{Coding, Event, Form, Members, Spelled, Stream, is_json},
};

/// The value of an attribute that has none.
const NULL: Spelled<'static> = Spelled::other("null");

/// Flattens events one after the other, in memory that it keeps.
#[derive(Debug, Default)]
pub struct Flattener {
    /// Reused memory for the event's data, where it is not one piece already.
    text: Vec<u8>,
    names: String,
    known: Names,
    memory: Bump,
}

impl Flattener {
    /// Flattens `event`, whose id is `id`, into the columns of `shape`, its topic's ([`super::Shapes::of`]).
    pub fn flatten<'b>(
        &'b mut self,
        shape: &'b Shape,
        id: &'b str,
        event: &'b Event<'b>,
    ) -> Flat<'b> {
        let Self { text, names, known, memory } = self;
        memory.reset();
        let memory: &'b Bump = memory;
        let listed = memory.alloc_slice_fill_copy(shape.columns().len(), None);
        let time = event.attributes.time.as_deref();
        let around = Around { memory, time };
        names.clear();
        let mut flat = Flat { shape, listed, others: SmallVec::new(), names, known, around };
        let is_data_json = event.value.coding() == Coding::Plain
            && event.attributes.datacontenttype.as_deref().is_none_or(is_json);
        if let Some(members) = event.members.filter(|_| is_data_json && shape.has_munchkin_id()) {
            flat.begin(id, event);
            if flat.take(members, event.stream).is_some() {
                flat.finish(event);
                return flat;
            }
        }
        let data = text_of(event, text);
        flat.clear();
        flat.begin(id, event);
        let is_object = is_data_json && data.starts_with('{');
        if is_object && flat.read(data, event.stream).is_some() {
            flat.finish(event);
            return flat;
        }
        flat.clear();
        flat.begin(id, event);
        let whole = match event.value.coding() {
            _ if data.is_empty() => None,
            Coding::Plain if is_object || !is_data_json => Some(("data", Value::plain(data))),
            Coding::Plain | Coding::JsonString => Some(("data", Value::text(Spelled::of(data)))),
            Coding::Base64 => Some(("data_base64", Value::text(Spelled::of(data)))),
        };
        if let Some((name, value)) = whole {
            flat.other("", name, value);
        }
        flat.finish(event);
        flat
    }
}

/// The event's data as spelled, in one piece.
fn text_of<'b>(event: &'b Event<'b>, buffer: &'b mut Vec<u8>) -> &'b str {
    let whole = match event.value.as_slice() {
        [] => &[],
        [whole] => *whole,
        parts => {
            buffer.clear();
            parts.iter().for_each(|part| buffer.extend_from_slice(part));
            buffer.as_slice()
        }
    };
    std::str::from_utf8(whole).expect("pieces of a body are text")
}

fn is_array(value: Spelled<'_>) -> bool {
    value.form() == Form::Other && value.text().starts_with('[')
}

impl<'a> Flat<'a> {
    /// Nothing was read yet.
    fn clear(&mut self) {
        self.listed.fill(None);
        self.others.clear();
        self.names.clear();
    }

    /// Fills the columns that come from the event's attributes.
    fn begin(&mut self, id: &'a str, event: &'a Event<'a>) {
        let attributes = &event.attributes;
        self.listed[ID] = Some(Value::plain(id));
        self.listed[SOURCE] = Some(Value::plain(&attributes.source));
        self.listed[TYPE] = Some(Value::plain(&attributes.r#type));
        if event.stream != Stream::LeadActivity {
            self.listed[TIME] = attributes.time.as_deref().map(Value::plain);
        }
    }

    /// Fills the columns that the data lacks and the event has.
    fn finish(&mut self, event: &'a Event<'a>) {
        // The id of the key, without the sender's own white space and case.
        if let Some(id) = event.munchkin_id.as_deref() {
            self.listed[MUNCHKIN_ID] = Some(Value::plain(id));
        }
        if event.stream == Stream::LeadActivity {
            let date = self.shape.activity_date().and_then(|at| self.listed[at]);
            self.listed[TIME] = date.filter(|date| *date != Value::Null);
        } else if let Some((_, came)) = event.headers.iter().find(|(name, _)| *name == TIME_HEADER)
        {
            self.other("", "time_text", Value::plain(came));
        }
    }

    /// The members that decoding has met; `None` if there are too many. The munchkin id that may be put in before them is
    /// the event's.
    fn take(&mut self, members: &'a Members<'a>, stream: Stream) -> Option<()> {
        let is_activity = stream == Stream::LeadActivity;
        for member in members.members {
            if is_activity && member.name == "attributes" && is_array(member.value) {
                for attribute in members.attributes {
                    if self.is_full() {
                        return None;
                    }
                    let value = attribute.value.unwrap_or(NULL);
                    self.attribute(attribute.name, attribute.data_type, value);
                }
                continue;
            }
            if self.is_full() {
                return None;
            }
            self.member(member.name, member.value);
        }
        Some(())
    }

    /// Reads the members of the object `data`; `None` if it has too many.
    fn read(&mut self, data: &'a str, stream: Stream) -> Option<()> {
        let mut cursor = Cursor::new(data);
        let mut is_full = false;
        let read = cursor.object(|cursor, name| {
            let attributes = stream == Stream::LeadActivity
                && name.quoted == "\"attributes\""
                && cursor.peek() == Some(b'[');
            if attributes {
                let (whole, is_whole) = self.attributes(cursor, &mut is_full)?;
                if !is_whole {
                    self.other("data_", "attributes", Value::Json(whole));
                }
                return Ok(());
            }
            let spelled = cursor.skip()?;
            is_full |= self.is_full();
            if !is_full {
                let name = name.text().unwrap_or(Cow::Borrowed(name.quoted));
                self.member(&name, Spelled::of(spelled));
            }
            Ok(())
        });
        (read.is_ok() && !is_full).then_some(())
    }

    fn is_full(&self) -> bool {
        self.others.len() >= MAX_FIELDS
    }

    fn member(&mut self, name: &str, spelled: Spelled<'a>) {
        match self.shape.of_member(name) {
            Some(listed) => {
                let value = self.value_of(listed.column, spelled);
                if value.is_none()
                    && listed.is_id
                    && self.listed[listed.column].is_none()
                    && let Some(id) = Value::id(spelled)
                {
                    // Another notation of the same number.
                    self.listed[listed.column] = Some(id);
                    return;
                }
                self.put(listed.column, value, spelled);
            }
            None => {
                // Marketo's own form has the id here, if the value is kept as it came.
                let is_id = name == "marketoGUID"
                    && matches!(&self.listed[ID], Some(Value::Text(Text::Plain(id)))
                        if spelled.text().trim_matches('"') == *id);
                if !is_id {
                    self.other("data_", name, Value::undescribed(spelled));
                }
            }
        }
    }

    /// Reads the array at the cursor; returns its range, and whether all of it became fields.
    fn attributes(
        &mut self,
        cursor: &mut Cursor<'a>,
        is_full: &mut bool,
    ) -> Result<(&'a str, bool), crate::deliver::decode::Undecodable> {
        let rest = cursor.rest();
        let mut is_whole = true;
        cursor.array(|cursor| {
            if cursor.peek() != Some(b'{') {
                is_whole = false;
                return cursor.skip().map(drop);
            }
            let mut found = Found::default();
            cursor.object(|cursor, name| {
                let spelled = cursor.skip()?;
                found.member(name, spelled);
                Ok(())
            })?;
            *is_full |= self.is_full();
            if !*is_full {
                is_whole &= self.found(&found);
            }
            Ok(())
        })?;
        let length = rest.len() - cursor.rest().len();
        Ok((rest[..length].trim_start(), is_whole))
    }

    /// Adds an attribute; `false` if it does not have the form of one.
    fn found(&mut self, found: &Found<'a>) -> bool {
        let Some(name) = found.name.filter(|_| !found.is_odd).map(Spelled::of) else {
            return false;
        };
        let name = match name.form() {
            Form::Text => Some(name.text()),
            Form::Escaped => Text::Escaped(name.text()).plain(self.around.memory),
            Form::Other => None,
        };
        let Some(name) = name else { return false };
        let data_type = found.data_type.map(|spelled| spelled.trim_matches('"'));
        self.attribute(name, data_type, found.value.map_or(NULL, Spelled::of));
        for (member, spelled) in &found.more {
            let member = member.text().unwrap_or(Cow::Borrowed(member.quoted));
            let value = Value::undescribed(Spelled::of(spelled));
            self.other("attribute_", &format!("{name} {member}"), value);
        }
        true
    }

    /// An attribute of an activity.
    fn attribute(&mut self, name: &str, data_type: Option<&str>, spelled: Spelled<'a>) {
        // The snake-case name is appended to the others', and stays there if it is no column's.
        let start = self.names.len();
        let column = self.shape.of_attribute(name).or_else(|| {
            self.known.write(name, self.names);
            self.shape.of_snake(&self.names[start..])
        });
        if let Some(column) = column {
            self.names.truncate(start);
            let value = self.value_of(column, spelled);
            return self.put(column, value, spelled);
        }
        let value = match data_type {
            None => Some(Value::undescribed(spelled)),
            Some(name) => Value::read(Kind::of_data_type(name), spelled, self.around),
        };
        match value {
            Some(value) => self.other_from(start, "attribute_", value),
            None => {
                let snaked = self.names.split_off(start);
                self.misfit("attribute_", &snaked, spelled);
            }
        }
    }

    /// `spelled` as a value of a column's kind.
    #[inline]
    fn value_of(&self, column: usize, spelled: Spelled<'a>) -> Option<Value<'a>> {
        Value::read(self.shape.columns()[column].kind, spelled, self.around)
    }

    /// Puts a value into a column, or beside it if it is not of its kind, or if the column has one already.
    fn put(&mut self, column: usize, value: Option<Value<'a>>, spelled: Spelled<'a>) {
        let shape = self.shape;
        match value {
            Some(value) if self.listed[column].is_none() => self.listed[column] = Some(value),
            Some(value) => self.other("", &shape.columns()[column].name, value),
            None => self.misfit("", &shape.columns()[column].name, spelled),
        }
    }

    /// Adds a value that is not of the kind of the field `name`.
    fn misfit(&mut self, prefix: &str, name: &str, spelled: Spelled<'a>) {
        self.other(prefix, &format!("{name}_text"), Value::text(spelled));
    }

    /// Adds a field that is no column, under the first free name.
    fn other(&mut self, prefix: &str, written: &str, value: Value<'a>) {
        let start = self.names.len();
        self.known.write(written, self.names);
        self.other_from(start, prefix, value);
    }

    /// Adds a field whose name is already in `names`, from `start` on.
    fn other_from(&mut self, start: usize, prefix: &str, value: Value<'a>) {
        let is_column =
            self.shape.find(&self.names[start..]).is_some() || self.names[start..] == *OTHERS;
        if is_column {
            self.names.insert_str(start, prefix);
        }
        let end = self.names.len();
        let mut number = 2;
        let mut is_taken = if is_column { self.is_taken(start) } else { self.has_other(start) };
        while is_taken {
            use std::fmt::Write as _;
            self.names.truncate(end);
            // Writing to a String cannot fail.
            let _ = write!(self.names, "_{number}");
            number += 1;
            is_taken = self.is_taken(start);
        }
        self.others.push(Other { start, end: self.names.len(), value });
    }

    fn is_taken(&self, start: usize) -> bool {
        let name = &self.names[start..];
        self.shape.find(name).is_some() || name == OTHERS || self.has_other(start)
    }

    fn has_other(&self, start: usize) -> bool {
        let name = &self.names[start..];
        let is_same = |other: &Other<'_>| self.names[other.name()] == *name;
        self.others.iter().any(is_same)
    }
}

/// An element of `attributes`, in its spelling.
#[derive(Default)]
struct Found<'a> {
    name: Option<&'a str>,
    data_type: Option<&'a str>,
    value: Option<&'a str>,
    more: SmallVec<[(Name<'a>, &'a str); 1]>,
    /// Whether a member stands twice.
    is_odd: bool,
}

impl<'a> Found<'a> {
    fn member(&mut self, name: Name<'a>, spelled: &'a str) {
        let place = match name.quoted {
            "\"name\"" => &mut self.name,
            "\"dataType\"" => &mut self.data_type,
            "\"value\"" => &mut self.value,
            _ => return self.more.push((name, spelled)),
        };
        self.is_odd |= place.replace(spelled).is_some();
    }
}
