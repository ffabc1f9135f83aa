//! The members of an envelope as the attributes of one CloudEvent.

use std::borrow::Cow;

use super::{
    Flaw,
    layer::{Known, Layer},
    recipients::RECIPIENT_MEMBERS,
};
use crate::{
    deliver::decode::{scalar::Scalar, time, uri},
    event::{Attributes, Extensions},
};

/// The plain header of a `time` whose meaning is not certain, as it came.
pub const TIME_HEADER: &str = "millrace-time";

/// The plain header of a `dataschema` that is no absolute URI, as it came.
pub const DATASCHEMA_HEADER: &str = "millrace-dataschema";

/// The plain header of a `source` that is no URI reference, as it came.
pub const SOURCE_HEADER: &str = "millrace-ce-source";

/// The plain header of a `specversion` other than 1.0, which is what a record has.
pub const SPECVERSION_HEADER: &str = "millrace-specversion";

/// The attribute of version 0.3 that marks data in base64.
const ENCODING_0_3: &str = "datacontentencoding";

/// The extension that has Adobe's own id of an event.
const EVENT_ID: &str = "eventid";

/// The legal form of the name `data_base64`, which is no attribute.
const DATA_BASE64: &str = "database64";

/// The version that every record has.
const SPECVERSION: &str = "1.0";

/// The attributes of the event in `event`, one of the objects of the envelope `outermost`.
pub(super) fn attributes<'a>(
    outermost: &Layer<'a>,
    event: &Layer<'a>,
) -> Result<Attributes<'a>, Flaw> {
    let text = |known| Scalar::of(event.known(known)).text();
    let Some(ce_type) = text(Known::Type) else {
        return Err(("missing-type", "the event has no `type` that is text".into()));
    };
    let Some(source) = text(Known::Source) else {
        return Err(("missing-source", "the event has no `source` that is text".into()));
    };
    let mut id = match Scalar::of(event.known(Known::Id)) {
        Scalar::Unusable => {
            return Err(("unusable-id", "`id` is neither text nor a number".into()));
        }
        id => id.word(),
    };
    let mut extensions = extensions(outermost, event);
    if is_base64_of_0_3(event) {
        extensions.take_if(ENCODING_0_3, |_| true);
    }
    let is_the_id = |event_id: &str| id.as_ref().is_none_or(|id| id == event_id);
    if let Some(event_id) = extensions.take_if(EVENT_ID, is_the_id) {
        id = Some(event_id);
    }
    let has_data = event.known(Known::Data).or(event.known(Known::DataBase64)).is_some();
    // An event of the JSON format without a media type is one of JSON.
    let json = has_data.then_some(Cow::Borrowed("application/json"));
    Ok(Attributes {
        id,
        source: uri::to_reference(source),
        r#type: ce_type,
        time: text(Known::Time).and_then(time::to_rfc3339),
        datacontenttype: text(Known::Datacontenttype).or(json),
        dataschema: text(Known::Dataschema).filter(|schema| uri::is_absolute(schema)),
        subject: text(Known::Subject),
        extensions,
    })
}

/// The headers for members of the event that cannot be among its `attributes`.
pub(super) fn plain_headers<'a>(
    event: &Layer<'a>,
    attributes: &Attributes<'a>,
) -> Vec<(&'static str, Cow<'a, str>)> {
    let mut headers = Vec::new();
    let version = spelled_out(event.known(Known::Specversion)).filter(|it| it != SPECVERSION);
    headers.extend(version.map(|version| (SPECVERSION_HEADER, version)));
    let source = Scalar::of(event.known(Known::Source)).text();
    let source = source.filter(|source| *source != attributes.source);
    headers.extend(source.map(|source| (SOURCE_HEADER, source)));
    if attributes.time.is_none() {
        headers.extend(spelled_out(event.known(Known::Time)).map(|time| (TIME_HEADER, time)));
    }
    if attributes.dataschema.is_none() {
        let schema = spelled_out(event.known(Known::Dataschema));
        headers.extend(schema.map(|schema| (DATASCHEMA_HEADER, schema)));
    }
    headers
}

/// Whether the event's `data` is a string in base64, as version 0.3 of CloudEvents spelled it. A record
/// has version 1.0, whose readers do not know of that.
pub(super) fn is_base64_of_0_3(event: &Layer<'_>) -> bool {
    let says = |spelled, what: &str| {
        Scalar::of(spelled).text().is_some_and(|text| text.eq_ignore_ascii_case(what))
    };
    says(event.known(Known::Specversion), "0.3")
        && says(event.get(ENCODING_0_3), "base64")
        && event.known(Known::Data).is_some_and(|data| data.starts_with('"'))
}

/// The extensions: members of the event first, then those of the envelope around it; of each, names that CloudEvents
/// allows first, so that the first one of a name is the one that counts.
fn extensions<'a>(outermost: &Layer<'a>, event: &Layer<'a>) -> Extensions<'a> {
    let mut extensions = Extensions::default();
    let around = outermost.all().take_while(|layer| !std::ptr::eq(*layer, event)).count();
    for depth in (0..=around).rev() {
        let Some(layer) = outermost.all().nth(depth) else { continue };
        let wrapped = layer.inner.as_ref().filter(|_| depth < around).map(|inner| inner.at);
        let members = layer.members.iter().enumerate().filter(|(at, _)| Some(*at) != wrapped);
        let members = members.map(|(_, member)| member).filter(|member| may_extend(member.known));
        let mut others = false;
        for member in members.clone() {
            if is_legal(&member.name) {
                add(&mut extensions, member.name.clone(), member.spelled);
            } else {
                others = true;
            }
        }
        for member in members.filter(|member| others && !is_legal(&member.name)) {
            let name = made_legal(&member.name);
            // Only a member that the check of recipients compared becomes that extension.
            if !RECIPIENT_MEMBERS.contains(&&*name) || RECIPIENT_MEMBERS.contains(&&*member.name) {
                add(&mut extensions, name.into(), member.spelled);
            }
        }
    }
    extensions
}

/// Whether a member may be an extension: no attribute of CloudEvents itself, but one that may wrap an event can be.
fn may_extend(known: Option<Known>) -> bool {
    matches!(known, None | Some(Known::Event | Known::Body))
}

/// Adds an extension, unless there is one of that name.
fn add<'a>(extensions: &mut Extensions<'a>, name: Cow<'a, str>, spelled: &'a str) {
    let is_new = extensions.iter().all(|(other, _)| *other != name);
    if is_new
        && !name.is_empty()
        && !is_core(&name)
        && let Some(value) = spelled_out(Some(spelled))
    {
        extensions.push((name, value));
    }
}

/// Whether a name, once it is legal, is one of CloudEvents itself.
fn is_core(name: &str) -> bool {
    name == DATA_BASE64
        || Known::of(name).is_some_and(|known| !matches!(known, Known::Event | Known::Body))
}

/// A member's value as text: other values as they are spelled.
fn spelled_out<'a>(spelled: Option<&'a str>) -> Option<Cow<'a, str>> {
    match Scalar::of(spelled) {
        Scalar::Absent => None,
        Scalar::Text(text) => Some(text),
        Scalar::Number(_) | Scalar::Unusable => spelled.map(Cow::Borrowed),
    }
}

/// Whether a CloudEvent may have an attribute of that name.
fn is_legal(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn made_legal(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}
