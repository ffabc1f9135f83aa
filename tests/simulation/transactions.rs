//! The transactions of a seeded cluster: what a process has sent is seen once it is committed, and
//! what goes wrong with a commit. It is answered late, done and the answer lost, refused, and given up
//! by the cluster when it takes too long.

use std::{collections::BTreeMap, time::Duration};

use millrace::{
    produce::{Commit, Failure},
    record::Record,
};

use crate::cluster::{Cluster, Stored};

/// A transaction that lasts longer is given up by the cluster.
const TIME_OUT: Duration = Duration::from_secs(12);

/// What nobody who reads committed records has seen yet.
#[derive(Default)]
pub struct Open {
    pub records: Vec<(String, Stored)>,
    pub since: Option<Duration>,
}

/// A producer's own view of its transaction.
#[derive(Default)]
pub struct Transaction {
    pub open: Open,
    /// Something in it failed: it can't be committed.
    pub doomed: bool,
    /// A commit was asked for with this record, and has not been answered.
    asked: Option<Vec<u8>>,
    /// It has happened.
    done: bool,
    /// What a renewal has found.
    pub found: Option<Vec<u8>>,
}

impl Transaction {
    pub fn add(&mut self, now: Duration, topic: &str, stored: Stored) {
        self.open.since.get_or_insert(now);
        self.open.records.push((topic.to_owned(), stored));
    }

    /// Whether the cluster has given it up.
    pub fn is_too_old(&self, now: Duration) -> bool {
        self.open.since.is_some_and(|since| now > since + TIME_OUT)
    }

    /// Everything of it is gone; what the topic of checkpoints says if somebody has to look.
    pub fn take_back(&mut self, looks: bool, key: &str, checkpoints: &BTreeMap<String, Vec<u8>>) {
        let looks = looks || self.asked.is_some();
        *self = Self::default();
        self.found = checkpoints.get(key).filter(|_| looks).cloned();
    }

    pub fn commit(&mut self, cluster: &mut Cluster, record: &Record<'_>) -> Commit {
        let again = self.asked.replace(record.value.to_vec());
        assert!(again.is_none_or(|value| value == record.value), "another record");
        if self.done {
            return self.is_done();
        }
        if self.doomed {
            return Commit::Failed(Failure::Fatal("a record of it has failed".into()));
        }
        if self.is_too_old(cluster.now) {
            cluster.counters.timed_out_transactions += 1;
            return Commit::Failed(Failure::Fatal("fenced".into()));
        }
        if cluster.away || cluster.chance(20) {
            return Commit::Pending;
        }
        if cluster.chance(3) {
            return Commit::Failed(Failure::Fatal("refused".into()));
        }
        self.done = true;
        for (topic, stored) in self.open.records.drain(..) {
            cluster.topics.entry(topic).or_default().push(stored);
            cluster.counters.stored += 1;
        }
        let key = String::from_utf8_lossy(record.key).into_owned();
        cluster.checkpoints.insert(key, record.value.to_vec());
        if cluster.chance(3) {
            cluster.counters.lost_commits += 1;
            return Commit::Failed(Failure::Fatal("no answer".into()));
        }
        if cluster.chance(30) { Commit::Pending } else { self.is_done() }
    }

    fn is_done(&mut self) -> Commit {
        *self = Self::default();
        Commit::Done
    }

    pub fn has_happened(&self) -> bool {
        self.done
    }
}
