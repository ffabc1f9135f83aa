//! The identity of a spool: a UUID, made once, in the file `<source>/identity`.
//!
//! `{"version":1,"spool":"<uuid>","checksum":"<CRC32C>"}`. The checksum is the last member in every version, and
//! covers the text before it; the version is believed only if the checksum is right. Earlier programs wrote
//! version 1 without one: such a file is still read, and gets its checksum at the next start. The file is on disk
//! before the first segment, and every segment's header repeats the UUID, so segments without it mean that files
//! were moved.

use std::{collections::BTreeSet, io, path::Path};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    disk::{self, Disk},
    error::OpenError,
    recovery, segment,
};

const VERSION: u32 = 1;

/// Text between the covered part and its checksum.
const CHECKSUM_MEMBER: &str = ",\"checksum\":\"";

/// The file, and the segments beside it, whose headers repeat its content.
#[derive(Clone, Copy)]
pub struct IdentityFile<'a> {
    pub disk: &'a dyn Disk,
    pub path: &'a Path,
    /// The folder of the segments, and their generations.
    pub segments: &'a Path,
    pub generations: &'a [u64],
}

/// Content of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    pub spool: Uuid,
    /// Whether the file has a checksum.
    pub is_sealed: bool,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Unsealed {
    version: u32,
    spool: Uuid,
}

impl IdentityFile<'_> {
    /// Reads the identity, or makes a new one if there is none and nothing is stored yet.
    pub fn read_or_create(&self) -> Result<Found, OpenError> {
        if let Some(found) = self.read()? {
            return Ok(found);
        }
        let found = Found { spool: Uuid::new_v4(), is_sealed: true };
        self.write(found.spool)?;
        tracing::info!(path = %self.path.display(), spool = %found.spool, "created a new spool");
        Ok(found)
    }

    /// Reads the identity; `None` if there is none and nothing is stored yet.
    pub fn read(&self) -> Result<Option<Found>, OpenError> {
        match disk::read_file(self.disk, self.path) {
            Ok(bytes) => match parse(&bytes) {
                Ok(found) => Ok(Some(found)),
                Err(Flaw::Newer { version }) => Err(OpenError::NewerFormat {
                    path: self.path.to_owned(),
                    found: format!("format version {version}, but this program reads {VERSION}"),
                }),
                Err(Flaw::Damaged(what)) => Err(self.unusable(&format!("is damaged ({what})"))),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                match self.generations.is_empty() {
                    true => Ok(None),
                    false => Err(self.unusable("is missing, and there are segments beside it")),
                }
            }
            Err(error) => {
                Err(OpenError::Io { doing: "reading", path: self.path.to_owned(), error })
            }
        }
    }

    /// Decides what is wrong where the last segment belongs to another spool: the segment, or the identity.
    pub fn judge(&self, foreign: OpenError) -> OpenError {
        let OpenError::Foreign { expected, .. } = &foreign else { return foreign };
        match self.owners().contains(expected) {
            true => foreign,
            false => self.unusable(&format!(
                "names spool {expected}, but no segment beside it belongs to that spool"
            )),
        }
    }

    /// Adds the checksum to a file that has none. A failure does not stop the start.
    pub fn seal(&self, found: Found) {
        if !found.is_sealed
            && let Err(error) = self.write(found.spool)
        {
            tracing::warn!(%error, "spool identity file has no checksum yet");
        }
    }

    fn write(&self, spool: Uuid) -> Result<(), OpenError> {
        disk::write_atomically(self.disk, self.path, &sealed(spool))
            .map_err(|error| OpenError::Io { doing: "writing", path: self.path.to_owned(), error })
    }

    fn unusable(&self, problem: &str) -> OpenError {
        let owners: Vec<_> = self.owners().into_iter().collect();
        let remedy = match &owners[..] {
            [] => "restore it from a copy, or move the source's folder away".into(),
            [spool] => {
                let plain = text(*spool);
                format!("the segment headers name spool {spool}: write `{plain}` into this file")
            }
            _ => "the segments beside it are of several spools: the folder was mixed up".into(),
        };
        OpenError::Identity {
            path: self.path.to_owned(),
            problem: format!("it {problem}: {remedy}"),
        }
    }

    /// Returns the spools that the segments belong to, as far as their headers can be read.
    fn owners(&self) -> BTreeSet<Uuid> {
        let header = |generation: &u64| {
            let file = self.disk.open_to_read(&segment::path(self.segments, *generation)).ok()?;
            recovery::read_header(&*file).ok()?.ok()
        };
        self.generations.iter().filter_map(header).map(|header| header.spool).collect()
    }
}

