//! Commits: the open transaction, its process, and the checkpoint that ends it.

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

/// How long one step waits for a commit under way.
const COMMIT_POLL: Duration = Duration::from_millis(50);

/// Characters of a refused event's error in the checkpoint.
const MAX_ERROR_CHARS: usize = 200;

/// The open transaction.
#[derive(Default)]
pub(super) struct Transaction {
    /// Records since the last commit.
    pub records: u64,
    /// It is ending: nothing more is sent.
    pub is_ending: bool,
    /// It is to end as soon as possible.
    pub is_urgent: bool,
    /// The main lane has read everything while it was open.
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
    /// Writer and number of the checkpoint on the topic when this process took over.
    found: Option<(Option<Uuid>, u64)>,
    /// Whether this process has committed a checkpoint of its own: nothing is sent before.
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

    /// Whether another process wrote `found` since this one took over.
    pub fn is_overtaken_by(&self, found: &Checkpoint) -> bool {
        found.writer != Some(self.id) && Some((found.writer, found.number)) != self.found
    }
}

impl ExactlyOnce {
    /// Ends the transaction when it is time; meanwhile there is nothing else to do.
    pub fn commit<S: Sink>(
        &mut self,
        owners: &mut Owners<'_, S>,
        now: Now,
    ) -> Result<Option<Progress>> {
        if owners.out.must_renew() {
            return Ok(Some(Progress::Waiting)); // the sink must be renewed before the transaction can be taken back
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
        match owners.out.commit(&record, COMMIT_POLL) {
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

    /// Makes the checkpoint to commit, and prepares its ids on the disk. Before the first commit this process is
    /// entered as a writer: a later start must know which writers are this volume's own.
    fn prepare<S: Sink>(&mut self, owners: &mut Owners<'_, S>, now: Now) -> Result<Checkpoint> {
        let Writer { id, found, took_over } = self.writer;
        if !took_over {
            owners.saved.file().writers().enter(id, found.and_then(|(writer, _)| writer))?;
        }
        let Owners { source, out, lanes, dead_letters, saved } = owners;
        // A file written by at-least-once delivery may count further, and the number of an aborted attempt must not
        // be reused.
        let last = self.committed.number.max(self.attempts).max(saved.last().number);
        let checkpoint = Checkpoint {
            low: lanes.main().next(),
            held: held(lanes, out.topics()),
            number: last + 1,
            writer: Some(id),
            refused: dead_letters.named(MAX_ERROR_CHARS, lanes, out.topics()),
            written_at: now.unix,
            ..saved.last().clone()
        };
        self.attempts = checkpoint.number;
        source.prepare_ids(Attempt { number: checkpoint.number, writer: id }, now);
        self.transaction.attempt = Some(checkpoint.clone());
        Ok(checkpoint)
    }

    /// Notes that the transaction with `checkpoint` is committed: its events are settled for good.
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
        // The first commit only took over: the next events have waited long enough.
        let took_over = std::mem::replace(&mut self.writer.took_over, true);
        self.last = took_over.then_some(now.instant);
        self.committed = checkpoint;
        owners.lanes.forget_behind();
        // Ids before the file: an event behind a checkpoint must be known by its id after a crash.
        source.save_ids(now);
        self.save(owners, now)
    }

    /// Brings the file up to the committed checkpoint. It may lag behind, and is never ahead.
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

/// Positions of the lanes of held topics, while nothing is on its way.
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
