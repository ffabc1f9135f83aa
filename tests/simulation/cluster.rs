//! A seeded model of a Kafka cluster and of an idempotent producer in front of it.
//!
//! Every topic has two partitions, each with batches of its own. It does what real ones do to a
//! forwarder: acknowledges late, stores and loses the answer,
//! answers a batch with an error although only one record of it is bad, has topics that fail or hang
//! while others work, goes away as a whole, and takes its time to create a topic. What it stores
//! outlives the process that produced it.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Bound,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use millrace::{
    kafka::produce::{Commit, Failure, Outcome, SendError, Sink, Token, TopicState},
    record::Record,
};

use crate::{
    conditions::{Conditions, LateAnswers},
    registry::Registry,
    sent_once::SentOnce,
    trace::Trace,
    transactions::Transaction,
};

/// A record that the cluster has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    pub key: Vec<u8>,
    pub value: Vec<u8>,
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Stored {
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(header, _)| header == name)?;
        std::str::from_utf8(value).ok()
    }

    /// Whether it has no value, by what it says it is.
    pub fn is_tombstone(&self) -> bool {
        let is = self.header("ce_type").and_then(|of| of.strip_prefix("millrace.lead-state."));
        matches!(is, Some("merged-into" | "deleted"))
    }
}

/// How a topic misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Every batch is answered with an error that may pass.
    Failing,
    /// Nothing is answered at all.
    Hanging,
}

#[derive(Clone, Debug, Default)]
pub struct Counters {
    pub stored: u64,
    pub late_acknowledgements: u64,
    pub lost_acknowledgements: u64,
    pub passing_failures: u64,
    pub refusals: u64,
    pub purged: u64,
    pub renewals: u64,
    pub queue_full: u64,
    pub fatal: u64,
    pub secrets_replaced: u64,
    pub over_limit: u64,
    /// Commits that happened without an answer, and transactions that took too long.
    pub lost_commits: u64,
    pub timed_out_transactions: u64,
    /// Producers that found out that somebody else has their identity.
    pub fenced: u64,
}

/// The topic by which replicas tell each other ids, in histories with replicas.
#[derive(Default)]
pub struct Ids {
    pub records: Vec<Vec<u8>>,
    /// It takes none, and says nothing.
    pub hangs: bool,
}

pub struct Cluster {
    pub random: fastrand::Rng,
    /// What is there to be read; of transactions what is committed.
    pub topics: BTreeMap<String, Vec<Stored>>,
    /// The last checkpoint of each spool that was committed.
    pub checkpoints: BTreeMap<String, Vec<u8>>,
    /// The same by the volume whose process committed it.
    pub committed: BTreeMap<(String, usize), Vec<u8>>,
    /// How often each transactional identity was taken over.
    pub epochs: BTreeMap<String, u64>,
    pub away: bool,
    /// Since when it is away, in simulated time.
    pub away_since: Duration,
    pub now: Duration,
    pub troubles: BTreeMap<String, Trouble>,
    /// Topics that cannot be created or, if they are there, not be written.
    pub forbidden: BTreeSet<String>,
    /// Most topics that are created beside the one of dead letters; one more is over the limit.
    pub limit: usize,
    /// How often a topic that is being created was asked for.
    creating: BTreeMap<String, u32>,
    /// How many of a thousand polls turn the producer fatal.
    pub fatal_per_mille: u16,
    /// How many of a thousand questions find new credentials.
    pub secrets_per_mille: u16,
    /// How long each record takes on the way; none is no time.
    pub a_record_takes: Duration,
    /// Topics that hang do so for the client that knew them before: another one writes them.
    pub clients_grow_stale: bool,
    /// Topics that hang take records, and say nothing of them; otherwise these stay in the client's queue.
    pub hanging_take_records: bool,
    /// Everything is well and quick from now on: for the quiet end of a history.
    pub quiet: bool,
    /// Senders repeat, and what they have sent may have been forgotten, or lost by damage and given to
    /// who comes with it next: one record may then come twice for other reasons than the forwarder's.
    pub may_repeat: bool,
    pub counters: Counters,
    pub conditions: Conditions,
    /// Where values have their schemas from, in histories with flat values.
    pub registry: Option<Arc<Registry>>,
    pub ids: Ids,
    pub trace: Trace,
}

/// Records that contain this are refused for good, and take their batch with them.
pub const POISON: &[u8] = b"REFUSE-ME";

