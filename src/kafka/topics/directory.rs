//! What is known about topics, and what follows from each answer. Pure: time is an argument.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use crate::{kafka::advice::Advice, produce::TopicState, retry::Retry};

use super::maker::Made;

/// The part of the configuration that decides about topics.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub create: bool,
    pub limit: usize,
    /// What every topic of the template begins with.
    pub prefix: String,
    /// Exempt from the limit, as the topic of checkpoints is.
    pub dead_letter: String,
    pub checkpoints: String,
}

impl Rules {
    /// Whether events are routed to `topic`.
    fn counts(&self, topic: &str) -> bool {
        topic != self.dead_letter && topic != self.checkpoints
    }
}

/// What a listing of the cluster says about one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Led {
        partitions: u32,
    },
    /// It exists, and none of its partitions has a leader (yet).
    Leaderless,
    /// It exists, with a trouble of its own.
    Unusable(String),
}

/// All topics that the cluster shows.
pub(super) type Listing = HashMap<String, Found>;

#[derive(Debug)]
pub(super) struct Directory {
    rules: Rules,
    advice: Advice,
    entries: HashMap<String, Entry>,
    /// Names that count towards the limit.
    counted: HashSet<String>,
    /// When to list the topics for the sake of those whose partitions nobody has counted.
    recount: Option<Instant>,
}

#[derive(Debug)]
enum Entry {
    Ready {
        /// Not known of a topic that exists and is not shown.
        partitions: Option<u32>,
    },
    /// Looked up at `due`; until then it is what `why` says.
    Look { due: Instant, why: Why, retry: Retry },
    /// Looked up again when somebody asks after `until`.
    OverLimit { until: Instant },
}

#[derive(Debug)]
enum Why {
    Unknown,
    Unavailable(String),
}

/// Names over the limit that are remembered; strangers choose them, so they are bounded.
const OVER_LIMIT_NAMES: usize = 4096;
/// How soon a topic that somebody else has made should be listed; and how often one is looked for that
/// is not shown.
const LISTED_SOON: Duration = Duration::from_millis(50);
const LISTED_LATER: Duration = Duration::from_secs(5);
/// How long a topic stays over the limit before somebody's asking makes us look again.
const OVER_LIMIT_FOR: Duration = Duration::from_secs(60);

impl Directory {
    pub(super) fn new(rules: Rules, advice: Advice) -> Self {
        Self { rules, advice, entries: HashMap::new(), counted: HashSet::new(), recount: None }
    }

    /// The state of a topic that needs no looking up.
    pub(super) fn known(&self, topic: &str) -> Option<TopicState> {
        match self.entries.get(topic)? {
            Entry::Ready { .. } => Some(TopicState::Ready),
            Entry::Look { why: Why::Unknown, .. } => Some(TopicState::Pending),
            Entry::Look { why: Why::Unavailable(text), .. } => {
                Some(TopicState::Unavailable(text.clone()))
            }
            Entry::OverLimit { .. } => None,
        }
    }

    pub(super) fn partitions(&self, topic: &str) -> Option<u32> {
        match self.entries.get(topic)? {
            Entry::Ready { partitions } => *partitions,
            _ => None,
        }
    }

    /// The state of a topic, and whether there is something new to look up.
    pub(super) fn state(&mut self, topic: &str, now: Instant) -> (TopicState, bool) {
        if let Some(state) = self.known(topic) {
            return (state, false);
        }
        if let Some(Entry::OverLimit { until }) = self.entries.get(topic)
            && *until > now
        {
            return (TopicState::OverLimit, false);
        }
        self.make_room();
        self.entries.insert(topic.into(), look(now, Why::Unknown));
        (TopicState::Pending, true)
    }

    /// A producer says that `topic` is not there.
    pub(super) fn mark_missing(&mut self, topic: &str, now: Instant) {
        // One that is being looked after keeps its pace: producers report every record.
        if matches!(self.entries.get(topic), None | Some(Entry::Ready { .. })) {
            self.entries.insert(topic.into(), look(now, Why::Unknown));
        }
    }

    /// The topics to look up now.
    pub(super) fn take_due(&self, now: Instant) -> Vec<String> {
        let is_due = |entry: &Entry| matches!(entry, Entry::Look { due, .. } if *due <= now);
        let due = self.entries.iter().filter(|(_, entry)| is_due(entry));
        let mut due: Vec<_> = due.map(|(topic, _)| topic.clone()).collect();
        due.sort_unstable();
        due
    }

