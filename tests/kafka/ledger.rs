//! The books of a test: what a sender was answered, held against what topics contain.

use std::collections::{HashMap, HashSet};

use crate::{
    consumers::{Record, read_topic, topics},
    support::batches::{Batch, Sent, Subscription},
};

#[derive(Default)]
pub struct Ledger {
    /// What topics begin with.
    prefix: String,
    events: HashMap<String, Entry>,
    /// Elements that are no activities, in batches that were answered 200.
    refused: HashSet<String>,
    /// The same in batches without an answer.
    perhaps_refused: HashSet<String>,
    /// Two sources race with the same events: which one is first, nobody knows, and so in what order.
    without_order: bool,
}

struct Entry {
    sent: Sent,
    /// Answered 200: it must be on its topic. Otherwise it may be.
    acknowledged: bool,
}

impl Ledger {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..Self::default() }
    }

    pub fn of_racing_sources(prefix: &str) -> Self {
        Self { without_order: true, ..Self::new(prefix) }
    }

    /// The batch was answered 200.
    pub fn acknowledged(&mut self, batch: Batch) {
        self.enter(batch, true);
    }

    /// The batch was sent, and who knows what became of it.
    pub fn unanswered(&mut self, batch: Batch) {
        self.enter(batch, false);
    }

    /// An element that is no activity, in a batch that was answered 200: it must be a dead letter.
    #[allow(dead_code, reason = "tests/faults sends some")]
    pub fn unfit(&mut self, element: String) {
        self.refused.insert(element);
    }

    /// The same in a batch without an answer: it may be a dead letter.
    #[allow(dead_code, reason = "tests/power sends some")]
    pub fn perhaps_unfit(&mut self, element: String) {
        self.perhaps_refused.insert(element);
    }

    fn enter(&mut self, batch: Batch, acknowledged: bool) {
        for sent in batch.events {
            self.events.insert(sent.guid.clone(), Entry { sent, acknowledged });
        }
    }

    pub fn add(&mut self, other: Self) {
        self.events.extend(other.events);
        self.refused.extend(other.refused);
        self.perhaps_refused.extend(other.perhaps_refused);
    }

    /// The topic of events of a type.
    pub fn topic(&self, event_type: &str) -> String {
        format!("{}.lead-activity.{event_type}", self.prefix)
    }

    /// How many events of these types were acknowledged.
    pub fn count(&self, is_asked_for: impl Fn(&str) -> bool) -> usize {
        let events = self.events.values();
        events.filter(|entry| entry.acknowledged && is_asked_for(entry.sent.event_type)).count()
    }

    /// Reads every topic of the subscription's event types and compares.
    #[track_caller]
    pub fn compare(&self, address: &str) -> Comparison {
        self.compare_with(address, &[])
    }

    /// As [`Ledger::compare`], where what is in quarantine counts as well.
    #[track_caller]
    pub fn compare_with(&self, address: &str, quarantine: &[Vec<u8>]) -> Comparison {
        let mut comparison = Comparison::default();
        let mut seen: HashMap<&str, usize> = HashMap::new();
        for event_type in Subscription::event_types() {
            self.compare_topic(address, event_type, &mut seen, &mut comparison);
        }
        for (guid, entry) in &self.events {
            if entry.acknowledged {
                comparison.acknowledged += 1;
                if !seen.contains_key(guid.as_str()) {
                    comparison.lost.push(format!("{guid} of {}", entry.sent.event_type));
                }
            }
        }
        comparison.on_topics = seen.len();
        comparison.repeated = seen.values().map(|count| count - 1).sum();
        comparison.times = seen.iter().map(|(guid, count)| ((*guid).to_owned(), *count)).collect();
        // Whatever the tests sent has a topic that they know.
        let dead_letters = format!("{}.dead-letter", self.prefix);
        for topic in topics(address).into_keys() {
            let ours = topic.starts_with(&format!("{}.lead-activity.", self.prefix));
            let known = Subscription::event_types().any(|name| topic == self.topic(name));
            if ours && !known {
                comparison.flaws.push(format!("a topic that nobody asked for: {topic}"));
            }
        }
        let mut dead: HashMap<&str, usize> = HashMap::new();
        for record in read_topic(address, &dead_letters) {
            let value = String::from_utf8_lossy(record.value.as_deref().unwrap_or_default());
            let known = self.refused.get(value.as_ref());
            match known.or_else(|| self.perhaps_refused.get(value.as_ref())) {
                Some(element) => *dead.entry(element).or_default() += 1,
                None => comparison.flaws.push(format!("a dead letter: {:?}", record.headers)),
            }
        }
        comparison.repeated += dead.values().map(|count| count - 1).sum::<usize>();
        let times = dead.iter().map(|(element, count)| ((*element).to_owned(), *count));
        comparison.times.extend(times);
        comparison.dead_lettered = dead.len();
        self.compare_quarantine(quarantine, &mut dead, &mut comparison);
        comparison.acknowledged += self.refused.len();
        let nowhere = self.refused.iter().filter(|element| !dead.contains_key(element.as_str()));
        comparison.lost.extend(nowhere.cloned());
        comparison
    }

    fn compare_quarantine<'a>(
        &'a self,
        quarantine: &[Vec<u8>],
        refused: &mut HashMap<&'a str, usize>,
        comparison: &mut Comparison,
    ) {
        for bytes in quarantine {
            let text = String::from_utf8_lossy(bytes);
            let known = self.refused.get(text.as_ref());
            match known.or_else(|| self.perhaps_refused.get(text.as_ref())) {
                // One that is a dead letter as well was quarantined before its letter arrived.
                Some(element) if !refused.contains_key(element.as_str()) => {
                    refused.insert(element, 1);
                    comparison.quarantined += 1;
                }
                Some(_) => {}
                None => comparison.flaws.push(format!("in quarantine: {text}")),
            }
        }
    }

    fn compare_topic<'a>(
        &'a self,
        address: &str,
        event_type: &str,
        seen: &mut HashMap<&'a str, usize>,
        comparison: &mut Comparison,
    ) {
        let topic = self.topic(event_type);
        // The highest counter so far of each key, first occurrences only: what repeats after a
        // crash comes again in order, behind what came before.
        let mut highest: HashMap<&str, u64> = HashMap::new();
        let mut partitions: HashMap<&str, i32> = HashMap::new();
        for record in read_topic(address, &topic) {
            let id = record.header("ce_id");
            let Some((guid, entry)) = self.events.get_key_value(id) else {
                comparison.flaws.push(format!("{topic} has an event that nobody sent: {id}"));
                continue;
            };
            let sent = &entry.sent;
            if let Some(flaw) = flaw(&record, sent, event_type) {
                comparison.flaws.push(format!("{topic}: {id}: {flaw}"));
            }
            if *partitions.entry(&sent.key).or_insert(record.partition) != record.partition {
                comparison.flaws.push(format!("{topic}: {} is in two partitions", sent.key));
            }
            let count = seen.entry(guid).or_default();
            *count += 1;
            if *count == 1 {
                let before = highest.insert(&sent.key, sent.counter);
                if !self.without_order && before.is_some_and(|before| before > sent.counter) {
                    comparison.flaws.push(format!(
                        "{topic}: out of order: {} has {before:?} before {}",
                        sent.key, sent.counter
                    ));
                }
            }
        }
    }
}

