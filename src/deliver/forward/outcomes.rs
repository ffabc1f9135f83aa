//! Outcomes: the sink's answers, applied to the windows, and whether the lanes have to go back for them.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Forwarder, Now, Owners, Result,
    dead_letters::Waiting,
    lanes::Settled,
    out::Trouble,
    topics::TopicId,
    window::{Carries, Slot, State, Window},
};
use crate::{
    kafka::produce::{Outcome, Sink, Token},
    spool::position::Position,
};

/// An outcome of a record that was on its way.
pub(super) struct Answer {
    pub token: Token,
    pub slot: Slot,
    /// Whether no other record of its topic is on its way, and none has failed just now.
    pub is_alone: bool,
    /// Whether it comes from a broker: the record was not merely taken back.
    pub is_by_broker: bool,
    pub at: Now,
}

/// Topics and events whose records have been on their way for too long.
pub(super) struct Overdue {
    pub topics: BTreeMap<TopicId, Trouble>,
    /// Events with such dead letters.
    pub dead_letters: Vec<Position>,
}

impl<S: Sink> Forwarder<S> {
    /// Polls the sink and acts on each outcome; `true` when there were any.
    pub(super) fn settle(&mut self, now: Now, patience: Duration) -> Result<bool> {
        self.out.watch_cluster(now);
        let mut outcomes = self.out.poll(patience);
        let any = !outcomes.is_empty();
        for (token, outcome) in outcomes.drain(..) {
            self.answered(token, outcome, now);
        }
        self.out.recycle(outcomes);
        self.out.measure(now);
        self.source.latency_mut().flush();
        // An error here is returned at the end: lanes that have to go back must do so first.
        let written = self.write_waiting(now);
        if self.must_rewind(now) {
            let (guarantee, mut owners) = self.split();
            guarantee.rewind(&mut owners, now)?;
        }
        self.out.show_in_flight();
        let latency = self.source.latency_mut();
        let note = |received_at, trace| latency.exemplar(received_at, trace, now);
        self.spans.end_before(self.lanes.main().low(), self.lanes.len_held(), note);
        written.map(|()| any)
    }

    fn answered(&mut self, token: Token, outcome: Outcome, now: Now) {
        let (guarantee, mut owners) = self.split();
        let Some(answer) = owners.answer(token, &outcome, now) else { return };
        if guarantee.waits_for_answers() {
            return guarantee.answered_late(&mut owners, &answer, &outcome, now);
        }
        let slot = &answer.slot;
        let topic = owners.out.topics().name(slot.topic);
        let lane = Window::lane_of(token);
        tracing::trace!(position = %slot.position, topic, lane, ?outcome, "answered");
        match outcome {
            Outcome::Delivered => guarantee.delivered(&mut owners, &answer),
            Outcome::Failed(failure) => {
                owners.lanes.set_state(token, State::Failed);
                guarantee.failed(&mut owners, &answer, failure, now);
            }
        }
    }

    /// Whether the lanes have to go back: records failed, or make no progress although the cluster answers.
    fn must_rewind(&mut self, now: Now) -> bool {
        let is_outdated = self.out.is_outdated();
        let (guarantee, mut owners) = self.split();
        // Asked in any case, since hanging probes are counted.
        let hangs = guarantee.probe_hangs(&mut owners, is_outdated, now);
        let with_probes = guarantee.watches_probes();
        hangs || owners.out.has_failed() || owners.is_stuck(with_probes, now)
    }
}

impl<S: Sink> Owners<'_, S> {
    /// Returns the record of an outcome; none if it is from before a rewind.
    pub fn answer(&mut self, token: Token, outcome: &Outcome, now: Now) -> Option<Answer> {
        let slot = self.lanes.slot(token).filter(|slot| slot.state == State::Outstanding)?.clone();
        let is_alone = self.out.fails_alone(&slot);
        let is_by_broker = self.out.answered(&slot, outcome, now);
        Some(Answer { token, slot, is_alone, is_by_broker, at: now })
    }

    /// Settles a record that is on its topic, or will be once its transaction is committed.
    pub fn delivered(&mut self, answer: &Answer) -> Option<Settled> {
        let slot = &answer.slot;
        let at = (slot.position.sequence, slot.position.index);
        let topic = self.out.topics().name(slot.topic);
        let place = self.out.place(answer.token);
        self.source.remembered().delivered(at, topic, place, slot.carries.reason());
        match slot.carries {
            // A held topic is well when it is back, not when one record got through.
            Carries::Event(_) if self.lanes.held(slot.topic).is_some() => {}
            Carries::Event(_) => self.out.topics_mut().is_well(slot.topic),
            Carries::DeadLetter { reason, .. } => {
                let source = self.source.name();
                let position = slot.position;
                tracing::debug!(%source, %position, reason, "a dead letter is written");
                self.dead_letters.arrived(self.out.topics());
            }
        }
        let settled = self.lanes.settle(answer.token);
        match slot.carries {
            // The event itself is in quarantine.
            Carries::DeadLetter { pointer: true, .. } => settled.map(Settled::of_this_volume),
            Carries::Event(_) | Carries::DeadLetter { .. } => settled,
        }
    }

    /// Lets the slot's event become a dead letter, or go to quarantine.
    pub fn refused(&mut self, waiting: Waiting) {
        self.lanes.set_state(waiting.token, State::Refused);
        self.dead_letters.push(waiting);
    }

    /// Notes that a dead letter could not be written, for a reason that may pass.
    pub fn dead_letter_failed(&mut self, why: &str, now: Now) {
        self.dead_letters.failed(why, self.lanes, self.out, now);
    }

    /// Whether the oldest record of a lane makes no progress although the cluster answers.
    fn is_stuck(&self, with_probes: bool, now: Now) -> bool {
        let mut oldest = self.lanes.watched(with_probes).filter_map(Window::oldest_on_its_way);
        oldest.any(|oldest| self.out.is_overdue(oldest, now))
    }

    /// The topics that failed, and those without progress although the cluster answers.
    pub fn overdue(&mut self, with_probes: bool, now: Now) -> Overdue {
        let why =
            "no acknowledgement for longer than forward.hold_after, while the cluster answers";
        let mut overdue = Overdue { topics: self.out.take_failed(), dead_letters: Vec::new() };
        let slots = self.lanes.watched(with_probes).flat_map(Window::iter);
        let stuck: Vec<_> = slots
            .filter(|slot| self.out.was_overdue(slot, now))
            .map(|slot| (slot.carries, slot.topic, slot.position))
            .collect();
        if !stuck.is_empty() {
            // The cause may be the client's outdated picture of the cluster.
            self.out.refresh();
        }
        for (carries, topic, position) in stuck {
            if carries.is_event() {
                overdue.topics.entry(topic).or_insert(Trouble::passing(why));
            } else {
                overdue.dead_letters.push(position);
                self.dead_letter_failed(why, now);
            }
        }
        overdue
    }
}
