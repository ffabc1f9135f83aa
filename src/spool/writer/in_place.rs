//! Checks that the name of the segment being written still leads to its open file.
//!
//! Another program that removes or replaces it (a clean-up, a restore, a sync of folders) takes no byte from the
//! open file: writes and syncs go on, and when the process ends all of it is gone. So after each sync the name is
//! checked, and before each write the length: one call each.
//!
//! Acknowledged bytes are put back under the name from the open file. Then a new segment is begun, so that readers
//! of the old file need not notice.

use std::{
    io::{self, IoSlice},
    path::{Path, PathBuf},
};

use super::{Active, NotWritten, Writer};
use crate::spool::{
    anchor::{Stands, is_gone},
    disk::{self, DiskFile},
    error::{AppendError, Limit},
    segment::HEADER_LENGTH,
};

/// Bytes that are copied at once.
const PIECE: u64 = 1024 * 1024;

/// Milliseconds between two checks of the lock.
const LOCK_LOOKED_AT_EVERY: u64 = 1000;

impl Writer {
    /// Fails unless the segment's name leads to the file that was written.
    pub(super) fn check_in_place(&self, active: &Active) -> Result<(), NotWritten> {
        let Some(id) = active.id else { return Ok(()) };
        match self.shared.disk().info(&self.shared.segment_path(active.generation)) {
            Ok(info) if info.id == Some(id) && info.length < active.length => {
                Err(NotWritten::Shortened { length: info.length })
            }
            Ok(info) if info.id == Some(id) => Ok(()),
            Ok(_) => Err(NotWritten::Displaced),
            Err(error) if is_gone(&error) => Err(NotWritten::Displaced),
            // If that cannot be determined, the delivery is not refused.
            Err(_) => Ok(()),
        }
    }

    /// Fails if the file is shorter than its acknowledged bytes; cuts the rest of a failed write.
    pub(super) fn check_length(&self, active: &Active) -> Result<(), NotWritten> {
        if active.id.is_none() {
            return Ok(());
        }
        match active.file.len() {
            Ok(length) if length < active.length => Err(NotWritten::Shortened { length }),
            Ok(length) if length > active.length => self.cut_back(active),
            _ => Ok(()),
        }
    }

    /// Puts the acknowledged part of the segment back under its name. The segment is not written any more.
    pub(super) fn put_back(&mut self) -> Result<(), NotWritten> {
        let Some(active) = self.active.take() else { return Ok(()) };
        let path = self.shared.segment_path(active.generation);
        if let Err(trouble) = self.check_folder().and_then(|()| self.copy(&active, &path)) {
            // Kept open: its bytes are nowhere else.
            self.active = Some(active);
            return Err(trouble);
        }
        self.shared.metrics.spool_put_back.inc();
        tracing::error!(
            source = %self.shared.source, segment = %path.display(), bytes = active.length,
            "a segment was removed or replaced while it was written: what is acknowledged of it is put \
             back, and nothing is lost. Whatever does this to `spool.directory` has to stop"
        );
        Ok(())
    }

    /// Checks the name once more at the end, and puts the segment back: no later sync would notice.
    pub(in crate::spool) fn leave_in_place(&mut self) {
        let Some(active) = &self.active else { return };
        if active.length > HEADER_LENGTH
            && let Err(NotWritten::Displaced) = self.check_in_place(active)
            && let Err(trouble) = self.put_back()
        {
            self.refuse(trouble, self.shared.look(|ledger| ledger.durable_end()));
        }
    }

    fn check_folder(&self) -> Result<(), NotWritten> {
        // If that cannot be determined, the delivery is not refused.
        let (Ok(Stands::Same) | Err(_)) = self.shared.folders_stand() else {
            let segments = self.shared.segments.display();
            let what = format!("{segments} was removed or replaced while in use");
            return Err(NotWritten::Broken(what));
        };
        Ok(())
    }

    /// Checks the folders and the lock before a segment is begun. A folder that is gone may come back: so that is
    /// full, not poison.
    pub(super) fn check_place(&self) -> Result<(), NotWritten> {
        if let Ok(Stands::Gone) = self.shared.folders_stand() {
            let segments = self.shared.segments.display();
            return Err(NotWritten::Short(Limit::Folder, format!("{segments} is gone")));
        }
        self.check_folder().and_then(|()| self.check_lock())
    }

    /// Fails if the lock no longer keeps a second process away; checks at most once a second.
    pub(super) fn check_lock_now_and_then(&mut self) -> Result<(), NotWritten> {
        let now = self.shared.disk().now();
        if now.abs_diff(self.lock_looked_at) < LOCK_LOOKED_AT_EVERY {
            return Ok(());
        }
        self.lock_looked_at = now;
        self.check_lock()
    }

    fn check_lock(&self) -> Result<(), NotWritten> {
        if self.shared.folder.has_lost_its_lock() {
            let what = "the file `lock` of `spool.directory` was removed or replaced under the process: another one \
                        may write to the same folder";
            return Err(NotWritten::Broken(what.to_owned()));
        }
        Ok(())
    }

    /// Copies the open file to its name: aside first, so that the name never leads to a part of it. A file that has the
    /// name now is kept beside it.
    fn copy(&self, active: &Active, path: &Path) -> Result<(), NotWritten> {
        let disk = self.shared.disk();
        let aside = beside(path, "aside");
        let failed = |error: io::Error| match Limit::of_shortage(&error) {
            Some(limit) => NotWritten::Short(limit, error.to_string()),
            None => self.broken("putting back", active.generation, &error),
        };
        match disk.rename(path, &beside(path, "replaced")) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        if active.length == HEADER_LENGTH {
            return Ok(()); // nothing is in it yet: it is begun again
        }
        match disk.remove(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let copy = disk.create_new(&aside).map_err(failed)?;
        copy_bytes(&*active.file, &*copy, active.length).map_err(failed)?;
        let broken = |error| self.broken("syncing", active.generation, &error);
        copy.sync_data().map_err(broken)?;
        disk.rename(&aside, path).map_err(failed)?;
        disk.sync_dir(&self.shared.segments).map_err(failed)
    }

    /// Poisons the spool: acknowledged bytes are gone, and no open file has them. A new segment, whose name is the next
    /// number, makes the next start report exactly those.
    pub(super) fn shortened(&self, length: u64, begin: u64) -> AppendError {
        let Some(active) = &self.active else { return self.shared.full(Limit::Folder) };
        let path = self.shared.segment_path(active.generation);
        let was = active.length;
        if active.generation < begin && self.begin_segment(begin).is_err() {
            tracing::error!(segment = %path.display(), next = begin, "cannot create a new segment");
        }
        self.shared.poison(&format!(
            "{} was cut from {was} bytes to {length} under the process: deliveries that were acknowledged are \
             gone, and the next start says which",
            path.display()
        ))
    }
}

fn copy_bytes(from: &dyn DiskFile, to: &dyn DiskFile, length: u64) -> io::Result<()> {
    let mut buffer = vec![0; PIECE.min(length) as usize];
    let mut at = 0;
    while at < length {
        let piece = &mut buffer[..(length - at).min(PIECE) as usize];
        if disk::read_full(from, piece, at)? < piece.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        disk::write_all_at(to, &mut [IoSlice::new(piece)], at)?;
        at += piece.len() as u64;
    }
    Ok(())
}

/// Returns the name with a further ending, which no segment has.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}
