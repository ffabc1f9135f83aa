//! Whether a later version of this program has written into the spool's folder.
//!
//! Looked at before anything there is opened, cut or made: going back to an older version either works
//! or changes nothing. Each format says its version in the same place in all versions; damage is told
//! from it, and is what the stages deal with themselves.

use std::{path::Path, sync::Arc};

use super::StartError;
use crate::{
    deliver::{
        checkpoint::{CheckpointError, CheckpointFile},
        deduplicate,
        in_force::InForceFile,
    },
    source::SourceName,
    spool::{
        OpenError,
        disk::Disk,
        viewer::{self, Viewer},
    },
};

/// Every source that is there, whether it is configured or not.
pub fn check(disk: &Arc<dyn Disk>, directory: &Path) -> Result<(), StartError> {
    // A folder that cannot be listed cannot be opened either, which says more.
    let sources = viewer::sources(&**disk, directory).unwrap_or_default();
    sources.iter().try_for_each(|source| check_source(disk, directory, source))
}

/// Identity, segments, checkpoint, writers, selections and ids of one source.
pub fn check_source(
    disk: &Arc<dyn Disk>,
    directory: &Path,
    source: &SourceName,
) -> Result<(), StartError> {
    let segments = Viewer::open(disk.clone(), directory, source);
    if let Err(newer @ OpenError::NewerFormat { .. }) = segments.and_then(|it| it.check_versions())
    {
        return Err(newer.into());
    }
    let checkpoint = CheckpointFile::new(disk.clone(), &directory.join(source.as_str()));
    if let Err(newer @ CheckpointError::Version { .. }) = checkpoint.load() {
        return Err(newer.into());
    }
    if let Err(newer @ CheckpointError::Version { .. }) = checkpoint.writers().check_version() {
        return Err(newer.into());
    }
    InForceFile::new(disk.clone(), &directory.join(source.as_str())).check_version()?;
    Ok(deduplicate::check_versions(&**disk, directory, source)?)
}
