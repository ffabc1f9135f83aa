//! Dead letters: one as it is on its topic, all of them, and the newest of each event.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use serde::Deserialize;
use uuid::Uuid;

use super::{
    body::Kept,
    player::Player,
    quarantined::{Expected, Folder},
    shown::{NOT_SHOWN, Shown},
};
use crate::{
    config::Config,
    kafka::{Passed, ReadRecord, Reader, Select},
    source::{ORIGIN_HEADER, SourceName, UnixMillis},
    spool::{disk::RealDisk, position::Position, viewer::Viewer},
};

/// The value that `deliver::dead_letter` writes where the original is too large for a record.
#[derive(Deserialize)]
struct Pointer<'a> {
    #[serde(borrow)]
    quarantine_path: Cow<'a, str>,
    length: u64,
    #[serde(borrow)]
    sha256: Cow<'a, str>,
}

/// A refused event, as its record on the dead-letter topic describes it.
pub(crate) struct Letter<'a> {
    pub record: &'a ReadRecord,
    pub at: Option<UnixMillis>,
    pub source: SourceName,
    pub position: Position,
    pub reason: &'a str,
    /// The error text of the letter.
    pub error: &'a str,
    pub original_topic: Option<&'a str>,
    /// Whether the value only points to the original, in quarantine.
    pub is_pointer: bool,
}

impl<'a> Letter<'a> {
    /// Returns `None` where the record is no dead letter of this program.
    pub fn of(record: &'a ReadRecord) -> Option<Self> {
        Some(Self {
            record,
            at: record.at.and_then(|at| u64::try_from(at).ok()),
            source: record.header("millrace-source").and_then(SourceName::new)?,
            position: record.header("millrace-position")?.parse().ok()?,
            reason: record.header("millrace-reason").unwrap_or_default(),
            error: record.header("millrace-error").unwrap_or_default(),
            original_topic: record.header("millrace-original-topic"),
            is_pointer: record.header("millrace-quarantined").is_some(),
        })
    }

    /// Returns the event that it is about.
    pub fn event(&self) -> (SourceName, Position) {
        (self.source.clone(), self.position)
    }

    pub fn place(&self) -> Place {
        let ReadRecord { partition, offset, .. } = *self.record;
        Place { at: self.at, partition, offset }
    }

    pub fn key(&self) -> Option<&'a [u8]> {
        self.record.key.as_deref()
    }

    /// Returns the refused bytes; those in quarantine are read from there.
    pub fn original(&self, config: &Config) -> Result<Cow<'a, [u8]>, String> {
        let value = self.record.value.as_deref().unwrap_or_default();
        match self.is_pointer {
            true => pointed(&Folder::of(config, &self.source), value).map(Cow::Owned),
            false => Ok(Cow::Borrowed(value)),
        }
    }

    /// Replays the letter. An error means that nothing can be sent any more.
    pub fn play(&self, config: &Config, player: &mut Player) -> Result<(), String> {
        let original = match self.original(config) {
            Ok(bytes) => bytes,
            Err(problem) => {
                player.failed(&self.source, self.position, None, problem);
                return Ok(());
            }
        };
        self.kept(spool_id(&config.spool.directory, &self.source), &original).play(player)
    }

    /// Returns the refused bytes as they may be shown; the error says why they may not.
    pub fn shown(&self, config: &Config) -> Result<Cow<'a, [u8]>, String> {
        let original = self.original(config)?;
        let shown = Shown::by(config).original(&self.kept(Uuid::nil(), &original));
        shown.map(|body| Cow::Owned(body.into_owned())).ok_or_else(|| NOT_SHOWN.to_owned())
    }

    /// Returns the refused event, with `original`, its bytes.
    pub fn kept<'k>(&'k self, spool: Uuid, original: &'k [u8]) -> Kept<'k> {
        Kept {
            source: &self.source,
            spool,
            position: self.position,
            reason: self.reason,
            error: Some(self.error),
            origin: self.record.header(ORIGIN_HEADER),
            key: self.key().unwrap_or_default(),
            original,
        }
    }
}

/// Longest wait for the first record of a read.
const READ_TIMEOUT: Duration = Duration::from_millis(250);

/// Passes the records of the dead-letter topic to `see`, at most `at_once` together, from the topic's beginning to its
/// current end; and the places of those that were passed by, since they cannot be read. Calls it without records while the
/// cluster is away. An error of `see` ends it.
pub(crate) fn each(
    config: &Config,
    at_once: usize,
    see: &mut dyn FnMut(&[ReadRecord], &[Passed]) -> Result<(), String>,
) -> Result<(), String> {
    let topic = config.topics.dead_letter.clone();
    let mut reader = Reader::open(&config.kafka, Select::Topics(vec![topic]))
        .map_err(|error| error.to_string())?;
    loop {
        let records = reader.read(at_once, READ_TIMEOUT).map_err(|error| error.to_string())?;
        see(&records, &reader.take_passed())?;
        if records.is_empty() && reader.is_at_end().map_err(|error| error.to_string())? {
            return Ok(());
        }
    }
}

/// The place of a letter; a later one is greater. Time comes first: copies may be on several partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    at: Option<UnixMillis>,
    partition: i32,
    offset: i64,
}

/// The newest letter of each event. Several letters have one position after a repeat, and where a new spool counts
/// from the beginning.
///
/// The topic is read twice: once to note the newest ones, once to take them. So no letter is kept in memory.
#[derive(Debug, Default)]
pub(crate) struct Newest {
    places: BTreeMap<(SourceName, Position), Place>,
    taken: BTreeSet<(SourceName, Position)>,
}

impl Newest {
    pub fn note(&mut self, letter: &Letter<'_>) {
        let place = letter.place();
        let newest = self.places.entry(letter.event()).or_insert(place);
        *newest = place.max(*newest);
    }

    /// Whether `letter` is the newest of its event.
    pub fn take(&mut self, letter: &Letter<'_>) -> bool {
        let event = letter.event();
        let is_newest = self.places.get(&event) == Some(&letter.place());
        if is_newest {
            self.taken.insert(event);
        }
        is_newest
    }

    pub fn taken(&self) -> &BTreeSet<(SourceName, Position)> {
        &self.taken
    }
}

/// Reads the original that a pointer names.
fn pointed(folder: &Folder, value: &[u8]) -> Result<Vec<u8>, String> {
    let pointer: Pointer = serde_json::from_slice(value)
        .map_err(|_| "it points to the quarantine in a way that cannot be read".to_owned())?;
    let expected = Expected { length: pointer.length, sha256: &pointer.sha256 };
    folder.pointed(&pointer.quarantine_path, &expected)
}

/// Returns the id of a source's spool, if that is on this machine. Events with an id of their own do not need
/// it.
pub(crate) fn spool_id(directory: &Path, source: &SourceName) -> Uuid {
    let viewer = Viewer::open(Arc::new(RealDisk), directory, source);
    viewer.ok().and_then(|viewer| viewer.id()).unwrap_or_default()
}
