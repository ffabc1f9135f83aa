//! Encoding: an event as a Kafka record by the CloudEvents Kafka protocol binding 1.0, in the configured [`Mode`]. Its
//! value is the event's data, or the form [chosen](choice) for its topic.
//!
//! An event without an id gets `<spool>:<sequence>:<index>`, the same on every replay. The key is the
//! event's in both modes. An event's own headers come first, then those of its delivery's trace, if
//! it has one. The value of an event is never null: on a compacted topic that would delete. A lead state
//! ([`lead_state`]) has a form of its own, and no value where the lead is gone.

mod binary;
pub mod choice;
pub mod flat;
mod headers;
mod lead_state;
mod media_type;
mod structured;
mod trace;

use std::fmt::Write;

use base64::{Engine, engine::general_purpose::STANDARD};
use uuid::Uuid;

use self::{
    choice::{Choices, Surrounding, ValueForm},
    flat::Flattener,
    headers::Headers,
    trace::Trace,
};
use crate::{
    deliver::schema::{Format, ID_HEADER, IdPlace, Spelled},
    event::{Attributes, Coding, Event, LeadState, Pieces},
    record::Record,
    spool::position::Position,
};

/// The plain header for the original of a `datacontenttype` that was replaced because readers cannot use it.
const CONTENT_TYPE_HEADER: &str = "millrace-datacontenttype";

/// The place of an event's attributes in its record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// In its headers: the value is the data alone.
    #[default]
    Binary,
    /// In its value, as JSON, together with the data.
    Structured,
}

impl Mode {
    pub const ALL: [Self; 2] = [Self::Binary, Self::Structured];

    /// The name that configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Binary => "binary",
            Self::Structured => "structured",
        }
    }
}

/// Encodes events one after the other, in memory that it keeps.
#[derive(Debug)]
pub struct Encoder {
    mode: Mode,
    value: Vec<u8>,
    scratch: Vec<u8>,
    id: String,
    names: String,
    content_type: String,
    trace: Trace,
    choices: Choices,
    flattener: Flattener,
    received: Option<u64>,
}

impl Encoder {
    /// An encoder for records whose values are the events' data.
    pub fn new(mode: Mode) -> Self {
        Self::of(mode, Choices::default())
    }

    /// An encoder for records by `choices`. A flat value is in binary mode in any case.
    pub fn of(mode: Mode, choices: Choices) -> Self {
        Self {
            mode,
            value: Vec::new(),
            scratch: Vec::new(),
            id: String::new(),
            names: String::new(),
            content_type: String::new(),
            trace: Trace::default(),
            choices,
            flattener: Flattener::default(),
            received: None,
        }
    }

    /// Takes the kept headers of the delivery whose events come next.
    pub fn come_with(&mut self, headers: &[(String, String)]) {
        self.trace.read(headers);
    }

    /// Takes that delivery's time of receipt, in milliseconds since 1970.
    pub fn received_at(&mut self, millis: u64) {
        self.received = Some(millis);
    }

    /// Headers that each record of the delivery has, dead letters included.
    pub fn of_the_delivery(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.trace.headers()
    }

