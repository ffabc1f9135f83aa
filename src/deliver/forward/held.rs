//! Held topics: a topic that cannot be written for a while waits by itself, and the others flow on.
//!
//! A held topic remembers its oldest undelivered position and comes back by reading the spool again
//! from there, for itself alone and in order: first one record, a probe, to see whether it is accepted, then
//! all, until it has caught up with the main lane. Its records stay in its own lane's window until
//! they are settled; only then is it forgotten.

use std::time::Instant;

use super::{lane::Lane, topics::TopicId, window::State};
use crate::spool::position::Position;

pub(super) struct HeldTopic {
    lane: Lane,
    phase: Phase,
    /// Up to here records are sent one at a time: one of them was refused, and alone it shows which.
    alone_before: Position,
    /// Whether it can be written is not known: in a transaction its probe goes alone. Not so while it is
    /// created, and while single records are tried to find one that is refused.
    is_in_doubt: bool,
    /// In a transaction: its next record is a probe, and waits for its turn.
    probe_waits: bool,
    /// Its failure was logged, so its return is logged as well; not so while it is merely being created.
    is_reported: bool,
    failed_probes: u32,
    hanging_probes: u32,
}

/// So many failed probes make another client likely to help, then twice as many; and at most so many
/// lie between two clients.
const FAILED_PROBES: u32 = 3;
const FAILED_PROBES_AT_MOST: u32 = 96;

/// A probe that hangs is waited for so many times as long at most.
const PATIENCE_AT_MOST: u32 = 16;

/// A topic to be left to a lane of its own.
#[derive(Clone, Copy)]
pub(super) struct Hold<'a> {
    pub topic: TopicId,
    /// Its oldest event that is not settled.
    pub from: Position,
    pub why: &'a str,
    /// One record of a batch was refused: single ones up to here show which. The topic itself is well.
    pub alone_before: Option<Position>,
}

/// Where a held topic stands. Its moves:
///
/// - `Waiting` → `Probing` when its time is over ([`HeldTopic::begin_probe`]);
/// - `Probing` → `CatchingUp` when a probe is accepted ([`HeldTopic::accepted`]);
/// - `CatchingUp` → `Draining` when its lane has reached the main one ([`HeldTopic::caught_up`]);
/// - `Draining` → closed when all is settled ([`HeldTopic::is_back`]);
/// - any → `Waiting` when its topic fails once more ([`HeldTopic::wait`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing is sent before `until`.
    Waiting { until: Instant },
    /// One record at a time.
    Probing,
    /// It is accepted again; the lane hurries after the main one.
    CatchingUp,
    /// The main lane carries the topic again; this lane's last records are on their way, or the main
    /// lane could still go back to what this one has delivered.
    Draining,
}

impl HeldTopic {
    pub fn new(lane: Lane, phase: Phase) -> Self {
        Self {
            lane,
            phase,
            alone_before: Position::start_of(0),
            is_in_doubt: true,
            probe_waits: false,
            is_reported: false,
            failed_probes: 0,
            hanging_probes: 0,
        }
    }

    pub fn lane(&self) -> &Lane {
        &self.lane
    }

    pub fn lane_mut(&mut self) -> &mut Lane {
        &mut self.lane
    }

    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Nothing is sent before `until`.
    pub fn wait(&mut self, until: Instant) {
        self.phase = Phase::Waiting { until };
    }

    /// Its time to wait is over: the next record is a probe.
    pub fn begin_probe(&mut self) {
        self.phase = Phase::Probing;
    }

    /// A probe waits for its turn.
    pub fn postpone_probe(&mut self) {
        self.probe_waits = true;
    }

    /// The lane tries once more; whether its probe has to wait comes out again.
    pub fn retry_probe(&mut self) {
        self.probe_waits = false;
    }

    pub fn has_postponed_probe(&self) -> bool {
        self.probe_waits && self.phase == Phase::Probing
    }

    /// Whether its next record is a probe.
    pub fn must_probe(&self) -> bool {
        self.phase == Phase::Probing && self.is_in_doubt
    }

    /// Whether it can be written is not known, or no longer.
    pub fn doubt(&mut self) {
        self.is_in_doubt = true;
    }

    /// It is only being created.
    pub fn trust(&mut self) {
        self.is_in_doubt = false;
    }

    /// Up to `end` its records are sent one at a time; the topic itself is well.
    pub fn send_singly(&mut self, end: Position) {
        self.is_in_doubt = false;
        self.alone_before = self.alone_before.max(end);
    }

    /// It failed; `true` when that was not logged yet.
    pub fn report(&mut self) -> bool {
        !std::mem::replace(&mut self.is_reported, true)
    }

    pub fn is_reported(&self) -> bool {
        self.is_reported
    }

    /// Whether it still waits for the cluster to take its records.
    pub fn is_out_of_order(&self) -> bool {
        matches!(self.phase, Phase::Waiting { .. } | Phase::Probing)
    }

