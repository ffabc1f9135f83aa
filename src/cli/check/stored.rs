//! Checks the spool's folder for files that would stop a start: an identity, a checkpoint or a fence that sets a
//! source aside, and files of a later version, which end the start. Nothing is locked: a service may be at work in
//! the folder.

use std::{io, sync::Arc};

use uuid::Uuid;

use crate::{
    config::Config,
    deliver::checkpoint::CheckpointFile,
    service::{StartError, versions},
    source::SourceName,
    spool::{
        OpenError,
        disk::{Disk, RealDisk},
        viewer::{self, Viewer},
    },
};

/// Returns problems and their remedies. Each problem continues the sentence that begins with the key `spool.directory`.
pub(super) fn problems(config: &Config) -> Vec<(String, &'static str)> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let directory = &config.spool.directory;
    let name = directory.display();
    if let Err(newer) = versions::check(&disk, directory) {
        let remedy = "Until then no start goes on with this folder.";
        return vec![(format!("is `{name}`: {newer}"), remedy)];
    }
    let stored = |source: &SourceName| Some((source.clone(), stored(&disk, config, source).err()?));
    let stopped: Vec<_> = config.sources.iter().filter_map(|source| stored(&source.name)).collect();
    let is_all = stopped.len() == config.sources.len();
    let problems = stopped.into_iter().map(|(source, why)| match is_all {
        true => (
            format!("is `{name}`, and a start ends, since no source is left: `{source}`: {why}"),
            "Until then no start goes on.",
        ),
        false => (
            format!("is `{name}`, and a start sets source `{source}` aside: {why}"),
            "Until then its deliveries are answered 503, and nothing of it is delivered.",
        ),
    });
    problems.collect()
}

/// Describes repairs that a start makes by itself and that an operator should know of before.
pub(super) fn repairs(config: &Config) -> Vec<String> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let gone = |source: &SourceName| {
        let opened = Viewer::open(disk.clone(), &config.spool.directory, source);
        let Err(gone @ OpenError::Gone { .. }) = opened else { return None };
        Some(format!(
            "source `{source}`: {gone}. A start goes on all the same: it begins new segments behind the \
             numbers of those that are gone, and reports these as damage"
        ))
    };
    config.sources.iter().filter_map(|source| gone(&source.name)).collect()
}

/// Looks at one source in the order in which a start does.
fn stored(disk: &Arc<dyn Disk>, config: &Config, source: &SourceName) -> Result<(), StartError> {
    let directory = &config.spool.directory;
    let checkpoint = CheckpointFile::new(disk.clone(), &directory.join(source.as_str()));
    checkpoint.check_fence()?;
    let saved = checkpoint.load()?;
    let spool = match Viewer::open(disk.clone(), directory, source) {
        Ok(viewer) => viewer.id(),
        // A start creates a spool that was never there.
        Err(OpenError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => None,
        // It also goes on without lost segments (`repairs`), for the spool that the identity names.
        Err(OpenError::Gone { .. }) => {
            let id = viewer::id_without_segments(&**disk, directory, source)?;
            // Without an identity a start creates a new one, to which a saved checkpoint does not belong.
            id.or_else(|| saved.is_some().then(Uuid::nil))
        }
        Err(error) => return Err(error.into()),
    };
    match (saved, spool) {
        (Some(saved), Some(spool)) => Ok(checkpoint.check(&saved, spool)?),
        _ => Ok(()),
    }
}
