//! As many topics are held as may be, while all else is well.

use super::{Delivery, HELD_TOPICS, History, Senders, TOPICS};
use crate::sender::Fate;

/// A history in which nothing happens by itself, and only one topic of the sender's can be made: its name.
fn all_but_one_are_held(delivery: Delivery) -> (History, String) {
    let mut history = History::new(0, Senders::One, delivery);
    (history.queue, history.window, history.config.size_limit) = (1_000, 1 << 20, 1 << 20);
    history.all_is_well();
    let [well, held @ ..] = TOPICS.map(|topic| format!("sim.lead-activity.{topic}"));
    assert_eq!(held.len(), HELD_TOPICS);
    {
        let mut cluster = history.cluster.borrow_mut();
        cluster.limit = usize::MAX;
        cluster.forbidden.extend(held);
    }
    history.start_process();
    while history.processes[0].forwarder.position().held.len() < HELD_TOPICS {
        history.append();
        (0..10).for_each(|_| history.quiet_step(std::time::Duration::from_millis(100)));
    }
    (history, well)
}

/// The ids of what is refused for good by `topic`.
fn refused(history: &History, topic: &str) -> Vec<String> {
    let mut refused = Vec::new();
    for (id, sent) in &history.sender.sent {
        if sent.fate == Fate::Refused && sent.topic.as_deref() == Some(topic) {
            refused.push(id.clone());
        }
    }
    refused
}

fn a_refused_record_stops_none_of_its_topic(delivery: Delivery) {
    let (mut history, well) = all_but_one_are_held(delivery);
    let before = refused(&history, &well).len();
    while refused(&history, &well).len() < before + 3 {
        history.append();
    }
    let missing = |history: &History| {
        let seen = history.look();
        let sent = history.sender.sent.iter();
        let of_topic = sent.filter(|(_, sent)| sent.topic.as_ref() == Some(&well));
        of_topic.map(|(id, _)| id.clone()).filter(|id| !seen.anywhere(id)).collect::<Vec<_>>()
    };
    history.step_until(|history| missing(history).is_empty());
    assert_eq!(missing(&history), Vec::<String>::new(), "{delivery:?}");
    assert_eq!(history.processes[0].forwarder.position().held.len(), HELD_TOPICS);
    let dead_lettered = history.look().dead_lettered;
    assert!(refused(&history, &well).iter().all(|id| dead_lettered.contains(id)));
    history.quiet_end();
}

#[test]
fn a_record_that_is_refused_stops_no_other_of_its_topic_though_no_lane_is_left() {
    a_refused_record_stops_none_of_its_topic(Delivery::AtLeastOnce);
    a_refused_record_stops_none_of_its_topic(Delivery::ExactlyOnce);
}

/// With two sources, in front of the same topics: that one holds as many as may be is no reason for the other
/// one to wait.
fn each_source_holds_as_many(delivery: Delivery) {
    let mut history = History::new(0, Senders::TwoThatRepeat, delivery);
    (history.queue, history.window, history.config.size_limit) = (1_000, 1 << 20, 1 << 20);
    history.all_is_well();
    let [_, held @ ..] = TOPICS.map(|topic| format!("sim.lead-activity.{topic}"));
    {
        let mut cluster = history.cluster.borrow_mut();
        cluster.limit = usize::MAX;
        cluster.forbidden.extend(held);
    }
    history.start_process();
    let held = |history: &History| -> Vec<_> {
        let held = |process: &super::Process| process.forwarder.position().held.len();
        history.processes.iter().map(held).collect()
    };
    for _ in 0..1_000 {
        if held(&history) == [HELD_TOPICS; 2] {
            break;
        }
        history.append();
        (0..10).for_each(|_| history.quiet_step(std::time::Duration::from_millis(100)));
    }
    assert_eq!(held(&history), [HELD_TOPICS; 2], "{delivery:?}");
    history.quiet_end();
}

#[test]
fn a_source_that_holds_as_many_topics_as_may_be_leaves_another_one_as_many() {
    each_source_holds_as_many(Delivery::AtLeastOnce);
    each_source_holds_as_many(Delivery::ExactlyOnce);
}
