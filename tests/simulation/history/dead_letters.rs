//! A dead-letter topic that cannot be written, for a moment and for good, while all else is well.

use std::time::Duration;

use super::{Delivery, History, QUARANTINE_AFTER, Senders};
use crate::{
    cluster::{DEAD_LETTERS, Trouble},
    sender::Fate,
};

/// A history in which nothing happens by itself, with room for what it is about.
fn calm() -> History {
    let mut history = History::new(0, Senders::One, Delivery::AtLeastOnce);
    history.queue = 1_000;
    history.window = 1 << 20;
    history.all_is_well();
    history.cluster.borrow_mut().limit = usize::MAX;
    history
}

/// Deliveries with events that are refused among them.
fn append_some(history: &mut History) {
    for _ in 0..20 {
        history.append();
    }
    assert!(!ids(history, Fate::Refused).is_empty());
}

fn ids(history: &History, fate: Fate) -> Vec<String> {
    let sent = history.sender.sent.iter().filter(|(_, sent)| sent.fate == fate);
    sent.map(|(id, _)| id.clone()).collect()
}

fn everything_else_is_on_its_topic(history: &History) -> bool {
    let seen = history.look();
    let mut sent = history.sender.sent.iter();
    sent.all(|(id, sent)| !matches!(sent.fate, Fate::Topic { .. }) || seen.on_topic.contains(id))
}

/// The topic is in trouble for less than `forward.quarantine_after`, then it is well.
fn in_trouble_for_a_moment(trouble: impl Fn(&History), well: impl Fn(&History)) {
    let mut history = calm();
    trouble(&history);
    history.start_process();
    append_some(&mut history);
    let since = history.cluster.borrow().now;

    let young = |history: &History| history.cluster.borrow().now - since < QUARANTINE_AFTER / 2;
    while young(&history) {
        history.quiet_step(Duration::from_millis(5));
    }
    assert!(everything_else_is_on_its_topic(&history), "the others wait for the dead letters");
    assert!(history.look().dead_lettered.is_empty());
    well(&history);
    history.drain();

    let seen = history.look();
    for id in ids(&history, Fate::Refused) {
        assert!(seen.dead_lettered.contains(&id), "{id} is no dead letter");
        assert!(!seen.quarantined.contains(&id), "{id} is in quarantine");
    }
    history.check(false);
}

#[test]
fn a_dead_letter_topic_that_can_not_be_made_for_a_moment_sends_nothing_to_quarantine() {
    in_trouble_for_a_moment(
        |history| {
            history.cluster.borrow_mut().forbidden.insert(DEAD_LETTERS.into());
        },
        |history| history.cluster.borrow_mut().forbidden.clear(),
    );
}

#[test]
fn a_dead_letter_topic_that_fails_for_a_moment_sends_nothing_to_quarantine() {
    in_trouble_for_a_moment(
        |history| {
            let mut cluster = history.cluster.borrow_mut();
            cluster.troubles.insert(DEAD_LETTERS.into(), Trouble::Failing);
        },
        |history| history.cluster.borrow_mut().troubles.clear(),
    );
}

#[test]
fn a_dead_letter_topic_without_a_leader_for_a_moment_sends_nothing_to_quarantine() {
    in_trouble_for_a_moment(
        |history| {
            let mut cluster = history.cluster.borrow_mut();
            cluster.troubles.insert(DEAD_LETTERS.into(), Trouble::Hanging);
        },
        |history| history.cluster.borrow_mut().troubles.clear(),
    );
}

#[test]
fn refused_events_go_to_quarantine_when_the_dead_letter_topic_can_not_be_made_at_all() {
    let mut history = calm();
    history.cluster.borrow_mut().forbidden.insert(DEAD_LETTERS.into());
    history.start_process();
    append_some(&mut history);

    history.drain();

    let seen = history.look();
    for id in ids(&history, Fate::Refused) {
        assert!(seen.quarantined.contains(&id), "{id} is not in quarantine");
    }
    assert!(everything_else_is_on_its_topic(&history));
}

#[test]
fn more_refused_events_than_there_is_room_for_stop_no_other() {
    let mut history = calm();
    history.window = 4_000;
    history.cluster.borrow_mut().forbidden.insert(DEAD_LETTERS.into());
    history.start_process();
    append_some(&mut history);

    let since = history.cluster.borrow().now;
    while history.cluster.borrow().now - since < QUARANTINE_AFTER - Duration::from_secs(1) {
        history.quiet_step(Duration::from_millis(5));
    }
    assert!(everything_else_is_on_its_topic(&history), "the others wait for the dead letters");
}

/// Takes in deliveries of one event that is refused, until there are so many that `is_meant`.
fn append_refused(
    history: &mut History,
    times: usize,
    is_meant: impl Fn(Option<&str>) -> bool,
) -> Vec<String> {
    let mut ids = Vec::new();
    while ids.len() < times {
        let batch = history.sender.batch(0);
        let [id] = &batch.ids[..] else { continue };
        let sent = &history.sender.sent[id];
        if sent.fate != Fate::Refused || !is_meant(sent.topic.as_deref()) {
            continue;
        }
        let sequences = history.processes[0].writer.append_group(&[batch.delivery]).expect("room");
        history.books.acknowledged(&batch.ids, 0, sequences[0]);
        ids.push(batch.ids[0].clone());
    }
    ids
}

/// A topic lags, and one of its events is found out to be refused when it comes back: behind it in the spool there
/// are dead letters that were written long ago.
#[test]
fn a_refusal_that_is_found_late_repeats_no_later_dead_letter() {
    let mut history = calm();
    history.config.size_limit = 1 << 20;
    history.start_process();
    let lagging = "sim.lead-activity.filloutform".to_owned();
    history.cluster.borrow_mut().troubles.insert(lagging.clone(), Trouble::Failing);
    let late = append_refused(&mut history, 1, |topic| topic == Some(&lagging));
    let others = append_refused(&mut history, 5, |topic| topic != Some(&lagging));
    history.step_until(|history| {
        let seen = history.look();
        others.iter().all(|id| seen.dead_lettered.contains(id) || seen.quarantined.contains(id))
    });
    (0..100).for_each(|_| history.quiet_step(Duration::from_millis(5)));
    assert!(
        history.processes[0].forwarder.position().held.iter().any(|held| held.topic == lagging)
    );
    history.all_is_well();
    history.drain();
    let seen = history.look();
    assert!(seen.dead_lettered.contains(&late[0]) || seen.quarantined.contains(&late[0]));
    let again: Vec<_> = seen.records.iter().filter(|(_, records)| **records > 1).collect();
    assert!(again.is_empty(), "there more than once although nothing crashed: {again:?}");
    history.check(true);
}
