//! The position of an event in a spool.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The position of one event: the delivery's sequence number in its spool (from 1, never reused) and
/// the event's index in the delivery (from 0). Written as `42.7`. It does not name files or
/// offsets, so it outlives any change of the segments' layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    pub sequence: u64,
    pub index: u32,
}

/// No spool ever gives out a larger sequence number: a million a second are that many in 140,000 years. What a file claims
/// beyond it is no place, and counting on from there would come to an end.
pub const LARGEST_SEQUENCE: u64 = 1 << 62;

impl Position {
    /// Returns the position of the first event of delivery `sequence`.
    pub fn start_of(sequence: u64) -> Self {
        Self { sequence, index: 0 }
    }

    /// Returns the next position in the same delivery; `None` behind the last one that a position can name.
    pub fn next_event(self) -> Option<Self> {
        Some(Self { index: self.index.checked_add(1)?, ..self })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.sequence, self.index)
    }
}

impl FromStr for Position {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (sequence, index) = text.split_once('.').unwrap_or((text, "0"));
        match (sequence.parse(), index.parse()) {
            (Ok(sequence), Ok(index)) => Ok(Self { sequence, index }),
            _ => Err(format!(
                "`{text}` is not a position: expected sequence.index, for example 42.7"
            )),
        }
    }
}
