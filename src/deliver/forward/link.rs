//! The path to the cluster, measured by its answers: how much may be on its way, and how much of a record's time is the
//! fault of its topic.
//!
//! A topic is not blamed for the time in which the cluster is silent or has this client wait, nor for the time in which
//! its record stood behind others that were answered (`pace.rs`, `throttled.rs`).

use std::time::{Duration, Instant};

use super::{
    Now,
    pace::Pace,
    throttled::Throttled,
    topics::Topics,
    window::{MAX_SLOTS, Slot, Window},
};
use crate::kafka::produce::{Failure, Outcome};

pub(super) struct Link {
    hold_after: Duration,
    /// Bytes of records that may be on their way: configured, and now.
    most: usize,
    room: usize,
    /// Bytes on their way to topics that do not answer while others do.
    silent: usize,
    pace: Pace,
    throttled: Throttled,
    /// Since when the cluster has been answering without a long silence.
    alive_since: Option<Instant>,
}

impl Link {
    pub fn new(hold_after: Duration, window_bytes: usize) -> Self {
        Self {
            hold_after,
            most: window_bytes,
            room: window_bytes,
            silent: 0,
            pace: Pace::new(hold_after),
            throttled: Throttled::new(hold_after),
            alive_since: None,
        }
    }

    pub fn hold_after(&self) -> Duration {
        self.hold_after
    }

    /// Time that the last acknowledged record had been on its way.
    pub fn latency(&self) -> Duration {
        self.pace.latency()
    }

    /// Notes the sink's view of the cluster. `true` when an outage begins.
    pub fn watch(&mut self, is_throttled: bool, is_away: bool, now: Now) -> bool {
        self.throttled.note(is_throttled, now.instant);
        if is_away {
            return self.alive_since.take().is_some();
        }
        self.alive_since.get_or_insert(now.instant);
        false
    }

    /// Recomputes how much may be on its way.
    pub fn measure(&mut self, topics: &Topics, now: Now) {
        if self.throttled.is_now() {
            self.room = self.pace.smallest_window(self.most);
            // While a broker has the client wait, the silence of a topic means nothing.
            self.silent = 0;
        } else {
            self.room = self.pace.window(self.most, now.instant);
            self.silent = topics.silent_bytes(&self.pace);
        }
    }

    /// Whether `bytes` more fit into the share of a lane. The main lane may fill three quarters of the window and the
    /// held topics' together the rest, so that neither can keep the other from moving; and all of it is smaller on a
    /// slow path. Bytes on their way to silent topics do not count against that smaller window, or they would stop the
    /// others. A lane with nothing on its way has room for one record, whatever the others do. `used` are the bytes
    /// of all held topics, on a lane of theirs.
    pub fn has_room(&self, window: &Window, used: Option<usize>, bytes: usize) -> bool {
        let is_main = used.is_none();
        let quarters = if is_main { 3 } else { 1 };
        let silent = if is_main { self.silent } else { 0 };
        let used = used.unwrap_or(window.bytes());
        let has_room = |limit: usize, used: usize| {
            // A body larger than a quarter of the share needs only that quarter to be free.
            let share = limit / 4 * quarters;
            used + bytes.min(share / 4) <= share
        };
        let fits = has_room(self.room, used.saturating_sub(silent))
            && has_room(self.most, used)
            && window.len() < MAX_SLOTS;
        fits || window.is_empty()
    }

    /// The total of answers at which every record on its way now will have had its turn.
    pub fn mark(&self) -> u64 {
        self.pace.mark()
    }

    /// Counts a record that goes to the sink, and returns its turn.
    pub fn hand_over(&mut self, bytes: usize) -> u64 {
        self.pace.hand_over(bytes)
    }

    /// Counts the sink's outcome of a record. `true` when it came from a broker.
    pub fn answered(
        &mut self,
        slot: &Slot,
        outcome: &Outcome,
        latency: Duration,
        now: Now,
    ) -> bool {
        match outcome {
            Outcome::Delivered => self.pace.answered(slot.size, Some(latency), now.instant),
            Outcome::Failed(Failure::Purged | Failure::Fatal(_)) => {
                self.pace.taken_back(slot.size);
                return false;
            }
            Outcome::Failed(_) => self.pace.answered(slot.size, None, now.instant),
        }
        true
    }

    /// Notes that the renewed sink has no records.
    pub fn nothing_outstanding(&mut self) {
        self.pace.nothing_outstanding();
    }

    /// The time since `since` in which no broker had this client wait.
    pub fn unthrottled_time(&self, since: Instant, now: Now) -> Duration {
        let excused = self.throttled.excused(since, now.instant);
        now.instant.saturating_duration_since(since).saturating_sub(excused)
    }

    /// The time since `since` in which the cluster has been answering without a long silence, and without having this
    /// client wait.
    pub fn answering_time(&self, since: Instant, now: Now) -> Duration {
        let Some(alive) = self.alive_since else { return Duration::ZERO };
        self.unthrottled_time(since.max(alive), now)
    }

    /// How long a slot has been on its way while the cluster answered, without the time in which it
    /// waited behind others that were answered.
    pub fn age(&self, slot: &Slot, now: Now) -> Duration {
        let excused = self.pace.excused_until(slot.turn).unwrap_or(slot.since);
        self.answering_time(slot.since.max(excused), now)
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{clock, place, slot, topics},
        *,
    };

    #[test]
    fn time_in_which_the_cluster_is_silent_or_has_the_client_wait_is_no_records_age() {
        let place = place();
        let now = clock();
        let mut link = Link::new(Duration::from_secs(30), 1 << 20);
        let slot = slot(topics(&place).enter("a"), 1, now(0));
        assert_eq!(link.age(&slot, now(9)), Duration::ZERO, "it was never there");
        assert!(!link.watch(false, false, now(10)));
        assert_eq!(link.age(&slot, now(19)), Duration::from_secs(9));
        link.watch(true, false, now(20));
        link.watch(false, false, now(24));
        assert_eq!(link.age(&slot, now(30)), Duration::from_secs(16));
        assert!(link.watch(false, true, now(31)), "an outage begins");
        assert!(!link.watch(false, true, now(32)), "it goes on");
        assert_eq!(link.age(&slot, now(40)), Duration::ZERO);
    }

    #[test]
    fn held_topics_have_a_quarter_of_the_window_and_an_empty_lane_has_room_for_one_record() {
        let link = Link::new(Duration::from_secs(30), 8000);
        let mut window = Window::new(1);
        let now = clock();
        assert!(link.has_room(&window, Some(9000), 9000), "it is empty");
        let place = place();
        window.push(slot(topics(&place).enter("a"), 1, now(0)));
        assert!(link.has_room(&window, Some(1024), 0) && !link.has_room(&window, Some(2001), 0));
        assert!(link.has_room(&window, None, 0), "three quarters are the main lane's");
    }
}
