//! The selection of each delivery: the one in force when it came, for as long as it lies in the spool.
//!
//! A selection that changes at a restart must not reach back. A source may have claimed an event that waits in its
//! spool, and another source has passed its own copy over, since this one's was durable: left out now, the event would
//! be on no topic. So a start with another selection notes, durably and before it takes anything in, where the spool
//! ends. Deliveries before that end go by the earlier selection, later ones by the new one: whether an event is left
//! out is the same in every process.
//!
//! One small file beside the checkpoint, `selections`: a line of JSON, and its CRC32C in hexadecimal. Without it
//! everything was taken. A damaged file is logged, and counts as none: an event that was not wanted is better than a
//! lost one.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    checkpoint::{Checkpoint, CheckpointError},
    encode::choice::Pattern,
    select::{LeftOut, Named, Selection},
};
use crate::{
    event::{Decoded, Event, Stream},
    spool::{
        checksummed::{checked, with_checksum},
        disk::{self, Disk},
    },
};

/// The version of the format.
const VERSION: u32 = 1;

/// The number of a spool's first delivery.
const FIRST_SEQUENCE: u64 = 1;

/// Limit of remembered selections. Each is kept while a delivery of its time is undelivered.
const MAX_SELECTIONS: usize = 100;

/// The selections of a spool's deliveries. By default everything is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InForce {
    /// Each with the number of the first delivery that it applies to, in ascending order.
    selections: Vec<(u64, Selection)>,
}

impl InForce {
    /// Why the event of the delivery with this number is left out, if it is.
    pub fn leaves_out(&self, sequence: u64, event: &Event<'_>) -> Option<LeftOut> {
        self.of(sequence)?.leaves_out(event)
    }

    /// Refuses each event of this delivery whose verdict depends on an id that cannot be read.
    pub fn refuse_doubtful(&self, sequence: u64, events: &mut [Decoded<'_>]) {
        if let Some(selection) = self.of(sequence) {
            selection.refuse_doubtful(events);
        }
    }

    fn of(&self, sequence: u64) -> Option<&Selection> {
        let behind = self.selections.partition_point(|(from, _)| *from <= sequence);
        self.selections.get(behind.saturating_sub(1)).map(|(_, selection)| selection)
    }

    /// The first delivery of the last selection, where another one applies to some deliveries before it.
    pub fn changes_at(&self) -> Option<u64> {
        self.selections.get(1..)?.last().map(|(from, _)| *from)
    }

    /// Lets the selection `today` apply from `end` on, and forgets those that no delivery from `low` on needs.
    fn begin(&mut self, today: &Selection, end: u64, low: u64) {
        if self.selections.is_empty() {
            self.selections.push((FIRST_SEQUENCE, Selection::default()));
        }
        // No delivery came while these were in force.
        self.selections.retain(|(from, _)| *from < end);
        if self.selections.last().is_none_or(|(_, last)| last != today) {
            self.selections.push((end, today.clone()));
        }
        // The selection of `low` itself is the last one that begins at or before it.
        let over = self.selections.partition_point(|(from, _)| *from <= low).saturating_sub(1);
        self.selections.drain(..over.max(self.selections.len().saturating_sub(MAX_SELECTIONS)));
    }
}

/// The file of one spool.
pub struct InForceFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
}

impl InForceFile {
    /// `folder` is the source's folder below `spool.directory`.
    pub fn new(disk: Arc<dyn Disk>, folder: &Path) -> Self {
        Self { disk, path: folder.join("selections") }
    }

    /// Begins a process with the selection `today` on a spool that ends at `end` and has taken in nothing since. The
    /// result is durable.
    pub fn begin(
        &self,
        spool: Uuid,
        today: &Selection,
        end: u64,
        saved: Option<&Checkpoint>,
    ) -> Result<InForce, CheckpointError> {
        let stored = match self.load() {
            Err(CheckpointError::Damaged { path, what }) => {
                tracing::warn!(
                    path = %path.display(), what,
                    "selection history not readable; no event of the backlog is left out",
                );
                None
            }
            loaded => loaded?,
        };
        let stored = stored.filter(|content| content.spool == spool);
        let before = stored.as_ref().map(Content::in_force).unwrap_or_default();
        let mut now = before.clone();
        now.begin(today, end, saved.map_or(0, |saved| saved.delivered().lowest.sequence));
        // A source that never left anything out needs no file.
        let is_plain = stored.is_none() && now.selections.iter().all(|(_, it)| it.is_all());
        if before != now && !is_plain {
            self.store(&Content::of(spool, &now))?;
        }
        Ok(now)
    }

