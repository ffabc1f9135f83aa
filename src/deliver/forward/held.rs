//! Held topics: a topic that cannot be written for a while waits alone, and the others flow on.
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
    /// Before this position records are sent one at a time: one of them was refused, and only alone shows which.
    alone_before: Position,
    /// Whether it is unknown if the topic can be written: then a transaction's probe goes alone. Not so while it is
    /// created, and while single records are tried to find the refused one.
    is_in_doubt: bool,
    /// Whether its next record, a probe, waits for its turn in a transaction.
    probe_waits: bool,
    /// Whether its failure was logged, so that its return is logged as well; a mere creation is not.
    is_reported: bool,
    failed_probes: u32,
    hanging_probes: u32,
}

/// Number of failed probes after which another client is tried; the number doubles each time, up to a limit.
const PROBES_PER_CLIENT: u32 = 3;
const MAX_PROBES_PER_CLIENT: u32 = 96;

/// Limit of the factor by which a hanging probe is waited for longer.
const MAX_PROBE_FACTOR: u32 = 16;

/// A topic to be left to a lane of its own.
#[derive(Clone, Copy)]
pub(super) struct Hold<'a> {
    pub topic: TopicId,
    /// Its oldest event that is not settled.
    pub from: Position,
    pub why: &'a str,
    /// Set when one record of a batch was refused: records before it are sent singly to show which. The topic itself
    /// works.
    pub alone_before: Option<Position>,
}

/// Phase of a held topic. Its moves:
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
    /// Accepted again; the lane hurries after the main one.
    CatchingUp,
    /// The main lane carries the topic again; this lane's last records are on their way, or the main
    /// lane could still go back to events that this one has delivered.
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

    /// Lets the topic wait: nothing is sent before `until`.
    pub fn wait(&mut self, until: Instant) {
        self.phase = Phase::Waiting { until };
        self.lane.release();
    }

    /// Ends the wait: the next record is a probe.
    pub fn begin_probe(&mut self) {
        self.phase = Phase::Probing;
    }

    /// Lets the probe wait for its turn.
    pub fn postpone_probe(&mut self) {
        self.probe_waits = true;
    }

    /// Lets the lane try again; whether its probe has to wait is decided again.
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

    /// Notes that it is unknown whether the topic can be written.
    pub fn doubt(&mut self) {
        self.is_in_doubt = true;
    }

    /// Notes that the topic is only being created.
    pub fn trust(&mut self) {
        self.is_in_doubt = false;
    }

    /// Sends the records before `end` one at a time; the topic itself works.
    pub fn send_singly(&mut self, end: Position) {
        self.is_in_doubt = false;
        self.alone_before = self.alone_before.max(end);
    }

    /// Notes a logged failure; `true` when it was not logged yet.
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

    /// Counts a failed probe. Whether the client itself should be replaced before the next one: its picture of the
    /// topic (its leader, its epoch) may be outdated for good.
    pub fn needs_new_client(&mut self) -> bool {
        self.failed_probes += 1;
        is_client_due(self.failed_probes)
    }

    /// Counts a probe without an answer.
    pub fn probe_hangs(&mut self) {
        self.hanging_probes += 1;
    }

    /// How many times `forward.hold_after` a probe may hang before another client is tried: each replacement
    /// costs the other topics a moment.
    pub fn probe_patience(&self) -> u32 {
        2_u32.saturating_pow(self.hanging_probes).min(MAX_PROBE_FACTOR)
    }

    /// Whether its probe is on its way. Refused events that wait to become dead letters do not count: the topic's next
    /// event may be a probe beside them.
    pub fn is_probe_sent(&self) -> bool {
        let mut slots = self.lane.window().iter();
        slots.any(|slot| slot.carries.is_event() && slot.state == State::Outstanding)
    }

    /// Whether the main lane leaves the topic's event at `position` alone.
    pub fn covers(&self, position: Position) -> bool {
        self.phase != Phase::Draining || position < self.lane.next()
    }

    /// Whether the lane is finished: all its records are settled, and the main lane, with everything before `main_low`
    /// settled, cannot come back to any of them.
    pub fn is_back(&self, main_low: Position) -> bool {
        self.phase == Phase::Draining
            && self.lane.window().is_empty()
            && main_low >= self.lane.next()
    }

    /// Forgets the records on their way and starts again at the oldest one.
    pub fn rewind(&mut self) {
        if self.phase == Phase::Draining && !self.lane.window().is_empty() {
            self.phase = Phase::CatchingUp;
        }
        let low = self.lane.low();
        self.lane.rewind(low);
    }

    /// Keeps the failure history of the lane that `self` replaces.
    pub fn remember(&mut self, before: &Self) {
        self.alone_before = before.alone_before;
        self.is_in_doubt = before.is_in_doubt;
        self.is_reported = before.is_reported;
        self.failed_probes = before.failed_probes;
    }

    /// Notes that nothing is left to read behind the main lane, which stands at `main`. A lane that
    /// is ahead (the main one went back) stays: its topic still fails.
    pub fn caught_up(&mut self, main: Position) {
        let proven = self.phase == Phase::CatchingUp || self.lane.next() >= self.alone_before;
        if proven && self.lane.next() <= main {
            self.phase = Phase::Draining;
        }
    }

    /// Notes that the probe was accepted.
    pub fn accepted(&mut self) {
        if self.phase == Phase::Probing && self.lane.next() >= self.alone_before {
            self.phase = Phase::CatchingUp;
        }
    }
}

fn is_client_due(failed_probes: u32) -> bool {
    let rounds = failed_probes / PROBES_PER_CLIENT;
    let is_round = failed_probes.is_multiple_of(PROBES_PER_CLIENT);
    is_round && (rounds.is_power_of_two() || failed_probes.is_multiple_of(MAX_PROBES_PER_CLIENT))
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{at, clock, place},
        *,
    };

    #[test]
    fn a_held_topic_waits_probes_catches_up_and_drains_and_only_then_is_it_back() {
        let place = place();
        let now = clock();
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
