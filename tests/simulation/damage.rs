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

/// Frames that a disk has spoilt, by their segment and their first byte. Only those tell where the ones behind them begin.
pub type Spoilt = BTreeMap<PathBuf, BTreeMap<usize, Frame>>;

/// A frame as it was written.
#[derive(Clone, Debug)]
pub struct Frame {
    bytes: Vec<u8>,
    /// As long as the disk may still give it back as it was.
    pub is_hidden: bool,
}

/// What a disk does to what it has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// A few bits of a sector are others.
    Bits,
    /// A page has zeros.
    Zeros,
    /// A page has what belongs to another place.
    Misplaced,
    /// A page cannot be read.
    Unreadable,
}

const PAGE: usize = 4096;

/// Does harm to a segment, the one that grows included; the events in what is hit.
pub fn harm(
    disk: &SimulatedDisk,
    directory: &Path,
    random: &mut Rng,
    harm: Harm,
    spoilt: &mut Spoilt,
) -> Option<Vec<String>> {
    let segments = directory.join("segments");
    let mut names = disk.list(&segments).ok()?;
    names.sort();
    let name = random.choice(&names)?;
    let is_last = names.last() == Some(name);
    let generation = name.strip_suffix(".segment")?.parse().ok()?;
    let path = segments.join(name);
    let mut bytes = disk.content(&path);
    let spoilt = spoilt.entry(path.clone()).or_default();
    let frames = frames(&bytes, generation, spoilt);
    if bytes.len() <= HEADER {
        return None;
    }
    let at = random.usize(HEADER..bytes.len());
    let page = at / PAGE * PAGE..(at / PAGE * PAGE + PAGE).min(bytes.len());
    let hit = match harm {
        Harm::Bits => {
            let sector = at..(at + 16).min(bytes.len());
            // Of the last frame a length that goes bad with something else is what a write leaves that never ended.
            let bits = if is_last { 1 } else { random.usize(1..4) };
            let is_hit =
                |start: usize, frame: &[u8]| start < sector.end && at < start + frame.len();
            if is_last && frames.iter().any(|(at, it)| is_hit(*at, it) && spoilt.contains_key(at)) {
                return None;
            }
            for _ in 0..bits {
                bytes[random.usize(sector.clone())] ^= 1 << random.u8(..8);
            }
            sector
        }
        Harm::Zeros => {
            // Zeros up to the end are what a write leaves that was never synced, and nothing tells the one from the other.
            if is_last && page.end == bytes.len() {
                return None;
            }
            bytes[page.clone()].fill(0);
            page
        }
        Harm::Misplaced => {
            let other = segments.join(random.choice(&names)?);
            let found = disk.content(&other);
            let from = random.usize(..found.len().div_ceil(PAGE).max(1)) * PAGE;
            if other == path || found.len() <= from {
                return None;
            }
            for (byte, place) in page.clone().enumerate() {
                // Behind the end of a file a page has zeros; here none of them, for the reason above.
                bytes[place] = found.get(from + byte).copied().unwrap_or(0xa5);
            }
            page
        }
        Harm::Unreadable => {
            // What is written behind it would lie in the same page.
            if is_last && page.end == bytes.len() {
                return None;
            }
            disk.spoil(&path, page.start as u64..page.end as u64);
            page
        }
    };
    disk.set_content(&path, bytes);
    let mut events = Vec::new();
    for (start, frame) in frames {
        if start < hit.end && hit.start < start + frame.len() {
            events.extend(ids(&frame));
            let is_hidden = harm == Harm::Unreadable;
            let known = spoilt.entry(start).or_insert(Frame { bytes: frame, is_hidden });
            known.is_hidden &= is_hidden;
        }
    }
    Some(events)
}

/// The disk gives back what it could not read. The events in frames that are whole again.
pub fn mend(disk: &SimulatedDisk, spoilt: &mut Spoilt) -> Vec<String> {
    disk.mend();
    let frames = spoilt.values_mut().flat_map(BTreeMap::values_mut);
    frames.filter(|frame| frame.is_hidden).flat_map(|frame| ids(&frame.bytes)).collect()
}

/// All frames of a segment as they were written, by their first byte.
fn frames(bytes: &[u8], generation: u64, spoilt: &BTreeMap<usize, Frame>) -> Vec<(usize, Vec<u8>)> {
    let (mut frames, mut start) = (Vec::new(), HEADER);
    loop {
        // A head of a spoilt frame would lead astray: each frame tells where the next one begins.
        let here = frame_of(bytes, start).and_then(|frame| bytes.get(frame));
        let whole = here.filter(|frame| is_whole(frame, generation));
        let known = spoilt.get(&start).map(|frame| &frame.bytes[..]);
        if let Some(frame) = whole.or(known) {
            frames.push((start, frame.to_vec()));
            start += frame.len();
        } else {
            // What was torn and never acknowledged may stand before frames that were stored.
            let is_frame = |at: &usize| {
                let found = frame_of(bytes, *at).and_then(|frame| bytes.get(frame));
                found.is_some_and(|frame| is_whole(frame, generation)) || spoilt.contains_key(at)
            };
            let Some(next) = (start + 1..bytes.len()).find(is_frame) else { return frames };
            start = next;
        }
    }
}

fn is_whole(frame: &[u8], generation: u64) -> bool {
    let Some(head) = frame.get(..HEAD) else { return false };
    let sum = crc32c::crc32c(&generation.to_le_bytes());
    let sum = crc32c::crc32c_append(sum, &frame[8..]);
    head[..4] == *b"MRF\x01" && head[4..8] == sum.to_le_bytes()
}

/// Flips a bit of a small file, or puts zeros there; `false` when there is no such file.
pub fn harm_small(disk: &SimulatedDisk, path: &Path, random: &mut Rng) -> bool {
    if disk.info(path).is_err() {
        return false;
    }
    let mut bytes = disk.content(path);
    if bytes.is_empty() {
        return false;
    }
    match random.u8(..4) {
        0 => bytes.fill(0),
        1 => bytes.truncate(random.usize(..bytes.len())),
        _ => {
            let at = random.usize(..bytes.len());
            bytes[at] ^= 1 << random.u8(..8);
        }
    }
    disk.set_content(path, bytes);
    true
}

/// Where the frame around `offset` lies.
fn frame_at(bytes: &[u8], offset: usize) -> Option<Range<usize>> {
    let mut start = HEADER;
    while let Some(frame) = frame_of(bytes, start) {
        if offset < frame.end {
            return Some(start..frame.end.min(bytes.len()));
        }
        start = frame.end;
    }
    None
}

/// Where the frame that begins at `start` lies, by its head.
fn frame_of(bytes: &[u8], start: usize) -> Option<Range<usize>> {
    let head = bytes.get(start..start + HEAD)?;
    let headers = usize::from(u16::from_le_bytes([head[24], head[25]]));
    let body = u32::from_le_bytes([head[28], head[29], head[30], head[31]]) as usize;
    Some(start..start.saturating_add(HEAD + headers + body))
}

fn ids(frame: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(frame);
    text.split('"')
        .filter(|word| word.starts_with("event-") || word.starts_with("body-"))
        .map(str::to_owned)
        .collect()
}