/// Returns the text of version 1 without its checksum.
fn text(spool: Uuid) -> String {
    format!("{{\"version\":{VERSION},\"spool\":\"{spool}\"}}")
}

fn sealed(spool: Uuid) -> Vec<u8> {
    let text = text(spool);
    let covered = text.strip_suffix('}').unwrap_or(&text);
    format!("{covered}{CHECKSUM_MEMBER}{:08x}\"}}\n", crc32c::crc32c(covered.as_bytes()))
        .into_bytes()
}

enum Flaw {
    Damaged(String),
    Newer { version: u32 },
}

fn parse(bytes: &[u8]) -> Result<Found, Flaw> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    #[derive(Deserialize)]
    struct Sealed {
        spool: Uuid,
    }
    let damaged = |error: serde_json::Error| Flaw::Damaged(error.to_string());
    let text = std::str::from_utf8(bytes).map_err(|_| Flaw::Damaged("not UTF-8".into()))?;
    let Some((covered, rest)) = text.rsplit_once(CHECKSUM_MEMBER) else {
        let Unsealed { version, spool } = serde_json::from_str(text).map_err(damaged)?;
        return match version {
            VERSION => Ok(Found { spool, is_sealed: false }),
            // Every later version has a checksum.
            _ => Err(Flaw::Damaged("a version without a checksum".into())),
        };
    };
    let sum = rest.trim_end().strip_suffix("\"}").unwrap_or_default();
    if u32::from_str_radix(sum, 16) != Ok(crc32c::crc32c(covered.as_bytes())) {
        return Err(Flaw::Damaged("the checksum does not match".into()));
    }
    let Version { version } = serde_json::from_str(text).map_err(damaged)?;
    if version != VERSION {
        return Err(Flaw::Newer { version });
    }
    let Sealed { spool } = serde_json::from_str(text).map_err(damaged)?;
    Ok(Found { spool, is_sealed: true })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPOOL: Uuid = Uuid::from_u128(0x1234_5678);

    #[test]
    fn no_flipped_bit_makes_another_identity_or_a_later_version() {
        let good = sealed(SPOOL);
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            match parse(&bad) {
                // A checksum in capitals, or another kind of blank at the end, says the same.
                Ok(found) => assert_eq!(found, Found { spool: SPOOL, is_sealed: true }),
                Err(Flaw::Damaged(_)) => {}
                Err(Flaw::Newer { version }) => panic!("bit {bit}: version {version}"),
            }
        }
    }

    #[test]
    fn files_of_earlier_programs_are_read_and_a_later_version_is_known_by_its_checksum() {
        let found = parse(text(SPOOL).as_bytes()).ok();
        assert_eq!(found, Some(Found { spool: SPOOL, is_sealed: false }));
        let covered = r#"{"version":2,"surprise":true"#;
        let later = |sum: u32| format!("{covered}{CHECKSUM_MEMBER}{sum:08x}\"}}");
        let sum = crc32c::crc32c(covered.as_bytes());
        assert!(matches!(parse(later(sum).as_bytes()), Err(Flaw::Newer { version: 2 })));
        assert!(matches!(parse(later(sum ^ 1).as_bytes()), Err(Flaw::Damaged(_))));
        assert!(matches!(parse(covered.as_bytes()), Err(Flaw::Damaged(_))));
    }
}
