//! Adobe I/O Events: CloudEvents in their JSON format, alone or in an array, as they are or wrapped.
//!
//! ```json
//! {"specversion":"1.0","type":…,"source":…,"id":…,"data":{…},"eventid":…,"recipientclientid":…}
//! {"eventid":…,"event":{"body":{"specversion":"1.0","type":…,"data":{…}}},"recipientclientid":…}
//! {"event_id":…,"event":{"specversion":"1.0","type":…,"id":…,"data":{…}},"recipient_client_id":…}
//! ```
//!
//! The first byte tells one event from a batch, and the CloudEvent is the outermost object that has a
//! `specversion` (or, where none has, a `type`); the content type is not asked. A value is the bytes of
//! `data` as they came.
//!
//! Decisions of this module, where no published source says more:
//! - `null` and `""` are the same as absent; numbers are taken as they are spelled.
//! - Without an `id` the event takes Adobe's `eventid`; without that, the encoder makes one. An
//!   `eventid` that is not the id is an extension.
//! - Every other member is an extension, those of the envelope included, as far as the event has none
//!   of that name: also `recipientclientid`, by which consumers can distinguish registrations. A name
//!   that CloudEvents does not allow loses the illegal characters (`event_id` is `eventid`), so the two
//!   spellings of Adobe's ids are one; the allowed spelling wins. A value that is no text is passed on
//!   as it is spelled. Members of the envelope that are named like an attribute of CloudEvents itself
//!   (`id`, `source`, `time`, …) say nothing about the event and are left out.
//! - Attributes are those that the CloudEvents SDKs for Java and Python can read. A `time` is made RFC 3339 where
//!   its meaning is certain. A `time` that is not, and a `dataschema` that is no absolute URI, travel as they came in
//!   the plain headers [`TIME_HEADER`] and [`DATASCHEMA_HEADER`]. A `source` that is no URI reference is
//!   made one by percent-encoding, and is in [`SOURCE_HEADER`] as it came.
//! - A lead activity's type is the catalogue's where that has another one for it (`catalog.rs`).
//! - Every event becomes one of version 1.0; another `specversion` is in [`SPECVERSION_HEADER`].
//! - `data` is JSON unless `datacontenttype` says otherwise; then a string stands for its text.
//!   `data_base64` stands for its bytes. Without either the value is empty.
//! - Keys are made as far as their parts are there; an event without them is delivered nevertheless. Their parts, like
//!   recipients, are read in the body as it came: data that is in base64, or JSON text in a string, has none.
//! - Refused alone: an element that is no object, has no `type` or `source`, names a member twice (consumers
//!   would disagree which one counts), or cannot be understood where it has to be.
//! - A challenge ([`validation_url`]) holds no event.

mod attributes;
mod challenge;
mod data;
mod layer;
mod recipients;

use std::borrow::Cow;

use base64::{Engine, engine::general_purpose::STANDARD};

use self::{
    attributes::{attributes, is_base64_of_0_3, plain_headers},
    challenge::is_challenge,
    layer::{Element, Known, Layer, MAX_MEMBERS, cloud_event, each},
};
use super::{
    Rules, Undecodable,
    met::{self, Met},
    naming,
    scalar::Scalar,
};
use crate::event::{Coding, Decoded, Event, Pieces, Refused, Word, is_json};

pub use attributes::{DATASCHEMA_HEADER, SOURCE_HEADER, SPECVERSION_HEADER, TIME_HEADER};
pub use challenge::{CHALLENGE_LIMIT, validation_url};
pub use recipients::{NotOurs, Unnamed, check_recipients};

/// A reason, and what was expected.
type Flaw = (&'static str, String);

pub(super) fn decode<'a>(
    rules: &'a Rules,
    body: &'a str,
    members: Option<&'a met::Memory>,
    out: &mut Vec<Decoded<'a>>,
) -> Result<(), Undecodable> {
    let mut met = members.map(Met::new);
    let is_alone = body.trim_ascii_start().starts_with('{');
    each(body, |index, cursor| {
        let element = Element::read(cursor, met.as_mut())?;
        if is_alone && element.layer.as_ref().is_some_and(|object| is_challenge(body, object)) {
            return Ok(());
        }
        out.push(event(rules, &element, index).map_err(|(reason, error)| Refused {
            index,
            reason,
            error: format!("event {index}: {error}"),
            key: key(&element).map(Into::into),
            original: element.original.as_bytes(),
        }));
        Ok(())
    })
    .inspect_err(|_| out.clear())
}

