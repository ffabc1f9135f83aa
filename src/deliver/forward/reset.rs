//! Holding topics, and going back.
//!
//! A sink whose credentials were replaced goes the same way as one that failed: no record is left to
//! the old ones, and none is sent twice.
//!
//! When a record fails while later ones of its topic are on their way, those could overtake it. So
//! nothing more is sent: what the sink has not sent yet is taken back, what is in flight is waited
//! for, the producer is replaced (after a purge its sequence numbers have a gap), topics in trouble
//! are held, and every lane goes back to its oldest unsettled event, but for those that were put back
//! (`letters.rs`). What was settled beyond that is remembered, so that going back repeats nothing that
//! is known to be delivered.
//!
//! What is in flight is waited for as long as answers come, over many steps if need be. Only what no
//! broker has answered by then is sent again without knowing whether the first one arrived; it is
//! counted, and it is what a reader may find twice although nothing crashed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    CLUSTER_SILENCE, FIRST_PAUSE, ForwardError, Forwarder, LONGEST_PAUSE, Now,
    held::Phase,
    topics::TopicId,
    window::{Slot, State, Window},
};
use crate::{
    kafka::produce::{Outcome, Sink, Token},
    runtime::retry::Retry,
    spool::position::Position,
};

/// How long the next answer to a record in flight is waited for at least: longer than it takes to see
/// that the cluster is away.
const NEXT_ANSWER: Duration = Duration::from_secs(6);
/// The same once there are only records of topics that were silent for longer than `hold_after`: each moment of
/// it is the others', who can do nothing meanwhile.
const SILENT_ANSWER: Duration = Duration::from_secs(1);
/// On a slow path it is waited for as long as the path takes, up to so many times `hold_after`.
const SLOW_AT_MOST: u32 = 4;

/// How long a new producer is waited for before it is tried once more in the next step: a stop that
/// comes meanwhile is late by this much at most.
pub(super) const RENEWAL_PATIENCE: Duration = Duration::from_secs(1);

/// A reset between its beginning and the new producer.
pub(super) struct GoingBack {
    /// How long the topics had waited when it began.
    ages: BTreeMap<TopicId, (u64, Duration)>,
    /// Topics that had been silent for longer than they may by then, and how many records they had acknowledged.
    silent: BTreeMap<TopicId, u64>,
    /// When the last record was answered, or the reset began.
    pub heard_at: Instant,
}

const _: () = assert!(NEXT_ANSWER.as_secs() > CLUSTER_SILENCE.as_secs());

/// Why a topic must be held.
pub(super) struct Trouble {
    pub why: String,
    /// One record of a batch was refused for good: send them singly to find out which.
    pub one_at_a_time: bool,
}

impl<S: Sink> Forwarder<S> {
    /// Whether one more topic may be held; if not, the main lane rests for a while, at `stands`.
    pub(super) fn may_hold(
        &mut self,
        topic: TopicId,
        stands: Position,
        now: Now,
        why: &str,
    ) -> bool {
        if self.has_a_lane(topic, stands) {
            return true;
        }
        if self.paused_until.is_none() {
            tracing::error!(
                source = %self.spool.source(),
                topic = self.topics.get(topic).name,
                why,
                held = self.held.len(),
                "one more topic can't be written and forward.held_topics are held already: the \
                 source waits",
            );
        }
        self.paused_until = Some(now.instant + self.pauses.next_delay());
        false
    }

    /// The same for a topic that a record has failed of. Where one of a batch is refused for good, the
    /// topic itself is well: without a lane the main one finds out which, and sends the topic's records
    /// one at a time up to `end`.
    pub(super) fn may_hold_troubled(
        &mut self,
        topic: TopicId,
        stands: Position,
        end: Position,
        trouble: &Trouble,
        now: Now,
    ) -> bool {
        if !trouble.one_at_a_time || self.has_a_lane(topic, stands) {
            return self.may_hold(topic, stands, now, &trouble.why);
        }
        let topic = self.topics.get_mut(topic);
        topic.alone_before = topic.alone_before.max(end);
        false
    }

    /// Whether the topic has a lane of its own, or may have one.
    fn has_a_lane(&self, topic: TopicId, stands: Position) -> bool {
        self.held.contains_key(&topic) || self.lanes_are_left(stands)
    }

    /// Leaves the topic to a lane of its own, from `position` on.
    pub(super) fn hold(&mut self, topic: TopicId, position: Position, why: &str, now: Now) {
        let until = self.wait_for(topic, now);
        self.topics.get_mut(topic).ready = false;
        self.open_lane(topic, position, Phase::Waiting { until }, why);
        self.tell_of_trouble(topic, position, why);
    }

    /// Tells people once that a held topic is in trouble.
    pub(super) fn tell_of_trouble(&mut self, topic: TopicId, position: Position, why: &str) {
        let Some(held) = self.held.get_mut(&topic).filter(|held| !held.in_trouble) else { return };
        held.in_trouble = true;
        let (source, name) = (self.spool.source(), &self.topics.get(topic).name);
        self.metrics.holds.with_label_values(&[source.as_str()]).inc();
        tracing::warn!(%source, topic = name, %position, why, "a topic is held");
    }

