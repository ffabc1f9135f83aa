//! Settling: what the sink answered, applied to the windows.

use std::time::{Duration, Instant};

use super::{
    ForwardError, Forwarder, MAIN, Now,
    held::{HeldTopic, Phase},
    refuse::Stage,
    rejected::Rejected,
    reset::Trouble,
    topics::TopicId,
    window::{Carries, Slot, State, Window},
};
use crate::{
    kafka::produce::{Failure, Outcome, Sink, Token},
    spool::position::Position,
};

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
        self.window_bytes = match self.throttled.is_now() {
            true => self.pace.smallest_window(self.settings.window_bytes),
            false => self.pace.window(self.settings.window_bytes, now.instant),
        };
        // While a broker has the client wait, it is no word on a topic that it says nothing.
        self.silent_bytes = match self.throttled.is_now() {
            true => 0,
            false => self.topics.silent_bytes(&self.pace),
        };
        let dealt_with = match self.going_back {
            Some(_) => Ok(()),
            None => self.deal_with_rejected(now),
        };
        self.needs_reset |= self.sink.wants_renewal() || self.asked_in_vain(now);
        let hangs = self.a_probe_hangs(now);
        if self.needs_reset || hangs || !self.troubled.is_empty() || self.is_stuck(now) {
            match self.transaction {
                Some(_) => self.go_back_to_committed(now)?,
                None => self.reset(now)?,
            }
        }
        self.show_in_flight();
        self.spans.end_before(self.main.low(), self.held.len());
        dealt_with.map(|()| any)
    }

    pub(super) fn settle_one(&mut self, token: Token, outcome: Outcome, now: Now) {
        let Some(slot) = self.slot(token) else {
            return; // from before a reset
        };
        if slot.state != State::Outstanding {
            return;
        }
        let slot = slot.clone();
        let is_last = self.topics.get(slot.topic).outstanding == 1;
        self.is_answered(&slot, &outcome, now);
        if self.going_back.is_some() {
            return self.settle_going_back(token, &slot, &outcome);
        }
        let topic = &self.topics.get(slot.topic).name;
        tracing::trace!(position = %slot.position, topic, lane = Window::lane_of(token), ?outcome, "answered");
        // The last one of a failed batch only looks alone: the others failed before it.
        let alone = is_last && !self.troubled.contains_key(&slot.topic) && !self.needs_reset;
        match outcome {
            Outcome::Delivered => self.delivered(token, &slot),
            Outcome::Failed(failure) => self.failed(token, &slot, failure, alone, now),
        }
    }

    fn is_answered(&mut self, slot: &Slot, outcome: &Outcome, now: Now) {
        let latency = self.time_of_an_answering_cluster(slot.since, now);
        self.topics.comes_back(slot.topic, slot.size);
        match outcome {
            Outcome::Delivered => {
                self.pace.answered(slot.size, Some(latency), now.instant);
                self.topics.acknowledged(slot.topic, latency, self.pace.mark());
            }
            // That is no answer of a broker's.
            Outcome::Failed(Failure::Purged | Failure::Fatal(_)) => {
                return self.pace.taken_back(slot.size);
            }
            Outcome::Failed(_) => self.pace.answered(slot.size, None, now.instant),
        }
        if let Some(going_back) = &mut self.going_back {
            going_back.heard_at = now.instant;
        }
    }

    pub(super) fn delivered(&mut self, token: Token, slot: &Slot) {
        let topic = self.topics.get_mut(slot.topic);
        topic.acknowledged += 1;
        topic.waited = Duration::ZERO;
        match slot.carries {
            Carries::Event(stream) => {
                match self.transaction {
                    Some(_) => {
                        self.topics.count_uncommitted(stream);
                        self.topics.get_mut(slot.topic).uncommitted += 1;
                    }
                    None => {
                        self.topics.count(stream);
                        self.topics.get_mut(slot.topic).delivered.inc();
                    }
                }
                let topic = self.topics.get_mut(slot.topic);
                // A held topic is well when it is back, not when one record got through.
                if !self.held.contains_key(&slot.topic) {
                    topic.retry = None;
                }
            }
            Carries::DeadLetter { reason, .. } => {
                match &mut self.transaction {
                    Some(transaction) => *transaction.letters.entry(reason).or_default() += 1,
                    None => {
                        let labels = [self.spool.source().as_str(), reason];
                        self.metrics.dead_letters.with_label_values(&labels).inc();
                    }
                }
                let (source, position) = (self.spool.source(), slot.position);
                tracing::debug!(%source, %position, reason, "a dead letter is written");
                self.letter_arrived();
            }
        }
        self.settled(token);
    }

    /// The slot's event is where it can stay: let its lane go on.
    pub(super) fn settled(&mut self, token: Token) {
        let Some(window) = self.window_of(token) else { return };
        let slot = window.slot(token);
        let slot = slot.map(|slot| (slot.position, slot.belongs_to, slot.identity));
        window.settle(token);
        if let (Some((position, ..)), Some(transaction)) = (slot, &mut self.transaction)
            && transaction.refused.contains_key(&position)
        {
            transaction.dealt_with.push(position);
        }
        if let Some((position, _, identity)) = slot {
            self.settle_id(position, identity);
        }
        if let Some((position, Some(topic), _)) = slot
            && Window::lane_of(token) == MAIN
            && self.held.contains_key(&topic)
        {
            // Should the topic's old lane go back, it comes to what the main one took over.
            self.settled_ahead.insert(position, topic);
        }
        let lane = self.lanes.get(&Window::lane_of(token));
        if let Some(held) = lane.and_then(|topic| self.held.get_mut(topic)) {
            held.accepted();
        }
    }

    fn failed(&mut self, token: Token, slot: &Slot, failure: Failure, alone: bool, now: Now) {
        if let Some(slot) = self.slot(token) {
            slot.state = State::Failed;
        }
        if self.transaction.is_some() {
            return self.failed_in_transaction(slot, failure, alone, now);
        }
        if let Carries::DeadLetter { reason, pointer } = slot.carries {
            let error = slot.error.as_deref().unwrap_or_default().into();
            let stage = if pointer { Stage::Pointer } else { Stage::Letter };
            let letter = Rejected { token, reason, error, stage, anew: false };
            return self.dead_letter_failed(letter, failure, alone, now);
        }
        match failure {
            Failure::Purged => self.needs_reset = true,
            Failure::Fatal(error) => {
                tracing::warn!(source = %self.spool.source(), error, "replacing the Kafka producer");
                self.needs_reset = true;
            }
            // Alone in its batch: it is this record that is refused, not another one beside it.
            Failure::Refused(error) if alone => {
                let (reason, stage) = ("refused", Stage::Letter);
                self.rejected(Rejected { token, reason, error, stage, anew: false });
            }
            Failure::Refused(why) => self.trouble(slot, Trouble { why, one_at_a_time: true }),
            Failure::Passing(why) if alone => self.hold_again(token, slot, &why, now),
            Failure::Passing(why) => self.trouble(slot, Trouble { why, one_at_a_time: false }),
        }
    }

    pub(super) fn trouble(&mut self, slot: &Slot, trouble: Trouble) {
        if !trouble.one_at_a_time {
            self.ask_before_the_next(slot.topic);
        }
        self.troubled.entry(slot.topic).or_insert(trouble);
    }

    /// A topic that fails may have been deleted: the sink is asked before its next record, and makes it again. Also
    /// where no lane is left to hold it.
    fn ask_before_the_next(&mut self, topic: TopicId) {
        self.topics.get_mut(topic).ready = false;
    }

    fn dead_letter_failed(
        &mut self,
        mut letter: Rejected,
        failure: Failure,
        alone: bool,
        now: Now,
    ) {
        match failure {
            Failure::Purged | Failure::Fatal(_) => {
                self.needs_reset = true;
                return;
            }
            // Too large for a record of the dead-letter topic, most likely: point at it instead.
            Failure::Refused(_) if alone && !self.letters.failed_just_now(now) => {
                letter.stage = match letter.stage {
                    Stage::Letter => Stage::Pointer,
                    Stage::Pointer | Stage::Quarantine => Stage::Quarantine,
                };
            }
            // Of a batch: one of it is refused, or all of them for now. Alone each shows which.
            Failure::Refused(why) | Failure::Passing(why) => self.letters_failed(now, &why),
        }
        self.rejected(letter);
    }

    /// The slot's event is to become a dead letter, or to go to quarantine.
    fn rejected(&mut self, rejected: Rejected) {
        let token = rejected.token;
        if let Some(slot) = self.slot(token) {
            slot.state = State::Refused;
        }
        self.letters.waiting.push_back(rejected);
    }

    /// One record of a topic failed and no other of that topic is on its way, so nothing can
    /// overtake it: the topic is held from this record on, without disturbing the others. Unless
    /// dead letters of that topic are unsettled: then only a reset knows where the topic begins.
    fn hold_again(&mut self, token: Token, slot: &Slot, why: &str, now: Now) {
        self.ask_before_the_next(slot.topic);
        if self.owes(slot.topic, Some(slot.position)) {
            let trouble = Trouble { why: why.into(), one_at_a_time: false };
            return self.trouble(slot, trouble);
        }
        if Window::lane_of(token) != MAIN {
            let until = self.wait_for(slot.topic, now);
            self.keep_in_mind_what_is_settled_after(slot);
            if let Some(held) = self.held.get_mut(&slot.topic) {
                held.lane.rewind(slot.position);
                held.phase = Phase::Waiting { until };
                held.why = why.into();
                self.needs_reset |= held.needs_another_client();
            }
            return;
        }
        // Otherwise a reset takes the main lane back to all that is not done, and it goes on after a pause.
        if !self.may_hold(slot.topic, self.main.low(), now, why) {
            self.needs_reset = true;
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
        for slot in slots {
            let same = slot.belongs_to == failed.belongs_to && slot.position > failed.position;
            if same && slot.state == State::Settled {
                self.settled_ahead.insert(slot.position, failed.topic);
            }
        }
    }

    /// Whether something of `topic` is on the main lane or on the topic's own and not done, beside
    /// the event at `but`: a lane that begins behind it would leave it to nobody.
    pub(super) fn owes(&self, topic: TopicId, but: Option<Position>) -> bool {
        let lane = self.held.get(&topic).map(|held| &held.lane.window);
        let main = self.main.window.iter().filter(|slot| slot.may_belong_to(topic));
        main.chain(lane.into_iter().flat_map(Window::iter))
            .any(|slot| !slot.state.is_done() && Some(slot.position) != but)
    }

    fn show_in_flight(&self) {
        let source = self.spool.source().as_str();
        let outstanding = self.topics.outstanding() as i64;
        self.metrics.in_flight.with_label_values(&[source]).set(outstanding);
    }

    /// Notes since when the cluster has answered without a long silence, so that a topic is not
    /// blamed for an outage that is just over.
    fn watch_cluster(&mut self, now: Now) {
        self.throttled.note(self.sink.is_throttled(), now.instant);
        if self.cluster_is_away() {
            if self.cluster_alive_since.take().is_some() {
                self.topics.forgive_waiting();
            }
        } else {
            self.cluster_alive_since.get_or_insert(now.instant);
        }
    }

    /// Whether the oldest record of a lane makes no progress although the cluster answers.
    fn is_stuck(&self, now: Now) -> bool {
        self.windows_to_watch()
            .filter_map(Window::oldest_on_its_way)
            .any(|oldest| self.is_overdue(oldest, now))
    }

    /// Whether a held topic was asked with a record, and has not answered for longer than a topic that
    /// is not held may take. It is no topic to hold: the client may be to blame, and what it believes.
    fn a_probe_hangs(&mut self, now: Now) -> bool {
        if self.transaction.is_some() || self.going_back.is_some() {
            return false; // in a transaction it is `asked_in_vain`
        }
        let hangs = |held: &HeldTopic| {
            let oldest = held.lane.window.oldest_on_its_way();
            let patience = self.settings.hold_after * held.probe_patience();
            held.phase == Phase::Probing
                && oldest.is_some_and(|it| it.carries.is_event() && self.age(it, now) > patience)
        };
        let hanging: Vec<_> =
            self.held.iter().filter(|(_, held)| hangs(held)).map(|(topic, _)| *topic).collect();
        for topic in &hanging {
            if let Some(held) = self.held.get_mut(topic) {
                held.hanging_probes += 1;
            }
        }
        !hanging.is_empty()
    }

    /// The windows in which nothing may hang: it would take the others' room. A held topic that is
    /// asked with a single record may take its time, but a dead letter may not take the topic's; and in
    /// a transaction everybody's end waits for it.
    pub(super) fn windows_to_watch(&self) -> impl Iterator<Item = &Window> {
        let held = self.held.values().filter(|held| {
            let oldest = held.lane.window.oldest_on_its_way();
            self.transaction.is_some()
                || held.phase != Phase::Probing
                || oldest.is_some_and(|oldest| !oldest.carries.is_event())
        });
        std::iter::once(&self.main.window).chain(held.map(|held| &held.lane.window))
    }

    /// Whether a slot has been on its way for longer than `hold_after` of a cluster that answers.
    pub(super) fn is_overdue(&self, slot: &Slot, now: Now) -> bool {
        let waited = self.topics.get(slot.topic).waited + self.age(slot, now);
        slot.state == State::Outstanding && waited > self.settings.hold_after
    }

    /// How much of the time since then the cluster has been answering without a long silence, and
    /// without having this client wait.
    pub(super) fn time_of_an_answering_cluster(&self, since: Instant, now: Now) -> Duration {
        let Some(alive) = self.cluster_alive_since else { return Duration::ZERO };
        self.time_without_throttle(since.max(alive), now)
    }

    /// How much of the time since then no broker had this client wait.
    pub(super) fn time_without_throttle(&self, since: Instant, now: Now) -> Duration {
        let excused = self.throttled.excused(since, now.instant);
        now.instant.saturating_duration_since(since).saturating_sub(excused)
    }

    /// How long a slot has been on its way while the cluster answered, without the time in which it
    /// waited behind others that were answered.
    pub(super) fn age(&self, slot: &Slot, now: Now) -> Duration {
        let excused = self.pace.excused_until(slot.turn).unwrap_or(slot.since);
        self.time_of_an_answering_cluster(slot.since.max(excused), now)
    }
}
