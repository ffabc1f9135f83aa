//! From the quarantine folder of a source.

use std::{fs, io, path::Path};

use serde::Deserialize;

use super::{Replay, body::Kept, letters::spool_id};
use crate::{config::Config, delivery::SourceName, spool::position::Position};

/// Of `<name>.json`, what a replay needs. `quarantine.rs` writes it.
#[derive(Deserialize)]
struct Label {
    version: u32,
    position: String,
    reason: String,
    #[serde(default)]
    key: Option<String>,
}

/// What keeps ranges of the spool and no events.
const DAMAGE: &str = "damage";

pub(super) fn replay(
    source: &SourceName,
    reasons: &[String],
    config: &Config,
    replay: &mut Replay,
) -> Result<(), String> {
    let folder = config.spool.directory.join(source.as_str()).join("quarantine");
    let spool = spool_id(&config.spool.directory, source);
    let names = labels(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let total = names.len() as u64;
    for (done, name) in (1..).zip(names) {
        let (label, original) = match item(&folder, &name) {
            Ok(item) => item,
            Err(problem) => {
                replay.player.problem(format!("{name}: {problem}"));
                continue;
            }
        };
        let wanted =
            label.reason != DAMAGE && (reasons.is_empty() || reasons.contains(&label.reason));
        if wanted {
            let position: Position = label.position.parse()?;
            let key = label.key.as_deref().unwrap_or_default().as_bytes();
            Kept { source, spool, position, key, original: &original }.play(replay)?;
        }
        replay.bar.show(done, total, || format!("{done} of {total} items"));
    }
    Ok(())
}

/// The names of the items that are whole, in the order of their positions; none where there is no
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

fn item(folder: &Path, name: &str) -> Result<(Label, Vec<u8>), String> {
    let read = |extension: &str| {
        let path = folder.join(format!("{name}.{extension}"));
        fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let label: Label = serde_json::from_slice(&read("json")?)
        .map_err(|error| format!("its label can't be read: {error}"))?;
    match label.version {
        1 => Ok((label, read("bytes")?)),
        other => Err(format!("its label is of version {other}, which this program does not know")),
    }
}
