//! One delivery, read from the spool, and the results of its events.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use base64::{Engine, prelude::BASE64_STANDARD};

use super::ApiBackend;
use crate::{
    config::SourceConfig,
    deliver::{
        decode::{
            Catalog,
            fields::{Came, screen},
        },
        lead_state,
        select::LeftOut,
    },
    event::{self, Decoded},
    observe::{
        api::{
            self, Problem,
            objects::{self, Body, DeliveryDetail, Undecodable},
        },
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
    known: &ApiBackend,
    source: &str,
    sequence: u64,
    bodies: bool,
) -> Result<DeliveryDetail, Problem> {
    let (config, lowest) = within(known, source, sequence)?;
    let name = &config.name;
    let request = known
        .metrics
        .recent
        .before(u64::MAX, 1, &|it| it.source == source && it.position == Some(sequence));
    let request = request.first().map(api::delivery);
    let remembered = known.metrics.settled.of(source).of_delivery(sequence);
    let Some(stored) = read(known, name, sequence)? else {
        let events = remembered.values();
        return Ok(DeliveryDetail {
            source: source.to_owned(),
            position: sequence.to_string(),
            state: "removed".to_owned(),
            events: events.map(|it| event(it.at.1, sequence, Some(it), true)).collect(),
            request,
            note: Some(why_not_there(known, name, sequence).to_owned()),
            ..DeliveryDetail::default()
        });
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
        let is_taken = |event: &event::Event<'_>| config.selection.leaves_out(event).is_none();
        lead_state::append(&mut decoded, &mut Vec::new(), is_taken);
    }
    let results = Results {
        known,
        config,
        sequence,
        lowest,
        is_final: !known.config.kafka.delivery.is_exactly_once(),
        remembered: &remembered,
    };
    let mut topic = String::new();
    let of_one = |item: &Result<_, _>| results.of(item, &mut topic);
    let mut events: Vec<_> = decoded.iter().take(MAX_EVENTS).map(of_one).collect();
    let undecodable = result.err();
    if undecodable.is_some() {
        events.push(results.of_index(0));
    }
    let waits = events.iter().any(|it| it.state == "on-its-way");
    let is_settled = lowest.sequence > sequence || !waits;
    let left_out = decoded.len().saturating_sub(MAX_EVENTS);
    let shown = Shown::by(&known.config).delivery(name, &delivery.body, &delivery.headers);
    let headers = delivery.headers.iter();
    Ok(DeliveryDetail {
        source: source.to_owned(),
        position: sequence.to_string(),
        state: if is_settled { "settled" } else { "on-its-way" }.to_owned(),
        received_at: Some(delivery.received_at),
        headers: headers.map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        bytes: delivery.body.len() as u64,
        events,
        events_left_out: left_out as u64,
        undecodable: undecodable
            .map(|it| Undecodable { reason: it.reason.to_owned(), error: it.error }),
        request,
        note: (bodies && shown.is_none()).then(|| NOT_SHOWN.to_owned()),
        body: shown.filter(|_| bodies).map(|shown| body(&shown)),
    })
}

/// The source, and the position before which all of its events are settled; an error where it has no such delivery.
fn within<'a>(
    known: &'a ApiBackend,
    source: &str,
    sequence: u64,
) -> Result<(&'a SourceConfig, Position), Problem> {
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
    Ok((config, spool.map_or(Position::start_of(0), |spool| spool.lowest())))
}

/// Why a delivery is not to be read in the spool.
fn why_not_there(known: &ApiBackend, source: &SourceName, sequence: u64) -> &'static str {
    // Only delivered segments are removed, so one that was removed meanwhile is told as such.
    match known.spool(source).map(|spool| spool.is_removed(sequence)) {
        Some(true) => "It is delivered, and no longer in the spool (spool.keep_delivered).",
        Some(false) => {
            "It cannot be read in the spool: `millrace spool verify` tells what is damaged there, and whether it was \
             delivered before."
        }
        None => "It is not in the spool of this source, which is set aside.",
    }
}

