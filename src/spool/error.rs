//! Errors of a spool, each with the reaction that is expected of the caller.

use std::{io, path::PathBuf};

use uuid::Uuid;

use super::disk;
use crate::source::SourceName;

/// The spool cannot be opened; nothing on disk was changed because of it.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(
        "spool folder {directory} is in use by another process: stop that one, or give this one \
         another `spool.directory`"
    )]
    Locked { directory: PathBuf },
    #[error("spool of `{spool}` is already open in this process")]
    AlreadyOpen { spool: SourceName },
    #[error(
        "{path} is written in a newer format ({found}): start the newer version again, or let it drain \
         the spool before going back"
    )]
    NewerFormat { path: PathBuf, found: String },
    #[error(
        "{segment} belongs to the spool {found}, but the identity file beside it says {expected}: \
         a segment of another spool was copied here; move it away"
    )]
    Foreign { segment: PathBuf, found: Uuid, expected: Uuid },
    #[error(
        "{segments} is gone, and {extent} says that deliveries were stored there: see that the volume is there, or \
         bring the folder back. If it was removed on purpose, remove {extent} too"
    )]
    Gone { segments: PathBuf, extent: PathBuf },
    #[error("{path} cannot be used: {problem}")]
    Identity { path: PathBuf, problem: String },
    /// May pass. If it does not, repeated opening treats a small unreadable range as damage.
    #[error("the disk cannot read {path} at byte {offset}: {error}")]
    Unreadable { path: PathBuf, offset: u64, error: io::Error },
    #[error(
        "the disk cannot read {path} at byte {offset}, and more of it than a few bad sectors: see that the \
         volume is there and whole. If it stays so, copy `spool.directory` to another one with a tool \
         that reads around bad sectors (ddrescue) and start from there: what it could not read is damage \
         like any other"
    )]
    BadDisk { path: PathBuf, offset: u64 },
    #[error(
        "spool: {doing} {path} failed: {error}; `spool.directory` must be a folder that this process \
         may write"
    )]
    Io { doing: &'static str, path: PathBuf, error: io::Error },
}

impl OpenError {
    /// Returns whether the same call may succeed later by itself; other errors need an operator.
    pub fn is_worth_retrying(&self) -> bool {
        match self {
            Self::Unreadable { .. } => true,
            Self::Io { error, .. } => disk::is_out_of_files(error) || disk::is_out_of_memory(error),
            Self::Locked { .. }
            | Self::AlreadyOpen { .. }
            | Self::NewerFormat { .. }
            | Self::Foreign { .. }
            | Self::Gone { .. }
            | Self::Identity { .. }
            | Self::BadDisk { .. } => false,
        }
    }

    /// Returns whether it concerns this one spool: the others can be opened all the same.
    pub fn is_of_one_spool(&self) -> bool {
        match self {
            Self::Foreign { .. }
            | Self::Gone { .. }
            | Self::Identity { .. }
            | Self::Unreadable { .. }
            | Self::BadDisk { .. }
            | Self::Io { .. } => true,
            // Going back behind a later version either works or changes nothing.
            Self::Locked { .. } | Self::AlreadyOpen { .. } | Self::NewerFormat { .. } => false,
        }
    }
}

/// A delivery was not stored. Whatever the reason, the sender must get an answer after which it tries again.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// Passes when space is made: by delivering, by a larger limit, by a larger volume.
    #[error("spool of `{spool}` is full: {limit}")]
    Full { spool: SourceName, limit: Limit },
    /// A sync or a write failed: nothing is acknowledged any more until the process restarts.
    #[error("spool of `{spool}` is poisoned by a failed write or sync; the process must restart")]
    Poisoned { spool: SourceName },
    #[error("spool of `{spool}` is closed")]
    Closed { spool: SourceName },
    /// The source's files need an operator; the other sources go on.
    #[error("source `{spool}` is set aside: its files are not usable, see the log")]
    SetAside { spool: SourceName },
    /// Headers over 64 KiB or a body over 4 GiB: no limit to change, the format ends there.
    #[error("delivery for `{spool}` exceeds the frame size (headers 64 KiB, body 4 GiB)")]
    TooLarge { spool: SourceName },
}

/// The limit that a full spool reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Limit {
    #[error(
        "undelivered bytes reach `spool.size_limit` ({bytes} bytes) or this source's share of it"
    )]
    Total { bytes: u64 },
    #[error("its undelivered bytes reach `sources.<name>.size_limit` ({bytes} bytes)")]
    Source { bytes: u64 },
    #[error("free space on the volume is down to `spool.reserve` ({bytes} bytes)")]
    Reserve { bytes: u64 },
    #[error("the volume of `spool.directory` has no space left")]
    Volume,
    #[error("the process or the machine reached its open-file limit (`ulimit -n`)")]
    Files,
    #[error("the machine has no memory left for file operations")]
    Memory,
    #[error("cannot create a new file in the source's folder below `spool.directory`")]
    Folder,
}

impl Limit {
    /// Returns the limit behind an error of a shortage; `None` for any other error.
    pub(super) fn of_shortage(error: &io::Error) -> Option<Self> {
        match () {
            () if disk::is_no_space(error) => Some(Self::Volume),
            () if disk::is_out_of_files(error) => Some(Self::Files),
            () if disk::is_out_of_memory(error) => Some(Self::Memory),
            () => None,
        }
    }

    /// Returns the configuration key that an operator would change.
    pub fn key(&self, spool: &SourceName) -> String {
        match self {
            Self::Total { .. } => "spool.size_limit".into(),
            Self::Source { .. } => format!("sources.{spool}.size_limit"),
            Self::Reserve { .. } => "spool.reserve".into(),
            Self::Volume | Self::Folder => "spool.directory".into(),
            Self::Files => "listen.connections".into(),
            Self::Memory => "listen.body_budget".into(),
        }
    }
}

/// Stored deliveries could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("reading {segment} at byte {offset} failed: {error}")]
    Io { segment: PathBuf, offset: u64, error: io::Error },
    #[error("{segment} at byte {offset} is written in a newer format ({found})")]
    NewerFormat { segment: PathBuf, offset: u64, found: String },
    #[error("{segment} belongs to the spool {found}, not to {expected}: move it away")]
    Foreign { segment: PathBuf, found: Uuid, expected: Uuid },
}

impl ReadError {
    /// Returns whether the same call may succeed later by itself. The reader has not moved.
    pub fn is_worth_retrying(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}
