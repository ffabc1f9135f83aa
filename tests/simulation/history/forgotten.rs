//! Ids that are forgotten while a lane or a crash can still make the forwarder read their events once more:
//! order within the topic and key holds.

use std::time::Duration;

use millrace::deliver::deduplicate::Settings;

use super::{
    Delivery, History, Senders,
    one_too_many::{
        A_STEP, append_one, crash, made_by_hand, replace_the_producer, start_with_one_topic,
        step_until, topic,
    },
};
use crate::{
    cluster::{DEAD_LETTERS, Trouble},
    conditions::SlowPath,
};

/// As many ids are known at once: of an event, and of two others.
const IDS: usize = 3;

fn with_few_ids() -> History {
    with_few_ids_in(Delivery::AtLeastOnce)
}

fn with_few_ids_in(delivery: Delivery) -> History {
    let mut history = History::new(1, Senders::TwoThatRepeat, delivery);
    history.deduplicate = Settings { window: Duration::from_secs(3600), ids: IDS };
    history.cluster.borrow_mut().may_repeat = true;
    start_with_one_topic(history)
}

/// The sender repeats an event in a delivery of its own.
fn append_again(history: &mut History, id: &str) {
    append_again_through(history, 0, id);
}

fn append_again_through(history: &mut History, source: usize, id: &str) {
    let event = String::from_utf8_lossy(&history.sender.sent[id].as_sent).into_owned();
    let body = format!(r#"{{"munchkinId":"M","activities":[{event}]}}"#).into_bytes();
    drop(history.sender.batch(source)); // the next one in the order of all
    let batch = history.sender.deliver(source, body, vec![id.into()]);
    let writer = &mut history.processes[source].writer;
    let sequences = writer.append_group(&[batch.delivery]).expect("room");
    history.books.acknowledged(&batch.ids, source, sequences[0]);
}

/// The main lane goes back to this event, as often as it goes back.
fn append_one_that_hangs(history: &mut History) {
    history.cluster.borrow_mut().troubles.insert(topic(0), Trouble::Hanging);
    append_one(history, &topic(0));
    step_until(history, |history| history.processes[0].forwarder.outstanding() == 1);
}

/// So many later ones that ids are forgotten.
fn append_later_ones(history: &mut History, topic: &str) {
    for _ in 0..IDS {
        let later = append_one(history, topic);
        step_until(history, |history| history.look().on_topic.contains(&later));
    }
    all_is_saved(history);
}

fn is_a_dead_letter(history: &mut History, id: &str) {
    step_until(history, |history| history.look().dead_lettered.contains(id));
    all_is_saved(history);
}

/// The checkpoint, and the ids.
fn all_is_saved(history: &mut History) {
    history.quiet_step(Duration::from_millis(300));
}

fn ends_in_order(history: &mut History) {
    history.all_is_well();
    history.drain();
    history.check(true);
}

#[test]
fn a_repeat_that_was_passed_over_is_not_sent_behind_later_events_once_its_id_is_forgotten() {
    let (mut history, made) = (with_few_ids(), topic(1));
    let early = append_one(&mut history, &made);
    is_a_dead_letter(&mut history, &early);
    made_by_hand(&mut history, &made);
    append_one_that_hangs(&mut history);
    append_again(&mut history, &early);
    append_later_ones(&mut history, &made);
    replace_the_producer(&mut history);
    ends_in_order(&mut history);
}

/// The topic's own lane has its last record on the way while the main lane passes the repeat over, and goes back then.
#[test]
fn a_repeat_that_the_main_lane_has_passed_over_is_passed_over_by_the_lane_of_its_topic() {
    let (mut history, made) = (with_few_ids(), topic(1));
    let early = append_one(&mut history, &made);
    is_a_dead_letter(&mut history, &early);
    made_by_hand(&mut history, &made);
    history.cluster.borrow_mut().troubles.insert(made.clone(), Trouble::Failing);
    let held = [(); 2].map(|()| append_one(&mut history, &made));
    step_until(&mut history, |history| !history.processes[0].forwarder.position().held.is_empty());
    history.all_is_well();
    let (latency, per_record) = (Duration::from_millis(500), Duration::ZERO);
    history.cluster.borrow_mut().conditions.slow = Some(SlowPath { latency, per_record });
    step_until(&mut history, |history| held.iter().all(|id| history.look().on_topic.contains(id)));
    (0..2).for_each(|_| history.quiet_step(A_STEP));
    append_again(&mut history, &early);
    append_later_ones(&mut history, &made);
    replace_the_producer(&mut history);
    ends_in_order(&mut history);
}

#[test]
fn a_dead_letter_that_no_checkpoint_has_passed_is_not_taken_for_a_repeat_of_itself_after_a_crash() {
    for again in [replace_the_producer, crash] {
        let (mut history, made) = (with_few_ids(), topic(1));
        append_one_that_hangs(&mut history);
        let early = append_one(&mut history, &made);
        is_a_dead_letter(&mut history, &early);
        crash(&mut history);
        made_by_hand(&mut history, &made);
        append_later_ones(&mut history, &made);
        again(&mut history);
        ends_in_order(&mut history);
    }
}

#[test]
fn a_dead_letter_that_a_checkpoint_has_passed_is_known_after_a_crash() {
    let (mut history, made) = (with_few_ids(), topic(1));
    let early = append_one(&mut history, &made);
    is_a_dead_letter(&mut history, &early);
    crash(&mut history);
    append_again(&mut history, &early);
    ends_in_order(&mut history);
    assert_eq!(history.look().records[&early], 1);
}

/// A refused event that a checkpoint has passed waits, its id is forgotten, and a repeat through another source has the
/// id now. The one that waits gives way, and a crash comes before the other is delivered.
#[test]
fn an_event_that_gives_way_to_its_repeat_does_not_count_as_delivered_after_a_crash() {
    for delivery in [Delivery::AtLeastOnce, Delivery::ExactlyOnce] {
        let (mut history, made) = (with_few_ids_in(Delivery::ExactlyOnce), topic(1));
        history.cluster.borrow_mut().topics.remove(DEAD_LETTERS);
        history.cluster.borrow_mut().forbidden.insert(DEAD_LETTERS.into());
        let early = append_one(&mut history, &made);
        step_until(&mut history, |history| {
            history.processes[0].forwarder.position().refused.len() == 1
        });
        history.stop_in_order();
        history.delivery = delivery;
        history.start_process();
        all_is_saved(&mut history); // it has its id again, and waits
        made_by_hand(&mut history, &made);
        history.cluster.borrow_mut().troubles.insert(made.clone(), Trouble::Failing);
        // Within one step, so that it does not ask for its id in between.
        (0..IDS).for_each(|_| drop(append_one(&mut history, &topic(0))));
        append_again_through(&mut history, 1, &early);
        step_until(&mut history, |history| {
            let gave_way = history.processes[0].forwarder.position().refused.is_empty();
            gave_way && !history.processes[1].forwarder.position().held.is_empty()
        });
        all_is_saved(&mut history);
        crash(&mut history);
        ends_in_order(&mut history);
    }
}
