//! What changes between a history's steps (`conditions.rs` beside it says what there is); and that slow is not in
//! trouble: a path on which acknowledgements come late, and a broker that throttles the client.

use std::time::Duration;

use super::{Delivery, HOLD_AFTER, History, Senders};
use crate::conditions::{Change, LATE, SLOW_IS_NOT_HELD, SlowPath};

impl History {
    /// The changes of this history come from a random stream of their own.
    pub fn with_conditions(mut self) -> Self {
        self.has_conditions = self.cluster.borrow_mut().conditions.random.u8(..4) == 0;
        self
    }

    pub(super) fn conditions_change(&mut self) {
        if !self.has_conditions {
            return;
        }
        let mut cluster = self.cluster.borrow_mut();
        let cluster = &mut *cluster;
        let (now, conditions) = (cluster.now, &mut cluster.conditions);
        let Some(change) = conditions.next_change() else { return };
        tracing::debug!(?change, "conditions");
        match change {
            Change::PathSlowOrQuick => conditions.toggle_path(),
            Change::Throttled => {
                conditions.throttled_until = now + conditions.random_time();
                conditions.reach("client throttled");
            }
            Change::TopicDeleted => {
                let Some(topic) = conditions.choose(cluster.topics.keys()) else { return };
                cluster.delete(&topic);
            }
            Change::TopicMadeByHand => {
                let names = super::TOPICS.map(|name| format!("sim.lead-activity.{name}"));
                let missing = names.iter().filter(|name| !cluster.topics.contains_key(*name));
                let Some(topic) = conditions.choose(missing) else { return };
                cluster.make(&topic);
                cluster.conditions.reach("topic made by hand");
            }
            Change::MetadataLate => {
                conditions.late_until = now + conditions.random_time();
            }
            Change::ListingLags => {
                let until = now + conditions.random_time();
                conditions.lag(&cluster.topics, until);
            }
        }
    }
}

/// A history in which nothing happens by itself.
fn calm(delivery: Delivery, queue: usize) -> History {
    let mut history = History::new(1, Senders::One, delivery);
    (history.queue, history.window, history.config.size_limit) = (queue, 1 << 20, 1 << 20);
    history.all_is_well();
    history.cluster.borrow_mut().limit = usize::MAX;
    history.start_process();
    // Of refused records a topic's lane finds out which they are, and holds it meanwhile.
    history.append_without_refused(15);
    history
}

/// Everything arrives in order and once; and nothing is held or taken back meanwhile.
fn nothing_is_held(history: &mut History, mut meanwhile: impl FnMut(&mut History)) {
    let drained = |history: &History| history.processes[0].forwarder.is_drained();
    let (mut longest, mut since) = (Duration::ZERO, history.cluster.borrow().now);
    let mut stored = 0;
    for _ in 0..10_000 {
        if drained(history) {
            break;
        }
        meanwhile(history);
        history.quiet_step(Duration::from_millis(50));
        let cluster = history.cluster.borrow();
        if std::mem::replace(&mut stored, cluster.counters.stored) != stored {
            since = cluster.now;
        }
        longest = longest.max(cluster.now - since);
    }
    let position = history.processes[0].forwarder.position();
    let given_up = history.cluster.borrow().counters.timed_out_transactions;
    let ends = !SLOW_IS_NOT_HELD || drained(history);
    assert!(ends, "it comes to an end: {position:?}, {given_up} transactions too slow");
    let holds = history.metrics.holds.with_label_values(&["leads"]).get();
    let lost = history.cluster.borrow().counters.lost_acknowledgements;
    if SLOW_IS_NOT_HELD {
        assert_eq!((holds, lost), (0, 0), "{longest:?} without a record");
    }
    history.all_is_well();
    history.drain();
    history.check(true);
    if SLOW_IS_NOT_HELD {
        let records = history.look().records;
        assert!(records.values().all(|times| *times == 1), "{records:?}");
    }
}

#[test]
fn a_slow_path_holds_no_topic_and_repeats_nothing() {
    for delivery in [Delivery::AtLeastOnce, Delivery::ExactlyOnce] {
        // An answer comes more than twice a second, and each record waits for longer than a topic may take.
        let mut history = calm(delivery, 8);
        let (latency, per_record) = (Duration::from_millis(100), HOLD_AFTER / 5);
        history.cluster.borrow_mut().conditions.slow = Some(SlowPath { latency, per_record });
        nothing_is_held(&mut history, |_| {});
        let reached = history.cluster.borrow().conditions.reached.contains_key(LATE);
        // A transaction that is taken back hears of none of its records.
        assert!(reached || !SLOW_IS_NOT_HELD && delivery == Delivery::ExactlyOnce);
    }
}

#[test]
fn a_client_that_is_throttled_holds_no_topic_and_repeats_nothing() {
    for delivery in [Delivery::AtLeastOnce, Delivery::ExactlyOnce] {
        let mut history = calm(delivery, 20);
        nothing_is_held(&mut history, |history| {
            let mut cluster = history.cluster.borrow_mut();
            // For half of the time, in stretches that are longer than a topic may take.
            let (now, stretch) = (cluster.now, HOLD_AFTER + Duration::from_millis(500));
            let odd = (now.as_millis() / stretch.as_millis()) % 2 == 1;
            cluster.conditions.throttled_until = if odd { now + stretch / 50 } else { now };
        });
    }
}

#[test]
fn a_throttle_that_begins_with_a_full_window_holds_no_topic_and_repeats_nothing() {
    for delivery in [Delivery::AtLeastOnce, Delivery::ExactlyOnce] {
        let mut history = calm(delivery, 1_000);
        history.quiet_step(Duration::ZERO);
        // The quota was lowered: a batch for each stretch, which is longer than a topic may be silent.
        let stretch = HOLD_AFTER * 2;
        let begin = history.cluster.borrow().now;
        let mut answered = history.cluster.borrow().counters.stored;
        assert!(!history.processes[0].forwarder.is_drained(), "the window is full");
        nothing_is_held(&mut history, |history| {
            let mut cluster = history.cluster.borrow_mut();
            let (now, stored) = (cluster.now, cluster.counters.stored);
            let batch = std::mem::replace(&mut answered, stored) != stored || now == begin;
            if batch && now < begin + stretch * 5 {
                cluster.conditions.throttled_until = now + stretch;
            }
        });
        assert!(history.cluster.borrow().now > begin + stretch, "{delivery:?}: it was throttled");
    }
}
