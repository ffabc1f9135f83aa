//! Held topics: a topic that can't be written for a while waits by itself, and the others flow on.
//!
//! A held topic remembers its oldest undelivered position and comes back by reading the spool again
//! from there, for itself alone and in order: first one record to see whether it is accepted, then
//! all, until it has caught up with the main lane. Its records stay in its own lane's window until
//! they are settled; only then is it forgotten.

use std::time::Instant;

use super::{lane::Lane, window::State};
use crate::spool::position::Position;

pub(super) struct HeldTopic {
    pub lane: Lane,
    pub phase: Phase,
    /// What the cluster said, for people.
    pub why: String,
    /// Up to here records are sent one at a time: one of them was refused, and alone it shows which.
    pub alone_before: Position,
    /// Nobody knows whether it can be written: in a transaction it is asked alone. Not so while it is
    /// created, and while single records are tried to find one that is refused.
    pub is_in_doubt: bool,
    /// In a transaction: its next record is one that asks, and waits for its turn.
    pub wants_to_ask: bool,
    /// It failed, so people were told and want to hear when it is back; not merely being created.
    pub in_trouble: bool,
    /// How often it was asked and said no.
    pub failed_probes: u32,
    /// How often it was asked and said nothing.
    pub hanging_probes: u32,
}

/// So many failed probes make another client likely to help, then twice as many; and at most so many
/// lie between two clients.
const FAILED_PROBES: u32 = 3;
const FAILED_PROBES_AT_MOST: u32 = 96;

/// A probe that hangs is waited for so many times as long at most.
const PATIENCE_AT_MOST: u32 = 16;

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
    pub fn new(lane: Lane, phase: Phase, why: &str) -> Self {
        let alone_before = Position::start_of(0);
        Self {
            lane,
            phase,
            why: why.into(),
            alone_before,
            is_in_doubt: true,
            wants_to_ask: false,
            in_trouble: false,
            failed_probes: 0,
            hanging_probes: 0,
        }
    }

    /// A probe has failed. Whether the client itself should be replaced before the next one: what it
    /// believes of the topic (its leader, its epoch) may be old news, of which it will never let go.
    pub fn needs_another_client(&mut self) -> bool {
        self.failed_probes += 1;
        is_time_for_another_client(self.failed_probes)
    }

    /// For how many times `forward.hold_after` a probe may hang before another client is tried: each
    /// costs the others a moment.
    pub fn probe_patience(&self) -> u32 {
        2_u32.saturating_pow(self.hanging_probes).min(PATIENCE_AT_MOST)
    }

    /// Whether the record that asks is on its way. Refused events that wait to become dead letters
    /// don't keep the topic's others from asking.
    pub fn is_asking(&self) -> bool {
        let mut slots = self.lane.window.iter();
        slots.any(|slot| slot.carries.is_event() && slot.state == State::Outstanding)
    }

    /// Whether the main lane leaves the topic's event at `position` alone.
    pub fn covers(&self, position: Position) -> bool {
        self.phase != Phase::Draining || position < self.lane.next()
    }

    /// Whether the lane has done its work: all that it sent is settled, and the main lane, of which
    /// everything before `main_low` is, can't come back to any of it.
    pub fn is_back(&self, main_low: Position) -> bool {
        self.phase == Phase::Draining && self.lane.window.is_empty() && main_low >= self.lane.next()
    }

    /// Forgets what was on its way and takes it up again.
    pub fn go_back(&mut self) {
        if self.phase == Phase::Draining && !self.lane.window.is_empty() {
            self.phase = Phase::CatchingUp;
        }
        let low = self.lane.low();
        self.lane.rewind(low);
    }

    /// The lane has nothing left to read behind the main lane, which stands at `main`. A lane that
    /// is ahead (the main one went back) stays: its topic is still in trouble.
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

fn is_time_for_another_client(failed_probes: u32) -> bool {
    let (rounds, rest) = (failed_probes / FAILED_PROBES, failed_probes % FAILED_PROBES);
    rest == 0 && (rounds.is_power_of_two() || failed_probes.is_multiple_of(FAILED_PROBES_AT_MOST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_client_is_tried_ever_more_rarely_and_never_given_up() {
        let tried: Vec<_> = (1..=300).filter(|n| is_time_for_another_client(*n)).collect();
        assert_eq!(tried, [3, 6, 12, 24, 48, 96, 192, 288]);
    }
}
