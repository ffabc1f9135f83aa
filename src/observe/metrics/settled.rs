//! Results of the last events of each source: the topic, partition and offset of each, or why it became a dead letter,
//! went to quarantine, was passed over, or was left out. Also the held topics, with the reason.
//!
//! The forwarder pushes each result, behind the spool: a few bytes an event, with names of topics kept once. The memory
//! is bounded: [`EVENTS_PER_SOURCE`].

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

/// Events that are remembered of each source.
pub const EVENTS_PER_SOURCE: usize = 8192;

/// Bytes that are kept of the text why a topic is held.
const MAX_WHY_BYTES: usize = 512;

/// The place of an event in its source's spool: the delivery's sequence number, and its index.
pub type EventPosition = (u64, u32);

/// Result of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Acknowledged by Kafka; `place` is partition and offset, if the client knows them.
    Delivered {
        topic: Arc<str>,
        place: Option<(i32, i64)>,
    },
    DeadLetter {
        topic: Arc<str>,
        place: Option<(i32, i64)>,
        reason: &'static str,
    },
    Quarantined {
        reason: String,
    },
    /// Another event had its id.
    Repeat,
    /// The source does not take it, by this key below `sources.<name>`.
    LeftOut {
        key: &'static str,
    },
}

/// An event that is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub at: EventPosition,
    /// Milliseconds since 1970.
    pub when: u64,
    pub end: End,
}

/// A topic that is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    pub since: u64,
    pub why: String,
}

/// Results of all sources. Clones share the memory.
#[derive(Clone, Default)]
pub struct Settled(Arc<Mutex<BTreeMap<String, SourceResults>>>);

/// Results and held topics of one source.
#[derive(Clone, Default)]
pub struct SourceResults(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    events: VecDeque<Event>,
    topics: HashMap<Arc<str>, ()>,
    held: BTreeMap<String, Held>,
}

impl Settled {
    /// Returns the results of `source`. Only configured sources are asked for, so the map stays small.
    pub fn of(&self, source: &str) -> SourceResults {
        self.0.lock().entry(source.to_owned()).or_default().clone()
    }
}

impl SourceResults {
    /// Notes that Kafka acknowledged a record of the event; that of a dead letter has a reason.
    pub fn delivered(
        &self,
        at: EventPosition,
        topic: &str,
        place: Option<(i32, i64)>,
        dead_letter: Option<&'static str>,
    ) {
        let mut inner = self.0.lock();
        let topic = inner.topic(topic);
        inner.push(
            at,
            match dead_letter {
                None => End::Delivered { topic, place },
                Some(reason) => End::DeadLetter { topic, place, reason },
            },
        );
    }

    pub fn quarantined(&self, at: EventPosition, reason: &str) {
        self.0.lock().push(at, End::Quarantined { reason: reason.to_owned() });
    }

    pub fn repeat(&self, at: EventPosition) {
        self.0.lock().push(at, End::Repeat);
    }

    pub fn left_out(&self, at: EventPosition, key: &'static str) {
        self.0.lock().push(at, End::LeftOut { key });
    }

    /// Notes that a topic is held, or still is: the start stays, the reason is replaced.
    pub fn held(&self, topic: &str, why: &str) {
        let end = (0..=MAX_WHY_BYTES.min(why.len()))
            .rev()
            .find(|at| why.is_char_boundary(*at))
            .unwrap_or(0);
        let mut inner = self.0.lock();
        let held = inner.held.entry(topic.to_owned());
        held.or_insert_with(|| Held { since: now(), why: String::new() }).why =
            why[..end].to_owned();
    }

    pub fn is_back(&self, topic: &str) {
        self.0.lock().held.remove(topic);
    }

    pub fn held_topics(&self) -> BTreeMap<String, Held> {
        self.0.lock().held.clone()
    }

    /// Returns the last results of one delivery's events, by index.
    pub fn of_delivery(&self, sequence: u64) -> BTreeMap<u32, Event> {
        let inner = self.0.lock();
        let mut found = BTreeMap::new();
        for event in inner.events.iter().filter(|event| event.at.0 == sequence) {
            // A lane that goes back may take its own event for a repeat; the result from before is the true one.
            if event.end != End::Repeat || !found.contains_key(&event.at.1) {
                found.insert(event.at.1, event.clone());
            }
        }
        found
    }
}

impl Inner {
    fn topic(&mut self, name: &str) -> Arc<str> {
        if let Some((topic, ())) = self.topics.get_key_value(name) {
            return topic.clone();
        }
        let topic: Arc<str> = name.into();
        self.topics.insert(topic.clone(), ());
        topic
    }

    fn push(&mut self, at: EventPosition, end: End) {
        if self.events.len() == EVENTS_PER_SOURCE {
            self.events.pop_front();
        }
        self.events.push_back(Event { at, when: now(), end });
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_result_of_an_event_counts_and_the_memory_is_bounded() {
        let settled = Settled::default();
        let leads = settled.of("leads");
        leads.delivered((0, 0), "a", Some((0, 1)), None);
        leads.delivered((1, 0), "a", Some((0, 1)), None);
        leads.delivered((1, 0), "a", Some((0, 2)), None);
        leads.delivered((1, 1), "dead", None, Some("not-json"));
        let found = settled.of("leads").of_delivery(1);
        assert!(matches!(&found[&0].end, End::Delivered { place: Some((0, 2)), .. }));
        assert!(matches!(&found[&1].end, End::DeadLetter { reason: "not-json", .. }));
        for sequence in 2..2 * EVENTS_PER_SOURCE as u64 {
            leads.repeat((sequence, 0));
        }
        assert!(leads.of_delivery(1).is_empty());
        assert_eq!(leads.0.lock().events.len(), EVENTS_PER_SOURCE);
    }

    #[test]
    fn a_held_topic_keeps_since_when_and_its_last_failure() {
        let leads = SourceResults::default();
        leads.held("a", "first");
        let since = leads.held_topics()["a"].since;
        leads.held("a", &"é".repeat(MAX_WHY_BYTES));
        let held = leads.held_topics();
        assert_eq!(held["a"].since, since);
        assert!(held["a"].why.len() <= MAX_WHY_BYTES);
        leads.is_back("a");
        assert!(leads.held_topics().is_empty());
    }
}