impl Cluster {
    pub fn new(seed: u64) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self {
            random: fastrand::Rng::with_seed(seed),
            topics: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            committed: BTreeMap::new(),
            epochs: BTreeMap::new(),
            away: false,
            away_since: Duration::ZERO,
            now: Duration::ZERO,
            troubles: BTreeMap::new(),
            forbidden: BTreeSet::new(),
            limit: usize::MAX,
            creating: BTreeMap::new(),
            fatal_per_mille: 0,
            secrets_per_mille: 0,
            a_record_takes: Duration::ZERO,
            clients_grow_stale: false,
            hanging_take_records: false,
            quiet: false,
            may_repeat: false,
            counters: Counters::default(),
            conditions: Conditions::new(!seed),
            registry: None,
            ids: Ids::default(),
            trace: Trace::default(),
        }))
    }

    /// A record is there to be read, unless its topic was deleted since it was sent.
    pub fn store(&mut self, topic: String, generation: u64, stored: Stored) {
        self.trace.stored(&topic, &stored);
        self.counters.stored += 1;
        let topics = match generation == self.conditions.generation(&topic) {
            true => &mut self.topics,
            false => &mut self.conditions.gone,
        };
        topics.entry(topic).or_default().push(stored);
    }

    /// All records that were ever there, those of deleted topics first.
    pub fn records<'a>(&'a self, topic: &str) -> impl Iterator<Item = &'a Stored> {
        let gone = self.conditions.gone.get(topic).into_iter().flatten();
        gone.chain(self.topics.get(topic).into_iter().flatten())
    }

    /// Every topic that was ever there.
    pub fn all_topics(&self) -> BTreeSet<&String> {
        self.topics.keys().chain(self.conditions.gone.keys()).collect()
    }

    pub fn delete(&mut self, topic: &str) {
        let records = self.topics.remove(topic).unwrap_or_default();
        self.creating.remove(topic);
        self.conditions.delete(topic, records);
    }

    pub fn make(&mut self, topic: &str) {
        self.topics.entry(topic.into()).or_default();
        self.conditions.is_made(topic);
    }

    pub fn chance(&mut self, percent: u8) -> bool {
        !self.quiet && self.random.u8(..100) < percent
    }
}

struct Queued {
    token: Token,
    topic: String,
    partition: u8,
    stored: Stored,
}

/// The producer of one process. Dropping it is a crash of that process: what was stored stays, what
/// was queued is gone, and answers on their way are lost.
pub struct Producer {
    cluster: Rc<RefCell<Cluster>>,
    queue: VecDeque<Queued>,
    /// Stored, but the acknowledgement is still on its way.
    unanswered: Vec<Token>,
    /// The same on a slow path.
    late: LateAnswers,
    /// Taken by a topic that hangs.
    swallowed: Vec<Token>,
    /// One batch at a time is on a slow line; what the cluster says of it comes then.
    on_the_line: Vec<(Token, Outcome)>,
    line_is_free_at: Duration,
    /// The partition that was served last: they take turns on the line.
    served: (String, u8),
    outcomes: Vec<(Token, Outcome)>,
    sent: SentOnce,
    /// For exactly-once delivery: what is not committed.
    transaction: Option<Transaction>,
    /// What was sent in transactions that are committed.
    sent_before: SentOnce,
    /// It has taken over once.
    started: bool,
    /// The next renewal begins with a new client.
    stale: bool,
    /// Topics that hung when this client was made, and are well for it.
    well: BTreeSet<String>,
    purged: bool,
    fatal: bool,
    queue_limit: usize,
    record_limit: usize,
}

impl Producer {
    pub fn new(cluster: Rc<RefCell<Cluster>>, queue_limit: usize, record_limit: usize) -> Self {
        let well = well_for_a_new_client(&cluster.borrow());
        Self {
            cluster,
            queue: VecDeque::new(),
            unanswered: Vec::new(),
            swallowed: Vec::new(),
            late: LateAnswers::default(),
            on_the_line: Vec::new(),
            line_is_free_at: Duration::ZERO,
            served: Default::default(),
            outcomes: Vec::new(),
            sent: SentOnce::default(),
            transaction: None,
            sent_before: SentOnce::default(),
            started: false,
            stale: false,
            well,
            purged: false,
            fatal: false,
            queue_limit,
            record_limit,
        }
    }

    /// Of a spool with this id on the volume with this number, for exactly-once delivery; its first
    /// renewal takes over.
    pub fn transactional(mut self, spool: String, volume: usize) -> Self {
        self.transaction = Some(Transaction::new(spool, volume));
        self.fatal = true;
        self
    }

