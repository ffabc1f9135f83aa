//! Where a forwarder begins: at what the local file says, or at what the topic of checkpoints does; and
//! when it must not begin, or go on.

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

/// Where a forwarder begins.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// What the local file says.
    pub(super) file: Option<Checkpoint>,
    /// What is on the topic of checkpoints; for exactly-once delivery alone.
    pub(super) found: Option<Checkpoint>,
}

impl Start {
    pub fn from_file(file: Option<Checkpoint>) -> Self {
        Self { file, found: None }
    }

    /// Also looks at what a transactional sink has found. `end` is where the spool ended when it was
    /// opened: what is delivered beyond it was delivered from another one.
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

    /// Ids of delivered events are saved after the commit that delivers them, so a crash in between leaves some
    /// unsaved although the topic of checkpoints has passed them. They were prepared before it, under this name.
    /// Reading them from the spool would be wrong: what this source passed over as a repeat of another
    /// one's event is behind the checkpoint too, and the other one may still have to deliver it.
    pub(super) fn unsaved(&self) -> Option<Attempt> {
        let Checkpoint { number, writer, .. } = self.found.as_ref()?;
        let is_behind = self.file.as_ref().is_none_or(|file| file.number < *number);
        writer.filter(|_| is_behind).map(|writer| Attempt { number: *number, writer })
    }

    /// The later of both.
    pub(super) fn checkpoint(&self) -> Option<Checkpoint> {
        match (self.file.clone(), self.found.clone()) {
            (Some(file), Some(found)) => Some(file.later(found)),
            (file, found) => file.or(found),
        }
    }
}

/// Whoever wrote `found` goes on with a copy of the spool: this instance stops.
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
        // It stops all the same: what it has sent is taken back, and nothing may go on from there.
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
