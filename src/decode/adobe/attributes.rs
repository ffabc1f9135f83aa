//! The members of an envelope as the attributes of one CloudEvent.

use std::borrow::Cow;

use super::{
    Flaw,
    layer::{Layer, Member},
};
use crate::{
    decode::{scalar::Scalar, time, uri},
    event::Attributes,
};

/// The plain header of a `time` whose meaning is not certain, as it came.
pub const TIME_HEADER: &str = "millrace-time";

/// The plain header of a `dataschema` that is no absolute URI, as it came.
pub const DATASCHEMA_HEADER: &str = "millrace-dataschema";

/// The extension that Adobe's own id of an event is.
const EVENT_ID: &str = "eventid";

/// The attributes that CloudEvents itself has, and how it carries data.
#[rustfmt::skip]
const CORE: [&str; 10] = [
    "specversion", "id", "source", "type", "time", "datacontenttype", "dataschema", "subject",
    "data", "database64",
];

/// The attributes of the event in `event`, one of the objects of the envelope `outermost`.
pub(super) fn attributes<'a>(
    outermost: &Layer<'a>,
    event: &Layer<'a>,
) -> Result<Attributes<'a>, Flaw> {
    let text = |name| Scalar::of(event.get(name)).text();
    let Some(ce_type) = text("type") else {
        return Err(("missing-type", "the event has no `type` that is text".into()));
    };
    let Some(source) = text("source") else {
        return Err(("missing-source", "the event has no `source` that is text".into()));
    };
    let mut id = match Scalar::of(event.get("id")) {
        Scalar::Unusable => {
            return Err(("unusable-id", "`id` is neither text nor a number".into()));
        }
        id => id.word(),
    };
    let mut extensions = extensions(outermost, event);
    if let Some(at) = extensions.iter().position(|(name, _)| name == EVENT_ID)
        && id.as_ref().is_none_or(|id| *id == extensions[at].1)
    {
        id = Some(extensions.remove(at).1);
    }
    let has_data = event.get("data").or(event.get("data_base64")).is_some();
    // An event of the JSON format without a media type is one of JSON.
    let json = has_data.then_some(Cow::Borrowed("application/json"));
    Ok(Attributes {
        id,
        source,
        r#type: ce_type,
        time: text("time").and_then(time::to_rfc3339),
        datacontenttype: text("datacontenttype").or(json),
        dataschema: text("dataschema").filter(|schema| uri::is_absolute(schema)),
        subject: text("subject"),
        extensions,
    })
}

/// What of the event has no place among its attributes.
pub(super) fn plain_headers<'a>(event: &Layer<'a>) -> Vec<(&'static str, Cow<'a, str>)> {
    let mut headers = Vec::new();
    let time = spelled_out(event.get("time"));
    if let Some(time) = time.filter(|time| time::to_rfc3339(Cow::Borrowed(time)).is_none()) {
        headers.push((TIME_HEADER, time));
    }
    let schema = spelled_out(event.get("dataschema"));
    if let Some(schema) = schema.filter(|schema| !uri::is_absolute(schema)) {
        headers.push((DATASCHEMA_HEADER, schema));
    }
    headers
}

/// Members of the event first, then those of what is around it; of each, names that CloudEvents
/// allows first, so that the first one of a name is the one that counts.
fn extensions<'a>(outermost: &Layer<'a>, event: &Layer<'a>) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let mut extensions: Vec<(Cow<'a, str>, Cow<'a, str>)> = Vec::new();
    let is_event = |layer: &Layer<'a>| std::ptr::eq(layer, event);
    let mut layers: Vec<_> = outermost.all().take_while(|layer| !is_event(layer)).collect();
    layers.push(event);
    for layer in layers.into_iter().rev() {
        let wrapped = layer.inner.as_ref().filter(|_| !is_event(layer)).map(|inner| inner.at);
        let members = layer.members.iter().enumerate();
        let members = members.filter(|(at, _)| Some(*at) != wrapped).map(|(_, member)| member);
        let (legal, others): (Vec<_>, Vec<_>) = members.partition(|member| is_legal(&member.name));
        for Member { name, spelled } in legal.into_iter().chain(others) {
            let name = if is_legal(name) { name.clone() } else { made_legal(name).into() };
            let is_new = || extensions.iter().all(|(other, _)| *other != name);
            if !name.is_empty()
                && !CORE.contains(&&*name)
                && is_new()
                && let Some(value) = spelled_out(Some(spelled))
            {
                extensions.push((name, value));
            }
        }
    }
    extensions
}

/// A member's value as text: what is no text is as it is spelled.
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
