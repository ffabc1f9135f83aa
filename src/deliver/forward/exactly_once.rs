//! Exactly-once delivery: the records between two commits become visible together, and with them the checkpoint that
//! passes them.
//!
//! The lanes work as they do without transactions, but *settled* means no more than "will be, once
//! this transaction is committed". So at a commit nothing is on its way, and the checkpoint is where
//! the lanes stand; refused events that wait for the dead-letter topic are named in it, since the events
//! behind them are committed. Ids, metrics and the local file follow the commit. Any failure takes the whole
//! transaction back, to the last checkpoint (`rewind.rs`). A topic that is likely to fail is probed alone, in a
//! transaction of its own (`probes.rs`).
//!
//! Only one of two processes with the same spool goes on: each checkpoint names its writer, a process
//! writes one as soon as it has taken over, and one that finds that another has written since stops
//! for good. A transaction that was merely given up by the cluster, since this process was frozen or
//! cut off, has no other writer.

mod commit;
mod probes;
mod refusals;
mod rewind;

use std::time::{Duration, Instant};

use super::{
    Now, Owners, Progress, Result,
    dead_letters::DeadLetterQueue,
    guarantee::Probe,
    held::Hold,
    lanes::Lanes,
    out::Trouble,
    outcomes::Answer,
    refusal::{REFUSED, Stage},
    topics::{TopicId, Topics},
    window::{Carries, Slot, State},
};
use crate::{
    deliver::checkpoint::Checkpoint,
    kafka::produce::{Failure, Sink},
    spool::position::Position,
};

pub(super) use refusals::Known;
use {
    commit::Transaction,
    commit::Writer,
    probes::{MayProbe, Probes},
    refusals::Refusals,
};

/// While a backlog is brought in, no reader waits for its last event: the commit interval is so many times longer,
/// within a limit. Not while a topic is held: its probe rests on commits. The limit is well below the time after
/// which the cluster gives a transaction up.
const BACKLOG_FACTOR: u32 = 4;
const MAX_BACKLOG_INTERVAL: Duration = Duration::from_secs(2);

/// Limit of the refused events that wait for the dead-letter topic, and of the bytes of each: they stand in each
/// checkpoint, which must fit into a record.
const MAX_WAITING: usize = 500;
const BYTES_PER_WAITING: usize = 2048;

/// Settings of exactly-once delivery.
#[derive(Clone, Debug)]
pub struct Transactions {
    /// The topic of checkpoints.
    pub topic: String,
    /// Shortest time between two commits.
    pub interval: Duration,
}

pub(super) struct ExactlyOnce {
    settings: Transactions,
    writer: Writer,
    /// The last checkpoint known to be committed, or written by a process without transactions.
    committed: Checkpoint,
    transaction: Transaction,
    /// The number of the last checkpoint that was tried.
    attempts: u64,
    last: Option<Instant>,
    /// The transaction is being taken back.
    is_rewinding: bool,
    refusals: Refusals,
    probes: Probes,
}

impl ExactlyOnce {
    /// Continues from `committed`; `found` is the checkpoint on the topic when this process took over.
    pub fn new(settings: Transactions, committed: Checkpoint, found: Option<&Checkpoint>) -> Self {
        Self {
            settings,
            writer: Writer::new(found),
            committed,
            transaction: Transaction::default(),
            attempts: 0,
            last: None,
            is_rewinding: false,
            refusals: Refusals::default(),
            probes: Probes::default(),
        }
    }

    /// Limit of waiting refused events, where records have at most `record_limit` bytes.
    pub fn most_waiting(record_limit: usize) -> usize {
        MAX_WAITING.min(record_limit / BYTES_PER_WAITING)
    }

    pub fn committed(&self) -> &Checkpoint {
        &self.committed
    }

    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Notes that a probe is on its way.
    pub fn probe_sent(&mut self, now: Now) {
        self.probes.sent(now);
    }

    pub fn is_empty(&self) -> bool {
        self.transaction.is_empty()
    }

