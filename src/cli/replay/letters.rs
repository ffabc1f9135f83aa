//! From the dead-letter topic.

use std::{borrow::Cow, path::Path, sync::Arc, time::Duration};

use serde::Deserialize;
use uuid::Uuid;

use super::{
    Replay,
    body::Kept,
    quarantined::{Expected, Folder},
};
use crate::{
    cli::text,
    config::Config,
    kafka::{ReadRecord, Reader, Select},
    source::{ORIGIN_HEADER, SourceName},
    spool::{disk::RealDisk, position::Position, viewer::Viewer},
};

/// Records taken at once, and how long the first is waited for.
const MOST: usize = 500;
const WAIT: Duration = Duration::from_millis(250);

/// What `dead_letter.rs` writes where the original is too large for a record.
#[derive(Deserialize)]
struct Pointer<'a> {
    #[serde(borrow)]
    quarantine_path: Cow<'a, str>,
    length: u64,
    #[serde(borrow)]
    sha256: Cow<'a, str>,
}

pub(super) fn replay(
    sources: &[SourceName],
    reasons: &[String],
    config: &Config,
    replay: &mut Replay,
) -> Result<(), String> {
    let topic = config.topics.dead_letter.clone();
    let mut reader = Reader::open(&config.kafka, Select::Topics(vec![topic]))
        .map_err(|error| error.to_string())?;
    let mut read = 0;
    loop {
        let records = reader.read(MOST, WAIT).map_err(|error| error.to_string())?;
        if records.is_empty() && reader.is_at_end().map_err(|error| error.to_string())? {
            return Ok(());
        }
        for record in &records {
            letter(record, sources, reasons, config, replay)?;
        }
        read += records.len() as u64;
        replay.bar.show(0, 1, || text::counted(read, "dead letter read", "dead letters read"));
    }
}

fn letter(
    record: &ReadRecord,
    sources: &[SourceName],
    reasons: &[String],
    config: &Config,
    replay: &mut Replay,
) -> Result<(), String> {
    let place = format!("partition {} offset {}", record.partition, record.offset);
    let source = record.header("millrace-source").and_then(SourceName::new);
    let position =
        record.header("millrace-position").and_then(|text| text.parse::<Position>().ok());
    let (Some(source), Some(position)) = (source, position) else {
        replay.player.problem(format!("{place}: not a dead letter of millrace"));
        return Ok(());
    };
    let reason = record.header("millrace-reason").unwrap_or_default();
    let wanted = (sources.is_empty() || sources.contains(&source))
        && (reasons.is_empty() || reasons.iter().any(|wanted| wanted == reason));
    if !wanted {
        return Ok(());
    }
    let value = record.value.as_deref().unwrap_or_default();
    let pointed = match record.header("millrace-quarantined") {
        None => None,
        Some(_) => match pointed(&Folder::of(config, &source), value) {
            Ok(bytes) => Some(bytes),
            Err(problem) => {
                replay.player.problem(format!("{source} {position}: {problem}"));
                return Ok(());
            }
        },
    };
    let kept = Kept {
        source: &source,
        spool: spool_id(&config.spool.directory, &source),
        position,
        reason,
        origin: record.header(ORIGIN_HEADER),
        key: record.key.as_deref().unwrap_or_default(),
        original: pointed.as_deref().unwrap_or(value),
    };
    kept.play(replay)
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
pub(super) fn spool_id(directory: &Path, source: &SourceName) -> Uuid {
    let viewer = Viewer::open(Arc::new(RealDisk), directory, source);
    viewer.ok().and_then(|viewer| viewer.id()).unwrap_or_default()
}
