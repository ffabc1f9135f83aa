//! The ids of schemas, in the file `<spool.directory>/schema.ids`: so that a start with the registry away delivers.
//!
//! Little-endian: the magic, the version, the length of the rest, the CRC32C of version, length and rest, and as the
//! rest JSON: the address of the registry, and of each schema the subject, the format, the SHA-256 of its text and the id.
//! The version counts only where the checksum is right.
//!
//! Nothing is lost with this file. Where it is damaged, of another version or of another registry, its ids are asked
//! for again and it is replaced; a warning says so. An id is as good as the registry that gave it, and is confirmed by it
//! once after each start.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::table::Name;
use crate::{
    deliver::schema::{Format, SchemaId},
    spool::disk::{self, Disk},
};

const MAGIC: [u8; 8] = *b"MILLSID\n";
const VERSION: u32 = 1;
const HEAD: usize = 20;

/// Ids in the file at most.
pub(super) const MOST: usize = 10_000;

/// No file that this program writes is larger: a subject has some 250 bytes.
const LARGEST: u64 = 8 * 1024 * 1024;

pub(super) struct IdFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// Whose ids they are.
    registry: String,
    is_failing: bool,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
enum Unusable {
    #[error("the file is damaged")]
    Damaged,
    #[error("the file has format version {0}, but this program reads {VERSION}")]
    Version(u32),
    #[error("the ids in the file are of another registry")]
    OtherRegistry,
}

#[derive(Serialize, Deserialize)]
struct Written {
    registry: String,
    ids: Vec<WrittenId>,
}

#[derive(Serialize, Deserialize)]
struct WrittenId {
    subject: String,
    format: String,
    sha256: String,
    id: u32,
    guid: Option<Uuid>,
}

impl IdFile {
    pub fn new(disk: Arc<dyn Disk>, directory: &Path, registry: String) -> Self {
        Self { disk, path: directory.join("schema.ids"), registry, is_failing: false }
    }

    /// What is there and can be used.
    pub fn read(&self) -> BTreeMap<Name, SchemaId> {
        let problem = match self.bytes() {
            Ok(bytes) => match read(&bytes, &self.registry) {
                Ok(ids) => return ids.into_iter().filter_map(known).collect(),
                Err(unusable) => unusable.to_string(),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => return BTreeMap::new(),
            Err(error) => error.to_string(),
        };
        tracing::warn!(
            path = %self.path.display(), problem,
            "cached schema ids are not usable; asking the schema registry again"
        );
        BTreeMap::new()
    }

    /// Replaces what is there.
    pub fn write(&mut self, ids: &[(Name, SchemaId)]) {
        let ids = ids.iter().map(|(name, id)| WrittenId {
            subject: name.subject.to_string(),
            format: name.format.as_str().into(),
            sha256: hexadecimal(&name.sha256),
            id: id.number,
            guid: id.guid,
        });
        let bytes = spell(&Written { registry: self.registry.clone(), ids: ids.collect() });
        let written = disk::write_atomically(&*self.disk, &self.path, &bytes);
        let was_failing = std::mem::replace(&mut self.is_failing, written.is_err());
        if let Err(error) = &written
            && !was_failing
        {
            tracing::warn!(
                path = %self.path.display(), %error,
                "cannot cache schema ids on disk; a restart must ask the schema registry"
            );
        }
    }

    fn bytes(&self) -> io::Result<Vec<u8>> {
        match self.disk.info(&self.path)? {
            file if file.is_dir || file.length > LARGEST => Ok(Vec::new()),
            _ => disk::read_file(&*self.disk, &self.path),
        }
    }
}

fn known(written: WrittenId) -> Option<(Name, SchemaId)> {
    let format = Format::ALL.into_iter().find(|format| format.as_str() == written.format)?;
    let mut sha256 = [0; 32];
    let digits = written.sha256.as_bytes();
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in sha256.iter_mut().zip(digits.chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    let name = Name { subject: written.subject.into(), format, sha256 };
    Some((name, SchemaId { number: written.id, guid: written.guid }))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn spell(written: &Written) -> Vec<u8> {
    let json = serde_json::to_vec(written).expect("plain values are always JSON");
    let length = u32::try_from(json.len()).expect("ten thousand ids are less than 4 GiB");
    let mut bytes = Vec::with_capacity(HEAD + json.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&json);
    let sum = checksum(&bytes);
    bytes[16..HEAD].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// Of everything behind the magic but the checksum itself.
fn checksum(bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[8..16]), &bytes[HEAD..])
}

fn read(bytes: &[u8], registry: &str) -> Result<Vec<WrittenId>, Unusable> {
    let (head, json) = bytes.split_at_checked(HEAD).ok_or(Unusable::Damaged)?;
    let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
    let is_whole = usize::try_from(number(12)) == Ok(json.len());
    if head[..8] != MAGIC || !is_whole || number(16) != checksum(bytes) {
        return Err(Unusable::Damaged);
    }
    if number(8) != VERSION {
        return Err(Unusable::Version(number(8)));
    }
    let written: Written = serde_json::from_slice(json).map_err(|_| Unusable::Damaged)?;
    if written.registry == registry { Ok(written.ids) } else { Err(Unusable::OtherRegistry) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::disk::RealDisk;

    const REGISTRY: &str = "http://registry.test/";

    fn file(folder: &Path, registry: &str) -> IdFile {
        IdFile::new(Arc::new(RealDisk), folder, registry.into())
    }

    fn ids() -> Vec<(Name, SchemaId)> {
        let name =
            |subject: &str| Name { subject: subject.into(), format: Format::Avro, sha256: [7; 32] };
        let id = |number, guid| SchemaId { number, guid };
        vec![(name("a"), id(1, None)), (name("b"), id(2, Some(Uuid::from_u128(3))))]
    }

    #[test]
    fn what_is_kept_is_there_after_a_restart_for_the_same_registry_alone() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), REGISTRY).write(&ids());
        assert_eq!(file(folder.path(), REGISTRY).read(), ids().into_iter().collect());
        assert!(file(folder.path(), "http://other.test/").read().is_empty());
        assert_eq!(folder.path().read_dir().unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_with_any_byte_changed_or_missing_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), REGISTRY).write(&ids());
        let path = folder.path().join("schema.ids");
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            assert!(matches!(read(&bytes, REGISTRY), Err(Unusable::Damaged)), "byte {at}");
            assert!(read(&whole[..at], REGISTRY).is_err(), "cut at {at}");
        }
        std::fs::write(&path, &whole[..40]).unwrap();
        assert!(file(folder.path(), REGISTRY).read().is_empty());
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert!(file(folder.path(), REGISTRY).read().is_empty());
    }

    #[test]
    fn a_file_of_a_later_version_is_passed_over() {
        let mut later = spell(&Written { registry: REGISTRY.into(), ids: Vec::new() });
        later[8] = 2;
        let sum = checksum(&later);
        later[16..HEAD].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(read(&later, REGISTRY).err(), Some(Unusable::Version(2)));
    }
}