    /// Counts a record into the transaction.
    pub fn sent(&mut self) {
        self.transaction.records += 1;
    }

    /// Notes that the main lane has read everything.
    pub fn caught_up(&mut self) {
        self.transaction.is_caught_up = true;
    }

    /// Begins the next transaction: nothing is left of the last one.
    fn begin(&mut self) {
        self.transaction = Transaction::default();
        self.probes.end();
        self.refusals.begin();
    }

    // --- probes ---

    /// Whether the held topic's next record is a probe; if so, prepares that it may be sent later.
    pub fn probe(&mut self, topic: TopicId, lanes: &mut Lanes, now: Now) -> Probe {
        let Some(held) = lanes.held_mut(topic).filter(|held| held.must_probe()) else {
            return Probe::None;
        };
        match self.may_probe(now) {
            MayProbe::Now => return Probe::Now,
            MayProbe::Soon => held.postpone_probe(),
            MayProbe::TooSoon { until } => held.wait(until),
        }
        Probe::Later
    }

    pub fn may_probe_queue(&mut self, now: Now) -> bool {
        let may_probe = self.may_probe(now);
        self.probes.dead_letter_waits |= may_probe == MayProbe::Soon;
        may_probe == MayProbe::Now
    }

    /// Whether a probe may be sent now. If not, the other lanes make way for it, unless it is too soon.
    fn may_probe(&mut self, now: Now) -> MayProbe {
        let is_alone = self.is_empty() || self.probes.is_sent();
        let may_probe = self.probes.may_send(is_alone && !self.transaction.is_ending, now);
        self.transaction.is_urgent |= may_probe == MayProbe::Soon;
        may_probe
    }

    /// Whether the lanes make way for a probe that is on its way, or waits.
    pub fn makes_way(&self, lanes: &Lanes, dead_letters: &DeadLetterQueue) -> bool {
        let dead_letter_waits =
            self.probes.dead_letter_waits && dead_letters.is_failing() && !dead_letters.is_empty();
        self.probes.is_sent()
            || dead_letter_waits
            || lanes.all_held().any(|(_, held)| held.has_postponed_probe())
    }

    /// Fails probes that got no answer in time; `true` when there are any.
    pub fn probe_hangs<S: Sink>(&mut self, owners: &mut Owners<'_, S>, now: Now) -> bool {
        if !self.probes.is_sent() || self.is_rewinding {
            return false;
        }
        let link = owners.out.link();
        let patience = probes::patience(link);
        let hangs =
            |slot: &&Slot| slot.state == State::Outstanding && link.age(slot, now) > patience;
        let hanging: Vec<Slot> = owners.lanes.slots().filter(hangs).cloned().collect();
        for slot in &hanging {
            let why = "no acknowledgement, while the cluster answers";
            match slot.carries {
                Carries::Event(_) => owners.out.record_failed(slot, Trouble::passing(why)),
                Carries::DeadLetter { .. } => {
                    self.refusals.dead_letter_failed(slot.position);
                    owners.dead_letter_failed(why, now);
                }
            }
        }
        !hanging.is_empty()
    }

    // --- answers ---

    pub fn delivered<S: Sink>(&mut self, owners: &mut Owners<'_, S>, answer: &Answer) {
        let slot = &answer.slot;
        match slot.carries {
            Carries::Event(stream) => owners.out.topics_mut().count_uncommitted(slot.topic, stream),
            Carries::DeadLetter { reason, .. } => self.refusals.count(reason),
        }
        owners.source.latency_mut().acknowledged(slot.received_at, answer.at);
        if let Some(settled) = owners.delivered(answer) {
            self.dealt_with(settled.position);
            owners.source.settled(settled.identity);
        }
    }

    /// Notes that the event at `position` is settled, once this transaction is committed.
    pub fn dealt_with(&mut self, position: Position) {
        self.refusals.dealt_with(position);
    }

