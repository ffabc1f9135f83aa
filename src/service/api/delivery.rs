//! One delivery, read from the spool, and the results of its events.

use std::{collections::BTreeSet, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use super::Known;
use crate::{
    deliver::{
        decode::{
            Catalog,
            fields::{Came, screen},
        },
        lead_state,
        select::LeftOut,
    },
    observe::{
        api::{self, Problem},
        metrics::settled::{End, Event},
    },
    service::replay::shown::{NOT_SHOWN, Shown},
    source::SourceName,
    spool::{
        StoredDelivery,
        disk::RealDisk,
        position::Position,
        viewer::{Seen, Viewer},
    },
};

/// Bytes of a body that are shown.
pub(super) const MAX_SHOWN_BYTES: usize = 10 * 1024;
/// Events that are shown.
const MAX_EVENTS: usize = 1000;

pub(super) fn delivery(
    known: &Known,
    source: &str,
    sequence: u64,
    bodies: bool,
) -> Result<Value, Problem> {
    let unknown = || Problem::new("unknown", format!("There is no source `{source}`."));
    let name = SourceName::new(source).ok_or_else(unknown)?;
    let config = known.config.sources.iter().find(|it| it.name == name).ok_or_else(unknown)?;
    let spool = known.spool(&name);
    if sequence == 0 {
        return Err(Problem::new("unknown", "Deliveries are numbered from 1."));
    }
    if spool.is_some_and(|spool| sequence >= spool.durable_end()) {
        return Err(Problem::new("unknown", format!("`{source}` has no delivery {sequence} yet.")));
    }
    let lowest = spool.map_or(Position::start_of(0), |spool| spool.lowest());
    let request = known
        .metrics
        .recent
        .before(u64::MAX, 1, &|it| it.source == source && it.position == Some(sequence));
    let request = request.first().map(api::delivery);
    let remembered = known.metrics.settled.of(source).of_delivery(sequence);
    let Some(stored) = read(known, &name, sequence)? else {
        // The forwarder may have passed it since the attempt to read it.
        let note = match spool.map(|spool| spool.lowest().sequence > sequence) {
            Some(true) => "It is delivered, and no longer in the spool (spool.keep_delivered).",
            Some(false) => {
                "It cannot be read in the spool: `millrace spool verify` tells what is damaged there."
            }
            None => "It is not in the spool of this source, which is set aside.",
        };
        let events: Vec<_> =
            remembered.values().map(|it| event(it.at.1, sequence, Some(it), true)).collect();
        return Ok(json!({
            "source": source, "position": sequence.to_string(), "state": "removed",
            "received_at": null, "headers": [], "bytes": 0, "events": events, "events_left_out": 0,
            "undecodable": null, "request": request, "body": null,
            "note": note,
        }));
    };
    let delivery = &stored.delivery;
    let catalog = Catalog::with_overrides(config.activity_types.clone())
        .map_err(|_| Problem::new("unavailable", "catalog.activity_types cannot be used."))?;
    let rules = known.config.decoding(config, catalog);
    let mut decoded = Vec::new();
    let headers = &delivery.headers;
    let screened = screen(config.kind, &rules, &delivery.body, headers, Came::FromSender);
    let result = screened.decode(config.kind, &rules, headers, &mut decoded);
    config.selection.refuse_doubtful(&mut decoded);
    let lead_states = known.config.topics.lead_state.as_deref();
    if lead_states.is_some() && result.is_ok() {
        let is_taken =
            |event: &crate::event::Event<'_>| config.selection.leaves_out(event).is_none();
        lead_state::append(&mut decoded, &mut Vec::new(), is_taken);
    }
    let is_final = !known.config.kafka.delivery.is_exactly_once();
    let mut topic = String::new();
    let mut events = Vec::new();
    for item in decoded.iter().take(MAX_EVENTS) {
        let index = item.as_ref().map_or_else(|it| it.index, |it| it.index);
        let position = Position { sequence, index };
        let is_settled = position < lowest;
        let found = remembered.get(&index);
        let mut json = event(index, sequence, found, is_final || is_settled);
        if found.is_none() && is_settled {
            json["state"] = "settled".into();
            json["note"] = "It was settled before what is remembered; where is not known.".into();
        }
        match item {
            Ok(it) => {
                json["type"] = (*it.event_type).into();
                json["stream"] = it.stream.as_str().into();
                json["id"] = it.attributes.id.as_deref().into();
                let left_out = config.selection.leaves_out(it).filter(|_| it.lead_state.is_none());
                if let Some(why) = left_out {
                    json["note"] = left_out_note(&name, why, found).into();
                } else if json["topic"].is_null() && json["state"] != "left-out" {
                    json["topic"] = match lead_states.filter(|_| it.lead_state.is_some()) {
                        Some(of_states) => of_states.into(),
                        None => known.router.topic(&name, it, &mut topic).into(),
                    };
                }
            }
            Err(refused) => {
                json["reason"] = refused.reason.into();
                json["error"] = refused.error.clone().into();
            }
        }
        events.push(json);
    }
    let undecodable = result.err();
    if undecodable.is_some() {
        let found = remembered.get(&0);
        events.push(event(0, sequence, found, is_final || Position::start_of(sequence) < lowest));
    }
    let waits = events.iter().any(|it| it["state"] == "on-its-way");
    let is_settled = lowest.sequence > sequence || !waits;
    let left_out = decoded.len().saturating_sub(MAX_EVENTS);
    let shown = Shown::by(&known.config).delivery(&name, &delivery.body, &delivery.headers);
    let note = (bodies && shown.is_none()).then_some(NOT_SHOWN);
    let body = shown.filter(|_| bodies).map(|shown| body(&shown));
    let headers: Vec<_> =
        delivery.headers.iter().map(|(name, value)| json!([name, value])).collect();
    Ok(json!({
        "source": source,
        "position": sequence.to_string(),
        "state": if is_settled { "settled" } else { "on-its-way" },
        "received_at": delivery.received_at,
        "headers": headers,
        "bytes": delivery.body.len(),
        "events": events,
        "events_left_out": left_out,
        "undecodable": undecodable.map(|it| json!({ "reason": it.reason, "error": it.error })),
        "request": request,
        "body": body,
        "note": note,
    }))
}

fn event(index: u32, sequence: u64, found: Option<&Event>, is_final: bool) -> Value {
    let position = Position { sequence, index }.to_string();
    let mut json = json!({
        "position": position, "id": null, "stream": null, "type": null, "state": "on-its-way",
        "topic": null, "partition": null, "offset": null, "at": null, "reason": null, "error": null,
        "note": null,
    });
    let Some(found) = found.filter(|_| is_final) else { return json };
    json["at"] = found.when.into();
    let mut place = |topic: &Arc<str>, place: &Option<(i32, i64)>| {
        json["topic"] = (&**topic).into();
        json["partition"] = place.map(|it| it.0).into();
        json["offset"] = place.map(|it| it.1).into();
    };
    let state = match &found.end {
        End::Delivered { topic, place: at } => {
            place(topic, at);
            "delivered"
        }
        End::DeadLetter { topic, place: at, reason } => {
            place(topic, at);
            json["reason"] = (*reason).into();
            "dead-letter"
        }
        End::Quarantined { reason } => {
            json["reason"] = reason.as_str().into();
            "quarantined"
        }
        End::Repeat => "repeat",
        End::LeftOut { key } => {
            json["reason"] = (*key).into();
            "left-out"
        }
    };
    json["state"] = state.into();
    json
}

/// Describes the current configuration's decision; the event's actual end may be due to an earlier configuration.
fn left_out_note(source: &SourceName, why: LeftOut, found: Option<&Event>) -> String {
    let key = format!("sources.{source}.{}", why.key());
    match found.map(|it| &it.end) {
        Some(End::LeftOut { .. }) => format!("It is left out: {key} says so."),
        _ => format!("By the configuration of today it would be left out ({key})."),
    }
}

/// Reads the delivery, if it is still in the spool.
fn read(
    known: &Known,
    source: &SourceName,
    sequence: u64,
) -> Result<Option<StoredDelivery>, Problem> {
    let failed = |error: &dyn std::fmt::Display| {
        Problem::new("unavailable", format!("The spool cannot be read: {error}."))
    };
    let directory = &known.config.spool.directory;
    let viewer = Viewer::open(Arc::new(RealDisk), directory, source).map_err(|it| failed(&it))?;
    let segments = viewer.segments().map_err(|it| failed(&it))?;
    let found = viewer.find(&segments, &BTreeSet::from([sequence]));
    let Some(at) = found.get(&sequence) else { return Ok(None) };
    let segment = segments.iter().find(|it| it.first_sequence == at.first_sequence);
    let Some(segment) = segment else { return Ok(None) };
    let Some(mut scan) = viewer.scan(segment).map_err(|it| failed(&it))? else { return Ok(None) };
    while let Some(seen) = scan.next().map_err(|it| failed(&it))? {
        match seen {
            Seen::Delivery(stored) if stored.sequence == sequence => return Ok(Some(stored)),
            Seen::Delivery(stored) if stored.sequence > sequence => return Ok(None),
            _ => {}
        }
    }
    Ok(None)
}

/// Returns the beginning of a body.
pub(super) fn body(bytes: &[u8]) -> Value {
    let cut = bytes.len() > MAX_SHOWN_BYTES;
    let shown = &bytes[..bytes.len().min(MAX_SHOWN_BYTES)];
    let text = match std::str::from_utf8(shown) {
        Ok(text) => Some(text),
        // A cut may split the last character; the text before it is still UTF-8.
        Err(error) if cut && error.error_len().is_none() => {
            std::str::from_utf8(&shown[..error.valid_up_to()]).ok()
        }
        Err(_) => None,
    };
    let base64 = text.is_none().then(|| BASE64_STANDARD.encode(shown));
    json!({ "text": text, "base64": base64, "cut": cut })
}
