//! Ids of a transaction whose commit is asked for: `<source>/ids/<checkpoint>-<writer>.prepared`.
//!
//! Ids are saved for good after the commit: before it, an abort would make events repeats of
//! themselves. A process that dies in between leaves them here, under the number and the writer of the
//! checkpoint that the transaction commits. The next one takes them if that checkpoint is the one on
//! the topic. It could not find them otherwise: of the events that a checkpoint has passed, some were
//! passed over as repeats of another source's, which may not have delivered them.
//!
//! A name is never used twice, so the file of an aborted attempt belongs to no later one.

use std::{
    io::{self, IoSlice},
    path::PathBuf,
    sync::Arc,
};

use uuid::Uuid;

use super::{
    format::{self, HEADER_LENGTH, ID_LENGTH},
    identity::{Id, Key, Rule},
};
use crate::{
    source::UnixMillis,
    spool::disk::{self, Disk},
};

const SUFFIX: &str = ".prepared";

/// The prepared ids of one source.
pub struct Prepared {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    /// The key's fingerprint.
    key: u64,
}

/// The checkpoint that a transaction commits.
#[derive(Clone, Copy, Debug)]
pub struct Attempt {
    pub number: u64,
    pub writer: Uuid,
}

impl Prepared {
    /// `folder` is the folder of the source's ids.
    pub fn new(disk: Arc<dyn Disk>, folder: PathBuf, key: &Key) -> Self {
        Self { disk, folder, key: key.fingerprint() }
    }

    /// Durable when it returns. Attempts before this one are over.
    pub fn write(&self, attempt: Attempt, ids: &[Id], at: UnixMillis) -> io::Result<()> {
        disk::make_directory(&*self.disk, &self.folder)?;
        self.clear()?;
        let mut bytes = Vec::with_capacity((ids.len() + 1) * ID_LENGTH + HEADER_LENGTH);
        bytes.extend_from_slice(&format::header(self.key, Rule::WithType));
        format::add_block(&mut bytes, at, ids);
        let file = self.disk.create_new(&self.path(attempt))?;
        disk::write_all_at(&*file, &mut [IoSlice::new(&bytes)], 0)?;
        file.sync_data()?;
        self.disk.sync_dir(&self.folder)
    }

    /// The ids prepared for an attempt that was committed, with their rule; empty if there are none.
    /// After an error its events may be repeated.
    pub fn read(&self, attempt: Attempt) -> io::Result<(Rule, Vec<Id>)> {
        let bytes = match disk::read_file(&*self.disk, &self.path(attempt)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Rule::WithType, Vec::new()));
            }
            bytes => bytes?,
        };
        let contents = format::read(&bytes, self.key).map_err(io::Error::other)?;
        let ids = contents.blocks.into_iter().flat_map(|block| block.ids).collect();
        Ok((contents.rule, ids))
    }

    /// Removes the files of all attempts.
    pub fn clear(&self) -> io::Result<()> {
        let names = match self.disk.list(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            names => names?,
        };
        for name in names.iter().filter(|name| name.ends_with(SUFFIX)) {
            self.disk.remove(&self.folder.join(name))?;
        }
        Ok(())
    }

    fn path(&self, Attempt { number, writer }: Attempt) -> PathBuf {
        self.folder.join(format!("{number:020}-{}{SUFFIX}", writer.simple()))
    }
}