    /// When a topic in trouble is tried again.
    pub(super) fn wait_for(&mut self, topic: TopicId, now: Now) -> Instant {
        let retry = self
            .topics
            .get_mut(topic)
            .retry
            .get_or_insert_with(|| Retry::without_jitter(FIRST_PAUSE, LONGEST_PAUSE));
        now.instant + retry.next_delay()
    }

    pub(super) fn reset(&mut self, now: Now) -> Result<(), ForwardError> {
        let Some(ages) = self.take_back(now) else {
            self.needs_reset = true;
            return Ok(());
        };
        let troubled = self.topics_in_trouble(now);
        self.remember_how_long_they_waited(&ages);
        let put_back = self.take_out_put_back();
        self.remember_what_is_settled();

        let mut main_low = self.main.next();
        let mut held_from: BTreeMap<TopicId, Position> = BTreeMap::new();
        let mut over_limit = main_low;
        for slot in self.main.window.iter().filter(|slot| !slot.state.is_done()) {
            match slot.belongs_to.filter(|topic| troubled.contains_key(topic)) {
                Some(topic) => {
                    held_from.entry(topic).or_insert(slot.position);
                }
                None => main_low = main_low.min(slot.position),
            }
            if slot.is_over_limit() {
                over_limit = over_limit.min(slot.position);
            }
        }
        for topic in troubled.keys() {
            // One that could not even be queued fails where the main lane stands.
            let from = held_from.entry(*topic).or_insert(self.main.next());
            // What was refused as one topic too many may be its own, unless it has a lane: that began
            // at the oldest of those, and since then the topic is known by name.
            let own = self.held.get(topic).map_or(over_limit, |held| held.lane.low());
            *from = (*from).min(own);
        }

        // The other lanes go back, each to its own oldest unsettled event.
        for (topic, held) in &mut self.held {
            if !troubled.contains_key(topic) {
                held.go_back();
            }
        }
        let end = self.main.next();
        for (topic, from) in held_from {
            let trouble = &troubled[&topic];
            // Something older (a dead letter that waits) may take the main lane further back than
            // this topic does.
            let stands = main_low.min(from);
            if !self.may_hold_troubled(topic, stands, end, trouble, now) {
                main_low = stands;
                continue;
            }
            self.hold(topic, from, &trouble.why, now);
            if let Some(held) = self.held.get_mut(&topic)
                && trouble.one_at_a_time
            {
                held.alone_before = end;
            }
        }
        self.main.rewind(main_low);
        self.letters.waiting.clear();
        self.put_back_refused(&put_back, now);
        Ok(())
    }

    /// Takes back what is not sent, waits for what is, and replaces the producer. Returns the topics' ages
    /// from before it, once that is done.
    fn take_back(&mut self, now: Now) -> Option<BTreeMap<TopicId, (u64, Duration)>> {
        if self.going_back.is_none() {
            let (ages, heard_at) = (self.ages(now), now.instant);
            let silent = self.silent_topics(now);
            self.going_back = Some(GoingBack { ages, silent, heard_at });
            // Once: what comes back into the sink's queue after a broken connection may have arrived, and
            // only the same producer can find out.
            self.sink.purge();
            self.settle_what_is_known(now);
        }
        let heard_at = self.going_back.as_ref()?.heard_at;
        let silence = self.time_without_throttle(heard_at, now);
        if self.topics.outstanding() > 0 && silence < self.patience_with_answers() {
            return None;
        }
        self.renew(now);
        self.going_back.take().map(|it| it.ages)
    }

    /// How long the next answer is waited for.
    fn patience_with_answers(&self) -> Duration {
        let hold_after = self.settings.hold_after;
        if self.cluster_is_away() {
            return hold_after; // nothing else could be done meanwhile
        }
        if self.only_silent_topics_are_waited_for() {
            return SILENT_ANSWER.min(hold_after);
        }
        let slow = (2 * self.pace.latency()).min(hold_after * SLOW_AT_MOST);
        NEXT_ANSWER.min(hold_after).max(slow)
    }

    /// The topics whose oldest record has been on its way for longer than one may take, on whatever lane.
    fn silent_topics(&self, now: Now) -> BTreeMap<TopicId, u64> {
        let lanes = self.held.values().map(|held| &held.lane.window);
        let slots = std::iter::once(&self.main.window).chain(lanes).flat_map(Window::iter);
        let overdue = slots.filter(|slot| self.is_overdue(slot, now));
        overdue.map(|slot| (slot.topic, self.topics.get(slot.topic).acknowledged)).collect()
    }

