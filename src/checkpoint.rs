//! The checkpoint: how far a spool is delivered. One small file a source, written aside, synced and
//! renamed, so that a crash leaves the old one or the new one and never half of one.
//!
//! It promises I5: `low` never passes an undelivered event, unless the event's topic stands in
//! `held` with a position at or before it. The file's first line is JSON, its second the CRC32C of
//! the first in hexadecimal. Exactly-once delivery stores the same JSON as a record's value.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    delivery::UnixMillis,
    spool::{
        Delivered,
        disk::{self, Disk},
        position::Position,
    },
};

/// The version of the format that this program writes, and the only one that it reads.
const VERSION: u32 = 1;

/// How far one spool is delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    pub version: u32,
    /// The spool it speaks of; a checkpoint beside another spool's segments is refused.
    pub spool: Uuid,
    /// Everything before this position is delivered, except for held topics.
    pub low: Position,
    /// Topics that lag behind `low`, each with its oldest undelivered position.
    pub held: Vec<Held>,
    /// Which routing named the held topics: empty until a forwarder takes it up.
    #[serde(default)]
    pub routing: String,
    pub written_at: UnixMillis,
}

/// A topic that could not be written for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    pub topic: String,
    pub position: Position,
}

/// Why a checkpoint can't be used. Each needs a person: going on would lose or repeat events.
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
        "checkpoint {path} has format version {found}, this program reads {VERSION}: use the version that wrote it"
    )]
    Version { path: PathBuf, found: u32 },
    #[error(
        "checkpoint {path} belongs to spool {found}, but the segments beside it are of spool {expected}: the folder was mixed up"
    )]
    OtherSpool { path: PathBuf, found: Uuid, expected: Uuid },
}

impl Checkpoint {
    /// Where a spool begins before anything was delivered.
    pub fn beginning(spool: Uuid) -> Self {
        Self {
            version: VERSION,
            spool,
            low: Position::start_of(1),
            held: Vec::new(),
            routing: String::new(),
            written_at: 0,
        }
    }

    /// The lowest position that still must be read: what retention may not pass.
    pub fn lowest(&self) -> Position {
        self.held.iter().map(|held| held.position).fold(self.low, Position::min)
    }

    /// The highest position that it names.
    pub fn highest(&self) -> Position {
        self.held.iter().map(|held| held.position).fold(self.low, Position::max)
    }

    /// The checkpoint for a forwarder with this `routing`. Held topics are found again by their
    /// names; under another routing their events have other names and would be passed by. So then
    /// everything from the lowest position on is delivered once more. `true` when that is so.
    pub fn for_routing(mut self, routing: &str) -> (Self, bool) {
        let again = self.routing != routing && !self.held.is_empty();
        if again {
            self.low = self.lowest();
            self.held.clear();
        }
        self.routing = routing.into();
        (self, again)
    }

    /// What the spool is told when it is opened.
    pub fn delivered(&self) -> Delivered {
        Delivered { lowest: self.lowest(), highest: self.highest() }
    }

    fn encode(&self) -> Vec<u8> {
        // Plain numbers and strings with derived serialisation: it can't fail.
        let json = serde_json::to_string(self).unwrap_or_default();
        format!("{json}\n{:08x}\n", crc32c::crc32c(json.as_bytes())).into_bytes()
    }

    fn decode(path: &Path, text: &[u8]) -> Result<Self, CheckpointError> {
        let damaged =
            |what: &str| CheckpointError::Damaged { path: path.into(), what: what.into() };
        let text = std::str::from_utf8(text).map_err(|_| damaged("not UTF-8"))?;
        let mut lines = text.lines();
        let json = lines.next().ok_or_else(|| damaged("empty"))?;
        let sum = lines.next().ok_or_else(|| damaged("the checksum is missing"))?;
        if u32::from_str_radix(sum, 16) != Ok(crc32c::crc32c(json.as_bytes())) {
            return Err(damaged("the checksum does not match"));
        }

        // The version comes first: a later format need not have the fields of this one.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let versioned: Versioned =
            serde_json::from_str(json).map_err(|error| damaged(&error.to_string()))?;
        if versioned.version != VERSION {
            return Err(CheckpointError::Version { path: path.into(), found: versioned.version });
        }
        serde_json::from_str(json).map_err(|error| damaged(&error.to_string()))
    }
}

/// The checkpoint's file of one spool.
pub struct CheckpointFile {
    disk: std::sync::Arc<dyn Disk>,
    path: PathBuf,
}

impl CheckpointFile {
    /// `folder` is the source's folder below `spool.directory`.
    pub fn new(disk: std::sync::Arc<dyn Disk>, folder: &Path) -> Self {
        Self { disk, path: folder.join("checkpoint") }
    }

    /// `None` when nothing was ever delivered from this spool.
    pub fn load(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        let text = match disk::read_file(&*self.disk, &self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CheckpointError::Io { path: self.path.clone(), source }),
        };
        Checkpoint::decode(&self.path, &text).map(Some)
    }

    /// A checkpoint beside another spool's segments says nothing about them.
    pub fn check(&self, checkpoint: &Checkpoint, spool: Uuid) -> Result<(), CheckpointError> {
        if checkpoint.spool == spool {
            return Ok(());
        }
        let (path, found) = (self.path.clone(), checkpoint.spool);
        Err(CheckpointError::OtherSpool { path, found, expected: spool })
    }

    /// Replaces the file; durable when it returns.
    pub fn store(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        disk::write_atomically(&*self.disk, &self.path, &checkpoint.encode())
            .map_err(|source| CheckpointError::Io { path: self.path.clone(), source })
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
    fn what_was_stored_is_read_back() {
        let decoded = Checkpoint::decode(Path::new("c"), &checkpoint().encode()).unwrap();
        assert_eq!(decoded, checkpoint());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = checkpoint().encode();
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // A flip in the white space or the case of the checksum's digits changes nothing.
            if let Ok(read) = Checkpoint::decode(Path::new("c"), &bad) {
                assert_eq!(read, checkpoint(), "bit {bit}");
            }
        }
    }

    #[test]
    fn every_truncation_is_damage_or_the_whole() {
        let good = checkpoint().encode();
        for length in 0..good.len() - 1 {
            assert!(Checkpoint::decode(Path::new("c"), &good[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_later_format_is_refused_by_its_version() {
        let json = r#"{"version":2,"surprise":true}"#;
        let text = format!("{json}\n{:08x}\n", crc32c::crc32c(json.as_bytes()));
        let error = Checkpoint::decode(Path::new("c"), text.as_bytes()).unwrap_err();
        assert!(matches!(error, CheckpointError::Version { found: 2, .. }), "{error}");
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
    fn the_lowest_position_counts_held_topics() {
        assert_eq!(checkpoint().lowest(), Position { sequence: 9, index: 1 });
        assert_eq!(Checkpoint::beginning(Uuid::nil()).lowest(), Position::start_of(1));
    }
}
