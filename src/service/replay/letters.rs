//! A dead letter, as it is on its topic.

use std::{borrow::Cow, path::Path, sync::Arc};

use serde::Deserialize;
use uuid::Uuid;

use super::{
    body::Kept,
    player::Player,
    quarantined::{Expected, Folder},
};
use crate::{
    config::Config,
    kafka::ReadRecord,
    source::{ORIGIN_HEADER, SourceName},
    spool::{disk::RealDisk, position::Position, viewer::Viewer},
};

/// What `dead_letter.rs` writes where the original is too large for a record.
#[derive(Deserialize)]
struct Pointer<'a> {
    #[serde(borrow)]
    quarantine_path: Cow<'a, str>,
    length: u64,
    #[serde(borrow)]
    sha256: Cow<'a, str>,
}

/// What its headers say.
pub(crate) struct Letter<'a> {
    pub record: &'a ReadRecord,
    pub source: SourceName,
    pub position: Position,
    pub reason: &'a str,
}

impl<'a> Letter<'a> {
    /// `None` of a record that is none of ours.
    pub fn of(record: &'a ReadRecord) -> Option<Self> {
        let source = record.header("millrace-source").and_then(SourceName::new)?;
        let position = record.header("millrace-position")?.parse().ok()?;
        let reason = record.header("millrace-reason").unwrap_or_default();
        Some(Self { record, source, position, reason })
    }

    /// Replays it. The error says that nothing can be sent any more.
    pub fn play(&self, config: &Config, player: &mut Player) -> Result<(), String> {
        let Self { record, source, position, reason } = self;
        let value = record.value.as_deref().unwrap_or_default();
        let pointed = match record.header("millrace-quarantined") {
            None => None,
            Some(_) => match pointed(&Folder::of(config, source), value) {
                Ok(bytes) => Some(bytes),
                Err(problem) => {
                    player.failed(source, *position, None, problem);
                    return Ok(());
                }
            },
        };
        let kept = Kept {
            source,
            spool: spool_id(&config.spool.directory, source),
            position: *position,
            reason,
            origin: record.header(ORIGIN_HEADER),
            key: record.key.as_deref().unwrap_or_default(),
            original: pointed.as_deref().unwrap_or(value),
        };
        kept.play(player)
    }
}

/// The original, where only a pointer to it could be sent.
fn pointed(folder: &Folder, value: &[u8]) -> Result<Vec<u8>, String> {
    let pointer: Pointer = serde_json::from_slice(value)
        .map_err(|_| "it points to the quarantine in a way that can't be read".to_owned())?;
    let expected = Expected { length: pointer.length, sha256: &pointer.sha256 };
    folder.pointed(&pointer.quarantine_path, &expected)
}

/// The id of a source's spool, if that is on this machine. Events with an id of their own don't need
/// it.
pub(crate) fn spool_id(directory: &Path, source: &SourceName) -> Uuid {
    let viewer = Viewer::open(Arc::new(RealDisk), directory, source);
    viewer.ok().and_then(|viewer| viewer.id()).unwrap_or_default()
}