    fn doom(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.doomed = true;
        }
    }

    /// `false` while the cluster is away: then nobody knows what was committed.
    fn take_back(&mut self) -> bool {
        let Some(transaction) = &mut self.transaction else { return true };
        let mut cluster = self.cluster.borrow_mut();
        if cluster.away && self.started {
            return false;
        }
        self.started = true;
        let has_to = self.fatal || self.stale || transaction.is_fenced(&cluster);
        let takes_over = has_to || cluster.chance(50);
        transaction.take_back(takes_over, &mut cluster);
        self.stale = !takes_over;
        self.sent = self.sent_before.clone();
        true
    }

    fn work(&mut self) {
        let cluster = self.cluster.clone();
        let mut cluster = cluster.borrow_mut();
        if cluster.away || self.fatal {
            return;
        }
        if self.transaction.as_ref().is_some_and(|it| it.is_too_old(cluster.now)) {
            cluster.counters.timed_out_transactions += 1;
            return self.turn_fatal(&mut cluster);
        }
        // The brokers tell who sends something.
        let fenced = self.transaction.as_ref().is_some_and(|it| it.is_fenced(&cluster));
        if fenced && !self.queue.is_empty() {
            cluster.counters.fenced += 1;
            return self.turn_fatal(&mut cluster);
        }
        if cluster.random.u16(..1000) < cluster.fatal_per_mille {
            return self.turn_fatal(&mut cluster);
        }
        for token in std::mem::take(&mut self.unanswered) {
            if cluster.chance(50) {
                self.unanswered.push(token);
            } else {
                self.outcomes.push((token, Outcome::Delivered));
            }
        }
        self.outcomes.extend(self.late.take_due(&mut cluster));
        if cluster.now < cluster.conditions.throttled_until {
            return;
        }
        let partitions: BTreeSet<_> =
            self.queue.iter().map(|queued| (queued.topic.clone(), queued.partition)).collect();
        if cluster.a_record_takes > Duration::ZERO {
            return self.use_the_line(&mut cluster, &partitions);
        }
        for (topic, partition) in self.late.in_turn(&partitions) {
            if cluster.chance(20) {
                continue; // still in the batch that is being gathered
            }
            self.send_batch(&mut cluster, &topic, partition);
        }
    }

    /// All that is stored and not acknowledged.
    fn take_unanswered(&mut self) -> Vec<Token> {
        let on_the_line = self.on_the_line.drain(..).map(|(token, _)| token);
        let swallowed = self.swallowed.drain(..);
        self.unanswered
            .drain(..)
            .chain(swallowed)
            .chain(on_the_line)
            .chain(self.late.take_all())
            .collect()
    }

    /// Lets the next partition have the slow line, once the last one's batch has arrived.
    fn use_the_line(&mut self, cluster: &mut Cluster, partitions: &BTreeSet<(String, u8)>) {
        if cluster.now < self.line_is_free_at {
            return;
        }
        self.outcomes.append(&mut self.on_the_line);
        let others = partitions.range((Bound::Excluded(self.served.clone()), Bound::Unbounded));
        let in_turn: Vec<_> = others.chain(partitions).cloned().collect();
        let (queued, answered) = (self.queue.len(), self.outcomes.len());
        for (topic, partition) in in_turn {
            self.send_batch(cluster, &topic, partition);
            let records = u32::try_from(queued - self.queue.len()).expect("a batch is small");
            if records > 0 {
                self.on_the_line = self.outcomes.split_off(answered);
                self.line_is_free_at = cluster.now + cluster.a_record_takes * records;
                self.served = (topic, partition);
                return;
            }
        }
    }

    /// Nothing goes on with this producer; what was stored and not acknowledged may come again.
    fn turn_fatal(&mut self, cluster: &mut Cluster) {
        self.fatal = true;
        cluster.counters.fatal += 1;
        let unanswered = self.take_unanswered();
        if self.transaction.is_none() {
            cluster.counters.lost_acknowledgements += unanswered.len() as u64;
        }
        let queued = self.queue.drain(..).map(|queued| queued.token);
        let failed = unanswered.into_iter().chain(queued);
        let fatal = || Outcome::Failed(Failure::Fatal("fenced".into()));
        self.outcomes.extend(failed.map(|token| (token, fatal())));
    }

    fn send_batch(&mut self, cluster: &mut Cluster, topic: &str, partition: u8) {
        let trouble = cluster.troubles.get(topic).copied();
        if trouble == Some(Trouble::Hanging) && !self.well.contains(topic) {
            if cluster.hanging_take_records {
                let (taken, rest) = std::mem::take(&mut self.queue)
                    .into_iter()
                    .partition::<Vec<_>, _>(|queued| queued.topic == topic);
                self.queue = rest.into();
                self.swallowed.extend(taken.iter().map(|queued| queued.token));
            }
            return;
        }
        let size = match cluster.quiet {
            true if cluster.a_record_takes > Duration::ZERO => 8,
            true => usize::MAX,
            false => cluster.random.usize(1..=8),
        };
        let size = size.min(self.late.room(cluster));
        if size == 0 {
            return;
        }
        let mut batch = Vec::new();
        let mut rest = VecDeque::new();
        for queued in self.queue.drain(..) {
            let here = queued.topic == topic && queued.partition == partition;
            if here && batch.len() < size {
                batch.push(queued);
            } else {
                rest.push_back(queued);
            }
        }
        self.queue = rest;

        let failing = trouble == Some(Trouble::Failing)
            || cluster.forbidden.contains(topic)
            || cluster.conditions.deleted.contains(topic);
        let failure = if failing || cluster.chance(2) {
            cluster.counters.passing_failures += 1;
            Some(Failure::Passing("not now".into()))
        } else if batch.iter().any(|queued| contains(&queued.stored.value, POISON))
            && topic != DEAD_LETTERS
        {
            cluster.counters.refusals += 1;
            Some(Failure::Refused("never".into()))
        } else {
            None
        };
        if cluster.conditions.slow.is_some() {
            self.late.serves(topic, partition);
        }
        for Queued { token, topic, stored, .. } in batch {
            if let Some(failure) = &failure {
                self.doom();
                self.outcomes.push((token, Outcome::Failed(failure.clone())));
                continue;
            }
            let generation = cluster.conditions.generation(&topic);
            match &mut self.transaction {
                Some(transaction) => transaction.add(cluster.now, (topic, generation, stored)),
                None => cluster.store(topic, generation, stored),
            }
            if let Some(path) = cluster.conditions.slow {
                self.late.push(token, path, cluster.now);
                continue;
            }
            if cluster.chance(30) {
                cluster.counters.late_acknowledgements += 1;
                self.unanswered.push(token);
            } else {
                self.outcomes.push((token, Outcome::Delivered));
            }
        }
    }
}

