//! At least once: each record counts as soon as it is acknowledged.
//!
//! Events delivered behind an unsettled one are delivered again after a crash, and not otherwise: a lane that goes
//! back remembers them (`acked_ahead.rs`).

mod over_limit;
mod rewind;

use super::{
    MAIN_LANE, Now, Owners, Result,
    dead_letters::{DeadLetterQueue, Waiting},
    held::{HeldTopic, Hold, Phase},
    lanes::Lanes,
    out::Trouble,
    outcomes::Answer,
    refusal::{REFUSED, Stage},
    saved::Saved,
    source::Source,
    topics::Topics,
    window::{Carries, State, Window},
};
use crate::{
    deliver::{checkpoint::Checkpoint, deduplicate::Identity},
    kafka::produce::{Failure, Outcome, Sink},
    spool::position::Position,
};

pub(super) use over_limit::{Earlier, OverLimit};
use rewind::Rewind;

#[derive(Default)]
pub(super) struct AtLeastOnce {
    over_limit: OverLimit,
    /// The lanes go back, and wait for the records in flight.
    rewind: Option<Rewind>,
}

impl AtLeastOnce {
    pub fn over_limit(&self) -> &OverLimit {
        &self.over_limit
    }

    pub fn over_limit_mut(&mut self) -> &mut OverLimit {
        &mut self.over_limit
    }

    pub fn waits_for_answers(&self) -> bool {
        self.rewind.is_some()
    }

    pub fn delivered<S: Sink>(&mut self, owners: &mut Owners<'_, S>, answer: &Answer) {
        let slot = &answer.slot;
        match slot.carries {
            Carries::Event(stream) => owners.out.topics_mut().count(slot.topic, stream),
            Carries::DeadLetter { reason, .. } => {
                owners.source.count(&owners.source.metrics().dead_letters, reason);
            }
        }
        owners.source.latency_mut().delivered(slot.received_at, answer.at);
        if let Some(settled) = owners.delivered(answer) {
            self.settle_id(settled.position, settled.identity, owners.source);
        }
    }

    /// Marks an id as settled; that of a `topic-limit` dead letter is saved with the checkpoint that passes it.
    pub fn settle_id(
        &mut self,
        position: Position,
        identity: Option<Identity>,
        source: &mut Source,
    ) {
        if !self.over_limit.settle(position, identity) {
            source.settled(identity);
        }
    }

    pub fn failed<S: Sink>(
        &mut self,
        owners: &mut Owners<'_, S>,
        answer: &Answer,
        failure: Failure,
        now: Now,
    ) {
        let slot = &answer.slot;
        match (slot.carries, failure) {
            (_, Failure::Purged) => owners.out.renew_later(),
            (Carries::DeadLetter { .. }, Failure::Fatal(_)) => owners.out.renew_later(),
            (Carries::Event(_), Failure::Fatal(error)) => {
                tracing::warn!(source = %owners.source.name(), error, "replacing the Kafka producer");
                owners.out.renew_later();
            }
            (Carries::DeadLetter { reason, pointer }, failure) => {
                let stage = if pointer { Stage::Pointer } else { Stage::DeadLetter };
                let error = slot.error.as_deref().unwrap_or_default().into();
                let mut waiting = Waiting::new(answer.token, reason, error, stage);
                match failure {
                    Failure::Refused(_)
                        if answer.is_alone && !owners.dead_letters.failed_just_now(now) =>
                    {
                        waiting.stage = stage.after_refusal();
                    }
                    // A failed batch: one record of it is refused, or all of them for now. Each is sent alone to find
                    // out.
                    failure => owners.dead_letter_failed(&failure.to_string(), now),
                }
                owners.refused(waiting);
            }
            // Alone in its batch: this very record is refused, not another one beside it.
            (Carries::Event(_), Failure::Refused(error)) if answer.is_alone => {
                owners.refused(Waiting::new(answer.token, REFUSED, error, Stage::DeadLetter));
            }
            (Carries::Event(_), Failure::Refused(why)) => {
                owners.out.record_failed(slot, Trouble { why, one_at_a_time: true });
            }
            (Carries::Event(_), Failure::Passing(why)) if answer.is_alone => {
                hold_again(owners, answer, &why, now);
            }
            (Carries::Event(_), Failure::Passing(why)) => {
                owners.out.record_failed(slot, Trouble::passing(why));
            }
        }
    }

