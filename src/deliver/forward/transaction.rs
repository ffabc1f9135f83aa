//! Exactly-once delivery: what is sent between two commits becomes visible together, and with it the
//! checkpoint that passes it.
//!
//! The lanes work as they do without transactions, but *settled* means no more than "will be, once
//! this transaction is committed". So at a commit nothing is on its way, and the checkpoint is where
//! the lanes stand; refused events that wait for the dead-letter topic are named in it, since what
//! came behind them is committed. Ids, metrics and the local file follow the commit. Whatever fails
//! takes the whole transaction back, to the last checkpoint (`abort.rs`). What is likely to fail is
//! asked alone, in a transaction of its own (`asking.rs`).
//!
//! Of two processes with the same spool only one goes on: each checkpoint names its writer, a process
//! writes one as soon as it has taken over, and who finds that somebody else has written since stops
//! for good. A transaction that was merely given up by the cluster, since this process was frozen or
//! cut off, has no other writer.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use uuid::Uuid;

use super::{
    ForwardError, Forwarder, Now, Progress,
    held::{HeldTopic, Phase},
    rejected::Known,
    window::Window,
};
use crate::{
    deliver::{
        checkpoint::{Checkpoint, Held, Refused},
        deduplicate::Attempt,
    },
    kafka::produce::{Commit, Sink},
    record::Record,
    spool::position::Position,
};

/// How long one look at a commit under way lasts.
const PATIENCE: Duration = Duration::from_millis(50);

/// While a backlog is brought in, nobody waits for its last event: commits come so many times later,
/// up to so late. Not while a topic is held: what it asks rests on commits. Well below the time after
/// which the cluster gives a transaction up.
const BEHIND: u32 = 4;
const BEHIND_AT_MOST: Duration = Duration::from_secs(2);

/// Text that a refused event may bring into the checkpoint.
const ERROR_LENGTH: usize = 200;

/// Refused events that may wait for the dead-letter topic: they stand in each checkpoint, which must fit
/// into a record. And what one of them takes there at most.
const WAITING: usize = 500;
const WAITING_BYTES: usize = 2048;

/// What a forwarder is told of exactly-once delivery.
#[derive(Clone, Debug)]
pub struct Transactions {
    /// The topic of checkpoints.
    pub topic: String,
    /// How long one commit comes after the other at least.
    pub interval: Duration,
}

pub(super) struct Transaction {
    settings: Transactions,
    /// Names this process in its checkpoints.
    writer: Uuid,
    /// What is known to be committed, or to be delivered by a process without transactions.
    pub committed: Checkpoint,
    /// The writer and number of what was on the topic when this process took over.
    found: Option<(Option<Uuid>, u64)>,
    /// Nothing is sent before this process has committed a checkpoint of its own.
    pub took_over: bool,
    /// Records since the last commit.
    pub records: u64,
    /// It ends: nothing more is sent.
    pub ending: bool,
    /// Ends as soon as it can.
    pub urgent: bool,
    /// All that there is was read while it is open.
    caught_up: bool,
    /// The checkpoint whose commit has begun.
    pub attempt: Option<Checkpoint>,
    /// The number of the last one that was tried.
    attempts: u64,
    last: Option<Instant>,
    /// It is being taken back.
    pub going_back: bool,
    /// Events that were refused, until they are somewhere else.
    pub refused: BTreeMap<Position, Known>,
    /// Those of them that are, in this transaction.
    pub dealt_with: Vec<Position>,
    /// Dead letters in this transaction, by reason.
    pub letters: BTreeMap<&'static str, u64>,
    /// Dead letters that could not be written: they wait, and don't ask for themselves.
    pub failed_letters: BTreeSet<Position>,
    /// Since when it has held nothing but records that ask.
    pub asking: Option<Instant>,
    /// A dead letter wants to ask.
    pub letter_asks: bool,
    pub asks_again_at: Option<Instant>,
}