fn well_for_a_new_client(cluster: &Cluster) -> BTreeSet<String> {
    let hanging = cluster.troubles.iter().filter(|(_, trouble)| **trouble == Trouble::Hanging);
    let hanging = hanging.filter(|_| cluster.clients_grow_stale);
    hanging.map(|(topic, _)| topic.clone()).collect()
}

const PARTITIONS: u8 = 2;

/// The dead-letter topic of the simulation.
pub const DEAD_LETTERS: &str = "dead";

/// The topic of lead states, where a history has them.
pub const STATES: &str = "states";

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

impl Sink for Producer {
    fn send(&mut self, record: &Record<'_>, token: Token) -> Result<(), SendError> {
        if self.purged {
            return Err(SendError::Failed(Failure::Purged));
        }
        if self.fatal {
            return Err(SendError::Failed(Failure::Fatal("fenced".into())));
        }
        if self.transaction.as_ref().is_some_and(|transaction| transaction.doomed) {
            return Err(SendError::Failed(Failure::Purged));
        }
        let mut cluster = self.cluster.borrow_mut();
        if self.queue.len() >= self.queue_limit {
            cluster.counters.queue_full += 1;
            return Err(SendError::QueueFull);
        }
        assert!(record.size() <= self.record_limit, "the forwarder knows the limit");
        let headers =
            record.headers.iter().map(|(name, value)| ((*name).into(), value.to_vec())).collect();
        let stored = Stored {
            key: record.key.unwrap_or_default().into(),
            value: record.value.unwrap_or_default().into(),
            headers,
        };
        assert!(record.value.is_some() || stored.is_tombstone(), "a null value of an event");
        assert!(
            !stored.is_tombstone() || record.topic == STATES,
            "a tombstone on {}",
            record.topic
        );
        cluster.trace.sent(record.topic, &stored);
        if !cluster.may_repeat {
            self.sent.send(token, record.topic, &stored);
        }
        let partition =
            record.key.unwrap_or_default().iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
                % PARTITIONS;
        self.queue.push_back(Queued { token, topic: record.topic.into(), partition, stored });
        Ok(())
    }

    fn poll(&mut self, timeout: Duration, outcomes: &mut Vec<(Token, Outcome)>) {
        self.cluster.borrow_mut().now += timeout;
        self.work();
        let mut cluster = self.cluster.borrow_mut();
        for (token, outcome) in &self.outcomes {
            cluster.trace.settled(*token, outcome);
            self.sent.answered(*token, outcome);
        }
        drop(cluster);
        outcomes.append(&mut self.outcomes);
    }

