//! The sender of a history: deliveries of a few events each, good, odd and broken, and what is to
//! become of every event in them.

use std::collections::BTreeMap;

use bytes::Bytes;
use fastrand::Rng;
use millrace::{
    authenticate::Proof,
    delivery::{Authenticated, Delivery, SourceName},
};

use crate::cluster::POISON;

/// Where an event belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A record with this key on this topic.
    Topic { topic: String, key: String },
    /// A dead letter, or quarantine.
    Refused,
    /// Quarantine, and perhaps a dead letter that points there.
    TooLarge,
}

/// One event (or one whole body in which nothing can be found).
#[derive(Clone, Debug)]
pub struct Sent {
    /// Orders all events of a history as the spool orders them.
    pub ordinal: u64,
    pub fate: Fate,
    /// The topic that it is routed to, whatever becomes of it there.
    pub topic: Option<String>,
    /// The bytes that a record, a dead letter or a quarantined file must consist of.
    pub value: Vec<u8>,
    pub original: Vec<u8>,
}

/// A delivery and the ids of the events in it.
pub struct Batch {
    pub delivery: Authenticated,
    pub ids: Vec<String>,
}

pub struct Sender {
    random: Rng,
    source: SourceName,
    deliveries: u64,
    /// Everything ever handed to the spool, acknowledged or not, by a text unique to it.
    pub sent: BTreeMap<String, Sent>,
}

/// Larger than the simulated sink's records may be.
const TOO_LARGE: usize = 6000;

impl Sender {
    pub fn new(seed: u64, source: SourceName) -> Self {
        Self { random: Rng::with_seed(seed), source, deliveries: 0, sent: BTreeMap::new() }
    }

    pub fn batch(&mut self) -> Batch {
        self.deliveries += 1;
        let (body, ids) = match self.random.u8(..20) {
            0 => self.broken_body(),
            _ => self.activities(),
        };
        let delivery = Delivery {
            source: self.source.clone(),
            received_at: 1_700_000_000_000 + self.deliveries,
            headers: Vec::new(),
            body: Bytes::from(body),
        };
        Batch { delivery: Authenticated::new(delivery, Proof::by_operator()), ids }
    }

    fn broken_body(&mut self) -> (Vec<u8>, Vec<String>) {
        let id = format!("body-{}", self.deliveries);
        let body = format!(r#"{{"munchkinId":"M","activities":[{{"marketoGUID":"{id}"}},]}}"#);
        let value = body.clone().into_bytes();
        self.remember(&id, 0, Fate::Refused, None, value);
        (body.into_bytes(), vec![id])
    }

    fn activities(&mut self) -> (Vec<u8>, Vec<String>) {
        let mut body = String::from(r#"{"munchkinId":"M","activities":["#);
        let mut ids = Vec::new();
        // Now and then more than the window holds.
        let most = if self.random.u8(..20) == 0 { 60 } else { 6 };
        for index in 0..self.random.u64(0..most) {
            if index > 0 {
                body.push(',');
            }
            let id = format!("event-{}-{index}", self.deliveries);
            body.push_str(&self.activity(&id, index));
            ids.push(id);
        }
        body.push_str("]}");
        (body.into_bytes(), ids)
    }

    fn activity(&mut self, id: &str, index: u64) -> String {
        let lead = self.random.u8(1..4);
        let (type_id, event_type) =
            [(1, "visitwebpage"), (2, "filloutform"), (3, "clicklink"), (100_001, "custom-100001")]
                [self.random.usize(..4)];
        let kind = self.random.u8(..40);
        if kind == 0 {
            let original = format!(r#""{id}""#);
            self.remember(id, index, Fate::Refused, None, original.clone().into());
            return original;
        }
        let text = match kind {
            1 => String::from_utf8_lossy(POISON).into_owned(),
            2 => "x".repeat(TOO_LARGE),
            _ => String::new(),
        };
        let rest = format!(r#""activityTypeId":{type_id},"text":"{text}","id":"{id}""#);
        let original = format!(r#"{{"marketoGUID":"{id}","leadId":{lead},{rest}}}"#);
        let value = format!(r#"{{"munchkinId":"M","leadId":"{lead}",{rest}}}"#);
        let topic = format!("sim.lead-activity.{event_type}");
        let fate = match kind {
            1 => Fate::Refused,
            2 => Fate::TooLarge,
            _ => Fate::Topic { topic: topic.clone(), key: format!("M:{lead}") },
        };
        self.remember(id, index, fate, Some((topic, value.into())), original.clone().into());
        original
    }

    /// `routed` is the topic that it is for, and the value of its record there.
    fn remember(
        &mut self,
        id: &str,
        index: u64,
        fate: Fate,
        routed: Option<(String, Vec<u8>)>,
        original: Vec<u8>,
    ) {
        let ordinal = self.deliveries * 1000 + index;
        let (topic, value) = routed.map_or((None, original.clone()), |(t, value)| (Some(t), value));
        self.sent.insert(id.into(), Sent { ordinal, fate, topic, value, original });
    }
}

/// The id in any bytes that the sender made: it stands in every event, once, in a known form.
pub fn id_in(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let start = text.find("event-").or_else(|| text.find("body-"))?;
    let end = text[start..].find('"').map_or(text.len(), |length| start + length);
    Some(text[start..end].into())
}
