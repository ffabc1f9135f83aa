//! The processes that may have written this spool's checkpoints to the topic, and how far.
//!
//! A copy of a volume (a restored snapshot, a machine that was believed dead) has the same spool, and both copies take
//! in deliveries of their own behind the place where it was copied. A checkpoint on the topic that speaks of the other
//! copy's deliveries would pass over events here that no process has delivered. So each process of exactly-once
//! delivery enters itself here, durably, before it commits its first checkpoint, and each start, in either mode, notes
//! where the spool ends before it takes anything in. A checkpoint on the topic is this spool's own if its writer is known here and it
//! lies within the end of the spool at the start of the next process.
//!
//! One small file beside the checkpoint: a line of JSON, and its CRC32C in hexadecimal. Without it, or when it is
//! damaged, the writer in the checkpoint's own file stands for it. Without either every writer is believed, but only as
//! far as the spool went at the first start without them: what later starts take in no earlier process has passed.

use std::{io::ErrorKind, path::PathBuf, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Checkpoint, CheckpointError};
use crate::spool::{
    checksummed::{checked, with_checksum},
    disk::{self, Disk},
    position::Position,
};

/// The version of the format.
const VERSION: u32 = 1;

/// The file of one spool.
pub struct Writers {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

/// Relation of a checkpoint on the topic to a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A process of this very volume wrote it.
    Own,
    /// It names deliveries of another copy: this spool ended here when its writer's time was over.
    Beyond(u64),
    /// A process wrote it that never ran on this volume.
    Stranger,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Content {
    version: u32,
    writers: Vec<Writer>,
    /// Any other writer is believed up to here. Without it no other is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    others_until: Option<u64>,
}

/// A process that may have committed.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
struct Writer {
    id: Uuid,
    /// End of the spool when the next process began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<u64>,
}

impl Content {
    fn of(writers: Vec<Writer>) -> Self {
        Self { version: VERSION, writers, others_until: None }
    }

    fn parse(json: &str) -> Result<Self, &'static str> {
        // A later format need not have the fields of this one.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let damaged = |_| "not what it should be";
        let Versioned { version } = serde_json::from_str(json).map_err(damaged)?;
        if version != VERSION {
            return Ok(Self { version, ..Self::of(Vec::new()) });
        }
        serde_json::from_str(json).map_err(damaged)
    }
}

impl Writers {
    pub(super) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Self {
        Self { disk, path }
    }

    /// Notes the end of each earlier process: a new one begins on a spool that ends at `end`, and has taken in nothing
    /// yet. `saved` is the checkpoint of the file.
    pub fn begin(&self, saved: Option<&Checkpoint>, end: u64) -> Result<(), CheckpointError> {
        let stored = self.load()?;
        let mut content = stored.clone().unwrap_or_else(|| {
            let id = saved.and_then(|saved| saved.writer);
            let writers = id.map(|id| Writer { id, until: None }).into_iter().collect();
            // Both files were removed by hand: no writer is known.
            let others_until = (saved.is_none() && end > 1).then_some(end);
            Content { others_until, ..Content::of(writers) }
        });
        for writer in &mut content.writers {
            writer.until.get_or_insert(end);
        }
        if stored.as_ref() == Some(&content) {
            return Ok(());
        }
        self.store(&content)
    }

    /// As [`Writers::begin`], for a process that commits nothing (at-least-once delivery). No process that committed before
    /// it has passed what it takes in, whatever a later process finds on the topic. Where none is known to have committed,
    /// that is noted too: one that has done so all the same did it on another copy, of which this one is an older snapshot.
    pub fn begin_without_commits(
        &self,
        saved: Option<&Checkpoint>,
        end: u64,
    ) -> Result<(), CheckpointError> {
        let has_writer = saved.is_some_and(|saved| saved.writer.is_some());
        match has_writer || self.load()?.is_some() {
            true => self.begin(saved, end),
            false => self.store(&Content::of(Vec::new())),
        }
    }