    /// A probe has failed. Whether the client itself should be replaced before the next one: what it
    /// believes of the topic (its leader, its epoch) may be old news, of which it will never let go.
    pub fn needs_new_client(&mut self) -> bool {
        self.failed_probes += 1;
        is_client_due(self.failed_probes)
    }

    /// A probe got no answer.
    pub fn probe_hangs(&mut self) {
        self.hanging_probes += 1;
    }

    /// For how many times `forward.hold_after` a probe may hang before another client is tried: each
    /// costs the others a moment.
    pub fn probe_patience(&self) -> u32 {
        2_u32.saturating_pow(self.hanging_probes).min(PATIENCE_AT_MOST)
    }

    /// Whether its probe is on its way. Refused events that wait to become dead letters
    /// do not keep the topic's others from being probes.
    pub fn is_probe_sent(&self) -> bool {
        let mut slots = self.lane.window().iter();
        slots.any(|slot| slot.carries.is_event() && slot.state == State::Outstanding)
    }

    /// Whether the main lane leaves the topic's event at `position` alone.
    pub fn covers(&self, position: Position) -> bool {
        self.phase != Phase::Draining || position < self.lane.next()
    }

    /// Whether the lane has done its work: all that it sent is settled, and the main lane, of which
    /// everything before `main_low` is, cannot come back to any of it.
    pub fn is_back(&self, main_low: Position) -> bool {
        self.phase == Phase::Draining
            && self.lane.window().is_empty()
            && main_low >= self.lane.next()
    }

    /// Forgets what was on its way and takes it up again.
    pub fn rewind(&mut self) {
        if self.phase == Phase::Draining && !self.lane.window().is_empty() {
            self.phase = Phase::CatchingUp;
        }
        let low = self.lane.low();
        self.lane.rewind(low);
    }

    /// What is known of its failures outlives a lane that is replaced by `self`.
    pub fn remember(&mut self, before: &Self) {
        self.alone_before = before.alone_before;
        self.is_in_doubt = before.is_in_doubt;
        self.is_reported = before.is_reported;
        self.failed_probes = before.failed_probes;
    }

    /// The lane has nothing left to read behind the main lane, which stands at `main`. A lane that
    /// is ahead (the main one went back) stays: its topic still fails.
    pub fn caught_up(&mut self, main: Position) {
        let proven = self.phase == Phase::CatchingUp || self.lane.next() >= self.alone_before;
        if proven && self.lane.next() <= main {
            self.phase = Phase::Draining;
        }
    }

    /// The probe was accepted.
    pub fn accepted(&mut self) {
        if self.phase == Phase::Probing && self.lane.next() >= self.alone_before {
            self.phase = Phase::CatchingUp;
        }
    }
}

fn is_client_due(failed_probes: u32) -> bool {
    let rounds = failed_probes / FAILED_PROBES;
    let is_round = failed_probes.is_multiple_of(FAILED_PROBES);
    is_round && (rounds.is_power_of_two() || failed_probes.is_multiple_of(FAILED_PROBES_AT_MOST))
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{at, clock, place},
        *,
    };

    #[test]
    fn a_held_topic_waits_probes_catches_up_and_drains_and_only_then_is_it_back() {
        let (place, now) = (place(), clock());
        let lane = Lane::new(1, place.spool.reader(3), at(3));
        let mut held = HeldTopic::new(lane, Phase::Waiting { until: now(1).instant });
        held.accepted();
        assert!(held.is_out_of_order(), "nothing was sent");
        held.begin_probe();
        assert!(held.must_probe() && held.covers(at(9)));
        held.caught_up(at(9));
        assert_eq!(held.phase(), Phase::Draining, "there was nothing to send");
        held.begin_probe();
        held.send_singly(at(5));
        held.accepted();
        assert_eq!(held.phase(), Phase::Probing, "single records are sent up to there");
        held.lane_mut().pass(5);
        held.accepted();
        assert_eq!(held.phase(), Phase::CatchingUp);
        held.caught_up(at(5));
        assert!(held.covers(at(4)) && !held.covers(at(5)));
        assert!(!held.is_back(at(4)) && held.is_back(at(5)));
    }

    #[test]
    fn it_is_reported_once_and_a_lane_that_replaces_another_remembers_that() {
        let place = place();
        let lane = |id| Lane::new(id, place.spool.reader(3), at(3));
        let mut held = HeldTopic::new(lane(1), Phase::Probing);
        assert!(held.report() && !held.report());
        let mut again = HeldTopic::new(lane(2), Phase::Probing);
        again.remember(&held);
        assert!(!again.report());
    }

    #[test]
    fn another_client_is_tried_ever_more_rarely_and_never_given_up() {
        let tried: Vec<_> = (1..=300).filter(|n| is_client_due(*n)).collect();
        assert_eq!(tried, [3, 6, 12, 24, 48, 96, 192, 288]);
    }
}