    /// Fails where a later program wrote the file.
    pub fn check_version(&self) -> Result<(), CheckpointError> {
        match self.load() {
            Err(error @ CheckpointError::Version { .. }) => Err(error),
            _ => Ok(()),
        }
    }

    fn load(&self) -> Result<Option<Content>, CheckpointError> {
        let path = self.path.clone();
        let text = match disk::read_file(&*self.disk, &path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CheckpointError::Io { path, source }),
        };
        let damaged =
            |what: &str| CheckpointError::Damaged { path: path.clone(), what: what.into() };
        let json = checked(&text).map_err(damaged)?;
        // A later format need not have the fields of this one.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let unlike = |_| damaged("not what it should be");
        let Versioned { version: found } = serde_json::from_str(json).map_err(unlike)?;
        if found > VERSION {
            return Err(CheckpointError::Version { path, found, reads: VERSION });
        }
        serde_json::from_str(json).map(Some).map_err(unlike)
    }

    fn store(&self, content: &Content) -> Result<(), CheckpointError> {
        // Plain numbers and strings with derived serialisation: it cannot fail.
        let json = serde_json::to_string(content).unwrap_or_default();
        disk::write_atomically(&*self.disk, &self.path, &with_checksum(&json))
            .map_err(|source| CheckpointError::Io { path: self.path.clone(), source })
    }
}

#[derive(Debug, Deserialize, Serialize)]
struct Content {
    version: u32,
    spool: Uuid,
    selections: Vec<Stored>,
}

/// A selection, and the delivery that it counts from.
#[derive(Debug, Deserialize, Serialize)]
struct Stored {
    from: u64,
    munchkin_ids: Vec<String>,
    include: StoredNames,
    exclude: StoredNames,
}

#[derive(Debug, Deserialize, Serialize)]
struct StoredNames {
    streams: Vec<String>,
    types: Vec<String>,
    activity_type_ids: Vec<i64>,
}

impl Content {
    fn of(spool: Uuid, in_force: &InForce) -> Self {
        let stored = |(from, selection): &(u64, Selection)| Stored {
            from: *from,
            munchkin_ids: selection.munchkin_ids.clone(),
            include: StoredNames::of(&selection.include),
            exclude: StoredNames::of(&selection.exclude),
        };
        Self {
            version: VERSION,
            spool,
            selections: in_force.selections.iter().map(stored).collect(),
        }
    }

    fn in_force(&self) -> InForce {
        let selection = |stored: &Stored| Selection {
            munchkin_ids: stored.munchkin_ids.clone(),
            include: stored.include.named(),
            exclude: stored.exclude.named(),
        };
        let selections = self.selections.iter().map(|stored| (stored.from, selection(stored)));
        InForce { selections: selections.collect() }
    }
}

impl StoredNames {
    fn of(named: &Named) -> Self {
        Self {
            streams: named.streams.iter().map(|stream| stream.as_str().to_owned()).collect(),
            types: named.types.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
            activity_type_ids: named.activity_type_ids.clone(),
        }
    }

    fn named(&self) -> Named {
        let stream = |name: &String| Stream::ALL.into_iter().find(|it| it.as_str() == name);
        Named {
            streams: self.streams.iter().filter_map(stream).collect(),
            types: self.types.iter().filter_map(|text| Pattern::new(text)).collect(),
            activity_type_ids: self.activity_type_ids.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Attributes, Pieces},
        spool::{disk::RealDisk, position::Position},
    };

    const SPOOL: Uuid = Uuid::from_u128(7);

