//! Binary mode: the value is the event's data, and the attributes are headers.
//!
//! Always in this order: `content-type`, `ce_specversion`, `ce_id`, `ce_source`, `ce_type`, `ce_time`,
//! `ce_dataschema`, `ce_subject`, `ce_` extensions as they come, then plain headers. Absent attributes
//! have no header. Header values are UTF-8 as they are (percent-encoding is the HTTP binding's, not
//! Kafka's).
//!
//! A `content-type` that begins with `application/cloudevents` tells a reader that the record is in
//! structured mode, whatever other headers it has. So data that itself has such a type (an event inside of an
//! event) gets the media type of its syntax, and [`CONTENT_TYPE_HEADER`] has the original one.

use super::{CONTENT_TYPE_HEADER, extensions::extensions, headers::Headers};
use crate::event::{Attributes, Event};

/// Writes `ce_` + name of each extension, one after the other.
fn names(attributes: &Attributes<'_>, names: &mut String) {
    names.clear();
    for (name, _) in extensions(attributes) {
        names.push_str("ce_");
        names.push_str(name);
    }
}

/// Prefix of the media types of structured mode.
const STRUCTURED_PREFIX: &str = "application/cloudevents";

/// Writes into `made` the `content-type` that replaces the event's `datacontenttype`, if that would be
/// taken for structured mode: `application/json` for `application/cloudevents+json`.
fn content_type(attributes: &Attributes<'_>, made: &mut String) {
    made.clear();
    let Some(came) = attributes.datacontenttype.as_deref() else { return };
    let came = came.trim_start();
    if !came
        .get(..STRUCTURED_PREFIX.len())
        .is_some_and(|it| it.eq_ignore_ascii_case(STRUCTURED_PREFIX))
    {
        return;
    }
    let (essence, parameters) = came.split_at(came.find(';').unwrap_or(came.len()));
    let syntax = essence.rsplit_once('+').map_or("octet-stream", |(_, syntax)| syntax.trim());
    made.push_str("application/");
    made.push_str(syntax);
    made.push_str(parameters);
}

/// The headers of a record whose value is the event's data; `made_names` and `made_type` are memory for what of them is made.
pub(super) fn headers<'b>(
    id: &'b str,
    event: &'b Event<'b>,
    made_names: &'b mut String,
    made_type: &'b mut String,
) -> Headers<'b> {
    names(&event.attributes, made_names);
    content_type(&event.attributes, made_type);
    let came = event.attributes.datacontenttype.as_deref();
    let is_made = !made_type.is_empty();
    headers_of(id, made_names, if is_made { Some(made_type) } else { came }, event)
}

/// The `content-type` of a flat value without a schema.
pub(super) const FLAT_CONTENT_TYPE: &str = "application/json";

/// The headers of a record with a flat value, whose media type is its own.
pub(super) fn flat_headers<'b>(
    id: &'b str,
    event: &'b Event<'b>,
    made_names: &'b mut String,
    content_type: &'static str,
) -> Headers<'b> {
    names(&event.attributes, made_names);
    headers_of(id, made_names, Some(content_type), event)
}

fn headers_of<'b>(
    id: &'b str,
    mut names: &'b str,
    content_type: Option<&'b str>,
    event: &'b Event<'b>,
) -> Headers<'b> {
    let attributes = &event.attributes;
    let came = attributes.datacontenttype.as_deref();
    let mut headers = Headers::default();
    headers.add_some("content-type", content_type);
    headers.add("ce_specversion", "1.0");
    headers.add("ce_id", id);
    headers.add("ce_source", &attributes.source);
    headers.add("ce_type", &attributes.r#type);
    headers.add_some("ce_time", attributes.time.as_deref());
    headers.add_some("ce_dataschema", attributes.dataschema.as_deref());
    headers.add_some("ce_subject", attributes.subject.as_deref());
    for (name, value) in extensions(attributes) {
        let (this, others) = names.split_at("ce_".len() + name.len());
        headers.add(this, value);
        names = others;
    }
    for (name, value) in &event.headers {
        headers.add(name, value);
    }
    headers.add_some(CONTENT_TYPE_HEADER, came.filter(|_| content_type != came));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(came: &'static str) -> String {
        let mut made = "what was here before".to_owned();
        let attributes = Attributes { datacontenttype: Some(came.into()), ..Attributes::default() };
        content_type(&attributes, &mut made);
        made
    }

    #[test]
    fn no_content_type_is_taken_for_the_one_of_structured_mode() {
        for (came, expected) in [
            ("application/cloudevents+json", "application/json"),
            ("Application/CloudEvents+JSON; charset=UTF-8", "application/JSON; charset=UTF-8"),
            ("application/cloudevents-batch+json", "application/json"),
            ("application/cloudevents+avro", "application/avro"),
            ("application/cloudevents", "application/octet-stream"),
            ("application/cloudevents;a=b+json", "application/octet-stream;a=b+json"),
        ] {
            assert_eq!(made(came), expected, "{came}");
        }
    }

    #[test]
    fn every_other_content_type_stays_as_it_came() {
        for came in ["application/json", "application/cloud", "text/plain", "", "\u{e9}"] {
            assert_eq!(made(came), "", "{came}");
        }
    }
}
