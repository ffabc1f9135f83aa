//! An event whose topic is one too many, and whose topic is made by hand before that event is settled: order
//! within the topic and key holds, whatever makes the forwarder read the event once more.

use std::time::Duration;

use super::{Delivery, History, QUARANTINE_AFTER, Senders, TOPICS};
use crate::{
    cluster::{DEAD_LETTERS, Trouble},
    sender::{Fate, Sent},
};

const KEY: &str = "M:1";
pub(super) const A_STEP: Duration = Duration::from_millis(4);

pub(super) fn topic(number: usize) -> String {
    format!("sim.lead-activity.{}", TOPICS[number])
}

/// A history in which nothing happens by itself, with one topic, which is as many as may be.
fn with_one_topic(delivery: Delivery) -> History {
    start_with_one_topic(History::new(1, Senders::One, delivery))
}

pub(super) fn start_with_one_topic(mut history: History) -> History {
    (history.queue, history.window) = (1_000, 1 << 20);
    history.config.size_limit = 1 << 20;
    history.all_is_well();
    history.cluster.borrow_mut().limit = 1;
    history.start_process();
    let first = append_one(&mut history, &topic(0));
    step_until(&mut history, |history| history.look().on_topic.contains(&first));
    history
}

/// Takes in one event with `KEY` for this topic, and returns its id.
pub(super) fn append_one(history: &mut History, topic: &str) -> String {
    let place = Fate::Topic { topic: topic.into(), key: KEY.into() };
    let batch = loop {
        let batch = history.sender.batch(0);
        let is_meant = |sent: &Sent| sent.fate == place && matches!(sent.copies[..], [(0, _)]);
        if matches!(&batch.ids[..], [id] if is_meant(&history.sender.sent[id])) {
            break batch;
        }
    };
    let sequences = history.processes[0].writer.append_group(&[batch.delivery]).expect("room");
    history.books.acknowledged(&batch.ids, 0, sequences[0]);
    batch.ids[0].clone()
}

fn dead_letters_fail(history: &mut History) {
    history.cluster.borrow_mut().troubles.insert(DEAD_LETTERS.into(), Trouble::Failing);
}

pub(super) fn made_by_hand(history: &mut History, topic: &str) {
    history.cluster.borrow_mut().topics.entry(topic.into()).or_default();
}

fn waiting(history: &History) -> i64 {
    history.metrics.dead_letters_waiting.with_label_values(&["leads"]).get()
}

/// In steps so short that nothing that waits goes to quarantine meanwhile.
pub(super) fn step_until(history: &mut History, is_done: impl Fn(&History) -> bool) {
    for _ in 0..QUARANTINE_AFTER.as_millis() / 5 {
        if is_done(history) {
            return;
        }
        history.quiet_step(A_STEP);
    }
    panic!("not done in time");
}

pub(super) fn replace_the_producer(history: &mut History) {
    let before = history.cluster.borrow().counters.renewals;
    history.cluster.borrow_mut().fatal_per_mille = 1_000;
    step_until(history, |history| history.cluster.borrow().counters.renewals > before);
    history.cluster.borrow_mut().fatal_per_mille = 0;
}

pub(super) fn crash(history: &mut History) {
    history.end_processes();
    history.disk.kill();
    history.start_process();
}

/// Each event arrives, in order, and this many of them on `topic`.
fn ends_well(history: &mut History, topic: &str, on_topic: usize) {
    history.all_is_well();
    history.drain();
    history.check(true);
    assert_eq!(history.cluster.borrow().topics[topic].len(), on_topic);
}

#[test]
fn an_event_that_waits_comes_before_later_ones_of_its_key_once_its_topic_is_made_by_hand() {
    for again in [replace_the_producer, crash] {
        let (mut history, topic) = (with_one_topic(Delivery::AtLeastOnce), topic(1));
        dead_letters_fail(&mut history);
        append_one(&mut history, &topic);
        step_until(&mut history, |history| waiting(history) == 1);
        made_by_hand(&mut history, &topic);
        let later = append_one(&mut history, &topic);
        step_until(&mut history, |history| history.look().on_topic.contains(&later));
        history.quiet_step(Duration::from_millis(300)); // the checkpoint is saved
        append_one(&mut history, &topic);
        again(&mut history);
        ends_well(&mut history, &topic, 3);
    }
}

/// As above, while other events wait whose topic is one too many still.
#[test]
fn a_topic_that_is_made_by_hand_is_written_although_those_of_another_wait_still() {
    let (mut history, made, missing) = (with_one_topic(Delivery::AtLeastOnce), topic(1), topic(2));
    dead_letters_fail(&mut history);
    for topic in [&missing, &made, &missing, &made] {
        append_one(&mut history, topic);
    }
    step_until(&mut history, |history| waiting(history) == 4);
    made_by_hand(&mut history, &made);
    let later = append_one(&mut history, &made);
    step_until(&mut history, |history| history.look().on_topic.contains(&later));
    assert_eq!(waiting(&history), 2, "those of the topic that is missing");
    let renewals = history.cluster.borrow().counters.renewals;
    assert!(renewals <= 2, "{renewals} producers were replaced");
    ends_well(&mut history, &made, 3);
}

#[test]
fn a_dead_letter_that_no_checkpoint_has_passed_does_not_come_late_to_the_topic_that_was_made_by_hand()
 {
    let (mut history, made) = (with_one_topic(Delivery::AtLeastOnce), topic(1));
    // The checkpoint cannot pass this one, and so nothing behind it.
    history.cluster.borrow_mut().troubles.insert(topic(0), Trouble::Hanging);
    append_one(&mut history, &topic(0));
    let early = append_one(&mut history, &made);
    step_until(&mut history, |history| history.look().dead_lettered.contains(&early));
    made_by_hand(&mut history, &made);
    let later = append_one(&mut history, &made);
    step_until(&mut history, |history| history.look().on_topic.contains(&later));
    crash(&mut history);
    history.all_is_well();
    history.drain();
    history.check(true);
}

#[test]
fn an_event_that_another_mode_has_passed_stays_refused_after_a_crash() {
    let (mut history, topic) = (with_one_topic(Delivery::ExactlyOnce), topic(1));
    dead_letters_fail(&mut history);
    append_one(&mut history, &topic);
    step_until(&mut history, |history| {
        history.processes[0].forwarder.position().refused.len() == 1
    });
    history.stop_in_order();
    history.delivery = Delivery::AtLeastOnce;
    made_by_hand(&mut history, &topic);
    history.start_process();
    let later = append_one(&mut history, &topic);
    step_until(&mut history, |history| history.look().on_topic.contains(&later));
    history.quiet_step(Duration::from_millis(300));
    crash(&mut history);
    ends_well(&mut history, &topic, 1);
}