/// The event of an element, or the reason why there is none.
fn event<'a>(rules: &'a Rules, element: &Element<'a>, index: u32) -> Result<Event<'a>, Flaw> {
    let Some(outermost) = &element.layer else {
        return Err(("not-an-object", "expected an object".into()));
    };
    for layer in outermost.all() {
        if let Some(name) = layer.twice.or(layer.data.and_then(|data| data.twice)) {
            return Err(("duplicate-member", format!("{name} stands twice")));
        }
        if layer.too_many {
            let error = format!("an object has more than {MAX_MEMBERS} members beside `data`");
            return Err(("too-many-attributes", error));
        }
    }
    let Some(layer) = cloud_event(outermost) else {
        let error = "no object of the envelope has a `specversion` or a `type`";
        return Err(("not-a-cloud-event", error.into()));
    };
    let mut attributes = attributes(outermost, layer)?;
    let value = value(layer, attributes.datacontenttype.as_deref())?;
    let headers = plain_headers(layer, &attributes);
    let data = layer.data.unwrap_or_default();
    let activity_type_id = data.activity_type_id();
    if let Some(ce_type) = rules.catalog.other_type(&attributes.r#type, activity_type_id) {
        attributes.r#type = Cow::Borrowed(ce_type);
    }
    let (stream, event_type) = naming::classify_owned(&attributes.r#type, activity_type_id);
    Ok(Event {
        index,
        stream,
        event_type,
        munchkin_id: data.munchkin_id(),
        activity_type_id,
        key: data.key(stream),
        attributes,
        headers,
        value,
        original: element.original.as_bytes(),
        members: data.members,
        lead_state: None,
    })
}

/// The key of a refused element, as far as it is known.
fn key<'a>(element: &Element<'a>) -> Option<Word<'a>> {
    let layer = element.layer.as_ref().and_then(cloud_event)?;
    let data = layer.data?;
    let ce_type = Scalar::of(layer.known(Known::Type)).text().unwrap_or_default();
    data.key(naming::classify(&ce_type, None).0)
}

/// The event's data by the rules of the JSON format. Codings that have to be undone later are checked here, so that
/// undoing them cannot fail.
fn value<'a>(layer: &Layer<'a>, content_type: Option<&str>) -> Result<Pieces<'a>, Flaw> {
    let base64 = layer.known(Known::DataBase64).filter(|spelled| *spelled != "null");
    let (data, base64) = match (layer.known(Known::Data), base64) {
        (data, None) if is_base64_of_0_3(layer) => (None, data),
        as_they_are => as_they_are,
    };
    let (spelled, coding) = match (data, base64) {
        (Some(_), Some(_)) => {
            let error = "`data` and `data_base64` are both there";
            return Err(("ambiguous-data", error.into()));
        }
        (None, None) => return Ok(Pieces::default()),
        (Some(data), None) if content_type.is_none_or(is_json) || !data.starts_with('"') => {
            return Ok(Pieces::from(data.as_bytes()));
        }
        (Some(text), None) => (text, Coding::JsonString),
        (None, Some(base64)) => (base64, Coding::Base64),
    };
    let unusable = |what: &str| ("unusable-data", what.to_owned());
    match (coding, Scalar::of(Some(spelled))) {
        (_, Scalar::Absent) => Ok(Pieces::default()),
        (Coding::Base64, Scalar::Text(text)) => match STANDARD.decode(text.as_bytes()) {
            Ok(_) => Ok(Pieces::coded(coding, spelled)),
            Err(_) => Err(unusable("what should be base64 is not")),
        },
        (_, Scalar::Text(Cow::Borrowed(text))) => Ok(Pieces::from(text.as_bytes())),
        (_, Scalar::Text(Cow::Owned(_))) => Ok(Pieces::coded(coding, spelled)),
        (Coding::Base64, _) => Err(unusable("what should be base64 is not text")),
        (_, _) => Err(unusable("`data` is text that is no Unicode")),
    }
}
