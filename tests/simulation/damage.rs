//! Spoils a segment on the simulated disk, and says which events were in the spoilt frame. A second flip of
//! the same bit heals it, as a page that is read once more from the disk does.

use std::{
    collections::BTreeMap,
    ops::Range,
    path::{Path, PathBuf},
};

use fastrand::Rng;
use millrace::spool::disk::Disk;

use crate::simulated_disk::SimulatedDisk;

/// Lengths of a segment's header and of a frame's head, as the format has them.
const HEADER: usize = 64;
const HEAD: usize = 32;

/// Segments as they were before their first bit flipped: only those tell what the next one hits.
pub type Whole = BTreeMap<PathBuf, Vec<u8>>;

/// What one flipped bit did.
pub struct Flip {
    /// The events in the frame.
    pub events: Vec<String>,
    /// The frame is whole again: an earlier flip was undone.
    pub heals: bool,
}

/// Flips one bit of a sealed segment; `None` when there is no such segment.
pub fn flip_a_bit(
    disk: &SimulatedDisk,
    directory: &Path,
    random: &mut Rng,
    whole: &mut Whole,
) -> Option<Flip> {
    let segments = directory.join("segments");
    let mut names = disk.list(&segments).ok()?;
    names.sort();
    names.pop()?; // the last one grows
    if names.is_empty() {
        return None;
    }
    let path = segments.join(&names[random.usize(..names.len())]);
    let mut bytes = disk.content(&path);
    let offset = random.usize(HEADER..bytes.len());
    let before = whole.entry(path.clone()).or_insert_with(|| bytes.clone());
    bytes[offset] ^= 1 << random.u8(..8);
    let frame = frame_at(before, offset);
    let events = frame.clone().map(|frame| ids(&before[frame])).unwrap_or_default();
    let heals = frame.is_some_and(|frame| bytes[frame.clone()] == before[frame]);
    disk.set_content(&path, bytes);
    Some(Flip { events, heals })
}

/// Flips one bit of the first frame that has this text; `false` when there is none.
pub fn spoil_the_first_frame_with(disk: &SimulatedDisk, directory: &Path, text: &str) -> bool {
    let segments = directory.join("segments");
    let mut names = disk.list(&segments).unwrap_or_default();
    names.sort();
    names.iter().any(|name| {
        let path = segments.join(name);
        let mut bytes = disk.content(&path);
        let found = bytes.windows(text.len()).position(|found| found == text.as_bytes());
        if let Some(at) = found {
            bytes[at] ^= 1;
            disk.set_content(&path, bytes);
        }
        found.is_some()
    })
}

/// Flips one bit of a file of ids; `false` when there is none.
pub fn flip_a_bit_of_ids(disk: &SimulatedDisk, directory: &Path, random: &mut Rng) -> bool {
    let folder = directory.join("ids");
    let mut names = disk.list(&folder).unwrap_or_default();
    names.sort();
    let Some(name) = random.choice(&names) else { return false };
    let path = folder.join(name);
    let mut bytes = disk.content(&path);
    if bytes.is_empty() {
        return false;
    }
    let offset = random.usize(..bytes.len());
    bytes[offset] ^= 1 << random.u8(..8);
    disk.set_content(&path, bytes);
    true
}

/// Where the frame around `offset` lies.
fn frame_at(bytes: &[u8], offset: usize) -> Option<Range<usize>> {
    let mut start = HEADER;
    while let Some(head) = bytes.get(start..start + HEAD) {
        let headers = usize::from(u16::from_le_bytes([head[24], head[25]]));
        let body = u32::from_le_bytes([head[28], head[29], head[30], head[31]]) as usize;
        let end = start.saturating_add(HEAD + headers + body);
        if offset < end {
            return Some(start..end.min(bytes.len()));
        }
        start = end;
    }
    None
}

fn ids(frame: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(frame);
    text.split('"')
        .filter(|word| word.starts_with("event-") || word.starts_with("body-"))
        .map(str::to_owned)
        .collect()
}
