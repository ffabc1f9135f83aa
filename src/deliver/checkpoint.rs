//! The checkpoint: how far a spool is delivered. One small file a source ([`CheckpointFile`]).
//!
//! It promises I5: `low` never passes an undelivered event, unless the event's topic stands in
//! `held` with a position at or before it.
//!
//! Exactly-once delivery stores the same JSON as a record's value, in the transaction that delivers the events that it
//! passes; the file is written after that and never ahead of it. Of the two the one with the larger number is the
//! later one, whichever mode wrote it.

mod file;
mod writers;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    source::UnixMillis,
    spool::{
        Delivered,
        position::{LARGEST_SEQUENCE, Position},
    },
};

pub use file::CheckpointFile;
pub use writers::{Origin, Writers};

/// The latest version of the format. Written only where [`Checkpoint::refused`] is not empty: a program that does not
/// know that field must not read it. Every other checkpoint has version 1.
const VERSION: u32 = 2;
const WITHOUT_REFUSED: u32 = 1;

/// How far one spool is delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub version: u32,
    /// The spool that it belongs to; a checkpoint beside another spool's segments is refused.
    pub spool: Uuid,
    /// Everything before this position is delivered, except for held topics.
    pub low: Position,
    /// Topics that lag behind `low`, each with its oldest undelivered position.
    pub held: Vec<Held>,
    /// The routing that named the held topics: empty until a forwarder takes it up.
    #[serde(default)]
    pub routing: String,
    /// Counts the checkpoints stored for this spool: the larger number is the later one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub number: u64,
    /// The process that wrote it; in exactly-once delivery only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writer: Option<Uuid>,
    /// Events before `low` (or before the position of their held topic) that are still to become dead
    /// letters. Only exactly-once delivery passes them; at-least-once delivery keeps those that it found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<Refused>,
    /// Every delivery before this one was durable in the spool when the checkpoint was written; 0 if that is not known.
    /// A spool that ends earlier has lost its end.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stored: u64,
    pub written_at: UnixMillis,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A topic that could not be written for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub topic: String,
    pub position: Position,
}

/// An event that was refused and waits to become a dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub position: Position,
    /// Its own topic, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    pub reason: String,
    pub error: String,
}

/// A checkpoint that cannot be used. Each needs an operator: to continue would lose or repeat events.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("checkpoint {path}: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error(
        "checkpoint {path} is damaged ({what}): move it away to deliver everything that the spool \
         still keeps once more"
    )]
    Damaged { path: PathBuf, what: String },
    #[error(
        "checkpoint {path} has format version {found}, this program reads {reads} and lower: use the version that wrote it"
    )]
    Version { path: PathBuf, found: u32, reads: u32 },
    #[error(
        "{path} says: {what}. If this instance is the right one, stop the other one and remove this file"
    )]
    Fenced { path: PathBuf, what: String },
    #[error(
        "checkpoint {path} belongs to spool {found}, but the segments beside it belong to spool {expected}: files of two spools are mixed"
    )]
    OtherSpool { path: PathBuf, found: Uuid, expected: Uuid },
}

impl CheckpointError {
    /// Whether a retry cannot help.
    pub fn needs_operator(&self) -> bool {
        match self {
            Self::Io { .. } => false,
            Self::Damaged { .. }
            | Self::Version { .. }
            | Self::Fenced { .. }
            | Self::OtherSpool { .. } => true,
        }
    }
}

impl Checkpoint {
    /// The checkpoint of a spool from which nothing was delivered yet.
    pub fn beginning(spool: Uuid) -> Self {
        Self {
            version: WITHOUT_REFUSED,
            spool,
            low: Position::start_of(1),
            held: Vec::new(),
            routing: String::new(),
            number: 0,
            writer: None,
            refused: Vec::new(),
            stored: 0,
            written_at: 0,
        }
    }

    /// Returns the later one of two checkpoints of the same spool.
    pub fn later(self, other: Self) -> Self {
        // Earlier versions of this program wrote no number.
        let numbered = self.number > 0 && other.number > 0;
        let is_later = match numbered {
            true => other.number > self.number,
            false => (other.low, other.number) > (self.low, self.number),
        };
        if is_later { other } else { self }
    }

    /// The lowest position that still must be read, which retention may not pass.
    pub fn lowest(&self) -> Position {
        let held = self.held.iter().map(|held| held.position);
        let refused = self.refused.iter().map(|refused| refused.position);
        held.chain(refused).fold(self.low, Position::min)
    }

    /// The highest position that it names.
    pub fn highest(&self) -> Position {
        self.held.iter().map(|held| held.position).fold(self.low, Position::max)
    }

    /// The checkpoint for a forwarder with this `routing`; `true` when deliveries are repeated for it. Held topics are
    /// found again by their names. Under another routing their events have other names and would be passed over, so
    /// everything from the lowest position on is delivered once more.
    pub fn for_routing(mut self, routing: &str) -> (Self, bool) {
        let again = self.routing != routing && !self.held.is_empty();
        if again {
            self.low = self.lowest();
            self.held.clear();
            self.refused.clear();
        }
        self.routing = routing.into();
        (self, again)
    }

