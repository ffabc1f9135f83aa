//! Everything between a body and its records, with what must hold of any body.

use millrace::{
    deliver::{
        decode::{Rules, decode},
        encode::{Encoder, Mode},
        route::{Router, is_topic_name},
    },
    source::{SourceKind, SourceName},
    spool::position::Position,
};
use uuid::Uuid;

pub fn make(kind: SourceKind, body: &[u8]) {
    let (rules, mut decoded) = (Rules::default(), Vec::new());
    if decode(kind, &rules, body, &[], &mut decoded).is_err() {
        assert!(decoded.is_empty());
        return;
    }
    let router = Router::new("marketo.{stream}.{type}.{munchkin_id}").expect("it is a template");
    let source = SourceName::new("fuzz").expect("it is a name");
    let mut name = String::new();
    for mode in Mode::ALL {
        let mut encoder = Encoder::new(mode);
        for event in decoded.iter().flatten() {
            let topic = router.topic(&source, event, &mut name);
            assert!(is_topic_name(topic), "{topic:?}");
            let position = Position { sequence: 1, index: event.index };
            let encoded = encoder.encode(topic, Uuid::nil(), position, event);
            if mode == Mode::Structured {
                let value = encoded.record().value.unwrap_or_default();
                serde_json::from_slice::<serde::de::IgnoredAny>(value).expect("it is JSON");
            }
        }
    }
}
