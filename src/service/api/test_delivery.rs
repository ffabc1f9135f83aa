//! A test delivery, started from the console: one event as the sender would write it, decoded and encoded as a delivery
//! of its source, on a topic of its own (`admin.test_topic`), with the header [`TEST_HEADER`] and ids of its own. It
//! does not pass the spool.

use std::{
    net::IpAddr,
    time::{Instant, SystemTime},
};

use serde::Deserialize;
use serde_json::Value;
use uuid::Uuid;

use super::ApiBackend;
use crate::{
    config::{Config, SourceConfig},
    deliver::{
        decode::{
            self, Catalog, Rules,
            fields::{Came, screen},
        },
        encode::Encoder,
    },
    observe::api::{Problem, objects::TestDelivery},
    record::Record,
    service::{
        examples::{Example, Ids, examples},
        replay::sender::Sender,
    },
    spool::position::Position,
};

/// The header that marks it; its value is the address of the client that asked.
const TEST_HEADER: &str = "millrace-test";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    source: String,
    #[serde(rename = "type")]
    event_type: Option<String>,
}

pub(super) fn send(
    known: &ApiBackend,
    request: Value,
    client: IpAddr,
) -> Result<TestDelivery, Problem> {
    let request: Request = serde_json::from_value(request)
        .map_err(|error| Problem::new("bad-request", format!("{error}.")))?;
    // One at a time, since each makes a Kafka client.
    let _turn = known
        .test
        .try_lock()
        .ok_or_else(|| Problem::new("too-many", "Another one is under way."))?;
    let source = known.config.sources.iter().find(|it| it.name.as_str() == request.source);
    let source = source.ok_or_else(|| Problem::new("unknown", "There is no such source."))?;
    let rules =
        rules(source).ok_or_else(|| Problem::new("unavailable", "The catalog cannot be used."))?;
    let rules = Rules { fields: known.config.fields.rules.of(&source.name), ..rules };
    let began = Instant::now();
    for example in all(source) {
        let body = example.fresh(Uuid::new_v4(), SystemTime::now());
        let mut events = Vec::new();
        let screened = screen(source.kind, &rules, body.as_bytes(), &[], Came::FromSender);
        if screened.decode(source.kind, &rules, &[], &mut events).is_err() {
            continue;
        }
        let Some(Ok(event)) = events.first() else { continue };
        if request.event_type.as_deref().is_some_and(|wanted| wanted != &*event.event_type) {
            continue;
        }
        let event_type = event.event_type.to_string();
        let mut name = String::new();
        let left_out = source.selection.leaves_out(event);
        let left_out_by = left_out.map(|why| format!("sources.{}.{}", source.name, why.key()));
        let would_go_to = match left_out {
            Some(_) => None,
            None => Some(known.router.topic(&source.name, event, &mut name).to_owned()),
        };
        let mut encoder = Encoder::new(known.config.topics.mode);
        let topic = known.config.admin.test_topic.as_str();
        let encoded = encoder.encode(topic, Uuid::new_v4(), Position::start_of(1), event);
        let record = encoded.record();
        let id = event.attributes.id.as_deref().map(str::to_owned).unwrap_or_default();
        let by = client.to_string();
        let mut headers = record.headers.to_vec();
        headers.push((TEST_HEADER, by.as_bytes()));
        tracing::info!(source = %source.name, %client, event_type, topic, "a test delivery was asked for");
        let sent = put(&known.config, &Record { headers: &headers, ..record });
        let (place, error) = match sent {
            Ok(place) => (place, None),
            Err(error) => (None, Some(error)),
        };
        return Ok(TestDelivery {
            source: source.name.to_string(),
            event_type,
            id,
            topic: topic.to_owned(),
            would_go_to,
            left_out_by,
            partition: place.map(|it| it.0),
            offset: place.map(|it| it.1),
            milliseconds: began.elapsed().as_secs_f64() * 1000.0,
            error,
        });
    }
    Err(Problem::new(
        "unknown",
        "There is no example of such a type: see `types` of /api/v1/words.",
    ))
}

fn put(config: &Config, record: &Record<'_>) -> Result<Option<(i32, i64)>, String> {
    let mut sender = Sender::new(config)?;
    if let Err(failure) = sender.send(record, 0)? {
        return Err(failure.to_string());
    }
    sender.settle(&mut |_| {})?;
    if let Some((_, failure, _)) = sender.failures().pop() {
        return Err(failure.to_string());
    }
    Ok(sender.delivered().pop().and_then(|(_, place)| place))
}

/// Returns the types of which there are examples.
pub(super) fn types(source: &SourceConfig) -> Vec<String> {
    let Some(rules) = rules(source) else { return Vec::new() };
    let mut found = Vec::new();
    for Example { body, .. } in all(source) {
        let mut events = Vec::new();
        let decoded = decode::decode(source.kind, &rules, body.as_bytes(), &[], &mut events);
        if let (Ok(()), Some(Ok(event))) = (decoded, events.first()) {
            found.push(event.event_type.to_string());
        }
    }
    found.sort();
    found.dedup();
    found
}

fn all(source: &SourceConfig) -> Vec<Example> {
    examples(source, &Ids { activity_types: &[], munchkin_ids: &[] })
}

fn rules(source: &SourceConfig) -> Option<Rules> {
    Catalog::with_overrides(source.activity_types.clone()).ok().map(Rules::from)
}
