//! What else goes on between a producer and the cluster: a path so slow that acknowledgements come late, a
//! client that a broker throttles, topics that are deleted and made again, and metadata that is late or lags.
//!
//! All of it is drawn from a random stream of its own, in a quarter of the histories: the others stay what
//! they were before it was there.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use fastrand::Rng;
use millrace::kafka::produce::{Outcome, Token};

use crate::{
    cluster::{Cluster, DEAD_LETTERS, Stored},
    history::HOLD_AFTER,
};

pub const LATE: &str = "acknowledgement later than forward.hold_after";

/// Whether the forwarder promises that what is merely slow is not held and not sent twice. The tests of
/// `history/conditions.rs` hold it to that.
pub const SLOW_IS_NOT_HELD: bool = true;

/// A path on which acknowledgements come late but come, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct SlowPath {
    pub latency: Duration,
    pub per_record: Duration,
}

/// Records that such a path carries at once; the others wait in the producer's queue.
const IN_FLIGHT: usize = 5;

/// What a producer has on a slow path: when each record was sent, and when its acknowledgement comes.
#[derive(Default)]
pub struct LateAnswers {
    on_the_way: VecDeque<(Token, Duration, Duration)>,
    /// The partition that was served last: they take turns.
    served: (String, u8),
}

impl LateAnswers {
    pub fn push(&mut self, token: Token, path: SlowPath, now: Duration) {
        let before = self.on_the_way.back().map_or(now, |(.., due)| *due);
        let due = (now + path.latency).max(before) + path.per_record;
        self.on_the_way.push_back((token, now, due));
    }

    /// A batch of this partition is on the path.
    pub fn serves(&mut self, topic: &str, partition: u8) {
        self.served = (topic.into(), partition);
    }

    /// The partitions in the order in which they are served.
    pub fn in_turn(&self, partitions: &BTreeSet<(String, u8)>) -> Vec<(String, u8)> {
        let behind = partitions.iter().filter(|partition| **partition > self.served);
        let others = partitions.iter().filter(|partition| **partition <= self.served);
        behind.chain(others).cloned().collect()
    }

    /// Acknowledgements whose time has come.
    pub fn take_due(&mut self, cluster: &mut Cluster) -> Vec<(Token, Outcome)> {
        let (now, all_is_well) = (cluster.now, cluster.quiet && cluster.conditions.slow.is_none());
        let mut outcomes = Vec::new();
        while let Some((token, sent, due)) = self.on_the_way.front().copied()
            && (due <= now || all_is_well)
        {
            self.on_the_way.pop_front();
            outcomes.push((token, Outcome::Delivered));
            if now - sent > HOLD_AFTER {
                cluster.conditions.reach(LATE);
            }
        }
        outcomes
    }

    pub fn take_all(&mut self) -> impl Iterator<Item = Token> + '_ {
        self.on_the_way.drain(..).map(|(token, ..)| token)
    }

    /// Records that may go now.
    pub fn room(&self, cluster: &Cluster) -> usize {
        let is_slow = cluster.conditions.slow.is_some();
        if is_slow { IN_FLIGHT.saturating_sub(self.on_the_way.len()) } else { usize::MAX }
    }

    pub fn len(&self) -> usize {
        self.on_the_way.len()
    }
}

pub struct Conditions {
    pub random: Rng,
    pub slow: Option<SlowPath>,
    /// A broker has told the client to send nothing before.
    pub throttled_until: Duration,
    /// No question for metadata is answered before.
    pub late_until: Duration,
    /// What a listing shows until then, whatever is made or deleted meanwhile.
    listed: Option<(BTreeSet<String>, Duration)>,
    /// Topics that were deleted and not made again.
    pub deleted: BTreeSet<String>,
    /// What they had: a record that was acknowledged before is not lost by the forwarder.
    pub gone: BTreeMap<String, Vec<Stored>>,
    /// How often each topic was deleted.
    deletions: BTreeMap<String, u64>,
    /// What the histories are to reach.
    pub reached: BTreeMap<&'static str, u64>,
}

/// What may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    PathSlowOrQuick,
    Throttled,
    TopicDeleted,
    TopicMadeByHand,
    MetadataLate,
    ListingLags,
}

impl Conditions {
    pub fn new(seed: u64) -> Self {
        Self {
            random: Rng::with_seed(seed),
            slow: None,
            throttled_until: Duration::ZERO,
            late_until: Duration::ZERO,
            listed: None,
            deleted: BTreeSet::new(),
            gone: BTreeMap::new(),
            deletions: BTreeMap::new(),
            reached: BTreeMap::new(),
        }
    }

    pub fn reach(&mut self, what: &'static str) {
        *self.reached.entry(what).or_default() += 1;
    }

    /// What changes before the next step of a history, if anything does.
    pub fn next_change(&mut self) -> Option<Change> {
        Some(match self.random.u8(..60) {
            0..2 => Change::PathSlowOrQuick,
            2 => Change::Throttled,
            3 => Change::TopicDeleted,
            4 => Change::TopicMadeByHand,
            5 => Change::MetadataLate,
            6 => Change::ListingLags,
            _ => return None,
        })
    }

    pub fn random_time(&mut self) -> Duration {
        Duration::from_millis(self.random.u64(100..8_000))
    }

    pub fn toggle_path(&mut self) {
        let (latency, per_record) = (self.random.u64(..6_000), self.random.u64(10..400));
        self.slow = match self.slow {
            Some(_) => None,
            None => Some(SlowPath {
                latency: Duration::from_millis(latency),
                per_record: Duration::from_millis(per_record),
            }),
        };
    }

    /// The listing shows these topics for a while.
    pub fn lag(&mut self, topics: &BTreeMap<String, Vec<Stored>>, until: Duration) {
        self.listed = Some((topics.keys().cloned().collect(), until));
    }

    /// Names in the answer to a question for metadata, dead letters' topic excepted; `None` while a listing shows all
    /// that there is.
    pub fn listing(&self, now: Duration) -> Option<&BTreeSet<String>> {
        let (listed, until) = self.listed.as_ref()?;
        (now < *until).then_some(listed)
    }

    /// The topic and all of its records go.
    pub fn delete(&mut self, topic: &str, records: Vec<Stored>) {
        self.deleted.insert(topic.into());
        self.gone.entry(topic.into()).or_default().extend(records);
        *self.deletions.entry(topic.into()).or_default() += 1;
        self.reach("topic deleted");
    }

    /// Which of the topics with this name it is by now.
    pub fn generation(&self, topic: &str) -> u64 {
        self.deletions.get(topic).copied().unwrap_or(0)
    }

    pub fn is_made(&mut self, topic: &str) {
        if self.deleted.remove(topic) {
            self.reach("topic made again");
        }
    }

    /// Of the sender's topics one that is there, or one that is not.
    pub fn choose<'a>(&mut self, topics: impl Iterator<Item = &'a String>) -> Option<String> {
        let topics: Vec<_> = topics.filter(|topic| *topic != DEAD_LETTERS).collect();
        self.random.choice(topics).cloned()
    }

    pub fn all_is_well(&mut self) {
        self.slow = None;
        self.throttled_until = Duration::ZERO;
        self.late_until = Duration::ZERO;
        self.listed = None;
    }
}