    /// Notes why the transaction is taken back: one of its records failed.
    pub fn failed<S: Sink>(
        &mut self,
        owners: &mut Owners<'_, S>,
        answer: &Answer,
        failure: Failure,
        now: Now,
    ) {
        let slot = &answer.slot;
        owners.out.renew_later();
        match (slot.carries, failure) {
            (_, Failure::Purged) => {}
            (_, Failure::Fatal(error)) => {
                tracing::warn!(source = %owners.source.name(), error, "transaction failed; aborting it");
            }
            // Alone in its batch: this very record is refused, not another one beside it.
            (Carries::Event(_), Failure::Refused(error)) if answer.is_alone => {
                let known = Known { reason: REFUSED, error, stage: Stage::DeadLetter };
                self.refusals.refused(slot.position, known);
            }
            (Carries::Event(_), Failure::Refused(why)) => {
                owners.out.record_failed(slot, Trouble { why, one_at_a_time: true });
            }
            (Carries::Event(_), Failure::Passing(why)) => {
                owners.out.record_failed(slot, Trouble::passing(why));
            }
            (Carries::DeadLetter { reason, pointer }, Failure::Refused(_))
                if answer.is_alone && !owners.dead_letters.failed_just_now(now) =>
            {
                let stage = if pointer { Stage::Pointer } else { Stage::DeadLetter };
                let error = slot.error.as_deref().unwrap_or_default().into();
                let known = Known { reason, error, stage: stage.after_refusal() };
                self.refusals.refused(slot.position, known);
            }
            (Carries::DeadLetter { .. }, Failure::Refused(why) | Failure::Passing(why)) => {
                self.refusals.dead_letter_failed(slot.position);
                owners.dead_letter_failed(&why, now);
            }
        }
    }

    /// Whether refused events may become dead letters now: not in a transaction that is ending.
    pub fn may_write(&mut self) -> bool {
        if !self.transaction.is_ending {
            self.probes.dead_letter_waits = false;
        }
        !self.transaction.is_ending
    }

    // --- commits ---

    /// Longest duration of the transaction.
    fn interval(&self, is_backlog: bool) -> Duration {
        let interval = self.settings.interval;
        match is_backlog {
            true => interval.max((interval * BACKLOG_FACTOR).min(MAX_BACKLOG_INTERVAL)),
            false => interval,
        }
    }

    fn commit_is_due<S: Sink>(&self, owners: &Owners<'_, S>, now: Now) -> bool {
        let Owners { out, lanes, dead_letters, .. } = owners;
        if self.transaction.is_urgent || !self.writer.took_over() {
            return true;
        }
        if self.probes.is_sent() {
            return out.topics().outstanding() == 0;
        }
        let is_backlog = !self.transaction.is_caught_up && lanes.len_held() == 0;
        let interval = self.interval(is_backlog);
        let is_long_ago = self.last.is_none_or(|last| now.instant >= last + interval);
        // Events that were passed over move the checkpoint although nothing was sent.
        is_long_ago && (!self.is_empty() || self.has_moved(lanes, dead_letters, out.topics()))
    }

    /// Whether a commit would change the checkpoint.
    pub fn has_moved(
        &self,
        lanes: &Lanes,
        dead_letters: &DeadLetterQueue,
        topics: &Topics,
    ) -> bool {
        lanes.main().next() != self.committed.low
            || commit::held(lanes, topics) != self.committed.held
            || dead_letters.len() != self.committed.refused.len()
    }

    /// Commits the rest at a stop; whether nothing is left to commit.
    pub fn finish<S: Sink>(&mut self, owners: &mut Owners<'_, S>, now: Now) -> Result<bool> {
        // This process has not taken over, or the last result is not known: the next start finds out.
        if !self.writer.took_over() || owners.out.must_renew() {
            return Ok(true);
        }
        if self.is_done(owners) {
            return Ok(true);
        }
        self.transaction.is_urgent = true;
        self.commit(owners, now)?;
        Ok(self.is_done(owners))
    }

    fn is_done<S: Sink>(&self, owners: &Owners<'_, S>) -> bool {
        let Owners { out, lanes, dead_letters, .. } = owners;
        self.is_empty() && !self.has_moved(lanes, dead_letters, out.topics())
    }
}
