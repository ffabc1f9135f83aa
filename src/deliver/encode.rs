//! Encoding: an event as a Kafka record by the CloudEvents Kafka protocol binding 1.0, in the configured [`Mode`]. Its
//! value is the event's data, or the form [chosen](choice) for its topic.
//!
//! An event without an id gets `<spool>:<sequence>:<index>`, the same on every replay. The key is the
//! event's in both modes. An event's own headers come first, then those of its delivery's trace, if
//! it has one. The value of an event is never null: on a compacted topic that would delete. A lead state
//! ([`lead_state`]) has a form of its own, and no value where the lead is gone.

mod binary;
pub mod choice;
mod data;
mod extensions;
pub mod flat;
mod headers;
mod lead_state;
mod media_type;
mod mode;
mod structured;
mod trace;
mod with;

use std::fmt::Write;

use uuid::Uuid;

use self::{
    choice::{Choices, ValueForm},
    flat::Flattener,
    headers::Headers,
    trace::Trace,
};
use crate::{event::Event, record::Record, spool::position::Position};

pub use self::{data::spell, mode::Mode, with::With};

/// The plain header for the original of a `datacontenttype` that was replaced because readers cannot use it.
const CONTENT_TYPE_HEADER: &str = "millrace-datacontenttype";

/// Encodes events one after the other, in memory that it keeps.
#[derive(Debug)]
pub struct Encoder {
    mode: Mode,
    choices: Choices,
    trace: Trace,
    received: Option<u64>,
    flattener: Flattener,
    made: Made,
}

/// Memory for what is made of an event.
#[derive(Debug, Default)]
struct Made {
    id: String,
    names: String,
    content_type: String,
    value: Vec<u8>,
    scratch: Vec<u8>,
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
            choices,
            trace: Trace::default(),
            received: None,
            flattener: Flattener::default(),
            made: Made::default(),
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
        let Made { id, names, content_type, value, scratch } = &mut self.made;
        let id = id_of(event, spool, position, id);
        let choice = self.choices.of(topic);
        let shapes = self.choices.shapes().filter(|_| choice.value == ValueForm::Flat);
        let (value, mut headers) = match (event.lead_state.as_deref(), shapes, self.mode) {
            // It has one form in every mode.
            (Some(state), ..) => {
                let headers = binary::headers(id, event, names, content_type);
                let sequence = position.sequence;
                (lead_state::value(spool, sequence, state, event, value), headers)
            }
            (None, Some(shapes), _) => {
                let media_type = with.map_or(binary::FLAT_CONTENT_TYPE, With::content_type);
                let mut headers = binary::flat_headers(id, event, names, media_type);
                let flat = self.flattener.flatten(shapes.of(event), id, event);
                with::write(&flat, with, choice.envelope, &mut headers, scratch, value);
                (Some(value.as_slice()), headers)
            }
            (None, None, Mode::Binary) => {
                let headers = binary::headers(id, event, names, content_type);
                (Some(spell(&event.value, value)), headers)
            }
            (None, None, Mode::Structured) => {
                structured::value(id, event, scratch, value);
                (Some(value.as_slice()), structured::headers(event))
            }
        };
        for (name, value) in self.trace.headers() {
            headers.add(name, value);
        }
        let timestamp = choice.timestamp.of(event.attributes.time.as_deref(), self.received);
        let key = event.key.as_deref().map(str::as_bytes);
        Encoded { topic, key, value, headers, timestamp }
    }
}

/// The id of `event`: its own, or one that is made of its place.
fn id_of<'b>(
    event: &'b Event<'_>,
    spool: Uuid,
    position: Position,
    made: &'b mut String,
) -> &'b str {
    if let Some(id) = event.attributes.id.as_deref() {
        return id;
    }
    made.clear();
    let Position { sequence, index } = position;
    write!(made, "{spool}:{sequence}:{index}").expect("a String takes any text");
    made
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

#[cfg(test)]
mod tests;