    /// Returns the relation of `found`, a checkpoint on the topic, to this spool.
    pub fn origin_of(&self, found: &Checkpoint) -> Result<Origin, CheckpointError> {
        // Before the first start with this file, or with the file removed, no writer is known.
        let (Some(id), Some(known)) = (found.writer, self.load()?) else {
            return Ok(Origin::Own);
        };
        let until = match known.writers.iter().find(|writer| writer.id == id) {
            Some(writer) => writer.until,
            None if known.others_until.is_some() => known.others_until,
            None => return Ok(Origin::Stranger),
        };
        Ok(match until {
            Some(end) if found.highest() > Position::start_of(end) => Origin::Beyond(end),
            _ => Origin::Own,
        })
    }

    /// Enters `id`, which is about to commit behind the checkpoint of `last`. Earlier writers are fenced and can commit
    /// no more, so they are dropped.
    pub fn enter(&self, id: Uuid, last: Option<Uuid>) -> Result<(), CheckpointError> {
        let Content { writers, others_until, .. } = self.load_or_empty()?;
        let last = last.filter(|last| *last != id).map(|last| {
            let known = writers.into_iter().find(|writer| writer.id == last);
            known.unwrap_or(Writer { id: last, until: others_until })
        });
        let writers = last.into_iter().chain([Writer { id, until: None }]).collect();
        self.store(&Content::of(writers))
    }

    /// Makes `id` known from the next start on: an operator who allows that start has decided that it is right.
    pub fn accept(&self, id: Uuid) -> Result<(), CheckpointError> {
        let mut content = self.load_or_empty()?;
        content.writers.retain(|writer| writer.id != id);
        content.writers.push(Writer { id, until: None });
        self.store(&content)
    }

    /// Fails where a later program wrote the file.
    pub fn check_version(&self) -> Result<(), CheckpointError> {
        self.load().map(drop)
    }

    fn load_or_empty(&self) -> Result<Content, CheckpointError> {
        Ok(self.load()?.unwrap_or_else(|| Content::of(Vec::new())))
    }

