//! Finds the fields of an event in one pass over its data.

use std::borrow::Cow;

use smallvec::{SmallVec, smallvec};

use super::{
    Flat, Kind, MAX_FIELDS, OTHERS, Other, Text, Value,
    name::snake,
    shape::{ID, MUNCHKIN_ID, SOURCE, Shape, TIME, TYPE},
};
use crate::{
    deliver::decode::{
        adobe::TIME_HEADER,
        json::{Cursor, Name},
    },
    event::{Coding, Event, Stream, is_json},
};

/// Members with numeric ids.
const ID_MEMBERS: [&str; 3] = ["leadId", "activityTypeId", "componentId"];

/// Flattens events one after the other, in memory that it keeps.
#[derive(Debug, Default)]
pub struct Flattener {
    /// Reused memory for the event's data, where it is not one piece already.
    text: Vec<u8>,
    names: String,
}

impl Flattener {
    /// Flattens `event`, whose id is `id`, into the columns of `shape`, its topic's ([`super::Shapes::of`]).
    pub fn flatten<'b>(
        &'b mut self,
        shape: &'b Shape,
        id: &'b str,
        event: &'b Event<'b>,
    ) -> Flat<'b> {
        let Self { text, names } = self;
        let data = text_of(event, text);
        names.clear();
        let listed = smallvec![None; shape.columns().len()];
        let mut flat = Flat { shape, listed, others: SmallVec::new(), names };
        let is_data_json = event.value.coding() == Coding::Plain
            && event.attributes.datacontenttype.as_deref().is_none_or(is_json);
        flat.of_event(id, event);
        let is_object = is_data_json && data.starts_with('{');
        if is_object && flat.read(data, event.stream).is_some() {
            flat.finish(event);
            return flat;
        }
        flat.listed.iter_mut().for_each(|value| *value = None);
        flat.others.clear();
        flat.names.clear();
        flat.of_event(id, event);
        let whole = match event.value.coding() {
            _ if data.is_empty() => None,
            Coding::Plain if is_object || !is_data_json => Some(("data", Value::plain(data))),
            Coding::Plain => Value::read(Kind::Text, data).map(|value| ("data", value)),
            Coding::JsonString => Value::read(Kind::Text, data).map(|value| ("data", value)),
            Coding::Base64 => Value::read(Kind::Text, data).map(|value| ("data_base64", value)),
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

impl<'a> Flat<'a> {
    /// Fills the columns that come from the event's attributes.
    fn of_event(&mut self, id: &'a str, event: &'a Event<'a>) {
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
            let date = self.shape.activity_date().and_then(|at| self.listed[at].clone());
            self.listed[TIME] = date.filter(|date| *date != Value::Null);
        } else if let Some((_, came)) = event.headers.iter().find(|(name, _)| *name == TIME_HEADER)
        {
            self.other("", "time_text", Value::plain(came));
        }
    }

    /// Reads the members of the object `data`; `None` if it has too many.
    fn read(&mut self, data: &'a str, stream: Stream) -> Option<()> {
        let mut cursor = Cursor::new(data);
        let mut next = 0;
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
                self.member(name, spelled, &mut next);
            }
            Ok(())
        });
        (read.is_ok() && !is_full).then_some(())
    }

    fn is_full(&self) -> bool {
        self.others.len() >= MAX_FIELDS
    }

    fn member(&mut self, name: Name<'a>, spelled: &'a str, next: &mut usize) {
        let text = name.text().unwrap_or(Cow::Borrowed(name.quoted));
        match self.shape.of_member(&text, next) {
            Some(column) if ID_MEMBERS.contains(&&*text) => {
                let value = Value::read(self.shape.columns()[column].kind, spelled);
                match Value::id(spelled).filter(|_| value.is_none()) {
                    Some(id) if self.listed[column].is_none() => self.listed[column] = Some(id),
                    _ => self.put(column, spelled),
                }
            }
            Some(column) => self.put(column, spelled),
            None => {
                // Marketo's own form has the id here, if the value is kept as it came.
                let is_id = text == "marketoGUID"
                    && matches!(&self.listed[ID], Some(Value::Text(Text::Plain(id)))
                        if spelled.trim_matches('"') == id);
                if !is_id {
                    let value = Value::read(Kind::of_json(spelled), spelled);
                    let value = value.unwrap_or(Value::Json(spelled));
                    self.other("data_", &text, value);
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
        let mut next = 0;
        let mut is_whole = true;
        cursor.array(|cursor| {
            if cursor.peek() != Some(b'{') {
                is_whole = false;
                return cursor.skip().map(drop);
            }
            let mut found = Attribute::default();
            cursor.object(|cursor, name| {
                let spelled = cursor.skip()?;
                found.member(name, spelled);
                Ok(())
            })?;
            *is_full |= self.is_full();
            if !*is_full {
                is_whole &= self.attribute(&found, &mut next);
            }
            Ok(())
        })?;
        let length = rest.len() - cursor.rest().len();
        Ok((rest[..length].trim_start(), is_whole))
    }

    /// Adds an attribute; `false` if it does not have the form of one.
    fn attribute(&mut self, attribute: &Attribute<'a>, next: &mut usize) -> bool {
        let Some(name) = attribute.name.filter(|_| !attribute.is_odd) else { return false };
        let Some(Value::Text(text @ Text::Spelled(_))) = Value::read(Kind::Text, name) else {
            return false;
        };
        let Some(name) = text.plain() else { return false };
        let value = attribute.value.unwrap_or("null");
        // The snake-case name is appended to the others', and stays there if it is no column's.
        let start = self.names.len();
        let column = self.shape.of_attribute(&name, next).or_else(|| {
            snake(&name, self.names);
            self.shape.of_snake(&self.names[start..])
        });
        match column {
            Some(column) => {
                self.names.truncate(start);
                self.put(column, value);
            }
            None => {
                let data_type = attribute.data_type.map(|spelled| spelled.trim_matches('"'));
                let kind = data_type.map_or_else(|| Kind::of_json(value), Kind::of_data_type);
                match Value::read(kind, value) {
                    Some(value) => self.other_from(start, "attribute_", value),
                    None => {
                        let snaked = self.names.split_off(start);
                        self.misfit("attribute_", &snaked, value);
                    }
                }
            }
        }
        for (member, spelled) in &attribute.more {
            let member = member.text().unwrap_or(Cow::Borrowed(member.quoted));
            let value = Value::read(Kind::of_json(spelled), spelled);
            let value = value.unwrap_or(Value::Json(spelled));
            self.other("attribute_", &format!("{name} {member}"), value);
        }
        true
    }

    /// Puts a value into a column, or beside it if it is not of its kind, or if the column has one already.
    fn put(&mut self, column: usize, spelled: &'a str) {
        let described = &self.shape.columns()[column];
        match Value::read(described.kind, spelled) {
            Some(value) if self.listed[column].is_none() => self.listed[column] = Some(value),
            Some(value) => self.other("", &described.name, value),
            None => self.misfit("", &described.name, spelled),
        }
    }

    /// Adds a value that is not of the kind of the field `name`.
    fn misfit(&mut self, prefix: &str, name: &str, spelled: &'a str) {
        let value = Value::read(Kind::Text, spelled).unwrap_or(Value::Json(spelled));
        self.other(prefix, &format!("{name}_text"), value);
    }

    /// Adds a field that is no column, under the first free name.
    fn other(&mut self, prefix: &str, written: &str, value: Value<'a>) {
        let start = self.names.len();
        snake(written, self.names);
        self.other_from(start, prefix, value);
    }

    /// Adds a field whose name is already in `names`, from `start` on.
    fn other_from(&mut self, start: usize, prefix: &str, value: Value<'a>) {
        if self.shape.find(&self.names[start..]).is_some() || self.names[start..] == *OTHERS {
            self.names.insert_str(start, prefix);
        }
        let end = self.names.len();
        let mut number = 2;
        while self.is_taken(start) {
            use std::fmt::Write as _;
            self.names.truncate(end);
            // Writing to a String cannot fail.
            let _ = write!(self.names, "_{number}");
            number += 1;
        }
        self.others.push(Other { name: start..self.names.len(), value });
    }

    fn is_taken(&self, start: usize) -> bool {
        let name = &self.names[start..];
        let is_same = |other: &Other<'_>| self.names[other.name.clone()] == *name;
        self.shape.find(name).is_some() || name == OTHERS || self.others.iter().any(is_same)
    }
}

/// An element of `attributes`, in its spelling.
#[derive(Default)]
struct Attribute<'a> {
    name: Option<&'a str>,
    data_type: Option<&'a str>,
    value: Option<&'a str>,
    more: SmallVec<[(Name<'a>, &'a str); 1]>,
    /// Whether a member stands twice.
    is_odd: bool,
}

impl<'a> Attribute<'a> {
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
