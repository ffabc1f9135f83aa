//! The state of each topic, and the consequence of each answer. Pure: time is an argument.
//!
//! Topics are asked about by name, so an answer is small however many topics the cluster has. Only
//! `topics.limit` needs a listing of all: a missing topic that counts waits for one before it is made.
//! A topic that exists waits for no listing. Of the topics that the limit leaves, each source has its share
//! ([`Shares`]).

mod limit;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    time::{Duration, Instant},
};

use crate::{
    kafka::{advice::Advice, produce::TopicState},
    runtime::retry::Retry,
};

use super::{
    maker::Made,
    shares::{Shares, Source},
};

/// Configuration of the directory.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub create: bool,
    pub limit: usize,
    /// The beginning of every topic of the template.
    pub prefix: String,
    /// Exempt from the limit, as the topics of checkpoints, of lead states and of ids are.
    pub dead_letter: String,
    pub checkpoints: String,
    pub lead_state: Option<String>,
    pub ids: Option<String>,
}

impl Rules {
    /// Whether events are routed to `topic`.
    fn counts(&self, topic: &str) -> bool {
        topic != self.dead_letter
            && topic != self.checkpoints
            && self.lead_state.as_deref() != Some(topic)
            && self.ids.as_deref() != Some(topic)
    }
}

/// The cluster's answer about one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Led {
        partitions: u32,
    },
    /// It exists, and none of its partitions has a leader (yet).
    Leaderless,
    /// It exists, with an error of its own.
    Unusable(String),
    Missing,
    /// This service may not see it; it may exist.
    Hidden,
}

/// The cluster's answers, by topic.
pub(super) type Answers = HashMap<String, Found>;

/// All topics that the cluster shows.
#[derive(Debug)]
pub(super) struct Listing {
    pub topics: Answers,
    /// Time from the question to the answer.
    pub took: Duration,
}

#[derive(Debug)]
pub(super) struct Directory {
    rules: Rules,
    advice: Advice,
    entries: HashMap<String, Entry>,
    shares: Shares,
    /// Names that count towards the limit.
    counted: HashSet<String>,
    /// Names that began to count since the listing was asked for, which may not show them.
    counted_since: HashSet<String>,
    /// Until when `counted` is believed to be complete; `None` before the first listing.
    counted_until: Option<Instant>,
    /// Missing topics that wait for a listing; and those that the listing under way is for.
    uncounted: BTreeSet<String>,
    listed_for: BTreeSet<String>,
    /// When to ask again for the partitions of topics that exist and were not shown.
    recount: Option<Instant>,
}

#[derive(Debug)]
enum Entry {
    Ready {
        /// `None` for a topic that exists and is not shown.
        partitions: Option<u32>,
    },
    /// Looked up at `due`; until then `why` holds. Without `due` it waits for a listing, or
    /// to be made, for the source that asked first.
    Look { due: Option<Instant>, why: Why, retry: Retry, source: Source },
}

#[derive(Debug)]
enum Why {
    Unknown,
    Unavailable(String),
}

/// Pause before a topic that another process has made is looked for; and then between look-ups while it is not
/// shown.
const SHOWN_SOON: Duration = Duration::from_millis(50);
const SHOWN_LATER: Duration = Duration::from_secs(5);
/// A listing is valid for so many times its duration, so that the cluster and the line to it are
/// busy with listings for a tenth of the time at most.
const LISTING_VALIDITY_FACTOR: u32 = 10;

impl Directory {
    pub(super) fn new(rules: Rules, advice: Advice) -> Self {
        Self {
            shares: Shares::new(rules.limit, 1),
            rules,
            advice,
            entries: HashMap::new(),
            counted: HashSet::new(),
            counted_since: HashSet::new(),
            counted_until: None,
            uncounted: BTreeSet::new(),
            listed_for: BTreeSet::new(),
            recount: None,
        }
    }

    /// Divides the limit among so many sources, numbered from 0.
    pub(super) fn divide_among(&mut self, sources: usize) {
        self.shares = Shares::new(self.rules.limit, sources);
    }

    /// The state of a topic that needs no look-up.
    pub(super) fn known(&self, topic: &str) -> Option<TopicState> {
        match self.entries.get(topic)? {
            Entry::Ready { .. } => Some(TopicState::Ready),
            Entry::Look { why: Why::Unknown, .. } => Some(TopicState::Pending),
            Entry::Look { why: Why::Unavailable(text), .. } => {
                Some(TopicState::Unavailable(text.clone()))
            }
        }
    }

