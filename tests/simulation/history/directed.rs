//! Histories without chance: what deduplication must do when an owner's event is lost or waits.

use std::time::Duration;

use fastrand::Rng;

use super::{Delivery, History, Senders};
use crate::{
    cluster::{POISON, Trouble},
    damage,
    sender::{Fate, Sender},
};

const LEADS: usize = 0;
const ADOBE: usize = 1;

impl History {
    /// Two sources, a cluster without moods, and memory for everything.
    fn directed() -> Self {
        let mut history = Self::new(7, Senders::TwoThatRepeat, Delivery::AtLeastOnce);
        history.deduplicate = millrace::deliver::deduplicate::Settings::default();
        history.deduplicate.ids = 4_000;
        history.sender = Sender::new(7, history.sources.clone(), false);
        history.window = 40_000;
        history.queue = 1_000;
        history.cluster.borrow_mut().limit = usize::MAX;
        history.cluster.borrow_mut().clients_grow_stale = false;
        history.all_is_well();
        history.start_process();
        history
    }

    /// A delivery of one event that goes to a topic, and the event's id.
    fn one_event(&mut self, source: usize) -> (Vec<u8>, String) {
        loop {
            let batch = self.sender.batch(source);
            let body = batch.delivery.delivery().body.to_vec();
            let [id] = &batch.ids[..] else { continue };
            if matches!(self.sender.sent[id].fate, Fate::Topic { .. })
                && !body.windows(POISON.len()).any(|bytes| bytes == POISON)
            {
                return (body, id.clone());
            }
        }
    }

    fn deliver(&mut self, source: usize, body: &[u8], id: &str) {
        let batch = self.sender.deliver(source, body.to_vec(), vec![id.to_owned()]);
        let sequences = self.processes[source].writer.append_group(&[batch.delivery]);
        let sequence = sequences.expect("the disk is well")[0];
        self.books.acknowledged(&[id.to_owned()], source, sequence);
    }

    /// Fills segments, so that what came before lies in one that is not written any more.
    fn seal(&mut self, source: usize) {
        for _ in 0..20 {
            let batch = self.sender.batch(source);
            self.processes[source].writer.append_group(&[batch.delivery]).expect("room");
        }
    }

    /// Lets everybody work for a while.
    fn go_on(&mut self) {
        for _ in 0..200 {
            self.pass_time(Duration::from_millis(100));
            let now = self.now();
            for process in &mut self.processes {
                process.forwarder.step(now, Duration::from_millis(1)).expect("a quiet step works");
            }
        }
    }

    fn records(&self, id: &str) -> usize {
        self.look().records.get(id).copied().unwrap_or(0)
    }

    fn topic_of(&self, id: &str) -> String {
        self.sender.sent[id].topic.clone().expect("it has a topic")
    }
}

#[test]
fn a_repeat_of_an_event_that_the_disk_has_spoilt_is_delivered_in_its_place() {
    let mut history = History::directed();
    let (body, id) = history.one_event(LEADS);
    let topic = history.topic_of(&id);
    history.cluster.borrow_mut().troubles.insert(topic.clone(), Trouble::Failing);
    history.deliver(LEADS, &body, &id);
    history.seal(LEADS);
    history.go_on();
    assert_eq!(history.processes[LEADS].forwarder.outstanding(), 0, "between two attempts");
    assert_eq!(history.records(&id), 0, "its topic fails");

    let directory = history.config.directory.join(history.sources[LEADS].as_str());
    let (mut random, mut whole) = (Rng::with_seed(1), damage::Whole::new());
    while !damage::flip_a_bit(&history.disk, &directory, &mut random, &mut whole)
        .expect("a segment is sealed")
        .events
        .contains(&id)
    {}
    history.cluster.borrow_mut().troubles.clear();
    history.go_on();
    assert_eq!(history.records(&id), 0, "it is lost");
    assert!(history.look().damaged_ranges > 0, "and that is known");

    history.deliver(ADOBE, &body, &id);
    history.go_on();
    assert_eq!(history.records(&id), 1, "another copy is as good");
    history.deliver(LEADS, &body, &id);
    history.go_on();
    assert_eq!(history.records(&id), 1);
}

