//! Structured mode: the value is the whole event in the JSON format of CloudEvents.
//!
//! Members stand in the order of the headers of binary mode, and data comes last: byte for byte in
//! `data` where it is JSON, else in `data_base64`. The only headers are `content-type` and plain ones.
//! The plain ones are in the value too, so that the value is the whole event: `millrace-time` as the
//! extension `millracetime`, and so on. An extension of that name that came with the event stays.
//!
//! Readers decide by `datacontenttype` whether `data` is JSON, and Java's SDK knows fewer media types of JSON than
//! there are: an object with another one costs its readers the whole event. Data of a type that it does not
//! know is `application/json`, and [`CONTENT_TYPE_HEADER`] has the original type.
//!
//! The binding would allow the `ce_` headers of binary mode beside them, but readers distinguish the modes
//! by their presence.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    CONTENT_TYPE_HEADER, data::spell, extensions::extensions, headers::Headers, media_type,
};
use crate::event::{Attributes, Coding, Event, is_json};

/// The media type of an event in this mode.
pub const CONTENT_TYPE: &str = "application/cloudevents+json; charset=UTF-8";

/// The media type of JSON that every reader knows.
const JSON_TYPE: &str = "application/json";

pub(super) fn headers<'b>(event: &'b Event<'b>) -> Headers<'b> {
    let mut headers = Headers::default();
    headers.add("content-type", CONTENT_TYPE);
    for (name, value) in &event.headers {
        headers.add(name, value);
    }
    headers.add_some(CONTENT_TYPE_HEADER, replaced_type(event));
    headers
}

/// The original `datacontenttype`, where [`JSON_TYPE`] replaces it.
fn replaced_type<'b>(event: &'b Event<'_>) -> Option<&'b str> {
    let came = event.attributes.datacontenttype.as_deref()?;
    (is_in_data(event) && !media_type::is_json_to_readers(came)).then_some(came)
}

/// Whether the event's value is in `data`, as JSON.
fn is_in_data(event: &Event<'_>) -> bool {
    let Event { attributes, value, .. } = event;
    value.coding() == Coding::Plain
        && !value.as_slice().is_empty()
        && attributes.datacontenttype.as_deref().is_none_or(is_json)
}

