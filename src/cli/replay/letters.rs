//! From the dead-letter topic; and what `millrace dead-letters` reads of it.

use std::{borrow::Cow, fmt, path::Path, str::FromStr, sync::Arc, time::Duration};

use serde::Deserialize;
use uuid::Uuid;

use super::{
    Replay,
    body::Kept,
    quarantined::{Expected, Folder},
};
use crate::{
    cli::{progress::Bar, spool::source_name, text},
    config::Config,
    kafka::{ReadRecord, Reader, Select},
    source::{ORIGIN_HEADER, SourceName, UnixMillis},
    spool::{disk::RealDisk, position::Position, viewer::Viewer},
};

/// Records taken at once, each of which may have a megabyte, and how long the first is waited for.
const MOST: usize = 32;
const WAIT: Duration = Duration::from_millis(250);

/// What `dead_letter.rs` writes where the original is too large for a record.
#[derive(Deserialize)]
struct Pointer<'a> {
    #[serde(borrow)]
    quarantine_path: Cow<'a, str>,
    length: u64,
    #[serde(borrow)]
    sha256: Cow<'a, str>,
}

/// What was refused, as the record on the dead-letter topic tells it.
pub(in crate::cli) struct Letter<'a> {
    pub partition: i32,
    pub offset: i64,
    pub at: Option<UnixMillis>,
    pub source: SourceName,
    pub position: Position,
    pub reason: &'a str,
    /// The letter's own words.
    pub error: &'a str,
    pub original_topic: Option<&'a str>,
    pub key: Option<&'a [u8]>,
    /// Whether the value only points to the original, in quarantine.
    pub is_pointer: bool,
    origin: Option<&'a str>,
    value: &'a [u8],
}

impl<'a> Letter<'a> {
    /// `None` where it is no dead letter of ours.
    pub fn of(record: &'a ReadRecord) -> Option<Self> {
        let at = record.at.and_then(|at| u64::try_from(at).ok());
        Some(Self {
            partition: record.partition,
            offset: record.offset,
            at,
            source: record.header("millrace-source").and_then(SourceName::new)?,
            position: record.header("millrace-position")?.parse().ok()?,
            reason: record.header("millrace-reason").unwrap_or_default(),
            error: record.header("millrace-error").unwrap_or_default(),
            original_topic: record.header("millrace-original-topic"),
            key: record.key.as_deref(),
            is_pointer: record.header("millrace-quarantined").is_some(),
            origin: record.header(ORIGIN_HEADER),
            value: record.value.as_deref().unwrap_or_default(),
        })
    }

    /// The bytes that were refused; those in quarantine are read from there.
    pub fn original(&self, config: &Config) -> Result<Cow<'a, [u8]>, String> {
        match self.is_pointer {
            true => pointed(&Folder::of(config, &self.source), self.value).map(Cow::Owned),
            false => Ok(Cow::Borrowed(self.value)),
        }
    }
}

/// A record that is a letter, kept.
pub(in crate::cli) struct ReadLetter(pub ReadRecord);

impl ReadLetter {
    pub fn letter(&self) -> Option<Letter<'_>> {
        Letter::of(&self.0)
    }
}

/// Letters that were asked for one by one: `42.7`, `42` for a whole delivery, `leads/42.7` of one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Chosen {
    source: Option<SourceName>,
    sequence: u64,
    index: Option<u32>,
}

impl FromStr for Chosen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (source, position) = match text.split_once('/') {
            Some((source, position)) => (Some(source_name(source)?), position),
            None => (None, text),
        };
        let parsed: Position = position.parse()?;
        let index = position.contains('.').then_some(parsed.index);
        Ok(Self { source, sequence: parsed.sequence, index })
    }
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            write!(f, "{source}/")?;
        }
        write!(f, "{}", self.sequence)?;
        self.index.map_or(Ok(()), |index| write!(f, ".{index}"))
    }
}

