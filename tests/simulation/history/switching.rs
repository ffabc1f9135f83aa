//! Now in the one mode, now in the other: the later checkpoint counts, whichever mode wrote it.

use std::time::Duration;

use super::{Delivery, History, Senders};
use crate::{books::Saved, oracle::Seen};

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
            for (file, topic) in saved.iter_mut().zip(self.committed()) {
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
        let may_repeat = self.books.begin_at(&saved, seen, &self.sender.sent);
        match (was_exactly_once, self.exactly_once) {
            (Some(false), true) => self.count("switched to exactly once"),
            (Some(true), false) => self.count("switched to at least once"),
            _ => {}
        }
        if std::mem::take(&mut self.has_settled_all) {
            assert_eq!(may_repeat, 0, "a stop in order leaves what may come again");
            if was_exactly_once.is_some_and(|before| before != self.exactly_once) {
                self.count("switched after a stop in order with all settled");
            }
        } else if may_repeat > 0 {
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
