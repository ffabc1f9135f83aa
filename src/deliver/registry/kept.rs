//! Cached ids of schemas, in the file `<spool.directory>/schema.ids`: a start with the registry away delivers by them.
//!
//! The cache (`spool/cache.rs`) has the address of the registry, and for each schema the subject, the format, the
//! SHA-256 of its text and the id. Ids of another registry are not used. An id is as good as the registry that gave
//! it, which confirms it once after each start.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::table::Name;
use crate::{
    deliver::schema::{Format, SchemaId},
    spool::{
        cache::{CacheFile, Form},
        disk::Disk,
    },
};

/// Limit of the ids in the file.
pub(super) const MAX_IDS: usize = 10_000;

const CACHE_FORM: Form = Form {
    magic: *b"MILLSID\n",
    version: 1,
    // A subject has some 250 bytes.
    largest: 8 * 1024 * 1024,
    unusable: "cached schema ids are not usable; asking the schema registry again",
    unwritable: "cannot cache schema ids on disk; a restart must ask the schema registry",
};

pub(super) struct IdFile {
    file: CacheFile,
    /// The address of the registry that the ids belong to.
    registry: String,
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
        Self { file: CacheFile::new(disk, directory.join("schema.ids"), CACHE_FORM), registry }
    }

    /// Returns the usable ids of the file.
    pub fn read(&self) -> BTreeMap<Name, SchemaId> {
        let written: Option<Written> = self.file.read(|written: &Written| {
            let is_another = written.registry != self.registry;
            is_another.then_some("the ids in the file are of another registry")
        });
        written.into_iter().flat_map(|written| written.ids).filter_map(known).collect()
    }

    /// Replaces the file's content.
    pub fn write(&mut self, ids: &[(Name, SchemaId)]) {
        let ids = ids.iter().map(|(name, id)| WrittenId {
            subject: name.subject.to_string(),
            format: name.format.as_str().into(),
            sha256: hexadecimal(&name.sha256),
            id: id.number,
            guid: id.guid,
        });
        self.file.write(&Written { registry: self.registry.clone(), ids: ids.collect() });
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
}
