//! A flat value in the format that its topic has: plain JSON, by a schema of a registry, or in an envelope.

use super::{
    choice::Surrounding,
    flat::{self, Flat},
    headers::Headers,
};
use crate::deliver::schema::{Format, ID_HEADER, IdPlace, Spelled};

/// The schema by which a flat value is written, and its id.
#[derive(Clone, Copy, Debug)]
pub struct With {
    pub format: Format,
    pub id: Spelled,
    pub place: IdPlace,
}

impl With {
    /// The value's media type for a reader that knows no registry: with an id in front of it, it is no JSON.
    pub(super) fn content_type(&self) -> &'static str {
        match (self.format, self.place) {
            (Format::Avro, _) => "application/avro",
            (Format::JsonSchema, IdPlace::Header) => "application/json",
            (Format::JsonSchema, IdPlace::Value) => "application/octet-stream",
        }
    }
}

/// Writes `flat` into `out`, with the id of its schema before it or in a header; `scratch` is for its others.
pub(super) fn write<'b>(
    flat: &Flat<'_>,
    with: Option<&'b With>,
    envelope: Surrounding,
    headers: &mut Headers<'b>,
    scratch: &mut Vec<u8>,
    out: &mut Vec<u8>,
) {
    out.clear();
    match with {
        Some(With { id, place: IdPlace::Value, .. }) => out.extend_from_slice(id.as_slice()),
        Some(With { id, place: IdPlace::Header, .. }) => {
            headers.add_bytes(ID_HEADER, id.as_slice());
        }
        None => {}
    }
    match (with.map(|with| with.format), envelope) {
        (Some(Format::Avro), _) => flat::avro::write(flat, scratch, out),
        (Some(Format::JsonSchema), _) | (None, Surrounding::None) => flat::json::write(flat, out),
        (None, Surrounding::Connect) => flat::connect::write(flat, scratch, out),
    }
}
