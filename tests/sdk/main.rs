//! CloudEvents SDKs that are not ours, Python's and Java's, read the records of every shape in both modes
//! without complaint, and understand what was sent; also what senders write in odd ways (`odd`).
//! `tests/run sdk` brings the SDKs.
//!
//! The records come from the pipeline itself, without a cluster in between; `tests/kafka` does the
//! same with what a consumer reads from a broker.

#[path = "../support/mod.rs"]
mod support;

mod odd;

use std::collections::BTreeMap;

use millrace::{
    deliver::{
        decode::{Rules, decode},
        encode::{Encoder, Mode},
    },
    event::Event,
    source::SourceKind::{self, AdobeIo, MarketoLeadActivity},
    spool::position::Position,
};
use serde_json::{Value, json};
use support::cloudevents::{self, Message, Understood};
use uuid::Uuid;

const BODIES: [(SourceKind, &str); 8] = [
    (MarketoLeadActivity, include_str!("../decode/fixtures/push.json")),
    (MarketoLeadActivity, include_str!("../decode/fixtures/same-activities.push.json")),
    (AdobeIo, include_str!("../decode/fixtures/same-activities.adobe.json")),
    (AdobeIo, include_str!("../decode/fixtures/adobe-flat.json")),
    (AdobeIo, include_str!("../decode/fixtures/adobe-batch.json")),
    (AdobeIo, include_str!("../decode/fixtures/adobe-wrapped.json")),
    (AdobeIo, include_str!("../decode/fixtures/adobe-wrapped-notification.json")),
    (AdobeIo, include_str!("../decode/fixtures/adobe-older.json")),
];

/// What of an event a consumer must see.
#[derive(Debug, PartialEq)]
struct Seen {
    /// Without the time.
    attributes: BTreeMap<String, Value>,
    time: Option<jiff::Timestamp>,
    data: Value,
}

/// What `see` makes of the records of `body`, and of the events that they are made from.
fn each<T>(
    kind: SourceKind,
    mode: Mode,
    body: &str,
    see: impl Fn(Message, &Event<'_>) -> T,
) -> Vec<T> {
    let (rules, mut decoded) = (Rules::default(), Vec::new());
    decode(kind, &rules, body.as_bytes(), &[], &mut decoded).unwrap();
    let mut encoder = Encoder::new(mode);
    let records = decoded.iter().flatten().map(|event| {
        let position = Position { sequence: 42, index: event.index };
        let encoded = encoder.encode("topic", Uuid::nil(), position, event);
        let record = encoded.record();
        let headers = record.headers.iter().copied();
        see(Message::new(record.key, record.value.unwrap(), headers), event)
    });
    records.collect()
}

/// The records of `body`.
fn messages(kind: SourceKind, mode: Mode, body: &str) -> Vec<Message> {
    each(kind, mode, body, |message, _| message)
}

/// The records of `body`, each with what must be seen of it.
fn records(kind: SourceKind, mode: Mode, body: &str) -> Vec<(Message, Seen)> {
    each(kind, mode, body, |message, event| (message, expected(event)))
}

fn expected(event: &Event<'_>) -> Seen {
    let attributes = &event.attributes;
    let made = format!("{}:42:{}", Uuid::nil(), event.index);
    let mut texts = vec![
        ("specversion", "1.0".to_owned()),
        ("id", attributes.id.as_deref().map_or(made, Into::into)),
        ("source", attributes.source.to_string()),
        ("type", attributes.r#type.to_string()),
    ];
    texts.extend(event.key.as_deref().map(|key| ("partitionkey", key.to_owned())));
    let optional = [
        ("datacontenttype", &attributes.datacontenttype),
        ("dataschema", &attributes.dataschema),
        ("subject", &attributes.subject),
    ];
    for (name, value) in optional {
        texts.extend(value.as_ref().map(|value| (name, value.to_string())));
    }
    texts.extend(attributes.extensions.iter().map(|(name, value)| (&**name, value.to_string())));
    Seen {
        attributes: texts.into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect(),
        time: attributes.time.as_deref().map(|time| time.parse().unwrap()),
        data: serde_json::from_slice(&event.value.as_slice().concat()).unwrap_or_default(),
    }
}

fn seen(understood: Understood) -> Seen {
    let Understood { mut attributes, data } = understood;
    let time = attributes.remove("time").map(|time| time.as_str().unwrap().parse().unwrap());
    Seen { attributes, time, data }
}

/// What is in the value of structured mode alone, beside the plain headers that say the same.
fn without_plain_extensions(mut seen: Seen) -> Seen {
    seen.attributes.retain(|name, _| !name.starts_with("millrace"));
    seen
}

#[test]
fn both_sdks_read_every_shape_in_both_modes() {
    let in_mode = |mode| BODIES.into_iter().flat_map(move |(kind, body)| records(kind, mode, body));
    let (messages, expected): (Vec<_>, Vec<_>) = Mode::ALL.into_iter().flat_map(in_mode).unzip();
    assert_eq!(messages.len(), 34, "events of the bodies, in two modes");
    for read in [cloudevents::read, cloudevents::read_in_java] {
        let understood = read(&messages).into_iter().map(seen).map(without_plain_extensions);
        assert_eq!(understood.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn the_sdk_reads_data_that_is_no_json() {
    let body = |data: &str| {
        format!(
            r#"{{"specversion":"1.0","type":"t","source":"urn:s","datacontenttype":"text/plain"{data}}}"#
        )
    };
    let cases = [
        (Mode::Binary, r#","data":"a \u00fc""#, json!("a ü")),
        (Mode::Structured, r#","data":"a \u00fc""#, json!({"base64": "YSDDvA=="})),
        (Mode::Binary, r#","data_base64":"/+8=""#, json!({"base64": "/+8="})),
        (Mode::Structured, r#","data_base64":"/+8=""#, json!({"base64": "/+8="})),
        (Mode::Binary, "", json!(null)),
        (Mode::Structured, "", json!(null)),
    ];
    let record =
        |(mode, data, _): &(Mode, &str, Value)| messages(AdobeIo, *mode, &body(data)).remove(0);
    let messages: Vec<_> = cases.iter().map(record).collect();
    let understood = cloudevents::read(&messages).into_iter().map(|understood| understood.data);
    assert_eq!(understood.collect::<Vec<_>>(), cases.map(|(.., data)| data));
}

#[test]
fn the_sdk_complains_about_what_is_no_cloud_event() {
    for read in [cloudevents::read, cloudevents::read_in_java] {
        let headers = [("ce_specversion", &b"1.0"[..]), ("ce_id", b"1")];
        let record = Message::new(Some(b"k"), b"{}", headers);
        let complaint = std::panic::catch_unwind(|| read(&[record])).unwrap_err();
        let complaint = complaint.downcast::<String>().unwrap();
        assert!(complaint.contains("the SDK complains"), "{complaint}");
        assert!(complaint.contains("source"), "{complaint}");
    }
}