    fn purge(&mut self) {
        self.purged = true;
        let mut cluster = self.cluster.borrow_mut();
        for queued in self.queue.drain(..) {
            cluster.counters.purged += 1;
            self.outcomes.push((queued.token, Outcome::Failed(Failure::Purged)));
        }
    }

    fn renew(&mut self, _give_up: &dyn Fn() -> bool) -> Result<(), Failure> {
        self.purge();
        let taken_over = self.transaction.is_none() || self.take_back();
        if !taken_over {
            return Err(Failure::Passing("the cluster is away".into()));
        }
        self.purged = false;
        self.fatal = false;
        let unanswered = self.take_unanswered();
        let mut cluster = self.cluster.borrow_mut();
        if self.transaction.is_none() || !self.stale {
            self.well = well_for_a_new_client(&cluster);
        }
        self.stale = false;
        cluster.counters.renewals += 1;
        for token in unanswered {
            // A committed record has no acknowledgement that could be lost.
            cluster.counters.lost_acknowledgements += u64::from(self.transaction.is_none());
            self.outcomes.push((token, Outcome::Failed(Failure::Purged)));
        }
        Ok(())
    }

    fn refresh(&mut self) {
        self.stale = true;
    }

    fn commit(&mut self, checkpoint: &Record<'_>, _patience: Duration) -> Commit {
        let unanswered = self.unanswered.len() + self.late.len();
        assert_eq!(self.queue.len() + unanswered, 0, "something is on its way");
        assert!(!self.purged, "it is taken back");
        let transaction = self.transaction.as_mut().expect("a transactional producer");
        if self.fatal {
            return Commit::Failed(Failure::Fatal("fenced".into()));
        }
        let commit = transaction.commit(&mut self.cluster.borrow_mut(), checkpoint);
        if commit == Commit::Done || transaction.has_happened() {
            self.sent_before = self.sent.clone();
        }
        commit
    }

    fn committed(&mut self) -> Option<Vec<u8>> {
        self.transaction.as_mut()?.found.take()
    }

    fn wants_renewal(&self) -> bool {
        let mut cluster = self.cluster.borrow_mut();
        let often = cluster.secrets_per_mille;
        let wants = often > 0 && !cluster.quiet && cluster.random.u16(..1000) < often;
        cluster.counters.secrets_replaced += u64::from(wants);
        wants
    }

    fn topic(&mut self, topic: &str) -> TopicState {
        let mut cluster = self.cluster.borrow_mut();
        if cluster.away && !cluster.topics.contains_key(topic) {
            return TopicState::Pending;
        }
        if cluster.now < cluster.conditions.late_until {
            cluster.conditions.reach("metadata that came late");
            return TopicState::Pending;
        }
        if cluster.forbidden.contains(topic) {
            return TopicState::Unavailable("forbidden".into());
        }
        let lags = cluster.conditions.listing(cluster.now).cloned();
        let is_listed = |name: &String| lags.as_ref().is_none_or(|listed| listed.contains(name));
        let is_there = cluster.topics.contains_key(topic);
        if lags.as_ref().map_or(is_there, |listed| listed.contains(topic)) {
            return TopicState::Ready;
        }
        let is_own = |name: &str| [DEAD_LETTERS, STATES].contains(&name);
        let counted = cluster.topics.keys().filter(|name| !is_own(name));
        let counted = counted.filter(|name| is_listed(name)).count();
        if counted >= cluster.limit && !is_own(topic) {
            cluster.counters.over_limit += 1;
            return TopicState::OverLimit;
        }
        if is_there {
            cluster.conditions.reach("topic that was not listed yet");
            return TopicState::Pending;
        }
        let asked = cluster.creating.entry(topic.into()).or_default();
        *asked += 1;
        if *asked < 3 {
            return TopicState::Pending;
        }
        cluster.make(topic);
        TopicState::Ready
    }

    fn cluster_silence(&self) -> Option<Duration> {
        let cluster = self.cluster.borrow();
        Some(if cluster.away {
            cluster.now.saturating_sub(cluster.away_since)
        } else {
            Duration::ZERO
        })
    }

    fn is_throttled(&self) -> bool {
        let cluster = self.cluster.borrow();
        cluster.now < cluster.conditions.throttled_until
    }

    fn record_limit(&self) -> usize {
        self.record_limit
    }
}
