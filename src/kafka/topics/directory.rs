//! What is known about topics, and what follows from each answer. Pure: time is an argument.
//!
//! Topics are asked about by name, so an answer is small however many topics the cluster has. Only
//! `topics.limit` needs a listing of all: a missing topic that counts waits for one before it is made.
//! A topic that exists waits for no listing. Of what the limit leaves, each source has its share ([`Shares`]).

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

/// The part of the configuration that decides about topics.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub create: bool,
    pub limit: usize,
    /// What every topic of the template begins with.
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

/// What the cluster says about one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Led {
        partitions: u32,
    },
    /// It exists, and none of its partitions has a leader (yet).
    Leaderless,
    /// It exists, with a trouble of its own.
    Unusable(String),
    Missing,
    /// This service may not see it; it may exist.
    Hidden,
}

/// What the cluster says about the topics that it was asked for.
pub(super) type Answers = HashMap<String, Found>;

/// All topics that the cluster shows.
#[derive(Debug)]
pub(super) struct Listing {
    pub topics: Answers,
    /// From the question to the answer.
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
    /// Until when `counted` is taken for all there is; none before the first listing.
    counted_until: Option<Instant>,
    /// Missing topics that wait for a listing; and those that the listing under way is for.
    uncounted: BTreeSet<String>,
    listed_for: BTreeSet<String>,
    /// When to ask for the partitions of topics that exist and were not shown.
    recount: Option<Instant>,
}

#[derive(Debug)]
enum Entry {
    Ready {
        /// Not known of a topic that exists and is not shown.
        partitions: Option<u32>,
    },
    /// Looked up at `due`; until then it is what `why` says. Without `due` it waits for a listing, or
    /// to be made, for the source that asked first.
    Look { due: Option<Instant>, why: Why, retry: Retry, source: Source },
}

#[derive(Debug)]
enum Why {
    Unknown,
    Unavailable(String),
}

/// How soon a topic that somebody else has made should be shown; and how often one is looked for that
/// is not shown.
const SHOWN_SOON: Duration = Duration::from_millis(50);
const SHOWN_LATER: Duration = Duration::from_secs(5);
/// A listing counts for so many times as long as it took, so that the cluster and the line to it are
/// busy with listings for a tenth of the time at most.
const LISTING_COUNTS_FOR: u32 = 10;

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

    /// The limit is for so many sources, numbered from 0.
    pub(super) fn divide_among(&mut self, sources: usize) {
        self.shares = Shares::new(self.rules.limit, sources);
    }

    /// The state of a topic that needs no looking up.
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

    /// A producer says that `topic` is not there.
    pub(super) fn mark_missing(&mut self, topic: &str, now: Instant) {
        // One that is being looked after keeps its pace: producers report every record.
        if matches!(self.entries.get(topic), None | Some(Entry::Ready { .. })) {
            // It counts already, against none.
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

    /// When the next topic is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = |entry: &Entry| match entry {
            Entry::Look { due, .. } => *due,
            Entry::Ready { .. } => None,
        };
        self.entries.values().filter_map(due).chain(self.recount).min()
    }

    /// The cluster did not answer: what was due stays as it is, for a while.
    pub(super) fn unanswered(&mut self, due: &[String], now: Instant) {
        for topic in due {
            self.postpone(topic, None, now);
        }
    }

    /// Takes in what was said about the topics that were due; returns those that are to be made now.
    pub(super) fn settle(&mut self, answers: &Answers, now: Instant) -> Vec<String> {
        let mut missing = Vec::new();
        let mut topics: Vec<_> = answers.iter().collect();
        topics.sort_unstable_by_key(|(topic, _)| *topic);
        for (topic, found) in topics {
            let is_ready = matches!(self.entries.get(topic), Some(Entry::Ready { .. }));
            match found {
                Found::Led { partitions } => {
                    self.is_there(topic, *partitions);
                    self.count_one(topic);
                }
                // One that exists and is not shown keeps its state.
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

    /// Whether somebody waits for a listing, or no listing has come yet.
    pub(super) fn wants_listing(&self) -> bool {
        let counts = !self.rules.prefix.is_empty();
        counts && (self.counted_until.is_none() || !self.uncounted.is_empty())
    }

    /// A listing is asked for.
    pub(super) fn begin_listing(&mut self) {
        self.counted_since.clear();
        let waiting = std::mem::take(&mut self.uncounted);
        self.listed_for.extend(waiting);
    }

    /// The listing did not come: what it was for waits for the next one.
    pub(super) fn not_listed(&mut self) {
        let waiting = std::mem::take(&mut self.listed_for);
        self.uncounted.extend(waiting);
    }

    /// Takes in a listing; returns the topics that are to be made.
    pub(super) fn listed(&mut self, listing: &Listing, now: Instant) -> Vec<String> {
        self.count(&listing.topics);
        self.counted_until = Some(now + LISTING_COUNTS_FOR * listing.took);
        // Every topic of ours that is there is ready before somebody asks.
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

    /// What became of a topic that was to be made.
    pub(super) fn made(&mut self, topic: &str, made: Made, now: Instant) {
        match made {
            Made::Created => {
                let source = self.source_of(topic);
                if self.count_one(topic) {
                    self.shares.made(source);
                }
                // Ready once the cluster shows its leader.
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

    /// A topic to ask about for a sign of life: one that is there, if one is known.
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
