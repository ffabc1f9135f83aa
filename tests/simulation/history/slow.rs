//! A slow path without chance, and a client whose view of the cluster is old: nobody is to blame but the path,
//! and the client.

use std::time::Duration;

use super::{Delivery, HOLD_AFTER, History, Senders, commits::append_good};
use crate::{cluster::Trouble, sender::Fate};

const A_STEP: Duration = Duration::from_millis(50);

/// A cluster without moods.
fn calm(delivery: Delivery, deliveries: usize) -> History {
    let mut history = History::new(0, Senders::One, delivery);
    (history.queue, history.window) = (10_000, 64 << 20);
    history.config.size_limit = 10 << 20;
    history.all_is_well();
    history.cluster.borrow_mut().limit = usize::MAX;
    history.start_process();
    append_good(&mut history, deliveries);
    history
}

/// The topic of the first event.
fn first_topic(history: &History) -> String {
    let mut sent = history.sender.sent.values();
    let of_a_topic = |fate: &Fate| matches!(fate, Fate::Topic { .. });
    let first = sent.find(|it| of_a_topic(&it.fate)).expect("something was sent");
    first.topic.clone().expect("it has a topic")
}

fn metric(history: &History, which: &prometheus::IntCounterVec) -> u64 {
    which.with_label_values(&[history.sources[0].as_str()]).get()
}

fn arrives(history: &mut History) {
    history.step_until(|history| history.processes[0].forwarder.is_drained());
    let seen = history.look();
    history.books.everything_arrived(&seen);
}

#[test]
fn a_backlog_on_a_slow_line_holds_no_topic_and_repeats_nothing() {
    for delivery in [Delivery::AtLeastOnce, Delivery::ExactlyOnce] {
        let mut history = calm(delivery, 150);
        // The whole takes many times as long as a topic may be silent.
        history.cluster.borrow_mut().a_record_takes = HOLD_AFTER / 40;
        let start = history.cluster.borrow().now;
        arrives(&mut history);
        assert!(history.cluster.borrow().now - start > 5 * HOLD_AFTER, "{delivery:?}: it was slow");
        assert_eq!(metric(&history, &history.metrics.holds), 0, "{delivery:?}");
        assert_eq!(metric(&history, &history.metrics.producer_renewals), 0, "{delivery:?}");
    }
}

#[test]
fn going_back_on_a_slow_line_waits_for_what_is_in_flight() {
    let mut history = calm(Delivery::AtLeastOnce, 40);
    history.cluster.borrow_mut().a_record_takes = HOLD_AFTER / 40;
    let topic = first_topic(&history);
    history.cluster.borrow_mut().troubles.insert(topic.clone(), Trouble::Failing);
    for _ in 0..200 {
        history.quiet_step(A_STEP);
    }
    assert!(metric(&history, &history.metrics.producer_renewals) > 0, "it went back");
    history.cluster.borrow_mut().troubles.remove(&topic);
    arrives(&mut history);
    assert_eq!(history.cluster.borrow().counters.lost_acknowledgements, 0);
    assert_eq!(metric(&history, &history.metrics.unanswered_records), 0);
}

#[test]
fn a_topic_that_hangs_is_held_although_the_others_are_answered_all_the_time() {
    let mut history = calm(Delivery::AtLeastOnce, 150);
    history.cluster.borrow_mut().a_record_takes = HOLD_AFTER / 80;
    let topic = first_topic(&history);
    history.cluster.borrow_mut().troubles.insert(topic.clone(), Trouble::Hanging);
    history.step_until(|history| metric(history, &history.metrics.holds) > 0);
    assert_eq!(metric(&history, &history.metrics.holds), 1);
    history.step_until(|history| {
        history.books.missing(&history.look(), &history.sender.sent, &topic).is_empty()
    });
    let missing = history.books.missing(&history.look(), &history.sender.sent, &topic);
    assert!(missing.is_empty(), "{topic} hangs, and that stops {missing:?}");
}

#[test]
fn a_topic_that_one_client_can_not_write_is_written_by_another_without_a_restart() {
    for delivery in [Delivery::AtLeastOnce, Delivery::ExactlyOnce] {
        let mut history = calm(delivery, 20);
        arrives(&mut history);
        let topic = first_topic(&history);
        let mut cluster = history.cluster.borrow_mut();
        cluster.clients_grow_stale = true;
        cluster.troubles.insert(topic, Trouble::Hanging);
        drop(cluster);
        append_good(&mut history, 20);
        let start = history.cluster.borrow().now;
        arrives(&mut history);
        let took = history.cluster.borrow().now - start;
        assert!(took < 10 * HOLD_AFTER, "{delivery:?}: {took:?}");
    }
}

#[test]
fn a_topic_that_is_asked_in_vain_is_asked_by_another_client() {
    for delivery in [Delivery::AtLeastOnce, Delivery::ExactlyOnce] {
        let mut history = calm(delivery, 20);
        let topic = first_topic(&history);
        history.cluster.borrow_mut().troubles.insert(topic.clone(), Trouble::Failing);
        (0..20).for_each(|_| history.quiet_step(A_STEP));
        assert_eq!(metric(&history, &history.metrics.holds), 1, "{delivery:?}");
        // From now on it says nothing at all, to the client that knows it.
        history.cluster.borrow_mut().troubles.insert(topic, Trouble::Hanging);
        history.cluster.borrow_mut().clients_grow_stale = true;
        arrives(&mut history);
        assert_eq!(history.cluster.borrow().counters.lost_acknowledgements, 0);
    }
}

#[test]
fn a_topic_that_says_no_again_and_again_is_asked_by_another_client() {
    let mut history = calm(Delivery::ExactlyOnce, 20);
    let topic = first_topic(&history);
    history.cluster.borrow_mut().troubles.insert(topic, Trouble::Failing);
    history.cluster.borrow_mut().clients_grow_stale = true;
    arrives(&mut history);
    assert_eq!(metric(&history, &history.metrics.holds), 1);
}

#[test]
fn a_topic_that_hangs_at_a_low_rate_delays_the_others_for_seconds_at_most() {
    let mut history = calm(Delivery::AtLeastOnce, 1);
    history.hold_after = Duration::from_secs(30);
    history.config.size_limit = 100 << 20;
    history.cluster.borrow_mut().hanging_take_records = true;
    history.restart();
    arrives(&mut history);
    let topic = first_topic(&history);
    history.cluster.borrow_mut().troubles.insert(topic.clone(), Trouble::Hanging);
    let others = |history: &History| {
        let cluster = history.cluster.borrow();
        cluster.topics.iter().filter(|(name, _)| **name != topic).map(|(_, it)| it.len()).sum()
    };
    let (mut stored, mut since): (usize, _) = (others(&history), history.cluster.borrow().now);
    let (mut longest, end) = (Duration::ZERO, since + Duration::from_secs(60));
    while history.cluster.borrow().now < end {
        append_good(&mut history, 8);
        for _ in 0..4 {
            history.quiet_step(A_STEP);
        }
        let now = history.cluster.borrow().now;
        if std::mem::replace(&mut stored, others(&history)) != stored {
            since = now;
        }
        longest = longest.max(now - since);
    }
    assert_eq!(metric(&history, &history.metrics.holds), 1, "it is held in the end");
    assert!(longest < Duration::from_secs(4), "{topic} hangs, and the others for {longest:?}");
}
