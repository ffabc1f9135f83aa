//! An event as a Kafka record: the binary mode of the CloudEvents Kafka protocol binding 1.0.
//!
//! The value is the event's data and the attributes are headers, always in this order:
//! `content-type`, `ce_specversion`, `ce_id`, `ce_source`, `ce_type`, `ce_time`, `ce_dataschema`,
//! `ce_subject`, `ce_` extensions as they come, then plain headers. Absent attributes have no
//! header. Header values are UTF-8 as they are (percent-encoding is the HTTP binding's, not
//! Kafka's). An event without an id gets `<spool>:<sequence>:<index>`, the same on every replay.
//! The value is never null: on a compacted topic that would delete.

use std::fmt::Write;

use uuid::Uuid;

use crate::{
    event::{Event, Pieces},
    record::Record,
    spool::position::Position,
};

/// Encodes events one after the other, in memory that it keeps.
#[derive(Debug, Default)]
pub struct Encoder {
    value: Vec<u8>,
    id: String,
    /// `ce_` + name of each extension, one after the other.
    names: String,
}

impl Encoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// The record of `event`, which stands at `position` of the spool `spool`.
    pub fn encode<'b>(
        &'b mut self,
        topic: &'b str,
        spool: Uuid,
        position: Position,
        event: &'b Event<'b>,
    ) -> Encoded<'b> {
        let attributes = &event.attributes;
        let extensions = || attributes.extensions.iter().filter(|(name, _)| is_legal(name));
        self.id.clear();
        if attributes.id.is_none() {
            let Position { sequence, index } = position;
            write!(self.id, "{spool}:{sequence}:{index}").expect("a String takes any text");
        }
        self.names.clear();
        for (name, _) in extensions() {
            self.names.push_str("ce_");
            self.names.push_str(name);
        }
        let value = spell(&event.value, &mut self.value);

        let mut headers = Headers::default();
        let id = attributes.id.as_deref().unwrap_or(&self.id);
        headers.add_some("content-type", attributes.datacontenttype.as_deref());
        headers.add("ce_specversion", "1.0");
        headers.add("ce_id", id);
        headers.add("ce_source", &attributes.source);
        headers.add("ce_type", &attributes.r#type);
        headers.add_some("ce_time", attributes.time.as_deref());
        headers.add_some("ce_dataschema", attributes.dataschema.as_deref());
        headers.add_some("ce_subject", attributes.subject.as_deref());
        let mut names = self.names.as_str();
        for (name, value) in extensions() {
            let (this, others) = names.split_at("ce_".len() + name.len());
            headers.add(this, value);
            names = others;
        }
        for (name, value) in &event.headers {
            headers.add(name, value);
        }
        Encoded { topic, key: event.key.as_bytes(), value, headers }
    }
}

/// A record and the list of its headers.
#[derive(Debug)]
pub struct Encoded<'b> {
    topic: &'b str,
    key: &'b [u8],
    value: &'b [u8],
    headers: Headers<'b>,
}

impl Encoded<'_> {
    pub fn record(&self) -> Record<'_> {
        Record {
            topic: self.topic,
            key: self.key,
            value: self.value,
            headers: self.headers.as_slice(),
        }
    }
}

/// The bytes of an event's value, put together in `buffer` unless they are one piece already.
pub fn spell<'b>(value: &'b Pieces<'b>, buffer: &'b mut Vec<u8>) -> &'b [u8] {
    match value.as_slice() {
        [] => &[],
        [whole] => whole,
        parts => {
            buffer.clear();
            buffer.reserve(value.size());
            parts.iter().for_each(|part| buffer.extend_from_slice(part));
            buffer
        }
    }
}

/// Whether a CloudEvent may have an attribute of that name.
fn is_legal(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// Headers in place; only an event with unusually many takes memory for them.
#[derive(Debug, Default)]
struct Headers<'b> {
    few: [(&'b str, &'b [u8]); 16],
    used: usize,
    many: Vec<(&'b str, &'b [u8])>,
}

impl<'b> Headers<'b> {
    fn add(&mut self, name: &'b str, value: &'b str) {
        let header = (name, value.as_bytes());
        if let Some(place) = self.few.get_mut(self.used) {
            *place = header;
            self.used += 1;
        } else {
            if self.many.is_empty() {
                self.many.extend_from_slice(&self.few);
            }
            self.many.push(header);
        }
    }

    fn add_some(&mut self, name: &'b str, value: Option<&'b str>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    fn as_slice(&self) -> &[(&'b str, &'b [u8])] {
        if self.many.is_empty() { &self.few[..self.used] } else { &self.many }
    }
}
