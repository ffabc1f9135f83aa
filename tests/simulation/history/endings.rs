//! How a history ends: with one topic in trouble for ever, and then quietly.

use std::time::Duration;

use super::{History, Process};
use crate::cluster::Trouble;

/// Steps within which a quiet end must drain everything.
const QUIET_STEPS: usize = 5_000;
/// How long each step of a quiet end takes.
const A_STEP: Duration = Duration::from_millis(100);
/// Steps in which the checkpoint is surely saved.
const SAVING_STEPS: usize = 5;

impl History {
    /// I8: everything becomes well but one topic, and what belongs elsewhere must arrive.
    pub(super) fn end_with_one_topic_in_trouble(&mut self) {
        self.all_is_well();
        let topic = self.random_topic();
        let trouble = self.random.u8(..3);
        if self.ends_without_a_schema(&topic) {
            return;
        }
        let trouble = match trouble {
            0 => Some(Trouble::Failing),
            1 => Some(Trouble::Hanging),
            _ => None,
        };
        tracing::debug!(topic, ?trouble, "all is well but one topic");
        match trouble {
            Some(trouble) => {
                self.cluster.borrow_mut().troubles.insert(topic.clone(), trouble);
            }
            None => {
                self.cluster.borrow_mut().forbidden.insert(topic.clone());
            }
        }
        let what = trouble.map_or("not to be made".into(), |trouble| format!("{trouble:?}"));
        self.all_others_arrive(&topic, &what);
        self.count(match trouble {
            Some(_) => "all but one topic",
            None => "all but one topic that cannot be made",
        });
    }

    pub(super) fn all_others_arrive(&mut self, topic: &str, what: &str) {
        self.step_until(|history| {
            history.books.missing(&history.look(), &history.sender.sent, topic).is_empty()
        });
        let missing = self.books.missing(&self.look(), &self.sender.sent, topic);
        assert!(missing.is_empty(), "{topic} is {what}, and that stops {missing:?}");
        self.check(false);
    }

    pub(super) fn all_is_well(&mut self) {
        self.disk.no_more_faults();
        let mut cluster = self.cluster.borrow_mut();
        if let Some(registry) = &cluster.registry {
            registry.is_well();
        }
        cluster.away = false;
        cluster.troubles.clear();
        cluster.forbidden.clear();
        cluster.conditions.all_is_well();
        cluster.fatal_per_mille = 0;
        cluster.quiet = true;
    }

    pub(super) fn quiet_step(&mut self, time: Duration) {
        self.pass_time(time);
        self.registry_goes_on();
        let now = self.now();
        for process in &mut self.processes {
            let worked = process.forwarder.step(now, Duration::from_millis(1));
            // A page that cannot be read is waited for.
            assert!(worked.is_ok() || self.lying.is_some(), "a quiet step works: {worked:?}");
        }
        self.replicas_go_on();
        self.trace_checkpoints();
    }

    /// Steps through a time in which nothing new happens.
    pub(super) fn step_until(&mut self, is_done: impl Fn(&Self) -> bool) {
        for steps in 0..QUIET_STEPS {
            self.quiet_step(A_STEP);
            if steps % 50 == 0 && is_done(self) {
                break;
            }
        }
    }

    /// Everything becomes well, and everything must arrive; then a crash has nothing to repeat.
    pub(super) fn quiet_end(&mut self) {
        self.all_is_well();
        self.crash();
        self.drain();
        self.check(true);

        (0..SAVING_STEPS).for_each(|_| self.quiet_step(A_STEP));
        let stored = self.cluster.borrow().counters.stored;
        self.crash();
        self.drain();
        let again = self.cluster.borrow().counters.stored - stored;
        assert_eq!(again, 0, "a crash after a quiet end repeats {again} records");
        self.end_processes();
        self.all_left_out_was_counted();
    }

    pub(super) fn drain(&mut self) {
        let drained = |process: &Process| process.forwarder.is_drained();
        self.step_until(|history| history.processes.iter().all(drained));
        for Process { forwarder, spool, .. } in &self.processes {
            assert!(forwarder.is_drained(), "not drained: {:?}", forwarder.position());
            assert_eq!(spool.durable_end(), forwarder.next_sequence());
        }
    }
}
