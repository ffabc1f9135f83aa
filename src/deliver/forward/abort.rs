//! Taking a transaction back: nothing of it was delivered.
//!
//! Whatever fails in a transaction takes all of it back, so every lane goes to where it stood at the
//! last commit, as after a restart. What is remembered is why: topics in trouble are held from there
//! on, and an event that was refused for good is known by its position and becomes a dead letter in
//! the next transaction. Whether a commit that failed has happened all the same, the topic of
//! checkpoints tells, and also whether somebody else writes to it.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    ForwardError, Forwarder, MAIN, Now,
    held::{HeldTopic, Phase},
    refuse::Stage,
    rejected::{Known, Rejected, reason_named},
    reset::{RENEWAL_PATIENCE, Trouble},
    start::{fence, read},
    take::Sent,
    topics::TopicId,
    window::{Carries, Slot, State},
};
use crate::{
    deliver::checkpoint::{Checkpoint, Held, Refused},
    kafka::produce::{Failure, Sink},
};

impl<S: Sink> Forwarder<S> {
    /// A record of the transaction failed, so all of it is taken back; this is why.
    pub(super) fn failed_in_transaction(
        &mut self,
        slot: &Slot,
        failure: Failure,
        alone: bool,
        now: Now,
    ) {
        self.needs_reset = true;
        let known = match (slot.carries, failure) {
            (_, Failure::Purged) => return,
            (_, Failure::Fatal(error)) => {
                tracing::warn!(source = %self.spool.source(), error, "transaction failed; aborting it");
                return;
            }
            // Alone in its batch: it is this record that is refused, not another one beside it.
            (Carries::Event(_), Failure::Refused(error)) if alone => {
                Known { reason: "refused", error, stage: Stage::Letter }
            }
            (Carries::Event(_), Failure::Refused(why)) => {
                return self.trouble(slot, Trouble { why, one_at_a_time: true });
            }
            (Carries::Event(_), Failure::Passing(why)) => {
                return self.trouble(slot, Trouble { why, one_at_a_time: false });
            }
            (Carries::DeadLetter { reason, pointer }, Failure::Refused(_))
                if alone && !self.letters.failed_just_now(now) =>
            {
                let stage = if pointer { Stage::Quarantine } else { Stage::Pointer };
                let error = slot.error.as_deref().unwrap_or_default().into();
                Known { reason, error, stage }
            }
            (Carries::DeadLetter { .. }, Failure::Refused(why) | Failure::Passing(why)) => {
                self.letter_failed_in_transaction(slot.position);
                return self.letters_failed(now, &why);
            }
        };
        if let Some(transaction) = &mut self.transaction {
            transaction.refused.insert(slot.position, known);
        }
    }

    /// Takes the transaction back, and everything to the last commit. As long as the sink can't be
    /// renewed nothing else happens; it is tried again with the next step.
    pub(super) fn go_back_to_committed(&mut self, now: Now) -> Result<(), ForwardError> {
        self.needs_reset = true;
        let is_first = self.transaction.as_mut().is_some_and(|it| {
            let is_first = !std::mem::replace(&mut it.going_back, true);
            if let Some(since) = it.asking.filter(|_| is_first) {
                it.asks_again_at = Some(now.instant + OTHERS_TIME * (now.instant - since));
            }
            is_first
        });
        if is_first {
            let ages = self.ages(now);
            let troubled = self.topics_in_trouble(now);
            self.remember_how_long_they_waited(&ages);
            self.troubled = troubled;
        }
        let end = Instant::now() + RENEWAL_PATIENCE;
        if let Err(error) = self.sink.renew(&|| Instant::now() >= end) {
            let source = self.spool.source();
            tracing::debug!(%source, %error, "the transaction can't be taken back yet");
            return Ok(());
        }
        self.needs_reset = false;
        if let Some(transaction) = &mut self.transaction {
            transaction.going_back = false;
        }
        if !self.has_happened_all_the_same(now)? {
            self.count_transaction("aborted");
            self.claims.forget_unsaved();
            self.topics.nothing_delivered();
            if let Some(transaction) = &mut self.transaction {
                transaction.begin();
            }
        }
        if let Some(transaction) = &mut self.transaction {
            // The next to commit shows that it is this process that goes on.
            transaction.urgent = true;
        }
        self.go_on_from_committed(now);
        Ok(())
    }

    /// Looks at what the sink has found on the topic of checkpoints, if it had to look.
    fn has_happened_all_the_same(&mut self, now: Now) -> Result<bool, ForwardError> {
        let Some(found) = self.sink.committed() else { return Ok(false) };
        let found = read(&found, self.spool.id())?;
        let Some(transaction) = &self.transaction else { return Ok(false) };
        if transaction.is_of_another(&found) {
            let number = transaction.committed.number;
            return Err(fence(&self.checkpoint, &found, number, &self.spool, &self.metrics));
        }
        let attempt = transaction.attempt.clone();
        let Some(attempt) = attempt
            .filter(|attempt| (attempt.writer, attempt.number) == (found.writer, found.number))
        else {
            return Ok(false);
        };
        if let Err(error) = self.has_committed(attempt, "committed-late", now) {
            tracing::warn!(source = %self.spool.source(), %error, "cannot save the committed position yet");
        }
        Ok(true)
    }