    fn only_silent_topics_are_waited_for(&self) -> bool {
        let Some(going_back) = &self.going_back else { return false };
        let still_silent = |(topic, acknowledged): (&TopicId, &u64)| {
            let topic = self.topics.get(*topic);
            if topic.acknowledged == *acknowledged { topic.outstanding } else { 0 }
        };
        going_back.silent.iter().map(still_silent).sum::<usize>() == self.topics.outstanding()
    }

    fn renew(&mut self, now: Now) {
        let source = self.spool.source().clone();
        self.needs_reset = false;
        let unanswered = self.topics.outstanding();
        if unanswered > 0 {
            self.metrics
                .unanswered_records
                .with_label_values(&[source.as_str()])
                .inc_by(unanswered as u64);
            tracing::warn!(
                %source, unanswered,
                "unacknowledged records are sent again; the topic may contain them twice",
            );
        }
        self.metrics.producer_renewals.with_label_values(&[source.as_str()]).inc();
        let end = Instant::now() + RENEWAL_PATIENCE;
        if let Err(error) = self.sink.renew(&|| Instant::now() >= end) {
            tracing::error!(%source, %error, "cannot replace the Kafka producer yet");
            self.needs_reset = true;
        }
        self.settle_what_is_known(now);
        self.topics.nothing_outstanding();
        self.pace.nothing_outstanding();
    }

    /// Takes in the outcomes that are there, without waiting.
    fn settle_what_is_known(&mut self, now: Now) {
        let mut outcomes = std::mem::take(&mut self.outcomes);
        self.sink.poll(Duration::ZERO, &mut outcomes);
        for (token, outcome) in outcomes.drain(..) {
            self.settle_one(token, outcome, now);
        }
        self.outcomes = outcomes;
    }

    /// While going back only deliveries matter: whatever failed is read again.
    pub(super) fn settle_going_back(&mut self, token: Token, slot: &Slot, outcome: &Outcome) {
        let topic = &self.topics.get(slot.topic).name;
        tracing::trace!(position = %slot.position, topic, ?outcome, "answered late");
        match outcome {
            Outcome::Delivered => self.delivered(token, slot),
            Outcome::Failed(_) => {
                if let Some(slot) = self.slot(token) {
                    slot.state = State::Failed;
                }
            }
        }
    }

    /// The topics that failed, and those without progress although the cluster answers.
    pub(super) fn topics_in_trouble(&mut self, now: Now) -> BTreeMap<TopicId, Trouble> {
        let mut troubled = std::mem::take(&mut self.troubled);
        let slots = self.windows_to_watch().flat_map(Window::iter);
        let stuck: Vec<Slot> = slots.filter(|slot| self.was_overdue(slot, now)).cloned().collect();
        if !stuck.is_empty() {
            // It may hang since the client takes the cluster for what it no longer is.
            self.sink.refresh();
        }
        for slot in stuck {
            let why =
                "no acknowledgement for longer than forward.hold_after, while the cluster answers";
            if !slot.carries.is_event() {
                self.letter_failed_in_transaction(slot.position);
                self.letters_failed(now, why);
            } else {
                troubled
                    .entry(slot.topic)
                    .or_insert(Trouble { why: why.into(), one_at_a_time: false });
            }
        }
        troubled
    }

    fn was_overdue(&self, slot: &Slot, now: Now) -> bool {
        let state = if slot.state == State::Failed { State::Outstanding } else { slot.state };
        self.is_overdue(&Slot { state, ..slot.clone() }, now)
    }

    /// Of each topic with records on their way, how many it has acknowledged and how long the oldest
    /// has waited.
    pub(super) fn ages(&self, now: Now) -> BTreeMap<TopicId, (u64, Duration)> {
        let mut ages = BTreeMap::new();
        let slots = self.windows_to_watch().flat_map(Window::iter);
        for slot in slots.filter(|slot| slot.state == State::Outstanding) {
            let acknowledged = self.topics.get(slot.topic).acknowledged;
            let (_, age) = ages.entry(slot.topic).or_insert((acknowledged, Duration::ZERO));
            *age = self.age(slot, now).max(*age);
        }
        ages
    }

    /// What is taken back is sent again and looks new; a topic that has not acknowledged anything
    /// meanwhile is as old as before, until it is found out to hang.
    pub(super) fn remember_how_long_they_waited(
        &mut self,
        ages: &BTreeMap<TopicId, (u64, Duration)>,
    ) {
        for (topic, (acknowledged, age)) in ages {
            let topic = self.topics.get_mut(*topic);
            let waited = topic.waited + *age;
            let hangs = waited > self.settings.hold_after;
            let same = topic.acknowledged == *acknowledged && !hangs;
            topic.waited = if same { waited } else { Duration::ZERO };
        }
    }

    fn remember_what_is_settled(&mut self) {
        let lanes = self.held.values().map(|held| &held.lane.window);
        let slots = std::iter::once(&self.main.window).chain(lanes).flat_map(Window::iter);
        for slot in slots.filter(|slot| slot.state == State::Settled) {
            let topic = slot.belongs_to.unwrap_or(self.dead_letters);
            self.settled_ahead.insert(slot.position, topic);
        }
    }
}
