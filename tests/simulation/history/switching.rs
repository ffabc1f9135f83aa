//! Now in the one mode, now in the other: the later checkpoint counts, whichever mode wrote it.

use std::time::Duration;

use millrace::{deliver::checkpoint::Checkpoint, spool::position::Position};

use super::{Delivery, History, QUARANTINE_AFTER, Senders, TOPICS};
use crate::{
    books::Saved,
    cluster::{DEAD_LETTERS, Trouble},
    oracle::Seen,
};

impl History {
    /// Of the process that starts.
    pub(super) fn next_mode(&mut self) -> bool {
        match self.delivery {
            Delivery::AtLeastOnce => false,
            Delivery::ExactlyOnce | Delivery::Copied => true,
            Delivery::Switching => self.random.bool(),
        }
    }

    /// A process starts from what `files` say, or the topic of checkpoints if that is for it and later;
    /// what is there and not behind that may come again. Nothing may if the last one ended in order with
    /// all settled, whatever the modes of both.
    pub(super) fn begin_in_a_mode(&mut self, files: &Saved, seen: &Seen) {
        let was_exactly_once = self.exactly_once_before;
        let mut saved = files.clone();
        if self.exactly_once {
            let committed = self.committed();
            for (file, topic) in saved.iter_mut().zip(committed.into_iter().skip(self.number_of(0)))
            {
                let (Some(before), Some(topic)) = (file.clone(), topic.clone()) else {
                    *file = file.take().or(topic);
                    continue;
                };
                if topic.number > before.number {
                    self.count("topic of checkpoints ahead of the file");
                    *file = Some(topic);
                } else if topic.number < before.number {
                    self.count("file ahead of the topic of checkpoints");
                }
            }
        }
        let saved = self.of_this_volume(&saved);
        let may_repeat = self.books.begin_at(&saved, seen, &self.sender.sent);
        match (was_exactly_once, self.exactly_once) {
            (Some(false), true) => self.count("switched to exactly once"),
            (Some(true), false) => self.count("switched to at least once"),
            _ => {}
        }
        if std::mem::take(&mut self.has_settled_all) {
            assert_eq!(may_repeat.known, 0, "a stop in order leaves what may come again");
            if was_exactly_once.is_some_and(|before| before != self.exactly_once) {
                self.count("switched after a stop in order with all settled");
            }
        } else if may_repeat.all > 0 {
            self.count("start that may repeat something");
        }
        self.exactly_once_before = Some(self.exactly_once);
    }
}

/// Drains what was appended, stops in order and goes on in the other mode, again and again.
#[test]
fn a_stop_in_order_and_another_mode_repeat_nothing() {
    let mut history = History::new(0, Senders::One, Delivery::Switching);
    (history.queue, history.window) = (1_000, 1 << 20);
    history.all_is_well();
    history.cluster.borrow_mut().limit = usize::MAX;
    history.start_process();
    let mut modes = [0, 0];
    while modes.iter().any(|times| *times < 3) {
        (0..10).for_each(|_| history.append());
        history.drain();
        let stored = history.cluster.borrow().counters.stored;
        history.stop_in_order();
        history.start_process();
        modes[usize::from(history.exactly_once)] += 1;
        history.drain();
        (0..5).for_each(|_| history.quiet_step(Duration::from_millis(100)));
        assert_eq!(history.cluster.borrow().counters.stored, stored, "something came again");
    }
    history.check(true);
}

/// Exactly-once delivery while dead letters cannot be written, and all else is well.
fn refused_events_wait(seed: u64) -> History {
    let mut history = History::new(seed, Senders::One, Delivery::ExactlyOnce);
    (history.queue, history.window) = (1_000, 1 << 20);
    history.config.size_limit = 1 << 20;
    history.all_is_well();
    let mut cluster = history.cluster.borrow_mut();
    cluster.limit = usize::MAX;
    cluster.troubles.insert(DEAD_LETTERS.into(), Trouble::Failing);
    drop(cluster);
    history
}

