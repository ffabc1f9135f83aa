//! The quarantine: a folder on the local disk for events that cannot go to Kafka at all, not even as a dead
//! letter. The program removes nothing from it, except items older than `quarantine.keep` where that is set.
//!
//! An item is two files, both synced before the event counts as settled: `<name>.bytes` holds the
//! original bytes and nothing else, `<name>.json` says what they are and why they are here. The
//! second is written last, so an item without it is one that a crash interrupted, and comes again
//! under the same name.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::digest::{Context, SHA256, digest};
use serde::Serialize;

use crate::{
    deliver::dead_letter::{DeadLetter, Quarantined},
    source::{SourceName, UnixMillis},
    spool::{
        Damage,
        disk::{self, Disk},
        position::Position,
    },
};

/// The quarantine folder of one source.
pub struct Quarantine {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

/// Size of a quarantine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Contents {
    pub items: u64,
    pub bytes: u64,
}

/// Result of [`Quarantine::sweep`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The remaining items.
    pub contents: Contents,
    /// Arrival of the oldest item; `None` when there is none.
    pub oldest: Option<UnixMillis>,
    /// Items that were too old.
    pub removed: u64,
}

/// Content of `<name>.json`.
#[derive(Serialize)]
struct Label<'a> {
    version: u32,
    source: &'a str,
    position: String,
    reason: &'a str,
    error: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    original_topic: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The value of the header of that name; absent where a sender pushed the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
    /// Ranges of the segment that the disk did not give back, with zeros in their place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unreadable: Vec<[u64; 2]>,
    length: u64,
    sha256: &'a str,
    quarantined_at: UnixMillis,
}

impl Quarantine {
    /// `folder` is the source's folder below `spool.directory`.
    pub fn new(disk: Arc<dyn Disk>, folder: &Path) -> Self {
        Self { disk, folder: folder.join("quarantine") }
    }

