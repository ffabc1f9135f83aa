//! A CloudEvents SDK that isn't ours reads the records of every shape in both modes without complaint,
//! and understands what was sent. `tests/run sdk` brings the SDK.
//!
//! The records come from the pipeline itself, without a cluster in between; `tests/kafka` does the
//! same with what a consumer reads from a broker.

#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;

use millrace::{
    decode::{Rules, decode},
    delivery::SourceKind::{self, AdobeIo, MarketoLeadActivity},
    encode::{Encoder, Mode},
    event::Event,
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

/// The records of `body`, each with what must be seen of it.
fn records(kind: SourceKind, mode: Mode, body: &str) -> Vec<(Message, Seen)> {
    let (rules, mut decoded) = (Rules::default(), Vec::new());
    decode(kind, &rules, body.as_bytes(), &[], &mut decoded).unwrap();
    let mut encoder = Encoder::new(mode);
    let records = decoded.iter().flatten().map(|event| {
        let position = Position { sequence: 42, index: event.index };
        let encoded = encoder.encode("topic", Uuid::nil(), position, event);
        let record = encoded.record();
        let headers = record.headers.iter().copied();
        (Message::new(record.key, record.value, headers), expected(event))
    });
    records.collect()
}

fn expected(event: &Event<'_>) -> Seen {
    let attributes = &event.attributes;
    let made = format!("{}:42:{}", Uuid::nil(), event.index);
    let mut texts = vec![
        ("specversion", "1.0".to_owned()),
        ("id", attributes.id.as_deref().map_or(made, Into::into)),
        ("source", attributes.source.to_string()),
        ("type", attributes.r#type.to_string()),
        ("partitionkey", event.key.to_string()),
    ];
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

#[test]
fn the_sdk_reads_every_shape_in_both_modes() {
    let in_mode = |mode| BODIES.into_iter().flat_map(move |(kind, body)| records(kind, mode, body));
    let (messages, expected): (Vec<_>, Vec<_>) = Mode::ALL.into_iter().flat_map(in_mode).unzip();
    assert_eq!(messages.len(), 34, "events of the bodies, in two modes");
    let understood: Vec<_> = cloudevents::read(&messages).into_iter().map(seen).collect();
    assert_eq!(understood, expected);
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
        |(mode, data, _): &(Mode, &str, Value)| records(AdobeIo, *mode, &body(data)).remove(0).0;
    let messages: Vec<_> = cases.iter().map(record).collect();
    let understood = cloudevents::read(&messages).into_iter().map(|understood| understood.data);
    assert_eq!(understood.collect::<Vec<_>>(), cases.map(|(.., data)| data));
}

#[test]
fn the_sdk_complains_about_what_is_no_cloud_event() {
    let record = Message::new(b"k", b"{}", [("ce_specversion", &b"1.0"[..]), ("ce_id", b"1")]);
    let complaint = std::panic::catch_unwind(|| cloudevents::read(&[record])).unwrap_err();
    let complaint = complaint.downcast::<String>().unwrap();
    assert!(complaint.contains("the SDK complains"), "{complaint}");
    assert!(complaint.contains("source"), "{complaint}");
}
