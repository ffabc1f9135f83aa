//! The start of a forwarder: from the local file or from the topic of checkpoints; and when it must not start, or
//! continue.

use std::path::Path;

use uuid::Uuid;

use super::{ForwardError, Parts, Result};
use crate::{
    deliver::{
        checkpoint::{Checkpoint, CheckpointError, CheckpointFile, Origin},
        deduplicate::Attempt,
    },
    kafka::produce::Sink,
    observe::metrics::Metrics,
    spool::{Spool, position::Position},
};

/// The checkpoints from which a forwarder starts.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The checkpoint of the local file.
    pub(super) file: Option<Checkpoint>,
    /// The checkpoint on the topic; for exactly-once delivery only.
    pub(super) found: Option<Checkpoint>,
}

impl Start {
    pub fn from_file(file: Option<Checkpoint>) -> Self {
        Self { file, found: None }
    }

    /// Also takes the checkpoint that a transactional sink has found. `end` is the end of the spool when it was opened:
    /// events delivered beyond it were delivered from another copy.
    pub fn with_topic<S: Sink>(
        file: Option<Checkpoint>,
        parts: &mut Parts<S>,
        end: u64,
    ) -> Result<Self> {
        let spool = parts.spool.id();
        let found = parts.sink.committed().map(|json| read(&json, spool)).transpose()?;
        let Some(found) = found else { return Ok(Self { file, found }) };
        let committed = found.highest();
        match parts.checkpoint.writers().origin_of(&found)? {
            Origin::Beyond(end) => Err(ForwardError::AheadOfSpool { committed, end }),
            Origin::Own if committed > Position::start_of(end) => {
                Err(ForwardError::AheadOfSpool { committed, end })
            }
            Origin::Own => Ok(Self { file, found: Some(found) }),
            Origin::Stranger => {
                let number = file.map_or(0, |file| file.number);
                Err(fence(&parts.checkpoint, &found, number, &parts.spool, &parts.metrics))
            }
        }
    }

    /// The ids that were prepared for a commit and not saved before a crash. Ids of delivered events are saved after
    /// the commit that delivers them, so a crash in between leaves some unsaved although the topic of checkpoints has
    /// passed them. Reading them from the spool would be wrong: repeats that this source passed over, of another
    /// source's events, are behind the checkpoint too, and the other source may still have to deliver them.
    pub(super) fn unsaved(&self) -> Option<Attempt> {
        let Checkpoint { number, writer, .. } = self.found.as_ref()?;
        let is_behind = self.file.as_ref().is_none_or(|file| file.number < *number);
        writer.filter(|_| is_behind).map(|writer| Attempt { number: *number, writer })
    }

    /// Returns the later one of both checkpoints.
    pub(super) fn checkpoint(&self) -> Option<Checkpoint> {
        match (self.file.clone(), self.found.clone()) {
            (Some(file), Some(found)) => Some(file.later(found)),
            (file, found) => file.or(found),
        }
    }
}

/// Stops this instance: the writer of `found` goes on with a copy of the spool.
pub(super) fn fence(
    checkpoint: &CheckpointFile,
    found: &Checkpoint,
    number: u64,
    spool: &Spool,
    metrics: &Metrics,
) -> ForwardError {
    let what = format!(
        "another instance goes on with a copy of spool {} (its last commit is number {}, this one's was \
         {number})",
        found.spool, found.number
    );
    let source = spool.source();
    metrics.transactions.with_label_values(&[source.as_str(), "fenced"]).inc();
    if let Err(error) = checkpoint.fence(&what, found.writer) {
        // It stops all the same: its unfinished work is taken back, and no process may go on from there.
        tracing::error!(%source, %error, "cannot record this error for the next start");
    }
    ForwardError::Fenced { what }
}

pub(super) fn read(json: &[u8], spool: Uuid) -> Result<Checkpoint> {
    let place = Path::new("(on the topic of checkpoints)");
    let found = Checkpoint::from_json(place, json)?;
    if found.spool != spool {
        let path = place.into();
        let found = found.spool;
        let expected = spool;
        return Err(CheckpointError::OtherSpool { path, found, expected }.into());
    }
    Ok(found)
}
