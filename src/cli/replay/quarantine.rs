//! Replays events from the quarantine folder of a source.

use std::{fs, io, path::Path};

use serde::Deserialize;

use super::Replay;
use crate::{
    config::Config,
    service::replay::{
        body::Kept,
        letters::spool_id,
        quarantined::{Expected, Folder},
    },
    source::SourceName,
    spool::position::Position,
};

/// The members of `<name>.json` that a replay needs. `quarantine.rs` writes that file.
#[derive(Deserialize)]
struct Label {
    version: u32,
    position: String,
    reason: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    key: Option<String>,
    #[serde(default)]
    origin: Option<String>,
    length: u64,
    sha256: String,
}

/// The reason of items that are damaged ranges of the spool, not events.
const DAMAGE_REASON: &str = "damage";

pub(super) fn replay(
    source: &SourceName,
    reasons: &[String],
    config: &Config,
    replay: &mut Replay,
) -> Result<(), String> {
    let folder = Folder::of(config, source);
    let spool = spool_id(&config.spool.directory, source);
    let names =
        labels(folder.path()).map_err(|error| format!("{}: {error}", folder.path().display()))?;
    let total = names.len() as u64;
    for (done, name) in (1..).zip(names) {
        match item(&folder, &name, reasons) {
            Ok(None) => {}
            Ok(Some(Item { label, position, original })) => {
                let reason = &label.reason;
                let origin = label.origin.as_deref();
                let key = label.key.as_deref().unwrap_or_default().as_bytes();
                let original = &original;
                let error = label.error.as_deref();
                Kept { source, spool, position, reason, error, origin, key, original }
                    .play(&mut replay.player)?;
            }
            Err(problem) => replay.player.problem(format!("{name}: {problem}")),
        }
        replay.bar.show(done, total, || format!("{done} of {total} items"));
    }
    Ok(())
}

/// One item of the quarantine, read as a whole.
struct Item {
    label: Label,
    position: Position,
    original: Vec<u8>,
}

/// Returns the names of the complete items, in the order of their positions; none where there is no
/// folder.
fn labels(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut names = Vec::new();
    for entry in entries {
        let name = entry?.file_name().to_string_lossy().into_owned();
        names.extend(name.strip_suffix(".json").map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Reads one item; `None` when `reasons` excludes it.
fn item(folder: &Folder, name: &str, reasons: &[String]) -> Result<Option<Item>, String> {
    let file = |extension: &str| format!("{name}.{extension}");
    let in_file = |extension: &str, error: String| format!("{}: {error}", file(extension));
    let label = folder.label(file("json").as_ref()).map_err(|error| in_file("json", error))?;
    let label: Label = serde_json::from_slice(&label)
        .map_err(|error| format!("its metadata file cannot be read: {error}"))?;
    if label.version != 1 {
        let other = label.version;
        return Err(format!(
            "its metadata file has version {other}, which this program does not support"
        ));
    }
    if label.reason == DAMAGE_REASON || !(reasons.is_empty() || reasons.contains(&label.reason)) {
        return Ok(None);
    }
    let position = label.position.parse()?;
    let expected = Expected { length: label.length, sha256: &label.sha256 };
    let original =
        folder.bytes(file("bytes").as_ref(), &expected).map_err(|it| in_file("bytes", it))?;
    Ok(Some(Item { label, position, original }))
}