    /// Whether a probe is unanswered for longer than a topic that is not held may take. The cause need not be the
    /// topic: the client may have an outdated picture of the cluster.
    pub fn probe_hangs<S: Sink>(&mut self, owners: &mut Owners<'_, S>, now: Now) -> bool {
        if self.waits_for_answers() {
            return false;
        }
        let link = owners.out.link();
        let hangs = |held: &HeldTopic| {
            let oldest = held.lane().window().oldest_on_its_way();
            let patience = link.hold_after() * held.probe_patience();
            held.phase() == Phase::Probing
                && oldest.is_some_and(|it| it.carries.is_event() && link.age(it, now) > patience)
        };
        let mut any = false;
        for (_, held) in owners.lanes.all_held_mut() {
            if hangs(held) {
                held.probe_hangs();
                any = true;
            }
        }
        any
    }

    pub fn position(
        lanes: &Lanes,
        dead_letters: &DeadLetterQueue,
        topics: &Topics,
        saved: &Saved,
    ) -> Checkpoint {
        let main_low = lanes.main().low();
        Checkpoint {
            low: dead_letters.low_of(lanes.main()),
            held: lanes.named(
                topics,
                |held| held.is_back(main_low),
                |lane| dead_letters.low_of(lane),
            ),
            // Only exactly-once delivery names a writer.
            writer: None,
            // Refused events that exactly-once delivery has passed, and that still wait.
            refused: dead_letters.unsettled_put_back(lanes, topics),
            ..saved.last().clone()
        }
    }

    /// Writes the checkpoint if it changed, and lets the spool remove the segments behind it.
    pub fn save<S: Sink>(&mut self, owners: &mut Owners<'_, S>, now: Now) -> Result<()> {
        let Owners { source, out, lanes, dead_letters, saved } = owners;
        debug_assert!(lanes.are_disjoint(), "the main lane owes what it would pass");
        saved.begin(now);
        lanes.forget_behind();
        let checkpoint = Self::position(lanes, dead_letters, out.topics(), saved);
        // Ids first: an event behind a checkpoint must be known by its id after a crash.
        for id in self.over_limit.ids_passed_by(&checkpoint) {
            source.settled(Some(id));
        }
        source.save_ids(now);
        if checkpoint != *saved.last() {
            let number = checkpoint.number + 1;
            let written_at = now.unix;
            saved.store(Checkpoint { number, written_at, ..checkpoint }, source)?;
        }
        self.over_limit.keep_ahead_of(saved.last());
        // Segments last: those behind a checkpoint that is not durable may still be needed.
        saved.release(source);
        Ok(())
    }
}

/// Holds the topic of a failed record from this record on, without disturbing the others: no other record of the topic
/// is on its way, so none can overtake it. With unsettled dead letters of that topic only a rewind knows where the
/// topic begins.
fn hold_again<S: Sink>(owners: &mut Owners<'_, S>, answer: &Answer, why: &str, now: Now) {
    let Owners { out, lanes, .. } = owners;
    let slot = &answer.slot;
    out.topics_mut().ask_before_next(slot.topic);
    if lanes.owes(Some(slot.topic), Some(slot.position)) {
        return out.record_failed(slot, Trouble::passing(why));
    }
    if Window::lane_of(answer.token) != MAIN_LANE {
        lanes.wait(slot.topic, out.topics_mut(), now);
        lanes.remember_settled_after(slot);
        if let Some(held) = lanes.held_mut(slot.topic) {
            held.lane_mut().rewind(slot.position);
            if held.needs_new_client() {
                out.renew_later();
            }
        }
        return;
    }
    let stands = lanes.main().low();
    let hold = Hold { topic: slot.topic, from: slot.position, why, alone_before: None };
    if !lanes.may_hold(Hold { from: stands, ..hold }, out.topics_mut(), now) {
        // A rewind takes the main lane back to its oldest unsettled event, and it goes on after a pause.
        return out.renew_later();
    }
    lanes.remember_settled_after(slot);
    lanes.hold(hold, out.topics_mut(), now);
    lanes.main_mut().window_mut().leave(answer.token);
}
