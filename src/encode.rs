//! An event as a Kafka record: the binary mode of the CloudEvents Kafka protocol binding 1.0.
//!
//! The value is the event's data and the attributes are headers, always in this order:
//! `content-type`, `ce_specversion`, `ce_id`, `ce_source`, `ce_type`, `ce_time`, `ce_dataschema`,
//! `ce_subject`, `ce_` extensions as they come, then plain headers. Absent attributes have no
//! header. Header values are UTF-8 as they are (percent-encoding is the HTTP binding's, not
//! Kafka's). An event without an id gets `<spool>:<sequence>:<index>`, the same on every replay.
//! The value is never null: on a compacted topic that would delete.

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use crate::{
    event::{Coding, Event, Pieces},
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
    buffer.clear();
    match (value.coding(), value.as_slice()) {
        (_, []) => &[],
        (Coding::Plain, [whole]) => whole,
        (Coding::Plain, parts) => {
            buffer.reserve(value.size());
            parts.iter().for_each(|part| buffer.extend_from_slice(part));
            buffer
        }
        (Coding::JsonString, parts) => {
            buffer.extend_from_slice(text_of(parts).as_bytes());
            buffer
        }
        (Coding::Base64, parts) => {
            let decoded = STANDARD.decode_vec(text_of(parts), buffer);
            decoded.expect("it was decoded once, or it would be no event");
            buffer
        }
    }
}

/// What the JSON string in `parts` says.
fn text_of(parts: &[&[u8]]) -> String {
    serde_json::from_slice(&parts.concat()).expect("it was read once, or it would be no event")
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

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::event::{Attributes, Stream};

    const POSITION: Position = Position { sequence: 42, index: 7 };

    fn event<'a>(attributes: Attributes<'a>, value: &'a [u8]) -> Event<'a> {
        Event {
            index: 7,
            stream: Stream::Other,
            event_type: "thing".into(),
            munchkin_id: None,
            activity_type_id: None,
            key: "a key".into(),
            attributes,
            headers: Vec::new(),
            value: Pieces::from(value),
            original: value,
        }
    }

    fn headers(encoder: &mut Encoder, event: &Event<'_>) -> Vec<(String, String)> {
        let encoded = encoder.encode("topic", Uuid::nil(), POSITION, event);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let headers = encoded.record().headers.iter();
        headers.map(|(name, value)| (name.to_string(), text(value))).collect()
    }

    #[test]
    fn headers_stand_in_their_fixed_order_and_values_are_plain_utf_8() {
        let attributes = Attributes {
            id: Some("ü 100%".into()),
            source: "urn:s".into(),
            r#type: "t".into(),
            time: Some("2026-03-02T09:59:58Z".into()),
            datacontenttype: Some("application/json".into()),
            dataschema: Some("urn:schema".into()),
            subject: Some("sub".into()),
            extensions: vec![("eventid".into(), "e".into()), ("b2".into(), "".into())],
        };
        let mut event = event(attributes, b"{}");
        event.headers.push(("millrace-munchkin-id", "999-XYZ-000".into()));
        let expected = [
            ("content-type", "application/json"),
            ("ce_specversion", "1.0"),
            ("ce_id", "ü 100%"),
            ("ce_source", "urn:s"),
            ("ce_type", "t"),
            ("ce_time", "2026-03-02T09:59:58Z"),
            ("ce_dataschema", "urn:schema"),
            ("ce_subject", "sub"),
            ("ce_eventid", "e"),
            ("ce_b2", ""),
            ("millrace-munchkin-id", "999-XYZ-000"),
        ];
        let expected = expected.map(|(name, value)| (name.to_string(), value.to_string()));
        assert_eq!(headers(&mut Encoder::new(), &event), expected);
    }

    #[test]
    fn an_event_without_an_id_is_named_after_its_position_each_time() {
        let mut encoder = Encoder::new();
        let event = event(Attributes::default(), b"{}");
        for _ in 0..2 {
            let headers = headers(&mut encoder, &event);
            let id = headers.iter().find(|(name, _)| name == "ce_id").unwrap();
            assert_eq!(id.1, "00000000-0000-0000-0000-000000000000:42:7");
        }
    }

    #[test]
    fn an_attribute_with_an_illegal_name_has_no_header() {
        let extensions =
            ["event_id", "Ab", "", "é", "ok"].map(|name| (Cow::from(name), Cow::from("v")));
        let attributes = Attributes { extensions: extensions.to_vec(), ..Attributes::default() };
        let headers = headers(&mut Encoder::new(), &event(attributes, b""));
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_ok"]);
    }

    #[test]
    fn any_number_of_extensions_keeps_its_order() {
        let mut encoder = Encoder::new();
        for count in [11, 12, 13, 40] {
            let extensions = (0..count).map(|n| (format!("x{n}").into(), n.to_string().into()));
            let attributes =
                Attributes { extensions: extensions.collect(), ..Attributes::default() };
            let headers = headers(&mut encoder, &event(attributes, b""));
            let expected = (0..count).map(|n| (format!("ce_x{n}"), n.to_string()));
            assert_eq!(headers[4..], expected.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_value_is_its_pieces_and_an_empty_one_is_still_a_value() {
        let mut encoder = Encoder::new();
        let mut event = event(Attributes::default(), b"one");
        let encoded = encoder.encode("topic", Uuid::nil(), POSITION, &event);
        assert_eq!(encoded.record().value, b"one");
        assert_eq!((encoded.record().topic, encoded.record().key), ("topic", &b"a key"[..]));
        event.value.push(b" and ");
        event.value.push(b"");
        event.value.push(b"two");
        let encoded = encoder.encode("topic", Uuid::nil(), POSITION, &event);
        assert_eq!(encoded.record().value, b"one and two");
        event.value = Pieces::default();
        let encoded = encoder.encode("topic", Uuid::nil(), POSITION, &event);
        assert_eq!(encoded.record().value, b"");
    }
}