impl Transaction {
    pub fn new(settings: Transactions, committed: Checkpoint, found: Option<&Checkpoint>) -> Self {
        Self {
            settings,
            writer: Uuid::new_v4(),
            committed,
            found: found.map(|found| (found.writer, found.number)),
            took_over: false,
            records: 0,
            ending: false,
            urgent: false,
            caught_up: false,
            attempt: None,
            attempts: 0,
            last: None,
            going_back: false,
            refused: BTreeMap::new(),
            dealt_with: Vec::new(),
            letters: BTreeMap::new(),
            failed_letters: BTreeSet::new(),
            asking: None,
            letter_asks: false,
            asks_again_at: None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// How long it may take.
    fn interval(&self, is_backlog: bool) -> Duration {
        let interval = self.settings.interval;
        match is_backlog {
            true => interval.max((interval * BEHIND).min(BEHIND_AT_MOST)),
            false => interval,
        }
    }

    /// Whether `found` was written by another process since this one knows the topic.
    pub fn is_of_another(&self, found: &Checkpoint) -> bool {
        found.writer != Some(self.writer) && Some((found.writer, found.number)) != self.found
    }

    /// Nothing of it is left: the next one may begin.
    pub fn begin(&mut self) {
        self.records = 0;
        (self.ending, self.urgent, self.caught_up) = (false, false, false);
        self.attempt = None;
        self.asking = None;
        self.dealt_with.clear();
        self.letters.clear();
    }
}

impl<S: Sink> Forwarder<S> {
    /// Ends the transaction when it is time; then there is nothing else to do meanwhile.
    pub(super) fn end_transaction(&mut self, now: Now) -> Result<Option<Progress>, ForwardError> {
        if self.transaction.is_none() {
            return Ok(None);
        }
        if self.needs_reset {
            return Ok(Some(Progress::Waiting)); // it can't be taken back yet
        }
        let due = self.commit_is_due(now);
        let outstanding = self.topics.outstanding();
        let Some(transaction) = &mut self.transaction else { return Ok(None) };
        transaction.ending |= due;
        if !transaction.ending {
            return Ok(None);
        }
        if outstanding > 0 {
            return Ok(Some(Progress::Waiting));
        }
        let checkpoint = match self.transaction.as_ref().and_then(|it| it.attempt.clone()) {
            Some(begun) => begun,
            None => {
                self.enter_as_writer()?;
                self.prepare_to_commit(now)
            }
        };
        let Some(transaction) = &mut self.transaction else { return Ok(None) };
        transaction.attempt = Some(checkpoint.clone());
        let (key, value) = (checkpoint.spool.to_string(), checkpoint.to_json());
        let topic = transaction.settings.topic.clone();
        let record = Record {
            topic: &topic,
            key: Some(key.as_bytes()),
            value: value.as_bytes(),
            headers: &[],
        };
        match self.sink.commit(&record, PATIENCE) {
            Commit::Pending => Ok(Some(Progress::Waiting)),
            Commit::Done => {
                self.has_committed(checkpoint, "committed", now)?;
                Ok(Some(Progress::Moved))
            }
            Commit::Failed(error) => {
                tracing::warn!(
                    source = %self.spool.source(), %error,
                    "commit result of a transaction unknown; reading it from the checkpoint topic",
                );
                self.needs_reset = true;
                Ok(Some(Progress::Moved))
            }
        }
    }

    /// A later start must know whom to take for this volume's own, and that from the first commit on.
    fn enter_as_writer(&self) -> Result<(), ForwardError> {
        if let Some(transaction) = self.transaction.as_ref().filter(|it| !it.took_over) {
            let last = transaction.found.and_then(|(writer, _)| writer);
            self.checkpoint.writers().enter(transaction.writer, last)?;
        }
        Ok(())
    }

    fn commit_is_due(&self, now: Now) -> bool {
        let Some(transaction) = &self.transaction else { return false };
        if transaction.urgent || !transaction.took_over {
            return true;
        }
        if transaction.asking.is_some() {
            return self.topics.outstanding() == 0;
        }
        let is_backlog = !transaction.caught_up && self.held.is_empty();
        let interval = transaction.interval(is_backlog);
        let long_ago = transaction.last.is_none_or(|last| now.instant >= last + interval);
        // What was passed over moves the checkpoint although nothing was sent.
        long_ago && (!transaction.is_empty() || self.has_moved())
    }

    /// The main lane has read all that there is.
    pub(super) fn has_caught_up(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.caught_up = true;
        }
    }

    /// Whether there is anything that a commit would change.
    pub(super) fn has_moved(&self) -> bool {
        let Some(transaction) = &self.transaction else { return false };
        let committed = &transaction.committed;
        self.main.next() != committed.low
            || self.held_by_next() != committed.held
            || self.letters.waiting.len() != committed.refused.len()
    }

    /// Whether the checkpoint has room for one more refused event that waits.
    pub(super) fn one_more_may_wait(&self) -> bool {
        let most = WAITING.min(self.sink.record_limit() / WAITING_BYTES);
        self.transaction.is_none() || self.letters.waiting.len() < most
    }

    /// Nothing that was looked at was taken back since. A lane that went back owes what its window has
    /// forgotten, with and without transactions.
    pub(super) fn owes_nothing(&self) -> bool {
        let caught_up = self.held.values().all(|held| held.lane.next() >= self.main.next());
        let Some(transaction) = &self.transaction else { return caught_up };
        transaction.is_empty() && caught_up && !self.has_moved()
    }

    /// The checkpoint to commit, with the ids on disk that go with it.
    fn prepare_to_commit(&mut self, now: Now) -> Checkpoint {
        let checkpoint = self.checkpoint_to_commit(now);
        if let Some(transaction) = &mut self.transaction {
            transaction.attempts = checkpoint.number;
            let attempt = Attempt { number: checkpoint.number, writer: transaction.writer };
            self.claims.prepare(attempt, now.unix);
        }
        checkpoint
    }

    /// Where the lanes stand; nothing is on its way.
    fn checkpoint_to_commit(&self, now: Now) -> Checkpoint {
        let transaction = self.transaction.as_ref();
        let last = transaction.map_or(0, |it| it.committed.number.max(it.attempts));
        Checkpoint {
            low: self.main.next(),
            held: self.held_by_next(),
            // A file that another mode wrote may count further; what an attempt was called that was
            // aborted is no name for another.
            number: last.max(self.saved.number) + 1,
            writer: self.transaction.as_ref().map(|transaction| transaction.writer),
            refused: self.waiting_refused(),
            written_at: now.unix,
            ..self.saved.clone()
        }
    }

    fn held_by_next(&self) -> Vec<Held> {
        let main = self.main.next();
        let is_back = |held: &HeldTopic| held.phase == Phase::Draining && held.lane.next() <= main;
        let held = self.held.iter().filter(|(_, held)| !is_back(held));
        let held = held.map(|(topic, held)| Held {
            topic: self.topics.get(*topic).name.clone(),
            position: held.lane.next(),
        });
        held.collect()
    }

    fn waiting_refused(&self) -> Vec<Refused> {
        let waiting = self.letters.waiting.iter().filter_map(|rejected| {
            let lane = self.lane(Window::lane_of(rejected.token))?;
            let slot = lane.window.get(rejected.token)?;
            let topic = slot.belongs_to.map(|topic| self.topics.get(topic).name.clone());
            let error: String = rejected.error.chars().take(ERROR_LENGTH).collect();
            let reason = rejected.reason.to_owned();
            Some(Refused { position: slot.position, topic, reason, error })
        });
        let mut waiting: Vec<_> = waiting.collect();
        waiting.sort_by_key(|refused| refused.position);
        waiting
    }

    /// The transaction with `checkpoint` is committed: what is settled is so for good.
    pub(super) fn has_committed(
        &mut self,
        checkpoint: Checkpoint,
        outcome: &str,
        now: Now,
    ) -> Result<(), ForwardError> {
        self.count_transaction(outcome);
        self.topics.count_delivered();
        let Some(transaction) = &mut self.transaction else { return Ok(()) };
        for (reason, letters) in &transaction.letters {
            let labels = [self.spool.source().as_str(), reason];
            self.metrics.dead_letters.with_label_values(&labels).inc_by(*letters);
        }
        let lowest = checkpoint.lowest();
        transaction.failed_letters.retain(|position| *position >= lowest);
        for position in std::mem::take(&mut transaction.dealt_with) {
            transaction.refused.remove(&position);
        }
        transaction.begin();
        // The first one only took over: what comes next has waited long enough.
        let took_over = std::mem::replace(&mut transaction.took_over, true);
        transaction.last = took_over.then_some(now.instant);
        transaction.committed = checkpoint;
        self.forget_what_is_behind();
        self.claims.save(now.unix);
        self.save_committed(now)
    }

    /// Brings the file up to what is committed. It may lag behind that, and never be ahead.
    pub(super) fn save_committed(&mut self, now: Now) -> Result<(), ForwardError> {
        let Some(transaction) = &self.transaction else { return Ok(()) };
        self.saved_at = Some(now.instant);
        if transaction.committed != self.saved {
            // The file alone knows how far this spool was durable.
            let stored = self.spool.durable_end();
            self.checkpoint.store(&Checkpoint { stored, ..transaction.committed.clone() })?;
            self.saved = transaction.committed.clone();
        }
        self.spool.delivered(self.saved.lowest());
        Ok(())
    }

    pub(super) fn count_transaction(&self, outcome: &str) {
        let labels = [self.spool.source().as_str(), outcome];
        self.metrics.transactions.with_label_values(&labels).inc();
    }

    /// A record goes into the transaction.
    pub(super) fn joins_transaction(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.records += 1;
        }
    }

    /// For a stop: whether nothing is left to commit.
    pub(super) fn finish_transaction(&mut self, now: Now) -> Result<bool, ForwardError> {
        let moved = self.has_moved();
        match &mut self.transaction {
            Some(transaction) if transaction.took_over && !self.needs_reset => {
                if !moved && transaction.is_empty() {
                    return Ok(true);
                }
                transaction.urgent = true;
            }
            // Nothing of it is left, or nobody knows: the next start looks.
            _ => return Ok(true),
        }
        self.end_transaction(now)?;
        Ok(!self.has_moved() && self.transaction.as_ref().is_some_and(Transaction::is_empty))
    }
}