    pub(super) fn partitions(&self, topic: &str) -> Option<u32> {
        match self.entries.get(topic)? {
            Entry::Ready { partitions } => *partitions,
            Entry::Look { .. } => None,
        }
    }

    /// The state of a topic for `source`, and whether there is something new to look up.
    pub(super) fn state(
        &mut self,
        source: Source,
        topic: &str,
        now: Instant,
    ) -> (TopicState, bool) {
        if let Some(state) = self.known(topic) {
            return (state, false);
        }
        if self.shares.is_over_limit(source, topic, now) {
            return (TopicState::OverLimit, false);
        }
        self.entries.insert(topic.into(), look(source, now, Why::Unknown));
        (TopicState::Pending, true)
    }

    /// Notes a producer's report that `topic` is not there.
    pub(super) fn mark_missing(&mut self, topic: &str, now: Instant) {
        // A look-up under way keeps its pace, although producers report every record.
        if matches!(self.entries.get(topic), None | Some(Entry::Ready { .. })) {
            // Source 0 stands for none: the topic counts already, and against no source.
            self.entries.insert(topic.into(), look(0, now, Why::Unknown));
        }
    }

    /// The topics to ask about now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<String> {
        let recount = self.recount.is_some_and(|at| at <= now);
        if recount {
            self.recount = Some(now + SHOWN_LATER);
        }
        let is_due = |entry: &Entry| match entry {
            Entry::Look { due, .. } => due.is_some_and(|due| due <= now),
            Entry::Ready { partitions } => partitions.is_none() && recount,
        };
        let due = self.entries.iter().filter(|(_, entry)| is_due(entry));
        let mut due: Vec<_> = due.map(|(topic, _)| topic.clone()).collect();
        due.sort_unstable();
        due
    }

    /// The time when the next topic is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = |entry: &Entry| match entry {
            Entry::Look { due, .. } => *due,
            Entry::Ready { .. } => None,
        };
        self.entries.values().filter_map(due).chain(self.recount).min()
    }

    /// Postpones topics about which the cluster did not answer.
    pub(super) fn unanswered(&mut self, due: &[String], now: Instant) {
        for topic in due {
            self.postpone(topic, None, now);
        }
    }

    /// Takes in the answers about due topics; returns those that are to be made now.
    pub(super) fn settle(&mut self, answers: &Answers, now: Instant) -> Vec<String> {
        let mut missing = Vec::new();
        let mut topics: Vec<_> = answers.iter().collect();
        // By name: in the random order of the map the limit would refuse other topics each time.
        topics.sort_unstable_by_key(|(topic, _)| *topic);
        for (topic, found) in topics {
            let is_ready = matches!(self.entries.get(topic), Some(Entry::Ready { .. }));
            match found {
                Found::Led { partitions } => {
                    self.is_there(topic, *partitions);
                    self.count_one(topic);
                }
                // A topic that exists and is not shown keeps its state.
                _ if is_ready => {}
                Found::Leaderless => self.postpone(topic, None, now),
                Found::Unusable(text) => {
                    let text = format!("topic `{topic}`: {text}");
                    self.postpone(topic, Some(Why::Unavailable(text)), now);
                }
                Found::Missing | Found::Hidden if self.rules.create => {
                    self.make_or_wait(topic, &mut missing, now);
                }
                Found::Missing => {
                    let text = format!(
                        "topic `{topic}` does not exist, and topics.create is off; run: {}",
                        self.advice.create(topic)
                    );
                    self.postpone(topic, Some(Why::Unavailable(text)), now);
                }
                Found::Hidden => {
                    let text = format!(
                        "topic `{topic}` does not exist or is not visible; run: {}",
                        self.advice.allow_write(topic)
                    );
                    self.postpone(topic, Some(Why::Unavailable(text)), now);
                }
            }
        }
        self.end_recount();
        missing
    }

    /// Whether a topic waits for a listing, or no listing has come yet.
    pub(super) fn wants_listing(&self) -> bool {
        let counts = !self.rules.prefix.is_empty();
        counts && (self.counted_until.is_none() || !self.uncounted.is_empty())
    }

    /// Notes that a listing is asked for.
    pub(super) fn begin_listing(&mut self) {
        self.counted_since.clear();
        let waiting = std::mem::take(&mut self.uncounted);
        self.listed_for.extend(waiting);
    }

    /// Notes that the listing failed: its topics wait for the next one.
    pub(super) fn not_listed(&mut self) {
        let waiting = std::mem::take(&mut self.listed_for);
        self.uncounted.extend(waiting);
    }

    /// Takes in a listing; returns the topics that are to be made.
    pub(super) fn listed(&mut self, listing: &Listing, now: Instant) -> Vec<String> {
        self.count(&listing.topics);
        self.counted_until = Some(now + LISTING_VALIDITY_FACTOR * listing.took);
        // Each of our topics that exists becomes ready before a producer asks.
        for (topic, found) in &listing.topics {
            let ours = topic.starts_with(&self.rules.prefix) || !self.rules.counts(topic);
            if let Found::Led { partitions } = *found
                && (ours || self.entries.contains_key(topic))
            {
                self.is_there(topic, partitions);
            }
        }
        self.end_recount();
        let mut missing = Vec::new();
        for topic in std::mem::take(&mut self.listed_for) {
            match listing.topics.get(&topic) {
                Some(Found::Led { .. }) => {}
                Some(_) => self.postpone(&topic, None, now),
                None => self.make_unless_over_limit(&topic, &mut missing, now),
            }
        }
        missing
    }

    fn make_or_wait(&mut self, topic: &str, missing: &mut Vec<String>, now: Instant) {
        let counts = self.rules.counts(topic) && !self.rules.prefix.is_empty();
        if !counts || self.counted_until.is_some_and(|until| now < until) {
            return self.make_unless_over_limit(topic, missing, now);
        }
        if let Some(Entry::Look { due, .. }) = self.entries.get_mut(topic) {
            *due = None;
            self.uncounted.insert(topic.into());
        }
    }

    fn make_unless_over_limit(&mut self, topic: &str, missing: &mut Vec<String>, now: Instant) {
        let source = self.source_of(topic);
        if self.is_over_limit(topic, source, missing) {
            self.entries.remove(topic);
            self.shares.over_limit(source, topic, now);
        } else {
            missing.push(topic.into());
        }
    }

    fn is_there(&mut self, topic: &str, partitions: u32) {
        self.uncounted.remove(topic);
        self.entries.insert(topic.into(), Entry::Ready { partitions: Some(partitions) });
    }

    fn end_recount(&mut self) {
        let uncounted = |entry: &Entry| matches!(entry, Entry::Ready { partitions: None });
        if !self.entries.values().any(uncounted) {
            self.recount = None;
        }
    }

    /// Takes in the result of making a topic.
    pub(super) fn made(&mut self, topic: &str, made: Made, now: Instant) {
        match made {
            Made::Created => {
                let source = self.source_of(topic);
                if self.count_one(topic) {
                    self.shares.made(source);
                }
                // It is ready once the cluster shows its leader.
                self.entries.insert(topic.into(), look(source, now, Why::Unknown));
                self.postpone(topic, None, now);
            }
            Made::Exists => {
                self.count_one(topic);
                self.entries.insert(topic.into(), Entry::Ready { partitions: None });
                self.recount = Some(now + SHOWN_SOON);
            }
            Made::NotYet(_) | Made::NoAnswer(_) => self.postpone(topic, None, now),
            Made::Refused(text) => self.postpone(topic, Some(Why::Unavailable(text)), now),
        }
    }

    /// A topic to ask about for a sign of life: an existing one, if one is known.
    pub(super) fn any(&self) -> &str {
        let ready = |(topic, entry)| matches!(entry, &Entry::Ready { .. }).then_some(topic);
        self.entries.iter().find_map(ready).map_or(&self.rules.dead_letter, String::as_str)
    }

    fn postpone(&mut self, topic: &str, new_why: Option<Why>, now: Instant) {
        if let Some(Entry::Look { due, why, retry, .. }) = self.entries.get_mut(topic) {
            *due = Some(now + retry.next_delay());
            if let Some(new_why) = new_why {
                *why = new_why;
            }
        }
    }
}

fn look(source: Source, due: Instant, why: Why) -> Entry {
    let retry = Retry::new(Duration::from_millis(50), Duration::from_secs(20));
    Entry::Look { due: Some(due), why, retry, source }
}
