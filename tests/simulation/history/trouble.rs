//! What goes wrong in a history: the cluster, its topics, the disk.

use std::path::PathBuf;

use super::{History, TOPICS};
use crate::{
    cluster::{DEAD_LETTERS, Trouble},
    damage,
    simulated_disk::Call,
};

impl History {
    pub(super) fn toggle_cluster(&mut self) {
        let mut cluster = self.cluster.borrow_mut();
        cluster.away = !cluster.away;
        cluster.away_since = cluster.now;
        drop(cluster);
        self.count("cluster away or back");
    }

    /// A topic of the sender's, now and then the one of dead letters.
    pub(super) fn random_topic(&mut self) -> String {
        if self.sender.has_lives() {
            return self.random_topic_of_lives();
        }
        let topic = format!("sim.lead-activity.{}", TOPICS[self.random.usize(..TOPICS.len())]);
        if self.random.u8(..8) == 0 { DEAD_LETTERS.into() } else { topic }
    }

    pub(super) fn toggle_topic(&mut self) {
        let topic = self.random_topic();
        let trouble = if self.random.bool() { Trouble::Failing } else { Trouble::Hanging };
        let mut cluster = self.cluster.borrow_mut();
        if cluster.troubles.remove(&topic).is_none() {
            cluster.troubles.insert(topic, trouble);
        }
        drop(cluster);
        self.count("topic in trouble or back");
    }

    pub(super) fn toggle_permission(&mut self) {
        let topic = self.random_topic();
        let mut cluster = self.cluster.borrow_mut();
        if !cluster.forbidden.remove(&topic) {
            cluster.forbidden.insert(topic);
        }
        drop(cluster);
        self.count("creation forbidden or allowed");
    }

    pub(super) fn disk_fails(&mut self) {
        use std::io::ErrorKind::{Other, StorageFull};
        let (call, error, what) = match self.random.u8(..6) {
            0 => (Call::SyncData, Other, "a sync fails"),
            1 => (Call::Write, Other, "a write fails"),
            2 => (Call::Write, StorageFull, "no space for a write"),
            3 => (Call::Read, Other, "a read fails"),
            4 => (Call::SyncDir, Other, "a directory's sync fails"),
            _ => (Call::Create, StorageFull, "no space for a file"),
        };
        tracing::debug!(what, "the disk");
        self.disk.fail_next(call, error);
        self.count(what);
    }

    /// In a segment that is not written any more: the spool cannot know before it reads.
    pub(super) fn flip_a_bit(&mut self) {
        let directory = self.random_directory();
        let whole = self.whole.entry(self.volume).or_default();
        if let Some(flip) = damage::flip_a_bit(&self.disk, &directory, &mut self.random, whole) {
            tracing::debug!(?flip.events, flip.heals, "a bit flips");
            self.books.bit_flipped(flip);
            self.cluster.borrow_mut().may_repeat |= self.repeats();
            self.count("a bit flips");
        }
    }

    pub(super) fn random_directory(&mut self) -> PathBuf {
        let source = self.random_source();
        self.config.directory.join(self.sources[source].as_str())
    }

    /// Among the ids of delivered events: whatever they were, the next start may not know them.
    pub(super) fn flip_a_bit_of_ids(&mut self) {
        let directory = self.random_directory();
        if damage::flip_a_bit_of_ids(&self.disk, &directory, &mut self.random) {
            tracing::debug!("a bit of the ids flips");
            self.books.forgetful = true;
            self.count("a bit of the ids flips");
        }
    }
}
