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
use crate::{cluster::Trouble, conditions::SlowPath};

/// As many ids are known at once: of an event, and of two others.
const IDS: usize = 3;

fn with_few_ids() -> History {
    let mut history = History::new(1, Senders::TwoThatRepeat, Delivery::AtLeastOnce);
    history.deduplicate = Settings { window: Duration::from_secs(3600), ids: IDS };
    history.cluster.borrow_mut().may_repeat = true;
    start_with_one_topic(history)
}

/// The sender repeats an event in a delivery of its own.
fn append_again(history: &mut History, id: &str) {
    let original = String::from_utf8_lossy(&history.sender.sent[id].original).into_owned();
    let body = format!(r#"{{"munchkinId":"M","activities":[{original}]}}"#).into_bytes();
    drop(history.sender.batch(0)); // the next one in the order of all
    let batch = history.sender.deliver(0, body, vec![id.into()]);
    let sequences = history.processes[0].writer.append_group(&[batch.delivery]).expect("room");
    history.books.acknowledged(&batch.ids, 0, sequences[0]);
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
