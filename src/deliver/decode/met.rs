//! Handing over the members of events ([`Members`]): what decoding takes note of on its way through a body.
//!
//! It is a service to encoders and changes nothing of what an event is: where something is out of the ordinary, the
//! members of that event are not handed over, and its value is read when it is encoded.

use std::fmt;

use bumpalo::Bump;

use super::{
    Undecodable,
    json::{Cursor, Name},
};
use crate::event::{Attribute, Form, Member, Members, Spelled};

/// An event with more members, or attributes, hands over none.
const MOST: usize = 1000;

/// A delivery fills not more than this many bytes of memory; its later events hand over nothing.
const LIMIT: usize = 8 * 1024 * 1024;

/// More memory than this is not kept from one delivery for the next.
const KEPT: usize = 2 * 1024 * 1024;

/// The member whose elements are met, too.
const ATTRIBUTES: &str = "attributes";

/// Memory for the members of one delivery's events.
#[derive(Default)]
pub struct Memory(Bump);

impl Memory {
    /// The same memory, emptied.
    pub fn emptied(mut self) -> Self {
        if self.0.allocated_bytes() > KEPT {
            return Self::default();
        }
        self.0.reset();
        self
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Memory").field(&self.0.allocated_bytes()).finish()
    }
}

/// The members of one event after the other.
pub(super) struct Met<'a> {
    memory: &'a Bump,
    members: Vec<Member<'a>>,
    attributes: Vec<Attribute<'a>>,
    has_attributes: bool,
    /// The members of this event cannot be handed over.
    is_odd: bool,
}

impl<'a> Met<'a> {
    pub fn new(memory: &'a Memory) -> Self {
        let (members, attributes) = (Vec::new(), Vec::new());
        Self { memory: &memory.0, members, attributes, has_attributes: false, is_odd: false }
    }

    /// An object begins.
    pub fn begin(&mut self) {
        self.members.clear();
        self.attributes.clear();
        self.has_attributes = false;
        self.is_odd = false;
    }

    /// Takes the value at the cursor, the member `name`'s, and returns its range.
    pub fn member(
        &mut self,
        cursor: &mut Cursor<'a>,
        name: Name<'a>,
    ) -> Result<&'a str, Undecodable> {
        let Some(name) = name.plain().filter(|_| !self.is_odd && self.members.len() < MOST) else {
            self.is_odd = true;
            return cursor.skip();
        };
        if name == ATTRIBUTES && cursor.peek() == Some(b'[') {
            let range = self.attributes(cursor)?;
            self.members.push(Member { name, value: Spelled::of_form(range, Form::Other) });
            return Ok(range);
        }
        let (range, form) = cursor.skip_with_form()?;
        self.members.push(Member { name, value: Spelled::of_form(range, form) });
        Ok(range)
    }

    /// The member that was taken last is none of the event's value.
    pub fn forget_last(&mut self) {
        self.members.pop();
    }

    /// The value of the member that was taken last is the text `text` in the event's value.
    pub fn last_is_text(&mut self, text: &'a str) {
        if let Some(last) = self.members.last_mut() {
            last.value = Spelled::of_text(text);
        }
    }

    /// The members of the object that has ended.
    pub fn end(&mut self) -> Option<&'a Members<'a>> {
        if self.is_odd || self.memory.allocated_bytes() > LIMIT {
            return None;
        }
        let members = self.memory.alloc_slice_copy(&self.members);
        let attributes = self.memory.alloc_slice_copy(&self.attributes);
        Some(self.memory.alloc(Members { members, attributes }))
    }

    /// The array at the cursor.
    fn attributes(&mut self, cursor: &mut Cursor<'a>) -> Result<&'a str, Undecodable> {
        let start = cursor.clone();
        if !std::mem::replace(&mut self.has_attributes, true) && self.elements(cursor).is_some() {
            return Ok(cursor.since(&start));
        }
        // Its mistakes are told as those of any other value.
        self.is_odd = true;
        *cursor = start;
        cursor.skip()
    }

    fn elements(&mut self, cursor: &mut Cursor<'a>) -> Option<()> {
        let mut is_usual = true;
        let read = cursor.array(|cursor| {
            match attribute(cursor)?.filter(|_| self.attributes.len() < MOST) {
                Some(attribute) => self.attributes.push(attribute),
                None => is_usual = false,
            }
            Ok(())
        });
        (read.is_ok() && is_usual).then_some(())
    }
}

/// The element at the cursor, if it is spelled as Marketo spells it.
fn as_spelled<'a>(cursor: &mut Cursor<'a>) -> Option<Attribute<'a>> {
    let name = cursor.take_text(r#"{"name":""#).then(|| cursor.take_plain())??;
    let data_type = match cursor.take_text(r#","dataType":""#) {
        true => Some(cursor.take_plain()?),
        false => None,
    };
    if !cursor.take_text(r#","value":"#) || matches!(cursor.peek(), Some(b'{' | b'[')) {
        return None; // how deep it is nested is not counted here
    }
    let (range, form) = cursor.skip_with_form().ok()?;
    let value = Some(Spelled::of_form(range, form));
    cursor.take_text("}").then_some(Attribute { name, data_type, value })
}

/// The element at the cursor, if it is one of the usual form.
fn attribute<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Attribute<'a>>, Undecodable> {
    let start = cursor.clone();
    if let Some(attribute) = as_spelled(cursor) {
        return Ok(Some(attribute));
    }
    *cursor = start;
    if cursor.peek() != Some(b'{') {
        return cursor.skip().map(|_| None);
    }
    let (mut name, mut data_type, mut value) = (None, None, None);
    let mut is_usual = true;
    cursor.object(|cursor, member| {
        let (range, form) = cursor.skip_with_form()?;
        let spelled = Spelled::of_form(range, form);
        let place = match member.quoted {
            "\"name\"" => &mut name,
            "\"dataType\"" => &mut data_type,
            "\"value\"" => &mut value,
            _ => {
                is_usual = false;
                return Ok(());
            }
        };
        is_usual &= place.replace(spelled).is_none();
        Ok(())
    })?;
    let is_text = |spelled: &Spelled<'_>| spelled.form() == Form::Text;
    let is_plain = |spelled: &Spelled<'_>| spelled.form() != Form::Escaped;
    let Some(name) = name.filter(is_text) else { return Ok(None) };
    is_usual &= data_type.as_ref().is_none_or(is_plain);
    let data_type = data_type.map(Spelled::text);
    Ok(is_usual.then_some(Attribute { name: name.text(), data_type, value }))
}
