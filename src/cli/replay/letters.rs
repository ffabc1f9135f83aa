//! Replays events from the dead-letter topic; and reads that topic for `millrace dead-letters`.

use std::{fmt, str::FromStr};

use clap::{Args, builder::PossibleValuesParser};

use super::Replay;
use crate::{
    cli::{progress::Bar, spool::source_name, text, when},
    config::Config,
    deliver::dead_letter::REASONS,
    kafka::{Passed, ReadRecord},
    service::replay::letters::{self, Letter, Newest},
    source::{SourceName, UnixMillis},
    spool::position::Position,
};

/// Records taken by one read, each of which may have a megabyte.
const MAX_RECORDS: usize = 32;
/// Places that cannot be read, of which each is named.
const MAX_UNREAD: usize = 100;

/// A record of the dead-letter topic that is a letter, with its bytes.
pub(in crate::cli) struct ReadLetter(pub ReadRecord);

impl ReadLetter {
    pub fn letter(&self) -> Option<Letter<'_>> {
        Letter::of(&self.0)
    }
}

/// A position or several, as an operator names them: `42.7`, `42` for a whole delivery, `leads/42.7` of one source.
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

/// Options by which letters are chosen.
#[derive(Args, Clone, Debug, Default)]
pub(in crate::cli) struct Which {
    /// This source alone; may be given several times
    #[arg(long = "source", value_name = "NAME", value_parser = source_name)]
    sources: Vec<SourceName>,

    /// This reason alone (`millrace-reason`); may be given several times
    #[arg(long = "reason", value_name = "WORD", hide_possible_values = true)]
    #[arg(value_parser = PossibleValuesParser::new(REASONS))]
    reasons: Vec<String>,

    /// Letters that were written at this time or later: RFC 3339, or how long ago (`2h`)
    #[arg(long, value_name = "TIME", value_parser = when::parse)]
    since: Option<UnixMillis>,
}

impl Which {
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.reasons.is_empty() && self.since.is_none()
    }

    pub fn selection(&self, positions: Vec<Chosen>) -> Selection {
        let Self { sources, reasons, since } = self.clone();
        Selection { sources, reasons, since, positions }
    }
}

/// The chosen letters: all criteria that are given must fit.
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

/// Passes each record of the dead-letter topic to `see`, up to the topic's current end; returns the places of those that
/// cannot be read. An error of `see` ends it.
pub(in crate::cli) fn each(
    config: &Config,
    bar: &mut Bar,
    see: &mut dyn FnMut(&ReadRecord) -> Result<(), String>,
) -> Result<Vec<Passed>, String> {
    let (mut read, mut unread) = (0, Vec::new());
    letters::each(config, MAX_RECORDS, &mut |records, passed| {
        let room = MAX_UNREAD.saturating_sub(unread.len());
        unread.extend(passed.iter().take(room).cloned());
        records.iter().try_for_each(&mut *see)?;
        read += records.len() as u64;
        bar.show(0, 1, || text::counted(read, "dead letter read", "dead letters read"));
        Ok(())
    })?;
    Ok(unread)
}

/// Replays the letters of `selection`: at named positions only the newest, as `show` does; with a filter every letter.
pub(super) fn replay(
    selection: &Selection,
    config: &Config,
    replay: &mut Replay,
) -> Result<(), String> {
    let mut missing = selection.positions.clone();
    let mut bar = Bar::new();
    let mut newest = Newest::default();
    if !missing.is_empty() {
        each(config, &mut bar, &mut |record| {
            let letter = Letter::of(record).filter(|letter| selection.takes(letter));
            letter.iter().for_each(|letter| newest.note(letter));
            Ok(())
        })?;
    }
    let unread = each(config, &mut bar, &mut |record| {
        let Some(letter) = Letter::of(record) else {
            // Where letters are named, other records of the topic were not asked for.
            if selection.positions.is_empty() {
                let place = format!("partition {} offset {}", record.partition, record.offset);
                replay.player.problem(format!("{place}: not a dead letter of millrace"));
            }
            return Ok(());
        };
        let is_chosen = selection.positions.is_empty() || newest.take(&letter);
        if !is_chosen || !selection.takes(&letter) {
            return Ok(());
        }
        missing.retain(|chosen| !chosen.is(&letter));
        letter.play(config, &mut replay.player)
    })?;
    unread.iter().for_each(|passed| replay.player.problem(passed.to_string()));
    for chosen in missing {
        replay.player.problem(format!("{chosen}: no dead letter at this position fits"));
    }
    Ok(())
}
