//! The sender's own books: every event that was sent, whether it was acknowledged, and how often a
//! consumer found it on a topic.
//!
//! It is filled from two sides that know nothing of the service: the player reports what it sent and
//! how it was answered, a consumer reports what it read. [`Ledger::tally`] compares.
//!
//! - *lost*: acknowledged, and on no topic.
//! - *sent again*: on topics more than once, as often as the sender sent it: a batch without a
//!   2xx is sent again as a whole, and the first may have arrived all the same.
//! - *repeated*: on topics more often than it was sent, which the service caused.
//! - *out of order*: found for the first time behind a later event of the same topic and key.
//!   Further copies do not count for the order. Only lanes whose sender keeps an order count.
//!
//! An event that was never acknowledged is none of these, on a topic or not.
//!
//! Memory: a byte an event, 16 bytes a batch, and an entry for each pair of topic and key, of which
//! there are at most as many as leads times topics. A sender of 450 events a second fills about
//! 40 MB a day.

use std::collections::{BTreeMap, HashMap};

use super::event_id::EventId;

/// The books of all lanes of one run.
#[derive(Debug, Default)]
pub struct Ledger {
    run: u32,
    /// Number of the first lane without an order.
    ordered: u16,
    lanes: Vec<Lane>,
    /// Records read, by topic, including those of other programs.
    topics: BTreeMap<String, Topic>,
    acknowledged: u64,
    out_of_order: u64,
    others: u64,
}

#[derive(Debug, Default)]
struct Lane {
    batches: Vec<Batch>,
    /// Number of times that each event was seen on a topic, up to 255.
    seen: Vec<u8>,
}

#[derive(Debug)]
struct Batch {
    first: u64,
    events: u32,
    tries: u16,
    acknowledged: bool,
}

#[derive(Debug, Default)]
struct Topic {
    records: u64,
    /// The latest event of each key, as its number within its lead.
    latest: HashMap<Box<[u8]>, u32>,
}

/// The result of a comparison, in events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Different events that were sent at least once.
    pub sent: u64,
    /// Events among these in batches that were answered with a 2xx.
    pub acknowledged: u64,
    /// Records on topics that carry one of our events, copies included.
    pub on_topics: u64,
    /// Acknowledged events that are on no topic.
    pub lost: u64,
    /// Copies beyond the number of times the event was sent.
    pub repeated: u64,
    /// Copies that the sender itself caused.
    pub sent_again: u64,
    /// Events on topics that were never acknowledged.
    pub unacknowledged: u64,
    pub out_of_order: u64,
    /// Records on topics from other programs.
    pub others: u64,
}

impl Tally {
    /// Whether everything that was acknowledged arrived, and in order.
    pub fn is_complete(&self) -> bool {
        self.lost == 0 && self.out_of_order == 0
    }
}

impl Ledger {
    /// Makes books for `ordered` lanes of `run`, numbered from 0, and `unordered` further ones whose sender
    /// sends a failed delivery again behind later ones; see [`EventId`].
    pub fn new(run: u32, ordered: u16, unordered: u16) -> Self {
        let lanes = u32::from(ordered) + u32::from(unordered);
        let lanes = (0..lanes).map(|_| Lane::default()).collect();
        Self { run, ordered, lanes, ..Self::default() }
    }

    /// Counts a batch that is about to be sent, for the first time or again. Batches of a lane are
    /// numbered from 0 without gaps, and so are their events.
    pub fn sending(&mut self, lane: u16, batch: u64, events: u32) {
        let books = &mut self.lanes[usize::from(lane)];
        if let Some(known) = books.batches.get_mut(batch as usize) {
            known.tries = known.tries.saturating_add(1);
            return;
        }
        assert_eq!(batch, books.batches.len() as u64, "batches are numbered without gaps");
        let first = books.seen.len();
        books.batches.push(Batch { first: first as u64, events, tries: 1, acknowledged: false });
        books.seen.resize(first + events as usize, 0);
    }

    /// Counts a 2xx for a batch.
    pub fn acknowledged(&mut self, lane: u16, batch: u64) {
        let batch = &mut self.lanes[usize::from(lane)].batches[batch as usize];
        if !batch.acknowledged {
            batch.acknowledged = true;
            self.acknowledged += u64::from(batch.events);
        }
    }

    /// Returns the number of different events that were acknowledged so far.
    pub fn acknowledged_events(&self) -> u64 {
        self.acknowledged
    }

    /// Counts a record that a consumer read; `id` is its `ce_id`, if it has one.
    pub fn read(&mut self, topic: &str, key: &[u8], id: Option<&str>) {
        if !self.topics.contains_key(topic) {
            self.topics.insert(topic.to_owned(), Topic::default());
        }
        let Some(books) = self.topics.get_mut(topic) else { return };
        books.records += 1;
        let ours = id.and_then(EventId::parse).filter(|id| id.run == self.run);
        let seen = ours.and_then(|id| {
            let lane = self.lanes.get_mut(usize::from(id.subscription))?;
            Some((id, lane.seen.get_mut(usize::try_from(id.number).ok()?)?))
        });
        let Some((id, seen)) = seen else {
            self.others += 1;
            return;
        };
        *seen = seen.saturating_add(1);
        if *seen > 1 || id.subscription >= self.ordered {
            return;
        }
        match books.latest.get_mut(key) {
            Some(latest) if *latest > id.of_lead => self.out_of_order += 1,
            Some(latest) => *latest = id.of_lead,
            None => {
                books.latest.insert(key.into(), id.of_lead);
            }
        }
    }

