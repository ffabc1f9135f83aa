//! The senders of a history: deliveries of a few events each, good, odd and broken, and what is to
//! become of every event in them. They may repeat: a whole delivery, or an event in another one,
//! through the same source or through another.

use std::collections::BTreeMap;

use bytes::Bytes;
use fastrand::Rng;
use millrace::{
    delivery::{Authenticated, Delivery},
    ingest::authenticate::Proof,
    source::SourceName,
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
    /// Every time that it was sent: the number of the source, and what orders all events of a history
    /// as the source's spool orders them.
    pub copies: Vec<(usize, u64)>,
    /// How many of them their source takes.
    pub taken: usize,
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
    sources: Vec<SourceName>,
    deliveries: u64,
    /// Whether what was sent is sent again now and then.
    repeats: bool,
    /// The bodies so far, with the ids in them.
    past: Vec<(Vec<u8>, Vec<String>)>,
    /// The topic of which each source leaves the events out, and how many it was sent of such.
    excluded: Vec<Option<String>>,
    pub left_out: Vec<u64>,
    /// Everything ever handed to the spool, acknowledged or not, by a text unique to it.
    pub sent: BTreeMap<String, Sent>,
}

/// Larger than the simulated sink's records may be.
const TOO_LARGE: usize = 6000;

impl Sent {
    /// Whether it is something that deduplication knows: what is refused before it is an event is
    /// not, and each copy of it is a dead letter.
    pub fn is_event(&self) -> bool {
        self.topic.is_some()
    }

    /// Everything that was sent of it through its only source, in order; `None` with two sources.
    fn ordinals(&self) -> Option<(usize, impl Iterator<Item = u64>)> {
        let (source, _) = *self.copies.first()?;
        let only = self.copies.iter().all(|(other, _)| *other == source);
        only.then(|| (source, self.copies.iter().map(|(_, ordinal)| *ordinal)))
    }

    /// Whether it may come now within a topic and key of which the last one of each source had these
    /// ordinals; if so, it is the last one. Of an event that came through two sources nobody can tell.
    pub fn comes_in_order(&self, last: &mut BTreeMap<usize, u64>) -> bool {
        let Some((source, mut ordinals)) = self.ordinals() else { return true };
        let last = last.entry(source).or_default();
        let next = ordinals.find(|ordinal| *ordinal > *last);
        next.inspect(|ordinal| *last = *ordinal).is_some()
    }
}

impl Sender {
    pub fn new(seed: u64, sources: Vec<SourceName>, repeats: bool) -> Self {
        let (random, sent) = (Rng::with_seed(seed), BTreeMap::new());
        let (excluded, left_out) = (vec![None; sources.len()], vec![0; sources.len()]);
        let past = Vec::new();
        Self { random, sources, deliveries: 0, repeats, past, excluded, left_out, sent }
    }

    /// A delivery for the source with this number.
    pub fn batch(&mut self, source: usize) -> Batch {
        self.deliveries += 1;
        let (body, ids) = match self.random.u8(..20) {
            0 => self.broken_body(),
            _ => self.activities(),
        };
        if self.repeats {
            self.past.push((body.clone(), ids.clone()));
        }
        self.deliver(source, body, ids)
    }

    /// One of the deliveries so far once more, one of the last most of the time.
    pub fn again(&mut self, source: usize) -> Option<Batch> {
        let first = if self.random.bool() { self.past.len().saturating_sub(5) } else { 0 };
        if self.past.is_empty() {
            return None;
        }
        self.deliveries += 1;
        let (body, ids) = self.past[self.random.usize(first..self.past.len())].clone();
        Some(self.deliver(source, body, ids))
    }

    /// The last delivery once more, through another source.
    pub fn last_again(&mut self, source: usize) -> Batch {
        let (body, ids) = self.past.last().cloned().expect("one was made");
        self.deliveries += 1;
        self.deliver(source, body, ids)
    }

    /// From now on the source leaves out what is for this topic.
    pub fn excludes(&mut self, source: usize, topic: Option<String>) {
        self.excluded[source] = topic;
    }

    /// Whether the source leaves the event out that it is sent now. What is no event has no topic.
    pub fn is_excluded(&self, source: usize, id: &str) -> bool {
        let topic = self.sent.get(id).and_then(|sent| sent.topic.as_ref());
        topic.is_some() && topic == self.excluded[source].as_ref()
    }

    pub fn deliver(&mut self, source: usize, body: Vec<u8>, ids: Vec<String>) -> Batch {
        for (index, id) in (0..).zip(&ids) {
            let is_left_out = self.is_excluded(source, id);
            self.left_out[source] += u64::from(is_left_out);
            let sent = self.sent.get_mut(id).expect("it was made before");
            sent.copies.push((source, self.deliveries * 1000 + index));
            sent.taken += usize::from(!is_left_out);
        }
        let delivery = Delivery {
            source: self.sources[source].clone(),
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
        self.remember(&id, Fate::Refused, None, value);
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
            let (id, activity) = self.earlier_activity().unwrap_or_else(|| {
                let id = format!("event-{}-{index}", self.deliveries);
                let activity = self.activity(&id);
                (id, activity)
            });
            body.push_str(&activity);
            ids.push(id);
        }
        body.push_str("]}");
        (body.into_bytes(), ids)
    }

    /// One that was sent before, now and then.
    fn earlier_activity(&mut self) -> Option<(String, String)> {
        if !self.repeats || self.random.u8(..20) > 0 {
            return None;
        }
        let (_, ids) = self.random.choice(&self.past)?;
        let id = self.random.choice(ids).filter(|id| id.starts_with("event-"))?;
        let text = String::from_utf8_lossy(&self.sent[id].original).into_owned();
        Some((id.clone(), text))
    }

    fn activity(&mut self, id: &str) -> String {
        let lead = self.random.u8(1..4);
        let (type_id, event_type) =
            [(1, "visitwebpage"), (2, "filloutform"), (3, "clicklink"), (100_001, "custom-100001")]
                [self.random.usize(..4)];
        let kind = self.random.u8(..40);
        if kind == 0 {
            let original = format!(r#""{id}""#);
            self.remember(id, Fate::Refused, None, original.clone().into());
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
        self.remember(id, fate, Some((topic, value.into())), original.clone().into());
        original
    }

    /// `routed` is the topic that it is for, and the value of its record there.
    fn remember(
        &mut self,
        id: &str,
        fate: Fate,
        routed: Option<(String, Vec<u8>)>,
        original: Vec<u8>,
    ) {
        let (topic, value) = routed.map_or((None, original.clone()), |(t, value)| (Some(t), value));
        self.sent
            .insert(id.into(), Sent { copies: Vec::new(), taken: 0, fate, topic, value, original });
    }
}

/// The id in any bytes that the sender made: it stands in every event, once, in a known form.
pub fn id_in(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let start = text.find("event-").or_else(|| text.find("body-"))?;
    let end = text[start..].find('"').map_or(text.len(), |length| start + length);
    Some(text[start..end].into())
}
