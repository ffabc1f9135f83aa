//! A sync fails, the page cache keeps what the disk does not have, the next process delivers it, and then the
//! power is lost.

use std::{collections::BTreeMap, io::ErrorKind, path::PathBuf, time::Duration};

use millrace::spool::disk::Disk;

use super::{Delivery, History, Senders};
use crate::{sender::Fate, simulated_disk::Call};

/// What comes of a failed sync differs: seeds of the disk.
const SEEDS: std::ops::Range<u64> = 0..16;

impl History {
    /// One in which nothing happens by itself, and everything so far is delivered.
    fn calm_once(seed: u64) -> Self {
        let mut history = Self::new(seed, Senders::One, Delivery::ExactlyOnce);
        (history.queue, history.window) = (1_000, 1 << 20);
        history.config.segment_size = 30_000; // no new one is begun where the sync fails
        history.all_is_well();
        history.cluster.borrow_mut().limit = usize::MAX;
        history.start_process();
        (0..5).for_each(|_| history.append());
        history.drain();
        history
    }

    /// A delivery is written, its sync fails, and the process is killed. The ids of what is in it.
    fn fail_to_sync(&mut self) -> Vec<String> {
        let batch = loop {
            let batch = self.batch(0);
            let is_plain = |id: &String| matches!(self.sender.sent[id].fate, Fate::Topic { .. });
            if !batch.ids.is_empty() && batch.ids.iter().all(is_plain) {
                break batch;
            }
        };
        self.disk.fail_next(Call::SyncData, ErrorKind::Other);
        let writer = &mut self.processes[0].writer;
        writer.append_group(&[batch.delivery]).expect_err("it is not on the disk");
        self.books.unanswered(&batch.ids);
        self.end_processes();
        self.disk.kill();
        batch.ids
    }

    /// What the next process finds is committed, and the local file never hears of it.
    fn commit_without_the_file(&mut self, ids: &[String]) {
        let taken_over = self.committed();
        while self.committed() == taken_over {
            self.quiet_step(Duration::from_millis(10));
        }
        for _ in 0..1_000 {
            let seen = self.look();
            if ids.iter().all(|id| seen.anywhere(id)) {
                return;
            }
            self.disk.fail_next(Call::Rename, ErrorKind::Other);
            self.pass_time(Duration::from_millis(100));
            let now = self.now();
            // A step that can't save the file fails, and goes on with the next.
            let _ = self.processes[0].forwarder.step(now, Duration::from_millis(1));
        }
        panic!("what was in the page cache is not delivered");
    }

    /// `true` if the segments are not what they were.
    fn lose_power_and_segments(&mut self) -> bool {
        let before = self.segments();
        self.end_processes();
        self.disk.lose_power();
        self.segments() != before
    }

    fn segments(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let folder = self.config.directory.join(self.sources[0].as_str()).join("segments");
        let paths = self.disk.list(&folder).expect("it is there").into_iter();
        paths
            .map(|name| folder.join(name))
            .map(|path| (path.clone(), self.disk.content(&path)))
            .collect()
    }

    fn goes_on(&mut self) {
        self.start_process();
        (0..10).for_each(|_| self.append());
        self.drain();
        self.check(true);
        self.quiet_end();
    }
}

#[test]
fn what_was_committed_and_then_lost_with_the_power_leaves_its_numbers_to_nobody_and_the_start_goes_on()
 {
    let mut lost = 0;
    for seed in SEEDS {
        let mut history = History::calm_once(seed);
        let ids = history.fail_to_sync();
        history.start_process();
        history.commit_without_the_file(&ids);
        lost += u32::from(history.lose_power_and_segments());
        history.goes_on();
    }
    assert!(lost > 3, "the disk has lost something in {lost} histories only");
}

#[test]
fn what_was_lost_with_the_power_before_it_was_delivered_stops_nothing() {
    for seed in SEEDS {
        let mut history = History::calm_once(seed);
        history.fail_to_sync();
        history.start_process();
        history.lose_power_and_segments();
        history.goes_on();
    }
}
