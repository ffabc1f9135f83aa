//! The transactions of a seeded cluster: what a process has sent is seen once it is committed, and
//! what goes wrong with a commit. It is answered late, done and the answer lost, refused, given up by
//! the cluster when it takes too long, and shut out when somebody else takes the identity over.

use std::time::Duration;

use millrace::{
    kafka::produce::{Commit, Failure},
    record::Record,
};

use crate::cluster::{Cluster, Stored};

/// A transaction that lasts longer is given up by the cluster.
const TIME_OUT: Duration = Duration::from_secs(6);

/// What nobody who reads committed records has seen yet.
#[derive(Default)]
pub struct Open {
    /// Each with its topic, and which of those with that name it is.
    pub records: Vec<(String, u64, Stored)>,
    pub since: Option<Duration>,
}

/// A producer's own view of its transaction.
pub struct Transaction {
    /// Whose: the spool's id.
    pub spool: String,
    /// The number of the volume that the spool lies on.
    volume: usize,
    /// Which take-over of the identity this producer made.
    epoch: u64,
    pub open: Open,
    /// Something in it failed: it cannot be committed.
    pub doomed: bool,
    /// A commit was asked for with this record, and has not been answered.
    asked: Option<Vec<u8>>,
    /// It has happened.
    done: bool,
    /// What a renewal has found.
    pub found: Option<Vec<u8>>,
}

impl Transaction {
    pub fn new(spool: String, volume: usize) -> Self {
        let (open, epoch) = (Open::default(), 0);
        Self { spool, volume, epoch, open, doomed: false, asked: None, done: false, found: None }
    }

    fn begin(&mut self) {
        *self = Self { epoch: self.epoch, ..Self::new(self.spool.clone(), self.volume) };
    }

    /// Whether somebody has taken over since.
    pub fn is_fenced(&self, cluster: &Cluster) -> bool {
        cluster.epochs.get(&self.spool).copied().unwrap_or(0) != self.epoch
    }

    pub fn add(&mut self, now: Duration, record: (String, u64, Stored)) {
        self.open.since.get_or_insert(now);
        self.open.records.push(record);
    }

    /// Whether the cluster has given it up.
    pub fn is_too_old(&self, now: Duration) -> bool {
        self.open.since.is_some_and(|since| now > since + TIME_OUT)
    }

    /// Everything of it is gone: in place, or by taking over. Who takes over shuts out whoever had the
    /// identity, and looks at the topic of checkpoints.
    pub fn take_back(&mut self, takes_over: bool, cluster: &mut Cluster) {
        let takes_over = takes_over || self.asked.is_some();
        self.begin();
        if takes_over {
            let epoch = cluster.epochs.entry(self.spool.clone()).or_default();
            *epoch += 1;
            self.epoch = *epoch;
            self.found = cluster.checkpoints.get(&self.spool).cloned();
        }
    }

    pub fn commit(&mut self, cluster: &mut Cluster, record: &Record<'_>) -> Commit {
        let value = record.value.unwrap_or_default();
        let again = self.asked.replace(value.to_vec());
        assert!(again.is_none_or(|before| before == value), "another record");
        if self.is_fenced(cluster) {
            cluster.counters.fenced += 1;
            return Commit::Failed(Failure::Fatal("fenced".into()));
        }
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
        for (topic, generation, stored) in self.open.records.drain(..) {
            cluster.store(topic, generation, stored);
        }
        let key = String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned();
        assert_eq!(key, self.spool);
        cluster.committed.insert((key.clone(), self.volume), value.to_vec());
        cluster.checkpoints.insert(key, value.to_vec());
        if cluster.chance(3) {
            cluster.counters.lost_commits += 1;
            return Commit::Failed(Failure::Fatal("no answer".into()));
        }
        if cluster.chance(30) { Commit::Pending } else { self.is_done() }
    }

    fn is_done(&mut self) -> Commit {
        self.begin();
        Commit::Done
    }

    pub fn has_happened(&self) -> bool {
        self.done
    }
}