    /// Returns the records read so far, by topic.
    pub fn topics(&self) -> impl Iterator<Item = (&str, u64)> {
        self.topics.iter().map(|(name, topic)| (name.as_str(), topic.records))
    }

    /// Compares the books. Walks over all events, so it is not meant to be called for every record.
    pub fn tally(&self) -> Tally {
        let mut tally =
            Tally { out_of_order: self.out_of_order, others: self.others, ..Tally::default() };
        for lane in &self.lanes {
            for batch in &lane.batches {
                let first = batch.first as usize;
                let events = &lane.seen[first..first + batch.events as usize];
                tally.add(batch, events);
            }
        }
        tally
    }
}

impl Tally {
    fn add(&mut self, batch: &Batch, seen: &[u8]) {
        self.sent += u64::from(batch.events);
        if batch.acknowledged {
            self.acknowledged += u64::from(batch.events);
        }
        for &seen in seen {
            let seen = u64::from(seen);
            self.on_topics += seen;
            if seen == 0 {
                self.lost += u64::from(batch.acknowledged);
                continue;
            }
            if !batch.acknowledged {
                self.unacknowledged += 1;
            }
            let excused = (seen - 1).min(u64::from(batch.tries) - 1);
            self.sent_again += excused;
            self.repeated += seen - 1 - excused;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64, of_lead: u32) -> String {
        EventId { run: 7, subscription: 0, of_lead, number }.to_string()
    }

    /// Returns a ledger with two batches of two events each, all of one lead; the first is acknowledged.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::new(7, 1, 1);
        ledger.sending(0, 0, 2);
        ledger.acknowledged(0, 0);
        ledger.sending(0, 1, 2);
        ledger
    }

    #[test]
    fn what_was_acknowledged_and_is_on_no_topic_is_lost() {
        let mut ledger = ledger();
        ledger.read("t", b"k", Some(&id(0, 0)));
        let tally = ledger.tally();
        assert_eq!((tally.sent, tally.acknowledged, tally.on_topics, tally.lost), (4, 2, 1, 1));
        assert!(!tally.is_complete());
        ledger.read("t", b"k", Some(&id(1, 1)));
        assert!(ledger.tally().is_complete());
    }

    #[test]
    fn an_unacknowledged_event_is_neither_lost_nor_repeated() {
        let mut ledger = ledger();
        for number in 0..3 {
            ledger.read("t", b"k", Some(&id(number, number as u32)));
        }
        let tally = ledger.tally();
        assert_eq!((tally.lost, tally.repeated, tally.unacknowledged), (0, 0, 1));
        assert_eq!(tally.on_topics, 3);
    }

    #[test]
    fn a_copy_is_repeated_unless_the_sender_sent_it_again() {
        let mut ledger = ledger();
        ledger.sending(0, 1, 2);
        ledger.acknowledged(0, 1);
        for number in [0, 1, 2, 3, 2, 3, 3, 0] {
            ledger.read("t", b"k", Some(&id(number, number as u32)));
        }
        let tally = ledger.tally();
        assert_eq!(tally.sent, 4, "a second try sends no new events");
        assert_eq!((tally.repeated, tally.sent_again), (2, 2));
        assert_eq!(tally.on_topics, tally.acknowledged + tally.repeated + tally.sent_again);
        assert!(tally.is_complete(), "copies are behind their first and break no order");
    }

    #[test]
    fn an_earlier_event_behind_a_later_one_of_its_topic_and_key_is_out_of_order() {
        let mut ledger = ledger();
        ledger.read("t", b"k", Some(&id(1, 1)));
        ledger.read("other topic", b"k", Some(&id(0, 0)));
        assert_eq!(ledger.tally().out_of_order, 0);
        ledger.sending(0, 2, 2);
        ledger.read("t", b"k", Some(&id(4, 3)));
        ledger.read("t", b"another key", Some(&id(5, 0)));
        ledger.read("t", b"k", Some(&id(3, 2)));
        assert_eq!(ledger.tally().out_of_order, 1);
    }

    #[test]
    fn a_lane_without_an_order_is_never_out_of_it() {
        let mut ledger = Ledger::new(7, 0, 1);
        ledger.sending(0, 0, 2);
        ledger.acknowledged(0, 0);
        for number in [1, 0] {
            ledger.read("t", b"k", Some(&id(number, number as u32)));
        }
        assert_eq!((ledger.tally().out_of_order, ledger.tally().lost), (0, 0));
    }

    #[test]
    fn records_of_others_are_counted_apart() {
        let mut ledger = ledger();
        let stranger = EventId { run: 8, subscription: 0, of_lead: 0, number: 0 }.to_string();
        let unsent = EventId { run: 7, subscription: 9, of_lead: 0, number: 0 }.to_string();
        for id in [None, Some("hello"), Some(&stranger), Some(&unsent), Some(&id(99, 0))] {
            ledger.read("t", b"k", id);
        }
        let tally = ledger.tally();
        assert_eq!((tally.others, tally.on_topics), (5, 0));
        assert_eq!(ledger.topics().collect::<Vec<_>>(), [("t", 5)]);
    }
}
