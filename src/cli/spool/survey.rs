//! Surveys a spool quickly: from file names and sizes, the checkpoint, and the last segment alone.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use uuid::Uuid;

use super::with_causes;
use crate::{
    deliver::{
        checkpoint::{Checkpoint, CheckpointFile},
        in_force::InForceFile,
        quarantine::{Contents, Quarantine},
    },
    service::versions,
    source::{SourceName, UnixMillis},
    spool::{
        Backlog,
        disk::Disk,
        position::Position,
        viewer::{Seen, Segment, Viewer},
    },
};

/// The state of one source's spool.
#[derive(Debug)]
pub struct Survey {
    pub source: SourceName,
    pub id: Option<Uuid>,
    pub segments: Vec<Segment>,
    /// Everything before it is delivered, except for held topics.
    pub low: Position,
    /// The lowest position that must still be read, held topics included.
    pub lowest: Position,
    /// The sequence that the next delivery will get.
    pub end: u64,
    pub checkpoint_written_at: Option<UnixMillis>,
    pub undelivered: Backlog,
    /// Bytes of segments that are wholly delivered and kept for a replay.
    pub kept_bytes: u64,
    pub held: Vec<HeldTopic>,
    pub quarantine: Contents,
    /// Files that could not be read, and other problems; the figures then come from the rest.
    pub problems: Vec<String>,
}

#[derive(Debug)]
pub struct HeldTopic {
    pub topic: String,
    pub position: Position,
    /// When the delivery at that position came.
    pub received_at: Option<UnixMillis>,
}

/// Surveys the spool of `source` in `directory`. Never fails: a file that cannot be read is a problem in the
/// result.
pub fn survey(disk: &Arc<dyn Disk>, directory: &Path, source: &SourceName) -> Survey {
    let mut survey = look(disk, directory, source);
    // Several steps read the same file and report the same problem.
    let mut seen = BTreeSet::new();
    survey.problems.retain(|problem| seen.insert(problem.clone()));
    survey
}

fn look(disk: &Arc<dyn Disk>, directory: &Path, source: &SourceName) -> Survey {
    let folder = directory.join(source.as_str());
    let beginning = Position::start_of(1);
    let mut survey = Survey {
        source: source.clone(),
        id: None,
        segments: Vec::new(),
        low: beginning,
        lowest: beginning,
        end: 1,
        checkpoint_written_at: None,
        undelivered: Backlog { bytes: 0, deliveries: 0, oldest: None },
        kept_bytes: 0,
        held: Vec::new(),
        quarantine: Contents::default(),
        problems: Vec::new(),
    };
    let quarantine = Quarantine::new(disk.clone(), &folder);
    match quarantine.contents() {
        Ok(contents) => survey.quarantine = contents,
        Err(error) => {
            survey.problems.push(format!("reading {}: {error}", quarantine.folder().display()));
        }
    }
    if let Err(newer) = versions::check_source(disk, directory, source) {
        survey.problems.push(newer.to_string());
    }
    let viewer = match Viewer::open(disk.clone(), directory, source) {
        Ok(viewer) => viewer,
        Err(error) => {
            survey.problems.push(with_causes(&error));
            return survey;
        }
    };
    survey.id = viewer.id();
    // The segments are listed before the checkpoint is read: a segment removed in between lies before that checkpoint.
    match viewer.segments() {
        Ok(segments) => survey.segments = segments,
        Err(error) => survey.problems.push(with_causes(&error)),
    }
    let checkpoint = match load_checkpoint(disk, &folder, survey.id) {
        Ok(checkpoint) => checkpoint,
        Err(problem) => {
            survey.problems.push(problem);
            None
        }
    };
    if let Some(checkpoint) = &checkpoint {
        survey.low = checkpoint.low;
        survey.lowest = checkpoint.lowest();
        survey.checkpoint_written_at = Some(checkpoint.written_at);
    }
    match viewer.missing_end() {
        Ok(Some(missing)) if survey.lowest.sequence < missing.behind => {
            survey.problems.push(missing.to_string());
        }
        Ok(_) => {}
        Err(newer) => survey.problems.push(newer.to_string()),
    }
    if let Err(fenced) = CheckpointFile::new(disk.clone(), &folder).check_fence() {
        survey.problems.push(fenced.to_string());
    }
    let stored_end = survey.find_the_end(&viewer);
    // Deliveries up to the checkpoint's positions were stored, whether the disk still has them or not; and a
    // running service may have gone on since the segments were listed.
    let highest = checkpoint.as_ref().map_or(beginning, Checkpoint::highest);
    survey.end = stored_end.max(highest.sequence + u64::from(highest.index > 0));
    survey.count(&viewer, checkpoint.as_ref(), stored_end);
    survey
}

