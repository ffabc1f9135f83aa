//! Each record has one outcome, and the log of the library names the topic that spoils a transaction.

use super::*;

#[test]
fn closing_gives_every_record_its_one_outcome() {
    let mut state = ProducerState::default();
    let slots: Vec<_> =
        (0..4).map(|token| state.pending.insert(token, 1, Instant::now())).collect();
    state.pending.remove(slots[2]);
    state.outcomes.push((2, Outcome::Delivered));
    let purged = || Outcome::Failed(Failure::Purged);
    let mut outcomes = state.close();
    outcomes.sort_by_key(|(token, _)| *token);
    let expected = [(0, purged()), (1, purged()), (2, Outcome::Delivered), (3, purged())];
    assert_eq!(outcomes, expected);
    assert_eq!(state.pending.remove(slots[0]), None, "a late report finds no record");
    assert_eq!(state.close(), []);
}

#[test]
fn the_topic_that_spoils_a_transaction_is_found_in_the_log() {
    let line = |why: &str| {
        format!("[thrd:main]: b:9092/1: Failed to add partition \"a.b\" [2] to transaction: {why}")
    };
    let denied = line("Broker: Topic authorization failed");
    let found = kept_out("ADDPARTS", &denied);
    assert_eq!(found, Some(("a.b", "Broker: Topic authorization failed")));
    let beside = line("Broker: Operation not attempted");
    assert_eq!(kept_out("ADDPARTS", &beside), None);
    assert_eq!(kept_out("FAIL", &denied), None);
}

#[test]
fn a_fatal_producer_that_emptied_its_queue_reports_no_purges() {
    let mut state = ProducerState::default();
    state.outcomes.push((0, Outcome::Delivered));
    state.outcomes.push((1, Outcome::Failed(Failure::Purged)));
    state.outcomes.push((2, Outcome::Failed(Failure::Refused("too large".into()))));
    let fatal = Failure::Fatal("beyond repair".into());
    state.all_failures_are(&fatal);
    assert_eq!(state.outcomes[0].1, Outcome::Delivered);
    assert_eq!(state.outcomes[1].1, Outcome::Failed(fatal));
    assert!(matches!(state.outcomes[2].1, Outcome::Failed(Failure::Refused(_))));
}
