//! Backlogs that are there before the service starts: no event twice, 60 topics.

use std::{path::Path, sync::Arc, time::Duration};

use millrace::{
    deliver::{
        decode::{Rules, decode},
        encode::{Encoder, Mode},
        route::Router,
    },
    delivery::{Authenticated, Delivery},
    ingest::authenticate::Proof,
    observe::metrics::Metrics,
    source::SourceName,
    spool::{Config, Folder, SEGMENT_SIZE, disk::RealDisk, position::Position},
};
use uuid::Uuid;

use crate::bodies::Load;

/// Events of a delivery.
pub const EVENTS: u64 = 300;

/// How topics are named; the events are of [`topics`].
pub const TOPIC: &str = "bench.{stream}.{type}";

/// Deliveries that go to the disk at once.
const GROUP: usize = 12;

const NAME: &str = "\"marketoGUID\":\"";
const DIGITS: usize = 16;

pub fn topics() -> impl Iterator<Item = String> {
    (100_000..100_060).map(|id| format!("bench.lead-activity.custom-{id}"))
}

/// A delivery's body, in which only the ids change from one to the next.
pub struct Template {
    body: Vec<u8>,
    ids: Vec<usize>,
    made: u64,
}

impl Template {
    pub fn new() -> Self {
        let body = Load::legacy_custom(EVENTS as usize).bodies.concat();
        let ids = body.match_indices(NAME).map(|(at, _)| at + NAME.len()).collect();
        Self { body: body.into_bytes(), ids, made: 0 }
    }

    pub fn bytes(&self) -> u64 {
        self.body.len() as u64
    }

    fn next(&mut self) -> Authenticated {
        for at in &self.ids {
            let id = format!("{:0DIGITS$x}", self.made);
            self.body[*at..*at + DIGITS].copy_from_slice(id.as_bytes());
            self.made += 1;
        }
        let headers = vec![("content-type".into(), "application/json".into())];
        let (source, body) = (source(), self.body.clone().into());
        let delivery = Delivery { source, received_at: 1_772_445_600_000, headers, body };
        Authenticated::new(delivery, Proof::by_operator())
    }
}

fn source() -> SourceName {
    SourceName::new("leads").unwrap()
}

/// Fills the spool in `directory` with deliveries of at least `bytes`; returns how many events.
pub fn fill(directory: &Path, bytes: u64) -> u64 {
    let config = Config {
        directory: directory.to_owned(),
        size_limit: u64::MAX,
        source_limits: Vec::new(),
        reserve: 0,
        reserve_held: 0,
        keep_delivered_age: Duration::MAX,
        keep_delivered_size: u64::MAX,
        segment_size: SEGMENT_SIZE,
    };
    let folder = Folder::open(Arc::new(RealDisk), &config).unwrap();
    let (mut writer, _spool) = folder.spool(&source(), None, &Metrics::new(), None).unwrap();
    let mut template = Template::new();
    let groups = bytes.div_ceil(template.bytes() * GROUP as u64);
    for _ in 0..groups {
        let group: Vec<_> = (0..GROUP).map(|_| template.next()).collect();
        writer.append_group(&group).unwrap();
    }
    groups * GROUP as u64 * EVENTS
}

/// A record as the service would send it.
pub struct OwnedRecord {
    pub topic: String,
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
}

/// The records of one delivery.
pub fn records() -> Vec<OwnedRecord> {
    let mut template = Template::new();
    let body = template.next().into_delivery().body;
    let (rules, router) = (Rules::default(), Router::new(TOPIC).unwrap());
    let mut out = Vec::new();
    let kind = millrace::source::SourceKind::MarketoLeadActivity;
    decode(kind, &rules, &body, &[], &mut out).unwrap();
    let (mut encoder, mut topic) = (Encoder::new(Mode::Binary), String::new());
    let events = out.iter().map(|event| event.as_ref().unwrap());
    events
        .map(|event| {
            let topic = router.topic(&source(), event, &mut topic);
            let position = Position { sequence: 1, index: event.index };
            let encoded = encoder.encode(topic, Uuid::nil(), position, event);
            let record = encoded.record();
            let headers = record.headers.iter();
            OwnedRecord {
                topic: record.topic.to_owned(),
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.unwrap_or_default().to_vec(),
                headers: headers.map(|(name, value)| ((*name).into(), value.to_vec())).collect(),
            }
        })
        .collect()
}