    /// Counts the items that are whole. Writes nothing.
    pub fn contents(&self) -> io::Result<Contents> {
        let names = match self.disk.list(&self.folder) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contents::default()),
            Err(error) => return Err(error),
        };
        let mut contents = Contents::default();
        for name in names.iter().filter_map(|name| name.strip_suffix(".json")) {
            contents.items += 1;
            match self.disk.info(&self.folder.join(format!("{name}.bytes"))) {
                Ok(info) => contents.bytes += info.length,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(contents)
    }

    /// Removes items that are older than `keep` at `now`, and counts the rest. The bytes of an item go before its
    /// label: an item whose removal was interrupted is found again.
    pub fn sweep(&self, keep: Option<Duration>, now: UnixMillis) -> io::Result<Swept> {
        let mut names = match self.disk.list(&self.folder) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Swept::default()),
            Err(error) => return Err(error),
        };
        names.sort_unstable(); // `.bytes` before `.json`
        let mut swept = Swept::default();
        for name in names {
            let path = self.folder.join(&name);
            let info = match self.disk.info(&path) {
                Ok(info) if info.is_dir => continue,
                Ok(info) => info,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let is_item = name.ends_with(".json");
            let age = u128::from(now.saturating_sub(info.written_at));
            if keep.is_some_and(|keep| age > keep.as_millis()) {
                self.disk.remove(&path)?;
                swept.removed += u64::from(is_item);
            } else if is_item {
                swept.contents.items += 1;
                swept.oldest = swept.oldest.into_iter().chain([info.written_at]).min();
            } else {
                swept.contents.bytes += info.length;
            }
        }
        Ok(swept)
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps one event, or a whole body in which no event was found, named by position and reason.
    pub fn keep(&self, letter: &DeadLetter<'_>, now: UnixMillis) -> io::Result<Quarantined> {
        let Position { sequence, index } = letter.position;
        let name = format!("{sequence:020}-{index:05}-{}", letter.reason);
        let sha256 = hex(digest(&SHA256, letter.original).as_ref());
        let length = letter.original.len() as u64;
        let label = Label {
            version: 1,
            source: letter.source.as_str(),
            position: letter.position.to_string(),
            reason: letter.reason,
            error: letter.error,
            original_topic: letter.original_topic,
            origin: letter.origin.as_header(),
            key: letter.key.map(|key| String::from_utf8_lossy(key).into_owned()),
            unreadable: Vec::new(),
            length,
            sha256: &sha256,
            quarantined_at: now,
        };
        let path = self.write(&name, &mut |put| put(letter.original), &label)?;
        Ok(Quarantined { path, length, sha256 })
    }

    /// Whether a range that begins where `damage` does is kept: a forwarder has passed it by.
    pub fn has_damage(&self, damage: &Damage) -> io::Result<bool> {
        match self.disk.info(&self.folder.join(format!("{}.json", name_of(damage)))) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Keeps a damaged range of a segment, under the same name and with the same label whichever part of it a lane came to.
    /// Where another range was kept that begins there too, both stay: a part of the one may have healed since.
    pub fn keep_damage(
        &self,
        source: &SourceName,
        damage: &Damage,
        now: UnixMillis,
    ) -> io::Result<Quarantined> {
        let length = damage.to - damage.from;
        let name = name_of(damage);
        let name = match self.disk.info(&self.folder.join(format!("{name}.bytes"))) {
            Ok(other) if other.length != length => format!("{name}-{:012}", damage.to),
            _ => name,
        };
        let mut digest = Context::new(&SHA256);
        for piece in damage.pieces() {
            digest.update(&piece?);
        }
        let sha256 = hex(digest.finish().as_ref());
        let error = damage.whole().to_string();
        let label = Label {
            version: 1,
            source: source.as_str(),
            position: Position::start_of(damage.first_of_range).to_string(),
            reason: "damage",
            error: &error,
            original_topic: None,
            key: None,
            origin: None,
            unreadable: damage.unreadable.iter().map(|hole| [hole.start, hole.end]).collect(),
            length,
            sha256: &sha256,
            quarantined_at: now,
        };
        let path = self.write(
            &name,
            &mut |put| damage.pieces().try_for_each(|piece| put(&piece?)),
            &label,
        )?;
        Ok(Quarantined { path, length, sha256 })
    }

    /// Writes an item; `bytes` is called once and hands its bytes over, piece by piece.
    fn write(
        &self,
        name: &str,
        bytes: &mut dyn FnMut(&mut Put<'_>) -> io::Result<()>,
        label: &Label<'_>,
    ) -> io::Result<PathBuf> {
        disk::make_directory(&*self.disk, &self.folder)?;
        let path = self.folder.join(format!("{name}.bytes"));
        let aside = self.folder.join(format!("{name}.bytes.new"));
        match self.disk.remove(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = self.disk.create_new(&aside)?;
        let mut offset = 0;
        bytes(&mut |piece| {
            disk::write_all_at(&*file, &mut [io::IoSlice::new(piece)], offset)?;
            offset += piece.len() as u64;
            Ok(())
        })?;
        file.sync_data()?;
        self.disk.rename(&aside, &path)?;
        // The folder is synced with the label, which is written last.
        let json = serde_json::to_vec_pretty(label)?;
        disk::write_atomically(&*self.disk, &self.folder.join(format!("{name}.json")), &json)?;
        Ok(path)
    }
}

/// Takes the next piece of an item's bytes.
type Put<'a> = dyn FnMut(&[u8]) -> io::Result<()> + 'a;

/// Hexadecimal form of a digest, as labels have it.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The name, without its ending, of the item for a damaged range.
fn name_of(damage: &Damage) -> String {
    let segment = damage.segment.file_stem().unwrap_or_default().to_string_lossy();
    format!("damage-{segment}-{:012}", damage.from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::disk::RealDisk;

    #[test]
    fn items_older_than_they_are_kept_go_whole_and_the_rest_is_counted() {
        let place = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::new(Arc::new(RealDisk), place.path());
        assert_eq!(quarantine.sweep(None, 0).unwrap(), Swept::default());
        let source = SourceName::new("leads").unwrap();
        for sequence in 1..=2 {
            let letter = DeadLetter {
                reason: "too-large",
                error: "an example",
                source: &source,
                position: Position::start_of(sequence),
                original_topic: None,
                key: None,
                origin: crate::source::Origin::Sender,
                original: b"{}",
            };
            quarantine.keep(&letter, 1).unwrap();
        }
        let folder = quarantine.folder();
        let second = files(folder, "00000000000000000002");
        let later = std::time::SystemTime::now() + Duration::from_secs(3600);
        for path in &second {
            std::fs::File::options().write(true).open(path).unwrap().set_modified(later).unwrap();
        }
        let hour = Duration::from_secs(3600);
        let now = RealDisk.now();
        let all = quarantine.sweep(None, now + 10 * 3_600_000).unwrap();
        assert_eq!((all.contents, all.removed), (Contents { items: 2, bytes: 4 }, 0), "for ever");
        let young = quarantine.sweep(Some(hour), now).unwrap();
        assert_eq!((young.contents.items, young.removed), (2, 0));
        let swept = quarantine.sweep(Some(hour), now + 3_700_000).unwrap();
        assert_eq!((swept.contents, swept.removed), (Contents { items: 1, bytes: 2 }, 1));
        assert!(swept.oldest > Some(now));
        assert_eq!(files(folder, "0").len(), 2, "bytes and label of the other one");
    }

    /// Files whose names begin with `beginning`.
    fn files(folder: &Path, beginning: &str) -> Vec<PathBuf> {
        let names = RealDisk.list(folder).unwrap();
        names.iter().filter(|it| it.starts_with(beginning)).map(|it| folder.join(it)).collect()
    }
}
