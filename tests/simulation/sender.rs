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

use crate::{
    cluster::POISON,
    fields::{Member, Ruled},
};

/// Where an event belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A record with this key on this topic.
    Topic { topic: String, key: String },
    /// A dead letter, or quarantine.
    Refused,
    /// Quarantine, and perhaps a dead letter that points there.
    TooLarge,
    /// The same, since no rule on fields can be applied.
    HeldBack,
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
    /// What it says about a lead's life.
    pub life: Option<Life>,
    /// The bytes that a record, a dead letter or a quarantined file must consist of.
    pub value: Vec<u8>,
    pub original: Vec<u8>,
    /// The bytes that were sent, which rules on fields may change.
    pub as_sent: Vec<u8>,
    /// Rules on fields are there, and were not applied to it: none of its bytes leave.
    pub stays_here: bool,
}

/// What an activity says about the life of a lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Life {
    pub lead: u8,
    pub type_id: u32,
    /// Of a merge.
    pub losing: Vec<u8>,
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
    /// Whether activities are those of leads' lives.
    lives: bool,
    /// Whether there are rules on fields.
    ruled: Option<Ruled>,
    /// What each delivery had in it: the number of the source, what orders it, and the ids.
    pub delivered: Vec<(usize, u64, Vec<String>)>,
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
    /// An event that may come late may be any of its copies, so only its first one tells how far its source is.
    pub fn comes_in_order(&self, last: &mut BTreeMap<usize, u64>, may_come_late: bool) -> bool {
        let Some((source, mut ordinals)) = self.ordinals() else { return true };
        let last = last.entry(source).or_default();
        let next = ordinals.find(|ordinal| may_come_late || *ordinal > *last);
        next.inspect(|ordinal| *last = (*last).max(*ordinal)).is_some()
    }
}

impl Sender {
    pub fn new(seed: u64, sources: Vec<SourceName>, repeats: bool) -> Self {
        let (random, sent) = (Rng::with_seed(seed), BTreeMap::new());
        let (excluded, left_out) = (vec![None; sources.len()], vec![0; sources.len()]);
        let (past, delivered, lives, ruled) = (Vec::new(), Vec::new(), false, None);
        let deliveries = 0;
        Self {
            random,
            sources,
            deliveries,
            repeats,
            past,
            excluded,
            left_out,
            lives,
            ruled,
            delivered,
            sent,
        }
    }

    /// Sends what leads live through from now on.
    pub fn send_lives(&mut self) {
        self.lives = true;
    }

    pub fn has_lives(&self) -> bool {
        self.lives
    }

    /// From now on each event has a field that rules hide.
    pub fn is_ruled(&mut self, ruled: Ruled) {
        self.ruled = Some(ruled);
    }

    pub fn ruled(&self) -> Option<&Ruled> {
        self.ruled.as_ref()
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
        self.delivered.push((source, self.deliveries, ids.clone()));
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
        let text = String::from_utf8_lossy(&self.sent[id].as_sent).into_owned();
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
        let member = self.ruled.as_mut().map(Ruled::member);
        let plain = (event_type, format!(r#""activityTypeId":{type_id}"#));
        let activity = |rest: &str| format!(r#"{{"marketoGUID":"{id}","leadId":{lead},{rest}}}"#);
        if let Some(Member { sent, ruled: None }) = member {
            let as_sent = activity(&format!(r#"{},"text":"{text}",{sent}"id":"{id}""#, plain.1));
            self.remember(id, Fate::HeldBack, None, as_sent.clone().into());
            return as_sent;
        }
        let life = self.lives.then(|| self.life(lead));
        // What the sender writes, and what it is by the rules.
        let [as_sent, ruled] = [false, true].map(|is_ruled| {
            let (_, rest) = match &life {
                Some(life) => ("", of_life(life, id, self.changed_to(is_ruled))),
                None => ("", plain.1.clone()),
            };
            let more = member.as_ref().map(|it| match &it.ruled {
                Some(ruled) if is_ruled => ruled.as_str(),
                _ => &it.sent,
            });
            format!(r#"{rest},"text":"{text}",{}"id":"{id}""#, more.unwrap_or_default())
        });
        let event_type = life.as_ref().map_or(event_type, event_type_of);
        let value = format!(r#"{{"munchkinId":"M","leadId":"{lead}",{ruled}}}"#);
        let topic = format!("sim.lead-activity.{event_type}");
        let fate = match kind {
            1 => Fate::Refused,
            2 => Fate::TooLarge,
            _ => Fate::Topic { topic: topic.clone(), key: format!("M:{lead}") },
        };
        self.remember(id, fate, Some((topic, value.into())), activity(&ruled).into());
        let as_sent = activity(&as_sent);
        let sent = self.sent.get_mut(id).expect("it was remembered");
        (sent.life, sent.as_sent) = (life, as_sent.clone().into());
        as_sent
    }

    /// What a lead's attribute changes to, in JSON.
    pub fn changed_to(&self, is_ruled: bool) -> &'static str {
        match self.ruled.is_some() && is_ruled {
            true => "\"***\"",
            false => "[1, \"x\"]",
        }
    }

    fn life(&mut self, lead: u8) -> Life {
        let type_id = [13, 13, 13, 13, 12, 32, 37, 3][self.random.usize(..8)];
        let others: Vec<u8> = (1..4).filter(|other| *other != lead).collect();
        let losing = match type_id {
            32 => others[self.random.usize(..2)..].to_vec(),
            _ => Vec::new(),
        };
        Life { lead, type_id, losing }
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
        let stays_here = self.ruled.is_some() && topic.is_none();
        let as_sent = original.clone();
        let (copies, taken, life) = (Vec::new(), 0, None);
        let sent = Sent { copies, taken, fate, topic, life, value, original, as_sent, stays_here };
        self.sent.insert(id.into(), sent);
    }
}

fn event_type_of(life: &Life) -> &'static str {
    match life.type_id {
        12 => "newlead",
        13 => "changedatavalue",
        32 => "mergeleads",
        37 => "deletelead",
        _ => "clicklink",
    }
}

/// Members of an activity. Each change is of an attribute of its own, so that each is found again in a state.
fn of_life(life: &Life, id: &str, changed_to: &str) -> String {
    let Life { type_id, losing, .. } = life;
    let attribute = |name: &str, value: &str| format!(r#"[{{"name":"{name}","value":{value}}}]"#);
    let more = match type_id {
        13 => {
            let value = attribute("New Value", changed_to);
            format!(r#","primaryAttributeValue":"{id}","attributes":{value}"#)
        }
        32 => format!(r#","attributes":{}"#, attribute("Merge IDs", &format!("\"{losing:?}\""))),
        _ => String::new(),
    };
    format!(r#""activityTypeId":{type_id}{more}"#)
}

/// The id in any bytes that the sender made: it stands in every event, once, in a known form.
pub fn id_in(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?;
    let start = text.find("event-").or_else(|| text.find("body-"))?;
    let end = text[start..].find('"').map_or(text.len(), |length| start + length);
    Some(text[start..end].into())
}
