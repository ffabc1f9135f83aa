//! The checkpoint that is on the disk (I5), and when the next one is due.

use std::time::{Duration, Instant};

use super::{Now, Result, source::Source};
use crate::deliver::checkpoint::{Checkpoint, CheckpointFile};

/// How long the checkpoint may lag behind what is settled.
const INTERVAL: Duration = Duration::from_millis(250);

pub(super) struct Saved {
    file: CheckpointFile,
    last: Checkpoint,
    at: Option<Instant>,
}

impl Saved {
    pub fn new(file: CheckpointFile, last: Checkpoint) -> Self {
        Self { file, last, at: None }
    }

    pub fn file(&self) -> &CheckpointFile {
        &self.file
    }

    /// What is on the disk.
    pub fn last(&self) -> &Checkpoint {
        &self.last
    }

    pub fn is_due(&self, now: Now) -> bool {
        self.at.is_none_or(|at| now.instant >= at + INTERVAL)
    }

    /// An attempt to save begins: the next one is due later, also if this one fails.
    pub fn begin(&mut self, now: Now) {
        self.at = Some(now.instant);
    }

    /// Writes `checkpoint`, and how far the spool was durable by then: the file alone knows that.
    pub fn store(&mut self, checkpoint: Checkpoint, source: &Source) -> Result<()> {
        let stored = source.spool().durable_end();
        self.file.store(&Checkpoint { stored, ..checkpoint.clone() })?;
        self.last = checkpoint;
        Ok(())
    }

    /// Lets the spool remove what lies behind. Now and then also when nothing moved: delivered segments go by
    /// their age.
    pub fn release(&self, source: &Source) {
        source.spool().delivered(self.last.lowest());
    }
}
