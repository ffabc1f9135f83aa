//! Dead letters: events that cannot be sent to their topic, kept with their original bytes and key.
//!
//! The record's value is the event byte for byte, or the whole body where no event could be found in it. An original
//! that is larger than a record may be stays in quarantine, and the record's value is a small JSON pointer to it.

use std::path::PathBuf;

use serde::Serialize;

use crate::{
    record::Record,
    source::{ORIGIN_HEADER, Origin, SourceName},
    spool::position::Position,
};

/// The reason of a lead state. Its original is the last of its activities, which has a record of its own on its own
/// topic: a replay must not send that again.
pub const LEAD_STATE: &str = "lead-state";

/// Every [`DeadLetter::reason`]: those of decoding, then those of the forwarder.
pub const REASONS: [&str; 28] = [
    "content-coding",
    "empty-body",
    "not-utf8",
    "not-json",
    "nested-too-deep",
    "not-an-object",
    "no-activities",
    "duplicate-member",
    "too-many-events",
    "too-many-attributes",
    "not-a-cloud-event",
    "ambiguous-data",
    "unusable-data",
    "missing-munchkin-id",
    "unusable-munchkin-id",
    "unusable-lead-id",
    "unusable-guid",
    "missing-activity-type",
    "missing-type",
    "missing-source",
    "unusable-id",
    "field-rule",
    "unreadable-munchkin-id",
    "unreadable-activity-type-id",
    "too-large",
    "topic-limit",
    "refused",
    LEAD_STATE,
];

/// Header names of another program that dead letters may have beside ours. Only true statements are made: an event that
/// was in no topic before has no partition, offset or timestamp there, and no Java exception or connector is behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Convention {
    /// Spring for Apache Kafka.
    Spring,
    /// Kafka Connect.
    Connect,
}

impl Convention {
    pub const ALL: [Self; 2] = [Self::Spring, Self::Connect];

    /// The name that configuration uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spring => "spring",
            Self::Connect => "connect",
        }
    }

    /// The header for the event's own topic.
    fn topic(self) -> &'static str {
        match self {
            Self::Spring => "kafka_dlt-original-topic",
            Self::Connect => "__connect.errors.topic",
        }
    }

    /// The header for the error.
    fn message(self) -> &'static str {
        match self {
            Self::Spring => "kafka_dlt-exception-message",
            Self::Connect => "__connect.errors.exception.message",
        }
    }
}

/// An item that is in quarantine, durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    pub path: PathBuf,
    /// In bytes.
    pub length: u64,
    /// In hexadecimal.
    pub sha256: String,
}

/// A refused event with everything that its dead letter says, in a record or in quarantine.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    /// A short word for programs: `not-json`, `too-large`, `topic-limit`, …
    pub reason: &'a str,
    /// A sentence for people.
    pub error: &'a str,
    pub source: &'a SourceName,
    /// Origin of its delivery.
    pub origin: Origin,
    pub position: Position,
    /// The event's own topic, as far as it is known.
    pub original_topic: Option<&'a str>,
    /// The event's key, as far as it is known.
    pub key: Option<&'a [u8]>,
    pub original: &'a [u8],
}

impl<'a> DeadLetter<'a> {
    /// The headers of `conventions`, for [`DeadLetter::with_record`].
    pub fn by_convention(
        &self,
        conventions: &[Convention],
    ) -> impl Iterator<Item = (&'static str, &'a str)> {
        let topic = self.original_topic;
        let error = self.error;
        conventions.iter().flat_map(move |convention| {
            let topic = topic.map(|topic| (convention.topic(), topic));
            topic.into_iter().chain([(convention.message(), error)])
        })
    }

    /// Calls `send` with the dead letter as a record for `topic`, with `more` headers. With `pointer`, the
    /// value is the place of the original bytes in quarantine.
    pub fn with_record<T>(
        &self,
        topic: &str,
        more: &[(&str, &str)],
        pointer: Option<&Quarantined>,
        send: impl FnOnce(&Record<'_>) -> T,
    ) -> T {
        debug_assert!(REASONS.contains(&self.reason), "{} is not in REASONS", self.reason);
        let position = self.position.to_string();
        let mut headers: Vec<(&str, &[u8])> = vec![
            ("millrace-reason", self.reason.as_bytes()),
            ("millrace-error", self.error.as_bytes()),
            ("millrace-source", self.source.as_str().as_bytes()),
            ("millrace-position", position.as_bytes()),
        ];
        if let Some(topic) = self.original_topic {
            headers.push(("millrace-original-topic", topic.as_bytes()));
        }
        if let Some(origin) = self.origin.as_header() {
            headers.push((ORIGIN_HEADER, origin.as_bytes()));
        }
        headers.extend(more.iter().map(|(name, value)| (*name, value.as_bytes())));
        let pointer = pointer.map(|quarantined| Pointer::to(quarantined, self.position));
        let value = match &pointer {
            None => self.original,
            Some(json) => {
                headers.push(("content-type", b"application/json"));
                headers.push(("millrace-quarantined", b"true"));
                json.as_bytes()
            }
        };
        send(&Record {
            topic,
            key: self.key,
            value: Some(value),
            headers: &headers,
            timestamp: None,
        })
    }
}

/// The value of a dead letter whose original is too large for a record.
#[derive(Serialize)]
struct Pointer<'a> {
    quarantine_path: &'a str,
    position: String,
    /// Length of the original in bytes.
    length: u64,
    /// Digest of the original, in hexadecimal.
    sha256: &'a str,
}