/// What is wrong with a record of an event that was sent.
fn flaw(record: &Record, sent: &Sent, event_type: &str) -> Option<String> {
    if sent.event_type != event_type {
        return Some(format!("belongs to {}", sent.event_type));
    }
    if record.key.as_deref() != Some(sent.key.as_bytes()) {
        return Some(format!("has the key {:?}, not {}", record.key, sent.key));
    }
    if record.value.as_deref() != Some(sent.value.as_bytes()) {
        let value = record.value.as_deref().map(String::from_utf8_lossy);
        return Some(format!("has the value {value:?}, not {}", sent.value));
    }
    None
}

#[derive(Debug, Default)]
pub struct Comparison {
    /// Events that were answered 200.
    pub acknowledged: usize,
    /// Events on topics, repeats not counted.
    pub on_topics: usize,
    /// Refused elements that are dead letters, and those that are in quarantine alone.
    pub dead_lettered: usize,
    pub quarantined: usize,
    /// Records beyond the first of an event.
    pub repeated: usize,
    /// How many records there are of each event, and of each element that is a dead letter.
    pub times: HashMap<String, usize>,
    pub lost: Vec<String>,
    pub flaws: Vec<String>,
}

impl Comparison {
    /// Nothing lost, nothing invented, nothing altered, everything in order. Prints the figures.
    #[track_caller]
    pub fn assert_whole(&self, what: &str) {
        let Self {
            acknowledged, on_topics, dead_lettered, quarantined, repeated, lost, flaws, ..
        } = self;
        println!(
            "{what}: {acknowledged} events acknowledged, {on_topics} on topics, {dead_lettered} dead \
             letters, {quarantined} in quarantine, {} lost, {repeated} repeated",
            lost.len()
        );
        let some = |list: &[String]| list[..list.len().min(10)].join("\n  ");
        assert!(lost.is_empty(), "{} events are lost:\n  {}", lost.len(), some(lost));
        assert!(flaws.is_empty(), "{} flaws:\n  {}", flaws.len(), some(flaws));
        assert!(*acknowledged > 0, "a test that sent nothing proves nothing");
    }
}