/// Appends, and commits all but what waits and what `held` topics have.
fn commit_some(history: &mut History, held: usize) {
    (0..15).for_each(|_| history.append());
    let end = Position::start_of(history.processes[0].spool.durable_end());
    step_until(history, |history| {
        let committed = history.processes[0].forwarder.position();
        committed.low == end && committed.held.len() == held
    });
}

/// Stops in order, and goes on in the other mode.
fn switch(history: &mut History) -> Checkpoint {
    history.stop_in_order();
    history.delivery = Delivery::AtLeastOnce;
    history.start_process();
    history.saved()[0].clone().expect("it was committed")
}

fn replace_the_producer(history: &mut History) {
    let before = history.cluster.borrow().counters.renewals;
    history.cluster.borrow_mut().fatal_per_mille = 1_000;
    (0..5).for_each(|_| history.append());
    step_until(history, |history| history.cluster.borrow().counters.renewals > before);
}

/// In steps so short that nothing that waits goes to quarantine meanwhile.
fn step_until(history: &mut History, is_done: impl Fn(&History) -> bool) {
    for _ in 0..QUARANTINE_AFTER.as_millis() / 5 {
        if is_done(history) {
            return;
        }
        history.quiet_step(Duration::from_millis(4));
    }
    panic!("not done in time");
}

fn topic(number: usize) -> String {
    format!("sim.lead-activity.{}", TOPICS[number])
}

/// Refused events wait, a topic is held, all else is committed behind them; then the mode is another
/// one, and the lanes go `back`. All must arrive, and nothing of it twice.
fn going_back_repeats_and_loses_nothing(back: impl Fn(&mut History)) {
    for seed in 0..3 {
        let mut history = refused_events_wait(seed);
        history.cluster.borrow_mut().troubles.insert(topic(0), Trouble::Failing);
        history.start_process();
        commit_some(&mut history, 1);
        let from = switch(&mut history);
        assert!(!from.refused.is_empty() && from.held.len() == 1, "{from:?}");
        back(&mut history);
        history.all_is_well();
        history.drain();
        history.check(true);
        let seen = history.look();
        assert!(seen.records.values().all(|records| *records == 1), "{:?}", seen.records);
    }
}

#[test]
fn a_producer_that_is_replaced_after_a_switch_repeats_and_loses_nothing_behind_refused_events() {
    going_back_repeats_and_loses_nothing(replace_the_producer);
}

#[test]
fn topics_held_after_a_switch_repeat_and_lose_nothing_behind_refused_events() {
    going_back_repeats_and_loses_nothing(|history| {
        for number in 0..TOPICS.len() {
            history.cluster.borrow_mut().troubles.insert(topic(number), Trouble::Failing);
        }
        (0..5).for_each(|_| history.append());
        step_until(history, |history| history.processes[0].forwarder.position().held.len() >= 3);
    });
}

/// Of a topic that was one too many an event waits; later the topic is held, from a later event on.
#[test]
fn one_topic_too_many_that_is_held_by_now_loses_nothing_after_a_switch() {
    for crashes in [false, true] {
        let mut history = refused_events_wait(1);
        history.cluster.borrow_mut().limit = 2;
        history.start_process();
        commit_some(&mut history, 0);
        let mut cluster = history.cluster.borrow_mut();
        let others = (0..TOPICS.len()).map(topic);
        let others: Vec<_> = others.filter(|topic| !cluster.topics.contains_key(topic)).collect();
        cluster.forbidden.extend(others);
        drop(cluster);
        commit_some(&mut history, 2);
        let from = switch(&mut history);
        assert!(from.refused.iter().any(|refused| refused.reason == "topic-limit"), "{from:?}");
        if crashes {
            (0..100).for_each(|_| history.quiet_step(Duration::from_millis(4)));
            history.end_processes();
            history.disk.kill();
            history.start_process();
        } else {
            replace_the_producer(&mut history);
        }
        history.all_is_well();
        history.drain();
        history.check(true);
    }
}