impl Chosen {
    fn is(&self, letter: &Letter<'_>) -> bool {
        self.source.as_ref().is_none_or(|source| *source == letter.source)
            && self.sequence == letter.position.sequence
            && self.index.is_none_or(|index| index == letter.position.index)
    }
}

/// Which letters: all that are given must fit.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Selection {
    pub sources: Vec<SourceName>,
    pub reasons: Vec<String>,
    pub since: Option<UnixMillis>,
    pub positions: Vec<Chosen>,
}

impl Selection {
    pub fn takes(&self, letter: &Letter<'_>) -> bool {
        (self.sources.is_empty() || self.sources.contains(&letter.source))
            && (self.reasons.is_empty() || self.reasons.iter().any(|it| it == letter.reason))
            && self.since.is_none_or(|since| letter.at.is_none_or(|at| at >= since))
            && (self.positions.is_empty() || self.positions.iter().any(|it| it.is(letter)))
    }
}

/// Shows each record of the dead-letter topic to `see`, up to the topic's current end. An error of `see` ends it.
pub(in crate::cli) fn each(
    config: &Config,
    bar: &mut Bar,
    see: &mut dyn FnMut(&ReadRecord) -> Result<(), String>,
) -> Result<(), String> {
    let topic = config.topics.dead_letter.clone();
    let mut reader = Reader::open(&config.kafka, Select::Topics(vec![topic]))
        .map_err(|error| error.to_string())?;
    let mut read = 0;
    loop {
        let records = reader.read(MOST, WAIT).map_err(|error| error.to_string())?;
        if records.is_empty() && reader.is_at_end().map_err(|error| error.to_string())? {
            return Ok(());
        }
        records.iter().try_for_each(&mut *see)?;
        read += records.len() as u64;
        bar.show(0, 1, || text::counted(read, "dead letter read", "dead letters read"));
    }
}

pub(super) fn replay(
    selection: &Selection,
    config: &Config,
    replay: &mut Replay,
) -> Result<(), String> {
    let mut missing = selection.positions.clone();
    let mut bar = Bar::new();
    each(config, &mut bar, &mut |record| {
        let Some(letter) = Letter::of(record) else {
            let place = format!("partition {} offset {}", record.partition, record.offset);
            replay.player.problem(format!("{place}: not a dead letter of millrace"));
            return Ok(());
        };
        match selection.takes(&letter) {
            true => {
                missing.retain(|chosen| !chosen.is(&letter));
                play(&letter, config, replay)
            }
            false => Ok(()),
        }
    })?;
    for chosen in missing {
        replay.player.problem(format!("{chosen}: no dead letter at this position fits"));
    }
    Ok(())
}

fn play(letter: &Letter<'_>, config: &Config, replay: &mut Replay) -> Result<(), String> {
    let original = match letter.original(config) {
        Ok(bytes) => bytes,
        Err(problem) => {
            let Letter { source, position, .. } = letter;
            replay.player.problem(format!("{source} {position}: {problem}"));
            return Ok(());
        }
    };
    let kept = Kept {
        source: &letter.source,
        spool: spool_id(&config.spool.directory, &letter.source),
        position: letter.position,
        reason: letter.reason,
        error: Some(letter.error),
        origin: letter.origin,
        key: letter.key.unwrap_or_default(),
        original: &original,
    };
    kept.play(replay)
}

/// The original, where only a pointer to it could be sent.
fn pointed(folder: &Folder, value: &[u8]) -> Result<Vec<u8>, String> {
    let pointer: Pointer = serde_json::from_slice(value)
        .map_err(|_| "it points to the quarantine in a way that can't be read".to_owned())?;
    let expected = Expected { length: pointer.length, sha256: &pointer.sha256 };
    folder.pointed(&pointer.quarantine_path, &expected)
}

/// The id of a source's spool, if that is on this machine. Events with an id of their own don't need
/// it.
pub(super) fn spool_id(directory: &Path, source: &SourceName) -> Uuid {
    let viewer = Viewer::open(Arc::new(RealDisk), directory, source);
    viewer.ok().and_then(|viewer| viewer.id()).unwrap_or_default()
}
