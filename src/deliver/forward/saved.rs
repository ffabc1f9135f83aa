//! The checkpoint that is on the disk (I5), and when the next one is due.

use std::time::{Duration, Instant};

use super::{Now, Result, source::Source};
use crate::deliver::checkpoint::{Checkpoint, CheckpointFile};

/// How long the checkpoint on the disk may lag behind the settled events.
const SAVE_INTERVAL: Duration = Duration::from_millis(250);

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

    /// The checkpoint on the disk.
    pub fn last(&self) -> &Checkpoint {
        &self.last
    }

    pub fn is_due(&self, now: Now) -> bool {
        self.at.is_none_or(|at| now.instant >= at + SAVE_INTERVAL)
    }

    /// Notes an attempt to save: the next one is due later, also if this one fails.
    pub fn begin(&mut self, now: Now) {
        self.at = Some(now.instant);
    }

    /// Writes `checkpoint`, and how far the spool was durable by then, which only the file says.
    pub fn store(&mut self, checkpoint: Checkpoint, source: &Source) -> Result<()> {
        let stored = source.spool().durable_end();
        self.file.store(&Checkpoint { stored, ..checkpoint.clone() })?;
        self.last = checkpoint;
        Ok(())
    }

    /// Lets the spool remove everything behind the checkpoint. Also called when nothing moved: delivered segments go by
    /// their age.
    pub fn release(&self, source: &Source) {
        source.spool().delivered(self.last.lowest());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{
        super::tests::{clock, place, source},
        *,
    };
    use crate::spool::{disk::RealDisk, position::Position};

    #[test]
    fn a_checkpoint_is_due_at_the_start_and_again_some_time_after_an_attempt() {
        let place = place();
        let now = clock();
        let file = CheckpointFile::new(Arc::new(RealDisk), place.folder.path());
        let mut saved = Saved::new(file, Checkpoint::beginning(place.spool.id()));
        assert!(saved.is_due(now(0)));
        saved.begin(now(0));
        assert!(!saved.is_due(now(0)) && saved.is_due(now(1)));
    }

    #[test]
    fn the_file_says_how_far_the_spool_was_durable_and_a_checkpoint_counts_once_it_is_there() {
        let place = place();
        let source = source(&place);
        let beginning = Checkpoint::beginning(place.spool.id());
        let checkpoint = Checkpoint { low: Position::start_of(7), ..beginning.clone() };
        let at = |folder: &std::path::Path| CheckpointFile::new(Arc::new(RealDisk), folder);

        let mut saved = Saved::new(at(&place.folder.path().join("gone")), beginning.clone());
        assert!(saved.store(checkpoint.clone(), &source).is_err());
        assert_eq!(*saved.last(), beginning);

        let mut saved = Saved::new(at(place.folder.path()), beginning);
        saved.store(checkpoint.clone(), &source).unwrap();
        assert_eq!(*saved.last(), checkpoint);
        let stored = place.spool.durable_end();
        assert_eq!(saved.file().load().unwrap(), Some(Checkpoint { stored, ..checkpoint }));
    }
}
