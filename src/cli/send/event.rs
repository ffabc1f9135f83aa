//! The event to send: an example of its type, with fresh ids and a current time.

use std::{collections::BTreeMap, sync::Arc, time::SystemTime};

use clap::ValueEnum;
use uuid::Uuid;

use crate::{
    config::{Auth, SourceConfig},
    deliver::{
        decode::{self, Catalog, Rules},
        encode::choice::PartialChoice,
        select::Selection,
    },
    service::examples::{self as known, Ids},
    source::{SourceKind, SourceName},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum Kind {
    Marketo,
    Adobe,
}

/// Returns the body of a delivery with one event of `event_type`.
pub(super) fn make(
    kind: Kind,
    event_type: &str,
    client_id: &str,
    id: Uuid,
) -> Result<String, String> {
    let kind = match kind {
        Kind::Marketo => SourceKind::MarketoLeadActivity,
        Kind::Adobe => SourceKind::AdobeIo,
    };
    let custom = event_type.strip_prefix("custom-").and_then(|id| id.parse::<i64>().ok());
    let activity_types: Vec<i64> = custom.into_iter().filter(|id| *id >= 100_000).collect();
    let source = SourceConfig {
        name: SourceName::new("example").ok_or("the name of an example is none")?,
        kind,
        auth: Auth::default(),
        journal: None,
        size_limit: None,
        answer: Default::default(),
        activity_types: BTreeMap::new(),
        described_types: Arc::default(),
        choice: PartialChoice::default(),
        selection: Selection::default(),
    };
    let ids = Ids { activity_types: &activity_types, munchkin_ids: &[] };
    let rules = Rules::from(Catalog::default());
    let mut types = Vec::new();
    for example in known::examples(&source, &ids) {
        let mut events = Vec::new();
        let decoded = decode::decode(kind, &rules, example.body.as_bytes(), &[], &mut events);
        let Some(Ok(event)) = events.first().filter(|_| decoded.is_ok()) else { continue };
        if event.event_type == event_type {
            let client_id = serde_json::Value::from(client_id).to_string();
            let body = example.fresh(id, SystemTime::now());
            return Ok(body.replace(&format!("\"{}\"", known::CLIENT), &client_id));
        }
        types.push(event.event_type.to_string());
    }
    types.sort();
    types.dedup();
    Err(format!("`{event_type}` is no type of this sender's; there are: {}", types.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_sender_has_a_click_and_custom_activities_and_an_unknown_type_lists_those_there_are() {
        for kind in [Kind::Marketo, Kind::Adobe] {
            let body = make(kind, "clicklink", "us", Uuid::nil()).unwrap();
            assert!(
                body.contains(&Uuid::nil().to_string()) && !body.contains(known::TIME),
                "{body}"
            );
            assert!(make(kind, "custom-100007", "us", Uuid::nil()).unwrap().contains("100007"));
            let error = make(kind, "clicklinks", "us", Uuid::nil()).unwrap_err();
            assert!(error.contains("clicklink, "), "{error}");
        }
        let adobe = make(Kind::Adobe, "clicklink", "us\"", Uuid::nil()).unwrap();
        assert!(adobe.contains(r#""recipientclientid":"us\"""#), "{adobe}");
    }
}