    fn click() -> Event<'static> {
        Event {
            index: 0,
            stream: Stream::LeadActivity,
            event_type: "clicklink".into(),
            munchkin_id: Some("999-XYZ-000".into()),
            activity_type_id: Some(3),
            key: None,
            attributes: Attributes::default(),
            headers: Vec::new(),
            value: Pieces::default(),
            original: b"",
            members: None,
            lead_state: None,
        }
    }

    fn without(types: &str) -> Selection {
        let types = vec![Pattern::new(types).unwrap()];
        let exclude =
            Named { types, streams: vec![Stream::Other], activity_type_ids: vec![100_001] };
        Selection { munchkin_ids: vec!["999-XYZ-000".into()], exclude, ..Selection::default() }
    }

    struct Place {
        file: InForceFile,
        folder: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            Self { file: InForceFile::new(Arc::new(RealDisk), folder.path()), folder }
        }

        fn begin(&self, today: &Selection, end: u64) -> InForce {
            self.file.begin(SPOOL, today, end, None).unwrap()
        }

        fn content(&self) -> Option<Vec<u8>> {
            std::fs::read(self.folder.path().join("selections")).ok()
        }
    }

    fn left_out(in_force: &InForce, sequences: std::ops::Range<u64>) -> Vec<u64> {
        sequences.filter(|sequence| in_force.leaves_out(*sequence, &click()).is_some()).collect()
    }

    #[test]
    fn a_source_that_never_left_anything_out_has_no_file() {
        let place = Place::new();
        assert_eq!(left_out(&place.begin(&Selection::default(), 5), 0..9), [0_u64; 0]);
        assert!(place.content().is_none());
    }

    #[test]
    fn what_lies_in_the_spool_goes_by_the_selection_of_when_it_came() {
        let place = Place::new();
        assert_eq!(left_out(&place.begin(&without("click*"), 5), 1..9), [5, 6, 7, 8]);
        assert_eq!(left_out(&place.begin(&without("open*"), 7), 1..9), [5, 6]);
        assert_eq!(left_out(&place.begin(&without("open*"), 8), 1..9), [5, 6]);
        assert_eq!(left_out(&place.begin(&Selection::default(), 8), 1..9), [5, 6]);
        assert_eq!(left_out(&place.begin(&without("*"), 9), 1..11), [5, 6, 9, 10]);
    }

    #[test]
    fn a_selection_under_which_nothing_came_leaves_nothing_behind() {
        let place = Place::new();
        place.begin(&without("click*"), 5);
        let again = place.begin(&Selection::default(), 5);
        assert_eq!((left_out(&again, 1..9), again.changes_at()), (Vec::new(), None));
    }

    #[test]
    fn selections_of_what_is_delivered_are_forgotten_and_those_of_the_rest_are_bounded() {
        let place = Place::new();
        for end in 1..=(3 * MAX_SELECTIONS as u64) {
            place.begin(&without(if end % 2 == 0 { "a*" } else { "b*" }), end);
        }
        let checkpoint = |sequence| Checkpoint {
            low: Position::start_of(sequence),
            ..Checkpoint::beginning(SPOOL)
        };
        let at = |sequence| {
            let saved = checkpoint(sequence);
            place.file.begin(SPOOL, &without("b*"), 1000, Some(&saved)).unwrap().selections.len()
        };
        assert_eq!([at(0), at(295), at(999)], [MAX_SELECTIONS, 7, 2]);
    }

    #[test]
    fn another_spools_file_and_a_damaged_one_leave_nothing_out_and_a_later_version_is_not_touched()
    {
        let place = Place::new();
        place.begin(&without("click*"), 1);
        let other = place.file.begin(Uuid::from_u128(8), &Selection::default(), 5, None).unwrap();
        assert_eq!(left_out(&other, 0..9), [0_u64; 0]);
        let path = place.folder.path().join("selections");
        place.begin(&without("click*"), 1);
        let mut bytes = place.content().unwrap();
        bytes[20] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(left_out(&place.begin(&without("click*"), 5), 0..7), [5, 6]);
        let json = r#"{"version":2,"surprise":true}"#;
        std::fs::write(&path, with_checksum(json)).unwrap();
        let error = place.file.begin(SPOOL, &Selection::default(), 5, None).unwrap_err();
        assert!(matches!(error, CheckpointError::Version { found: 2, .. }), "{error}");
        assert!(place.file.check_version().is_err());
        assert_eq!(place.content().unwrap(), with_checksum(json));
    }
}