    /// The record of `event`, which is at `position` of the spool `spool`.
    pub fn encode<'b>(
        &'b mut self,
        topic: &'b str,
        spool: Uuid,
        position: Position,
        event: &'b Event<'b>,
    ) -> Encoded<'b> {
        self.encode_with(None, topic, spool, position, event)
    }

    /// The record of `event`; a flat value is written by the schema that `with` names.
    pub fn encode_with<'b>(
        &'b mut self,
        with: Option<&'b With>,
        topic: &'b str,
        spool: Uuid,
        position: Position,
        event: &'b Event<'b>,
    ) -> Encoded<'b> {
        if let Some(state) = event.lead_state.as_deref() {
            return self.encode_lead_state(state, topic, spool, position, event);
        }
        self.id.clear();
        if event.attributes.id.is_none() {
            let Position { sequence, index } = position;
            write!(self.id, "{spool}:{sequence}:{index}").expect("a String takes any text");
        }
        let id = event.attributes.id.as_deref().unwrap_or(&self.id);
        let choice = self.choices.of(topic);
        let shapes = self.choices.shapes().filter(|_| choice.value == ValueForm::Flat);
        let (value, mut headers) = match (shapes, self.mode) {
            (Some(shapes), _) => {
                binary::names(&event.attributes, &mut self.names);
                let content_type = with.map_or(binary::FLAT_CONTENT_TYPE, With::content_type);
                let mut headers = binary::flat_headers(id, &self.names, content_type, event);
                let flat = self.flattener.flatten(shapes.of(event), id, event);
                self.value.clear();
                match with {
                    Some(With { id, place: IdPlace::Value, .. }) => {
                        self.value.extend_from_slice(id.as_slice());
                    }
                    Some(With { id, place: IdPlace::Header, .. }) => {
                        headers.add_bytes(ID_HEADER, id.as_slice());
                    }
                    None => {}
                }
                match (with.map(|with| with.format), choice.envelope) {
                    (Some(Format::Avro), _) => {
                        flat::avro::write(&flat, &mut self.scratch, &mut self.value);
                    }
                    (Some(Format::JsonSchema), _) | (None, Surrounding::None) => {
                        flat::json::write(&flat, &mut self.value);
                    }
                    (None, Surrounding::Connect) => {
                        flat::connect::write(&flat, &mut self.scratch, &mut self.value);
                    }
                }
                (self.value.as_slice(), headers)
            }
            (None, Mode::Binary) => {
                binary::names(&event.attributes, &mut self.names);
                binary::content_type(&event.attributes, &mut self.content_type);
                let headers = binary::headers(id, &self.names, &self.content_type, event);
                (spell(&event.value, &mut self.value), headers)
            }
            (None, Mode::Structured) => {
                structured::value(id, event, &mut self.scratch, &mut self.value);
                (self.value.as_slice(), structured::headers(event))
            }
        };
        for (name, value) in self.trace.headers() {
            headers.add(name, value);
        }
        let timestamp = choice.timestamp.of(event.attributes.time.as_deref(), self.received);
        let key = event.key.as_deref().map(str::as_bytes);
        Encoded { topic, key, value: Some(value), headers, timestamp }
    }

    /// The record of a lead state, which has one form in every mode.
    fn encode_lead_state<'b>(
        &'b mut self,
        state: &LeadState<'_>,
        topic: &'b str,
        spool: Uuid,
        position: Position,
        event: &'b Event<'b>,
    ) -> Encoded<'b> {
        self.id.clear();
        if event.attributes.id.is_none() {
            let Position { sequence, index } = position;
            write!(self.id, "{spool}:{sequence}:{index}").expect("a String takes any text");
        }
        let id = event.attributes.id.as_deref().unwrap_or(&self.id);
        let value = match state.change.is_tombstone() {
            true => None,
            false => {
                lead_state::value(spool, position.sequence, state, event, &mut self.value);
                Some(self.value.as_slice())
            }
        };
        self.names.clear();
        self.content_type.clear();
        let mut headers = binary::headers(id, &self.names, &self.content_type, event);
        for (name, value) in self.trace.headers() {
            headers.add(name, value);
        }
        let timestamp = self.choices.of(topic).timestamp;
        let timestamp = timestamp.of(event.attributes.time.as_deref(), self.received);
        let key = event.key.as_deref().map(str::as_bytes);
        Encoded { topic, key, value, headers, timestamp }
    }
}

/// The schema by which a flat value is written, and its id.
#[derive(Clone, Copy, Debug)]
pub struct With {
    pub format: Format,
    pub id: Spelled,
    pub place: IdPlace,
}

impl With {
    /// The value's media type for a reader that knows no registry: with an id in front of it, it is no JSON.
    fn content_type(&self) -> &'static str {
        match (self.format, self.place) {
            (Format::Avro, _) => "application/avro",
            (Format::JsonSchema, IdPlace::Header) => "application/json",
            (Format::JsonSchema, IdPlace::Value) => "application/octet-stream",
        }
    }
}

/// A record and the list of its headers.
#[derive(Debug)]
pub struct Encoded<'b> {
    topic: &'b str,
    key: Option<&'b [u8]>,
    value: Option<&'b [u8]>,
    headers: Headers<'b>,
    timestamp: Option<i64>,
}

impl Encoded<'_> {
    pub fn record(&self) -> Record<'_> {
        Record {
            topic: self.topic,
            key: self.key,
            value: self.value,
            headers: self.headers.as_slice(),
            timestamp: self.timestamp,
        }
    }
}

/// The bytes of an event's value, joined in `buffer` unless they are one piece already.
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

/// The unescaped text of the JSON string in `parts`.
fn text_of(parts: &[&[u8]]) -> String {
    serde_json::from_slice(&parts.concat()).expect("it was read once, or it would be no event")
}

