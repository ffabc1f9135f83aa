//! Pauses of the main lane: one topic too many cannot be written, or a topic is looked up or created.
//!
//! A pause ends when the lane moves on. Pauses for too many held topics grow until one of those comes back.

use std::time::{Duration, Instant};

use super::{FIRST_PAUSE, LONGEST_PAUSE, Now};
use crate::{runtime::retry::Retry, spool::position::Position};

/// Time that the other events wait for a topic that is being created.
const CREATION_TIMEOUT: Duration = Duration::from_millis(500);

pub(super) struct Pauses {
    until: Option<Instant>,
    lengths: Retry,
    /// The event whose topic is being created, and since when the main lane waits for it.
    creating: Option<(Position, Instant)>,
}

impl Pauses {
    pub fn new() -> Self {
        let lengths = Retry::without_jitter(FIRST_PAUSE, LONGEST_PAUSE);
        Self { until: None, lengths, creating: None }
    }

    pub fn rest(&mut self, until: Instant) {
        self.until = Some(until);
    }

    /// Pauses, since one more topic should be held than may be. `true` when the lane had not rested since it moved on.
    pub fn back_off(&mut self, now: Now) -> bool {
        self.until.replace(now.instant + self.lengths.next_delay()).is_none()
    }

    pub fn is_paused(&self, now: Now) -> bool {
        self.until.is_some_and(|until| now.instant < until)
    }

    /// Ends the pause: the main lane has moved on.
    pub fn end(&mut self) {
        self.until = None;
    }

    /// Makes the next pause short again: a held topic is back.
    pub fn reset(&mut self) {
        self.lengths.reset();
    }

    /// Lets the main lane wait for the topic of the event at `position`, which is being created. It takes a moment,
    /// and the next events want new topics too; a topic that takes longer is held. Holding all
    /// at once would make each of them read the spool for itself. `false` once it has waited long enough.
    pub fn waits_for_creation(&mut self, position: Position, now: Now) -> bool {
        let since = match self.creating {
            Some((waiting, since)) if waiting == position => since,
            _ => now.instant,
        };
        self.creating = Some((position, since));
        now.instant < since + CREATION_TIMEOUT
    }

    /// Whether the main lane has begun just now to wait for the topic of this event.
    pub fn began_waiting_at(&self, position: Position, now: Now) -> bool {
        self.creating == Some((position, now.instant))
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{at, clock},
        *,
    };

    #[test]
    fn a_pause_begins_once_until_the_lane_moves_on_and_grows_until_a_topic_is_back() {
        let mut pauses = Pauses::new();
        let now = clock();
        assert!(pauses.back_off(now(0)) && !pauses.back_off(now(0)));
        assert!(pauses.is_paused(now(0)) && !pauses.is_paused(now(60)));
        pauses.end();
        assert!(!pauses.is_paused(now(0)));
        assert!((0..10).filter(|_| pauses.back_off(now(0))).count() == 1);
        assert!(pauses.is_paused(now(9)));
        pauses.reset();
        assert!(!pauses.back_off(now(0)) && !pauses.is_paused(now(1)));
    }

    #[test]
    fn the_main_lane_waits_for_one_new_topic_and_not_for_long() {
        let mut pauses = Pauses::new();
        let now = clock();
        assert!(pauses.waits_for_creation(at(3), now(0)));
        assert!(pauses.began_waiting_at(at(3), now(0)) && !pauses.began_waiting_at(at(4), now(0)));
        assert!(!pauses.waits_for_creation(at(3), now(1)));
        assert!(pauses.waits_for_creation(at(4), now(1)), "it is another one's turn");
    }
}
