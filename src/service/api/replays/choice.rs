//! The choice of a replay's events: the request, and its checked form.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::{
    observe::api::{self, Problem},
    source::{SourceName, UnixMillis},
    spool::position::Position,
};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum From {
    #[default]
    DeadLetters,
    Spool,
}

impl From {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeadLetters => "dead-letters",
            Self::Spool => "spool",
        }
    }
}

/// The request as it is written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    #[serde(default)]
    pub from: From,
    pub positions: Option<Vec<Chosen>>,
    pub filter: Option<Selection>,
    #[serde(default = "yes")]
    pub dry_run: bool,
}

fn yes() -> bool {
    true
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chosen {
    source: String,
    position: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Selection {
    pub source: Option<String>,
    pub reason: Option<String>,
    since: Option<String>,
    until: Option<String>,
    #[serde(rename = "type")]
    event_type: Option<String>,
}

/// The checked request.
pub(super) struct Choice {
    pub from: From,
    /// Positions, each with whether it is a whole delivery.
    pub positions: Option<BTreeSet<(SourceName, Position, bool)>>,
    pub source: Option<SourceName>,
    reason: Option<String>,
    since: UnixMillis,
    until: UnixMillis,
    pub event_type: Option<String>,
}

impl Choice {
    pub fn of(request: &Request) -> Result<Self, Problem> {
        let bad = |text: &str| Problem::new("bad-request", text);
        let source =
            |text: &str| SourceName::new(text).ok_or_else(|| bad("That is no source's name."));
        let filter = request.filter.clone().unwrap_or_default();
        if request.positions.is_some() == request.filter.is_some() {
            return Err(bad("Give either `positions` or `filter`."));
        }
        if request.from == From::Spool && request.positions.is_none() && filter.source.is_none() {
            return Err(bad("A filter for the spool needs a `source`."));
        }
        if request.from == From::Spool && filter.reason.is_some() {
            return Err(bad("`reason` is for dead letters."));
        }
        let positions = request.positions.as_ref().map(|all| {
            let one = |it: &Chosen| {
                let position = it.position.parse::<Position>();
                let position = position.map_err(|_| bad("Write a position as `42.7`, or `42`."))?;
                Ok((source(&it.source)?, position, !it.position.contains('.')))
            };
            match all.len() {
                1..=10_000 => all.iter().map(one).collect::<Result<_, Problem>>(),
                _ => Err(bad("Give from 1 to 10,000 positions.")),
            }
        });
        Ok(Self {
            from: request.from,
            positions: positions.transpose()?,
            source: filter.source.as_deref().map(source).transpose()?,
            reason: filter.reason,
            since: filter.since.as_deref().map_or(Ok(0), api::time)?,
            until: filter.until.as_deref().map_or(Ok(u64::MAX), api::time)?,
            event_type: filter.event_type,
        })
    }

    /// Whether the body at this position has to be read.
    pub fn wants(
        &self,
        source: &SourceName,
        position: Position,
        reason: &str,
        at: UnixMillis,
    ) -> bool {
        if let Some(positions) = &self.positions {
            let whole = (source.clone(), Position::start_of(position.sequence), true);
            return positions.contains(&(source.clone(), position, false))
                || positions.contains(&whole);
        }
        self.source.as_ref().is_none_or(|it| it == source)
            && self.reason.as_deref().is_none_or(|it| it == reason)
            && (self.since..self.until).contains(&at)
    }

    /// Returns the ranges of the events to send of the delivery at `sequence`: the first one, and the one after the
    /// last.
    pub fn ranges(
        &self,
        source: &SourceName,
        sequence: u64,
        received_at: UnixMillis,
    ) -> Vec<(Option<Position>, Option<Position>)> {
        let Some(positions) = &self.positions else {
            let is_wanted = self.wants(source, Position::start_of(sequence), "", received_at);
            return is_wanted.then_some((None, None)).into_iter().collect();
        };
        let is_it =
            |it: &&(SourceName, Position, bool)| it.0 == *source && it.1.sequence == sequence;
        let range = |(_, position, is_whole): &(SourceName, Position, bool)| match is_whole {
            true => (None, None),
            false => (Some(*position), position.next_event()),
        };
        positions.iter().filter(is_it).map(range).collect()
    }
}