/// Writes the event with the id `id` into `out`; `scratch` is for data that is not JSON.
pub(super) fn value(id: &str, event: &Event<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    let attributes = &event.attributes;
    let replaced_type = replaced_type(event);
    let content_type =
        replaced_type.map_or(attributes.datacontenttype.as_deref(), |_| Some(JSON_TYPE));
    out.clear();
    out.extend_from_slice(br#"{"specversion":"1.0""#);
    let optional = [
        ("time", attributes.time.as_deref()),
        ("datacontenttype", content_type),
        ("dataschema", attributes.dataschema.as_deref()),
        ("subject", attributes.subject.as_deref()),
    ];
    member(out, "id", id);
    member(out, "source", &attributes.source);
    member(out, "type", &attributes.r#type);
    for (name, value) in optional {
        if let Some(value) = value {
            member(out, name, value);
        }
    }
    for (name, value) in extensions(attributes) {
        member(out, name, value);
    }
    for (header, value) in &event.headers {
        plain_member(out, attributes, (header, value));
    }
    if let Some(came) = replaced_type {
        plain_member(out, attributes, (CONTENT_TYPE_HEADER, came));
    }
    data(event, scratch, out);
    out.push(b'}');
}

fn data(event: &Event<'_>, scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
    let value = &event.value;
    match value.coding() {
        _ if value.as_slice().is_empty() => {}
        Coding::Plain if is_in_data(event) => {
            out.extend_from_slice(br#","data":"#);
            value.as_slice().iter().for_each(|part| out.extend_from_slice(part));
        }
        Coding::Base64 => {
            out.extend_from_slice(br#","data_base64":"#);
            value.as_slice().iter().for_each(|part| out.extend_from_slice(part));
        }
        Coding::Plain | Coding::JsonString => {
            member(out, "data_base64", &STANDARD.encode(spell(value, scratch)));
        }
    }
}

/// Whether the extension `name` stands for the plain header `header`.
fn is_extension_of(header: &str, name: &str) -> bool {
    header.bytes().filter(|byte| *byte != b'-').eq(name.bytes())
}

/// Writes a plain header as an extension, whose name has no hyphens, unless the event has one of that name.
fn plain_member(out: &mut Vec<u8>, attributes: &Attributes<'_>, (header, text): (&str, &str)) {
    if extensions(attributes).any(|(name, _)| is_extension_of(header, name)) {
        return;
    }
    out.extend_from_slice(b",\"");
    out.extend(header.bytes().filter(|byte| *byte != b'-'));
    out.extend_from_slice(b"\":");
    serde_json::to_writer(out, text).expect("text can be written into memory");
}

/// Writes `,"name":"text"`; the name needs no escapes.
fn member(out: &mut Vec<u8>, name: &str, text: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    serde_json::to_writer(out, text).expect("text can be written into memory");
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::event::{Pieces, Stream};

    fn written(attributes: Attributes<'_>, value: Pieces<'_>) -> String {
        with_headers(attributes, Vec::new(), value)
    }

    fn with_headers<'a>(
        attributes: Attributes<'a>,
        headers: Vec<(&'static str, Cow<'a, str>)>,
        value: Pieces<'a>,
    ) -> String {
        let event = Event {
            index: 0,
            stream: Stream::Other,
            event_type: "thing".into(),
            munchkin_id: None,
            activity_type_id: None,
            key: None,
            attributes,
            headers,
            value,
            original: b"",
            members: None,
            lead_state: None,
        };
        let mut out = b"what was here before".to_vec();
        super::value("i", &event, &mut Vec::new(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn of_type(content_type: &'static str) -> Attributes<'static> {
        Attributes { datacontenttype: Some(content_type.into()), ..Attributes::default() }
    }

    #[test]
    fn attributes_are_escaped_and_data_is_not_touched() {
        let attributes = Attributes {
            source: "a\"b\\".into(),
            r#type: "t\n\u{1}é".into(),
            time: Some("2026-03-02T09:59:58Z".into()),
            datacontenttype: Some("application/json".into()),
            dataschema: Some("urn:schema".into()),
            subject: Some("s".into()),
            extensions: vec![("eventid".into(), "e".into()), ("Not-Legal".into(), "x".into())]
                .into(),
            ..Attributes::default()
        };
        let mut value = Pieces::from(&b"{ \"a\": "[..]);
        value.push(b"1.50 }");
        assert_eq!(
            written(attributes, value),
            concat!(
                r#"{"specversion":"1.0","id":"i","source":"a\"b\\","type":"t\n\u0001é","#,
                r#""time":"2026-03-02T09:59:58Z","datacontenttype":"application/json","#,
                r#""dataschema":"urn:schema","subject":"s","eventid":"e","data":{ "a": 1.50 }}"#
            )
        );
    }

    #[test]
    fn what_plain_headers_say_is_in_the_value_too_once() {
        let headers = || {
            vec![
                ("millrace-time", "2026-03-02 10:00:02.118".into()),
                ("millrace-dataschema", "V2.0".into()),
            ]
        };
        let begin = r#"{"specversion":"1.0","id":"i","source":"","type":"""#;
        assert_eq!(
            with_headers(Attributes::default(), headers(), Pieces::default()),
            format!(
                r#"{begin},"millracetime":"2026-03-02 10:00:02.118","millracedataschema":"V2.0"}}"#
            )
        );
        let own = vec![("millracetime".into(), "its own".into())].into();
        let attributes = Attributes { extensions: own, ..Attributes::default() };
        assert_eq!(
            with_headers(attributes, headers(), Pieces::default()),
            format!(r#"{begin},"millracetime":"its own","millracedataschema":"V2.0"}}"#)
        );
    }

    #[test]
    fn data_that_is_not_json_is_in_base64() {
        let begin = |content_type: &str| {
            format!(
                r#"{{"specversion":"1.0","id":"i","source":"","type":"","datacontenttype":"{content_type}""#
            )
        };
        let plain = written(of_type("text/plain"), Pieces::from(&b"hello"[..]));
        assert_eq!(plain, begin("text/plain") + r#","data_base64":"aGVsbG8="}"#);
        let text = Pieces::coded(Coding::JsonString, r#""hel\u006co""#);
        let text = written(of_type("text/plain"), text);
        assert_eq!(text, begin("text/plain") + r#","data_base64":"aGVsbG8="}"#);
        // Base64 is marked as such, whatever the data is.
        let base64 = Pieces::coded(Coding::Base64, r#""aGVsb\u0047\/=""#);
        let base64 = written(of_type("application/json"), base64);
        assert_eq!(base64, begin("application/json") + r#","data_base64":"aGVsb\u0047\/="}"#);
    }

    #[test]
    fn json_of_a_type_that_readers_do_not_know_is_called_json_once() {
        let begin = r#"{"specversion":"1.0","id":"i","source":"","type":"","datacontenttype":"#;
        let object = || Pieces::from(&b"{}"[..]);
        assert_eq!(
            written(of_type("application/vnd.x+json"), object()),
            format!(
                r#"{begin}"application/json","millracedatacontenttype":"application/vnd.x+json","data":{{}}}}"#
            )
        );
        let own = vec![("millracedatacontenttype".into(), "its own".into())].into();
        let attributes = Attributes { extensions: own, ..of_type("application/vnd.x+json") };
        assert_eq!(
            written(attributes, object()),
            format!(
                r#"{begin}"application/json","millracedatacontenttype":"its own","data":{{}}}}"#
            )
        );
        // Base64 is marked as such.
        let base64 = Pieces::coded(Coding::Base64, r#""e30=""#);
        assert_eq!(
            written(of_type("application/vnd.x+json"), base64),
            format!(r#"{begin}"application/vnd.x+json","data_base64":"e30="}}"#)
        );
    }

    #[test]
    fn without_data_there_is_none() {
        let expected = r#"{"specversion":"1.0","id":"i","source":"","type":""}"#;
        assert_eq!(written(Attributes::default(), Pieces::default()), expected);
    }
}