/// Reads the checkpoint; `None` when nothing was ever delivered.
pub fn load_checkpoint(
    disk: &Arc<dyn Disk>,
    folder: &Path,
    id: Option<Uuid>,
) -> Result<Option<Checkpoint>, String> {
    let file = CheckpointFile::new(disk.clone(), folder);
    let loaded = file.load().map_err(|error| error.to_string())?;
    file.writers().check_version().map_err(|error| error.to_string())?;
    let selections = InForceFile::new(disk.clone(), folder);
    selections.check_version().map_err(|error| error.to_string())?;
    if let (Some(checkpoint), Some(id)) = (&loaded, id) {
        file.check(checkpoint, id).map_err(|error| error.to_string())?;
    }
    Ok(loaded)
}

impl Survey {
    /// Returns the sequence after the last stored one. The last segment is read for it: its end is not in the name of
    /// a following segment.
    fn find_the_end(&mut self, viewer: &Viewer) -> u64 {
        let Some(last) = self.segments.last() else { return 1 };
        let first = last.first_sequence;
        let mut scan = match viewer.scan(last) {
            Ok(Some(scan)) => scan,
            Ok(None) => return first,
            Err(error) => {
                self.problems.push(with_causes(&error));
                return first;
            }
        };
        loop {
            match scan.next() {
                Ok(Some(Seen::Damage(damage))) => self
                    .problems
                    .push(format!("damage: {damage}; `millrace spool verify` lists all damage")),
                Ok(Some(Seen::Delivery(_) | Seen::Unfinished { .. })) => {}
                Ok(None) => break,
                Err(error) => {
                    self.problems.push(with_causes(&error));
                    break;
                }
            }
        }
        scan.next_sequence()
    }

    fn count(&mut self, viewer: &Viewer, checkpoint: Option<&Checkpoint>, stored_end: u64) {
        let held = checkpoint.map_or(&[][..], |checkpoint| &checkpoint.held);
        let mut wanted: BTreeSet<u64> = held.iter().map(|held| held.position.sequence).collect();
        wanted.insert(self.lowest.sequence);
        let places = viewer.find(&self.segments, &wanted);
        self.held = held
            .iter()
            .map(|held| HeldTopic {
                topic: held.topic.clone(),
                position: held.position,
                received_at: places.get(&held.position.sequence).map(|place| place.received_at),
            })
            .collect();

        let low = self.lowest.sequence;
        let first = self.segments.first().map_or(self.end, |first| first.first_sequence);
        let lowest = places.get(&low);
        self.undelivered.deliveries = self.end.saturating_sub(low.max(first));
        self.undelivered.oldest = lowest.map(|place| place.received_at);
        for segment in &self.segments {
            if segment.next_sequence.is_some_and(|next| next <= low) {
                self.kept_bytes += segment.length;
            } else if low >= stored_end {
                // All is delivered; the last segment is kept because its name holds the next sequence.
            } else if lowest.is_some_and(|place| place.first_sequence == segment.first_sequence) {
                let offset = lowest.map_or(0, |place| place.offset);
                self.undelivered.bytes += segment.length.saturating_sub(offset);
            } else {
                self.undelivered.bytes += segment.frames_length();
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.undelivered.deliveries == 0
    }
}
