//! Topics that are deleted while something is on its way to them, or while they are held.

use std::time::Duration;

use super::{Delivery, HELD_TOPICS, History, Senders, TOPICS};
use crate::{cluster::Trouble, sender::Sent};

const TOPIC: &str = "sim.lead-activity.clicklink";

/// A history in which nothing happens by itself, with something on all topics.
fn calm(delivery: Delivery) -> History {
    let mut history = History::new(1, Senders::One, delivery);
    (history.queue, history.window, history.config.size_limit) = (1_000, 1 << 20, 1 << 20);
    history.all_is_well();
    history.cluster.borrow_mut().limit = usize::MAX;
    history.start_process();
    history.append_without_refused(20);
    history.drain();
    history
}

fn probed_in_vain(history: &mut History) {
    history.cluster.borrow_mut().troubles.insert(TOPIC.into(), Trouble::Failing);
    history.append_without_refused(20);
    for _ in 0..30 {
        history.quiet_step(Duration::from_millis(100));
    }
    assert_eq!(history.processes[0].forwarder.position().held.len(), 1);
}

#[test]
fn a_topic_that_is_deleted_is_made_again_and_what_comes_then_is_on_it() {
    for delivery in [Delivery::AtLeastOnce, Delivery::ExactlyOnce] {
        let mut history = calm(delivery);
        history.append_without_refused(20);
        history.quiet_step(Duration::from_millis(10));
        history.cluster.borrow_mut().delete(TOPIC);
        history.append_without_refused(20);
        history.drain();
        history.check(true);
        assert!(!history.cluster.borrow().topics[TOPIC].is_empty(), "{delivery:?}");
    }
}

#[test]
fn a_topic_that_is_deleted_while_it_is_held_is_made_again() {
    for delivery in [Delivery::AtLeastOnce, Delivery::ExactlyOnce] {
        let mut history = calm(delivery);
        probed_in_vain(&mut history);
        let mut cluster = history.cluster.borrow_mut();
        cluster.delete(TOPIC);
        cluster.troubles.clear();
        drop(cluster);
        history.drain();
        history.check(true);
        assert!(!history.cluster.borrow().topics[TOPIC].is_empty(), "{delivery:?}");
    }
}

/// Events of a held topic that cannot be made again are dead letters, as they are after a restart.
#[test]
fn a_topic_that_is_deleted_while_it_is_held_may_be_one_too_many_by_then() {
    for delivery in [Delivery::AtLeastOnce, Delivery::ExactlyOnce] {
        let mut history = calm(delivery);
        probed_in_vain(&mut history);
        let mut cluster = history.cluster.borrow_mut();
        cluster.delete(TOPIC);
        cluster.troubles.clear();
        cluster.limit = 3;
        drop(cluster);
        history.drain();
        history.check(true);
        assert!(!history.look().dead_lettered.is_empty(), "{delivery:?}");
    }
}

#[test]
fn a_topic_that_is_deleted_while_as_many_are_held_as_may_be_is_made_again() {
    for delivery in [Delivery::AtLeastOnce, Delivery::ExactlyOnce] {
        let mut history = calm(delivery);
        let mut cluster = history.cluster.borrow_mut();
        let others = TOPICS.map(|name| format!("sim.lead-activity.{name}"));
        for other in others.iter().filter(|name| *name != TOPIC) {
            cluster.troubles.insert(other.clone(), Trouble::Failing);
        }
        drop(cluster);
        history.append_without_refused(20);
        history.step_until(|history| {
            history.processes[0].forwarder.position().held.len() == HELD_TOPICS
        });
        history.cluster.borrow_mut().delete(TOPIC);
        history.append_without_refused(20);
        let missing = |history: &History| {
            let seen = history.look();
            let of_topic = |sent: &Sent| sent.topic.as_deref() == Some(TOPIC);
            let mut sent = history.sender.sent.iter().filter(|(_, sent)| of_topic(sent));
            sent.any(|(id, _)| history.books.is_missing(id, &seen))
        };
        history.step_until(|history| !missing(history));
        assert!(!missing(&history), "{delivery:?}");
        assert_eq!(history.processes[0].forwarder.position().held.len(), HELD_TOPICS);
    }
}