    fn load(&self) -> Result<Option<Content>, CheckpointError> {
        let text = match disk::read_file(&*self.disk, &self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.io(source)),
        };
        match checked(&text).and_then(Content::parse) {
            Ok(content) if content.version == VERSION => Ok(Some(content)),
            Ok(Content { version: found, .. }) => {
                Err(CheckpointError::Version { path: self.path.clone(), found, reads: VERSION })
            }
            Err(what) => {
                let path = self.path.display();
                tracing::warn!(%path, what, "cannot read which processes wrote to the topic of checkpoints");
                Ok(None)
            }
        }
    }

    fn store(&self, content: &Content) -> Result<(), CheckpointError> {
        // Numbers and ids: it cannot fail.
        let text = with_checksum(&serde_json::to_string(content).unwrap_or_default());
        disk::write_atomically(&*self.disk, &self.path, &text).map_err(|error| self.io(error))
    }

    fn io(&self, source: std::io::Error) -> CheckpointError {
        CheckpointError::Io { path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::spool::disk::RealDisk;

    const A: Uuid = Uuid::from_u128(1);
    const B: Uuid = Uuid::from_u128(2);
    const C: Uuid = Uuid::from_u128(3);

    fn writers() -> (TempDir, Writers) {
        let folder = tempfile::tempdir().unwrap();
        let writers = Writers::new(Arc::new(RealDisk), folder.path().join("writers"));
        (folder, writers)
    }

    /// A checkpoint of `writer` that has passed all before delivery `low`.
    fn at(low: u64, writer: Uuid) -> Checkpoint {
        let beginning = Checkpoint::beginning(Uuid::nil());
        Checkpoint { low: Position::start_of(low), writer: Some(writer), ..beginning }
    }

    fn origin(writers: &Writers, low: u64, writer: Uuid) -> Origin {
        writers.origin_of(&at(low, writer)).unwrap()
    }

    #[test]
    fn what_the_last_process_here_committed_is_known_as_far_as_the_spool_went_then() {
        let (_folder, writers) = writers();
        writers.begin(None, 1).unwrap();
        writers.enter(A, None).unwrap();
        assert_eq!(origin(&writers, 900, A), Origin::Own, "it is at work");
        writers.begin(None, 41).unwrap();
        writers.begin(None, 71).unwrap(); // it took in more, and could not take over
        assert_eq!(origin(&writers, 41, A), Origin::Own);
        assert_eq!(origin(&writers, 42, A), Origin::Beyond(41));
        assert_eq!(origin(&writers, 1, B), Origin::Stranger);
    }

    #[test]
    fn writers_that_may_still_have_committed_are_known_and_no_others() {
        let (_folder, writers) = writers();
        writers.enter(A, None).unwrap();
        writers.begin(None, 5).unwrap();
        writers.enter(B, Some(A)).unwrap();
        assert_eq!(
            [A, B].map(|id| origin(&writers, 5, id)),
            [Origin::Own; 2],
            "B may have crashed"
        );
        writers.begin(None, 5).unwrap();
        writers.enter(C, Some(B)).unwrap();
        assert_eq!([B, C].map(|id| origin(&writers, 5, id)), [Origin::Own; 2]);
        assert_eq!(origin(&writers, 5, A), Origin::Stranger, "it cannot commit any more");
    }

    #[test]
    fn who_was_believed_without_the_file_is_known_until_the_next_commit() {
        let (_folder, writers) = writers();
        writers.enter(B, Some(A)).unwrap();
        writers.begin(None, 5).unwrap();
        assert_eq!([A, B].map(|id| origin(&writers, 5, id)), [Origin::Own; 2]);
        assert_eq!(origin(&writers, 6, A), Origin::Beyond(5));
    }

    #[test]
    fn what_a_process_takes_in_that_commits_nothing_was_not_passed_by_those_that_committed_before_it()
     {
        let (_folder, writers) = writers();
        writers.begin_without_commits(None, 7).unwrap();
        writers.enter(A, None).unwrap();
        writers.begin_without_commits(None, 41).unwrap();
        writers.begin(None, 71).unwrap();
        assert_eq!(origin(&writers, 41, A), Origin::Own);
        assert_eq!(origin(&writers, 42, A), Origin::Beyond(41));
    }

    #[test]
    fn a_snapshot_from_before_the_first_commit_that_takes_in_its_own_believes_no_commit_of_the_lost_volume()
     {
        let (_folder, writers) = writers();
        writers.begin_without_commits(None, 3).unwrap();
        writers.begin(None, 9).unwrap();
        assert_eq!(origin(&writers, 3, A), Origin::Stranger);
    }

    #[test]
    fn a_stranger_that_an_operator_accepts_is_known_as_far_as_the_spool_goes() {
        let (_folder, writers) = writers();
        writers.enter(A, None).unwrap();
        writers.accept(B).unwrap();
        writers.begin(None, 9).unwrap();
        assert_eq!(origin(&writers, 9, B), Origin::Own);
        assert_eq!(origin(&writers, 10, B), Origin::Beyond(9));
    }

    #[test]
    fn without_the_file_the_checkpoints_own_writer_is_known_and_a_damaged_one_is_none() {
        let (folder, writers) = writers();
        writers.begin(None, 7).unwrap();
        assert_eq!(origin(&writers, 7, A), Origin::Own, "no writer is known");
        writers.begin(None, 12).unwrap(); // it took in more, and could not take over
        assert_eq!(origin(&writers, 7, B), Origin::Own);
        assert_eq!(
            origin(&writers, 8, A),
            Origin::Beyond(7),
            "it passed another copy's deliveries"
        );
        writers.enter(B, Some(A)).unwrap();
        assert_eq!(origin(&writers, 8, A), Origin::Beyond(7), "B may have crashed");
        assert_eq!(origin(&writers, 1, C), Origin::Stranger);
        std::fs::write(folder.path().join("writers"), "{}\n00000000\n").unwrap();
        writers.begin(Some(&at(3, A)), 7).unwrap();
        assert_eq!(origin(&writers, 7, A), Origin::Own);
        assert_eq!(origin(&writers, 8, A), Origin::Beyond(7));
        assert_eq!(origin(&writers, 1, B), Origin::Stranger);
    }

    #[test]
    fn a_later_format_is_refused_by_its_version() {
        let (folder, writers) = writers();
        let text = with_checksum(r#"{"version":2,"surprise":true}"#);
        std::fs::write(folder.path().join("writers"), text).unwrap();
        let error = writers.check_version().unwrap_err();
        assert!(matches!(error, CheckpointError::Version { found: 2, .. }), "{error}");
        assert!(writers.begin(None, 1).is_err() && writers.enter(A, None).is_err());
    }
}