    /// When the next topic is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = |entry: &Entry| match entry {
            Entry::Look { due, .. } => Some(*due),
            _ => None,
        };
        self.entries.values().filter_map(due).chain(self.recount).min()
    }

    /// Whether to list the topics for their partitions now; then it is not due again for a while.
    pub(super) fn is_to_recount(&mut self, now: Instant) -> bool {
        let due = self.recount.is_some_and(|at| at <= now);
        if due {
            self.recount = Some(now + LISTED_LATER);
        }
        due
    }

    /// The cluster did not answer: what was due stays as it is, for a while.
    pub(super) fn unanswered(&mut self, due: &[String], now: Instant) {
        for topic in due {
            self.postpone(topic, None, now);
        }
    }

    /// Takes in a listing; returns the topics among `due` that are to be made.
    pub(super) fn settle(
        &mut self,
        due: &[String],
        listing: &Listing,
        now: Instant,
    ) -> Vec<String> {
        self.count(listing);
        // Every topic of ours that is there is ready before somebody asks.
        for (topic, found) in listing {
            let ours = topic.starts_with(&self.rules.prefix) || !self.rules.counts(topic);
            if let Found::Led { partitions } = *found
                && (ours || self.entries.contains_key(topic))
            {
                self.entries.insert(topic.clone(), Entry::Ready { partitions: Some(partitions) });
            }
        }
        let uncounted = |entry: &Entry| matches!(entry, Entry::Ready { partitions: None });
        if !self.entries.values().any(uncounted) {
            self.recount = None;
        }
        let mut missing = Vec::new();
        for topic in due {
            match listing.get(topic) {
                Some(Found::Led { partitions }) => {
                    let partitions = Some(*partitions);
                    self.entries.insert(topic.clone(), Entry::Ready { partitions });
                    self.count_one(topic);
                }
                Some(Found::Leaderless) => self.postpone(topic, None, now),
                Some(Found::Unusable(text)) => {
                    let text = format!("topic `{topic}`: {text}");
                    self.postpone(topic, Some(Why::Unavailable(text)), now);
                }
                None if !self.rules.create => {
                    let text = format!(
                        "topic `{topic}` does not exist, and topics.create is off; run: {}",
                        self.advice.create(topic)
                    );
                    self.postpone(topic, Some(Why::Unavailable(text)), now);
                }
                None if self.is_over_limit(topic, &missing) => {
                    let until = now + OVER_LIMIT_FOR;
                    self.entries.insert(topic.clone(), Entry::OverLimit { until });
                }
                None => missing.push(topic.clone()),
            }
        }
        missing
    }

    /// What became of a topic that was to be made.
    pub(super) fn made(&mut self, topic: &str, made: Made, now: Instant) {
        match made {
            Made::Created => {
                self.count_one(topic);
                // Ready once a listing shows its leader.
                self.entries.insert(topic.into(), look(now, Why::Unknown));
                self.postpone(topic, None, now);
            }
            Made::Exists => {
                self.count_one(topic);
                self.entries.insert(topic.into(), Entry::Ready { partitions: None });
                self.recount = Some(now + LISTED_SOON);
            }
            Made::NotYet(_) => self.postpone(topic, None, now),
            Made::Refused(text) => self.postpone(topic, Some(Why::Unavailable(text)), now),
        }
    }

    pub(super) fn counted(&self) -> usize {
        self.counted.len()
    }

    pub(super) fn any_ready(&self) -> Option<&str> {
        let ready = |(topic, entry)| matches!(entry, &Entry::Ready { .. }).then_some(topic);
        self.entries.iter().find_map(ready).map(String::as_str)
    }

    fn postpone(&mut self, topic: &str, new_why: Option<Why>, now: Instant) {
        if let Some(Entry::Look { due, why, retry }) = self.entries.get_mut(topic) {
            *due = now + retry.next_delay();
            if let Some(new_why) = new_why {
                *why = new_why;
            }
        }
    }

    /// One that counts already, since it was made a moment ago and no listing shows it yet, is not
    /// one more.
    fn is_over_limit(&self, topic: &str, being_made: &[String]) -> bool {
        let is_new = |topic: &str| self.rules.counts(topic) && !self.counted.contains(topic);
        let new = being_made.iter().filter(|topic| is_new(topic)).count();
        is_new(topic) && self.counted.len() + new >= self.rules.limit
    }

    /// Counts anew. A topic made just now, by us or by somebody else, may not be listed yet: it goes on counting.
    fn count(&mut self, listing: &Listing) {
        if self.rules.prefix.is_empty() {
            return; // Then only what was asked for counts, one by one.
        }
        let entries = &self.entries;
        let not_listed_yet = |topic: &String| {
            matches!(
                entries.get(topic),
                Some(Entry::Look { .. } | Entry::Ready { partitions: None })
            )
        };
        self.counted.retain(not_listed_yet);
        let ours = |topic: &&String| topic.starts_with(&self.rules.prefix);
        let found = listing.keys().filter(ours);
        self.counted.extend(found.filter(|topic| self.rules.counts(topic)).cloned());
    }

    fn count_one(&mut self, topic: &str) {
        if self.rules.counts(topic) {
            self.counted.insert(topic.into());
        }
    }

    /// Forgets names over the limit when there are too many: they can be looked up again.
    fn make_room(&mut self) {
        let over = |entry: &Entry| matches!(entry, Entry::OverLimit { .. });
        if self.entries.len() > self.rules.limit + OVER_LIMIT_NAMES
            && self.entries.values().filter(|entry| over(entry)).count() > OVER_LIMIT_NAMES
        {
            self.entries.retain(|_, entry| !over(entry));
        }
    }
}

fn look(due: Instant, why: Why) -> Entry {
    let retry = Retry::new(Duration::from_millis(50), Duration::from_secs(20));
    Entry::Look { due, why, retry }
}

#[cfg(test)]
mod tests;
