//! When transactions end: at once at first, then in steps, in longer ones while a backlog is brought in.

use std::time::Duration;

use super::{Delivery, History, Senders};
use crate::{cluster::Trouble, sender::Fate};

const A_STEP: Duration = Duration::from_millis(50);

/// What a commit may take beside the time between two.
const A_MOMENT: Duration = Duration::from_millis(150);

/// A cluster without moods, which takes a few records at a time.
fn calm(interval: Duration) -> History {
    let mut history = History::new(0, Senders::One, Delivery::ExactlyOnce);
    (history.queue, history.window) = (4, 1 << 20);
    history.config.size_limit = 10 << 20;
    history.commit_interval = interval;
    history.all_is_well();
    history.cluster.borrow_mut().limit = usize::MAX;
    history.start_process();
    history
}

/// Deliveries in which nothing is refused.
fn append_good(history: &mut History, deliveries: usize) {
    for _ in 0..deliveries {
        let batch = loop {
            let batch = history.sender.batch(0);
            let fate = |id: &String| &history.sender.sent[id].fate;
            if batch.ids.iter().all(|id| matches!(fate(id), Fate::Topic { .. })) {
                break batch;
            }
        };
        history.processes[0].writer.append_group(&[batch.delivery]).expect("room");
    }
}

/// How long each of the next commits comes after the one before it; `meanwhile` comes before each step.
fn between_commits(history: &mut History, meanwhile: impl Fn(&mut History)) -> Vec<Duration> {
    let mut times = Vec::new();
    let mut number = history.processes[0].forwarder.position().number;
    for _ in 0..1_000 {
        meanwhile(history);
        history.quiet_step(A_STEP);
        let now = history.processes[0].forwarder.position().number;
        if std::mem::replace(&mut number, now) != now {
            times.push(history.cluster.borrow().now);
        }
        // Taking over and the first work are another matter.
        if times.len() == 7 {
            return times[2..].windows(2).map(|two| two[1] - two[0]).collect();
        }
    }
    panic!("too few commits: {times:?}");
}

fn has_a_backlog(history: &mut History) {
    let process = &history.processes[0];
    assert!(process.forwarder.next_sequence() < process.spool.durable_end());
}

fn assert_all_are(between: &[Duration], expected: Duration) {
    let are = |it: &Duration| (expected..expected + A_MOMENT).contains(it);
    assert!(between.iter().all(are), "{between:?} instead of {expected:?}");
}

#[test]
fn what_comes_first_after_a_take_over_is_committed_at_once() {
    let interval = Duration::from_secs(3);
    let mut history = calm(interval);
    append_good(&mut history, 100);
    let began = history.cluster.borrow().now;
    let committed = |history: &History| history.processes[0].forwarder.position().low;
    let start = committed(&history);
    while committed(&history) == start {
        history.quiet_step(A_STEP);
    }
    let took = history.cluster.borrow().now - began;
    assert!(took < interval / 3, "{took:?}");
}

#[test]
fn a_backlog_is_committed_in_steps_four_times_as_long_up_to_two_seconds() {
    for (interval, expected) in [(200, 800), (600, 2_000), (3_000, 3_000)] {
        let mut history = calm(Duration::from_millis(interval));
        append_good(&mut history, 1_000);
        let between = between_commits(&mut history, has_a_backlog);
        assert_all_are(&between, Duration::from_millis(expected));
    }
}

#[test]
fn work_that_is_kept_up_with_is_committed_in_the_steps_that_were_set() {
    let interval = Duration::from_millis(200);
    let mut history = calm(interval);
    let between = between_commits(&mut history, |history| append_good(history, 1));
    assert_all_are(&between, interval);
}

#[test]
fn a_backlog_is_committed_in_the_steps_that_were_set_while_a_topic_is_held() {
    let interval = Duration::from_millis(200);
    let mut history = calm(interval);
    let held = "sim.lead-activity.clicklink";
    history.cluster.borrow_mut().troubles.insert(held.into(), Trouble::Failing);
    append_good(&mut history, 1_000);
    let is_held = |history: &mut History| {
        has_a_backlog(history);
        history.processes[0].forwarder.position().held.len() == 1
    };
    while !is_held(&mut history) {
        history.quiet_step(A_STEP);
    }
    // When it is asked is another matter, too: that ends a transaction early.
    let between = between_commits(&mut history, |history| assert!(is_held(history)));
    assert!(between.iter().all(|it| *it < interval + A_MOMENT), "{between:?}");
}