    /// Every lane stands where the last commit says.
    fn go_on_from_committed(&mut self, now: Now) {
        let Some(committed) = self.transaction.as_ref().map(|it| it.committed.clone()) else {
            return;
        };
        let troubled = std::mem::take(&mut self.troubled);
        let reached = self.main.next();
        let before = std::mem::take(&mut self.held);
        self.lanes.clear();
        self.settled_ahead = Default::default();
        self.letters.waiting.clear();
        self.topics.nothing_outstanding();
        self.pace.nothing_outstanding();
        self.main.rewind(committed.low);
        for Held { topic, position } in &committed.held {
            let topic = self.topics.enter(topic);
            let phase = match before.get(&topic).map(|held| held.phase) {
                Some(Phase::Waiting { until }) => Phase::Waiting { until },
                Some(Phase::CatchingUp | Phase::Draining) => Phase::CatchingUp,
                Some(Phase::Probing) | None => Phase::Probing,
            };
            self.open_lane(topic, *position, phase, "held at the last commit");
            self.remember_trouble(topic, before.get(&topic));
        }
        self.put_back_refused(&committed.refused, now);
        // Held since the last commit, and still in trouble.
        for (topic, held) in &before {
            let in_trouble = matches!(held.phase, Phase::Waiting { .. } | Phase::Probing);
            let known = self.held.contains_key(topic) || troubled.contains_key(topic);
            if in_trouble && !known && self.lanes_are_left(committed.low) {
                self.open_lane(*topic, committed.low, held.phase, &held.why);
                self.remember_trouble(*topic, Some(held));
            }
        }
        self.hold_troubled(&committed, &troubled, reached, now);
        self.show_waiting();
        self.show_held();
    }

    fn hold_troubled(
        &mut self,
        committed: &Checkpoint,
        troubled: &BTreeMap<TopicId, Trouble>,
        reached: crate::spool::position::Position,
        now: Now,
    ) {
        for (topic, trouble) in troubled {
            let Trouble { why, one_at_a_time } = trouble;
            let from = self.held.get(topic).map_or(committed.low, |held| held.lane.next());
            if !self.may_hold_troubled(*topic, from, reached, trouble, now) {
                continue;
            }
            if self.held.contains_key(topic) {
                let until = self.wait_for(*topic, now);
                self.topics.get_mut(*topic).ready = false;
                self.tell_of_trouble(*topic, from, why);
                if let Some(held) = self.held.get_mut(topic) {
                    held.phase = Phase::Waiting { until };
                    held.why.clone_from(why);
                    if held.needs_another_client() {
                        self.sink.refresh();
                        self.needs_reset = true;
                    }
                }
            } else {
                self.hold(*topic, from, why, now);
            }
            if let Some(held) = self.held.get_mut(topic) {
                held.is_in_doubt = !*one_at_a_time;
                if *one_at_a_time {
                    held.alone_before = held.alone_before.max(reached);
                }
            }
        }
    }

    fn remember_trouble(&mut self, topic: TopicId, before: Option<&HeldTopic>) {
        if let (Some(held), Some(before)) = (self.held.get_mut(&topic), before) {
            held.why.clone_from(&before.why);
            held.alone_before = before.alone_before;
            held.in_trouble = before.in_trouble;
            held.failed_probes = before.failed_probes;
            held.is_in_doubt = before.is_in_doubt;
        }
    }

    /// Refused events that a checkpoint has passed wait for the dead-letter topic again.
    pub(super) fn put_back_refused(&mut self, refused: &[Refused], now: Now) {
        self.letters.put_back = refused.iter().map(|refused| refused.position).collect();
        for Refused { position, topic, reason, error } in refused {
            let topic = topic.as_deref().map(|topic| self.topics.enter(topic));
            let lane = topic.and_then(|topic| self.held.get(&topic));
            let lane = lane.map_or(MAIN, |held| held.lane.window.lane());
            let Some(token) = self.lane(lane).map(|lane| lane.window.next_token()) else {
                continue;
            };
            let reason = reason_named(reason);
            let sent = Sent {
                position: *position,
                topic,
                identity: None,
                size: 0,
                carries: Carries::DeadLetter { reason, pointer: false },
                error: Some(error.as_str().into()),
            };
            self.push(lane, sent, State::Refused, now);
            let (error, stage) = (error.clone(), Stage::Letter);
            self.letters.waiting.push_back(Rejected { token, reason, error, stage, anew: true });
        }
        self.show_waiting();
    }
}

/// How long a record that asks is waited for while the others make way.
pub(super) const ASKING_PATIENCE: Duration = Duration::from_secs(1);

/// How many times as long the others have after one that asked in vain.
const OTHERS_TIME: u32 = 5;
