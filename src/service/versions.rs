//! Checks whether a later version of this program has written into the spool's folder.
//!
//! Runs before any file there is opened, cut or created: going back to an older version either works
//! or changes nothing. Each format has its version in the same place in all versions, so that it differs from
//! damage, which the stages handle themselves.

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

/// Checks every source in the folder, whether it is configured or not.
pub fn check(disk: &Arc<dyn Disk>, directory: &Path) -> Result<(), StartError> {
    // A folder that cannot be listed cannot be opened either, and that error says more.
    let sources = viewer::sources(&**disk, directory).unwrap_or_default();
    sources.iter().try_for_each(|source| check_source(disk, directory, source))
}

/// Checks identity, segments, checkpoint, writers, selections and ids of one source.
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
