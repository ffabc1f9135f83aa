//! Going back, in at-least-once delivery.
//!
//! A sink whose credentials were replaced goes back as one that failed does: no record is left to the old credentials,
//! and none is sent twice.
//!
//! When a record fails while later ones of its topic are on their way, those could overtake it. So nothing more is
//! sent: the sink's unsent records are taken back, the records in flight are waited for, the producer is replaced
//! (after a purge its sequence numbers have a gap), topics that failed are held, and every lane goes back to its oldest
//! unsettled event, except those that were put back (`dead_letters.rs`). Events settled beyond that are remembered, so
//! that going back repeats nothing that is known to be delivered.
//!
//! The wait lasts as long as answers come, over many steps if need be. Only records that no broker has answered by
//! then are sent again without knowing whether the first one arrived; they are counted, and a reader may find them
//! twice although nothing crashed.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    super::{
        CLUSTER_SILENCE,
        out::{Ages, Out},
        topics::TopicId,
    },
    Answer, AtLeastOnce, Hold, Lanes, Now, Outcome, Owners, Position, Sink, State, Trouble, Window,
};

/// Shortest wait for the next answer to a record in flight: longer than it takes to see that the cluster is away.
const NEXT_ANSWER_TIMEOUT: Duration = Duration::from_secs(6);
/// Wait for it once only topics are left that were silent for longer than `hold_after`: each moment of it delays the
/// other topics.
const SILENT_ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// On a slow path the wait is as long as the path takes, up to so many times `hold_after`.
const MAX_SLOW_FACTOR: u32 = 4;

const _: () = assert!(NEXT_ANSWER_TIMEOUT.as_secs() > CLUSTER_SILENCE.as_secs());

/// The wait for the records in flight.
pub(super) struct Rewind {
    /// Time that the topics had waited when it began.
    ages: Ages,
    /// Topics that had been silent for too long by then, and how many records they had acknowledged.
    silent: BTreeMap<TopicId, u64>,
    /// Time of the last answer, or of the beginning.
    heard_at: Instant,
}

impl Rewind {
    fn new<S: Sink>(out: &Out<S>, lanes: &Lanes, now: Now) -> Self {
        let watched = lanes.watched(false).flat_map(Window::iter);
        let overdue = lanes.slots().filter(|slot| out.is_overdue(slot, now));
        Self {
            ages: out.ages(watched, now),
            silent: overdue
                .map(|slot| (slot.topic, out.topics().acknowledgements(slot.topic)))
                .collect(),
            heard_at: now.instant,
        }
    }

    fn has_waited_enough<S: Sink>(&self, out: &Out<S>, now: Now) -> bool {
        let silence = out.link().unthrottled_time(self.heard_at, now);
        out.topics().outstanding() == 0 || silence >= self.patience(out)
    }

    /// Returns how long the next answer is waited for.
    fn patience<S: Sink>(&self, out: &Out<S>) -> Duration {
        let hold_after = out.link().hold_after();
        if out.cluster_is_away() {
            return hold_after; // nothing else could be done meanwhile
        }
        if self.is_down_to_silent(out) {
            return SILENT_ANSWER_TIMEOUT.min(hold_after);
        }
        let slow = (2 * out.link().latency()).min(hold_after * MAX_SLOW_FACTOR);
        NEXT_ANSWER_TIMEOUT.min(hold_after).max(slow)
    }

    fn is_down_to_silent<S: Sink>(&self, out: &Out<S>) -> bool {
        let topics = out.topics();
        let still_silent = |(topic, acknowledged): (&TopicId, &u64)| {
            let is_same = topics.acknowledgements(*topic) == *acknowledged;
            if is_same { topics.outstanding_of(*topic) } else { 0 }
        };
        self.silent.iter().map(still_silent).sum::<usize>() == topics.outstanding()
    }
}

