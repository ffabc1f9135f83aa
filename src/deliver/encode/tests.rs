use std::borrow::Cow;

use super::*;
use crate::event::{Attributes, Coding, Pieces, Stream};

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
        members: None,
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
    let attributes = Attributes { extensions: extensions.to_vec().into(), ..Attributes::default() };
    let headers = headers(&mut Encoder::new(Mode::Binary), &event(attributes, b""));
    let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_ok"]);
}

#[test]
fn any_number_of_extensions_keeps_its_order() {
    let mut encoder = Encoder::new(Mode::Binary);
    for count in [11, 12, 13, 40] {
        let extensions = (0..count).map(|n| (format!("x{n}").into(), n.to_string().into()));
        let attributes = Attributes { extensions: extensions.collect(), ..Attributes::default() };
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
        let expected = [("content-type", content_type), ("millrace-munchkin-id", "999-XYZ-000")];
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
