//! Who a spool is: a UUID, made once, in the file `<source>/identity`.
//!
//! `{"version":1,"spool":"<uuid>"}`. It is on disk before the first segment is, and every segment's
//! header repeats it, so that segments without it mean that a person moved something.

use std::{io, path::Path};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    disk::{self, Disk},
    error::OpenError,
};

const VERSION: u32 = 1;

#[derive(Deserialize, Serialize)]
struct Identity {
    version: u32,
    spool: Uuid,
}

/// The identity at `path`, or a fresh one if there is none and nothing is stored yet.
pub fn read_or_create(disk: &dyn Disk, path: &Path, has_segments: bool) -> Result<Uuid, OpenError> {
    if let Some(spool) = read(disk, path, has_segments)? {
        return Ok(spool);
    }
    let spool = Uuid::new_v4();
    let bytes = serde_json::to_vec(&Identity { version: VERSION, spool })
        .expect("a number and a UUID are valid JSON");
    disk::write_atomically(disk, path, &bytes).map_err(|error| OpenError::Io {
        doing: "writing",
        path: path.to_owned(),
        error,
    })?;
    Ok(spool)
}

/// The identity at `path`; `None` if there is none and nothing is stored yet.
pub fn read(disk: &dyn Disk, path: &Path, has_segments: bool) -> Result<Option<Uuid>, OpenError> {
    match disk::read_file(disk, path) {
        Ok(bytes) => parse(&bytes, path).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound && has_segments => {
            Err(OpenError::Identity {
                path: path.to_owned(),
                problem:
                    "it is missing, and there are segments beside it: restore it (the headers \
                          of the segments hold the UUID), or move the segments away"
                        .into(),
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::Io { doing: "reading", path: path.to_owned(), error }),
    }
}

fn parse(bytes: &[u8], path: &Path) -> Result<Uuid, OpenError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let damaged = |error: serde_json::Error| OpenError::Identity {
        path: path.to_owned(),
        problem: format!(
            "it is damaged ({error}): restore it; the headers of the segments hold the UUID"
        ),
    };
    // The version first: a later one may have other fields.
    let Version { version } = serde_json::from_slice(bytes).map_err(damaged)?;
    if version != VERSION {
        return Err(OpenError::NewerFormat {
            path: path.to_owned(),
            found: format!("version {version}, this program reads {VERSION}"),
        });
    }
    let Identity { spool, .. } = serde_json::from_slice(bytes).map_err(damaged)?;
    Ok(spool)
}
