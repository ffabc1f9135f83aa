//! The checkpoint's file: a line of JSON, and its CRC32C in hexadecimal. It is written aside, synced and
//! renamed, so that a crash leaves the old one or the new one and never half of one. The files beside it say
//! which process may continue from it.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use uuid::Uuid;

use super::{Checkpoint, CheckpointError, Writers};
use crate::spool::{
    checksummed::{checked, with_checksum},
    disk::{self, Disk},
};

/// The checkpoint's file of one spool.
pub struct CheckpointFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    fenced: PathBuf,
    writers: Writers,
}

impl CheckpointFile {
    /// `folder` is the source's folder below `spool.directory`.
    pub fn new(disk: Arc<dyn Disk>, folder: &Path) -> Self {
        let writers = Writers::new(disk.clone(), folder.join("writers"));
        Self { disk, path: folder.join("checkpoint"), fenced: folder.join("fenced"), writers }
    }

    /// The processes that may have written to the topic of checkpoints.
    pub fn writers(&self) -> &Writers {
        &self.writers
    }

    /// Stops later starts, since another instance (`writer`) delivers the same spool: an operator has to decide which
    /// one is right, and does so by removing the file. Otherwise each start would stop the other instance in turn.
    pub fn fence(&self, what: &str, writer: Option<Uuid>) -> Result<(), CheckpointError> {
        disk::write_atomically(&*self.disk, &self.fenced, what.as_bytes())
            .map_err(|source| CheckpointError::Io { path: self.fenced.clone(), source })?;
        writer.map_or(Ok(()), |writer| self.writers.accept(writer))
    }

    /// Whether an earlier process was stopped by [`CheckpointFile::fence`].
    pub fn check_fence(&self) -> Result<(), CheckpointError> {
        let path = self.fenced.clone();
        match disk::read_file(&*self.disk, &path) {
            Ok(text) => {
                let what = String::from_utf8_lossy(&text).trim().into();
                Err(CheckpointError::Fenced { path, what })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(CheckpointError::Io { path, source }),
        }
    }

    /// `None` when nothing was ever delivered from this spool.
    pub fn load(&self) -> Result<Option<Checkpoint>, CheckpointError> {
        let text = match disk::read_file(&*self.disk, &self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CheckpointError::Io { path: self.path.clone(), source }),
        };
        decode(&self.path, &text).map(Some)
    }

    /// Refuses a checkpoint of another spool: it says nothing about the segments beside it.
    pub fn check(&self, checkpoint: &Checkpoint, spool: Uuid) -> Result<(), CheckpointError> {
        if checkpoint.spool == spool {
            return Ok(());
        }
        let path = self.path.clone();
        let found = checkpoint.spool;
        Err(CheckpointError::OtherSpool { path, found, expected: spool })
    }

    /// Replaces the file; durable when it returns.
    pub fn store(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        disk::write_atomically(&*self.disk, &self.path, &encode(checkpoint))
            .map_err(|source| CheckpointError::Io { path: self.path.clone(), source })
    }
}

fn encode(checkpoint: &Checkpoint) -> Vec<u8> {
    with_checksum(&checkpoint.to_json())
}

fn decode(path: &Path, text: &[u8]) -> Result<Checkpoint, CheckpointError> {
    let damaged = |what: &str| CheckpointError::Damaged { path: path.into(), what: what.into() };
    Checkpoint::parse(path, checked(text).map_err(damaged)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{deliver::checkpoint::Held, spool::position::Position};

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
        let decoded = decode(Path::new("c"), &encode(&checkpoint())).unwrap();
        assert_eq!(decoded, checkpoint());
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = encode(&checkpoint());
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            // A flip in the white space or the case of the checksum's digits changes nothing.
            if let Ok(read) = decode(Path::new("c"), &bad) {
                assert_eq!(read, checkpoint(), "bit {bit}");
            }
        }
    }

    #[test]
    fn every_truncation_is_damage_or_the_whole() {
        let good = encode(&checkpoint());
        for length in 0..good.len() - 1 {
            assert!(decode(Path::new("c"), &good[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn a_later_format_is_refused_by_its_version() {
        let json = r#"{"version":3,"surprise":true}"#;
        let text = format!("{json}\n{:08x}\n", crc32c::crc32c(json.as_bytes()));
        let error = decode(Path::new("c"), text.as_bytes()).unwrap_err();
        assert!(matches!(error, CheckpointError::Version { found: 3, .. }), "{error}");
    }
}