/// The results of one delivery's events, as far as they are known.
struct Results<'a> {
    known: &'a ApiBackend,
    config: &'a SourceConfig,
    sequence: u64,
    /// All before it is settled.
    lowest: Position,
    /// The remembered results are final, and no part of a transaction that may be taken back.
    is_final: bool,
    remembered: &'a BTreeMap<u32, Event>,
}

impl Results<'_> {
    /// The result of one event; `topic` is memory for names.
    fn of(&self, item: &Decoded<'_>, topic: &mut String) -> objects::Event {
        let mut shown = self.of_index(item.as_ref().map_or_else(|it| it.index, |it| it.index));
        match item {
            Ok(it) => {
                shown.event_type = Some(it.event_type.to_string());
                shown.stream = Some(it.stream.as_str().to_owned());
                shown.id = it.attributes.id.as_deref().map(str::to_owned);
                self.place(it, &mut shown, topic);
            }
            Err(refused) => {
                shown.reason = Some(refused.reason.to_owned());
                shown.error = Some(refused.error.clone());
            }
        }
        shown
    }

    /// The topic of an event whose result is not remembered, or why it has none.
    fn place(&self, it: &event::Event<'_>, shown: &mut objects::Event, topic: &mut String) {
        let Self { known, config, .. } = self;
        let left_out = config.selection.leaves_out(it).filter(|_| it.lead_state.is_none());
        if let Some(why) = left_out {
            let found = self.remembered.get(&it.index);
            shown.note = Some(left_out_note(&config.name, why, found));
        } else if shown.topic.is_none() && shown.state != "left-out" {
            let lead_states = known.config.topics.lead_state.as_deref();
            let of_states = lead_states.filter(|_| it.lead_state.is_some());
            shown.topic = Some(match of_states {
                Some(of_states) => of_states.to_owned(),
                None => known.router.topic(&config.name, it, topic).to_owned(),
            });
        }
    }

    /// The result of the event with this index, as far as it is remembered.
    fn of_index(&self, index: u32) -> objects::Event {
        let is_settled = Position { sequence: self.sequence, index } < self.lowest;
        let found = self.remembered.get(&index);
        let mut shown = event(index, self.sequence, found, self.is_final || is_settled);
        if found.is_none() && is_settled {
            shown.state = "settled".to_owned();
            let note = "It was settled before what is remembered; where is not known.";
            shown.note = Some(note.to_owned());
        }
        shown
    }
}

fn event(index: u32, sequence: u64, found: Option<&Event>, is_final: bool) -> objects::Event {
    let mut shown = objects::Event {
        position: Position { sequence, index }.to_string(),
        state: "on-its-way".to_owned(),
        ..objects::Event::default()
    };
    let Some(found) = found.filter(|_| is_final) else { return shown };
    shown.at = Some(found.when);
    let mut place = |topic: &Arc<str>, place: &Option<(i32, i64)>| {
        shown.topic = Some(topic.to_string());
        shown.partition = place.map(|it| it.0);
        shown.offset = place.map(|it| it.1);
    };
    let (state, reason) = match &found.end {
        End::Delivered { topic, place: at } => {
            place(topic, at);
            ("delivered", None)
        }
        End::DeadLetter { topic, place: at, reason } => {
            place(topic, at);
            ("dead-letter", Some(*reason))
        }
        End::Quarantined { reason } => ("quarantined", Some(reason.as_str())),
        End::Repeat => ("repeat", None),
        End::LeftOut { key } => ("left-out", Some(*key)),
    };
    shown.state = state.to_owned();
    shown.reason = reason.map(str::to_owned);
    shown
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
    known: &ApiBackend,
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
pub(super) fn body(bytes: &[u8]) -> Body {
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
    Body { text: text.map(str::to_owned), base64, cut }
}
