//! The beginning of a segment: a file, its header and its name, durable before any frame is written.
//!
//! Nothing in it is acknowledged yet, so a failure before a sync costs a 503 and no more: the name is removed, and
//! the next delivery tries again.

use std::{io, path::Path, sync::Arc};

use super::{Active, NotWritten, Writer};
use crate::spool::{
    anchor,
    disk::{self, DiskFile},
    error::Limit,
    recovery,
    segment::HEADER_LENGTH,
};

impl Writer {
    /// Begins a segment for `generation`, durable with its name.
    pub(super) fn begin_segment(&self, generation: u64) -> Result<Active, NotWritten> {
        let path = self.shared.segment_path(generation);
        let disk = self.shared.disk();
        self.check_place()?;
        let file = self.create(&path).map_err(|error| self.not_begun(generation, &error))?;
        // Read before the first sync: so a removal in between is noticed by the check after that sync.
        let id = anchor::id_to_watch(disk, &*file, &path);
        if let Err(trouble) = self.make_durable(&*file, generation) {
            if !matches!(trouble, NotWritten::Broken(_))
                && let Err(error) = disk.remove(&path)
            {
                // The next try finds and replaces it.
                tracing::warn!(path = %path.display(), %error, "cannot remove an empty segment");
            }
            return Err(trouble);
        }
        self.shared.change(|ledger| ledger.add_segment(generation, HEADER_LENGTH, disk.now()));
        tracing::debug!(source = %self.shared.source, generation, "began a new segment");
        Ok(Active { file, generation, length: HEADER_LENGTH, id })
    }

    /// Creates the file, also in place of an empty one that an earlier try has left behind.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let disk = self.shared.disk();
        match disk.create_new(path) {
            Err(error)
                if error.kind() == io::ErrorKind::AlreadyExists
                    && disk.info(path).is_ok_and(|info| info.length <= HEADER_LENGTH) =>
            {
                disk.remove(path)?;
                disk.create_new(path)
            }
            created => created,
        }
    }

    fn make_durable(&self, file: &dyn DiskFile, generation: u64) -> Result<(), NotWritten> {
        let disk = self.shared.disk();
        recovery::write_header(file, generation, self.shared.id, disk.now())
            .map_err(|error| self.not_begun(generation, &error))?;
        // A file whose first sync failed for a shortage is given up and never synced again: a second sync could succeed
        // without the bytes.
        file.sync_data().map_err(|error| self.not_synced("syncing", generation, &error))?;
        disk.sync_dir(&self.shared.segments)
            .map_err(|error| self.not_synced("syncing the folder of", generation, &error))?;
        let noted = self.shared.noted.begun(disk, self.shared.extent_at(generation));
        noted.map_err(|error| self.not_begun(generation, &error))
    }

    fn not_begun(&self, generation: u64, error: &io::Error) -> NotWritten {
        let path = self.shared.segment_path(generation);
        let limit = Limit::of_shortage(error).unwrap_or(Limit::Folder);
        NotWritten::Short(limit, format!("{}: {error}", path.display()))
    }

    fn not_synced(&self, doing: &str, generation: u64, error: &io::Error) -> NotWritten {
        match disk::is_shortage(error) {
            true => self.not_begun(generation, error),
            false => self.broken(doing, generation, error),
        }
    }
}
