//! Commits: the open transaction, which process it is of, and the checkpoint that ends it.

use std::time::Duration;

use uuid::Uuid;

use super::{ExactlyOnce, Lanes, Now, Owners, Progress, Result, Sink, Topics};
use crate::{
    deliver::{
        checkpoint::{Checkpoint, Held},
        deduplicate::Attempt,
        forward::{
            held::{HeldTopic, Phase},
            lane::Lane,
        },
    },
    kafka::produce::Commit,
    record::Record,
};

/// How long one look at a commit under way lasts.
const PATIENCE: Duration = Duration::from_millis(50);

/// Text that a refused event may bring into the checkpoint.
const ERROR_LENGTH: usize = 200;

/// The transaction that is open.
#[derive(Default)]
pub(super) struct Transaction {
    /// Records since the last commit.
    pub records: u64,
    /// It ends: nothing more is sent.
    pub is_ending: bool,
    /// It ends as soon as it can.
    pub is_urgent: bool,
    /// All that there is was read while it is open.
    pub is_caught_up: bool,
    /// The checkpoint whose commit has begun.
    pub attempt: Option<Checkpoint>,
}

impl Transaction {
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }
}

/// This process, as its checkpoints name it.
pub(super) struct Writer {
    id: Uuid,
    /// The writer and number of what was on the topic when this process took over.
    found: Option<(Option<Uuid>, u64)>,
    /// Nothing is sent before this process has committed a checkpoint of its own.
    took_over: bool,
}

impl Writer {
    pub fn new(found: Option<&Checkpoint>) -> Self {
        let found = found.map(|found| (found.writer, found.number));
        Self { id: Uuid::new_v4(), found, took_over: false }
    }

    pub fn took_over(&self) -> bool {
        self.took_over
    }

    /// Whether another process wrote `found` since this one knows the topic.
    pub fn is_overtaken_by(&self, found: &Checkpoint) -> bool {
        found.writer != Some(self.id) && Some((found.writer, found.number)) != self.found
    }
}

impl ExactlyOnce {
    /// Ends the transaction when it is time; then there is nothing else to do meanwhile.
    pub fn commit<S: Sink>(
        &mut self,
        owners: &mut Owners<'_, S>,
        now: Now,
    ) -> Result<Option<Progress>> {
        if owners.out.must_renew() {
            return Ok(Some(Progress::Waiting)); // it can't be taken back yet
        }
        self.transaction.is_ending |= self.commit_is_due(owners, now);
        if !self.transaction.is_ending {
            return Ok(None);
        }
        if owners.out.topics().outstanding() > 0 {
            return Ok(Some(Progress::Waiting));
        }
        let checkpoint = match self.transaction.attempt.clone() {
            Some(begun) => begun,
            None => self.prepare(owners, now)?,
        };
        let key = checkpoint.spool.to_string();
        let value = checkpoint.to_json();
        let record = Record {
            topic: &self.settings.topic,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: &[],
            timestamp: None,
        };
        match owners.out.commit(&record, PATIENCE) {
            Commit::Pending => Ok(Some(Progress::Waiting)),
            Commit::Done => {
                self.has_committed(checkpoint, "committed", owners, now)?;
                Ok(Some(Progress::Moved))
            }
            Commit::Failed(error) => {
                tracing::warn!(
                    source = %owners.source.name(), %error,
                    "commit result of a transaction unknown; reading it from the checkpoint topic",
                );
                owners.out.renew_later();
                Ok(Some(Progress::Moved))
            }
        }
    }

    /// The checkpoint to commit, with the ids on disk that go with it. A later start must know whom to take for
    /// this volume's own, and that from the first commit on.
    fn prepare<S: Sink>(&mut self, owners: &mut Owners<'_, S>, now: Now) -> Result<Checkpoint> {
        let Writer { id, found, took_over } = self.writer;
        if !took_over {
            owners.saved.file().writers().enter(id, found.and_then(|(writer, _)| writer))?;
        }
        let Owners { source, out, lanes, dead_letters, saved } = owners;
        // A file that another mode wrote may count further; what an attempt was called that was
        // aborted is no name for another.
        let last = self.committed.number.max(self.attempts).max(saved.last().number);
        let checkpoint = Checkpoint {
            low: lanes.main().next(),
            held: held(lanes, out.topics()),
            number: last + 1,
            writer: Some(id),
            refused: dead_letters.named(ERROR_LENGTH, lanes, out.topics()),
            written_at: now.unix,
            ..saved.last().clone()
        };
        self.attempts = checkpoint.number;
        source.prepare_ids(Attempt { number: checkpoint.number, writer: id }, now);
        self.transaction.attempt = Some(checkpoint.clone());
        Ok(checkpoint)
    }

    /// The transaction with `checkpoint` is committed: what is settled is so for good.
    pub(super) fn has_committed<S: Sink>(
        &mut self,
        checkpoint: Checkpoint,
        outcome: &str,
        owners: &mut Owners<'_, S>,
        now: Now,
    ) -> Result<()> {
        let source = &mut *owners.source;
        source.count(&source.metrics().transactions, outcome);
        owners.out.topics_mut().committed();
        source.latency_mut().committed(now);
        for (reason, letters) in self.refusals.counts() {
            source.count_by(&source.metrics().dead_letters, reason, letters);
        }
        self.refusals.committed(checkpoint.lowest());
        self.begin();
        // The first one only took over: what comes next has waited long enough.
        let took_over = std::mem::replace(&mut self.writer.took_over, true);
        self.last = took_over.then_some(now.instant);
        self.committed = checkpoint;
        owners.lanes.forget_behind();
        // Ids before the file: an event behind a checkpoint must be known by its id after a crash.
        source.save_ids(now);
        self.save(owners, now)
    }

    /// Brings the file up to what is committed. It may lag behind that, and never be ahead.
    pub fn save<S: Sink>(&mut self, owners: &mut Owners<'_, S>, now: Now) -> Result<()> {
        let Owners { source, saved, .. } = owners;
        saved.begin(now);
        if self.committed != *saved.last() {
            saved.store(self.committed.clone(), source)?;
        }
        saved.release(source);
        Ok(())
    }
}

/// Where the lanes of held topics stand; nothing is on its way.
pub(super) fn held(lanes: &Lanes, topics: &Topics) -> Vec<Held> {
    let main = lanes.main().next();
    let is_back = |held: &HeldTopic| held.phase() == Phase::Draining && held.lane().next() <= main;
    lanes.named(topics, is_back, Lane::next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_of_another_process_is_no_surprise_only_where_it_was_there_from_the_start() {
        let of = |writer, number| Checkpoint {
            writer: Some(writer),
            number,
            ..Checkpoint::beginning(Uuid::from_u128(5))
        };
        let other = Uuid::from_u128(7);
        let writer = Writer::new(Some(&of(other, 3)));
        assert!(!writer.is_overtaken_by(&of(other, 3)));
        assert!(writer.is_overtaken_by(&of(other, 4)));
        assert!(!writer.is_overtaken_by(&of(writer.id, 4)));
    }
}
