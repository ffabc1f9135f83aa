//! Asking, in a transaction: whether a topic in trouble is well again is found out with one record.
//! Its failure would take everybody's work back, so it has a transaction of its own: what there is is
//! committed first, and the others make way until there is an answer, for a second at most. What
//! asks often without an answer asks less often, so that the others have most of the time.

use super::{
    Forwarder, Now,
    abort::ASKING_PATIENCE,
    held::Phase,
    reset::Trouble,
    topics::TopicId,
    window::{Carries, Slot, State, Window},
};
use crate::{kafka::produce::Sink, spool::position::Position};

impl<S: Sink> Forwarder<S> {
    /// Whether the held topic's next record is one that asks.
    pub(super) fn has_to_ask(&self, topic: TopicId) -> bool {
        let in_doubt =
            |held: &super::held::HeldTopic| held.phase == Phase::Probing && held.is_in_doubt;
        self.transaction.is_some() && self.held.get(&topic).is_some_and(in_doubt)
    }

    /// Whether a record may ask now. If not, the others make way for it, unless it is too soon.
    pub(super) fn may_ask(&mut self, now: Now) -> Asked {
        let Some(transaction) = &mut self.transaction else { return Asked::Now };
        if transaction.asks_again_at.is_some_and(|at| now.instant < at) {
            return Asked::TooSoon;
        }
        if transaction.ending || !(transaction.is_empty() || transaction.asking.is_some()) {
            transaction.urgent = true;
            return Asked::Soon;
        }
        Asked::Now
    }

    /// Whether the held topic's record may ask now; otherwise it is seen to that it may later.
    pub(super) fn has_its_turn(&mut self, topic: TopicId, now: Now) -> bool {
        let asked = self.may_ask(now);
        let again_at = self.transaction.as_ref().and_then(|it| it.asks_again_at);
        let Some(held) = self.held.get_mut(&topic) else { return true };
        match asked {
            Asked::Now => return true,
            Asked::Soon => held.wants_to_ask = true,
            Asked::TooSoon => {
                held.phase = Phase::Waiting { until: again_at.unwrap_or(now.instant) }
            }
        }
        false
    }

    /// A record that asks is on its way.
    pub(super) fn asks(&mut self, now: Now) {
        if let Some(transaction) = &mut self.transaction {
            transaction.asking.get_or_insert(now.instant);
        }
    }

    /// Whether everybody else waits for those who ask, or want to.
    pub(super) fn makes_way(&self) -> bool {
        let Some(transaction) = &self.transaction else { return false };
        let letter =
            transaction.letter_asks && self.letters.are_in_trouble() && !self.letters.is_empty();
        let wants =
            self.held.values().any(|held| held.wants_to_ask && held.phase == Phase::Probing);
        transaction.asking.is_some() || letter || wants
    }

    /// A dead letter could not be written in this transaction, which is taken back.
    pub(super) fn letter_failed_in_transaction(&mut self, position: Position) {
        if let Some(transaction) = &mut self.transaction {
            transaction.failed_letters.insert(position);
        }
    }

    /// Whether the dead letter of the event there has to wait with the others, after it has failed.
    pub(super) fn letter_has_failed(&self, position: Position) -> bool {
        let failed =
            self.transaction.as_ref().is_some_and(|it| it.failed_letters.contains(&position));
        failed && self.letters.are_in_trouble()
    }

    /// Records that ask without an answer count as failed; `true` when there are any.
    pub(super) fn asked_in_vain(&mut self, now: Now) -> bool {
        let Some(transaction) = &self.transaction else { return false };
        if transaction.asking.is_none() || transaction.going_back {
            return false;
        }
        let lanes = self.held.values().map(|held| &held.lane.window);
        let slots = std::iter::once(&self.main.window).chain(lanes).flat_map(Window::iter);
        // On a slow path an answer takes its time.
        let patience = ASKING_PATIENCE.max(2 * self.pace.latency()).min(self.settings.hold_after);
        let in_vain =
            |slot: &&Slot| slot.state == State::Outstanding && self.age(slot, now) > patience;
        let in_vain: Vec<Slot> = slots.filter(in_vain).cloned().collect();
        for slot in &in_vain {
            let why = "no acknowledgement, while the cluster answers";
            match slot.carries {
                Carries::Event(_) => {
                    self.trouble(slot, Trouble { why: why.into(), one_at_a_time: false });
                }
                Carries::DeadLetter { .. } => {
                    self.letter_failed_in_transaction(slot.position);
                    self.letters_failed(now, why);
                }
            }
        }
        !in_vain.is_empty()
    }
}

/// When a record may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Now,
    /// As soon as the transaction has ended.
    Soon,
    /// Others have their time first.
    TooSoon,
}
