//! Whether a later version has written the ids of a source, or their key.
//!
//! Damaged ids are skipped, at the price of repeats. Those of a later version are whole, and an operator
//! is about to downgrade: that price is theirs to accept, so the start reports it and ends.

use std::path::{Path, PathBuf};

use super::{format, key, sidecar};
use crate::{
    source::SourceName,
    spool::disk::{self, Disk},
};

/// Enough bytes for a header, and for a whole key: its checksum is at its end.
const HEADER_READ_BYTES: usize = 4096;

/// A file of a later version. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{path} has the ids of delivered events, or their key, in a newer format (version {found}, this \
     program reads {known}): start the newer version again, or move the file away, and what is repeated \
     of those events is delivered again"
)]
pub struct NewerIds {
    pub path: PathBuf,
    pub found: u32,
    pub known: u32,
}

/// Fails with the first file of `source`'s ids, or their key, that a later version has written. Unreadable
/// files are reported elsewhere.
pub fn check_versions(
    disk: &dyn Disk,
    directory: &Path,
    source: &SourceName,
) -> Result<(), NewerIds> {
    let path = key::path(directory);
    if let Some(found) = beginning(disk, &path).and_then(|bytes| key::later_version(&bytes)) {
        return Err(NewerIds { path, found, known: key::VERSION });
    }
    let folder = sidecar::folder_in(&directory.join(source.as_str()));
    for number in sidecar::numbers(disk, &folder).unwrap_or_default() {
        let path = sidecar::path(&folder, number);
        if let Some(found) = beginning(disk, &path).and_then(|bytes| format::later_version(&bytes))
        {
            return Err(NewerIds { path, found, known: format::VERSION });
        }
    }
    Ok(())
}

fn beginning(disk: &dyn Disk, path: &Path) -> Option<Vec<u8>> {
    let mut bytes = vec![0; HEADER_READ_BYTES];
    let read = disk::read_full(&*disk.open_to_read(path).ok()?, &mut bytes, 0).ok()?;
    bytes.truncate(read);
    Some(bytes)
}