#[test]
fn a_repeat_waits_with_its_owner_and_a_crash_loses_neither() {
    for power_lost in [false, true] {
        let mut history = History::directed();
        let (body, id) = history.one_event(LEADS);
        let topic = history.topic_of(&id);
        history.cluster.borrow_mut().troubles.insert(topic, Trouble::Failing);
        history.deliver(LEADS, &body, &id);
        history.go_on();
        history.deliver(ADOBE, &body, &id);
        history.go_on();
        let of_adobe = history.processes[ADOBE].forwarder.position();
        assert!(of_adobe.held.is_empty(), "adobe's copy is passed over, not held: {of_adobe:?}");
        assert_eq!(history.records(&id), 0);

        history.end_processes();
        if power_lost {
            history.disk.lose_power();
        } else {
            history.disk.kill();
        }
        history.cluster.borrow_mut().troubles.clear();
        history.start_process();
        history.go_on();
        assert_eq!(history.records(&id), 1, "power lost: {power_lost}");
    }
}

#[test]
fn a_crash_forgets_no_id_that_a_checkpoint_has_passed() {
    for power_lost in [false, true] {
        let mut history = History::directed();
        let (body, id) = history.one_event(LEADS);
        history.deliver(LEADS, &body, &id);
        history.go_on();
        assert_eq!(history.records(&id), 1);
        history.end_processes();
        if power_lost {
            history.disk.lose_power();
        } else {
            history.disk.kill();
        }
        history.start_process();
        for source in [ADOBE, LEADS, ADOBE] {
            history.deliver(source, &body, &id);
        }
        history.go_on();
        assert_eq!(history.records(&id), 1, "power lost: {power_lost}");
        assert_eq!(history.processes[ADOBE].forwarder.next_sequence(), 3, "they were looked at");
    }
}

/// A copy that was passed over stands in no file; else this is what would happen: `leads` has the
/// event first and crashes, `adobe` has it next and `leads` passes its own copy over, and after
/// another crash each believes that the other one has delivered it.
#[test]
fn two_crashes_make_no_two_sources_believe_each_other() {
    let mut history = History::directed();
    let (body, id) = history.one_event(LEADS);
    let topic = history.topic_of(&id);
    history.cluster.borrow_mut().troubles.insert(topic, Trouble::Hanging);
    history.deliver(LEADS, &body, &id);
    history.deliver(ADOBE, &body, &id);
    let step = |history: &mut History, source: usize| {
        for _ in 0..10 {
            history.pass_time(Duration::from_millis(100));
            let now = history.now();
            let forwarder = &mut history.processes[source].forwarder;
            forwarder.step(now, Duration::ZERO).expect("a quiet step works");
        }
    };
    for first in [LEADS, ADOBE, LEADS, ADOBE] {
        step(&mut history, first);
        step(&mut history, LEADS + ADOBE - first);
        history.end_processes();
        history.disk.kill();
        history.start_process();
    }
    history.cluster.borrow_mut().troubles.clear();
    history.go_on();
    assert_eq!(history.records(&id), 1);
}

/// The copy was passed over while its owner was on its way; then the owner's topic is held, and its lane goes back.
#[test]
fn a_repeat_that_was_passed_over_is_delivered_once_its_owner_turns_out_to_be_spoilt() {
    let mut history = History::directed();
    let (body, id) = history.one_event(LEADS);
    let topic = history.topic_of(&id);
    history.cluster.borrow_mut().troubles.insert(topic, Trouble::Hanging);
    history.deliver(LEADS, &body, &id);
    history.deliver(LEADS, &body, &id);
    history.seal(LEADS);
    while history.processes[LEADS].forwarder.outstanding() == 0 {
        history.quiet_step(Duration::from_millis(1));
    }

    let directory = history.config.directory.join(history.sources[LEADS].as_str());
    assert!(damage::spoil_the_first_frame_with(&history.disk, &directory, &id));
    history.go_on();
    assert!(history.look().damaged_ranges > 0, "its lane went back");
    history.cluster.borrow_mut().troubles.clear();
    history.go_on();
    assert_eq!(history.records(&id), 1, "the copy is whole");
}