impl Pointer<'_> {
    fn to(quarantined: &Quarantined, position: Position) -> String {
        let path = quarantined.path.to_string_lossy();
        let pointer = Pointer {
            quarantine_path: &path,
            position: position.to_string(),
            length: quarantined.length,
            sha256: &quarantined.sha256,
        };
        // Strings and a number: it cannot fail.
        serde_json::to_string(&pointer).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter<'a>(source: &'a SourceName) -> DeadLetter<'a> {
        DeadLetter {
            reason: "not-json",
            error: "expected `,` at byte 12",
            source,
            origin: Origin::Sender,
            position: Position { sequence: 3, index: 4 },
            original_topic: Some("marketo.lead-activity.clicklink"),
            key: Some(b"999-XYZ-000:1"),
            original: b"{broken",
        }
    }

    #[test]
    fn a_dead_letter_keeps_bytes_and_key_and_says_why() {
        let source = SourceName::new("leads").unwrap();
        letter(&source).with_record("dead", &[("traceparent", "00-1-2-01")], None, |record| {
            assert_eq!(
                (record.topic, record.key, record.value),
                ("dead", Some(&b"999-XYZ-000:1"[..]), Some(&b"{broken"[..]))
            );
            let headers: Vec<_> = record
                .headers
                .iter()
                .map(|(name, value)| (*name, std::str::from_utf8(value).unwrap()))
                .collect();
            assert_eq!(
                headers,
                [
                    ("millrace-reason", "not-json"),
                    ("millrace-error", "expected `,` at byte 12"),
                    ("millrace-source", "leads"),
                    ("millrace-position", "3.4"),
                    ("millrace-original-topic", "marketo.lead-activity.clicklink"),
                    ("traceparent", "00-1-2-01"),
                ]
            );
        });
    }

    #[test]
    fn by_the_conventions_of_others_a_dead_letter_says_what_is_true_and_no_more() {
        let source = SourceName::new("leads").unwrap();
        let letter = letter(&source);
        let headers: Vec<_> = letter.by_convention(&Convention::ALL).collect();
        let topic = "marketo.lead-activity.clicklink";
        let error = "expected `,` at byte 12";
        let expected = [
            ("kafka_dlt-original-topic", topic),
            ("kafka_dlt-exception-message", error),
            ("__connect.errors.topic", topic),
            ("__connect.errors.exception.message", error),
        ];
        assert_eq!(headers, expected);
        assert_eq!(letter.by_convention(&[]).count(), 0);
        let nowhere = DeadLetter { original_topic: None, ..letter };
        let headers: Vec<_> = nowhere.by_convention(&[Convention::Spring]).collect();
        assert_eq!(headers, [("kafka_dlt-exception-message", error)]);
    }

    #[test]
    fn a_dead_letter_says_when_it_came_from_the_journal() {
        let source = SourceName::new("audit").unwrap();
        let letter = DeadLetter { origin: Origin::Journal, ..letter(&source) };
        letter.with_record("dead", &[], None, |record| {
            assert!(record.headers.contains(&("millrace-origin", b"journal")));
        });
    }

    #[test]
    fn what_is_too_large_is_pointed_at() {
        let source = SourceName::new("leads").unwrap();
        let quarantined = Quarantined { path: "/q/3.4".into(), length: 7, sha256: "ab".into() };
        letter(&source).with_record("dead", &[], Some(&quarantined), |record| {
            let value: serde_json::Value = serde_json::from_slice(record.value.unwrap()).unwrap();
            let expected = serde_json::json!({
                "quarantine_path": "/q/3.4", "position": "3.4", "length": 7, "sha256": "ab",
            });
            assert_eq!(value, expected);
            assert_eq!(record.key, Some(&b"999-XYZ-000:1"[..]));
        });
    }

    #[test]
    fn every_word_that_decoding_refuses_with_is_among_the_reasons() {
        let code = [
            include_str!("decode.rs"),
            include_str!("decode/json.rs"),
            include_str!("decode/legacy.rs"),
            include_str!("decode/adobe.rs"),
            include_str!("decode/adobe/layer.rs"),
            include_str!("decode/adobe/attributes.rs"),
        ]
        .concat();
        let words = ["Undecodable::new(\"", "Err((\""]
            .into_iter()
            .flat_map(|before| code.split(before).skip(1))
            .filter_map(|rest| rest.split('"').next());
        let mut count = 0;
        for word in words {
            assert!(REASONS.contains(&word), "{word}");
            count += 1;
        }
        assert!(count > 20, "{count} places");
    }
}