impl AtLeastOnce {
    pub fn rewind<S: Sink>(&mut self, owners: &mut Owners<'_, S>, now: Now) {
        let Some(ages) = self.take_back(owners, now) else {
            return owners.out.renew_later();
        };
        let failed = owners.overdue(false, now).topics;
        let Owners { out, lanes, dead_letters, .. } = owners;
        out.remember_ages(&ages);
        let put_back = dead_letters.take_put_back(lanes, out.topics());
        // Before any window is cleared: the settled slots are in them.
        lanes.remember_settled();

        let starts = Starts::new(&failed, lanes);
        // The other lanes go back, each to its own oldest unsettled event.
        for (topic, held) in lanes.all_held_mut() {
            if !failed.contains_key(&topic) {
                held.rewind();
            }
        }
        let end = lanes.main().next();
        let mut main_low = starts.main;
        for (topic, from) in starts.held {
            let Trouble { why, one_at_a_time } = &failed[&topic];
            let alone_before = one_at_a_time.then_some(end);
            let hold = Hold { topic, from, why, alone_before };
            // An older event (a dead letter that waits) may take the main lane further back than this
            // topic does.
            let stands = main_low.min(from);
            if lanes.may_hold(Hold { from: stands, ..hold }, out.topics_mut(), now) {
                lanes.hold(hold, out.topics_mut(), now);
            } else {
                main_low = stands;
            }
        }
        lanes.main_mut().rewind(main_low);
        dead_letters.clear();
        dead_letters.put_back(&put_back, lanes, out.topics_mut(), now);
    }

    /// Takes back unsent records, waits for those in flight, and replaces the producer. Returns the topics' ages
    /// from before the wait, once that is done.
    fn take_back<S: Sink>(&mut self, owners: &mut Owners<'_, S>, now: Now) -> Option<Ages> {
        if self.rewind.is_none() {
            self.rewind = Some(Rewind::new(owners.out, owners.lanes, now));
            // Only once: records that return to the sink's queue after a broken connection may have arrived, and
            // only the same producer can find out.
            owners.out.purge();
            self.settle_known(owners, now);
        }
        if !self.rewind.as_ref()?.has_waited_enough(owners.out, now) {
            return None;
        }
        owners.out.replace_producer();
        // Without this, a record acknowledged meanwhile would be sent again.
        self.settle_known(owners, now);
        owners.out.nothing_outstanding();
        self.rewind.take().map(|it| it.ages)
    }

    /// Takes in the outcomes at hand, without waiting.
    fn settle_known<S: Sink>(&mut self, owners: &mut Owners<'_, S>, now: Now) {
        let mut outcomes = owners.out.poll(Duration::ZERO);
        for (token, outcome) in outcomes.drain(..) {
            if let Some(answer) = owners.answer(token, &outcome, now) {
                self.answered_late(owners, &answer, &outcome, now);
            }
        }
        owners.out.recycle(outcomes);
    }

    /// Handles an answer while going back: only deliveries matter, a record that failed is read again.
    pub fn answered_late<S: Sink>(
        &mut self,
        owners: &mut Owners<'_, S>,
        answer: &Answer,
        outcome: &Outcome,
        now: Now,
    ) {
        if let Some(rewind) = self.rewind.as_mut().filter(|_| answer.is_by_broker) {
            rewind.heard_at = now.instant;
        }
        let topic = owners.out.topics().name(answer.slot.topic);
        tracing::trace!(position = %answer.slot.position, topic, ?outcome, "answered late");
        match outcome {
            Outcome::Delivered => self.delivered(owners, answer),
            Outcome::Failed(_) => owners.lanes.set_state(answer.token, State::Failed),
        }
    }
}

/// Positions from which the lanes begin again.
struct Starts {
    main: Position,
    /// By topic that failed.
    held: BTreeMap<TopicId, Position>,
}

impl Starts {
    fn new(failed: &BTreeMap<TopicId, Trouble>, lanes: &Lanes) -> Self {
        let end = lanes.main().next();
        let mut starts = Self { main: end, held: BTreeMap::new() };
        let mut over_limit = end;
        for slot in lanes.main().owed() {
            match slot.belongs_to.filter(|topic| failed.contains_key(topic)) {
                Some(topic) => {
                    starts.held.entry(topic).or_insert(slot.position);
                }
                None => starts.main = starts.main.min(slot.position),
            }
            if slot.is_over_limit() {
                over_limit = over_limit.min(slot.position);
            }
        }
        for topic in failed.keys() {
            // A topic whose record could not even be queued fails where the main lane stands.
            let from = starts.held.entry(*topic).or_insert(end);
            // Events refused as one topic too many may be of this topic, unless it has a lane: that began at the
            // oldest of those, and since then the topic is known by name.
            let own = lanes.held(*topic).map_or(over_limit, |held| held.lane().low());
            *from = (*from).min(own);
        }
        starts
    }
}