/// The extensions whose names CloudEvents allows.
fn extensions<'a>(
    attributes: &'a Attributes<'_>,
) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
    let all = attributes.extensions.iter().map(|(name, value)| (&**name, &**value));
    all.filter(|(name, _)| is_legal(name))
}

/// Whether CloudEvents allows an attribute of that name.
fn is_legal(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
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
            key: Some("a key".into()),
            attributes,
            headers: Vec::new(),
            value: Pieces::from(value),
            original: value,
            lead_state: None,
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
            extensions: vec![("eventid".into(), "e".into()), ("b2".into(), "".into())].into(),
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
        assert_eq!(headers(&mut Encoder::new(Mode::Binary), &event), expected);
    }

    #[test]
    fn an_event_without_an_id_is_named_after_its_position_each_time() {
        let mut encoder = Encoder::new(Mode::Binary);
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
        let attributes =
            Attributes { extensions: extensions.to_vec().into(), ..Attributes::default() };
        let headers = headers(&mut Encoder::new(Mode::Binary), &event(attributes, b""));
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_ok"]);
    }

    #[test]
    fn any_number_of_extensions_keeps_its_order() {
        let mut encoder = Encoder::new(Mode::Binary);
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
        let mut encoder = Encoder::new(Mode::Binary);
        let mut event = event(Attributes::default(), b"one");
        let encoded = encoder.encode("topic", Uuid::nil(), POSITION, &event);
        assert_eq!(encoded.record().value, Some(&b"one"[..]));
        assert_eq!((encoded.record().topic, encoded.record().key), ("topic", Some(&b"a key"[..])));
        event.value.push(b" and ");
        event.value.push(b"");
        event.value.push(b"two");
        let encoded = encoder.encode("topic", Uuid::nil(), POSITION, &event);
        assert_eq!(encoded.record().value, Some(&b"one and two"[..]));
        event.value = Pieces::default();
        event.key = None;
        let encoded = encoder.encode("topic", Uuid::nil(), POSITION, &event);
        assert_eq!((encoded.record().key, encoded.record().value), (None, Some(&b""[..])));
    }

    #[test]
    fn a_value_that_is_written_as_a_json_string_is_what_the_string_says() {
        let mut buffer = Vec::new();
        let text = Pieces::coded(Coding::JsonString, r#""a\n\ud83d\ude00""#);
        assert_eq!(spell(&text, &mut buffer), "a\n😀".as_bytes());
        let base64 = Pieces::coded(Coding::Base64, r#""\u002f+8=""#);
        assert_eq!(spell(&base64, &mut buffer), [0xff, 0xef]);
    }

    #[test]
    fn the_trace_of_a_delivery_is_on_each_record_and_ends_with_the_delivery() {
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let own = vec![("traceparent".into(), "the event's own".into())];
        let attributes = Attributes { extensions: own.into(), ..Attributes::default() };
        let mut event = event(attributes, b"{}");
        event.headers.push(("millrace-munchkin-id", "999-XYZ-000".into()));
        for mode in Mode::ALL {
            let mut encoder = Encoder::new(mode);
            let before = headers(&mut encoder, &event);
            encoder.come_with(&[("traceparent".into(), parent.into())]);
            let mut expected = before.clone();
            expected.push(("traceparent".into(), parent.into()));
            assert_eq!(headers(&mut encoder, &event), expected);
            assert_eq!(headers(&mut encoder, &event), expected);
            encoder.come_with(&[]);
            assert_eq!(headers(&mut encoder, &event), before);
        }
    }

    #[test]
    fn structured_mode_has_no_ce_headers_and_keeps_the_plain_ones() {
        let mut event = event(Attributes::default(), b"{}");
        event.headers.push(("millrace-munchkin-id", "999-XYZ-000".into()));
        let mut encoder = Encoder::new(Mode::Structured);
        for _ in 0..2 {
            let headers = headers(&mut encoder, &event);
            let headers: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let content_type = "application/cloudevents+json; charset=UTF-8";
            let expected =
                [("content-type", content_type), ("millrace-munchkin-id", "999-XYZ-000")];
            assert_eq!(headers, expected);
            let encoded = encoder.encode("topic", Uuid::nil(), POSITION, &event);
            let record = encoded.record();
            assert_eq!((record.topic, record.key), ("topic", Some(&b"a key"[..])));
            assert_eq!(
                record.value.unwrap(),
                concat!(
                    r#"{"specversion":"1.0","id":"00000000-0000-0000-0000-000000000000:42:7","#,
                    r#""source":"","type":"","millracemunchkinid":"999-XYZ-000","data":{}}"#
                )
                .as_bytes()
            );
        }
    }
}