    /// The part of it that the spool needs at its opening.
    pub fn delivered(&self) -> Delivered {
        Delivered { lowest: self.lowest(), highest: self.highest(), stored: self.stored }
    }

    /// The value of its record.
    pub fn to_json(&self) -> String {
        let version = if self.refused.is_empty() { WITHOUT_REFUSED } else { VERSION };
        let written = Self { version, ..self.clone() };
        // Plain numbers and strings with derived serialisation: it cannot fail.
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// Parses the value of a record; `place` is named in errors.
    pub fn from_json(place: &Path, json: &[u8]) -> Result<Self, CheckpointError> {
        let damaged =
            |what: &str| CheckpointError::Damaged { path: place.into(), what: what.into() };
        let json = std::str::from_utf8(json).map_err(|_| damaged("not UTF-8"))?;
        Self::parse(place, json)
    }

    fn parse(path: &Path, json: &str) -> Result<Self, CheckpointError> {
        let damaged =
            |what: &str| CheckpointError::Damaged { path: path.into(), what: what.into() };
        // The version comes first: a later format need not have the fields of this one.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let versioned: Versioned =
            serde_json::from_str(json).map_err(|error| damaged(&error.to_string()))?;
        if !(WITHOUT_REFUSED..=VERSION).contains(&versioned.version) {
            let path = path.into();
            let found = versioned.version;
            return Err(CheckpointError::Version { path, found, reads: VERSION });
        }
        let checkpoint: Self =
            serde_json::from_str(json).map_err(|error| damaged(&error.to_string()))?;
        match checkpoint.largest_sequence() > LARGEST_SEQUENCE {
            true => Err(damaged("it names a delivery that no spool can have")),
            false => Ok(checkpoint),
        }
    }

    /// Returns the largest sequence of all that it names.
    fn largest_sequence(&self) -> u64 {
        let refused = self.refused.iter().map(|refused| refused.position.sequence);
        refused.chain([self.highest().sequence, self.stored]).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            low: Position { sequence: 42, index: 7 },
            held: vec![Held {
                topic: "marketo.lead-activity.clicklink".into(),
                position: Position { sequence: 9, index: 1 },
            }],
            ..Checkpoint::beginning(Uuid::from_u128(5))
        }
    }

    #[test]
    fn topics_held_under_another_routing_are_read_again_from_the_lowest_position() {
        let (same, again) = Checkpoint { routing: "a".into(), ..checkpoint() }.for_routing("a");
        assert!(!again && same.held.len() == 1);
        let (other, again) = same.for_routing("b");
        assert!(again && other.held.is_empty());
        assert_eq!(other.low, Position { sequence: 9, index: 1 });
        let (other, again) = other.for_routing("c");
        assert!(!again, "nothing was held");
        assert_eq!((other.low.sequence, other.routing.as_str()), (9, "c"));
    }

    #[test]
    fn what_waits_to_become_a_dead_letter_is_in_no_format_that_earlier_versions_read() {
        let refused = Refused {
            position: Position { sequence: 3, index: 1 },
            topic: None,
            reason: "refused".into(),
            error: "too large".into(),
        };
        let waiting = Checkpoint { refused: vec![refused], ..checkpoint() };
        assert!(waiting.to_json().contains("\"version\":2"), "{}", waiting.to_json());
        assert!(checkpoint().to_json().contains("\"version\":1"));
        let read = Checkpoint::from_json(Path::new("c"), waiting.to_json().as_bytes()).unwrap();
        assert_eq!(read.refused, waiting.refused);
        assert_eq!(read.lowest(), Position { sequence: 3, index: 1 });
    }

    #[test]
    fn the_later_checkpoint_is_the_one_with_the_larger_number_and_without_numbers_the_further_one()
    {
        let at = |low, number| Checkpoint {
            low: Position::start_of(low),
            number,
            ..Checkpoint::beginning(Uuid::nil())
        };
        assert_eq!(at(9, 4).later(at(7, 5)), at(7, 5), "routing was changed: it went back");
        assert_eq!(at(7, 5).later(at(9, 4)), at(7, 5));
        assert_eq!(at(9, 0).later(at(7, 5)), at(9, 0));
        assert_eq!(at(7, 0).later(at(9, 0)), at(9, 0));
    }

    #[test]
    fn a_place_that_no_spool_can_have_is_damage() {
        let place = Path::new("c");
        let far = Position { sequence: LARGEST_SEQUENCE + 1, index: 1 };
        let topic = "a".to_owned();
        let wrong = [
            Checkpoint { low: far, ..checkpoint() },
            Checkpoint { held: vec![Held { topic, position: far }], ..checkpoint() },
            Checkpoint { stored: u64::MAX, ..checkpoint() },
        ];
        for wrong in wrong {
            let read = Checkpoint::from_json(place, wrong.to_json().as_bytes());
            assert!(matches!(read, Err(CheckpointError::Damaged { .. })), "{read:?}");
        }
    }

    #[test]
    fn the_lowest_position_counts_held_topics() {
        assert_eq!(checkpoint().lowest(), Position { sequence: 9, index: 1 });
        assert_eq!(Checkpoint::beginning(Uuid::nil()).lowest(), Position::start_of(1));
    }
}
