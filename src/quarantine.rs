//! The quarantine: a folder on the local disk for what can't go to Kafka at all, not even as a dead
//! letter. Nothing in it is ever removed by the program.
//!
//! An item is two files, both synced before the event counts as settled: `<name>.bytes` holds the
//! original bytes and nothing else, `<name>.json` says what they are and why they are here. The
//! second is written last, so an item without it is one that a crash interrupted, and comes again
//! under the same name.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::{
    dead_letter::DeadLetter,
    delivery::{SourceName, UnixMillis},
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

/// An item that is in quarantine, durably.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    pub path: PathBuf,
    /// Bytes.
    pub length: u64,
    /// In hexadecimal.
    pub sha256: String,
}

/// How much is in quarantine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Contents {
    pub items: u64,
    pub bytes: u64,
}

/// What `<name>.json` says.
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
    /// As in the header of that name, where no sender pushed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a str>,
    /// Bytes of the segment that the disk did not give back: zeros stand for them.
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

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps one event, or a whole body in which no event was found, named by position and reason.
    pub fn keep(&self, letter: &DeadLetter<'_>, now: UnixMillis) -> io::Result<Quarantined> {
        let Position { sequence, index } = letter.position;
        let name = format!("{sequence:020}-{index:05}-{}", letter.reason);
        let sha256 = hex(&Sha256::digest(letter.original));
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

    /// Keeps a range of a segment that no longer holds what was written there.
    pub fn keep_damage(
        &self,
        source: &SourceName,
        damage: &Damage,
        now: UnixMillis,
    ) -> io::Result<Quarantined> {
        let segment = damage.segment.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("damage-{segment}-{:012}", damage.from);
        let mut digest = Sha256::new();
        for piece in damage.pieces() {
            digest.update(piece?);
        }
        let sha256 = hex(&digest.finalize());
        let error = damage.to_string();
        let label = Label {
            version: 1,
            source: source.as_str(),
            position: Position::start_of(damage.first_sequence).to_string(),
            reason: "damage",
            error: &error,
            original_topic: None,
            key: None,
            origin: None,
            unreadable: damage.unreadable.iter().map(|hole| [hole.start, hole.end]).collect(),
            length: damage.to - damage.from,
            sha256: &sha256,
            quarantined_at: now,
        };
        let path = self.write(
            &name,
            &mut |put| damage.pieces().try_for_each(|piece| put(&piece?)),
            &label,
        )?;
        Ok(Quarantined { path, length: damage.to - damage.from, sha256 })
    }

    /// `bytes` is called once and hands the item's bytes over, piece by piece.
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

/// As sums are written down beside an item.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String can't fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
