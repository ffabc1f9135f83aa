//! Settling: what the sink answered, applied to the windows.

use std::time::Duration;

use super::{
    ForwardError, Forwarder, MAIN, Now,
    held::Phase,
    refuse::{Rejected, Stage},
    reset::Trouble,
    window::{Carries, Slot, State, Window},
};
use crate::produce::{Failure, Outcome, Sink, Token};

impl<S: Sink> Forwarder<S> {
    /// Polls the sink and acts on each outcome; `true` when there were any.
    pub(super) fn settle(&mut self, now: Now, patience: Duration) -> Result<bool, ForwardError> {
        self.watch_cluster(now);
        let mut outcomes = std::mem::take(&mut self.outcomes);
        self.sink.poll(patience, &mut outcomes);
        let any = !outcomes.is_empty();
        for (token, outcome) in outcomes.drain(..) {
            self.settle_one(token, outcome, now);
        }
        self.outcomes = outcomes;
        self.deal_with_rejected(now)?;
        if self.needs_reset || !self.troubled.is_empty() || self.is_stuck(now) {
            self.reset(now)?;
        }
        self.show_in_flight();
        Ok(any)
    }

    fn settle_one(&mut self, token: Token, outcome: Outcome, now: Now) {
        let Some(slot) = self.window_of(token).and_then(|window| window.slot(token)) else {
            return; // from before a reset
        };
        if slot.state != State::Outstanding {
            return;
        }
        let slot = slot.clone();
        let topic = &self.topics.get(slot.topic).name;
        tracing::trace!(position = %slot.position, topic, lane = Window::lane_of(token), ?outcome, "answered");
        // The last one of a failed batch only looks alone: the others failed before it.
        let alone = self.topics.get(slot.topic).outstanding == 1
            && !self.troubled.contains_key(&slot.topic)
            && !self.needs_reset;
        self.topics.get_mut(slot.topic).outstanding -= 1;
        match outcome {
            Outcome::Delivered => self.delivered(token, &slot),
            Outcome::Failed(failure) => self.failed(token, &slot, failure, alone, now),
        }
    }

    pub(super) fn delivered(&mut self, token: Token, slot: &Slot) {
        match slot.carries {
            Carries::Event => {
                let topic = self.topics.get_mut(slot.topic);
                topic.delivered.inc();
                topic.retry = None;
            }
            Carries::DeadLetter { reason, .. } => {
                let labels = [self.spool.source().as_str(), reason];
                self.metrics.dead_letters.with_label_values(&labels).inc();
            }
        }
        self.settled(token);
    }

    /// The slot's event is where it can stay: let its lane go on.
    pub(super) fn settled(&mut self, token: Token) {
        if let Some(window) = self.window_of(token) {
            window.settle(token);
        }
        let lane = self.lanes.get(&Window::lane_of(token));
        if let Some(held) = lane.and_then(|topic| self.held.get_mut(topic)) {
            held.accepted();
        }
    }

    fn failed(&mut self, token: Token, slot: &Slot, failure: Failure, alone: bool, now: Now) {
        if let Some(slot) = self.window_of(token).and_then(|window| window.slot(token)) {
            slot.state = State::Failed;
        }
        if let Carries::DeadLetter { reason, pointer } = slot.carries {
            return self.dead_letter_failed(token, reason, pointer, failure, now);
        }
        match failure {
            Failure::Purged => self.needs_reset = true,
            Failure::Fatal(error) => {
                tracing::warn!(source = %self.spool.source(), error, "the producer must be replaced");
                self.needs_reset = true;
            }
            // Alone in its batch: it is this record that is refused, not another one beside it.
            Failure::Refused(error) if alone => self.rejected.push_back(Rejected {
                token,
                reason: "refused",
                error,
                stage: Stage::Letter,
            }),
            Failure::Refused(why) => self.trouble(slot, Trouble { why, one_at_a_time: true }),
            Failure::Passing(why) if alone => self.hold_again(token, slot, &why, now),
            Failure::Passing(why) => self.trouble(slot, Trouble { why, one_at_a_time: false }),
        }
    }

    fn trouble(&mut self, slot: &Slot, trouble: Trouble) {
        self.troubled.entry(slot.topic).or_insert(trouble);
    }

    fn dead_letter_failed(
        &mut self,
        token: Token,
        reason: &'static str,
        pointer: bool,
        failure: Failure,
        now: Now,
    ) {
        let stage = match &failure {
            Failure::Purged | Failure::Fatal(_) => {
                self.needs_reset = true;
                return;
            }
            // Too large for a record of the dead-letter topic, most likely: point at it instead.
            Failure::Refused(_) if !pointer => Stage::Pointer,
            Failure::Refused(_) => Stage::Quarantine,
            Failure::Passing(_) => {
                self.close_dead_letters(now, &failure.to_string());
                Stage::Quarantine
            }
        };
        self.rejected.push_back(Rejected { token, reason, error: failure.to_string(), stage });
    }

    /// One record of a topic failed and no other of that topic is on its way, so nothing can
    /// overtake it: the topic is held from this record on, without disturbing the others.
    fn hold_again(&mut self, token: Token, slot: &Slot, why: &str, now: Now) {
        if Window::lane_of(token) != MAIN {
            let until = self.wait_for(slot.topic, now);
            self.keep_in_mind_what_is_settled_after(slot);
            if let Some(held) = self.held.get_mut(&slot.topic) {
                held.lane.rewind(slot.position);
                held.phase = Phase::Waiting { until };
                held.why = why.into();
            }
            return;
        }
        if !self.may_hold(slot.topic, now, why) {
            self.needs_reset = true; // the main lane goes back to it, after a pause
            return;
        }
        self.keep_in_mind_what_is_settled_after(slot);
        self.hold(slot.topic, slot.position, why, now);
        self.main.window.leave(token);
    }

    /// The topic's lane will pass these again; they are not to be sent again.
    fn keep_in_mind_what_is_settled_after(&mut self, failed: &Slot) {
        let lane = self.held.get(&failed.topic).map(|held| &held.lane.window);
        let slots = self.main.window.iter().chain(lane.into_iter().flat_map(Window::iter));
        let ahead = slots.filter(|slot| {
            slot.topic == failed.topic
                && slot.state == State::Settled
                && slot.position > failed.position
        });
        self.settled_ahead.extend(ahead.map(|slot| slot.position));
    }

    fn show_in_flight(&self) {
        let source = self.spool.source().as_str();
        let outstanding = self.topics.outstanding() as i64;
        self.metrics.in_flight.with_label_values(&[source]).set(outstanding);
    }

    /// Notes since when the cluster has answered without a long silence, so that a topic is not
    /// blamed for an outage that is just over.
    fn watch_cluster(&mut self, now: Now) {
        if self.cluster_is_away() {
            self.cluster_alive_since = None;
        } else {
            self.cluster_alive_since.get_or_insert(now.instant);
        }
    }

    /// Whether the oldest record on its way makes no progress although the cluster answers.
    fn is_stuck(&self, now: Now) -> bool {
        let Some(oldest) = self.main.window.oldest() else { return false };
        self.is_overdue(oldest, now)
    }

    /// Whether a slot has been on its way for longer than `hold_after` of a cluster that answers.
    pub(super) fn is_overdue(&self, slot: &Slot, now: Now) -> bool {
        let Some(alive) = self.cluster_alive_since else { return false };
        let since = slot.since.max(alive);
        slot.state == State::Outstanding
            && now.instant.saturating_duration_since(since) > self.settings.hold_after
    }
}
