//! The extent of a spool: a note of the segment that was begun last, and of how far it went.
//!
//! The segments show everything but two things: that the last of them is missing, or all; and that the last of
//! them was cut at the end of a frame. So each beginning of a segment, and now and then the end, are noted in the
//! file `<spool.directory>/<source>.extent`, outside of the source's folder, which may be lost as a whole
//! (`noted.rs` says when). A line of JSON, and its checksum. A damaged or missing note is ignored, and holds up
//! nothing.

use std::{
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    checksummed::{checked, with_checksum},
    disk::{self, Disk},
    error::OpenError,
    frame::HEAD_LENGTH,
    position::LARGEST_SEQUENCE,
};
use crate::source::SourceName;

/// The version of the format.
const VERSION: u32 = 1;

/// The last segment of a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    pub spool: Uuid,
    /// The generation of the segment that was begun last.
    pub segment: u64,
    /// Bytes that it may have; more only if it holds a single large group.
    pub segment_size: u64,
    /// Every delivery before it was durable when the note was written; absent where that says no more than `segment`.
    /// Earlier versions pass it over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<u64>,
}

impl Extent {
    /// Returns a sequence number behind all that the last segment can have used.
    pub fn behind(&self) -> u64 {
        let most = self.segment.saturating_add((self.segment_size / HEAD_LENGTH as u64).max(1));
        most.max(self.durable_to())
    }

    /// Returns the sequence number before which every delivery was certainly durable once.
    pub fn durable_to(&self) -> u64 {
        // A segment is begun when all before it is durable.
        self.end.map_or(self.segment, |end| end.max(self.segment))
    }
}

/// The file with the note of one spool.
#[derive(Clone, Debug)]
pub struct ExtentFile(PathBuf);

#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    #[serde(flatten)]
    extent: Extent,
}

impl ExtentFile {
    /// `directory` is `spool.directory`.
    pub fn of(directory: &Path, source: &SourceName) -> Self {
        Self(directory.join(format!("{source}.extent")))
    }

    /// Returns the source whose note has this file name.
    pub fn source(name: &str) -> Option<SourceName> {
        SourceName::new(name.strip_suffix(".extent")?)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Writes the note; durable when it returns.
    pub fn note(&self, disk: &dyn Disk, extent: Extent) -> io::Result<()> {
        let json = serde_json::to_string(&Content { version: VERSION, extent })?;
        disk::write_atomically(disk, &self.0, &with_checksum(&json))
    }

    pub fn not_noted(&self, error: &io::Error) {
        tracing::warn!(
            path = %self.0.display(), %error,
            "cannot record how far the spool goes; if its end goes missing, a start may not notice"
        );
    }

    /// Reads the note; `None` where there is none that can be used. Only a later version is an error.
    pub fn read(&self, disk: &dyn Disk) -> Result<Option<Extent>, OpenError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let text = match disk::read_file(disk, &self.0) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Ok(self.tells_nothing(&error)),
        };
        let json = match checked(&text) {
            Ok(json) => json,
            Err(why) => return Ok(self.tells_nothing(&why)),
        };
        match serde_json::from_str(json) {
            Ok(Versioned { version: VERSION }) => {}
            Ok(Versioned { version }) => {
                let found = format!("format version {version}, but this program reads {VERSION}");
                return Err(OpenError::NewerFormat { path: self.0.clone(), found });
            }
            Err(error) => return Ok(self.tells_nothing(&error)),
        }
        match serde_json::from_str(json) {
            Ok(Content { extent, .. }) if extent.behind() > LARGEST_SEQUENCE => {
                Ok(self.tells_nothing(&"it names a number that no delivery can have"))
            }
            Ok(Content { extent, .. }) => Ok(Some(extent)),
            Err(error) => Ok(self.tells_nothing(&error)),
        }
    }

    fn tells_nothing(&self, why: &dyn std::fmt::Display) -> Option<Extent> {
        let path = self.0.display();
        tracing::warn!(%path, %why, "the record of how far the spool goes cannot be used");
        None
    }
}
