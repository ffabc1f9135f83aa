//! What lies in the spool's folder, as far as a start would stumble over it: an identity, a checkpoint or a
//! fence that sets a source aside, and files of a later version, which end the start. Nothing is locked: a
//! service may be at work in the folder.

use std::{io, sync::Arc};

use crate::{
    config::Config,
    deliver::checkpoint::CheckpointFile,
    service::{StartError, versions},
    source::SourceName,
    spool::{
        OpenError,
        disk::{Disk, RealDisk},
        viewer::Viewer,
    },
};

/// Each problem goes on from the key `spool.directory`, and is followed by what to do.
pub(super) fn problems(config: &Config) -> Vec<(String, &'static str)> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let directory = &config.spool.directory;
    let name = directory.display();
    if let Err(newer) = versions::check(&disk, directory) {
        let remedy = "Until then no start goes on with this folder.";
        return vec![(format!("is `{name}`: {newer}"), remedy)];
    }
    let stored = |source: &SourceName| {
        let why = stored(&disk, config, source).err()?;
        let problem = format!("is `{name}`, and a start sets source `{source}` aside: {why}");
        Some((
            problem,
            "Until then its deliveries are answered 503, and nothing of it is delivered.",
        ))
    };
    config.sources.iter().filter_map(|source| stored(&source.name)).collect()
}

/// In the order in which a start looks.
fn stored(disk: &Arc<dyn Disk>, config: &Config, source: &SourceName) -> Result<(), StartError> {
    let directory = &config.spool.directory;
    let checkpoint = CheckpointFile::new(disk.clone(), &directory.join(source.as_str()));
    checkpoint.check_fence()?;
    let saved = checkpoint.load()?;
    let spool = match Viewer::open(disk.clone(), directory, source) {
        Ok(viewer) => viewer.id(),
        // A start makes what was never there.
        Err(OpenError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    match (saved, spool) {
        (Some(saved), Some(spool)) => Ok(checkpoint.check(&saved, spool)?),
        _ => Ok(()),
    }
}
